//! SEV-SNP reports (AMD 56860, table `ATTESTATION_REPORT`).

use attestation::Rejection;
use attestation::claims::snp::{CpuId, GuestPolicy, PlatformInfo, Product, TcbVersion};
use attestation::digest::to_hex;
use attestation::endorsements::Endorsements;
use attestation::inspect::{SnpReportFields, snp_report};

use super::{Part, View, certificate};

pub(super) fn view(report: &[u8], table: &[u8]) -> Result<View, Rejection> {
    let own = snp_report(report)?;
    let mut parts = parts(&own);
    parts.extend(sources(&own));
    if table.iter().any(|byte| *byte != 0) {
        parts.extend(certificate::endorsements(&Endorsements::from_snp_certificate_table(table)?));
    }
    let with = if parts.iter().any(|part| part.title.starts_with("certificate")) {
        " with certificates"
    } else {
        ""
    };
    Ok(View { kind: format!("AMD SEV-SNP attestation report, version {}{with}", own.version), parts })
}

pub(super) fn parts(own: &SnpReportFields) -> Vec<Part> {
    vec![guest(own), policy(own.policy), platform(own.platform_info), key(own), levels(own), signature(own)]
}

fn guest(own: &SnpReportFields) -> Part {
    let mut part = Part::new("guest");
    let vmpl = match own.vmpl {
        0 => "privilege level that asked: 0, the highest",
        1..=3 => "privilege level that asked; 0 is the highest",
        _ => "the host asked for this report, not the guest",
    };
    part.add(
        "VERSION",
        own.version.to_string(),
        "format of the report; from 3 on it names its silicon, from 5 on its mitigations",
    )
    .add("GUEST_SVN", own.guest_svn.to_string(), "security version of the guest, from its ID block")
    .add("VMPL", own.vmpl.to_string(), vmpl)
    .hex("REPORT_DATA", own.report_data.as_bytes(), "what the guest asked to be signed")
    .hex("MEASUREMENT", own.measurement.as_bytes(), "digest of the guest's memory at launch")
    .hex("HOST_DATA", &own.host_data, "what the host put in at launch")
    .hex("FAMILY_ID", &own.family_id, "family the guest's owner chose, from the ID block")
    .hex("IMAGE_ID", &own.image_id, "image the guest's owner chose, from the ID block")
    .hex("ID_KEY_DIGEST", &own.id_key_digest, "SHA-384 of the key that signed the ID block")
    .hex("AUTHOR_KEY_DIGEST", &own.author_key_digest, "SHA-384 of the key that signed the ID key")
    .hex("REPORT_ID", &own.report_id, "this instance of the guest");
    let agent =
        if own.report_id_ma == [0xff; 32] { "no migration agent" } else { "migration agent of the guest" };
    part.hex("REPORT_ID_MA", &own.report_id_ma, agent);
    part
}

fn policy(policy: GuestPolicy) -> Part {
    let mut part = Part::new("guest policy (POLICY): what the owner launched with");
    part.add("POLICY", format!("{:#018x}", policy.0), "all of it").add(
        "ABI (bits 15:0)",
        policy.abi().to_string(),
        "lowest firmware ABI the guest accepts",
    );
    for (bit, name) in GuestPolicy::KNOWN {
        let set = policy.0.checked_shr(*bit).is_some_and(|rest| rest & 1 == 1);
        part.add(&format!("bit {bit} {name}"), on(set), policy_bit(name, set));
    }
    part.add(
        "bits 63:26 reserved",
        format!("{:#x}", policy.reserved()),
        must_be_zero(policy.reserved() == 0),
    );
    part
}

fn policy_bit(name: &str, set: bool) -> &'static str {
    match (name, set) {
        ("smt", true) => "simultaneous multithreading is allowed",
        ("smt", false) => "simultaneous multithreading is forbidden",
        ("must_be_one", true) => "reserved, must be one",
        ("must_be_one", false) => "WRONG: reserved, must be one",
        ("migrate_ma", true) => "DANGER: a migration agent may move the guest",
        ("migrate_ma", false) => "no migration agent",
        ("debug", true) => "DANGER: the host may read and change the guest",
        ("debug", false) => "the host may not debug the guest",
        ("single_socket", true) => "may run on one socket only",
        ("single_socket", false) => "may run on several sockets",
        ("cxl_allow", true) => "CXL devices and memory are allowed",
        ("cxl_allow", false) => "no CXL devices or memory",
        ("mem_aes_256_xts", true) => "memory encryption must be AES-256-XTS",
        ("mem_aes_256_xts", false) => "memory encryption may be AES-128",
        ("rapl_dis", true) => "power readings (RAPL) must be off",
        ("rapl_dis", false) => "power readings (RAPL) may be on",
        ("ciphertext_hiding", true) => "ciphertext hiding must be on",
        ("ciphertext_hiding", false) => "ciphertext hiding is not demanded",
        ("page_swap_disable", true) => "the host may not swap pages",
        ("page_swap_disable", false) => "the host may swap pages",
        _ => "not known here",
    }
}

