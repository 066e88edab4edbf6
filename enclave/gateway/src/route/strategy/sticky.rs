//! A conversation stays at one member while that one is well, so that the provider's prompt cache helps.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998): each member gets a number from the key, the conversation and its
//! own place, and the largest wins. No table to keep: a member that is ejected leaves only its own conversations, and
//! they return when it does.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong};
use crate::route::tree::Question;
use crate::scan;

/// Makes [`Sticky`].
pub struct StickyKind;

impl StrategyKind for StickyKind {
    fn name(&self) -> &'static str {
        "sticky"
    }

    fn configure(&self, _: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        Ok(Box::new(Sticky))
    }
}

/// The conversation is the session header's, else the body's `prompt_cache_key`, else its first two messages. Always
/// together with the key's id: one client cannot steer another's.
pub struct Sticky;

/// Messages that identify a conversation: instructions and first question.
const FIRST_MESSAGES: usize = 2;

impl Strategy for Sticky {
    fn order(&self, question: &Question<'_>, candidates: &mut Vec<Candidate>) {
        let mut conversation = DefaultHasher::new();
        question.key.id.hash(&mut conversation);
        match &question.wishes.affinity {
            Some(name) => name.hash(&mut conversation),
            None => by_content(question, &mut conversation),
        }
        candidates.sort_by_cached_key(|own| {
            let mut hasher = conversation.clone();
            own.place.hash(&mut hasher);
            std::cmp::Reverse(hasher.finish())
        });
    }
}

fn by_content(question: &Question<'_>, hasher: &mut DefaultHasher) {
    let (document, fields) = (question.request.body.expose(), &question.request.fields);
    if let Some(field) = fields.find(document, "prompt_cache_key") {
        return field.value(document).hash(hasher);
    }
    let turns = ["messages", "input", "contents"].iter().find_map(|name| fields.find(document, name));
    let Some(turns) = turns else { return document.hash(hasher) };
    let mut seen = 0_usize;
    let array = scan::elements(turns.value(document), |turn, _| {
        if seen < FIRST_MESSAGES {
            turn.hash(hasher);
        }
        seen = seen.saturating_add(1);
    });
    if array.is_err() {
        turns.value(document).hash(hasher);
    }
}
