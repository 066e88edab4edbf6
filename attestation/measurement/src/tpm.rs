//! Platform configuration registers of a (virtual) TPM after the image started.

use crate::error::MeasureError;
use crate::hash::{Algorithm, Digest, register};
use crate::uki::{Boot, Uki};

/// The registers that the image decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Programs that firmware started: the image and the kernel in it.
    pub pcr4: Digest,
    /// Command line and initial RAM disk, as the kernel found them.
    pub pcr9: Digest,
    /// Sections of the image, as the stub found them.
    pub pcr11: Digest,
    /// Command lines and add-ons from outside the image: there are none, so zero.
    pub pcr12: Digest,
}

/// The registers of one bank after `uki` was booted.
///
/// # Errors
/// [`MeasureError::Image`].
pub fn registers(uki: &Uki<'_>, boot: Boot, bank: Algorithm) -> Result<Registers, MeasureError> {
    Ok(Registers {
        pcr4: register(bank, &uki.application_events(bank, boot, None)?),
        pcr9: register(bank, &uki.kernel_events(bank)),
        pcr11: register(bank, &uki.section_events(bank)),
        pcr12: bank.zero(),
    })
}

/// Register 15 after our init measured the configuration there, where no field of the launch can carry its hash.
pub fn configuration_register(configuration_sha256: &[u8; 32], bank: Algorithm) -> Digest {
    register(bank, &[bank.hash(&[configuration_sha256])])
}
