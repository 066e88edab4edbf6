//! What a key or a group may do. Denies by default; what is blocked stays blocked whatever is allowed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::pattern::{self, Pattern};
use super::rate::RateLimit;
use crate::deployment::{Deployment, Exposure};

/// Most entries of any list in a policy.
pub const MAX_LIST: usize = 256;
/// Most budgets, and most rate limits, of one policy.
pub const MAX_METERS: usize = 16;

/// A family of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Anthropic's messages.
    AnthropicMessages,
    /// Anthropic's count of tokens.
    AnthropicCountTokens,
    /// Gemini's paths.
    Gemini,
    /// `OpenAI`'s chat completions.
    OpenaiChat,
    /// `OpenAI`'s completions, the API from before chat.
    OpenaiCompletions,
    /// `OpenAI`'s embeddings.
    OpenaiEmbeddings,
    /// `OpenAI`'s count of tokens.
    OpenaiInputTokens,
    /// `OpenAI`'s responses.
    OpenaiResponses,
    /// Every other format.
    Other,
}

impl Family {
    /// From the name of an API format.
    pub fn of_wire(name: &str) -> Self {
        match name {
            "anthropic_messages" => Self::AnthropicMessages,
            "anthropic_count_tokens" => Self::AnthropicCountTokens,
            "openai_chat" => Self::OpenaiChat,
            "openai_completions" => Self::OpenaiCompletions,
            "openai_embeddings" => Self::OpenaiEmbeddings,
            "openai_input_tokens" => Self::OpenaiInputTokens,
            "openai_responses" => Self::OpenaiResponses,
            name if name.starts_with("gemini") => Self::Gemini,
            _ => Self::Other,
        }
    }
}

/// What may be done, and how much of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Model names that may be asked for, fallbacks included. None unless stated.
    #[schemars(length(max = 256))]
    pub allowed_models: Vec<Pattern>,
    /// Models that may not be used under any name: neither asked for, nor reached through an alias.
    #[schemars(length(max = 256))]
    pub blocked_models: Vec<Pattern>,
    /// Providers that may serve; every one unless stated.
    pub allowed_providers: Option<Vec<Pattern>>,
    /// Providers that may not.
    #[schemars(length(max = 256))]
    pub blocked_providers: Vec<Pattern>,
    /// Deployments that may serve; every one unless stated.
    pub allowed_deployments: Option<Vec<Pattern>>,
    /// Deployments that may not.
    #[schemars(length(max = 256))]
    pub blocked_deployments: Vec<Pattern>,
    /// API formats that may be spoken; every one unless stated.
    pub allowed_routes: Option<Vec<Family>>,
    /// Regions where content may go; every one unless stated. A deployment without a region is in none.
    pub regions: Option<Vec<String>>,
    /// How far content may be exposed; as far as deployments go unless stated.
    pub exposure_max: Option<Exposure>,
    /// Guardrails that have to run; a request that they cannot check is refused.
    #[schemars(length(max = 256))]
    pub guardrails: Vec<String>,
    /// Values for parameters that a request leaves out, and the largest that it may state.
    pub parameters: Parameters,
    /// Most requests at the same time.
    #[schemars(range(min = 1))]
    pub max_parallel: Option<u32>,
    /// What may be spent.
    #[schemars(length(max = 16))]
    pub budgets: Vec<Budget>,
    /// How fast.
    #[schemars(length(max = 16))]
    pub rate_limits: Vec<RateLimit>,
}

/// Bounds on numbers in requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Longest answer in tokens where the request does not say.
    #[schemars(range(min = 1))]
    pub default_output_tokens: Option<u64>,
    /// Longest answer in tokens that a request gets; a larger number is lowered to it.
    #[schemars(range(min = 1))]
    pub max_output_tokens: Option<u64>,
    /// Other numbers at the top of a request's body, such as `temperature`: the largest that is taken. A larger one is
    /// refused.
    #[schemars(length(max = 32))]
    pub upper_bounds: BTreeMap<String, i64>,
}

/// Something of a policy that is not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Which field.
    pub field: &'static str,
    /// What would be right.
    pub expected: &'static str,
}

impl Policy {
    /// Allows everything.
    pub fn everything() -> Self {
        let every = Pattern::try_from("*".to_owned()).ok();
        Self { allowed_models: every.into_iter().collect(), ..Self::default() }
    }

    /// Whether a model may be asked for by that name.
    pub fn permits_model(&self, name: &str) -> bool {
        pattern::any(&self.allowed_models, name) && !pattern::any(&self.blocked_models, name)
    }

    /// Whether a format may be spoken.
    pub fn permits_family(&self, family: Family) -> bool {
        self.allowed_routes.as_ref().is_none_or(|own| own.contains(&family))
    }

    /// Whether a deployment may serve, whatever name led to it.
    pub fn permits_deployment(&self, at: &Deployment) -> bool {
        self.permits_place(&at.model, at.provider, &at.name, at.region.as_deref())
    }

    /// See [`Self::permits_deployment`].
    pub fn permits_place(&self, model: &str, provider: &str, name: &str, region: Option<&str>) -> bool {
        let listed =
            |list: &Option<Vec<Pattern>>, name: &str| list.as_ref().is_none_or(|own| pattern::any(own, name));
        let in_region = |own: &Vec<String>| region.is_some_and(|region| own.iter().any(|own| own == region));
        !pattern::any(&self.blocked_models, model)
            && listed(&self.allowed_providers, provider)
            && !pattern::any(&self.blocked_providers, provider)
            && listed(&self.allowed_deployments, name)
            && !pattern::any(&self.blocked_deployments, name)
            && self.regions.as_ref().is_none_or(in_region)
    }