fn platform(info: PlatformInfo) -> Part {
    let mut part = Part::new("platform (PLATFORM_INFO): state of the machine when the report was made");
    part.add("PLATFORM_INFO", format!("{:#018x}", info.0), "all of it");
    for (bit, name) in PlatformInfo::KNOWN {
        let set = info.0.checked_shr(*bit).is_some_and(|rest| rest & 1 == 1);
        part.add(&format!("bit {bit} {name}"), on(set), platform_bit(name, set));
    }
    part.add("bits 63:8", format!("{:#x}", info.unknown()), must_be_zero(info.unknown() == 0));
    part
}

fn platform_bit(name: &str, set: bool) -> &'static str {
    match (name, set) {
        ("smt_en", true) => "simultaneous multithreading is on",
        ("smt_en", false) => "simultaneous multithreading is off",
        ("tsme_en", true) => "all memory is encrypted, also the host's",
        ("tsme_en", false) => "only guests' memory is encrypted",
        ("ecc_en", true) => "memory has error correction",
        ("ecc_en", false) => "memory has no error correction",
        ("rapl_dis", true) => "power readings (RAPL) are off",
        ("rapl_dis", false) => "power readings (RAPL) are on",
        ("ciphertext_hiding_en", true) => "the host cannot read the guest's ciphertext",
        ("ciphertext_hiding_en", false) => "the host can read the guest's ciphertext",
        ("alias_check_complete", true) => "memory was checked for aliases (BadRAM)",
        ("alias_check_complete", false) => "memory was NOT checked for aliases (BadRAM)",
        ("iommu_write_safe", true) => "the IOMMU's writes are safe (AMD-SB-3016)",
        ("iommu_write_safe", false) => "the IOMMU's writes are not known to be safe (AMD-SB-3016)",
        ("tio_en", true) => "trusted I/O is on",
        ("tio_en", false) => "trusted I/O is off",
        _ => "not known here",
    }
}

fn key(own: &SnpReportFields) -> Part {
    let mut part = Part::new("chip and key");
    let silicon = own.cpuid.map_or_else(
        || ("-".to_owned(), "reports of version 2 do not name their silicon".to_owned()),
        |cpuid| {
            (
                cpuid.to_string(),
                cpuid.product().map_or_else(|| "silicon not known here".to_owned(), |own| line(own, cpuid)),
            )
        },
    );
    let signing = match own.signing_key {
        0 => "VCEK: the chip's own key",
        1 => "VLEK: a key that AMD gave to the cloud provider; it names no chip",
        7 => "none: this report is NOT signed",
        _ => "not known here",
    };
    part.add("CPUID family/model/stepping", silicon.0, silicon.1)
        .hex(
            "CHIP_ID",
            &own.chip_id,
            "identity of the chip; on Turin the first eight bytes, zero with a VLEK or a masked key",
        )
        .add("AUTHOR_KEY_EN", on(own.author_key_en), "whether an author key signed the ID key")
        .add(
            "MASK_CHIP_KEY",
            on(own.mask_chip_key),
            if own.mask_chip_key {
                "WRONG: the chip's key is masked, the report is not signed by it"
            } else {
                "the chip's key is in use"
            },
        )
        .add("SIGNING_KEY", own.signing_key.to_string(), signing);
    part
}

fn line(product: Product, cpuid: CpuId) -> String {
    let name = match (product, cpuid.model, cpuid.stepping) {
        (Product::Milan, _, 2) => "Milan-X",
        (Product::Genoa, 0xa0..=0xaf, _) => "Bergamo or Siena",
        (Product::Genoa, _, 2) => "Genoa-X",
        (Product::Turin, 0x10..=0x1f, _) => "Turin Dense",
        _ => product.as_str(),
    };
    format!("{name} (product line {product})")
}

