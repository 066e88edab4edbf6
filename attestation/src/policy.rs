//! The appraisal policy: every check stated, nothing optional, every loosening written down with a reason.
//! A loosening that a channel may not have is refused before any evidence is read.

use crate::claims::snp::Product;
use crate::digest::HardwareId;
use crate::enclave_claims::Channel;
use crate::evidence::TeeType;
use crate::reference_values::{IdBlock, ReferenceValues, Release, Voucher};
use crate::rejection::{Code, Rejection};
use std::time::Duration;

pub mod azure;
pub mod snp;
pub mod tdx;
mod reference;

pub use azure::{AkCertificateRule, AzurePolicy, ExtraDataRule, PcrRelease, PcrRule};
pub use snp::{Bit, FloorRule, ProvisionalRule, RevocationRule, SigningKeyRule, SnpPolicy};
pub use tdx::{TdxPolicy, TdxReferences, TdxRelease};

/// Shortest and longest `max_evidence_age`.
pub const EVIDENCE_AGE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));

/// The kinds of TEE that the SEV-SNP rules are for.
const SNP_TYPES: [TeeType; 2] = [TeeType::Snp, TeeType::AzureSnp];

/// The kinds of TEE that the TDX rules are for.
const TDX_TYPES: [TeeType; 2] = [TeeType::Tdx, TeeType::AzureTdx];

/// The kinds of TEE that the Azure rules are for.
const AZURE_TYPES: [TeeType; 2] = [TeeType::AzureSnp, TeeType::AzureTdx];

/// Which roots may end a vendor chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors {
    /// Whether the vendors' compiled-in roots are trusted.
    pub vendor: bool,
    /// Root certificates (DER) of simulated TEEs. A chain that ends in one makes the result SIMULATED.
    pub simulated_roots: Vec<Vec<u8>>,
}

/// Which processors are acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HardwareRule {
    /// Any processor of the vendor; printed in every result.
    Any {
        /// Why.
        reason: String,
    },
    /// These processors.
    Listed(Vec<HardwareId>),
    /// None was named: refused, once all that is before it was judged. Only outside channels.
    Unnamed,
}

/// Which deployment is acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentRule {
    /// The one with this identity (SHA-256 of the deployment authority's SPKI).
    Pinned([u8; 32]),
    /// Any, endorsed or not.
    Unpinned,
}

/// A scalar of the public configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigValue {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(u64),
    /// A text.
    Text(String),
}

/// How a configuration value is judged. An absent value never passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigRequirement {
    /// A whole number of at least this.
    AtLeast(u64),
    /// Exactly this.
    Equals(ConfigValue),
    /// Anything of the same type but this.
    NotEquals(ConfigValue),
}

/// One rule over the enclave's public configuration (JSON).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRule {
    /// RFC 6901 pointer into the configuration, for example `/content_logging`.
    pub pointer: String,
    /// What must stand there.
    pub requirement: ConfigRequirement,
}

/// One loosening in force, for results and people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The rule that is loosened, for example `hardware`.
    pub rule: &'static str,
    /// Why, in the policy author's words.
    pub reason: String,
}

/// The whole policy. Built in full; there is no default for what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Acceptable kinds of TEE. Empty is `POL_EMPTY_ALLOWLIST`.
    pub tee_types: Vec<TeeType>,
    /// Acceptable roots.
    pub trust_anchors: TrustAnchors,
    /// Acceptable releases. Empty is `POL_EMPTY_ALLOWLIST`.
    pub references: ReferenceValues,
    /// Acceptable processors. Empty is `POL_EMPTY_ALLOWLIST`.
    pub hardware: HardwareRule,
    /// Acceptable deployment.
    pub deployment: DeploymentRule,
    /// Rules over the public configuration.
    pub config_rules: Vec<ConfigRule>,
    /// Channels the claims must offer. Empty is `POL_EMPTY_ALLOWLIST`.
    pub channels: Vec<Channel>,
    /// How long one appraisal may be relied on: 1 to 60 minutes.
    pub max_evidence_age: Duration,
    /// The rules for SEV-SNP.
    pub snp: SnpPolicy,
    /// The rules for Intel TDX; judged only where `tee_types` has it.
    pub tdx: TdxPolicy,
    /// The rules for guests behind Azure's paravisor; judged only where `tee_types` has one.
    pub azure: AzurePolicy,
}

