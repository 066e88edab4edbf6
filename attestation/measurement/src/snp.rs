//! The launch digest of an AMD SEV-SNP guest: `MEASUREMENT` of its reports.
//!
//! AMD SEV-SNP ABI (56860), section 8.17: a running SHA-384 over one `PAGE_INFO` record for each page.

use crate::error::MeasureError;
use crate::firmware::{Firmware, PAGE, SevKind};
use crate::hash::{Algorithm, Digest};
use crate::kernel_hashes::KernelHashes;
use crate::vmsa;

pub use crate::vmm::Vmm;

/// A guest as it is launched.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// Who starts it.
    pub vmm: Vmm,
    /// How many virtual processors.
    pub processors: u32,
    /// `SEV_FEATURES`; 1 is SNP alone. Hosts that offer debug-register swapping add 0x20.
    pub features: u64,
    /// What is booted by QEMU with `kernel-hashes=on`; `None` where only firmware is measured.
    pub kernel: Option<&'a KernelHashes>,
}

/// Most virtual processors of a guest that this crate measures.
pub const MAX_PROCESSORS: u32 = 1024;

/// Where the register pages are recorded.
const VMSA_ADDRESS: u64 = 0xffff_ffff_f000;

/// Kinds of pages in a record.
#[derive(Clone, Copy)]
enum Page {
    Normal,
    Vmsa,
    Zero,
    Unmeasured,
    Secrets,
    Cpuid,
}

impl Page {
    const fn code(self) -> u8 {
        match self {
            Self::Normal => 1,
            Self::Vmsa => 2,
            Self::Zero => 3,
            Self::Unmeasured => 4,
            Self::Secrets => 5,
            Self::Cpuid => 6,
        }
    }
}

/// The digest so far.
struct Running(Digest);

impl Running {
    fn add(&mut self, page: Page, address: u64, content: &Digest) {
        // digest, content, length 0x70, type, not an incoming image, no permissions for VMPL 1 to 3, reserved, address
        let head = [0x70, 0, page.code(), 0, 0, 0, 0, 0];
        self.0 =
            Algorithm::Sha384.hash(&[self.0.as_bytes(), content.as_bytes(), &head, &address.to_le_bytes()]);
    }

    fn add_content(&mut self, address: u64, bytes: &[u8]) {
        let mut at = address;
        for page in bytes.chunks(PAGE) {
            self.add(Page::Normal, at, &Algorithm::Sha384.hash(&[page]));
            at = at.saturating_add(4096);
        }
    }

    fn add_empty(&mut self, page: Page, address: u64, pages: u64) {
        let zero = Algorithm::Sha384.zero();
        for index in 0..pages {
            self.add(page, address.saturating_add(index.saturating_mul(4096)), &zero);
        }
    }
}

/// The digest of `launch` on `firmware`.
///
/// # Errors
/// [`MeasureError::Firmware`] where the firmware is not for SEV-SNP, or is to check hashes and cannot;
/// [`MeasureError::Machine`] for impossible counts.
pub fn launch_digest(firmware: &Firmware<'_>, launch: &Launch<'_>) -> Result<Digest, MeasureError> {
    if launch.processors == 0 || launch.processors > MAX_PROCESSORS {
        return Err(MeasureError::Machine("1 to 1024 virtual processors"));
    }
    let reset = firmware
        .reset_address()
        .filter(|_| firmware.supports_snp())
        .ok_or(MeasureError::Firmware("it is not built for SEV-SNP: no SEV metadata"))?;
    let hashes = launch.kernel.map(|kernel| kernel.page(firmware)).transpose()?;
    let mut running = Running(Algorithm::Sha384.zero());
    running.add_content(firmware.address(), firmware.file());
    let late_cpuid = launch.vmm == Vmm::Ec2;
    for section in firmware.sev_sections() {
        let (at, pages) = (section.address, section.pages);
        match section.kind {
            SevKind::SecMemory if launch.vmm == Vmm::Gce => running.add_empty(Page::Unmeasured, at, pages),
            SevKind::SecMemory | SevKind::SvsmCaa => running.add_empty(Page::Zero, at, pages),
            SevKind::Secrets => running.add_empty(Page::Secrets, at, 1),
            SevKind::Cpuid if late_cpuid => {}
            SevKind::Cpuid => running.add_empty(Page::Cpuid, at, 1),
            SevKind::KernelHashes => match &hashes {
                Some(page) => running.add_content(at, page),
                None => running.add_empty(Page::Zero, at, pages),
            },
        }
    }
    if late_cpuid {
        for section in firmware.sev_sections().iter().filter(|own| own.kind == SevKind::Cpuid) {
            running.add_empty(Page::Cpuid, section.address, 1);
        }
    }
    for processor in 0..launch.processors {
        let at = if processor == 0 { vmsa::RESET_VECTOR } else { reset };
        let page = vmsa::page(launch.vmm, at, launch.features);
        running.add(Page::Vmsa, VMSA_ADDRESS, &Algorithm::Sha384.hash(&[&page]));
    }
    Ok(running.0)
}

/// QEMU's names of processor models, and the signatures they show.
pub const MODELS: &[(&str, u32)] = &[
    ("EPYC-v4", 0x0080_0f12),
    ("EPYC-Rome", 0x0083_0f10),
    ("EPYC-Milan", 0x00a0_0f11),
    ("EPYC-Genoa", 0x00a1_0f10),
    ("EPYC-Turin", 0x00b0_0f00),
];

/// The CPUID signature of one of QEMU's [`MODELS`].
pub fn signature(model: &str) -> Option<u32> {
    MODELS.iter().find(|(name, _)| *name == model).map(|(_, signature)| *signature)
}
