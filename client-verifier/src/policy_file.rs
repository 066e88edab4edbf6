//! A policy as a person writes it: TOML in, `attestation::Policy` and the channel's own requirements out.
//! Nothing expected is optional, nothing unknown is ignored, every loosening has a name and is printed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestation::claims::snp::{AbiVersion, Product};
use attestation::evidence::TeeType;
use attestation::policy::{
    ConfigRequirement, ConfigRule, ConfigValue, DeploymentRule, FloorRule, HardwareRule, Policy,
    ProvisionalRule, RevocationRule, SigningKeyRule, SnpPolicy, TrustAnchors, Waiver,
};
use attestation::reference_values::{Release, Requirement};
use attestation::{HardwareId, Measurement};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::tls::{PostQuantum, WebPki};
use reader::{Section, Value};

pub use error::{PolicyCode, PolicyError};
pub use template::{PLACEHOLDER, Table, Template};

mod azure;
mod error;
mod gcp;
mod reader;
mod tdx;
mod template;

/// What a client demands before it sends anything. Made by [`load`] or [`parse`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientPolicy {
    /// What the evidence must say.
    pub appraisal: Policy,
    /// Who vouches for each connection.
    pub binding: Binding,
    /// Which key exchange is acceptable.
    pub post_quantum: PostQuantum,
    /// Whether a public certificate is demanded as well.
    pub webpki: WebPki,
}

/// Who vouches for each connection (`protocol.md` A6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// The hardware itself, with evidence of kind session: slow, and independent of the session key.
    Hardware,
    /// The attested session-binding key.
    Session,
}

impl ClientPolicy {
    /// Whether the policy trusts the roots of simulated TEEs: every result under it is SIMULATED.
    pub fn simulated(&self) -> bool {
        !self.appraisal.trust_anchors.simulated_roots.is_empty()
    }

    /// Every loosening in force, of the evidence and of the channel.
    pub fn waivers(&self) -> Vec<Waiver> {
        let mut waivers = self.appraisal.waivers();
        waivers.extend(self.channel_waivers());
        waivers
    }

    /// The loosenings that concern the channel and the configuration, which the appraisal does not know.
    pub fn channel_waivers(&self) -> Vec<Waiver> {
        let mut waivers = Vec::new();
        let mut push = |rule, reason: &str| waivers.push(Waiver { rule, reason: reason.to_owned() });
        if self.post_quantum == PostQuantum::Compat {
            push("channel.post_quantum", "compat: recorded traffic may be readable one day");
        }
        if matches!(self.webpki, WebPki::NotRequired) {
            push("channel.webpki", "not-required: the attested keyset alone names the TLS key");
        }
        for (pointer, rule) in STANDARD_CONFIG_RULES {
            if !self.appraisal.config_rules.iter().any(|stated| stated.pointer == pointer) {
                push(rule, "any: this part of the public configuration is not judged");
            }
        }
        waivers
    }

    /// Version of the floors file in force, if one is.
    pub(crate) fn floors_version(&self) -> Option<u64> {
        match &self.appraisal.snp.floors {
            FloorRule::File { floors, .. } => Some(floors.version),
            FloorRule::Unchecked { .. } => None,
        }
    }
}

/// Reads a policy file. File names in it are relative to its folder.
pub fn load(path: &Path) -> Result<ClientPolicy, PolicyError> {
    let bytes = read_bounded(path, MAX_POLICY_BYTES)
        .map_err(|fault| PolicyError::new(PolicyCode::File, fault).in_file(path))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| PolicyError::new(PolicyCode::Syntax, "the file is not UTF-8 text").in_file(path))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    parse(&text, folder).map_err(|error| error.in_file(path))
}

