//! Other gateways' configurations become ones that the enclave accepts.

use std::process::Command;

use postern_tests::{programs, workspace};

#[test]
fn every_imported_configuration_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    for (format, file) in [
        ("litellm", "litellm.yaml"),
        ("portkey", "portkey.json"),
        ("bifrost", "bifrost.json"),
        ("openrouter", "openrouter.json"),
    ] {
        let source = workspace::root().join("client-verifier/tests/import").join(file);
        let imported =
            Command::new(programs::path("postern")).args(["import", format]).arg(source).output().unwrap();
        assert!(imported.status.success(), "{format}: {}", String::from_utf8_lossy(&imported.stderr));
        let path = folder.path().join(format);
        std::fs::write(&path, &imported.stdout).unwrap();
        let checked = Command::new(programs::path("postern-enclave"))
            .args(["check", "--without-secrets"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        let text = String::from_utf8_lossy(&imported.stdout).into_owned();
        assert!(checked.status.success() && said.contains("ok: config_digest"), "{format}: {said}\n{text}");
        let told = String::from_utf8(imported.stderr).unwrap();
        assert!(told.contains("not carried "), "{format}: {told}");
    }
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for (text, code) in [("[1, 2]", "IMPORT_SYNTAX"), ("a: 1", "IMPORT_NOTHING")] {
        std::fs::write(&path, text).unwrap();
        let refused =
            Command::new(programs::path("postern")).args(["import", "litellm"]).arg(&path).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(refused.stdout.is_empty() && String::from_utf8_lossy(&refused.stderr).contains(code));
    }
}