impl Policy {
    /// The standard profile around what only the caller can know.
    pub fn standard(
        tee_types: Vec<TeeType>,
        releases: Vec<Release>,
        hardware: HardwareRule,
        deployment: DeploymentRule,
        config_rules: Vec<ConfigRule>,
        snp: SnpPolicy,
    ) -> Self {
        Self {
            tee_types,
            trust_anchors: TrustAnchors { vendor: true, simulated_roots: Vec::new() },
            references: ReferenceValues::Pinned(releases),
            hardware,
            deployment,
            config_rules,
            channels: vec![Channel::T],
            max_evidence_age: Duration::from_mins(10),
            snp,
            // nothing is known of TDX or Azure releases here, so none is accepted
            tdx: TdxPolicy::standard(Vec::new()),
            azure: AzurePolicy::standard(Vec::new()),
        }
    }

    /// The same policy with these rules for Intel TDX.
    #[must_use]
    pub fn with_tdx(self, tdx: TdxPolicy) -> Self {
        Self { tdx, ..self }
    }

    /// The same policy with these rules for guests behind Azure's paravisor.
    #[must_use]
    pub fn with_azure(self, azure: AzurePolicy) -> Self {
        Self { azure, ..self }
    }

    /// Refuses a policy that could not mean anything, or accepts nothing by mistake.
    ///
    /// # Errors
    /// `POL_EMPTY_ALLOWLIST` for an empty list, `POL_INVALID` for a value out of range.
    pub fn check(&self) -> Result<(), Rejection> {
        let none = matches!(&self.references, ReferenceValues::Pinned(list) if list.is_empty());
        let releases_empty = none && self.admits(&SNP_TYPES);
        let hardware_empty = matches!(&self.hardware, HardwareRule::Listed(list) if list.is_empty());
        let no_roots = !self.trust_anchors.vendor && self.trust_anchors.simulated_roots.is_empty();
        for (empty, field) in [
            (self.tee_types.is_empty(), "policy.tee_types"),
            (releases_empty, "policy.references"),
            (hardware_empty, "policy.hardware"),
            (self.channels.is_empty(), "policy.channels"),
            (no_roots, "policy.trust_anchors"),
            (self.snp.versions.is_empty(), "policy.snp.versions"),
            (self.snp.products.is_empty(), "policy.snp.products"),
        ] {
            if empty {
                return Err(Rejection::new(Code::PolEmptyAllowlist, field, "at least one entry", "none"));
            }
        }
        let (shortest, longest) = EVIDENCE_AGE;
        if !(shortest..=longest).contains(&self.max_evidence_age) {
            return Err(Rejection::new(
                Code::PolInvalid,
                "policy.max_evidence_age",
                "1 to 60 minutes",
                format!("{} seconds", self.max_evidence_age.as_secs()),
            ));
        }
        if self.tee_types.contains(&TeeType::AzureSnp) && firmware_only(&self.references).next().is_some() {
            // whoever chooses the kernel could play the paravisor
            return Err(Rejection::new(
                Code::PolInvalid,
                "policy.tee_types",
                "no az-snp where Google's firmware alone is accepted",
                "az-snp",
            ));
        }
        self.snp.check()?;
        if self.admits(&TDX_TYPES) {
            self.tdx.check()?;
        }
        if self.admits(&AZURE_TYPES) { self.azure.check() } else { Ok(()) }
    }

    fn admits(&self, any_of: &[TeeType]) -> bool {
        any_of.iter().any(|tee| self.tee_types.contains(tee))
    }

