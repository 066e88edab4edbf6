//! What an operator gives an enclave that has proved itself (`postern/1` section A14): the secrets that its configuration
//! names, sealed with HPKE (RFC 9180) to a key that only its evidence vouches for, and signed by the operator, so that
//! the host cannot give its own.
//!
//! Formats only: who seals and who opens have their own HPKE.

use std::collections::BTreeMap;
use std::fmt;

use ring::signature::{ED25519, UnparsedPublicKey};

use crate::cbor::{CborError, Key, Reader, Writer, present};
use crate::digest::Sha384;

/// Application protocol of a provisioning connection; evidence asked for on it has the role `provisioning`.
pub const ALPN: &[u8] = b"postern-prov/1";

/// Where a sealed message is posted.
pub const PATH: &str = "/.well-known/postern/provision";

/// Media type of a sealed message.
pub const MEDIA_TYPE: &str = "application/vnd.postern.provisioning+cbor";

/// Largest sealed message, in bytes.
pub const MAX_BYTES: usize = 512 * 1024;

/// KEM of the provisioning key: DHKEM(X25519, HKDF-SHA256) (RFC 9180 section 7.1). With it HKDF-SHA256 and AES-256-GCM.
/// What is recorded today stays closed to a quantum computer by the TLS connection around it, which is hybrid.
pub const KEM_X25519: u16 = 0x0020;

/// Length of an X25519 public key and of its encapsulated secret, in bytes.
pub const X25519_BYTES: usize = 32;

const MAX_SECRETS: u64 = 1024;
const MAX_NAME_BYTES: usize = 128;
const MAX_SECRET_BYTES: usize = 64 * 1024;

/// The keyset's `prv` entry for an X25519 public key: the KEM's number, then the key.
pub fn key_entry(public: &[u8]) -> Vec<u8> {
    [&KEM_X25519.to_be_bytes(), public].concat()
}

/// The X25519 public key in a keyset's `prv` entry; nothing if it is for another KEM.
pub fn key_of_entry(entry: &[u8]) -> Option<[u8; X25519_BYTES]> {
    entry.strip_prefix(&KEM_X25519.to_be_bytes())?.try_into().ok()
}

/// HPKE `info`: ties the ciphertext to one boot of one enclave under one configuration.
pub fn info(claims: &Sha384) -> Vec<u8> {
    [b"postern/1 provision".as_slice(), claims.as_bytes()].concat()
}

/// Why a message or receipt is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisioningError {
    /// Not deterministic CBOR of this structure.
    Malformed(CborError),
    /// Not signed by this key.
    Signature,
}

impl ProvisioningError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed(_) => "PROV_MALFORMED",
            Self::Signature => "PROV_SIGNATURE",
        }
    }
}

impl fmt::Display for ProvisioningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "PROV_MALFORMED: {error}"),
            Self::Signature => f.write_str("PROV_SIGNATURE: not signed by the expected key"),
        }
    }
}

impl std::error::Error for ProvisioningError {}

impl From<CborError> for ProvisioningError {
    fn from(error: CborError) -> Self {
        Self::Malformed(error)
    }
}

/// What travels: `{1: SHA-384(claims), 2: encapsulated secret, 3: ciphertext, 4: signature}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedProvisioning {
    /// SHA-384 of the claims under which it was sealed; HPKE's `info` names them again.
    pub claims: Sha384,
    /// HPKE's encapsulated secret.
    pub encapsulated: [u8; X25519_BYTES],
    /// A [`Provisioning`], sealed.
    pub ciphertext: Vec<u8>,
    /// Ed25519 by the operator over [`Self::signed`].
    pub signature: [u8; 64],
}

impl SealedProvisioning {
    /// What the operator signs: the sealed message, so that no other can be put in its place.
    pub fn signed(claims: &Sha384, encapsulated: &[u8; X25519_BYTES], ciphertext: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(4).text("postern/1 provision");
        writer.bytes(claims.as_bytes()).bytes(encapsulated).bytes(ciphertext);
        writer.into_bytes()
    }

