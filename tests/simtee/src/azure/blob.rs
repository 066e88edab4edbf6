//! The paravisor's blob before and after it gets its hardware report.

/// Bytes of the TPM's index that holds a blob.
pub const INDEX_BYTES: usize = 2600;

/// Every field of a blob that is not the report or the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HclSpec {
    /// First four bytes.
    pub signature: [u8; 4],
    /// Version of the header.
    pub version: u32,
    /// What is added to the size the header states.
    pub size_excess: u32,
    /// Request type; 2 is a blob for the guest.
    pub request_type: u32,
    /// Status and reserved words.
    pub reserved: [u8; 16],
    /// What is added to the size of the run-time data's structure.
    pub runtime_size_excess: u32,
    /// Version of the run-time data.
    pub runtime_version: u32,
    /// Report type in place of the hardware's own.
    pub report_type: Option<u32>,
    /// How the text is hashed; 1 is SHA-256.
    pub hash_type: u32,
    /// What is added to the length of the text.
    pub length_excess: u32,
    /// What follows the text, before the zeros.
    pub tail: Vec<u8>,
    /// Bytes of the whole.
    pub index_bytes: usize,
}

impl HclSpec {
    /// A blob as Azure makes it.
    pub fn good() -> Self {
        Self {
            signature: *b"HCLA",
            version: 2,
            size_excess: 0,
            request_type: 2,
            reserved: [0; 16],
            runtime_size_excess: 0,
            runtime_version: 1,
            report_type: None,
            hash_type: 1,
            length_excess: 0,
            tail: Vec::new(),
            index_bytes: INDEX_BYTES,
        }
    }

    /// The blob around a report of this type (2 SEV-SNP, 4 TDX) and this text.
    pub fn encode(&self, report: &[u8], kind: u32, text: &[u8]) -> Vec<u8> {
        let length = text.len() as u32;
        let mut out = self.signature.to_vec();
        for word in [self.version, 0x4c0 + 20 + length + self.size_excess, self.request_type] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.reserved);
        out.extend_from_slice(report);
        out.resize(out.len().max(0x4c0), 0);
        for word in [
            20 + length + self.runtime_size_excess,
            self.runtime_version,
            self.report_type.unwrap_or(kind),
            self.hash_type,
            length + self.length_excess,
        ] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(text);
        out.extend_from_slice(&self.tail);
        out.resize(self.index_bytes, 0);
        out
    }
}

/// The text of the run-time data: attestation key, a second key, settings, 64 bytes of the guest's.
pub fn runtime_text(ak_modulus: &[u8], other_modulus: &[u8]) -> String {
    let key = |id: &str, usage: &str, modulus: &[u8]| {
        let n = base64url(modulus);
        format!(r#"{{"kid":"{id}","key_ops":["{usage}"],"kty":"RSA","e":"AQAB","n":"{n}"}}"#)
    };
    format!(
        r#"{{"keys":[{},{}],"vm-configuration":{{"console-enabled":true,"secure-boot":true,"tpm-enabled":true,"vmUniqueId":"5E5E"}},"user-data":"{}"}}"#,
        key("HCLAkPub", "sign", ak_modulus),
        key("HCLEkPub", "encrypt", other_modulus),
        "00".repeat(64)
    )
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            out.push(char::from(DIGITS[(value >> (18 - 6 * place) & 63) as usize]));
        }
    }
    out
}
