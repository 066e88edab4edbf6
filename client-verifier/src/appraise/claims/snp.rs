//! The claims of an SEV-SNP report.

use attestation::claims::SnpClaims;
use attestation::claims::snp::{Product, SigningKey, TcbVersion};
use attestation::digest::to_hex;
use attestation::inspect;
use serde_json::{Value, json};

use super::super::material::Material;
use super::{Claims, Source};

pub(super) fn add(own: &SnpClaims, material: &Material, claims: &mut Claims) {
    identity(own, claims);
    guest(own, claims);
    platform(own, claims);
    endorsement(material, claims);
}

fn identity(own: &SnpClaims, claims: &mut Claims) {
    let signing_key = match own.signing_key {
        SigningKey::Vcek => 0,
        SigningKey::Vlek => 1,
    };
    claims
        .add(Source::Verifier, "generation", own.product.as_str().to_lowercase())
        .add(Source::Hardware, "report_version", own.version)
        .add(Source::Hardware, "vek", own.signing_key.to_string())
        .add(Source::Hardware, "signing_key", signing_key)
        // a masked one is refused before anything is authentic
        .add(Source::Hardware, "mask_chip_key", false)
        .add(Source::Hardware, "chip_id", to_hex(&own.chip_id))
        .add(Source::Hardware, "chip_id_prefix", to_hex(own.chip_id.first_chunk::<8>().map_or(&[], |id| id)))
        .add(Source::Hardware, "chip_id_zero", own.chip_id.iter().all(|byte| *byte == 0));
    if let Some(cpuid) = own.cpuid {
        let value = json!({
            "family": format!("{:#04x}", cpuid.family),
            "model": format!("{:#04x}", cpuid.model),
            "stepping": cpuid.stepping,
        });
        claims.add(Source::Hardware, "cpuid", value);
    }
}

fn guest(own: &SnpClaims, claims: &mut Claims) {
    let policy = own.policy;
    let bits = json!({
        "abi": policy.abi().to_string(),
        "smt": policy.smt(),
        "migrate_ma": policy.migrate_ma(),
        "debug": policy.debug(),
        "single_socket": policy.single_socket(),
        "cxl": policy.cxl_allow(),
        "mem_aes256": policy.mem_aes_256_xts(),
        "rapl_dis": policy.rapl_dis(),
        "ciphertext_hiding": policy.ciphertext_hiding(),
        "page_swap_disable": policy.page_swap_disable(),
    });
    claims
        .add(Source::Hardware, "guest_svn", own.guest_svn)
        .add(Source::Hardware, "policy", policy.to_string())
        .add(Source::Hardware, "policy_bits", bits)
        .add(Source::Hardware, "vmpl", own.vmpl)
        .add(Source::Hardware, "family_id", to_hex(&own.family_id))
        .add(Source::Hardware, "image_id", to_hex(&own.image_id))
        .add(Source::Hardware, "host_data", to_hex(&own.host_data))
        .add(Source::Hardware, "id_key_digest", to_hex(&own.id_key_digest))
        .add(Source::Hardware, "author_key_en", own.author_key_en)
        .add(Source::Hardware, "author_key_digest", to_hex(&own.author_key_digest))
        .add(Source::Hardware, "report_id", to_hex(&own.report_id))
        .add(Source::Hardware, "report_id_ma", to_hex(&own.report_id_ma))
        .add(Source::Hardware, "report_id_ma_all_ff", own.report_id_ma == [0xff; 32]);
}

fn platform(own: &SnpClaims, claims: &mut Claims) {
    let info = own.platform_info;
    let bits = json!({
        "smt_en": info.smt_en(),
        "tsme_en": info.tsme_en(),
        "ecc_en": info.ecc_en(),
        "rapl_dis": info.rapl_dis(),
        "ciphertext_hiding_en": info.ciphertext_hiding_en(),
        "alias_check_complete": info.alias_check_complete(),
        "iommu_write_safe": info.iommu_write_safe(),
        "tio_en": info.tio_en(),
    });
    let levels = [
        ("reported", own.reported_tcb),
        ("current", own.current_tcb),
        ("committed", own.committed_tcb),
        ("launch", own.launch_tcb),
    ];
    let of = |spell: &dyn Fn(TcbVersion) -> Value| {
        Value::Object(levels.iter().map(|(name, tcb)| ((*name).to_owned(), spell(*tcb))).collect())
    };
    claims
        .add(Source::Hardware, "platform_info", info.to_string())
        .add(Source::Hardware, "platform_info_bits", bits)
        .add(Source::Hardware, "tcb", of(&level))
        .add(Source::Hardware, "tcb_raw", of(&|tcb| raw(own.product, tcb).into()))
        .add(Source::Hardware, "current_firmware", own.current_firmware.to_string())
        .add(Source::Hardware, "committed_firmware", own.committed_firmware.to_string());
    if own.version >= 5 {
        claims.add(Source::Hardware, "launch_mit_vector", format!("{:#x}", own.launch_mitigations)).add(
            Source::Hardware,
            "current_mit_vector",
            format!("{:#x}", own.current_mitigations),
        );
    }
    if let Some(csp_id) = &own.csp_id {
        claims.add(Source::Vendor, "vlek_csp", csp_id.as_str());
    }
}

/// What the endorsement key's certificate adds.
fn endorsement(material: &Material, claims: &mut Claims) {
    let read = material.certificates.iter().filter_map(|der| inspect::certificate(der).ok());
    let Some((own, endorsed)) = read.into_iter().find_map(|own| Some((own.clone(), own.endorsed?))) else {
        return;
    };
    let validity = json!([own.not_before.to_string(), own.not_after.to_string()]);
    claims.add(Source::Vendor, "vek_product", endorsed.product_name).add(
        Source::Vendor,
        "vek_validity",
        validity,
    );
    if let Some(id) = endorsed.hardware_id {
        claims.add(Source::Vendor, "vek_hwid_len", id.len());
    }
}

fn level(tcb: TcbVersion) -> Value {
    let mut level = json!({
        "bl": tcb.bootloader, "tee": tcb.tee, "snp": tcb.snp, "ucode": tcb.microcode,
    });
    if let (Some(fmc), Some(level)) = (tcb.fmc, level.as_object_mut()) {
        level.insert("fmc".to_owned(), fmc.into());
    }
    level
}

/// The eight bytes that stand in the report.
fn raw(product: Product, tcb: TcbVersion) -> String {
    let TcbVersion { fmc, bootloader, tee, snp, microcode } = tcb;
    to_hex(&match product {
        Product::Genoa | Product::Milan => [bootloader, tee, 0, 0, 0, 0, snp, microcode],
        Product::Turin => [fmc.unwrap_or(0), bootloader, tee, snp, 0, 0, 0, microcode],
    })
}
