//! Whose signature provisioning needs.

use std::fmt;
use std::str::FromStr;

use attestation::digest::Sha256;
use serde::Deserialize;

/// An Ed25519 public key, written `ed25519:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OperatorKey([u8; 32]);

impl OperatorKey {
    /// The key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for OperatorKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A digest and this key are written alike: 32 bytes in hex.
        let hex = text.strip_prefix("ed25519:").and_then(|hex| Sha256::from_hex(hex).ok());
        hex.map(|bytes| Self(*bytes.as_bytes())).ok_or("expected `ed25519:` and 64 hex digits")
    }
}

impl<'de> Deserialize<'de> for OperatorKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for OperatorKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ed25519:{}", Sha256::new(self.0).to_hex())
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::OperatorKey;

    #[test]
    fn has_one_form() {
        let text = format!("ed25519:{}", "0a".repeat(32));
        assert_eq!(text.parse::<OperatorKey>().unwrap().to_string(), text);
        for wrong in ["", "ed25519:", &text[8..], &text[..71], &format!("{text}0"), "rsa:0a"] {
            assert!(wrong.parse::<OperatorKey>().is_err(), "{wrong}");
        }
    }
}
