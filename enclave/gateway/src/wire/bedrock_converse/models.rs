//! What differs between the model families behind `Converse`: thinking, top-k and parallel tools go into
//! `additionalModelRequestFields`, in each maker's own words (Amazon Bedrock User Guide, "Inference request parameters").

use serde_json::{Map, Value, json};

use crate::chat::conversation::{Conversation, Effort, Reasoning, ToolChoice};
use crate::error::Error;
use crate::wire::dialect::{Expressible, Weight};

/// Least thinking that Anthropic's models accept, in tokens.
const MIN_BUDGET: u64 = 1024;
/// Room for the answer itself when only a thinking budget is known.
const ROOM_FOR_ANSWER: u64 = 4096;

/// Settings after the model family's rules.
pub(super) struct Tuned {
    pub(super) max_tokens: Option<u64>,
    pub(super) temperature: Option<f64>,
    pub(super) additional: Map<String, Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Anthropic,
    Nova,
    OpenAi,
    Other,
}

impl Family {
    /// From a model id, which may have a region before the maker, or be an ARN that names it.
    fn of(model: &str) -> Self {
        if model.contains("anthropic.") {
            Self::Anthropic
        } else if model.contains("amazon.nova") {
            Self::Nova
        } else if model.contains("openai.") {
            Self::OpenAi
        } else {
            Self::Other
        }
    }
}

/// Applies the rules of the model's family.
pub(super) fn tune(
    conversation: &Conversation,
    model: &str,
    expressible: &mut Expressible,
) -> Result<Tuned, Error> {
    let family = Family::of(model);
    let mut tuned = Tuned {
        max_tokens: conversation.max_output_tokens,
        temperature: conversation.sampling.temperature,
        additional: Map::new(),
    };
    let thinks = match &conversation.reasoning {
        Some(reasoning) => think(reasoning, family, &mut tuned, expressible)?,
        None => false,
    };
    if let Some(top_k) = conversation.sampling.top_k.filter(|_| !thinks) {
        match family {
            Family::Anthropic => put(&mut tuned, "top_k", top_k.into()),
            Family::Nova => put(&mut tuned, "inferenceConfig", json!({ "topK": top_k })),
            Family::OpenAi | Family::Other => expressible.cannot("top_k", Weight::Meaning)?,
        }
    }
    if conversation.parallel_tool_calls == Some(false) && !conversation.tools.is_empty() {
        if family == Family::Anthropic {
            put(&mut tuned, "tool_choice", one_tool_at_a_time(conversation.tool_choice.as_ref()));
        } else {
            expressible.cannot("parallel_tool_calls", Weight::Hint)?;
        }
    }
    Ok(tuned)
}

/// Asks for thinking; says whether the model will think with a budget.
fn think(
    reasoning: &Reasoning,
    family: Family,
    tuned: &mut Tuned,
    expressible: &mut Expressible,
) -> Result<bool, Error> {
    if reasoning.effort == Some(Effort::None) {
        return Ok(false);
    }
    match family {
        Family::Anthropic => {
            let wanted = reasoning
                .budget_tokens
                .unwrap_or_else(|| reasoning.effort.unwrap_or(Effort::Medium).budget());
            let ceiling = tuned.max_tokens.map_or(u64::MAX, |most| most.saturating_sub(1));
            let budget = wanted.max(MIN_BUDGET).min(ceiling);
            if budget < MIN_BUDGET {
                expressible.cannot("reasoning_effort", Weight::Hint)?;
                return Ok(false);
            }
            tuned.max_tokens.get_or_insert_with(|| budget.saturating_add(ROOM_FOR_ANSWER));
            // The maker's rule: no temperature beside thinking.
            tuned.temperature = None;
            put(tuned, "thinking", json!({ "type": "enabled", "budget_tokens": budget }));
            return Ok(true);
        }
        Family::Nova => {
            let setting = json!({ "type": "enabled", "maxReasoningEffort": level(reasoning.effort) });
            put(tuned, "reasoningConfig", setting);
        }
        Family::OpenAi => put(tuned, "reasoning_effort", level(reasoning.effort).into()),
        Family::Other => expressible.cannot("reasoning_effort", Weight::Hint)?,
    }
    Ok(false)
}

/// The nearest of three levels, for models that have three.
const fn level(effort: Option<Effort>) -> &'static str {
    match effort {
        Some(Effort::None | Effort::Minimal | Effort::Low) => "low",
        None | Some(Effort::Medium) => "medium",
        Some(Effort::High | Effort::ExtraHigh | Effort::Max) => "high",
    }
}

/// Anthropic's own tool choice, which takes the place of the general one.
fn one_tool_at_a_time(choice: Option<&ToolChoice>) -> Value {
    match choice {
        None | Some(ToolChoice::Auto | ToolChoice::None) => {
            json!({ "type": "auto", "disable_parallel_tool_use": true })
        }
        Some(ToolChoice::Required) => json!({ "type": "any", "disable_parallel_tool_use": true }),
        Some(ToolChoice::Tool(name)) => {
            json!({ "type": "tool", "name": name, "disable_parallel_tool_use": true })
        }
    }
}

fn put(tuned: &mut Tuned, name: &str, value: Value) {
    tuned.additional.insert(name.to_owned(), value);
}
