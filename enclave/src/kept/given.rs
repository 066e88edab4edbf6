//! What an operator has given, sealed in the state, so that the same enclave starts without him.
//!
//! One record for each replica, sealed twice: as every record, under keys that the processor derives for this measurement
//! (the configuration takes care of that), and within under a key that also follows from the digest of the enclave's
//! configuration file, of every character of it: whom the enclave admits does not show in the public configuration, and a
//! host that could write itself in there would use the operator's accounts. So another release, another machine and another
//! configuration find nothing they can open; a store that goes back gives at most what the operator once gave for the same
//! configuration.

use attestation::digest::Sha384;
use gateway::Secret;
use state::frame::FrameSealer;
use state::{Change, Expect, RecordId, RootKey, StateError, Store, Table};

use crate::secrets::Given;

/// First byte of a record: what follows is the digest of the configuration file, the number of the message, and the sealed
/// rest.
const FORMAT: u8 = 1;
/// The kind of the one frame in a record.
const FRAME: u8 = 1;

/// The place in the state for what an operator gives.
pub struct GivenRecord {
    store: Store,
    /// Follows from the root key, and opens nothing else.
    root: RootKey,
    id: RecordId,
}

/// What was opened.
pub struct Reopened {
    /// What the operator gave.
    pub given: Given,
    /// Digest of the public configuration that was in force with it.
    pub in_force: Sha384,
}

/// Why nothing was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// It was given for another configuration than the one that the enclave was started with.
    Configuration,
    /// The store says why.
    State(StateError),
}

impl From<StateError> for Unopened {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl GivenRecord {
    /// The place for the replica of this name.
    ///
    /// # Errors
    /// [`StateError::Id`] if the name is too long.
    pub fn new(store: Store, root: &RootKey, replica: &str) -> Result<Self, StateError> {
        let root = RootKey::new(*root.derive(b"what the operator gives"));
        Ok(Self { store, root, id: RecordId::new(format!("given/{replica}"))? })
    }

    /// Keeps what was given, in place of what was given before. When it returns, it survives a crash.
    ///
    /// # Errors
    /// What the store says; [`StateError::Unavailable`] may mean that it is kept all the same.
    pub async fn keep(&self, given: &Given, in_force: &Sha384) -> Result<(), StateError> {
        let file = given.file().unwrap_or(*in_force);
        let bytes = given.to_bytes();
        let plain = Secret::new([in_force.as_bytes().as_slice(), bytes.expose()].concat());
        let sealed = self.sealer(&file)?.seal(FRAME, given.number(), plain.expose())?;
        let mut value = vec![FORMAT];
        value.extend_from_slice(file.as_bytes());
        value.extend_from_slice(&given.number().to_be_bytes());
        value.extend_from_slice(&sealed);
        let change = Change::put(Table::ProviderCredentials, self.id.clone(), Expect::Any, value);
        self.store.commit(vec![change]).await.map(drop)
    }

    /// What was given to the enclave with this configuration file.
    ///
    /// # Errors
    /// [`Unopened`].
    pub async fn open(&self, file: &Sha384) -> Result<Option<Reopened>, Unopened> {
        let Some(record) = self.store.get(Table::ProviderCredentials, &self.id).await? else {
            return Ok(None);
        };
        let (format, rest) = record.value.split_first().ok_or(StateError::Damaged)?;
        if *format != FORMAT {
            return Err(StateError::Format.into());
        }
        let (of, rest) = rest.split_first_chunk::<48>().ok_or(StateError::Damaged)?;
        if of != file.as_bytes() {
            return Err(Unopened::Configuration);
        }
        let (number, sealed) = rest.split_first_chunk::<8>().ok_or(StateError::Damaged)?;
        let plain = Secret::new(self.sealer(file)?.open(FRAME, u64::from_be_bytes(*number), sealed)?);
        let (in_force, bytes) = plain.expose().split_first_chunk::<48>().ok_or(StateError::Damaged)?;
        let bytes = Secret::new(bytes.to_vec());
        let given = Given::from_bytes(&bytes, *file).map_err(|_| StateError::Damaged)?;
        Ok(Some(Reopened { given, in_force: Sha384::new(*in_force) }))
    }

