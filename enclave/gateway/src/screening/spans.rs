//! From places that were found to what is done about them.

use std::ops::Range;
use std::sync::Arc;

use super::{Guard, Phase, Said};
use crate::content::{Change, Kind};
use crate::error::Error;
use crate::guardrail::{Action, Check, Finding, Mode, REQUIRE_ATTESTED, StreamMode};
use crate::screening::report::Status;

/// A place that a check found.
pub(super) struct Hit {
    /// The check's place in the guard's list.
    pub(super) check: usize,
    pub(super) at: Range<usize>,
    pub(super) what: &'static str,
}

/// Gives the check's labels, if its action is to label; false if it refuses or changes.
pub(super) fn labels(check: &Check, said: &mut Said) -> bool {
    match check.action {
        Action::Label => said.labels.extend(check.label.clone()),
        Action::RequireAttested => {
            said.labels.insert(REQUIRE_ATTESTED.into());
        }
        Action::Block | Action::Mask | Action::Redact => return false,
    }
    true
}

/// Adds changes to others of the same text; those that were there win where both touch.
pub(super) fn merge(changes: &mut Vec<Change>, more: Vec<Change>) {
    for own in more {
        let touches = |other: &Change| other.at.start < own.at.end && own.at.start < other.at.end;
        if !changes.iter().any(touches) {
            changes.push(own);
        }
    }
    changes.sort_by_key(|own| own.at.start);
}

impl Guard {
    /// What all finders that look here find in a text from `from` on, in order.
    pub(super) fn found(&self, phase: Phase, kind: Kind, text: &str, base: usize, from: usize) -> Vec<Hit> {
        let mut hits = Vec::new();
        if from >= text.len() {
            return hits;
        }
        let mut found: Vec<Finding> = Vec::new();
        for (number, check) in self.checks.iter().enumerate() {
            let Some(spans) = check.spans().filter(|_| phase.concerns(check, kind)) else { continue };
            found.clear();
            spans.find(text, base, from, &mut found);
            hits.extend(found.drain(..).map(|own| Hit { check: number, at: own.at, what: own.what }));
        }
        hits.sort_by_key(|hit| hit.at.start);
        hits
    }

    /// What is done about places: labels, changes, or a refusal. Places that touch become one, named after the longest.
    pub(super) fn decide(
        &mut self,
        phase: Phase,
        text: &str,
        hits: Vec<Hit>,
        may_change: bool,
        said: &mut Said,
    ) -> Result<Vec<Change>, Error> {
        let mut to_change: Vec<Hit> = Vec::new();
        for hit in hits {
            let Some(check) = self.checks.get(hit.check) else { continue };
            let watches =
                check.mode == Mode::Shadow || phase == Phase::Answer && check.stream == StreamMode::Detect;
            if watches {
                self.report.set(&check.name, Status::ShadowWouldBlock);
            } else if labels(check, said) {
                self.report.set(&check.name, Status::Intervened);
            } else if check.action == Action::Block || !may_change {
                self.report.set(&check.name, Status::Blocked);
                return Err(Error::ContentRefused { guardrail: Arc::clone(&check.name) });
            } else {
                self.report.set(&check.name, Status::Intervened);
                match to_change.last_mut().filter(|last| hit.at.start < last.at.end) {
                    Some(last) => {
                        let whole = last.at.start..last.at.end.max(hit.at.end);
                        if hit.at.len() > last.at.len() {
                            (last.check, last.what) = (hit.check, hit.what);
                        }
                        last.at = whole;
                    }
                    None => to_change.push(hit),
                }
            }
        }
        to_change.into_iter().map(|hit| self.change(phase, text, hit)).collect()
    }

    /// What comes in the place of one that was found. Answers are masked for good: their reader has no placeholder to send.
    pub(super) fn change(&mut self, phase: Phase, text: &str, hit: Hit) -> Result<Change, Error> {
        let Some(check) = self.checks.get(hit.check).map(Arc::clone) else {
            return Ok(Change { at: hit.at, with: String::new() });
        };
        let with = if check.action == Action::Mask && phase == Phase::Request {
            let value = text.get(hit.at.clone()).unwrap_or_default();
            if let Ok(own) = self.masks.placeholder(hit.what, value) {
                own.to_owned()
            } else {
                self.report.set(&check.name, Status::Failed);
                return Err(Error::ContentRefused { guardrail: Arc::clone(&check.name) });
            }
        } else {
            let kind = || format!("[{}]", hit.what.to_ascii_uppercase());
            check.replacement.clone().unwrap_or_else(kind)
        };
        Ok(Change { at: hit.at, with })
    }

    /// What a text of an answer says in the place of its placeholders.
    pub(super) fn unmasked(&self, text: &str, from: usize) -> Vec<Change> {
        if self.masks.is_empty() {
            return Vec::new();
        }
        let found = self.masks.find(text, from);
        found.into_iter().map(|(at, value)| Change { at, with: value.to_owned() }).collect()
    }
}
