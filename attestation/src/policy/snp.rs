//! The SEV-SNP rows of verification-policy.md part B, one field per row that may differ between policies.
//! Rows without a field (`DEBUG`, `MIGRATE_MA`, `CXL`, signatures, reserved ranges) are fixed.

use crate::claims::snp::{AbiVersion, Product};
use crate::floors::{Provenance, TcbFloors};
use crate::policy::Waiver;
use crate::reference_values::Requirement;
use crate::rejection::{Code, Rejection};
use std::time::Duration;

/// Longest time a stale floors file may still be used when the policy says so.
pub const MAX_FLOORS_GRACE: Duration = Duration::from_hours(14 * 24);

/// Longest time an expired revocation list may still be used under `offline-grace`.
pub const OFFLINE_GRACE: Duration = Duration::from_hours(7 * 24);

/// Report versions this verifier can read.
pub const READABLE_VERSIONS: [u32; 4] = [2, 3, 4, 5];

/// What one platform or policy bit must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bit {
    /// Either.
    Any,
    /// Must be 0.
    Forbidden,
    /// Must be 1.
    Required,
}

impl Bit {
    /// Whether `found` is acceptable.
    pub const fn accepts(self, found: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Forbidden => !found,
            Self::Required => found,
        }
    }

    /// `any`, `0` or `1`.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Forbidden => "0",
            Self::Required => "1",
        }
    }
}

/// Which endorsement key may have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKeyRule {
    /// Either, for this reason; only outside channels.
    Either {
        /// Why.
        reason: String,
    },
    /// The chip's own key.
    Vcek,
    /// A key loaded by this cloud provider. It names no chip, so it cannot satisfy a hardware list.
    Vlek {
        /// The provider, exactly as the certificate's `CSP_ID` extension spells it.
        csp_id: String,
    },
}

/// Whether firmware that can still be rolled back is acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvisionalRule {
    /// Yes, for this reason.
    Accepted {
        /// Why.
        reason: String,
    },
    /// No: committed must equal current.
    Refused,
}

/// How revocation is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationRule {
    /// A list that expired at most 7 days ago is still used, for this reason.
    OfflineGrace {
        /// Why.
        reason: String,
    },
    /// A current list signed by the root is required.
    Required,
    /// Not required, for this reason; one that comes along still counts. Only outside channels.
    Unchecked {
        /// Why.
        reason: String,
    },
}

/// Which floors apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FloorRule {
    /// These, up to `grace` past their date.
    File {
        /// The floors.
        floors: Box<TcbFloors>,
        /// How long past `valid_until` they may be used; at most 14 days.
        grace: Duration,
    },
    /// None, for this reason; only outside channels.
    Unchecked {
        /// Why.
        reason: String,
    },
}

/// What each bit of the guest policy must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestPolicyRules {
    /// Simultaneous multithreading allowed.
    pub smt: Bit,
    /// One socket only.
    pub single_socket: Bit,
    /// AES-256-XTS required.
    pub mem_aes_256_xts: Bit,
    /// RAPL disabled.
    pub rapl_dis: Bit,
    /// Ciphertext hiding required.
    pub ciphertext_hiding: Bit,
    /// Page swapping disabled.
    pub page_swap_disable: Bit,
}

/// What each bit of the platform information must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformRules {
    /// Simultaneous multithreading on.
    pub smt: Bit,
    /// Transparent memory encryption on.
    pub tsme: Bit,
    /// Error-correcting memory.
    pub ecc: Bit,
    /// RAPL disabled.
    pub rapl_dis: Bit,
    /// Ciphertext hiding on.
    pub ciphertext_hiding: Bit,
    /// Alias check done. A channel needs `Required`.
    pub alias_check: Bit,
    /// IOMMU writes safe.
    pub iommu: Bit,
    /// Trusted I/O on.
    pub tio: Bit,
    /// Bits this verifier does not know but the policy's author does.
    pub unknown_accepted: u64,
}

