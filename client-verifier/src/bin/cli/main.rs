//! `postern`: check a gateway, then talk to it.
//!
//! Data goes to stdout, talk to stderr. Exit: 0 verified, 1 rejected, 2 usage or configuration, 3 could not decide.

use std::process::ExitCode;

use clap::Parser;

mod appraise;
mod args;
mod argument;
mod chat;
mod exit;
mod fetch;
mod output;
mod policy;
mod proxy;
mod verdict;
mod verify;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let output = output::Output::new();
    // needs neither network nor time, so no runtime either
    if let args::Command::Appraise(appraise) = &args.command {
        return appraise::run(appraise, &output);
    }
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                output.failure(
                    "LOCAL_RUNTIME",
                    &format!("no runtime: {}", error.kind()),
                    "free some memory or threads",
                );
                return exit::undecided();
            }
        };
    let code = runtime.block_on(async {
        match args.command {
            args::Command::Verify(verify) => verify::run(&verify, &output).await,
            args::Command::Proxy(proxy) => proxy::run(&proxy, &output).await,
            args::Command::Chat(chat) => chat::run(&chat, &output).await,
            args::Command::Policy(args::PolicyCommand::Init(init)) => policy::init(&init, &output),
            args::Command::Policy(args::PolicyCommand::Check(check)) => policy::check(&check, &output),
            args::Command::Appraise(appraise) => appraise::run(&appraise, &output),
        }
    });
    // A read of stdin that nobody waits for must not keep the process.
    runtime.shutdown_background();
    code
}

const WORKERS: usize = 2;
