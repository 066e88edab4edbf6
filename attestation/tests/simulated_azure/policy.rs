//! What the policy decides once everything is authentic: report data, registers, nonce, certificate, status, floors.

use crate::world::{BOTH, DATA, NOW, code, guest, judge, judge_bundle, on_tdx_with, parts, policy, spec};
use attestation::endorsements::Endorsements;
use attestation::policy::azure::{AkCertificateRule, ExtraDataRule, PcrRule};
use attestation::policy::snp::Bit;
use attestation::policy::tdx::OutOfDateException;
use attestation::policy::{HardwareRule, Policy};
use attestation::reference_values::{ReferenceValues, Requirement};
use attestation::{AzureEvidence, Code, Measurement, Sha256, TeeType, UnixTime, VerifiedChains};

#[test]
fn other_report_data_are_refused() {
    for tee in BOTH {
        for extra in [vec![0xed; 32], Vec::new(), vec![0xda; 64]] {
            let mut spec = spec();
            spec.extra_data = extra;
            assert_eq!(code(&judge(tee, &spec, &policy())), Some((Code::AttReportData, true)), "{tee}");
        }
    }
}

#[test]
fn registers_are_those_of_one_release_and_none_is_left_out() {
    for tee in BOTH {
        for index in [4, 7, 9, 11] {
            let mut other = spec();
            other.pcrs[index] = [0xee; 32];
            assert_eq!(code(&judge(tee, &other, &policy())), Some((Code::AzPcr, true)), "PCR {index}");
            let mut unquoted = spec();
            unquoted.selection &= !(1 << index);
            assert_eq!(code(&judge(tee, &unquoted, &policy())), Some((Code::AzPcr, true)), "PCR {index}");
        }
        let mut free = spec();
        free.pcrs[15] = [0xee; 32];
        assert!(judge(tee, &free, &policy()).is_ok(), "a register that no release names");
        // a release may name more, and the second of two may be the one
        let mut two = policy();
        let PcrRule::Pinned(releases) = &mut two.azure.pcrs else { panic!("pinned") };
        let mut second = releases[0].clone();
        second.values.insert(15, Sha256::new([15; 32]));
        releases[0].values.insert(4, Sha256::new([0xee; 32]));
        releases.push(second);
        assert!(judge(tee, &spec(), &two).is_ok());
        assert_eq!(code(&judge(tee, &free, &two)), Some((Code::AzPcr, true)));
    }
}

#[test]
fn rules_for_nonce_and_certificate() {
    for tee in BOTH {
        let mut nonce = policy();
        let value = spec().extra_data;
        nonce.azure.extra_data = ExtraDataRule::Nonce { value, reason: "test".to_owned() };
        assert!(judge(tee, &spec(), &nonce).is_ok());
        nonce.azure.extra_data = ExtraDataRule::Nonce { value: vec![1; 32], reason: "test".to_owned() };
        assert_eq!(code(&judge(tee, &spec(), &nonce)), Some((Code::AttNonce, true)));
        let mut certified = policy();
        certified.azure.ak_certificate = AkCertificateRule::Required;
        assert!(judge(tee, &spec(), &certified).is_ok());
        let mut bare = spec();
        bare.certified = false;
        assert_eq!(code(&judge(tee, &bare, &certified)), Some((Code::AzAk, true)));
    }
}

/// The hardware underneath is judged by its own rows.
#[test]
fn rows_of_the_hardware_hold_as_well() {
    type Edit = fn(&mut Policy);
    let rows: [(TeeType, Edit, Code); 5] = [
        (TeeType::AzureSnp, |policy| policy.snp.guest_policy.smt = Bit::Forbidden, Code::SnpSmt),
        (TeeType::AzureSnp, other_measurement, Code::AttMeasurement),
        (TeeType::AzureTdx, |policy| policy.tdx.attributes.perfmon = Bit::Required, Code::TdxAttributes),
        (TeeType::AzureSnp, one_processor, Code::AttHardwareId),
        (TeeType::AzureTdx, one_processor, Code::AttHardwareId),
    ];
    for (tee, edit, expected) in rows {
        let mut policy = policy();
        edit(&mut policy);
        assert_eq!(code(&judge(tee, &spec(), &policy)), Some((expected, true)), "{tee}");
    }
    let bare = Policy { tee_types: vec![TeeType::Snp, TeeType::Tdx], ..policy() };
    for tee in BOTH {
        assert_eq!(code(&judge(tee, &spec(), &bare)), Some((Code::AttTeeType, false)));
    }
}

fn other_measurement(policy: &mut Policy) {
    let ReferenceValues::Pinned(releases) = &mut policy.references else { panic!("pinned") };
    releases[0].measurement = Requirement::Exactly(Measurement::new([1; 48]));
}

fn one_processor(policy: &mut Policy) {
    policy.hardware =
        HardwareRule::Listed(vec![attestation::HardwareId::try_from(&[7; 16][..]).expect("id")]);
}

#[test]
fn the_family_azure_leaves_out_of_date_needs_a_dated_exception_that_is_listed() {
    let tee = TeeType::AzureTdx;
    let old = on_tdx_with(tee, &spec(), |tdx| tdx.tcb_info.levels[0].status = "OutOfDate".to_owned());
    let old = parts(tee, &old);
    assert_eq!(code(&judge_bundle(tee, &old, &policy())), Some((Code::TdxTcbStatus, true)));
    let mut excepted = policy();
    let until = UnixTime::from_seconds(*NOW + 60);
    let fmspc = attestation::claims::tdx::Fmspc([0x90, 0xc0, 0x6f, 0, 0, 0]);
    let reason = "Azure runs 90C06F000000 behind Intel's level".to_owned();
    excepted.tdx.status.out_of_date.push(OutOfDateException { fmspc, until, reason: reason.clone() });
    let accepted = judge_bundle(tee, &old, &excepted).expect("excepted");
    assert!(accepted.waivers.iter().any(|waiver| waiver.reason.contains(&reason)), "{:?}", accepted.waivers);
    excepted.tdx.status.out_of_date[0].until = UnixTime::from_seconds(*NOW - 1);
    assert_eq!(code(&judge_bundle(tee, &old, &excepted)), Some((Code::TdxTcbStatus, true)));
    // and the guest on the other hardware is not concerned
    assert!(
        judge_bundle(
            TeeType::AzureSnp,
            &parts(TeeType::AzureSnp, &guest(TeeType::AzureSnp, &spec())),
            &policy()
        )
        .is_ok()
    );
}

#[test]
fn a_remembered_chain_serves_the_hardware_and_nothing_above_it() {
    let (now, expected) = (UnixTime::from_seconds(*NOW), Requirement::Exactly(DATA));
    for tee in BOTH {
        let chains = VerifiedChains::new();
        let verdict = |(bundle, endorsements): &(AzureEvidence, Endorsements)| {
            chains.appraise_evidence(tee, &bundle.encode(), &endorsements.encode(), &expected, &policy(), now)
        };
        let mut good = parts(tee, &guest(tee, &spec()));
        let first = verdict(&good).expect("good");
        assert_eq!(chains.len(), 1, "{tee}");
        assert_eq!(verdict(&good).expect("remembered").hardware, first.hardware);
        good.0.tpm_signature[0] ^= 1;
        assert_eq!(verdict(&good).expect_err("another signature").rejection.code, Code::AzQuote);
    }
}
