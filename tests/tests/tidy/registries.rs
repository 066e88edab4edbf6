//! A file in a plug-in folder that its registry does not name is dead, and nobody would notice.

use postern_tests::workspace;

/// A folder of interchangeable parts.
struct Folder {
    /// The folder.
    path: &'static str,
    /// The list in the file of the same name that must mention each part.
    list: &'static str,
    /// Files that are no parts, and why they lie there.
    others: &'static [(&'static str, &'static str)],
}

const FOLDERS: &[Folder] = &[
    Folder { path: "attestation/src/platform", list: "PLATFORMS", others: &[] },
    Folder {
        path: "enclave/gateway/src/guardrail",
        list: "GUARDRAILS",
        others: &[("settings", "what the configuration says of all of them")],
    },
    Folder {
        path: "enclave/gateway/src/provider",
        list: "PROVIDERS",
        others: &[
            ("openai_compatible", "a table of vendors with a registry of its own"),
            ("grant", "trades credentials for access tokens"),
            ("path", "model names inside paths"),
            ("splice", "cuts what differs into a client's own bytes"),
        ],
    },
    Folder { path: "enclave/gateway/src/route/strategy", list: "STRATEGIES", others: &[] },
    Folder {
        path: "enclave/gateway/src/wire",
        list: "WIRES",
        others: &[
            ("model_list", "answered from the configuration, never sent upstream"),
            ("dialect", "the trait of formats that are read and written"),
            ("hops", "which gateways a request came by, whatever its format"),
            ("json", "reading and writing bodies that are translated"),
            ("openai_shape", "what the OpenAI formats share"),
            ("bedrock_converse", "only upstreams speak it"),
            ("cohere_chat", "only upstreams speak it"),
            ("embedding", "embeddings that only upstreams speak"),
            ("event_stream", "framing of Bedrock's streams"),
            ("ordered_json", "JSON that keeps the order of members"),
            ("sse", "framing, used by every format that streams"),
            ("web_search", "what each format can say of a search of the web"),
        ],
    },
];

/// Parts in `names` that the list in `registry` does not mention, and exceptions that no longer exist.
fn violations(folder: &Folder, names: &[String], registry: &str) -> Vec<String> {
    let Some(list) = list_body(registry, folder.list) else {
        return vec![format!("{}.rs: has no list {}", folder.path, folder.list)];
    };
    let excepted =
        |name: &str| folder.others.iter().any(|(other, reason)| *other == name && !reason.is_empty());
    let mut problems: Vec<String> = names
        .iter()
        .filter(|name| *name != "tests" && !excepted(name) && !list.contains(&format!("{name}::")))
        .map(|name| format!("{}/{name}.rs: {} does not name it", folder.path, folder.list))
        .collect();
    for (other, _) in folder.others {
        if !names.iter().any(|name| name == other) {
            problems.push(format!("{}: {other}.rs is excepted and not there", folder.path));
        }
    }
    problems
}

fn list_body<'a>(registry: &'a str, list: &str) -> Option<&'a str> {
    let start = registry.find(&format!("const {list}:"))?;
    let body = &registry[start..];
    Some(&body[..body.find("];")?])
}

#[test]
fn every_part_is_registered() {
    let mut problems = Vec::new();
    for folder in FOLDERS {
        let names: Vec<String> = std::fs::read_dir(workspace::root().join(folder.path))
            .unwrap_or_else(|error| panic!("{}: {error}", folder.path))
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
            .collect();
        assert!(!names.is_empty(), "{} is empty", folder.path);
        problems.extend(violations(folder, &names, &workspace::read(&format!("{}.rs", folder.path))));
    }
    super::none(&problems);
}

#[test]
fn an_unregistered_part_is_found() {
    let folder = Folder { path: "f", list: "PARTS", others: &[("shared", "a reason")] };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let registry = "mod one;\nmod two;\npub const PARTS: &[&dyn Part] = &[\n    &one::One,\n];\n";
    assert_eq!(violations(&folder, &names(&["one", "shared", "tests"]), registry), Vec::<String>::new());
    assert_eq!(violations(&folder, &names(&["one", "shared", "two"]), registry).len(), 1);
    assert_eq!(violations(&folder, &names(&["one"]), registry).len(), 1, "stale exception");
    assert_eq!(violations(&folder, &names(&["one"]), "mod one;").len(), 1, "no list");
}
