//! A security processor behind a socket: one request per connection, for evidence or for the guest's own key.
//! The answer is untrusted bytes, exactly as from hardware; a verifier decides what they are worth.

use crate::attester::{Attester, AttesterError, MAX_AUXILIARY_BYTES, Quote};
use crate::digest::ReportData;
use crate::evidence::{MAX_CPU_EVIDENCE_BYTES, TeeType};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// First bytes of a request for evidence; 64 bytes of report data follow.
pub const MAGIC: &[u8; 8] = b"PSTNSP01";

/// All of a request for the key that the processor derives for this guest (SEV-SNP firmware ABI, `MSG_KEY_REQ`).
pub const KEY_MAGIC: &[u8; 8] = b"PSTNSK01";

/// Length of a derived key, in bytes.
pub const KEY_BYTES: usize = 32;

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

    /// The key that the processor derives for this guest. The caller wipes it.
    ///
    /// # Errors
    /// Whatever kept the processor from answering.
    pub fn derived_key(&self) -> Result<[u8; KEY_BYTES], AttesterError> {
        derived(&mut self.connect()?)
    }

    #[expect(clippy::disallowed_methods, reason = "this file owns the connection to the security processor")]
    fn connect(&self) -> Result<Box<dyn Stream>, AttesterError> {
        let connecting = failed("connecting to the security processor");
        match &self.place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).map_err(connecting)?;
                stream.set_read_timeout(Some(DEADLINE)).map_err(failed("setting the read deadline"))?;
                stream.set_write_timeout(Some(DEADLINE)).map_err(failed("setting the write deadline"))?;
                Ok(Box::new(stream))
            }
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).map_err(connecting)?;
                stream.set_read_timeout(Some(DEADLINE)).map_err(failed("setting the read deadline"))?;
                stream.set_write_timeout(Some(DEADLINE)).map_err(failed("setting the write deadline"))?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// A connection to the processor.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

impl Attester for SocketAttester {
    fn tee(&self) -> TeeType {
        self.tee
    }

    fn quote(&self, report_data: &ReportData) -> Result<Quote, AttesterError> {
        exchange(&mut self.connect()?, report_data)
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
    finished(stream)?;
    Ok(Quote { bytes, auxiliary })
}

fn derived(stream: &mut (impl Read + Write)) -> Result<[u8; KEY_BYTES], AttesterError> {
    stream.write_all(KEY_MAGIC).map_err(failed("sending the request"))?;
    let key = block(stream, KEY_BYTES)?;
    if key.is_empty() {
        return Err(AttesterError::Refused);
    }
    let key = key.try_into().map_err(|_| AttesterError::Malformed("a key of another length"))?;
    finished(stream)?;
    Ok(key)
}

fn finished(stream: &mut impl Read) -> Result<(), AttesterError> {
    match stream.read(&mut [0]).map_err(failed("reading the end"))? {
        0 => Ok(()),
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

    fn derive(answer: &[u8]) -> (Result<[u8; KEY_BYTES], AttesterError>, Vec<u8>) {
        let mut fake = Fake { sent: Vec::new(), answer: io::Cursor::new(answer.to_vec()) };
        (derived(&mut fake), fake.sent)
    }

    #[test]
    fn asks_for_a_key_without_saying_anything() {
        let (key, sent) = derive(&[b"\0\0\0\x20".as_slice(), &[5; 32]].concat());
        assert_eq!((key, sent), (Ok([5; 32]), KEY_MAGIC.to_vec()));
    }

    #[test]
    fn refusals_and_broken_answers_are_told_apart() {
        assert_eq!(ask(b"\0\0\0\0\0\0\0\0").0, Err(AttesterError::Refused));
        assert_eq!(ask(b"\0\x01\0\x01").0, Err(AttesterError::Malformed("a length over its limit")));
        assert_eq!(ask(b"\0\0\0\x01a\0\0\0\0!").0, Err(AttesterError::Malformed("bytes after the answer")));
        let cut = AttesterError::Io { doing: "reading the answer", kind: io::ErrorKind::UnexpectedEof };
        assert_eq!(derive(b"\0\0\0\0").0, Err(AttesterError::Refused));
        assert_eq!(derive(b"\0\0\0\x02ab").0, Err(AttesterError::Malformed("a key of another length")));
        let long = [b"\0\0\0\x20".as_slice(), &[5; 33]].concat();
        assert_eq!(derive(&long).0, Err(AttesterError::Malformed("bytes after the answer")));
        assert_eq!(ask(b"\0\0\0\x03ab").0, Err(cut));
    }
}
