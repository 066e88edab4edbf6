//! No single-bit flip of a report, and none of the sampled flips of its certificates and list, is ever accepted.

use crate::world::World;
use attestation::EvidenceDocument;
use attestation::endorsements::Endorsements;
use simtee::Product;

#[test]
fn no_single_bit_flip_of_a_genoa_report_verifies() {
    flip_every_bit(Product::Genoa);
}

#[test]
fn no_single_bit_flip_of_a_turin_report_verifies() {
    flip_every_bit(Product::Turin);
}

fn flip_every_bit(product: Product) {
    let world = World::new(product);
    let good = world.document();
    world.judge(&good).expect("the unchanged report verifies");
    let mut document = good.clone();
    for bit in 0..good.cpu.bytes.len() * 8 {
        document.cpu.bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!world.accepts(&document), "{product:?}: bit {bit} may be flipped");
        document.cpu.bytes[bit / 8] ^= 1 << (bit % 8);
    }
    world.judge(&document).expect("unchanged again");
}

#[test]
fn no_sampled_flip_of_certificates_or_list_verifies() {
    let world = World::new(Product::Genoa);
    let good = world.document();
    let endorsements = Endorsements::decode(&good.endorsements).expect("own");
    let count = endorsements.certificates.len() + endorsements.crls.len();
    assert_eq!(count, 4);
    for which in 0..count {
        let length = blob(&mut endorsements.clone(), which).len();
        // a fixed stride coprime to eight visits every bit position in every region
        for bit in (0..length * 8).step_by(37) {
            let mut changed = endorsements.clone();
            blob(&mut changed, which)[bit / 8] ^= 1 << (bit % 8);
            let document = EvidenceDocument { endorsements: changed.encode(), ..good.clone() };
            assert!(!world.accepts(&document), "blob {which}: bit {bit} may be flipped");
        }
    }
}

fn blob(endorsements: &mut Endorsements, which: usize) -> &mut Vec<u8> {
    let certificates = endorsements.certificates.len();
    if which < certificates {
        &mut endorsements.certificates[which]
    } else {
        &mut endorsements.crls[which - certificates]
    }
}
