//! Rows 5, 19, 30: genuine evidence from another time, claims cut back, and a user whose clock is wrong.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use attestation::enclave_claims::{Beacon, TimeQuality};
use attestation::freshness::{BeaconChain, VerifiedRound};
use attestation::reference_values::Requirement;
use attestation::{
    Channel, EnclaveClaims, EvidenceDocument, Expected, Keyset, Kind, Nonce, Policy, Rejected, Role, Sha256,
    Sha384, TeeType, UnixTime, Verified, appraise, appraise_evidence, explain,
};
use postern_tests::policies;
use postern_tests::security_processor::SecurityProcessor;
use postern_tests::toy_enclave::{CONFIG, document, now};
use tempfile::TempDir;

const NONCE: Nonce = Nonce::new([9; 32]);

/// A processor, a policy for it, and a keyset that ends in an hour.
struct Scene {
    processor: SecurityProcessor,
    policy: Policy,
    keyset: Vec<u8>,
    now: UnixTime,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let processor = SecurityProcessor::start(folder.path());
        let policy = policies::of_processor(&processor, folder.path()).appraisal;
        let now = UnixTime::from_seconds(now());
        let not_after = now.plus(Duration::from_hours(1));
        let keyset =
            Keyset { epoch: 1, not_after, tls: Vec::new(), ohttp: None, sbk: [1; 32], rck: None, prv: None };
        Self { processor, policy, keyset: keyset.encode(), now, folder }
    }

    fn claims(&self, kind: Kind) -> EnclaveClaims {
        EnclaveClaims {
            role: Role::Gateway,
            kind,
            keyset_digest: Sha384::of(&self.keyset),
            config_digest: Sha384::of(CONFIG.as_bytes()),
            deployment_id: [0; 32],
            instance_id: [7; 16],
            channels: vec![Channel::E, Channel::T],
            min_version: 1,
            max_version: 1,
            state_head: None,
            log: None,
            gpu_digest: None,
            time_quality: TimeQuality::Degraded,
        }
    }

    fn document(&self, claims: &EnclaveClaims) -> Vec<u8> {
        document(&self.processor.processor, &claims.encode(), &self.keyset)
    }

    fn judge(&self, document: &[u8], expected: &Expected, now: UnixTime) -> Result<Verified, Rejected> {
        appraise(document, CONFIG.as_bytes(), expected, &self.policy, now)
    }
}

fn code(result: Result<Verified, Rejected>) -> &'static str {
    result.unwrap_err().rejection.code.as_str()
}

fn challenge() -> Expected {
    Expected::Challenge { role: Role::Gateway, nonce: NONCE }
}

/// A beacon with a round every three seconds.
fn chain() -> BeaconChain {
    let period = NonZeroU32::new(3).unwrap();
    BeaconChain { hash: Sha256::new([0xbe; 32]), genesis: UnixTime::from_seconds(1_690_000_000), period }
}

/// The last round before `now`, as somebody knows it who verified its signature.
fn round_at(now: UnixTime) -> VerifiedRound {
    let round = (now.seconds() - chain().genesis.seconds()) / 3 + 1;
    VerifiedRound { chain: chain(), round, signature_sha256: Sha256::of(&round.to_be_bytes()) }
}

#[test]
fn row_05_replayed_public_evidence_is_refused() {
    let scene = Scene::new();
    let round = round_at(scene.now);
    let beacon = Beacon { chain: chain().hash, round: round.round, signature_sha256: round.signature_sha256 };
    let evidence = scene.document(&scene.claims(Kind::Epoch { beacon: beacon.clone() }));
    let expected = Expected::Epoch { role: Role::Gateway, round: round.clone() };
    let verified = scene.judge(&evidence, &expected, scene.now).expect("control: fresh");
    assert_eq!(verified.expires_at(), chain().published_at(round.round).plus(scene.policy.max_evidence_age));
    let made = scene.now;
    let later = |minutes| made.plus(Duration::from_mins(minutes));
    assert!(scene.judge(&evidence, &expected, later(9)).is_ok());
    assert_eq!(code(scene.judge(&evidence, &expected, later(11))), "ATT_STALE");
    // evidence of a round that is still to come
    assert_eq!(code(scene.judge(&evidence, &expected, UnixTime::from_seconds(now() - 120))), "ATT_STALE");
    // the host names a newer round that it has not got evidence for
    let newer = Expected::Epoch { role: Role::Gateway, round: round_at(later(11)) };
    assert_eq!(code(scene.judge(&evidence, &newer, later(11))), "ATT_NONCE");
    // a round whose signature nobody made
    let forged = Beacon { signature_sha256: Sha256::new([0; 32]), ..beacon };
    let forged = scene.document(&scene.claims(Kind::Epoch { beacon: forged }));
    assert_eq!(code(scene.judge(&forged, &expected, scene.now)), "ATT_NONCE");
    // neither kind stands for the other
    assert_eq!(code(scene.judge(&evidence, &challenge(), scene.now)), "ATT_ROLE");
    let challenged = scene.document(&scene.claims(Kind::Challenge { nonce: NONCE }));
    assert_eq!(code(scene.judge(&challenged, &expected, scene.now)), "ATT_ROLE");
    // control: a client that lets evidence age for an hour takes the replay
    let mut lax = scene;
    lax.policy.max_evidence_age = Duration::from_hours(1);
    assert!(lax.judge(&evidence, &expected, later(11)).is_ok());
}

