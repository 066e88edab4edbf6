//! Part B's TDX rows over authenticated claims. Each row is one check with what was expected and found.

use crate::checklist::{Checklist, Step};
use crate::claims::tdx::{Fmspc, LogEvent, Padding, TdReport, TdxClaims};
use crate::digest::{Measurement, UnixTime};
use crate::platform::tdx::steps;
use crate::policy::snp::Bit;
use crate::policy::tdx::{
    AdvisoryRule, CollateralAge, EvaluationRule, LogRule, ModuleRule, Rtmr3Rule, TdxPolicy, TdxReferences,
    TdxRelease,
};
use crate::reference_values::{Requirement, Voucher};
use crate::rejection::Rejection;

const ZERO: Measurement = Measurement::new([0; 48]);

/// Every row that does not depend on the release, but the second verifier's.
pub(super) fn platform(
    claims: &TdxClaims,
    policy: &TdxPolicy,
    now: UnixTime,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    collateral(claims, policy, now, list)?;
    module(claims, policy, list)?;
    status(claims, policy, now, list)?;
    attributes(&claims.report, policy, list)?;
    let service = claims.report.mr_service_td.unwrap_or(ZERO);
    list.holds(steps::SERVICE_TD, service == ZERO, "zero", service.to_hex())?;
    let xfam = claims.report.xfam;
    let expected = "bits 0 and 1 one, bits outside 0x6dbe7 zero";
    list.holds(steps::XFAM_BITS, xfam.well_formed(), expected, xfam.to_string())?;
    let found = match claims.padding {
        Padding::Garbage => "other bytes".to_owned(),
        Padding::Zeros(count) => format!("{count} zero bytes"),
    };
    list.holds(steps::PADDING, claims.padding != Padding::Garbage, "nothing or zeros after the quote", found)
}

fn collateral(
    claims: &TdxClaims,
    policy: &TdxPolicy,
    now: UnixTime,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let number = claims.evaluation_number;
    let least = match &policy.evaluation {
        EvaluationRule::AtLeast { floor, seen } => Some(least_evaluation(*floor, seen, claims.pck.fmspc)),
        EvaluationRule::Unchecked { .. } => None,
    };
    let expected =
        least.map_or_else(|| "any (waived)".to_owned(), |least| format!("evaluation {least} or later"));
    list.holds(steps::EVALUATION, least.is_none_or(|least| number >= least), expected, number.to_string())?;
    let (holds, expected) = match &policy.collateral_age {
        CollateralAge::AtMost(age) => (
            claims.collateral_issued.plus(*age) >= now,
            format!("issued at most {} h ago", age.as_secs() / 3600),
        ),
        CollateralAge::Unchecked { .. } => (true, "any (waived)".to_owned()),
    };
    list.holds(steps::AGE, holds, expected, format!("issued {}", claims.collateral_issued))
}

/// The policy's floor or what was seen before, whichever is higher.
fn least_evaluation(floor: u32, seen: &[(Fmspc, u32)], fmspc: Fmspc) -> u32 {
    let same = seen.iter().filter(|(family, _)| *family == fmspc).map(|(_, number)| *number);
    same.fold(floor, u32::max)
}

fn module(claims: &TdxClaims, policy: &TdxPolicy, list: &mut Checklist) -> Result<(), Rejection> {
    let report = &claims.report;
    let found = claims.module.err().unwrap_or("known, signed by Intel");
    let intel = report.mr_signer_seam == ZERO && report.seam_attributes == 0;
    let found = if claims.module.is_ok() && !intel { "another signer or attributes" } else { found };
    list.holds(steps::MODULE, claims.module.is_ok() && intel, "a TDX module of Intel's TCB info", found)?;
    let (holds, expected) = match &policy.module {
        ModuleRule::AnyKnown => (true, "any known module".to_owned()),
        ModuleRule::Listed(modules) => {
            (modules.contains(&report.mr_seam), format!("one of {} listed modules", modules.len()))
        }
    };
    list.holds(steps::SEAM, holds, expected, report.mr_seam.to_hex())
}

fn status(
    claims: &TdxClaims,
    policy: &TdxPolicy,
    now: UnixTime,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let accepted = policy.status.accepts(claims.tcb_status, claims.pck.fmspc, now);
    list.holds(
        steps::STATUS,
        accepted,
        "UpToDate, or a status the policy accepts",
        claims.tcb_status.as_str(),
    )?;
    let found = claims.advisories.join(", ");
    let (holds, expected) = match &policy.advisories {
        AdvisoryRule::Listed(allowed) => {
            let known = claims.advisories.iter().all(|advisory| allowed.contains(advisory));
            (known, format!("none but [{}]", allowed.join(", ")))
        }
        AdvisoryRule::Unchecked { .. } => (true, "any (waived)".to_owned()),
    };
    list.holds(steps::ADVISORIES, holds, expected, if found.is_empty() { "none".to_owned() } else { found })
}

fn attributes(report: &TdReport, policy: &TdxPolicy, list: &mut Checklist) -> Result<(), Rejection> {
    let found = report.attributes;
    list.holds(steps::DEBUG, found.under_debug() == 0, "bits 7:0 zero", found.to_string())?;
    bit(steps::MIGRATABLE, Bit::Forbidden, found.migratable(), list)?;
    bit(steps::SEPT_VE, Bit::Required, found.sept_ve_disable(), list)?;
    bit(steps::PKS, policy.attributes.pks, found.pks(), list)?;
    bit(steps::KEY_LOCKER, policy.attributes.key_locker, found.key_locker(), list)?;
    bit(steps::PERFMON, policy.attributes.perfmon, found.perfmon(), list)?;
    let others = found.others();
    list.holds(steps::OTHERS, others == 0, "no other bit", format!("{others:#x}"))
}

