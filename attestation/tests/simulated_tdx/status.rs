//! TCB statuses: what the platform is found to be, and which overrides accept it for how long.

use crate::world::{NOW, code, evidence, evidence_5, judge, policy};
use attestation::claims::PlatformClaims;
use attestation::claims::tdx::{Fmspc, TcbStatus};
use attestation::policy::tdx::{AdvisoryRule, HardeningRule, OutOfDateException, StatusOverride};
use attestation::{AppraisedEvidence, Code, Policy, Rejected, UnixTime};
use simtee::tdx::{LevelSpec, TdxSpec};

const FAMILY: Fmspc = Fmspc([0x90, 0xc0, 0x6f, 0, 0, 0]);

fn why() -> String {
    "test".to_owned()
}

fn granted() -> StatusOverride {
    StatusOverride::Granted {
        granted_at: UnixTime::from_seconds(NOW - 86_400),
        until: UnixTime::from_seconds(NOW + 86_400),
        reason: why(),
    }
}

fn found(result: &Result<AppraisedEvidence, Rejected>) -> String {
    match result {
        Ok(accepted) => match &accepted.hardware.platform {
            PlatformClaims::Tdx(claims) => claims.tcb_status.to_string(),
            other => panic!("not TDX: {other:?}"),
        },
        Err(rejected) => {
            assert_eq!(rejected.rejection.code, Code::TdxTcbStatus, "{rejected}");
            assert!(rejected.authentic);
            rejected.rejection.found.clone()
        }
    }
}

fn with_status(status: &str) -> impl Fn(&mut TdxSpec) {
    let status = status.to_owned();
    move |spec| spec.tcb_info.levels[0].status.clone_from(&status)
}

#[test]
fn only_up_to_date_is_accepted_without_an_override() {
    for status in TcbStatus::ALL {
        if status.relaunch_advised() || status == TcbStatus::NoMatchingTcbLevel {
            continue;
        }
        let result = judge(&evidence(with_status(status.as_str())), &policy());
        assert_eq!(result.is_ok(), status == TcbStatus::UpToDate, "{status}");
        assert_eq!(found(&result), status.as_str());
    }
}

#[test]
fn the_status_is_the_worst_of_platform_module_and_enclave() {
    let cases: [(&str, fn(&mut TdxSpec), &str); 11] = [
        ("one sgx component low", |s| s.pck.components[15] = 2, "OutOfDate"),
        ("cpu svn low", |s| s.pck.cpu_svn[0] = 2, "OutOfDate"),
        ("pce low", |s| s.pck.pce_svn = 12, "OutOfDate"),
        ("below every level", |s| s.pck.pce_svn = 10, "NoMatchingTcbLevel"),
        ("tdx component low", |s| s.body.tee_tcb_svn[2] = 2, "OutOfDate"),
        ("module low", |s| s.body.tee_tcb_svn[0] = 5, "OutOfDate"),
        ("module below every level", |s| s.body.tee_tcb_svn[0] = 3, "NoMatchingTcbLevel"),
        ("enclave low", |s| s.qe.isv_svn = 5, "OutOfDate"),
        ("enclave below every level", |s| s.qe.isv_svn = 3, "NoMatchingTcbLevel"),
        (
            "enclave misconfigured",
            |s| s.qe_identity.levels[0].status = "ConfigurationNeeded".to_owned(),
            "ConfigurationNeeded",
        ),
        (
            "old and misconfigured",
            |s| {
                s.qe.isv_svn = 5;
                s.tcb_info.levels[0].status = "ConfigurationAndSWHardeningNeeded".to_owned();
            },
            "OutOfDateConfigurationNeeded",
        ),
    ];
    for (what, edit, expected) in cases {
        assert_eq!(found(&judge(&evidence(edit), &policy())), expected, "{what}");
    }
    // a module without a version is judged by TDX components 0 and 1
    let unversioned = |spec: &mut TdxSpec| {
        spec.body.tee_tcb_svn = [3; 16];
        spec.body.tee_tcb_svn[1] = 0;
    };
    assert_eq!(found(&judge(&evidence(unversioned), &policy())), "NoMatchingTcbLevel");
    let levelled = |spec: &mut TdxSpec| {
        unversioned(spec);
        spec.tcb_info.levels[0].tdx[1] = 0;
    };
    assert_eq!(found(&judge(&evidence(levelled), &policy())), "UpToDate");
    // Intel's order of levels does not matter
    let reversed = evidence(|spec| spec.tcb_info.levels.reverse());
    assert_eq!(found(&judge(&reversed, &policy())), "UpToDate");
}

