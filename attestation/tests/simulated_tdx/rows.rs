//! Part B's TDX rows over fields: each has evidence that passes and evidence that fails.

use crate::world::{NOW, code, evidence, evidence_5, judge, judge_with, policy};
use attestation::claims::PlatformClaims;
use attestation::claims::tdx::{Fmspc, TcbStatus};
use attestation::digest::{Sha384, to_hex};
use attestation::policy::HardwareRule;
use attestation::policy::snp::Bit;
use attestation::policy::tdx::{
    CollateralAge, EvaluationRule, LogRule, ModuleRule, Rtmr3Rule, TdxReferences, TdxRelease,
};
use attestation::reference_values::Requirement;
use attestation::{Code, Measurement, Policy};
use simtee::tdx::TdxSpec;
use std::time::Duration;

fn release(policy: &mut Policy) -> &mut TdxRelease {
    match &mut policy.tdx.references {
        TdxReferences::Pinned(releases) => &mut releases[0],
        TdxReferences::Unchecked { .. } => panic!("pinned"),
    }
}

#[test]
fn good_evidence_of_both_versions_is_accepted() {
    for evidence in [evidence(|_| ()), evidence_5(|_| ())] {
        let accepted = judge(&evidence, &policy()).expect("good evidence");
        let PlatformClaims::Tdx(claims) = &accepted.hardware.platform else { panic!("TDX") };
        assert_eq!(claims.tcb_status, TcbStatus::UpToDate);
        assert_eq!(accepted.hardware.anchor, attestation::claims::Anchor::Simulated);
        // the 30 days of collateral end first
        assert_eq!(accepted.expires_at.seconds(), NOW + 30 * 86_400);
        let rules: Vec<_> = accepted.waivers.iter().map(|waiver| waiver.rule).collect();
        assert_eq!(rules, ["tdx.references"]);
    }
}

