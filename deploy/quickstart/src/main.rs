//! Starts the whole attested path on one machine, with the real programs as separate processes:
//!
//! ```text
//! client -> postern proxy ==TLS==> postern-host -> postern-enclave -> built-in model
//!                                                  postern-enclave -- postern-simtee
//! ```
//!
//! The security processor is simulated, and every result says so. What happens is told on standard
//! error; standard output carries only what a script wants: the address and the token, one line of
//! JSON (`--json`), or the answer (`--once`).

mod failure;
mod arguments;
mod interrupt;
mod state;
mod build;
mod process;
mod configuration;
mod verdict;
mod stack;
mod chat;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;
use failure::Failure;
use interrupt::Interrupt;
use stack::Stack;
use state::State;

/// Exit code when stopped before the work was done, as shells give it for Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(failure) => {
            tell(&format!("quickstart: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Builds, starts, shows, and waits for the end. The state folder goes with everything in it, unless it
/// was given, or a failure left something to read in it.
fn run(arguments: &Arguments) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    tell(
        "Postern quickstart: the whole attested path on this machine. The security processor is SIMULATED.\n",
    );
    let programs = build::programs(&interrupt)?;
    let mut state = State::open(arguments.state_dir.as_deref())?;
    step("state", &format!("{}{}", state.folder().display(), state.fate()));
    let outcome = serve(arguments, &interrupt, &programs, &state);
    if let Err(failure) = &outcome
        && failure.has_log()
    {
        state.keep();
    }
    outcome
}

/// Everything that needs the state folder. All children have ended when this returns.
fn serve(
    arguments: &Arguments,
    interrupt: &Interrupt,
    programs: &build::Programs,
    state: &State,
) -> Result<(), Failure> {
    let mut stack = Stack::start(programs, state, interrupt)?;
    if arguments.json {
        say(&stack.describe(state).to_string())?;
    }
    if let Some(prompt) = arguments.once.clone() {
        step("prompt", &format!("POST {}/chat/completions, as any OpenAI client would\n", stack.base_url));
        let (base_url, token) = (stack.base_url.clone(), stack.token.clone());
        return stack.during(interrupt, move || chat::ask(&base_url, &token, &prompt));
    }
    if !arguments.json {
        tell("\nReady. Any OpenAI client works with these two until you press Ctrl-C:\n");
        say(&format!("OPENAI_BASE_URL={}\nOPENAI_API_KEY={}", stack.base_url, stack.token))?;
        tell(&format!("\nThe model is called {}.", configuration::MODEL));
    }
    stack.watch(interrupt)?;
    tell("\nStopped.");
    Ok(())
}

/// One line of the story: what, then the details.
pub(crate) fn step(what: &str, details: &str) {
    tell(&format!("  {what:<10} {details}"));
}

/// Tells the person at the terminal. Nobody may be listening, which is fine.
pub(crate) fn tell(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Writes a line for scripts.
fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| Failure::Output(error.kind()))
}
