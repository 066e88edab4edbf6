//! The argument, step by step, in the order of `postern/1` section A10: fail closed, first error wins.
//! [`Verified`] is made here and nowhere else, and only after every planned check was made and passed.

use crate::checklist::{Checklist, Mode, Rejected, Step};
use crate::claims::{Commitment, EndorsedFirmware, HardwareClaims, PlatformClaims};
use crate::digest::{HardwareId, ReportData, Sha384, UnixTime};
use crate::enclave_claims::{EnclaveClaims, report_data};
use crate::evidence::{EvidenceDocument, TeeType};
use crate::freshness::{self, Expected};
use crate::keyset::Keyset;
use crate::platform::{self, Input, Memory, Platform};
use crate::policy::{DeploymentRule, FloorRule, HardwareRule, Policy, Waiver};
use crate::reference_values::{Requirement, Voucher};
use crate::rejection::{Check, Code, Rejection};
use crate::work_limit::WorkLimit;

mod config_rules;
mod verified;

pub use crate::platform::VerifiedChains;
pub use verified::{SessionBound, Verified};

/// The protocol version this verifier speaks.
pub const PROTOCOL_VERSION: u64 = 1;

/// Largest public configuration, in bytes.
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;

const POLICY: Step = Step::new("policy", Code::PolInvalid, "policy");
const DOCUMENT: Step = Step::new("document", Code::AttMalformed, "document");
const TEE: Step = Step::new("tee_type", Code::AttTeeType, "document.cpu");
const CLAIMS: Step = Step::new("claims", Code::AttClaimsMalformed, "claims");
const VERSION: Step = Step::new("protocol_version", Code::ProtoDowngrade, "claims.versions");
const CHANNELS: Step = Step::new("channels", Code::ProtoDowngrade, "claims.channels");
const ROLE: Step = Step::new("role", Code::AttRole, "claims.role");
const REPORT_DATA: Step = Step::new("report_data", Code::AttReportData, "cpu.report_data");
const SIGNED_DATA: Step = Step::new("signed_report_data", Code::AttReportData, "cpu.report_data");
const KEYSET_DIGEST: Step = Step::new("keyset_digest", Code::AttKeyset, "claims.keyset_digest");
const KEYSET: Step = Step::new("keyset", Code::AttKeyset, "keyset");
const HARDWARE: Step = Step::new("hardware_id", Code::AttHardwareId, "cpu.hardware_id");
const FIRMWARE: Step = Step::new("gcp.endorsement", Code::GcpStale, "policy.references.voucher");
const DEPLOYMENT: Step = Step::new("deployment", Code::AttDeployment, "claims.deployment_id");
const CONFIG_DIGEST: Step = Step::new("config_digest", Code::AttConfig, "claims.config_digest");
const CLOCK: Step = Step::new("clock", Code::AttStale, "clock");
const CONFIG_RULES: Step = Step::new("config_rules", Code::CfgRule, "config");

/// Codes with which a wrong clock may be met before the keyset is looked at.
const DATE_CODES: [Code; 7] = [
    Code::AzAk,
    Code::GcpStale,
    Code::PolFloorsStale,
    Code::SnpChain,
    Code::SnpCrlMissing,
    Code::TdxChain,
    Code::TdxCollateralStale,
];

/// Appraises an evidence document for a channel.
///
/// `document` and `config` are the bytes as received, `now` is the caller's own clock.
///
/// # Errors
/// The first check that fails, with the whole list.
pub fn appraise(
    document: &[u8],
    config: &[u8],
    expected: &Expected,
    policy: &Policy,
    now: UnixTime,
) -> Result<Verified, Rejected> {
    whole(Mode::Stop, None, document, config, expected, policy, now)
}

