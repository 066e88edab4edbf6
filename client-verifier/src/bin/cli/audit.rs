//! `postern audit`: fetch a gateway's log over a verified channel, then check and read it, offline.
//!
//! `fetch` leaves a folder: the signed checkpoint, the bundles of entries, and what the evidence said of both (the key,
//! the name and the head of the log). The other commands need nothing else, and read every entry before they call the log
//! whole.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use ::audit::filter::Filter;
use ::audit::log::{Head, Summary};
use ::audit::tile::{WIDTH, entries_path};
use ::audit::{AuditError, Auditor, Entry, SignedCheckpoint};
use attestation::{Sha256, Verified};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Collected, Limited};
use postern_client::{Error, VerifiedChannel, empty_body};
use serde::{Deserialize, Serialize};

use crate::args::{AuditCommand, AuditFetch, AuditQuery};
use crate::output::{Mark, Output, printable};
use crate::{exit, fetch};

/// What the evidence said, as `fetch` keeps it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vouched {
    format: String,
    origin: String,
    /// The receipt key of the attested keyset.
    key: Sha256Text,
    simulated: bool,
    /// Heads that evidence has shown, oldest first.
    heads: Vec<VouchedHead>,
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct VouchedHead {
    size: u64,
    root: Sha256Text,
}

/// 32 bytes as hex.
type Sha256Text = String;

/// Why the command ends without an answer.
enum Stop {
    Audit(AuditError),
    Client(Error),
    File(String, io::ErrorKind),
    /// A code, what is wrong, and what to do.
    Said(&'static str, String, &'static str),
}

/// Runs one of the commands.
pub(crate) async fn run(command: &AuditCommand, output: &Output) -> ExitCode {
    let done = match command {
        AuditCommand::Fetch(args) => fetch_log(args, output).await,
        AuditCommand::Verify(args) => verify(&args.folder, output),
        AuditCommand::Query(args) => query(args, output, false),
        AuditCommand::Export(args) => query(args, output, true),
    };
    let Err(stop) = done else { return exit::verified() };
    match stop {
        Stop::Audit(error) => {
            output.failure(
                error.code(),
                &error.to_string(),
                "keep this folder: it is evidence of what was done to the log",
            );
            ExitCode::from(1)
        }
        Stop::Client(error) => {
            output.error(&error);
            exit::of(error.outcome())
        }
        Stop::File(what, kind) => {
            output.failure(
                "CLI_FILE",
                &format!("{what}: {kind}"),
                "name a folder that `postern audit fetch` has made",
            );
            exit::usage()
        }
        Stop::Said(code, what, hint) => {
            output.failure(code, &what, hint);
            exit::undecided()
        }
    }
}

async fn fetch_log(args: &AuditFetch, output: &Output) -> Result<(), Stop> {
    let verifier = fetch::verifier(&args.url, &args.reach).map_err(Stop::Client)?;
    let credential = fetch::read_secret(&args.credential_file).map_err(|what| {
        Stop::Said("CLI_KEY", what.to_owned(), "put the auditor's credential alone into a file")
    })?;
    let bearer = HeaderValue::from_str(&format!("Bearer {}", credential.trim())).map_err(|_| {
        Stop::Said("CLI_KEY", "the credential has characters that none has".to_owned(), "see the file")
    })?;
    let mut channel = verifier.connect().await.map_err(Stop::Client)?;
    let vouched = vouch(channel.verified(), &args.folder)?;
    let note = get(&mut channel, "checkpoint", None).await?;
    let signed = SignedCheckpoint::parse(&note).ok_or(Stop::Audit(AuditError::Checkpoint))?;
    let mut auditor = auditor(&vouched, &signed)?;
    while let Some((index, width)) = auditor.wants() {
        let path = entries_path(index, width);
        let kept = fs::read(args.folder.join(&path)).ok().filter(|_| width == WIDTH);
        let bundle = if let Some(kept) = kept {
            kept
        } else {
            let fetched = get(&mut channel, &path, Some(&bearer)).await?;
            write(&args.folder.join(&path), &fetched)?;
            fetched.to_vec()
        };
        auditor.bundle(&bundle, |_, _, _| {}).map_err(Stop::Audit)?;
    }
    let summary = auditor.finish().map_err(Stop::Audit)?;
    write(&args.folder.join("checkpoint"), &note)?;
    let text = serde_json::to_vec_pretty(&vouched).unwrap_or_default();
    write(&args.folder.join("vouched.json"), &text)?;
    output.data(&told(&vouched, &summary, output));
    Ok(())
}

/// What the evidence says of the log, after what earlier evidence has said.
fn vouch(verified: &Verified, folder: &Path) -> Result<Vouched, Stop> {
    let claims = verified.claims();
    let (Some(head), Some(log), Some(key)) = (&claims.state_head, &claims.log, verified.keyset().rck) else {
        return Err(Stop::Said(
            "AUDIT_NONE",
            "the gateway keeps no log".to_owned(),
            "its operator sets state.audit",
        ));
    };
    let origin = ::audit::checkpoint::origin(&claims.deployment_id, log);
    let mut heads = match fs::read(folder.join("vouched.json")) {
        Ok(bytes) => {
            parse_vouched(&bytes)
                .filter(|own| own.origin == origin)
                .ok_or(Stop::Audit(AuditError::Origin))?
                .heads
        }
        Err(_) => Vec::new(),
    };
    let now = VouchedHead { size: head.tree_size, root: head.root.to_hex() };
    if !heads.contains(&now) {
        heads.push(now);
    }
    let key = attestation::digest::to_hex(&key);
    Ok(Vouched { format: FORMAT.to_owned(), origin, key, simulated: verified.simulated(), heads })
}

