//! Private keys: RSA-4096 for the authorities, ECDSA for the endorsement keys that sign reports, RSA-2048 in TPMs.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding,
};

use crate::SimteeError;

/// An RSA key: 4096 bits for an authority (ARK, ASK, ASVK, Azure's root), 2048 bits below Azure's root.
pub struct RsaKey {
    pair: RsaPair,
    public_info: Vec<u8>,
}

impl RsaKey {
    /// Makes a key. Takes about a second.
    pub fn generate() -> Result<Self, SimteeError> {
        let pair =
            RsaPair::generate(KeySize::Rsa4096).map_err(|_| SimteeError::Crypto("make an RSA-4096 key"))?;
        Self::of(pair)
    }

    /// Makes a key of 2048 bits.
    pub fn generate_2048() -> Result<Self, SimteeError> {
        let pair =
            RsaPair::generate(KeySize::Rsa2048).map_err(|_| SimteeError::Crypto("make an RSA-2048 key"))?;
        Self::of(pair)
    }

    /// Reads a key in PKCS #8 form.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SimteeError> {
        let pair = RsaPair::from_pkcs8(der).map_err(|_| SimteeError::Crypto("read an RSA key (PKCS #8)"))?;
        Self::of(pair)
    }

    fn of(pair: RsaPair) -> Result<Self, SimteeError> {
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| SimteeError::Crypto("encode an RSA public key"))?;
        let public_info = public.as_ref().to_vec();
        Ok(Self { pair, public_info })
    }

    /// The key in PKCS #8 form.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, SimteeError> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| SimteeError::Crypto("encode an RSA key"))?;
        Ok(der.as_ref().to_vec())
    }

    /// The DER `SubjectPublicKeyInfo`.
    pub fn public_info(&self) -> &[u8] {
        &self.public_info
    }

    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384, 48 bytes of salt.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SimteeError> {
        self.sign_with(&RSA_PSS_SHA384, message)
    }

    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, 32 bytes of salt.
    pub fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SimteeError> {
        self.sign_with(&RSA_PSS_SHA256, message)
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub fn sign_pkcs1_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SimteeError> {
        self.sign_with(&RSA_PKCS1_SHA256, message)
    }

    /// RSASSA-PKCS1-v1_5 with SHA-384.
    pub fn sign_pkcs1_sha384(&self, message: &[u8]) -> Result<Vec<u8>, SimteeError> {
        self.sign_with(&RSA_PKCS1_SHA384, message)
    }

    /// The modulus of a key of 2048 bits, big-endian.
    pub fn modulus_2048(&self) -> &[u8] {
        // SubjectPublicKeyInfo ends in the modulus and `02 03 01 00 01`, the exponent
        let end = self.public_info.len() - 5;
        &self.public_info[end - 256..end]
    }

    fn sign_with(&self, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Result<Vec<u8>, SimteeError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(encoding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SimteeError::Crypto("sign with an RSA key"))?;
        Ok(signature)
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaKey").finish_non_exhaustive()
    }
}

/// The curve of an endorsement key. Real ones are on P-384 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-384, signing with SHA-384.
    P384,
    /// NIST P-256, signing with SHA-256: for attacks.
    P256,
}

/// A key that signs reports: VCEK or VLEK.
pub struct VekKey {
    pair: EcdsaKeyPair,
    public_info: Vec<u8>,
}

impl VekKey {
    /// Makes a key on the given curve.
    pub fn generate(curve: Curve) -> Result<Self, SimteeError> {
        let algorithm = match curve {
            Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::generate(algorithm).map_err(|_| SimteeError::Crypto("make an ECDSA key"))?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| SimteeError::Crypto("encode an ECDSA public key"))?;
        let public_info = public.as_ref().to_vec();
        Ok(Self { pair, public_info })
    }

    /// The DER `SubjectPublicKeyInfo`.
    pub fn public_info(&self) -> &[u8] {
        &self.public_info
    }

    /// Signs; returns the numbers r and s, big-endian, each as long as the curve's order.
    pub fn sign(&self, message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), SimteeError> {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message)
            .map_err(|_| SimteeError::Crypto("sign with an ECDSA key"))?;
        let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
        Ok((r.to_vec(), s.to_vec()))
    }
}

impl fmt::Debug for VekKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VekKey").finish_non_exhaustive()
    }
}
