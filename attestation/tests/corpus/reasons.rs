//! What a rejection here is called in the corpus. A code may stand for several of the corpus' reasons. Also read by
//! the tests of `postern appraise`, so it depends on nothing beside it.

use attestation::{Code, TeeType};

/// The corpus' names for a rejection of evidence of this kind, from its parts.
pub(crate) fn named(tee: TeeType, code: Code, field: &str, expected: &str, found: &str) -> Vec<&'static str> {
    match tee {
        TeeType::Snp => snp(code).to_vec(),
        TeeType::Tdx => tdx(code, field, expected, found),
        TeeType::AzureSnp | TeeType::AzureTdx => azure(code, field, expected, found),
    }
}

fn snp(code: Code) -> &'static [&'static str] {
    match code {
        Code::AttMalformed => &["malformed", "malformed_vek", "malformed_chain"],
        Code::AttUntrustedRoot => &["root_untrusted", "ask_invalid"],
        Code::SnpChain => &[
            "chain_invalid",
            "ask_invalid",
            "cert_expired",
            "cert_not_yet_valid",
            "malformed_vek",
            "malformed_chain",
        ],
        Code::SnpVekMissing => &["vek_missing"],
        Code::SnpSignature | Code::SnpReserved => &["sig_invalid"],
        Code::SnpVersion => &["unsupported_version", "sig_invalid"],
        Code::SnpChipId | Code::SnpMasked => &["vek_hwid_mismatch"],
        Code::SnpVekTcb => &["vek_tcb_mismatch"],
        Code::SnpProductMismatch => &["generation_mismatch"],
        Code::SnpSigningKey => &["vek_kind_mismatch"],
        Code::SnpDebug => &["debug_enabled"],
        Code::SnpMigrate => &["migration_agent_allowed"],
        Code::SnpPolicyReserved => &["policy_reserved_bit"],
        Code::SnpVmpl => &["vmpl_not_allowed"],
        Code::SnpTcbOrder => &["tcb_order"],
        Code::SnpRevoked => &["revoked"],
        Code::SnpCrlMissing => &["crl_expired"],
        Code::AttReportData => &["report_data_mismatch"],
        _ => &[],
    }
}

fn tdx(code: Code, field: &str, expected: &str, found: &str) -> Vec<&'static str> {
    let status = |text: &str| match text {
        "OutOfDate" | "OutOfDateConfigurationNeeded" => "tcb_out_of_date",
        "NoMatchingTcbLevel" => "tcb_no_match",
        "Revoked" => "tcb_revoked",
        "ConfigurationNeeded" => "tcb_configuration_needed",
        "SWHardeningNeeded" => "tcb_sw_hardening_needed",
        "ConfigurationAndSWHardeningNeeded" => "tcb_configuration_and_sw_hardening_needed",
        other => panic!("no reason for status {other}"),
    };
    match code {
        Code::AttMalformed => vec!["malformed"],
        Code::AttTeeType => vec!["tee_type_unexpected"],
        Code::AttUntrustedRoot => vec!["root_untrusted"],
        Code::TdxAttributes => match field {
            "cpu.quote.td_attributes.sept_ve_disable" => vec!["sept_ve_disable_clear"],
            _ => vec!["td_attributes_reserved"],
        },
        Code::TdxChain => {
            vec!["chain_invalid", "cert_expired", "cert_not_yet_valid", "chain_extra_cert", "chain_order"]
        }
        Code::TdxCollateral => vec!["sig_invalid", "tcb_unknown_status"],
        Code::TdxCollateralMissing | Code::TdxCrlMissing => vec!["collateral_missing"],
        Code::TdxCollateralRollback => vec!["tcb_evaluation_rollback"],
        Code::TdxCollateralStale => vec!["collateral_expired", "crl_expired"],
        Code::TdxDebug => vec!["debug_enabled"],
        Code::TdxHeader => vec!["unsupported_version", "unsupported_certification_data_type", "malformed"],
        Code::TdxModule => match found {
            "another MRSIGNERSEAM" => vec!["mr_signer_seam_nonzero"],
            "other SEAMATTRIBUTES" => vec!["seam_attributes_nonzero"],
            _ => vec!["tdx_module_identity"],
        },
        Code::TdxPadding => vec!["trailing_data"],
        Code::TdxQe if field == "cpu.quote.attestation_key" => vec!["ak_not_bound"],
        Code::TdxQe => vec!["qe_identity"],
        Code::TdxRevoked => vec!["revoked"],
        Code::TdxServiceTd => vec!["service_td_present"],
        Code::TdxSignature => vec!["sig_invalid"],
        Code::TdxTcbStatus => vec![status(found)],
        Code::TdxTcbinfoMismatch => match field {
            _ if expected.starts_with("TDX") => vec!["tcb_info_id"],
            _ => vec!["fmspc_mismatch", "pceid_mismatch"],
        },
        other => panic!("no reason for {other}"),
    }
}

fn azure(code: Code, field: &str, expected: &str, found: &str) -> Vec<&'static str> {
    match (code, field) {
        (Code::AzBinding, "cpu.azure.hcl_report.runtime_data") => vec!["runtime_claims_binding"],
        (Code::AzBinding, _) => vec!["td_quote_not_bound_to_hcl_report", "td_quote_missing"],
        (Code::AzAk, "cpu.azure.ak_certificates") => vec!["ak_cert_mismatch", "chain_invalid"],
        (Code::AzAk, _) => vec!["ak_not_endorsed"],
        (Code::AzQuote, _) => vec!["tpm_quote_sig"],
        (Code::AzPcr, _) => vec!["pcr_digest"],
        (Code::AttNonce, _) => vec!["nonce_mismatch"],
        // the corpus names an endorsement key of another chip, which our chain refuses first, by what follows from it
        (Code::SnpChain, _) => vec!["sig_invalid", "chain_invalid"],
        (code, _) if code.as_str().starts_with("TDX_") => tdx(code, field, expected, found),
        (code, _) => snp(code).to_vec(),
    }
}