impl VerifiedChains {
    /// As [`appraise`], with the same verdict, but without verifying again what an earlier appraisal verified; and
    /// what this one verifies is kept if it accepts.
    ///
    /// # Errors
    /// The first check that fails, with the whole list.
    pub fn appraise(
        &self,
        document: &[u8],
        config: &[u8],
        expected: &Expected,
        policy: &Policy,
        now: UnixTime,
    ) -> Result<Verified, Rejected> {
        whole(Mode::Stop, Some(self), document, config, expected, policy, now)
    }

    /// As [`appraise_evidence`], in the same way.
    ///
    /// # Errors
    /// The first check that fails, with the whole list.
    pub fn appraise_evidence(
        &self,
        tee: TeeType,
        evidence: &[u8],
        endorsements: &[u8],
        expected: &Requirement<ReportData>,
        policy: &Policy,
        now: UnixTime,
    ) -> Result<AppraisedEvidence, Rejected> {
        let memory = Memory::new(Some(self));
        let input = Input { evidence, endorsements, policy, now, memory: &memory };
        evidence_alone(Mode::Stop, tee, &input, expected)
    }
}

/// As [`appraise`], with the same verdict and the same first rejection, but going on after a check that does not
/// hold, so that the list shows everything that can be judged. What follows a failed signature is about bytes
/// nobody vouches for.
///
/// # Errors
/// The first check that fails, with the whole list.
pub fn explain(
    document: &[u8],
    config: &[u8],
    expected: &Expected,
    policy: &Policy,
    now: UnixTime,
) -> Result<Verified, Rejected> {
    whole(Mode::Explain, None, document, config, expected, policy, now)
}

fn whole(
    mode: Mode,
    chains: Option<&VerifiedChains>,
    document: &[u8],
    config: &[u8],
    expected: &Expected,
    policy: &Policy,
    now: UnixTime,
) -> Result<Verified, Rejected> {
    let first = [POLICY, DOCUMENT, TEE, CLAIMS, VERSION, CHANNELS, ROLE, REPORT_DATA, KEYSET_DIGEST, KEYSET];
    let mut list = Checklist::new(mode, first.to_vec());
    let memory = Memory::new(chains);
    let argued = argue(document, config, expected, &Terms { policy, now, memory: &memory }, &mut list);
    let cause = list.first().and_then(|first| clock(document, config, expected, policy, now, first));
    if let Some(cause) = cause {
        list.explained_by(CLOCK, cause);
    }
    match argued {
        Ok(parts) => list.finish().map(|checks| {
            memory.commit();
            Verified { checks, ..parts }
        }),
        Err(rejection) => Err(list.reject(rejection)),
    }
}

/// Whether the caller's clock explains `rejection`: a date check failed, and at the time by which the enclave made its
/// keyset everything would have held. The nonce or session in it is the caller's, so the evidence is not old.
fn clock(
    document: &[u8],
    config: &[u8],
    expected: &Expected,
    policy: &Policy,
    now: UnixTime,
    rejection: &Rejection,
) -> Option<Rejection> {
    if !DATE_CODES.contains(&rejection.code) || matches!(expected, Expected::Epoch { .. }) {
        return None;
    }
    let keyset = Keyset::decode(&EvidenceDocument::decode(document).ok()?.keyset).ok()?;
    let made = freshness::nearest(&keyset, now);
    let terms = Terms { policy, now: made, memory: &Memory::new(None) };
    let mut list = Checklist::new(Mode::Stop, Vec::new());
    argue(document, config, expected, &terms, &mut list).ok()?;
    let (apart, direction) = if now > made {
        (now.seconds().saturating_sub(made.seconds()), "ahead")
    } else {
        (made.seconds().saturating_sub(now.seconds()), "behind")
    };
    let found = format!("{now}, at least {apart} seconds {direction}");
    Some(Rejection::new(
        CLOCK.code,
        CLOCK.field,
        format!("a clock near {made}, by which all else holds"),
        found,
    ))
}

/// What an appraisal is made under, whatever it is about.
struct Terms<'a> {
    policy: &'a Policy,
    now: UnixTime,
    memory: &'a Memory<'a>,
}

