//! The keys one enclave process answers with (`postern/1` section A2).
//! Believed only when the bytes as received hash to the claims' `keyset_digest`.

use crate::cbor::{CborError, Key, Reader, Writer, present};
use crate::digest::{Sha256, UnixTime};
use crate::rejection::{Code, Rejection};

/// Largest encoding of a keyset, in bytes.
pub const MAX_KEYSET_BYTES: usize = 16 * 1024;

/// The signature algorithm of the session-binding and receipt keys.
pub const ED25519: &str = "Ed25519";

const MAX_TLS_KEYS: u64 = 8;
const MAX_NAMES: u64 = 32;
const MAX_NAME_BYTES: usize = 253;
const MAX_HPKE_BYTES: usize = 4096;

/// One TLS key and the names it answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsKey {
    /// SHA-256 of the certificate's `SubjectPublicKeyInfo`, DER.
    pub spki_sha256: Sha256,
    /// DNS names, as dialled.
    pub names: Vec<String>,
}

/// The keyset of A2. All keys are public halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyset {
    /// Number of the key epoch (key 1).
    pub epoch: u64,
    /// End of the epoch and its overlap (key 2).
    pub not_after: UnixTime,
    /// TLS keys (key 3).
    pub tls: Vec<TlsKey>,
    /// RFC 9458 key configuration, once channel E exists (key 4).
    pub ohttp: Option<Vec<u8>>,
    /// Session-binding key, Ed25519 (key 5).
    pub sbk: [u8; 32],
    /// Receipt key, Ed25519, once receipts exist (key 6).
    pub rck: Option<[u8; 32]>,
    /// Provisioning HPKE key, once provisioning exists (key 7).
    pub prv: Option<Vec<u8>>,
}

impl Keyset {
    /// The bytes that are hashed into the claims.
    pub fn encode(&self) -> Vec<u8> {
        let optional = [self.ohttp.is_some(), self.rck.is_some(), self.prv.is_some()];
        let present = optional.iter().filter(|present| **present).count();
        let mut writer = Writer::new();
        writer.map(present.saturating_add(4));
        writer.uint(1).uint(self.epoch).uint(2).uint(self.not_after.seconds());
        writer.uint(3).array(self.tls.len());
        for key in &self.tls {
            writer.array(2).bytes(key.spki_sha256.as_bytes()).array(key.names.len());
            for name in &key.names {
                writer.text(name);
            }
        }
        if let Some(ohttp) = &self.ohttp {
            writer.uint(4).bytes(ohttp);
        }
        writer.uint(5).array(2).text(ED25519).bytes(&self.sbk);
        if let Some(rck) = &self.rck {
            writer.uint(6).array(2).text(ED25519).bytes(rck);
        }
        if let Some(prv) = &self.prv {
            writer.uint(7).bytes(prv);
        }
        writer.into_bytes()
    }

    /// Reads a keyset.
    ///
    /// # Errors
    /// `ATT_KEYSET`: not deterministic CBOR, an unknown or missing key, a wrong type or size.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::parse(bytes).map_err(|error| error.reject(Code::AttKeyset, "keyset"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > MAX_KEYSET_BYTES {
            return Err(CborError::TooLong(0));
        }
        let (mut epoch, mut not_after, mut tls, mut sbk) = (None, None, None, None);
        let (mut ohttp, mut rck, mut prv) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(7, |key, value| {
            match key {
                Key::Uint(1) => epoch = Some(value.uint()?),
                Key::Uint(2) => not_after = Some(UnixTime::from_seconds(value.uint()?)),
                Key::Uint(3) => tls = Some(tls_keys(value)?),
                Key::Uint(4) => ohttp = Some(value.bytes(MAX_HPKE_BYTES)?.to_vec()),
                Key::Uint(5) => sbk = Some(ed25519(value)?),
                Key::Uint(6) => rck = Some(ed25519(value)?),
                Key::Uint(7) => prv = Some(value.bytes(MAX_HPKE_BYTES)?.to_vec()),
                Key::Uint(_) | Key::Text(_) => return Err(CborError::UnknownKey(value.position())),
            }
            Ok::<_, CborError>(())
        })?;
        reader.finish()?;
        Ok(Self {
            epoch: present(epoch, 1)?,
            not_after: present(not_after, 2)?,
            tls: present(tls, 3)?,
            ohttp,
            sbk: present(sbk, 5)?,
            rck,
            prv,
        })
    }
}

fn tls_keys(value: &mut Reader<'_>) -> Result<Vec<TlsKey>, CborError> {
    let mut keys = Vec::new();
    value.array(MAX_TLS_KEYS, |item| {
        item.tuple(2)?;
        let spki_sha256 = Sha256::new(item.array_of()?);
        let mut names = Vec::new();
        item.array(MAX_NAMES, |name| {
            names.push(name.text(MAX_NAME_BYTES)?.to_owned());
            Ok::<_, CborError>(())
        })?;
        keys.push(TlsKey { spki_sha256, names });
        Ok::<_, CborError>(())
    })?;
    Ok(keys)
}

fn ed25519(value: &mut Reader<'_>) -> Result<[u8; 32], CborError> {
    let at = value.position();
    value.tuple(2)?;
    if value.text(16)? == ED25519 { value.array_of() } else { Err(CborError::Value(at)) }
}

#[cfg(test)]
mod tests;
