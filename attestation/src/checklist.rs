//! The argument of one appraisal: every planned check, made or not. A planned check that nobody made is an error.

use crate::rejection::{Check, Code, Outcome, Rejected, Rejection};

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

/// Collects checks as they are made.
pub(crate) struct Checklist {
    plan: Vec<Step>,
    made: Vec<Check>,
    authentic: bool,
}

impl Checklist {
    pub(crate) const fn new(plan: Vec<Step>) -> Self {
        Self { plan, made: Vec::new(), authentic: false }
    }

    /// Adds steps that became known on the way.
    pub(crate) fn plan_more(&mut self, steps: &[Step]) {
        self.plan.extend_from_slice(steps);
    }

    /// From here on the vendor's signatures are known to hold.
    pub(crate) const fn mark_authentic(&mut self) {
        self.authentic = true;
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
        let result = if holds {
            Ok(())
        } else {
            Err(Rejection::new(step.code, step.field, expected.clone(), found.clone()))
        };
        let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
        self.made.push(Check { id: step.id, code: step.code, expected, found, outcome });
        result
    }

    /// Records a step that yields a value, or a rejection with its own code.
    pub(crate) fn yields<T>(
        &mut self,
        step: Step,
        result: Result<T, Rejection>,
        expected: &str,
        found: impl FnOnce(&T) -> String,
    ) -> Result<T, Rejection> {
        let (code, expected, found, outcome) = match &result {
            Ok(value) => (step.code, expected.to_owned(), found(value), Outcome::Pass),
            Err(error) => (error.code, error.expected.clone(), error.found.clone(), Outcome::Fail),
        };
        self.made.push(Check { id: step.id, code, expected, found, outcome });
        result
    }

    /// Records a failure found outside [`Checklist::holds`] and [`Checklist::yields`].
    pub(crate) fn failed(&mut self, step: Step, rejection: Rejection) -> Rejection {
        let Rejection { code, field: _, expected, found } = rejection.clone();
        self.made.push(Check { id: step.id, code, expected, found, outcome: Outcome::Fail });
        rejection
    }

    /// Ends an appraisal in which every check passed.
    pub(crate) fn finish(self) -> Result<Vec<Check>, Rejected> {
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
        let Self { plan, made: mut checks, authentic } = self;
        for step in plan {
            if !checks.iter().any(|check| check.id == step.id) {
                let Step { id, code, field: _ } = step;
                let outcome = Outcome::NotReached;
                checks.push(Check { id, code, expected: String::new(), found: String::new(), outcome });
            }
        }
        Rejected { rejection, checks, authentic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Step = Step::new("first", Code::AttRole, "claims.role");
    const SECOND: Step = Step::new("second", Code::AttNonce, "claims.nonce");

    #[test]
    fn a_check_nobody_made_is_an_error() {
        let mut list = Checklist::new(vec![FIRST, SECOND]);
        assert_eq!(list.holds(FIRST, true, "a", "a"), Ok(()));
        let rejected = list.finish().expect_err("second was skipped");
        assert_eq!(rejected.rejection.code, Code::CheckSkipped);
        assert_eq!(rejected.checks[1].outcome, Outcome::NotReached);
    }

    #[test]
    fn after_a_failure_the_rest_is_not_reached() {
        let mut list = Checklist::new(vec![FIRST, SECOND]);
        let rejection = list.holds(FIRST, false, "gateway", "peer").expect_err("fails");
        let rejected = list.reject(rejection);
        let outcomes: Vec<_> = rejected.checks.iter().map(|check| check.outcome).collect();
        assert_eq!(outcomes, [Outcome::Fail, Outcome::NotReached]);
        assert_eq!(rejected.rejection.code, Code::AttRole);
        assert!(!rejected.authentic);
    }
}
