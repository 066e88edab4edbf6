//! The record of one exchange: ids, counts and decisions. It cannot hold content, since [`crate::Plaintext`] implements
//! nothing that a record needs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ring::hmac;
use serde::Serialize;

use crate::cache::CacheState;
use crate::chat::{FinishReason, Usage};
use crate::price::NanoUsd;
use crate::screening::report::Report;
use crate::wire::OperationName;

/// Version of the record's JSON form.
pub const FORMAT: u32 = 1;

/// What happened, without what was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// The id that the client got in `x-request-id`.
    pub request_id: RequestId,
    /// When the request was read, milliseconds since 1970.
    pub started_unix_ms: u64,
    /// The key's public id.
    pub key: Arc<str>,
    /// Which of the key's secrets was used, from 1; absent where keys have no versions.
    pub key_version: Option<u32>,
    /// The user or service that the key belongs to.
    pub principal: Option<Arc<str>>,
    /// Their team.
    pub team: Option<Arc<str>>,
    /// Their organisation.
    pub organisation: Option<Arc<str>>,
    /// `gen_ai.operation.name`.
    pub operation: OperationName,
    /// The API format.
    pub wire: &'static str,
    /// The configured model name; absent if the request named none.
    pub model: Option<Arc<str>>,
    /// `gen_ai.prompt.name`: the stored prompt in the request.
    pub prompt: Option<Arc<str>>,
    /// `gen_ai.prompt.version`: its version.
    pub prompt_version: Option<u32>,
    /// The deployment that answered, or was tried last.
    pub deployment: Option<Arc<str>>,
    /// Its provider.
    pub provider: Option<&'static str>,
    /// Where that deployment processes, in the operator's words.
    pub region: Option<Arc<str>>,
    /// How far content sent there is exposed.
    pub exposure: Option<&'static str>,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// Deployments tried.
    pub attempts: u32,
    /// Whether a cache answered.
    pub cache_hit: bool,
    /// What the caches did; absent without any.
    pub cache: Option<CacheState>,
    /// What was not spent because a cache answered, if that is known.
    pub saved_nano_usd: Option<NanoUsd>,
    /// What it cost to find out whether a cache has an answer to the same question in other words, if that is known.
    pub embedding_nano_usd: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// `error.type`, if it did not end well.
    pub error: Option<&'static str>,
    /// The guardrail that refused.
    pub guardrail: Option<Arc<str>>,
    /// The guardrail whose question to a model this is; the request that it is about has the same id and a record of its
    /// own, in which the cost is charged.
    pub asked_by: Option<Arc<str>>,
    /// What each guardrail said.
    pub guardrails: Report,
    /// Tokens, if the upstream reported them.
    pub usage: Option<Usage>,
    /// What the tokens cost: in nano-dollars, null if the price or the tokens are not known. An answer from the cache costs
    /// nothing.
    pub cost_nano_usd: Option<NanoUsd>,
    /// What budgets were charged, guesses included; null if the key has none. What they say was spent is the sum of these.
    pub charged_nano_usd: Option<u64>,
    /// Calls that were cancelled because another was quicker.
    pub hedges_lost: u32,
    /// What those are guessed to have cost besides, if the price is known: their prompts.
    pub hedge_cost_nano_usd: Option<u64>,
    /// Why the completion stopped.
    pub finish_reason: Option<FinishReason>,
    /// HMAC-SHA-256 of the request body, if there is a key for it.
    #[serde(serialize_with = "hex")]
    pub prompt_hmac: Option<[u8; 32]>,
    /// HMAC-SHA-256 of the answer's bytes as given out, if there is a key for it.
    #[serde(serialize_with = "hex")]
    pub response_hmac: Option<[u8; 32]>,
    /// Size of the request body.
    pub request_bytes: u64,
    /// Size of the answer as given out.
    pub answer_bytes: u64,
    /// From reading the request to the first content, microseconds.
    pub first_content_us: Option<u64>,
    /// From reading the request to the end, microseconds.
    pub duration_us: u64,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A stream that had begun could not be completed.
    Broken,
    /// The client left, or the shell gave up.
    Cancelled,
    /// The client got the whole answer.
    Complete,
    /// The client got an error in place of an answer.
    Refused,
}

