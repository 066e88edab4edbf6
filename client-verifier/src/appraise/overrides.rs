//! `policy.override`: single rules of the profile made stricter or looser, by the names that policy files and results
//! use. What a platform has no rule for is refused: an expectation that nobody judges would look like one that held.

use std::time::Duration;

use attestation::claims::snp::{AbiVersion, Product};
use attestation::claims::tdx::{Fmspc, Xfam};
use attestation::policy::snp::{Bit, FloorRule, ProvisionalRule, RevocationRule, SigningKeyRule, SnpPolicy};
use attestation::policy::tdx::{
    AdvisoryRule, CollateralAge, EvaluationRule, HardeningRule, LogRule, ModuleRule, OutOfDateException,
    Rtmr3Rule, StatusOverride, TdxRelease,
};
use attestation::policy::{AkCertificateRule, AzurePolicy, HardwareRule, PcrRelease, PcrRule, TdxPolicy};
use attestation::reference_values::{IdBlock, Release, Requirement};
use attestation::{HardwareId, Measurement, UnixTime};
use serde::Deserialize;

use super::malformed::{Malformed, MalformedCode};
use super::request::spelled::{Bits, HexBytes, Object, Registers, Spell, Spelled};
use super::request::{AnyOr, Platform, present};

/// Which platforms a rule is for.
#[derive(Clone, Copy)]
enum For {
    Azure,
    Every,
    Intel,
    Amd,
}

impl For {
    const fn includes(self, platform: Platform) -> bool {
        match self {
            Self::Azure => platform.azure(),
            Self::Every => true,
            Self::Intel => platform.intel(),
            Self::Amd => !platform.intel(),
        }
    }

    const fn describe(self) -> &'static str {
        match self {
            Self::Azure => "az-snp and az-tdx",
            Self::Every => "every platform",
            Self::Intel => "tdx and az-tdx",
            Self::Amd => "snp and az-snp",
        }
    }
}

macro_rules! overrides {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $platforms:ident;)+) => {
        /// Every rule that a request can change.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct Overrides {
            $($(#[$doc])* #[serde(deserialize_with = "present")] pub(super) $name: Option<$type>,)+
        }

        impl Overrides {
            /// Refuses a rule that is for other platforms.
            pub(super) fn check(&self, platform: Platform) -> Result<(), Malformed> {
                for (name, given, platforms) in
                    [$((stringify!($name), self.$name.is_some(), For::$platforms),)+]
                {
                    if given && !platforms.includes(platform) {
                        let field = format!("policy.override.{name}");
                        return Err(Malformed::not_applicable(&field, platforms.describe()));
                    }
                }
                Ok(())
            }
        }
    };
}

