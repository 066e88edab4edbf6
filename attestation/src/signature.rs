//! The signature algorithms of the hardware vendors, by name. The only place that knows who computes them.
//!
//! Natively that is aws-lc-rs: one P-384 verification takes it a third of ring's time. It does not build for
//! WebAssembly, where ring does the same. Ed25519, which no vendor uses, stays with ring beside the digests.

#[cfg(not(target_family = "wasm"))]
use aws_lc_rs::signature as backend;
#[cfg(target_family = "wasm")]
use ring::signature as backend;

/// What a vendor signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ECDSA on P-256 with SHA-256, `r` and `s` in DER: Intel's certificates and revocation lists.
    P256Asn1,
    /// The same, `r` and `s` as 32 bytes each: quotes, enclave reports and collateral texts.
    P256Fixed,
    /// ECDSA on P-384 with SHA-384, `r` and `s` as 48 bytes each: SEV-SNP reports.
    P384Fixed,
    /// RSASSA-PSS with SHA-384 and a salt of 48 bytes: AMD's certificates and revocation lists.
    RsaPss,
    /// The same with SHA-256 and a salt of 32 bytes: Google's certificates and endorsements of firmware.
    RsaPssSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-256: quotes of Azure's virtual TPMs and the certificates of their keys.
    RsaPkcs1Sha256,
    /// The same with SHA-384: the CAs above those certificates.
    RsaPkcs1Sha384,
}

impl Algorithm {
    /// Whether `key` (an uncompressed point, or PKCS #1 `RSAPublicKey`) made `signature` over `message`.
    pub(crate) fn verifies(self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn backend::VerificationAlgorithm = match self {
            Self::P256Asn1 => &backend::ECDSA_P256_SHA256_ASN1,
            Self::P256Fixed => &backend::ECDSA_P256_SHA256_FIXED,
            Self::P384Fixed => &backend::ECDSA_P384_SHA384_FIXED,
            Self::RsaPss => &backend::RSA_PSS_2048_8192_SHA384,
            Self::RsaPssSha256 => &backend::RSA_PSS_2048_8192_SHA256,
            Self::RsaPkcs1Sha256 => &backend::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaPkcs1Sha384 => &backend::RSA_PKCS1_2048_8192_SHA384,
        };
        backend::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
    }
}
