//! Where secrets named in the configuration are read: once, at start, and never again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

use attestation::digest::Sha384;
use attestation::provisioning::{Provisioning, ProvisioningError};
use gateway::Secret;
use gateway::config::problems::NoSecrets;
use gateway::config::{GatewayConfig, Invalid, SecretError, SecretReference, SecretSource};

/// The scheme of secrets that an operator gives over the provisioning channel.
const SEALED: &str = "sealed";

/// What an operator has given: the last message that was taken.
#[derive(Clone, Default)]
pub struct Given {
    number: u64,
    /// By the name after `sealed:`.
    secrets: Arc<BTreeMap<String, Secret<Vec<u8>>>>,
    gateway: Option<Arc<str>>,
    file: Option<Sha384>,
}

impl Given {
    /// What a message with this number gives, to an enclave whose file has this digest.
    pub fn new(number: u64, secrets: BTreeMap<String, Vec<u8>>, gateway: Option<&str>, file: Sha384) -> Self {
        let secrets = secrets.into_iter().map(|(name, secret)| (name, Secret::new(secret))).collect();
        Self { number, secrets: Arc::new(secrets), gateway: gateway.map(Arc::from), file: Some(file) }
    }

    /// What a further message gives. A `[gateway]` that came with a message before stays in force until another comes.
    #[must_use]
    pub fn followed_by(
        &self,
        number: u64,
        secrets: BTreeMap<String, Vec<u8>>,
        gateway: Option<&str>,
        file: Sha384,
    ) -> Self {
        Self::new(number, secrets, gateway.or(self.gateway.as_deref()), file)
    }

    /// Number of the message; 0 if there was none.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The `[gateway]` in place of the file's, if one was given.
    pub fn gateway(&self) -> Option<&str> {
        self.gateway.as_deref()
    }

    /// Digest of the file with which the enclave ran when it was given this; nothing if nothing was given.
    pub const fn file(&self) -> Option<Sha384> {
        self.file
    }

