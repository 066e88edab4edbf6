//! Guests behind Azure's paravisor: `[[azure]]` has the virtual TPM's registers of one acceptable release,
//! `[[azure_paravisor]]` what the SEV-SNP hardware says of one acceptable paravisor. On TDX that is `[[tdx]]`.

use std::collections::BTreeMap;

use attestation::azure_evidence::PCRS;
use attestation::digest::from_hex;
use attestation::policy::{AzurePolicy, PcrRelease};
use attestation::reference_values::{IdBlock, Release, Requirement};
use attestation::{Measurement, Sha256};

use super::error::{PolicyCode, PolicyError};
use super::reader::{Section, Value};

/// The rules for Azure's guests: part B's defaults around the releases listed. An empty list accepts nothing.
pub(super) fn policy(root: &Section<'_>, overrides: &Section<'_>) -> Result<AzurePolicy, PolicyError> {
    let entries = match root.optional("azure") {
        Some(list) => list.tables(&REGISTERS)?,
        None => Vec::new(),
    };
    let mut policy = AzurePolicy::standard(entries.iter().map(registers).collect::<Result<_, _>>()?);
    if let Some(list) = overrides.optional("azure_pcrs") {
        policy.mandatory = list.list()?.iter().map(register).collect::<Result<_, _>>()?;
    }
    Ok(policy)
}

/// Acceptable paravisors on SEV-SNP, every value named: Azure sets an ID block.
pub(super) fn paravisors(root: &Section<'_>) -> Result<Vec<Release>, PolicyError> {
    match root.optional("azure_paravisor") {
        Some(list) => list.tables(&PARAVISOR)?.iter().map(paravisor).collect(),
        None => Ok(Vec::new()),
    }
}

fn registers(entry: &Section<'_>) -> Result<PcrRelease, PolicyError> {
    let mut values = BTreeMap::new();
    for (index, name) in (0..PCRS).zip(REGISTERS) {
        if let Some(value) = entry.optional(name) {
            let spelled = "a register: 64 lower-case hexadecimal digits";
            values.insert(index, value.parsed(spelled, |text| Sha256::from_hex(text).ok())?);
        }
    }
    Ok(PcrRelease { name: "pinned".to_owned(), values })
}

fn paravisor(entry: &Section<'_>) -> Result<Release, PolicyError> {
    let measurement = entry.required("measurement")?;
    let spelled = "a launch measurement: 96 lower-case hexadecimal digits";
    let measurement = measurement.parsed(spelled, |text| Measurement::from_hex(text).ok())?;
    let svn = entry.required("guest_svn")?;
    let least = u32::try_from(svn.integer()?).map_err(|_| svn.error(PolicyCode::Value, "32 bits"))?;
    Ok(Release {
        guest_svn: Requirement::AtLeast(least),
        family_id: Requirement::Exactly(bytes(entry, "family_id", "32 lower-case hexadecimal digits")?),
        image_id: Requirement::Exactly(bytes(entry, "image_id", "32 lower-case hexadecimal digits")?),
        id_block: IdBlock::Keys {
            id_key_digest: bytes(entry, "id_key_digest", "96 lower-case hexadecimal digits")?,
            author_key_digest: None,
        },
        ..Release::pinned("paravisor", measurement)
    })
}

fn bytes<const N: usize>(entry: &Section<'_>, key: &str, spelled: &str) -> Result<[u8; N], PolicyError> {
    entry.required(key)?.parsed(spelled, |text| from_hex(text, N).ok()?.try_into().ok())
}

fn register(value: &Value<'_>) -> Result<u8, PolicyError> {
    let index = u8::try_from(value.integer()?).ok().filter(|index| *index < PCRS);
    index.ok_or_else(|| value.error(PolicyCode::Value, "a register: 0 to 23"))
}

const PARAVISOR: [&str; 5] = ["measurement", "id_key_digest", "family_id", "image_id", "guest_svn"];

/// The registers by number.
const REGISTERS: [&str; 24] = [
    "pcr0", "pcr1", "pcr2", "pcr3", "pcr4", "pcr5", "pcr6", "pcr7", "pcr8", "pcr9", "pcr10", "pcr11",
    "pcr12", "pcr13", "pcr14", "pcr15", "pcr16", "pcr17", "pcr18", "pcr19", "pcr20", "pcr21", "pcr22",
    "pcr23",
];
