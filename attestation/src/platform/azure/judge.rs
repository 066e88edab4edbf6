//! Part B's vTPM row over authenticated claims: nonce, certificate rule, mandatory registers, expected values.

use crate::checklist::Checklist;
use crate::claims::paravisor::{AkEndorsement, ParavisorClaims};
use crate::digest::{Sha256, to_hex};
use crate::platform::azure::steps;
use crate::policy::azure::{AkCertificateRule, AzurePolicy, ExtraDataRule, PcrRelease, PcrRule};
use crate::rejection::Rejection;

/// What does not depend on the release.
pub(super) fn guest(
    claims: &ParavisorClaims,
    policy: &AzurePolicy,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let found = to_hex(&claims.extra_data);
    match &policy.extra_data {
        ExtraDataRule::Digest => list.holds(steps::NONCE, true, "judged as report data", found)?,
        ExtraDataRule::Nonce { value, .. } => {
            list.holds(steps::NONCE, claims.extra_data == *value, to_hex(value), found)?;
        }
    }
    let found = match &claims.ak {
        AkEndorsement::Certificate { names } => names.join(", "),
        AkEndorsement::RuntimeData => "none".to_owned(),
    };
    let (holds, expected) = match policy.ak_certificate {
        AkCertificateRule::IfPresent => (true, "one, or none"),
        AkCertificateRule::Required => (claims.ak != AkEndorsement::RuntimeData, "a certificate"),
    };
    list.holds(steps::AK_RULE, holds, expected, found)?;
    let expected = spelled(policy.mandatory.iter());
    // where no value is judged, none has to be there
    let waived = matches!(policy.pcrs, PcrRule::Unchecked { .. });
    let all = policy.mandatory.iter().all(|index| claims.pcrs.contains_key(index));
    let expected = if waived { "any (waived)".to_owned() } else { format!("registers {expected}") };
    list.holds(steps::MANDATORY, all || waived, expected, spelled(claims.pcrs.keys()))
}

/// The registers of a release.
pub(super) fn release(
    claims: &ParavisorClaims,
    policy: &AzurePolicy,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let releases = match &policy.pcrs {
        PcrRule::Pinned(releases) => releases,
        PcrRule::Unchecked { .. } => return list.holds(steps::RELEASE, true, "any (waived)", "not judged"),
    };
    let differing = |release: &PcrRelease| {
        release
            .values
            .iter()
            .find(|(index, value)| claims.pcrs.get(index) != Some(value))
            .map(|(index, _)| *index)
    };
    let matching = releases.iter().find(|release| differing(release).is_none());
    let expected: Vec<String> = releases
        .iter()
        .map(|release| match differing(release) {
            None => release.name.clone(),
            Some(index) => format!("PCR {index} of {}: {}", release.name, value(release.values.get(&index))),
        })
        .collect();
    let differs = || releases.first().and_then(differing);
    let found = match matching {
        Some(release) => release.name.clone(),
        None => differs().map_or_else(String::new, |index| value(claims.pcrs.get(&index))),
    };
    list.holds(steps::RELEASE, matching.is_some(), expected.join("; "), found)
}

fn value(register: Option<&Sha256>) -> String {
    register.map_or_else(|| "not quoted".to_owned(), Sha256::to_hex)
}

fn spelled<'a>(indexes: impl Iterator<Item = &'a u8>) -> String {
    let indexes: Vec<String> = indexes.map(u8::to_string).collect();
    indexes.join(", ")
}
