//! Events that wait to be sent, and the frames they leave in.

use gateway::Plaintext;
use memchr::memchr_iter;

use super::padding::Filler;
use crate::wipe::wipe;

/// See the module documentation.
pub(super) struct Frames {
    waiting: Plaintext<Vec<u8>>,
    /// How much of `waiting` has been looked at.
    counted: usize,
    /// Events in `waiting`.
    events: usize,
    /// Frames that the events in `waiting` need.
    needed: usize,
    /// Bytes of a frame: grows with the longest event so far, never shrinks, and so does not follow the words.
    width: usize,
    /// The first waiting byte is in the middle of an event.
    inside: bool,
    filler: Filler,
}

impl Frames {
    /// Nothing waits.
    pub(super) const fn new(filler: Filler) -> Self {
        let waiting = Plaintext::new(Vec::new());
        Self { waiting, counted: 0, events: 0, needed: 0, width: STEP, inside: false, filler }
    }

    /// Where new events go; to be followed by [`Self::count`].
    pub(super) fn sink(&mut self) -> &mut Plaintext<Vec<u8>> {
        &mut self.waiting
    }

    /// Looks at the events that came since the last call.
    pub(super) fn count(&mut self) {
        let bytes = self.waiting.expose();
        while let Some(length) = bytes.get(self.counted..).and_then(first_event) {
            self.counted = self.counted.saturating_add(length);
            self.events = self.events.saturating_add(1);
            let room = length.saturating_add(MARGIN);
            self.width = self.width.max(room.min(WIDEST).next_multiple_of(STEP));
            self.needed = self.needed.saturating_add(room.div_ceil(self.width));
        }
    }

    pub(super) const fn events(&self) -> usize {
        self.events
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.expose().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Appends everything that waits, padded to whole frames.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        let least = self.waiting().saturating_add(3);
        let frames = self.needed.saturating_mul(self.width).max(least).next_multiple_of(STEP);
        self.last(out, frames);
    }

    /// Whether everything that waits has room in one frame.
    pub(super) fn fits(&self, frame: usize) -> bool {
        self.waiting().saturating_add(3) <= frame
    }

    /// Appends one frame with as much as it holds. `keep_last` holds the last event back for [`Self::last`].
    pub(super) fn fill(&mut self, out: &mut Vec<u8>, frame: usize, keep_last: bool) {
        let start = out.len();
        let mut taken = 0_usize;
        let bytes = self.waiting.expose();
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let left = frame.saturating_sub(taken);
            let length = first_event(rest).unwrap_or(rest.len());
            let is_last = length == rest.len();
            if length == 0 || (keep_last && is_last && !self.inside && length.saturating_add(3) <= frame) {
                break;
            }
            // A comment needs three bytes or none; an event that has begun goes on whatever is left.
            let whole = length == left || length.saturating_add(3) <= left;
            if !whole && (taken > 0 && !self.inside && length.saturating_add(3) <= frame) {
                break;
            }
            let now = if whole { length } else { length.min(left) };
            taken = taken.saturating_add(now);
            self.inside = now < length;
            if now < length || taken >= frame {
                break;
            }
        }
        out.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        let left = frame.saturating_sub(out.len().saturating_sub(start));
        self.filler.fill(out, left);
        self.drop_first(taken);
    }

    /// Appends the last frame: padding, then what waits; the other way round where an event has begun.
    pub(super) fn last(&mut self, out: &mut Vec<u8>, frame: usize) {
        let room = frame.saturating_sub(self.waiting());
        if self.inside {
            // Padding has no place in the middle of an event.
            out.extend_from_slice(self.waiting.expose());
            self.filler.fill(out, room);
        } else {
            self.filler.before(self.waiting.expose(), room, out);
        }
        self.forget();
    }

    fn drop_first(&mut self, taken: usize) {
        let waiting = self.waiting.expose_mut();
        let rest = waiting.split_off(taken.min(waiting.len()));
        wipe(waiting);
        *waiting = rest;
        (self.counted, self.events, self.needed) = (0, 0, 0);
    }

    fn forget(&mut self) {
        wipe(self.waiting.expose_mut());
        self.inside = false;
        (self.counted, self.events, self.needed) = (0, 0, 0);
    }
}

