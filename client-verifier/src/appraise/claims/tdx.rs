//! The claims of a TDX quote.

use attestation::claims::TdxClaims;
use attestation::claims::tdx::{Padding, TdReport};
use attestation::digest::to_hex;
use attestation::inspect;
use serde_json::{Value, json};

use super::super::material::Material;
use super::{Claims, Source};

/// Type of a body of TDX 1.5 in a quote of version 5.
const BODY_TD_1_5: u32 = 3;

pub(super) fn add(own: &TdxClaims, material: &Material, claims: &mut Claims) {
    quote(own, material, claims);
    body(&own.report, claims);
    collateral(own, claims);
}

fn quote(own: &TdxClaims, material: &Material, claims: &mut Claims) {
    claims
        .add(Source::Hardware, "quote_version", own.quote_version)
        // the only values that are read
        .add(Source::Hardware, "tee_type", "0x81")
        .add(Source::Hardware, "att_key_type", 2)
        .add(Source::Hardware, "certification_data_type", 5)
        .add(Source::Hardware, "user_data", to_hex(&own.user_data))
        .add(Source::Hardware, "qe_svn", own.qe_isv_svn)
        .add(Source::Vendor, "fmspc", own.pck.fmspc.to_string())
        .add(Source::Vendor, "pce_id", to_hex(&own.pck.pce_id))
        .add(Source::Vendor, "pce_svn", own.pck.pce_svn)
        .add(Source::Vendor, "cpu_svn", to_hex(&own.pck.cpu_svn))
        .add(Source::Vendor, "ppid", to_hex(&own.pck.ppid));
    if let Ok(fields) = inspect::tdx_quote(&material.hardware) {
        let trailing = material.hardware.len().saturating_sub(fields.length);
        let zero = (trailing > 0).then_some(own.padding != Padding::Garbage);
        claims
            .add(Source::Verifier, "signed_length", fields.length)
            .add(Source::Verifier, "trailing_bytes", trailing)
            .add(Source::Verifier, "trailing_all_zero", zero);
        let leaf = fields.certificates.first().and_then(|der| inspect::certificate(der).ok());
        if let Some(leaf) = leaf {
            let validity = json!([leaf.not_before.to_string(), leaf.not_after.to_string()]);
            claims.add(Source::Vendor, "pck_ca", leaf.issuer).add(Source::Vendor, "pck_validity", validity);
        }
    }
}

fn body(report: &TdReport, claims: &mut Claims) {
    let attributes = report.attributes;
    let set: Vec<&str> = attestation::claims::tdx::TdAttributes::KNOWN
        .iter()
        .filter(|(bit, _)| attributes.0.checked_shr(*bit).is_some_and(|rest| rest & 1 == 1))
        .map(|(_, name)| *name)
        .collect();
    let registers: Vec<Value> = report.rtmr.iter().map(|register| register.to_hex().into()).collect();
    claims
        .add(Source::Hardware, "tee_tcb_svn", to_hex(&report.tee_tcb_svn))
        .add(Source::Hardware, "mr_seam", report.mr_seam.to_hex())
        .add(Source::Hardware, "mr_signer_seam", report.mr_signer_seam.to_hex())
        .add(Source::Hardware, "mr_signer_seam_zero", report.mr_signer_seam.as_bytes() == &[0; 48])
        .add(Source::Hardware, "seam_attributes", to_hex(&report.seam_attributes.to_le_bytes()))
        .add(Source::Hardware, "td_attributes", to_hex(&attributes.0.to_le_bytes()))
        .add(Source::Hardware, "td_attributes_set", set)
        .add(Source::Hardware, "td_debug", attributes.debug())
        .add(Source::Hardware, "sept_ve_disable", attributes.sept_ve_disable())
        .add(Source::Hardware, "xfam", to_hex(&report.xfam.0.to_le_bytes()))
        .add(Source::Hardware, "mr_td", report.mr_td.to_hex())
        .add(Source::Hardware, "rtmr", registers)
        .add(Source::Hardware, "mr_config_id", report.mr_config_id.to_hex())
        .add(Source::Hardware, "mr_owner", report.mr_owner.to_hex())
        .add(Source::Hardware, "mr_owner_config", report.mr_owner_config.to_hex());
    if let (Some(svn), Some(service)) = (report.tee_tcb_svn2, report.mr_service_td) {
        claims
            .add(Source::Hardware, "body_type", BODY_TD_1_5)
            .add(Source::Hardware, "tee_tcb_svn_2", to_hex(&svn))
            .add(Source::Hardware, "mr_service_td", service.to_hex());
    }
}

fn collateral(own: &TdxClaims, claims: &mut Claims) {
    claims
        .add(Source::Verifier, "tcb_status", own.tcb_status.as_str())
        .add(Source::Vendor, "advisories", own.advisories.clone())
        .add(Source::Vendor, "tcb_evaluation_data_number", own.evaluation_number)
        .add(Source::Vendor, "collateral_issued_at", own.collateral_issued.to_string())
        .add(Source::Verifier, "tdx_module", own.module.err().unwrap_or("as the collateral knows it"));
    if !own.events.is_empty() {
        let recomputed = own.events.iter().filter(|event| event.recomputed).count();
        let log = json!({
            "events": own.events.len(),
            "digests_recomputed": recomputed,
            "replays_to_the_quote": true,
        });
        claims.add(Source::Verifier, "event_log", log);
    }
}
