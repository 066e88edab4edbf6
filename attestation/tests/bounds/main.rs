//! Row 27: evidence as a bomb. What one hostile input may cost is asserted, in bytes allocated and in time, for every
//! parser and for whole appraisals. One test alone in its program, because the allocator counts for all threads.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "the simulated world has more than this test needs")]
#[path = "../simulated/world.rs"]
mod world;

use attestation::endorsements::{Endorsements, TdxCollateral};
use attestation::floors::TcbFloors;
use attestation::reference_values::Requirement;
use attestation::{
    AzureEvidence, EnclaveClaims, EvidenceDocument, Keyset, TeeType, UnixTime, appraise, appraise_evidence,
    inspect,
};
use simtee::Product;
use simtee::tdx::{TdxAuthority, TdxSpec};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};
use world::World;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Most bytes one input may make the verifier allocate in all, freed or not. The most comes from JSON: 128 KiB of `1,` as
/// a tree of values whose list doubled sixteen times.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Longest one input may take, unoptimised and on a busy machine. Good evidence takes a hundredth.
const LONGEST: Duration = Duration::from_millis(500);

/// The greatest costs so far.
#[derive(Default, Debug)]
struct Books {
    bytes: usize,
    time: Duration,
    inputs: usize,
}

impl Books {
    fn cost<R>(&mut self, what: &str, input: &[u8], judge: impl FnOnce(&[u8]) -> R) {
        let (region, start) = (Region::new(ALLOCATOR), Instant::now());
        drop(black_box(judge(black_box(input))));
        let (bytes, time) = (region.change().bytes_allocated, start.elapsed());
        assert!(bytes <= MOST_BYTES, "{what}: {bytes} bytes allocated for {} bytes of input", input.len());
        assert!(time <= LONGEST, "{what}: {time:?} for {} bytes of input", input.len());
        self.bytes = self.bytes.max(bytes);
        self.time = self.time.max(time);
        self.inputs += 1;
    }

    /// Every parser of hostile bytes on one input.
    fn parsers(&mut self, what: &str, input: &[u8]) {
        let text = String::from_utf8_lossy(input.get(..200_000).unwrap_or(input)).into_owned();
        self.cost(what, input, EvidenceDocument::decode);
        self.cost(what, input, EnclaveClaims::decode);
        self.cost(what, input, Keyset::decode);
        self.cost(what, input, Endorsements::decode);
        self.cost(what, input, Endorsements::from_snp_certificate_table);
        self.cost(what, input, AzureEvidence::decode);
        self.cost(what, input, inspect::snp_report);
        self.cost(what, input, inspect::tdx_quote);
        self.cost(what, input, inspect::certificate);
        self.cost(what, input, inspect::event_log);
        self.cost(what, text.as_bytes(), TdxCollateral::from_json);
        self.cost(what, text.as_bytes(), TcbFloors::parse);
    }
}

/// Heads that promise more than there is, and nesting that never ends.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let repeat = |bytes: &[u8], times: usize| bytes.repeat(times);
    let deep_json = [repeat(b"[", 100_000), repeat(b"]", 100_000)].concat();
    let wide_json = format!("{{\"tcbLevels\":[{}1]}}", "1,".repeat(50_000)).into_bytes();
    let mut der = vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff];
    der.resize(64 * 1024, 0x30);
    let mut log = 1_u32.to_le_bytes().to_vec();
    log.extend_from_slice(&3_u32.to_le_bytes());
    log.extend_from_slice(&[0; 20]);
    log.extend_from_slice(&u32::MAX.to_le_bytes());
    log.resize(128 * 1024, 0xfe);
    vec![
        ("nothing", Vec::new()),
        // no page of it is ever touched
        ("a gibibyte", vec![0; 1 << 30]),
        ("arrays in arrays", repeat(&[0x81], 256 * 1024)),
        ("maps in maps", repeat(&[0xa1, 0x00], 128 * 1024)),
        ("a byte string of 2^64 - 1", repeat(&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255], 100)),
        ("an array of 2^32 - 1", repeat(&[0x9a, 255, 255, 255, 255], 100)),
        ("a map of 2^32 - 1", repeat(&[0xba, 255, 255, 255, 255], 100)),
        ("strings without an end", repeat(&[0x5f], 256 * 1024)),
        ("tags", repeat(&[0xc1], 256 * 1024)),
        ("empty byte strings", [vec![0x9a, 0, 3, 255, 255], repeat(&[0x40], 256 * 1024 - 5)].concat()),
        ("DER lengths", der),
        ("sequences in sequences", repeat(&[0x30, 0x80], 32 * 1024)),
        ("JSON in JSON", deep_json),
        ("a long list", wide_json),
        ("an event log of 2^32 - 1 digests", log),
        ("a table that points outside", repeat(&[0x11; 24], 4096)),
        ("PEM without an end", repeat(b"-----BEGIN CERTIFICATE-----\n", 4096)),
    ]
}

