//! Keys that are born here and never leave: TLS, session binding, receipts, provisioning; and the keyset that names them.

use std::sync::{Arc, Mutex, PoisonError};

use attestation::digest::{Sha256, Sha384, UnixTime};
use attestation::keyset::{Keyset, TlsKey};
use attestation::provisioning::{SealedProvisioning, key_entry};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::entropy::{EntropyError, Seeds};

/// How long a session-binding key signs, in seconds (protocol.md A1).
pub const EPOCH_SECONDS: u64 = 60 * 60;
/// How long after its epoch a keyset is still honoured, in seconds.
pub const OVERLAP_SECONDS: u64 = 10 * 60;
/// Longest life of a TLS key, in seconds; a process that lives longer makes another.
const TLS_KEY_SECONDS: u64 = 6 * 24 * 60 * 60;

/// Why keys could not be made. The process must not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The entropy gate closed.
    Entropy(EntropyError),
    /// The TLS library refused to make a key or certificate for the configured names.
    Certificate,
    /// The TLS library refused to make a provisioning key.
    Provisioning,
}

impl IdentityError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Entropy(error) => error.code(),
            Self::Certificate => "TLS_CERTIFICATE",
            Self::Provisioning => "PROV_KEY",
        }
    }
}

impl From<EntropyError> for IdentityError {
    fn from(error: EntropyError) -> Self {
        Self::Entropy(error)
    }
}

/// A TLS key and its self-signed certificate. What makes it worth trusting is the keyset, not a signature.
#[derive(Debug)]
pub struct TlsIdentity {
    /// The leaf certificate.
    pub certificate: CertificateDer<'static>,
    /// Its private key; wiped with the process by the allocator, never written anywhere.
    pub key: PrivateKeyDer<'static>,
    /// SHA-256 of the `SubjectPublicKeyInfo`, as listed in the keyset.
    pub spki: Sha256,
    made: UnixTime,
}

/// One hour of session-binding key, and the keyset that lists it.
#[derive(Debug)]
pub struct Epoch {
    /// Counts from 1 at boot.
    pub number: u64,
    /// The keyset exactly as hashed.
    pub keyset: Vec<u8>,
    /// SHA-384 of [`Self::keyset`].
    pub keyset_digest: Sha384,
    /// TLS identity that new connections get in this epoch.
    pub tls: Arc<TlsIdentity>,
    session_binding: Ed25519KeyPair,
    started: UnixTime,
}

impl Epoch {
    /// Signs one session transcript (protocol.md A6) with the session-binding key.
    pub fn sign(&self, transcript: &[u8]) -> [u8; 64] {
        signature(&self.session_binding, transcript)
    }

    /// Whether binds under this epoch's evidence are still signed at `now`.
    pub fn honoured(&self, now: UnixTime) -> bool {
        now.seconds() < self.started.seconds().saturating_add(EPOCH_SECONDS + OVERLAP_SECONDS)
    }
}

/// All keys of this process.
#[derive(Debug)]
pub struct Identity {
    names: Vec<String>,
    instance: [u8; 16],
    receipts: Ed25519KeyPair,
    provisioning: ProvisioningKey,
    state: Mutex<State>,
}

/// What operators seal secrets to; of one boot.
struct ProvisioningKey {
    public: HpkePublicKey,
    private: HpkePrivateKey,
}

impl std::fmt::Debug for ProvisioningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ProvisioningKey").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    seeds: Seeds,
    current: Arc<Epoch>,
}

impl Identity {
    /// Makes the first keys.
    ///
    /// # Errors
    /// [`IdentityError`]: the process must not serve.
    pub fn generate(mut seeds: Seeds, names: Vec<String>, now: UnixTime) -> Result<Self, IdentityError> {
        let receipts = ed25519(&mut seeds, "receipt")?;
        let seed = seeds.seed("instance id")?;
        let mut instance = [0; 16];
        for (slot, byte) in instance.iter_mut().zip(seed.iter()) {
            *slot = *byte;
        }
        let tls = Arc::new(tls_identity(&names, now)?);
        let (public, private) =
            DH_KEM_X25519_HKDF_SHA256_AES_256.generate_key_pair().map_err(|_| IdentityError::Provisioning)?;
        let provisioning = ProvisioningKey { public, private };
        let long_lived = LongLived { names: &names, receipts: &receipts, provisioning: &provisioning };
        let current = Arc::new(epoch(&mut seeds, 1, tls, None, &long_lived, now)?);
        Ok(Self { names, instance, receipts, provisioning, state: Mutex::new(State { seeds, current }) })
    }

