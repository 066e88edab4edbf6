//! HTTP/2 connections. Framing is the library's; whom a request is for and how it is answered is the same
//! as on HTTP/1.1.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use attestation::digest::Sha256;
use bytes::{Buf, Bytes};
use gateway::audit::RequestId;
use gateway::error::Shape as Words;
use gateway::{Answer, AnswerBody, Plaintext, RequestHead, Step, pipeline};
use http::{HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::shape::{self, Shaped};
use super::well_known::{Reply, WellKnown};
use crate::active::Active;
use crate::agent::Connection;
use crate::clock::ProcessClock;
use crate::config::StreamShape;
use crate::tls::{ALPN_H2, Secured};
use crate::worker::{Phase, Worker};

/// Serves the connection until either side ends it, or it has been idle long enough.
pub async fn serve(secured: Secured, worker: Rc<Worker>) {
    let active = worker.shared.in_force.now();
    let limits = &worker.shared.limits;
    let idle = limits.idle_time();
    let header_bytes = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
    let activity = Rc::new(Activity { streams: Cell::new(0), last: Cell::new(Instant::now()) });
    let shared = SharedStream::new(secured, ALPN_H2);
    let service = {
        let (worker, shared, activity) = (Rc::clone(&worker), shared.clone(), Rc::clone(&activity));
        let held = Rc::new(RefCell::new(Arc::clone(&active)));
        hyper::service::service_fn(move |request| {
            let (worker, shared) = (Rc::clone(&worker), shared.clone());
            let busy = Busy::new(&activity);
            worker.shared.in_force.refresh(&mut held.borrow_mut());
            let active = Arc::clone(&held.borrow());
            async move { Ok::<_, Infallible>(respond(request, &worker, &active, &shared, busy).await) }
        })
    };
    let connection = hyper::server::conn::http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Some(PING_TIME))
        .serve_connection(TokioIo::new(shared), service);
    let mut connection = pin!(connection);
    let mut phase = worker.shared.phase.subscribe();
    let mut superseded = pin!(worker.shared.in_force.superseded(&active));
    let mut leaving = false;
    loop {
        let wake = activity.last.get().checked_add(idle).unwrap_or_else(Instant::now);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = sleep_until(wake), if !leaving => {
                if activity.streams.get() > 0 {
                    activity.last.set(Instant::now());
                } else if activity.last.get().elapsed() >= idle {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
            _ = phase.wait_for(|phase| *phase >= Phase::Draining), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            () = superseded.as_mut(), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep(CLOSE_TIME), if leaving && activity.streams.get() == 0 => return,
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    worker: &Rc<Worker>,
    active: &Active,
    connection: &SharedStream,
    busy: Busy,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let authorization = parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    if let Some(which) = WellKnown::route(parts.method.as_str(), path, authorization) {
        let reply = match collect(body, which.max_body(), worker).await {
            Ok(body) => which.answer(body.expose(), worker, connection, active).await,
            Err(status) => Reply::problem(status, "HTTP_BODY"),
        };
        return from_reply(reply);
    }
    let asked = parts.headers.get(StreamShape::HEADER).map(HeaderValue::as_bytes);
    let shape = active.config.listen.stream_shape.chosen(asked);
    let headers: Vec<_> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let head =
        RequestHead { method: parts.method.as_str(), path, query: parts.uri.query(), headers: &headers };
    let (clock, words) = (ProcessClock::shared(), Words::of_path(path));
    let Some(gateway) = &active.gateway else {
        return from_error(&gateway::Error::NotProvisioned, words, None, shape);
    };
    let opened = match pipeline::open(&head, gateway, gateway::Clock::now(clock)) {
        Ok(opened) => opened,
        Err(error) => return from_error(&error, words, None, shape),
    };
    let id = opened.request_id().clone();
    let body = match collect(body, opened.max_body_bytes(), worker).await {
        Ok(body) => body,
        Err(413) => {
            let error = gateway::Error::BodyTooLarge { limit: opened.max_body_bytes() };
            return from_error(&error, words, Some(&id), shape);
        }
        Err(status) => return from_reply(Reply::problem(status, "HTTP_BODY")),
    };
    // Dropped by the library, and with it the upstream request, when the client resets the stream.
    match pipeline::handle(opened, body, gateway, &worker.upstreams, clock).await {
        Ok(Answer { status, headers, body: AnswerBody::Whole(body) }) => {
            build(status, &headers, Body::padded(body.into_exposed(), shape))
        }
        Ok(Answer { status, headers, body: AnswerBody::Stream(stream) }) => {
            let body = pump(Shaped::new(stream, shape), Rc::clone(worker), busy).await;
            let mut response = build(status, &headers, body);
            let name = HeaderValue::from_static(shape.as_str());
            response.headers_mut().insert(StreamShape::HEADER, name);
            response
        }
        Err(refused) => refusal(&refused, words, refused.headers(), Some(&id), shape),
    }
}

/// Starts a stream. The first piece is made here, so that it leaves with the head; a task makes the rest.
async fn pump(mut stream: Shaped, worker: Rc<Worker>, busy: Busy) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let mut first = Plaintext::new(Vec::new());
    let step = stream.next(&mut first, ProcessClock::shared()).await;
    let first = Bytes::from(first.into_exposed());
    match step {
        Step::Complete => return Body::whole(first),
        Step::Broken => drop(sender.try_send(Err(Cut))),
        Step::More => {
            tokio::task::spawn_local(async move {
                let _busy = busy;
                rest(stream, &worker, sender).await;
            });
        }
    }
    Body { first: (!first.is_empty()).then_some(first), padding: None, rest: Some(receiver) }
}

async fn rest(mut stream: Shaped, worker: &Worker, sender: mpsc::Sender<Result<Bytes, Cut>>) {
    let mut phase = worker.shared.phase.subscribe();
    let keep_alive = stream.keep_alive();
    loop {
        let mut out = Plaintext::new(Vec::new());
        let step = tokio::select! {
            biased;
            step = stream.next(&mut out, ProcessClock::shared()) => step,
            () = sender.closed() => return,
            () = sleep(KEEP_ALIVE_TIME) => {
                out.expose_mut().extend_from_slice(keep_alive);
                Step::More
            }
            _ = phase.wait_for(|phase| *phase == Phase::Cutting) => {
                stream.fail(&gateway::Error::ShuttingDown, &mut out);
                Step::Broken
            }
        };
        let piece = Bytes::from(out.into_exposed());
        if !piece.is_empty() && sender.send(Ok(piece)).await.is_err() {
            return;
        }
        match step {
            Step::More => {}
            Step::Complete => {
                if let Some(body) = stream.into_upstream_body() {
                    body.finish();
                }
                return;
            }
            // Ends as RST_STREAM: never a normal end of the body.
            Step::Broken => return drop(sender.send(Err(Cut)).await),
        }
    }
}

async fn collect(mut body: Incoming, limit: usize, worker: &Worker) -> Result<Plaintext<Bytes>, u16> {
    let mut whole = Vec::new();
    loop {
        let frame = match timeout(worker.shared.limits.body_idle_time(), body.frame()).await {
            Ok(None) => return Ok(Plaintext::new(Bytes::from(whole))),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(400),
            Err(_) => return Err(408),
        };
        if let Ok(data) = frame.into_data() {
            if whole.len().saturating_add(data.remaining()) > limit {
                return Err(413);
            }
            whole.extend_from_slice(&data);
        }
    }
}

fn build(status: u16, headers: &[(&'static str, String)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(http::HeaderName::from_static(name), value);
        }
    }
    response
}

fn from_error(
    error: &gateway::Error,
    words: Words,
    id: Option<&RequestId>,
    shape: StreamShape,
) -> Response<Body> {
    refusal(error, words, error.headers(), id, shape)
}

fn refusal(
    error: &gateway::Error,
    words: Words,
    mut headers: Vec<(&'static str, String)>,
    id: Option<&RequestId>,
    shape: StreamShape,
) -> Response<Body> {
    let ids = id
        .into_iter()
        .flat_map(|id| ["x-request-id", "request-id"].map(|name| (name, id.as_str().to_owned())));
    headers.extend(ids);
    build(error.status_in(words), &headers, Body::padded(Bytes::from(error.body_json(words)), shape))
}

fn from_reply(reply: Reply) -> Response<Body> {
    let retry_after = reply.retry_after;
    let mut response = build(reply.status, &[], Body::whole(Bytes::from(reply.body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A response body: at most one piece that is there already, then pieces as they come.
pub struct Body {
    first: Option<Bytes>,
    padding: Option<Bytes>,
    rest: Option<mpsc::Receiver<Result<Bytes, Cut>>>,
}

/// The body ended before its end.
#[derive(Clone, Copy, Debug)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the answer broke off")
    }
}

impl std::error::Error for Cut {}

impl Body {
    fn whole(bytes: Bytes) -> Self {
        Self { first: Some(bytes), padding: None, rest: None }
    }

    /// A whole JSON body of the length that stands for its own.
    fn padded(bytes: Bytes, shape: StreamShape) -> Self {
        let padding = shape::whole_length(shape, bytes.len()).saturating_sub(bytes.len());
        let padding = (padding > 0).then(|| Bytes::from(vec![b' '; padding]));
        Self { padding, ..Self::whole(bytes) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let ready = self.first.take().or_else(|| self.padding.take());
        if let Some(first) = ready {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match self.rest.as_mut() {
            Some(rest) => rest.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.padding.is_none() && self.rest.is_none()
    }
}

/// Streams open on one connection, and when that last changed.
struct Activity {
    streams: Cell<usize>,
    last: Cell<Instant>,
}

/// Counts one open stream until it is dropped.
struct Busy(Rc<Activity>);

impl Busy {
    fn new(activity: &Rc<Activity>) -> Self {
        activity.streams.set(activity.streams.get().saturating_add(1));
        Self(Rc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
        self.0.last.set(Instant::now());
    }
}

/// The connection's stream, reachable for the exporter while the library reads and writes it.
#[derive(Clone)]
pub(crate) struct SharedStream {
    spki: Sha256,
    alpn: &'static [u8],
    secured: Rc<RefCell<Secured>>,
}

impl SharedStream {
    /// Of a connection whose protocol is `alpn`.
    pub(crate) fn new(secured: Secured, alpn: &'static [u8]) -> Self {
        Self { spki: secured.spki, alpn, secured: Rc::new(RefCell::new(secured)) }
    }
}

impl Connection for SharedStream {
    fn export(&self, label: &[u8], context: &[u8]) -> Option<[u8; 32]> {
        self.secured.borrow().export(label, context)
    }

    fn alpn(&self) -> &[u8] {
        self.alpn
    }

    fn spki(&self) -> Sha256 {
        self.spki
    }
}

impl AsyncRead for SharedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.secured.borrow_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.secured.borrow_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.secured.borrow_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.secured.borrow().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.secured.borrow_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.secured.borrow_mut().stream).poll_shutdown(cx)
    }
}

/// Runs the library's per-stream tasks on the connection's own thread.
#[derive(Clone, Copy)]
pub(crate) struct OnThisThread;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Bytes one stream may have in flight towards us.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes one connection may have in flight towards us.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How often a silent peer is asked whether it is there.
const PING_TIME: Duration = Duration::from_secs(20);
/// How long a stream may be silent before a comment shows that it lives.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(10);
/// How long an idle connection may take to close.
const CLOSE_TIME: Duration = Duration::from_secs(1);
