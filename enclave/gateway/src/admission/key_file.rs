//! Issued keys from a file: digests of credentials, never the credentials.

use std::sync::Arc;

use ring::{digest, hmac};
use subtle::ConstantTimeEq;

use super::Key;
use crate::plaintext::Secret;

/// Length of a stored digest (SHA-256 or HMAC-SHA-256).
pub const DIGEST: usize = 32;
/// Longest credential looked at, in bytes; longer ones are unknown.
pub const MAX_CREDENTIAL: usize = 512;

/// How a stored digest was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// HMAC-SHA-256 of the credential under the pepper.
    HmacSha256,
    /// SHA-256 of the credential: enough for random keys of 128 bits and more.
    Sha256,
}

/// All issued keys, sorted by digest.
#[derive(Default)]
pub struct KeyTable {
    plain: Vec<([u8; DIGEST], Arc<Key>)>,
    peppered: Vec<([u8; DIGEST], Arc<Key>)>,
    pepper: Option<hmac::Key>,
}

impl KeyTable {
    /// An empty table; `pepper` is needed for keys of [`Scheme::HmacSha256`].
    pub fn new(pepper: Option<&Secret<Vec<u8>>>) -> Self {
        let pepper = pepper.map(|pepper| hmac::Key::new(hmac::HMAC_SHA256, pepper.expose()));
        Self { plain: Vec::new(), peppered: Vec::new(), pepper }
    }

    /// Adds a key; false if its digest is there already.
    pub fn insert(&mut self, scheme: Scheme, digest: [u8; DIGEST], key: Arc<Key>) -> bool {
        let table = match scheme {
            Scheme::HmacSha256 => &mut self.peppered,
            Scheme::Sha256 => &mut self.plain,
        };
        match table.binary_search_by(|(own, _)| own.cmp(&digest)) {
            Ok(_) => false,
            Err(place) => {
                table.insert(place, (digest, key));
                true
            }
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.plain.len().saturating_add(self.peppered.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key with this public id: for questions about a key, never for letting it in.
    pub fn with_id(&self, id: &str) -> Option<&Key> {
        let all = self.plain.iter().chain(&self.peppered);
        all.map(|(_, key)| key.as_ref()).find(|key| *key.id == *id)
    }

    /// The key a credential belongs to.
    ///
    /// What is compared is a digest that the caller cannot choose; the last comparison takes the same time whatever the
    /// bytes are.
    pub fn find(&self, credential: &[u8]) -> Option<Arc<Key>> {
        if credential.is_empty() || credential.len() > MAX_CREDENTIAL {
            return None;
        }
        if let Some(pepper) = self.pepper.as_ref().filter(|_| !self.peppered.is_empty()) {
            let found = search(&self.peppered, hmac::sign(pepper, credential).as_ref());
            if found.is_some() {
                return found;
            }
        }
        if self.plain.is_empty() {
            return None;
        }
        search(&self.plain, digest::digest(&digest::SHA256, credential).as_ref())
    }
}

fn search(table: &[([u8; DIGEST], Arc<Key>)], wanted: &[u8]) -> Option<Arc<Key>> {
    let prefix = wanted.get(..8)?;
    let place = table.partition_point(|(own, _)| own.get(..8).is_some_and(|own| own < prefix));
    let near = table.iter().skip(place).take_while(|(own, _)| own.get(..8) == Some(prefix));
    let mut found = None;
    for (own, key) in near {
        if bool::from(own.ct_eq(wanted)) {
            found = Some(Arc::clone(key));
        }
    }
    found
}
