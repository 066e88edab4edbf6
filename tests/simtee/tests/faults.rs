//! Each fault changes what it says, and a chain without one is as AMD's are.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::Path;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use simtee::certificate_table::{self, Kind};
use simtee::{Authority, Chain, Fault, Product, Signer};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    Authority::load_or_create(Path::new(env!("CARGO_TARGET_TMPDIR")), Product::Genoa.line()).unwrap()
});

/// A chain as another implementation reads it from its DER.
struct Read {
    ark: Certificate,
    intermediate: Certificate,
    vek: Certificate,
    crl: Option<CertificateList>,
}

impl Read {
    fn of(chain: &Chain) -> Self {
        Self {
            ark: Certificate::from_der(&chain.ark).unwrap(),
            intermediate: Certificate::from_der(&chain.intermediate).unwrap(),
            vek: Certificate::from_der(&chain.vek).unwrap(),
            crl: chain.crl.as_ref().map(|crl| CertificateList::from_der(crl).unwrap()),
        }
    }

    /// The value of the VEK's extension with this id.
    fn vek_extension(&self, id: &str) -> Vec<Vec<u8>> {
        let extensions = self.vek.tbs_certificate.extensions.as_ref().unwrap();
        let matching = extensions.iter().filter(|extension| extension.extn_id.to_string() == id);
        matching.map(|extension| extension.extn_value.as_bytes().to_vec()).collect()
    }

    fn revoked(&self) -> Vec<Vec<u8>> {
        let entries = self.crl.as_ref().unwrap().tbs_cert_list.revoked_certificates.clone();
        let serial = |entry: x509_cert::crl::RevokedCert| entry.serial_number.as_bytes().to_vec();
        entries.unwrap_or_default().into_iter().map(serial).collect()
    }
}

fn hardware_id() -> Vec<u8> {
    (0..64).collect()
}

fn chain(fault: Option<Fault>) -> Read {
    let signer = Signer::Vcek { hardware_id: hardware_id() };
    let tcb = Product::Genoa.current_tcb();
    Read::of(&Chain::issue(&AUTHORITY, Product::Genoa, &signer, tcb, fault).unwrap())
}

fn subject(certificate: &Certificate) -> String {
    certificate.tbs_certificate.subject.to_string()
}

