//! AWS Signature Version 4 (AWS General Reference, "Create a signed AWS API request"): the headers that sign one request.
//! Pure: credentials and time are arguments.

use ring::digest::{SHA256, digest};
use ring::hmac;
use zeroize::Zeroizing;

use crate::clock::Civil;
use crate::deployment::AwsKeys;
use crate::provider::path::push_encoded;

/// What is signed.
pub(super) struct Unsigned<'a> {
    /// HTTP method.
    pub(super) method: &'a str,
    /// Path exactly as it is sent, percent-encoded.
    pub(super) path: &'a str,
    /// Header names in lower case and values, sorted by name; `host` and `x-amz-date` among them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// SHA-256 of the body, lower-case hexadecimal.
    pub(super) payload_sha256: &'a str,
}

/// Where a signature is valid.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// `us-east-1` and the like.
    pub(super) region: &'a str,
    /// `bedrock`.
    pub(super) service: &'a str,
}

/// The value of `authorization`. `timestamp` is [`timestamp`]'s, as in `x-amz-date`.
pub(super) fn authorization(
    request: &Unsigned<'_>,
    scope: Scope<'_>,
    keys: &AwsKeys,
    timestamp: &str,
) -> Zeroizing<String> {
    let Scope { region, service } = scope;
    let date = timestamp.get(..8).unwrap_or_default();
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let signed = names.join(";");
    let headers: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let headers = headers.concat();
    let canonical = format!(
        "{}\n{}\n\n{headers}\n{signed}\n{}",
        request.method,
        encoded_path(request.path),
        request.payload_sha256,
    );
    let credential_scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{timestamp}\n{credential_scope}\n{}", sha256(canonical.as_bytes()));
    let first = Zeroizing::new(format!("AWS4{}", keys.secret_access_key.expose()));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for step in [date, region, service, "aws4_request"] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, step.as_bytes()).as_ref());
    }
    let signature = hex(hmac::sign(&key, to_sign.as_bytes()).as_ref());
    Zeroizing::new(format!(
        "AWS4-HMAC-SHA256 Credential={}/{credential_scope}, SignedHeaders={signed}, Signature={signature}",
        keys.access_key_id,
    ))
}

/// Lower-case hexadecimal SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// `YYYYMMDDTHHMMSSZ` for seconds since 1970.
pub(super) fn timestamp(unix_seconds: u64) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::at(unix_seconds);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The path encoded once more, as every service but S3 wants it signed.
fn encoded_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len().saturating_mul(2));
    for byte in path.bytes() {
        push_encoded(byte, byte == b'/', &mut out);
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

#[cfg(test)]
mod tests;
