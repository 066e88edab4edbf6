//! The claims of Azure's paravisor and of the virtual TPM it keeps.

use attestation::claims::ParavisorClaims;
use attestation::claims::paravisor::{AkEndorsement, VmSetting};
use attestation::digest::to_hex;
use serde_json::{Value, json};

use super::{Claims, Source};

pub(super) fn add(own: &ParavisorClaims, claims: &mut Claims) {
    let settings = own.vm_configuration.iter().map(|(name, setting)| {
        let value: Value = match setting {
            VmSetting::Flag(flag) => (*flag).into(),
            VmSetting::Text(text) => text.as_str().into(),
        };
        (name.clone(), value)
    });
    let registers: Value =
        own.pcrs.iter().map(|(index, value)| (index.to_string(), Value::from(value.to_hex()))).collect();
    let ak = match &own.ak {
        AkEndorsement::Certificate { names } => json!({ "certificate": names }),
        AkEndorsement::RuntimeData => json!("run-time data only"),
    };
    claims
        .add(Source::Verifier, "paravisor", own.paravisor.as_str())
        .add(Source::Verifier, "hcl_header_version", own.header_version)
        .add(Source::Verifier, "runtime_claims_bound", true)
        .add(Source::Paravisor, "runtime_keys", own.keys.clone())
        .add(Source::Paravisor, "runtime_user_data", to_hex(&own.user_data))
        .add(Source::Paravisor, "vm_configuration", settings.collect::<Value>())
        .add(Source::Paravisor, "tpm_extra_data", to_hex(&own.extra_data))
        .add(Source::Paravisor, "pcrs_sha256", registers)
        .add(Source::Paravisor, "tpm_clock_ms", own.clock)
        .add(Source::Paravisor, "tpm_reset_count", own.reset_count)
        .add(Source::Paravisor, "tpm_restart_count", own.restart_count)
        .add(Source::Paravisor, "tpm_firmware_version", own.firmware_version)
        .add(Source::Verifier, "ak_endorsed_by", ak);
}
