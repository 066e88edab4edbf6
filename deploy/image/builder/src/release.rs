//! The release manifest: what was built from what, and what machines started from it will report. Signed with Ed25519,
//! detached, 64 bytes in a file beside it.

use std::path::Path;

use measurement::table::{Row, Surroundings, rows};
use measurement::{Algorithm, Firmware, PartitionTable, Uki};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::image::Profile;
use crate::inputs::Inputs;

/// Numbers of virtual processors whose measurements are published.
pub const PROCESSORS: [u32; 4] = [1, 2, 4, 8];
/// Processor models of QEMU whose measurements are published. Milan is not among them: its keys can be extracted.
pub const MODELS: [&str; 3] = ["EPYC-v4", "EPYC-Genoa", "EPYC-Turin"];

/// One image of a release.
pub struct Built<'a> {
    /// For which machines.
    pub profile: Profile,
    /// Its bytes.
    pub uki: &'a [u8],
    /// The first sectors of the disk it boots from.
    pub disk: &'a [u8],
}

/// What a manifest says besides the images.
pub struct About<'a> {
    /// Revision of the source.
    pub revision: String,
    /// Rises with every release.
    pub sequence: u64,
    /// When it was made, in Unix seconds.
    pub issued: u64,
    /// When clients stop taking it, in Unix seconds.
    pub expires: u64,
    /// `quick` or `release`.
    pub lane: &'static str,
    /// Pinned inputs.
    pub inputs: &'a Inputs,
    /// Name and bytes of what was written.
    pub artifacts: Vec<(String, Vec<u8>)>,
    /// Earlier releases that clients must not take any more: version and reason.
    pub revoked: Vec<(String, String)>,
    /// Firmware for SEV-SNP and for TDX.
    pub firmware: (&'a [u8], &'a [u8]),
}

/// Days after which a manifest ends.
pub const DAYS: u64 = 90;

/// The manifest as text.
///
/// # Errors
/// [`Failure`] where an image cannot be measured.
pub fn manifest(about: &About<'_>, images: &[Built<'_>]) -> Result<String, Failure> {
    let images = images.iter().map(|built| image(about, built)).collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<Value> = about
        .inputs
        .all()
        .iter()
        .map(|(name, pinned)| json!({"name": name, "version": pinned.version, "sha256": pinned.sha256}))
        .collect();
    let artifacts: Vec<Value> = about
        .artifacts
        .iter()
        .map(|(name, bytes)| json!({"name": name, "sha256": sha256(bytes), "size": bytes.len()}))
        .collect();
    let revoked: Vec<Value> =
        about.revoked.iter().map(|(version, reason)| json!({"version": version, "reason": reason})).collect();
    let whole = json!({
        "schema": "postern-release/1",
        "version": env!("CARGO_PKG_VERSION"),
        "sequence": about.sequence,
        "issued": about.issued,
        "expires": about.expires,
        "source": {"revision": about.revision},
        "toolchain": {"rust": rust_version(), "target": crate::programs::TARGET, "lane": about.lane, "libc": libc_version()},
        "inputs": inputs,
        "artifacts": artifacts,
        "images": images,
        "configuration": {
            "metal": "SHA-256 of the configuration file, in HOST_DATA (SEV-SNP) or the first 32 bytes of MRCONFIGID (TDX)",
            "cloud": "register 15 of the TPM, extended with the hash, in its bank's algorithm, of the SHA-256 of the configuration file",
            "rules": {"/content_logging": false, "/debug": false},
        },
        "floors": {"version": floors_version()?},
        "minimum_client": env!("CARGO_PKG_VERSION"),
        "revoked": revoked,
    });
    Ok(format!("{whole:#}\n"))
}

fn image(about: &About<'_>, built: &Built<'_>) -> Result<Value, Failure> {
    let uki = Uki::parse(built.uki)?;
    let around = Surroundings {
        firmware_snp: Some(Firmware::parse(about.firmware.0)?),
        firmware_tdx: Some(Firmware::parse(about.firmware.1)?),
        disk: Some(PartitionTable::parse(built.disk)?),
        configuration: None,
        processors: PROCESSORS.to_vec(),
        models: MODELS.to_vec(),
    };
    let values: Vec<Value> = rows(&uki, built.uki, &around)?.iter().map(value).collect();
    Ok(json!({
        "profile": built.profile.as_str(),
        "sha256": sha256(built.uki),
        "size": built.uki.len(),
        "command_line": uki.command_line(),
        "initrd_sha256": sha256(uki.initrd()),
        "authenticode_sha256": uki.authenticode(Algorithm::Sha256)?.to_hex(),
        "authenticode_sha384": uki.authenticode(Algorithm::Sha384)?.to_hex(),
        "reference_values": values,
    }))
}

fn value(row: &Row) -> Value {
    json!({
        "platform": row.platform,
        "register": row.register,
        "shape": row.shape,
        "value": row.value.as_ref().map(measurement::Digest::to_hex),
        "basis": row.basis.as_str(),
    })
}

/// Lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

fn rust_version() -> String {
    let said = std::process::Command::new("rustc").arg("--version").output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}

/// The static C library is linked in, so its version is an input; Debian names it.
fn libc_version() -> String {
    let asked = ["-W", "-f=${Version}", "libc6-dev"];
    let said = std::process::Command::new("dpkg-query").args(asked).output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}

/// The version of the shipped firmware floors.
fn floors_version() -> Result<Value, Failure> {
    let floors: Value =
        serde_json::from_str(include_str!("../../../../attestation/data/snp-tcb-floors.json"))
            .map_err(|_| Failure::new("the floors file is not JSON"))?;
    Ok(floors.get("version").cloned().unwrap_or(Value::Null))
}

/// Signs a manifest with a key file (PKCS#8) and returns signature and public key.
///
/// # Errors
/// [`Failure`] where the file holds no such key.
pub fn sign(manifest: &[u8], key: &Path) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let bytes = std::fs::read(key).map_err(Failure::file(key))?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes)
        .map_err(|_| Failure::new(format!("{}: no Ed25519 key (PKCS#8, DER)", key.display())))?;
    let message = [b"postern release manifest\0", manifest].concat();
    Ok((pair.sign(&message).as_ref().to_vec(), pair.public_key().as_ref().to_vec()))
}

/// A new key as PKCS#8, and its public half.
///
/// # Errors
/// [`Failure`] where there is no randomness.
pub fn new_key() -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let document =
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| Failure::new("no randomness"))?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| Failure::new("no key"))?;
    Ok((document.as_ref().to_vec(), pair.public_key().as_ref().to_vec()))
}
