//! One HTTP/1.1 connection, from its first byte to its last: read, answer, again.
//!
//! One task owns the connection and does everything on it, so a request crosses no thread and no queue.
//! While an answer is being made the task also watches the client; a client that leaves cancels its upstream.

pub mod duplex;

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use attestation::enclave_claims::Role;
use bytes::Bytes;
use gateway::error::Shape as Words;
use gateway::{Answer, AnswerBody, Opened, Plaintext, RequestHead, Step, pipeline};
use tokio::time::{Instant, Sleep, sleep};

use self::duplex::{BodyError, Duplex, Gone};
use super::response::{Body, LAST_CHUNK, begin_chunk, end_chunk, write_head};
use super::shape::{self, Shaped};
use super::well_known::{Reply, WellKnown};
use crate::active::Active;
use crate::agent::role_on;
use crate::clock::{ProcessClock, deadline};
use crate::config::StreamShape;
use crate::http1::Framing;
use crate::http1::head::{self, HeadError};
use crate::tls::Secured;
use crate::worker::{Phase, Worker};

/// Serves the connection until either side ends it.
pub async fn serve(secured: Secured, worker: Rc<Worker>) {
    let stall = worker.shared.limits.body_idle_time();
    let active = worker.shared.in_force.now();
    let (leaving, cutting) = (leaving(&worker, &active), reached(&worker, Phase::Cutting));
    let role = role_on(&secured);
    let duplex = Duplex::new(secured, stall);
    let mut connection = Http1 { duplex, worker, active, role, words: Words::OpenAi, leaving, cutting };
    loop {
        match connection.exchange().await {
            Next::KeepAlive => connection.duplex.forget(),
            Next::Close => return connection.duplex.close(false).await,
            Next::CloseUnread => return connection.duplex.close(true).await,
            // Neither a last chunk nor a close_notify: the client must not take this for an end.
            Next::Abort => return,
        }
    }
}

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    KeepAlive,
    Close,
    /// Close, though the client may still be sending.
    CloseUnread,
    Abort,
}

/// Whom the request is for; decided on the head alone, before a byte of body is read.
#[expect(clippy::large_enum_variant, reason = "moved once per request")]
enum Route {
    WellKnown(WellKnown),
    Gateway(Opened),
    Refused(gateway::Error),
}

/// What the body step needs to know, free of borrows from the receive buffer.
struct Incoming {
    route: Route,
    /// In whose words errors are told.
    words: Words,
    framing: Framing,
    expects_continue: bool,
    close: bool,
    shape: StreamShape,
}

/// Ends when the process reaches a phase. Made once per connection: waiting on it again costs nothing.
type Reached = Pin<Box<dyn Future<Output = ()>>>;

struct Http1 {
    duplex: Duplex,
    worker: Rc<Worker>,
    /// What this connection is served under.
    active: Arc<Active>,
    /// What the connection is for.
    role: Role,
    /// In whose words the current request's errors are told.
    words: Words,
    /// The process drains, or the configuration that the client has verified is in force no more.
    leaving: Reached,
    cutting: Reached,
}

impl Http1 {
    async fn exchange(&mut self) -> Next {
        let Incoming { route, framing, expects_continue, close, words, shape } = match self.read_head().await
        {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return Next::Close,
            Err(error) => return self.refuse(error.status(), error.code()).await,
        };
        self.words = words;
        let limit = match &route {
            Route::WellKnown(which) => which.max_body(),
            Route::Gateway(opened) => opened.max_body_bytes(),
            // Its body is not worth reading; if there is one, the connection goes with it.
            Route::Refused(error) => {
                let next = if framing == Framing::None { keep(close) } else { Next::CloseUnread };
                return self.send_error(error, None, next).await;
            }
        };
        if expects_continue && self.duplex.send(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return Next::Abort;
        }
        let body = match self.duplex.receive_body(framing, limit).await {
            Ok(body) => body,
            Err(error) => return self.refuse_body(error, &route, limit).await,
        };
        let next = keep(close || self.worker.shared.phase() >= Phase::Draining);
        match route {
            Route::Gateway(opened) => self.run_pipeline(opened, body, shape, next).await,
            Route::WellKnown(which) => {
                let connection = &self.duplex.secured;
                let reply = which.answer(body.expose(), &self.worker, connection, &self.active).await;
                self.send_reply(&reply, next).await
            }
            Route::Refused(error) => self.send_error(&error, None, next).await,
        }
    }

