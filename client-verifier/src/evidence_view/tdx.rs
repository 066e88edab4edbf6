//! TDX quotes (Intel DCAP, `sgx_quote_4.h` and `sgx_quote_5.h`).

use attestation::Rejection;
use attestation::claims::tdx::{Padding, TdAttributes, TdReport, Xfam};
use attestation::inspect::{TdxQuoteFields, certificate as read_certificate, tdx_quote};

use super::snp::{must_be_zero, on};
use super::{Part, View, certificate};

pub(super) fn view(bytes: &[u8]) -> Result<View, Rejection> {
    let own = tdx_quote(bytes)?;
    let mut parts =
        vec![header(&own), body(&own.report), attributes(own.report.attributes), xfam(own.report.xfam)];
    parts.push(signatures(&own, bytes.len()));
    parts.push(enclave(&own));
    for (at, der) in own.certificates.iter().enumerate() {
        match read_certificate(der) {
            Ok(read) => {
                parts.push(certificate::part(&format!("certificate {at} of the quote's chain"), &read));
            }
            Err(error) => {
                let mut part = Part::new(format!("certificate {at} of the quote's chain"));
                part.hex("DER", der, &error.to_string());
                parts.push(part);
            }
        }
    }
    let body = if own.report.mr_service_td.is_some() { "1.5" } else { "1.0" };
    Ok(View { kind: format!("Intel TDX quote, version {}, body of TDX {body}", own.version), parts })
}

fn header(own: &TdxQuoteFields) -> Part {
    let mut part = Part::new("header");
    part.add("VERSION", own.version.to_string(), "format of the quote")
        .add("ATT_KEY_TYPE", "2", "ECDSA on P-256")
        .add("TEE_TYPE", "0x81", "TDX")
        .add("QE_VENDOR_ID", "939a7233f79c4ca9940a0db3957f0607", "Intel's quoting enclave")
        .hex("USER_DATA", &own.user_data, "id of the platform's quoting enclave");
    part
}

/// What the TDX module says about the TD and itself.
pub(super) fn body(report: &TdReport) -> Part {
    let mut part = Part::new("body: what the TDX module says about the trust domain and itself");
    part.hex(
        "TEE_TCB_SVN",
        &report.tee_tcb_svn,
        "security versions at launch: byte 0 TDX module, byte 1 its major version, byte 2 loader",
    )
    .hex("MRSEAM", report.mr_seam.as_bytes(), "measurement of the TDX module")
    .hex("MRSIGNERSEAM", report.mr_signer_seam.as_bytes(), "signer of the TDX module; zero is Intel")
    .hex(
        "SEAMATTRIBUTES",
        &report.seam_attributes.to_le_bytes(),
        "attributes of the TDX module; must be zero",
    )
    .hex("MRTD", report.mr_td.as_bytes(), "digest of the TD's memory at launch: its firmware")
    .hex("RTMR0", rtmr(report, 0), "firmware configuration")
    .hex("RTMR1", rtmr(report, 1), "kernel")
    .hex("RTMR2", rtmr(report, 2), "initial file system and command line")
    .hex("RTMR3", rtmr(report, 3), "the TD's own software")
    .hex("MRCONFIGID", report.mr_config_id.as_bytes(), "configuration the host named at launch")
    .hex("MROWNER", report.mr_owner.as_bytes(), "owner the host named at launch")
    .hex("MROWNERCONFIG", report.mr_owner_config.as_bytes(), "owner's configuration the host named at launch")
    .hex("REPORTDATA", report.report_data.as_bytes(), "what the guest asked to be signed");
    if let (Some(svn), Some(service)) = (report.tee_tcb_svn2, report.mr_service_td) {
        part.hex("TEE_TCB_SVN2", &svn, "security versions of the module now running").hex(
            "MRSERVICETD",
            service.as_bytes(),
            "service TDs bound to the TD; zero is none",
        );
    }
    part
}

fn rtmr(report: &TdReport, index: usize) -> &[u8] {
    report.rtmr.get(index).map_or(&[], |register| register.as_bytes())
}

pub(super) fn attributes(attributes: TdAttributes) -> Part {
    let mut part = Part::new("TD attributes");
    part.add("ATTRIBUTES", attributes.to_string(), "all of them");
    for (bit, name) in TdAttributes::KNOWN {
        let set = attributes.0.checked_shr(*bit).is_some_and(|rest| rest & 1 == 1);
        part.add(&format!("bit {bit} {name}"), on(set), attribute(name, set));
    }
    let known =
        TdAttributes::KNOWN.iter().fold(0_u64, |bits, (bit, _)| bits | 1_u64.checked_shl(*bit).unwrap_or(0));
    let others = attributes.0 & !known;
    part.add("other bits", format!("{others:#x}"), must_be_zero(others == 0));
    part
}

