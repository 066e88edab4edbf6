//! What can be done to a stream of bytes, at any of its offsets.

/// One thing done to one direction of a connection. Offsets count the original bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
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
    faults: Vec<Fault>,
    position: usize,
    held: Vec<u8>,
    struck: bool,
}

impl Faults {
    /// Faults for one direction.
    pub fn new(faults: Vec<Fault>) -> Self {
        Self { faults, position: 0, held: Vec::new(), struck: false }
    }

    /// Whether one of them has happened.
    pub fn has_struck(&self) -> bool {
        self.struck
    }

    /// Bytes held back, when no more are coming.
    pub fn flush(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Appends what becomes of `piece` to `out`; says whether the direction ends after that.
    pub fn apply(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Option<End> {
        if self.faults.is_empty() {
            out.extend_from_slice(piece);
            return None;
        }
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
        let (mut byte, mut kept) = (byte, true);
        for fault in &self.faults {
            match fault {
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
                _ => continue,
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
}
