//! One virtual machine: QEMU, its serial port, its processor time.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a machine is started from.
pub struct Boot<'a> {
    /// The firmware.
    pub firmware: &'a [u8],
    /// The image, handed to QEMU as a kernel.
    pub kernel: Option<&'a [u8]>,
    /// A disk to boot from.
    pub disk: Option<&'a Path>,
    /// What is added to the command line from outside.
    pub append: Option<&'a str>,
    /// A page placed in memory before the machine starts, as SEV-SNP's launch would: address and bytes.
    pub page: Option<(u64, &'a [u8])>,
    /// The socket of a TPM emulator.
    pub tpm: Option<&'a Path>,
    /// A program that answers each connection to the clouds' metadata service.
    pub metadata: Option<&'a Path>,
    /// The socket of a vsock daemon.
    pub vsock: Option<&'a Path>,
    /// An ACPI table of the host's, beside QEMU's own.
    pub acpi: Option<&'a [u8]>,
    /// A file that is the machine's memory, for the host to look at.
    pub memory_file: Option<&'a Path>,
    /// Mebibytes of memory.
    pub memory: u32,
}

impl<'a> Boot<'a> {
    /// A measured direct boot without anything else.
    pub const fn direct(firmware: &'a [u8], kernel: &'a [u8], page: Option<(u64, &'a [u8])>) -> Self {
        Self {
            firmware,
            kernel: Some(kernel),
            disk: None,
            append: None,
            page,
            tpm: None,
            metadata: None,
            vsock: None,
            acpi: None,
            memory_file: None,
            memory: 320,
        }
    }

    /// A boot from a disk, on a cloud with this TPM and this metadata service.
    pub const fn cloud(firmware: &'a [u8], disk: &'a Path, tpm: &'a Path, metadata: &'a Path) -> Self {
        Self {
            firmware,
            kernel: None,
            disk: Some(disk),
            append: None,
            page: None,
            tpm: Some(tpm),
            metadata: Some(metadata),
            vsock: None,
            acpi: None,
            memory_file: None,
            memory: 512,
        }
    }
}

/// Everything that QEMU can emulate, as a Genoa: older families of AMD's are said to have a broken generator, and the
/// gateway does not use those.
const PROCESSOR: &str = "max,family=25,model=17,stepping=0";

/// A running machine. Killed when dropped.
pub struct Machine {
    child: Child,
    folder: tempfile::TempDir,
    /// The port of this computer that leads to port 8443 of the machine.
    pub port: u16,
}

/// Whether QEMU is there and new enough: version 7 miscomputes. In CI its absence is a failure.
pub fn can_boot() -> bool {
    let said = Command::new("qemu-system-x86_64").arg("--version").output();
    let version = said.ok().and_then(|said| {
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        text.split_once("version ")?.1.split('.').next()?.parse::<u32>().ok()
    });
    let usable = version.is_some_and(|version| version >= 10);
    if !usable {
        assert!(std::env::var_os("CI").is_none(), "QEMU 10 or later is needed (found {version:?})");
        eprintln!("SKIPPED: QEMU 10 or later is needed, and found is {version:?}");
    }
    usable
}

impl Machine {
    /// Starts it.
    pub fn start(boot: &Boot<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str, bytes: &[u8]| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("the folder can be written to");
            path
        };
        let port = free_port();
        let mut command = Command::new("qemu-system-x86_64");
        command.args([
            "-accel",
            "tcg",
            "-cpu",
            PROCESSOR,
            "-smp",
            "1",
            "-no-reboot",
            "-nodefaults",
            "-display",
            "none",
        ]);
        let memory = memory(boot.memory);
        command.arg("-m").arg(format!("{memory}M"));
        let backend = match boot.memory_file {
            Some(path) => format!("memory-backend-file,mem-path={}", path.display()),
            None => "memory-backend-memfd".to_owned(),
        };
        let memory = format!("{backend},id=mem0,size={memory}M,share=on");
        command.args(["-M", "q35,memory-backend=mem0", "-object", &memory]);
        command.arg("-bios").arg(file("firmware.fd", boot.firmware));
        command.arg("-serial").arg(format!("file:{}", folder.path().join("serial").display()));
        command.args([
            "-netdev",
            &network(port, boot.metadata),
            "-device",
            "virtio-net-pci,netdev=n0,romfile=",
        ]);
        if let Some(kernel) = boot.kernel {
            command.arg("-kernel").arg(file("image.efi", kernel));
        }
        if let Some(append) = boot.append {
            command.args(["-append", append]);
        }
        if let Some((address, page)) = boot.page {
            let page = file("page.bin", page);
            let device = format!("loader,file={},addr={address:#x},force-raw=on", page.display());
            command.args(["-device", &device]);
        }
        if let Some(table) = boot.acpi {
            command.arg("-acpitable").arg(format!("file={}", file("table.aml", table).display()));
        }
        attach(&mut command, boot);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
        Self { child: child.expect("QEMU starts"), folder, port }
    }

