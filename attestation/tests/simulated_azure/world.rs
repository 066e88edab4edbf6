//! One simulated guest on each kind of hardware, a policy that accepts both, and one appraisal.

use attestation::claims::tdx::Xfam;
use attestation::endorsements::Endorsements;
use attestation::floors::TcbFloors;
use attestation::policy::azure::{AzurePolicy, MANDATORY_PCRS, PcrRelease};
use attestation::policy::{DeploymentRule, HardwareRule, SnpPolicy, TdxPolicy, TdxRelease, TrustAnchors};
use attestation::reference_values::{Release, Requirement};
use attestation::{
    AppraisedEvidence, AzureEvidence, Code, HardwareId, Measurement, Outcome, Policy, Rejected, ReportData,
    Sha256, TeeType, UnixTime, appraise_evidence,
};
use simtee::azure::{AzureAuthority, AzureEvidence as Simulated, AzureSpec};
use simtee::tdx::{TdxAuthority, TdxSpec};
use simtee::{Authority, Processor, ProcessorSpec, Product};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const BOTH: [TeeType; 2] = [TeeType::AzureSnp, TeeType::AzureTdx];
pub(crate) const DATA: ReportData = ReportData::new([0xda; 64]);
const MEASUREMENT: [u8; 48] = [0x3e; 48];

/// The time at which this run's evidence is made.
pub(crate) static NOW: LazyLock<u64> =
    LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs());

pub(crate) static AZURE: LazyLock<AzureAuthority> = LazyLock::new(|| AzureAuthority::create().expect("keys"));
static INTEL: LazyLock<TdxAuthority> = LazyLock::new(|| TdxAuthority::create().expect("keys"));
static AMD: LazyLock<Authority> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    Authority::load_or_create(folder, Product::Genoa.line()).expect("authority")
});
static PROCESSOR: LazyLock<Processor> = LazyLock::new(|| {
    let mut spec = ProcessorSpec::with_version(Product::Genoa, 5);
    spec.report.measurement = MEASUREMENT;
    Processor::new(&AMD, spec).expect("processor")
});

/// A policy that names every value of both guests.
pub(crate) fn policy() -> Policy {
    let register = |byte| Measurement::new([byte; 48]);
    let rtmr = [register(0x10), register(0x11), register(0x12)];
    let tdx = TdxRelease::pinned("simulated", register(0x7d), rtmr, Xfam(0x0006_02e7));
    let values = MANDATORY_PCRS.iter().map(|index| (*index, Sha256::new([*index; 32]))).collect();
    let pcrs = PcrRelease { name: "simulated".to_owned(), values };
    let mut floors = TcbFloors::shipped().expect("floors");
    floors.issued_at = UnixTime::from_seconds(*NOW);
    floors.valid_until = floors.issued_at.plus(Duration::from_hours(24));
    let chip = HardwareId::try_from(&PROCESSOR.report().chip_id[..]).expect("chip id");
    let platform = HardwareId::try_from(&[0x1d; 16][..]).expect("16 bytes");
    let roots = [AMD.ark_certificate(), INTEL.root_certificate(), AZURE.root_certificate()];
    let mut policy = Policy::standard(
        BOTH.to_vec(),
        vec![Release::pinned("simulated", Measurement::new(MEASUREMENT))],
        HardwareRule::Listed(vec![chip, platform]),
        DeploymentRule::Unpinned,
        Vec::new(),
        SnpPolicy::standard(floors),
    )
    .with_tdx(TdxPolicy::standard(vec![tdx]))
    .with_azure(AzurePolicy::standard(vec![pcrs]));
    policy.trust_anchors = TrustAnchors { vendor: true, simulated_roots: roots.map(<[u8]>::to_vec).to_vec() };
    policy
}

/// A guest that quotes the digest of [`DATA`].
pub(crate) fn spec() -> AzureSpec {
    let mut spec = AzureSpec::new(*NOW);
    spec.extra_data = attestation::enclave_claims::tpm_extra_data(&DATA).as_bytes().to_vec();
    spec
}

pub(crate) fn guest(tee: TeeType, spec: &AzureSpec) -> Simulated {
    on_tdx_with(tee, spec, |_| ())
}

/// The same with a change to the Intel platform.
pub(crate) fn on_tdx_with(tee: TeeType, spec: &AzureSpec, edit: impl FnOnce(&mut TdxSpec)) -> Simulated {
    let mut tdx = TdxSpec::new(*NOW);
    edit(&mut tdx);
    match tee {
        TeeType::AzureSnp => AZURE.on_snp(&PROCESSOR, spec),
        _ => AZURE.on_tdx(&INTEL, &tdx, spec),
    }
    .expect("guest")
}

/// The guest's parts in the verifier's types.
pub(crate) fn parts(tee: TeeType, guest: &Simulated) -> (AzureEvidence, Endorsements) {
    let bundle = AzureEvidence {
        hcl_report: guest.hcl_report.clone(),
        tpm_quote: guest.tpm_quote.clone(),
        tpm_signature: guest.tpm_signature.clone(),
        pcrs: guest.pcrs.iter().map(|(index, value)| (*index, Sha256::new(*value))).collect(),
        ak_certificates: guest.ak_certificates.clone(),
        td_quote: guest.td_quote.clone(),
    };
    let endorsements = match tee {
        TeeType::AzureSnp => Endorsements::from_snp_certificate_table(&guest.endorsements).expect("table"),
        _ => Endorsements { collateral: guest.endorsements.clone(), ..Endorsements::default() },
    };
    (bundle, endorsements)
}

pub(crate) fn judge_bundle(
    tee: TeeType,
    (bundle, endorsements): &(AzureEvidence, Endorsements),
    policy: &Policy,
) -> Result<AppraisedEvidence, Rejected> {
    let now = UnixTime::from_seconds(*NOW);
    let expected = Requirement::Exactly(DATA);
    appraise_evidence(tee, &bundle.encode(), &endorsements.encode(), &expected, policy, now)
}

pub(crate) fn judge(tee: TeeType, spec: &AzureSpec, policy: &Policy) -> Result<AppraisedEvidence, Rejected> {
    judge_bundle(tee, &parts(tee, &guest(tee, spec)), policy)
}

/// The code and authenticity of a rejection, which exactly one failed check gave.
#[track_caller]
pub(crate) fn code(result: &Result<AppraisedEvidence, Rejected>) -> Option<(Code, bool)> {
    let rejected = result.as_ref().err()?;
    let fails = rejected.checks.iter().filter(|check| check.outcome == Outcome::Fail);
    let fails: Vec<_> = fails.map(|check| check.code).collect();
    assert_eq!(fails, [rejected.rejection.code], "{rejected}");
    Some((rejected.rejection.code, rejected.authentic))
}