fn attribute(name: &str, set: bool) -> &'static str {
    match (name, set) {
        ("debug", true) => "DANGER: the host may debug the TD",
        ("debug", false) => "the host may not debug the TD",
        ("icssd", _) => "instruction-count based single-step defence",
        ("servtd_ext", _) => "the report covers service TDs bound later",
        ("lass", _) => "linear address space separation",
        ("sept_ve_disable", true) => "accesses to pending pages end the TD",
        ("sept_ve_disable", false) => "WEAK: the host can raise exceptions in the TD through pending pages",
        ("migratable", true) => "DANGER: a migration TD may move the TD",
        ("migratable", false) => "no migration",
        ("pks", _) => "supervisor protection keys",
        ("key_locker", _) => "key locker",
        ("tpa", _) => "TDX Connect provisioning agent",
        ("perfmon", true) => "WEAK: performance counters may be used",
        ("perfmon", false) => "no performance counters",
        _ => "not known here",
    }
}

pub(super) fn xfam(xfam: Xfam) -> Part {
    /// Intel SDM 1, section 13.1, state components.
    const COMPONENTS: [(u32, &str); 15] = [
        (0, "x87"),
        (1, "SSE"),
        (2, "AVX"),
        (5, "AVX-512 opmask"),
        (6, "AVX-512 ZMM_Hi256"),
        (7, "AVX-512 Hi16_ZMM"),
        (8, "processor trace"),
        (9, "protection keys (PKRU)"),
        (11, "CET user"),
        (12, "CET supervisor"),
        (14, "user interrupts"),
        (15, "last branch records"),
        (17, "AMX tile configuration"),
        (18, "AMX tile data"),
        (19, "APX"),
    ];
    let mut part = Part::new("extended features (XFAM)");
    let shape = if xfam.well_formed() {
        "as the architecture allows"
    } else {
        "WRONG: a fixed bit is not as it must be"
    };
    part.add("XFAM", xfam.to_string(), shape);
    for bit in 0..64_u32 {
        let set = xfam.0.checked_shr(bit).is_some_and(|rest| rest & 1 == 1);
        let name = COMPONENTS.iter().find(|(own, _)| *own == bit).map(|(_, name)| *name);
        if set || name.is_some() {
            part.add(&format!("bit {bit}"), on(set), name.unwrap_or("not known here"));
        }
    }
    part
}

fn signatures(own: &TdxQuoteFields, length: usize) -> Part {
    let mut part = Part::new("signature data (not verified here)");
    part.hex("signature", &own.signature, "r and s over header and body, by the attestation key")
        .hex(
            "attestation key",
            &own.attestation_key,
            "x and y on P-256; the quoting enclave's report names its digest",
        )
        .hex(
            "QE report signature",
            &own.quoting_enclave_signature,
            "r and s over the quoting enclave's report, by the PCK",
        )
        .hex("QE authentication data", &own.authentication, "hashed together with the attestation key");
    let padding = match own.padding {
        Padding::Zeros(0) => "none".to_owned(),
        Padding::Zeros(count) => format!("{count} zero bytes"),
        Padding::Garbage => format!("{} bytes, not all zero", length.saturating_sub(own.length)),
    };
    part.add("bytes after the quote", padding, "no signature covers them");
    part
}

fn enclave(own: &TdxQuoteFields) -> Part {
    let enclave = &own.quoting_enclave;
    let mut part = Part::new("quoting enclave (its own report)");
    part.hex("MRSIGNER", &enclave.mr_signer, "who signed the enclave; collateral says who must have")
        .add("ISVPRODID", enclave.isv_prod_id.to_string(), "product; 2 is the TD quoting enclave")
        .add("ISVSVN", enclave.isv_svn.to_string(), "security version")
        .hex("MISCSELECT", &enclave.miscselect, "extra fields of an exception frame")
        .hex("ATTRIBUTES", &enclave.attributes, "attributes of the enclave")
        .hex(
            "REPORTDATA",
            &enclave.report_data,
            "SHA-256 of attestation key and authentication data, then zeros",
        );
    part
}
