//! `postern provision`: an operator verifies an enclave, then gives it its secrets.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use attestation::digest::to_hex;
use postern_client::provisioning::{self, OperatorKey, Package, ProvisionError, provision};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::args::{ProvisionNewKey, ProvisionSend};
use crate::output::{Output, printable};
use crate::{exit, fetch};

pub(crate) fn new_key(args: &ProvisionNewKey, output: &Output) -> ExitCode {
    let made = OperatorKey::generate().and_then(|key| Ok((key.to_pkcs8()?, key.public())));
    let (pkcs8, public) = match made {
        Ok(made) => made,
        Err(error) => return failed(&error, output),
    };
    if !written(&args.file, &pkcs8, output) {
        return exit::usage();
    }
    output.data(&format!("[provisioning]\noperator = \"{public}\"\n"));
    exit::verified()
}

pub(crate) fn new_root_key(args: &ProvisionNewKey, output: &Output) -> ExitCode {
    let key = match provisioning::new_root_key() {
        Ok(key) => key,
        Err(error) => return failed(&error, output),
    };
    let digits = Zeroizing::new(to_hex(&key[..]));
    let text = Zeroizing::new(format!("{}\n", digits.as_str()));
    if written(&args.file, text.as_bytes(), output) { exit::verified() } else { exit::usage() }
}

/// Writes a new file that only its owner reads; says so, or why not.
fn written(path: &Path, bytes: &[u8], output: &Output) -> bool {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    if let Err(error) = options.open(path).and_then(|mut file| file.write_all(bytes)) {
        let what = format!("{}: {}", path.display(), error.kind());
        output.failure("PROV_FILE", &what, "name a file that does not exist yet");
        return false;
    }
    output.talk(&format!("written: {}", printable(&path.display().to_string())));
    true
}

pub(crate) async fn send(args: &ProvisionSend, output: &Output) -> ExitCode {
    let (operator, package) = match prepare(args) {
        Ok(prepared) => prepared,
        Err(Unprepared { code, what }) => {
            output.failure(code, &what, "see `postern provision send --help`");
            return exit::usage();
        }
    };
    let verifier = match fetch::provisioning_verifier(&args.url, &args.reach) {
        Ok(verifier) => verifier,
        Err(error) => return failed(&error.into(), output),
    };
    match provision(&verifier, &operator, &package).await {
        Ok(given) => {
            let (before, now) = (given.config_digest_before.to_hex(), given.config_digest.to_hex());
            output.data(&format!("PROVISIONED  {}\n", printable(&args.url)));
            output.data(&format!("  secrets        {}\n  config_digest  {now}\n", package.secrets.len()));
            if package.root_key.is_some() {
                output.data("  root_key       given\n");
            }
            if given.kept {
                output.data("  kept           sealed in the enclave's state\n");
            }
            if before != now {
                output.data(&format!("  before         {before}\n"));
            }
            exit::verified()
        }
        Err(error) => failed(&error, output),
    }
}

/// What is wrong with the files, without what is in them.
struct Unprepared {
    code: &'static str,
    what: String,
}

fn prepare(args: &ProvisionSend) -> Result<(OperatorKey, Package), Unprepared> {
    let unreadable = |path: &Path, error: &std::io::Error| Unprepared {
        code: "PROV_FILE",
        what: format!("{}: {}", path.display(), error.kind()),
    };
    let pkcs8 = read(&args.operator_key).map_err(|error| unreadable(&args.operator_key, &error))?;
    let operator = OperatorKey::from_pkcs8(&pkcs8).map_err(|error| Unprepared {
        code: "PROV_OPERATOR_KEY",
        what: format!("{}: {error}", args.operator_key.display()),
    })?;
    let text = args.secrets.as_deref().map(|path| read(path).map_err(|error| unreadable(path, &error)));
    let text = text.transpose()?.unwrap_or_default();
    let root_key = args.root_key.as_deref().map(|path| {
        let text = read(path).map_err(|error| unreadable(path, &error))?;
        root_key(&text).ok_or_else(|| Unprepared {
            code: "PROV_ROOT_KEY",
            what: format!(
                "{}: not 64 hex digits, as 'postern provision new-root-key' writes",
                path.display()
            ),
        })
    });
    let root_key = root_key.transpose()?;
    let mut secrets = BTreeMap::new();
    for (name, place) in places(&text)? {
        let secret = match place {
            Place::Here(text) => Zeroizing::new(text.into_bytes()),
            Place::File { file } => {
                let mut bytes = read(&file).map_err(|error| unreadable(&file, &error))?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                bytes
            }
        };
        secrets.insert(name, secret);
    }
    let gateway = args.gateway.as_deref().map(gateway_table).transpose()?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let number = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Ok((operator, Package { secrets, gateway, root_key, number }))
}

/// 64 hex digits.
fn root_key(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.len() != 64 {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (byte, pair) in key.iter_mut().zip(text.chunks(2)) {
        let digit = |of: u8| char::from(of).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(*pair.first()?)? << 4 | digit(*pair.last()?)?;
    }
    Some(key)
}

/// Where a secret is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Place {
    Here(String),
    File { file: std::path::PathBuf },
}

/// The parser's own message may quote a secret, so it is not passed on.
fn places(text: &[u8]) -> Result<BTreeMap<String, Place>, Unprepared> {
    let wrong = || Unprepared {
        code: "PROV_SECRETS",
        what: "the file with the secrets must be TOML: NAME = \"value\" or NAME = { file = \"PATH\" }"
            .to_owned(),
    };
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    toml::from_str(text).map_err(|_| wrong())
}

/// The `[gateway]` table of a file, as a text of its own.
fn gateway_table(path: &Path) -> Result<String, Unprepared> {
    let wrong = |what: &str| Unprepared { code: "PROV_GATEWAY", what: format!("{}: {what}", path.display()) };
    let text = read(path).map_err(|error| wrong(&error.kind().to_string()))?;
    let text = std::str::from_utf8(&text).map_err(|_| wrong("not text"))?;
    let table: toml::Table = toml::from_str(text).map_err(|_| wrong("not TOML"))?;
    let gateway = table.get("gateway").ok_or_else(|| wrong("has no [gateway] table"))?;
    toml::to_string(gateway).map_err(|_| wrong("its [gateway] is no table"))
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // At its largest from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES));
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    if bytes.len() == MAX_FILE_BYTES { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

fn failed(error: &ProvisionError, output: &Output) -> ExitCode {
    output.failure(error.code(), &error.to_string(), error.hint());
    exit::of(error.outcome())
}

const MAX_FILE_BYTES: usize = 1024 * 1024;
