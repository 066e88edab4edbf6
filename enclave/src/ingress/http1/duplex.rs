//! The two buffers of an HTTP/1.1 connection, and everything that waits on its socket.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use gateway::Plaintext;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::alarm::Alarm;
use crate::clock::deadline;
use crate::http1::{ChunkedDecoder, Framing};
use crate::tls::Secured;
use crate::wipe::{wipe, wipe_used};

/// See the module documentation.
pub struct Duplex {
    /// The connection itself.
    pub secured: Secured,
    /// What is to be sent next.
    pub out: Plaintext<Vec<u8>>,
    /// Received and not yet consumed; at the start of an exchange, the next request's first bytes.
    received: Vec<u8>,
    /// How much of `received` held something since it was last wiped.
    used: usize,
    /// How long either side may make no progress.
    stall: Duration,
    /// The deadline of whatever is being received.
    alarm: Alarm,
}

/// The client took no byte, sent no byte, or is not there any more.
#[derive(Clone, Copy, Debug)]
pub struct Gone;

/// Why a body was not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client is gone.
    Gone,
    /// The chunked coding is wrong.
    Malformed,
    /// No byte for too long.
    TimedOut,
    /// More than the limit.
    TooLarge,
}

impl Duplex {
    /// Buffers for one connection; `stall` bounds every wait for progress.
    pub fn new(secured: Secured, stall: Duration) -> Self {
        let received = Vec::with_capacity(RECEIVE_BYTES);
        Self {
            secured,
            out: Plaintext::new(Vec::new()),
            received,
            used: 0,
            stall,
            alarm: Alarm::new(deadline(stall)),
        }
    }

    /// What was received and not consumed.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Takes the first `length` received bytes away.
    pub fn consume(&mut self, length: usize) {
        self.received.drain(..length.min(self.received.len()));
    }

    /// Receives some bytes.
    ///
    /// # Errors
    /// [`Gone`] when the deadline passed, or the client ended or broke the connection.
    pub async fn receive(&mut self, by: Instant) -> Result<(), Gone> {
        let read = self.alarm.before(by, self.secured.stream.read_buf(&mut self.received)).await;
        self.used = self.used.max(self.received.len());
        match read {
            Ok(Ok(bytes)) if bytes > 0 => Ok(()),
            Ok(_) | Err(_) => Err(Gone),
        }
    }

