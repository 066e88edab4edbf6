//! One HTTP/1.1 connection, from its first byte to its last: read, answer, again.
//!
//! One task owns the connection and does everything on it, so a request crosses no thread and no queue.
//! While an answer is being made the task also watches the client; a client that leaves cancels its upstream.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gateway::{Answer, AnswerBody, AnswerStream, Opened, Plaintext, RequestHead, Step, pipeline};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout, timeout_at};
use zeroize::Zeroize;

use super::response::{Body, LAST_CHUNK, SHUTTING_DOWN, begin_chunk, end_chunk, write_head};
use super::tls::Secured;
use super::well_known::{self, Reply, WellKnown};
use crate::clock::{ProcessClock, deadline};
use crate::http1::head::{self, HeadError};
use crate::http1::{ChunkedDecoder, Framing};
use crate::upstream::UpstreamBody;
use crate::worker::{Phase, Worker};

/// Serves the connection until either side ends it.
pub async fn serve(secured: Secured, worker: Rc<Worker>) {
    let phase = worker.shared.phase.subscribe();
    let mut connection = Http1 {
        secured,
        worker,
        phase,
        received: Vec::with_capacity(RECEIVE_BYTES),
        out: Plaintext::new(Vec::new()),
    };
    loop {
        match connection.exchange().await {
            Next::KeepAlive => {}
            Next::Close => break,
            // Neither a last chunk nor a close_notify: the client must not take this for an end.
            Next::Abort => return,
        }
    }
    drop(timeout(CLOSE_TIME, connection.secured.stream.shutdown()).await);
}

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    KeepAlive,
    Close,
    Abort,
}

/// Whom the request is for; decided on the head alone, before a byte of body is read.
enum Route {
    WellKnown(WellKnown),
    Gateway(Opened),
    Refused(gateway::Error),
}

/// What the body step needs to know, free of borrows from the receive buffer.
struct Incoming {
    route: Route,
    framing: Framing,
    expects_continue: bool,
    close: bool,
}

struct Http1 {
    secured: Secured,
    worker: Rc<Worker>,
    phase: watch::Receiver<Phase>,
    /// Received and not yet consumed; at the start of an exchange, the next request's first bytes.
    received: Vec<u8>,
    out: Plaintext<Vec<u8>>,
}

impl Http1 {
    async fn exchange(&mut self) -> Next {
        let incoming = match self.read_head().await {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return Next::Close,
            Err(error) => return self.refuse(error.status(), error.code()).await,
        };
        let limit = match &incoming.route {
            Route::WellKnown(_) => well_known::MAX_BODY,
            Route::Gateway(opened) => opened.max_body_bytes(),
            Route::Refused(_) => 0,
        };
        // A refused request's body is not worth reading; the connection goes with it.
        if let Route::Refused(error) = incoming.route {
            let close = incoming.framing != Framing::None || incoming.close;
            return self.send_error(&error, close).await;
        }
        if incoming.expects_continue && self.write_plain(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return Next::Abort;
        }
        let body = match self.read_body(incoming.framing, limit).await {
            Ok(body) => body,
            Err(BodyError::Gone) => return Next::Abort,
            Err(BodyError::Malformed) => return self.refuse(400, "HTTP_BODY_MALFORMED").await,
            Err(BodyError::TooLarge) => {
                return match incoming.route {
                    Route::Gateway(opened) => {
                        self.send_error(
                            &gateway::Error::BodyTooLarge { limit: opened.max_body_bytes() },
                            true,
                        )
                        .await
                    }
                    Route::WellKnown(_) | Route::Refused(_) => self.refuse(413, "HTTP_BODY_TOO_LARGE").await,
                };
            }
            Err(BodyError::TimedOut) => return self.refuse(408, "HTTP_BODY_TIMEOUT").await,
        };
        let close = incoming.close || self.worker.shared.phase() >= Phase::Draining;
        let next = match incoming.route {
            Route::Gateway(opened) => self.run_pipeline(opened, body, close).await,
            Route::WellKnown(which) => {
                let reply = which.answer(body.expose(), &self.worker, &self.secured).await;
                self.send_reply(&reply, close).await
            }
            Route::Refused(error) => self.send_error(&error, true).await,
        };
        self.forget();
        next
    }

