//! The policy that a request describes: a profile around what the caller expects, then the overrides.

use attestation::floors::TcbFloors;
use attestation::policy::tdx::TdxReferences;
use attestation::policy::{
    AzurePolicy, DeploymentRule, ExtraDataRule, HardwareRule, PcrRule, Policy, SnpPolicy, TdxPolicy,
    TdxRelease, TrustAnchors,
};
use attestation::reference_values::{ReferenceValues, Release, Requirement};
use attestation::{Measurement, ReportData};
use serde::Deserialize;

use super::malformed::{Malformed, MalformedCode};
use super::overrides::{Overrides, exactly, one_of, said_any};
use super::request::{AnyOr, Platform, Request};

/// A named set of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Profile {
    /// The defaults of policy files.
    Standard,
    /// The strictest.
    Hardened,
    /// The reference policy of the evidence corpus and nothing more.
    Reference,
}

/// What is expected of the report data.
pub(super) fn report_data(request: &Request) -> Requirement<ReportData> {
    exactly(&request.expected.report_data_hex, |data| *data)
}

/// The whole policy.
pub(super) fn policy(request: &Request) -> Result<Policy, Malformed> {
    let (platform, overrides) = (request.platform, &request.policy.overrides);
    overrides.check(platform)?;
    let tee = platform.tee();
    let profile = request.policy.profile;
    let measurement = one_of(&request.expected.measurements_hex, "expected.measurements_hex")?;
    let mut policy = base(profile, request)?;
    policy.tee_types = vec![tee];
    policy.trust_anchors = trust_anchors(request)?;
    if let Some(hardware) = overrides.hardware() {
        policy.hardware = hardware;
    }
    overrides.apply_snp(&mut policy.snp)?;
    overrides.apply_tdx(&mut policy.tdx);
    overrides.apply_azure(&mut policy.azure);
    if platform.intel() {
        let release = tdx_release(profile, measurement, overrides)?;
        policy.tdx.references = TdxReferences::Pinned(vec![release]);
    } else {
        let mut release = match profile {
            Profile::Reference => Release::unjudged("caller", not_judged()),
            Profile::Standard | Profile::Hardened => Release::pinned("caller", Measurement::new([0; 48])),
        };
        release.measurement = measurement;
        overrides.apply_release(&mut release);
        policy.references = ReferenceValues::Pinned(vec![release]);
    }
    Ok(policy)
}

/// The profile before anything that the caller expects.
fn base(profile: Profile, request: &Request) -> Result<Policy, Malformed> {
    let (platform, overrides) = (request.platform, &request.policy.overrides);
    let tee = platform.tee();
    if profile == Profile::Reference {
        let mut policy = Policy::reference(tee, &not_judged()).map_err(|error| fault(&error))?;
        policy.azure.extra_data = extra_data(request);
        return Ok(policy);
    }
    let floors = TcbFloors::shipped().map_err(|error| fault(&error))?;
    let snp = match profile {
        Profile::Hardened => SnpPolicy::hardened(floors),
        Profile::Standard | Profile::Reference => SnpPolicy::standard(floors),
    };
    if profile == Profile::Hardened && platform.intel() && overrides.mr_seam.is_none() {
        let field = "policy.override.mr_seam";
        return Err(Malformed::missing(
            field,
            "the TDX modules that the hardened profile may accept, or \"any\"",
        ));
    }
    let policy = Policy::standard(
        vec![tee],
        Vec::new(),
        HardwareRule::Unnamed,
        DeploymentRule::Unpinned,
        Vec::new(),
        snp,
    );
    let any = matches!(request.expected.measurements_hex, AnyOr::Any);
    if platform.azure() && !any && overrides.pcrs.is_none() {
        let expected = "the registers of the release (a map from index to value), or \"any\"";
        return Err(Malformed::missing("policy.override.pcrs", expected));
    }
    let azure = AzurePolicy {
        // a list stands in its place once the overrides are applied
        pcrs: PcrRule::Unchecked { reason: said_any() },
        extra_data: extra_data(request),
        ..AzurePolicy::standard(Vec::new())
    };
    Ok(policy.with_tdx(TdxPolicy::standard(Vec::new())).with_azure(azure))
}

fn extra_data(request: &Request) -> ExtraDataRule {
    match &request.expected.nonce_hex {
        None => ExtraDataRule::Digest,
        Some(nonce) => ExtraDataRule::Nonce {
            value: nonce.0.0.clone(),
            reason: "the request names the nonce itself, not report data".to_owned(),
        },
    }
}

/// The one release that the caller describes. Its registers have to be named like its launch measurement.
fn tdx_release(
    profile: Profile,
    measurement: Requirement<Measurement>,
    overrides: &Overrides,
) -> Result<TdxRelease, Malformed> {
    let mut release = TdxRelease::unjudged("caller", not_judged());
    if profile != Profile::Reference {
        let registers = measurement.waiver().map(str::to_owned);
        for (given, field) in [
            (overrides.rtmr0.is_some(), "policy.override.rtmr0"),
            (overrides.rtmr1.is_some(), "policy.override.rtmr1"),
            (overrides.rtmr2.is_some(), "policy.override.rtmr2"),
            (overrides.xfam.is_some(), "policy.override.xfam"),
        ] {
            if registers.is_none() && !given {
                return Err(Malformed::missing(
                    field,
                    "what the release with this measurement has, or \"any\"",
                ));
            }
        }
        let pinned = TdxRelease::pinned(
            "caller",
            Measurement::new([0; 48]),
            [Measurement::new([0; 48]); 3],
            attestation::claims::tdx::Xfam(0),
        );
        // what was not named is covered by `measurements_hex: "any"`
        let unjudged = TdxRelease::unjudged("caller", registers.unwrap_or_else(said_any));
        release = TdxRelease { rtmr: unjudged.rtmr, xfam: unjudged.xfam, ..pinned };
    }
    release.mr_td = measurement;
    overrides.apply_tdx_release(&mut release)?;
    Ok(release)
}

/// The compiled-in roots, or only those that the request names.
fn trust_anchors(request: &Request) -> Result<TrustAnchors, Malformed> {
    match &request.trust_anchors_der_b64 {
        None => Ok(TrustAnchors { vendor: true, simulated_roots: Vec::new() }),
        Some(roots) if roots.is_empty() => Err(Malformed::new(
            MalformedCode::Value,
            "trust_anchors_der_b64",
            "at least one root, or the field left out for the vendors' own",
            "an empty list",
        )),
        Some(roots) => {
            let simulated_roots = roots.iter().map(|root| root.0.0.clone()).collect();
            Ok(TrustAnchors { vendor: false, simulated_roots })
        }
    }
}

fn not_judged() -> String {
    "the reference profile leaves this to the caller".to_owned()
}

/// A fault of the shipped floors, which a test excludes.
fn fault(error: &attestation::Rejection) -> Malformed {
    Malformed::new(MalformedCode::Policy, error.field, error.expected.as_str(), error.found.as_str())
}

/// Refuses an expectation that this platform has no place for.
pub(super) fn nonce_applies(platform: Platform, request: &Request) -> Result<(), Malformed> {
    if request.expected.nonce_hex.is_some() && !platform.azure() {
        let platforms = "az-snp and az-tdx; elsewhere a nonce is part of report_data_hex";
        return Err(Malformed::not_applicable("expected.nonce_hex", platforms));
    }
    Ok(())
}