/// The rows a release fixes.
pub(super) fn release<'p>(
    claims: &TdxClaims,
    policy: &'p TdxPolicy,
    list: &mut Checklist,
) -> Result<&'p Voucher, Rejection> {
    let report = &claims.report;
    let releases = match &policy.references {
        TdxReferences::Pinned(releases) => releases,
        TdxReferences::Unchecked { .. } => {
            release_waived(list)?;
            return Ok(&Voucher::Author);
        }
    };
    measurements(report, releases, list)?;
    let matching: Vec<&TdxRelease> =
        releases.iter().filter(|release| same_registers(report, release)).collect();
    let exact =
        matching.iter().find(|release| release.xfam.accepts(&report.xfam)).or_else(|| matching.first());
    let Some(release) = exact else {
        // a register was refused, and what follows belongs to a release
        return Ok(&Voucher::Author);
    };
    let xfam = release.xfam.describe(ToString::to_string);
    list.holds(steps::XFAM, release.xfam.accepts(&report.xfam), xfam, report.xfam.to_string())?;
    rtmr3(claims, release, list)?;
    supplied(steps::CONFIG_ID, &release.mr_config_id, &report.mr_config_id, list)?;
    supplied(steps::OWNER, &release.mr_owner, &report.mr_owner, list)?;
    supplied(steps::OWNER_CONFIG, &release.mr_owner_config, &report.mr_owner_config, list)?;
    Ok(&release.voucher)
}

fn release_waived(list: &mut Checklist) -> Result<(), Rejection> {
    for step in [
        steps::MR_TD,
        steps::RTMR0,
        steps::RTMR1,
        steps::RTMR2,
        steps::XFAM,
        steps::RTMR3,
        steps::CONFIG_ID,
        steps::OWNER,
        steps::OWNER_CONFIG,
    ] {
        list.holds(step, true, "any (waived)", "not judged")?;
    }
    Ok(())
}

fn same_registers(report: &TdReport, release: &TdxRelease) -> bool {
    let [rtmr0, rtmr1, rtmr2, _] = report.rtmr;
    let found = [report.mr_td, rtmr0, rtmr1, rtmr2];
    registers(release).into_iter().zip(found).all(|(expected, found)| expected.accepts(&found))
}

/// Register by register, among the releases that the registers before leave.
fn measurements(report: &TdReport, releases: &[TdxRelease], list: &mut Checklist) -> Result<(), Rejection> {
    let [rtmr0, rtmr1, rtmr2, _] = report.rtmr;
    let mut left: Vec<&TdxRelease> = releases.iter().collect();
    let found = [report.mr_td, rtmr0, rtmr1, rtmr2];
    let steps = [steps::MR_TD, steps::RTMR0, steps::RTMR1, steps::RTMR2];
    for (index, (step, found)) in steps.into_iter().zip(found).enumerate() {
        let known: Vec<String> = left
            .iter()
            .filter_map(|release| registers(release).get(index).copied())
            .map(|expected| expected.describe(Measurement::to_hex))
            .collect();
        left.retain(|release| registers(release).get(index).is_some_and(|expected| expected.accepts(&found)));
        let expected = match left.first() {
            Some(release) => format!("release {}", release.name),
            None => format!("one of [{}]", known.join(", ")),
        };
        list.holds(step, !left.is_empty(), expected, found.to_hex())?;
        if left.is_empty() {
            // an explanation has nothing to compare the others with
            break;
        }
    }
    Ok(())
}

const fn registers(release: &TdxRelease) -> [&Requirement<Measurement>; 4] {
    let [rtmr0, rtmr1, rtmr2] = &release.rtmr;
    [&release.mr_td, rtmr0, rtmr1, rtmr2]
}

fn rtmr3(claims: &TdxClaims, release: &TdxRelease, list: &mut Checklist) -> Result<(), Rejection> {
    let [_, _, _, found] = claims.report.rtmr;
    match &release.rtmr3 {
        Rtmr3Rule::Waived { .. } => list.holds(steps::RTMR3, true, "any (waived)", found.to_hex()),
        Rtmr3Rule::Zero => list.holds(steps::RTMR3, found == ZERO, "zero", found.to_hex()),
        Rtmr3Rule::Log(rules) => {
            // the log as a whole was replayed to the registers before
            let events: Vec<&LogEvent> = claims.events.iter().filter(|event| event.register == 3).collect();
            let explained = !rules.is_empty()
                && events.len() == rules.len()
                && events.iter().zip(rules).all(|(event, rule)| explains(event, rule));
            let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
            let expected = format!("events [{}] with the expected payloads", names.join(", "));
            list.holds(steps::RTMR3, explained, expected, format!("{} events", events.len()))
        }
    }
}

fn explains(event: &LogEvent, rule: &LogRule) -> bool {
    event.recomputed && event.name == rule.name && rule.payload.accepts(&event.payload)
}

fn supplied(
    step: Step,
    requirement: &Requirement<Measurement>,
    found: &Measurement,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    list.holds(step, requirement.accepts(found), requirement.describe(Measurement::to_hex), found.to_hex())
}

fn bit(step: Step, rule: Bit, found: bool, list: &mut Checklist) -> Result<(), Rejection> {
    list.holds(step, rule.accepts(found), rule.describe(), if found { "1" } else { "0" })
}
