//! What can be done to a stream of bytes, at any of its offsets.

/// One thing done to one direction of a connection. Offsets count the original bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ends the direction before TLS record `number`, counted from 0.
    CutRecord {
        /// First record not sent.
        number: usize,
        /// How it ends.
        end: End,
    },
    /// Puts bytes before TLS record `number`, counted from 0.
    InsertRecord {
        /// Where.
        number: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// Leaves out `length` bytes from `at` on.
    Drop {
        /// First byte left out.
        at: usize,
        /// How many.
        length: usize,
    },
    /// Sends `length` bytes from `at` on twice.
    Duplicate {
        /// First byte sent twice.
        at: usize,
        /// How many.
        length: usize,
    },
    /// Ends the direction in an orderly way before byte `at`.
    Fin {
        /// First byte not sent.
        at: usize,
    },
    /// Inverts the bits of `mask` in byte `at`.
    Flip {
        /// Which byte.
        at: usize,
        /// Which of its bits.
        mask: u8,
    },
    /// Puts bytes before byte `at`.
    Insert {
        /// Where.
        at: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// Exchanges two neighbouring blocks of `length` bytes, the first of which begins at `at`.
    Reorder {
        /// First byte of the first block.
        at: usize,
        /// Length of each block.
        length: usize,
    },
    /// Resets the connection before byte `at`.
    Reset {
        /// First byte not sent.
        at: usize,
    },
}

/// How a direction ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In an orderly way.
    Fin,
    /// With a reset.
    Reset,
}

/// Applies faults to a stream, however it is cut into pieces.
#[derive(Debug)]
pub struct Faults {
    planned: Vec<Fault>,
    position: usize,
    held: Vec<u8>,
    struck: bool,
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
        Self { planned: faults, position: 0, held: Vec::new(), struck: false, records: Records::default() }
    }

    /// Whether one of them has happened.
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

    /// Appends what becomes of `piece` to `out`; says whether the direction ends after that.
    pub fn apply(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Option<End> {
        for byte in piece {
            if let Some(end) = self.one(*byte, out) {
                self.struck = true;
                return Some(end);
            }
        }
        None
    }

    fn one(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<End> {
        let position = self.position;
        self.position += 1;
        let record = self.records.starts(byte);
        let (mut byte, mut kept) = (byte, true);
        for fault in &self.planned {
            match fault {
                Fault::CutRecord { number, end } if record == Some(*number) => return Some(*end),
                Fault::InsertRecord { number, bytes } if record == Some(*number) => {
                    out.extend_from_slice(bytes);
                }
                Fault::Fin { at } if position == *at => return Some(End::Fin),
                Fault::Reset { at } if position == *at => return Some(End::Reset),
                Fault::Flip { at, mask } if position == *at => byte ^= mask,
                Fault::Insert { at, bytes } if position == *at => out.extend_from_slice(bytes),
                Fault::Drop { at, length } if (*at..at + length).contains(&position) => kept = false,
                Fault::Duplicate { at, length } if (*at..at + length).contains(&position) => {
                    self.held.push(byte);
                    if position + 1 == at + length {
                        out.push(byte);
                        out.append(&mut self.held);
                        kept = false;
                    }
                }
                Fault::Reorder { at, length } if (*at..at + length).contains(&position) => {
                    self.held.push(byte);
                    kept = false;
                }
                Fault::Reorder { at, length } if position + 1 == at + 2 * length => {
                    out.push(byte);
                    out.append(&mut self.held);
                    kept = false;
                }
                Fault::CutRecord { .. }
                | Fault::InsertRecord { .. }
                | Fault::Drop { .. }
                | Fault::Duplicate { .. }
                | Fault::Fin { .. }
                | Fault::Flip { .. }
                | Fault::Insert { .. }
                | Fault::Reorder { .. }
                | Fault::Reset { .. } => continue,
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

    fn outcome(fault: Fault, cut: usize) -> (String, Option<End>) {
        let mut faults = Faults::new(vec![fault]);
        let (head, tail) = b"abcdefgh".split_at(cut);
        let mut out = Vec::new();
        let end = faults.apply(head, &mut out).or_else(|| faults.apply(tail, &mut out));
        out.extend(faults.flush());
        (String::from_utf8(out).unwrap(), end)
    }

    #[test]
    fn faults_do_what_they_say_wherever_the_stream_is_cut() {
        for cut in 0..=8 {
            let done = |fault| outcome(fault, cut);
            assert_eq!(done(Fault::Drop { at: 2, length: 3 }), ("abfgh".to_owned(), None));
            assert_eq!(done(Fault::Duplicate { at: 2, length: 3 }), ("abcdecdefgh".to_owned(), None));
            assert_eq!(done(Fault::Flip { at: 2, mask: 1 }), ("abbdefgh".to_owned(), None));
            assert_eq!(done(Fault::Insert { at: 2, bytes: b"--".to_vec() }), ("ab--cdefgh".to_owned(), None));
            assert_eq!(done(Fault::Reorder { at: 2, length: 2 }), ("abefcdgh".to_owned(), None));
            assert_eq!(
                done(Fault::Reorder { at: 6, length: 2 }),
                ("abcdefgh".to_owned(), None),
                "no second block"
            );
        }
        assert_eq!(outcome(Fault::Fin { at: 3 }, 8), ("abc".to_owned(), Some(End::Fin)));
        assert_eq!(outcome(Fault::Reset { at: 0 }, 8), (String::new(), Some(End::Reset)));
        assert_eq!(outcome(Fault::Fin { at: 8 }, 8), ("abcdefgh".to_owned(), None));
    }

    #[test]
    fn records_are_followed() {
        let stream = [&[22, 3, 3, 0, 2, 9, 9][..], &[23, 3, 3, 1, 0], &[7; 256], &[23, 3, 3, 0, 0]].concat();
        let mut cut = Faults::new(vec![Fault::CutRecord { number: 1, end: End::Reset }]);
        let mut out = Vec::new();
        assert_eq!(cut.apply(&stream, &mut out), Some(End::Reset));
        assert_eq!(out, stream[..7]);
        let mut whole = Faults::new(vec![]);
        assert_eq!(whole.apply(&stream, &mut Vec::new()), None);
        assert_eq!(whole.records(), 3);
    }
}
