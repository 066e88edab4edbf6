//! Certificates as Azure's authorities for virtual TPMs write them: RSA, PKCS #1 v1.5.

use crate::SimteeError;
use crate::certificate::Extension;
use crate::der;
use crate::keys::RsaKey;

const RSA_SHA256: &[u32] = &[1, 2, 840, 113_549, 1, 1, 11];
const RSA_SHA384: &[u32] = &[1, 2, 840, 113_549, 1, 1, 12];
const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
const BASIC_CONSTRAINTS: &[u32] = &[2, 5, 29, 19];
const EXTENDED_KEY_USAGE: &[u32] = &[2, 5, 29, 37];
/// tcg-kp-AIKCertificate.
const AIK: &[u32] = &[2, 23, 133, 8, 3];

/// Everything in a certificate but its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Big-endian serial number.
    pub serial: Vec<u8>,
    /// Common name of the issuer.
    pub issuer: String,
    /// Common name of the subject.
    pub subject: String,
    /// Start of validity, unix seconds.
    pub not_before: u64,
    /// End of validity, unix seconds.
    pub not_after: u64,
    /// DER `SubjectPublicKeyInfo`.
    pub public_info: Vec<u8>,
    /// Whether it may issue certificates.
    pub authority: bool,
}

impl Certificate {
    /// Signs, an authority's with SHA-384 and a leaf with SHA-256, as Azure does; returns DER.
    pub fn issue(&self, signer: &RsaKey) -> Result<Vec<u8>, SimteeError> {
        let algorithm = if self.authority { RSA_SHA384 } else { RSA_SHA256 };
        let algorithm = der::sequence(&[&der::object_identifier(algorithm), &der::null()]);
        let extensions: Vec<u8> = self.extensions().iter().flat_map(Extension::encode).collect();
        let to_be_signed = der::sequence(&[
            &der::explicit(0, &der::unsigned(&[2])),
            &der::unsigned(&self.serial),
            &algorithm,
            &name(&self.issuer),
            &der::sequence(&[&der::time(self.not_before), &der::time(self.not_after)]),
            &name(&self.subject),
            &self.public_info,
            &der::explicit(3, &der::element(der::SEQUENCE, &extensions)),
        ]);
        let signature = if self.authority {
            signer.sign_pkcs1_sha384(&to_be_signed)?
        } else {
            signer.sign_pkcs1_sha256(&to_be_signed)?
        };
        Ok(der::sequence(&[&to_be_signed, &algorithm, &der::bit_string(&signature)]))
    }

    fn extensions(&self) -> Vec<Extension> {
        let usage = |bits: [u8; 2]| Extension::new(KEY_USAGE, true, vec![3, 2, bits[0], bits[1]]);
        if self.authority {
            let constraints = der::sequence(&[&der::boolean_true()]);
            vec![Extension::new(BASIC_CONSTRAINTS, true, constraints), usage([2, 4])]
        } else {
            let purposes = der::sequence(&[&der::object_identifier(AIK)]);
            vec![usage([7, 0x80]), Extension::new(EXTENDED_KEY_USAGE, false, purposes)]
        }
    }
}

fn name(common_name: &str) -> Vec<u8> {
    let pair = der::sequence(&[
        &der::object_identifier(&[2, 5, 4, 3]),
        &der::element(der::UTF8_STRING, common_name.as_bytes()),
    ]);
    der::sequence(&[&der::constructed(der::SET, &[&pair])])
}
