use super::*;
use crate::digest::{Measurement, Sha256};
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
fn loosenings_are_those_of_the_admitted_hardware() {
    let why = || Requirement::Waived { reason: "cloud image".to_owned() };
    let mut both = policy();
    both.snp.versions.push(2);
    both.references = ReferenceValues::Pinned(vec![Release {
        host_data: Requirement::Waived { reason: "set by the cloud".to_owned() },
        ..Release::pinned("cloud", Measurement::new([2; 48]))
    }]);
    both.tdx = TdxPolicy::standard(vec![TdxRelease {
        mr_owner: why(),
        ..TdxRelease::pinned(
            "cloud",
            Measurement::new([3; 48]),
            [Measurement::new([4; 48]); 3],
            crate::claims::tdx::Xfam(3),
        )
    }]);
    let rules = |types: &[TeeType]| {
        let policy = Policy { tee_types: types.to_vec(), ..both.clone() };
        policy.waivers().into_iter().map(|waiver| waiver.rule).collect::<Vec<_>>()
    };
    let snp = ["release_manifest", "references.host_data", "snp.report_version"];
    assert_eq!(rules(&[TeeType::Snp]), snp);
    let tdx = rules(&[TeeType::Tdx]);
    assert!(tdx.len() == 2 && tdx.iter().all(|rule| rule.starts_with("tdx.")), "{tdx:?}");
    assert_eq!(rules(&[TeeType::Snp, TeeType::Tdx]), [&snp[..], &tdx].concat());
    // and a channel is refused for what its own hardware's rules leave out only
    let of = |types: &[TeeType]| Policy { tee_types: types.to_vec(), ..both.clone() };
    for types in [&[TeeType::Snp][..], &[TeeType::Tdx]] {
        assert_eq!(of(types).check_for_channel().map_err(|error| error.code), Err(Code::PolInvalid));
    }
    let mut clean = of(&[TeeType::Tdx]);
    clean.tdx.references = TdxReferences::Pinned(vec![TdxRelease::pinned(
        "own",
        Measurement::new([3; 48]),
        [Measurement::new([4; 48]); 3],
        crate::claims::tdx::Xfam(3),
    )]);
    assert_eq!(clean.check_for_channel(), Ok(()));
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

/// A policy for a guest behind the paravisor on SEV-SNP, with one release of registers.
fn azure() -> Policy {
    let values = azure::MANDATORY_PCRS.iter().map(|index| (*index, Sha256::new([*index; 32]))).collect();
    let release = PcrRelease { name: "test".to_owned(), values };
    Policy { tee_types: vec![TeeType::AzureSnp], ..policy().with_azure(AzurePolicy::standard(vec![release])) }
}

#[test]
fn azure_registers_are_named_and_complete() {
    let code = |edit: fn(&mut AzurePolicy)| {
        let mut policy = azure();
        edit(&mut policy.azure);
        let code = policy.check_for_channel().err().map(|error| error.code);
        // where no such guest is admitted the rules are not judged
        policy.tee_types = vec![TeeType::Snp];
        assert_eq!(policy.check_for_channel(), Ok(()));
        code
    };
    let values = |azure: &mut AzurePolicy| match &mut azure.pcrs {
        PcrRule::Pinned(releases) => std::mem::take(&mut releases[0].values),
        PcrRule::Unchecked { .. } => panic!("pinned"),
    };
    assert_eq!(values(&mut azure().azure).len(), 4);
    assert_eq!(code(|_| ()), None);
    assert_eq!(code(|azure| azure.pcrs = PcrRule::Pinned(Vec::new())), Some(Code::PolEmptyAllowlist));
    assert_eq!(code(|azure| azure.mandatory.clear()), Some(Code::PolEmptyAllowlist));
    assert_eq!(code(|azure| azure.mandatory.push(24)), Some(Code::PolInvalid));
    assert_eq!(code(|azure| azure.mandatory.push(8)), Some(Code::PolInvalid));
    let reason = String::new;
    for edit in [
        |azure: &mut AzurePolicy| azure.pcrs = PcrRule::Unchecked { reason: String::new() },
        |azure: &mut AzurePolicy| {
            azure.extra_data = ExtraDataRule::Nonce { value: vec![1; 64], reason: String::new() };
        },
    ] {
        assert_eq!(code(edit), Some(Code::PolInvalid));
        let mut policy = azure();
        edit(&mut policy.azure);
        assert_eq!(policy.check(), Ok(()), "outside channels");
        assert_eq!(policy.waivers().len(), 2);
    }
    let mut long = azure();
    long.azure.extra_data = ExtraDataRule::Nonce { value: vec![1; 65], reason: reason() };
    assert_eq!(long.check().expect_err("65 bytes").code, Code::PolInvalid);
}

#[test]
fn leaving_out_a_mandatory_register_is_said() {
    let mut policy = azure();
    policy.azure.mandatory = vec![11];
    assert_eq!(policy.check_for_channel(), Ok(()));
    let waiver = policy.waivers().into_iter().find(|waiver| waiver.rule == "azure.mandatory_pcrs");
    assert_eq!(waiver.expect("said").reason, "the policy does not ask for PCR 4, 7, 9");
}
