//! What is done to every peer, and the figures that come of it.
//!
//! Each scenario warms up, lets everything in flight finish, reads the CPU time and the mock's counts, measures, lets
//! finish, and reads again: the counts at the mock must equal the counts at the load exactly, or the run is void.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;

use crate::load::{Arrival, Connections, Exchange, Limit, Load, Outcome};
use crate::peer::{Kind, Peer};
use crate::prompt::Shape;
use crate::tls::Group;

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// New connection, session bind, one request, close: the attested handshake with its evidence cached.
    Attested(Group),
    /// So many streams of 64 chunks 5 ms apart that start together.
    Burst(usize),
    /// 200 requests a second by timetable: caches are cold.
    Cold,
    /// New connection, one request, close.
    Handshake(Group),
    /// One connection, closed loop.
    One,
    /// Two connections with a prompt of so many KiB.
    Prompt(usize),
    /// 32 connections, closed loop, small request.
    Small,
    /// 32 connections, streams of 64 chunks as fast as they come.
    Streams,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Multiplies every measured time.
    pub scale: f64,
    /// Rounds of every burst.
    pub rounds: u32,
}

/// A named figure of one repetition, in the unit that its name ends with.
pub type Figure = (String, f64);

impl Scenario {
    /// Prefix of its figures.
    pub fn name(self) -> String {
        match self {
            Self::Attested(group) => format!("attested {}", group.name()),
            Self::Burst(streams) => format!("burst {streams}"),
            Self::Cold => "cold".to_owned(),
            Self::Handshake(group) => format!("handshake {}", group.name()),
            Self::One => "one".to_owned(),
            Self::Prompt(kib) => format!("prompt {kib} KiB"),
            Self::Small => "small".to_owned(),
            Self::Streams => "streams".to_owned(),
        }
    }

    /// False where the peer cannot take part.
    pub fn applies_to(self, kind: Kind) -> bool {
        match self {
            Self::Small | Self::One | Self::Prompt(..=256) => true,
            _ if kind.is_llm_gateway() => false,
            Self::Attested(group) => kind.has_evidence() && kind.groups().contains(&group),
            Self::Handshake(group) => !kind.is_tls() || kind.groups().contains(&group),
            Self::Burst(_) | Self::Cold | Self::Prompt(_) | Self::Streams => true,
        }
    }

    /// Runs it against a peer.
    ///
    /// # Errors
    /// An exchange failed or the counts differ: the run is void.
    pub fn run(self, peer: &Peer, pace: Pace) -> Result<Vec<Figure>> {
        self.measure(peer, pace).with_context(|| format!("{} at {}", self.name(), peer.kind.name()))
    }

    fn measure(self, peer: &Peer, pace: Pace) -> Result<Vec<Figure>> {
        let seconds = |seconds: f64| Limit::Time(Duration::from_secs_f64(seconds * pace.scale));
        let paced = Shape::Stream { chunks: CHUNKS, pace: Duration::from_millis(5) };
        let at_once = Shape::Stream { chunks: CHUNKS, pace: Duration::ZERO };
        let small = || vec![peer.exchange(Shape::Whole, SMALL, false)];
        match self {
            Self::Attested(group) => {
                let job = vec![peer.bind_exchange()?, peer.exchange(Shape::Whole, SMALL, true)];
                self.closed(peer, job, Connections::New, Some(group), 8, seconds(0.4))
            }
            Self::Burst(streams) => {
                self.burst(peer, vec![peer.exchange(paced, SMALL, false)], streams, pace.rounds)
            }
            Self::Cold => self.timetable(peer, small(), seconds(1.0)),
            Self::Handshake(group) => {
                let job = vec![peer.exchange(Shape::Whole, SMALL, true)];
                self.closed(peer, job, Connections::New, Some(group), 8, seconds(0.4))
            }
            Self::One => self.closed(peer, small(), Connections::Kept, None, 1, seconds(0.5)),
            Self::Prompt(kib) => {
                let job = vec![peer.exchange(Shape::Whole, kib * 1024, false)];
                self.closed(peer, job, Connections::Kept, None, 2, seconds(0.4))
            }
            Self::Small => self.closed(peer, small(), Connections::Kept, None, 32, seconds(0.8)),
            Self::Streams => {
                let job = vec![peer.exchange(at_once, SMALL, false)];
                self.closed(peer, job, Connections::Kept, None, 32, seconds(0.4))
            }
        }
    }