/// How long the first event is, with the empty line that ends it; nothing if it has no end.
fn first_event(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', bytes).find_map(|at| {
        let next = at.saturating_add(1);
        let rest = bytes.get(next..)?;
        let blank = [b"\n".as_slice(), b"\r\n"].into_iter().find(|blank| rest.starts_with(blank))?;
        Some(next.saturating_add(blank.len()))
    })
}

/// Frames are multiples of this, in bytes.
const STEP: usize = 128;
/// Longer events take several frames, in bytes.
const WIDEST: usize = 1024;
/// Room beyond the longest event so far, in bytes, so that a slightly longer one does not show.
const MARGIN: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(length: usize) -> Vec<u8> {
        format!("data: {}\n\n", "x".repeat(length - 8)).into_bytes()
    }

    fn without_padding(bytes: &[u8]) -> String {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.split_inclusive("\n\n").filter(|event| event.starts_with("data:")).collect()
    }

    #[test]
    fn a_piece_shows_how_many_events_and_not_how_long() {
        let mut frames = Frames::new(Filler::Comments);
        let mut sizes = Vec::new();
        for lengths in [&[210_usize][..], &[200], &[235], &[220, 201], &[215, 230], &[10, 20]] {
            let events: Vec<u8> = lengths.iter().flat_map(|length| event(*length)).collect();
            frames.sink().expose_mut().extend_from_slice(&events);
            frames.count();
            let mut out = Vec::new();
            frames.release(&mut out);
            assert!(out.ends_with(&events) && without_padding(&out).as_bytes() == events);
            sizes.push(out.len());
        }
        assert_eq!(sizes, [384, 384, 384, 768, 768, 768]);
    }

    #[test]
    fn a_long_event_takes_several_frames() {
        let mut frames = Frames::new(Filler::Comments);
        frames.sink().expose_mut().extend_from_slice(&event(5000));
        frames.count();
        let mut out = Vec::new();
        frames.release(&mut out);
        assert_eq!((out.len(), frames.width), (5120, 1024));
    }

    #[test]
    fn white_space_pads_where_comments_cannot_be_read() {
        let events = b"data: {\"a\": 1}\r\n\r\ndata: {}\r\n\r\n";
        for constant in [false, true] {
            let mut frames = Frames::new(Filler::WhiteSpace);
            frames.sink().expose_mut().extend_from_slice(events);
            frames.count();
            assert_eq!(frames.events(), 2);
            let mut out = Vec::new();
            if constant {
                frames.fill(&mut out, 128, true);
                frames.last(&mut out, 128);
            } else {
                frames.release(&mut out);
            }
            assert_eq!(out.len(), 256, "{constant}");
            let text = String::from_utf8(out).unwrap();
            let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            let data: Vec<&str> =
                lines.iter().map(|line| line.strip_prefix("data: ").unwrap().trim()).collect();
            assert_eq!(data, ["{\"a\": 1}", "{}"]);
        }
    }

    #[test]
    fn an_event_that_has_begun_is_not_padded_inside() {
        for filler in [Filler::Comments, Filler::WhiteSpace] {
            let mut frames = Frames::new(filler);
            frames.sink().expose_mut().extend_from_slice(&event(200));
            frames.count();
            let mut out = Vec::new();
            frames.fill(&mut out, 128, true);
            assert!(frames.inside);
            frames.last(&mut out, 128);
            assert!(out.starts_with(&event(200)) && out.len() == 256 && !frames.inside, "{filler:?}");
        }
    }

    #[test]
    fn constant_frames_have_one_size_and_lose_nothing() {
        for lengths in [vec![30; 100], vec![125, 128, 126, 127, 300, 9], vec![1000], vec![20]] {
            let mut frames = Frames::new(Filler::Comments);
            let events: Vec<u8> = lengths.iter().flat_map(|length| event(*length)).collect();
            let last = b"data: [DONE]\n\n";
            let all = [events, last.to_vec()].concat();
            frames.sink().expose_mut().extend_from_slice(&all);
            frames.count();
            let mut stream = Vec::new();
            for _ in 0..100 {
                let before = stream.len();
                frames.fill(&mut stream, 128, true);
                assert_eq!(stream.len() - before, 128, "{lengths:?}");
            }
            assert!(!without_padding(&stream).contains("[DONE]"), "the last event waits");
            frames.last(&mut stream, 128);
            assert!(stream.ends_with(last) && stream.len() == 101 * 128);
            assert_eq!(without_padding(&stream).as_bytes(), all, "{lengths:?}");
        }
    }
}
