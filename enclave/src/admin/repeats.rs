//! Answers that are given again when the same request comes again: what an `Idempotency-Key` promises, for a day.
//!
//! A deleted record leaves a mark behind, so a record for each key would grow without end. Instead there is a fixed
//! number of places; a key's hash says which is its own, and what has expired there goes when the place is written or
//! swept.

use gateway::Now;
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use state::{Change, Expect, RecordId, StateError, Store, Table};

use super::identity::Principal;
use super::problem::Problem;
use super::{AdminAnswer, AdminRequest};
use crate::governance::all;

/// How long an answer is kept, in milliseconds.
const KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// Places, in bits.
const PLACE_BITS: u16 = 14;

/// What is known of an idempotency key.
pub(super) enum Before {
    /// It was answered.
    Answered(AdminAnswer),
    /// It was not, or long ago: here the answer is to be kept.
    Free(Place),
}

/// Where an answer is to be kept.
pub(super) struct Place {
    id: RecordId,
    expect: Expect,
    others: Vec<Kept>,
    name: String,
    request: String,
}

/// One answer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Hash of who asked and of his key.
    name: String,
    /// Hash of what he asked.
    request: String,
    at_ms: u64,
    status: u16,
    /// Without any secret.
    body: Option<Value>,
}

impl Kept {
    const fn is_good(&self, now: Now) -> bool {
        now.unix_ms.saturating_sub(self.at_ms) <= KEPT_MS
    }
}

/// Whether this request was answered before.
pub(super) async fn look(
    store: &Store,
    who: &Principal,
    key: &str,
    request: &AdminRequest<'_>,
    now: Now,
) -> Result<Before, Problem> {
    let whole = digest::digest(&digest::SHA256, &[who.id.as_bytes(), b"\0", key.as_bytes()].concat());
    let name = attestation::digest::to_hex(whole.as_ref());
    let id = place(whole.as_ref())?;
    let record = store.get(Table::IdempotencyKeys, &id).await?;
    let expect = record.as_ref().map_or(Expect::Absent, |own| Expect::Version(own.version));
    let mut others: Vec<Kept> =
        record.and_then(|own| serde_json::from_slice(&own.value).ok()).unwrap_or_default();
    others.retain(|own| own.is_good(now));
    let asked = hash(request);
    let Some(known) = others.iter().find(|own| own.name == name) else {
        return Ok(Before::Free(Place { id, expect, others, name, request: asked }));
    };
    if known.request != asked {
        let detail = "this idempotency key was used for another request";
        return Err(Problem::new(422, "idempotency_key_reused", detail));
    }
    let mut headers =
        vec![("cache-control", "no-store".to_owned()), ("idempotency-replayed", "true".to_owned())];
    let body = known.body.as_ref().map(|own| own.to_string().into_bytes()).unwrap_or_default();
    if !body.is_empty() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    Ok(Before::Answered(AdminAnswer { status: known.status, headers, body }))
}

impl Place {
    /// The change that keeps an answer here.
    pub(super) fn keep(self, status: u16, body: Option<Value>, now: Now) -> Change {
        let Self { id, expect, others: mut all, name, request } = self;
        all.push(Kept { name, request, at_ms: now.unix_ms, status, body });
        let value = serde_json::to_vec(&all).unwrap_or_default();
        Change::put(Table::IdempotencyKeys, id, expect, value)
    }
}

/// Removes what has expired.
///
/// # Errors
/// [`StateError`]; what was overtaken by a request is left for the next time.
pub(super) async fn sweep(store: &Store, now: Now) -> Result<(), StateError> {
    for record in all(store, Table::IdempotencyKeys).await? {
        let mut kept: Vec<Kept> = serde_json::from_slice(&record.value).unwrap_or_default();
        let before = kept.len();
        kept.retain(|own| own.is_good(now));
        let expect = Expect::Version(record.version);
        let change = match kept.len() {
            0 => Change::delete(Table::IdempotencyKeys, record.id, expect),
            fewer if fewer < before => {
                let value = serde_json::to_vec(&kept).unwrap_or_default();
                Change::put(Table::IdempotencyKeys, record.id, expect, value)
            }
            _ => continue,
        };
        match store.commit(vec![change]).await {
            Ok(_) | Err(StateError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn place(hash: &[u8]) -> Result<RecordId, StateError> {
    let number = hash.first_chunk::<2>().map_or(0, |bytes| u16::from_be_bytes(*bytes));
    RecordId::new(format!("place-{}", number & ((1 << PLACE_BITS) - 1)))
}

fn hash(request: &AdminRequest<'_>) -> String {
    let whole = [request.method.as_bytes(), b"\0", request.path.as_bytes(), b"\0", request.body].concat();
    attestation::digest::to_hex(digest::digest(&digest::SHA256, &whole).as_ref())
}
