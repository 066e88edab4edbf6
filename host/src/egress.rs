//! Enclave to upstreams: one request, then bytes; or one endorsement.
//!
//! The enclave speaks TLS through the connection and trusts neither the address nor the bytes. The
//! allow-list protects the operator's network from an enclave that goes wrong, not the enclave from the host.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use link::{EndorsementQuery, Refusal, Reply, Request, Unavailability};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    config::{self, Destination},
    endorsements::Endorsements,
    ingress::{accept_failed, connection_number, milliseconds},
    limits::{Ticket, Total},
    log::{Event, Leg, Log, Reason},
    relay::{InFlight, relay},
    socket::{Listener, Peer, Stream},
};

/// What every worker's egress shares.
#[derive(Debug)]
pub struct Egress {
    enclave_cid: Option<u32>,
    allow: BTreeSet<Destination>,
    resolve: BTreeMap<Destination, SocketAddr>,
    /// Connections that are served.
    total: Arc<Total>,
    /// Connections that are at least told why they are not served.
    heard: Arc<Total>,
    connect: Duration,
    idle: Duration,
    endorsements: Option<Arc<Endorsements>>,
    in_flight: InFlight,
    log: Arc<Log>,
}

impl Egress {
    /// From the configuration.
    #[must_use]
    pub fn new(
        config: &config::Egress,
        endorsements: Option<Arc<Endorsements>>,
        in_flight: InFlight,
        log: Arc<Log>,
    ) -> Self {
        Self {
            enclave_cid: config.enclave_cid,
            allow: config.allow.clone(),
            resolve: config.resolve.clone(),
            total: Total::new(config.max_connections),
            heard: Total::new(config.max_connections.saturating_add(REFUSED_AT_ONCE)),
            connect: Duration::from_secs(config.connect_seconds),
            idle: Duration::from_secs(config.idle_seconds),
            endorsements,
            in_flight,
            log,
        }
    }

    /// Accepts until the task is aborted.
    pub async fn accept(self: Arc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => accept_failed(&self.log, Leg::Egress, &error).await,
            }
        }
    }

    fn admit(self: &Arc<Self>, enclave: Stream, peer: Peer) {
        if let (Peer::Vsock(found), Some(expected)) = (peer, self.enclave_cid)
            && found != expected
        {
            self.log.turned_away(Leg::Egress, Reason::WrongPeer);
            return;
        }
        match self.heard.enter() {
            Some(heard) => drop(tokio::spawn(Arc::clone(self).serve(enclave, heard))),
            None => self.log.turned_away(Leg::Egress, Reason::ConnectionLimit),
        }
    }

    async fn serve(self: Arc<Self>, mut enclave: Stream, _heard: Ticket) {
        let request = match timeout(REQUEST_TIME, read_request(&mut enclave)).await {
            Ok(Ok(request)) => request,
            Ok(Err(RequestError::Malformed)) => {
                self.log.turned_away(Leg::Egress, Reason::Malformed);
                return refuse(&mut enclave, Refusal::Malformed).await;
            }
            Ok(Err(RequestError::Gone)) => return,
            Err(_) => return self.log.turned_away(Leg::Egress, Reason::Malformed),
        };
        let Some(_ticket) = self.total.enter() else {
            self.log.turned_away(Leg::Egress, Reason::ConnectionLimit);
            return match request {
                (Request::Connect { .. }, _) => refuse(&mut enclave, Refusal::Busy).await,
                (Request::Endorsements(_), _) => unavailable(&mut enclave, Unavailability::Busy).await,
            };
        };
        match request {
            (Request::Connect { host, port }, early) => {
                self.connect(enclave, &Destination { host, port }, early).await;
            }
            (Request::Endorsements(query), _) => self.endorse(&mut enclave, &query).await,
        }
    }

    async fn connect(&self, mut enclave: Stream, destination: &Destination, early: Vec<u8>) {
        let started = Instant::now();
        let upstream = match self.dial(destination).await {
            Ok(upstream) => upstream,
            Err(refusal) => {
                self.log.turned_away(Leg::Egress, reason_of(refusal));
                return refuse(&mut enclave, refusal).await;
            }
        };
        let mut upstream = Stream::Tcp(upstream);
        if !send(&mut enclave, &Reply::Connected.encode()).await {
            return;
        }
        let outcome = relay(&mut enclave, &mut upstream, early, self.idle, &self.in_flight).await;
        if outcome.reason != Reason::Complete {
            enclave.abort_on_close();
            upstream.abort_on_close();
        }
        self.log.event(Event::Closed {
            leg: Leg::Egress,
            connection: connection_number(),
            reason: outcome.reason,
            bytes_up: outcome.up,
            bytes_down: outcome.down,
            duration_ms: milliseconds(started.elapsed()),
        });
    }

    async fn dial(&self, destination: &Destination) -> Result<TcpStream, Refusal> {
        if !self.allow.contains(destination) {
            return Err(Refusal::NotAllowed);
        }
        let deadline = Instant::now() + self.connect;
        if let Some(&address) = self.resolve.get(destination) {
            return dial_one_of(&[address], deadline).await;
        }
        let looked_up = lookup_host((destination.host.as_str(), destination.port));
        let addresses: Vec<_> = match timeout_at(deadline, looked_up).await {
            Ok(Ok(addresses)) => addresses.take(ADDRESSES).collect(),
            Ok(Err(_)) => return Err(Refusal::Resolve),
            Err(_) => return Err(Refusal::TimedOut),
        };
        dial_one_of(&addresses, deadline).await
    }

    async fn endorse(&self, enclave: &mut Stream, query: &EndorsementQuery) {
        let found = match &self.endorsements {
            Some(endorsements) => endorsements.get(query).await,
            None => Err(Unavailability::NotConfigured),
        };
        match found {
            Ok(document) => {
                let length = u32::try_from(document.len()).unwrap_or(u32::MAX);
                let mut bytes = Reply::Endorsements { length }.encode();
                bytes.extend_from_slice(&document);
                // Whether the enclave took it is the enclave's affair.
                send(enclave, &bytes).await;
            }
            Err(reason) => unavailable(enclave, reason).await,
        }
    }
}