fn argue(
    document: &[u8],
    config: &[u8],
    expected: &Expected,
    terms: &Terms<'_>,
    list: &mut Checklist,
) -> Result<Verified, Rejection> {
    let &Terms { policy, now, memory } = terms;
    list.yields(POLICY, policy.check_for_channel(), "a complete policy", |()| "complete".to_owned())?;
    let parsed = EvidenceDocument::decode(document);
    let parsed =
        list.yields(DOCUMENT, parsed, "an evidence document", |_| format!("{} bytes", document.len()))?;
    let platform = admitted(parsed.cpu.tee, policy, list)?;
    list.plan_more(&platform.steps());
    list.plan_more(&[SIGNED_DATA, HARDWARE, DEPLOYMENT, CONFIG_DIGEST, CONFIG_RULES]);
    list.plan_more(freshness::steps(expected));
    let claims = EnclaveClaims::decode(&parsed.claims);
    let claims = list.yields(CLAIMS, claims, "claims of version 1", |_| "version 1".to_owned())?;
    offer(&claims, expected, policy, list)?;
    let committed = report_data(&parsed.claims);
    let stated = platform.commitment(&parsed.cpu.bytes).map_err(|error| list.failed(REPORT_DATA, error))?;
    list.holds(REPORT_DATA, stated.is_to(&committed), stated.spelled(&committed), stated.to_hex())?;
    let digest = Sha384::of(&parsed.keyset);
    list.holds(
        KEYSET_DIGEST,
        digest == claims.keyset_digest,
        claims.keyset_digest.to_hex(),
        digest.to_hex(),
    )?;
    let keyset = Keyset::decode(&parsed.keyset);
    let keyset = list.yields(KEYSET, keyset, "a keyset", |keyset| format!("epoch {}", keyset.epoch))?;
    let input =
        Input { evidence: &parsed.cpu.bytes, endorsements: &parsed.endorsements, policy, now, memory };
    let hardware = authenticated(platform, &input, &stated, list)?;
    hardware_id(&hardware, policy, list)?;
    let voucher = platform.release(&hardware, policy, list)?;
    let hardware = endorsed(hardware, voucher, now, list)?;
    deployment(&claims, policy, list)?;
    let digest = Sha384::of(config);
    list.holds(
        CONFIG_DIGEST,
        digest == claims.config_digest,
        claims.config_digest.to_hex(),
        digest.to_hex(),
    )?;
    let rules = config_rules::judge(config, &policy.config_rules);
    list.yields_or(CONFIG_RULES, rules, "every rule holds", |count| format!("{count} rules hold"), 0)?;
    freshness::keyset(&keyset, now, list)?;
    freshness::nonce(&claims, expected, list)?;
    let made = freshness::beacon(&claims, expected, policy.max_evidence_age, now, list)?;
    let ends = [
        made.plus(policy.max_evidence_age),
        keyset.not_after,
        hardware.not_after,
        floors_end(&hardware, policy),
    ];
    Ok(Verified {
        claims_sha384: Sha384::of(&parsed.claims),
        claims,
        keyset,
        expires_at: ends.into_iter().min().unwrap_or(now),
        hardware,
        waivers: policy.waivers(),
        checks: Vec::new(),
    })
}

/// A positive answer about CPU evidence alone: no claims, no keyset, no channel.
#[derive(Clone, Debug)]
pub struct AppraisedEvidence {
    /// What the hardware says.
    pub hardware: HardwareClaims,
    /// When the shortest-lived endorsement or floor ends.
    pub expires_at: UnixTime,
    /// Every loosening in force.
    pub waivers: Vec<Waiver>,
    /// Every check, all passed.
    pub checks: Vec<Check>,
}

