//! A small share of traffic tries the second member; if that one fails more often than the first, it stops.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong};
use crate::route::tree::Question;
use crate::route::turns::Turns;

/// Makes [`Canary`].
pub struct CanaryKind;

impl StrategyKind for CanaryKind {
    fn name(&self) -> &'static str {
        "canary"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["canary_percent", "minimum_calls", "worse_by_percent"]
    }

    fn configure(&self, settings: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        let wrong = |key, expected: &str| Wrong { member: None, key, expected: expected.to_owned() };
        if settings.members.len() != 2 {
            return Err(wrong("members", "two members: the one that serves, and the one on trial"));
        }
        let percent = settings.canary_percent.unwrap_or(5);
        let worse_by = settings.worse_by_percent.unwrap_or(10);
        if !(1..=50).contains(&percent) {
            return Err(wrong("canary_percent", "1 to 50"));
        }
        if worse_by > 100 {
            return Err(wrong("worse_by_percent", "0 to 100"));
        }
        Ok(Box::new(Canary {
            turns: Turns::new(vec![100_u32.saturating_sub(percent), percent]),
            minimum_calls: settings.minimum_calls.unwrap_or(20).max(1),
            worse_by,
            rolled_back: AtomicBool::new(false),
        }))
    }
}

/// Compares how often both failed in the last half minute. A canary that was rolled back stays out until the
/// configuration is loaded again.
pub struct Canary {
    turns: Turns,
    minimum_calls: u32,
    worse_by: u32,
    rolled_back: AtomicBool,
}

/// The place of the member on trial.
const ON_TRIAL: usize = 1;

impl Strategy for Canary {
    fn order(&self, question: &Question<'_>, candidates: &mut Vec<Candidate>) {
        if !self.rolled_back.load(Ordering::Relaxed) && self.is_worse(question, candidates) {
            self.rolled_back.store(true, Ordering::Relaxed);
        }
        if self.rolled_back.load(Ordering::Relaxed) {
            candidates.retain(|own| own.place != ON_TRIAL);
        }
        self.turns.order(candidates);
    }
}

impl Canary {
    fn is_worse(&self, question: &Question<'_>, candidates: &[Candidate]) -> bool {
        let rate = |place: usize| {
            let own = candidates.iter().find(|own| own.place == place)?;
            let sum = question.in_set(own.leaves).map(|leaf| leaf.health.recent(question.now));
            let (calls, failures) = sum.fold((0_u32, 0_u32), |(calls, failures), (more, failed)| {
                (calls.saturating_add(more), failures.saturating_add(failed))
            });
            (calls > 0).then(|| (calls, 100.0 * f64::from(failures) / f64::from(calls)))
        };
        let Some((_, canary)) = rate(ON_TRIAL).filter(|(calls, _)| *calls >= self.minimum_calls) else {
            return false;
        };
        let stable = rate(0).map_or(0.0, |(_, rate)| rate);
        canary > stable + f64::from(self.worse_by)
    }
}
