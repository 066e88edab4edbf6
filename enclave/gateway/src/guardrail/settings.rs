//! What the configuration says of a guardrail.

use serde::{Deserialize, Serialize};

use crate::deployment::Exposure;

/// One configured guardrail: the keys that all kinds have, then those of some kinds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A registered kind.
    pub kind: String,
    /// Where it looks; each kind has its usual places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Vec<Hook>>,
    /// What a hit does; `label` if a label is given, and otherwise `block`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Labels what it finds with this word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether hits count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What happens if it cannot be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// For which requests; no client can take a guardrail away that always applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applies: Option<Applies>,
    /// For which models; all unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// How it looks at streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamMode>,
    /// For `redact`: what stands in the place of what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// For `pii` and `secrets`: which kinds of things; all unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entities: Option<Vec<String>>,
    /// For `deny_list`: phrases that must not occur, in any letter case. For `injection`: more phrases of attacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrases: Option<Vec<String>>,
    /// For `regex`: expressions that must not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patterns: Option<Vec<String>>,
    /// For `regex`: longest match that is looked for in streams, in bytes; 16 to 4,096, 256 unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_bytes: Option<u64>,
    /// For `injection` and `citation`: from or up to which score it objects; 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_percent: Option<u64>,
    /// For `url_allow_list`: hosts that may be named, with those below them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// For `json_answer`: the JSON Schema of answers, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<String>,
    /// For `json_answer`: members that answers must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_keys: Option<Vec<String>>,
    /// For `tool_rules`: what to do about calls; the first that fits counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<ToolRule>>,
    /// For `tool_rules`: what to do about calls that no rule fits; `deny` unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<ToolVerdict>,
    /// For `length`: least words of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_words: Option<u64>,
    /// For `length`: most words of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_words: Option<u64>,
    /// For `length`: most characters of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_characters: Option<u64>,
    /// For `language`: ISO 639-3 codes of the languages that may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
    /// For those that ask a service: its address, such as `https://guard.example/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// For those that ask a service: reference to its API key; for `webhook`, to the secret that signs both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// For those that ask a service: how far content sent there is exposed; `provider_visible` unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// For those that ask: how long it may take; 10 to 30,000; for services 2,000 and for models 10,000 unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// For those that ask a service: allows plain HTTP to an address that is not loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_plain_http: Option<bool>,
    /// For `bedrock_guardrail`: the guardrail's id and version, as `abc123/1`. For `lakera`: the project. For
    /// `openai_moderation`: the model. For `presidio`: the language of the texts, `en` unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// For `moderation`: the model of this gateway that judges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// For `moderation`: what it shall flag, in words; threats, hatred, violence and the like unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criteria: Option<String>,
    /// For `required_metadata`: names that `postern-metadata` must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Vec<String>>,
}

/// Where a secret is, as `SCHEME:PLACE`. Not shown: somebody may have written a secret where a reference belongs.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Reference(String);

impl Reference {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Reference")
    }
}

/// Where in the life of a request a check looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// The request, all of it, before it is routed.
    Input,
    /// The request, beside the call upstream; its word counts before the client gets anything. Acts as [`Self::Input`]
    /// for kinds that are judged in here, at once.
    InputParallel,
    /// What would be kept: an answer that a hit is in is not cached.
    Log,
    /// The answer, buffered or streamed, calls of tools included.
    Output,
    /// Calls of tools that the model wants.
    ToolCall,
    /// What tools answered, in requests.
    ToolResult,
}

/// What a hit does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Refuse the request, or end the answer.
    #[default]
    Block,
    /// Give the request the label.
    Label,
    /// Put a placeholder in the place of what was found, and the value back in the answer. Finders only.
    Mask,
    /// Put a fixed text in the place of what was found. Finders only.
    Redact,
    /// Serve the request at attested deployments only.
    RequireAttested,
}

/// Whether hits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// They are written down and change nothing.
    Shadow,
}

/// What happens if a check cannot be done: a service that is silent, late, or not understood. Kinds that are judged in here
/// always can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The content does not pass.
    #[default]
    Closed,
    /// The content passes, and the failure is written down.
    Open,
}

/// For which requests a check is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    /// For all.
    #[default]
    Always,
    /// For those whose key or client names it.
    OnRequest,
}

/// How a check looks at a streamed answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamMode {
    /// When the whole answer has gone through: nothing is held back, and what is found is only written down and told.
    Detect,
    /// Piece by piece: text is held back until nothing that follows can change what is found in it. What judges an answer
    /// as a whole holds all of it.
    #[default]
    Window,
    /// All of it is held back until it is whole.
    Hold,
}

/// What to do about calls of some tools.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRule {
    /// An expression that the whole name of the tool matches.
    pub name: String,
    /// JSON pointer of an argument that the rule is about; any arguments unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    /// An expression that the whole argument matches, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// What to do.
    pub verdict: ToolVerdict,
}

/// What to do about a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolVerdict {
    /// It passes.
    Allow,
    /// It counts as a hit.
    #[default]
    Deny,
}
