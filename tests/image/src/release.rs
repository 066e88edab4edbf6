//! What `deploy/image/build` wrote: the images and the manifest, signed as a publisher would, and the policy that the
//! documented command makes of it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use attestation::Sha256;
use postern_tests::security_processor::{SecurityProcessor, floors_file, root_file};
use serde_json::Value;

use crate::clients::{program, text};
use crate::parts::kept;

/// A build and its signed manifest.
pub struct Release {
    folder: tempfile::TempDir,
    /// The release key, public half, in hex.
    key: String,
    content: Value,
}

impl Release {
    /// Builds it, once for all tests, into the folder where people find it.
    pub fn built() -> &'static Self {
        static RELEASE: OnceLock<Release> = OnceLock::new();
        RELEASE.get_or_init(|| {
            let output = kept();
            let programs = std::env::var("POSTERN_IMAGE_PROGRAMS").ok();
            let mut build = vec!["build", "--output", text(&output), "--sequence", "1"];
            build.extend(programs.iter().flat_map(|folder| ["--programs", folder]));
            program("postern-image", &build);
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (manifest, key) = (folder.path().join("manifest.json"), folder.path().join("release.key"));
            std::fs::copy(output.join("manifest.json"), &manifest).expect("the build wrote a manifest");
            let public = program("postern-image", &["new-key", text(&key)]);
            program("postern-image", &["sign", text(&manifest), "--key", text(&key)]);
            let bytes = std::fs::read(&manifest).expect("it is there");
            let content = serde_json::from_slice(&bytes).expect("a manifest is JSON");
            Self { folder, key: public.trim().to_owned(), content }
        })
    }

    /// The image of that profile.
    pub fn image(&self, profile: &str) -> Vec<u8> {
        let path = kept().join(format!("postern-{profile}.efi"));
        std::fs::read(path).expect("the build wrote the images")
    }

    /// The manifest's value of a register, for a shape of machine where they differ.
    pub fn value(&self, profile: &str, platform: &str, register: &str, shape: &str) -> &str {
        let of = |value: &&Value, key: &str, wanted: &str| value[key].as_str() == Some(wanted);
        let images = self.content["images"].as_array().expect("a manifest has images");
        let image = images.iter().find(|image| of(image, "profile", profile)).expect("that profile");
        let values = image["reference_values"].as_array().expect("an image has values");
        let found = values.iter().find(|value| {
            of(value, "platform", platform) && of(value, "register", register) && of(value, "shape", shape)
        });
        found.and_then(|value| value["value"].as_str()).unwrap_or_else(|| panic!("no {platform} {register}"))
    }

    /// `postern policy init --release`, for machines of Azure's, with what it leaves open filled in: the paravisor, and the
    /// register that only the machine knows.
    pub fn azure_policy(
        &self,
        folder: &Path,
        configuration: &Path,
        processor: &SecurityProcessor,
        firmware: &Sha256,
    ) -> PathBuf {
        let (manifest, path) = (self.folder.path().join("manifest.json"), folder.join("policy.toml"));
        let (root, floors) = (root_file(folder), floors_file(folder));
        let chip = hex::encode(&processor.chip_id);
        program(
            "postern",
            &[
                &["policy", "init", "--tee", "az-snp", "--output", text(&path), "--force"][..],
                &["--release", text(&manifest), "--release-key", &self.key],
                &["--configuration", text(configuration), "--hardware-id", &chip],
                &["--deployment", "unpinned", "--webpki", "not-required"],
                &["--simulated-root", text(&root), "--floors", text(&floors)],
            ]
            .concat(),
        );
        let report = processor.processor.report();
        let mut policy = std::fs::read_to_string(&path).expect("it was written");
        for (key, value) in [
            ("pcr7", format!("\"{}\"", firmware.to_hex())),
            ("measurement", format!("\"{}\"", hex::encode(report.measurement))),
            ("id_key_digest", format!("\"{}\"", hex::encode(report.id_key_digest))),
            ("family_id", format!("\"{}\"", hex::encode(report.family_id))),
            ("image_id", format!("\"{}\"", hex::encode(report.image_id))),
            ("guest_svn", report.guest_svn.to_string()),
        ] {
            let open = format!("\n{key} = \"FILL-IN: recorded on a machine that you trust\"");
            assert!(policy.contains(&open), "{key}: {policy}");
            policy = policy.replace(&open, &format!("\n{key} = {value}"));
        }
        std::fs::write(&path, policy).expect("it is ours");
        path
    }
}
