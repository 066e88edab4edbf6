//! The report a TDX module gives a paravisor, whose MAC only its own machine could check.

use aws_lc_rs::digest::{SHA384, digest};

use crate::tdx::quote::Body;

/// The 1024 bytes of `TDREPORT_STRUCT` that say what `body` says.
pub fn of_body(body: &Body) -> Vec<u8> {
    let mut tcb_info = vec![0; 239];
    tcb_info[..4].copy_from_slice(&[0xff, 1, 3, 0]);
    tcb_info[8..24].copy_from_slice(&body.tee_tcb_svn);
    tcb_info[24..72].copy_from_slice(&body.mr_seam);
    tcb_info[72..120].copy_from_slice(&body.mr_signer_seam);
    tcb_info[120..128].copy_from_slice(&body.seam_attributes.to_le_bytes());
    let (running, service) = body.extension.unwrap_or((body.tee_tcb_svn, [0; 48]));
    tcb_info[128..144].copy_from_slice(&running);
    let mut td_info = [body.td_attributes.to_le_bytes(), body.xfam.to_le_bytes()].concat();
    for register in [body.mr_td, body.mr_config_id, body.mr_owner, body.mr_owner_config] {
        td_info.extend_from_slice(&register);
    }
    td_info.extend_from_slice(&body.rtmr.concat());
    td_info.extend_from_slice(&service);
    td_info.resize(512, 0);
    let mut out = vec![0x81, 0, 0, 0];
    // reserved, then the CPUSVN that the simulated quoting enclave has as well: zeros
    out.resize(32, 0);
    out.extend_from_slice(digest(&SHA384, &tcb_info).as_ref());
    out.extend_from_slice(digest(&SHA384, &td_info).as_ref());
    out.extend_from_slice(&body.report_data);
    out.resize(224, 0);
    out.extend_from_slice(&[0x3a; 32]);
    out.extend(tcb_info);
    out.resize(512, 0);
    out.extend(td_info);
    out
}
