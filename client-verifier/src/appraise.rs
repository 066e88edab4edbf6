//! `postern.appraise/1`: one request with evidence and everything that is expected of it, one answer. Offline, without
//! a clock of its own, for pipelines, auditors and programs in other languages. `client-verifier/schema` describes both
//! documents.

mod answer;
mod claims;
mod malformed;
mod material;
mod overrides;
mod profile;
mod request;

pub use answer::{Answer, CheckLine, CheckResult, Format, Verdict, WaiverLine};
pub use malformed::{Malformed, MalformedCode};
pub use request::Request;

use std::io::Read;

use attestation::policy::Policy;
use attestation::{AppraisedEvidence, Rejected, appraise_evidence, explain_evidence};

/// Longest request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 2 * 1024 * 1024;

/// How far an appraisal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// To the first check that fails.
    Decide,
    /// Through every check that can still be made; verdict and first failure are the same.
    Explain,
}

/// An answer with the whole argument behind it.
#[derive(Clone, Debug)]
pub struct Argument {
    /// What the caller is told.
    pub answer: Answer,
    /// Every check with what was expected and found. Empty for a malformed request.
    pub checks: Vec<attestation::Check>,
}

/// Answers the request in `bytes`.
pub fn appraise(bytes: &[u8], depth: Depth) -> Argument {
    match Request::parse(bytes).and_then(|request| judge(&request, depth)) {
        Ok(argument) => argument,
        Err(malformed) => Argument { answer: Answer::malformed(&malformed), checks: Vec::new() },
    }
}

/// Reads a request, at most [`MAX_REQUEST_BYTES`] of it, and answers it.
///
/// # Errors
/// The reader's own.
pub fn appraise_from(reader: impl Read, depth: Depth) -> std::io::Result<Argument> {
    let most = u64::try_from(MAX_REQUEST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    reader.take(most).read_to_end(&mut bytes)?;
    Ok(appraise(&bytes, depth))
}

fn judge(request: &Request, depth: Depth) -> Result<Argument, Malformed> {
    let material = material::of(request)?;
    let policy: Policy = profile::policy(request)?;
    let judged = match depth {
        Depth::Decide => appraise_evidence,
        Depth::Explain => explain_evidence,
    };
    let expected = profile::report_data(request);
    let result =
        judged(material.tee, &material.evidence, &material.endorsements, &expected, &policy, request.at());
    match result {
        Ok(accepted) => Ok(of_accepted(accepted, &material, &policy)),
        Err(rejected) => of_rejected(rejected, &material, &policy),
    }
}

fn of_accepted(accepted: AppraisedEvidence, material: &material::Material, policy: &Policy) -> Argument {
    let claims = claims::of(&accepted.hardware, material, Some(accepted.expires_at));
    Argument { answer: Answer::accepted(claims, policy, &accepted.checks), checks: accepted.checks }
}

/// A rejection; one of the policy itself is a fault of the request, which nothing was judged by.
fn of_rejected(
    rejected: Rejected,
    material: &material::Material,
    policy: &Policy,
) -> Result<Argument, Malformed> {
    if let Some(malformed) = Malformed::of_policy(&rejected.rejection) {
        return Err(malformed);
    }
    let claims = rejected.stated.as_ref().map(|stated| claims::of(stated, material, None));
    let answer = Answer::rejected(&rejected, claims.unwrap_or_default(), policy);
    Ok(Argument { answer, checks: rejected.checks })
}
