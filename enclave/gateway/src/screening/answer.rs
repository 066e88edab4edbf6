//! Whole answers.

use std::collections::BTreeMap;

use super::{Guard, Phase, Said, spans};
use crate::content::{Body, Change, Kind, Segment, View, calls};
use crate::error::Error;
use crate::guardrail::{Call, Hook};

impl Guard {
    /// Puts a whole answer, in the client's dialect, before every guardrail that looks at answers, and puts back what was
    /// masked. Nothing if it may go out as it is.
    ///
    /// # Errors
    /// [`Error::ContentRefused`].
    pub fn whole(&mut self, body: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Ok(view) = View::of(body, Body::Answer) else { return Err(self.unreadable()) };
        let mut said = Said::default();
        let mut changes: BTreeMap<usize, Vec<Change>> = BTreeMap::new();
        for (number, segment) in view.segments.iter().enumerate() {
            let own = self.alone(segment, &mut said)?;
            if !own.is_empty() {
                changes.insert(number, own);
            }
        }
        let segments: Vec<&Segment> = view.segments.iter().collect();
        let calls = self.calls(body);
        for hook in [Hook::Output, Hook::ToolCall] {
            self.judge(hook, &segments, &calls, None, &mut said)?;
        }
        let changed = !changes.is_empty() || view.has_probabilities() && self.hides();
        Ok(changed.then(|| view.rewritten(body, &changes)))
    }

    /// Whether something is masked or looked for, so that no other form of the text may go out beside it.
    pub(super) fn hides(&self) -> bool {
        !self.masks.is_empty()
            || self.checks.iter().any(|own| own.looks_at_answers() && own.spans().is_some())
    }

    /// What is done about a string of an answer that stands for itself.
    pub(super) fn alone(&mut self, segment: &Segment, said: &mut Said) -> Result<Vec<Change>, Error> {
        // Ids are the provider's own.
        if matches!(segment.kind, Kind::Identifier | Kind::Media) {
            return Ok(Vec::new());
        }
        let found = self.found(Phase::Answer, segment.kind, &segment.text, 0, 0);
        let mut own = self.decide(Phase::Answer, &segment.text, found, segment.may_change(), said)?;
        if segment.may_change() {
            spans::merge(&mut own, self.unmasked(&segment.text, 0));
        }
        Ok(own)
    }

    /// The calls in a whole answer, if anybody judges them.
    fn calls(&self, body: &[u8]) -> Vec<Call> {
        let judged = self.checks.iter().any(|own| own.judge().is_some() && own.looks_at_answers());
        let read = || serde_json::from_slice(body).ok();
        let Some(value) = judged.then(read).flatten() else { return Vec::new() };
        calls::of(&value).into_iter().map(|(name, arguments)| Call { name, arguments }).collect()
    }

    /// Whether checks of what is kept would object to an answer.
    pub fn keeps(&mut self, body: &[u8]) -> bool {
        if !self.checks.iter().any(|own| own.looks_at(Hook::Log)) {
            return true;
        }
        let Ok(view) = View::of(body, Body::Answer) else { return false };
        let segments: Vec<&Segment> = view.segments.iter().collect();
        let mut found = Vec::new();
        let clean = self.checks.iter().filter(|own| own.looks_at(Hook::Log)).all(|check| {
            let Some(spans) = check.spans() else { return true };
            for own in &segments {
                spans.find(&own.text, 0, 0, &mut found);
            }
            found.is_empty()
        });
        clean && self.judge(Hook::Log, &segments, &[], None, &mut Said::default()).is_ok()
    }
}
