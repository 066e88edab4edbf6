//! Google's endorsement in the place of a pinned `MRTD`: the other registers stay pinned.

use crate::world::{NOW, code, evidence, judge, judge_with, policy};
use attestation::policy::TdxReferences;
use attestation::{Code, FirmwareEndorsement, Policy};
use simtee::google::{Golden, GoogleAuthority};
use std::sync::{Arc, LazyLock};

static GOOGLE: LazyLock<GoogleAuthority> = LazyLock::new(|| GoogleAuthority::create(NOW).expect("keys"));

fn on_google_firmware(measurement: u8) -> Policy {
    let golden = Golden {
        issued_at: NOW,
        change: 700,
        digest: vec![0xd1; 48],
        snp: None,
        tdx: Some((5, vec![(16, vec![0x55; 48]), (32, vec![measurement; 48])])),
        more: Vec::new(),
    };
    let bytes = GOOGLE.endorse(&golden).expect("endorsement");
    let root = GOOGLE.root_certificate().expect("root");
    let endorsement = Arc::new(FirmwareEndorsement::authenticate(&bytes, &root).expect("authentic"));
    let mut policy = policy();
    let TdxReferences::Pinned(releases) = &mut policy.tdx.references else { panic!("pinned") };
    let release = releases.pop().expect("one");
    assert!(release.clone().on_google_firmware(Arc::clone(&endorsement), 6).is_err());
    releases.push(release.on_google_firmware(endorsement, 5).expect("version 5"));
    policy
}

#[test]
fn endorsed_firmware_stands_for_a_pinned_mrtd() {
    let accepted = judge(&evidence(|_| ()), &on_google_firmware(0x7d)).expect("endorsed");
    let firmware = accepted.hardware.firmware.expect("firmware");
    assert!(!firmware.firmware_only, "the other registers name what it starts");
    let parties: Vec<_> = accepted.hardware.trusted().into_iter().map(|own| own.party).collect();
    assert_eq!(parties, ["intel", "google"]);
    assert!(!accepted.hardware.not_proven().iter().any(|open| open.contains("kernel")));
}

#[test]
fn another_mrtd_register_or_time_is_refused() {
    let other = judge(&evidence(|_| ()), &on_google_firmware(0x7c));
    assert_eq!(code(&other), Some(Code::TdxMeasurement));
    let mut policy = on_google_firmware(0x7d);
    let TdxReferences::Pinned(releases) = &mut policy.tdx.references else { panic!("pinned") };
    releases[0].rtmr[2] = attestation::reference_values::Requirement::OneOf(Vec::new());
    assert_eq!(code(&judge(&evidence(|_| ()), &policy)), Some(Code::TdxMeasurement));
    let early = judge_with(&evidence(|_| ()), &[], &on_google_firmware(0x7d), NOW - 1);
    assert_eq!(code(&early), Some(Code::GcpStale), "before the endorsement was made");
}