    /// What came out of the serial port so far.
    pub fn serial(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("serial")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the serial port said `text`; what it said instead, if the machine ended or `limit` passed.
    ///
    /// # Errors
    /// Everything that the serial port said.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let said = self.serial();
            if said.contains(text) {
                return Ok(());
            }
            let ended = self.ended();
            if ended || start.elapsed() > limit {
                let why = if ended { "the machine ended" } else { "time is over" };
                return Err(format!("{why}: {}", self.serial()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it is over.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_some()
    }

    /// Waits until it is over.
    ///
    /// # Errors
    /// Everything that the serial port said.
    pub fn wait_for_the_end(&mut self, limit: Duration) -> Result<(), String> {
        let start = Instant::now();
        while !self.ended() {
            if start.elapsed() > limit {
                return Err(self.serial());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Seconds of processor time so far, and mebibytes of this computer's memory at most.
    pub fn cost(&self) -> (f64, u64) {
        let id = self.child.id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 =
            after.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let seconds = ticks as f64 / 100.0;
        (seconds, peak / 1024)
    }
}

/// Mebibytes of memory; `POSTERN_IMAGE_MEMORY` says another number, to find out how little suffices.
fn memory(usual: u32) -> u32 {
    std::env::var("POSTERN_IMAGE_MEMORY").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What is plugged in besides memory and network.
fn attach(command: &mut Command, boot: &Boot<'_>) {
    if let Some(disk) = boot.disk {
        let drive = format!("if=none,id=d0,format=raw,readonly=on,file={}", disk.display());
        command.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=d0,bootindex=0"]);
    }
    if let Some(socket) = boot.tpm {
        let chardev = format!("socket,id=t0,path={}", socket.display());
        command.args([
            "-chardev",
            &chardev,
            "-tpmdev",
            "emulator,id=tpm0,chardev=t0",
            "-device",
            "tpm-crb,tpmdev=tpm0",
        ]);
    }
    if let Some(socket) = boot.vsock {
        let chardev = format!("socket,id=v0,path={}", socket.display());
        command.args(["-chardev", &chardev, "-device", "vhost-user-vsock-pci,chardev=v0"]);
    }
}

/// A network of QEMU's own, with port 8443 of the machine at `port` of this computer. With a metadata service it is the
/// link-local network on which clouds offer theirs.
fn network(port: u16, metadata: Option<&Path>) -> String {
    let forward = format!("user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:8443");
    let Some(program) = metadata else { return forward };
    let addresses = "net=169.254.169.0/24,host=169.254.169.2,dns=169.254.169.3,dhcpstart=169.254.169.15";
    format!("{forward},{addresses},guestfwd=tcp:169.254.169.254:80-cmd:{}", program.display())
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("it is bound").port()
}
