use super::*;
use crate::digest::Measurement;
use crate::floors::TcbFloors;
use crate::reference_values::Requirement;

type Edit = fn(&mut Policy);
type Loosen = fn(&mut Policy, String);

fn policy() -> Policy {
    Policy::standard(
        vec![TeeType::Snp],
        vec![Release::pinned("test", Measurement::new([1; 48]))],
        HardwareRule::Listed(vec![HardwareId::try_from(&[1; 64][..]).expect("64 bytes")]),
        DeploymentRule::Unpinned,
        Vec::new(),
        SnpPolicy::standard(TcbFloors::shipped().expect("floors")),
    )
}

fn code_of(edit: impl Fn(&mut Policy)) -> Option<Code> {
    let mut policy = policy();
    edit(&mut policy);
    policy.check_for_channel().err().map(|error| error.code)
}

#[test]
fn an_empty_list_is_never_everything() {
    assert_eq!(code_of(|_| ()), None);
    let emptied: [(&str, Edit); 7] = [
        ("tee types", |policy| policy.tee_types.clear()),
        ("releases", |policy| policy.references = ReferenceValues::Pinned(Vec::new())),
        ("hardware", |policy| policy.hardware = HardwareRule::Listed(Vec::new())),
        ("channels", |policy| policy.channels.clear()),
        ("roots", |policy| policy.trust_anchors.vendor = false),
        ("versions", |policy| policy.snp.versions.clear()),
        ("products", |policy| policy.snp.products.clear()),
    ];
    for (what, edit) in emptied {
        assert_eq!(code_of(edit), Some(Code::PolEmptyAllowlist), "{what}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let wrong: [(&str, Edit); 7] = [
        ("59 seconds", |policy| policy.max_evidence_age = Duration::from_secs(59)),
        ("over an hour", |policy| policy.max_evidence_age = Duration::from_secs(3601)),
        ("version 6", |policy| policy.snp.versions.push(6)),
        ("vmpl 4", |policy| policy.snp.vmpl = Requirement::Exactly(4)),
        ("no csp id", |policy| policy.snp.signing_key = SigningKeyRule::Vlek { csp_id: String::new() }),
        ("15 days", |policy| {
            if let FloorRule::File { grace, .. } = &mut policy.snp.floors {
                *grace = Duration::from_hours(15 * 24);
            }
        }),
        ("milan without a hardware list", |policy| {
            policy.snp.products.push(Product::Milan);
            policy.hardware = HardwareRule::Any { reason: "test".to_owned() };
        }),
    ];
    for (what, edit) in wrong {
        assert_eq!(code_of(edit), Some(Code::PolInvalid), "{what}");
    }
}

#[test]
fn what_no_channel_may_waive_is_refused_there_and_allowed_offline() {
    let why = || "test".to_owned();
    let loose: [(&str, Loosen); 8] = [
        ("measurement", |policy, reason| policy.references = ReferenceValues::Unchecked { reason }),
        ("id block", |policy, reason| {
            let mut release = Release::pinned("test", Measurement::new([1; 48]));
            release.id_block = IdBlock::Waived { reason };
            policy.references = ReferenceValues::Pinned(vec![release]);
        }),
        ("host data", |policy, reason| {
            let mut release = Release::pinned("test", Measurement::new([1; 48]));
            release.host_data = Requirement::Waived { reason };
            policy.references = ReferenceValues::Pinned(vec![release]);
        }),
        ("vmpl", |policy, reason| policy.snp.vmpl = Requirement::Waived { reason }),
        ("signing key", |policy, reason| policy.snp.signing_key = SigningKeyRule::Either { reason }),
        ("alias check", |policy, _| policy.snp.platform.alias_check = Bit::Any),
        ("floors", |policy, reason| policy.snp.floors = FloorRule::Unchecked { reason }),
        ("revocation", |policy, reason| policy.snp.revocation = RevocationRule::Unchecked { reason }),
    ];
    for (what, edit) in loose {
        let mut policy = policy();
        edit(&mut policy, why());
        assert_eq!(policy.check(), Ok(()), "{what} offline");
        assert_eq!(policy.check_for_channel().map_err(|error| error.code), Err(Code::PolInvalid), "{what}");
    }
}

#[test]
fn every_loosening_is_listed() {
    let strict: Vec<_> = policy().waivers().into_iter().map(|waiver| waiver.rule).collect();
    assert_eq!(strict, ["release_manifest"]);
    let mut loose = policy();
    loose.hardware = HardwareRule::Any { reason: "laboratory".to_owned() };
    loose.snp.versions.push(2);
    loose.snp.provisional = ProvisionalRule::Accepted { reason: "update in progress".to_owned() };
    loose.snp.revocation = RevocationRule::OfflineGrace { reason: "no network".to_owned() };
    loose.snp.platform.unknown_accepted = 0x100;
    let rules: Vec<_> = loose.waivers().into_iter().map(|waiver| waiver.rule).collect();
    assert_eq!(
        rules,
        [
            "release_manifest",
            "hardware",
            "snp.provisional",
            "snp.revocation",
            "snp.report_version",
            "snp.platform.unknown"
        ]
    );
}