    /// Deletes what was kept, if anything was.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forget(&self) -> Result<(), StateError> {
        if self.store.get(Table::ProviderCredentials, &self.id).await?.is_none() {
            return Ok(());
        }
        let change = Change::delete(Table::ProviderCredentials, self.id.clone(), Expect::Any);
        self.store.commit(vec![change]).await.map(drop)
    }

    fn sealer(&self, file: &Sha384) -> Result<FrameSealer, StateError> {
        FrameSealer::new(&self.root, &format!("given under {}", file.to_hex()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn digest(text: &str) -> Sha384 {
        Sha384::of(text.as_bytes())
    }

    fn given(number: u64) -> Given {
        let secrets = BTreeMap::from([("vendor".to_owned(), b"CANARY-IN-A-SECRET".to_vec())]);
        Given::new(number, secrets, Some("version = 1"), digest("file"))
    }

    fn record(store: &Store, root: u8, replica: &str) -> GivenRecord {
        GivenRecord::new(store.clone(), &RootKey::new([root; 32]), replica).unwrap()
    }

    async fn raw(store: &Store) -> Vec<u8> {
        let id = RecordId::new("given/a").unwrap();
        store.get(Table::ProviderCredentials, &id).await.unwrap().unwrap().value.to_vec()
    }

    async fn put(store: &Store, value: Vec<u8>) {
        let id = RecordId::new("given/a").unwrap();
        let change = Change::put(Table::ProviderCredentials, id, Expect::Any, value);
        store.commit(vec![change]).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_given_opens_under_its_configuration_and_under_no_other() {
        let store = Store::memory(&RootKey::new([1; 32]));
        let own = record(&store, 1, "a");
        assert!(own.open(&digest("file")).await.unwrap().is_none());
        own.keep(&given(7), &digest("in force")).await.unwrap();
        let again = own.open(&digest("file")).await.unwrap().unwrap();
        assert_eq!((again.given.number(), again.given.secrets()), (7, 1));
        assert_eq!(again.given.gateway(), Some("version = 1"));
        assert_eq!(again.in_force, digest("in force"));
        assert_eq!(again.given.to_bytes().expose(), given(7).to_bytes().expose());

        assert_eq!(own.open(&digest("other")).await.err(), Some(Unopened::Configuration));
        assert!(record(&store, 1, "b").open(&digest("file")).await.unwrap().is_none(), "of another replica");
        let damaged = Some(Unopened::State(StateError::Damaged));
        assert_eq!(record(&store, 2, "a").open(&digest("file")).await.err(), damaged, "another root key");

        own.forget().await.unwrap();
        own.forget().await.unwrap();
        assert!(own.open(&digest("file")).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_record_that_names_another_configuration_does_not_open_for_it() {
        let store = Store::memory(&RootKey::new([1; 32]));
        let own = record(&store, 1, "a");
        own.keep(&given(7), &digest("in force")).await.unwrap();
        let good = raw(&store).await;
        assert!(!good.windows(6).any(|part| part == b"CANARY"), "sealed within the record too");
        // Code that took the digest in the record for its word would open it here.
        let mut renamed = good.clone();
        renamed[1..49].copy_from_slice(digest("other").as_bytes());
        put(&store, renamed).await;
        let damaged = Some(Unopened::State(StateError::Damaged));
        assert_eq!(own.open(&digest("other")).await.err(), damaged);

        for length in 0..good.len() {
            put(&store, good[..length].to_vec()).await;
            assert!(own.open(&digest("file")).await.is_err(), "{length} bytes");
        }
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            put(&store, changed).await;
            assert!(own.open(&digest("file")).await.is_err(), "byte {at}");
        }
        put(&store, good).await;
        assert!(own.open(&digest("file")).await.unwrap().is_some(), "the control");
    }

    #[tokio::test]
    async fn the_newest_message_is_kept_with_the_routing_that_came_before() {
        let store = Store::memory(&RootKey::new([1; 32]));
        let own = record(&store, 1, "a");
        own.keep(&given(7), &digest("in force")).await.unwrap();
        let next = given(7).followed_by(8, BTreeMap::new(), None, digest("file"));
        own.keep(&next, &digest("in force")).await.unwrap();
        let again = own.open(&digest("file")).await.unwrap().unwrap();
        assert_eq!((again.given.number(), again.given.secrets()), (8, 0));
        assert_eq!(again.given.gateway(), Some("version = 1"));
        assert!(Given::default().file().is_none() && again.given.file() == Some(digest("file")));
    }
}