    /// Receives a whole request body of at most `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn receive_body(
        &mut self,
        framing: Framing,
        limit: usize,
    ) -> Result<Plaintext<Bytes>, BodyError> {
        let body = match framing {
            Framing::None | Framing::UntilClose => Vec::new(),
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= limit => self.receive_length(length).await?,
                Ok(_) | Err(_) => return Err(BodyError::TooLarge),
            },
            Framing::Chunked => self.receive_chunked(limit).await?,
        };
        Ok(Plaintext::new(Bytes::from(body)))
    }

    async fn receive_length(&mut self, length: usize) -> Result<Vec<u8>, BodyError> {
        // A claim of megabytes is believed once the first part of them is there.
        let mut body = Vec::with_capacity(length.min(FIRST_BODY_BYTES));
        let already = length.min(self.received.len());
        body.extend_from_slice(self.received.get(..already).unwrap_or_default());
        self.consume(already);
        while body.len() < length {
            let missing = length.saturating_sub(body.len());
            if body.len() == body.capacity() {
                body.reserve_exact(missing);
            }
            let left = u64::try_from(missing).unwrap_or(u64::MAX);
            let mut limited = (&mut self.secured.stream).take(left);
            progress(&mut self.alarm, self.stall, limited.read_buf(&mut body)).await?;
        }
        Ok(body)
    }

    async fn receive_chunked(&mut self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let (mut decoder, mut body) = (ChunkedDecoder::default(), Vec::new());
        loop {
            let length = decoder.decode(&self.received, &mut body).map_err(|_| BodyError::Malformed)?;
            self.consume(length);
            if body.len() > limit {
                return Err(BodyError::TooLarge);
            }
            if decoder.is_done() {
                return Ok(body);
            }
            self.received.reserve(RECEIVE_BYTES);
            let read =
                progress(&mut self.alarm, self.stall, self.secured.stream.read_buf(&mut self.received)).await;
            self.used = self.used.max(self.received.len());
            read?;
        }
    }

    /// Ends when the client closes its side or the connection breaks. What it sends early, for its next
    /// request, is kept, up to a bound; beyond that it is left in the kernel.
    pub async fn gone(secured: &mut Secured, early: &mut Early<'_>) {
        while early.received.len() < EARLY_BYTES {
            early.received.reserve(1024);
            let read = secured.stream.read_buf(early.received).await;
            *early.used = (*early.used).max(early.received.len());
            match read {
                Ok(bytes) if bytes > 0 => {}
                Ok(_) | Err(_) => return,
            }
        }
        pending::<()>().await;
    }

    /// The parts that an answer under way needs at the same time: what to send, whom to watch.
    pub fn split(&mut self) -> (&mut Plaintext<Vec<u8>>, &mut Secured, Early<'_>) {
        (&mut self.out, &mut self.secured, Early { received: &mut self.received, used: &mut self.used })
    }

    /// Sends what is in `out`, and wipes it.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn flush(&mut self) -> Result<(), Gone> {
        let written = send(&mut self.secured, self.out.expose(), self.stall).await;
        wipe(self.out.expose_mut());
        written
    }

    /// Sends `bytes` past the buffer.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        send(&mut self.secured, bytes, self.stall).await
    }

    /// Wipes what the last exchange left, before what may be a long silence.
    pub fn forget(&mut self) {
        if self.received.is_empty() {
            if self.received.capacity() > LARGEST_KEPT {
                self.received = Vec::with_capacity(RECEIVE_BYTES);
            } else {
                wipe_used(&mut self.received, self.used);
            }
            self.used = 0;
        }
        if self.out.expose().capacity() > LARGEST_KEPT {
            self.out = Plaintext::new(Vec::new());
        }
    }

    /// Says goodbye; then, if the client may still be sending, listens a moment longer, because closing on
    /// unread bytes would reset the connection and take the last answer with it.
    pub async fn close(mut self, still_sending: bool) {
        let by = deadline(CLOSE_TIME);
        drop(timeout_at(by, self.secured.stream.shutdown()).await);
        let mut ignored = 0_usize;
        while still_sending && ignored < LINGER_BYTES {
            self.received.clear();
            self.received.reserve(RECEIVE_BYTES);
            match timeout_at(by, self.secured.stream.read_buf(&mut self.received)).await {
                Ok(Ok(bytes)) if bytes > 0 => ignored = ignored.saturating_add(bytes),
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Where early bytes of the next request go.
pub struct Early<'c> {
    received: &'c mut Vec<u8>,
    used: &'c mut usize,
}

async fn progress(
    alarm: &mut Alarm,
    stall: Duration,
    read: impl Future<Output = std::io::Result<usize>>,
) -> Result<(), BodyError> {
    match alarm.before(deadline(stall), read).await {
        Ok(Ok(bytes)) if bytes > 0 => Ok(()),
        Ok(_) => Err(BodyError::Gone),
        Err(_) => Err(BodyError::TimedOut),
    }
}

/// Writes everything; each step towards the socket has its own deadline, so a slow reader who reads is served.
pub async fn send(secured: &mut Secured, bytes: &[u8], stall: Duration) -> Result<(), Gone> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match timeout(stall, secured.stream.write(rest)).await {
            Ok(Ok(written)) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
            Ok(_) | Err(_) => return Err(Gone),
        }
    }
    match timeout(stall, secured.stream.flush()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

/// First receive buffer, in bytes: an ordinary request with its head.
const RECEIVE_BYTES: usize = 8 * 1024;
/// How much of a body is made room for before any of it has arrived, in bytes.
const FIRST_BODY_BYTES: usize = 256 * 1024;
/// Largest buffer that is kept between exchanges, in bytes.
const LARGEST_KEPT: usize = 64 * 1024;
/// Early bytes of the next request that are read while an answer is under way.
const EARLY_BYTES: usize = 16 * 1024;
/// How long the closing handshake may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);
/// How much of a refused body is read and dropped.
const LINGER_BYTES: usize = 1024 * 1024;