    /// Random per boot; in every claim this process makes.
    pub fn instance(&self) -> [u8; 16] {
        self.instance
    }

    /// Signs the text of a checkpoint of the log with the receipt key, which every keyset of this process lists. A checkpoint's
    /// text begins with a log's name and cannot be read as anything else that this key signs.
    pub fn sign_checkpoint(&self, text: &str) -> ([u8; 32], [u8; 64]) {
        let mut signature = [0; 64];
        for (slot, byte) in signature.iter_mut().zip(self.receipts.sign(text.as_bytes()).as_ref()) {
            *slot = *byte;
        }
        (public(&self.receipts), signature)
    }

    /// The epoch in force at `now`; makes the next one when the current is over.
    ///
    /// # Errors
    /// [`IdentityError`] when a new key is due and cannot be made.
    pub fn epoch(&self, now: UnixTime) -> Result<Arc<Epoch>, IdentityError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.seconds().saturating_sub(state.current.started.seconds());
        if age >= EPOCH_SECONDS {
            let last = Arc::clone(&state.current);
            let tls_age = now.seconds().saturating_sub(last.tls.made.seconds());
            let tls = if tls_age >= TLS_KEY_SECONDS {
                Arc::new(tls_identity(&self.names, now)?)
            } else {
                Arc::clone(&last.tls)
            };
            let number = last.number.saturating_add(1);
            let long_lived =
                LongLived { names: &self.names, receipts: &self.receipts, provisioning: &self.provisioning };
            let next = epoch(&mut state.seeds, number, tls, Some(&last.tls), &long_lived, now)?;
            state.current = Arc::new(next);
            crate::telemetry::emit(crate::telemetry::Event::Rekeyed { epoch: number });
        }
        Ok(Arc::clone(&state.current))
    }

    /// Opens what was sealed to the provisioning key under these claims; nothing if it was not.
    pub fn open(&self, sealed: &SealedProvisioning) -> Option<Vec<u8>> {
        let encapsulated = EncapsulatedSecret(sealed.encapsulated.to_vec());
        let info = attestation::provisioning::info(&sealed.claims);
        DH_KEM_X25519_HKDF_SHA256_AES_256
            .open(&encapsulated, &info, &[], &sealed.ciphertext, &self.provisioning.private)
            .ok()
    }

    /// Signs a receipt's transcript with the receipt key.
    pub fn sign_receipt(&self, transcript: &[u8]) -> [u8; 64] {
        signature(&self.receipts, transcript)
    }
}

/// The keys that a keyset lists besides those of its epoch.
struct LongLived<'i> {
    names: &'i [String],
    receipts: &'i Ed25519KeyPair,
    provisioning: &'i ProvisioningKey,
}

fn signature(pair: &Ed25519KeyPair, transcript: &[u8]) -> [u8; 64] {
    let mut signature = [0; 64];
    for (slot, byte) in signature.iter_mut().zip(pair.sign(transcript).as_ref()) {
        *slot = *byte;
    }
    signature
}

fn ed25519(seeds: &mut Seeds, role: &'static str) -> Result<Ed25519KeyPair, IdentityError> {
    let seed = seeds.seed(role)?;
    Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| IdentityError::Certificate)
}

fn epoch(
    seeds: &mut Seeds,
    number: u64,
    tls: Arc<TlsIdentity>,
    previous: Option<&Arc<TlsIdentity>>,
    long_lived: &LongLived<'_>,
    now: UnixTime,
) -> Result<Epoch, IdentityError> {
    let session_binding = ed25519(seeds, "session binding")?;
    // Connections made under the key before are still open for a while, and may still bind.
    let before = previous.filter(|before| before.spki != tls.spki);
    let tls_keys = std::iter::once(&tls).chain(before);
    let keyset = Keyset {
        epoch: number,
        not_after: UnixTime::from_seconds(now.seconds().saturating_add(EPOCH_SECONDS + OVERLAP_SECONDS)),
        tls: tls_keys.map(|key| TlsKey { spki_sha256: key.spki, names: long_lived.names.to_vec() }).collect(),
        ohttp: None,
        sbk: public(&session_binding),
        rck: Some(public(long_lived.receipts)),
        prv: Some(key_entry(&long_lived.provisioning.public.0)),
    }
    .encode();
    let keyset_digest = Sha384::of(&keyset);
    Ok(Epoch { number, keyset, keyset_digest, tls, session_binding, started: now })
}