fn levels(own: &SnpReportFields) -> Part {
    let mut part = Part::new("firmware (TCB versions, in the layout of the product line)");
    for (name, raw, meaning) in [
        ("REPORTED_TCB", own.reported_tcb, "the level the signing key is derived from"),
        ("CURRENT_TCB", own.current_tcb, "the level now running"),
        ("COMMITTED_TCB", own.committed_tcb, "the level that cannot be rolled back"),
        ("LAUNCH_TCB", own.launch_tcb, "the level when the guest was launched"),
    ] {
        part.hex(name, &raw, &format!("{}; {meaning}", level(own.product(), raw)));
    }
    part.add("CURRENT version", own.current_firmware.to_string(), "firmware now running").add(
        "COMMITTED version",
        own.committed_firmware.to_string(),
        "firmware that cannot be rolled back",
    );
    let vectors =
        if own.version >= 5 { "mitigations in force" } else { "reports before version 5 do not say" };
    part.add(
        "LAUNCH_MIT_VECTOR",
        format!("{:#x}", own.launch_mitigations),
        format!("{vectors}, at launch{}", mitigations(own.launch_mitigations)),
    )
    .add(
        "CURRENT_MIT_VECTOR",
        format!("{:#x}", own.current_mitigations),
        format!("{vectors}, now{}", mitigations(own.current_mitigations)),
    );
    part
}

/// A level in words; without a product in the older layout, which every product before Turin has.
fn level(product: Option<Product>, raw: [u8; 8]) -> String {
    let read = SnpReportFields::level(product.unwrap_or(Product::Genoa), raw);
    match (product, read) {
        (Some(_), Some(level)) => level.to_string(),
        (Some(product), None) => format!("WRONG: a byte reserved on {product} is set"),
        (None, Some(level)) => format!("before Turin: {level}"),
        (None, None) => "before Turin: no such level".to_owned(),
    }
}

/// The bits whose bulletin is known.
fn mitigations(vector: u64) -> String {
    let known = [(1_u32, "AMD-SB-3020"), (2, "AMD-SB-3016"), (4, "AMD-SB-3030 and AMD-SB-3034")];
    let set: Vec<String> = (0_u32..64)
        .filter(|bit| vector.checked_shr(*bit).is_some_and(|rest| rest & 1 == 1))
        .map(|bit| {
            let name =
                known.iter().find(|(own, _)| *own == bit).map_or("bulletin not known here", |(_, name)| name);
            format!("bit {bit}: {name}")
        })
        .collect();
    if set.is_empty() { String::new() } else { format!(" ({})", set.join("; ")) }
}

fn signature(own: &SnpReportFields) -> Part {
    let mut part = Part::new("signature over the first 672 bytes (not verified here)");
    let algorithm =
        if own.signature_algorithm == 1 { "ECDSA on P-384 with SHA-384" } else { "not known here" };
    part.add("SIGNATURE_ALGO", own.signature_algorithm.to_string(), algorithm)
        .hex("R", &own.signature_r, "little-endian, 48 bytes and padding")
        .hex("S", &own.signature_s, "little-endian, 48 bytes and padding");
    let reserved = own.reserved.clone();
    part.add(
        "reserved ranges",
        reserved.clone().unwrap_or_else(|| "zero".to_owned()),
        must_be_zero(reserved.is_none()),
    );
    part
}

/// Where AMD publishes what an appraisal of this report needs (AMD 57230, chapter 4).
fn sources(own: &SnpReportFields) -> Option<Part> {
    let product = own.product()?;
    let level = SnpReportFields::level(product, own.reported_tcb)?;
    let mut part = Part::new("where AMD publishes what an appraisal needs");
    let vlek = own.signing_key == 1;
    let base = format!("https://kdsintf.amd.com/{}/v1/{product}", if vlek { "vlek" } else { "vcek" });
    if own.signing_key == 0 && !own.mask_chip_key {
        let used = if product == Product::Turin { 8 } else { 64 };
        let chip = to_hex(own.chip_id.get(..used).unwrap_or_default());
        let fmc = level.fmc.map(|fmc| format!("fmcSPL={fmc:02}&")).unwrap_or_default();
        let TcbVersion { bootloader, tee, snp, microcode, .. } = level;
        let levels =
            format!("{fmc}blSPL={bootloader:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}");
        part.add(
            "key certificate",
            format!("{base}/{chip}?{levels}"),
            "DER: endorsements.certificates_der_b64",
        );
    }
    if vlek {
        part.add(
            "key certificate",
            "-",
            "from the cloud provider, in the certificate table beside the report",
        );
    }
    part.add("its issuers", format!("{base}/cert_chain"), "PEM: endorsements.certificates_pem").add(
        "revocation list",
        format!("{base}/crl"),
        "DER: endorsements.crls_der_b64",
    );
    Some(part)
}

pub(super) fn on(set: bool) -> &'static str {
    if set { "1" } else { "0" }
}

pub(super) fn must_be_zero(holds: bool) -> &'static str {
    if holds { "zero, as it must be" } else { "WRONG or newer than this program: must be zero" }
}
