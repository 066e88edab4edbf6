//! What is written down: one line of JSON per entry, with ids, counts, codes and keyed hashes. No field takes free text
//! from outside, and none has room for content.
//!
//! The line is the leaf. It is made once, by the enclave; an auditor reads what was hashed, byte for byte. Fields may be
//! added within a format, so a reader ignores those it does not know; what a field means never changes.

use serde::{Deserialize, Serialize};

/// Version of the entries' form.
pub const FORMAT: u32 = 1;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`FORMAT`].
    pub format: u32,
    /// When it was settled, milliseconds since 1970, by the clock of the enclave (which is the host's word).
    pub unix_ms: u64,
    /// 128 random bits as hex, so that the hash of an entry tells nobody what may be in it.
    pub salt: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Somebody changed, or tried to change, who may do what.
    Admin(Box<Admin>),
    /// A request and its end.
    Call(Box<Call>),
    /// Records were lost before they could be written. Their number is known, nothing else.
    Lost {
        /// How many.
        records: u64,
    },
    /// An enclave process began to write here.
    Opened {
        /// Its instance id as hex, as in its evidence.
        instance: String,
        /// How many transactions the sealed state had seen, if it is a file.
        state_generation: Option<u64>,
        /// Whether the process before said that it was done. If not, it may have settled requests that it could not write.
        orderly: bool,
    },
    /// The process ended in order: everything it settled is above.
    Stopped {
        /// How many transactions the sealed state had seen, if it is a file.
        state_generation: Option<u64>,
    },
}

/// A request and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// The id that the client got in `x-request-id`.
    pub request_id: String,
    /// When the request was read, milliseconds since 1970.
    pub started_unix_ms: u64,
    /// The virtual key's public id.
    pub key: String,
    /// Which of the key's secrets was used, from 1; absent where keys have no versions.
    pub key_version: Option<u32>,
    /// Whom the key belongs to: a user or service.
    pub principal: Option<String>,
    /// Their team.
    pub team: Option<String>,
    /// Their organisation.
    pub organisation: Option<String>,
    /// `gen_ai.operation.name`.
    pub operation: String,
    /// The API format.
    pub wire: String,
    /// The configured model name.
    pub model: Option<String>,
    /// The deployment that answered, or was tried last.
    pub deployment: Option<String>,
    /// Its provider.
    pub provider: Option<String>,
    /// Where that deployment processes.
    pub region: Option<String>,
    /// How far the upstream had proved itself.
    pub exposure: Option<String>,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// Deployments tried.
    pub attempts: u32,
    /// Whether a cache answered.
    pub cache_hit: bool,
    /// What the caches did: `hit`, `semantic-hit`, `miss`, `refresh` or `bypass`; absent without any.
    pub cache: Option<String>,
    /// What was not spent because a cache answered, in nano-dollars, if that is known.
    pub saved_nano_usd: Option<u64>,
    /// `complete`, `refused`, `broken` or `cancelled`.
    pub outcome: String,
    /// `error.type`.
    pub error: Option<String>,
    /// Why the completion stopped, if the upstream said so.
    pub finish_reason: Option<String>,
    /// Policies that were applied.
    pub policies: Vec<Policy>,
    /// HMAC-SHA-256 of the request body under a key of the enclave, as hex.
    pub prompt_hmac: Option<String>,
    /// HMAC-SHA-256 of the answer's bytes as given out, under the same key, as hex.
    pub response_hmac: Option<String>,
    /// Tokens, if the upstream reported them.
    pub tokens: Option<Tokens>,
    /// What it cost, in nano-dollars; absent if the price or the tokens are not known.
    pub cost_nano_usd: Option<u64>,
    /// What budgets were charged, guesses included, in nano-dollars; absent if the key has none.
    pub charged_nano_usd: Option<u64>,
    /// Calls that were cancelled because another was quicker.
    pub hedges_lost: u32,
    /// Size of the request body.
    pub request_bytes: u64,
    /// Size of the answer.
    pub answer_bytes: u64,
    /// From reading the request to the first content, microseconds.
    pub first_content_us: Option<u64>,
    /// From reading the request to the end, microseconds.
    pub duration_us: u64,
    /// SHA-384 of the public configuration it was served under, as hex.
    pub config: String,
}

/// Tokens by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// Of the prompt, cached ones included.
    pub input: u64,
    /// Of the completion, reasoning included.
    pub output: u64,
    /// Of the input, those that the provider had cached.
    pub cached_input: u64,
    /// Of the output, those of reasoning.
    pub reasoning: u64,
}

/// A policy that was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its configured name.
    pub id: String,
    /// Its version, if it has one.
    pub version: Option<String>,
    /// What it did.
    pub action: String,
}

/// An act of administration. One that changes something is written twice: before it is done ([`Admin::BEGUN`]), with what
/// it changes, and afterwards, with what came of it. So none is done without an entry, whenever the machine stops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Admin {
    /// Who: the id of an admin key, or issuer and subject of a token; `-` if nobody proved who.
    pub actor: String,
    /// With which credential: its public id, or the beginning of the SHA-256 of a token.
    pub credential: String,
    /// As what.
    pub role: String,
    /// What: `virtual_key.create`, `team.replace`, ...
    pub action: String,
    /// On which kind of thing.
    pub object: String,
    /// On which one; absent where it is about many, or not yet known.
    pub object_id: Option<String>,
    /// The version that it had, if it was there.
    pub version_before: Option<u64>,
    /// The version that it has now, if it is there.
    pub version_after: Option<u64>,
    /// Which fields change.
    pub changed: Vec<Changed>,
    /// [`Admin::BEGUN`], [`Admin::DONE`], [`Admin::REPEATED`], or the code with which it was refused or failed.
    pub result: String,
    /// Index of the first entry that says how it began.
    pub begun: Option<u64>,
    /// How many more requests of strangers were refused since the last that was written down.
    pub unwritten: u64,
}

impl Admin {
    /// It is about to be done.
    pub const BEGUN: &str = "begun";
    /// It was done.
    pub const DONE: &str = "done";
    /// The same request came before; the answer was given again and nothing was done.
    pub const REPEATED: &str = "repeated";
}

/// A field that changes. Ids of groups, states, roles and times are said as they are; anything else as `hmac:` and an
/// HMAC-SHA-256 under a key of the enclave, so that equal values are seen to be equal and none is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changed {
    /// Its name.
    pub field: String,
    /// Its value before, if there was one.
    pub before: Option<String>,
    /// Its value after, if there is one.
    pub after: Option<String>,
}

impl Entry {
    /// The line that is hashed, without a line feed.
    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a line; nothing if it is not an entry of a form that is known.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let entry: Self = serde_json::from_slice(line).ok()?;
        (entry.format == FORMAT).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let call = Call {
            request_id: "r".into(),
            key: "k".into(),
            tokens: Some(Tokens::default()),
            ..Call::default()
        };
        for event in [
            Event::Call(Box::new(call)),
            Event::Admin(Box::new(Admin { actor: "a".into(), ..Admin::default() })),
            Event::Lost { records: 3 },
            Event::Opened { instance: "i".into(), state_generation: Some(1), orderly: false },
            Event::Stopped { state_generation: None },
        ] {
            let entry = Entry { format: FORMAT, unix_ms: 5, salt: "00".into(), event };
            let line = entry.to_line();
            assert!(!line.contains(&b'\n'));
            assert_eq!(Entry::parse(&line), Some(entry));
        }
        assert_eq!(Entry::parse(br#"{"format":2,"unix_ms":5,"salt":"","event":"lost","records":1}"#), None);
        assert_eq!(Entry::parse(b"{}"), None);
    }
}
