//! How one TLS connection is tied to appraised evidence (`postern/1` section A6), for both ends.
//! The exporter value always comes from the caller's own TLS stack, never from a message.

use crate::cbor::{CborError, Key, Reader, Writer, present};
use crate::digest::{Nonce, Sha256, Sha384};
use crate::enclave_claims::Role;
use crate::evidence::EvidenceDocument;
use crate::rejection::{Code, Rejection};
use ring::signature::{ED25519, UnparsedPublicKey};

/// TLS exporter label of the binding (RFC 8446 section 7.5).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-postern-v1-bind";

/// Media type of the messages in this file.
pub const MEDIA_TYPE: &str = "application/cbor";

/// Problem code with which a server refuses to bind claims it did not issue in this boot.
pub const EVIDENCE_UNKNOWN: &str = "EVIDENCE_UNKNOWN";

/// Largest challenge or bind request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 256;

/// Largest bind response, in bytes: a document and its frame.
pub const MAX_RESPONSE_BYTES: usize = EvidenceDocument::MAX_BYTES + 16;

/// The exporter context both ends hash: role, ALPN protocol, nonce, keyset digest.
pub fn exporter_context(role: Role, alpn: &[u8], nonce: &Nonce, keyset_digest: &Sha384) -> [u8; 32] {
    let mut preimage = vec![role.number()];
    length_prefixed(&mut preimage, alpn);
    preimage.extend_from_slice(nonce.as_bytes());
    preimage.extend_from_slice(keyset_digest.as_bytes());
    *Sha256::of(&preimage).as_bytes()
}

/// The bytes the session-binding key signs for one connection.
///
/// `claims` is SHA-384 of the claims bytes the client appraised, `spki` SHA-256 of the leaf's SPKI.
pub fn session_transcript(
    role: Role,
    nonce: &Nonce,
    ekm: &[u8; 32],
    claims: &Sha384,
    spki: &Sha256,
) -> Vec<u8> {
    let mut transcript = b"postern/1 session-bind\0".to_vec();
    length_prefixed(&mut transcript, &[role.number()]);
    length_prefixed(&mut transcript, nonce.as_bytes());
    length_prefixed(&mut transcript, ekm);
    length_prefixed(&mut transcript, claims.as_bytes());
    length_prefixed(&mut transcript, spki.as_bytes());
    transcript
}

/// Verifies a session signature over `transcript` with the keyset's `sbk`.
///
/// # Errors
/// `BIND_SESSION` when it does not verify.
pub fn verify_session(sbk: &[u8; 32], transcript: &[u8], signature: &[u8; 64]) -> Result<(), Rejection> {
    UnparsedPublicKey::new(&ED25519, sbk).verify(transcript, signature).map_err(|_| {
        Rejection::new(
            Code::BindSession,
            "bind.signature",
            "a signature by the attested session key over this connection",
            "a signature that does not verify",
        )
    })
}

/// Body of `POST` to the evidence path: `{1: nonce}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeRequest {
    /// 32 fresh random bytes of the client.
    pub nonce: Nonce,
}

impl ChallengeRequest {
    /// The request's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(1).uint(1).bytes(self.nonce.as_bytes());
        writer.into_bytes()
    }

    /// Reads a request.
    ///
    /// # Errors
    /// `ATT_MALFORMED`: anything but `{1: bstr[32]}`, deterministically encoded.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::parse(bytes).map_err(|error| error.reject(Code::AttMalformed, "challenge"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        let mut nonce = None;
        let mut reader = Reader::new(bounded(bytes)?);
        reader.map(1, |key, value| match key {
            Key::Uint(1) => {
                nonce = Some(Nonce::new(value.array_of()?));
                Ok(())
            }
            Key::Uint(_) | Key::Text(_) => Err(CborError::UnknownKey(value.position())),
        })?;
        reader.finish()?;
        Ok(Self { nonce: present(nonce, 1)? })
    }
}

/// Body of `POST /.well-known/postern/bind`: `{1: nonce, 2: true, 3: SHA-384(claims)}`, key 2 absent for false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindRequest {
    /// 32 fresh random bytes of the client.
    pub nonce: Nonce,
    /// Whether the client wants hardware to bind this session (evidence of kind 2).
    pub evidence: bool,
    /// SHA-384 of the claims bytes the client appraised.
    pub claims: Sha384,
}

impl BindRequest {
    /// The request's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(if self.evidence { 3 } else { 2 }).uint(1).bytes(self.nonce.as_bytes());
        if self.evidence {
            writer.uint(2).bool(true);
        }
        writer.uint(3).bytes(self.claims.as_bytes());
        writer.into_bytes()
    }

    /// Reads a request.
    ///
    /// # Errors
    /// `ATT_MALFORMED`: any other structure, or key 2 present and not true.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::parse(bytes).map_err(|error| error.reject(Code::AttMalformed, "bind.request"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut nonce, mut evidence, mut claims) = (None, false, None);
        let mut reader = Reader::new(bounded(bytes)?);
        reader.map(3, |key, value| {
            let at = value.position();
            match key {
                Key::Uint(1) => nonce = Some(Nonce::new(value.array_of()?)),
                Key::Uint(2) => {
                    evidence = value.bool()?;
                    if !evidence {
                        return Err(CborError::Value(at));
                    }
                }
                Key::Uint(3) => claims = Some(Sha384::new(value.array_of()?)),
                Key::Uint(_) | Key::Text(_) => return Err(CborError::UnknownKey(at)),
            }
            Ok::<_, CborError>(())
        })?;
        reader.finish()?;
        Ok(Self { nonce: present(nonce, 1)?, evidence, claims: present(claims, 3)? })
    }
}

/// Answer to a bind request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindResponse {
    /// `{2: document}`: evidence of kind 2 for this session.
    Evidence(Vec<u8>),
    /// `{1: signature}`: Ed25519 by the session-binding key over [`session_transcript`].
    Signature([u8; 64]),
}

impl BindResponse {
    /// The response's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(1);
        match self {
            Self::Evidence(document) => writer.uint(2).bytes(document),
            Self::Signature(signature) => writer.uint(1).bytes(signature),
        };
        writer.into_bytes()
    }

    /// Reads a response.
    ///
    /// # Errors
    /// `ATT_MALFORMED`: any other structure, or a document over its limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::parse(bytes).map_err(|error| error.reject(Code::AttMalformed, "bind.response"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        let mut response = None;
        let mut reader = Reader::new(bytes);
        reader.map(1, |key, value| {
            response = Some(match key {
                Key::Uint(1) => Self::Signature(value.array_of()?),
                Key::Uint(2) => Self::Evidence(value.bytes(EvidenceDocument::MAX_BYTES)?.to_vec()),
                Key::Uint(_) | Key::Text(_) => return Err(CborError::UnknownKey(value.position())),
            });
            Ok::<_, CborError>(())
        })?;
        reader.finish()?;
        present(response, 1)
    }
}

fn bounded(bytes: &[u8]) -> Result<&[u8], CborError> {
    if bytes.len() > MAX_REQUEST_BYTES { Err(CborError::TooLong(0)) } else { Ok(bytes) }
}

fn length_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
