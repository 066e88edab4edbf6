//! The checked-in vectors of postern/1 (section A13). `crosscheck.py`, which shares no code with this crate,
//! recomputes the same files.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test reads files and fails by panicking"
)]

use attestation::binding::{
    BindRequest, BindResponse, ChallengeRequest, EXPORTER_LABEL, exporter_context, session_transcript,
    verify_session,
};
use attestation::digest::{from_hex, to_hex};
use attestation::enclave_claims::{report_data, tpm_extra_data};
use attestation::endorsements::Endorsements;
use attestation::{EnclaveClaims, EvidenceDocument, Keyset, Nonce, Role, Sha256, Sha384};
use ring::hkdf;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;
use std::path::Path;

fn vectors(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

fn cases(file: &str) -> Vec<Value> {
    vectors(file).as_array().expect("array").clone()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} in {case}"))
}

fn bytes(case: &Value, key: &str) -> Vec<u8> {
    from_hex(text(case, key), 1 << 16).expect("hex")
}

fn array<const N: usize>(case: &Value, key: &str) -> [u8; N] {
    bytes(case, key).try_into().expect(key)
}

fn role(case: &Value) -> Role {
    let number = case["role"].as_u64().expect("role");
    [Role::Gateway, Role::PeerResponder, Role::PeerInitiator, Role::Provisioning]
        .into_iter()
        .find(|role| u64::from(role.number()) == number)
        .expect("known role")
}

#[test]
fn claims_commit_to_report_data_and_tpm_extra_data() {
    for case in cases("claims.json") {
        let name = text(&case, "name");
        let claims = bytes(&case, "claims");
        let decoded = EnclaveClaims::decode(&claims).expect(name);
        // extensions are read over, so only claims without them come back byte for byte
        assert_eq!(decoded.encode() == claims, name != "with extensions", "{name}");
        assert_eq!(Sha384::of(&claims).to_hex(), text(&case, "claims_sha384"), "{name}");
        let data = report_data(&claims);
        assert_eq!(data.to_hex(), text(&case, "report_data"), "{name}");
        assert_eq!(tpm_extra_data(&data).to_hex(), text(&case, "tpm_extra_data"), "{name}");
    }
}

#[test]
fn keysets_hash_as_received() {
    for case in cases("keyset.json") {
        let keyset = bytes(&case, "keyset");
        assert_eq!(Keyset::decode(&keyset).expect("keyset").encode(), keyset);
        assert_eq!(Sha384::of(&keyset).to_hex(), text(&case, "digest"));
    }
}

#[test]
fn exporter_context_ekm_and_session_signature() {
    for case in cases("binding.json") {
        let nonce = Nonce::new(array(&case, "nonce"));
        let keyset = Sha384::new(array(&case, "keyset_digest"));
        let context = exporter_context(role(&case), text(&case, "alpn").as_bytes(), &nonce, &keyset);
        assert_eq!(to_hex(&context), text(&case, "exporter_context"));
        let ekm: [u8; 32] = tls_exporter(&case, &context);
        assert_eq!(to_hex(&ekm), text(&case, "ekm"));
        let claims = Sha384::new(array(&case, "claims_sha384"));
        let spki = Sha256::new(array(&case, "spki_sha256"));
        let transcript = session_transcript(role(&case), &nonce, &ekm, &claims, &spki);
        assert_eq!(to_hex(&transcript), text(&case, "transcript"));
        let key = Ed25519KeyPair::from_seed_unchecked(&bytes(&case, "sbk_seed")).expect("seed");
        assert_eq!(key.public_key().as_ref(), bytes(&case, "sbk_public"));
        assert_eq!(to_hex(key.sign(&transcript).as_ref()), text(&case, "signature"));
        let public = array(&case, "sbk_public");
        assert_eq!(verify_session(&public, &transcript, &array(&case, "signature")), Ok(()));
    }
}

#[test]
fn messages_and_document_have_one_encoding() {
    for case in cases("messages.json") {
        let (name, bytes) = (text(&case, "message"), bytes(&case, "bytes"));
        let again = match name {
            "challenge request" => ChallengeRequest::decode(&bytes).expect(name).encode(),
            "bind request" | "bind request for hardware" => {
                let request = BindRequest::decode(&bytes).expect(name);
                assert_eq!(request.evidence, name == "bind request for hardware");
                request.encode()
            }
            _ => BindResponse::decode(&bytes).expect(name).encode(),
        };
        assert_eq!(again, bytes, "{name}");
    }
    let case = vectors("document.json");
    let document = EvidenceDocument::decode(&bytes(&case, "document")).expect("document");
    assert_eq!(to_hex(&document.encode()), text(&case, "document"));
    assert_eq!(document.endorsements, bytes(&case, "endorsements"));
    let endorsements = Endorsements::decode(&document.endorsements).expect("endorsements");
    assert_eq!(endorsements.encode(), document.endorsements);
}

/// RFC 8446 section 7.5 over ring's HKDF, as a TLS stack does it.
fn tls_exporter(case: &Value, context: &[u8]) -> [u8; 32] {
    let (hash, digest, length) = match text(case, "suite") {
        "TLS_AES_128_GCM_SHA256" => (hkdf::HKDF_SHA256, &ring::digest::SHA256, 32),
        "TLS_AES_256_GCM_SHA384" => (hkdf::HKDF_SHA384, &ring::digest::SHA384, 48),
        other => panic!("unknown suite {other}"),
    };
    let digest = |data: &[u8]| ring::digest::digest(digest, data);
    let secret = hkdf::Prk::new_less_safe(hash, &bytes(case, "exporter_secret"));
    let derived = expand_label(&secret, EXPORTER_LABEL, digest(b"").as_ref(), length);
    let derived = hkdf::Prk::new_less_safe(hash, &derived);
    expand_label(&derived, b"exporter", digest(context).as_ref(), 32).try_into().expect("32 bytes")
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand_label(secret: &hkdf::Prk, label: &[u8], context: &[u8], length: usize) -> Vec<u8> {
    let size = u16::try_from(length).expect("short").to_be_bytes();
    let label = [b"tls13 ", label].concat();
    let lengths = [u8::try_from(label.len()).expect("short"), u8::try_from(context.len()).expect("short")];
    let info = [&size[..], &lengths[..1], &label, &lengths[1..], context];
    let mut out = vec![0; length];
    secret.expand(&info, Length(length)).expect("length").fill(&mut out).expect("length");
    out
}
