//! What Azure guests hand over.

use attestation::digest::to_hex;
use attestation::inspect::{HclHardware, hcl_report};
use attestation::{AzureEvidence, Rejection};

use super::{Part, View, certificate, snp, tdx};

pub(super) fn hcl(bytes: &[u8]) -> Result<View, Rejection> {
    let own = hcl_report(bytes)?;
    let mut head = Part::new("header");
    head.add("signature", "HCLA", "blob of Microsoft's paravisor, which is part of what has to be trusted")
        .add("version", own.version.to_string(), "of the header");
    let mut parts = vec![head];
    let hardware = match &own.hardware {
        HclHardware::Snp(report) => {
            parts.extend(snp::parts(report));
            "SEV-SNP"
        }
        HclHardware::Tdx(report) => {
            parts.extend([tdx::body(report), tdx::attributes(report.attributes), tdx::xfam(report.xfam)]);
            "TDX"
        }
    };
    let mut runtime = Part::new("run-time data (REPORT_DATA begins with its SHA-256)");
    runtime
        .add("SHA-256", attestation::Sha256::of(&own.runtime_data).to_hex(), "compare with REPORT_DATA")
        .add(
            "JSON",
            String::from_utf8_lossy(&own.runtime_data),
            "keys of the virtual TPM (HCLAkPub signs its quotes) and settings of the machine",
        );
    parts.push(runtime);
    Ok(View { kind: format!("Azure HCL blob over an {hardware} report"), parts })
}

pub(super) fn bundle(own: &AzureEvidence) -> View {
    let mut part = Part::new("virtual TPM");
    part.hex("quote (TPMS_ATTEST)", &own.tpm_quote, "what the virtual TPM signed").hex(
        "signature",
        &own.tpm_signature,
        "RSASSA, by HCLAkPub",
    );
    for (index, value) in &own.pcrs {
        part.add(&format!("PCR {index}"), to_hex(value.as_bytes()), pcr(*index));
    }
    part.add("certificates of its key", own.ak_certificates.len().to_string(), "leaf first");
    let mut parts = vec![part];
    for (name, nested) in [("HCL blob", hcl(&own.hcl_report).ok()), ("TD quote", quote(own))] {
        for mut part in nested.into_iter().flat_map(|view| view.parts) {
            part.title = format!("{name}: {}", part.title);
            parts.push(part);
        }
    }
    for (at, der) in own.ak_certificates.iter().enumerate() {
        if let Ok(read) = attestation::inspect::certificate(der) {
            parts.push(certificate::part(&format!("certificate {at} of the virtual TPM's key"), &read));
        }
    }
    View { kind: "Azure evidence (postern/1)".to_owned(), parts }
}

fn quote(own: &AzureEvidence) -> Option<View> {
    tdx::view(own.td_quote.as_ref()?).ok()
}

/// TCG PC Client Platform Firmware Profile, section 3.3.4.
fn pcr(index: u8) -> &'static str {
    match index {
        0 => "firmware",
        1 => "firmware configuration",
        2 | 3 => "drivers and their configuration",
        4 => "boot loader",
        5 => "boot loader configuration, partition table",
        6 => "events of the maker",
        7 => "secure boot state",
        8 => "boot loader commands",
        9 => "kernel and initial file system",
        11 => "unified kernel image",
        14 => "machine owner keys",
        _ => "used by the operating system, or not at all",
    }
}