    /// All of it as one text, in the form in which it came.
    pub fn to_bytes(&self) -> Secret<Vec<u8>> {
        let secrets = self.secrets.iter().map(|(name, own)| (name.clone(), own.expose().clone())).collect();
        let gateway = self.gateway().map(str::to_owned);
        Secret::new(Provisioning { number: self.number, secrets, gateway, root_key: None }.encode())
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ProvisioningError::Malformed`].
    pub fn from_bytes(bytes: &Secret<Vec<u8>>, file: Sha384) -> Result<Self, ProvisioningError> {
        let Provisioning { number, secrets, gateway, .. } = Provisioning::decode(bytes.expose())?;
        Ok(Self::new(number, secrets, gateway.as_deref(), file))
    }

    /// How many secrets were given.
    pub fn secrets(&self) -> usize {
        self.secrets.len()
    }

    /// Where secrets are read from since.
    pub fn references(&self) -> References {
        References { given: self.clone() }
    }
}

/// `file:PATH`, `env:NAME` or `sealed:NAME`. A trailing line feed of a file or variable is not part of the secret.
///
/// Whoever starts the process can read files and its environment, so in a confidential VM neither is the way for real
/// provider keys: `sealed` is.
#[derive(Clone, Default)]
pub struct References {
    given: Given,
}

impl std::fmt::Debug for References {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("References").field("sealed", &self.given.secrets.keys()).finish()
    }
}

impl SecretSource for References {
    #[expect(clippy::disallowed_methods, reason = "start-up reads the secrets that its file names")]
    fn read(&self, reference: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
        let mut bytes = match reference.parts() {
            Some((SEALED, name)) => {
                let secret = self.given.secrets.get(name).ok_or(SecretError::Missing)?;
                return Ok(Secret::new(secret.expose().clone()));
            }
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

/// Reads secrets, and puts something in the place of those that an operator has yet to give, so that the rest of the
/// configuration can be judged and published before.
pub struct Recording<'s> {
    source: &'s dyn SecretSource,
    stand_in: NoSecrets,
    seen: RefCell<BTreeMap<String, bool>>,
}

impl<'s> Recording<'s> {
    /// Reads from `source` for one configuration.
    pub fn new(source: &'s dyn SecretSource, config: &GatewayConfig) -> Self {
        Self { source, stand_in: NoSecrets::of(config), seen: RefCell::default() }
    }

    /// A secret of so many bytes or more, where it is one: not so where an operator has yet to give it, or where secrets
    /// are not read at all.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_long(
        &self,
        reference: &SecretReference,
        shortest: usize,
    ) -> Result<Secret<Vec<u8>>, Invalid> {
        let secret = self.read(reference).map_err(|why| Invalid::Secret { why })?;
        let sealed = reference.parts().and_then(|(scheme, name)| (scheme == SEALED).then_some(name));
        let given = sealed.is_none_or(|name| self.seen.borrow().get(name).copied().unwrap_or(false));
        if given && self.source.are_real() && secret.expose().len() < shortest {
            return Err(Invalid::Value { expected: format!("at least {shortest} bytes") });
        }
        Ok(secret)
    }

    /// The names of all sealed secrets that were asked for, and of those among them that are not there.
    pub fn into_names(self) -> (BTreeSet<String>, BTreeSet<String>) {
        let seen = self.seen.into_inner();
        let missing = seen.iter().filter(|(_, there)| !**there).map(|(name, _)| name.clone()).collect();
        (seen.into_keys().collect(), missing)
    }
}

impl SecretSource for Recording<'_> {
    fn read(&self, reference: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
        let read = self.source.read(reference);
        let Some((SEALED, name)) = reference.parts() else { return read };
        self.seen.borrow_mut().insert(name.to_owned(), read.is_ok());
        read.or_else(|_| self.stand_in.read(reference))
    }

    /// Not once something stood in for a secret that the operator has not sent yet: then all is read once more.
    fn are_real(&self) -> bool {
        self.source.are_real() && self.seen.borrow().values().all(|given| *given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Short;

    impl SecretSource for Short {
        fn read(&self, reference: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
            match reference.parts() {
                Some(("file", path)) => Ok(Secret::new(vec![1; path.len()])),
                _ => Err(SecretError::Missing),
            }
        }
    }

    #[test]
    fn st_20_a_short_secret_of_a_receiver_is_refused() {
        let config: GatewayConfig =
            gateway::config::parse("version = 1\n[admission]\n[deployments]\n[models]\n").unwrap();
        let recording = Recording::new(&Short, &config);
        let read = |text: &str| {
            let reference: SecretReference = serde_json::from_value(text.into()).unwrap();
            recording.read_long(&reference, 32).map(|own| own.expose().len())
        };
        assert_eq!(read(&format!("file:{}", "a".repeat(32))), Ok(32));
        let expected = "at least 32 bytes".to_owned();
        assert_eq!(read(&format!("file:{}", "a".repeat(31))), Err(Invalid::Value { expected }));
        assert!(read("env:MISSING").is_err());
        assert!(read("sealed:later").is_ok(), "its operator has yet to give it");
    }

    #[test]
    fn an_account_that_its_operator_has_yet_to_give_is_not_looked_at() {
        let text = "version = 1\n[admission]\nvirtual_keys = true\n[deployments.d]\nprovider = \"vertex\"\nmodel = \"gemini-2.5-pro\"\n\
                    project = \"acme-models\"\nregion = \"global\"\ncredential = \"sealed:account\"\n[models.m]\ndeployments = [\"d\"]\n";
        let config: GatewayConfig = gateway::config::parse(text).unwrap();
        let recording = Recording::new(&Short, &config);
        let built = gateway::config::build(&config, &recording).map(drop);
        assert_eq!(built, Ok(()));
        assert_eq!(recording.into_names().1, BTreeSet::from(["account".to_owned()]));
        // Control: one that is there is looked at.
        let there = text.replace("sealed:account", "file:account");
        let config: GatewayConfig = gateway::config::parse(&there).unwrap();
        assert!(gateway::config::build(&config, &Recording::new(&Short, &config)).is_err());
    }
}
