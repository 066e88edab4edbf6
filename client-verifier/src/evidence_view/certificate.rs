//! Certificates and the other endorsements.

use attestation::claims::tdx::PckIdentity;
use attestation::endorsements::Endorsements;
use attestation::inspect::{CertificateFacts, EndorsedKey, certificate};

use super::Part;

pub(super) fn endorsements(own: &Endorsements) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, der) in own.certificates.iter().enumerate() {
        let title = format!("certificate {at}");
        parts.push(match certificate(der) {
            Ok(read) => part(&title, &read),
            Err(error) => {
                let mut part = Part::new(title);
                part.hex("DER", der, &error.to_string());
                part
            }
        });
    }
    let mut rest = Part::new("other endorsements");
    rest.add("revocation lists", own.crls.len().to_string(), "signed by a vendor's root")
        .add(
            "TDX collateral",
            format!("{} bytes", own.collateral.len()),
            "TCB info, quoting enclave identity and lists of Intel's",
        )
        .add(
            "event log",
            format!("{} bytes", own.event_log.len()),
            "what was extended into run-time registers",
        );
    parts.push(rest);
    parts
}

pub(super) fn part(title: &str, own: &CertificateFacts) -> Part {
    let mut part = Part::new(title);
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    part.add("subject", name(&own.subject), "common name")
        .add("issuer", name(&own.issuer), "common name; whether it signed is not verified here")
        .hex("serial", &own.serial, "what a revocation list would name")
        .add("not before", own.not_before.to_string(), "first second of validity")
        .add("not after", own.not_after.to_string(), "last second of validity")
        .add("key", own.key, "kind of the subject's key");
    if let Some(key) = &own.endorsed {
        endorsed(key, &mut part);
    }
    if let Some(pck) = &own.pck {
        platform(pck, &mut part);
    }
    part
}

fn endorsed(key: &EndorsedKey, part: &mut Part) {
    part.add("AMD key", key.kind.to_string(), "kind of key that signs reports")
        .add("AMD product", key.product_name.as_str(), "product name")
        .add("AMD TCB", key.tcb.to_string(), "level that the key is derived from");
    if let Some(id) = &key.hardware_id {
        part.hex("AMD hardware id", id, "must be the report's CHIP_ID");
    }
    if let Some(csp_id) = &key.csp_id {
        part.add("AMD CSP id", csp_id.as_str(), "cloud provider that the key was given to");
    }
}

fn platform(pck: &PckIdentity, part: &mut Part) {
    part.hex("Intel PPID", &pck.ppid, "identity of the platform")
        .add("Intel FMSPC", pck.fmspc.to_string(), "platform family; collateral is for one family")
        .hex("Intel PCE id", &pck.pce_id, "provisioning certification enclave")
        .add("Intel PCESVN", pck.pce_svn.to_string(), "its security version")
        .hex("Intel CPUSVN", &pck.cpu_svn, "security versions of the 16 components");
    if let Some(id) = &pck.platform_instance_id {
        part.hex("Intel platform instance", id, "of a machine with several packages");
    }
    if let Some(smt) = pck.smt_enabled {
        part.add("Intel SMT", super::snp::on(smt), "whether simultaneous multithreading is on");
    }
}
