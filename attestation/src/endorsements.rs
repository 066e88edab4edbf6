//! What the chip's vendor signs to support evidence: certificates and revocation lists, as untrusted bytes.
//! This file only carries and bounds them; chains are judged by the platform that understands them.

use crate::cbor::{CborError, Key, Reader, Writer, present};
use crate::reader::Cursor;
use crate::rejection::{Code, Rejection};

mod tdx_collateral;

pub use tdx_collateral::{MAX_COLLATERAL_BYTES, TdxCollateral};

/// Largest encoding of endorsements, in bytes.
pub const MAX_ENDORSEMENTS_BYTES: usize = 192 * 1024;

const MAX_CERTIFICATES: u64 = 8;
const MAX_CERTIFICATE_BYTES: usize = 8 * 1024;
const MAX_CRLS: u64 = 4;
const MAX_CRL_BYTES: usize = 64 * 1024;

/// Longest event log, in bytes.
pub const MAX_EVENT_LOG_BYTES: usize = 128 * 1024;

/// Rows of a certificate table read before giving up.
const MAX_TABLE_ROWS: usize = 16;
const TABLE_ROW_BYTES: usize = 24;

/// What one row of an SNP certificate table holds (GHCB 2.0, table 4.1.8.1; bytes in printed order).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableEntry {
    /// AMD root key certificate.
    Ark,
    /// AMD SEV key certificate, or for VLEK the ASVK's.
    Ask,
    /// Revocation list signed by the ARK.
    Crl,
    /// Versioned chip endorsement key certificate.
    Vcek,
    /// Versioned loaded endorsement key certificate.
    Vlek,
}

impl TableEntry {
    /// Every kind of row this reader keeps.
    pub const ALL: [Self; 5] = [Self::Ark, Self::Ask, Self::Crl, Self::Vcek, Self::Vlek];

    /// The row's GUID as it stands in the table.
    pub const fn guid(self) -> [u8; 16] {
        match self {
            Self::Ark => 0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae_u128.to_be_bytes(),
            Self::Ask => 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782_u128.to_be_bytes(),
            Self::Crl => 0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea_u128.to_be_bytes(),
            Self::Vcek => 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd_u128.to_be_bytes(),
            Self::Vlek => 0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1_u128.to_be_bytes(),
        }
    }
}

/// Certificates and revocation lists, DER, unordered and unverified; for TDX collateral and an event log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endorsements {
    /// X.509 certificates, DER.
    pub certificates: Vec<Vec<u8>>,
    /// X.509 revocation lists, DER.
    pub crls: Vec<Vec<u8>>,
    /// Intel's collateral as JSON, see [`TdxCollateral`]; empty when there is none.
    pub collateral: Vec<u8>,
    /// The log of what was extended into a TD's run-time registers; empty when there is none.
    pub event_log: Vec<u8>,
}