    /// Whether it is complete and bounded.
    ///
    /// # Errors
    /// The first field that is not.
    pub fn check(&self) -> Result<(), Flaw> {
        let flaw = |field, expected| Err(Flaw { field, expected });
        let lengths = [
            ("allowed_models", self.allowed_models.len()),
            ("blocked_models", self.blocked_models.len()),
            ("allowed_providers", self.allowed_providers.as_ref().map_or(0, Vec::len)),
            ("blocked_providers", self.blocked_providers.len()),
            ("allowed_deployments", self.allowed_deployments.as_ref().map_or(0, Vec::len)),
            ("blocked_deployments", self.blocked_deployments.len()),
            ("allowed_routes", self.allowed_routes.as_ref().map_or(0, Vec::len)),
            ("regions", self.regions.as_ref().map_or(0, Vec::len)),
            ("guardrails", self.guardrails.len()),
        ];
        if let Some((field, _)) = lengths.into_iter().find(|(_, length)| *length > MAX_LIST) {
            return flaw(field, "at most 256 entries");
        }
        if self
            .guardrails
            .iter()
            .chain(self.regions.iter().flatten())
            .any(|own| own.is_empty() || own.len() > 128)
        {
            return flaw("guardrails", "names of 1 to 128 bytes");
        }
        if self.max_parallel == Some(0) {
            return flaw("max_parallel", "at least 1");
        }
        let own = &self.parameters;
        if own.default_output_tokens == Some(0) || own.max_output_tokens == Some(0) {
            return flaw("parameters", "at least 1 token");
        }
        let plain = |name: &String| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if own.upper_bounds.len() > 32 || !own.upper_bounds.keys().all(plain) {
            return flaw("parameters", "at most 32 names of A-Z a-z 0-9 _");
        }
        if self.budgets.len() > MAX_METERS || self.rate_limits.len() > MAX_METERS {
            return flaw("budgets", "at most 16");
        }
        for (place, budget) in self.budgets.iter().enumerate() {
            budget.check()?;
            if self.budgets.iter().skip(place.saturating_add(1)).any(|other| other.name == budget.name) {
                return flaw("budgets", "names that differ");
            }
        }
        self.rate_limits.iter().try_for_each(RateLimit::check)
    }

    /// Makes it fit under a ceiling: what the ceiling blocks or demands is added; what it does not allow is refused.
    ///
    /// # Errors
    /// The first field that goes further than the ceiling.
    pub fn tightened(mut self, ceiling: &Self) -> Result<Self, Flaw> {
        const EXPECTED: &str = "no more than whoever creates it has";
        let flaw = |field| Err(Flaw { field, expected: EXPECTED });
        let covered = |own: &[Pattern], outer: &[Pattern]| {
            own.iter().all(|inner| outer.iter().any(|outer| outer.covers(inner)))
        };
        if !covered(&self.allowed_models, &ceiling.allowed_models) {
            return flaw("allowed_models");
        }
        for (field, own, outer) in [
            ("allowed_providers", &mut self.allowed_providers, &ceiling.allowed_providers),
            ("allowed_deployments", &mut self.allowed_deployments, &ceiling.allowed_deployments),
        ] {
            match (own, outer) {
                (_, None) => {}
                (own @ None, Some(outer)) => *own = Some(outer.clone()),
                (Some(own), Some(outer)) if covered(own, outer) => {}
                _ => return flaw(field),
            }
        }
        if !narrow(&mut self.allowed_routes, ceiling.allowed_routes.as_ref()) {
            return flaw("allowed_routes");
        }
        if !narrow(&mut self.regions, ceiling.regions.as_ref()) {
            return flaw("regions");
        }
        if !lower(&mut self.exposure_max, ceiling.exposure_max) {
            return flaw("exposure_max");
        }
        if !lower(&mut self.max_parallel, ceiling.max_parallel) {
            return flaw("max_parallel");
        }
        let (own, outer) = (&mut self.parameters, &ceiling.parameters);
        if !lower(&mut own.max_output_tokens, outer.max_output_tokens) {
            return flaw("parameters");
        }
        for (name, bound) in &outer.upper_bounds {
            let own = own.upper_bounds.entry(name.clone()).or_insert(*bound);
            if *own > *bound {
                return flaw("parameters");
            }
        }
        add(&mut self.blocked_models, &ceiling.blocked_models);
        add(&mut self.blocked_providers, &ceiling.blocked_providers);
        add(&mut self.blocked_deployments, &ceiling.blocked_deployments);
        add(&mut self.guardrails, &ceiling.guardrails);
        for outer in &ceiling.budgets {
            if self.budgets.iter().any(|own| own.exceeds(outer)) {
                return flaw("budgets");
            }
        }
        for outer in &ceiling.rate_limits {
            if self.rate_limits.iter().any(|own| own.exceeds(outer)) {
                return flaw("rate_limits");
            }
        }
        self.check()?;
        Ok(self)
    }
}

fn narrow<T: Clone + PartialEq>(own: &mut Option<Vec<T>>, outer: Option<&Vec<T>>) -> bool {
    match (&own, outer) {
        (_, None) => true,
        (None, Some(outer)) => {
            *own = Some(outer.clone());
            true
        }
        (Some(own), Some(outer)) => own.iter().all(|entry| outer.contains(entry)),
    }
}

fn lower<T: Copy + PartialOrd>(own: &mut Option<T>, outer: Option<T>) -> bool {
    match (*own, outer) {
        (_, None) => true,
        (None, outer) => {
            *own = outer;
            true
        }
        (Some(own), Some(outer)) => own <= outer,
    }
}

fn add<T: Clone + PartialEq>(own: &mut Vec<T>, more: &[T]) {
    for entry in more {
        if !own.contains(entry) {
            own.push(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests;
