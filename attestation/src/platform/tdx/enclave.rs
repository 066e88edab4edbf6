//! The quoting enclave: its report is signed by the platform, names the attestation key, and is Intel's.

use crate::digest::{Sha256, to_hex};
use crate::platform::tdx::quote::Quote;
use crate::platform::tdx::tcb_info::QeIdentity;
use crate::reader::{Cursor, Truncated};

/// Attribute bit 1 of an enclave: it may be debugged.
const DEBUG: u8 = 0x02;

/// The fields of a quoting enclave's report that are judged (Intel SDM 3D, table 38-21, REPORT).
pub(crate) struct EnclaveReport {
    /// Which extra fields an exception frame has.
    pub(crate) miscselect: [u8; 4],
    /// Attributes.
    pub(crate) attributes: [u8; 16],
    /// Signer.
    pub(crate) mr_signer: [u8; 32],
    /// Product.
    pub(crate) isv_prod_id: u16,
    /// Security version.
    pub(crate) isv_svn: u16,
    /// What the enclave asked to be signed.
    pub(crate) report_data: [u8; 64],
}

impl EnclaveReport {
    /// Reads the 384 bytes that [`Quote::parse`] found.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Truncated> {
        let mut cursor = Cursor::new(bytes);
        cursor.take(16)?;
        let miscselect = cursor.array()?;
        cursor.take(28)?;
        let attributes = cursor.array()?;
        cursor.take(64)?;
        let mr_signer = cursor.array()?;
        cursor.take(96)?;
        let isv_prod_id = u16::from_le_bytes(cursor.array()?);
        let isv_svn = u16::from_le_bytes(cursor.array()?);
        cursor.take(60)?;
        let report_data = cursor.array()?;
        cursor.finish()?;
        Ok(Self { miscselect, attributes, mr_signer, isv_prod_id, isv_svn, report_data })
    }

    /// Whether the report data are SHA-256 of attestation key and authentication data, and zeros.
    pub(crate) fn binds(&self, quote: &Quote<'_>) -> bool {
        let (digest, rest) = self.report_data.split_at(Sha256::SIZE);
        let hashed = [&quote.attestation_key, quote.authentication].concat();
        digest == Sha256::of(&hashed).as_bytes() && rest.iter().all(|byte| *byte == 0)
    }

    /// The first thing in which the enclave is not the one of `identity`, with both values.
    pub(super) fn differs(&self, identity: &QeIdentity) -> Option<(String, String)> {
        let differ = |name: &str, expected: String, found: String| {
            Some((format!("{name} {expected}"), format!("{name} {found}")))
        };
        let [first, ..] = self.attributes;
        if first & DEBUG != 0 {
            return differ("attributes", "without DEBUG".to_owned(), to_hex(&self.attributes));
        }
        if self.mr_signer != identity.mr_signer {
            return differ("MRSIGNER", to_hex(&identity.mr_signer), to_hex(&self.mr_signer));
        }
        if self.isv_prod_id != identity.isv_prod_id {
            return differ("ISVPRODID", identity.isv_prod_id.to_string(), self.isv_prod_id.to_string());
        }
        if !masked_equal(&self.miscselect, &identity.miscselect, &identity.miscselect_mask) {
            return differ("MISCSELECT", to_hex(&identity.miscselect), to_hex(&self.miscselect));
        }
        if !masked_equal(&self.attributes, &identity.attributes, &identity.attributes_mask) {
            return differ("attributes", to_hex(&identity.attributes), to_hex(&self.attributes));
        }
        None
    }
}

fn masked_equal<const N: usize>(found: &[u8; N], expected: &[u8; N], mask: &[u8; N]) -> bool {
    found.iter().zip(expected).zip(mask).all(|((found, expected), mask)| found & mask == expected & mask)
}
