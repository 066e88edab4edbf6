//! What can be wrong with the structure of evidence whose fields are all good.

/// One thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TdxFault {
    /// The attestation key in the quote is not the one the quoting enclave hashed.
    AttestationKeyOther,
    /// The quoting enclave's report data goes on after the digest.
    BindingTail,
    /// A fourth certificate follows the root.
    ChainExtra,
    /// PCK CA before PCK.
    ChainOrder,
    /// No root in the quote.
    ChainShort,
    /// The PCK CA may not issue certificates.
    CaNotAuthority,
    /// The PCK CA was revoked by the root.
    CaRevoked,
    /// The PCK CA is signed by itself, under the root's name.
    CaSignature,
    /// Certification data of type 3.
    CertificationType,
    /// No collateral at all.
    CollateralMissing,
    /// One byte between the certification data and the end of the signature data.
    NestedSlack,
    /// The revocation list of the PCK CA is empty.
    PckCrlMissing,
    /// The revocation list of the PCK CA is signed by the root.
    PckCrlOtherSigner,
    /// The PCK was revoked.
    PckRevoked,
    /// The PCK is signed by the root's key, under the CA's name.
    PckSignature,
    /// The quoting enclave identity is signed by the PCK.
    QeIdentitySignature,
    /// The quoting enclave's report is signed by the attestation key.
    QeReportSignature,
    /// The quote is signed by the PCK.
    QuoteSignature,
    /// The revocation list of the root is empty.
    RootCrlMissing,
    /// The revocation list of the root is signed by the PCK CA.
    RootCrlOtherSigner,
    /// A root of the same name with another key, and everything under it.
    RootOther,
    /// The TCB signer was revoked.
    SignerRevoked,
    /// The collateral is signed by the platform's own PCK, with its chain.
    SignerIsPck,
    /// The TCB info has no issuer chain.
    SignerMissing,
    /// The TCB info is signed by the PCK.
    TcbInfoSignature,
    /// The TCB info is an empty text.
    TcbInfoMissing,
}

impl TdxFault {
    /// Every fault.
    pub const ALL: [Self; 26] = [
        Self::AttestationKeyOther,
        Self::BindingTail,
        Self::ChainExtra,
        Self::ChainOrder,
        Self::ChainShort,
        Self::CaNotAuthority,
        Self::CaRevoked,
        Self::CaSignature,
        Self::CertificationType,
        Self::CollateralMissing,
        Self::NestedSlack,
        Self::PckCrlMissing,
        Self::PckCrlOtherSigner,
        Self::PckRevoked,
        Self::PckSignature,
        Self::QeIdentitySignature,
        Self::QeReportSignature,
        Self::QuoteSignature,
        Self::RootCrlMissing,
        Self::RootCrlOtherSigner,
        Self::RootOther,
        Self::SignerRevoked,
        Self::SignerIsPck,
        Self::SignerMissing,
        Self::TcbInfoSignature,
        Self::TcbInfoMissing,
    ];
}
