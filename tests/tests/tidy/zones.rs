//! A folder is a trust zone, and only the arrows of ARCHITECTURE.md lead from one to another.

use std::collections::{BTreeMap, BTreeSet};

use postern_tests::workspace;
use serde_json::Value;

/// Each package of ours: its zone, and what it may need (besides, in tests, anything).
const PACKAGES: &[(&str, &str, &[&str])] = &[
    ("postern-alloc", "tcb", &[]),
    ("postern-attestation", "tcb", &[]),
    ("postern-audit", "tcb", &[]),
    ("postern-bench", "test", &["*"]),
    ("postern-client", "client", &["postern-attestation", "postern-audit", "postern-measurement"]),
    (
        "postern-enclave",
        "tcb",
        &[
            "postern-alloc",
            "postern-attestation",
            "postern-audit",
            "postern-gateway",
            "postern-link",
            "postern-state",
        ],
    ),
    ("postern-gateway", "tcb", &[]),
    ("postern-host", "untrusted", &["postern-link"]),
    ("postern-image", "deploy", &["postern-measurement"]),
    ("postern-image-tests", "test", &["*"]),
    ("postern-init", "tcb", &["postern-attestation"]),
    ("postern-link", "tcb", &[]),
    ("postern-measurement", "tcb", &[]),
    ("postern-quickstart", "deploy", &[]),
    ("postern-simtee", "test", &[]),
    ("postern-state", "tcb", &[]),
    ("postern-tests", "test", &["*"]),
];

/// What is wrong with the zones and edges that `metadata` (of `cargo metadata`) shows.
fn violations(metadata: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for package in members(metadata) {
        let name = text(&package["name"]);
        let Some((_, zone, allowed)) = PACKAGES.iter().find(|(known, ..)| *known == name) else {
            problems
                .push(format!("{name}: not in the table of tests/tests/tidy/zones.rs: which zone is it in?"));
            continue;
        };
        let stated = package["metadata"]["trust"]["zone"].as_str().unwrap_or("none");
        if stated != *zone {
            problems.push(format!("{name}: its manifest says zone {stated:?}, the table says {zone:?}"));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let needed = text(&dependency["name"]);
            let ours = needed.starts_with("postern-");
            let for_tests_only = dependency["kind"] == "dev";
            if ours && !for_tests_only && !allowed.contains(&needed) && !allowed.contains(&"*") {
                problems.push(format!("{name} -> {needed}: no such arrow in ARCHITECTURE.md"));
            }
        }
    }
    problems
}

/// Names of all packages that end up in the programs of `package`, itself included.
fn linked_into(metadata: &Value, package: &str) -> BTreeSet<String> {
    let names: BTreeMap<&str, &str> =
        metadata["packages"].as_array().unwrap().iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let nodes: BTreeMap<&str, &Value> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|n| (text(&n["id"]), n)).collect();
    let start = names.iter().find(|(_, name)| **name == package).map(|(id, _)| *id).unwrap();
    let (mut reached, mut open) = (BTreeSet::from([start]), vec![start]);
    while let Some(id) = open.pop() {
        for edge in nodes[id]["deps"].as_array().unwrap() {
            let linked = edge["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
            if linked && reached.insert(text(&edge["pkg"])) {
                open.push(text(&edge["pkg"]));
            }
        }
    }
    reached.into_iter().map(|id| names[id].to_owned()).collect()
}

fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let ids: Vec<&str> = metadata["workspace_members"].as_array().unwrap().iter().map(text).collect();
    metadata["packages"].as_array().unwrap().iter().filter(move |package| ids.contains(&text(&package["id"])))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn edges_between_zones_are_the_six_arrows() {
    super::none(&violations(&workspace::metadata()));
}

#[test]
fn the_host_does_not_link_the_gateway() {
    let metadata = workspace::metadata();
    let host = linked_into(&metadata, "postern-host");
    for foreign in ["postern-gateway", "postern-enclave", "postern-attestation", "postern-client"] {
        assert!(!host.contains(foreign), "postern-host links {foreign}");
    }
    // the same question about the enclave has the other answer, so it is a question
    assert!(linked_into(&metadata, "postern-enclave").contains("postern-gateway"));
}

#[test]
fn nothing_that_ships_links_the_simulator() {
    let metadata = workspace::metadata();
    for shipped in ["postern-enclave", "postern-client", "postern-host"] {
        assert!(!linked_into(&metadata, shipped).contains("postern-simtee"), "{shipped} links the simulator");
    }
    assert!(linked_into(&metadata, "postern-tests").contains("postern-simtee"));
}

#[test]
fn the_gateway_has_no_runtime_network_or_tls() {
    let metadata = workspace::metadata();
    for (core, allowed_serde) in [
        ("postern-gateway", true),
        ("postern-attestation", false),
        ("postern-link", false),
        ("postern-measurement", false),
    ] {
        let linked = linked_into(&metadata, core);
        for io in ["tokio", "hyper", "rustls", "mio", "socket2", "getrandom"] {
            assert!(
                !linked.contains(io) || (io == "getrandom" && core != "postern-link"),
                "{core} links {io}"
            );
        }
        assert!(allowed_serde || !linked.contains("serde_derive") || core == "postern-attestation", "{core}");
    }
    assert!(linked_into(&metadata, "postern-enclave").contains("tokio"));
}

#[test]
fn a_wrong_edge_or_zone_is_found() {
    let package = |name: &str, zone: &str, needs: &str, kind: &Value| {
        serde_json::json!({
            "id": name, "name": name, "metadata": {"trust": {"zone": zone}},
            "dependencies": [{"name": needs, "kind": kind}],
        })
    };
    let judge = |package: Value| {
        violations(&serde_json::json!({"workspace_members": [package["id"]], "packages": [package]}))
    };
    let normal = Value::Null;
    assert_eq!(judge(package("postern-host", "untrusted", "postern-link", &normal)), Vec::<String>::new());
    assert_eq!(judge(package("postern-host", "untrusted", "postern-gateway", &normal)).len(), 1);
    assert_eq!(judge(package("postern-client", "client", "postern-simtee", &"build".into())).len(), 1);
    assert_eq!(judge(package("postern-client", "client", "postern-simtee", &"dev".into())).len(), 0);
    assert_eq!(judge(package("postern-host", "tcb", "postern-link", &normal)).len(), 1);
    assert_eq!(judge(package("postern-else", "tcb", "serde", &normal)).len(), 1);
}