#[test]
fn each_field_out_of_its_row_has_its_code() {
    let rows: [(&str, fn(&mut TdxSpec), Code, bool); 39] = [
        ("version 3", |s| s.header.version = 3, Code::AttTeeType, false),
        ("version 6", |s| s.header.version = 6, Code::TdxHeader, false),
        ("sgx", |s| s.header.tee_type = 0, Code::AttTeeType, false),
        ("another tee", |s| s.header.tee_type = 0x82, Code::AttTeeType, false),
        ("key type 3", |s| s.header.key_type = 3, Code::TdxHeader, false),
        ("vendor", |s| s.header.vendor[0] ^= 1, Code::TdxHeader, false),
        ("qe signer", |s| s.qe.mr_signer[0] ^= 1, Code::TdxQe, false),
        ("qe product", |s| s.qe.isv_prod_id = 1, Code::TdxQe, false),
        ("qe miscselect", |s| s.qe.miscselect[0] = 1, Code::TdxQe, false),
        ("qe attributes", |s| s.qe.attributes[0] |= 0x20, Code::TdxQe, false),
        ("qe debug", |s| s.qe.attributes[0] |= 0x02, Code::TdxQe, false),
        ("qe identity of sgx", |s| s.qe_identity.id = "QE".to_owned(), Code::TdxQe, false),
        ("qe identity version", |s| s.qe_identity.version = 4, Code::TdxQe, false),
        ("fmspc", |s| s.pck.fmspc[0] ^= 1, Code::TdxTcbinfoMismatch, false),
        ("pce id", |s| s.pck.pce_id[1] = 1, Code::TdxTcbinfoMismatch, false),
        ("tcb info of sgx", |s| s.tcb_info.id = "SGX".to_owned(), Code::TdxTcbinfoMismatch, false),
        ("tcb info version", |s| s.tcb_info.version = 2, Code::TdxTcbinfoMismatch, false),
        ("tcb type", |s| s.tcb_info.tcb_type = 1, Code::TdxTcbinfoMismatch, false),
        ("evaluation", |s| s.tcb_info.evaluation_number = 17, Code::TdxCollateralRollback, true),
        ("qe evaluation", |s| s.qe_identity.evaluation_number = 17, Code::TdxCollateralRollback, true),
        ("seam signer", |s| s.body.mr_signer_seam[47] = 1, Code::TdxModule, true),
        ("seam attributes", |s| s.body.seam_attributes = 1, Code::TdxModule, true),
        ("module unknown", |s| s.body.tee_tcb_svn[1] = 2, Code::TdxModule, true),
        ("debug", |s| s.body.td_attributes |= 1, Code::TdxDebug, true),
        ("profiling", |s| s.body.td_attributes |= 1 << 4, Code::TdxDebug, true),
        ("migratable", |s| s.body.td_attributes |= 1 << 29, Code::TdxMigratable, true),
        ("sept", |s| s.body.td_attributes = 0, Code::TdxAttributes, true),
        ("perfmon", |s| s.body.td_attributes |= 1 << 63, Code::TdxAttributes, true),
        ("lass", |s| s.body.td_attributes |= 1 << 27, Code::TdxAttributes, true),
        ("reserved", |s| s.body.td_attributes |= 1 << 40, Code::TdxAttributes, true),
        ("xfam fixed one", |s| s.body.xfam = 0x0006_02e4, Code::TdxXfam, true),
        ("xfam fixed zero", |s| s.body.xfam |= 1 << 40, Code::TdxXfam, true),
        ("xfam other", |s| s.body.xfam = 0xe7, Code::TdxXfam, true),
        // only dcap-qvl reads the date of a level, so only it refuses
        (
            "module level date",
            |s| s.tcb_info.modules[0].levels[0].date = "never".to_owned(),
            Code::TdxLibrary,
            true,
        ),
        ("mrtd", |s| s.body.mr_td[0] ^= 1, Code::TdxMeasurement, true),
        ("rtmr3", |s| s.body.rtmr[3][0] = 1, Code::TdxRtmr3, true),
        ("config id", |s| s.body.mr_config_id[0] = 1, Code::TdxConfigId, true),
        ("owner", |s| s.body.mr_owner[0] = 1, Code::TdxConfigId, true),
        ("owner config", |s| s.body.mr_owner_config[0] = 1, Code::TdxConfigId, true),
    ];
    for (what, edit, expected, authentic) in rows {
        let result = judge(&evidence(edit), &policy());
        assert_eq!(code(&result), Some(expected), "{what}");
        assert_eq!(result.expect_err("rejected").authentic, authentic, "{what}");
    }
    for register in 0..3 {
        let result = judge(&evidence(|spec| spec.body.rtmr[register][47] ^= 1), &policy());
        assert_eq!(code(&result), Some(Code::TdxMeasurement), "rtmr{register}");
        let field = format!("cpu.quote.rtmr{register}");
        assert_eq!(result.expect_err("rejected").rejection.field, field);
    }
    let service = |spec: &mut TdxSpec| spec.body.extension = Some((spec.body.tee_tcb_svn, [1; 48]));
    assert_eq!(code(&judge(&evidence_5(service), &policy())), Some(Code::TdxServiceTd));
    let other = |spec: &mut TdxSpec| spec.body.report_data[0] ^= 1;
    assert_eq!(code(&judge(&evidence(other), &policy())), Some(Code::AttReportData));
}

#[test]
fn padding_is_zeros_or_nothing() {
    for length in [1, 70, 8000] {
        assert!(judge(&evidence(|spec| spec.padding = vec![0; length]), &policy()).is_ok());
    }
    let result = judge(&evidence(|spec| spec.padding = vec![0, 0, 1]), &policy());
    assert_eq!(code(&result), Some(Code::TdxPadding));
    let result = judge(&evidence(|spec| spec.padding = vec![0; 70_000]), &policy());
    assert_eq!(code(&result), Some(Code::AttMalformed));
}

#[test]
fn dates_have_two_ends() {
    let good = evidence(|_| ());
    for (now, expected) in [
        (NOW - 3600, None),
        (NOW - 3601, Some(Code::TdxCollateralStale)),
        (NOW + 30 * 86_400 + 1, Some(Code::TdxCollateralStale)),
    ] {
        assert_eq!(code(&judge_with(&good, &[], &policy(), now)), expected, "{now}");
    }
    let windows: [(&str, fn(&mut TdxSpec), Code); 8] = [
        ("tcb info later", |s| s.tcb_info.issued_at = NOW + 1, Code::TdxCollateralStale),
        ("tcb info over", |s| s.tcb_info.next_update = NOW - 1, Code::TdxCollateralStale),
        ("qe identity over", |s| s.qe_identity.next_update = NOW - 1, Code::TdxCollateralStale),
        ("lists over", |s| s.crl_validity.1 = NOW - 1, Code::TdxCollateralStale),
        ("lists later", |s| s.crl_validity.0 = NOW + 1, Code::TdxCollateralStale),
        ("pck over", |s| s.pck_validity.1 = NOW - 1, Code::TdxChain),
        ("ca later", |s| s.ca_validity.0 = NOW + 1, Code::TdxChain),
        ("signer over", |s| s.signer_validity.1 = NOW - 1, Code::TdxChain),
    ];
    for (what, edit, expected) in windows {
        let result = judge(&evidence(edit), &policy());
        assert_eq!(code(&result), Some(expected), "{what}");
        assert!(!result.expect_err("rejected").authentic, "{what}");
    }
}