    /// Whether the operator with this public key has signed it.
    ///
    /// # Errors
    /// [`ProvisioningError::Signature`].
    pub fn verify(&self, operator: &[u8; 32]) -> Result<(), ProvisioningError> {
        let signed = Self::signed(&self.claims, &self.encapsulated, &self.ciphertext);
        UnparsedPublicKey::new(&ED25519, operator)
            .verify(&signed, &self.signature)
            .map_err(|_| ProvisioningError::Signature)
    }

    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(4).uint(1).bytes(self.claims.as_bytes()).uint(2).bytes(&self.encapsulated);
        writer.uint(3).bytes(&self.ciphertext).uint(4).bytes(&self.signature);
        writer.into_bytes()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`ProvisioningError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ProvisioningError> {
        if bytes.len() > MAX_BYTES {
            return Err(CborError::TooLong(0).into());
        }
        let (mut claims, mut encapsulated, mut ciphertext, mut signature) = (None, None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(4, |key, value| {
            match key {
                Key::Uint(1) => claims = Some(Sha384::new(value.array_of()?)),
                Key::Uint(2) => encapsulated = Some(value.array_of()?),
                Key::Uint(3) => ciphertext = Some(value.bytes(MAX_BYTES)?.to_vec()),
                Key::Uint(4) => signature = Some(value.array_of()?),
                Key::Uint(_) | Key::Text(_) => return Err(CborError::UnknownKey(value.position())),
            }
            Ok::<_, CborError>(())
        })?;
        reader.finish()?;
        Ok(Self {
            claims: present(claims, 1)?,
            encapsulated: present(encapsulated, 2)?,
            ciphertext: present(ciphertext, 3)?,
            signature: present(signature, 4)?,
        })
    }
}

/// What is sealed: `{1: number, 2: [[name, secret] ...], 3: gateway configuration or null, 4: root key or null}`.
///
/// Has no `Debug`: it holds secrets.
#[derive(PartialEq, Eq)]
pub struct Provisioning {
    /// Higher than that of every message before it; the operator's clock in milliseconds will do.
    pub number: u64,
    /// Secrets by the name after `sealed:` in the configuration.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// The text of a `[gateway]` table in place of the one in the enclave's file.
    pub gateway: Option<String>,
    /// The key from which the keys of sealed state are derived.
    pub root_key: Option<[u8; 32]>,
}

impl Provisioning {
    /// The bytes to seal. The caller wipes them.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(4).uint(1).uint(self.number).uint(2).array(self.secrets.len());
        for (name, secret) in &self.secrets {
            writer.array(2).text(name).bytes(secret);
        }
        match &self.gateway {
            Some(text) => writer.uint(3).text(text),
            None => writer.uint(3).null(),
        };
        match &self.root_key {
            Some(key) => writer.uint(4).bytes(key),
            None => writer.uint(4).null(),
        };
        writer.into_bytes()
    }

    /// Reads opened bytes. The caller wipes them.
    ///
    /// # Errors
    /// [`ProvisioningError::Malformed`]: another structure, a name twice or out of order, a name or secret over its limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProvisioningError> {
        let (mut number, mut secrets, mut gateway, mut root_key) = (None, None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(4, |key, value| {
            match key {
                Key::Uint(1) => number = Some(value.uint()?),
                Key::Uint(2) => secrets = Some(named_secrets(value)?),
                Key::Uint(3) if value.null() => gateway = Some(None),
                Key::Uint(3) => gateway = Some(Some(value.text(MAX_BYTES)?.to_owned())),
                Key::Uint(4) if value.null() => root_key = Some(None),
                Key::Uint(4) => root_key = Some(Some(value.array_of()?)),
                Key::Uint(_) | Key::Text(_) => return Err(CborError::UnknownKey(value.position())),
            }
            Ok::<_, CborError>(())
        })?;
        reader.finish()?;
        Ok(Self {
            number: present(number, 1)?,
            secrets: present(secrets, 2)?,
            gateway: present(gateway, 3)?,
            root_key: present(root_key, 4)?,
        })
    }
}

fn named_secrets(value: &mut Reader<'_>) -> Result<BTreeMap<String, Vec<u8>>, CborError> {
    let mut secrets: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    value.array(MAX_SECRETS, |item| {
        item.tuple(2)?;
        let at = item.position();
        let name = item.text(MAX_NAME_BYTES)?;
        if name.is_empty() || secrets.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
            return Err(CborError::KeyOrder(at));
        }
        let secret = item.bytes(MAX_SECRET_BYTES)?.to_vec();
        secrets.insert(name.to_owned(), secret);
        Ok(())
    })?;
    Ok(secrets)
}

/// The enclave's answer: `{1: configuration digest, 2: signature}`. After it, evidence names that configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisioningReceipt {
    /// SHA-384 of the public configuration that is in force since.
    pub config_digest: Sha384,
    /// Ed25519 by the keyset's receipt key over [`Self::signed`].
    pub signature: [u8; 64],
}

impl ProvisioningReceipt {
    /// What the enclave signs: which message it took, and what has been in force since.
    pub fn signed(message: &Sha384, config_digest: &Sha384) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(3).text("postern/1 provisioned");
        writer.bytes(message.as_bytes()).bytes(config_digest.as_bytes());
        writer.into_bytes()
    }

    /// Whether the enclave with this receipt key has taken the message with this digest.
    ///
    /// # Errors
    /// [`ProvisioningError::Signature`].
    pub fn verify(&self, message: &Sha384, receipt_key: &[u8; 32]) -> Result<(), ProvisioningError> {
        UnparsedPublicKey::new(&ED25519, receipt_key)
            .verify(&Self::signed(message, &self.config_digest), &self.signature)
            .map_err(|_| ProvisioningError::Signature)
    }

    /// The receipt's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(2).uint(1).bytes(self.config_digest.as_bytes()).uint(2).bytes(&self.signature);
        writer.into_bytes()
    }

    /// Reads a receipt.
    ///
    /// # Errors
    /// [`ProvisioningError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ProvisioningError> {
        let (mut config_digest, mut signature) = (None, None);
        let mut reader = Reader::new(bytes);
        reader.map(2, |key, value| {
            match key {
                Key::Uint(1) => config_digest = Some(Sha384::new(value.array_of()?)),
                Key::Uint(2) => signature = Some(value.array_of()?),
                Key::Uint(_) | Key::Text(_) => return Err(CborError::UnknownKey(value.position())),
            }
            Ok::<_, CborError>(())
        })?;
        reader.finish()?;
        Ok(Self { config_digest: present(config_digest, 1)?, signature: present(signature, 2)? })
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn provisioning() -> Provisioning {
        Provisioning {
            number: 7,
            secrets: BTreeMap::from([("a".to_owned(), b"one".to_vec()), ("b".to_owned(), Vec::new())]),
            gateway: Some("version = 1".to_owned()),
            root_key: Some([9; 32]),
        }
    }

    fn pair() -> (Ed25519KeyPair, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (pair, public)
    }

    #[test]
    fn comes_back_as_it_went() {
        for own in [provisioning(), Provisioning { gateway: None, root_key: None, ..provisioning() }] {
            assert!(Provisioning::decode(&own.encode()).unwrap() == own);
        }
        let receipt = ProvisioningReceipt { config_digest: Sha384::of(b"c"), signature: [5; 64] };
        assert_eq!(ProvisioningReceipt::decode(&receipt.encode()).unwrap(), receipt);
    }

    #[test]
    fn only_one_spelling_is_read() {
        let good = provisioning().encode();
        for length in 0..good.len() {
            assert!(Provisioning::decode(&good[..length]).is_err(), "{length} bytes");
        }
        assert!(Provisioning::decode(&[&good[..], &[0]].concat()).is_err());
        // {1: 7, 2: [["b", ""], ["a", ""]], 3: null, 4: null}
        let unordered = b"\xa4\x01\x07\x02\x82\x82\x61b\x40\x82\x61a\x40\x03\xf6\x04\xf6";
        assert!(Provisioning::decode(unordered).is_err());
        let twice = b"\xa4\x01\x07\x02\x82\x82\x61a\x40\x82\x61a\x40\x03\xf6\x04\xf6";
        assert!(Provisioning::decode(twice).is_err());
        let ordered = b"\xa4\x01\x07\x02\x82\x82\x61a\x40\x82\x61b\x40\x03\xf6\x04\xf6";
        assert!(Provisioning::decode(ordered).is_ok());
    }

    #[test]
    fn the_operator_vouches_for_every_byte() {
        let (pair, public) = pair();
        let (claims, encapsulated, ciphertext) = (Sha384::of(b"claims"), [1; 32], vec![2; 40]);
        let signed = SealedProvisioning::signed(&claims, &encapsulated, &ciphertext);
        let signature = pair.sign(&signed).as_ref().try_into().unwrap();
        let sealed = SealedProvisioning { claims, encapsulated, ciphertext, signature };
        assert_eq!(sealed.verify(&public), Ok(()));
        let bytes = sealed.encode();
        assert_eq!(SealedProvisioning::decode(&bytes).unwrap(), sealed);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let taken = SealedProvisioning::decode(&changed).and_then(|own| own.verify(&public));
            assert!(taken.is_err(), "byte {at} is free");
        }
        assert_eq!(sealed.verify(&[7; 32]), Err(ProvisioningError::Signature));
    }

    #[test]
    fn a_receipt_is_for_one_message_and_one_configuration() {
        let (pair, public) = pair();
        let (message, config_digest) = (Sha384::of(b"message"), Sha384::of(b"config"));
        let signed = ProvisioningReceipt::signed(&message, &config_digest);
        let receipt =
            ProvisioningReceipt { config_digest, signature: pair.sign(&signed).as_ref().try_into().unwrap() };
        assert_eq!(receipt.verify(&message, &public), Ok(()));
        assert!(receipt.verify(&Sha384::of(b"another"), &public).is_err());
        let other = ProvisioningReceipt { config_digest: Sha384::of(b"x"), ..receipt };
        assert!(other.verify(&message, &public).is_err());
    }

    #[test]
    fn a_key_entry_names_its_kem() {
        let entry = key_entry(&[4; 32]);
        assert_eq!(key_of_entry(&entry), Some([4; 32]));
        assert_eq!(key_of_entry(&entry[1..]), None);
        assert_eq!(key_of_entry(&[&[0, 0x10][..], &[4; 32]].concat()), None);
    }
}
