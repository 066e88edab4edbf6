//! Certificate revocation lists as AMD's roots sign them.

use crate::SimteeError;
use crate::certificate::{Extension, amd_name, authority_key_id, sign, signature_algorithm};
use crate::der;
use crate::keys::RsaKey;

const CRL_NUMBER: &[u32] = &[2, 5, 29, 20];

/// Everything in a revocation list but its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationListSpec {
    /// Common name of the issuer; the rest of the name is AMD's.
    pub issuer: String,
    /// DER `SubjectPublicKeyInfo` that the authority key id is made from.
    pub issuer_info: Vec<u8>,
    /// Unix seconds.
    pub this_update: u64,
    /// Unix seconds.
    pub next_update: u64,
    /// Big-endian serial numbers.
    pub revoked: Vec<Vec<u8>>,
    /// CRL number extension.
    pub number: u8,
}

impl RevocationListSpec {
    /// Signs the list; returns its DER.
    pub fn issue(&self, signer: &RsaKey) -> Result<Vec<u8>, SimteeError> {
        let algorithm = signature_algorithm(false);
        let since = der::time(self.this_update);
        let entries: Vec<u8> =
            self.revoked.iter().flat_map(|serial| der::sequence(&[&der::unsigned(serial), &since])).collect();
        // The list is absent, not empty, when nothing is revoked (RFC 5280, 5.1.2.6).
        let entries = if entries.is_empty() { entries } else { der::element(der::SEQUENCE, &entries) };
        let extensions = [
            authority_key_id(&self.issuer_info).encode(),
            Extension::new(CRL_NUMBER, false, der::unsigned(&[self.number])).encode(),
        ]
        .concat();
        let to_be_signed = der::sequence(&[
            &der::unsigned(&[1]),
            &algorithm,
            &amd_name(&self.issuer),
            &since,
            &der::time(self.next_update),
            &entries,
            &der::explicit(0, &der::element(der::SEQUENCE, &extensions)),
        ]);
        sign(signer, &to_be_signed, &algorithm)
    }
}
