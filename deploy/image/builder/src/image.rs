//! The image from its parts.

use std::path::Path;

use crate::cpio::Archive;
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::package;
use crate::programs::Programs;
use crate::uki::{self, Parts};

/// The time of everything that has to have one: 1 November 2026.
pub const EPOCH: &str = "1793491200";

/// For which machines an image is: they differ in what commits to the configuration, and so in the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// One's own host: QEMU with SEV-SNP or TDX. The launch names the configuration's hash.
    Metal,
    /// Clouds, whose launches cannot be given a hash: the configuration is measured into the virtual TPM.
    Cloud,
}

impl Profile {
    /// Name in manifests and of files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metal => "metal",
            Self::Cloud => "cloud",
        }
    }

    /// Words for our init.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Metal => {
                "postern.network=dhcp postern.source=vsock:9001,gateway:9001 postern.commitment=launch"
            }
            Self::Cloud => "postern.network=dhcp postern.source=gcp,aws,azure postern.commitment=tpm",
        }
    }
}

/// Words for the kernel, of every profile: no console, a fault ends the machine, memory is wiped both ways, and the
/// processor's generator is a source of randomness while firmware's is none.
const KERNEL_WORDS: &str = "console=null panic=-1 oops=panic init_on_alloc=1 init_on_free=1 page_alloc.shuffle=1 \
                            slab_nomerge random.trust_cpu=on random.trust_bootloader=off";

/// The whole command line with these words for our init.
pub fn command_line(words: &str) -> String {
    format!("{KERNEL_WORDS} {words}")
}

/// Modules of the quick lane's kernel, in the order in which they need each other.
const MODULES: [&str; 10] = [
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "fs/configfs/configfs",
    "drivers/virt/coco/tsm",
    "drivers/virt/coco/sev-guest/sev-guest",
    "drivers/virt/coco/tdx-guest/tdx-guest",
    "net/vmw_vsock/vsock",
    "net/vmw_vsock/vmw_vsock_virtio_transport_common",
    "net/vmw_vsock/vmw_vsock_virtio_transport",
];

/// A kernel, and modules by file name; the release kernel has none.
pub struct Kernel {
    /// The EFI executable.
    pub image: Vec<u8>,
    /// Uncompressed modules in the order of loading.
    pub modules: Vec<(String, Vec<u8>)>,
}

impl Kernel {
    /// Debian's, for the quick lane.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn of_debian(inputs: &Inputs, cache: &Path) -> Result<Self, Failure> {
        let package = inputs.get("kernel", cache)?;
        let is_module =
            |path: &str| MODULES.iter().any(|name| path.ends_with(&format!("kernel/{name}.ko.xz")));
        let files = package::files(&package, |path| path.starts_with("boot/vmlinuz-") || is_module(path))?;
        let find = |end: &str| {
            let found = files
                .iter()
                .find(|(path, _)| path.starts_with("boot/") == end.is_empty() && path.ends_with(end));
            found
                .map(|(_, content)| content)
                .ok_or_else(|| Failure::new(format!("the kernel package lacks {end}")))
        };
        let mut modules = Vec::new();
        for (index, name) in MODULES.iter().enumerate() {
            let packed = find(&format!("kernel/{name}.ko.xz"))?;
            let short = name.rsplit('/').next().unwrap_or(name);
            modules.push((format!("{index:02}-{short}.ko"), package::decompressed(packed)?));
        }
        Ok(Self { image: find("")?.clone(), modules })
    }
}

/// The initial RAM disk: two programs, modules if there are any, and empty folders.
///
/// # Errors
/// [`Failure`] where it does not compress.
pub fn initial_ram_disk(programs: &Programs, modules: &[(String, Vec<u8>)]) -> Result<Vec<u8>, Failure> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "run", "sys"] {
        archive.folder(folder);
    }
    archive.device("dev/null", (1, 3));
    archive.program("init", &programs.init);
    archive.program("postern-enclave", &programs.gateway);
    if !modules.is_empty() {
        archive.folder("modules");
    }
    for (name, content) in modules {
        archive.file(&format!("modules/{name}"), content);
    }
    compressed(&archive.finish())
}

/// Compresses as the kernel unpacks.
///
/// # Errors
/// [`Failure`].
pub fn compressed(archive: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut bytes = zstd::bulk::compress(archive, 19)
        .map_err(|error| Failure::new(format!("the initial RAM disk does not compress: {error}")))?;
    // The stub pads to four bytes what it hands over, and the padding would be measured.
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Ok(bytes)
}

/// The unified kernel image.
///
/// # Errors
/// [`Failure`].
pub fn assemble(stub: &[u8], kernel: &[u8], initrd: &[u8], words: &str) -> Result<Vec<u8>, Failure> {
    uki::write(&Parts { stub, kernel, initrd, command_line: &command_line(words) })
}

/// systemd's stub.
///
/// # Errors
/// [`Failure`].
pub fn stub(inputs: &Inputs, cache: &Path) -> Result<Vec<u8>, Failure> {
    one(inputs, cache, "stub", "usr/lib/systemd/boot/efi/linuxx64.efi.stub")
}

/// Firmware for SEV-SNP.
///
/// # Errors
/// [`Failure`].
pub fn firmware_snp(inputs: &Inputs, cache: &Path) -> Result<Vec<u8>, Failure> {
    one(inputs, cache, "firmware-snp", "usr/share/ovmf/OVMF.amdsev.fd")
}

/// Firmware for TDX and for boots from disk.
///
/// # Errors
/// [`Failure`].
pub fn firmware_tdx(inputs: &Inputs, cache: &Path) -> Result<Vec<u8>, Failure> {
    one(inputs, cache, "firmware-tdx", "usr/share/ovmf/OVMF.fd")
}

fn one(inputs: &Inputs, cache: &Path, name: &str, path: &str) -> Result<Vec<u8>, Failure> {
    let mut files = package::files(&inputs.get(name, cache)?, |own| own == path)?;
    files.remove(path).ok_or_else(|| Failure::new(format!("{name}: the package lacks {path}")))
}
