//! Release manifests (`postern-release/1`): what a publisher says machines started from a release will report. Believed only
//! with the release key's signature, until it expires, and unless a later manifest takes it back.

use std::fmt;

use attestation::Measurement;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;

/// A manifest whose signature holds.
#[derive(Debug, Clone)]
pub struct Manifest(Content);

/// What is read of it; the rest is for people.
#[derive(Debug, Clone, Deserialize)]
struct Content {
    schema: String,
    version: String,
    sequence: u64,
    expires: u64,
    minimum_client: String,
    images: Vec<Image>,
    revoked: Vec<Revoked>,
}

#[derive(Debug, Clone, Deserialize)]
struct Image {
    profile: String,
    reference_values: Vec<ReferenceValue>,
}

/// One value that a machine will report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReferenceValue {
    /// Which kind of machine, such as `snp-qemu`.
    pub platform: String,
    /// Which field of its evidence, such as `MEASUREMENT`.
    pub register: String,
    /// For which shape of machine; empty where all have the same.
    pub shape: String,
    /// Lower-case hexadecimal digits; `None` where only the machine knows it.
    pub value: Option<String>,
    /// On what it rests.
    pub basis: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Revoked {
    version: String,
    reason: String,
}

/// What is signed: this and the manifest's bytes.
const LABEL: &[u8] = b"postern release manifest\0";
/// Longest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Why a manifest is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseError {
    /// The signature is not the release key's over these bytes.
    Signature,
    /// The bytes are no manifest of the known format.
    Malformed,
    /// It is past its date.
    Expired,
    /// This program is too old for it: the version it wants.
    Client(String),
    /// Another of the manifests given takes it back: version and reason.
    Revoked(String, String),
    /// It has no value of that kind.
    Nothing,
}

impl ReleaseError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Signature => "REL_SIGNATURE",
            Self::Malformed => "REL_MALFORMED",
            Self::Expired => "REL_EXPIRED",
            Self::Client(_) => "REL_CLIENT",
            Self::Revoked(..) => "REL_REVOKED",
            Self::Nothing => "REL_NOTHING",
        }
    }

    /// What to do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Signature => "check the release key, and that the manifest and its .sig belong together",
            Self::Malformed => "fetch the manifest again",
            Self::Expired => {
                "fetch a newer manifest; old ones end so that a withdrawn release cannot live on"
            }
            Self::Client(_) => "install a newer postern",
            Self::Revoked(..) => "leave this release out",
            Self::Nothing => "name another shape, or none",
        }
    }
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => out.write_str("the manifest is not signed by the release key"),
            Self::Malformed => out.write_str("the manifest cannot be read"),
            Self::Expired => out.write_str("the manifest has expired"),
            Self::Client(version) => write!(out, "the manifest is for clients from version {version} on"),
            Self::Revoked(version, reason) => write!(out, "release {version} was withdrawn: {reason}"),
            Self::Nothing => out.write_str("the manifest has no launch measurement for that shape"),
        }
    }
}

impl std::error::Error for ReleaseError {}

impl Manifest {
    /// Checks the signature (64 bytes) by `key`, then reads the manifest as of `now` (Unix seconds).
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn verify(text: &[u8], signature: &[u8], key: &[u8; 32], now: u64) -> Result<Self, ReleaseError> {
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&[LABEL, text].concat(), signature)
            .map_err(|_| ReleaseError::Signature)?;
        let content: Content = serde_json::from_slice(text).map_err(|_| ReleaseError::Malformed)?;
        if content.schema != "postern-release/1" {
            return Err(ReleaseError::Malformed);
        }
        if now >= content.expires {
            return Err(ReleaseError::Expired);
        }
        let wanted = numbers(&content.minimum_client).ok_or(ReleaseError::Malformed)?;
        if numbers(env!("CARGO_PKG_VERSION")).is_none_or(|own| own < wanted) {
            return Err(ReleaseError::Client(content.minimum_client));
        }
        Ok(Self(content))
    }

    /// Of several acceptable releases none may be taken back by another, or by itself.
    ///
    /// # Errors
    /// [`ReleaseError::Revoked`].
    pub fn check_revocations(all: &[Self]) -> Result<(), ReleaseError> {
        for Self(manifest) in all {
            let taken_back = all.iter().flat_map(|Self(other)| &other.revoked);
            if let Some(found) = taken_back.into_iter().find(|revoked| revoked.version == manifest.version) {
                return Err(ReleaseError::Revoked(found.version.clone(), found.reason.clone()));
            }
        }
        Ok(())
    }

    /// Version of the release.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Number of the release; rises with each.
    pub const fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// Launch measurements of SEV-SNP by which the image itself is bound, for shapes that begin with `shape`.
    ///
    /// # Errors
    /// [`ReleaseError::Nothing`], [`ReleaseError::Malformed`].
    pub fn launch_measurements(&self, shape: &str) -> Result<Vec<Measurement>, ReleaseError> {
        let own = |value: &&ReferenceValue| {
            value.platform == "snp-qemu" && value.register == "MEASUREMENT" && value.shape.starts_with(shape)
        };
        let hex = self.values("metal").filter(own).filter_map(|value| value.value.as_deref());
        let found: Vec<Measurement> =
            hex.map(Measurement::from_hex).collect::<Result<_, _>>().map_err(|_| ReleaseError::Malformed)?;
        if found.is_empty() { Err(ReleaseError::Nothing) } else { Ok(found) }
    }

    /// All other values, as `profile platform register shape = value (basis)`.
    pub fn others(&self) -> Vec<String> {
        let line = |profile: &str, own: &ReferenceValue| {
            let ReferenceValue { platform, register, shape, value, basis } = own;
            let value = value.as_deref().unwrap_or("?");
            format!("{profile} {platform} {register} {shape}= {value} ({basis})")
        };
        let images = self.0.images.iter();
        images
            .flat_map(|image| image.reference_values.iter().map(|value| (image.profile.as_str(), value)))
            .filter(|(_, value)| value.platform != "snp-qemu")
            .map(|(profile, value)| line(profile, value))
            .collect()
    }

    fn values(&self, profile: &str) -> impl Iterator<Item = &ReferenceValue> {
        self.0
            .images
            .iter()
            .filter(move |image| image.profile == profile)
            .flat_map(|image| &image.reference_values)
    }
}

