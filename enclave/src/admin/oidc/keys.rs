//! The keys of one identity provider: stated in the configuration, or fetched from where that says.
//!
//! Fetched keys come through the host, over TLS that ends here. They are fetched again every ten minutes, and at once
//! when a token names a key that is not known, but never twice within half a minute, so that tokens which anybody can
//! make up cannot make the enclave ask without end. While the provider does not answer, the last keys count for a day.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway::Clock;
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::clock::ProcessClock;
use crate::config::ServiceUrl;

/// How often keys are fetched.
const EVERY: Duration = Duration::from_mins(10);
/// Seconds between two tries at least.
const SELDOM_SECONDS: u64 = 30;
/// Seconds that keys count which could not be fetched again.
const STALE_SECONDS: u64 = 24 * 60 * 60;
/// How long a token with an unknown key waits for the provider.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most keys of a provider.
const MOST: usize = 64;

/// See the module documentation.
pub(super) struct KeyRing {
    url: Option<ServiceUrl>,
    known: Mutex<Known>,
    wanted: Notify,
    tries: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    keys: Option<Arc<JwkSet>>,
    /// When they were fetched, seconds since 1970.
    at: u64,
    /// When that was tried last.
    tried: u64,
}

impl KeyRing {
    fn new(url: Option<ServiceUrl>, keys: Option<JwkSet>) -> Self {
        let known = Mutex::new(Known { keys: keys.map(Arc::new), ..Known::default() });
        Self { url, known, wanted: Notify::new(), tries: watch::Sender::new(0) }
    }

    /// Keys that the configuration states.
    ///
    /// # Errors
    /// What they must be.
    pub(super) fn stated(text: &str) -> Result<Self, &'static str> {
        Ok(Self::new(None, Some(parse(text.as_bytes())?)))
    }

    /// Keys that are fetched from there.
    pub(super) fn fetched_from(url: ServiceUrl) -> Self {
        Self::new(Some(url), None)
    }

    /// The keys that count at this time, in seconds since 1970.
    pub(super) fn at(&self, now: u64) -> Option<Arc<JwkSet>> {
        let known = self.known();
        let counts = self.url.is_none() || now.saturating_sub(known.at) <= STALE_SECONDS;
        known.keys.clone().filter(|_| counts)
    }

    /// Asks the provider, if it was not asked a moment ago, and waits a while for it. False: nothing can have changed.
    pub(super) async fn ask_again(&self, now: u64) -> bool {
        if self.url.is_none() || now < self.known().tried.saturating_add(SELDOM_SECONDS) {
            return false;
        }
        let mut tries = self.tries.subscribe();
        self.wanted.notify_one();
        timeout(PATIENCE, tries.changed()).await.is_ok()
    }

    /// Fetches, again and again. `changed` hears of other keys than before. Never ends, unless the keys are stated.
    pub(super) async fn follow(
        &self,
        fetch: impl AsyncFn(&ServiceUrl) -> Option<Vec<u8>>,
        changed: impl Fn(),
    ) {
        let Some(url) = &self.url else { return };
        loop {
            let fetched = fetch(url).await.and_then(|bytes| parse(&bytes).ok());
            let there = fetched.is_some();
            if self.take(fetched, ProcessClock::shared().now().unix_seconds()) {
                changed();
            }
            // Whoever asked while these were on their way has them now: the wish is met, not kept for another fetch.
            std::pin::pin!(self.wanted.notified()).as_mut().enable();
            self.tries.send_modify(|tries| *tries = tries.wrapping_add(1));
            let seldom = Duration::from_secs(SELDOM_SECONDS);
            if there {
                timeout(EVERY, self.wanted.notified()).await.ok();
            } else {
                sleep(seldom).await;
            }
        }
    }

    fn take(&self, fetched: Option<JwkSet>, now: u64) -> bool {
        let mut known = self.known();
        known.tried = now;
        let Some(keys) = fetched else { return false };
        known.at = now;
        let changed = known.keys.as_deref() != Some(&keys);
        known.keys = Some(Arc::new(keys));
        changed
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A set of public keys.
fn parse(bytes: &[u8]) -> Result<JwkSet, &'static str> {
    let mut set: JwkSet = serde_json::from_slice(bytes).map_err(|_| "a JSON Web Key Set as text")?;
    // A shared secret is nobody's public key.
    set.keys.retain(|key| !matches!(key.algorithm, AlgorithmParameters::OctetKey(_)));
    if set.keys.is_empty() || set.keys.len() > MOST {
        return Err("1 to 64 public keys in jwks");
    }
    Ok(set)
}
