//! The rules for Intel TDX: part B's rows as types. Nothing optional; every loosening carries its reason.

use crate::claims::tdx::{Fmspc, TcbStatus, Xfam};
use crate::digest::{Measurement, UnixTime};
use crate::firmware_endorsement::FirmwareEndorsement;
use crate::policy::Waiver;
use crate::policy::snp::Bit;
use crate::reference_values::{Requirement, Voucher};
use crate::rejection::{Code, Rejection};
use std::sync::Arc;
use std::time::Duration;

/// How old stapled collateral may be by default, and at most.
pub const COLLATERAL_AGE: (Duration, Duration) = (Duration::from_hours(72), Duration::from_hours(30 * 24));

/// Lowest `tcbEvaluationDataNumber` accepted by default: the one of Intel's collateral of early 2026.
pub const EVALUATION_FLOOR: u32 = 18;

/// How long a named override of a configuration or relaunch status may last.
pub const MAX_OVERRIDE: Duration = Duration::from_hours(14 * 24);

/// Most events of a run-time log that a rule may speak of.
const MAX_LOG_RULES: usize = 256;

/// How old collateral may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollateralAge {
    /// Issued at most this long ago; at most 30 days.
    AtMost(Duration),
    /// Any age within its own dates, for this reason; only outside channels.
    Unchecked {
        /// Why.
        reason: String,
    },
}

/// Which evaluations of Intel's are too old. A host may staple collateral from before a TCB recovery, which is
/// valid for 30 days after it: the number makes that visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluationRule {
    /// At least `floor`, and never below what was seen before for the same platform family.
    AtLeast {
        /// Lowest number for every family.
        floor: u32,
        /// Highest number seen so far by family. The caller keeps these across runs: after each accepted appraisal
        /// it stores the larger of the entry and [`TdxClaims::evaluation_number`](crate::claims::TdxClaims).
        seen: Vec<(Fmspc, u32)>,
    },
    /// Any, for this reason; only outside channels.
    Unchecked {
        /// Why.
        reason: String,
    },
}

/// Which TDX modules are acceptable, besides being signed by Intel and known to the collateral.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleRule {
    /// Every one.
    AnyKnown,
    /// Those with one of these MRSEAM values. Empty accepts nothing.
    Listed(Vec<Measurement>),
}

/// A status that is accepted for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusOverride {
    /// From `granted_at` to `until`, at most 14 days.
    Granted {
        /// First second.
        granted_at: UnixTime,
        /// Last second.
        until: UnixTime,
        /// Why.
        reason: String,
    },
    /// Not accepted.
    Refused,
}

impl StatusOverride {
    fn in_force(&self, now: UnixTime) -> bool {
        matches!(self, Self::Granted { granted_at, until, .. } if (*granted_at..=*until).contains(&now))
    }

    fn too_long(&self) -> bool {
        matches!(self, Self::Granted { granted_at, until, .. } if *until > granted_at.plus(MAX_OVERRIDE))
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Granted { reason, .. } => Some(reason),
            Self::Refused => None,
        }
    }
}

/// One platform family that may be out of date for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfDateException {
    /// Which family.
    pub fmspc: Fmspc,
    /// Until when.
    pub until: UnixTime,
    /// Why.
    pub reason: String,
}

/// Whether software hardening may be needed. Its advisories have to be on the advisory list as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HardeningRule {
    /// Accepted, for this reason: the image has the mitigations.
    Accepted {
        /// Why.
        reason: String,
    },
    /// Not accepted.
    Refused,
}

/// Which TCB statuses are acceptable besides `UpToDate`. `Revoked` and a platform below every level never are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRules {
    /// `SWHardeningNeeded`.
    pub hardening: HardeningRule,
    /// `ConfigurationNeeded`, also as part of another status.
    pub configuration: StatusOverride,
    /// `TDRelaunchAdvised`.
    pub relaunch: StatusOverride,
    /// `OutOfDate`, by platform family.
    pub out_of_date: Vec<OutOfDateException>,
}

impl StatusRules {
    /// Only `UpToDate`.
    pub const STRICT: Self = Self {
        hardening: HardeningRule::Refused,
        configuration: StatusOverride::Refused,
        relaunch: StatusOverride::Refused,
        out_of_date: Vec::new(),
    };