/// Reads a policy from its text. File names in it are relative to `folder`.
pub fn parse(text: &str, folder: &Path) -> Result<ClientPolicy, PolicyError> {
    let document = reader::Document::parse(text)?;
    let root = document.root(&ROOT_KEYS)?;
    root.expect_version(FORMAT_VERSION)?;
    let overrides = root.section_or_empty("overrides", &OVERRIDE_KEYS)?;
    let channel = root.section("channel", &CHANNEL_KEYS)?;
    let floors = floors(&root, folder)?;
    let profile = match root.required("profile")?.one_of(&["standard", "hardened"])? {
        "hardened" => SnpPolicy::hardened(floors),
        _ => SnpPolicy::standard(floors),
    };
    let snp = with_overrides(profile, &overrides)?;
    let configuration = configuration(&root)?;
    let mut releases = root
        .required("measurements")?
        .list()?
        .iter()
        .map(|item| {
            let measurement = item.parsed(SPELL_MEASUREMENT, |text| Measurement::from_hex(text).ok())?;
            let host_data = Requirement::Exactly(configuration);
            Ok(Release { host_data, ..Release::pinned("pinned", measurement) })
        })
        .collect::<Result<Vec<_>, PolicyError>>()?;
    releases.extend(azure::paravisors(&root)?);
    let endorsed = gcp::endorsed(&root, &overrides, folder)?;
    releases.extend(endorsed.snp);
    let mut appraisal = Policy::standard(
        tee_types(&root)?,
        releases,
        hardware(&root, &overrides)?,
        deployment(&root)?,
        config_rules(&root)?,
        snp,
    );
    appraisal.tdx = tdx::policy(&root, &endorsed.tdx, &configuration)?;
    appraisal.azure = azure::policy(&root, &overrides)?;
    appraisal.trust_anchors = trust_anchors(&root, folder)?;
    appraisal.max_evidence_age =
        Duration::from_secs(60 * root.required("max_evidence_age_minutes")?.integer()?);
    appraisal.check_for_channel()?;
    Ok(ClientPolicy {
        appraisal,
        binding: match channel.required("binding")?.one_of(&["session", "hardware"])? {
            "hardware" => Binding::Hardware,
            _ => Binding::Session,
        },
        post_quantum: match channel.required("post_quantum")?.one_of(&["strict", "compat"])? {
            "compat" => PostQuantum::Compat,
            _ => PostQuantum::Strict,
        },
        webpki: webpki(&channel, folder)?,
    })
}

/// What the launch must commit to: the configuration file's SHA-256, or nothing at all, which is zeros.
fn configuration(root: &Section<'_>) -> Result<[u8; 32], PolicyError> {
    let Some(value) = root.optional("configuration") else { return Ok([0; 32]) };
    let spelled = "the configuration file's SHA-256: 64 lower-case hexadecimal digits";
    value.parsed(spelled, |text| attestation::Sha256::from_hex(text).ok().map(|hash| *hash.as_bytes()))
}

fn tee_types(root: &Section<'_>) -> Result<Vec<TeeType>, PolicyError> {
    let named = |text: &str| TeeType::ALL.into_iter().find(|tee| tee.as_str() == text);
    root.required("tee_types")?
        .list()?
        .iter()
        .map(|item| item.parsed("a TEE type, for example \"snp\"", named))
        .collect()
}

fn hardware(root: &Section<'_>, overrides: &Section<'_>) -> Result<HardwareRule, PolicyError> {
    let value = root.required("hardware")?;
    let reason = overrides.optional("hardware_any_reason");
    if value.text().is_ok_and(|text| text == "any") {
        let Some(reason) = reason else {
            return Err(value.error(
                PolicyCode::Value,
                "hardware = \"any\" accepts every processor of the vendor and needs overrides.hardware_any_reason",
            ));
        };
        return Ok(HardwareRule::Any { reason: reason.text()?.to_owned() });
    }
    if let Some(reason) = reason {
        return Err(reason.error(PolicyCode::Value, "hardware_any_reason is only for hardware = \"any\""));
    }
    let listed = |item: &Value<'_>| item.parsed(SPELL_HARDWARE, |text| HardwareId::from_hex(text).ok());
    Ok(HardwareRule::Listed(value.list()?.iter().map(listed).collect::<Result<_, _>>()?))
}

fn deployment(root: &Section<'_>) -> Result<DeploymentRule, PolicyError> {
    root.required("deployment")?.parsed("\"unpinned\" or 64 hexadecimal digits", |text| match text {
        "unpinned" => Some(DeploymentRule::Unpinned),
        hex => Some(DeploymentRule::Pinned(*attestation::Sha256::from_hex(hex).ok()?.as_bytes())),
    })
}