#[test]
fn row_19_claims_cut_back_are_refused() {
    let mut scene = Scene::new();
    scene.policy.channels = vec![Channel::E, Channel::T];
    let claims = scene.claims(Kind::Challenge { nonce: NONCE });
    let good = scene.document(&claims);
    scene.judge(&good, &challenge(), scene.now).expect("control: as signed");
    // a channel or a version stripped from the bytes is not what the hardware signed
    let without_e = EnclaveClaims { channels: vec![Channel::T], ..claims.clone() };
    let other_versions = EnclaveClaims { max_version: 2, ..claims.clone() };
    let mut stripped = EvidenceDocument::decode(&good).unwrap();
    stripped.claims = other_versions.encode();
    assert_eq!(code(scene.judge(&stripped.encode(), &challenge(), scene.now)), "ATT_REPORT_DATA");
    stripped.claims = without_e.encode();
    assert_eq!(code(scene.judge(&stripped.encode(), &challenge(), scene.now)), "PROTO_DOWNGRADE");
    let mut content = scene.policy.clone();
    content.channels = vec![Channel::T];
    let refused = appraise(&stripped.encode(), CONFIG.as_bytes(), &challenge(), &content, scene.now);
    assert_eq!(code(refused), "ATT_REPORT_DATA", "whatever the client makes do with");
    // claims that an older release really signed
    let older = scene.document(&without_e);
    assert_eq!(code(scene.judge(&older, &challenge(), scene.now)), "PROTO_DOWNGRADE");
    let newer = scene.document(&EnclaveClaims { min_version: 2, max_version: 2, ..claims });
    assert_eq!(code(scene.judge(&newer, &challenge(), scene.now)), "PROTO_DOWNGRADE");
    // control: who looks at the report alone, and not at what it commits to, notices nothing
    let any = Requirement::Waived { reason: "control".to_owned() };
    let cpu = &stripped.cpu.bytes;
    appraise_evidence(TeeType::Snp, cpu, &stripped.endorsements, &any, &scene.policy, scene.now).unwrap();
}

#[test]
fn row_30_a_wrong_clock_is_named() {
    let scene = Scene::new();
    let evidence = scene.document(&scene.claims(Kind::Challenge { nonce: NONCE }));
    scene.judge(&evidence, &challenge(), scene.now).expect("control: the right time");
    let day = Duration::from_hours(24);
    let behind = UnixTime::from_seconds(scene.now.seconds() - 400 * day.as_secs());
    for (clock, direction) in [(scene.now.plus(400 * day), "ahead"), (behind, "behind")] {
        let rejected = scene.judge(&evidence, &challenge(), clock).expect_err("refused");
        assert_eq!(rejected.rejection.code.as_str(), "ATT_STALE", "{rejected}");
        assert!(rejected.rejection.found.ends_with(direction), "{rejected}");
        let days: u64 =
            rejected.rejection.found.split(' ').rev().nth(2).unwrap().parse::<u64>().unwrap() / 86_400;
        assert!((399..=400).contains(&days), "{rejected}");
        let error = postern_client::Error::Appraisal(Arc::new(rejected.clone()));
        assert_eq!((error.code(), error.hint().contains("clock")), ("ATT_STALE", true));
        // the long form says the same, and which dates did not hold
        let explained = explain(&evidence, CONFIG.as_bytes(), &challenge(), &scene.policy, clock);
        let explained = explained.expect_err("refused");
        assert_eq!(explained.rejection, rejected.rejection);
        let failed = explained.checks.iter().filter(|check| check.outcome == attestation::Outcome::Fail);
        assert!(failed.count() >= 2);
    }
    // hours apart, only the keyset notices
    let rejected =
        scene.judge(&evidence, &challenge(), scene.now.plus(Duration::from_hours(5))).expect_err("refused");
    assert_eq!(rejected.rejection.code.as_str(), "ATT_KEYSET_EXPIRED");
    assert!(postern_client::Error::Appraisal(Arc::new(rejected)).hint().contains("clock"));
    // control: the clock is not blamed for anything else, nor when something else is wrong as well
    let mut stranger = Scene { processor: SecurityProcessor::start(scene.folder.path()), ..scene };
    let other = stranger.document(&stranger.claims(Kind::Challenge { nonce: NONCE }));
    assert_eq!(code(stranger.judge(&other, &challenge(), stranger.now)), "ATT_HARDWARE_ID");
    assert_ne!(code(stranger.judge(&other, &challenge(), stranger.now.plus(400 * day))), "ATT_STALE");
    let replayed = Expected::Challenge { role: Role::Gateway, nonce: Nonce::new([8; 32]) };
    assert_ne!(code(stranger.judge(&evidence, &replayed, stranger.now.plus(400 * day))), "ATT_STALE");
    // a floors file that is really stale is not the clock's fault
    if let attestation::policy::snp::FloorRule::File { floors, .. } = &mut stranger.policy.snp.floors {
        floors.valid_until = UnixTime::from_seconds(floors.valid_until.seconds() - 400 * day.as_secs());
    }
    assert_eq!(code(stranger.judge(&evidence, &challenge(), stranger.now)), "POL_FLOORS_STALE");
}
