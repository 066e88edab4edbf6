//! What a run saw: counts and histograms, nanoseconds everywhere.

use anyhow::Result;
use hdrhistogram::Histogram;

/// Counts and latencies of one run without a failure.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Events with a send time.
    pub chunks: u64,
    /// One-way latency of each event: arrival less the send time that it carries.
    pub chunk_latency: Histogram<u64>,
    /// Connections opened.
    pub connections: u64,
    /// From the first start to the last answer.
    pub elapsed_ns: u64,
    /// How much the one-way latency changed from one event of a stream to the next.
    pub gap_change: Histogram<u64>,
    /// Finished jobs.
    pub jobs: u64,
    /// From a job's start (or its time in the timetable) to its last byte.
    pub latency: Histogram<u64>,
    /// Requests answered with 200 and the expected body.
    pub requests: u64,
    /// From a stream's start to its first event.
    pub first_token: Histogram<u64>,
}

impl Outcome {
    /// Nothing seen yet.
    pub fn new() -> Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, 120_000_000_000, 3);
        Ok(Self {
            chunks: 0,
            chunk_latency: histogram()?,
            connections: 0,
            elapsed_ns: 0,
            gap_change: histogram()?,
            jobs: 0,
            latency: histogram()?,
            requests: 0,
            first_token: histogram()?,
        })
    }

    /// Adds another run's counts and latencies.
    ///
    /// # Errors
    /// Never for two outcomes made here: their histograms have the same bounds.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        self.chunks += other.chunks;
        self.chunk_latency.add(&other.chunk_latency)?;
        self.connections += other.connections;
        self.elapsed_ns += other.elapsed_ns;
        self.gap_change.add(&other.gap_change)?;
        self.jobs += other.jobs;
        self.latency.add(&other.latency)?;
        self.requests += other.requests;
        self.first_token.add(&other.first_token)?;
        Ok(())
    }

    /// Finished jobs a second.
    pub fn per_second(&self) -> f64 {
        self.jobs as f64 * 1e9 / self.elapsed_ns as f64
    }
}