    /// Whether `status` of a platform of family `fmspc` is acceptable at `now`.
    pub fn accepts(&self, status: TcbStatus, fmspc: Fmspc, now: UnixTime) -> bool {
        if matches!(status, TcbStatus::Revoked | TcbStatus::NoMatchingTcbLevel) {
            return false;
        }
        let excepted = |entry: &OutOfDateException| entry.fmspc == fmspc && now <= entry.until;
        (!status.hardening_needed() || matches!(self.hardening, HardeningRule::Accepted { .. }))
            && (!status.configuration_needed() || self.configuration.in_force(now))
            && (!status.relaunch_advised() || self.relaunch.in_force(now))
            && (!status.out_of_date() || self.out_of_date.iter().any(excepted))
    }
}

/// Which of Intel's advisories may apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdvisoryRule {
    /// These, for example `INTEL-SA-01036`. Empty is none at all.
    Listed(Vec<String>),
    /// Any, for this reason; only outside channels.
    Unchecked {
        /// Why.
        reason: String,
    },
}

/// What the attribute bits that a policy speaks of must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeRules {
    /// Supervisor protection keys.
    pub pks: Bit,
    /// Key locker.
    pub key_locker: Bit,
    /// Performance monitoring.
    pub perfmon: Bit,
}

/// One event a run-time log must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRule {
    /// Name of the event.
    pub name: String,
    /// Its payload.
    pub payload: Requirement<Vec<u8>>,
}

/// What the run-time register of the TD's own software must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rtmr3Rule {
    /// Explained by a log of exactly these events in this order, each digest recomputed from its payload.
    Log(Vec<LogRule>),
    /// Not judged, for this reason; only outside channels.
    Waived {
        /// Why.
        reason: String,
    },
    /// Never extended.
    Zero,
}

/// One release on one shape of machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxRelease {
    /// Name for people, printed in results.
    pub name: String,
    /// Who vouches for `MRTD`.
    pub voucher: Voucher,
    /// `MRTD`.
    pub mr_td: Requirement<Measurement>,
    /// `RTMR0` to `RTMR2`: firmware configuration, kernel, initial file system and command line.
    pub rtmr: [Requirement<Measurement>; 3],
    /// `XFAM`.
    pub xfam: Requirement<Xfam>,
    /// `RTMR3`.
    pub rtmr3: Rtmr3Rule,
    /// `MRCONFIGID`, which the host supplies.
    pub mr_config_id: Requirement<Measurement>,
    /// `MROWNER`, which the host supplies.
    pub mr_owner: Requirement<Measurement>,
    /// `MROWNERCONFIG`, which the host supplies.
    pub mr_owner_config: Requirement<Measurement>,
}

impl TdxRelease {
    /// A release known by its measurements alone: nothing supplied by the host, `RTMR3` zero.
    pub fn pinned(name: impl Into<String>, mr_td: Measurement, rtmr: [Measurement; 3], xfam: Xfam) -> Self {
        let zero = || Requirement::Exactly(Measurement::new([0; 48]));
        Self {
            name: name.into(),
            voucher: Voucher::Author,
            mr_td: Requirement::Exactly(mr_td),
            rtmr: rtmr.map(Requirement::Exactly),
            xfam: Requirement::Exactly(xfam),
            rtmr3: Rtmr3Rule::Zero,
            mr_config_id: zero(),
            mr_owner: zero(),
            mr_owner_config: zero(),
        }
    }

    /// The same release on Google's firmware at this security version or above, with any memory it is endorsed for.
    ///
    /// # Errors
    /// Those of [`FirmwareEndorsement::tdx`].
    pub fn on_google_firmware(
        self,
        endorsement: Arc<FirmwareEndorsement>,
        minimum_svn: u32,
    ) -> Result<Self, Rejection> {
        let measurements = &endorsement.tdx(minimum_svn)?.measurements;
        let mr_td = Requirement::OneOf(measurements.iter().map(|measured| measured.mr_td).collect());
        Ok(Self { mr_td, voucher: Voucher::Google(endorsement), ..self })
    }

    /// A release of which nothing is judged, for this reason.
    pub fn unjudged(name: impl Into<String>, reason: String) -> Self {
        let waived = || Requirement::Waived { reason: reason.clone() };
        Self {
            name: name.into(),
            voucher: Voucher::Author,
            mr_td: waived(),
            rtmr: [waived(), waived(), waived()],
            xfam: Requirement::Waived { reason: reason.clone() },
            mr_config_id: waived(),
            mr_owner: waived(),
            mr_owner_config: waived(),
            rtmr3: Rtmr3Rule::Waived { reason },
        }
    }

    /// What every field that holds a measurement must be.
    const fn measurements(&self) -> [&Requirement<Measurement>; 7] {
        let [rtmr0, rtmr1, rtmr2] = &self.rtmr;
        [&self.mr_td, rtmr0, rtmr1, rtmr2, &self.mr_config_id, &self.mr_owner, &self.mr_owner_config]
    }

