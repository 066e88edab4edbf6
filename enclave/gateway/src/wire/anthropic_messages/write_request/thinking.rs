//! How much a model of Anthropic's shall think, in the words that it knows.

use super::{ThinkingMember, continues_without_thought};
use crate::chat::Conversation;
use crate::chat::conversation::{Effort, Reasoning, ToolChoice};
use crate::error::Error;
use crate::wire::anthropic_messages::abilities::Abilities;
use crate::wire::dialect::{Expressible, Weight};

/// The least budget that the API accepts.
const MIN_BUDGET: u64 = 1024;

/// What the request says about thinking.
pub(super) enum Thinking {
    /// As much as the model finds right.
    Adaptive {
        /// How hard.
        effort: Option<Effort>,
        /// The client wants to read it.
        visible: bool,
    },
    /// At most this many tokens.
    Budget(u64),
    /// Nothing.
    Off,
}

impl Thinking {
    pub(super) fn of(
        conversation: &Conversation,
        abilities: Abilities,
        max_tokens: Option<u64>,
        expressible: &mut Expressible,
    ) -> Result<Self, Error> {
        let Some(Reasoning { effort, budget_tokens, visible }) = &conversation.reasoning else {
            return Ok(Self::Off);
        };
        let unwanted =
            *effort == Some(Effort::None) || (effort.is_none() && budget_tokens.is_none() && !visible);
        if unwanted {
            return Ok(Self::Off);
        }
        let forced = matches!(conversation.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
        if !abilities.thinking || forced {
            expressible.cannot("reasoning_effort", Weight::Hint)?;
            return Ok(Self::Off);
        }
        if abilities.adaptive_thinking {
            let effort = effort.or_else(|| budget_tokens.map(Effort::of_budget));
            return Ok(Self::Adaptive { effort, visible: *visible });
        }
        let wish = budget_tokens.or_else(|| effort.map(Effort::budget)).unwrap_or(MIN_BUDGET);
        let room = max_tokens.map_or(u64::MAX, |most| most.saturating_sub(1));
        let budget = wish.max(MIN_BUDGET).min(room);
        // Thinking by budget wants every tool call's thought back, which clients of other APIs do not keep.
        if budget < MIN_BUDGET || continues_without_thought(conversation) {
            expressible.cannot("reasoning_effort", Weight::Hint)?;
            return Ok(Self::Off);
        }
        Ok(Self::Budget(budget))
    }

    pub(super) fn member(&self) -> Option<ThinkingMember> {
        match self {
            Self::Adaptive { visible, .. } => {
                let display = if *visible { "summarized" } else { "omitted" };
                Some(ThinkingMember::Adaptive { display })
            }
            Self::Budget(budget_tokens) => Some(ThinkingMember::Enabled { budget_tokens: *budget_tokens }),
            Self::Off => None,
        }
    }
}