fn trust_anchors(root: &Section<'_>, folder: &Path) -> Result<TrustAnchors, PolicyError> {
    let mut simulated_roots = Vec::new();
    for item in root.required("simulated_roots")?.list()? {
        let bytes = item.file(folder, MAX_CERTIFICATE_BYTES)?;
        if bytes.first() != Some(&DER_SEQUENCE) {
            return Err(item.error(PolicyCode::Value, "not a certificate in DER form"));
        }
        simulated_roots.push(bytes);
    }
    // A policy is about the vendors' hardware or about a simulation, never about both.
    Ok(TrustAnchors { vendor: simulated_roots.is_empty(), simulated_roots })
}

fn floors(root: &Section<'_>, folder: &Path) -> Result<attestation::floors::TcbFloors, PolicyError> {
    let value = root.required("floors")?;
    if value.text()? == "shipped" {
        return Ok(attestation::floors::TcbFloors::shipped()?);
    }
    let bytes = value.file(folder, attestation::floors::MAX_FLOORS_BYTES)?;
    let Some(key) = root.optional("floors_key") else {
        return Ok(attestation::floors::TcbFloors::parse(&bytes)?);
    };
    let key = key.parsed("an Ed25519 public key: 64 lower-case hexadecimal digits", |text| {
        attestation::digest::Sha256::from_hex(text).ok().map(|bytes| *bytes.as_bytes())
    })?;
    let mut beside = folder.join(value.text()?).into_os_string();
    beside.push(".sig");
    let signature = read_bounded(Path::new(&beside), SIGNATURE_BYTES)
        .map_err(|fault| value.error(PolicyCode::File, format!("{}: {fault}", beside.display())))?;
    Ok(attestation::floors::TcbFloors::parse_signed(&bytes, &signature, &key)?)
}

fn config_rules(root: &Section<'_>) -> Result<Vec<ConfigRule>, PolicyError> {
    let section = root.free_section("config_rules")?;
    for (pointer, _) in STANDARD_CONFIG_RULES {
        section.required(pointer)?;
    }
    let mut rules = Vec::new();
    for (pointer, value) in section.entries() {
        if !pointer.starts_with('/') {
            return Err(
                value.error(PolicyCode::Value, "a configuration rule is named by a JSON pointer: \"/name\"")
            );
        }
        let requirement = match value.table() {
            Some(comparison) => comparison_rule(&comparison?)?,
            None if value.text().is_ok_and(|text| text == "any") => continue,
            None => ConfigRequirement::Equals(scalar(&value)?),
        };
        rules.push(ConfigRule { pointer: pointer.to_owned(), requirement });
    }
    Ok(rules)
}

fn comparison_rule(comparison: &Section<'_>) -> Result<ConfigRequirement, PolicyError> {
    match (comparison.optional("not"), comparison.optional("at_least")) {
        (Some(value), None) => Ok(ConfigRequirement::NotEquals(scalar(&value)?)),
        (None, Some(value)) => Ok(ConfigRequirement::AtLeast(value.integer()?)),
        (Some(value), Some(_)) => {
            Err(value.error(PolicyCode::Value, "one comparison per rule: not, or at_least"))
        }
        (None, None) => {
            Err(comparison
                .error(PolicyCode::Value, "a rule compares with { not = ... } or { at_least = ... }"))
        }
    }
}

fn scalar(value: &Value<'_>) -> Result<ConfigValue, PolicyError> {
    if let Some(truth) = value.truth() {
        return Ok(ConfigValue::Bool(truth));
    }
    if let Ok(text) = value.text() {
        return Ok(ConfigValue::Text(text.to_owned()));
    }
    value.integer().map(ConfigValue::Integer)
}

fn webpki(channel: &Section<'_>, folder: &Path) -> Result<WebPki, PolicyError> {
    let value = channel.required("webpki")?;
    let roots = channel.optional("webpki_roots");
    if value.one_of(&["required", "not-required"])? == "not-required" {
        return match roots {
            Some(roots) => {
                Err(roots.error(PolicyCode::Value, "webpki_roots is only for webpki = \"required\""))
            }
            None => Ok(WebPki::NotRequired),
        };
    }
    let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(roots) = roots {
        store = RootCertStore::empty();
        for item in roots.list()? {
            let pem = item.file(folder, MAX_PEM_BYTES)?;
            let before = store.len();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let added = certificate.ok().and_then(|certificate| store.add(certificate).ok());
                if added.is_none() {
                    return Err(item.error(PolicyCode::Value, "not a list of certificates in PEM form"));
                }
            }
            if store.len() == before {
                return Err(item.error(PolicyCode::Value, "no certificate in this PEM file"));
            }
        }
        if store.is_empty() {
            return Err(roots.error(PolicyCode::EmptyAllowlist, "an empty list accepts no certificate"));
        }
    }
    Ok(WebPki::Required(Arc::new(store)))
}