    /// Every field that is not judged, with its reason.
    pub fn waivers(&self) -> Vec<Waiver> {
        let [rtmr0, rtmr1, rtmr2] = &self.rtmr;
        let rtmr3 = match &self.rtmr3 {
            Rtmr3Rule::Waived { reason } => Some(reason.as_str()),
            Rtmr3Rule::Log(_) | Rtmr3Rule::Zero => None,
        };
        [
            ("measurement", self.mr_td.waiver()),
            ("tdx.rtmr0", rtmr0.waiver()),
            ("tdx.rtmr1", rtmr1.waiver()),
            ("tdx.rtmr2", rtmr2.waiver()),
            ("tdx.xfam", self.xfam.waiver()),
            ("tdx.rtmr3", rtmr3),
            ("tdx.mr_config_id", self.mr_config_id.waiver()),
            ("tdx.mr_owner", self.mr_owner.waiver()),
            ("tdx.mr_owner_config", self.mr_owner_config.waiver()),
        ]
        .into_iter()
        .filter_map(|(rule, reason)| Some(Waiver { rule, reason: reason?.to_owned() }))
        .collect()
    }
}

/// Whether every `XFAM` that is asked for is one that a TD can have.
fn possible(xfam: &Requirement<Xfam>) -> bool {
    match xfam {
        Requirement::Exactly(xfam) => xfam.well_formed(),
        Requirement::OneOf(values) => values.iter().all(|xfam| xfam.well_formed()),
        Requirement::AtLeast(_) => false,
        Requirement::Waived { .. } => true,
    }
}

/// Where the measurement allow-list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TdxReferences {
    /// Written into the policy by its author; listed in the result. Empty accepts nothing.
    Pinned(Vec<TdxRelease>),
    /// Not judged, for this reason; only outside channels.
    Unchecked {
        /// Why.
        reason: String,
    },
}

/// The policy for TDX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxPolicy {
    /// Acceptable releases. Empty is `POL_EMPTY_ALLOWLIST` where TDX is an acceptable kind of TEE.
    pub references: TdxReferences,
    /// Age of the collateral.
    pub collateral_age: CollateralAge,
    /// Rollback of the collateral.
    pub evaluation: EvaluationRule,
    /// TDX modules.
    pub module: ModuleRule,
    /// TCB statuses.
    pub status: StatusRules,
    /// Advisories.
    pub advisories: AdvisoryRule,
    /// Attribute bits.
    pub attributes: AttributeRules,
}

impl TdxPolicy {
    /// Part B's defaults for these releases.
    pub const fn standard(releases: Vec<TdxRelease>) -> Self {
        Self {
            references: TdxReferences::Pinned(releases),
            collateral_age: CollateralAge::AtMost(COLLATERAL_AGE.0),
            evaluation: EvaluationRule::AtLeast { floor: EVALUATION_FLOOR, seen: Vec::new() },
            module: ModuleRule::AnyKnown,
            status: StatusRules::STRICT,
            advisories: AdvisoryRule::Listed(Vec::new()),
            attributes: AttributeRules { pks: Bit::Any, key_locker: Bit::Any, perfmon: Bit::Forbidden },
        }
    }

    /// Part B's `hardened` delta: only TDX modules with one of these MRSEAM values.
    pub fn hardened(releases: Vec<TdxRelease>, modules: Vec<Measurement>) -> Self {
        Self { module: ModuleRule::Listed(modules), ..Self::standard(releases) }
    }

