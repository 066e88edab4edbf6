//! A virtual TPM as far as an Azure guest uses it: registers, two indexes of non-volatile memory, an attestation key
//! behind a persistent handle, and the four commands that read them (TPM 2.0 library, part 3).

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};

use crate::SimteeError;
use crate::keys::RsaKey;

/// Handle of the attestation key.
pub const AK_HANDLE: u32 = 0x8100_0003;
/// Index of the paravisor's blob.
pub const HCL_INDEX: u32 = 0x0140_0001;
/// Index of the attestation key's certificate.
pub const AK_CERTIFICATE_INDEX: u32 = 0x01c1_01d0;

/// Most bytes of non-volatile memory that one command reads.
const NV_CHUNK: usize = 1024;

/// A virtual TPM.
#[derive(Debug)]
pub struct VirtualTpm<'a> {
    /// Key that signs quotes.
    pub ak: &'a RsaKey,
    /// The SHA-256 bank.
    pub pcrs: [[u8; 32]; 24],
    /// Non-volatile memory.
    pub indexes: BTreeMap<u32, Vec<u8>>,
    /// Response codes to give before the next commands are carried out.
    pub refusals: Vec<u32>,
    /// Registers to extend after so many further quotes, once: a measurement that slips in.
    pub extend_after_quote: Option<u8>,
}

impl VirtualTpm<'_> {
    /// `TPMS_ATTEST` of a quote over the registers whose bits are set in `selection`.
    pub fn attest(&self, extra_data: &[u8], selection: u32) -> Vec<u8> {
        let mut out = vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 34, 0, 0x0b];
        out.extend_from_slice(digest(&SHA256, self.ak.public_info()).as_ref());
        out.extend_from_slice(&(extra_data.len() as u16).to_be_bytes());
        out.extend_from_slice(extra_data);
        out.extend_from_slice(&0x0001_5d38_u64.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 5, 0, 0, 0, 1, 1]);
        out.extend_from_slice(&0x2020_0312_0012_0003_u64.to_be_bytes());
        out.extend_from_slice(&selected(selection));
        let values: Vec<u8> = indexes(selection).flat_map(|index| self.pcrs[index]).collect();
        out.extend_from_slice(&[0, 32]);
        out.extend_from_slice(digest(&SHA256, &values).as_ref());
        out
    }

    /// Carries out one command; the answer is a response of the TPM, also to nonsense.
    pub fn execute(&mut self, command: &[u8]) -> Result<Vec<u8>, SimteeError> {
        if !self.refusals.is_empty() {
            return Ok(response(self.refusals.remove(0), false, &[]));
        }
        let word =
            |at: usize| command.get(at..at + 4).map(|bytes| bytes.try_into().map_or(0, u32::from_be_bytes));
        let half = |at: usize| {
            command.get(at..at + 2).map_or(0, |bytes| usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
        };
        if word(2) != Some(command.len() as u32) {
            return Ok(response(0x142, false, &[])); // TPM_RC_COMMAND_SIZE
        }
        match word(6) {
            Some(0x169) => Ok(self.nv_read_public(word(10).unwrap_or(0))),
            Some(0x14e) => Ok(self.nv_read(word(14).unwrap_or(0), half(31), half(33))),
            Some(0x17e) => Ok(self.pcr_read(command)),
            Some(0x158) if word(10) == Some(AK_HANDLE) => self.quote(command),
            _ => Ok(response(0x143, false, &[])), // TPM_RC_COMMAND_CODE
        }
    }

    fn nv_read_public(&self, index: u32) -> Vec<u8> {
        let Some(content) = self.indexes.get(&index) else {
            return response(0x18b, false, &[]); // TPM_RC_HANDLE, first handle
        };
        let mut public = index.to_be_bytes().to_vec();
        public.extend_from_slice(&[0, 0x0b, 0x42, 0x07, 0x20, 0x08, 0, 0]);
        public.extend_from_slice(&(content.len() as u16).to_be_bytes());
        let mut out = (public.len() as u16).to_be_bytes().to_vec();
        out.extend(public);
        out.extend_from_slice(&[0, 34, 0, 0x0b]);
        out.extend_from_slice(&[0x4e; 32]);
        response(0, false, &out)
    }

    fn nv_read(&self, index: u32, size: usize, offset: usize) -> Vec<u8> {
        let content = self.indexes.get(&index).and_then(|content| content.get(offset..offset + size));
        match content {
            Some(content) if size <= NV_CHUNK => {
                let mut out = (size as u16).to_be_bytes().to_vec();
                out.extend_from_slice(content);
                response(0, true, &out)
            }
            _ => response(0x146, false, &[]), // TPM_RC_NV_RANGE
        }
    }

    /// Eight registers at most, as the reference implementation does.
    fn pcr_read(&self, command: &[u8]) -> Vec<u8> {
        let wanted = command.get(17..20).map_or(0, |bits| u32::from_le_bytes([bits[0], bits[1], bits[2], 0]));
        let given: Vec<usize> = indexes(wanted).take(8).collect();
        let mask = given.iter().fold(0, |mask, index| mask | 1 << index);
        let mut out = 7_u32.to_be_bytes().to_vec();
        out.extend_from_slice(&selected(mask));
        out.extend_from_slice(&(given.len() as u32).to_be_bytes());
        for index in given {
            out.extend_from_slice(&[0, 32]);
            out.extend_from_slice(&self.pcrs[index]);
        }
        response(0, false, &out)
    }

    fn quote(&mut self, command: &[u8]) -> Result<Vec<u8>, SimteeError> {
        // tag, size, code, handle, and an authorisation of 13 bytes
        let length =
            command.get(27..29).map_or(0, |bytes| usize::from(bytes[0]) << 8 | usize::from(bytes[1]));
        let extra_data = command.get(29..29 + length).unwrap_or_default();
        let bits = command.get(command.len() - 3..).unwrap_or_default();
        let attest = self.attest(extra_data, u32::from_le_bytes([bits[0], bits[1], bits[2], 0]));
        let signature = self.ak.sign_pkcs1_sha256(&attest)?;
        let mut out = (attest.len() as u16).to_be_bytes().to_vec();
        out.extend(attest);
        out.extend_from_slice(&[0, 0x14, 0, 0x0b, 1, 0]);
        out.extend(signature);
        if let Some(index) = self.extend_after_quote.take() {
            let old = self.pcrs[usize::from(index)];
            self.pcrs[usize::from(index)].copy_from_slice(digest(&SHA256, &[old, [1; 32]].concat()).as_ref());
        }
        Ok(response(0, true, &out))
    }
}

fn indexes(selection: u32) -> impl Iterator<Item = usize> {
    (0..24).filter(move |index| selection & 1 << index != 0)
}

/// `TPML_PCR_SELECTION` with these registers of the SHA-256 bank.
fn selected(selection: u32) -> Vec<u8> {
    let [low, middle, high, _] = selection.to_le_bytes();
    vec![0, 0, 0, 1, 0, 0x0b, 3, low, middle, high]
}

/// A response, with an empty authorisation when `sessions`.
fn response(code: u32, sessions: bool, parameters: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    if sessions {
        body.extend_from_slice(&(parameters.len() as u32).to_be_bytes());
    }
    body.extend_from_slice(parameters);
    if sessions {
        body.extend_from_slice(&[0, 0, 1, 0, 0]);
    }
    let mut out = vec![0x80, if sessions { 2 } else { 1 }];
    out.extend_from_slice(&(body.len() as u32 + 10).to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend(body);
    out
}
