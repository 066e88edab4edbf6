//! The operator as a relying party (`protocol.md` A14): verify first, then seal secrets to exactly what was verified.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use attestation::cbor::{CborError, Key, Reader};
use attestation::provisioning::{
    MEDIA_TYPE, PATH, Provisioning, ProvisioningReceipt, SealedProvisioning, key_of_entry,
};
use attestation::{Sha256, Sha384, Verified};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{Hpke as _, HpkePublicKey};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::{Error, Outcome};
use crate::evidence_source::Verifier;
use crate::{VerifiedChannel, full_body};

/// The operator's signing key. Its public half stands in the enclave's configuration.
pub struct OperatorKey(Ed25519KeyPair);

impl OperatorKey {
    /// A new key.
    pub fn generate() -> Result<Self, ProvisionError> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| Error::Entropy.into())
    }

    /// From PKCS #8 (RFC 5958), DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, ProvisionError> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self).map_err(|_| ProvisionError::OperatorKey)
    }

    /// As PKCS #8, DER.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, ProvisionError> {
        let der = self.0.as_der().map_err(|_| ProvisionError::OperatorKey)?;
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = der;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// The public half as `provisioning.operator` writes it.
    pub fn public(&self) -> String {
        let bytes = <[u8; 32]>::try_from(self.0.public_key().as_ref()).unwrap_or_default();
        format!("ed25519:{}", Sha256::new(bytes).to_hex())
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OperatorKey").field(&self.public()).finish()
    }
}

/// A new root key of sealed state: 32 random bytes. Who loses it loses what is sealed; who has it can open all of it.
pub fn new_root_key() -> Result<Zeroizing<[u8; 32]>, ProvisionError> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut key[..]).map_err(|_| Error::Entropy)?;
    Ok(key)
}

/// What to give.
#[derive(Default)]
pub struct Package {
    /// Secrets by the name after `sealed:` in the configuration.
    pub secrets: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// The text of a `[gateway]` table in place of the enclave's own.
    pub gateway: Option<String>,
    /// The root key of sealed state.
    pub root_key: Option<Zeroizing<[u8; 32]>>,
    /// Higher than that of the message before; milliseconds since 1970 will do.
    pub number: u64,
}

/// What was given, by the enclave's signed word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The configuration that its evidence named before.
    pub config_digest_before: Sha384,
    /// The configuration that it has named since.
    pub config_digest: Sha384,
    /// Whether its configuration has what was given kept in its state, sealed, so that it starts again without the operator.
    pub kept: bool,
}

/// Why nothing was given, or nobody knows whether.
#[derive(Debug)]
pub enum ProvisionError {
    /// Verification failed, or the connection did.
    Channel(Error),
    /// The enclave takes no secrets, or not from this operator.
    Operator {
        /// Whom its configuration names.
        named: Option<String>,
    },
    /// Its configuration names secrets that are not in the package.
    Missing(Vec<String>),
    /// Its configuration takes no root key.
    NoRootKey,
    /// The key file holds no Ed25519 key.
    OperatorKey,
    /// The enclave's keyset has no key of a kind that is known here.
    NoKey,
    /// HPKE failed, or what there is to give is too large.
    Seal,
    /// It was refused.
    Refused {
        /// The enclave's code.
        code: String,
        /// What to mend, if it says.
        detail: Option<String>,
    },
    /// There is no receipt by the attested key: it may or may not have been taken.
    Receipt,
}

impl ProvisionError {
    /// Stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Channel(error) => error.code(),
            Self::Operator { .. } => "PROV_OPERATOR",
            Self::Missing(_) => "PROV_MISSING",
            Self::NoRootKey => "PROV_ROOT_KEY",
            Self::OperatorKey => "PROV_OPERATOR_KEY",
            Self::NoKey => "PROV_KEY",
            Self::Seal => "PROV_SEAL",
            Self::Refused { code, .. } => code,
            Self::Receipt => "PROV_RECEIPT",
        }
    }

    /// Rejected, unusable input, or undecided.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Channel(error) => error.outcome(),
            Self::Operator { .. } | Self::NoKey => Outcome::Rejected,
            Self::Missing(_) | Self::NoRootKey | Self::OperatorKey | Self::Seal | Self::Refused { .. } => {
                Outcome::Usage
            }
            Self::Receipt => Outcome::Undecided,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Channel(error) => error.hint(),
            Self::Operator { .. } => {
                "write this operator's key (postern provision new-key prints it) into provisioning.operator of the enclave's file; if it was there, somebody else has written that file"
            }
            Self::Missing(_) => "add them to the file with the secrets",
            Self::NoRootKey => {
                "leave --root-key away, or set state.root_key = \"provisioned\" in the enclave's file"
            }
            Self::OperatorKey => "make a key with `postern provision new-key FILE`",
            Self::NoKey => "update this program",
            Self::Seal => "give fewer or smaller secrets: 64 KiB each, 512 KiB in all",
            Self::Refused { .. } => {
                "nothing has changed in the enclave; mend what is named and give it again"
            }
            Self::Receipt => "verify again: evidence names the configuration that is in force",
        }
    }
}

