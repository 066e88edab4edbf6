//! What every dialect's exchange has in common: the canonical request, answer and delta, and usage.
//!
//! Requests whose client and provider speak the same API never become canonical: they keep their original bytes. Only
//! translation goes through here, so each API is written once in each direction instead of once for each pair.

use serde::{Deserialize, Serialize};

pub mod conversation;

pub mod citation;

pub mod completion;

pub mod tool_names;

pub use completion::{Completion, Delta};
pub use conversation::{Conversation, Part, Role, Turn};

/// Tokens of one exchange as the upstream reported them, in `OpenAI`'s sense: input includes cached tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the completion, reasoning included.
    pub output_tokens: u64,
    /// The provider's own total, or the sum if it gives none; larger than the sum for some reasoning models.
    pub total_tokens: u64,
    /// Part of the input that the provider had cached.
    pub cached_input_tokens: u64,
    /// Part of the input that the provider wrote to its cache, for whatever time.
    pub cache_write_tokens: u64,
    /// Part of `cache_write_tokens` that is kept for an hour, which costs more than the usual five minutes.
    pub cache_write_1h_tokens: u64,
    /// Part of the output that was reasoning.
    pub reasoning_tokens: u64,
    /// Searches of the web that the provider did and bills apart.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    /// How the request was served, which changes what its tokens cost.
    #[serde(skip_serializing_if = "ServiceTier::is_standard")]
    pub tier: ServiceTier,
    /// What the provider itself says that it cost, in nano-dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_cost_nano_usd: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How a request was served, as the answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// When there is time, with others.
    Batch,
    /// When there is room.
    Flex,
    /// A tier that nobody here knows the price of.
    #[serde(skip_deserializing)]
    Other,
    /// Before others.
    Priority,
    /// As usual.
    #[default]
    Standard,
}

impl ServiceTier {
    /// From the words of `OpenAI`, Anthropic, Groq, Bedrock and Google.
    pub fn from_word(word: &[u8]) -> Self {
        match word {
            b"batch" => Self::Batch,
            b"flex" | b"ON_DEMAND_FLEX" => Self::Flex,
            b"priority" | b"fast" | b"ON_DEMAND_PRIORITY" => Self::Priority,
            // What is reserved is paid for whether it is used or not, and is not dearer by the token.
            b""
            | b"auto"
            | b"default"
            | b"on_demand"
            | b"provisioned"
            | b"reserved"
            | b"scale"
            | b"standard"
            | b"standard_only"
            | b"ON_DEMAND"
            | b"PROVISIONED_THROUGHPUT"
            | b"TRAFFIC_TYPE_UNSPECIFIED" => Self::Standard,
            _ => Self::Other,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
    const fn is_standard(&self) -> bool {
        matches!(self, Self::Standard)
    }
}

/// Why a completion stopped, as a closed set: the upstream's own string never travels further than the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// Withheld by the provider's filter.
    ContentFilter,
    /// The legacy function call.
    FunctionCall,
    /// The token limit.
    Length,
    /// Anything else.
    Other,
    /// The natural end or a stop sequence.
    Stop,
    /// The model wants tools called.
    ToolCalls,
}

impl FinishReason {
    /// Whether the answer is all that the model had to say: neither cut short nor withheld.
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::Stop | Self::ToolCalls | Self::FunctionCall)
    }

    /// From `OpenAI`'s word.
    pub fn from_openai(word: &[u8]) -> Self {
        match word {
            b"content_filter" => Self::ContentFilter,
            b"function_call" => Self::FunctionCall,
            b"length" => Self::Length,
            b"stop" => Self::Stop,
            b"tool_calls" => Self::ToolCalls,
            _ => Self::Other,
        }
    }

    /// `OpenAI`'s word; it has none for other reasons, and clients stop at `stop`.
    pub const fn to_openai(self) -> &'static str {
        match self {
            Self::ContentFilter => "content_filter",
            Self::FunctionCall => "function_call",
            Self::Length => "length",
            Self::Other | Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
        }
    }
}
