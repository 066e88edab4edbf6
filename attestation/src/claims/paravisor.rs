//! What a paravisor says of the guest it runs: it is measured by the hardware and trusted with everything the guest
//! does, so its statements are worth exactly what its vendor's word is worth.

use crate::digest::Sha256;
use std::collections::BTreeMap;
use std::fmt;

/// Whose paravisor stands between hardware and guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Paravisor {
    /// Microsoft's (Azure HCL, `OpenHCL`).
    Microsoft,
}

impl Paravisor {
    /// The name results use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Microsoft => "microsoft",
        }
    }
}

impl fmt::Display for Paravisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One setting of the virtual machine, as the paravisor states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmSetting {
    /// A truth value.
    Flag(bool),
    /// A text.
    Text(String),
}

/// Who vouches for the virtual TPM's attestation key, besides the run-time data, which always does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AkEndorsement {
    /// A certificate with these common names, leaf first, under a trusted root.
    Certificate {
        /// Common names; empty where a name has none.
        names: Vec<String>,
    },
    /// Nothing else.
    RuntimeData,
}

/// The authenticated part of a paravisor's statement and of the quote its virtual TPM made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParavisorClaims {
    /// Whose paravisor it is. It is part of the trusted base.
    pub paravisor: Paravisor,
    /// Version of the blob's header: 1 or 2.
    pub header_version: u32,
    /// Settings of the virtual machine (`vm-configuration`), in the order of their names.
    pub vm_configuration: BTreeMap<String, VmSetting>,
    /// What the guest had put into the run-time data (`user-data`).
    pub user_data: [u8; 64],
    /// Key ids of the run-time data, in order.
    pub keys: Vec<String>,
    /// What the guest had the TPM sign (`extraData`).
    pub extra_data: Vec<u8>,
    /// Registers of the SHA-256 bank that the quote covers.
    pub pcrs: BTreeMap<u8, Sha256>,
    /// Milliseconds the TPM has run (`clock`).
    pub clock: u64,
    /// How often it was reset (`resetCount`).
    pub reset_count: u32,
    /// How often it was restarted or resumed since (`restartCount`).
    pub restart_count: u32,
    /// Version of the TPM's firmware.
    pub firmware_version: u64,
    /// Who vouches for the attestation key.
    pub ak: AkEndorsement,
}