impl fmt::Display for ProvisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(error) => error.fmt(f),
            Self::Operator { named: None } => f.write_str("the enclave's configuration names no operator"),
            Self::Operator { named: Some(other) } => {
                write!(f, "the enclave's configuration names another operator, {other}")
            }
            Self::Missing(names) => {
                write!(f, "the enclave's configuration also names these secrets: {}", names.join(", "))
            }
            Self::NoRootKey => f.write_str(
                "the enclave's configuration does not wait for a root key, so nothing would be sealed under it",
            ),
            Self::OperatorKey => f.write_str("not an Ed25519 key in PKCS #8"),
            Self::NoKey => f.write_str("the enclave's keyset has no X25519 key for secrets"),
            Self::Seal => f.write_str("sealing failed"),
            Self::Refused { code, detail: None } => write!(f, "the enclave refused: {code}"),
            Self::Refused { detail: Some(detail), .. } => write!(f, "the enclave refused: {detail}"),
            Self::Receipt => f.write_str("no receipt by the attested key"),
        }
    }
}

impl std::error::Error for ProvisionError {}

impl From<Error> for ProvisionError {
    fn from(error: Error) -> Self {
        Self::Channel(error)
    }
}

/// Verifies with the role of provisioning, checks that the attested configuration names this operator, seals, gives,
/// and checks the receipt. Not one byte of a secret leaves before all of the first two hold.
///
/// `verifier` must be of [`Verifier::for_provisioning`]; of another kind, it is refused.
pub async fn provision(
    verifier: &Verifier,
    operator: &OperatorKey,
    package: &Package,
) -> Result<Given, ProvisionError> {
    let mut channel = verifier.connect().await?;
    let kept = check_configuration(channel.config(), operator, package)?;
    let message = seal(channel.verified(), operator, package)?;
    let digest = Sha384::of(&message);
    let receipt = post(&mut channel, message).await?;
    let verified = channel.verified();
    let receipt_key = verified.keyset().rck.ok_or(ProvisionError::Receipt)?;
    receipt.verify(&digest, &receipt_key).map_err(|_| ProvisionError::Receipt)?;
    let before = verified.claims().config_digest;
    // Without another configuration in the package, the one that was verified must be the one in force.
    if package.gateway.is_none() && receipt.config_digest != before {
        return Err(ProvisionError::Receipt);
    }
    Ok(Given { config_digest_before: before, config_digest: receipt.config_digest, kept })
}

/// Who holds the file of the enclave's configuration could name himself as operator, and then send the secrets to
/// addresses of his own: so the operator looks himself up first, in what evidence commits to. Tells whether that has secrets
/// kept.
fn check_configuration(
    public: &[u8],
    operator: &OperatorKey,
    package: &Package,
) -> Result<bool, ProvisionError> {
    let public: Value = serde_json::from_slice(public).unwrap_or_default();
    let named = public.pointer("/provisioning/operator").and_then(Value::as_str);
    if named != Some(operator.public().as_str()) {
        return Err(ProvisionError::Operator { named: named.map(str::to_owned) });
    }
    let root_key = public.pointer("/state/root_key").and_then(Value::as_str);
    if package.root_key.is_some() && root_key != Some("provisioned") {
        return Err(ProvisionError::NoRootKey);
    }
    let kept = public.pointer("/provisioning/keep").and_then(Value::as_str) == Some("sealed");
    if package.gateway.is_some() {
        // Which secrets that one names, the enclave will say.
        return Ok(kept);
    }
    let wanted = public.pointer("/provisioning/secrets").and_then(Value::as_array);
    let wanted: BTreeSet<&str> = wanted.into_iter().flatten().filter_map(Value::as_str).collect();
    let missing: Vec<String> =
        wanted.into_iter().filter(|name| !package.secrets.contains_key(*name)).map(str::to_owned).collect();
    if missing.is_empty() { Ok(kept) } else { Err(ProvisionError::Missing(missing)) }
}

