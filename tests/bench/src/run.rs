//! A whole run: all peers up, repetitions interleaved scenario by scenario, everything down again.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::peer::{self, GATEWAY_CPU, Kind, LOAD_CPU, Peer, Setup};
use crate::process::{self, Process};
use crate::samples::Samples;
use crate::scenario::{Pace, Scenario};
use crate::tls::{self, Group};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Peers, `direct` among them if added latency is wanted.
    pub peers: Vec<Kind>,
    /// Scenarios, in order.
    pub scenarios: Vec<Scenario>,
    /// Times that all is repeated.
    pub repetitions: u32,
    /// How long each scenario lasts.
    pub pace: Pace,
    /// The run stops after the repetition in which this is passed.
    pub time_limit: Duration,
}

impl Plan {
    /// Everything, at least five times: less than twelve minutes.
    pub fn full() -> Self {
        use Group::{P256, X25519, X25519mlkem768};
        use Scenario::{Attested, Burst, Cold, Handshake, One, Prompt, Small, Streams};
        Self {
            peers: Kind::ALL.to_vec(),
            scenarios: vec![
                Small,
                One,
                Burst(100),
                Burst(400),
                Streams,
                Prompt(16),
                Prompt(256),
                Prompt(1024),
                Handshake(X25519),
                Handshake(P256),
                Handshake(X25519mlkem768),
                Attested(X25519mlkem768),
                Cold,
            ],
            repetitions: 5,
            pace: Pace { scale: 1.0, rounds: 2 },
            time_limit: Duration::from_mins(10),
        }
    }

    /// The references and the targets only, three times: less than a minute and a half.
    pub fn quick() -> Self {
        use Group::{X25519, X25519mlkem768};
        use Scenario::{Attested, Burst, Handshake, One, Prompt, Small};
        Self {
            peers: Kind::ALL.iter().copied().filter(|kind| kind.is_in_quick_run()).collect(),
            scenarios: vec![
                Small,
                One,
                Burst(100),
                Burst(400),
                Prompt(256),
                Prompt(1024),
                Handshake(X25519),
                Handshake(X25519mlkem768),
                Attested(X25519mlkem768),
            ],
            repetitions: 3,
            pace: Pace { scale: 0.4, rounds: 1 },
            time_limit: Duration::from_secs(70),
        }
    }
}

/// Runs the plan and gives back its samples.
///
/// # Errors
/// The machine has one CPU only, a peer does not start, or an exchange failed: the run is void.
pub fn run(plan: &Plan, state: &Path) -> Result<Samples> {
    let cpus = std::thread::available_parallelism()?.get();
    if cpus < 2 {
        bail!("a run needs two CPUs: one for the gateway, one for mock and load");
    }
    std::fs::create_dir_all(state).with_context(|| format!("create {}", state.display()))?;
    process::pin_self(LOAD_CPU)?;
    let (setup, mut mock) = set_up(state)?;
    let _processor = peer::postern::start_processor(&setup, LOAD_CPU)?;
    let mut samples = Samples { about: about(plan), ..Samples::default() };
    let mut peers = Vec::new();
    for kind in &plan.peers {
        match Peer::start(*kind, &setup)? {
            Some(peer) => {
                samples.peers.push(kind.name().to_owned());
                if kind.is_llm_gateway() {
                    samples.add(kind.name(), "start ms", peer.started_in.as_secs_f64() * 1e3);
                    samples.add(kind.name(), "memory idle KiB", peer.memory_bytes()? as f64 / 1024.0);
                }
                peers.push(peer);
            }
            None => samples.absent.push(kind.name().to_owned()),
        }
    }
    let start = Instant::now();
    for repetition in 0..plan.repetitions {
        for scenario in &plan.scenarios {
            for peer in peers.iter().filter(|peer| scenario.applies_to(peer.kind)) {
                for (figure, value) in scenario.run(peer, plan.pace)? {
                    samples.add(peer.kind.name(), &figure, value);
                }
            }
        }
        mock.check()?;
        start_again(&peers, &setup, &mut samples)?;
        eprintln!("repetition {} of {} after {:.0?}", repetition + 1, plan.repetitions, start.elapsed());
        if start.elapsed() > plan.time_limit && repetition + 1 < plan.repetitions {
            samples.about.push(format!("stopped at the time limit after {} repetitions", repetition + 1));
            break;
        }
    }
    std::thread::sleep(SETTLE);
    for peer in peers.iter().filter(|peer| !peer.processes.is_empty()) {
        samples.add(peer.kind.name(), "memory after load KiB", peer.memory_bytes()? as f64 / 1024.0);
    }
    Ok(samples)
}

/// Starts a second instance of each peer for a moment: its start and its memory before any load.
fn start_again(peers: &[Peer], setup: &Setup, samples: &mut Samples) -> Result<()> {
    let again = |peer: &&Peer| !peer.processes.is_empty() && !peer.kind.is_llm_gateway();
    for kind in peers.iter().filter(again).map(|peer| peer.kind) {
        let Some(fresh) = Peer::start(kind, setup)? else { continue };
        samples.add(kind.name(), "start ms", fresh.started_in.as_secs_f64() * 1e3);
        samples.add(kind.name(), "memory idle KiB", fresh.memory_bytes()? as f64 / 1024.0);
    }
    Ok(())
}

pub(crate) fn set_up(state: &Path) -> Result<(Setup, Process)> {
    let setup = Setup {
        state: state.to_path_buf(),
        certificate: state.join("certificate.pem"),
        key: state.join("key.pem"),
        program: std::env::current_exe()?,
        upstream: peer::free_address()?,
        egress: peer::free_address()?,
        processor: state.join("processor.sock"),
        enclave: peer::Enclave::default(),
    };
    tls::write_certificate(&setup.certificate, &setup.key)?;
    let mut command = Command::new(&setup.program);
    command.arg("mock").arg(format!("--plain={}", setup.upstream)).arg(format!("--egress={}", setup.egress));
    let mut mock = Process::start("mock", &command, LOAD_CPU, state)?;
    let patience = Instant::now() + Duration::from_secs(5);
    while let Err(error) = peer::mock_stats(setup.upstream) {
        mock.check()?;
        if Instant::now() > patience {
            return Err(error).context("the mock does not answer");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((setup, mock))
}

fn about(plan: &Plan) -> Vec<String> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release: String = release.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    vec![
        format!(
            "{} CPUs ({}), Linux {release}, loopback only",
            cpu_count(),
            model.trim_matches([' ', ':', '\t'])
        ),
        format!("gateway alone on CPU {GATEWAY_CPU}, one worker; mock and load generator on CPU {LOAD_CPU}"),
        format!(
            "{} interleaved repetitions; no failed request in any figure, counts equal at mock and load",
            plan.repetitions
        ),
    ]
}

/// How long after the last load the memory is read, for all peers alike.
const SETTLE: Duration = Duration::from_secs(2);

fn cpu_count() -> usize {
    std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default().matches("processor\t").count()
}
