//! Our own documents: evidence, claims, keyset (`postern/1` sections A2, A3 and A5).

use attestation::digest::to_hex;
use attestation::enclave_claims::{TimeQuality, report_data};
use attestation::endorsements::Endorsements;
use attestation::{Channel, EnclaveClaims, EvidenceDocument, Keyset, Kind, TeeType};

use super::{Part, View, azure, certificate, snp, tdx};

pub(super) fn view(own: &EvidenceDocument) -> View {
    let mut head = Part::new("document");
    head.add("hardware", own.cpu.tee.as_str(), "which kind signed")
        .hex(
            "report data of these claims",
            report_data(&own.claims).as_bytes(),
            "what the hardware must have signed",
        )
        .add("release manifest", size(own.release.as_ref()), "")
        .add("deployment endorsement", size(own.deployment.as_ref()), "")
        .add("device evidence", size(own.devices.as_ref()), "");
    let mut parts = vec![head];
    parts.push(
        EnclaveClaims::decode(&own.claims)
            .map_or_else(|error| unread("claims", &own.claims, &error), |own| claims(&own)),
    );
    parts.push(
        Keyset::decode(&own.keyset)
            .map_or_else(|error| unread("keyset", &own.keyset, &error), |own| keyset(&own)),
    );
    let bytes = &own.cpu.bytes;
    let hardware = match own.cpu.tee {
        TeeType::Snp => snp::view(bytes, &[]),
        TeeType::Tdx => tdx::view(bytes),
        TeeType::AzureSnp | TeeType::AzureTdx => {
            attestation::AzureEvidence::decode(bytes).map(|own| azure::bundle(&own))
        }
    };
    match hardware {
        Ok(view) => parts.extend(view.parts.into_iter().map(|mut part| {
            part.title = format!("hardware: {}", part.title);
            part
        })),
        Err(error) => parts.push(unread("hardware", bytes, &error)),
    }
    match Endorsements::decode(&own.endorsements) {
        Ok(read) => parts.extend(certificate::endorsements(&read)),
        Err(error) => parts.push(unread("endorsements", &own.endorsements, &error)),
    }
    View { kind: format!("evidence document (postern/1) of {}", own.cpu.tee), parts }
}

pub(super) fn claims(own: &EnclaveClaims) -> Part {
    let mut part = Part::new("claims: what the enclave says about itself");
    part.add("role", own.role.to_string(), "which end of which channel speaks").add(
        "kind",
        own.kind.name(),
        "why the evidence was made",
    );
    match &own.kind {
        Kind::Challenge { nonce } => {
            part.hex("nonce", nonce.as_bytes(), "of the verifier");
        }
        Kind::Session { nonce, session } => {
            part.hex("nonce", nonce.as_bytes(), "of the verifier").hex(
                "session",
                session,
                "keying material of the TLS session",
            );
        }
        Kind::Epoch { beacon } => {
            part.hex("beacon chain", beacon.chain.as_bytes(), "public source of time")
                .add("beacon round", beacon.round.to_string(), "made after this round")
                .hex(
                    "beacon signature",
                    beacon.signature_sha256.as_bytes(),
                    "SHA-256 of the round's signature",
                );
        }
    }
    let channels: Vec<&str> = own.channels.iter().map(|channel: &Channel| channel.as_str()).collect();
    part.hex("keyset digest", own.keyset_digest.as_bytes(), "SHA-384 of the keyset")
        .hex("configuration digest", own.config_digest.as_bytes(), "SHA-384 of the public configuration")
        .hex("deployment id", &own.deployment_id, "SHA-256 of the deployment authority's key; zero is none")
        .hex("instance id", &own.instance_id, "random for each boot")
        .add("channels", channels.join(", "), "ways to send content")
        .add("versions", format!("{} to {}", own.min_version, own.max_version), "of the protocol");
    if let Some(head) = &own.state_head {
        part.add("state log size", head.tree_size.to_string(), "leaves").hex(
            "state log root",
            head.root.as_bytes(),
            "Merkle root",
        );
    }
    if let Some(log) = &own.log {
        part.add("state log", log.clone(), "name of the replica whose log it is");
    }
    if let Some(digest) = &own.gpu_digest {
        part.hex("device evidence digest", digest.as_bytes(), "SHA-256");
    }
    let quality = match own.time_quality {
        TimeQuality::Good => ("good", "independent sources of time agree"),
        TimeQuality::Degraded => ("degraded", "sources of time disagree or are out of reach"),
    };
    part.add("time quality", quality.0, quality.1);
    part
}

pub(super) fn keyset(own: &Keyset) -> Part {
    let mut part = Part::new("keyset: public halves of the enclave's keys");
    part.add("epoch", own.epoch.to_string(), "number of the key epoch")
        .add("not after", own.not_after.to_string(), "end of the epoch and its overlap")
        .hex("session-binding key", &own.sbk, "Ed25519; signs connections");
    for key in &own.tls {
        part.add(
            "TLS key",
            key.spki_sha256.to_hex(),
            format!("SHA-256 of its SPKI, for {}", key.names.join(", ")),
        );
    }
    for (name, key) in [("OHTTP configuration", &own.ohttp), ("provisioning key", &own.prv)] {
        if let Some(key) = key {
            part.hex(name, key, "");
        }
    }
    if let Some(key) = &own.rck {
        part.hex("receipt key", key, "Ed25519");
    }
    part
}

fn size(part: Option<&Vec<u8>>) -> String {
    part.map_or_else(|| "none".to_owned(), |bytes| format!("{} bytes", bytes.len()))
}

fn unread(what: &str, bytes: &[u8], error: &attestation::Rejection) -> Part {
    let mut part = Part::new(what);
    part.add("bytes", to_hex(bytes), format!("cannot be read: {error}"));
    part
}
