//! What may be stored, and with whom it is shared. The strictest unless configured otherwise: what nobody can be sure would
//! be answered the same again is never stored, and nothing leaves its partition.

use std::collections::BTreeSet;

use ring::hmac;

use super::digest::{Digest, Partition};
use crate::admission::Key;
use crate::chat::FinishReason;
use crate::governance::ScopeKind;
use crate::scan::{Field, Fields, Kind, Sign};
use crate::wire::{OperationName, Request};

/// Whose answers are shared with whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// With nobody.
    #[default]
    Key,
    /// Among the keys of one organisation.
    Organisation,
    /// Among the keys of one team.
    Team,
    /// Among the keys of one user or service.
    User,
}

/// The rules of all caches.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Who shares. Keys that belong to none of that kind share with nobody.
    pub sharing: Sharing,
    /// Configured models whose answers are stored; those of all if absent.
    pub models: Option<BTreeSet<String>>,
    /// Whether answers that call tools are stored.
    pub tool_calls: bool,
    /// Answers drawn at a higher temperature are not stored.
    pub max_temperature: f64,
}

/// What a provider takes for the temperature if nobody says.
const USUAL_TEMPERATURE: f64 = 1.0;

/// Fields of a request whose answer depends on, or does, something outside of it. Absent, null, false and empty they do no
/// harm.
const NEVER: [&str; 9] = [
    "audio",
    "background",
    "container",
    "conversation",
    "mcp_servers",
    "previous_response_id",
    "session_id",
    "store",
    "web_search_options",
];

/// Fields that ask for several answers.
const COUNTS: [&str; 2] = ["best_of", "n"];

/// Parts of Gemini's API in which more fields stand.
const NESTED: [&str; 2] = ["generationConfig", "generation_config"];

impl Rules {
    /// Whether the answer to a request may be stored at all.
    pub fn allow(&self, request: &Request) -> bool {
        if matches!(request.wire.operation(), OperationName::CountTokens) {
            return false;
        }
        if self.models.as_ref().is_some_and(|models| !models.contains(&request.model)) {
            return false;
        }
        // The provider does something itself, whose outcome changes with time.
        if request.fields.signs().is_some_and(|signs| signs.has(Sign::ServerTool)) {
            return false;
        }
        let document = request.body.expose();
        // That API keeps answers, for requests to come, unless told not to.
        let keeps = request.wire.name() == "openai_responses"
            && !request.fields.find(document, "store").is_some_and(|own| own.kind == Kind::False);
        !keeps && self.allow_fields(&request.fields, document, true)
    }

    fn allow_fields(&self, fields: &Fields, document: &[u8], outermost: bool) -> bool {
        let mut temperature = outermost.then_some(USUAL_TEMPERATURE);
        for field in fields {
            if field.known(document, &NEVER).is_some() && !is_idle(field) {
                return false;
            }
            let counts = field.known(document, &COUNTS).is_some() || field.is(document, "candidateCount");
            if counts && field.kind != Kind::Null && field.unsigned(document) != Some(1) {
                return false;
            }
            if field.is(document, "temperature") && field.kind != Kind::Null {
                let text = std::str::from_utf8(field.value(document)).unwrap_or_default();
                temperature = Some(text.parse().unwrap_or(f64::INFINITY));
            }
            if outermost && field.kind == Kind::Object && field.known(document, &NESTED).is_some() {
                let mut inner = Fields::new();
                let nested = field.value(document);
                if inner.scan_utf8(nested).is_err() || !self.allow_fields(&inner, nested, false) {
                    return false;
                }
                // What stands inside is what counts there.
                temperature = temperature.filter(|_| inner.find(nested, "temperature").is_none());
            }
        }
        temperature.is_none_or(|own| own <= self.max_temperature)
    }

    /// Whether an answer that ended like that is stored.
    pub const fn keep(&self, operation: OperationName, finish: Option<FinishReason>) -> bool {
        match finish {
            Some(FinishReason::Stop) => true,
            Some(FinishReason::FunctionCall | FinishReason::ToolCalls) => self.tool_calls,
            Some(FinishReason::ContentFilter | FinishReason::Length | FinishReason::Other) => false,
            None => matches!(operation, OperationName::Embeddings),
        }
    }

    /// Whose request this is, as far as caches are concerned.
    pub fn partition(&self, key: &Key, namespace: Option<&str>, secret: &hmac::Key) -> Partition {
        let shared = match self.sharing {
            Sharing::Key => None,
            Sharing::Organisation => key.belongs_to(ScopeKind::Org).map(|org| ("org", org)),
            Sharing::Team => key.belongs_to(ScopeKind::Team).map(|team| ("team", team)),
            Sharing::User => key.belongs_to(ScopeKind::User).map(|user| ("user", user)),
        };
        let own =
            || (if key.issued().is_some() { "issued" } else { "configured" }, std::sync::Arc::clone(&key.id));
        let (kind, name) = shared.unwrap_or_else(own);
        let mut digest = Digest::new(secret, "partition");
        digest.add(kind.as_bytes());
        digest.add(key.belongs_to(ScopeKind::Org).as_deref().unwrap_or_default().as_bytes());
        digest.add(name.as_bytes());
        digest.add(namespace.unwrap_or_default().as_bytes());
        Partition(digest.finish())
    }
}

/// Whether a field says nothing.
const fn is_idle(field: &Field) -> bool {
    matches!(field.kind, Kind::Null | Kind::False)
        || matches!(field.kind, Kind::Array) && field.elements.count == 0
}