    /// Reads until a whole head is there. `None`: the client is done, or has been idle long enough.
    async fn read_head(&mut self) -> Result<Option<Incoming>, HeadError> {
        let limits = &self.worker.shared.limits;
        let (header_time, header_bytes) = (limits.header_time(), limits.header_bytes);
        let waiting = self.duplex.received().is_empty();
        let mut by = deadline(if waiting { limits.idle_time() } else { header_time });
        loop {
            let current = self.worker.shared.in_force.refresh(&mut self.active);
            if let Some((mut incoming, length)) = incoming(self.duplex.received(), self.role, &self.active)? {
                incoming.close |= !current;
                self.duplex.consume(length);
                return Ok(Some(incoming));
            }
            if self.duplex.received().len() >= header_bytes {
                return Err(HeadError::TooManyFields);
            }
            let between_requests = self.duplex.received().is_empty();
            let received = tokio::select! {
                biased;
                received = self.duplex.receive(by) => received,
                () = &mut self.leaving, if between_requests => return Ok(None),
            };
            // Closed, failed or silent. In the middle of a head there is nobody to explain it to.
            if received.is_err() {
                return Ok(None);
            }
            if between_requests {
                by = deadline(header_time);
            }
        }
    }

    /// The life of one request; see `gateway::pipeline`.
    async fn run_pipeline(
        &mut self,
        opened: Opened,
        body: Plaintext<Bytes>,
        shape: StreamShape,
        next: Next,
    ) -> Next {
        let (worker, active) = (Rc::clone(&self.worker), Arc::clone(&self.active));
        let id = opened.request_id().clone();
        let handled = {
            let Some(gateway) = &active.gateway else {
                return self.send_error(&gateway::Error::NotProvisioned, Some(id.as_str()), next).await;
            };
            let handling = pipeline::handle(opened, body, gateway, &worker.upstreams, ProcessClock::shared());
            let (_, secured, mut early) = self.duplex.split();
            tokio::select! {
                biased;
                handled = handling => handled,
                () = Duplex::gone(secured, &mut early) => return Next::Abort,
                () = &mut self.cutting => return Next::Abort,
            }
        };
        match handled {
            Ok(Answer { status, headers, body: AnswerBody::Whole(body) }) => {
                self.send_whole(status, &headers, body.expose(), shape, next).await
            }
            Ok(Answer { status, headers, body: AnswerBody::Stream(stream) }) => {
                write_head(
                    self.duplex.out.expose_mut(),
                    status,
                    pairs(&headers).chain([(StreamShape::HEADER, shape.as_str())]),
                    Body::Chunked,
                    next != Next::KeepAlive,
                );
                self.send_stream(Shaped::new(stream, shape), next).await
            }
            Err(refused) => {
                let headers = refused.headers();
                self.send_refusal(&refused, &headers, Some(id.as_str()), next).await
            }
        }
    }

