//! The whole argument, from claims to `Verified`, over a TPM quote in place of a report.

use crate::world::{BOTH, NOW, guest, parts, policy, spec};
use attestation::enclave_claims::{TimeQuality, report_data, tpm_extra_data};
use attestation::evidence::CpuEvidence;
use attestation::keyset::TlsKey;
use attestation::{
    Channel, Code, EnclaveClaims, EvidenceDocument, Expected, Keyset, Kind, Nonce, Role, Sha256, Sha384,
    TeeType, UnixTime, appraise,
};
use std::time::Duration;

const NONCE: Nonce = Nonce::new([0x4e; 32]);
const CONFIG: &[u8] = b"{}";

/// A document over a guest that quotes for `quoted`, the claims it hands over being others if those differ.
fn document(tee: TeeType, claims: &EnclaveClaims, quoted: &EnclaveClaims, keyset: &Keyset) -> Vec<u8> {
    let mut spec = spec();
    spec.extra_data = tpm_extra_data(&report_data(&quoted.encode())).as_bytes().to_vec();
    let (bundle, endorsements) = parts(tee, &guest(tee, &spec));
    let document = EvidenceDocument {
        claims: claims.encode(),
        keyset: keyset.encode(),
        cpu: CpuEvidence { tee, bytes: bundle.encode() },
        endorsements: endorsements.encode(),
        devices: None,
        release: None,
        deployment: None,
    };
    let encoded = document.encode();
    assert_eq!(EvidenceDocument::decode(&encoded), Ok(document));
    encoded
}

#[test]
fn a_document_over_a_tpm_quote_opens_a_channel_and_one_over_other_claims_does_not() {
    let now = UnixTime::from_seconds(*NOW);
    let keyset = Keyset {
        epoch: 1,
        not_after: now.plus(Duration::from_mins(70)),
        tls: vec![TlsKey { spki_sha256: Sha256::new([0x5b; 32]), names: vec!["gateway.example".to_owned()] }],
        ohttp: None,
        sbk: [0x5e; 32],
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
    let expected = Expected::Challenge { role: Role::Gateway, nonce: NONCE };
    for tee in BOTH {
        let verdict = |document: &[u8]| appraise(document, CONFIG, &expected, &policy(), now);
        let verified = verdict(&document(tee, &claims, &claims, &keyset)).expect("verified");
        assert_eq!(verified.hardware().tee, tee);
        assert!(verified.simulated() && verified.hardware().paravisor.is_some());
        let other = EnclaveClaims { instance_id: [2; 16], ..claims.clone() };
        let rejected = verdict(&document(tee, &claims, &other, &keyset)).expect_err("other claims");
        assert_eq!((rejected.rejection.code, rejected.authentic), (Code::AttReportData, false));
    }
}