#[test]
fn collateral_must_be_young_and_never_older_than_seen() {
    let old = evidence(|spec| spec.qe_identity.issued_at = NOW - 73 * 3600);
    let result = judge(&old, &policy());
    assert_eq!(code(&result), Some(Code::TdxCollateralStale));
    assert!(result.expect_err("rejected").authentic);
    let mut lenient = policy();
    lenient.tdx.collateral_age = CollateralAge::AtMost(Duration::from_hours(30 * 24));
    let accepted = judge(&old, &lenient).expect("within 30 days");
    assert!(accepted.waivers.iter().any(|waiver| waiver.rule == "tdx.collateral_age"));

    let family = Fmspc([0x90, 0xc0, 0x6f, 0, 0, 0]);
    let other = Fmspc([0, 0x80, 0x6f, 5, 0, 0]);
    for (seen, expected) in [
        (vec![(family, 20)], None),
        (vec![(other, 99)], None),
        (vec![(other, 99), (family, 21)], Some(Code::TdxCollateralRollback)),
    ] {
        let mut policy = policy();
        policy.tdx.evaluation = EvaluationRule::AtLeast { floor: 18, seen };
        assert_eq!(code(&judge(&evidence(|_| ()), &policy)), expected);
    }
    let mut higher = policy();
    higher.tdx.evaluation = EvaluationRule::AtLeast { floor: 21, seen: Vec::new() };
    assert_eq!(code(&judge(&evidence(|_| ()), &higher)), Some(Code::TdxCollateralRollback));
}

#[test]
fn configured_rows_go_both_ways() {
    let mut listed = policy();
    listed.tdx.module = ModuleRule::Listed(vec![Measurement::new([0x5e; 48])]);
    assert!(judge(&evidence(|_| ()), &listed).is_ok());
    listed.tdx.module = ModuleRule::Listed(vec![Measurement::new([0x5f; 48])]);
    assert_eq!(code(&judge(&evidence(|_| ()), &listed)), Some(Code::TdxModule));

    for (bit, set) in [(30, true), (30, false), (31, true), (31, false), (63, true), (63, false)] {
        for rule in [Bit::Any, Bit::Forbidden, Bit::Required] {
            let mut policy = policy();
            match bit {
                30 => policy.tdx.attributes.pks = rule,
                31 => policy.tdx.attributes.key_locker = rule,
                _ => policy.tdx.attributes.perfmon = rule,
            }
            let edit = |spec: &mut TdxSpec| spec.body.td_attributes |= u64::from(set) << bit;
            let expected = (!rule.accepts(set)).then_some(Code::TdxAttributes);
            assert_eq!(code(&judge(&evidence(edit), &policy)), expected, "bit {bit} {set} {rule:?}");
        }
    }

    let mut exact = policy();
    release(&mut exact).mr_config_id = Requirement::Exactly(Measurement::new([9; 48]));
    assert_eq!(code(&judge(&evidence(|_| ()), &exact)), Some(Code::TdxConfigId));
    assert!(judge(&evidence(|spec| spec.body.mr_config_id = [9; 48]), &exact).is_ok());

    let mut hardware = policy();
    let unnamed = evidence(|spec| spec.pck.ppid = [0; 16]);
    assert_eq!(code(&judge(&unnamed, &hardware)), Some(Code::AttHardwareId));
    assert_eq!(code(&judge(&evidence(|spec| spec.pck.ppid[0] = 7), &hardware)), Some(Code::AttHardwareId));
    hardware.hardware = HardwareRule::Any { reason: "test".to_owned() };
    assert!(judge(&unnamed, &hardware).is_ok());
}

