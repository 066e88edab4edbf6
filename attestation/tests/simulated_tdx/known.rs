//! Chains and collateral that were verified before: what of a quote is still judged, and when they no longer serve.

use crate::world::{NOW, authority, policy};
use attestation::endorsements::Endorsements;
use attestation::reference_values::Requirement;
use attestation::{
    AppraisedEvidence, Code, Policy, Rejected, ReportData, TeeType, UnixTime, VerifiedChains,
    appraise_evidence,
};
use simtee::tdx::{TdxEvidence, TdxSpec};

const ANY: [u8; 64] = [0xda; 64];

/// Two quotes of one boot under one set of collateral.
fn pair() -> (TdxEvidence, TdxEvidence) {
    let mut spec = TdxSpec::new(NOW);
    let first = authority().evidence(&spec).expect("evidence");
    spec.body.report_data[0] ^= 1;
    let other = authority().evidence(&spec).expect("evidence").quote;
    // header, body and signature are new; length, attestation key and all that vouches for it are the first one's
    let (body, signature) = (48 + 584, 48 + 584 + 4..48 + 584 + 4 + 64);
    let quote = [
        &other[..body],
        &first.quote[body..signature.start],
        &other[signature.clone()],
        &first.quote[signature.end..],
    ]
    .concat();
    let collateral = first.collateral.clone();
    (first, TdxEvidence { quote, collateral })
}

fn judge(
    chains: Option<&VerifiedChains>,
    evidence: &TdxEvidence,
    policy: &Policy,
    now: u64,
) -> Result<AppraisedEvidence, Rejected> {
    let endorsements =
        Endorsements { collateral: evidence.collateral.clone(), ..Endorsements::default() }.encode();
    let any = Requirement::Waived { reason: "compared elsewhere".to_owned() };
    let now = UnixTime::from_seconds(now);
    let quote = &evidence.quote;
    match chains {
        Some(chains) => chains.appraise_evidence(TeeType::Tdx, quote, &endorsements, &any, policy, now),
        None => appraise_evidence(TeeType::Tdx, quote, &endorsements, &any, policy, now),
    }
}

#[test]
fn a_new_quote_of_a_known_boot_gets_the_whole_list_of_checks() {
    let (chains, (first, second)) = (VerifiedChains::new(), pair());
    judge(Some(&chains), &first, &policy(), NOW).expect("good");
    let again = judge(Some(&chains), &second, &policy(), NOW).expect("good again");
    let alone = judge(None, &second, &policy(), NOW).expect("good alone");
    assert_eq!(again.hardware, alone.hardware);
    assert_ne!(again.hardware.report_data, ReportData::new(ANY));
    let names = |list: &AppraisedEvidence| list.checks.iter().map(|check| check.id).collect::<Vec<_>>();
    assert_eq!(names(&again), names(&alone));
    // what stands in the list says that the library was not asked again; everything else came out the same
    let different: Vec<_> =
        again.checks.iter().zip(&alone.checks).filter(|(again, alone)| again != alone).collect();
    let [(library, _)] = different[..] else { panic!("one difference, not {different:?}") };
    assert_eq!((library.id, library.found.as_str()), ("tdx.second_verifier", "asked before"));
    assert_eq!(chains.len(), 1);
}

#[test]
fn no_single_bit_flip_is_accepted_because_the_boot_is_known() {
    let (chains, (first, mut second)) = (VerifiedChains::new(), pair());
    judge(Some(&chains), &first, &policy(), NOW).expect("good");
    judge(Some(&chains), &second, &policy(), NOW).expect("control: unchanged");
    for bit in (0..second.quote.len() * 8).step_by(11) {
        second.quote[bit / 8] ^= 1 << (bit % 8);
        assert!(judge(Some(&chains), &second, &policy(), NOW).is_err(), "bit {bit}");
        second.quote[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn collateral_serves_while_all_of_it_is_valid() {
    let (chains, (first, second)) = (VerifiedChains::new(), pair());
    judge(Some(&chains), &first, &policy(), NOW).expect("good");
    let end = chains.ends()[0].seconds();
    let rejected = judge(Some(&chains), &second, &policy(), end + 1).expect_err("past its end");
    assert_eq!(rejected.rejection.code, Code::TdxCollateralStale);
    assert!(chains.is_empty());
    // the age of collateral is a row of the policy and judged each time
    judge(Some(&chains), &first, &policy(), NOW).expect("good");
    let rejected = judge(Some(&chains), &second, &policy(), NOW + 80 * 3600).expect_err("over 72 hours");
    let failed =
        rejected.checks.iter().find(|check| check.outcome == attestation::Outcome::Fail).expect("one");
    assert_eq!((failed.id, failed.code), ("tdx.collateral_age", Code::TdxCollateralStale));
}

#[test]
fn only_what_was_accepted_is_kept() {
    let chains = VerifiedChains::new();
    let mut strict = policy();
    strict.hardware = attestation::policy::HardwareRule::Listed(vec![
        attestation::HardwareId::try_from(&[2; 16][..]).expect("16 bytes"),
    ]);
    assert!(judge(Some(&chains), &pair().0, &strict, NOW).is_err());
    assert!(chains.is_empty());
}
