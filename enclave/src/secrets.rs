//! Where secrets named in the configuration are read: once, at start, and never again.

use std::io::ErrorKind;

use gateway::Secret;
use gateway::config::{SecretError, SecretReference, SecretSource};

/// `file:PATH`, or `env:NAME`. A trailing line feed is not part of the secret.
///
/// Whoever starts the process can read both, so in a confidential VM neither is the way for real provider
/// keys: sealed provisioning is.
#[derive(Clone, Copy, Debug)]
pub struct References;

impl SecretSource for References {
    #[expect(clippy::disallowed_methods, reason = "start-up reads the secrets that its file names")]
    fn read(&self, reference: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
        let mut bytes = match reference.parts() {
            Some(("file", path)) => std::fs::read(path).map_err(|error| {
                if error.kind() == ErrorKind::NotFound {
                    SecretError::Missing
                } else {
                    SecretError::Unreadable
                }
            })?,
            Some(("env", name)) => std::env::var_os(name).ok_or(SecretError::Missing)?.into_encoded_bytes(),
            _ => return Err(SecretError::UnknownScheme),
        };
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok(Secret::new(bytes))
    }
}
