//! The mock upstream: an OpenAI-compatible server on one thread that never is the limit.
//!
//! It answers at once with the same 1.1 KB completion, or streams events of about 290 bytes, one `write` each, every
//! one carrying its own send time. It counts what it served; `GET /stats` tells, and is not counted itself.

mod answer;
mod connection;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::poller::{Poller, Ready};
use connection::{Connection, Greeting};

/// What the mock has served since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Bytes of request bodies.
    pub body_bytes: u64,
    /// Events with content.
    pub chunks: u64,
    /// Accepted connections.
    pub connections: u64,
    /// Whole requests, streams included.
    pub requests: u64,
    /// Requests answered with a stream.
    pub streams: u64,
}

/// Where the mock listens; each may be absent.
#[derive(Debug, Default, Clone)]
pub struct Listeners {
    /// HTTP behind the enclave's egress frame: `Connect` is answered with `Connected`, whatever the destination.
    pub egress: Option<SocketAddr>,
    /// Plain HTTP.
    pub plain: Option<SocketAddr>,
    /// HTTP in TLS.
    pub tls: Option<(SocketAddr, Arc<ServerConfig>)>,
}

/// Serves until the process ends.
///
/// # Errors
/// A listener cannot be opened, or epoll fails.
pub fn serve(listeners: &Listeners) -> Result<()> {
    let mut mock = Mock::new(listeners)?;
    loop {
        mock.turn()?;
    }
}

struct Mock {
    poller: Poller,
    listeners: Vec<(TcpListener, Greeting)>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    due: BinaryHeap<Reverse<(u64, usize, u64)>>,
    serial: u64,
    stats: Stats,
    scratch: Vec<u8>,
    ready: Vec<Ready>,
}

impl Mock {
    fn new(wanted: &Listeners) -> Result<Self> {
        let poller = Poller::new()?;
        let mut listeners = Vec::new();
        let mut open = |address: SocketAddr, greeting: Greeting| -> Result<()> {
            anyhow::ensure!(address.ip().is_loopback(), "the mock listens on loopback only");
            let listener = listen(address).with_context(|| format!("listen on {address}"))?;
            poller.add(&listener.as_fd(), LISTENER + listeners.len() as u64)?;
            listeners.push((listener, greeting));
            Ok(())
        };
        if let Some(address) = wanted.plain {
            open(address, Greeting::None)?;
        }
        if let Some((address, config)) = &wanted.tls {
            open(*address, Greeting::Tls(Arc::clone(config)))?;
        }
        if let Some(address) = wanted.egress {
            open(address, Greeting::Egress)?;
        }
        Ok(Self {
            poller,
            listeners,
            connections: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            serial: 0,
            stats: Stats::default(),
            scratch: vec![0; 256 * 1024],
            ready: Vec::new(),
        })
    }

    fn turn(&mut self) -> Result<()> {
        let until = self.due.peek().map(|Reverse((due, _, _))| *due);
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(until, &mut ready)?;
        for event in &ready {
            if event.token >= LISTENER {
                self.accept((event.token - LISTENER) as usize)?;
            } else {
                self.drive(event.token as usize, *event);
            }
        }
        self.ready = ready;
        self.send_due();
        Ok(())
    }

    fn accept(&mut self, listener: usize) -> Result<()> {
        loop {
            let (listener, greeting) = &self.listeners[listener];
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accept at the mock"),
            };
            socket.set_nonblocking(true)?;
            self.serial += 1;
            let connection = Connection::new(socket, greeting, self.serial)?;
            let token = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poller.add(&connection.socket(), token as u64)?;
            self.stats.connections += 1;
            self.connections[token] = Some(connection);
        }
    }

    fn drive(&mut self, token: usize, event: Ready) {
        let Some(connection) = self.connections.get_mut(token).and_then(Option::as_mut) else { return };
        let alive = connection.drive(event, &mut self.scratch, &mut self.stats);
        if !alive {
            self.connections[token] = None;
            self.free.push(token);
        } else if let Some(due) = connection.take_new_due() {
            self.due.push(Reverse((due, token, connection.serial)));
        }
    }

    fn send_due(&mut self) {
        let now = clock::now_ns();
        while let Some(Reverse((due, token, serial))) = self.due.peek().copied() {
            if due > now {
                return;
            }
            self.due.pop();
            let Some(connection) = self.connections.get_mut(token).and_then(Option::as_mut) else { continue };
            if connection.serial != serial {
                continue;
            }
            match connection.send_chunk(&mut self.stats) {
                Ok(Some(next)) => self.due.push(Reverse((next, token, serial))),
                Ok(None) if !connection.is_over() => {}
                Ok(None) | Err(_) => {
                    self.connections[token] = None;
                    self.free.push(token);
                }
            }
        }
    }
}

/// The standard library's backlog of 128 would drop the first packets of 400 connections at once.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Tokens from here on are listeners.
const LISTENER: u64 = 1 << 32;
