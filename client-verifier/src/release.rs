//! Release manifests (`postern-release/1`): what a publisher says machines started from a release will report. Believed only
//! with the release key's signature, until it expires, and unless a later manifest takes it back.

use std::fmt;

use attestation::{Measurement, Sha256, TeeType};
use measurement::{Algorithm, tpm};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;

use crate::policy_file::Table;

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
/// Length of `MRTD` and its like.
const REGISTER_BYTES: usize = 48;
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
            Self::Nothing => out.write_str("the manifest has no value for such machines"),
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

    /// Tables of a policy file for machines of this kind. What only the machine knows is left open in them. Where a
    /// register of a TPM remembers the configuration, `configuration` (SHA-256 of the file) says which it must be.
    ///
    /// # Errors
    /// [`ReleaseError::Nothing`].
    pub fn tables(&self, tee: TeeType, configuration: Option<&Sha256>) -> Result<Vec<Table>, ReleaseError> {
        match tee {
            TeeType::Snp => Ok(Vec::new()),
            TeeType::Tdx => self.tdx(),
            TeeType::AzureSnp => {
                let open = ["measurement", "id_key_digest", "family_id", "image_id", "guest_svn"];
                let paravisor = Table { name: "azure_paravisor", keys: open.map(|key| (key, None)).into() };
                Ok(vec![self.azure(configuration)?, paravisor])
            }
            TeeType::AzureTdx => {
                // The paravisor starts with empty registers; the TPM has the guest's.
                let zero = |key| (key, Some("0".repeat(2 * REGISTER_BYTES)));
                let keys = [("mrtd", None), zero("rtmr0"), zero("rtmr1"), zero("rtmr2"), ("xfam", None)];
                Ok(vec![self.azure(configuration)?, Table { name: "tdx", keys: keys.into() }])
            }
        }
    }

    /// One's own host: QEMU has two orders of adding firmware's pages, and so there are two values of `MRTD`.
    fn tdx(&self) -> Result<Vec<Table>, ReleaseError> {
        let find = |register: &'static str| {
            self.values("metal").filter(move |own| own.platform == "tdx-qemu" && own.register == register)
        };
        let only = |register| find(register).next().and_then(|own| own.value.clone());
        let (rtmr1, rtmr2) = (only("RTMR1"), only("RTMR2"));
        let table = |own: &ReferenceValue| Table {
            name: "tdx",
            keys: vec![
                ("mrtd", own.value.clone()),
                ("rtmr0", None),
                ("rtmr1", rtmr1.clone()),
                ("rtmr2", rtmr2.clone()),
                ("xfam", None),
            ],
        };
        let tables: Vec<Table> = find("MRTD").map(table).collect();
        if tables.is_empty() || rtmr1.is_none() || rtmr2.is_none() {
            return Err(ReleaseError::Nothing);
        }
        Ok(tables)
    }

    /// Registers of the paravisor's TPM; number 7, which is firmware's own, is recorded on the machine.
    fn azure(&self, configuration: Option<&Sha256>) -> Result<Table, ReleaseError> {
        let find = |register: &str| {
            let is_it = |own: &&ReferenceValue| own.platform == "azure-vtpm" && own.register == register;
            self.values("cloud").find(is_it).and_then(|own| own.value.clone())
        };
        let mut keys = Vec::new();
        for (key, register) in [("pcr4", "PCR4"), ("pcr9", "PCR9"), ("pcr11", "PCR11"), ("pcr12", "PCR12")] {
            keys.push((key, Some(find(register).ok_or(ReleaseError::Nothing)?)));
        }
        keys.push(("pcr7", find("PCR7")));
        let remembered = configuration
            .map(|hash| tpm::configuration_register(hash.as_bytes(), Algorithm::Sha256).to_hex());
        keys.extend(remembered.map(|value| ("pcr15", Some(value))));
        Ok(Table { name: "azure", keys })
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
            ]}, {"profile": "cloud", "reference_values": [
                {"platform": "azure-vtpm", "register": "PCR4", "shape": "", "value": "04".repeat(32), "basis": "computed"},
                {"platform": "azure-vtpm", "register": "PCR9", "shape": "", "value": "09".repeat(32), "basis": "predicted"},
                {"platform": "azure-vtpm", "register": "PCR11", "shape": "", "value": "11".repeat(32), "basis": "predicted"},
                {"platform": "azure-vtpm", "register": "PCR12", "shape": "", "value": "00".repeat(32), "basis": "predicted"},
                {"platform": "azure-vtpm", "register": "PCR7", "shape": "", "value": null, "basis": "to-be-recorded-on-hardware"},
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
        let others = own.others();
        assert_eq!(others[0], "metal tdx-qemu RTMR0 = ? (to-be-recorded-on-hardware)");
        assert_eq!(others.len(), 6);
    }

    #[test]
    fn other_kinds_of_machines_have_tables() {
        let own = verified(|_| ()).unwrap();
        assert_eq!(own.tables(TeeType::Snp, None), Ok(Vec::new()));
        let tables = own.tables(TeeType::AzureSnp, Some(&Sha256::new([1; 32]))).unwrap();
        let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
        assert_eq!(names, ["azure", "azure_paravisor"]);
        let value = |key: &str| {
            let found = tables[0].keys.iter().find(|(own, _)| *own == key);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(value("pcr4"), Some(Some("04".repeat(32))));
        assert_eq!(value("pcr7"), Some(None), "firmware's own is left open");
        let register = tpm::configuration_register(&[1; 32], Algorithm::Sha256).to_hex();
        assert_eq!(value("pcr15"), Some(Some(register)));
        let without = own.tables(TeeType::AzureTdx, None).unwrap();
        assert!(without[0].keys.iter().all(|(key, _)| *key != "pcr15"));
        assert_eq!(without[1].name, "tdx");
        // This release has nothing for TDX on one's own host.
        assert_eq!(own.tables(TeeType::Tdx, None), Err(ReleaseError::Nothing));
        let with = verified(|own| {
            let row = |register: &str, shape: &str, value: Value| json!({"platform": "tdx-qemu", "register": register, "shape": shape, "value": value, "basis": "predicted"});
            own["images"][0]["reference_values"] = json!([
                row("MRTD", "single pass", json!("aa")),
                row("MRTD", "two passes", json!("bb")),
                row("RTMR0", "", Value::Null),
                row("RTMR1", "direct boot", json!("cc")),
                row("RTMR2", "", json!("dd")),
            ]);
        });
        let tables = with.unwrap().tables(TeeType::Tdx, None).unwrap();
        assert_eq!(tables.len(), 2);
        assert_eq!(tables[1].keys[..2], [("mrtd", Some("bb".to_owned())), ("rtmr0", None)]);
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
