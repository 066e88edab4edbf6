//! A simulated deployment: authority, processor, claims, keyset, document and the policy that accepts them.

use attestation::claims::snp::Product as Line;
use attestation::enclave_claims::{TimeQuality, report_data};
use attestation::endorsements::Endorsements;
use attestation::evidence::CpuEvidence;
use attestation::floors::TcbFloors;
use attestation::keyset::TlsKey;
use attestation::policy::snp::{FloorRule, SnpPolicy};
use attestation::policy::{
    ConfigRequirement, ConfigRule, ConfigValue, DeploymentRule, HardwareRule, TrustAnchors,
};
use attestation::reference_values::Release;
use attestation::{
    Channel, Code, EnclaveClaims, EvidenceDocument, Expected, HardwareId, Keyset, Kind, Measurement, Nonce,
    Outcome, Policy, Rejected, Role, Sha256, Sha384, TeeType, UnixTime, Verified, appraise, explain,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use simtee::{Authority, Fault, Processor, ProcessorSpec, Product, Report};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const NONCE: Nonce = Nonce::new([0x4e; 32]);
pub(crate) const EKM: [u8; 32] = [0x6b; 32];
pub(crate) const SPKI: Sha256 = Sha256::new([0x5b; 32]);
pub(crate) const NAME: &str = "gateway.example";
pub(crate) const CONFIG: &[u8] = br#"{"content_logging":false,"debug":false}"#;
const MEASUREMENT: [u8; 48] = [0x3e; 48];

static MILAN: LazyLock<Authority> = LazyLock::new(|| authority(Product::Milan));
static GENOA: LazyLock<Authority> = LazyLock::new(|| authority(Product::Genoa));
static TURIN: LazyLock<Authority> = LazyLock::new(|| authority(Product::Turin));

/// Kept between runs: three RSA-4096 keys take seconds.
fn authority(product: Product) -> Authority {
    Authority::load_or_create(Path::new(env!("CARGO_TARGET_TMPDIR")), product.line()).expect("authority")
}

/// Another Genoa authority: the same names, other keys.
pub(crate) fn other_authority() -> Authority {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("other");
    Authority::load_or_create(&folder, Product::Genoa.line()).expect("authority")
}

pub(crate) fn authority_of(product: Product) -> &'static Authority {
    match product {
        Product::Milan => &MILAN,
        Product::Genoa | Product::Siena => &GENOA,
        Product::Turin => &TURIN,
    }
}

/// The time at which this run's evidence is made.
pub(crate) static NOW: LazyLock<UnixTime> = LazyLock::new(|| {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    UnixTime::from_seconds(elapsed.as_secs())
});

pub(crate) fn session_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[0x5e; 32]).expect("seed")
}

/// Everything one appraisal takes, good in every respect until a test changes it.
pub(crate) struct World {
    pub(crate) processor: Processor,
    pub(crate) claims: EnclaveClaims,
    pub(crate) keyset: Keyset,
    pub(crate) config: Vec<u8>,
    pub(crate) expected: Expected,
    pub(crate) policy: Policy,
    pub(crate) now: UnixTime,
}

impl World {
    /// An up-to-date machine of this product with version 5 reports.
    pub(crate) fn new(product: Product) -> Self {
        Self::with(product, 5, |_| ())
    }

    /// The same with another report version and a change to the processor before its chain is made.
    pub(crate) fn with(product: Product, version: u32, change: impl FnOnce(&mut ProcessorSpec)) -> Self {
        let mut spec = ProcessorSpec::with_version(product, version);
        spec.report.measurement = MEASUREMENT;
        change(&mut spec);
        let authority = authority_of(product);
        let processor = Processor::new(authority, spec).expect("processor");
        let keyset = Keyset {
            epoch: 1,
            not_after: NOW.plus(Duration::from_mins(70)),
            tls: vec![TlsKey { spki_sha256: SPKI, names: vec![NAME.to_owned()] }],
            ohttp: None,
            sbk: session_key().public_key().as_ref().try_into().expect("32 bytes"),
            rck: None,
            prv: None,
        };
        let claims = EnclaveClaims {
            role: Role::Gateway,
            kind: Kind::Challenge { nonce: NONCE },
            keyset_digest: Sha384::of(&keyset.encode()),
            config_digest: Sha384::of(CONFIG),
            deployment_id: [0; 32],
            instance_id: [1; 16],
            channels: vec![Channel::T],
            min_version: 1,
            max_version: 1,
            state_head: None,
            log: None,
            gpu_digest: None,
            time_quality: TimeQuality::Good,
        };
        let policy = policy(product, &processor);
        let expected = Expected::Challenge { role: Role::Gateway, nonce: NONCE };
        Self { processor, claims, keyset, config: CONFIG.to_vec(), expected, policy, now: *NOW }
    }