    /// # Errors
    /// `POL_EMPTY_ALLOWLIST` for an empty list, `POL_INVALID` for a value out of its range.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        for (empty, field) in [
            (
                matches!(&self.references, TdxReferences::Pinned(list) if list.is_empty()),
                "policy.tdx.references",
            ),
            (matches!(&self.module, ModuleRule::Listed(list) if list.is_empty()), "policy.tdx.module"),
        ] {
            if empty {
                return Err(Rejection::new(Code::PolEmptyAllowlist, field, "at least one entry", "none"));
            }
        }
        let age = matches!(&self.collateral_age, CollateralAge::AtMost(age) if *age > COLLATERAL_AGE.1);
        let long = self.status.configuration.too_long() || self.status.relaunch.too_long();
        let releases = self.releases();
        let fixed = |requirement: &Requirement<Measurement>| !matches!(requirement, Requirement::AtLeast(_));
        let supplied = |release: &TdxRelease| release.measurements().into_iter().all(fixed);
        let logs = |release: &TdxRelease| match &release.rtmr3 {
            Rtmr3Rule::Log(rules) => rules.len() <= MAX_LOG_RULES,
            Rtmr3Rule::Waived { .. } | Rtmr3Rule::Zero => true,
        };
        for (wrong, field, expected) in [
            (age, "policy.tdx.collateral_age", "at most 30 days"),
            (long, "policy.tdx.status", "overrides of at most 14 days"),
            (
                !releases.iter().all(|release| possible(&release.xfam)),
                "policy.tdx.references",
                "a possible XFAM",
            ),
            (!releases.iter().all(supplied), "policy.tdx.references", "exact values"),
            (!releases.iter().all(logs), "policy.tdx.references", "at most 256 log events"),
        ] {
            if wrong {
                return Err(Rejection::new(Code::PolInvalid, field, expected, "another value"));
            }
        }
        Ok(())
    }

    /// The first loosening that no channel may have.
    pub(super) fn not_for_channels(&self) -> Option<&'static str> {
        let waived = |release: &TdxRelease| {
            let payload = matches!(&release.rtmr3, Rtmr3Rule::Log(rules) if rules.iter().any(|rule| matches!(rule.payload, Requirement::AtLeast(_))));
            payload || !release.waivers().is_empty()
        };
        [
            (matches!(self.references, TdxReferences::Unchecked { .. }), "tdx.references"),
            (self.releases().iter().any(waived), "tdx.references"),
            (matches!(self.collateral_age, CollateralAge::Unchecked { .. }), "tdx.collateral_age"),
            (matches!(self.evaluation, EvaluationRule::Unchecked { .. }), "tdx.evaluation"),
            (matches!(self.advisories, AdvisoryRule::Unchecked { .. }), "tdx.advisories"),
        ]
        .into_iter()
        .find_map(|(loose, rule)| loose.then_some(rule))
    }

    /// Every loosening from the standard profile.
    pub(super) fn waivers(&self) -> Vec<Waiver> {
        let given =
            |rule, reason: Option<&str>| reason.map(|reason| Waiver { rule, reason: reason.to_owned() });
        let age = match &self.collateral_age {
            CollateralAge::AtMost(age) if *age > COLLATERAL_AGE.0 => Some("collateral older than 72 hours"),
            CollateralAge::AtMost(_) => None,
            CollateralAge::Unchecked { reason } => Some(reason.as_str()),
        };
        let evaluation = match &self.evaluation {
            EvaluationRule::AtLeast { floor, .. } if *floor < EVALUATION_FLOOR => {
                Some("evaluation floor below 18")
            }
            EvaluationRule::AtLeast { .. } => None,
            EvaluationRule::Unchecked { reason } => Some(reason.as_str()),
        };
        let hardening = match &self.status.hardening {
            HardeningRule::Accepted { reason } => Some(reason.as_str()),
            HardeningRule::Refused => None,
        };
        let advisories = match &self.advisories {
            AdvisoryRule::Listed(list) => {
                (!list.is_empty()).then(|| format!("accepted: {}", list.join(", ")))
            }
            AdvisoryRule::Unchecked { reason } => Some(reason.clone()),
        };
        let references = match &self.references {
            TdxReferences::Pinned(_) => {
                "pinned-measurement: the policy's author vouches for the measurements"
            }
            TdxReferences::Unchecked { reason } => reason,
        };
        let perfmon = (self.attributes.perfmon != Bit::Forbidden).then_some("PERFMON not forbidden");
        let old = self.status.out_of_date.iter().map(|entry| Waiver {
            rule: "tdx.status.out_of_date",
            reason: format!("{} until {}: {}", entry.fmspc, entry.until, entry.reason),
        });
        [
            given("tdx.references", Some(references)),
            given("tdx.collateral_age", age),
            given("tdx.evaluation", evaluation),
            given("tdx.status.hardening", hardening),
            given("tdx.status.configuration", self.status.configuration.reason()),
            given("tdx.status.relaunch", self.status.relaunch.reason()),
            given("tdx.advisories", advisories.as_deref()),
            given("tdx.attributes.perfmon", perfmon),
        ]
        .into_iter()
        .flatten()
        .chain(old)
        .chain(self.releases().iter().flat_map(TdxRelease::waivers))
        .collect()
    }

    fn releases(&self) -> &[TdxRelease] {
        match &self.references {
            TdxReferences::Pinned(releases) => releases,
            TdxReferences::Unchecked { .. } => &[],
        }
    }
}
