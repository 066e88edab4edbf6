//! A TD report (Intel 348551, `TDREPORT_STRUCT`) beside the quote that was made of it. Only the machine that wrote it
//! can check its MAC, so nothing in it is used: it has to say what the signed quote says, field by field, and to be
//! consistent in the rest. The 32 bytes of the MAC are the only ones that mean nothing here.

use crate::digest::Sha384;
use crate::platform::azure::steps;
use crate::platform::tdx::TdQuote;
use crate::reader::{Cursor, Truncated};
use crate::rejection::Rejection;

/// `REPORTTYPE`: a TD, of subtype 0, version 0 and a reserved zero. Version 1 says that a service TD is bound, which is
/// never so on Azure; as nothing but the machine's own MAC covers this field, only one value may pass.
const TYPE: [u8; 4] = [0x81, 0, 0, 0];

/// Sizes of the two structures that the first one hashes, and of the gap between them.
const TCB_INFO_BYTES: usize = 239;
const GAP_BYTES: usize = 17;
const TD_INFO_BYTES: usize = 512;

/// Whether report and quote speak of one TD.
///
/// # Errors
/// `AZ_BINDING` naming the first field that differs.
pub(super) fn agrees(report: &[u8], quote: &TdQuote<'_>) -> Result<(), Rejection> {
    let mut cursor = Cursor::new(report);
    let kind: [u8; 4] = cursor.array().map_err(truncated)?;
    same("a TD report", kind == TYPE)?;
    same("zeros after the type", zero(&mut cursor, 12)?)?;
    // the quoting enclave checks a report only of its own CPUSVN
    same("the quoting enclave's CPUSVN", cursor.take(16).map_err(truncated)? == quote.cpu_svn)?;
    let tcb_hash: [u8; 48] = cursor.array().map_err(truncated)?;
    let td_hash: [u8; 48] = cursor.array().map_err(truncated)?;
    let report_data = cursor.take(64).map_err(truncated)?;
    same("the quote's REPORTDATA", report_data == quote.report.report_data.as_bytes())?;
    same("zeros before the MAC", zero(&mut cursor, 32)?)?;
    cursor.take(32).map_err(truncated)?;
    let tcb_info = cursor.take(TCB_INFO_BYTES).map_err(truncated)?;
    same("the hash of TEE_TCB_INFO", Sha384::of(tcb_info).as_bytes() == &tcb_hash)?;
    same("zeros after TEE_TCB_INFO", zero(&mut cursor, GAP_BYTES)?)?;
    let td_info = cursor.take(TD_INFO_BYTES).map_err(truncated)?;
    same("the hash of TDINFO", Sha384::of(td_info).as_bytes() == &td_hash)?;
    cursor.finish().map_err(truncated)?;
    module(tcb_info, quote)?;
    domain(td_info, quote)
}

/// `TEE_TCB_INFO`: a mask of valid fields, then the module.
fn module(tcb_info: &[u8], quote: &TdQuote<'_>) -> Result<(), Rejection> {
    let mut cursor = Cursor::new(tcb_info);
    cursor.take(8).map_err(truncated)?;
    let report = quote.report;
    let equal = cursor.take(16).map_err(truncated)? == report.tee_tcb_svn;
    same("the quote's TEE_TCB_SVN", equal)?;
    for (name, expected) in [
        ("the quote's MRSEAM", report.mr_seam.as_bytes().as_slice()),
        ("the quote's MRSIGNERSEAM", report.mr_signer_seam.as_bytes()),
        ("the quote's SEAMATTRIBUTES", &report.seam_attributes.to_le_bytes()),
    ] {
        same(name, cursor.take(expected.len()).map_err(truncated)? == expected)?;
    }
    let svn2 = cursor.take(16).map_err(truncated)?;
    same("the quote's TEE_TCB_SVN2", report.tee_tcb_svn2.is_none_or(|own| own == svn2))
}

/// `TDINFO`: attributes, launch values, registers, service TDs.
fn domain(td_info: &[u8], quote: &TdQuote<'_>) -> Result<(), Rejection> {
    let mut cursor = Cursor::new(td_info);
    let report = quote.report;
    let words = [report.attributes.0.to_le_bytes(), report.xfam.0.to_le_bytes()].concat();
    same("the quote's attributes and XFAM", cursor.take(16).map_err(truncated)? == words)?;
    let [first, second, third, fourth] = &report.rtmr;
    for (name, expected) in [
        ("the quote's MRTD", &report.mr_td),
        ("the quote's MRCONFIGID", &report.mr_config_id),
        ("the quote's MROWNER", &report.mr_owner),
        ("the quote's MROWNERCONFIG", &report.mr_owner_config),
        ("the quote's RTMR0", first),
        ("the quote's RTMR1", second),
        ("the quote's RTMR2", third),
        ("the quote's RTMR3", fourth),
    ] {
        same(name, cursor.take(48).map_err(truncated)? == expected.as_bytes())?;
    }
    // a quote of format 4 does not carry it, so no service TD may be bound
    let service = report.mr_service_td.map_or([0; 48], |own| *own.as_bytes());
    same("the quote's MRSERVICETD, or zero", cursor.take(48).map_err(truncated)? == service)
}

fn zero(cursor: &mut Cursor<'_>, count: usize) -> Result<bool, Rejection> {
    Ok(cursor.take(count).map_err(truncated)?.iter().all(|byte| *byte == 0))
}

fn same(expected: &str, holds: bool) -> Result<(), Rejection> {
    let step = steps::TD_REPORT;
    if holds { Ok(()) } else { Err(Rejection::new(step.code, step.field, expected, "another value")) }
}

fn truncated(error: Truncated) -> Rejection {
    Rejection::new(steps::TD_REPORT.code, steps::TD_REPORT.field, "a whole TD report", error.to_string())
}