    fn closed(
        self,
        peer: &Peer,
        job: Vec<Exchange>,
        connections: Connections,
        group: Option<Group>,
        width: usize,
        limit: Limit,
    ) -> Result<Vec<Figure>> {
        let target = peer.target(group.unwrap_or_else(|| peer.group()))?;
        let mut load = Load::new(target, job, width, connections)?;
        load.run(Arrival::Closed, Limit::Time(WARM_UP))?;
        let measured = Measured::of(peer, || load.run(Arrival::Closed, limit))?;
        let name = self.name();
        let mut figures = measured.cpu_figures(&name, "us", measured.outcome.jobs);
        let latency = &measured.outcome.latency;
        figures.push((format!("{name} rate /s"), measured.outcome.per_second()));
        figures.push((format!("{name} p50 us"), micros(latency, 0.50)));
        figures.push((format!("{name} p95 us"), micros(latency, 0.95)));
        figures.push((format!("{name} p99 us"), micros(latency, 0.99)));
        Ok(figures)
    }

    fn timetable(self, peer: &Peer, job: Vec<Exchange>, limit: Limit) -> Result<Vec<Figure>> {
        let mut load = Load::new(peer.target(peer.group())?, job, 32, Connections::Kept)?;
        load.run(Arrival::Closed, Limit::Jobs(8))?;
        let measured = Measured::of(peer, || load.run(Arrival::Timetable(200.0), limit))?;
        let name = self.name();
        let mut figures = measured.cpu_figures(&name, "us", measured.outcome.jobs);
        figures.push((format!("{name} p50 us"), micros(&measured.outcome.latency, 0.50)));
        figures.push((format!("{name} p95 us"), micros(&measured.outcome.latency, 0.95)));
        Ok(figures)
    }

    fn burst(self, peer: &Peer, job: Vec<Exchange>, streams: usize, rounds: u32) -> Result<Vec<Figure>> {
        let mut load = Load::new(peer.target(peer.group())?, job, streams, Connections::Kept)?;
        let limit = Limit::Jobs(streams as u64);
        load.run(Arrival::Closed, limit)?;
        let measured = Measured::of(peer, || {
            let mut all = load.run(Arrival::Closed, limit)?;
            for _ in 1..rounds {
                all.add(&load.run(Arrival::Closed, limit)?)?;
            }
            Ok(all)
        })?;
        let (name, outcome) = (self.name(), &measured.outcome);
        let mut figures = measured.cpu_figures(&name, "us/chunk", outcome.chunks);
        figures.push((format!("{name} ttft p50 us"), micros(&outcome.first_token, 0.50)));
        figures.push((format!("{name} ttft p99 us"), micros(&outcome.first_token, 0.99)));
        figures.push((format!("{name} chunk p50 us"), micros(&outcome.chunk_latency, 0.50)));
        figures.push((format!("{name} chunk p99 us"), micros(&outcome.chunk_latency, 0.99)));
        figures.push((format!("{name} gap p99 us"), micros(&outcome.gap_change, 0.99)));
        figures.push((format!("{name} gap max us"), outcome.gap_change.max() as f64 / 1e3));
        Ok(figures)
    }
}

struct Measured {
    outcome: Outcome,
    cpu_ns: Vec<(String, u64)>,
}

impl Measured {
    fn of(peer: &Peer, run: impl FnOnce() -> Result<Outcome>) -> Result<Self> {
        let (counts, cpu) = (peer.counts()?, peer.cpu_ns()?);
        let outcome = run()?;
        let (counts_after, cpu_after) = (peer.counts()?, peer.cpu_ns()?);
        let requests = counts_after.requests - counts.requests;
        let chunks = counts_after.chunks - counts.chunks;
        ensure!(requests == outcome.jobs, "{} answers but {requests} requests at the mock", outcome.jobs);
        ensure!(chunks == outcome.chunks, "{} events came of {chunks} that the mock sent", outcome.chunks);
        ensure!(outcome.jobs > 0, "nothing was measured");
        let roles = peer.processes.iter().map(|process| process.role.clone());
        let spent = cpu_after.iter().zip(&cpu).map(|(after, before)| after - before);
        Ok(Self { outcome, cpu_ns: roles.zip(spent).collect() })
    }

    /// CPU time of the peer, and of each process if it has several, divided by what it served.
    fn cpu_figures(&self, name: &str, unit: &str, served: u64) -> Vec<Figure> {
        let per_one = |ns: u64| ns as f64 / 1e3 / served as f64;
        if self.cpu_ns.is_empty() {
            return Vec::new();
        }
        let total = self.cpu_ns.iter().map(|(_, ns)| ns).sum();
        let busy = total as f64 / self.outcome.elapsed_ns as f64;
        let mut figures =
            vec![(format!("{name} cpu {unit}"), per_one(total)), (format!("{name} busy"), busy)];
        if self.cpu_ns.len() > 1 {
            let parts =
                self.cpu_ns.iter().map(|(role, ns)| (format!("{name} cpu {unit} of {role}"), per_one(*ns)));
            figures.extend(parts);
        }
        figures
    }
}

fn micros(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

const CHUNKS: u32 = 64;
/// Prompt of the small request: with its head about 700 bytes on the wire.
const SMALL: usize = 300;
const WARM_UP: Duration = Duration::from_millis(150);
