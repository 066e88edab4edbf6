//! Step 2, admit: who asks, and may they. The only maker of [`Admitted`].
//!
//! Two halves: [`authenticate`] sees the head only, before a byte of the body is read; [`admit`] adds what the body
//! says. Between them [`reserve`] takes what the request may need of every budget and limit above an issued key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::Now;
use crate::deployment::{Deployment, Exposure};
use crate::error::Error;
use crate::governance::{Estimate, Family, Governance, LiveKey, Refusal, Reservation, ScopeKind};
use crate::plaintext::Plaintext;
use crate::wire::{self, Request, RequestHead};

pub mod key_file;

pub mod output_limit;

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
    /// What the sealed store says of it, if it was issued through the admin API.
    issued: Option<Issued>,
}

/// A key of the sealed store, and which of its secrets was shown.
struct Issued {
    key: Arc<LiveKey>,
    version: u32,
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

/// Proof that a request has what it needs of every budget and limit. Made by [`reserve`] only.
pub struct Reserved {
    reservation: Option<Arc<Reservation>>,
}

impl Reserved {
    /// The hold on budgets, if the key is one that has any.
    pub const fn reservation(&self) -> Option<&Arc<Reservation>> {
        self.reservation.as_ref()
    }
}

/// What an admitted request occupies until it ends, however it ends.
pub struct Hold {
    key: Arc<Key>,
    /// Given back with the last copy, unless it was settled before.
    _reservation: Option<Arc<Reservation>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.key.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Key {
    /// A key that may use `models`.
    pub fn new(id: Arc<str>, models: AllowedModels, max_in_flight: Option<u32>) -> Self {
        Self {
            id,
            models,
            max_in_flight,
            rules: KeyRules::default(),
            in_flight: AtomicU32::new(0),
            issued: None,
        }
    }

    /// A key of the sealed store as one request sees it.
    fn of_store(key: Arc<LiveKey>, version: u32) -> Self {
        let rules = KeyRules { exposure_max: key.exposure_max(), ..KeyRules::default() };
        let issued = Some(Issued { key, version });
        let id = issued.as_ref().map_or_else(|| "".into(), |own| Arc::clone(&own.key.name));
        Self {
            id,
            models: AllowedModels::Every,
            max_in_flight: None,
            rules,
            in_flight: AtomicU32::new(0),
            issued,
        }
    }

    /// Whether it may ask for a model by that name: everybody above it agrees.
    pub fn may_use(&self, model: &str) -> bool {
        self.models.contains(model) && self.issued.as_ref().is_none_or(|own| own.key.permits_model(model))
    }

    /// Whether a deployment may serve it, whatever name led there.
    pub fn may_be_served_by(&self, at: &Deployment) -> bool {
        self.issued.as_ref().is_none_or(|own| own.key.permits_deployment(at))
    }

    /// What the sealed store says of it, if it was issued through the admin API.
    pub fn issued(&self) -> Option<&Arc<LiveKey>> {
        self.issued.as_ref().map(|own| &own.key)
    }

    /// The organisation, team or user that it was issued to.
    pub fn belongs_to(&self, kind: ScopeKind) -> Option<Arc<str>> {
        self.issued.as_ref().and_then(|own| own.key.belongs_to(kind))
    }

    /// Which of its secrets was shown: counts from 1 and grows with each rotation.
    pub fn version(&self) -> Option<u32> {
        self.issued.as_ref().map(|own| own.version)
    }

    /// The same key with rules of its own.
    #[must_use]
    pub fn with_rules(mut self, rules: KeyRules) -> Self {
        self.rules = rules;
        self
    }

    /// Requests now in flight.
    pub fn in_flight(&self) -> u32 {
        let own = || self.in_flight.load(Ordering::Relaxed);
        self.issued.as_ref().map_or_else(own, |issued| issued.key.in_flight())
    }

    fn hold(self: &Arc<Self>, reserved: Reserved) -> Result<Hold, Error> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let hold = Hold { key: Arc::clone(self), _reservation: reserved.reservation };
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

    /// Who asks, for what is asked on the way.
    pub(crate) fn authenticated(&self) -> Authenticated {
        Authenticated { key: Arc::clone(&self.key) }
    }

    /// The same admission for the same request with other content.
    pub(crate) fn rewritten(self, body: Vec<u8>) -> Result<Self, Error> {
        let Self { request, key, hold } = self;
        let request = wire::read(request.wire, request.asked, Plaintext::new(body.into()))?;
        Ok(Self { request, key, hold })
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
pub fn authenticate(
    head: &RequestHead<'_>,
    keys: &KeyTable,
    governance: Option<&Governance>,
    now: Now,
) -> Result<Authenticated, Error> {
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
    if let Some((key, version)) = governance.and_then(|own| own.find(credential, now)) {
        return Ok(Authenticated { key: Arc::new(Key::of_store(key, version)) });
    }
    let key = keys.find(credential).ok_or(Error::CredentialUnknown)?;
    Ok(Authenticated { key })
}

/// Whether a key may ask this at all, whatever it has left.
///
/// # Errors
/// [`Error::ModelNotAllowed`], [`Error::RouteNotAllowed`], [`Error::ParameterTooLarge`].
pub fn permit(request: &Request, authenticated: &Authenticated) -> Result<(), Error> {
    let key = &authenticated.key;
    if !key.may_use(&request.model) {
        return Err(Error::ModelNotAllowed);
    }
    let Some(issued) = key.issued() else { return Ok(()) };
    let family = Family::of_wire(request.wire.name());
    if !issued.permits(|policy| policy.permits_family(family)) {
        return Err(Error::RouteNotAllowed);
    }
    if output_limit::exceeds(request, &issued.upper_bounds()) {
        return Err(Error::ParameterTooLarge);
    }
    Ok(())
}

/// Takes what a request may need of everything above its key. Keys from the configuration have no budgets.
///
/// # Errors
/// [`Error::BudgetExceeded`], [`Error::RateLimited`], [`Error::TooManyInFlight`], [`Error::PriceUnknown`];
/// [`Error::Overloaded`] when more of a budget is being fetched and it makes sense to ask again in a moment.
pub fn reserve(
    request: &Request,
    authenticated: &Authenticated,
    estimate: &Estimate,
    governance: Option<&Arc<Governance>>,
    now: Now,
) -> Result<Reserved, Error> {
    let Some((governance, key)) = governance.zip(authenticated.key.issued()) else {
        return Ok(Reserved { reservation: None });
    };
    match Reservation::take(governance, key, &request.model, estimate, now) {
        Ok(reservation) => Ok(Reserved { reservation: Some(Arc::new(reservation)) }),
        Err(refusal) => Err(refusal.into()),
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Budget => Self::BudgetExceeded,
            Refusal::Parallel => Self::TooManyInFlight,
            Refusal::PriceUnknown => Self::PriceUnknown,
            Refusal::Rate { retry_after_ms } => Self::RateLimited { retry_after_ms },
            Refusal::Slice => Self::Overloaded { retry_after_ms: SLICE_MS },
        }
    }
}

/// When to ask again for more of a budget: as often as the store is asked.
const SLICE_MS: u64 = 1000;

/// Admits a parsed request of a known key.
///
/// # Errors
/// As [`permit`]; [`Error::TooManyInFlight`].
pub fn admit(request: Request, authenticated: Authenticated, reserved: Reserved) -> Result<Admitted, Error> {
    permit(&request, &authenticated)?;
    let Authenticated { key } = authenticated;
    let hold = key.hold(reserved)?;
    Ok(Admitted { request, key, hold })
}

/// Admits a guardrail's question to a model about what somebody's request says. That model is the operator's choice, so
/// the key need not be allowed it; where its content may go still holds, and no further than `most`. It takes nothing of
/// budgets by itself: what it costs is charged to the request.
pub(crate) fn admit_for_guardrail(
    request: Request,
    caller: &Authenticated,
    most: Exposure,
) -> Result<Admitted, Error> {
    let own = caller.key();
    let issued = own.issued.as_ref().map(|own| Issued { key: Arc::clone(&own.key), version: own.version });
    let rules = KeyRules { exposure_max: most, ..own.rules.clone() };
    let key = Key { issued, ..Key::new(Arc::clone(&own.id), AllowedModels::Every, None) };
    let key = Arc::new(key.with_rules(rules));
    let hold = key.hold(Reserved { reservation: None })?;
    Ok(Admitted { request, key, hold })
}

/// The credential in the query of Gemini's paths. Keys are plain text; what needs decoding is no key.
fn key_of_query<'v>(head: &RequestHead<'v>) -> Option<&'v [u8]> {
    let query = head.query.filter(|_| head.path.starts_with("/v1beta/"))?;
    query.split('&').find_map(|member| member.strip_prefix("key=")).map(str::as_bytes)
}

/// Headers that carry nothing but a key: those of the APIs spoken here, and those of other gateways' clients.
const PLAIN_KEYS: [&str; 5] = ["x-api-key", "api-key", "x-goog-api-key", "x-bf-vk", "x-portkey-api-key"];
/// Headers that carry a key after the word `Bearer`.
const BEARER_KEYS: [&str; 4] =
    ["authorization", "cf-aig-authorization", "helicone-auth", "x-litellm-api-key"];

/// The credential in one header, if that header carries one.
fn credential<'v>(name: &str, value: &'v [u8]) -> Result<Option<&'v [u8]>, Error> {
    if PLAIN_KEYS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Ok(Some(value.trim_ascii()));
    }
    if !BEARER_KEYS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
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
