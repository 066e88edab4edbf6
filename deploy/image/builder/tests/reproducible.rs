//! Two builds in two folders with two cargo homes are equal, bit for bit.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use postern_image::image;
use postern_image::programs::Build;

#[test]
#[ignore = "builds the gateway in a second folder, about ten minutes of one processor; deploy/image/test runs it"]
fn two_builds_in_two_folders_are_equal_bit_for_bit() {
    // One where `deploy/image/build` has it, and so mostly there already; the other from nothing.
    let root = root();
    let one =
        Build { source: &root, cargo_home: None, target: &root.join("target/image/cargo"), profile: "image" };
    let one = one.run().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("much/deeper/source"), folder.path().join("much/target"));
    copy_source(&source);
    let home = another_cargo_home(folder.path());
    let another = Build { source: &source, cargo_home: Some(&home), target: &target, profile: "image" };
    let another = another.run().unwrap();
    assert!(one.init == another.init, "/init differs");
    assert!(one.gateway == another.gateway, "/postern-enclave differs");
    let disk = |programs| image::initial_ram_disk(programs, &[]).unwrap();
    assert!(disk(&one) == disk(&another), "the initial RAM disks differ");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

/// Everything that git knows or would add.
fn copy_source(to: &Path) {
    let root = root();
    let listed = Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .unwrap();
    for file in String::from_utf8(listed.stdout).unwrap().lines() {
        let (from, to) = (root.join(file), to.join(file));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        // A file that is deleted and not yet committed is not there.
        if from.exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// A cargo home elsewhere, with the same crates: links, since sources are never written again.
fn another_cargo_home(folder: &Path) -> PathBuf {
    let home = folder.join("another-cargo-home");
    std::fs::create_dir_all(&home).unwrap();
    let own = std::env::var_os("CARGO_HOME")
        .map_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo"), PathBuf::from);
    for name in ["config.toml", "registry"] {
        if own.join(name).exists() {
            let status = Command::new("cp").arg("-aL").arg(own.join(name)).arg(&home).status().unwrap();
            assert!(status.success(), "copying {name}");
        }
    }
    home
}