/// A deterministic change: bytes flipped, a bomb written over some place, cut or drawn out.
fn mutated(good: &[u8], seed: u64, bombs: &[(&'static str, Vec<u8>)]) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % (below.max(1) as u64)) as usize
    };
    let mut out = good.to_vec();
    match next(4) {
        0 => {
            for _ in 0..=next(8) {
                let at = next(out.len());
                out[at] = next(256) as u8;
            }
        }
        1 => {
            let bomb = &bombs[2 + next(bombs.len() - 2)].1;
            let (at, length) = (next(out.len()), next(64));
            for (own, hostile) in out[at..].iter_mut().zip(bomb.iter().take(length)) {
                *own = *hostile;
            }
        }
        2 => out.truncate(next(good.len())),
        _ => {
            let (at, length) = (next(out.len()), next(4096));
            out.splice(at..at, std::iter::repeat_n(next(256) as u8, length));
        }
    }
    out
}

#[test]
fn row_27_what_a_hostile_input_costs_is_bounded() {
    let bombs = bombs();
    let mut books = Books::default();
    for (what, bomb) in &bombs {
        books.parsers(what, bomb);
    }
    let world = World::new(Product::Genoa);
    let good = world.document();
    let encoded = good.encode();
    let judge =
        |document: &[u8]| appraise(document, &world.config, &world.expected, &world.policy, world.now);
    books.cost("good evidence", &encoded, judge);
    for (what, bomb) in &bombs {
        books.cost(what, bomb, judge);
        // the bomb as each member: what the document's limits let through reaches the inner parsers
        for member in 0..4 {
            let mut document = good.clone();
            let target = [
                &mut document.claims,
                &mut document.keyset,
                &mut document.cpu.bytes,
                &mut document.endorsements,
            ]
            .into_iter()
            .nth(member)
            .expect("four members");
            *target = bomb.iter().take(200_000).copied().collect();
            books.cost(what, &document.encode(), judge);
        }
    }
    for seed in 0..400 {
        books.cost("a changed document", &mutated(&encoded, seed, &bombs), judge);
        let mut document = good.clone();
        document.endorsements = mutated(&good.endorsements, seed, &bombs);
        books.cost("changed endorsements", &document.encode(), judge);
    }
    tdx(&mut books, &bombs);
    eprintln!("at most {books:?} for one input");
    assert!(books.inputs > 1700);

    // control: a reader that believes what a head promises is found out
    let believes = std::panic::catch_unwind(|| {
        let head = [0x5a, 0x01, 0, 0, 0];
        Books::default().cost("a weak reader", &head, |input| {
            let promised = u32::from_be_bytes([input[1], input[2], input[3], input[4]]);
            vec![1_u8; promised as usize]
        });
    });
    assert!(believes.is_err());
}

fn tdx(books: &mut Books, bombs: &[(&'static str, Vec<u8>)]) {
    const NOW: u64 = 1_795_219_200;
    let authority = TdxAuthority::create().expect("keys");
    let evidence = authority.evidence(&TdxSpec::version_5(NOW)).expect("evidence");
    let mut policy = World::new(Product::Genoa).policy;
    policy.tee_types = vec![TeeType::Tdx];
    policy.tdx.references = attestation::policy::TdxReferences::Unchecked { reason: "costs only".to_owned() };
    policy.hardware = attestation::policy::HardwareRule::Any { reason: "costs only".to_owned() };
    policy.trust_anchors.simulated_roots = vec![authority.root_certificate().to_vec()];
    let any = Requirement::Waived { reason: "costs only".to_owned() };
    let judge = |quote: &[u8], endorsements: &[u8]| {
        let now = UnixTime::from_seconds(NOW);
        appraise_evidence(TeeType::Tdx, quote, endorsements, &any, &policy, now).is_ok()
    };
    let encoded = |collateral: Vec<u8>, event_log: Vec<u8>| {
        Endorsements { collateral, event_log, ..Endorsements::default() }.encode()
    };
    let endorsements = encoded(evidence.collateral.clone(), Vec::new());
    assert!(judge(&evidence.quote, &endorsements), "control: good evidence");
    books.cost("a good quote", &evidence.quote, |quote| judge(quote, &endorsements));
    for (what, bomb) in bombs {
        let short: Vec<u8> = bomb.iter().take(100_000).copied().collect();
        books.cost(what, bomb, |quote| judge(quote, &endorsements));
        for endorsements in [
            encoded(short.clone(), Vec::new()),
            encoded(evidence.collateral.clone(), short.clone()),
            short.clone(),
        ] {
            books.cost(what, &endorsements, |own| judge(&evidence.quote, own));
        }
    }
    for seed in 0..300 {
        let quote = mutated(&evidence.quote, seed, bombs);
        books.cost("a changed quote", &quote, |quote| judge(quote, &endorsements));
        let own = encoded(mutated(&evidence.collateral, seed, bombs), Vec::new());
        books.cost("changed collateral", &own, |own| judge(&evidence.quote, own));
    }
}
