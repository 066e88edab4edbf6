//! What can be done to a stream of bytes: at any byte, TLS record, message or time.

use std::time::Duration;

use serde::Deserialize;

/// One thing done to one direction of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Where it begins.
    pub at: Place,
    /// What it is.
    pub action: Action,
}

/// A place in one direction of a connection. Numbers are from 0 and count the original bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Before this byte.
    Byte(usize),
    /// Before the first byte that comes so many milliseconds after the connection began.
    Millisecond(u64),
    /// Before this message: what one side says until the other says something.
    Message(usize),
    /// Before this TLS record.
    Record(usize),
}

/// What is done from a place on. Lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Ends the direction.
    Cut(End),
    /// Holds everything back for so many milliseconds.
    Delay(u64),
    /// Leaves bytes out.
    Drop(usize),
    /// Sends bytes twice.
    Duplicate(usize),
    /// Inverts these bits of one byte.
    Flip(u8),
    /// Puts bytes before it.
    Insert(Vec<u8>),
    /// Exchanges two neighbouring blocks of this length.
    Reorder(usize),
}

/// How a direction ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// In an orderly way.
    Fin,
    /// With a reset.
    Reset,
}

impl Fault {
    /// From this byte on.
    pub const fn at_byte(at: usize, action: Action) -> Self {
        Self { at: Place::Byte(at), action }
    }

    /// From this TLS record on.
    pub const fn at_record(number: usize, action: Action) -> Self {
        Self { at: Place::Record(number), action }
    }
}

/// When a piece of a stream came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// The other side had the last word before it.
    pub begins_message: bool,
    /// Since the connection began.
    pub elapsed: Duration,
}

/// Why a piece was not passed on to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The direction ends here.
    End(End),
    /// The rest of the piece, from this byte on, is held back for so long.
    Delay(usize, Duration),
}

/// Applies faults to a stream, however it is cut into pieces.
#[derive(Debug)]
pub struct Faults {
    planned: Vec<Fault>,
    /// Those that have begun, with their first bytes.
    begun: Vec<(usize, Action)>,
    position: usize,
    messages: usize,
    held: Vec<u8>,
    struck: bool,
    /// What begins at the next byte has begun: it was held back.
    resumed: bool,
    records: Records,
}

/// Follows the TLS records of a stream.
#[derive(Debug, Default)]
struct Records {
    begun: usize,
    header: Vec<u8>,
    left: usize,
}

impl Records {
    /// The number of the record that begins with this byte, if one does.
    fn starts(&mut self, byte: u8) -> Option<usize> {
        if self.left > 0 {
            self.left -= 1;
            return None;
        }
        self.header.push(byte);
        if self.header.len() == 5 {
            self.left = usize::from(self.header[3]) << 8 | usize::from(self.header[4]);
            self.header.clear();
        }
        if self.header.len() == 1 {
            self.begun += 1;
            return Some(self.begun - 1);
        }
        None
    }
}

impl Faults {
    /// Faults for one direction.
    pub fn new(faults: Vec<Fault>) -> Self {
        Self {
            planned: faults,
            begun: Vec::new(),
            position: 0,
            messages: 0,
            held: Vec::new(),
            struck: false,
            resumed: false,
            records: Records::default(),
        }
    }

    /// Whether one of them has happened that changes what arrives.
    pub fn has_struck(&self) -> bool {
        self.struck
    }

    /// TLS records that began so far.
    pub fn records(&self) -> usize {
        self.records.begun
    }