/// Tries each address in turn; one that does not answer leaves time for the next.
async fn dial_one_of(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Refusal> {
    let mut refusal = Refusal::Resolve;
    for (tried, &address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|_| Refusal::Unreachable)?;
                return Ok(stream);
            }
            Ok(Err(_)) => refusal = Refusal::Unreachable,
            Err(_) => refusal = Refusal::TimedOut,
        }
    }
    Err(refusal)
}

enum RequestError {
    Malformed,
    Gone,
}

/// Reads one request, and returns with it what the enclave sent after it.
async fn read_request(enclave: &mut Stream) -> Result<(Request, Vec<u8>), RequestError> {
    let mut bytes = Vec::with_capacity(REQUEST_BUFFER);
    loop {
        match enclave.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Err(RequestError::Gone),
            Ok(_) => {}
        }
        match Request::decode(&bytes) {
            Ok(Some((request, used))) => return Ok((request, bytes.split_off(used))),
            Ok(None) if bytes.len() < Request::MAX_BYTES => {}
            Ok(None) | Err(_) => return Err(RequestError::Malformed),
        }
    }
}

async fn refuse(enclave: &mut Stream, reason: Refusal) {
    // The enclave may be gone; then there is nobody to tell.
    send(enclave, &Reply::Refused { reason }.encode()).await;
}

async fn unavailable(enclave: &mut Stream, reason: Unavailability) {
    // The enclave may be gone; then there is nobody to tell.
    send(enclave, &Reply::Unavailable { reason }.encode()).await;
}

/// Writes all of it in bounded time.
async fn send(enclave: &mut Stream, bytes: &[u8]) -> bool {
    let written: io::Result<()> =
        timeout(REQUEST_TIME, enclave.write_all(bytes)).await.unwrap_or_else(|late| Err(late.into()));
    written.is_ok()
}

fn reason_of(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::NotAllowed => Reason::EgressNotAllowed,
        Refusal::Resolve => Reason::EgressResolve,
        Refusal::Unreachable => Reason::EgressUnreachable,
        Refusal::TimedOut => Reason::EgressTimedOut,
        Refusal::Busy => Reason::ConnectionLimit,
        Refusal::Malformed => Reason::Malformed,
    }
}

/// For the enclave to send its request, and to take a reply.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// Room for a request and a little of what follows it.
const REQUEST_BUFFER: usize = 1024;

/// Connections beyond the limit that are told so, instead of just being closed.
const REFUSED_AT_ONCE: usize = 64;

/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;
