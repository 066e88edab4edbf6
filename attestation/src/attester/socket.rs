//! A security processor behind a socket: one request per connection.
//! The answer is untrusted bytes, exactly as from hardware; a verifier decides what they are worth.

use crate::attester::{Attester, AttesterError, MAX_AUXILIARY_BYTES, Quote};
use crate::digest::ReportData;
use crate::evidence::{MAX_CPU_EVIDENCE_BYTES, TeeType};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// First bytes of every request.
pub const MAGIC: &[u8; 8] = b"PSTNSP01";

/// How long one answer may take in total of each read and write.
const DEADLINE: Duration = Duration::from_secs(10);

/// Where it listens.
#[derive(Clone, Debug)]
enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// Asks the security processor behind a socket.
#[derive(Clone, Debug)]
pub struct SocketAttester {
    place: Place,
    tee: TeeType,
}

impl SocketAttester {
    /// An attester that connects to the Unix socket `path` for every quote and expects evidence of kind `tee`.
    pub fn new(path: impl Into<PathBuf>, tee: TeeType) -> Self {
        Self { place: Place::Unix(path.into()), tee }
    }

    /// The same over TCP: for machines whose security processor is played by another.
    pub const fn over_tcp(address: SocketAddr, tee: TeeType) -> Self {
        Self { place: Place::Tcp(address), tee }
    }
}

impl Attester for SocketAttester {
    fn tee(&self) -> TeeType {
        self.tee
    }

    #[expect(clippy::disallowed_methods, reason = "this file owns the connection to the security processor")]
    fn quote(&self, report_data: &ReportData) -> Result<Quote, AttesterError> {
        let connecting = failed("connecting to the security processor");
        match &self.place {
            Place::Unix(path) => {
                let mut stream = UnixStream::connect(path).map_err(connecting)?;
                stream.set_read_timeout(Some(DEADLINE)).map_err(failed("setting the read deadline"))?;
                stream.set_write_timeout(Some(DEADLINE)).map_err(failed("setting the write deadline"))?;
                exchange(&mut stream, report_data)
            }
            Place::Tcp(address) => {
                let mut stream = TcpStream::connect(address).map_err(connecting)?;
                stream.set_read_timeout(Some(DEADLINE)).map_err(failed("setting the read deadline"))?;
                stream.set_write_timeout(Some(DEADLINE)).map_err(failed("setting the write deadline"))?;
                exchange(&mut stream, report_data)
            }
        }
    }
}

fn exchange(stream: &mut (impl Read + Write), report_data: &ReportData) -> Result<Quote, AttesterError> {
    let mut request = MAGIC.to_vec();
    request.extend_from_slice(report_data.as_bytes());
    stream.write_all(&request).map_err(failed("sending the request"))?;
    let bytes = block(stream, MAX_CPU_EVIDENCE_BYTES)?;
    if bytes.is_empty() {
        return Err(AttesterError::Refused);
    }
    let auxiliary = block(stream, MAX_AUXILIARY_BYTES)?;
    let mut extra = [0];
    match stream.read(&mut extra).map_err(failed("reading the end"))? {
        0 => Ok(Quote { bytes, auxiliary }),
        _ => Err(AttesterError::Malformed("bytes after the answer")),
    }
}

/// A length (32 bits, big-endian) and as many bytes.
fn block(stream: &mut impl Read, limit: usize) -> Result<Vec<u8>, AttesterError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(failed("reading a length"))?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(AttesterError::Malformed("a length over its limit"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).map_err(failed("reading the answer"))?;
    Ok(bytes)
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> AttesterError {
    move |error| AttesterError::Io { doing, kind: error.kind() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        sent: Vec<u8>,
        answer: io::Cursor<Vec<u8>>,
    }

    impl Read for Fake {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.answer.read(into)
        }
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.sent.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ask(answer: &[u8]) -> (Result<Quote, AttesterError>, Vec<u8>) {
        let mut fake = Fake { sent: Vec::new(), answer: io::Cursor::new(answer.to_vec()) };
        let result = exchange(&mut fake, &ReportData::new([7; 64]));
        (result, fake.sent)
    }

    #[test]
    fn sends_only_report_data_and_reads_both_blocks() {
        let (quote, sent) = ask(b"\0\0\0\x03abc\0\0\0\x02de");
        assert_eq!(quote, Ok(Quote { bytes: b"abc".to_vec(), auxiliary: b"de".to_vec() }));
        assert_eq!(sent, [MAGIC.as_slice(), &[7; 64]].concat());
    }

    #[test]
    fn refusals_and_broken_answers_are_told_apart() {
        assert_eq!(ask(b"\0\0\0\0\0\0\0\0").0, Err(AttesterError::Refused));
        assert_eq!(ask(b"\0\x01\0\x01").0, Err(AttesterError::Malformed("a length over its limit")));
        assert_eq!(ask(b"\0\0\0\x01a\0\0\0\0!").0, Err(AttesterError::Malformed("bytes after the answer")));
        let cut = AttesterError::Io { doing: "reading the answer", kind: io::ErrorKind::UnexpectedEof };
        assert_eq!(ask(b"\0\0\0\x03ab").0, Err(cut));
    }
}