    async fn send_whole(
        &mut self,
        status: u16,
        headers: &[(&'static str, String)],
        body: &[u8],
        shape: StreamShape,
        next: Next,
    ) -> Next {
        let length = shape::whole_length(shape, body.len());
        let padding = length.saturating_sub(body.len());
        write_head(
            self.duplex.out.expose_mut(),
            status,
            pairs(headers),
            Body::Length(length),
            next != Next::KeepAlive,
        );
        // Head and body leave in one write while the copy is cheaper than a second system call.
        if body.len() <= ONE_WRITE_BYTES {
            self.duplex.out.expose_mut().extend_from_slice(body);
            append_spaces(self.duplex.out.expose_mut(), padding);
            return after(self.duplex.flush().await, next);
        }
        if self.duplex.flush().await.is_err() || self.duplex.send(body).await.is_err() {
            return Next::Abort;
        }
        append_spaces(self.duplex.out.expose_mut(), padding);
        after(self.duplex.flush().await, next)
    }

    /// Sends a stream as it comes. Head and first event leave in one write: two small ones would wait for
    /// each other's acknowledgement.
    async fn send_stream(&mut self, mut stream: Shaped, next: Next) -> Next {
        let mut silence = Silence::new();
        let keep_alive = stream.keep_alive();
        loop {
            let (out, secured, mut early) = self.duplex.split();
            let start = begin_chunk(out.expose_mut());
            let step = tokio::select! {
                biased;
                step = stream.next(out, ProcessClock::shared()) => step,
                () = Duplex::gone(secured, &mut early) => return Next::Abort,
                () = silence.lasts() => {
                    out.expose_mut().extend_from_slice(keep_alive);
                    Step::More
                }
                () = &mut self.cutting => {
                    stream.fail(&gateway::Error::ShuttingDown, out);
                    Step::Broken
                }
            };
            end_chunk(out.expose_mut(), start);
            if step == Step::Complete {
                out.expose_mut().extend_from_slice(LAST_CHUNK);
            }
            if self.duplex.flush().await.is_err() {
                return Next::Abort;
            }
            match step {
                Step::More => silence.broken(),
                Step::Complete => {
                    if let Some(body) = stream.into_upstream_body() {
                        body.finish();
                    }
                    return next;
                }
                Step::Broken => return Next::Abort,
            }
        }
    }

    async fn send_error(&mut self, error: &gateway::Error, id: Option<&str>, next: Next) -> Next {
        self.send_refusal(error, &error.headers(), id, next).await
    }

    async fn send_refusal(
        &mut self,
        error: &gateway::Error,
        headers: &[(&'static str, String)],
        id: Option<&str>,
        next: Next,
    ) -> Next {
        let mut body = error.body_json(self.words);
        let shape = self.active.config.listen.stream_shape;
        body.resize(shape::whole_length(shape, body.len()), b' ');
        let ids = id.into_iter().flat_map(|id| [("x-request-id", id), ("request-id", id)]);
        let out = self.duplex.out.expose_mut();
        write_head(
            out,
            error.status_in(self.words),
            pairs(headers).chain(ids),
            Body::Length(body.len()),
            next != Next::KeepAlive,
        );
        out.extend_from_slice(&body);
        after(self.duplex.flush().await, next)
    }

    async fn send_reply(&mut self, reply: &Reply, next: Next) -> Next {
        let retry_after = reply.retry_after.map(|seconds| seconds.to_string());
        let headers = [("content-type", reply.content_type), ("cache-control", "no-store")]
            .into_iter()
            .chain(retry_after.as_deref().map(|seconds| ("retry-after", seconds)));
        let out = self.duplex.out.expose_mut();
        write_head(out, reply.status, headers, Body::Length(reply.body.len()), next != Next::KeepAlive);
        out.extend_from_slice(&reply.body);
        after(self.duplex.flush().await, next)
    }

    async fn refuse_body(&mut self, error: BodyError, route: &Route, limit: usize) -> Next {
        match (error, route) {
            (BodyError::Gone, _) => Next::Abort,
            (BodyError::Malformed, _) => self.refuse(400, "HTTP_BODY_MALFORMED").await,
            (BodyError::TimedOut, _) => self.refuse(408, "HTTP_BODY_TIMEOUT").await,
            (BodyError::TooLarge, Route::Gateway(opened)) => {
                let id = opened.request_id().clone();
                let error = gateway::Error::BodyTooLarge { limit };
                self.send_error(&error, Some(id.as_str()), Next::CloseUnread).await
            }
            (BodyError::TooLarge, Route::WellKnown(_) | Route::Refused(_)) => {
                self.refuse(413, "HTTP_BODY_TOO_LARGE").await
            }
        }
    }

    /// Answers what HTTP itself forbids, and closes: after a framing error nobody knows what comes next.
    async fn refuse(&mut self, status: u16, code: &str) -> Next {
        let body = format!(
            r#"{{"error":{{"message":"the HTTP request was refused","type":"invalid_request_error","param":null,"code":"{code}"}}}}"#
        );
        let headers = [("content-type", "application/json"), ("x-should-retry", "false")];
        let out = self.duplex.out.expose_mut();
        write_head(out, status, headers.into_iter(), Body::Length(body.len()), true);
        out.extend_from_slice(body.as_bytes());
        after(self.duplex.flush().await, Next::CloseUnread)
    }
}

/// The request at the front of `received`, and the length of its head.
fn incoming(received: &[u8], role: Role, active: &Active) -> Result<Option<(Incoming, usize)>, HeadError> {
    let Some(message) = head::parse_request(received)? else { return Ok(None) };
    let head = RequestHead {
        method: message.method,
        path: message.path,
        query: message.query,
        headers: message.fields.as_slice(),
    };
    let now = gateway::Clock::now(ProcessClock::shared());
    let route = match WellKnown::route(head.method, head.path, message.fields.first("authorization")) {
        Some(which) => Route::WellKnown(which),
        None if role == Role::Provisioning => Route::WellKnown(WellKnown::Unknown),
        None => match active.gateway.as_ref().map(|gateway| pipeline::open(&head, gateway, now)) {
            Some(Ok(opened)) => Route::Gateway(opened),
            Some(Err(error)) => Route::Refused(error),
            None => Route::Refused(gateway::Error::NotProvisioned),
        },
    };
    let shape = active.config.listen.stream_shape.chosen(message.fields.first(StreamShape::HEADER));
    let words = Words::of_path(head.path);
    let (framing, expects_continue, close) = (message.framing, message.expects_continue, message.close);
    Ok(Some((Incoming { route, words, framing, expects_continue, close, shape }, message.length)))
}

fn append_spaces(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len().saturating_add(count), b' ');
}

fn pairs<'h>(headers: &'h [(&'static str, String)]) -> impl Iterator<Item = (&'h str, &'h str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str()))
}

fn reached(worker: &Worker, wanted: Phase) -> Reached {
    let mut phase = worker.shared.phase.subscribe();
    Box::pin(async move { drop(phase.wait_for(|phase| *phase >= wanted).await) })
}

fn leaving(worker: &Worker, active: &Active) -> Reached {
    let (draining, superseded) =
        (reached(worker, Phase::Draining), worker.shared.in_force.superseded(active));
    Box::pin(async move {
        tokio::select! {
            () = draining => {}
            () = superseded => {}
        }
    })
}

const fn keep(close: bool) -> Next {
    if close { Next::Close } else { Next::KeepAlive }
}

fn after(written: Result<(), Gone>, next: Next) -> Next {
    match written {
        Ok(()) => next,
        Err(Gone) => Next::Abort,
    }
}

/// How long a stream has been silent. One timer per stream: pieces only note the time, and the timer, when
/// it goes off, looks whether it was right.
struct Silence {
    timer: Pin<Box<Sleep>>,
    since: Instant,
}

impl Silence {
    fn new() -> Self {
        Self { timer: Box::pin(sleep(KEEP_ALIVE_TIME)), since: Instant::now() }
    }

    fn broken(&mut self) {
        self.since = Instant::now();
    }

    /// Ends when nothing was sent for [`KEEP_ALIVE_TIME`].
    async fn lasts(&mut self) {
        loop {
            self.timer.as_mut().await;
            let left = KEEP_ALIVE_TIME.saturating_sub(self.since.elapsed());
            let over = left.is_zero();
            self.timer.as_mut().reset(deadline(if over { KEEP_ALIVE_TIME } else { left }));
            if over {
                return;
            }
        }
    }
}

/// Largest body that is copied behind its head into one write, in bytes.
const ONE_WRITE_BYTES: usize = 64 * 1024;
/// How long a stream may be silent before a comment shows that it lives.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(10);