fn with_overrides(mut snp: SnpPolicy, overrides: &Section<'_>) -> Result<SnpPolicy, PolicyError> {
    if let Some(risks) = overrides.optional("accept_risk") {
        for risk in risks.list()? {
            risk.one_of(&["milan-root-seed"])?;
            snp.products.push(Product::Milan);
        }
    }
    if let Some(version) = overrides.optional("report_version") {
        if version.integer()? != 2 {
            return Err(version.error(PolicyCode::Value, "only report_version = 2 is an override"));
        }
        snp.versions.push(2);
    }
    if let Some(reason) = overrides.optional("provisional_ok_reason") {
        snp.provisional = ProvisionalRule::Accepted { reason: reason.text()?.to_owned() };
    }
    if let Some(reason) = overrides.optional("offline_grace_reason") {
        snp.revocation = RevocationRule::OfflineGrace { reason: reason.text()?.to_owned() };
    }
    if let Some(csp_id) = overrides.optional("vlek_csp_id") {
        snp.signing_key = SigningKeyRule::Vlek { csp_id: csp_id.text()?.to_owned() };
    }
    if let Some(least) = overrides.optional("abi") {
        snp.abi =
            Requirement::AtLeast(least.parsed("the firmware's ABI as a text, for example \"0.31\"", abi)?);
    }
    if let Some(level) = overrides.optional("vmpl") {
        let level = u32::try_from(level.integer()?).map_err(|_| level.error(PolicyCode::Value, "0 to 3"))?;
        snp.vmpl = Requirement::Exactly(level);
    }
    if let Some(days) = overrides.optional("floors_grace_days")
        && let FloorRule::File { grace, .. } = &mut snp.floors
    {
        *grace = Duration::from_secs(days.integer()?.saturating_mul(86_400));
    }
    Ok(snp)
}

/// `major.minor`, each in its one spelling.
fn abi(text: &str) -> Option<AbiVersion> {
    let (major, minor) = text.split_once('.')?;
    let version = AbiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? };
    (version.to_string() == text).then_some(version)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "people need words for two kinds; the rest is rare")]
fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, &'static str> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file",
        std::io::ErrorKind::PermissionDenied => "the file may not be read",
        _ => "the file cannot be opened",
    })?;
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|_| "the file cannot be read")?;
    if bytes.len() > limit { Err("the file is too large") } else { Ok(bytes) }
}

const FORMAT_VERSION: u64 = 1;

const ROOT_KEYS: [&str; 18] = [
    "version",
    "configuration",
    "profile",
    "tee_types",
    "measurements",
    "hardware",
    "deployment",
    "simulated_roots",
    "floors",
    "floors_key",
    "max_evidence_age_minutes",
    "channel",
    "config_rules",
    "overrides",
    "tdx",
    "azure",
    "azure_paravisor",
    "gcp",
];
const CHANNEL_KEYS: [&str; 4] = ["binding", "post_quantum", "webpki", "webpki_roots"];
const OVERRIDE_KEYS: [&str; 11] = [
    "abi",
    "accept_risk",
    "azure_pcrs",
    "floors_grace_days",
    "gcp_firmware_only_reason",
    "hardware_any_reason",
    "offline_grace_reason",
    "provisional_ok_reason",
    "report_version",
    "vlek_csp_id",
    "vmpl",
];
/// Rules that must be stated; `"any"` waives one, by name and in print.
const STANDARD_CONFIG_RULES: [(&str, &str); 3] = [
    ("/content_logging", "config.content_logging"),
    ("/debug", "config.debug"),
    ("/stream_shape", "config.stream_shape"),
];

const SPELL_HARDWARE: &str = "a processor's id: 16 to 128 lower-case hexadecimal digits";
const SPELL_MEASUREMENT: &str = "a launch measurement: 96 lower-case hexadecimal digits";

const DER_SEQUENCE: u8 = 0x30;
const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;
const MAX_PEM_BYTES: usize = 1024 * 1024;
/// An Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;
const MAX_POLICY_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests;