    pub(crate) fn faulty(product: Product, fault: Fault) -> Self {
        Self::with(product, 5, |spec| spec.fault = Some(fault))
    }

    /// The document with a last change to the report before it is signed.
    pub(crate) fn document_with(&self, change: impl FnOnce(&mut Report)) -> EvidenceDocument {
        let claims = self.claims.encode();
        let data = report_data(&claims);
        let quote = self.processor.quote_with(data.as_bytes(), change).expect("quote");
        let endorsements = Endorsements::from_snp_certificate_table(&quote.certificate_table).expect("table");
        EvidenceDocument {
            claims,
            keyset: self.keyset.encode(),
            cpu: CpuEvidence { tee: TeeType::Snp, bytes: quote.report },
            endorsements: endorsements.encode(),
            devices: None,
            release: None,
            deployment: None,
        }
    }

    pub(crate) fn document(&self) -> EvidenceDocument {
        self.document_with(|_| ())
    }

    pub(crate) fn appraise(&self) -> Result<Verified, Rejected> {
        self.judge(&self.document())
    }

    pub(crate) fn appraise_with(&self, change: impl FnOnce(&mut Report)) -> Result<Verified, Rejected> {
        self.judge(&self.document_with(change))
    }

    pub(crate) fn judge(&self, document: &EvidenceDocument) -> Result<Verified, Rejected> {
        self.judge_bytes(&document.encode())
    }

    /// The bare verdict, for loops over thousands of documents.
    pub(crate) fn accepts(&self, document: &EvidenceDocument) -> bool {
        appraise(&document.encode(), &self.config, &self.expected, &self.policy, self.now).is_ok()
    }

    pub(crate) fn judge_bytes(&self, document: &[u8]) -> Result<Verified, Rejected> {
        let result = appraise(document, &self.config, &self.expected, &self.policy, self.now);
        if let Err(rejected) = &result {
            let failed: Vec<_> =
                rejected.checks.iter().filter(|check| check.outcome == Outcome::Fail).collect();
            let [failed] = failed[..] else { panic!("one check fails, not {failed:?}") };
            assert_eq!(failed.code, rejected.rejection.code);
            self.explained(document, rejected);
        }
        result
    }
}

impl World {
    /// An explanation has the same verdict and lists at least what the appraisal listed, in the same order.
    fn explained(&self, document: &[u8], rejected: &Rejected) {
        let explained = explain(document, &self.config, &self.expected, &self.policy, self.now)
            .expect_err("an explanation never accepts what an appraisal rejects");
        assert_eq!(explained.rejection, rejected.rejection);
        assert_eq!(explained.authentic, rejected.authentic, "{rejected}");
        let made = |list: &Rejected| {
            let made = list.checks.iter().filter(|check| check.outcome != Outcome::NotReached);
            made.cloned().collect::<Vec<_>>()
        };
        assert!(made(&explained).starts_with(&made(rejected)), "{rejected}");
    }
}

fn policy(product: Product, processor: &Processor) -> Policy {
    let chip = &processor.report().chip_id[..product.hardware_id_length()];
    let release = Release::pinned("test", Measurement::new(MEASUREMENT));
    let mut snp = SnpPolicy::standard(floors());
    if product == Product::Milan {
        snp.products.push(Line::Milan);
    }
    let rule = |name: &str| ConfigRule {
        pointer: format!("/{name}"),
        requirement: ConfigRequirement::Equals(ConfigValue::Bool(false)),
    };
    let mut policy = Policy::standard(
        vec![TeeType::Snp],
        vec![release],
        HardwareRule::Listed(vec![HardwareId::try_from(chip).expect("chip id")]),
        DeploymentRule::Unpinned,
        vec![rule("content_logging"), rule("debug")],
        snp,
    );
    policy.trust_anchors = TrustAnchors {
        vendor: true,
        simulated_roots: vec![authority_of(product).ark_certificate().to_vec()],
    };
    policy
}

/// The shipped floors, dated around this run.
pub(crate) fn floors() -> TcbFloors {
    let mut floors = TcbFloors::shipped().expect("floors");
    floors.issued_at = *NOW;
    floors.valid_until = NOW.plus(Duration::from_hours(24));
    floors
}

/// The floors of a policy, to be changed.
pub(crate) fn floors_mut(policy: &mut Policy) -> &mut TcbFloors {
    match &mut policy.snp.floors {
        FloorRule::File { floors, .. } => floors,
        FloorRule::Unchecked { .. } => panic!("no floors"),
    }
}

/// The code of a rejection; panics when there is none.
#[track_caller]
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Rejected>) -> Code {
    result.expect_err("rejected").rejection.code
}
