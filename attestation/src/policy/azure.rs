//! The rules for guests behind Azure's paravisor, in addition to those for the hardware underneath: part B's vTPM row.

use crate::azure_evidence::PCRS;
use crate::digest::Sha256;
use crate::policy::Waiver;
use crate::rejection::{Code, Rejection};
use std::collections::BTreeMap;

/// Registers that a policy has to name: boot loader (4), secure boot state (7), kernel and initial RAM disk (9),
/// unified kernel image (11).
pub const MANDATORY_PCRS: [u8; 4] = [4, 7, 9, 11];

/// Longest nonce a TPM signs, in bytes.
const MAX_NONCE_BYTES: usize = 64;

/// The registers of one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrRelease {
    /// Name for people, printed in results.
    pub name: String,
    /// Expected values of the SHA-256 bank: at least those of [`AzurePolicy::mandatory`].
    pub values: BTreeMap<u8, Sha256>,
}

/// Which register values are acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PcrRule {
    /// Those of one of these releases. Empty is `POL_EMPTY_ALLOWLIST`.
    Pinned(Vec<PcrRelease>),
    /// Not judged, for this reason; only outside channels.
    Unchecked {
        /// Why.
        reason: String,
    },
}

/// Whether the attestation key needs a certificate. One that is there is always verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AkCertificateRule {
    /// Verified if it is there; without it the run-time data alone vouches for the key.
    IfPresent,
    /// Must be there.
    Required,
}

/// What the TPM has to have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtraDataRule {
    /// The digest of the report data (`postern/1` section A4).
    Digest,
    /// This value as it is, for this reason: evidence that was not made for the protocol. Only outside channels.
    Nonce {
        /// At most 64 bytes.
        value: Vec<u8>,
        /// Why.
        reason: String,
    },
}

/// The rules for a guest behind Azure's paravisor. Judged only where `tee_types` has such a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzurePolicy {
    /// Acceptable registers.
    pub pcrs: PcrRule,
    /// Registers that the quote and every release must have; [`MANDATORY_PCRS`] by default. Leaving one of those
    /// out is listed in the result.
    pub mandatory: Vec<u8>,
    /// Certificate of the attestation key.
    pub ak_certificate: AkCertificateRule,
    /// What the TPM has to have signed.
    pub extra_data: ExtraDataRule,
}

impl AzurePolicy {
    /// The standard profile around these releases.
    pub fn standard(releases: Vec<PcrRelease>) -> Self {
        Self {
            pcrs: PcrRule::Pinned(releases),
            mandatory: MANDATORY_PCRS.to_vec(),
            ak_certificate: AkCertificateRule::IfPresent,
            extra_data: ExtraDataRule::Digest,
        }
    }

    /// Refuses rules that could not mean anything, or accept nothing by mistake.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        let none = matches!(&self.pcrs, PcrRule::Pinned(list) if list.is_empty());
        for (empty, field) in
            [(none, "policy.azure.pcrs"), (self.mandatory.is_empty(), "policy.azure.mandatory")]
        {
            if empty {
                return Err(Rejection::new(Code::PolEmptyAllowlist, field, "at least one entry", "none"));
            }
        }
        let invalid = |field, expected: &str, found: String| {
            Err(Rejection::new(Code::PolInvalid, field, expected, found))
        };
        if let Some(index) = self.mandatory.iter().find(|index| **index >= PCRS) {
            return invalid("policy.azure.mandatory", "registers 0 to 23", index.to_string());
        }
        if let PcrRule::Pinned(releases) = &self.pcrs {
            for release in releases {
                let missing = self.mandatory.iter().find(|index| !release.values.contains_key(index));
                if let Some(index) = missing {
                    return invalid(
                        "policy.azure.pcrs",
                        "a value for every mandatory register",
                        format!("none for {index} in {}", release.name),
                    );
                }
            }
        }
        match &self.extra_data {
            ExtraDataRule::Nonce { value, .. } if value.len() > MAX_NONCE_BYTES => {
                invalid("policy.azure.extra_data", "at most 64 bytes", value.len().to_string())
            }
            ExtraDataRule::Digest | ExtraDataRule::Nonce { .. } => Ok(()),
        }
    }

    /// The first loosening no channel may have.
    pub(super) const fn not_for_channels(&self) -> Option<&'static str> {
        match (&self.pcrs, &self.extra_data) {
            (PcrRule::Unchecked { .. }, _) => Some("azure.pcrs"),
            (_, ExtraDataRule::Nonce { .. }) => Some("azure.extra_data"),
            (PcrRule::Pinned(_), ExtraDataRule::Digest) => None,
        }
    }

    /// Every loosening in force.
    pub(super) fn waivers(&self) -> Vec<Waiver> {
        let mut waivers = Vec::new();
        if let PcrRule::Unchecked { reason } = &self.pcrs {
            waivers.push(Waiver { rule: "azure.pcrs", reason: reason.clone() });
        }
        if let ExtraDataRule::Nonce { reason, .. } = &self.extra_data {
            waivers.push(Waiver { rule: "azure.extra_data", reason: reason.clone() });
        }
        let left_out: Vec<String> = MANDATORY_PCRS
            .iter()
            .filter(|index| !self.mandatory.contains(index))
            .map(u8::to_string)
            .collect();
        if !left_out.is_empty() {
            let reason = format!("the policy does not ask for PCR {}", left_out.join(", "));
            waivers.push(Waiver { rule: "azure.mandatory_pcrs", reason });
        }
        waivers
    }
}
