//! Google's launch endorsements of firmware (github.com/google/gce-tcb-verifier, `proto/endorsement.proto`): a root, a
//! signer that it issued, and the two nested messages, written field by field.

use crate::SimteeError;
use crate::certificate::{DAY, Extension};
use crate::der;
use crate::keys::RsaKey;

const RSASSA_PSS: &[u32] = &[1, 2, 840, 113_549, 1, 1, 10];
const MGF1: &[u32] = &[1, 2, 840, 113_549, 1, 1, 8];
const SHA256: &[u32] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];
const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
const BASIC_CONSTRAINTS: &[u32] = &[2, 5, 29, 19];

/// A numeric field.
pub fn number(field: u8, value: u64) -> Vec<u8> {
    let mut out = vec![field << 3];
    varint(value, &mut out);
    out
}

/// A field of bytes, or of a message.
pub fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    varint(value.len() as u64, &mut out);
    out.extend_from_slice(value);
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A security version, and measurements by the shape of the machine.
pub type Endorsed = (u32, Vec<(u32, Vec<u8>)>);

/// What an endorsement says. Lists are written as they stand, also what a verifier must refuse.
#[derive(Clone, Debug)]
pub struct Golden {
    /// Unix seconds.
    pub issued_at: u64,
    /// Changelist; 0 is left out.
    pub change: u64,
    /// SHA-384 of the firmware.
    pub digest: Vec<u8>,
    /// Security version, and launch measurement by number of processors; none without the part.
    pub snp: Option<Endorsed>,
    /// Security version, and `MRTD` by memory in GiB; none without the part.
    pub tdx: Option<Endorsed>,
    /// Appended as it is.
    pub more: Vec<u8>,
}

impl Golden {
    /// The serialized `VMGoldenMeasurement` with this certificate.
    pub fn encode(&self, certificate: &[u8]) -> Vec<u8> {
        let mut out = bytes(1, &[number(1, self.issued_at), number(2, 5)].concat());
        if self.change != 0 {
            out.extend(number(2, self.change));
        }
        out.extend(bytes(4, certificate));
        out.extend(bytes(5, &self.digest));
        if let Some((svn, measurements)) = &self.snp {
            let mut part = number(1, u64::from(*svn));
            for (processors, measurement) in measurements {
                let entry = [number(1, u64::from(*processors)), bytes(2, measurement)].concat();
                part.extend(bytes(2, &entry));
            }
            part.extend([bytes(3, &[0xfa; 16]), bytes(4, &[0x1d; 16]), number(5, 0x3_0000)].concat());
            out.extend(bytes(7, &part));
        }
        if let Some((svn, measurements)) = &self.tdx {
            let mut part = number(1, u64::from(*svn));
            for (ram_gib, measurement) in measurements {
                let entry = [number(1, u64::from(*ram_gib)), number(2, 1), bytes(3, measurement)].concat();
                part.extend(bytes(2, &entry));
            }
            out.extend(bytes(8, &part));
        }
        out.extend(&self.more);
        out
    }
}

/// A root, and the signer of endorsements that it issued.
#[derive(Debug)]
pub struct GoogleAuthority {
    /// Key of the root.
    pub root: RsaKey,
    /// Key that signs endorsements.
    pub signer: RsaKey,
    now: u64,
}

impl GoogleAuthority {
    /// Makes both keys. Takes seconds.
    pub fn create(now: u64) -> Result<Self, SimteeError> {
        Ok(Self { root: RsaKey::generate()?, signer: RsaKey::generate()?, now })
    }

    /// The root's certificate: ten years.
    pub fn root_certificate(&self) -> Result<Vec<u8>, SimteeError> {
        self.certificate("root", "root", &self.root, &self.root, true, 3650)
    }

    /// The signer's certificate: a year.
    pub fn signer_certificate(&self) -> Result<Vec<u8>, SimteeError> {
        self.certificate("root", "signer", &self.signer, &self.root, false, 365)
    }

    /// A certificate from a day before to so many days after.
    pub fn certificate(
        &self,
        issuer: &str,
        subject: &str,
        key: &RsaKey,
        by: &RsaKey,
        authority: bool,
        days: u64,
    ) -> Result<Vec<u8>, SimteeError> {
        let usage = if authority { vec![3, 2, 1, 6] } else { vec![3, 2, 7, 0x80] };
        let constraints = if authority { der::sequence(&[&der::boolean_true()]) } else { der::sequence(&[]) };
        let extensions = [
            Extension::new(KEY_USAGE, true, usage).encode(),
            Extension::new(BASIC_CONSTRAINTS, true, constraints).encode(),
        ]
        .concat();
        let to_be_signed = der::sequence(&[
            &der::explicit(0, &der::unsigned(&[2])),
            &der::unsigned(&[1]),
            &algorithm(),
            &name(issuer),
            &der::sequence(&[&der::time(self.now - DAY), &der::time(self.now + days * DAY)]),
            &name(subject),
            key.public_info(),
            &der::explicit(3, &der::element(der::SEQUENCE, &extensions)),
        ]);
        let signature = by.sign_pss_sha256(&to_be_signed)?;
        Ok(der::sequence(&[&to_be_signed, &algorithm(), &der::bit_string(&signature)]))
    }

    /// The endorsement of `golden`, good in every respect.
    pub fn endorse(&self, golden: &Golden) -> Result<Vec<u8>, SimteeError> {
        self.sign(&golden.encode(&self.signer_certificate()?), &self.signer)
    }

    /// The endorsement of these serialized bytes by this key.
    pub fn sign(&self, golden: &[u8], by: &RsaKey) -> Result<Vec<u8>, SimteeError> {
        Ok([bytes(1, golden), bytes(2, &by.sign_pss_sha256(golden)?)].concat())
    }
}

/// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and 32 bytes of salt.
fn algorithm() -> Vec<u8> {
    let sha256 = der::sequence(&[&der::object_identifier(SHA256), &der::null()]);
    let mgf1 = der::sequence(&[&der::object_identifier(MGF1), &sha256]);
    let parameters = der::sequence(&[
        &der::explicit(0, &sha256),
        &der::explicit(1, &mgf1),
        &der::explicit(2, &der::unsigned(&[32])),
    ]);
    der::sequence(&[&der::object_identifier(RSASSA_PSS), &parameters])
}

fn name(common_name: &str) -> Vec<u8> {
    let pair = der::sequence(&[
        &der::object_identifier(&[2, 5, 4, 3]),
        &der::element(der::UTF8_STRING, common_name.as_bytes()),
    ]);
    der::sequence(&[&der::constructed(der::SET, &[&pair])])
}
