//! Short-lived access tokens: held until shortly before their end, and renewed by one caller at a time.
//!
//! Nothing here asks anybody: [`crate::provider::grant`] does, through the port.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Deployment;
use super::account::{EntraApplication, ServiceAccount};
use crate::plaintext::Secret;

/// What a deployment trades for access tokens, and the token it has now. Shared by all workers.
pub struct TokenSource {
    /// The service that gives tokens.
    pub service: Arc<Deployment>,
    /// Who asks for them.
    pub account: Account,
    held: Mutex<Held>,
}

/// Who asks for tokens.
pub enum Account {
    /// A service account of Google's.
    Google(Box<ServiceAccount>),
    /// An application of Microsoft Entra's.
    Entra(EntraApplication),
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    fetching: bool,
    waiting: Vec<Waker>,
}

/// One access token. Times are the monotonic clock's.
pub struct Token {
    header: Arc<Secret<Vec<u8>>>,
    issued_at: Duration,
    renew_at: Duration,
    useless_at: Duration,
}

/// A token is renewed so long before its end.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);
/// A token is not sent so shortly before its end.
const USELESS_BEFORE: Duration = Duration::from_secs(10);
/// A renewal that failed is tried again after so long, while the old token holds.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A token that is refused is thrown away only if it is older: a new one would be refused as well.
const REFUSED_FOR_GOOD: Duration = Duration::from_mins(1);

impl Token {
    /// A token given at `now` that holds for `lifetime`.
    pub fn new(token: &str, lifetime: Duration, now: Duration) -> Self {
        let header = Arc::new(Secret::new([Self::SCHEME.as_bytes(), token.as_bytes()].concat()));
        let renewed_before = RENEWED_BEFORE.min(lifetime.div_f32(2.0));
        let end = now.saturating_add(lifetime);
        Self {
            header,
            issued_at: now,
            renew_at: end.saturating_sub(renewed_before),
            useless_at: end.saturating_sub(USELESS_BEFORE.min(renewed_before)),
        }
    }

    /// What stands before a token in `authorization`.
    const SCHEME: &'static str = "Bearer ";
}

/// What a caller has to do.
pub enum Turn<'a> {
    /// Go on: there is a token.
    Ready,
    /// Get a token.
    Fetch(Fetch<'a>),
}

/// Leave to get a token; nobody else has it meanwhile. Dropped without an outcome, it passes to the next who waits.
pub struct Fetch<'a>(&'a TokenSource);

impl TokenSource {
    /// Has no token yet.
    pub fn new(service: Arc<Deployment>, account: Account) -> Self {
        Self { service, account, held: Mutex::default() }
    }

    /// Waits while somebody else gets the only token there will be.
    pub fn poll_turn(&self, now: Duration, context: &Context<'_>) -> Poll<Turn<'_>> {
        let mut held = self.lock();
        let (fresh, usable) = held
            .token
            .as_ref()
            .map_or((false, false), |token| (now < token.renew_at, now < token.useless_at));
        if fresh || (usable && held.fetching) {
            return Poll::Ready(Turn::Ready);
        }
        if held.fetching {
            held.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        held.fetching = true;
        Poll::Ready(Turn::Fetch(Fetch(self)))
    }

    /// The value of `authorization`, if there is a token.
    pub fn header(&self) -> Option<Arc<Secret<Vec<u8>>>> {
        self.lock().token.as_ref().map(|token| Arc::clone(&token.header))
    }

    /// The token that is held, without its scheme, to `look` at.
    pub fn look<T>(&self, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let header = self.header()?;
        header.expose().get(Token::SCHEME.len()..).map(look)
    }

    /// The provider does not accept the token: the next caller gets another, unless this one is new.
    pub fn refused(&self, now: Duration) {
        let mut held = self.lock();
        let old = |token: &Token| now.saturating_sub(token.issued_at) > REFUSED_FOR_GOOD;
        if held.token.as_ref().is_some_and(old) {
            held.token = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetch<'_> {
    /// The service has given a token.
    pub fn got(self, token: Token) {
        self.0.lock().token = Some(token);
    }

    /// The service has given none; whether the old one still holds.
    pub fn failed(self, now: Duration) -> bool {
        let mut held = self.0.lock();
        let Some(token) = held.token.as_mut().filter(|token| now < token.useless_at) else { return false };
        token.renew_at = now.saturating_add(TRIED_AGAIN_AFTER);
        true
    }
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        let mut held = self.0.lock();
        held.fetching = false;
        let waiting = std::mem::take(&mut held.waiting);
        drop(held);
        waiting.into_iter().for_each(Waker::wake);
    }
}