    /// Bytes held back, when no more are coming.
    pub fn flush(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Appends what becomes of `piece` to `out`, up to where a fault stops it.
    pub fn apply(&mut self, piece: &[u8], moment: Moment, out: &mut Vec<u8>) -> Option<Stop> {
        for (index, byte) in piece.iter().enumerate() {
            let begins_message = moment.begins_message && index == 0;
            if !std::mem::take(&mut self.resumed)
                && let Some(time) = self.begin(*byte, begins_message, moment.elapsed)
            {
                self.resumed = true;
                return Some(Stop::Delay(index, time));
            }
            if let Some(end) = self.one(*byte, out) {
                self.struck = true;
                return Some(Stop::End(end));
            }
        }
        None
    }

    /// Begins what begins at this byte; says for how long the byte is held back.
    fn begin(&mut self, byte: u8, begins_message: bool, elapsed: Duration) -> Option<Duration> {
        let position = self.position;
        let record = self.records.starts(byte);
        let message = begins_message.then_some(self.messages);
        self.messages += usize::from(begins_message);
        let is_here = |fault: &mut Fault| match fault.at {
            Place::Byte(at) => at == position,
            Place::Millisecond(at) => elapsed >= Duration::from_millis(at),
            Place::Message(number) => message == Some(number),
            Place::Record(number) => record == Some(number),
        };
        let mut delay = None;
        for fault in self.planned.extract_if(.., is_here) {
            if let Action::Delay(time) = fault.action {
                delay = Some(Duration::from_millis(time));
            } else {
                self.begun.push((position, fault.action));
            }
        }
        delay
    }

    fn one(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<End> {
        let position = self.position;
        self.position += 1;
        let (mut byte, mut kept) = (byte, true);
        for (from, action) in &self.begun {
            // How far into the fault this byte is.
            let into = position - from;
            match action {
                Action::Cut(end) => return Some(*end),
                Action::Flip(mask) if into == 0 => byte ^= mask,
                Action::Insert(bytes) if into == 0 => out.extend_from_slice(bytes),
                Action::Drop(length) if into < *length => kept = false,
                Action::Duplicate(length) if into < *length => {
                    self.held.push(byte);
                    if into + 1 == *length {
                        out.push(byte);
                        out.append(&mut self.held);
                        kept = false;
                    }
                }
                Action::Reorder(length) if into < *length => {
                    self.held.push(byte);
                    kept = false;
                }
                Action::Reorder(length) if into + 1 == 2 * length => {
                    out.push(byte);
                    out.append(&mut self.held);
                    kept = false;
                }
                Action::Delay(_)
                | Action::Drop(_)
                | Action::Duplicate(_)
                | Action::Flip(_)
                | Action::Insert(_)
                | Action::Reorder(_) => continue,
            }
            self.struck = true;
        }
        if kept {
            out.push(byte);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(fault: Fault, cut: usize) -> (String, Option<Stop>) {
        let mut faults = Faults::new(vec![fault]);
        let (head, tail) = b"abcdefgh".split_at(cut);
        let mut out = Vec::new();
        let mut piece = |piece| faults.apply(piece, Moment::default(), &mut out);
        let end = piece(head).or_else(|| piece(tail));
        out.extend(faults.flush());
        (String::from_utf8(out).unwrap(), end)
    }

    #[test]
    fn faults_do_what_they_say_wherever_the_stream_is_cut() {
        for cut in 0..=8 {
            let done = |at, action| outcome(Fault::at_byte(at, action), cut);
            assert_eq!(done(2, Action::Drop(3)), ("abfgh".to_owned(), None));
            assert_eq!(done(2, Action::Duplicate(3)), ("abcdecdefgh".to_owned(), None));
            assert_eq!(done(2, Action::Flip(1)), ("abbdefgh".to_owned(), None));
            assert_eq!(done(2, Action::Insert(b"--".to_vec())), ("ab--cdefgh".to_owned(), None));
            assert_eq!(done(2, Action::Reorder(2)), ("abefcdgh".to_owned(), None));
            assert_eq!(done(6, Action::Reorder(2)), ("abcdefgh".to_owned(), None), "no second block");
        }
        let cut = |at, end| outcome(Fault::at_byte(at, Action::Cut(end)), 8);
        assert_eq!(cut(3, End::Fin), ("abc".to_owned(), Some(Stop::End(End::Fin))));
        assert_eq!(cut(0, End::Reset), (String::new(), Some(Stop::End(End::Reset))));
        assert_eq!(cut(8, End::Fin), ("abcdefgh".to_owned(), None));
    }

    #[test]
    fn records_are_followed() {
        let stream = [&[22, 3, 3, 0, 2, 9, 9][..], &[23, 3, 3, 1, 0], &[7; 256], &[23, 3, 3, 0, 0]].concat();
        let mut cut = Faults::new(vec![Fault::at_record(1, Action::Cut(End::Reset))]);
        let mut out = Vec::new();
        assert_eq!(cut.apply(&stream, Moment::default(), &mut out), Some(Stop::End(End::Reset)));
        assert_eq!(out, stream[..7]);
        let mut whole = Faults::new(vec![]);
        assert_eq!(whole.apply(&stream, Moment::default(), &mut Vec::new()), None);
        assert_eq!(whole.records(), 3);
    }

    #[test]
    fn messages_and_times_are_places_too() {
        let pieces = [("ab", true, 0), ("cd", false, 5), ("ef", true, 20), ("gh", true, 50)];
        let became = |at, action| {
            let mut faults = Faults::new(vec![Fault { at, action }]);
            let mut out = Vec::new();
            for (piece, begins_message, elapsed) in pieces {
                let moment = Moment { begins_message, elapsed: Duration::from_millis(elapsed) };
                if let Some(stop) = faults.apply(piece.as_bytes(), moment, &mut out) {
                    out.extend(format!("{stop:?}").bytes());
                    break;
                }
            }
            String::from_utf8(out).unwrap()
        };
        assert_eq!(became(Place::Message(0), Action::Insert(b"-".to_vec())), "-abcdefgh");
        assert_eq!(became(Place::Message(1), Action::Insert(b"-".to_vec())), "abcd-efgh");
        assert_eq!(became(Place::Message(2), Action::Drop(1)), "abcdefh");
        assert_eq!(became(Place::Message(3), Action::Drop(1)), "abcdefgh", "there is none");
        assert_eq!(became(Place::Millisecond(6), Action::Insert(b"-".to_vec())), "abcd-efgh");
        assert_eq!(became(Place::Millisecond(0), Action::Cut(End::Fin)), "End(Fin)");
        assert_eq!(became(Place::Byte(3), Action::Delay(7)), "abcDelay(1, 7ms)");
    }

    #[test]
    fn what_was_held_back_goes_on_where_it_stopped() {
        let delay = Fault::at_byte(3, Action::Delay(7));
        let mut faults = Faults::new(vec![delay, Fault::at_byte(3, Action::Flip(1))]);
        let mut out = Vec::new();
        let stream = b"abcdefgh";
        let stop = faults.apply(stream, Moment::default(), &mut out);
        assert_eq!(stop, Some(Stop::Delay(3, Duration::from_millis(7))));
        assert_eq!(faults.apply(&stream[3..], Moment::default(), &mut out), None);
        assert_eq!(out, b"abceefgh");
    }
}
