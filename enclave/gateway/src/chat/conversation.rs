//! The canonical chat request: what all chat APIs can say, in one form.
//!
//! Everything here is content of prompts: nothing derives `Debug`, `Clone` or `Serialize`, and a [`Conversation`] travels
//! inside `Plaintext`. What an API says beyond this form is either refused or dropped by
//! [`crate::wire::dialect::Expressible`] when a request is translated, never silently lost.

use std::borrow::Cow;

use serde_json::value::{RawValue, to_raw_value};

/// A whole request.
#[derive(Default)]
pub struct Conversation {
    /// System and developer texts, in order.
    pub instructions: Vec<Part>,
    /// What was said, oldest first. Neighbours may have the same role; dialects that need alternation merge them.
    pub turns: Vec<Turn>,
    /// Functions that the model may call.
    pub tools: Vec<Tool>,
    /// Whether and which tool has to be called; the API's own default if absent.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several tools may be called at once.
    pub parallel_tool_calls: Option<bool>,
    /// Most tokens of the answer, reasoning included.
    pub max_output_tokens: Option<u64>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many answers are wanted; one if absent.
    pub choices: Option<u64>,
    /// What form the answer must have.
    pub format: OutputFormat,
    /// How much the model may think.
    pub reasoning: Option<Reasoning>,
    /// The provider is to search the web, as often as the model finds right.
    pub web_search: Option<WebSearch>,
    /// A name for the end user, for the provider's abuse detection.
    pub end_user: Option<String>,
    /// Whether the answer is streamed.
    pub stream: bool,
}

/// One side's say.
pub struct Turn {
    /// Whose.
    pub role: Role,
    /// Of what, in order.
    pub parts: Vec<Part>,
}

/// Who speaks. Tool results are the user's say, as in most APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The model.
    Assistant,
    /// The client.
    User,
}

/// A piece of a turn.
pub enum Part {
    /// Sound.
    Audio(Media),
    /// A document, such as a PDF.
    Document {
        /// Its bytes or address.
        media: Media,
        /// Its name.
        name: Option<String>,
    },
    /// A picture.
    Image {
        /// Its bytes or address.
        media: Media,
        /// `low`, `high` or `auto`, where the API has it.
        detail: Option<String>,
    },
    /// What the model thought before.
    Reasoning(Thought),
    /// What the model said instead of an answer.
    Refusal(String),
    /// Text.
    Text {
        /// The text.
        text: String,
        /// Asks the provider to cache the prompt up to here.
        cache: Option<CacheHint>,
    },
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// What a tool answered.
    ToolResult {
        /// The call's id.
        call_id: String,
        /// Text and pictures.
        parts: Vec<Self>,
        /// The tool failed.
        is_error: bool,
    },
}

/// What the model thought.
#[derive(Default)]
pub struct Thought {
    /// In words; empty if the provider hides them.
    pub text: String,
    /// The provider's seal over it, which must come back unchanged with the next request.
    pub signature: Option<String>,
    /// The provider's encrypted form, instead of words.
    pub redacted: Option<String>,
}

/// What lets a thought go back to the vendor whose model had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal<'a> {
    /// The encrypted form, instead of words.
    Encrypted(&'a str),
    /// A seal over the words.
    Signature(&'a str),
}

impl Thought {
    /// The seal as vendors without a mark of their own take it back, which are Anthropic and those that serve its models.
    /// Nothing if another vendor made it: dialects put their vendor's name and a colon before such seals, and base64 has
    /// no colon.
    pub(crate) fn unmarked_seal(&self) -> Option<Seal<'_>> {
        let (seal, text) = match (&self.redacted, &self.signature) {
            (Some(redacted), _) => (Seal::Encrypted(redacted), redacted),
            (None, Some(signature)) => (Seal::Signature(signature), signature),
            (None, None) => return None,
        };
        (!text.is_empty() && !text.contains(':')).then_some(seal)
    }
}

/// A call of a tool.
pub struct ToolCall {
    /// Its id; calls and results are paired by it.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments: a JSON object as text. Models may write text that is no JSON.
    pub arguments: String,
    /// A provider's seal over the thought behind it (Gemini), which must come back unchanged.
    pub signature: Option<String>,
}

impl ToolCall {
    /// The arguments as a JSON object, for APIs that want one: the model's own bytes if they are one, an empty object
    /// for none, and otherwise the text as the member `text` of an object.
    pub fn arguments_object(&self) -> Cow<'_, RawValue> {
        let text = self.arguments.trim();
        if text.starts_with('{')
            && let Ok(object) = serde_json::from_str(text)
        {
            return Cow::Borrowed(object);
        }
        let object = match text {
            "" => to_raw_value(&serde_json::Map::new()),
            text => to_raw_value(&serde_json::json!({ "text": text })),
        };
        object.map_or_else(|_| Cow::Borrowed(RawValue::NULL), Cow::Owned)
    }
}

