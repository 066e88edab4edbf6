//! Send times inside the text of a stream: `@NANOSECONDS@` in each chunk's content, found again wherever a gateway
//! cuts or merges the bytes.

/// Looks for send times in a body that comes in pieces, and for the end marker of an SSE answer.
#[derive(Debug, Default, Clone)]
pub struct StampScanner {
    inside: bool,
    value: u64,
    tail: Vec<u8>,
}

impl StampScanner {
    /// Calls `found` with each whole send time in `piece`.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(u64)) {
        let mut rest = piece;
        while !rest.is_empty() {
            let at = memchr::memchr(b'@', rest);
            let text = &rest[..at.unwrap_or(rest.len())];
            if self.inside {
                for byte in text {
                    self.value = self.value * 10 + u64::from(byte.wrapping_sub(b'0'));
                }
            }
            let Some(at) = at else { break };
            if self.inside {
                found(self.value);
            }
            self.inside = !self.inside;
            self.value = 0;
            rest = &rest[at + 1..];
        }
        self.keep_tail(piece);
    }

    /// True if the body so far ends with the `[DONE]` event.
    pub fn is_done(&self) -> bool {
        self.tail.trim_ascii_end().ends_with(b"data: [DONE]")
    }

    fn keep_tail(&mut self, piece: &[u8]) {
        let from = piece.len().saturating_sub(TAIL);
        self.tail.extend_from_slice(&piece[from..]);
        let extra = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..extra);
    }
}

const TAIL: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_finds_the_same() {
        let text =
            b"data: {\"content\":\"@123@ some\"}\n\ndata: {\"content\":\"@4567@\"}\n\ndata: [DONE]\n\n";
        for cut in 0..text.len() {
            let mut scanner = StampScanner::default();
            let mut stamps = Vec::new();
            scanner.feed(&text[..cut], |stamp| stamps.push(stamp));
            assert!(!scanner.is_done() || cut + 2 >= text.len());
            scanner.feed(&text[cut..], |stamp| stamps.push(stamp));
            assert_eq!(stamps, [123, 4567]);
            assert!(scanner.is_done());
        }
    }
}
