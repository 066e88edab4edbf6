//! Bytes that mean nothing, and how many of them.

/// What padding of event streams is made of, where an event may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    /// Comment lines, which every reader skips.
    Comments,
    /// Empty lines, which also those readers skip that take a comment for the beginning of a JSON document, as Google's
    /// SDK for Python does. Where an event follows at once, white space before its JSON: readers that look for
    /// `data:` at the very beginning of a piece find it there.
    WhiteSpace,
}

impl Filler {
    /// Appends `count` bytes that readers skip, and then `events`.
    pub(super) fn before(self, events: &[u8], count: usize, out: &mut Vec<u8>) {
        if self == Self::WhiteSpace
            && let Some(rest) = events.strip_prefix(DATA)
        {
            out.extend_from_slice(DATA);
            out.resize(out.len().saturating_add(count), b' ');
            out.extend_from_slice(rest);
        } else {
            self.fill(out, count);
            out.extend_from_slice(events);
        }
    }

    /// Appends `count` bytes that readers skip.
    pub(super) fn fill(self, out: &mut Vec<u8>, count: usize) {
        match self {
            Self::Comments => comment(out, count),
            Self::WhiteSpace => out.resize(out.len().saturating_add(count), b'\n'),
        }
    }
}

/// What an event's line of data begins with.
const DATA: &[u8] = b"data:";

/// Appends `count` bytes: a comment and an empty line, or, where there is no room for one, empty lines.
fn comment(out: &mut Vec<u8>, count: usize) {
    match count.checked_sub(3) {
        Some(spaces) => {
            out.push(b':');
            out.resize(out.len().saturating_add(spaces), b' ');
            out.extend_from_slice(b"\n\n");
        }
        None => out.resize(out.len().saturating_add(count), b'\n'),
    }
}

/// The length that stands for `length`: few lengths are in use, and none is more than 12 % larger, above the smallest.
///
/// Padmé (Nikitin and others, "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019):
/// of a length of `e + 1` bits, only the first `log2(e) + 1` may be other than zero.
pub(super) fn padded_length(length: usize) -> usize {
    let length = length.max(SMALLEST);
    let exponent = length.ilog2();
    let kept = exponent.max(1).ilog2().saturating_add(1);
    let step = 1_usize.checked_shl(exponent.saturating_sub(kept)).unwrap_or(1);
    length.checked_next_multiple_of(step).unwrap_or(length)
}

/// Smaller answers all look like this, in bytes.
const SMALLEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_have_the_length_asked_for() {
        for count in 0..300 {
            let mut out = Vec::new();
            comment(&mut out, count);
            assert_eq!(out.len(), count);
            assert!(out.iter().all(|byte| b": \n".contains(byte)), "{count}");
            assert!(count < 3 || out.ends_with(b"\n\n"), "{count}");
        }
    }

    #[test]
    fn white_space_goes_into_the_event_that_follows() {
        let mut out = Vec::new();
        Filler::WhiteSpace.before(b"data: {}\r\n\r\ndata: {}\r\n\r\n", 3, &mut out);
        assert_eq!(out, b"data:    {}\r\n\r\ndata: {}\r\n\r\n");
        out.clear();
        Filler::WhiteSpace.before(b"", 3, &mut out);
        assert_eq!(out, b"\n\n\n");
        out.clear();
        Filler::Comments.before(b"data: {}\n\n", 4, &mut out);
        assert_eq!(out, b": \n\ndata: {}\n\n");
    }

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
