//! What a checked configuration becomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::hmac;

use super::{ConfigError, Invalid};
use crate::admission::key_file::KeyTable;
use crate::audit::RequestId;
use crate::cache::Caches;
use crate::governance::Governance;
use crate::guardrail::Guardrails;
use crate::prompt::Prompts;
use crate::route::Models;
use crate::settle::Books;
use crate::shadow::Shadows;

/// Everything the stages need. Immutable but for the books, the caches and a counter; share it in an `Arc`.
pub struct Gateway {
    pub(super) keys: KeyTable,
    pub(super) governance: Option<Arc<Governance>>,
    pub(super) models: Models,
    pub(super) guardrails: Guardrails,
    pub(super) caches: Option<Arc<Caches>>,
    pub(super) prompts: Prompts,
    pub(super) books: Arc<Books>,
    pub(super) shadows: Arc<Shadows>,
    pub(super) max_body_bytes: usize,
    pub(super) max_answer_bytes: usize,
    pub(super) public: serde_json::Value,
    pub(super) seed: u64,
    pub(super) secret: Arc<hmac::Key>,
    pub(super) sequence: Arc<AtomicU64>,
}

impl Gateway {
    /// Gives request ids and routing draws a start of their own. The shell passes fresh random bits at boot.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Gives placeholders and the cache a key of their own. The shell passes fresh random bytes at boot.
    #[must_use]
    pub fn keyed(mut self, key: &[u8; 32]) -> Self {
        self.secret = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key));
        self
    }

    /// Takes the place of `before` while the process runs: goes on counting where it stopped.
    #[must_use]
    pub fn succeeding(mut self, before: &Self) -> Self {
        self.seed = before.seed;
        self.secret = Arc::clone(&before.secret);
        self.sequence = Arc::clone(&before.sequence);
        self.books = Arc::clone(&before.books);
        self.shadows = Arc::clone(&before.shadows);
        self.governance.clone_from(&before.governance);
        self.models.keep_health(&before.models);
        self
    }

    /// Settles into these books, which the shell reads.
    #[must_use]
    pub fn settling_into(mut self, books: &Arc<Books>) -> Self {
        self.books = Arc::clone(books);
        self
    }

    /// Lets in keys that are issued through the admin API, and holds them to their budgets.
    #[must_use]
    pub fn governed(mut self, governance: Arc<Governance>) -> Self {
        self.governance = Some(governance);
        self
    }

    /// Issued keys and what they may spend, if there are any.
    pub const fn governance(&self) -> Option<&Arc<Governance>> {
        self.governance.as_ref()
    }

    /// What clients may know of the configuration: no keys, no credentials, no references to either.
    pub const fn public_config(&self) -> &serde_json::Value {
        &self.public
    }

    /// Audit records and metrics.
    pub const fn books(&self) -> &Arc<Books> {
        &self.books
    }

    /// Calls to deployments on trial, for the shell to make.
    pub const fn shadows(&self) -> &Arc<Shadows> {
        &self.shadows
    }

    /// An id for a request that was refused before it was opened.
    pub fn next_request_id(&self) -> RequestId {
        RequestId::new(self.seed, self.draw())
    }

    /// Most bytes of any request body.
    pub const fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// The names that clients may ask for.
    pub const fn models(&self) -> &Models {
        &self.models
    }

    /// Whether a guardrail asks a service outside, so that there must be a way out.
    pub fn asks_services(&self) -> bool {
        self.guardrails.ask_services()
    }

    /// What tells this process from others of its kind.
    pub(crate) const fn number(&self) -> u64 {
        crate::provider::builtin::mix(self.seed)
    }

    pub(crate) const fn keys(&self) -> &KeyTable {
        &self.keys
    }

    pub(crate) const fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// What is wrong with taking the place of `before`: versions of stored prompts never change.
    pub fn contradicts(&self, before: &Self) -> Option<ConfigError> {
        let expected = "versions that say what they said: what changes is another version".to_owned();
        let problem = Invalid::Value { expected };
        self.prompts.rewritten_since(&before.prompts).map(|path| ConfigError { path, problem })
    }

    pub(crate) const fn guardrails(&self) -> &Guardrails {
        &self.guardrails
    }

    /// The caches, if there are any.
    pub const fn caches(&self) -> Option<&Arc<Caches>> {
        self.caches.as_ref()
    }

    /// The key of placeholders and of what caches store things under.
    pub(crate) fn secret(&self) -> &hmac::Key {
        &self.secret
    }

    pub(crate) const fn max_answer_bytes(&self) -> usize {
        self.max_answer_bytes
    }

    /// A number that nobody outside can guess: for placeholders.
    pub(crate) fn secret_draw(&self) -> u64 {
        let count = self.sequence.fetch_add(1, Ordering::Relaxed);
        let tag = hmac::sign(&self.secret, &count.to_be_bytes());
        tag.as_ref().iter().take(8).fold(0, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte))
    }

    /// A number that differs from call to call and looks random.
    pub(crate) fn draw(&self) -> u64 {
        let count = self.sequence.fetch_add(1, Ordering::Relaxed);
        crate::provider::builtin::mix(self.seed ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}
