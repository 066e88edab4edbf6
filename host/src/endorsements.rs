//! Vendor endorsements for the enclave: fetched when asked for, cached on disk, never looked into.
//!
//! AMD limits how often one chip's certificate may be fetched, so the cache is what makes restarts possible.
//! Several requests for the same document wait for one fetch. A vendor that cannot be reached is left alone
//! for a few seconds, and an old document is handed over meanwhile.

mod cache;
mod fetch;
mod location;

use std::{
    collections::HashMap,
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use link::{EndorsementDocument, EndorsementQuery, Unavailability};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    time::{Instant, timeout},
};

use crate::{
    config,
    log::{Event, Log},
};
use cache::Cache;
use fetch::{Client, FetchError};
use location::Location;

/// The fetcher and its cache, shared by all workers.
pub struct Endorsements {
    vendors: location::Vendors,
    cache: Cache,
    client: Client,
    fetch: Duration,
    refresh: Duration,
    stale: Duration,
    /// One entry for each document being asked for now.
    asked: Mutex<HashMap<String, Arc<AsyncMutex<Pause>>>>,
    fetches: Semaphore,
    log: Arc<Log>,
}

/// When a document may be fetched again after a failure.
#[derive(Default)]
struct Pause(Option<(Instant, Unavailability)>);

impl Endorsements {
    /// From the configuration; makes the cache folder.
    ///
    /// # Errors
    /// When a base URL is not one, or the folder cannot be made.
    pub fn new(config: &config::Endorsements, log: Arc<Log>) -> Result<Self, EndorsementsError> {
        Ok(Self {
            vendors: location::Vendors::new(config).map_err(EndorsementsError::Url)?,
            cache: Cache::open(&config.cache).map_err(|error| {
                EndorsementsError::Cache(config.cache.display().to_string(), error.kind())
            })?,
            client: Client::new(),
            fetch: Duration::from_secs(config.fetch_seconds),
            refresh: Duration::from_secs(config.refresh_seconds),
            stale: Duration::from_secs(config.stale_seconds),
            asked: Mutex::default(),
            fetches: Semaphore::new(FETCHES),
            log,
        })
    }

    /// The encoded [`EndorsementDocument`], from the cache or the vendor.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(&self, query: &EndorsementQuery) -> Result<Vec<u8>, Unavailability> {
        let location = self.vendors.locate(query);
        let (outcome, result) = self.look_up(&location).await;
        let bytes = result.as_ref().map_or(0, |document| u64::try_from(document.len()).unwrap_or(u64::MAX));
        self.log.event(Event::Endorsement { kind: location.kind, outcome, bytes });
        result
    }

    async fn look_up(&self, location: &Location) -> (&'static str, Result<Vec<u8>, Unavailability>) {
        let gate = match self.gate(&location.key) {
            Ok(gate) => gate,
            Err(busy) => return (busy.code(), Err(busy)),
        };
        let mut pause = gate.lock().await;
        let cached = self.cache.load(&location.key).await;
        if let Some(found) = &cached
            && (location.immutable || found.age < self.refresh)
        {
            return ("cached", Ok(found.document.clone()));
        }
        let fetched = match pause.0 {
            Some((until, reason)) if Instant::now() < until => Err(reason),
            _ => self.fetch(location, &mut pause).await,
        };
        match (fetched, cached) {
            (Ok(document), _) => {
                // A full disk costs the cache, not the answer.
                drop(self.cache.store(&location.key, &document).await);
                ("fresh", Ok(document))
            }
            (Err(_), Some(found)) if found.age < self.stale => ("stale", Ok(found.document)),
            (Err(reason), _) => (reason.code(), Err(reason)),
        }
    }

    /// The lock that makes callers for one document wait for one fetch.
    fn gate(&self, key: &str) -> Result<Arc<AsyncMutex<Pause>>, Unavailability> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = asked.get(key) {
            let waiting = Arc::strong_count(gate) > WAITING;
            return if waiting { Err(Unavailability::Busy) } else { Ok(Arc::clone(gate)) };
        }
        if asked.len() >= ASKED {
            // Nobody holds these; what is lost is only that a failed one is tried again sooner.
            asked.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        if asked.len() >= ASKED {
            return Err(Unavailability::Busy);
        }
        let gate = Arc::<AsyncMutex<Pause>>::default();
        asked.insert(key.to_owned(), Arc::clone(&gate));
        Ok(gate)
    }

    async fn fetch(&self, location: &Location, pause: &mut Pause) -> Result<Vec<u8>, Unavailability> {
        let attempt = async {
            let _permit = self.fetches.acquire().await.map_err(|_| FetchError::Failed)?;
            self.client.get(&location.url, location.chain_header).await
        };
        let (reason, retry_after) = match timeout(self.fetch, attempt).await {
            Ok(Ok(found)) => {
                let document = EndorsementDocument { issuer_chain: &found.chain, body: &found.body };
                match document.encode() {
                    Ok(document) => {
                        pause.0 = None;
                        return Ok(document);
                    }
                    Err(_) => (Unavailability::TooLarge, None),
                }
            }
            Ok(Err(FetchError::Failed)) => (Unavailability::Failed, None),
            Ok(Err(FetchError::NotFound)) => (Unavailability::NotFound, None),
            Ok(Err(FetchError::TooLarge)) => (Unavailability::TooLarge, None),
            Ok(Err(FetchError::TooMany { retry_after })) => (Unavailability::Busy, retry_after),
            Err(_) => (Unavailability::TimedOut, None),
        };
        let wait = retry_after.unwrap_or(PAUSE).clamp(PAUSE, LONGEST_PAUSE);
        pause.0 = Some((Instant::now() + wait, reason));
        Err(reason)
    }

    /// Where the cache is.
    pub fn cache(&self) -> &Path {
        self.cache.folder()
    }
}

impl fmt::Debug for Endorsements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endorsements").field("cache", &self.cache()).finish_non_exhaustive()
    }
}

/// Why endorsements cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndorsementsError {
    /// The cache folder cannot be made or written.
    Cache(String, io::ErrorKind),
    /// The field that is no base URL.
    Url(&'static str),
}

/// Fetches at once, over all vendors.
const FETCHES: usize = 4;

/// Documents that can be asked for at once.
const ASKED: usize = 256;

/// Callers that may wait for one document.
const WAITING: usize = 64;

/// How long a vendor is left alone after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest pause a vendor can ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests;