fn validity(certificate: &Certificate) -> (u64, u64) {
    let validity = &certificate.tbs_certificate.validity;
    (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

const MICROCODE: &str = "1.3.6.1.4.1.3704.1.3.8";
const HARDWARE_ID: &str = "1.3.6.1.4.1.3704.1.4";
const CSP_ID: &str = "1.3.6.1.4.1.3704.1.5";

#[test]
fn a_good_chain_has_amds_names_dates_and_extensions() {
    let good = chain(None);
    assert_eq!(
        subject(&good.ark),
        "CN=ARK-Genoa,O=Advanced Micro Devices,ST=CA,L=Santa Clara,C=US,OU=Engineering"
    );
    assert!(subject(&good.intermediate).starts_with("CN=SEV-Genoa,"));
    assert!(subject(&good.vek).starts_with("CN=SEV-VCEK,"));
    assert_eq!(good.vek.tbs_certificate.issuer, good.intermediate.tbs_certificate.subject);
    assert_eq!(good.intermediate.tbs_certificate.issuer, good.ark.tbs_certificate.subject);
    assert_eq!(good.vek_extension(HARDWARE_ID), [hardware_id()]);
    assert_eq!(good.vek_extension(MICROCODE), [[2, 1, Product::Genoa.current_tcb().microcode]]);
    assert_eq!(good.revoked(), Vec::<Vec<u8>>::new());
    for certificate in [&good.ark, &good.intermediate, &good.vek] {
        let (from, to) = validity(certificate);
        assert!(from < now() && now() < to);
    }
}

#[test]
fn root_and_revocation_faults_say_what_they_say() {
    let good = chain(None);
    let wrong = chain(Some(Fault::WrongRoot)).ark.tbs_certificate;
    assert_eq!(wrong.subject, good.ark.tbs_certificate.subject);
    assert_ne!(wrong.subject_public_key_info, good.ark.tbs_certificate.subject_public_key_info);

    assert!(validity(&chain(Some(Fault::IntermediateExpired)).intermediate).1 < now());
    assert!(validity(&chain(Some(Fault::VekExpired)).vek).1 < now());
    assert!(validity(&chain(Some(Fault::VekNotYetValid)).vek).0 > now());

    let revoked = chain(Some(Fault::IntermediateRevoked));
    let serial = revoked.intermediate.tbs_certificate.serial_number.as_bytes().to_vec();
    assert_eq!(revoked.revoked(), [serial]);
    let revoked = chain(Some(Fault::VekRevoked));
    assert_eq!(revoked.revoked(), [revoked.vek.tbs_certificate.serial_number.as_bytes().to_vec()]);

    assert!(chain(Some(Fault::CrlMissing)).crl.is_none());
    let list = chain(Some(Fault::CrlExpired)).crl.unwrap().tbs_cert_list;
    assert!(list.next_update.unwrap().to_unix_duration().as_secs() < now());
}

#[test]
fn endorsement_faults_say_what_they_say() {
    let good = chain(None);
    let curve = |read: &Read| read.vek.tbs_certificate.subject_public_key_info.algorithm.clone();
    assert_ne!(curve(&chain(Some(Fault::VekOnP256))), curve(&good));
    assert_ne!(chain(Some(Fault::VekTcbMismatch)).vek_extension(MICROCODE), good.vek_extension(MICROCODE));
    let other = chain(Some(Fault::HardwareIdMismatch)).vek_extension(HARDWARE_ID);
    assert_eq!(other[0][..63], hardware_id()[..63]);
    assert_ne!(other[0][63], hardware_id()[63]);
    assert!(chain(Some(Fault::HolderMissing)).vek_extension(HARDWARE_ID).is_empty());
    assert_eq!(
        chain(Some(Fault::ProductNameMismatch)).vek_extension("1.3.6.1.4.1.3704.1.2"),
        [b"\x16\x05Turin"]
    );
    let swapped = chain(Some(Fault::AskAsvkSwapped));
    assert!(subject(&swapped.intermediate).starts_with("CN=SEV-VLEK-Genoa,"));
    assert!(subject(&swapped.vek).starts_with("CN=SEV-VCEK,"));
    let named = chain(Some(Fault::VlekNamedVcek));
    assert!(subject(&named.vek).starts_with("CN=SEV-VCEK,"));
    assert!(named.vek_extension(HARDWARE_ID).is_empty() && named.vek_extension(CSP_ID).len() == 1);
    assert_eq!(chain(Some(Fault::DuplicateExtension)).vek_extension(MICROCODE).len(), 2);
    let critical = chain(Some(Fault::UnknownCriticalExtension));
    let extensions = critical.vek.tbs_certificate.extensions.unwrap();
    assert!(extensions.iter().any(|extension| extension.critical));
}

#[test]
fn every_fault_has_a_name_and_a_chain() {
    for (fault, name) in Fault::ALL {
        assert_eq!(name.parse::<Fault>().unwrap(), fault);
        chain(Some(fault));
    }
    assert!("nonsense".parse::<Fault>().unwrap_err().to_string().contains("wrong-root"));
}

#[test]
fn the_table_of_a_vlek_chain_carries_its_own_kind() {
    let signer = Signer::Vlek { csp_id: "CN=cc-us-east-2.amazonaws.com".to_owned() };
    let tcb = Product::Genoa.current_tcb();
    let chain = Chain::issue(&AUTHORITY, Product::Genoa, &signer, tcb, None).unwrap();
    let table = certificate_table::decode(&chain.certificate_table()).unwrap();
    let kinds: Vec<Kind> = table.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Vlek, Kind::Ask, Kind::Ark, Kind::Crl]);
    assert!(subject(&Read::of(&chain).intermediate).starts_with("CN=SEV-VLEK-Genoa,"));
}
