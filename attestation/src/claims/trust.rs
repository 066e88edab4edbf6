//! On whose word an accepted statement rests, and what it leaves open: for results that people read.

use crate::claims::snp::SigningKey;
use crate::claims::{HardwareClaims, PlatformClaims};

/// One party that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Who: `amd`, `google`, `intel`, `microsoft`, or a cloud provider by the name in the certificate of its key.
    pub party: String,
    /// With what.
    pub role: &'static str,
}

impl Trusted {
    fn new(party: &str, role: &'static str) -> Self {
        Self { party: party.to_owned(), role }
    }
}

impl HardwareClaims {
    /// Everybody who is believed when this evidence is.
    pub fn trusted(&self) -> Vec<Trusted> {
        let mut trusted = match &self.platform {
            PlatformClaims::Snp(_) => vec![Trusted::new("amd", "processor and its firmware")],
            PlatformClaims::Tdx(_) => {
                vec![Trusted::new("intel", "processor, TDX module and quoting enclave")]
            }
        };
        if let PlatformClaims::Snp(snp) = &self.platform
            && snp.signing_key == SigningKey::Vlek
        {
            let provider = snp.csp_id.as_deref().unwrap_or("a cloud provider");
            trusted.push(Trusted::new(provider, "which of its processors hold the shared signing key"));
        }
        if self.firmware.is_some() {
            trusted.push(Trusted::new("google", "firmware: starts what the guest runs"));
        }
        if let Some(paravisor) = &self.paravisor {
            let role = "paravisor: sees all the guest does and answers for its TPM";
            trusted.push(Trusted::new(paravisor.paravisor.as_str(), role));
        }
        trusted
    }

    /// What this evidence does not prove, whatever the policy says.
    pub fn not_proven(&self) -> Vec<&'static str> {
        let mut open = vec!["that nobody with access to the machine's memory bus reads or replays it"];
        if self.hardware_id.is_none() {
            open.push("which processor it is");
        }
        if self.paravisor.is_some() {
            open.push("what runs in the guest, but by the paravisor's word");
        }
        if self.firmware.is_some_and(|firmware| firmware.firmware_only) {
            open.push("what runs in the guest: only the provider's firmware is measured, not the kernel");
        }
        open
    }
}