overrides! {
    /// Acceptable processors.
    hardware: AnyOr<Vec<Spelled<HardwareId>>>, Every;

    /// 2: also reports of version 2, which have no signed silicon.
    report_version: u32, Amd;
    /// Product lines that are denied for a known weakness.
    accept_risk: Vec<Risk>, Amd;
    /// Which kind of key may have signed.
    signing_key: AnyOr<KeyKind>, Amd;
    /// A VLEK of this cloud provider.
    vlek_csp_id: String, Amd;
    /// Privilege level.
    vmpl: AnyOr<u32>, Amd;
    /// Lowest ABI version.
    abi: AnyOr<Spelled<AbiVersion>>, Amd;
    /// Bits of the guest policy.
    guest_policy: Object<GuestPolicyBits>, Amd;
    /// Bits of the platform information.
    platform_info: Object<PlatformBits>, Amd;
    /// Bits of the platform information that this verifier does not know.
    platform_unknown_accepted: Spelled<Bits>, Amd;
    /// Firmware floors: not judged.
    floors: AnyWord, Amd;
    /// How long past their date floors may be used.
    floors_grace_days: u32, Amd;
    /// Whether a current revocation list is required.
    revocation: Revocation, Amd;
    /// Expired revocation lists may be used for seven days, and why.
    offline_grace_reason: String, Amd;
    /// Firmware that can be rolled back is acceptable, and why.
    provisional_ok_reason: String, Amd;
    /// What the host put in at launch.
    host_data: AnyOr<Spelled<[u8; 32]>>, Amd;
    /// Family the guest's owner chose.
    family_id: AnyOr<Spelled<[u8; 16]>>, Amd;
    /// Image the guest's owner chose.
    image_id: AnyOr<Spelled<[u8; 16]>>, Amd;
    /// Lowest security version of the guest.
    guest_svn: AnyOr<u32>, Amd;
    /// Keys of the ID block.
    id_block: AnyOr<Object<IdBlockKeys>>, Amd;

    /// Firmware configuration.
    rtmr0: AnyOr<Vec<Spelled<Measurement>>>, Intel;
    /// Kernel.
    rtmr1: AnyOr<Vec<Spelled<Measurement>>>, Intel;
    /// Initial file system and command line.
    rtmr2: AnyOr<Vec<Spelled<Measurement>>>, Intel;
    /// Events that explain the register of the TD's own software.
    rtmr3: AnyOr<Vec<Object<Event>>>, Intel;
    /// Extended features.
    xfam: AnyOr<Spelled<Xfam>>, Intel;
    /// Configuration that the host names.
    mr_config_id: AnyOr<Spelled<Measurement>>, Intel;
    /// Owner that the host names.
    mr_owner: AnyOr<Spelled<Measurement>>, Intel;
    /// Owner's configuration that the host names.
    mr_owner_config: AnyOr<Spelled<Measurement>>, Intel;
    /// Acceptable TDX modules.
    mr_seam: AnyOr<Vec<Spelled<Measurement>>>, Intel;
    /// How old collateral may be.
    collateral_age_hours: AnyOr<u32>, Intel;
    /// Lowest `tcbEvaluationDataNumber`.
    evaluation_floor: AnyOr<u32>, Intel;
    /// Intel's advisories that may apply.
    advisories: AnyOr<Vec<String>>, Intel;
    /// The status `SWHardeningNeeded` is acceptable, and why.
    sw_hardening_reason: String, Intel;
    /// `ConfigurationNeeded` is acceptable for a while.
    configuration_needed: Object<Granted>, Intel;
    /// `TDRelaunchAdvised` is acceptable for a while.
    relaunch_advised: Object<Granted>, Intel;
    /// Platform families that may be out of date for a while.
    out_of_date: Vec<Object<OutOfDate>>, Intel;
    /// Bits of the TD's attributes.
    td_attributes: Object<TdAttributeBits>, Intel;

    /// Expected registers of the virtual TPM.
    pcrs: AnyOr<Registers>, Azure;
    /// Registers that the quote has to cover.
    mandatory_pcrs: Vec<u8>, Azure;
    /// Whether the virtual TPM's key needs a certificate.
    ak_certificate: AkCertificate, Azure;
}

#[derive(Debug, Deserialize)]
pub(super) enum Risk {
    #[serde(rename = "milan-root-seed")]
    MilanRootSeed,
}

#[derive(Debug, Deserialize)]
pub(super) enum KeyKind {
    #[serde(rename = "vcek")]
    Vcek,
}

