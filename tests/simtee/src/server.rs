//! The processor behind a Unix socket.
//!
//! One request per connection: the client sends the eight bytes `PSTNSP01` and 64 bytes of report data;
//! the answer is a length (u32, big-endian) and the report, then a length and the certificate table.
//! A report of length 0 means refused. Or it sends the eight bytes `PSTNSK01` alone; the answer is a length and the key that
//! is derived for the guest.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::SimteeError;
use crate::authority::remove_if_there;
use crate::processor::Processor;

/// What a request for a report starts with.
pub const MAGIC: &[u8; 8] = b"PSTNSP01";
/// A request for the guest's own key.
pub const KEY_MAGIC: &[u8; 8] = b"PSTNSK01";
/// How long one client may take to send its request or to read its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections served at once; more are closed unanswered.
const AT_ONCE: usize = 64;

/// Binds the socket; a stale one in its place is removed, a live one is not.
pub fn bind(path: &Path) -> Result<UnixListener, SimteeError> {
    if UnixStream::connect(path).is_ok() {
        return Err(SimteeError::Invalid(format!(
            "{} is in use by another process: choose another socket",
            path.display()
        )));
    }
    remove_if_there(path).map_err(SimteeError::io("replace the socket", path))?;
    UnixListener::bind(path).map_err(SimteeError::io("listen on", path))
}

/// Serves requests until the listener fails; each connection has its own thread.
pub fn serve(listener: &UnixListener, processor: &Arc<Processor>) -> io::Error {
    let active = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            Err(error) => return error,
        };
        if active.fetch_add(1, Ordering::SeqCst) >= AT_ONCE {
            active.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (processor, active) = (Arc::clone(processor), Arc::clone(&active));
        thread::spawn(move || {
            // A client that breaks off or sends nonsense gets no answer; nothing else depends on it.
            drop(answer(&stream, &processor));
            active.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Whether accepting may work again later: the client is gone, or descriptors ran out for a moment.
fn is_passing(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Reads one request and answers it.
fn answer(mut stream: &UnixStream, processor: &Processor) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic)?;
    if magic == *KEY_MAGIC {
        return stream.write_all(&prefixed(&processor.derived_key()));
    }
    let mut report_data = [0; 64];
    stream.read_exact(&mut report_data)?;
    let answer = match processor.quote(&report_data) {
        Ok(quote) if magic == *MAGIC => {
            [prefixed(&quote.report), prefixed(&quote.certificate_table)].concat()
        }
        _ => [prefixed(&[]), prefixed(&[])].concat(),
    };
    stream.write_all(&answer)
}

/// The bytes with their length before them.
fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}
