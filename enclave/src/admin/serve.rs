//! The listener of the admin API: a thread and a runtime of its own, so that no work for administrators delays a
//! request. It proves itself like the other one.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use gateway::Clock;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::oidc::Providers;
use super::problem::Problem;
use super::{AdminAnswer, AdminApi, AdminRequest, MAX_BODY, failed};
use crate::agent::Connection;
use crate::audit_log::AuditLog;
use crate::clock::ProcessClock;
use crate::config::AdminConfig;
use crate::governance::Governor;
use crate::ingress::handshake;
use crate::ingress::http2::{OnThisThread, SharedStream};
use crate::ingress::well_known::WellKnown;
use crate::tls::{ALPN_H2, ALPN_HTTP1};
use crate::transport::{Listener, Transport};
use crate::worker::{Phase, Worker};

/// Connections of administrators at once.
const CONNECTIONS: usize = 64;

/// The admin API, once the state that it is about is open. Until then its listener serves evidence.
pub struct LateApi {
    config: AdminConfig,
    api: OnceLock<Arc<AdminApi>>,
}

impl LateApi {
    /// For this configuration.
    ///
    /// # Errors
    /// What is wrong in `[admin]`.
    pub fn new(config: AdminConfig) -> Result<Self, &'static str> {
        Providers::new(&config.oidc)?;
        Ok(Self { config, api: OnceLock::new() })
    }

    /// From now on, over this store and into this log.
    pub fn open(&self, governor: &Arc<Governor>, log: Option<&Arc<AuditLog>>) -> Option<Arc<AdminApi>> {
        // Its configuration was looked at above.
        let api = AdminApi::new(Arc::clone(governor), &self.config, log.cloned()).ok()?;
        Some(Arc::clone(self.api.get_or_init(|| Arc::new(api))))
    }
}

/// Serves until the process drains.
pub async fn serve(listener: Listener, api: Arc<LateApi>, worker: Rc<Worker>) {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    let mut phase = worker.shared.phase.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => return,
        };
        let (Ok(transport), Ok(place)) = (accepted, Arc::clone(&places).try_acquire_owned()) else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let (api, worker) = (Arc::clone(&api), Rc::clone(&worker));
        tokio::task::spawn_local(async move {
            connection(transport, api, worker).await;
            drop(place);
        });
    }
}

/// Runs a future and all it spawns on this thread's runtime.
pub fn block_on(runtime: &tokio::runtime::Runtime, future: impl Future<Output = ()>) {
    LocalSet::new().block_on(runtime, future);
}

async fn connection(transport: Transport, api: Arc<LateApi>, worker: Rc<Worker>) {
    let Some(secured) = handshake(transport, &worker).await else { return };
    let alpn = if secured.alpn() == ALPN_H2 { ALPN_H2 } else { ALPN_HTTP1 };
    let stream = SharedStream::new(secured, alpn);
    let service = {
        let (stream, worker) = (stream.clone(), Rc::clone(&worker));
        hyper::service::service_fn(move |request| {
            let (api, stream, worker) = (Arc::clone(&api), stream.clone(), Rc::clone(&worker));
            async move { Ok::<_, Infallible>(respond(request, &api, &stream, &worker).await) }
        })
    };
    let limits = &worker.shared.limits;
    let io = TokioIo::new(stream);
    let longest = limits.header_time().saturating_add(limits.body_idle_time()).saturating_mul(8);
    if alpn == ALPN_H2 {
        let serving = hyper::server::conn::http2::Builder::new(OnThisThread)
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(8)
            .serve_connection(io, service);
        timeout(longest, serving).await.ok();
    } else {
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .header_read_timeout(limits.header_time())
            .max_buf_size(64 * 1024)
            .serve_connection(io, service);
        timeout(longest, serving).await.ok();
    }
}

async fn respond(
    request: Request<Incoming>,
    api: &LateApi,
    stream: &SharedStream,
    worker: &Worker,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let route = WellKnown::route(parts.method.as_str(), &path, None);
    let limit = route.map_or(MAX_BODY.saturating_add(1), WellKnown::max_body);
    let collected = timeout(worker.shared.limits.body_idle_time(), Limited::new(body, limit).collect()).await;
    let Ok(Ok(body)) = collected else { return empty(413) };
    let body = body.to_bytes();
    if let Some(which) = route {
        let active = worker.shared.in_force.now();
        let reply = which.answer(&body, worker, stream, &active).await;
        let headers =
            vec![("content-type", reply.content_type.to_owned()), ("cache-control", "no-store".to_owned())];
        return build(AdminAnswer { status: reply.status, headers, body: reply.body });
    }
    let headers: Vec<(String, Vec<u8>)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let Some(api) = api.api.get().map(Arc::clone) else { return build(failed(&awaited(), Vec::new())) };
    // What has begun is finished and written down, also if whoever asked has left.
    let acting = tokio::task::spawn_local(async move {
        let request = AdminRequest {
            method: parts.method.as_str(),
            path: &path,
            query: parts.uri.query(),
            headers: &headers,
            body: &body,
        };
        api.answer(&request, ProcessClock::shared().now()).await
    });
    acting.await.map_or_else(|_| empty(500), build)
}

fn awaited() -> Problem {
    let detail = "state waits for its root key; give it with 'postern provision send --root-key FILE'";
    Problem::new(503, "not_provisioned", detail)
}

fn build(answer: AdminAnswer) -> Response<Full<Bytes>> {
    let mut response = empty(answer.status);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    *response.body_mut() = Full::new(Bytes::from(answer.body));
    response
}

fn empty(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
}
