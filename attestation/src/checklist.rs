//! The argument of one appraisal: every planned check, made or not. A planned check that nobody made is an error.

use crate::claims::HardwareClaims;
use crate::rejection::{Check, Code, Outcome, Rejection};
use std::fmt;

/// One planned check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Stable name.
    pub(crate) id: &'static str,
    /// Code with which it usually rejects.
    pub(crate) code: Code,
    /// The field it judges.
    pub(crate) field: &'static str,
}

impl Step {
    pub(crate) const fn new(id: &'static str, code: Code, field: &'static str) -> Self {
        Self { id, code, field }
    }
}

/// A rejection with the whole list of checks: those made, the one that failed, those not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The first failure, which decides.
    pub rejection: Rejection,
    /// Every check of the plan in order.
    pub checks: Vec<Check>,
    /// Whether the vendor's signatures, chain and revocation had held before the rejection.
    pub authentic: bool,
    /// What authentic evidence says although it is refused, for reports to people; nothing may be granted on it.
    pub stated: Option<Box<HardwareClaims>>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rejection.fmt(f)
    }
}

impl std::error::Error for Rejected {}

/// What happens after a check that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything that can still be judged is judged; the verdict stays with the first failure.
    Explain,
    /// Nothing more is judged.
    Stop,
}

/// Collects checks as they are made.
pub(crate) struct Checklist {
    mode: Mode,
    plan: Vec<Step>,
    made: Vec<Check>,
    first: Option<Rejection>,
    authentic: bool,
    stated: Option<Box<HardwareClaims>>,
}

impl Checklist {
    pub(crate) const fn new(mode: Mode, plan: Vec<Step>) -> Self {
        Self { mode, plan, made: Vec::new(), first: None, authentic: false, stated: None }
    }

    /// Adds steps that became known on the way.
    pub(crate) fn plan_more(&mut self, steps: &[Step]) {
        self.plan.extend_from_slice(steps);
    }

    /// From here on the vendor's signatures are known to hold, unless a check before said otherwise.
    pub(crate) const fn mark_authentic(&mut self) {
        self.authentic = self.first.is_none();
    }

    /// Keeps what authentic evidence says, so that a rejection by policy can tell.
    pub(crate) fn keep(&mut self, claims: &HardwareClaims) {
        if self.authentic {
            self.stated = Some(Box::new(claims.clone()));
        }
    }

    /// The first failure so far.
    pub(crate) const fn first(&self) -> Option<&Rejection> {
        self.first.as_ref()
    }

    /// Whether every check so far held.
    pub(crate) const fn holds_so_far(&self) -> bool {
        self.first.is_none()
    }

