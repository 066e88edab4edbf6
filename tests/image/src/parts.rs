//! What images are made of, made once for all tests.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use postern_image::image::{self, Kernel};
use postern_image::inputs::Inputs;
use postern_image::programs::{Build, Programs};

/// Everything but the command line.
pub struct Parts {
    /// systemd's stub.
    pub stub: Vec<u8>,
    /// The kernel.
    pub kernel: Kernel,
    /// The programs.
    pub programs: Programs,
    /// The compressed initial RAM disk with both.
    pub initrd: Vec<u8>,
    /// Firmware that checks the kernel's hash.
    pub firmware_snp: Vec<u8>,
    /// Firmware with a TPM and a disk.
    pub firmware_disk: Vec<u8>,
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// Where builds and fetched inputs are kept between runs.
pub fn kept() -> PathBuf {
    root().join("target/image")
}

/// The parts, from the kernel of the quick lane or, where `POSTERN_IMAGE_KERNEL` names one, from a release kernel.
///
/// `POSTERN_IMAGE_PROGRAMS` names a folder with programs that are built already.
pub fn parts() -> &'static Parts {
    static PARTS: OnceLock<Parts> = OnceLock::new();
    PARTS.get_or_init(|| {
        let inputs = Inputs::load(&root().join("deploy/image/inputs.toml")).expect("inputs.toml is good");
        let cache = kept().join("inputs");
        let kernel = match std::env::var_os("POSTERN_IMAGE_KERNEL") {
            Some(path) => {
                Kernel { image: std::fs::read(path).expect("the kernel can be read"), modules: Vec::new() }
            }
            None => Kernel::of_debian(&inputs, &cache).expect("the kernel is there"),
        };
        let programs = match std::env::var_os("POSTERN_IMAGE_PROGRAMS") {
            Some(folder) => Programs::read(Path::new(&folder)).expect("programs"),
            None => {
                Build { source: &root(), cargo_home: None, target: &kept().join("cargo"), profile: "image" }
                    .run()
                    .expect("the programs build")
            }
        };
        let initrd = image::initial_ram_disk(&programs, &kernel.modules).expect("it compresses");
        Parts {
            stub: image::stub(&inputs, &cache).expect("the stub is there"),
            initrd,
            programs,
            kernel,
            firmware_snp: image::firmware_snp(&inputs, &cache).expect("the firmware is there"),
            firmware_disk: image::firmware_tdx(&inputs, &cache).expect("the firmware is there"),
        }
    })
}

/// An image with these words for our init.
pub fn image_with(words: &str) -> Vec<u8> {
    let parts = parts();
    image::assemble(&parts.stub, &parts.kernel.image, &parts.initrd, words).expect("it assembles")
}