impl Endorsements {
    /// The bytes of the evidence document's `endorsements` member: `{1: [certificate...], 2: [crl...]}`, and
    /// where they are not empty `3: collateral` and `4: event log`.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let texts =
            [(3, &self.collateral), (4, &self.event_log)].into_iter().filter(|(_, text)| !text.is_empty());
        writer.map(texts.clone().count().saturating_add(2));
        for (key, items) in [(1, &self.certificates), (2, &self.crls)] {
            writer.uint(key).array(items.len());
            for item in items {
                writer.bytes(item);
            }
        }
        for (key, text) in texts {
            writer.uint(key).bytes(text);
        }
        writer.into_bytes()
    }

    /// Reads endorsements.
    ///
    /// # Errors
    /// `ATT_MALFORMED`: not deterministic CBOR of this shape, or more or larger items than an appraisal reads.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::parse(bytes).map_err(|error| error.reject(Code::AttMalformed, "endorsements"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > MAX_ENDORSEMENTS_BYTES {
            return Err(CborError::TooLong(0));
        }
        let (mut certificates, mut crls) = (None, None);
        let (mut collateral, mut event_log) = (Vec::new(), Vec::new());
        let mut reader = Reader::new(bytes);
        reader.map(4, |key, value| {
            match key {
                Key::Uint(1) => certificates = Some(strings(value, MAX_CERTIFICATES, MAX_CERTIFICATE_BYTES)?),
                Key::Uint(2) => crls = Some(strings(value, MAX_CRLS, MAX_CRL_BYTES)?),
                Key::Uint(3) => collateral = text(value, MAX_COLLATERAL_BYTES)?,
                Key::Uint(4) => event_log = text(value, MAX_EVENT_LOG_BYTES)?,
                Key::Uint(_) | Key::Text(_) => return Err(CborError::UnknownKey(value.position())),
            }
            Ok::<_, CborError>(())
        })?;
        reader.finish()?;
        Ok(Self { certificates: present(certificates, 1)?, crls: present(crls, 2)?, collateral, event_log })
    }

    /// Reads the certificate table of an extended SNP report. Rows with other GUIDs are not ours and are left out.
    ///
    /// # Errors
    /// `ATT_MALFORMED`: no terminating zero row within 16, a row pointing outside the table or into its own
    /// head, an empty or oversized entry, or two rows of one kind.
    pub fn from_snp_certificate_table(table: &[u8]) -> Result<Self, Rejection> {
        let mut endorsements = Self::default();
        if table.is_empty() {
            return Ok(endorsements);
        }
        let rows = table_rows(table)?;
        let head = rows.len().saturating_add(1).saturating_mul(TABLE_ROW_BYTES);
        let mut seen = Vec::new();
        for (guid, offset, length) in rows {
            let Some(entry) = TableEntry::ALL.into_iter().find(|entry| entry.guid() == guid) else {
                continue;
            };
            let limit = if entry == TableEntry::Crl { MAX_CRL_BYTES } else { MAX_CERTIFICATE_BYTES };
            if seen.contains(&entry) || offset < head || !(1..=limit).contains(&length) {
                return Err(bad_table(
                    "one bounded entry of each kind after the table's head",
                    "a row that is not",
                ));
            }
            seen.push(entry);
            let end = offset.saturating_add(length);
            let Some(bytes) = table.get(offset..end) else {
                return Err(bad_table("entries inside the table", format!("an entry ending at {end}")));
            };
            match entry {
                TableEntry::Crl => endorsements.crls.push(bytes.to_vec()),
                TableEntry::Ark | TableEntry::Ask | TableEntry::Vcek | TableEntry::Vlek => {
                    endorsements.certificates.push(bytes.to_vec());
                }
            }
        }
        Ok(endorsements)
    }
}

type Row = ([u8; 16], usize, usize);

fn table_rows(table: &[u8]) -> Result<Vec<Row>, Rejection> {
    let mut cursor = Cursor::new(table);
    let mut rows = Vec::new();
    for _ in 0..MAX_TABLE_ROWS {
        let truncated = |error: crate::reader::Truncated| bad_table("a whole row", error.to_string());
        let guid = cursor.array::<16>().map_err(truncated)?;
        let offset = cursor.u32_le().map_err(truncated)?;
        let length = cursor.u32_le().map_err(truncated)?;
        if guid == [0; 16] {
            return if offset == 0 && length == 0 {
                Ok(rows)
            } else {
                Err(bad_table("a zero last row", "an offset"))
            };
        }
        let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        rows.push((guid, size(offset), size(length)));
    }
    Err(bad_table("at most 15 rows", "more"))
}

fn bad_table(expected: &str, found: impl Into<String>) -> Rejection {
    Rejection::new(Code::AttMalformed, "endorsements.certificate_table", expected, found)
}

/// A text that is there is not empty, so that there is one encoding only.
fn text(value: &mut Reader<'_>, size: usize) -> Result<Vec<u8>, CborError> {
    let at = value.position();
    let bytes = value.bytes(size)?;
    if bytes.is_empty() { Err(CborError::Value(at)) } else { Ok(bytes.to_vec()) }
}

fn strings(value: &mut Reader<'_>, count: u64, size: usize) -> Result<Vec<Vec<u8>>, CborError> {
    let mut strings = Vec::new();
    value.array(count, |item| {
        strings.push(item.bytes(size)?.to_vec());
        Ok::<_, CborError>(())
    })?;
    Ok(strings)
}

#[cfg(test)]
mod tests;