/// The word `any`, where there is nothing else to say.
#[derive(Debug, Deserialize)]
pub(super) enum AnyWord {
    #[serde(rename = "any")]
    Any,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Revocation {
    Any,
    Required,
}

#[derive(Debug, Deserialize)]
pub(super) enum AkCertificate {
    #[serde(rename = "if-present")]
    IfPresent,
    #[serde(rename = "required")]
    Required,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BitRule {
    Any,
    Forbidden,
    Required,
}

impl BitRule {
    const fn rule(self) -> Bit {
        match self {
            Self::Any => Bit::Any,
            Self::Forbidden => Bit::Forbidden,
            Self::Required => Bit::Required,
        }
    }
}

macro_rules! bits {
    ($name:ident, $rules:ty, { $($bit:ident),+ }) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name {
            $(#[serde(deserialize_with = "present")] $bit: Option<BitRule>,)+
        }

        impl $name {
            fn apply(&self, rules: &mut $rules) {
                $(if let Some(rule) = self.$bit { rules.$bit = rule.rule(); })+
            }
        }
    };
}

bits!(GuestPolicyBits, attestation::policy::snp::GuestPolicyRules, {
    smt, single_socket, mem_aes_256_xts, rapl_dis, ciphertext_hiding, page_swap_disable
});
bits!(PlatformBits, attestation::policy::snp::PlatformRules, {
    smt, tsme, ecc, rapl_dis, ciphertext_hiding, alias_check, iommu, tio
});
bits!(TdAttributeBits, attestation::policy::tdx::AttributeRules, { pks, key_locker, perfmon });

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdBlockKeys {
    id_key_digest: Spelled<[u8; 48]>,
    #[serde(default, deserialize_with = "present")]
    author_key_digest: Option<Spelled<[u8; 48]>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    name: String,
    payload_hex: AnyOr<Spelled<HexBytes>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names of the policy")]
pub(super) struct Granted {
    granted_at: Spelled<UnixTime>,
    until: Spelled<UnixTime>,
    reason: String,
}

impl Granted {
    fn rule(&self) -> StatusOverride {
        let Self { granted_at, until, reason } = self;
        StatusOverride::Granted { granted_at: granted_at.0, until: until.0, reason: reason.clone() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutOfDate {
    fmspc: Spelled<Fmspc>,
    until: Spelled<UnixTime>,
    reason: String,
}

impl Spell for AbiVersion {
    const FORM: &'static str = "an ABI version, for example \"1.55\"";

    fn read(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// The reason that stands with what the request calls `any`.
pub(super) fn said_any() -> String {
    "the request says \"any\"".to_owned()
}

/// A single value, or none at all.
pub(super) fn exactly<T, U: Clone>(wanted: &AnyOr<Spelled<T>>, value: impl Fn(&T) -> U) -> Requirement<U> {
    match wanted {
        AnyOr::Any => Requirement::Waived { reason: said_any() },
        AnyOr::These(Spelled(one)) => Requirement::Exactly(value(one)),
    }
}

/// One of a list that is not empty.
pub(super) fn one_of(
    wanted: &AnyOr<Vec<Spelled<Measurement>>>,
    field: &str,
) -> Result<Requirement<Measurement>, Malformed> {
    match wanted {
        AnyOr::Any => Ok(Requirement::Waived { reason: said_any() }),
        AnyOr::These(list) if list.is_empty() => Err(Malformed::new(
            MalformedCode::Value,
            field,
            "at least one measurement, or \"any\"",
            "an empty list",
        )),
        AnyOr::These(list) => Ok(Requirement::OneOf(list.iter().map(|item| item.0).collect())),
    }
}

impl Overrides {
    /// Which processors are acceptable, if the request says so.
    pub(super) fn hardware(&self) -> Option<HardwareRule> {
        self.hardware.as_ref().map(|wanted| match wanted {
            AnyOr::Any => HardwareRule::Any { reason: said_any() },
            AnyOr::These(ids) => HardwareRule::Listed(ids.iter().map(|id| id.0.clone()).collect()),
        })
    }

    /// Changes the rules for SEV-SNP.
    pub(super) fn apply_snp(&self, snp: &mut SnpPolicy) -> Result<(), Malformed> {
        match self.report_version {
            None => {}
            Some(2) => snp.versions.push(2),
            Some(_) => {
                let field = "policy.override.report_version";
                return Err(Malformed::new(MalformedCode::Value, field, "2", "another number"));
            }
        }
        for Risk::MilanRootSeed in self.accept_risk.iter().flatten() {
            if !snp.products.contains(&Product::Milan) {
                snp.products.push(Product::Milan);
            }
        }
        match &self.signing_key {
            None => {}
            Some(AnyOr::Any) => snp.signing_key = SigningKeyRule::Either { reason: said_any() },
            Some(AnyOr::These(KeyKind::Vcek)) => snp.signing_key = SigningKeyRule::Vcek,
        }
        if let Some(csp_id) = &self.vlek_csp_id {
            snp.signing_key = SigningKeyRule::Vlek { csp_id: csp_id.clone() };
        }
        match &self.vmpl {
            None => {}
            Some(AnyOr::Any) => snp.vmpl = Requirement::Waived { reason: said_any() },
            Some(AnyOr::These(level)) => snp.vmpl = Requirement::Exactly(*level),
        }
        match &self.abi {
            None => {}
            Some(AnyOr::Any) => snp.abi = Requirement::Waived { reason: said_any() },
            Some(AnyOr::These(Spelled(least))) => snp.abi = Requirement::AtLeast(*least),
        }
        if let Some(bits) = &self.guest_policy {
            bits.apply(&mut snp.guest_policy);
        }
        if let Some(bits) = &self.platform_info {
            bits.apply(&mut snp.platform);
        }
        if let Some(Spelled(Bits(bits))) = self.platform_unknown_accepted {
            snp.platform.unknown_accepted = bits;
        }
        self.apply_freshness(snp);
        Ok(())
    }

    /// Floors, revocation and provisional firmware.
    fn apply_freshness(&self, snp: &mut SnpPolicy) {
        if let Some(AnyWord::Any) = self.floors {
            snp.floors = FloorRule::Unchecked { reason: said_any() };
        }
        if let (Some(days), FloorRule::File { grace, .. }) = (self.floors_grace_days, &mut snp.floors) {
            *grace = Duration::from_secs(u64::from(days).saturating_mul(86_400));
        }
        if let Some(reason) = &self.offline_grace_reason {
            snp.revocation = RevocationRule::OfflineGrace { reason: reason.clone() };
        }
        match &self.revocation {
            None => {}
            Some(Revocation::Any) => snp.revocation = RevocationRule::Unchecked { reason: said_any() },
            Some(Revocation::Required) => snp.revocation = RevocationRule::Required,
        }
        if let Some(reason) = &self.provisional_ok_reason {
            snp.provisional = ProvisionalRule::Accepted { reason: reason.clone() };
        }
    }

    /// Changes what an SEV-SNP release is expected to state.
    pub(super) fn apply_release(&self, release: &mut Release) {
        if let Some(wanted) = &self.host_data {
            release.host_data = exactly(wanted, |value| *value);
        }
        if let Some(wanted) = &self.family_id {
            release.family_id = exactly(wanted, |value| *value);
        }
        if let Some(wanted) = &self.image_id {
            release.image_id = exactly(wanted, |value| *value);
        }
        match &self.guest_svn {
            None => {}
            Some(AnyOr::Any) => release.guest_svn = Requirement::Waived { reason: said_any() },
            Some(AnyOr::These(least)) => release.guest_svn = Requirement::AtLeast(*least),
        }
        match &self.id_block {
            None => {}
            Some(AnyOr::Any) => release.id_block = IdBlock::Waived { reason: said_any() },
            Some(AnyOr::These(keys)) => {
                release.id_block = IdBlock::Keys {
                    id_key_digest: keys.id_key_digest.0,
                    author_key_digest: keys.author_key_digest.as_ref().map(|digest| digest.0),
                };
            }
        }
    }

    /// Changes the rules for TDX.
    pub(super) fn apply_tdx(&self, tdx: &mut TdxPolicy) {
        match &self.collateral_age_hours {
            None => {}
            Some(AnyOr::Any) => tdx.collateral_age = CollateralAge::Unchecked { reason: said_any() },
            Some(AnyOr::These(hours)) => {
                let age = Duration::from_secs(u64::from(*hours).saturating_mul(3600));
                tdx.collateral_age = CollateralAge::AtMost(age);
            }
        }
        match &self.evaluation_floor {
            None => {}
            Some(AnyOr::Any) => tdx.evaluation = EvaluationRule::Unchecked { reason: said_any() },
            Some(AnyOr::These(floor)) => {
                tdx.evaluation = EvaluationRule::AtLeast { floor: *floor, seen: Vec::new() };
            }
        }
        match &self.mr_seam {
            None => {}
            Some(AnyOr::Any) => tdx.module = ModuleRule::AnyKnown,
            Some(AnyOr::These(list)) => {
                tdx.module = ModuleRule::Listed(list.iter().map(|item| item.0).collect());
            }
        }
        match &self.advisories {
            None => {}
            Some(AnyOr::Any) => tdx.advisories = AdvisoryRule::Unchecked { reason: said_any() },
            Some(AnyOr::These(list)) => tdx.advisories = AdvisoryRule::Listed(list.clone()),
        }
        self.apply_status(tdx);
        if let Some(bits) = &self.td_attributes {
            bits.apply(&mut tdx.attributes);
        }
    }

    fn apply_status(&self, tdx: &mut TdxPolicy) {
        if let Some(reason) = &self.sw_hardening_reason {
            tdx.status.hardening = HardeningRule::Accepted { reason: reason.clone() };
        }
        if let Some(granted) = &self.configuration_needed {
            tdx.status.configuration = granted.rule();
        }
        if let Some(granted) = &self.relaunch_advised {
            tdx.status.relaunch = granted.rule();
        }
        tdx.status.out_of_date.extend(self.out_of_date.iter().flatten().map(|entry| OutOfDateException {
            fmspc: entry.fmspc.0,
            until: entry.until.0,
            reason: entry.reason.clone(),
        }));
    }

    /// Changes what a TDX release is expected to state.
    pub(super) fn apply_tdx_release(&self, release: &mut TdxRelease) -> Result<(), Malformed> {
        let registers = [
            (&self.rtmr0, "policy.override.rtmr0"),
            (&self.rtmr1, "policy.override.rtmr1"),
            (&self.rtmr2, "policy.override.rtmr2"),
        ];
        for (own, (wanted, field)) in release.rtmr.iter_mut().zip(registers) {
            if let Some(wanted) = wanted {
                *own = one_of(wanted, field)?;
            }
        }
        if let Some(wanted) = &self.xfam {
            release.xfam = exactly(wanted, |value| *value);
        }
        for (own, wanted) in [
            (&mut release.mr_config_id, &self.mr_config_id),
            (&mut release.mr_owner, &self.mr_owner),
            (&mut release.mr_owner_config, &self.mr_owner_config),
        ] {
            if let Some(wanted) = wanted {
                *own = exactly(wanted, |value| *value);
            }
        }
        match &self.rtmr3 {
            None => {}
            Some(AnyOr::Any) => release.rtmr3 = Rtmr3Rule::Waived { reason: said_any() },
            Some(AnyOr::These(events)) => {
                let rule = |event: &Object<Event>| LogRule {
                    name: event.name.clone(),
                    payload: exactly(&event.payload_hex, |bytes| bytes.0.clone()),
                };
                release.rtmr3 = Rtmr3Rule::Log(events.iter().map(rule).collect());
            }
        }
        Ok(())
    }

    /// Changes the rules for guests behind Azure's paravisor.
    pub(super) fn apply_azure(&self, azure: &mut AzurePolicy) {
        match &self.pcrs {
            None => {}
            Some(AnyOr::Any) => azure.pcrs = PcrRule::Unchecked { reason: said_any() },
            Some(AnyOr::These(Registers(values))) => {
                let name = "pinned".to_owned();
                azure.pcrs = PcrRule::Pinned(vec![PcrRelease { name, values: values.clone() }]);
            }
        }
        if let Some(mandatory) = &self.mandatory_pcrs {
            azure.mandatory.clone_from(mandatory);
        }
        match &self.ak_certificate {
            None => {}
            Some(AkCertificate::IfPresent) => azure.ak_certificate = AkCertificateRule::IfPresent,
            Some(AkCertificate::Required) => azure.ak_certificate = AkCertificateRule::Required,
        }
    }
}
