//! One connection of the load: sends the exchanges of a job one after another and checks every answer.

use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use rustls::{ClientConnection, Connection};

use super::{Connections, Exchange, Outcome, Target, Transport};
use crate::clock;
use crate::http1::{MessageReader, Side, Step};
use crate::poller::Ready;
use crate::stamp::StampScanner;
use crate::tls;
use crate::transport::Filled;

/// What an event led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The job goes on, or none is under way.
    Busy,
    /// The peer closed an idle connection.
    Closed,
    /// The job is done; `closed` if the connection ended with it.
    Done { closed: bool },
}

#[derive(Debug)]
pub(super) struct Client {
    transport: Transport,
    reader: MessageReader,
    input: Vec<u8>,
    started_ns: u64,
    /// Index of the exchange whose answer is awaited; none between jobs.
    exchange: Option<usize>,
    scanner: StampScanner,
    stamps: u32,
    last_latency: u64,
    sample: Vec<u8>,
    connections: Connections,
    /// All is answered; the job is done when the gateway has closed the connection.
    awaits_end: bool,
}

impl Client {
    pub(super) fn connect(target: &Target, connections: Connections) -> Result<Self> {
        let socket = TcpStream::connect(target.address)?;
        socket.set_nonblocking(true)?;
        let tls = match &target.tls {
            None => None,
            Some(config) => {
                let tls = ClientConnection::new(Arc::clone(config), tls::server_name()?)?;
                Some(Connection::Client(tls))
            }
        };
        let mut transport = Transport::new(socket, tls)?;
        transport.start()?;
        Ok(Self {
            transport,
            reader: MessageReader::new(Side::Response),
            input: Vec::new(),
            started_ns: 0,
            exchange: None,
            scanner: StampScanner::default(),
            stamps: 0,
            last_latency: 0,
            sample: Vec::new(),
            connections,
            awaits_end: false,
        })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        self.transport.socket()
    }

    pub(super) fn begin(&mut self, due_ns: u64, job: &[Exchange]) -> Result<()> {
        self.started_ns = due_ns;
        self.ask(0, job)
    }

    fn ask(&mut self, index: usize, job: &[Exchange]) -> Result<()> {
        self.exchange = Some(index);
        self.scanner = StampScanner::default();
        self.stamps = 0;
        self.sample.clear();
        // During the handshake TLS keeps the message and sends it with the last flight.
        self.transport.send(&job[index].message)?;
        Ok(())
    }

    pub(super) fn drive(
        &mut self,
        event: Ready,
        scratch: &mut [u8],
        job: &[Exchange],
        outcome: &mut Outcome,
    ) -> Result<Progress> {
        if event.writable && self.transport.is_blocked() {
            self.transport.flush()?;
        }
        if !event.readable {
            return Ok(Progress::Busy);
        }
        loop {
            self.input.clear();
            let mut input = std::mem::take(&mut self.input);
            let filled = self.transport.read(scratch, &mut input);
            let answered = self.consume(&input, job, outcome);
            self.input = input;
            // A reset after the last answer ends a connection as well as a close.
            let filled = if self.awaits_end { filled.unwrap_or(Filled::End) } else { filled? };
            let ended = filled == Filled::End;
            let mut answered = answered?;
            if ended && !answered && self.reader.ends_with_stream() {
                answered = true;
            }
            if answered && let Some(progress) = self.answered(ended, job, outcome)? {
                return Ok(progress);
            }
            match (filled, self.exchange) {
                (Filled::Drained, _) if !event.ended => return Ok(Progress::Busy),
                (Filled::Drained | Filled::More, _) => {}
                (Filled::End, None) if self.awaits_end => return Ok(self.done(true, outcome)),
                (Filled::End, None) => return Ok(Progress::Closed),
                (Filled::End, Some(index)) => bail!("connection closed in exchange {index}{}", self.shown()),
            }
        }
    }

    /// Reads an answer's bytes; true when it is whole.
    fn consume(&mut self, input: &[u8], job: &[Exchange], outcome: &mut Outcome) -> Result<bool> {
        let Some(index) = self.exchange else {
            ensure!(input.is_empty(), "{} bytes came that nobody asked for", input.len());
            return Ok(false);
        };
        let is_stream = job[index].chunks.is_some();
        let now = clock::now_ns();
        let (scanner, stamps, sample) = (&mut self.scanner, &mut self.stamps, &mut self.sample);
        let (last, started_ns) = (&mut self.last_latency, self.started_ns);
        let step = self.reader.feed(input, &mut |piece: &[u8]| {
            sample.extend_from_slice(&piece[..piece.len().min(SAMPLE - sample.len())]);
            if !is_stream {
                return;
            }
            scanner.feed(piece, |sent_ns| {
                let latency = now.saturating_sub(sent_ns).max(1);
                outcome.chunk_latency.saturating_record(latency);
                if *stamps == 0 {
                    outcome.first_token.saturating_record(now.saturating_sub(started_ns).max(1));
                } else {
                    outcome.gap_change.saturating_record(latency.abs_diff(*last).max(1));
                }
                *last = latency;
                *stamps += 1;
            });
        })?;
        match step {
            Step::Complete(used) => ensure!(used == input.len(), "bytes after the answer{}", self.shown()),
            Step::NeedMore => return Ok(false),
        }
        Ok(true)
    }

    fn answered(&mut self, ended: bool, job: &[Exchange], outcome: &mut Outcome) -> Result<Option<Progress>> {
        let Some(index) = self.exchange else { return Ok(None) };
        ensure!(self.reader.status == 200, "status {}{}", self.reader.status, self.shown());
        if let Some(chunks) = job[index].chunks {
            ensure!(self.stamps == chunks, "{} of {chunks} events came{}", self.stamps, self.shown());
            ensure!(self.scanner.is_done(), "the stream ended without [DONE]{}", self.shown());
            outcome.chunks += u64::from(chunks);
        }
        outcome.requests += 1;
        let closed = ended || self.reader.close || self.reader.ends_with_stream();
        if index + 1 < job.len() {
            ensure!(!closed, "connection closed after exchange {index}{}", self.shown());
            self.ask(index + 1, job)?;
            return Ok(None);
        }
        self.exchange = None;
        if self.connections == Connections::New && !ended {
            self.awaits_end = true;
            return Ok(None);
        }
        Ok(Some(self.done(closed, outcome)))
    }

    fn done(&mut self, closed: bool, outcome: &mut Outcome) -> Progress {
        if self.awaits_end {
            // The gateway closed first, as asked; answer its close_notify with ours.
            self.transport.finish();
        }
        outcome.jobs += 1;
        outcome.latency.saturating_record(clock::now_ns().saturating_sub(self.started_ns).max(1));
        Progress::Done { closed }
    }

    fn shown(&self) -> String {
        format!(" (status {}): {}", self.reader.status, String::from_utf8_lossy(&self.sample))
    }
}

/// Bytes of an answer that a failure shows.
const SAMPLE: usize = 300;
