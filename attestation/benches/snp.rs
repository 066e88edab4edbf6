//! What SEV-SNP appraisal costs: the whole document, the report with its chain, and each parser alone.
//! Evidence comes from the simulated security processor; the work is the same as for AMD's.

#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "criterion's macro has no docs; a bench fails by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "the bench dates its own evidence")]

mod cpu_time;

use attestation::enclave_claims::{TimeQuality, report_data};
use attestation::endorsements::Endorsements;
use attestation::evidence::CpuEvidence;
use attestation::floors::TcbFloors;
use attestation::policy::{DeploymentRule, HardwareRule, SnpPolicy};
use attestation::reference_values::{Release, Requirement};
use attestation::{
    Channel, EnclaveClaims, EvidenceDocument, Expected, HardwareId, Keyset, Kind, Measurement, Nonce, Policy,
    Role, Sha384, TeeType, UnixTime, VerifiedChains, appraise, appraise_evidence,
};
use cpu_time::CpuTime;
use criterion::{Criterion, criterion_group, criterion_main};
use sev::certs::snp::{Certificate, Chain, Verifiable, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use simtee::{Authority, Processor, ProcessorSpec, Product};
use std::hint::black_box;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

struct Case {
    document: EvidenceDocument,
    /// Reports of the same machine, none of them seen before.
    others: Vec<Vec<u8>>,
    encoded: Vec<u8>,
    policy: Policy,
    now: UnixTime,
}

const CONFIG: &[u8] = b"{}";
const NONCE: Nonce = Nonce::new([1; 32]);

fn case() -> Case {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = UnixTime::from_seconds(elapsed.as_secs());
    let authority = Authority::create(Product::Genoa.line()).expect("authority");
    let spec = ProcessorSpec::new(Product::Genoa);
    let chip = HardwareId::try_from(&spec.report.chip_id[..]).expect("chip id");
    let processor = Processor::new(&authority, spec).expect("processor");
    let not_after = now.plus(Duration::from_hours(1));
    let keyset =
        Keyset { epoch: 1, not_after, tls: Vec::new(), ohttp: None, sbk: [0; 32], rck: None, prv: None }
            .encode();
    let claims = EnclaveClaims {
        role: Role::Gateway,
        kind: Kind::Challenge { nonce: NONCE },
        keyset_digest: Sha384::of(&keyset),
        config_digest: Sha384::of(CONFIG),
        deployment_id: [0; 32],
        instance_id: [0; 16],
        channels: vec![Channel::T],
        min_version: 1,
        max_version: 1,
        state_head: None,
        log: None,
        gpu_digest: None,
        time_quality: TimeQuality::Good,
    }
    .encode();
    let quote = processor.quote(report_data(&claims).as_bytes()).expect("quote");
    let others = (0..64_u8).map(|data| processor.quote(&[data; 64]).expect("quote").report).collect();
    let endorsements = Endorsements::from_snp_certificate_table(&quote.certificate_table).expect("table");
    let mut floors = TcbFloors::shipped().expect("floors");
    floors.valid_until = not_after;
    let mut policy = Policy::standard(
        vec![TeeType::Snp],
        vec![Release::pinned("bench", Measurement::new([0; 48]))],
        HardwareRule::Listed(vec![chip]),
        DeploymentRule::Unpinned,
        Vec::new(),
        SnpPolicy::standard(floors),
    );
    policy.trust_anchors.simulated_roots = vec![authority.ark_certificate().to_vec()];
    let cpu = CpuEvidence { tee: TeeType::Snp, bytes: quote.report };
    let document = EvidenceDocument {
        claims,
        keyset,
        cpu,
        endorsements: endorsements.encode(),
        devices: None,
        release: None,
        deployment: None,
    };
    Case { encoded: document.encode(), document, others, policy, now }
}

fn benches(criterion: &mut Criterion<CpuTime>) {
    let Case { document, others, encoded, policy, now } = case();
    let expected = Expected::Challenge { role: Role::Gateway, nonce: NONCE };
    appraise(&encoded, CONFIG, &expected, &policy, now).expect("good evidence");
    criterion.bench_function("snp/appraise document", |bencher| {
        bencher.iter(|| appraise(black_box(&encoded), CONFIG, &expected, &policy, now));
    });
    let any = Requirement::Waived { reason: "bench".to_owned() };
    criterion.bench_function("snp/appraise report and chain", |bencher| {
        let (report, endorsements) = (&document.cpu.bytes, &document.endorsements);
        bencher.iter(|| appraise_evidence(TeeType::Snp, black_box(report), endorsements, &any, &policy, now));
    });
    let chains = VerifiedChains::new();
    criterion.bench_function("snp/re-appraise new evidence", |bencher| {
        let (endorsements, mut next) = (&document.endorsements, others.iter().cycle());
        bencher.iter(|| {
            let report = next.next().expect("a cycle has no end");
            chains.appraise_evidence(TeeType::Snp, black_box(report), endorsements, &any, &policy, now)
        });
    });
    chains.appraise(&encoded, CONFIG, &expected, &policy, now).expect("good evidence");
    assert_eq!(chains.len(), 1);
    criterion.bench_function("snp/re-appraise the same document", |bencher| {
        bencher.iter(|| chains.appraise(black_box(&encoded), CONFIG, &expected, &policy, now));
    });
    let table = Endorsements::decode(&document.endorsements).expect("own").certificates;
    let [vek, ask, ark] = &table[..] else { return };
    let theirs = || {
        let certificate = |der| Certificate::from_der(der).expect("a certificate");
        let ca = ca::Chain { ark: certificate(ark), ask: certificate(ask) };
        let chain = Chain { ca, vek: certificate(vek) };
        let report = AttestationReport::from_bytes(black_box(&document.cpu.bytes)).expect("a report");
        (&chain, &report).verify().is_ok()
    };
    assert!(theirs());
    // chain and signature only: no revocation list, no dates, no policy
    criterion.bench_function("snp/sev alone", |bencher| bencher.iter(theirs));
    // the same report with one bit of its signed part changed: what refusing costs
    let mut flipped = document.clone();
    if let Some(byte) = flipped.cpu.bytes.get_mut(0x90) {
        *byte ^= 1;
    }
    let flipped = flipped.encode();
    criterion.bench_function("snp/refuse a flipped bit", |bencher| {
        bencher.iter(|| appraise(black_box(&flipped), CONFIG, &expected, &policy, now));
    });
    criterion.bench_function("parse/document", |bencher| {
        bencher.iter(|| EvidenceDocument::decode(black_box(&encoded)));
    });
    criterion.bench_function("parse/claims", |bencher| {
        bencher.iter(|| EnclaveClaims::decode(black_box(&document.claims)));
    });
    criterion.bench_function("parse/endorsements", |bencher| {
        bencher.iter(|| Endorsements::decode(black_box(&document.endorsements)));
    });
}

criterion_group! { name = snp; config = Criterion::default().with_measurement(CpuTime); targets = benches }
criterion_main!(snp);
