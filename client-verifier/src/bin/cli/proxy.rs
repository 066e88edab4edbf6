//! `postern proxy`: verify, listen, serve until told to stop.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use postern_client::local_proxy::{LocalProxy, ProxySettings, Token};
use postern_client::{ClientPolicy, Error};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::args::Proxy;
use crate::output::{Output, printable};
use crate::verdict::Verdict;
use crate::{exit, fetch};

pub(crate) async fn run(args: &Proxy, output: &Output) -> ExitCode {
    match start(args, output).await {
        Ok(code) | Err(code) => code,
    }
}

async fn start(args: &Proxy, output: &Output) -> Result<ExitCode, ExitCode> {
    let fail = |error: &Error| {
        output.error(error);
        exit::of(error.outcome())
    };
    let usage = |code: &str, what: &str, hint: &str| {
        output.failure(code, what, hint);
        exit::usage()
    };
    let gateway_key = fetch::gateway_key(args.key_file.as_deref())
        .map_err(|what| usage("CLI_KEY", what, "put the gateway's key alone into a file"))?;
    let verifier = fetch::verifier(&args.to, &args.reach).map_err(|error| fail(&error))?;
    let policy = verifier.policy().clone();
    let token = Token::generate().map_err(|error| fail(&error))?;
    let holds_key = gateway_key.is_some();
    let settings = ProxySettings {
        listen: args.listen,
        allow_non_loopback: args.dangerously_listen_beyond_loopback,
        allow_hosts: args.allow_host.clone(),
        token,
        gateway_key,
    };
    let proxy = LocalProxy::bind(verifier, settings).await.map_err(|error| {
        let what = format!("cannot listen on {}: {}", args.listen, error.kind());
        usage(
            "CLI_LISTEN",
            &what,
            "use a free port on 127.0.0.1; others need --dangerously-listen-beyond-loopback",
        )
    })?;
    let stop = stop_signal(args.exit_on_stdin_close).map_err(|_| {
        usage("LOCAL_SIGNALS", "signals cannot be handled here", "start the proxy from an ordinary shell")
    })?;
    tokio::select! {
        checked = first_check(&proxy, &policy, args, output) => checked?,
        // Told to stop before there was a verdict.
        () = stop.notified() => return Ok(exit::undecided()),
    }
    if let Some(path) = &args.token_file {
        write_token(path, proxy.token()).map_err(|kind| {
            usage("CLI_TOKEN_FILE", &format!("{}: {kind}", path.display()), "name a file that can be written")
        })?;
    }
    announce(&proxy, args, holds_key, output);
    proxy.serve(async move { stop.notified().await }).await;
    Ok(exit::verified())
}

/// The first verdict, before anybody is served. A rejection ends the program unless told otherwise.
async fn first_check(
    proxy: &LocalProxy,
    policy: &ClientPolicy,
    args: &Proxy,
    output: &Output,
) -> Result<(), ExitCode> {
    let result = proxy.check().await;
    let verdict = Verdict { url: &args.to, policy: Some(policy), result: result.as_ref() };
    output.talk(&verdict.first_line(|mark, text| output.marked_err(mark, text)));
    for waiver in policy.waivers() {
        output.talk(&format!("  loosened    {}: {}", waiver.rule, printable(&waiver.reason)));
    }
    match &result {
        Ok(_) => Ok(()),
        Err(error) => {
            output.error(error);
            if args.keep_going { Ok(()) } else { Err(exit::of(error.outcome())) }
        }
    }
}

fn announce(proxy: &LocalProxy, args: &Proxy, holds_key: bool, output: &Output) {
    let (address, token) = (proxy.address(), proxy.token());
    output.talk(&format!("listening on http://{address}"));
    match &args.token_file {
        Some(path) => output.talk(&format!("token in {}", printable(&path.display().to_string()))),
        None if args.json_ready => {}
        None => output.talk(&format!("token (shown once): {}", token.reveal())),
    }
    if holds_key {
        output.talk(&format!(
            "base URL http://{address}/v1, API key = the token; the proxy adds the gateway's key"
        ));
    } else {
        output.talk(&format!(
            "base URL http://{address}/t/TOKEN/v1, API key = your gateway key, which passes through"
        ));
    }
    if args.json_ready {
        let mut ready = json!({
            "ready": true,
            "listen": address.to_string(),
            "base_url": format!("http://{address}/v1"),
            "token_file": args.token_file,
            "holds_gateway_key": holds_key,
        });
        if args.token_file.is_none()
            && let Some(fields) = ready.as_object_mut()
        {
            fields.insert("token".to_owned(), token.reveal().into());
        }
        output.data(&format!("{ready}\n"));
    }
}

/// Readable by its owner only, whatever the umask and whatever was there before.
fn write_token(path: &Path, token: &Token) -> Result<(), std::io::ErrorKind> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let write = || {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(token.reveal().as_bytes())?;
        file.write_all(b"\n")
    };
    write().map_err(|error: std::io::Error| error.kind())
}

/// Notified at SIGINT, SIGTERM, and the end of stdin where wanted. A second signal ends the process at once.
fn stop_signal(on_stdin_close: bool) -> std::io::Result<Arc<Notify>> {
    let stop = Arc::new(Notify::new());
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop_at_signal = Arc::clone(&stop);
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if last {
                std::process::exit(SECOND_SIGNAL);
            }
            stop_at_signal.notify_one();
        }
    });
    if on_stdin_close {
        let stop_at_end = Arc::clone(&stop);
        std::thread::spawn(move || {
            drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
            stop_at_end.notify_one();
        });
    }
    Ok(stop)
}

/// What shells report for a process that SIGTERM ended.
const SECOND_SIGNAL: i32 = 143;
