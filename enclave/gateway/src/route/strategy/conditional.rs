//! The first member whose condition holds; the last has none and is the default.

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong};
use crate::route::expression::Expression;
use crate::route::tree::Question;

/// Makes [`Conditional`].
pub struct ConditionalKind;

impl StrategyKind for ConditionalKind {
    fn name(&self) -> &'static str {
        "conditional"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["when"]
    }

    fn configure(&self, settings: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        let last = settings.members.len().saturating_sub(1);
        let mut rules = Vec::new();
        for (place, member) in settings.members.iter().enumerate() {
            let wrong = |expected: String| Wrong { member: Some(place), key: "when", expected };
            match &member.when {
                None if place == last => {}
                Some(_) if place == last => {
                    return Err(wrong("no condition: the last member is the default".to_owned()));
                }
                None => return Err(wrong("a condition, for every member but the last".to_owned())),
                Some(text) => {
                    let rule = Expression::compile(text).map_err(|error| wrong(error.to_string()))?;
                    rules.push(rule);
                }
            }
        }
        Ok(Box::new(Conditional { rules }))
    }
}

/// Chooses exactly one member. If policy or capability leaves nothing of it, there is nothing: a rule that says where a
/// request goes also says where it does not go.
pub struct Conditional {
    rules: Vec<Expression>,
}

impl Strategy for Conditional {
    fn order(&self, question: &Question<'_>, candidates: &mut Vec<Candidate>) {
        let chosen = self.rules.iter().position(|rule| rule.holds(question)).unwrap_or(self.rules.len());
        candidates.retain(|candidate| candidate.place == chosen);
    }

    fn headers(&self) -> Vec<String> {
        self.rules.iter().flat_map(|rule| rule.headers().iter().cloned()).collect()
    }
}
