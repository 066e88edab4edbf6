//! The host cannot read a prompt: none of the code that could is in it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, too, fail by panicking"
)]

use std::process::Command;

/// Our packages, other than `package` itself, that it is built from.
fn own_dependencies(package: &str) -> Vec<String> {
    let cargo = Command::new(env!("CARGO"))
        .args(["tree", "--package", package, "--edges", "normal,build", "--prefix", "none", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let text = String::from_utf8(cargo.stdout).unwrap();
    let mut names: Vec<String> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.starts_with("postern-"))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_host_is_built_from_the_boundary_messages_and_nothing_else_of_ours() {
    assert_eq!(own_dependencies("postern-host"), ["postern-link"]);
}

#[test]
fn the_boundary_messages_are_built_from_nothing() {
    assert_eq!(own_dependencies("postern-link"), [""; 0]);
}

/// The relay copies bytes it has no means to decrypt: TLS occurs in the fetcher of endorsements only.
#[test]
fn tls_and_http_are_used_for_endorsements_only() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut users = Vec::new();
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if ["rustls", "hyper", "http::", "serde_json::from"].iter().any(|word| text.contains(word)) {
            users.push(path.file_name().unwrap().to_owned());
        }
    }
    assert!(users.is_empty(), "{users:?}");
    let fetch = std::fs::read_to_string(format!("{source}/endorsements/fetch.rs")).unwrap();
    assert!(fetch.contains("rustls"), "control: the words are the right ones");
}
