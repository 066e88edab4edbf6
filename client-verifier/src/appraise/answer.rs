//! The answer as one type.

use attestation::policy::Policy;
use attestation::{Check, Outcome, Rejected};
use serde::Serialize;
use serde_json::{Map, Value};

use super::malformed::Malformed;

/// An answer of format `postern.appraise/1`.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Always the same.
    pub format: Format,
    /// What was decided.
    pub verdict: Verdict,
    /// Why not; none when accepted.
    pub code: Option<&'static str>,
    /// Which field decided.
    pub field: Option<String>,
    /// What would have been accepted there.
    pub expected: Option<String>,
    /// What was there.
    pub found: Option<String>,
    /// Whether the vendor's signatures, chain, collateral and revocation held, whatever the policy says then. False
    /// also where material is missing: the code then says so, and nothing says that the evidence is forged.
    pub authentic: bool,
    /// What authentic evidence states; empty where nothing is authentic.
    pub claims: Map<String, Value>,
    /// Every loosening in force.
    pub waivers: Vec<WaiverLine>,
    /// Every check in order.
    pub checks: Vec<CheckLine>,
}

/// The format's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Format {
    /// The first.
    #[serde(rename = "postern.appraise/1")]
    One,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every check held.
    Accepted,
    /// The request cannot be understood, so nothing was judged.
    Malformed,
    /// A check did not hold.
    Rejected,
}

/// One loosening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaiverLine {
    /// The rule that is loosened.
    pub rule: &'static str,
    /// Why.
    pub reason: String,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// Stable name.
    pub id: &'static str,
    /// How it ended.
    pub result: CheckResult,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// It did not hold.
    Fail,
    /// An earlier one did not hold, so it was not made.
    NotReached,
    /// It held.
    Pass,
}

impl Answer {
    pub(super) fn accepted(claims: Map<String, Value>, policy: &Policy, checks: &[Check]) -> Self {
        Self {
            format: Format::One,
            verdict: Verdict::Accepted,
            code: None,
            field: None,
            expected: None,
            found: None,
            authentic: true,
            claims,
            waivers: waivers(policy),
            checks: lines(checks),
        }
    }

    pub(super) fn rejected(rejected: &Rejected, claims: Map<String, Value>, policy: &Policy) -> Self {
        let rejection = &rejected.rejection;
        Self {
            format: Format::One,
            verdict: Verdict::Rejected,
            code: Some(rejection.code.as_str()),
            field: Some(rejection.field.to_owned()),
            expected: Some(rejection.expected.clone()),
            found: Some(rejection.found.clone()),
            authentic: rejected.authentic,
            claims,
            waivers: waivers(policy),
            checks: lines(&rejected.checks),
        }
    }

    pub(super) fn malformed(malformed: &Malformed) -> Self {
        Self {
            format: Format::One,
            verdict: Verdict::Malformed,
            code: Some(malformed.code.as_str()),
            field: Some(malformed.field.clone()),
            expected: Some(malformed.expected.clone()),
            found: Some(malformed.found.clone()),
            authentic: false,
            claims: Map::new(),
            waivers: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// The JSON text, without a last newline.
    ///
    /// # Errors
    /// None that a value of this type can cause; a caller treats one as its own fault.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

fn waivers(policy: &Policy) -> Vec<WaiverLine> {
    policy.waivers().into_iter().map(|own| WaiverLine { rule: own.rule, reason: own.reason }).collect()
}

fn lines(checks: &[Check]) -> Vec<CheckLine> {
    let result = |outcome| match outcome {
        Outcome::Pass => CheckResult::Pass,
        Outcome::Fail => CheckResult::Fail,
        Outcome::NotReached => CheckResult::NotReached,
    };
    checks.iter().map(|check| CheckLine { id: check.id, result: result(check.outcome) }).collect()
}