/// The policy for SEV-SNP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpPolicy {
    /// Acceptable report versions, of 2 to 5. Version 2 has no signed CPUID and counts as a loosening.
    pub versions: Vec<u32>,
    /// Acceptable signing key.
    pub signing_key: SigningKeyRule,
    /// Acceptable product lines. Milan counts as a loosening and needs a hardware list.
    pub products: Vec<Product>,
    /// Acceptable privilege level; above 3 is never acceptable.
    pub vmpl: Requirement<u32>,
    /// Lowest ABI version in the guest policy.
    pub abi: Requirement<AbiVersion>,
    /// Guest policy bits.
    pub guest_policy: GuestPolicyRules,
    /// Platform bits.
    pub platform: PlatformRules,
    /// TCB and firmware floors, mitigations, denied lines.
    pub floors: FloorRule,
    /// Firmware not yet committed.
    pub provisional: ProvisionalRule,
    /// Revocation lists.
    pub revocation: RevocationRule,
}

impl SnpPolicy {
    /// Part B's defaults with these floors.
    pub fn standard(floors: TcbFloors) -> Self {
        Self {
            versions: vec![3, 4, 5],
            signing_key: SigningKeyRule::Vcek,
            products: vec![Product::Genoa, Product::Turin],
            vmpl: Requirement::Exactly(0),
            abi: Requirement::AtLeast(AbiVersion { major: 1, minor: 55 }),
            guest_policy: GuestPolicyRules {
                smt: Bit::Any,
                single_socket: Bit::Any,
                mem_aes_256_xts: Bit::Any,
                rapl_dis: Bit::Any,
                ciphertext_hiding: Bit::Any,
                page_swap_disable: Bit::Any,
            },
            platform: PlatformRules {
                smt: Bit::Any,
                tsme: Bit::Any,
                ecc: Bit::Any,
                rapl_dis: Bit::Any,
                ciphertext_hiding: Bit::Any,
                alias_check: Bit::Required,
                iommu: Bit::Any,
                tio: Bit::Forbidden,
                unknown_accepted: 0,
            },
            floors: FloorRule::File { floors: Box::new(floors), grace: Duration::ZERO },
            provisional: ProvisionalRule::Refused,
            revocation: RevocationRule::Required,
        }
    }

    /// Part B's `hardened` deltas with these floors.
    pub fn hardened(floors: TcbFloors) -> Self {
        let standard = Self::standard(floors);
        Self {
            versions: vec![5],
            abi: Requirement::AtLeast(AbiVersion { major: 1, minor: 58 }),
            guest_policy: GuestPolicyRules {
                smt: Bit::Forbidden,
                rapl_dis: Bit::Required,
                ciphertext_hiding: Bit::Required,
                page_swap_disable: Bit::Required,
                ..standard.guest_policy
            },
            platform: PlatformRules {
                smt: Bit::Forbidden,
                rapl_dis: Bit::Required,
                ciphertext_hiding: Bit::Required,
                iommu: Bit::Required,
                ..standard.platform
            },
            ..standard
        }
    }