/// An event as dstack guests log it, and what it extends.
fn event(register: usize, name: &str, payload: &[u8]) -> (String, [u8; 48]) {
    let kind = 0x0800_0001_u32;
    let measured = [&kind.to_le_bytes(), b":".as_slice(), name.as_bytes(), b":", payload].concat();
    let digest = *Sha384::of(&measured).as_bytes();
    let (hex, payload) = (to_hex(&digest), to_hex(payload));
    let text = format!(
        "{{\"imr\":{register},\"event_type\":{kind},\"digest\":\"{hex}\",\"event\":\"{name}\",\"event_payload\":\"{payload}\"}}"
    );
    (text, digest)
}

#[test]
fn a_log_explains_the_run_time_register_or_nothing() {
    let (first, first_digest) = event(3, "app-id", b"postern");
    let (second, second_digest) = event(3, "ready", b"");
    let after = Sha384::of(&[[0; 48], first_digest].concat());
    let register = *Sha384::of(&[*after.as_bytes(), second_digest].concat()).as_bytes();
    let extended = evidence(|spec| spec.body.rtmr[3] = register);
    let log = format!("[{first},{second}]");
    let rule = |name: &str, payload: &[u8]| LogRule {
        name: name.to_owned(),
        payload: Requirement::Exactly(payload.to_vec()),
    };
    let with = |rules: Vec<LogRule>| {
        let mut policy = policy();
        release(&mut policy).rtmr3 = Rtmr3Rule::Log(rules);
        policy
    };
    let right = with(vec![rule("app-id", b"postern"), rule("ready", b"")]);
    let judge = |log: &str, policy: &Policy| code(&judge_with(&extended, log.as_bytes(), policy, NOW));
    assert_eq!(judge(&log, &right), None);
    // a log is no excuse where none is expected, and none is no explanation
    assert_eq!(judge(&log, &policy()), Some(Code::TdxRtmr3));
    assert_eq!(judge("", &right), Some(Code::TdxRtmr3));
    assert_eq!(
        judge(&log, &with(vec![rule("app-id", b"another"), rule("ready", b"")])),
        Some(Code::TdxRtmr3)
    );
    assert_eq!(judge(&log, &with(vec![rule("app-id", b"postern")])), Some(Code::TdxRtmr3));
    assert_eq!(judge(&log, &with(Vec::new())), Some(Code::TdxRtmr3));
    // digests that lead to the register, but of other payloads: what the log says happened did not
    let forged = log.replace(&to_hex(b"postern"), &to_hex(b"mallory"));
    assert_ne!(forged, log);
    let wants_forged = with(vec![rule("app-id", b"mallory"), rule("ready", b"")]);
    assert_eq!(judge(&forged, &wants_forged), Some(Code::TdxRtmr3));
    assert_eq!(judge(&format!("[{second},{first}]"), &right), Some(Code::TdxEventLog));
    assert_eq!(judge(&format!("[{first}]"), &right), Some(Code::TdxEventLog));
    assert_eq!(judge("[{}]", &right), Some(Code::TdxEventLog));
    assert_eq!(judge("not a log", &right), Some(Code::TdxEventLog));
    let (foreign, _) = event(0, "", b"");
    assert_eq!(judge(&format!("[{foreign},{first},{second}]"), &right), Some(Code::TdxEventLog));
}

#[test]
fn an_explanation_lists_every_row_that_fails() {
    let bad = evidence(|spec| {
        spec.body.td_attributes = 1 | 1 << 29;
        spec.body.mr_td[0] ^= 1;
        spec.tcb_info.levels[0].status = "OutOfDate".to_owned();
    });
    let endorsements =
        attestation::endorsements::Endorsements { collateral: bad.collateral.clone(), ..Default::default() };
    let expected = Requirement::Exactly(attestation::ReportData::new([0xda; 64]));
    let now = attestation::UnixTime::from_seconds(NOW);
    let tee = attestation::TeeType::Tdx;
    let explained =
        attestation::explain_evidence(tee, &bad.quote, &endorsements.encode(), &expected, &policy(), now);
    let rejected = explained.expect_err("rejected");
    assert_eq!((rejected.rejection.code, rejected.authentic), (Code::TdxTcbStatus, true));
    let fails = rejected.checks.iter().filter(|check| check.outcome == attestation::Outcome::Fail);
    let fails: Vec<_> = fails.map(|check| check.id).collect();
    assert_eq!(
        fails,
        ["tdx.tcb_status", "tdx.debug", "tdx.migratable", "tdx.sept_ve_disable", "tdx.mr_td"],
        "registers after a refused one have no release to compare with"
    );
}
