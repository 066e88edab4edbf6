//! The chunked transfer coding (RFC 9112 section 7.1), decoded incrementally.

/// Most bytes of chunk extensions and trailers in one body; both are read and ignored.
const MAX_IGNORED: usize = 8 * 1024;

/// Why a chunked body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// Chunk size, line ending or trailer not as the RFC says.
    Malformed,
    /// Extensions and trailers beyond 8 KiB together.
    TooLong,
}

/// Decodes one chunked body. Feed it any cut of the bytes; the output is the same.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// Size read so far, or bytes left in this chunk.
    remaining: u64,
    ignored: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    SizeStart,
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

impl ChunkedDecoder {
    /// Whether the terminating chunk and its trailers were read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Appends the payload in `input` to `out`; returns how many bytes of `input` belong to this body.
    ///
    /// Fewer than `input.len()` only once [`Self::is_done`].
    ///
    /// # Errors
    /// [`ChunkError`]; the body and its connection are then unusable.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, ChunkError> {
        let mut rest = input;
        while self.state != State::Done {
            if self.state == State::Data {
                let take = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest.len());
                let (data, after) = rest.split_at_checked(take).unwrap_or((rest, &[]));
                out.extend_from_slice(data);
                self.remaining = self.remaining.saturating_sub(u64::try_from(take).unwrap_or(u64::MAX));
                rest = after;
                if self.remaining > 0 {
                    break;
                }
                self.state = State::DataCr;
            }
            let Some((&byte, after)) = rest.split_first() else { break };
            rest = after;
            self.state = self.step(byte)?;
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        match (self.state, byte) {
            (State::SizeStart | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.size_digit(byte)
            }
            (State::Size, b';' | b' ' | b'\t') => Ok(State::Extension),
            (State::Size | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, byte) if byte != b'\n' => self.ignore(State::Extension),
            (State::SizeLf, b'\n') if self.remaining == 0 => Ok(State::TrailerStart),
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::SizeStart),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::TrailerStart | State::Trailer, byte) if byte != b'\n' => self.ignore(State::Trailer),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::Done),
            _ => Err(ChunkError::Malformed),
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<State, ChunkError> {
        let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Malformed)?;
        // 2^48 bytes is beyond any body; a longer size is an overflow attempt.
        self.remaining = self.remaining.saturating_mul(16).saturating_add(u64::from(digit));
        if self.remaining >> 48 != 0 { Err(ChunkError::Malformed) } else { Ok(State::Size) }
    }

    fn ignore(&mut self, next: State) -> Result<State, ChunkError> {
        self.ignored = self.ignored.saturating_add(1);
        if self.ignored > MAX_IGNORED { Err(ChunkError::TooLong) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(input: &[u8]) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let (mut decoder, mut out) = (ChunkedDecoder::default(), Vec::new());
        let used = decoder.decode(input, &mut out)?;
        Ok((out, used, decoder.is_done()))
    }

    #[test]
    fn decodes_the_same_at_every_cut() {
        let input = b"5;ext=1\r\nhello\r\n0006\r\n world\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nNEXT";
        let expected = b"hello world0123456789";
        let (out, used, done) = whole(input).unwrap();
        assert_eq!((out.as_slice(), &input[used..], done), (&expected[..], &b"NEXT"[..], true));
        for cut in 0..used {
            let (mut decoder, mut out) = (ChunkedDecoder::default(), Vec::new());
            assert_eq!(decoder.decode(&input[..cut], &mut out).unwrap(), cut);
            assert!(!decoder.is_done(), "cut at {cut}");
            assert_eq!(decoder.decode(&input[cut..], &mut out).unwrap(), used - cut);
            assert_eq!((out.as_slice(), decoder.is_done()), (&expected[..], true));
        }
    }

    #[test]
    fn refuses_loose_framing() {
        for bad in [
            &b"\r\n"[..],
            b"g\r\n",
            b"5\nhello",
            b"5\r\nhelloX",
            b"5\r\nhello\r0",
            b"-5\r\n",
            b"0x5\r\n",
            b" 5\r\n",
            b"ffffffffffffffff\r\n",
            b"1000000000000\r\n",
            b"0\r\nT\n",
        ] {
            assert_eq!(whole(bad).unwrap_err(), ChunkError::Malformed, "{bad:?}");
        }
        let long = [b"0\r\n".as_slice(), &[b'x'; MAX_IGNORED + 1]].concat();
        assert_eq!(whole(&long).unwrap_err(), ChunkError::TooLong);
    }
}