    /// # Errors
    /// `POL_INVALID` for a value out of its range.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        let grace = matches!(&self.floors, FloorRule::File { grace, .. } if *grace > MAX_FLOORS_GRACE);
        let bound = match &self.vmpl {
            Requirement::Exactly(level) => *level <= 3,
            Requirement::OneOf(levels) => !levels.is_empty() && levels.iter().all(|level| *level <= 3),
            Requirement::AtLeast(_) => false,
            Requirement::Waived { .. } => true,
        };
        let csp = matches!(&self.signing_key, SigningKeyRule::Vlek { csp_id } if csp_id.is_empty());
        for (wrong, field, expected) in [
            (grace, "policy.snp.floors.grace", "at most 14 days"),
            (!bound, "policy.snp.vmpl", "levels 0 to 3, exactly"),
            (csp, "policy.snp.signing_key", "a CSP id"),
            (
                !self.versions.iter().all(|version| READABLE_VERSIONS.contains(version)),
                "policy.snp.versions",
                "versions 2 to 5",
            ),
        ] {
            if wrong {
                return Err(Rejection::new(Code::PolInvalid, field, expected, "another value"));
            }
        }
        Ok(())
    }

    /// The first loosening that no channel may have.
    pub(super) fn not_for_channels(&self) -> Option<&'static str> {
        [
            (matches!(self.signing_key, SigningKeyRule::Either { .. }), "snp.signing_key"),
            (self.vmpl.waiver().is_some(), "snp.vmpl"),
            (self.abi.waiver().is_some(), "snp.abi"),
            (self.platform.alias_check != Bit::Required, "snp.platform.alias_check"),
            (matches!(self.floors, FloorRule::Unchecked { .. }), "snp.floors"),
            (matches!(self.revocation, RevocationRule::Unchecked { .. }), "snp.revocation"),
        ]
        .into_iter()
        .find_map(|(loose, rule)| loose.then_some(rule))
    }

    /// Every loosening from the standard profile.
    pub(super) fn waivers(&self) -> Vec<Waiver> {
        self.stated_waivers().chain(self.implied_waivers()).collect()
    }

    /// Loosenings that carry their author's reason.
    fn stated_waivers(&self) -> impl Iterator<Item = Waiver> {
        let signing_key = match &self.signing_key {
            SigningKeyRule::Either { reason } => Some(reason.as_str()),
            SigningKeyRule::Vlek { .. } => Some("VLEK: the cloud provider chooses the chip"),
            SigningKeyRule::Vcek => None,
        };
        let floors = match &self.floors {
            FloorRule::Unchecked { reason } => Some(reason.as_str()),
            FloorRule::File { grace, .. } if !grace.is_zero() => Some("floors may be used past their date"),
            FloorRule::File { .. } => None,
        };
        let unsigned = matches!(&self.floors,
            FloorRule::File { floors, .. } if floors.provenance == Provenance::Unsigned);
        let provisional = match &self.provisional {
            ProvisionalRule::Accepted { reason } => Some(reason.as_str()),
            ProvisionalRule::Refused => None,
        };
        let revocation = match &self.revocation {
            RevocationRule::OfflineGrace { reason } | RevocationRule::Unchecked { reason } => {
                Some(reason.as_str())
            }
            RevocationRule::Required => None,
        };
        [
            ("snp.signing_key", signing_key),
            ("snp.vmpl", self.vmpl.waiver()),
            ("snp.abi", self.abi.waiver()),
            ("snp.floors", floors),
            ("snp.floors_signature", unsigned.then_some("an unsigned floors file, named by the policy")),
            ("snp.provisional", provisional),
            ("snp.revocation", revocation),
        ]
        .map(|(rule, reason)| reason.map(|reason| Waiver { rule, reason: reason.to_owned() }))
        .into_iter()
        .flatten()
    }

    /// Loosenings that follow from a value.
    fn implied_waivers(&self) -> impl Iterator<Item = Waiver> {
        let usual = AbiVersion { major: 1, minor: 55 };
        let low_abi = match &self.abi {
            Requirement::AtLeast(least) | Requirement::Exactly(least) => *least < usual,
            Requirement::OneOf(values) => values.iter().any(|value| *value < usual),
            Requirement::Waived { .. } => false,
        };
        let another_vmpl = self.vmpl != Requirement::Exactly(0) && self.vmpl.waiver().is_none();
        [
            (
                self.versions.contains(&2),
                "snp.report_version",
                "report_version = 2: the product is not signed",
            ),
            (self.products.contains(&Product::Milan), "snp.products", "accept_risk = milan-root-seed"),
            (another_vmpl, "snp.vmpl", "another privilege level than 0"),
            (low_abi, "snp.abi", "minimum ABI below 1.55"),
            (
                self.platform.alias_check != Bit::Required,
                "snp.platform.alias_check",
                "alias check not required",
            ),
            (self.platform.tio != Bit::Forbidden, "snp.platform.tio", "trusted I/O not forbidden"),
            (self.platform.unknown_accepted != 0, "snp.platform.unknown", "unknown platform bits accepted"),
        ]
        .into_iter()
        .filter(|(loose, ..)| *loose)
        .map(|(_, rule, reason)| Waiver { rule, reason: reason.to_owned() })
    }
}
