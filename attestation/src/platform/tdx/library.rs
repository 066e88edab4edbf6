//! The second verifier: Phala's dcap-qvl judges the same bytes, and what it finds must be what we found.
//!
//! It is asked last, about evidence that would otherwise be accepted, because it answers policy and authenticity
//! with one untyped error. What it leaves open, and where that is closed here:
//!
//! | dcap-qvl 0.7.1 | here |
//! |---|---|
//! | takes a PCK chain from the collateral before the quote's | collateral has no chain field; the quote's only |
//! | ignores the PCE id and the TCB type of the TCB info | `tdx.pce_id`, `tdx.tcb_type` |
//! | compares 32 of 64 bytes of the quoting enclave's report data | `tdx.attestation_key`: the rest is zero |
//! | ignores bytes after the quote and slack in nested lengths | quote parser; `tdx.padding` |
//! | takes any spelling of PEM, any number of certificates up to five, any root copy | strict PEM, three, the root itself |
//! | knows certificates by signature only | subjects of PCK, PCK CA and TCB signer |
//! | matches by CPUSVN | by the lower of CPUSVN and the sixteen listed components |
//! | no age of collateral, evaluation number returned but not judged | `tdx.collateral_age`, `tdx.evaluation` |
//! | accepts every status but `Revoked` | `tdx.tcb_status`, computed here |
//! | lets a worse running TCB pass when the launched one is fine | `tcb::relaunch` |
//! | lets `ConfigurationNeeded` of the quoting enclave pass | `tcb::worst` |
//! | SEAMATTRIBUTES by mask; MRSEAM, XFAM not at all | `tdx.module`, `tdx.mr_seam`, `tdx.xfam_bits`, `tdx.xfam` |
//! | lets PERFMON, ICSSD, LASS, TPA and key locker pass | `tdx.perfmon`, `tdx.key_locker`, `tdx.attributes` |
//! | no measurement, no event log | `tdx.mr_td`, `tdx.rtmr0` to `3`, `tdx.event_log` |

use crate::claims::tdx::{TcbStatus, TdReport, TdxClaims};
use crate::digest::{Measurement, UnixTime};
use crate::endorsements::TdxCollateral;
use crate::platform::tdx::tcb::worst;
use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::configs::RingConfig;
use dcap_qvl::quote::{Report, TDReport10};
use dcap_qvl::verify::{QuoteVerifier, VerifiedReport};

/// Whether the library finds the same; else in what it differs.
pub(super) fn confirms(
    quote: &[u8],
    collateral: TdxCollateral,
    root: &[u8],
    now: UnixTime,
    ours: &TdxClaims,
) -> Result<(), &'static str> {
    let collateral = QuoteCollateralV3 {
        pck_crl_issuer_chain: collateral.pck_crl_issuer_chain,
        root_ca_crl: collateral.root_ca_crl,
        pck_crl: collateral.pck_crl,
        tcb_info_issuer_chain: collateral.tcb_info_issuer_chain,
        tcb_info: collateral.tcb_info,
        tcb_info_signature: collateral.tcb_info_signature,
        qe_identity_issuer_chain: collateral.qe_identity_issuer_chain,
        qe_identity: collateral.qe_identity,
        qe_identity_signature: collateral.qe_identity_signature,
        pck_certificate_chain: None,
    };
    let verifier = QuoteVerifier::<RingConfig>::new_with_config(root.to_vec());
    let theirs = verifier.verify(quote, &collateral, now.seconds()).map_err(|_| "a refusal")?;
    agrees(&theirs, ours)
}

pub(super) fn agrees(theirs: &VerifiedReport, ours: &TdxClaims) -> Result<(), &'static str> {
    let status = TcbStatus::ALL.into_iter().find(|status| status.as_str() == theirs.status);
    // ours may be the stricter one, never the laxer
    if status.map(|status| worst(status, ours.tcb_status)) != Some(ours.tcb_status) {
        return Err("another TCB status");
    }
    if !theirs.advisory_ids.iter().all(|advisory| ours.advisories.contains(advisory)) {
        return Err("other advisories");
    }
    if theirs.ppid != ours.pck.ppid {
        return Err("another PPID");
    }
    let same = match &theirs.report {
        Report::TD10(report) => same_body(report, &ours.report) && ours.report.mr_service_td.is_none(),
        Report::TD15(report) => {
            same_body(&report.base, &ours.report)
                && Some(report.tee_tcb_svn2) == ours.report.tee_tcb_svn2
                && Some(&report.mr_service_td)
                    == ours.report.mr_service_td.as_ref().map(Measurement::as_bytes)
        }
        Report::SgxEnclave(_) | Report::TD15Ex(_) => false,
    };
    if same { Ok(()) } else { Err("another body") }
}

fn same_body(theirs: &TDReport10, ours: &TdReport) -> bool {
    let [rtmr0, rtmr1, rtmr2, rtmr3] = &ours.rtmr;
    let measurements = [
        (&theirs.mr_seam, &ours.mr_seam),
        (&theirs.mr_signer_seam, &ours.mr_signer_seam),
        (&theirs.mr_td, &ours.mr_td),
        (&theirs.mr_config_id, &ours.mr_config_id),
        (&theirs.mr_owner, &ours.mr_owner),
        (&theirs.mr_owner_config, &ours.mr_owner_config),
        (&theirs.rt_mr0, rtmr0),
        (&theirs.rt_mr1, rtmr1),
        (&theirs.rt_mr2, rtmr2),
        (&theirs.rt_mr3, rtmr3),
    ];
    measurements.iter().all(|(theirs, ours)| **theirs == *ours.as_bytes())
        && theirs.tee_tcb_svn == ours.tee_tcb_svn
        && theirs.seam_attributes == ours.seam_attributes.to_le_bytes()
        && theirs.td_attributes == ours.attributes.0.to_le_bytes()
        && theirs.xfam == ours.xfam.0.to_le_bytes()
        && theirs.report_data == *ours.report_data.as_bytes()
}
