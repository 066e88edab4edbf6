//! One HTTP/1.1 exchange with an upstream: write the call, read the head, then the body piece by piece.

use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use gateway::UpstreamResponse;
use gateway::deployment::Endpoint;
use gateway::upstream::{HeaderValue, Progress, ReadError, SendError, UpstreamCall, is_read};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::UpstreamBody;
use super::connection::UpstreamStream;
use super::pool::Pool;
use crate::alarm::Alarm;
use crate::clock::deadline;
use crate::http1::response::parse_response;
use crate::http1::{ChunkedDecoder, Framing, decimal};
use crate::padding::padded_length;

/// Longest response head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Receive buffer, in bytes: an ordinary answer with its head, or some events of a stream.
const RECEIVE_BYTES: usize = 4 * 1024;
/// Receive buffer once a read has filled the other, in bytes. Every buffer is wiped when it is freed, so that a large one
/// for each of hundreds of streams costs more than what they carry.
const BODY_BYTES: usize = 64 * 1024;

/// A call of which the far end has all bytes, or may have.
pub struct Sent<'c> {
    call: &'c UpstreamCall,
    stream: UpstreamStream,
    alarm: Alarm,
}

/// Writes `call`.
///
/// # Errors
/// The far end does not have all of the call, and so cannot have acted on it.
pub async fn send(mut stream: UpstreamStream, call: &UpstreamCall) -> Result<Sent<'_>, SendError> {
    let by = deadline(call.timeouts.response_head);
    let mut alarm = Alarm::new(by);
    alarm.before(by, write_call(&mut stream, call)).await.map_err(|_| SendError::Timeout)??;
    Ok(Sent { call, stream, alarm })
}

/// Waits for the final response head.
///
/// # Errors
/// [`SendError::Connection`] only while no byte of an answer has arrived. The far end may have acted on the call.
pub async fn answer(
    Sent { call, mut stream, mut alarm }: Sent<'_>,
    pool: &Rc<Pool>,
) -> Result<UpstreamResponse<UpstreamBody>, SendError> {
    let stall = call.timeouts.stall;
    let mut received = Vec::with_capacity(RECEIVE_BYTES);
    let head_by = deadline(call.timeouts.response_head);
    loop {
        match alarm.before(head_by, stream.read_buf(&mut received)).await {
            Err(_) => return Err(SendError::Timeout),
            Ok(Ok(bytes)) if bytes > 0 => {}
            Ok(_) if received.is_empty() => return Err(SendError::Connection),
            Ok(_) => return Err(SendError::Protocol),
        }
        if let Some(head) = parse_response(&received).map_err(|_| SendError::Protocol)? {
            let fields = head.fields.as_slice().iter().filter(|(name, _)| is_read(head.status, name));
            let headers = fields.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
            let (status, framing, reusable, length) = (head.status, head.framing, head.reusable, head.length);
            received.drain(..length.min(received.len()));
            let body = HttpBody {
                stream: Some(stream),
                received,
                room: RECEIVE_BYTES,
                alarm,
                rest: Rest::from_framing(framing),
                reuse: reusable.then(|| (call.deployment.endpoint.clone(), Rc::clone(pool))),
                stall,
                deadline: None,
            };
            return Ok(UpstreamResponse { status, headers, body: UpstreamBody::Http(body) });
        }
        if received.len() > MAX_HEAD {
            return Err(SendError::Protocol);
        }
    }
}

async fn write_call(stream: &mut UpstreamStream, call: &UpstreamCall) -> Result<(), SendError> {
    let parts = call.body.expose();
    let length = if takes_padding(call) { padded_length(parts.length()) } else { parts.length() };
    let padding = vec![b' '; length.saturating_sub(parts.length())];
    let mut head = Vec::with_capacity(HEAD_BYTES);
    write_head(&mut head, call, length);
    let body = parts.parts().iter().map(AsRef::as_ref);
    let body = body.chain(std::iter::once(padding.as_slice()).filter(|padding| !padding.is_empty()));
    let written = if stream.gathers() || length > BODY_BYTES {
        write_slices(stream, std::iter::once(head.as_slice()).chain(body)).await
    } else {
        let whole: Vec<&[u8]> = std::iter::once(head.as_slice()).chain(body).collect();
        stream.write_all(&whole.concat()).await
    };
    written.map_err(|_| SendError::Connection)?;
    stream.flush().await.map_err(|_| SendError::Connection)
}

/// JSON may end in spaces (RFC 8259, section 2), so that the host does not see how long a prompt is. A body that is signed
/// stays as it was when it was signed.
fn takes_padding(call: &UpstreamCall) -> bool {
    let is_json = |(name, value): &(&str, HeaderValue)| {
        *name == "content-type" && value.expose().starts_with(b"application/json")
    };
    let is_signed = call.headers.iter().any(|(name, _)| *name == "x-amz-date");
    call.body.expose().length() > 0 && call.headers.iter().any(is_json) && !is_signed
}

