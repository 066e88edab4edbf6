//! Step 2, admit: who asks, and may they. The only maker of [`Admitted`].
//!
//! Two halves: [`authenticate`] sees the head only, before a byte of the body is read; [`admit`] adds what the body
//! says. Rate limits and budgets join [`admit`] and [`Hold`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::deployment::Exposure;
use crate::error::Error;
use crate::wire::{Request, RequestHead};

pub mod key_file;

use key_file::KeyTable;

/// Who asks: one issued key.
pub struct Key {
    /// Public name of the key, for audit records.
    pub id: Arc<str>,
    /// What it may use.
    pub models: AllowedModels,
    /// Most requests at the same time; unlimited if absent.
    pub max_in_flight: Option<u32>,
    /// How its requests are routed.
    pub rules: KeyRules,
    /// Requests now in flight.
    in_flight: AtomicU32,
}

/// How the requests of a key are routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRules {
    /// Its content may be exposed so far and no further.
    pub exposure_max: Exposure,
    /// Providers it may use; every one if absent.
    pub providers: Option<Vec<String>>,
    /// 0 to 9; lower is served first when something has to wait.
    pub priority: u8,
    /// Says how hard its questions are, in place of a guess.
    pub tier: Option<Level>,
    /// Whether it may ask how a decision was made.
    pub may_explain: bool,
}

/// Priority of a key that has none of its own.
pub const USUAL_PRIORITY: u8 = 5;

impl Default for KeyRules {
    fn default() -> Self {
        Self {
            exposure_max: Exposure::ProviderVisible,
            providers: None,
            priority: USUAL_PRIORITY,
            tier: None,
            may_explain: false,
        }
    }
}

/// How hard a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A greeting, a fact.
    Simple,
    /// A usual question.
    Medium,
    /// Needs care.
    Complex,
    /// Needs thought.
    Reasoning,
}

impl Level {
    /// As the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Medium => "medium",
            Self::Complex => "complex",
            Self::Reasoning => "reasoning",
        }
    }

    /// From the configuration's word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Simple, Self::Medium, Self::Complex, Self::Reasoning]
            .into_iter()
            .find(|own| own.as_str() == name)
    }
}

/// Models a key may use; a key without any may use none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedModels {
    /// Every configured model.
    Every,
    /// These model names.
    These(Vec<String>),
}

impl AllowedModels {
    /// Whether a model is among them.
    pub fn contains(&self, model: &str) -> bool {
        match self {
            Self::Every => true,
            Self::These(names) => names.iter().any(|name| name == model),
        }
    }
}

/// Proof that a known key asks. Made by [`authenticate`] only.
pub struct Authenticated {
    key: Arc<Key>,
}

impl Authenticated {
    /// Whose key.
    pub const fn key(&self) -> &Arc<Key> {
        &self.key
    }
}

/// Proof that this request may be answered. Made by [`admit`] only.
pub struct Admitted {
    request: Request,
    key: Arc<Key>,
    hold: Hold,
}

/// What an admitted request occupies until it ends, however it ends.
pub struct Hold {
    key: Arc<Key>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.key.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Key {
    /// A key that may use `models`.
    pub fn new(id: Arc<str>, models: AllowedModels, max_in_flight: Option<u32>) -> Self {
        Self { id, models, max_in_flight, rules: KeyRules::default(), in_flight: AtomicU32::new(0) }
    }

    /// The same key with rules of its own.
    #[must_use]
    pub fn with_rules(mut self, rules: KeyRules) -> Self {
        self.rules = rules;
        self
    }

    /// Requests now in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn hold(self: &Arc<Self>) -> Result<Hold, Error> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let hold = Hold { key: Arc::clone(self) };
        if self.max_in_flight.is_some_and(|most| before >= most) {
            return Err(Error::TooManyInFlight);
        }
        Ok(hold)
    }
}

impl Admitted {
    /// The request.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// Whose key.
    pub const fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Takes apart what later stages no longer need together.
    pub fn into_hold(self) -> Hold {
        self.hold
    }
}

/// Finds the one credential a request carries and the key it belongs to.
///
/// `authorization: Bearer`, `x-api-key`, `api-key` and `x-goog-api-key` are accepted on every path, `?key=` on Gemini's. Two different credentials are refused,
/// because two programs could disagree about which one counts.
pub fn authenticate(head: &RequestHead<'_>, keys: &KeyTable) -> Result<Authenticated, Error> {
    let mut found: Option<&[u8]> = None;
    let headers = head.headers.iter().map(|(name, value)| credential(name, value));
    for credential in headers.chain([Ok(key_of_query(head))]) {
        let Some(credential) = credential? else { continue };
        if found.is_some_and(|other| other != credential) {
            return Err(Error::AmbiguousCredentials);
        }
        found = Some(credential);
    }
    let credential = found.ok_or(Error::MissingCredentials)?;
    let key = keys.find(credential).ok_or(Error::CredentialUnknown)?;
    Ok(Authenticated { key })
}

/// Admits a parsed request of a known key.
pub fn admit(request: Request, authenticated: Authenticated) -> Result<Admitted, Error> {
    let Authenticated { key } = authenticated;
    if !key.models.contains(&request.model) {
        return Err(Error::ModelNotAllowed);
    }
    let hold = key.hold()?;
    Ok(Admitted { request, key, hold })
}

/// The credential in the query of Gemini's paths. Keys are plain text; what needs decoding is no key.
fn key_of_query<'v>(head: &RequestHead<'v>) -> Option<&'v [u8]> {
    let query = head.query.filter(|_| head.path.starts_with("/v1beta/"))?;
    query.split('&').find_map(|member| member.strip_prefix("key=")).map(str::as_bytes)
}

/// The credential in one header, if that header carries one.
fn credential<'v>(name: &str, value: &'v [u8]) -> Result<Option<&'v [u8]>, Error> {
    if ["x-api-key", "api-key", "x-goog-api-key"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Ok(Some(value.trim_ascii()));
    }
    if !name.eq_ignore_ascii_case("authorization") {
        return Ok(None);
    }
    let (scheme, token) = value.split_at_checked(7).ok_or(Error::CredentialUnknown)?;
    if scheme.eq_ignore_ascii_case(b"bearer ") {
        return Ok(Some(token.trim_ascii()));
    }
    Err(Error::CredentialUnknown)
}

#[cfg(test)]
mod tests;
