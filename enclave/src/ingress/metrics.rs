//! The page of numbers, where the configuration asks for it: on a listener of its own, in the clear, since whoever can
//! reach it is the host or beyond it. It is made at most once in an interval, whoever asks how often.

use std::rc::Rc;
use std::time::Duration;

use gateway::metrics::prometheus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::response::{Body, write_head};
use crate::http1::head::parse_request;
use crate::transport::{Listener, Transport};
use crate::worker::{Phase, Worker};

/// Answers until the process drains, one connection after the other: numbers are nobody's urgent business.
pub async fn serve(listener: Listener, interval: Duration, worker: Rc<Worker>) {
    let mut phase = worker.shared.phase.subscribe();
    let mut page = Page { text: String::new(), made: None, interval };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase >= Phase::Cutting) => return,
        };
        match accepted {
            Ok(transport) => drop(timeout(ANSWER_TIME, answer(transport, &mut page, &worker)).await),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The numbers as they were some time ago.
struct Page {
    text: String,
    made: Option<Instant>,
    interval: Duration,
}

impl Page {
    fn now(&mut self, worker: &Worker) -> &str {
        if self.made.is_none_or(|made| made.elapsed() >= self.interval) {
            let active = worker.shared.in_force.now();
            let render = |own: &gateway::Gateway| {
                let caches = own.caches().map(AsRef::as_ref);
                prometheus::render(&own.books().metrics, own.models(), caches)
            };
            self.text = active.gateway.as_ref().map(render).unwrap_or_default();
            self.made = Some(Instant::now());
        }
        &self.text
    }
}

async fn answer(mut transport: Transport, page: &mut Page, worker: &Worker) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut out = Vec::new();
    while head.len() < HEAD_BYTES {
        let left = u64::try_from(HEAD_BYTES.saturating_sub(head.len())).unwrap_or(0);
        let mut limited = (&mut transport).take(left);
        if limited.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
        let (status, content_type, text) = match parse_request(&head) {
            Ok(None) => continue,
            Ok(Some(request)) if request.path != "/metrics" => (404, "text/plain", "only /metrics\n"),
            Ok(Some(request)) if request.method != "GET" => (405, "text/plain", "only GET\n"),
            Ok(Some(_)) => (200, prometheus::CONTENT_TYPE, page.now(worker)),
            Err(_) => (400, "text/plain", "not an HTTP/1.1 request\n"),
        };
        let headers = [("content-type", content_type), ("cache-control", "no-store")];
        write_head(&mut out, status, headers.into_iter(), Body::Length(text.len()), true);
        out.extend_from_slice(text.as_bytes());
        transport.write_all(&out).await?;
        return transport.shutdown().await;
    }
    Ok(())
}

/// Longest request head, in bytes.
const HEAD_BYTES: usize = 8 * 1024;
/// How long one reader may take.
const ANSWER_TIME: Duration = Duration::from_secs(5);
