//! `postern admin`: keys, teams and budgets, over a channel that is verified before the admin key is sent.
//!
//! What can be asked is the admin API's own document (`postern admin --to URL ... get openapi.json`); these commands say
//! it in fewer words. Bodies are JSON files, so that what was decided can be kept and reviewed.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use postern_client::local_proxy::GatewayKey;
use postern_client::{Error, VerifiedChannel, empty_body, full_body};
use serde_json::{Value, json};

use crate::args::{Admin, AdminCommand};
use crate::output::{Output, printable};
use crate::verdict::Verdict;
use crate::{exit, fetch};

/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Largest body that is sent, in bytes.
const MAX_BODY_BYTES: u64 = 256 * 1024;
/// Where everything is.
const PREFIX: &str = "/admin/v1/";

pub(crate) async fn run(args: &Admin, output: &Output) -> ExitCode {
    match ask(args, output).await {
        Ok(()) => exit::verified(),
        Err(code) => code,
    }
}

/// One call.
struct Call {
    method: &'static str,
    path: String,
    body: Option<String>,
    etag: Option<String>,
}

async fn ask(args: &Admin, output: &Output) -> Result<(), ExitCode> {
    let fail = |error: &Error| {
        output.error(error);
        exit::of(error.outcome())
    };
    let key = fetch::gateway_key(args.key_file.as_deref()).map_err(|what| {
        output.failure("CLI_KEY", what, "put the admin key alone into a file");
        exit::usage()
    })?;
    let needs_key = !matches!(args.command, AdminCommand::Claim { .. });
    if key.is_none() && needs_key {
        output.failure("CLI_KEY", "no admin key", "give one with --key-file FILE or POSTERN_API_KEY");
        return Err(exit::usage());
    }
    let call = call(&args.command).map_err(|what| {
        output.failure("CLI_BODY", what, "see `postern admin --help`");
        exit::usage()
    })?;
    let verifier = fetch::verifier(&args.to, &args.reach).map_err(|error| fail(&error))?;
    let mut channel = verifier.connect().await.map_err(|error| fail(&error))?;
    let verdict = Verdict { url: &args.to, policy: Some(verifier.policy()), result: Ok(&channel) };
    output.talk(&verdict.first_line(|mark, text| output.marked_err(mark, text)));
    let key = key.as_ref().filter(|_| needs_key);
    let call = match (call.method, &call.etag) {
        // Whatever is there now is meant: its version is read first.
        ("PUT" | "DELETE", None) if !call.path.starts_with("/admin/v1/admin-keys/") => {
            let read = Call { method: "GET", path: call.path.clone(), body: None, etag: None };
            let (_, etag) = send(&mut channel, &read, key, output).await?;
            Call { etag, ..call }
        }
        _ => call,
    };
    let (answer, _) = send(&mut channel, &call, key, output).await?;
    if !answer.is_null() {
        let text = serde_json::to_string_pretty(&answer).unwrap_or_default();
        output.data(&format!("{text}\n"));
    }
    Ok(())
}

fn call(command: &AdminCommand) -> Result<Call, &'static str> {
    let of = |method, path: String, body: Option<String>| Ok(Call { method, path, body, etag: None });
    match command {
        AdminCommand::Claim { code_file } => {
            let code = read(code_file)?;
            of("POST", format!("{PREFIX}claim"), Some(json!({ "code": code.trim() }).to_string()))
        }
        AdminCommand::Get { path } => of("GET", below(path)?, None),
        AdminCommand::Create { path, file } => of("POST", below(path)?, Some(read(file)?)),
        AdminCommand::Replace { path, file } => of("PUT", below(path)?, Some(read(file)?)),
        AdminCommand::Delete { path } => of("DELETE", below(path)?, None),
        AdminCommand::Rotate { key, grace_seconds } => {
            let body = json!({ "grace_seconds": grace_seconds });
            of("POST", below(&format!("keys/{key}/rotate"))?, Some(body.to_string()))
        }
        AdminCommand::Block { key } => {
            of("POST", below(&format!("keys/{key}/status"))?, Some(status("blocked")))
        }
        AdminCommand::Unblock { key } => {
            of("POST", below(&format!("keys/{key}/status"))?, Some(status("active")))
        }
        AdminCommand::Revoke { key } => {
            of("POST", below(&format!("keys/{key}/status"))?, Some(status("revoked")))
        }
        AdminCommand::RevokeAll { org, team, user, tag } => {
            let body = json!({ "org": org, "team": team, "user": user, "tag": tag });
            of("POST", format!("{PREFIX}keys/revoke"), Some(body.to_string()))
        }
    }
}

fn status(status: &str) -> String {
    json!({ "status": status }).to_string()
}

/// A path of the API, as `keys` or `teams/search`.
fn below(path: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-/?=&:+%".contains(&byte);
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    let sound = !path.is_empty() && !path.starts_with('/') && path.bytes().all(plain);
    if sound { Ok(format!("{PREFIX}{path}")) } else { Err("that is no path of the admin API") }
}

fn read(file: &Path) -> Result<String, &'static str> {
    let mut text = String::new();
    let done = if file == Path::new("-") {
        std::io::stdin().take(MAX_BODY_BYTES).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(file).map_err(|_| "the file cannot be opened")?;
        file.take(MAX_BODY_BYTES).read_to_string(&mut text)
    };
    done.map(|_| text).map_err(|_| "the file is not text")
}

async fn send(
    channel: &mut VerifiedChannel,
    call: &Call,
    key: Option<&GatewayKey>,
    output: &Output,
) -> Result<(Value, Option<String>), ExitCode> {
    let fail = |error: &Error| {
        output.error(error);
        exit::of(error.outcome())
    };
    let mut request =
        Request::builder().method(call.method).uri(&call.path).header(CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header(AUTHORIZATION, key.header());
    }
    if let Some(etag) = &call.etag {
        request = request.header("if-match", etag);
    }
    let body = call.body.clone().map_or_else(empty_body, full_body);
    let Ok(request) = request.body(body) else { return Err(exit::usage()) };
    channel.ready().await.map_err(|error| fail(&error))?;
    let answer = channel.send(request).await.map_err(|failure| fail(&failure.error))?;
    let status = answer.status();
    let etag = answer.headers().get("etag").and_then(|own| own.to_str().ok()).map(str::to_owned);
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body: Bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok((value, etag));
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let what = format!("the gateway answered {}: {}", status.as_u16(), printable(&text("detail")));
    let hint = match status {
        StatusCode::UNAUTHORIZED => "give an admin key that is good; inference keys are none",
        StatusCode::FORBIDDEN => "ask somebody with more rights",
        StatusCode::NOT_FOUND => "look at what there is with `postern admin ... get keys`",
        _ => "see the document: `postern admin ... get openapi.json`",
    };
    let code = text("code");
    output.failure(&printable(if code.is_empty() { "ADMIN_ERROR" } else { &code }), &what, hint);
    Err(if status.is_client_error() { exit::usage() } else { exit::undecided() })
}
