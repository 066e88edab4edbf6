//! `postern`: check a gateway, then talk to it.
//!
//! Data goes to stdout, talk to stderr. Exit: 0 verified, 1 rejected, 2 usage or configuration, 3 could not decide.

use std::process::ExitCode;

use clap::Parser;

mod admin;
mod appraise;
mod args;
mod argument;
mod audit;
mod chat;
mod evidence;
mod exit;
mod fetch;
mod import;
mod measure;
mod output;
mod policy;
mod provision;
mod proxy;
mod verdict;
mod verify;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let output = output::Output::new();
    match args.command {
        args::Command::Admin(own) => on_runtime(&output, admin::run(&own, &output)),
        args::Command::Appraise(own) => appraise::run(&own, &output),
        args::Command::Audit(own) => on_runtime(&output, audit::run(&own, &output)),
        args::Command::Chat(own) => on_runtime(&output, chat::run(&own, &output)),
        args::Command::Evidence(args::EvidenceCommand::Show(own)) => evidence::show(&own, &output),
        args::Command::Import(own) => import::run(&own, &output),
        args::Command::Measure(own) => measure::run(&own, &output),
        args::Command::Policy(args::PolicyCommand::Check(own)) => policy::check(&own, &output),
        args::Command::Policy(args::PolicyCommand::Init(own)) => policy::init(&own, &output),
        args::Command::Provision(args::ProvisionCommand::NewKey(own)) => provision::new_key(&own, &output),
        args::Command::Provision(args::ProvisionCommand::NewRootKey(own)) => {
            provision::new_root_key(&own, &output)
        }
        args::Command::Provision(args::ProvisionCommand::Send(own)) => {
            on_runtime(&output, provision::send(&own, &output))
        }
        args::Command::Proxy(own) => on_runtime(&output, proxy::run(&own, &output)),
        args::Command::Verify(own) => on_runtime(&output, verify::run(&own, &output)),
    }
}

/// Runs what needs the network.
fn on_runtime(output: &output::Output, command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(command);
            // A read of stdin that nobody waits for must not keep the process.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            let what = format!("no runtime: {}", error.kind());
            output.failure("LOCAL_RUNTIME", &what, "free some memory or threads");
            exit::undecided()
        }
    }
}

const WORKERS: usize = 2;