/// Appraises a raw report or quote (for Azure an encoded [`AzureEvidence`](crate::AzureEvidence)) with its
/// endorsements, for auditors and pipelines.
///
/// Unlike [`appraise`] it takes policies with loosenings no channel may have; each is listed in the result.
///
/// # Errors
/// The first check that fails, with the whole list.
pub fn appraise_evidence(
    tee: TeeType,
    evidence: &[u8],
    endorsements: &[u8],
    expected: &Requirement<ReportData>,
    policy: &Policy,
    now: UnixTime,
) -> Result<AppraisedEvidence, Rejected> {
    let memory = &Memory::new(None);
    evidence_alone(Mode::Stop, tee, &Input { evidence, endorsements, policy, now, memory }, expected)
}

/// As [`appraise_evidence`], going on after a check that does not hold, as [`explain`] does.
///
/// # Errors
/// The first check that fails, with the whole list.
pub fn explain_evidence(
    tee: TeeType,
    evidence: &[u8],
    endorsements: &[u8],
    expected: &Requirement<ReportData>,
    policy: &Policy,
    now: UnixTime,
) -> Result<AppraisedEvidence, Rejected> {
    let memory = &Memory::new(None);
    evidence_alone(Mode::Explain, tee, &Input { evidence, endorsements, policy, now, memory }, expected)
}

fn evidence_alone(
    mode: Mode,
    tee: TeeType,
    input: &Input<'_>,
    expected: &Requirement<ReportData>,
) -> Result<AppraisedEvidence, Rejected> {
    let mut list = Checklist::new(mode, vec![POLICY, TEE, REPORT_DATA]);
    match argue_evidence(tee, input, expected, &mut list) {
        Ok(hardware) => list.finish().map(|checks| {
            input.memory.commit();
            AppraisedEvidence {
                expires_at: hardware.not_after.min(floors_end(&hardware, input.policy)),
                hardware,
                waivers: input.policy.waivers(),
                checks,
            }
        }),
        Err(rejection) => Err(list.reject(rejection)),
    }
}

fn argue_evidence(
    tee: TeeType,
    input: &Input<'_>,
    expected: &Requirement<ReportData>,
    list: &mut Checklist,
) -> Result<HardwareClaims, Rejection> {
    list.yields(POLICY, input.policy.check(), "a complete policy", |()| "complete".to_owned())?;
    let platform = admitted(tee, input.policy, list)?;
    list.plan_more(&platform.steps());
    list.plan_more(&[SIGNED_DATA, HARDWARE]);
    let stated = platform.commitment(input.evidence).map_err(|error| list.failed(REPORT_DATA, error))?;
    let hardware = authenticated(platform, input, &stated, list)?;
    hardware_id(&hardware, input.policy, list)?;
    let voucher = platform.release(&hardware, input.policy, list)?;
    let hardware = endorsed(hardware, voucher, input.now, list)?;
    let wanted = expected.describe(|data| stated.spelled(data));
    list.holds(REPORT_DATA, stated.satisfies(expected), wanted, stated.to_hex())?;
    Ok(hardware)
}

fn admitted(tee: TeeType, policy: &Policy, list: &mut Checklist) -> Result<&'static dyn Platform, Rejection> {
    let names: Vec<&str> = policy.tee_types.iter().map(|tee| tee.as_str()).collect();
    let known = platform::find(tee).filter(|_| policy.tee_types.contains(&tee)).ok_or_else(|| {
        Rejection::new(
            TEE.code,
            TEE.field,
            format!("a supported one of [{}]", names.join(", ")),
            tee.as_str(),
        )
    });
    list.yields(TEE, known, &names.join(", "), |_| tee.as_str().to_owned())
}

