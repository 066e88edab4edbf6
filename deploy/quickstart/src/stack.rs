//! The running programs, started in the order they need each other.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::build::Programs;
use crate::configuration;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::process::{Program, run_to_end};
use crate::state::State;
use crate::{step, tell, verdict};

/// How often the programs are looked at while everything runs.
const WATCH: Duration = Duration::from_millis(50);

/// All programs, running. Dropped from the client's side inwards.
pub(crate) struct Stack {
    proxy: Program,
    host: Program,
    enclave: Program,
    processor: Program,
    /// Where clients send requests, `http://127.0.0.1:PORT/v1`.
    pub(crate) base_url: String,
    /// What clients show as their API key.
    pub(crate) token: String,
    gateway_url: String,
}

impl Stack {
    /// Starts everything, with a verification in between; tells each step.
    pub(crate) fn start(programs: &Programs, state: &State, interrupt: &Interrupt) -> Result<Self, Failure> {
        let processor = start_processor(programs, state, interrupt)?;
        let enclave = start_enclave(programs, state, interrupt, &processor)?;
        let host = start_host(programs, state, interrupt)?;
        let gateway_url = gateway_url(&host)?;
        let policy = configuration::write_policy(programs, state, interrupt, &processor)?;
        step(
            "policy",
            &format!("{} names this measurement, this chip and the throw-away root", policy.display()),
        );
        show_verification(programs, state, interrupt, &gateway_url)?;
        let proxy = start_proxy(programs, state, interrupt, &gateway_url)?;
        let base_url = proxy.ready_text("base_url")?.to_owned();
        let token_file = state.path(configuration::TOKEN_FILE);
        let token = fs::read_to_string(&token_file).map_err(Failure::file("read", &token_file))?;
        Ok(Self { proxy, host, enclave, processor, base_url, token: token.trim().to_owned(), gateway_url })
    }

    /// What scripts want to know, as one JSON object.
    pub(crate) fn describe(&self, state: &State) -> Value {
        json!({
            "base_url": self.base_url,
            "token": self.token,
            "gateway_url": self.gateway_url,
            "policy_file": state.path(configuration::POLICY_FILE),
            "state_dir": state.folder(),
            "pids": {
                "quickstart": std::process::id(),
                "simtee": self.processor.id(),
                "enclave": self.enclave.id(),
                "host": self.host.id(),
                "proxy": self.proxy.id(),
            },
        })
    }

    /// Fails if a program has ended.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        [&mut self.processor, &mut self.enclave, &mut self.host, &mut self.proxy]
            .into_iter()
            .try_for_each(Program::check)
    }

    /// Waits for `work` on a thread of its own; gives up when asked to stop, and when a program ends.
    pub(crate) fn during(
        &mut self,
        interrupt: &Interrupt,
        work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let worker = thread::spawn(work);
        while !worker.is_finished() {
            interrupt.sleep(WATCH)?;
            self.check()?;
        }
        let outcome =
            worker.join().map_err(|_| Failure::Answer("the client stopped by itself".to_owned()))?;
        // What ended may be why the work failed.
        self.check()?;
        outcome
    }

    /// Waits until asked to stop, or until a program ends by itself.
    pub(crate) fn watch(&mut self, interrupt: &Interrupt) -> Result<(), Failure> {
        loop {
            match interrupt.sleep(WATCH) {
                Err(Failure::Interrupted) => return Ok(()),
                other => other?,
            }
            self.check()?;
        }
    }
}

fn start_processor(programs: &Programs, state: &State, interrupt: &Interrupt) -> Result<Program, Failure> {
    let socket = state.path(configuration::PROCESSOR_SOCKET);
    let keys = state.path("pki");
    let arguments =
        ["--socket".as_ref(), socket.as_os_str(), "--pki".as_ref(), keys.as_os_str(), "--measure".as_ref()];
    let arguments = arguments.into_iter().chain([programs.enclave.as_os_str()]);
    let program = Program::start("simtee", &programs.processor, arguments, state, interrupt)?;
    let measurement = program.ready_text("measurement")?;
    started(&program, "a SIMULATED AMD security processor under a throw-away root");
    step("", &format!("it measured {}", programs.enclave.display()));
    step("", &format!("as {measurement}"));
    Ok(program)
}

fn start_enclave(
    programs: &Programs,
    state: &State,
    interrupt: &Interrupt,
    processor: &Program,
) -> Result<Program, Failure> {
    let configuration = configuration::write_enclave(state, processor.ready_text("socket")?)?;
    let arguments = ["--config".as_ref(), configuration.as_os_str()];
    let program = Program::start("enclave", &programs.enclave, arguments, state, interrupt)?;
    started(&program, &format!("the gateway with its built-in model, on {}", program.ready_text("listen")?));
    Ok(program)
}

fn start_host(programs: &Programs, state: &State, interrupt: &Interrupt) -> Result<Program, Failure> {
    let configuration = configuration::write_host(state)?;
    let arguments = ["--config".as_ref(), configuration.as_os_str()];
    let program = Program::start("host", &programs.host, arguments, state, interrupt)?;
    started(
        &program,
        &format!("the untrusted relay, on {}: it carries ciphertext only", program.ready_text("ingress")?),
    );
    Ok(program)
}

fn start_proxy(
    programs: &Programs,
    state: &State,
    interrupt: &Interrupt,
    gateway_url: &str,
) -> Result<Program, Failure> {
    let (policy, memory, token, key) = (
        state.path(configuration::POLICY_FILE),
        state.path(configuration::MEMORY_FILE),
        state.path(configuration::TOKEN_FILE),
        state.path(configuration::KEY_FILE),
    );
    let arguments = [
        "proxy".as_ref(),
        "--to".as_ref(),
        gateway_url.as_ref(),
        "--policy".as_ref(),
        policy.as_os_str(),
        "--state-file".as_ref(),
        memory.as_os_str(),
        "--listen".as_ref(),
        "127.0.0.1:0".as_ref(),
        "--token-file".as_ref(),
        token.as_os_str(),
        "--key-file".as_ref(),
        key.as_os_str(),
    ];
    let program = Program::start("proxy", &programs.client, arguments, state, interrupt)?;
    started(&program, &format!("verifies, then forwards; on {}", program.ready_text("base_url")?));
    Ok(program)
}

/// The address of the gateway as clients dial it: through the host, by the name in its certificate.
fn gateway_url(host: &Program) -> Result<String, Failure> {
    let address = host.ready_text("ingress")?;
    let port = address.rsplit(':').next().unwrap_or_default();
    Ok(format!("https://{}:{port}", configuration::NAME))
}

/// Runs `postern verify` and shows what it checked.
fn show_verification(
    programs: &Programs,
    state: &State,
    interrupt: &Interrupt,
    gateway_url: &str,
) -> Result<(), Failure> {
    let policy = state.path(configuration::POLICY_FILE);
    step("verify", &format!("postern verify {gateway_url} --policy {}", policy.display()));
    let memory = state.path(configuration::MEMORY_FILE);
    let arguments = [
        "verify".as_ref(),
        gateway_url.as_ref(),
        "--policy".as_ref(),
        policy.as_os_str(),
        "--state-file".as_ref(),
        memory.as_os_str(),
    ];
    let printed = run_to_end("verify", &programs.client, arguments, state, interrupt)?;
    for line in verdict::shorten(&printed) {
        tell(&format!("             {line}"));
    }
    tell("             (postern verify also prints what each check expected)");
    Ok(())
}

fn started(program: &Program, what: &str) {
    step(program.name(), &format!("{what} (process {})", program.id()));
}
