//! From a listener to finished connections: accept, TLS, then the protocol the client chose.

pub mod http1;
pub mod http2;
pub mod metrics;
pub mod response;
pub mod shape;
pub mod well_known;

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use crate::telemetry::{Event, emit};
use crate::tls::{self, Secured};
use crate::transport::{Listener, ReadAhead, Transport};
use crate::wipe::wipe_stack;
use crate::worker::{Phase, Worker};

/// Accepts until the process drains. Each connection is one task on this thread.
pub async fn accept_loop(listener: Listener, worker: Rc<Worker>) {
    let mut phase = worker.shared.phase.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => return,
        };
        match accepted {
            Ok(transport) => spawn(transport, &worker),
            // Out of descriptors or memory: give those in use a moment to come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn spawn(transport: Transport, worker: &Rc<Worker>) {
    let Some(place) = worker.shared.admit_connection() else {
        emit(Event::Refused { reason: "CONNECTION_LIMIT" });
        return;
    };
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        if let Some(secured) = handshake(transport, &worker).await {
            match crate::agent::Connection::alpn(&secured) {
                // As large as a request's whole life; one allocation for each connection.
                tls::ALPN_HTTP1 | attestation::provisioning::ALPN => {
                    Box::pin(http1::serve(secured, worker)).await;
                }
                tls::ALPN_H2 => http2::serve(secured, worker).await,
                // Without a named protocol there is no telling what the bytes mean (protocol.md 1.6).
                _ => emit(Event::Refused { reason: "ALPN_REQUIRED" }),
            }
        }
        wipe_stack();
        drop(place);
    });
}

pub(crate) async fn handshake(transport: Transport, worker: &Worker) -> Option<Secured> {
    let epoch = match worker.shared.agent.epoch() {
        Ok(epoch) => epoch,
        Err(error) => {
            emit(Event::Refused { reason: error.code() });
            return None;
        }
    };
    let acceptor = worker.acceptors.for_identity(&epoch.tls).ok()?;
    let accepted =
        timeout(worker.shared.limits.header_time(), acceptor.accept(ReadAhead::new(transport))).await;
    let mut stream = accepted.ok()?.ok()?;
    let (_, session) = stream.get_mut();
    session.set_buffer_limit(Some(SEND_BUFFER));
    Some(Secured { stream, spki: epoch.tls.spki })
}

/// Plaintext that may wait inside the TLS session, in bytes: one large write becomes one system call.
const SEND_BUFFER: usize = 256 * 1024;