/// The message for one verified enclave, and for no other.
pub fn seal(
    verified: &Verified,
    operator: &OperatorKey,
    package: &Package,
) -> Result<Vec<u8>, ProvisionError> {
    let key = verified.keyset().prv.as_deref().and_then(key_of_entry).ok_or(ProvisionError::NoKey)?;
    let secrets = package.secrets.iter().map(|(name, secret)| (name.clone(), secret.to_vec())).collect();
    let mut contents = Provisioning {
        number: package.number,
        secrets,
        gateway: package.gateway.clone(),
        root_key: package.root_key.as_deref().copied(),
    };
    let plain = Zeroizing::new(contents.encode());
    for secret in contents.secrets.values_mut() {
        zeroize::Zeroize::zeroize(secret);
    }
    zeroize::Zeroize::zeroize(&mut contents.root_key);
    let claims = *verified.claims_sha384();
    let info = attestation::provisioning::info(&claims);
    let (encapsulated, ciphertext) = DH_KEM_X25519_HKDF_SHA256_AES_256
        .seal(&info, &[], &plain, &HpkePublicKey(key.to_vec()))
        .map_err(|_| ProvisionError::Seal)?;
    let encapsulated = encapsulated.0.try_into().map_err(|_| ProvisionError::Seal)?;
    let signed = SealedProvisioning::signed(&claims, &encapsulated, &ciphertext);
    let signature = operator.0.sign(&signed).as_ref().try_into().map_err(|_| ProvisionError::Seal)?;
    let message = SealedProvisioning { claims, encapsulated, ciphertext, signature }.encode();
    // The enclave's limit, before it closes the connection in the middle of the message.
    SealedProvisioning::decode(&message).map_err(|_| ProvisionError::Seal)?;
    Ok(message)
}

async fn post(
    channel: &mut VerifiedChannel,
    message: Vec<u8>,
) -> Result<ProvisioningReceipt, ProvisionError> {
    let request = Request::post(PATH)
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .body(full_body(message))
        .map_err(|_| ProvisionError::Seal)?;
    channel.ready().await?;
    let answer = channel.send(request).await.map_err(|failure| failure.error)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|_| ProvisionError::Receipt)?.to_bytes();
    if status == StatusCode::OK {
        return ProvisioningReceipt::decode(&body).map_err(|_| ProvisionError::Receipt);
    }
    let (code, detail) = problem(&body).map_err(|_| ProvisionError::Receipt)?;
    Err(ProvisionError::Refused { code, detail })
}

/// `{1: code, 2: detail}`
fn problem(body: &[u8]) -> Result<(String, Option<String>), CborError> {
    let (mut code, mut detail) = (None, None);
    let mut reader = Reader::new(body);
    reader.map(2, |key, value| {
        match key {
            Key::Uint(1) => code = Some(value.text(64)?.to_owned()),
            Key::Uint(2) => detail = Some(value.text(MAX_ANSWER_BYTES)?.to_owned()),
            Key::Uint(_) | Key::Text(_) => return Err(CborError::UnknownKey(value.position())),
        }
        Ok::<_, CborError>(())
    })?;
    reader.finish()?;
    code.map(|code| (code, detail)).ok_or(CborError::MissingKey(1))
}

const MAX_ANSWER_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_file() {
        let key = OperatorKey::generate().unwrap();
        let again = OperatorKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(key.public(), again.public());
        assert!(OperatorKey::from_pkcs8(b"not a key").is_err());
    }

    #[test]
    fn only_the_named_operator_gives_and_gives_all_that_is_named() {
        let key = OperatorKey::generate().unwrap();
        let config =
            |operator: &str| format!(r#"{{"provisioning":{{"operator":"{operator}","secrets":["a","b"]}}}}"#);
        let mut package = Package::default();
        package.secrets.insert("a".to_owned(), Zeroizing::new(Vec::new()));
        let check = |config: &str, package: &Package| {
            check_configuration(config.as_bytes(), &key, package).map_err(|error| error.code().to_owned())
        };
        assert_eq!(check("{}", &package), Err("PROV_OPERATOR".to_owned()));
        assert_eq!(check(r#"{"provisioning":null}"#, &package), Err("PROV_OPERATOR".to_owned()));
        assert_eq!(check(&config("ed25519:00"), &package), Err("PROV_OPERATOR".to_owned()));
        assert_eq!(check(&config(&key.public()), &package), Err("PROV_MISSING".to_owned()));
        package.secrets.insert("b".to_owned(), Zeroizing::new(Vec::new()));
        assert_eq!(check(&config(&key.public()), &package), Ok(false));
        let kept = config(&key.public()).replacen(r#""secrets""#, r#""keep":"sealed","secrets""#, 1);
        assert_eq!(check(&kept, &package), Ok(true));
        package.root_key = Some(new_root_key().unwrap());
        assert_eq!(check(&config(&key.public()), &package), Err("PROV_ROOT_KEY".to_owned()));
        let of_file = config(&key.public()).replacen('{', r#"{"state":{"root_key":"file"},"#, 1);
        assert_eq!(check(&of_file, &package), Err("PROV_ROOT_KEY".to_owned()));
        assert_eq!(check(&of_file.replace("file", "provisioned"), &package), Ok(false));
    }
}
