//! The positive answer and what can be checked against it. Only its parent, after a whole appraisal, makes one.

use crate::binding::{session_transcript, verify_session};
use crate::claims::{Anchor, HardwareClaims};
use crate::digest::{Nonce, Sha256, Sha384, UnixTime};
use crate::enclave_claims::{EnclaveClaims, Role};
use crate::keyset::{Keyset, TlsKey};
use crate::policy::Waiver;
use crate::rejection::{Check, Code, Rejection};

/// The positive answer. A channel can be opened from nothing else.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(super) claims: EnclaveClaims,
    pub(super) claims_sha384: Sha384,
    pub(super) keyset: Keyset,
    pub(super) hardware: HardwareClaims,
    pub(super) expires_at: UnixTime,
    pub(super) waivers: Vec<Waiver>,
    pub(super) checks: Vec<Check>,
}

impl Verified {
    /// What the enclave says about itself.
    pub const fn claims(&self) -> &EnclaveClaims {
        &self.claims
    }

    /// SHA-384 of the claims bytes as received; what a bind request names.
    pub const fn claims_sha384(&self) -> &Sha384 {
        &self.claims_sha384
    }

    /// The keys it answers with.
    pub const fn keyset(&self) -> &Keyset {
        &self.keyset
    }

    /// What the hardware says.
    pub const fn hardware(&self) -> &HardwareClaims {
        &self.hardware
    }

    /// When this result ends: the earliest end of evidence, keyset, endorsements and floors.
    pub const fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// Whether the chain ended in a root named by the policy instead of the vendor's.
    pub fn simulated(&self) -> bool {
        self.hardware.anchor == Anchor::Simulated
    }

    /// Every loosening the result was granted under.
    pub fn waivers(&self) -> &[Waiver] {
        &self.waivers
    }

    /// Every check, all passed.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Whether the TLS key with this SPKI digest is the enclave's for the dialled `name`.
    ///
    /// # Errors
    /// `BIND_SPKI`.
    pub fn check_tls_key(&self, spki: &Sha256, name: &str) -> Result<(), Rejection> {
        let listed = |entry: &TlsKey| {
            entry.spki_sha256 == *spki && entry.names.iter().any(|own| own.eq_ignore_ascii_case(name))
        };
        if self.keyset.tls.iter().any(listed) {
            return Ok(());
        }
        let keys: Vec<String> = self.keyset.tls.iter().map(|entry| entry.spki_sha256.to_hex()).collect();
        Err(Rejection::new(
            Code::BindSpki,
            "tls.spki",
            format!("an attested key for the dialled name, of [{}]", keys.join(", ")),
            spki.to_hex(),
        ))
    }

    /// Whether the enclave's session key signed this very connection.
    ///
    /// # Errors
    /// `BIND_SESSION`; `ATT_ROLE` when `role` is not the appraised one.
    pub fn check_session(
        &self,
        role: Role,
        nonce: &Nonce,
        ekm: &[u8; 32],
        spki: &Sha256,
        signature: &[u8; 64],
    ) -> Result<SessionBound, Rejection> {
        if role != self.claims.role {
            return Err(Rejection::new(
                Code::AttRole,
                "bind.role",
                self.claims.role.to_string(),
                role.to_string(),
            ));
        }
        let transcript = session_transcript(role, nonce, ekm, &self.claims_sha384, spki);
        verify_session(&self.keyset.sbk, &transcript, signature)?;
        Ok(SessionBound { spki: *spki, expires_at: self.expires_at })
    }
}

/// Proof that one TLS connection ends in the appraised enclave. Made only by [`Verified::check_session`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionBound {
    spki: Sha256,
    expires_at: UnixTime,
}

impl SessionBound {
    /// SHA-256 of the leaf's SPKI on this connection.
    pub const fn spki(&self) -> &Sha256 {
        &self.spki
    }

    /// When the evidence behind it ends; re-bind before the next request after that.
    pub const fn expires_at(&self) -> UnixTime {
        self.expires_at
    }
}