    /// Records whether `step` holds.
    pub(crate) fn holds(
        &mut self,
        step: Step,
        holds: bool,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Result<(), Rejection> {
        let (expected, found) = (expected.into(), found.into());
        if holds {
            self.made.push(Check { id: step.id, code: step.code, expected, found, outcome: Outcome::Pass });
            return Ok(());
        }
        let rejection = self.failed(step, Rejection::new(step.code, step.field, expected, found));
        if self.mode == Mode::Explain { Ok(()) } else { Err(rejection) }
    }

    /// Records a step that yields a value, or a rejection with its own code that nothing can follow.
    pub(crate) fn yields<T>(
        &mut self,
        step: Step,
        result: Result<T, Rejection>,
        expected: &str,
        found: impl FnOnce(&T) -> String,
    ) -> Result<T, Rejection> {
        let value = result.map_err(|rejection| self.failed(step, rejection))?;
        let (expected, found) = (expected.to_owned(), found(&value));
        self.made.push(Check { id: step.id, code: step.code, expected, found, outcome: Outcome::Pass });
        Ok(value)
    }

    /// The same for a value that an explanation can go on without.
    pub(crate) fn yields_or<T>(
        &mut self,
        step: Step,
        result: Result<T, Rejection>,
        expected: &str,
        found: impl FnOnce(&T) -> String,
        instead: T,
    ) -> Result<T, Rejection> {
        match self.yields(step, result, expected, found) {
            Err(_) if self.mode == Mode::Explain => Ok(instead),
            other => other,
        }
    }

    /// How many checks were made so far.
    pub(crate) const fn count(&self) -> usize {
        self.made.len()
    }

    /// The checks made since there were `count`.
    pub(crate) fn since(&self, count: usize) -> Vec<Check> {
        self.made.get(count..).unwrap_or_default().to_vec()
    }

    /// Records checks that were made, and held, in an earlier appraisal of the same bytes.
    pub(crate) fn recall(&mut self, checks: &[Check]) {
        self.made.extend_from_slice(checks);
    }

    /// Records a failure.
    pub(crate) fn failed(&mut self, step: Step, rejection: Rejection) -> Rejection {
        let Rejection { code, field: _, expected, found } = rejection.clone();
        self.made.push(Check { id: step.id, code, expected, found, outcome: Outcome::Fail });
        self.first.get_or_insert(rejection).clone()
    }

    /// Puts `cause` before the first failure, as what explains it.
    pub(crate) fn explained_by(&mut self, step: Step, cause: Rejection) {
        let at = self.made.iter().position(|check| check.outcome == Outcome::Fail).unwrap_or(self.made.len());
        if self.mode == Mode::Stop {
            self.made.truncate(at);
        }
        let Rejection { code, field: _, expected, found } = cause.clone();
        self.made.insert(at, Check { id: step.id, code, expected, found, outcome: Outcome::Fail });
        self.first = Some(cause);
    }

    /// Ends an appraisal whose argument came to its end: accepted only if every planned check was made and held.
    pub(crate) fn finish(mut self) -> Result<Vec<Check>, Rejected> {
        if let Some(rejection) = self.first.take() {
            return Err(self.reject(rejection));
        }
        let skipped =
            self.plan.iter().find(|step| !self.made.iter().any(|check| check.id == step.id)).copied();
        match skipped {
            None => Ok(self.made),
            Some(step) => {
                Err(self.reject(Rejection::new(Code::CheckSkipped, step.field, "every check made", step.id)))
            }
        }
    }

    /// Ends an appraisal that failed: what was not reached is listed as such.
    pub(crate) fn reject(self, rejection: Rejection) -> Rejected {
        let Self { mode: _, plan, made: mut checks, first, authentic, stated } = self;
        let rejection = first.unwrap_or(rejection);
        for step in plan {
            if !checks.iter().any(|check| check.id == step.id) {
                let Step { id, code, field: _ } = step;
                let outcome = Outcome::NotReached;
                checks.push(Check { id, code, expected: String::new(), found: String::new(), outcome });
            }
        }
        Rejected { rejection, checks, authentic, stated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Step = Step::new("first", Code::AttRole, "claims.role");
    const SECOND: Step = Step::new("second", Code::AttNonce, "claims.nonce");

    #[test]
    fn a_check_nobody_made_is_an_error() {
        let mut list = Checklist::new(Mode::Stop, vec![FIRST, SECOND]);
        assert_eq!(list.holds(FIRST, true, "a", "a"), Ok(()));
        let rejected = list.finish().expect_err("second was skipped");
        assert_eq!(rejected.rejection.code, Code::CheckSkipped);
        assert_eq!(rejected.checks[1].outcome, Outcome::NotReached);
    }

    #[test]
    fn an_explanation_goes_on_and_keeps_the_first_failure() {
        let mut list = Checklist::new(Mode::Explain, vec![FIRST, SECOND]);
        assert_eq!(list.holds(FIRST, false, "gateway", "peer"), Ok(()));
        list.mark_authentic();
        assert_eq!(
            list.yields_or(
                SECOND,
                Err(Rejection::new(Code::AttNonce, "n", "a", "b")),
                "",
                |_| String::new(),
                7
            ),
            Ok(7)
        );
        let rejected = list.finish().expect_err("failed");
        assert_eq!((rejected.rejection.code, rejected.authentic), (Code::AttRole, false));
        assert!(rejected.checks.iter().all(|check| check.outcome == Outcome::Fail));
    }

    #[test]
    fn after_a_failure_the_rest_is_not_reached() {
        let mut list = Checklist::new(Mode::Stop, vec![FIRST, SECOND]);
        let rejection = list.holds(FIRST, false, "gateway", "peer").expect_err("fails");
        let rejected = list.reject(rejection);
        let outcomes: Vec<_> = rejected.checks.iter().map(|check| check.outcome).collect();
        assert_eq!(outcomes, [Outcome::Fail, Outcome::NotReached]);
        assert_eq!(rejected.rejection.code, Code::AttRole);
        assert!(!rejected.authentic);
    }
}