    /// Reads until a whole head is there. `None`: the client is done, or has been idle long enough.
    async fn read_head(&mut self) -> Result<Option<Incoming>, HeadError> {
        let limits = &self.worker.shared.limits;
        let (idle, header_time, header_bytes) =
            (limits.idle_time(), limits.header_time(), limits.header_bytes);
        let mut by = deadline(if self.received.is_empty() { idle } else { header_time });
        loop {
            if let Some(message) = head::parse_request(&self.received)? {
                let head = RequestHead {
                    method: message.method,
                    path: message.path,
                    query: message.query,
                    headers: message.fields.as_slice(),
                };
                let route = route(&head, &self.worker);
                let incoming = Incoming {
                    route,
                    framing: message.framing,
                    expects_continue: message.expects_continue,
                    close: message.close,
                };
                let length = message.length;
                self.received.drain(..length.min(self.received.len()));
                return Ok(Some(incoming));
            }
            if self.received.len() >= header_bytes {
                return Err(HeadError::TooManyFields);
            }
            let between_requests = self.received.is_empty();
            let read = tokio::select! {
                read = timeout_at(by, self.secured.stream.read_buf(&mut self.received)) => read,
                _ = self.phase.wait_for(|phase| *phase >= Phase::Draining), if between_requests => return Ok(None),
            };
            match read {
                Ok(Ok(bytes)) if bytes > 0 => {}
                // Closed, failed or silent. In the middle of a head there is nobody to explain it to.
                Ok(_) | Err(_) => return Ok(None),
            }
            if between_requests {
                by = deadline(header_time);
            }
        }
    }

    async fn read_body(&mut self, framing: Framing, limit: usize) -> Result<Plaintext<Bytes>, BodyError> {
        match framing {
            Framing::None | Framing::UntilClose => Ok(Plaintext::new(Bytes::new())),
            Framing::Length(length) if usize::try_from(length).map_or(true, |length| length > limit) => {
                Err(BodyError::TooLarge)
            }
            Framing::Length(length) => {
                let length = usize::try_from(length).map_err(|_| BodyError::TooLarge)?;
                let mut body = Vec::with_capacity(length.min(FIRST_BODY_BYTES));
                let already = length.min(self.received.len());
                body.extend(self.received.drain(..already));
                while body.len() < length {
                    let missing = length.saturating_sub(body.len());
                    body.reserve(missing.min(FIRST_BODY_BYTES));
                    let left = u64::try_from(missing).unwrap_or(u64::MAX);
                    let mut limited = (&mut self.secured.stream).take(left);
                    progress(&self.worker, limited.read_buf(&mut body)).await?;
                }
                Ok(Plaintext::new(Bytes::from(body)))
            }
            Framing::Chunked => {
                let (mut decoder, mut body) = (ChunkedDecoder::default(), Vec::new());
                loop {
                    let used = decoder.decode(&self.received, &mut body).map_err(|_| BodyError::Malformed)?;
                    self.received.drain(..used.min(self.received.len()));
                    if body.len() > limit {
                        return Err(BodyError::TooLarge);
                    }
                    if decoder.is_done() {
                        return Ok(Plaintext::new(Bytes::from(body)));
                    }
                    self.received.reserve(RECEIVE_BYTES);
                    progress(&self.worker, self.secured.stream.read_buf(&mut self.received)).await?;
                }
            }
        }
    }

