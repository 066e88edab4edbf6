//! What each measure of hygiene costs: the same traffic, against enclaves that lack one of them each.
//!
//! Nothing in the enclave can be switched off that way. What has no setting is taken out of a copy of the source by the
//! test `programs_without_one_defence_each` of `postern-tests`, which leaves one program in a folder for each.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::peer::{self, Enclave, Kind, LOAD_CPU, Peer};
use crate::process;
use crate::run;
use crate::samples::{Samples, Spread};
use crate::scenario::{Pace, Scenario};
use crate::tls::Group;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A folder for each measure with a `postern-enclave` that lacks it; the name of the folder is that of the measure.
    pub programs: PathBuf,
    /// Rounds, in each of which every program serves every scenario once.
    pub rounds: u32,
    /// How long each scenario lasts.
    pub pace: Pace,
}

/// The program as it ships.
const WHOLE: &str = "nothing";
/// The folder of the program that lacks everything that can be taken out.
const ALL: &str = "all of these";
/// The header with which a client opts out of shapes.
const UNSHAPED: &str = "postern-stream-shape: none\r\n";

const SCENARIOS: &[Scenario] = &[
    Scenario::Small,
    Scenario::Prompt(16),
    Scenario::Prompt(256),
    Scenario::Streams,
    Scenario::Burst(100),
    Scenario::Handshake(Group::X25519mlkem768),
];

/// Runs the plan; the table as Markdown.
///
/// # Errors
/// A program does not start, or an exchange failed: the run is void.
pub fn run(plan: &Plan, state: &Path) -> Result<String> {
    std::fs::create_dir_all(state).with_context(|| format!("create {}", state.display()))?;
    process::pin_self(LOAD_CPU)?;
    let (setup, mut mock) = run::set_up(state)?;
    let _processor = peer::postern::start_processor(&setup, LOAD_CPU)?;
    let mut samples = Samples::default();
    let mut peers = Vec::new();
    for (name, enclave, headers) in variants(&plan.programs)? {
        let setup = peer::Setup { enclave, ..setup.clone() };
        let mut peer = Peer::start(Kind::PosternEnclave, &setup)?.context("postern-enclave is not built")?;
        peer.headers.push_str(headers);
        samples.peers.push(name.clone());
        peers.push((name, peer));
    }
    for round in 0..plan.rounds {
        for scenario in SCENARIOS {
            // Whoever comes first after a pause has an advantage, or none; it is somebody else each time.
            peers.rotate_left(1);
            for (name, peer) in &peers {
                let figures = scenario.run(peer, plan.pace)?;
                let cpu = figures.iter().find(|(figure, _)| figure.contains(" cpu us"));
                let (_, value) = cpu.context("CPU time was not measured")?;
                samples.add(name, &scenario.name(), *value);
            }
        }
        mock.check()?;
        eprintln!("round {} of {}", round + 1, plan.rounds);
    }
    Ok(table(&samples))
}

/// Name, program and settings, headers of every request.
fn variants(programs: &Path) -> Result<Vec<(String, Enclave, &'static str)>> {
    let shipped = Enclave::default();
    let mut found = vec![
        (WHOLE.to_owned(), shipped.clone(), ""),
        ("shapes and padding of answers".to_owned(), shipped.clone(), UNSHAPED),
        ("locked memory".to_owned(), Enclave { unlocked: true, ..shipped }, ""),
    ];
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(programs).with_context(|| format!("read {}", programs.display()))? {
        let entry = entry?;
        let program = entry.path().join("postern-enclave");
        if program.is_file() {
            folders.push((entry.file_name().to_string_lossy().into_owned(), program));
        }
    }
    ensure!(!folders.is_empty(), "no programs in {}", programs.display());
    folders.sort();
    for (name, program) in folders {
        let all = name == ALL;
        let enclave = Enclave { program: Some(program), unlocked: all };
        found.push((name, enclave, if all { UNSHAPED } else { "" }));
    }
    Ok(found)
}

/// What is saved by leaving something out, as a share of the CPU time with everything in, round by round.
fn saved(samples: &Samples, without: &str, scenario: &str) -> Option<Spread> {
    let (with, without) = (samples.of(WHOLE, scenario)?, samples.of(without, scenario)?);
    let shares: Vec<f64> =
        with.iter().zip(without).map(|(with, without)| (1.0 - without / with) * 100.0).collect();
    Spread::of(&shares)
}

fn table(samples: &Samples) -> String {
    let mut text = String::from("| CPU time |");
    for scenario in SCENARIOS {
        let unit = if matches!(scenario, Scenario::Burst(_)) { "us a chunk" } else { "us a request" };
        let _infallible = write!(text, " {}, {unit} |", scenario.name());
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(SCENARIOS.len()));
    text.push_str("\n| with everything |");
    for scenario in SCENARIOS {
        let shown = samples.of(WHOLE, &scenario.name()).and_then(Spread::of);
        let _infallible = write!(text, " {} |", shown.map_or_else(String::new, Spread::shown));
    }
    for name in samples.peers.iter().filter(|name| *name != WHOLE) {
        let _infallible = write!(text, "\n| % of it for {name} |");
        for scenario in SCENARIOS {
            let shown = saved(samples, name, &scenario.name());
            let _infallible = write!(text, " {} |", shown.map_or_else(String::new, shown_as_share));
        }
    }
    text.push('\n');
    text
}

/// Median and extremes in percent; below zero is noise.
fn shown_as_share(share: Spread) -> String {
    format!("{:.1} [{:.1} to {:.1}]", share.median, share.min, share.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_what_is_saved_in_the_same_round() {
        let mut samples = Samples { peers: vec![WHOLE.to_owned(), "x".to_owned()], ..Samples::default() };
        for (with, without) in [(10.0, 9.0), (20.0, 19.0), (40.0, 40.0)] {
            samples.add(WHOLE, "small", with);
            samples.add("x", "small", without);
        }
        let text = table(&samples);
        assert!(text.contains("| % of it for x | 5.0 [0.0 to 10.0] |"), "{text}");
        assert!(!text.contains("for nothing"), "{text}");
    }

    #[test]
    fn every_folder_with_a_program_is_a_variant() {
        let folder = tempfile::tempdir().unwrap();
        assert!(variants(folder.path()).is_err(), "none");
        for name in ["b", ALL] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("postern-enclave"), "").unwrap();
        }
        let names: Vec<_> = variants(folder.path()).unwrap().into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names[3..], [ALL, "b"]);
    }
}
