//! Chains that were verified before: the same verdicts, nothing taken over that is not byte for byte the same, and
//! nothing kept that was not accepted.

use crate::world::{NOW, World, code, floors_mut};
use attestation::policy::snp::RevocationRule;
use attestation::{Code, EvidenceDocument, Nonce, Rejected, Verified, VerifiedChains};
use simtee::{Fault, Product};
use std::time::Duration;

fn judge(chains: &VerifiedChains, world: &World, document: &EvidenceDocument) -> Result<Verified, Rejected> {
    chains.appraise(&document.encode(), &world.config, &world.expected, &world.policy, world.now)
}

/// The same machine, asked again with another nonce.
fn another(world: &mut World) -> EvidenceDocument {
    let nonce = Nonce::new([0x77; 32]);
    world.claims.kind = attestation::Kind::Challenge { nonce };
    world.expected = attestation::Expected::Challenge { role: attestation::Role::Gateway, nonce };
    world.document()
}

#[test]
fn new_evidence_of_a_known_machine_gets_the_whole_list_of_checks() {
    for product in [Product::Genoa, Product::Turin] {
        let (chains, mut world) = (VerifiedChains::new(), World::new(product));
        let first = judge(&chains, &world, &world.document()).expect("good");
        assert_eq!(chains.len(), 1);
        assert!(chains.ends()[0] >= first.hardware().not_after);
        let document = another(&mut world);
        let again = judge(&chains, &world, &document).expect("good again");
        let alone = world.judge(&document).expect("good alone");
        assert_eq!(again.checks(), alone.checks());
        assert_eq!((again.hardware(), again.expires_at()), (alone.hardware(), alone.expires_at()));
        assert_eq!(chains.len(), 1, "the same chain");
        // the very same document, whose signature is known as well
        let same = judge(&chains, &world, &document).expect("the same");
        assert_eq!(same.checks(), alone.checks());
    }
}

#[test]
fn no_single_bit_flip_is_accepted_because_the_chain_is_known() {
    let (chains, mut world) = (VerifiedChains::new(), World::new(Product::Genoa));
    judge(&chains, &world, &world.document()).expect("good");
    let mut document = another(&mut world);
    judge(&chains, &world, &document).expect("control: unchanged");
    for bit in (0..document.cpu.bytes.len() * 8).step_by(7) {
        document.cpu.bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(judge(&chains, &world, &document).is_err(), "bit {bit} of the report");
        document.cpu.bytes[bit / 8] ^= 1 << (bit % 8);
    }
    // any change to the endorsements is judged as if nothing were known
    for bit in (0..document.endorsements.len() * 8).step_by(997) {
        document.endorsements[bit / 8] ^= 1 << (bit % 8);
        let known = judge(&chains, &world, &document).map_err(|rejected| rejected.rejection).err();
        let alone = world.judge_bytes(&document.encode()).map_err(|rejected| rejected.rejection).err();
        assert_eq!(known, alone, "bit {bit} of the endorsements");
        document.endorsements[bit / 8] ^= 1 << (bit % 8);
    }
    judge(&chains, &world, &document).expect("unchanged again");
}

#[test]
fn what_was_verified_under_other_terms_does_not_count() {
    let (chains, mut world) = (VerifiedChains::new(), World::new(Product::Genoa));
    let document = world.document();
    judge(&chains, &world, &document).expect("good");
    // another trust anchor
    let anchors = std::mem::take(&mut world.policy.trust_anchors.simulated_roots);
    assert_eq!(code(judge(&chains, &world, &document)), Code::AttUntrustedRoot);
    world.policy.trust_anchors.simulated_roots = anchors;
    // every row of the policy is judged anew
    let measurement = world.policy.references.clone();
    world.policy.references = attestation::reference_values::ReferenceValues::Pinned(vec![
        attestation::reference_values::Release::pinned("other", attestation::Measurement::new([1; 48])),
    ]);
    assert_eq!(code(judge(&chains, &world, &document)), Code::AttMeasurement);
    world.policy.references = measurement;
    let raised = floors_mut(&mut world.policy);
    for line in &mut raised.lines {
        line.tcb.microcode = 255;
    }
    assert_eq!(code(judge(&chains, &world, &document)), Code::SnpTcbFloor);
}

#[test]
fn a_chain_serves_while_all_of_it_is_valid() {
    let (chains, mut world) = (VerifiedChains::new(), World::new(Product::Genoa));
    world.claims.keyset_digest = {
        world.keyset.not_after = NOW.plus(Duration::from_mins(100));
        attestation::Sha384::of(&world.keyset.encode())
    };
    let document = world.document();
    judge(&chains, &world, &document).expect("good");
    let end = chains.ends()[0];
    // a day after the list ended, and long before it began
    for now in [end.plus(Duration::from_secs(1)), attestation::UnixTime::from_seconds(86_400)] {
        judge(&chains, &world, &document).expect("still known at first");
        let at = std::mem::replace(&mut world.now, now);
        let known = judge(&chains, &world, &document).map_err(|rejected| rejected.rejection).err();
        let alone = world.judge(&document).map_err(|rejected| rejected.rejection).err();
        assert!(known.is_some());
        assert_eq!(known, alone);
        assert!(chains.is_empty(), "and forgotten");
        world.now = at;
    }
}

#[test]
fn only_what_was_accepted_is_kept_and_only_so_much() {
    let chains = VerifiedChains::new();
    let faulty = World::faulty(Product::Genoa, Fault::CrlExpired);
    assert_eq!(code(judge(&chains, &faulty, &faulty.document())), Code::SnpCrlMissing);
    let mut refused = World::new(Product::Genoa);
    refused.policy.max_evidence_age = Duration::ZERO;
    assert_eq!(code(judge(&chains, &refused, &refused.document())), Code::PolInvalid);
    let mut world = World::new(Product::Genoa);
    world.policy.hardware = attestation::policy::HardwareRule::Listed(vec![
        attestation::HardwareId::try_from(&[9; 64][..]).expect("64 bytes"),
    ]);
    assert_eq!(code(judge(&chains, &world, &world.document())), Code::AttHardwareId);
    assert!(chains.is_empty());
    // one chain under ever other rules is one chain
    let mut world = World::new(Product::Genoa);
    for day in 0..3 {
        world.policy.snp.revocation = RevocationRule::OfflineGrace { reason: format!("day {day}") };
        judge(&chains, &world, &world.document()).expect("good");
    }
    assert_eq!(chains.len(), 1);
    for chip in 0..40 {
        let mut world = World::with(Product::Genoa, 5, |spec| spec.set_hardware_id(&[chip + 1; 64]));
        world.policy.hardware = attestation::policy::HardwareRule::Listed(vec![
            attestation::HardwareId::try_from(&[chip + 1; 64][..]).expect("64 bytes"),
        ]);
        judge(&chains, &world, &world.document()).expect("good");
    }
    assert_eq!(chains.len(), 32);
}