#[test]
fn relaunch_is_advised_when_only_the_launch_was_old() {
    let launched_old = |spec: &mut TdxSpec| {
        let running = spec.body.tee_tcb_svn;
        spec.body.tee_tcb_svn[0] = 4;
        spec.body.extension = Some((running, [0; 48]));
    };
    let result = judge(&evidence_5(launched_old), &policy());
    assert_eq!(found(&result), "TDRelaunchAdvised");
    let misconfigured = |spec: &mut TdxSpec| {
        launched_old(spec);
        spec.tcb_info.levels[0].status = "ConfigurationNeeded".to_owned();
    };
    let result = judge(&evidence_5(misconfigured), &policy());
    assert_eq!(found(&result), "TDRelaunchAdvisedConfigurationNeeded");
    let running_old = |spec: &mut TdxSpec| {
        let mut running = spec.body.tee_tcb_svn;
        running[0] = 4;
        spec.body.extension = Some((running, [0; 48]));
    };
    // here Intel's library would look at the launch only
    assert_eq!(found(&judge(&evidence_5(running_old), &policy())), "OutOfDate");
    let mut relaunch = policy();
    relaunch.tdx.status.relaunch = granted();
    assert!(judge(&evidence_5(launched_old), &relaunch).is_ok());
    assert!(judge(&evidence_5(misconfigured), &relaunch).is_err());
    relaunch.tdx.status.configuration = granted();
    assert!(judge(&evidence_5(misconfigured), &relaunch).is_ok());
    assert!(judge(&evidence_5(running_old), &relaunch).is_err());
}

#[test]
fn each_override_accepts_its_status_while_it_lasts() {
    let accepted = |edit: &dyn Fn(&mut TdxSpec), set: &dyn Fn(&mut Policy)| {
        let mut policy = policy();
        set(&mut policy);
        let result = judge(&evidence(edit), &policy);
        if let Ok(accepted) = &result {
            assert!(accepted.waivers.iter().any(|waiver| waiver.rule.starts_with("tdx.status")));
        }
        result.is_ok()
    };
    let hardening = |policy: &mut Policy| {
        policy.tdx.status.hardening = HardeningRule::Accepted { reason: why() };
    };
    let configuration = |policy: &mut Policy| policy.tdx.status.configuration = granted();
    let old = |until: u64, fmspc: Fmspc| {
        move |policy: &mut Policy| {
            let entry = OutOfDateException { fmspc, until: UnixTime::from_seconds(until), reason: why() };
            policy.tdx.status.out_of_date = vec![entry];
        }
    };
    assert!(accepted(&with_status("SWHardeningNeeded"), &hardening));
    assert!(!accepted(&with_status("SWHardeningNeeded"), &configuration));
    assert!(accepted(&with_status("ConfigurationNeeded"), &configuration));
    assert!(!accepted(&with_status("ConfigurationAndSWHardeningNeeded"), &configuration));
    assert!(accepted(&with_status("ConfigurationAndSWHardeningNeeded"), &|policy| {
        hardening(policy);
        configuration(policy);
    }));
    assert!(accepted(&with_status("OutOfDate"), &old(NOW, FAMILY)));
    assert!(!accepted(&with_status("OutOfDate"), &old(NOW - 1, FAMILY)));
    assert!(!accepted(&with_status("OutOfDate"), &old(NOW, Fmspc([1; 6]))));
    assert!(!accepted(&with_status("OutOfDateConfigurationNeeded"), &old(NOW, FAMILY)));
    for never in ["Revoked", "NoMatchingTcbLevel"] {
        let edit = move |spec: &mut TdxSpec| {
            if never == "Revoked" { with_status(never)(spec) } else { spec.pck.pce_svn = 10 }
        };
        assert!(!accepted(&edit, &|policy| {
            hardening(policy);
            configuration(policy);
            policy.tdx.status.relaunch = granted();
            old(NOW, FAMILY)(policy);
        }));
    }
    let over = |policy: &mut Policy| {
        policy.tdx.status.configuration = StatusOverride::Granted {
            granted_at: UnixTime::from_seconds(NOW - 100),
            until: UnixTime::from_seconds(NOW - 1),
            reason: why(),
        };
    };
    assert!(!accepted(&with_status("ConfigurationNeeded"), &over));
}

#[test]
fn advisories_must_be_on_the_list() {
    let advised = evidence(|spec| {
        spec.tcb_info.levels[0].advisories = vec!["INTEL-SA-00002".to_owned(), "INTEL-SA-00001".to_owned()];
        spec.qe_identity.levels[0].advisories = vec!["INTEL-SA-00003".to_owned()];
        let module: &mut LevelSpec = &mut spec.tcb_info.modules[0].levels[0];
        module.advisories = vec!["INTEL-SA-00001".to_owned()];
    });
    let result = judge(&advised, &policy());
    assert_eq!(code(&result), Some(Code::TdxAdvisory));
    let listed = result.expect_err("rejected").rejection.found;
    assert_eq!(listed, "INTEL-SA-00001, INTEL-SA-00002, INTEL-SA-00003");
    let list = |names: &[&str]| {
        let mut policy = policy();
        policy.tdx.advisories = AdvisoryRule::Listed(names.iter().map(|name| (*name).to_owned()).collect());
        policy
    };
    assert!(judge(&advised, &list(&["INTEL-SA-00001", "INTEL-SA-00003"])).is_err());
    let all = list(&["INTEL-SA-00001", "INTEL-SA-00002", "INTEL-SA-00003"]);
    assert!(
        judge(&advised, &all).expect("listed").waivers.iter().any(|waiver| waiver.rule == "tdx.advisories")
    );
    let odd = evidence(|spec| spec.tcb_info.levels[0].advisories = vec!["<script>".to_owned()]);
    assert_eq!(code(&judge(&odd, &policy())), Some(Code::TdxCollateral));
}
