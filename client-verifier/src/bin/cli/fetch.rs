//! What the commands share: a verifier from flags, and secrets from files or the environment.

use std::io::Read;
use std::path::Path;

use postern_client::local_proxy::GatewayKey;
use postern_client::{ClientPolicy, Error, Target, Verifier, policy_file, state_file};
use zeroize::Zeroizing;

use crate::args::Reach;

/// The verifier of the gateway that the flags describe.
pub(crate) fn verifier(url: &str, reach: &Reach) -> Result<Verifier, Error> {
    verifier_of(Verifier::new, url, reach)
}

/// The same for an operator.
pub(crate) fn provisioning_verifier(url: &str, reach: &Reach) -> Result<Verifier, Error> {
    verifier_of(Verifier::for_provisioning, url, reach)
}

fn verifier_of(
    make: fn(Target, ClientPolicy) -> Result<Verifier, Error>,
    url: &str,
    reach: &Reach,
) -> Result<Verifier, Error> {
    let policy = policy_file::load(&reach.policy)?;
    let mut target = Target::parse(url)?;
    if let Some(address) = &reach.connect {
        target = target.with_connect(address);
    }
    let state = state_file::resolve(reach.state_file.as_deref())?;
    Ok(make(target, policy)?.with_state(state))
}

/// The gateway's key: from the file, else from the environment. `Err` says what is wrong, never what was read.
pub(crate) fn gateway_key(file: Option<&Path>) -> Result<Option<GatewayKey>, &'static str> {
    let text = match file {
        Some(path) => read_secret(path)?,
        None => match std::env::var(KEY_VARIABLE) {
            Ok(text) => Zeroizing::new(text),
            Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => return Err("POSTERN_API_KEY is not text"),
        },
    };
    GatewayKey::new(&text).map(Some).ok_or("the key is empty or has characters that no key has")
}

/// A short text from a file. `Err` says what is wrong, never what was read.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>, &'static str> {
    let file = std::fs::File::open(path).map_err(|_| "the key file cannot be opened")?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_KEY_BYTES));
    file.take(u64::try_from(MAX_KEY_BYTES).unwrap_or(u64::MAX))
        .read_to_string(&mut text)
        .map_err(|_| "the key file is not text")?;
    if text.len() == MAX_KEY_BYTES { Err("the key file is too large") } else { Ok(text) }
}

const KEY_VARIABLE: &str = "POSTERN_API_KEY";
const MAX_KEY_BYTES: usize = 8 * 1024;
