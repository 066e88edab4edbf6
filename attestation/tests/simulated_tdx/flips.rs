//! No single bit of an accepted quote can change without the quote being refused.

use crate::world::{evidence, evidence_5, judge, policy};
use simtee::tdx::TdxEvidence;

/// Every `stride`th bit; the full sweep runs over real quotes inside the crate.
fn flipped(evidence: &TdxEvidence, stride: usize) -> usize {
    let policy = policy();
    let mut refused = 0;
    for bit in (0..evidence.quote.len() * 8).step_by(stride) {
        let mut changed = evidence.clone();
        changed.quote[bit / 8] ^= 1 << (bit % 8);
        let result = judge(&changed, &policy);
        assert!(result.is_err(), "bit {} of byte {}", bit % 8, bit / 8);
        refused += 1;
    }
    refused
}

#[test]
fn no_bit_of_a_quote_is_free() {
    assert!(flipped(&evidence(|spec| spec.padding = vec![0; 16]), 37) > 900);
    assert!(flipped(&evidence_5(|_| ()), 41) > 800);
}

#[test]
fn no_byte_of_the_collateral_that_is_signed_is_free() {
    let good = evidence(|_| ());
    let policy = policy();
    let text = String::from_utf8(good.collateral.clone()).expect("text");
    // the issuer chain of the PCK revocation list is not used: the quote's own chain is
    let unused = text.find("\"pck_crl_issuer_chain\"").expect("field");
    let unused_end = text[unused..].find("\",\"").expect("end") + unused;
    let mut refused = 0;
    for at in (0..good.collateral.len()).step_by(11).filter(|at| !(unused..unused_end).contains(at)) {
        let mut changed = good.clone();
        let byte = &mut changed.collateral[at];
        *byte = if *byte == b'0' { b'1' } else { b'0' };
        // a field's name may turn into an unknown one, which is a missing field
        assert!(judge(&changed, &policy).is_err(), "byte {at}: {:?}", &text[at.saturating_sub(20)..=at]);
        refused += 1;
    }
    assert!(refused > 500, "{refused}");
}
