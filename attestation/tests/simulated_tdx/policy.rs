//! What a TDX policy may say, and what no channel may be opened under.

use crate::world::policy;
use attestation::claims::tdx::Xfam;
use attestation::policy::tdx::{
    AdvisoryRule, CollateralAge, EvaluationRule, ModuleRule, StatusOverride, TdxPolicy, TdxReferences,
    TdxRelease,
};
use attestation::reference_values::Requirement;
use attestation::{Code, Measurement, Policy, TeeType, UnixTime};
use std::time::Duration;

fn release(xfam: u64) -> TdxRelease {
    TdxRelease::pinned("test", Measurement::new([1; 48]), [Measurement::new([2; 48]); 3], Xfam(xfam))
}

fn codes(edit: impl Fn(&mut Policy)) -> (Option<Code>, Option<Code>) {
    let mut policy = policy();
    edit(&mut policy);
    let code = |result: Result<(), attestation::Rejection>| result.err().map(|error| error.code);
    (code(policy.check()), code(policy.check_for_channel()))
}

#[test]
fn empty_lists_and_values_out_of_range_are_refused() {
    assert_eq!(codes(|_| ()), (None, None));
    let why = || "test".to_owned();
    let wrong: [(&str, Box<dyn Fn(&mut Policy)>, Code); 6] = [
        ("no release", Box::new(|p| p.tdx = TdxPolicy::standard(Vec::new())), Code::PolEmptyAllowlist),
        ("no module", Box::new(|p| p.tdx.module = ModuleRule::Listed(Vec::new())), Code::PolEmptyAllowlist),
        (
            "31 days",
            Box::new(|p| p.tdx.collateral_age = CollateralAge::AtMost(Duration::from_hours(31 * 24))),
            Code::PolInvalid,
        ),
        ("impossible xfam", Box::new(|p| p.tdx = TdxPolicy::standard(vec![release(0)])), Code::PolInvalid),
        (
            "15 days",
            Box::new(move |p| {
                let (granted_at, until) = (UnixTime::from_seconds(0), UnixTime::from_seconds(15 * 86_400));
                p.tdx.status.relaunch = StatusOverride::Granted { granted_at, until, reason: why() };
            }),
            Code::PolInvalid,
        ),
        (
            "at least a register",
            Box::new(|p| {
                let mut release = release(3);
                release.mr_owner = Requirement::AtLeast(Measurement::new([0; 48]));
                p.tdx = TdxPolicy::standard(vec![release]);
            }),
            Code::PolInvalid,
        ),
    ];
    for (what, edit, expected) in wrong {
        assert_eq!(codes(edit.as_ref()), (Some(expected), Some(expected)), "{what}");
    }
    // a policy that does not take TDX needs no releases for it
    let only_snp = codes(|policy| {
        policy.tee_types = vec![TeeType::Snp];
        policy.references = attestation::reference_values::ReferenceValues::Pinned(vec![
            attestation::reference_values::Release::pinned("test", Measurement::new([1; 48])),
        ]);
        policy.tdx = TdxPolicy::standard(Vec::new());
    });
    assert_eq!(only_snp, (None, None));
}

#[test]
fn what_no_channel_may_waive_is_refused_there_and_allowed_offline() {
    let why = || "test".to_owned();
    let loose: [(&str, fn(&mut Policy, String)); 5] = [
        ("references", |policy, reason| policy.tdx.references = TdxReferences::Unchecked { reason }),
        ("age", |policy, reason| policy.tdx.collateral_age = CollateralAge::Unchecked { reason }),
        ("evaluation", |policy, reason| policy.tdx.evaluation = EvaluationRule::Unchecked { reason }),
        ("advisories", |policy, reason| policy.tdx.advisories = AdvisoryRule::Unchecked { reason }),
        ("owner", |policy, reason| {
            let mut release = release(3);
            release.mr_owner = Requirement::Waived { reason };
            policy.tdx = TdxPolicy::standard(vec![release]);
        }),
    ];
    for (what, edit) in loose {
        let found = codes(|policy| edit(policy, why()));
        assert_eq!(found, (None, Some(Code::PolInvalid)), "{what}");
        let mut policy = policy();
        edit(&mut policy, why());
        assert!(policy.waivers().iter().any(|waiver| waiver.reason == "test"), "{what}");
    }
}