/// An id of 128 bits in lower-case hex, chosen by the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// From two words that differ from request to request.
    pub fn new(high: u64, low: u64) -> Self {
        let number = u128::from(high).wrapping_shl(64) | u128::from(low);
        let mut text = String::with_capacity(32);
        for place in (0..32_u32).rev() {
            let digit = number.wrapping_shr(place.wrapping_mul(4)) & 15;
            text.push(u32::try_from(digit).ok().and_then(|digit| char::from_digit(digit, 16)).unwrap_or('0'));
        }
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AuditRecord {
    /// One line of JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Records that wait to be taken out by the shell; bounded.
#[derive(Default)]
pub struct Journal {
    state: Mutex<Waiting>,
    waiting: AtomicUsize,
    kept: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<AuditRecord>,
    lost: u64,
}

/// Most records that wait.
pub const MAX_WAITING: usize = 65_536;

/// Records from which on no request is begun. What is left above is for those in flight.
const FULL: usize = MAX_WAITING / 4;

impl Journal {
    /// From now on somebody writes the records down, and no request shall be begun while that does not go on.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Whether so much waits to be written down that nothing more may be begun. Never, if nobody writes it down.
    pub fn is_stalled(&self) -> bool {
        self.kept.load(Ordering::Relaxed) && self.waiting.load(Ordering::Relaxed) >= FULL
    }

    /// Adds a record; if nobody took the earlier ones, the oldest is lost and counted.
    pub fn push(&self, record: AuditRecord) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.records.len() >= MAX_WAITING {
            state.records.pop_front();
            state.lost = state.lost.saturating_add(1);
        }
        state.records.push_back(record);
        self.waiting.store(state.records.len(), Ordering::Relaxed);
    }

    /// Takes all waiting records, oldest first, and says how many were lost before them.
    pub fn take(&self) -> (Vec<AuditRecord>, u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.store(0, Ordering::Relaxed);
        (state.records.drain(..).collect(), std::mem::take(&mut state.lost))
    }
}

#[expect(clippy::ref_option, reason = "the form that serde asks for")]
fn hex<S: serde::Serializer>(hash: &Option<[u8; 32]>, out: S) -> Result<S::Ok, S::Error> {
    match hash {
        Some(hash) => out.collect_str(&Hex(hash)),
        None => out.serialize_none(),
    }
}

/// Bytes as lower-case hex.
pub struct Hex<'a>(pub &'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// The key under which prompts and answers are hashed for the record: whoever lacks it cannot try guesses.
#[derive(Default)]
pub struct Commitments(OnceLock<hmac::Key>);

impl Commitments {
    /// Sets the key, once; a second one is not taken.
    pub fn set(&self, key: &[u8; 32]) {
        // The first key stays: hashes of one process are comparable.
        self.0.set(hmac::Key::new(hmac::HMAC_SHA256, key)).ok();
    }

    /// A hash that has begun, if there is a key.
    pub(crate) fn begin(&self) -> Option<hmac::Context> {
        self.0.get().map(hmac::Context::with_key)
    }

    /// The hash of these bytes, if there is a key.
    pub fn of(&self, bytes: &[u8]) -> Option<[u8; 32]> {
        let mut context = self.begin()?;
        context.update(bytes);
        Some(finished(context))
    }
}

/// The hash.
pub(crate) fn finished(context: hmac::Context) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// Whole microseconds of a duration.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_need_their_key() {
        let commitments = Commitments::default();
        assert_eq!(commitments.of(b"hello"), None);
        commitments.set(&[1; 32]);
        let own = commitments.of(b"hello");
        commitments.set(&[2; 32]);
        assert_eq!(commitments.of(b"hello"), own);
        let other = Commitments::default();
        other.set(&[2; 32]);
        assert_ne!(other.of(b"hello"), own);
    }

    #[test]
    fn an_id_is_32_hex_digits() {
        let id = RequestId::new(0x0123_4567_89ab_cdef, 0xf);
        assert_eq!(id.as_str(), "0123456789abcdef000000000000000f");
    }
}