    /// The life of one request; see `gateway::pipeline`.
    async fn run_pipeline(&mut self, opened: Opened, body: Plaintext<Bytes>, close: bool) -> Next {
        let shared = Rc::clone(&self.worker);
        let handled = {
            let clock = ProcessClock::shared();
            let handling = pipeline::handle(opened, body, &shared.shared.gateway, &shared.upstreams, clock);
            tokio::select! {
                biased;
                handled = handling => handled,
                () = gone(&mut self.secured, &mut self.received) => return Next::Abort,
                _ = self.phase.wait_for(|phase| *phase == Phase::Cutting) => return Next::Abort,
            }
        };
        match handled {
            Ok(Answer { status, headers, body: AnswerBody::Whole(body) }) => {
                self.send_whole(status, &headers, body, close).await
            }
            Ok(Answer { status, headers, body: AnswerBody::Stream(stream) }) => {
                self.send_stream(status, &headers, stream, close).await
            }
            Err(error) => self.send_error(&error, close).await,
        }
    }

    async fn send_whole(
        &mut self,
        status: u16,
        headers: &[(&'static str, String)],
        body: Plaintext<Bytes>,
        close: bool,
    ) -> Next {
        let out = self.out.expose_mut();
        let body = body.expose();
        write_head(out, status, pairs(headers), Body::Length(body.len()), close);
        // Head and body leave in one write while the copy is cheaper than a second system call.
        let written = if body.len() <= ONE_WRITE_BYTES {
            out.extend_from_slice(body);
            self.flush().await
        } else {
            match self.flush().await {
                Ok(()) => self.write_plain(body).await,
                Err(gone) => Err(gone),
            }
        };
        finish(written, close)
    }

    /// Sends a stream as it comes. Head and first event leave in one write: two small ones would wait for
    /// each other's acknowledgement.
    async fn send_stream(
        &mut self,
        status: u16,
        headers: &[(&'static str, String)],
        mut stream: Box<AnswerStream<UpstreamBody>>,
        close: bool,
    ) -> Next {
        write_head(self.out.expose_mut(), status, pairs(headers), Body::Chunked, close);
        loop {
            let start = begin_chunk(self.out.expose_mut());
            let step = tokio::select! {
                biased;
                step = stream.next(&mut self.out, ProcessClock::shared()) => step,
                () = gone(&mut self.secured, &mut self.received) => return Next::Abort,
                () = sleep(KEEP_ALIVE_TIME) => {
                    self.out.expose_mut().extend_from_slice(b": keep-alive\n\n");
                    Step::More
                }
                _ = self.phase.wait_for(|phase| *phase == Phase::Cutting) => {
                    self.out.expose_mut().extend_from_slice(SHUTTING_DOWN);
                    Step::Broken
                }
            };
            end_chunk(self.out.expose_mut(), start);
            if step == Step::Complete {
                self.out.expose_mut().extend_from_slice(LAST_CHUNK);
            }
            if self.flush().await.is_err() {
                return Next::Abort;
            }
            match step {
                Step::More => {}
                Step::Complete => return finish(Ok(()), close),
                Step::Broken => return Next::Abort,
            }
        }
    }

    async fn send_error(&mut self, error: &gateway::Error, close: bool) -> Next {
        let body = error.body_json();
        let headers = error.headers();
        write_head(self.out.expose_mut(), error.status(), pairs(&headers), Body::Length(body.len()), close);
        self.out.expose_mut().extend_from_slice(&body);
        finish(self.flush().await, close)
    }

    async fn send_reply(&mut self, reply: &Reply, close: bool) -> Next {
        let retry_after = reply.retry_after.map(|seconds| seconds.to_string());
        let headers = [("content-type", reply.content_type), ("cache-control", "no-store")]
            .into_iter()
            .chain(retry_after.as_deref().map(|seconds| ("retry-after", seconds)));
        write_head(self.out.expose_mut(), reply.status, headers, Body::Length(reply.body.len()), close);
        self.out.expose_mut().extend_from_slice(&reply.body);
        finish(self.flush().await, close)
    }

    /// Answers what HTTP itself forbids, and closes: after a framing error nobody knows what comes next.
    async fn refuse(&mut self, status: u16, code: &str) -> Next {
        let body = format!(
            r#"{{"error":{{"message":"the HTTP request was refused","type":"invalid_request_error","param":null,"code":"{code}"}}}}"#
        );
        let headers = [("content-type", "application/json"), ("x-should-retry", "false")];
        write_head(self.out.expose_mut(), status, headers.into_iter(), Body::Length(body.len()), true);
        self.out.expose_mut().extend_from_slice(body.as_bytes());
        finish(self.flush().await, true)
    }

    /// Sends what is in `out`, and wipes it.
    async fn flush(&mut self) -> Result<(), Gone> {
        let written = write(&self.worker, &mut self.secured, self.out.expose()).await;
        let out = self.out.expose_mut();
        out.as_mut_slice().zeroize();
        out.clear();
        written
    }

    async fn write_plain(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        write(&self.worker, &mut self.secured, bytes).await
    }

    /// Gives large buffers back to the allocator, which wipes them; what follows may be a long silence.
    fn forget(&mut self) {
        if self.received.is_empty() {
            self.received = Vec::with_capacity(RECEIVE_BYTES);
        }
        if self.out.expose().capacity() > ONE_WRITE_BYTES {
            self.out = Plaintext::new(Vec::new());
        }
    }
}

fn route(head: &RequestHead<'_>, worker: &Worker) -> Route {
    match WellKnown::route(head.method, head.path) {
        Some(which) => Route::WellKnown(which),
        None => {
            match pipeline::open(head, &worker.shared.gateway, gateway::Clock::now(ProcessClock::shared())) {
                Ok(opened) => Route::Gateway(opened),
                Err(error) => Route::Refused(error),
            }
        }
    }
}

fn pairs<'h>(headers: &'h [(&'static str, String)]) -> impl Iterator<Item = (&'h str, &'h str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str()))
}

fn finish(written: Result<(), Gone>, close: bool) -> Next {
    match written {
        Ok(()) if close => Next::Close,
        Ok(()) => Next::KeepAlive,
        Err(Gone) => Next::Abort,
    }
}

/// Ends when the client closes its side or the connection breaks. What it sends early, for its next
/// request, is kept, up to a bound; beyond that it is left in the kernel.
async fn gone(secured: &mut Secured, early: &mut Vec<u8>) {
    while early.len() < EARLY_BYTES {
        early.reserve(1024);
        match secured.stream.read_buf(early).await {
            Ok(bytes) if bytes > 0 => {}
            Ok(_) | Err(_) => return,
        }
    }
    std::future::pending::<()>().await;
}

/// The client took no byte, sent no byte, or is not there any more.
#[derive(Clone, Copy, Debug)]
struct Gone;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyError {
    Gone,
    Malformed,
    TimedOut,
    TooLarge,
}

async fn progress(
    worker: &Worker,
    read: impl Future<Output = std::io::Result<usize>>,
) -> Result<(), BodyError> {
    match timeout(worker.shared.limits.body_idle_time(), read).await {
        Ok(Ok(bytes)) if bytes > 0 => Ok(()),
        Ok(_) => Err(BodyError::Gone),
        Err(_) => Err(BodyError::TimedOut),
    }
}

async fn write(worker: &Worker, secured: &mut Secured, bytes: &[u8]) -> Result<(), Gone> {
    let stall = worker.shared.limits.body_idle_time();
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
/// How much a body buffer grows at least, in bytes, before the bytes for it have arrived.
const FIRST_BODY_BYTES: usize = 256 * 1024;
/// Largest body that is copied behind its head into one write, in bytes.
const ONE_WRITE_BYTES: usize = 64 * 1024;
/// Early bytes of the next request that are read while an answer is under way.
const EARLY_BYTES: usize = 16 * 1024;
/// How long a stream may be silent before a comment shows that it lives.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(10);
/// How long the closing handshake may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);