/// Versions, channels, role and kind: what the enclave offers against what was asked for.
fn offer(
    claims: &EnclaveClaims,
    expected: &Expected,
    policy: &Policy,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let range = claims.min_version..=claims.max_version;
    let found = format!("{} to {}", claims.min_version, claims.max_version);
    list.holds(
        VERSION,
        range.contains(&PROTOCOL_VERSION),
        format!("a range with {PROTOCOL_VERSION}"),
        found,
    )?;
    let names = |channels: &[crate::enclave_claims::Channel]| {
        channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(", ")
    };
    let offered = policy.channels.iter().all(|channel| claims.channels.contains(channel));
    list.holds(CHANNELS, offered, names(&policy.channels), names(&claims.channels))?;
    list.holds(ROLE, claims.role == expected.role(), expected.role().to_string(), claims.role.to_string())?;
    freshness::kind(claims, expected, list)
}

/// Authenticates and judges the CPU evidence; the authenticated report data must be the one judged before.
fn authenticated(
    platform: &dyn Platform,
    input: &Input<'_>,
    stated: &Commitment,
    list: &mut Checklist,
) -> Result<HardwareClaims, Rejection> {
    let hardware = platform.authenticate(input, &mut WorkLimit::new(), list)?;
    list.keep(&hardware);
    platform.judge(&hardware, input, list)?;
    let signed = hardware.commitment();
    list.holds(SIGNED_DATA, signed == *stated, stated.to_hex(), signed.to_hex())?;
    Ok(hardware)
}

fn hardware_id(hardware: &HardwareClaims, policy: &Policy, list: &mut Checklist) -> Result<(), Rejection> {
    let found =
        hardware.hardware_id.as_ref().map_or_else(|| "no chip identity".to_owned(), HardwareId::to_hex);
    match &policy.hardware {
        HardwareRule::Any { .. } => list.holds(HARDWARE, true, "any (waived)", found),
        HardwareRule::Unnamed => list.holds(HARDWARE, false, "one that the policy names", found),
        HardwareRule::Listed(ids) => {
            let listed = hardware.hardware_id.as_ref().is_some_and(|id| ids.contains(id));
            list.holds(HARDWARE, listed, format!("one of {} listed processors", ids.len()), found)
        }
    }
}

/// A provider's word for the measurement has to be in force, and ends the result when it ends.
fn endorsed(
    hardware: HardwareClaims,
    voucher: &Voucher,
    now: UnixTime,
    list: &mut Checklist,
) -> Result<HardwareClaims, Rejection> {
    let Some(endorsement) = voucher.endorsement() else {
        return Ok(hardware);
    };
    list.plan_more(&[FIRMWARE]);
    let expected = format!("a time from {} to {}", endorsement.valid_from(), endorsement.valid_until());
    list.holds(FIRMWARE, endorsement.valid_at(now), expected, now.to_string())?;
    let firmware = EndorsedFirmware {
        digest: *endorsement.digest(),
        issued_at: endorsement.issued_at(),
        firmware_only: matches!(voucher, Voucher::GoogleFirmwareOnly { .. }),
    };
    let not_after = hardware.not_after.min(endorsement.valid_until());
    Ok(HardwareClaims { firmware: Some(firmware), not_after, ..hardware })
}

fn deployment(claims: &EnclaveClaims, policy: &Policy, list: &mut Checklist) -> Result<(), Rejection> {
    let found = crate::digest::to_hex(&claims.deployment_id);
    match &policy.deployment {
        DeploymentRule::Unpinned => list.holds(DEPLOYMENT, true, "any (not pinned)", found),
        DeploymentRule::Pinned(id) => {
            list.holds(DEPLOYMENT, claims.deployment_id == *id, crate::digest::to_hex(id), found)
        }
    }
}

/// When the floors end that were applied: SEV-SNP's own, which TDX has in its collateral.
fn floors_end(hardware: &HardwareClaims, policy: &Policy) -> UnixTime {
    match (&hardware.platform, &policy.snp.floors) {
        (PlatformClaims::Snp(_), FloorRule::File { floors, grace }) => floors.valid_until.plus(*grace),
        (PlatformClaims::Snp(_), FloorRule::Unchecked { .. }) | (PlatformClaims::Tdx(_), _) => {
            UnixTime::from_seconds(u64::MAX)
        }
    }
}
