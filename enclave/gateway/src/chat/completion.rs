//! The canonical answer: whole, or in deltas.

use super::citation::Citation;
use super::conversation::{Thought, ToolCall};
use super::{FinishReason, Usage};

/// A whole answer.
#[derive(Default)]
pub struct Completion {
    /// The provider's id for it; empty if it gives none.
    pub id: String,
    /// The model as the provider names it; empty if it does not say.
    pub model: String,
    /// The answers; one unless more were asked for.
    pub choices: Vec<Choice>,
    /// Tokens, if reported.
    pub usage: Option<Usage>,
}

/// One answer.
#[derive(Default)]
pub struct Choice {
    /// What the model said, in order.
    pub output: Vec<Output>,
    /// Why it stopped; absent if the provider does not say.
    pub finish: Option<FinishReason>,
    /// The stop text that was met, where the API tells.
    pub stop_sequence: Option<String>,
    /// What its text rests on.
    pub citations: Vec<Citation>,
}

impl Choice {
    /// All its text, which is what citations count the characters of.
    pub fn text(&self) -> String {
        let texts = self.output.iter().filter_map(|output| match output {
            Output::Text(text) => Some(text.as_str()),
            Output::Reasoning(_) | Output::Refusal(_) | Output::ToolCall(_) => None,
        });
        texts.collect()
    }
}

/// A piece of an answer.
pub enum Output {
    /// What the model thought.
    Reasoning(Thought),
    /// What it said instead of an answer.
    Refusal(String),
    /// Text.
    Text(String),
    /// A call of a tool.
    ToolCall(ToolCall),
}

/// One streamed piece of an answer. `choice` counts answers from 0, `call` counts the tool calls of one answer from 0,
/// whatever else stands between them.
pub enum Delta {
    /// The answer begins. At most once, first.
    Begin {
        /// The provider's id; may be empty.
        id: String,
        /// The model as the provider names it; may be empty.
        model: String,
    },
    /// A source of text that has come before.
    Citation {
        /// Which answer.
        choice: u64,
        /// The source.
        citation: Citation,
    },
    /// The model stopped. Once for each choice.
    Finish {
        /// Which answer.
        choice: u64,
        /// Why.
        reason: FinishReason,
        /// The stop text that was met, where the API tells.
        stop_sequence: Option<String>,
    },
    /// A piece of thought.
    Reasoning {
        /// Which answer.
        choice: u64,
        /// What is added: words, a signature or an encrypted form.
        thought: Thought,
    },
    /// A piece of a refusal.
    Refusal {
        /// Which answer.
        choice: u64,
        /// The words.
        text: String,
    },
    /// A piece of text.
    Text {
        /// Which answer.
        choice: u64,
        /// The words.
        text: String,
    },
    /// A piece of a tool call's arguments.
    ToolArguments {
        /// Which answer.
        choice: u64,
        /// Which call.
        call: u64,
        /// JSON text, cut anywhere.
        json: String,
    },
    /// A tool call begins.
    ToolCall {
        /// Which answer.
        choice: u64,
        /// Which call.
        call: u64,
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// A provider's seal over the thought behind it.
        signature: Option<String>,
    },
    /// Running totals so far; the last one counts.
    Usage(Usage),
}
