//! No bit of blob, quote, signature, registers or certificate is free, but those of a TD report's MAC.

use crate::world::{BOTH, guest, judge_bundle, parts, policy, spec};
use attestation::{AzureEvidence, TeeType};

/// Coprime to eight, so that every bit position is visited.
const STRIDE: usize = 11;
const MAC: std::ops::Range<usize> = 0x20 + 224..0x20 + 256;

#[test]
fn no_single_bit_flip_is_accepted() {
    let policy = policy();
    for tee in BOTH {
        let mut good = parts(tee, &guest(tee, &spec()));
        let unchanged = judge_bundle(tee, &good, &policy).expect("unchanged").hardware;
        for part in 0..5 {
            for bit in (0..part_of(&mut good.0, part).len() * 8).step_by(STRIDE) {
                part_of(&mut good.0, part)[bit / 8] ^= 1 << (bit % 8);
                let result = judge_bundle(tee, &good, &policy);
                if part == 0 && tee == TeeType::AzureTdx && MAC.contains(&(bit / 8)) {
                    assert_eq!(result.expect("irrelevant").hardware, unchanged);
                } else {
                    assert!(result.is_err(), "{tee}: bit {bit} of part {part}");
                }
                part_of(&mut good.0, part)[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert!(judge_bundle(tee, &good, &policy).is_ok());
    }
}

/// Blob, quote, signature, certificate, its CA.
fn part_of(bundle: &mut AzureEvidence, part: usize) -> &mut [u8] {
    match part {
        0 => &mut bundle.hcl_report,
        1 => &mut bundle.tpm_quote,
        2 => &mut bundle.tpm_signature,
        other => &mut bundle.ak_certificates[other - 3],
    }
}