fn write_head(out: &mut Vec<u8>, call: &UpstreamCall, length: usize) {
    let (host, port, default_port) = match &call.deployment.endpoint {
        Endpoint::Builtin => return,
        Endpoint::Http { host, port } => (host, *port, 80),
        Endpoint::Https { host, port, .. } => (host, *port, 443),
    };
    out.extend_from_slice(call.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(call.path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(host.as_bytes());
    if port != default_port {
        out.push(b':');
        decimal(out, usize::from(port));
    }
    for (name, value) in &call.headers {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.expose());
    }
    for (name, value) in &call.passed_on {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.expose());
    }
    out.extend_from_slice(b"\r\ncontent-length: ");
    decimal(out, length);
    out.extend_from_slice(b"\r\n\r\n");
}

async fn write_slices<'p>(
    stream: &mut UpstreamStream,
    parts: impl Iterator<Item = &'p [u8]>,
) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.map(IoSlice::new).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let written = stream.write_vectored(rest).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

/// What is still to come of a body.
#[derive(Debug)]
enum Rest {
    Chunked(ChunkedDecoder),
    Length(u64),
    UntilClose,
    Complete,
}

impl Rest {
    fn from_framing(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => Self::Chunked(ChunkedDecoder::default()),
            Framing::Length(0) | Framing::None => Self::Complete,
            Framing::Length(length) => Self::Length(length),
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

/// The body of one response. Dropping it before its end closes the connection, which cancels the request.
#[derive(Debug)]
pub struct HttpBody {
    stream: Option<UpstreamStream>,
    received: Vec<u8>,
    /// How much is received at once.
    room: usize,
    alarm: Alarm,
    rest: Rest,
    reuse: Option<(Endpoint, Rc<Pool>)>,
    stall: Duration,
    deadline: Option<Instant>,
}

impl HttpBody {
    /// After this instant no more bytes are waited for.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// See [`gateway::UpstreamBody::read`].
    ///
    /// # Errors
    /// [`ReadError`]; the connection is then gone.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> Result<Progress, ReadError> {
        loop {
            let before = into.len();
            self.take_received(into)?;
            if into.len() > before {
                return Ok(Progress::Data);
            }
            if matches!(self.rest, Rest::Complete) {
                self.retire();
                return Ok(Progress::End);
            }
            let stream = self.stream.as_mut().ok_or(ReadError::Broken)?;
            self.received.reserve(self.room);
            let stalled = deadline(self.stall);
            let until = self.deadline.map_or(stalled, |deadline| deadline.min(stalled));
            match self.alarm.before(until, stream.read_buf(&mut self.received)).await {
                Err(_) => return Err(self.fail(ReadError::Timeout)),
                Ok(Ok(bytes)) if bytes > 0 => {
                    if bytes >= self.room {
                        self.room = BODY_BYTES;
                    }
                }
                Ok(Ok(_)) if matches!(self.rest, Rest::UntilClose) => self.rest = Rest::Complete,
                Ok(_) => return Err(self.fail(ReadError::Broken)),
            }
        }
    }

    /// Moves what was received and belongs to the body into `into`.
    fn take_received(&mut self, into: &mut Vec<u8>) -> Result<(), ReadError> {
        if self.received.is_empty() {
            return Ok(());
        }
        match &mut self.rest {
            Rest::Complete => {}
            Rest::Chunked(decoder) => {
                let used = decoder.decode(&self.received, into).map_err(|_| ReadError::Protocol)?;
                self.received.drain(..used.min(self.received.len()));
                if decoder.is_done() {
                    self.rest = Rest::Complete;
                }
            }
            Rest::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.received.len());
                into.extend_from_slice(self.received.get(..take).unwrap_or_default());
                self.received.drain(..take);
                *left = left.saturating_sub(u64::try_from(take).unwrap_or(u64::MAX));
                if *left == 0 {
                    self.rest = Rest::Complete;
                }
            }
            Rest::UntilClose => into.append(&mut self.received),
        }
        Ok(())
    }

    /// Whether all that is missing is the end of the framing: nothing else was received, and more can come.
    pub fn awaits_framing(&mut self) -> bool {
        let mut rest = Vec::new();
        self.take_received(&mut rest).is_ok() && rest.is_empty() && !matches!(self.rest, Rest::Complete)
    }

    fn fail(&mut self, error: ReadError) -> ReadError {
        self.reuse = None;
        self.stream = None;
        error
    }

    /// Gives the connection back when the body is complete and nothing follows it.
    fn retire(&mut self) {
        let complete = matches!(self.rest, Rest::Complete) && self.received.is_empty();
        if let (true, Some(stream), Some((endpoint, pool))) =
            (complete, self.stream.take(), self.reuse.take())
        {
            pool.keep(&endpoint, stream);
        }
    }
}

impl Drop for HttpBody {
    fn drop(&mut self) {
        // A reader that stops at the protocol's own end mark leaves the last framing bytes unread.
        let mut unread = Vec::new();
        if self.take_received(&mut unread).is_ok() && unread.is_empty() {
            self.retire();
        }
    }
}

/// Room for a request head, in bytes.
const HEAD_BYTES: usize = 512;
