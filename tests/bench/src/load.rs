//! The load generator: one thread, closed loop or timetable, and no failed exchange is ever forgiven.
//!
//! Latency of a timetable counts from the time in the timetable, not from when the request could be sent, so a stalled
//! gateway is not asked politely less often (no coordinated omission).

mod client;
mod outcome;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::ClientConfig;

use crate::clock;
use crate::poller::{Poller, Ready};
use crate::transport::Transport;
use client::{Client, Progress};
pub use outcome::Outcome;

/// Whom to load.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens; loopback only.
    pub address: SocketAddr,
    /// Settings if it is spoken to in TLS.
    pub tls: Option<Arc<ClientConfig>>,
}

/// One request and what its answer must be.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The whole HTTP/1.1 message.
    pub message: Arc<[u8]>,
    /// Events with a send time that must come before `[DONE]`; none for a plain answer.
    pub chunks: Option<u32>,
}

/// What one job does with its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// Connections are kept and used again.
    Kept,
    /// Every job opens its own and sees the gateway close it; the messages must ask for that.
    New,
}

/// When jobs start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrival {
    /// Each connection starts its next job when its last is done.
    Closed,
    /// So many jobs a second, evenly, whatever happened to the earlier ones.
    Timetable(f64),
}

/// When a run ends; jobs in flight are always finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// After so many jobs.
    Jobs(u64),
    /// After so long.
    Time(Duration),
}

/// A load against one target: connections stay open from run to run.
#[derive(Debug)]
pub struct Load {
    poller: Poller,
    target: Target,
    job: Vec<Exchange>,
    connections: Connections,
    clients: Vec<Option<Client>>,
    idle: Vec<usize>,
    scratch: Vec<u8>,
    ready: Vec<Ready>,
}

struct Schedule {
    arrival: Arrival,
    limit: Limit,
    start_ns: u64,
    started: u64,
    waiting: VecDeque<u64>,
}

impl Load {
    /// A load of `width` connections (the most that a timetable may use); a job is the exchanges of `job` in order.
    ///
    /// # Errors
    /// The target is not on loopback or epoll is not to be had.
    pub fn new(target: Target, job: Vec<Exchange>, width: usize, connections: Connections) -> Result<Self> {
        ensure!(target.address.ip().is_loopback(), "loads go to loopback only, not to {}", target.address);
        ensure!(!job.is_empty() && width > 0, "a load needs a job and a connection");
        Ok(Self {
            poller: Poller::new()?,
            target,
            job,
            connections,
            clients: std::iter::repeat_with(|| None).take(width).collect(),
            idle: (0..width).rev().collect(),
            scratch: vec![0; 256 * 1024],
            ready: Vec::new(),
        })
    }

    /// Runs until the limit, finishes what is in flight, and tells what was seen.
    ///
    /// # Errors
    /// The first failed exchange ends the run: a run with failures is void.
    pub fn run(&mut self, arrival: Arrival, limit: Limit) -> Result<Outcome> {
        let mut outcome = Outcome::new()?;
        let start_ns = clock::now_ns();
        let mut schedule = Schedule { arrival, limit, start_ns, started: 0, waiting: VecDeque::new() };
        loop {
            let wake = self.start_jobs(&mut schedule, &mut outcome)?;
            if wake.is_none() && self.idle.len() == self.clients.len() {
                break;
            }
            let quiet = clock::now_ns() + clock::nanos(PATIENCE);
            let mut ready = std::mem::take(&mut self.ready);
            self.poller.wait(Some(wake.unwrap_or(quiet).min(quiet)), &mut ready)?;
            if ready.is_empty() && clock::now_ns() >= quiet {
                bail!(
                    "nothing came for {PATIENCE:?} with {} jobs in flight",
                    self.clients.len() - self.idle.len()
                );
            }
            for event in &ready {
                self.drive(*event, &mut outcome)?;
            }
            self.ready = ready;
        }
        outcome.elapsed_ns = clock::now_ns() - start_ns;
        Ok(outcome)
    }

    /// Starts what is due; the time of the next start, or nothing if none will come or one waits for a connection.
    fn start_jobs(&mut self, schedule: &mut Schedule, outcome: &mut Outcome) -> Result<Option<u64>> {
        loop {
            let now = clock::now_ns();
            let due = schedule.next_due(now);
            if let Arrival::Timetable(_) = schedule.arrival {
                // What is due but has no connection yet waits with its own time.
                if let Some(due) = due.filter(|due| *due <= now) {
                    schedule.started += 1;
                    schedule.waiting.push_back(due);
                }
                while let (Some(due), Some(_)) = (schedule.waiting.front().copied(), self.idle.last()) {
                    schedule.waiting.pop_front();
                    self.begin(due, outcome)?;
                }
                if due.is_some_and(|due| due <= now) {
                    continue;
                }
                return Ok(due.or_else(|| schedule.waiting.front().map(|_| now + 1_000_000)));
            }
            if due.is_none() || self.idle.is_empty() {
                return Ok(None);
            }
            schedule.started += 1;
            self.begin(now, outcome)?;
        }
    }

    fn begin(&mut self, due_ns: u64, outcome: &mut Outcome) -> Result<()> {
        let Some(slot) = self.idle.pop() else { bail!("no idle connection") };
        if self.clients[slot].is_none() {
            let client = Client::connect(&self.target, self.connections)
                .with_context(|| format!("connect to {} for job {}", self.target.address, outcome.jobs))?;
            self.poller.add(&client.socket(), slot as u64)?;
            self.clients[slot] = Some(client);
            outcome.connections += 1;
        }
        if let Some(client) = &mut self.clients[slot] {
            client.begin(due_ns, &self.job)?;
        }
        Ok(())
    }

    fn drive(&mut self, event: Ready, outcome: &mut Outcome) -> Result<()> {
        let slot = event.token as usize;
        let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { return Ok(()) };
        match client.drive(event, &mut self.scratch, &self.job, outcome)? {
            Progress::Busy => {}
            Progress::Closed => self.clients[slot] = None,
            Progress::Done { closed } => {
                if closed {
                    self.clients[slot] = None;
                }
                self.idle.push(slot);
            }
        }
        Ok(())
    }
}

impl Schedule {
    fn next_due(&self, now: u64) -> Option<u64> {
        let due = match self.arrival {
            Arrival::Closed => now,
            Arrival::Timetable(per_second) => self.start_ns + (self.started as f64 * 1e9 / per_second) as u64,
        };
        let more = match self.limit {
            Limit::Jobs(jobs) => self.started < jobs,
            Limit::Time(time) => due < self.start_ns + clock::nanos(time),
        };
        more.then_some(due)
    }
}

/// A gateway that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);