/// How long a provider should cache a prompt's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheHint {
    /// As long as it usually does: five minutes.
    Default,
    /// An hour.
    Hour,
}

/// A picture, sound or document.
pub struct Media {
    /// `image/png` and the like; empty where the API does not say and it cannot be told.
    pub media_type: String,
    /// Where it is.
    pub source: MediaSource,
}

/// Where a medium's bytes are. The gateway never fetches an address.
pub enum MediaSource {
    /// Here, in standard base64.
    Base64(String),
    /// At a provider's file store.
    FileId(String),
    /// At an address, which only the provider may fetch.
    Url(String),
}

/// A function that the model may call.
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments, as the client wrote it; absent for none.
    pub parameters: Option<Box<RawValue>>,
    /// The arguments must match the schema.
    pub strict: Option<bool>,
    /// Asks the provider to cache the prompt up to here.
    pub cache: Option<CacheHint>,
}

/// A search of the web by the provider.
#[derive(Default)]
pub struct WebSearch {
    /// The client's member that asks for it, for error messages.
    pub param: &'static str,
    /// How much of what is found the model reads: `low`, `medium` or `high`.
    pub context_size: Option<String>,
    /// Where the user is, roughly.
    pub location: Option<Location>,
    /// Only these domains; any if empty.
    pub allowed_domains: Vec<String>,
    /// Not these domains.
    pub blocked_domains: Vec<String>,
    /// Most searches.
    pub max_uses: Option<u64>,
}

/// Where a user is, as far as the client tells.
pub struct Location {
    /// The city.
    pub city: Option<String>,
    /// Two letters (ISO 3166-1).
    pub country: Option<String>,
    /// The part of the country.
    pub region: Option<String>,
    /// The time zone's IANA name.
    pub timezone: Option<String>,
}

/// Whether and which tool has to be called.
pub enum ToolChoice {
    /// As the model likes.
    Auto,
    /// None.
    None,
    /// Any, but one.
    Required,
    /// This one.
    Tool(String),
}

/// How tokens are drawn; the provider's defaults where absent.
#[derive(Default)]
pub struct Sampling {
    /// Temperature.
    pub temperature: Option<f64>,
    /// Nucleus.
    pub top_p: Option<f64>,
    /// Most likely tokens considered.
    pub top_k: Option<u64>,
    /// Penalty for tokens that occurred.
    pub presence_penalty: Option<f64>,
    /// Penalty for tokens that occurred often.
    pub frequency_penalty: Option<f64>,
    /// Seed.
    pub seed: Option<i64>,
}

/// What form the answer must have.
#[derive(Default)]
pub enum OutputFormat {
    /// Any JSON object.
    JsonObject,
    /// JSON that matches a schema.
    JsonSchema {
        /// The schema's name, where the API wants one.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// The schema, as the client wrote it.
        schema: Box<RawValue>,
        /// Must match exactly.
        strict: Option<bool>,
    },
    /// Text.
    #[default]
    Text,
}

/// How much the model may think before it answers.
#[derive(Default)]
pub struct Reasoning {
    /// `none`, `minimal`, `low`, `medium`, `high` or `xhigh`.
    pub effort: Option<Effort>,
    /// Most tokens of it.
    pub budget_tokens: Option<u64>,
    /// The client wants to see it (or its summary).
    pub visible: bool,
}

/// How hard the model should think, as all vendors with levels name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// Little.
    Low,
    /// Usual.
    Medium,
    /// Much.
    High,
    /// Very much.
    ExtraHigh,
    /// As much as possible.
    Max,
}

impl Effort {
    /// From the word that vendors use.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::ExtraHigh,
            "max" => Self::Max,
            _ => return None,
        })
    }

    /// The word that vendors use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::ExtraHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The level that a budget of thinking tokens amounts to.
    pub const fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Self::None,
            1..=1024 => Self::Low,
            1025..=4096 => Self::Medium,
            4097..=16_383 => Self::High,
            _ => Self::ExtraHigh,
        }
    }

    /// A budget of thinking tokens that the level amounts to, for models that only know budgets; 0 for none.
    pub const fn budget(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 2048,
            Self::High => 4096,
            Self::ExtraHigh => 8192,
            Self::Max => 16_384,
        }
    }
}
