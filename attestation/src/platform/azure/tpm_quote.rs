//! A TPM 2.0 quote (TCG "TPM 2.0 Library", part 2, sections 10.12.8 and 10.12.12): `TPMS_ATTEST` with
//! `TPMS_QUOTE_INFO`, read to its last byte.

use crate::azure_evidence::{MAX_TPM_QUOTE_BYTES, PCRS};
use crate::digest::Sha256;
use crate::platform::azure::runtime_data::AttestationKey;
use crate::platform::azure::steps;
use crate::reader::{Cursor, Truncated};
use crate::rejection::Rejection;
use crate::signature::Algorithm;
use std::collections::BTreeMap;

/// `TPM_GENERATED_VALUE`: only the TPM itself signs a structure that begins so.
const GENERATED: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_QUOTE`.
const QUOTE: u16 = 0x8018;
/// `TPM_ALG_SHA256`.
const SHA256: u16 = 0x000b;
/// A name: algorithm and digest.
const NAME_BYTES: u16 = 34;
/// Most bytes of `extraData` (`TPM2B_DATA` of a TPM whose largest digest has 64 bytes).
const MAX_EXTRA_BYTES: u16 = 64;
/// Bytes of a selection of 24 registers.
const SELECT_BYTES: u8 = 3;

/// What a quote says, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TpmQuote<'a> {
    pub(super) extra_data: &'a [u8],
    pub(super) clock: u64,
    pub(super) reset_count: u32,
    pub(super) restart_count: u32,
    pub(super) firmware_version: u64,
    /// Selected registers of the SHA-256 bank, ascending.
    pub(super) selected: Vec<u8>,
    /// SHA-256 over the selected registers, one after the other.
    pub(super) pcr_digest: Sha256,
}

impl<'a> TpmQuote<'a> {
    /// # Errors
    /// `AZ_QUOTE`: another structure, another bank than SHA-256, more than one selection, bytes left over.
    pub(super) fn parse(attest: &'a [u8]) -> Result<Self, Rejection> {
        if attest.len() > MAX_TPM_QUOTE_BYTES {
            return Err(broken("at most 1024 bytes", attest.len().to_string()));
        }
        let mut cursor = Cursor::new(attest);
        let read = Self::read(&mut cursor)?;
        cursor.finish().map_err(truncated)?;
        Ok(read)
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Rejection> {
        same("TPM_GENERATED", cursor.u32_be().map_err(truncated)? == GENERATED)?;
        same("a quote", cursor.u16_be().map_err(truncated)? == QUOTE)?;
        same("a signer's name", cursor.u16_be().map_err(truncated)? == NAME_BYTES)?;
        same("a SHA-256 name", cursor.u16_be().map_err(truncated)? == SHA256)?;
        cursor.array::<32>().map_err(truncated)?;
        let length = cursor.u16_be().map_err(truncated)?;
        same("at most 64 bytes of extra data", length <= MAX_EXTRA_BYTES)?;
        let extra_data = cursor.take(usize::from(length)).map_err(truncated)?;
        let clock = cursor.u64_be().map_err(truncated)?;
        let reset_count = cursor.u32_be().map_err(truncated)?;
        let restart_count = cursor.u32_be().map_err(truncated)?;
        same("a truth value", cursor.u8().map_err(truncated)? <= 1)?;
        let firmware_version = cursor.u64_be().map_err(truncated)?;
        same("one selection", cursor.u32_be().map_err(truncated)? == 1)?;
        same("the SHA-256 bank", cursor.u16_be().map_err(truncated)? == SHA256)?;
        same("24 registers", cursor.u8().map_err(truncated)? == SELECT_BYTES)?;
        let [low, middle, high] = cursor.array().map_err(truncated)?;
        let mask = u32::from_le_bytes([low, middle, high, 0]);
        let selected = (0..PCRS).filter(|index| mask & (1 << u32::from(*index)) != 0).collect();
        same("a SHA-256 digest", cursor.u16_be().map_err(truncated)? == 32)?;
        let pcr_digest = Sha256::new(cursor.array().map_err(truncated)?);
        Ok(Self { extra_data, clock, reset_count, restart_count, firmware_version, selected, pcr_digest })
    }
}

/// Whether `key` signed `attest`: RSASSA-PKCS1-v1_5 with SHA-256.
pub(super) fn signed_by(key: &AttestationKey, attest: &[u8], signature: &[u8]) -> bool {
    Algorithm::RsaPkcs1Sha256.verifies(&key.pkcs1, attest, signature)
}

/// SHA-256 over the registers' values in ascending order.
pub(super) fn digest_of(pcrs: &BTreeMap<u8, Sha256>) -> Sha256 {
    let values: Vec<u8> = pcrs.values().flat_map(|value| *value.as_bytes()).collect();
    Sha256::of(&values)
}

fn same(expected: &str, holds: bool) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(broken(expected, "something else".to_owned())) }
}

fn truncated(error: Truncated) -> Rejection {
    broken("a whole TPMS_ATTEST", error.to_string())
}

fn broken(expected: &str, found: String) -> Rejection {
    Rejection::new(steps::QUOTE.code, steps::QUOTE.field, expected, found)
}
