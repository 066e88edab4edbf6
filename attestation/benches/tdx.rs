//! What TDX appraisal costs with collateral: both versions, refusals, and dcap-qvl alone on the same bytes.
//! Evidence comes from the simulated platform; the work is the same as for Intel's.

#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "criterion's macro has no docs; a bench fails by panicking"
)]

mod cpu_time;

use attestation::claims::tdx::Xfam;
use attestation::endorsements::Endorsements;
use attestation::floors::TcbFloors;
use attestation::policy::{DeploymentRule, HardwareRule, SnpPolicy, TdxPolicy, TdxRelease};
use attestation::reference_values::Requirement;
use attestation::{
    HardwareId, Measurement, Policy, ReportData, TeeType, UnixTime, VerifiedChains, appraise_evidence,
};
use cpu_time::CpuTime;
use criterion::{Criterion, criterion_group, criterion_main};
use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::configs::RingConfig;
use dcap_qvl::verify::QuoteVerifier;
use simtee::tdx::{TdxAuthority, TdxEvidence, TdxSpec};
use std::hint::black_box;

const NOW: u64 = 1_795_219_200;

fn policy(authority: &TdxAuthority) -> Policy {
    let register = |byte| Measurement::new([byte; 48]);
    let rtmr = [register(0x10), register(0x11), register(0x12)];
    let release = TdxRelease::pinned("bench", register(0x7d), rtmr, Xfam(0x0006_02e7));
    let hardware = HardwareRule::Listed(vec![HardwareId::try_from(&[0x1d; 16][..]).expect("16 bytes")]);
    let snp = SnpPolicy::standard(TcbFloors::shipped().expect("floors"));
    let types = vec![TeeType::Tdx];
    let mut policy = Policy::standard(types, Vec::new(), hardware, DeploymentRule::Unpinned, Vec::new(), snp)
        .with_tdx(TdxPolicy::standard(vec![release]));
    policy.trust_anchors.simulated_roots = vec![authority.root_certificate().to_vec()];
    policy
}

fn accepts(evidence: &TdxEvidence, endorsements: &[u8], policy: &Policy) -> bool {
    let expected = Requirement::Exactly(ReportData::new([0xda; 64]));
    let now = UnixTime::from_seconds(NOW);
    appraise_evidence(TeeType::Tdx, &evidence.quote, endorsements, &expected, policy, now).is_ok()
}

fn encoded(evidence: &TdxEvidence) -> Vec<u8> {
    Endorsements { collateral: evidence.collateral.clone(), ..Endorsements::default() }.encode()
}

/// A new quote of the same boot: body and signature are new, what vouches for the attestation key is not.
fn requoted(authority: &TdxAuthority, first: &TdxEvidence, spec: &mut TdxSpec, data: u8) -> Vec<u8> {
    spec.body.report_data = [data; 64];
    let other = authority.evidence(spec).expect("evidence").quote;
    let (body, signature) = (48 + 6 + 648, 48 + 6 + 648 + 4..48 + 6 + 648 + 4 + 64);
    let parts = [
        &other[..body],
        &first.quote[body..signature.start],
        &other[signature.clone()],
        &first.quote[signature.end..],
    ];
    parts.concat()
}

fn benches(criterion: &mut Criterion<CpuTime>) {
    let authority = TdxAuthority::create().expect("keys");
    let policy = policy(&authority);
    let mut spec = TdxSpec::version_5(NOW);
    // as many levels as Intel's largest sets have
    let lowest = spec.tcb_info.levels.last().cloned().expect("a level");
    spec.tcb_info.levels.extend(std::iter::repeat_n(lowest, 12));
    let evidence = authority.evidence(&spec).expect("evidence");
    let endorsements = encoded(&evidence);
    assert!(accepts(&evidence, &endorsements, &policy));
    criterion.bench_function("tdx/appraise", |bencher| {
        bencher.iter(|| accepts(black_box(&evidence), &endorsements, &policy));
    });
    let quotes: Vec<Vec<u8>> = (0..64).map(|data| requoted(&authority, &evidence, &mut spec, data)).collect();
    let chains = VerifiedChains::new();
    let any = Requirement::Waived { reason: "bench".to_owned() };
    let again = |quote: &[u8]| {
        let now = UnixTime::from_seconds(NOW);
        chains.appraise_evidence(TeeType::Tdx, quote, &endorsements, &any, &policy, now).is_ok()
    };
    assert!(quotes.iter().all(|quote| again(quote)));
    assert_eq!(chains.len(), 1);
    criterion.bench_function("tdx/re-appraise new evidence", |bencher| {
        let mut next = quotes.iter().cycle();
        bencher.iter(|| again(black_box(next.next().expect("a cycle has no end"))));
    });
    criterion.bench_function("tdx/re-appraise the same evidence", |bencher| {
        bencher.iter(|| again(black_box(&quotes[0])));
    });
    let mut flipped = evidence.clone();
    if let Some(byte) = flipped.quote.get_mut(200) {
        *byte ^= 1;
    }
    assert!(!accepts(&flipped, &endorsements, &policy));
    criterion.bench_function("tdx/refuse a flipped quote", |bencher| {
        bencher.iter(|| accepts(black_box(&flipped), &endorsements, &policy));
    });
    let collateral: QuoteCollateralV3 = serde_json::from_slice(&evidence.collateral).expect("collateral");
    let verifier = QuoteVerifier::<RingConfig>::new_with_config(authority.root_certificate().to_vec());
    assert!(verifier.verify(&evidence.quote, &collateral, NOW).is_ok());
    criterion.bench_function("tdx/dcap-qvl alone", |bencher| {
        bencher.iter(|| verifier.verify(black_box(&evidence.quote), &collateral, NOW).is_ok());
    });
}

criterion_group! { name = tdx; config = Criterion::default().with_measurement(CpuTime); targets = benches }
criterion_main!(tdx);