fn public(pair: &Ed25519KeyPair) -> [u8; 32] {
    let mut key = [0; 32];
    for (slot, byte) in key.iter_mut().zip(pair.public_key().as_ref()) {
        *slot = *byte;
    }
    key
}

/// ECDSA P-256, from the TLS library's own generator (which draws from the kernel and the CPU the gate
/// has just tested).
fn tls_identity(names: &[String], now: UnixTime) -> Result<TlsIdentity, IdentityError> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
        .map_err(|_| IdentityError::Certificate)?;
    let mut parameters =
        rcgen::CertificateParams::new(names.to_vec()).map_err(|_| IdentityError::Certificate)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "postern enclave");
    let day = 24 * 60 * 60;
    parameters.not_before = at(now.seconds().saturating_sub(day))?;
    parameters.not_after = at(now.seconds().saturating_add(TLS_KEY_SECONDS + day))?;
    let certificate = parameters.self_signed(&key).map_err(|_| IdentityError::Certificate)?;
    let spki = Sha256::of(&rcgen::PublicKeyData::subject_public_key_info(&key));
    Ok(TlsIdentity {
        certificate: certificate.der().clone(),
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        spki,
        made: now,
    })
}

fn at(seconds: u64) -> Result<time::OffsetDateTime, IdentityError> {
    let seconds = i64::try_from(seconds).map_err(|_| IdentityError::Certificate)?;
    time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| IdentityError::Certificate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Hardware, Kernel};

    fn identity(now: u64) -> Identity {
        let seeds = Seeds::open(Kernel::default(), Hardware).unwrap();
        Identity::generate(seeds, vec!["localhost".into()], UnixTime::from_seconds(now)).unwrap()
    }

    #[test]
    fn every_boot_has_its_own_keys() {
        let (a, b) = (identity(1_000_000_000), identity(1_000_000_000));
        let now = UnixTime::from_seconds(1_000_000_000);
        assert_ne!(a.instance(), b.instance());
        assert_ne!(a.epoch(now).unwrap().tls.spki, b.epoch(now).unwrap().tls.spki);
        assert_ne!(a.epoch(now).unwrap().keyset_digest, b.epoch(now).unwrap().keyset_digest);
    }

    #[test]
    fn epochs_turn_over_and_overlap() {
        let start = 1_000_000_000;
        let identity = identity(start);
        let at = |seconds: u64| identity.epoch(UnixTime::from_seconds(start + seconds)).unwrap();
        let first = at(EPOCH_SECONDS - 1);
        assert_eq!(first.number, 1);
        let second = at(EPOCH_SECONDS);
        assert_eq!((second.number, second.tls.spki), (2, first.tls.spki));
        assert_ne!(first.keyset_digest, second.keyset_digest);
        assert!(first.honoured(UnixTime::from_seconds(start + EPOCH_SECONDS + OVERLAP_SECONDS - 1)));
        assert!(!first.honoured(UnixTime::from_seconds(start + EPOCH_SECONDS + OVERLAP_SECONDS)));
    }

    #[test]
    fn an_old_tls_key_is_replaced_and_both_are_listed_while_it_is_in_use() {
        let start = 1_000_000_000;
        let identity = identity(start);
        let first = identity.epoch(UnixTime::from_seconds(start)).unwrap();
        let later = identity.epoch(UnixTime::from_seconds(start + TLS_KEY_SECONDS)).unwrap();
        assert_ne!(first.tls.spki, later.tls.spki);
        let keyset = Keyset::decode(&later.keyset).unwrap();
        let listed: Vec<_> = keyset.tls.iter().map(|key| key.spki_sha256).collect();
        assert_eq!(listed, [later.tls.spki, first.tls.spki]);
    }
}