fn parse_vouched(bytes: &[u8]) -> Option<Vouched> {
    serde_json::from_slice(bytes).ok().filter(|own: &Vouched| own.format == FORMAT)
}

fn auditor(vouched: &Vouched, signed: &SignedCheckpoint) -> Result<Auditor, Stop> {
    let bytes = |hex: &str| Sha256::from_hex(hex).map(|own| *own.as_bytes());
    let key = bytes(&vouched.key).map_err(|_| Stop::Audit(AuditError::Checkpoint))?;
    let heads: Result<Vec<Head>, _> =
        vouched.heads.iter().map(|head| Ok(Head { size: head.size, root: bytes(&head.root)? })).collect();
    let heads = heads.map_err(|_: attestation::digest::DigestError| Stop::Audit(AuditError::Checkpoint))?;
    Auditor::new(signed, &key, &vouched.origin, heads).map_err(Stop::Audit)
}

async fn get(channel: &mut VerifiedChannel, path: &str, bearer: Option<&HeaderValue>) -> Result<Bytes, Stop> {
    channel.ready().await.map_err(Stop::Client)?;
    let mut request = Request::get(format!("/.well-known/postern/log/{path}"));
    if let Some(bearer) = bearer {
        request = request.header(AUTHORIZATION, bearer);
    }
    let malformed = || Stop::Said("AUDIT_ANSWER", path.to_owned(), "is the gateway of the same release?");
    let request = request.body(empty_body()).map_err(|_| malformed())?;
    let answer = channel.send(request).await.map_err(|failure| Stop::Client(failure.error))?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => {
            let what = "the gateway does not know this auditor".to_owned();
            return Err(Stop::Said("AUDITOR_UNKNOWN", what, "its operator sets state.auditor_sha256"));
        }
        _ => return Err(malformed()),
    }
    Limited::new(answer.into_body(), MAX_BUNDLE)
        .collect()
        .await
        .map(Collected::to_bytes)
        .map_err(|_| malformed())
}

fn verify(folder: &Path, output: &Output) -> Result<(), Stop> {
    let (vouched, summary) = pass(folder, |_, _, _| {})?;
    output.data(&told(&vouched, &summary, output));
    Ok(())
}

fn query(args: &AuditQuery, output: &Output, as_it_is: bool) -> Result<(), Stop> {
    let filter = Filter {
        who: args.who.clone(),
        what: args.what.clone(),
        since: args.since,
        until: args.until,
        model: args.model.clone(),
        status: args.status.clone(),
    };
    let mut found: u64 = 0;
    let (vouched, summary) = pass(&args.folder, |index, entry, line| {
        if filter.matches(entry) {
            found = found.saturating_add(1);
            let line = String::from_utf8_lossy(line);
            output.data(&if as_it_is {
                format!("{line}\n")
            } else {
                format!("{index}\t{}\n", printable(&line))
            });
        }
    })?;
    output.talk(&format!("{found} of {} entries", summary.entries));
    output.talk(told(&vouched, &summary, output).trim_end());
    Ok(())
}

/// Reads the whole log, showing each entry, and says whether it is whole.
fn pass(folder: &Path, mut show: impl FnMut(u64, &Entry, &[u8])) -> Result<(Vouched, Summary), Stop> {
    let vouched = parse_vouched(&read(&folder.join("vouched.json"))?)
        .ok_or_else(|| Stop::File("vouched.json".to_owned(), io::ErrorKind::InvalidData))?;
    let signed = SignedCheckpoint::parse(&read(&folder.join("checkpoint"))?);
    let mut auditor = auditor(&vouched, &signed.ok_or(Stop::Audit(AuditError::Checkpoint))?)?;
    while let Some((index, width)) = auditor.wants() {
        let bundle = fs::read(folder.join(entries_path(index, width)));
        let bundle = bundle.map_err(|_| Stop::Audit(AuditError::Bundle { index }))?;
        auditor.bundle(&bundle, &mut show).map_err(Stop::Audit)?;
    }
    let summary = auditor.finish().map_err(Stop::Audit)?;
    Ok((vouched, summary))
}

fn told(vouched: &Vouched, summary: &Summary, output: &Output) -> String {
    let whole = output.marked(Mark::Good, "WHOLE");
    let simulated = if vouched.simulated { " (SIMULATED)" } else { "" };
    let crashes = match summary.crashes {
        0 => String::new(),
        some => format!("  {some} ends out of order: calls of the last moments before each may be missing\n"),
    };
    let lost = match summary.lost {
        0 => String::new(),
        some => format!("  {some} records were lost, as the log itself says\n"),
    };
    let (origin, Summary { entries, calls, admin, .. }) = (printable(&vouched.origin), summary);
    format!(
        "{whole}{simulated}  {origin}: {entries} entries, {calls} calls, {admin} acts of administration\n{crashes}{lost}"
    )
}

fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    fs::read(path).map_err(|error| Stop::File(path.display().to_string(), error.kind()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| Stop::File(path.display().to_string(), error.kind()))
}

const FORMAT: &str = "postern.audit-vouched/1";
/// 256 entries of the longest.
const MAX_BUNDLE: usize = 256 * (::audit::tile::MAX_ENTRY + 2);
