//! The targets of the project as ratios to references of the same run, T1 to T20; an `h` marks what the host adds.
//!
//! Rows stand here once their subject and their reference can be measured by this harness.

use crate::samples::Samples;

/// How subject and reference become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The subject itself, divided by this.
    Absolute(u32),
    /// Subject less reference, divided by this.
    Above(u32),
    /// Subject less `direct`, divided by reference less `direct`.
    AddedRatio,
    /// Subject divided by reference.
    Ratio,
    /// Subject divided by so many times the reference.
    RatioToMany(u32),
}

/// Which side of the target is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Good {
    /// At least the target.
    AtLeast,
    /// At most the target.
    AtMost,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// `T1` ...
    pub id: &'static str,
    /// In words, with the unit.
    pub text: &'static str,
    /// Peer and figure.
    pub subject: (&'static str, &'static str),
    /// Peer and figure that it is compared with.
    pub reference: (&'static str, &'static str),
    /// How they are compared.
    pub measure: Measure,
    /// Which side is good.
    pub good: Good,
    /// Bound of the first release that is measured, where it is milder than `must`.
    pub now: Option<f64>,
    /// Bound that has to hold.
    pub must: f64,
    /// Bound that we are going for.
    pub moonshot: f64,
}

impl Target {
    /// One value for each repetition; nothing if a figure is missing.
    pub fn values(&self, samples: &Samples) -> Option<Vec<f64>> {
        let subject = samples.of(self.subject.0, self.subject.1)?;
        let reference = || samples.of(self.reference.0, self.reference.1);
        match self.measure {
            Measure::Absolute(unit) => Some(subject.iter().map(|value| value / f64::from(unit)).collect()),
            Measure::Above(unit) => Some(
                subject
                    .iter()
                    .zip(reference()?)
                    .map(|(value, other)| (value - other) / f64::from(unit))
                    .collect(),
            ),
            Measure::AddedRatio => {
                let direct = samples.of("direct", self.subject.1)?;
                let added = subject.iter().zip(reference()?).zip(direct);
                Some(added.map(|((value, other), direct)| (value - direct) / (other - direct)).collect())
            }
            Measure::Ratio => {
                Some(subject.iter().zip(reference()?).map(|(value, other)| value / other).collect())
            }
            Measure::RatioToMany(count) => {
                let pairs = subject.iter().zip(reference()?);
                Some(pairs.map(|(value, other)| value / other / f64::from(count)).collect())
            }
        }
    }

    /// Whether a value meets a bound.
    pub fn meets(&self, value: f64, bound: f64) -> bool {
        match self.good {
            Good::AtLeast => value >= bound,
            Good::AtMost => value <= bound,
        }
    }
}

const fn ratio(
    id: &'static str,
    text: &'static str,
    figure: &'static str,
    reference: &'static str,
    must: f64,
    moonshot: f64,
) -> Target {
    Target {
        id,
        text,
        subject: (ENCLAVE, figure),
        reference: (reference, figure),
        measure: Measure::Ratio,
        good: Good::AtMost,
        now: None,
        must,
        moonshot,
    }
}

const ENCLAVE: &str = "postern-enclave";
const WHOLE: &str = "postern-host+enclave";
const NGINX: &str = "nginx-tls";
const X25519: &str = "handshake X25519 cpu us";
const HYBRID: &str = "handshake X25519MLKEM768 cpu us";
const IDLE: &str = "memory idle KiB";
const LOADED: &str = "memory after load KiB";
const SMALL: &str = "small cpu us";

/// Every row that this harness can fill, in order.
pub const TARGETS: &[Target] = &[
    Target { now: Some(2.0), ..ratio("T1", "CPU per small request / nginx-tls", SMALL, NGINX, 1.5, 1.0) },
    Target {
        subject: (WHOLE, "small cpu us of postern-host"),
        measure: Measure::RatioToMany(2),
        ..ratio(
            "T1h",
            "CPU of the host, both legs, per small request / two plain relays",
            SMALL,
            "relay",
            1.0,
            0.8,
        )
    },
    ratio("T3", "CPU per small request / relay-tls", SMALL, "relay-tls", 2.0, 1.3),
    Target {
        good: Good::AtLeast,
        ..ratio("T5", "requests a second on one core / nginx-tls", "small rate /s", NGINX, 0.7, 1.0)
    },
    Target {
        measure: Measure::AddedRatio,
        ..ratio(
            "T7",
            "added latency, one connection, enclave alone / nginx-tls",
            "one p50 us",
            NGINX,
            1.3,
            1.0,
        )
    },
    Target {
        subject: (WHOLE, "one p50 us"),
        measure: Measure::AddedRatio,
        now: Some(2.5),
        ..ratio("T7h", "added latency through host and enclave / nginx-tls", "one p50 us", NGINX, 1.3, 1.0)
    },
    ratio("T8", "CPU per chunk, 400 streams / relay-tls", "burst 400 cpu us/chunk", "relay-tls", 1.4, 1.1),
    ratio("T9", "chunk one-way p99, 400 streams / nginx-tls", "burst 400 chunk p99 us", NGINX, 1.5, 0.8),
    ratio(
        "T10",
        "time to first token p50, 100 streams / nginx-tls",
        "burst 100 ttft p50 us",
        NGINX,
        1.2,
        0.9,
    ),
    Target {
        measure: Measure::Above(1000),
        ..ratio(
            "T11",
            "chunk gap change p99 above direct, 100 streams, ms",
            "burst 100 gap p99 us",
            "direct",
            3.0,
            3.0,
        )
    },
    Target {
        subject: (WHOLE, "burst 100 gap p99 us"),
        measure: Measure::Above(1000),
        ..ratio("T11h", "the same through host and enclave, ms", "burst 100 gap p99 us", "direct", 3.0, 3.0)
    },
    ratio("T12", "CPU, 256 KiB prompt / nginx-tls", "prompt 256 KiB cpu us", NGINX, 1.5, 0.8),
    ratio("T13", "CPU, 1 MiB prompt / nginx-tls", "prompt 1024 KiB cpu us", NGINX, 0.7, 0.45),
    ratio("T14", "CPU, full handshake X25519 / nginx-tls", X25519, NGINX, 0.75, 0.6),
    ratio("T15", "CPU, full handshake X25519MLKEM768 / Envoy", HYBRID, "envoy-tls", 1.0, 0.8),
    Target {
        subject: (ENCLAVE, "attested X25519MLKEM768 cpu us"),
        ..ratio("T16", "attested handshake / the same without", HYBRID, ENCLAVE, 1.25, 1.05)
    },
    Target {
        measure: Measure::Absolute(1024),
        ..ratio("T18", "memory idle, MiB PSS", IDLE, NGINX, 16.0, 8.0)
    },
    Target {
        measure: Measure::Absolute(1024),
        ..ratio("T18", "memory 2 s after all load, MiB PSS", LOADED, NGINX, 40.0, 20.0)
    },
    Target {
        measure: Measure::Absolute(1000),
        ..ratio("T19", "start to first answer, s", "start ms", NGINX, 0.15, 0.05)
    },
];
