//! What governing costs each request: finding the key, taking a hold on every budget above it, settling. With 100,000
//! keys, and the time to load them. All in processor time of the one thread that does it, so that a busy machine changes
//! little.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "bench code"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gateway::governance::record::{GroupRecord, KeyRecord, Owner, SecretVersion, Status};
use gateway::governance::secret::{ENTROPY, Presented, Purpose, mint};
use gateway::governance::{Actual, Estimate, Governance, Policy, Reservation, ScopeKind};
use gateway::price::{Price, Rate, Rates};
use gateway::{Now, Secret};

const KEYS: u32 = 100_000;

const POLICY: &str = r#"{"allowed_models":["gpt-*","claude-*"],
    "budgets":[{"name":"month","unit":"nano_usd","limit":9000000000000000000,"window":{"every":"month"}}],
    "rate_limits":[{"unit":"requests","limit":1000000000},{"unit":"tokens","limit":1000000000000}]}"#;

fn now() -> Now {
    Now { unix_ms: 1_800_000_000_000, monotonic: Duration::from_secs(1000) }
}

fn policy() -> Policy {
    serde_json::from_str(POLICY).expect("a policy")
}

fn group(id: &str) -> GroupRecord {
    GroupRecord {
        id: id.to_owned(),
        name: String::new(),
        org: None,
        team: None,
        blocked: false,
        policy: policy(),
        created_by: String::new(),
        created_at_ms: 0,
    }
}

fn records(governance: &Governance) -> (Vec<KeyRecord>, Vec<String>) {
    let (mut records, mut secrets) = (Vec::new(), Vec::new());
    for number in 0..KEYS {
        let digest = ring::digest::digest(&ring::digest::SHA384, &number.to_be_bytes());
        let entropy: [u8; ENTROPY] = digest.as_ref()[..ENTROPY].try_into().expect("long enough");
        let (id, secret) = mint(Purpose::Inference, None, entropy);
        let presented = Presented::parse(Purpose::Inference, secret.expose().as_bytes()).expect("its form");
        let tag = governance.pepper().tag(&presented);
        records.push(KeyRecord {
            id: id.as_str().to_owned(),
            name: String::new(),
            owner: Owner {
                org: "o".to_owned(),
                team: Some(format!("t{}", number % 100)),
                user: Some(format!("u{}", number % 10_000)),
            },
            created_by: String::new(),
            created_at_ms: 0,
            expires_at_ms: None,
            status: Status::Active,
            secrets: vec![SecretVersion { version: 1, tag, created_at_ms: 0, valid_until_ms: None }],
            policy: policy(),
            tags: Vec::new(),
            metadata: BTreeMap::new(),
        });
        secrets.push(secret.expose().clone());
    }
    (records, secrets)
}

fn fresh() -> Arc<Governance> {
    let governance = Arc::new(Governance::new(&Secret::new([7; 32]), false));
    governance.put_group(ScopeKind::Org, &group("o"));
    for number in 0..100 {
        governance.put_group(ScopeKind::Team, &group(&format!("t{number}")));
    }
    for number in 0..10_000 {
        governance.put_group(ScopeKind::User, &group(&format!("u{number}")));
    }
    governance
}

/// Nanoseconds that the kernel has let this thread run.
struct ProcessorTime;

impl ProcessorTime {
    fn now() -> u64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

impl Measurement for ProcessorTime {
    type Intermediate = u64;
    type Value = Duration;

    fn start(&self) -> u64 {
        Self::now()
    }

    fn end(&self, start: u64) -> Duration {
        Duration::from_nanos(Self::now() - start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn admission(criterion: &mut Criterion<ProcessorTime>) {
    let governance = fresh();
    let (records, secrets) = records(&governance);
    governance.load(records.iter());
    let rates = Rates::flat(Rate::from_usd("2.5").expect("a rate"), Rate::from_usd("10").expect("a rate"));
    let price = Arc::new(Price { rates, ..Price::nothing() });
    let estimate = || Estimate {
        answers: 1,
        input_tokens: 500,
        output_tokens: 1000,
        calls: 1,
        prices: vec![Arc::clone(&price)],
        unpriced: false,
    };
    let mut turn = 0;
    let mut next = || {
        turn = (turn + 7919) % secrets.len();
        secrets[turn].as_bytes()
    };
    let mut group = criterion.benchmark_group("governance_100k_keys");
    group.bench_function("find_key", |bencher| {
        bencher.iter(|| governance.find(black_box(next()), now()).expect("known"));
    });
    group.bench_function("find_permit_reserve_settle", |bencher| {
        bencher.iter(|| {
            let (key, _) = governance.find(black_box(next()), now()).expect("known");
            assert!(key.permits_model("gpt-4"));
            let hold =
                Reservation::take(&governance, &key, "gpt-4", &estimate(), now()).expect("there is room");
            let actual = Actual { nano_usd: 900, input_tokens: 480, output_tokens: 90, counts: true };
            hold.settle(actual, now());
        });
    });
    group.sample_size(10);
    group.bench_function("load", |bencher| {
        bencher.iter_batched(fresh, |governance| governance.load(records.iter()), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = admission
}
criterion_main!(benches);