/// Numbers of a version.
fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::{Value, json};

    use super::*;

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn key() -> [u8; 32] {
        pair().public_key().as_ref().try_into().unwrap()
    }

    fn manifest(change: impl FnOnce(&mut Value)) -> (Vec<u8>, Vec<u8>) {
        let mut value = json!({
            "schema": "postern-release/1", "version": "1.0.0", "sequence": 3, "issued": 1, "expires": 1000,
            "minimum_client": "0.1.0", "revoked": [{"version": "0.9.0", "reason": "a flaw"}],
            "images": [{"profile": "metal", "reference_values": [
                {"platform": "snp-qemu", "register": "MEASUREMENT", "shape": "EPYC-v4 x 1", "value": "ab".repeat(48), "basis": "computed"},
                {"platform": "snp-qemu", "register": "MEASUREMENT", "shape": "EPYC-v4 x 2", "value": "cd".repeat(48), "basis": "computed"},
                {"platform": "tdx-qemu", "register": "RTMR0", "shape": "", "value": null, "basis": "to-be-recorded-on-hardware"},
            ]}],
        });
        change(&mut value);
        let text = serde_json::to_vec(&value).unwrap();
        let signature = pair().sign(&[LABEL, &text].concat()).as_ref().to_vec();
        (text, signature)
    }

    fn verified(change: impl FnOnce(&mut Value)) -> Result<Manifest, ReleaseError> {
        let (text, signature) = manifest(change);
        Manifest::verify(&text, &signature, &key(), 999)
    }

    #[test]
    fn a_signed_manifest_gives_measurements() {
        let own = verified(|_| ()).unwrap();
        assert_eq!(own.launch_measurements("").unwrap().len(), 2);
        assert_eq!(own.launch_measurements("EPYC-v4 x 2").unwrap()[0].to_hex(), "cd".repeat(48));
        assert_eq!(own.launch_measurements("EPYC-Milan"), Err(ReleaseError::Nothing));
        assert_eq!(own.others(), ["metal tdx-qemu RTMR0 = ? (to-be-recorded-on-hardware)"]);
    }

    #[test]
    fn what_is_not_signed_or_over_is_refused() {
        let (text, signature) = manifest(|_| ());
        for at in 0..text.len() {
            let mut other = text.clone();
            other[at] ^= 1;
            assert_eq!(Manifest::verify(&other, &signature, &key(), 0).err(), Some(ReleaseError::Signature));
        }
        assert_eq!(Manifest::verify(&text, &signature, &[9; 32], 0).err(), Some(ReleaseError::Signature));
        assert_eq!(Manifest::verify(&text, &signature, &key(), 1000).err(), Some(ReleaseError::Expired));
        let changed = |key: &str, value: Value| verified(|own| own[key] = value).err();
        assert_eq!(changed("schema", json!("postern-release/2")), Some(ReleaseError::Malformed));
        assert_eq!(
            changed("minimum_client", json!("99.0.0")),
            Some(ReleaseError::Client("99.0.0".to_owned()))
        );
        assert_eq!(changed("images", json!(7)), Some(ReleaseError::Malformed));
    }

    #[test]
    fn a_later_release_takes_an_earlier_one_back() {
        let (new, old) =
            (verified(|_| ()).unwrap(), verified(|own| own["version"] = json!("0.9.0")).unwrap());
        let other = verified(|own| own["version"] = json!("0.9.1")).unwrap();
        assert_eq!(Manifest::check_revocations(&[new.clone(), other]), Ok(()));
        let refused = Manifest::check_revocations(&[new, old]);
        assert_eq!(refused, Err(ReleaseError::Revoked("0.9.0".to_owned(), "a flaw".to_owned())));
    }
}