    /// Additionally refuses the loosenings no channel may have (part B, "Override: no").
    ///
    /// # Errors
    /// Those of [`Policy::check`], and `POL_INVALID` naming the loosening.
    pub fn check_for_channel(&self) -> Result<(), Rejection> {
        self.check()?;
        if self.hardware == HardwareRule::Unnamed {
            let (expected, found) = ("at least one entry", "none");
            return Err(Rejection::new(Code::PolEmptyAllowlist, "policy.hardware", expected, found));
        }
        let snp = self.admits(&SNP_TYPES);
        let milan = snp && self.snp.products.contains(&Product::Milan);
        if milan && matches!(self.hardware, HardwareRule::Any { .. }) {
            return Err(Rejection::new(
                Code::PolInvalid,
                "policy.snp.products",
                "a hardware list where Milan is accepted",
                "hardware = any",
            ));
        }
        let unbound = match &self.references {
            ReferenceValues::Unchecked { .. } => Some("references"),
            ReferenceValues::Pinned(releases) => {
                let waived = |release: &Release| waived_fields(release).next().is_some();
                releases.iter().any(waived).then_some("references")
            }
        };
        let snp = snp.then(|| unbound.or_else(|| self.snp.not_for_channels())).flatten();
        let tdx = self.admits(&TDX_TYPES).then(|| self.tdx.not_for_channels()).flatten();
        let azure = self.admits(&AZURE_TYPES).then(|| self.azure.not_for_channels()).flatten();
        match snp.or(tdx).or(azure) {
            None => Ok(()),
            Some(rule) => {
                Err(Rejection::new(Code::PolInvalid, "policy", "no waiver of this rule for a channel", rule))
            }
        }
    }

    /// Every loosening in force.
    pub fn waivers(&self) -> Vec<Waiver> {
        let mut waivers = Vec::new();
        if self.admits(&SNP_TYPES) {
            waivers.extend(snp_references(&self.references));
        }
        if let HardwareRule::Any { reason } = &self.hardware {
            waivers.push(Waiver { rule: "hardware", reason: reason.clone() });
        }
        if self.admits(&SNP_TYPES) {
            waivers.extend(self.snp.waivers());
        }
        if self.admits(&TDX_TYPES) {
            waivers.extend(self.tdx.waivers());
        }
        if self.admits(&AZURE_TYPES) {
            waivers.extend(self.azure.waivers());
        }
        waivers
    }
}

/// The loosenings of SEV-SNP's reference values.
fn snp_references(references: &ReferenceValues) -> Vec<Waiver> {
    match references {
        ReferenceValues::Pinned(releases) => {
            let author = "pinned-measurement: the policy's author vouches for the measurements".to_owned();
            let pinned = Waiver { rule: "release_manifest", reason: author };
            let firmware = firmware_only(references)
                .map(|reason| Waiver { rule: "snp.firmware_only", reason: reason.to_owned() });
            std::iter::once(pinned).chain(releases.iter().flat_map(waived_fields)).chain(firmware).collect()
        }
        ReferenceValues::Unchecked { reason } => {
            vec![Waiver { rule: "measurement", reason: reason.clone() }]
        }
    }
}

/// Why Google's firmware alone is enough, for each release of which that is so.
fn firmware_only(references: &ReferenceValues) -> impl Iterator<Item = &str> {
    let releases = match references {
        ReferenceValues::Pinned(releases) => releases.as_slice(),
        ReferenceValues::Unchecked { .. } => &[],
    };
    releases.iter().filter_map(|release| match &release.voucher {
        Voucher::GoogleFirmwareOnly { reason, .. } => Some(reason.as_str()),
        Voucher::Author | Voucher::Google(_) => None,
    })
}

/// The fields of a release that are not judged.
fn waived_fields(release: &Release) -> impl Iterator<Item = Waiver> {
    let id_block = match &release.id_block {
        IdBlock::Waived { reason } => Some(reason.as_str()),
        IdBlock::Absent | IdBlock::Keys { .. } => None,
    };
    [
        ("measurement", release.measurement.waiver()),
        ("references.id_block", id_block),
        ("references.guest_svn", release.guest_svn.waiver()),
        ("references.family_id", release.family_id.waiver()),
        ("references.image_id", release.image_id.waiver()),
        ("references.host_data", release.host_data.waiver()),
    ]
    .into_iter()
    .filter_map(|(rule, reason)| Some(Waiver { rule, reason: reason?.to_owned() }))
}

#[cfg(test)]
mod tests;
