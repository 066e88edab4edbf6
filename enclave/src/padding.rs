//! How long bodies become whose length is nobody's business: answers to clients, and requests to providers.

/// The length that stands for `length`: few lengths are in use, and none is more than 12 % larger, above the smallest.
///
/// Padmé (Nikitin and others, "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019):
/// of a length of `e + 1` bits, only the first `log2(e) + 1` may be other than zero.
pub fn padded_length(length: usize) -> usize {
    let length = length.max(SMALLEST);
    let exponent = length.ilog2();
    let kept = exponent.max(1).ilog2().saturating_add(1);
    let step = 1_usize.checked_shl(exponent.saturating_sub(kept)).unwrap_or(1);
    length.checked_next_multiple_of(step).unwrap_or(length)
}

/// Shorter bodies all look like this, in bytes.
const SMALLEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_lengths_are_in_use_and_none_is_much_larger() {
        let mut seen = std::collections::BTreeSet::new();
        for length in 0..100_000 {
            let padded = padded_length(length);
            assert!(padded >= length.max(SMALLEST));
            assert!(padded * 100 <= length.max(SMALLEST) * 112, "{length} became {padded}");
            assert_eq!(padded_length(padded), padded);
            seen.insert(padded);
        }
        assert!(seen.len() < 150, "{}", seen.len());
        assert_eq!(padded_length(usize::MAX), usize::MAX);
    }
}
