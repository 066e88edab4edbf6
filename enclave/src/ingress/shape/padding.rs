//! Bytes that mean nothing.

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
}
