//! Who reads content and keys: the files below and no others. A new entry is a review of where content goes.

use postern_tests::workspace::{self, SourceFile};

/// Files that may open a `Plaintext` or a `Secret`, and for what.
const ALLOWED: &[(&str, &str)] = &[
    ("enclave/gateway/src/admission/key_file.rs", "compares digests of credentials"),
    ("enclave/gateway/src/admission/output_limit.rs", "bounds numbers in requests"),
    ("enclave/gateway/src/answer.rs", "turns vendor bytes into the client's"),
    ("enclave/gateway/src/answer/forward.rs", "passes vendor events on to the client"),
    (
        "enclave/gateway/src/answer/keeping.rs",
        "collects a stream for the cache of the client's own partition",
    ),
    ("enclave/gateway/src/answer/relay.rs", "gives a stored stream again"),
    ("enclave/gateway/src/answer/shadow.rs", "reads and drops the answers of deployments on trial"),
    ("enclave/gateway/src/answer/translate.rs", "turns vendor events into another dialect's"),
    ("enclave/gateway/src/answer/vector.rs", "reads what a text means"),
    ("enclave/gateway/src/cache/exact.rs", "makes the keyed digest that a request is stored under"),
    ("enclave/gateway/src/cache/kept.rs", "stores answers for one partition, in memory"),
    ("enclave/gateway/src/cache/replay.rs", "gives stored answers in the form that is wanted"),
    ("enclave/gateway/src/cache/rules.rs", "looks at the fields that say whether an answer may be stored"),
    ("enclave/gateway/src/cache/semantic/question.rs", "takes out what is compared by meaning"),
    ("enclave/gateway/src/config/build.rs", "hands secrets from their source to what uses them"),
    (
        "enclave/gateway/src/config/build/deployments/credential.rs",
        "hands provider credentials to deployments",
    ),
    ("enclave/gateway/src/config/build/guardrails.rs", "hands services' secrets to guardrails"),
    ("enclave/gateway/src/config/build/prompts.rs", "reads the prompt file"),
    ("enclave/gateway/src/deployment.rs", "makes the authorization value"),
    ("enclave/gateway/src/content/mask.rs", "puts back what was masked"),
    ("enclave/gateway/src/deployment/token.rs", "makes the authorization value"),
    ("enclave/gateway/src/error.rs", "forwards a vendor's refusal to the client who caused it"),
    ("enclave/gateway/src/governance/secret.rs", "hashes issued secrets under the pepper"),
    ("enclave/gateway/src/pipeline.rs", "refuses bodies over the limit"),
    ("enclave/gateway/src/pipeline/cached.rs", "sends questions to the attested embedder"),
    ("enclave/gateway/src/pipeline/guarded.rs", "hands answers to the guard"),
    ("enclave/gateway/src/pipeline/inquiry.rs", "sends what guardrails ask services, reads what they say"),
    ("enclave/gateway/src/pipeline/probe.rs", "reads and drops lists of models"),
    ("enclave/gateway/src/pipeline/inquiry/judge.rs", "sends a model what it is to judge, reads its word"),
    ("enclave/gateway/src/prompt.rs", "puts the operator's words into a body"),
    ("enclave/gateway/src/prompt/reference.rs", "takes references to prompts out of a body"),
    ("enclave/gateway/src/screening.rs", "reads what is to be screened"),
    ("enclave/gateway/src/screening/inquiry.rs", "takes out what services are asked about"),
    ("enclave/gateway/src/provider.rs", "reads a vendor's refusal"),
    ("enclave/gateway/src/provider/anthropic.rs", "encodes for the vendor"),
    ("enclave/gateway/src/provider/bedrock.rs", "signs what is sent to the vendor"),
    ("enclave/gateway/src/provider/bedrock/sigv4.rs", "signs with the provider's secret key"),
    ("enclave/gateway/src/provider/gemini.rs", "encodes for the vendor"),
    ("enclave/gateway/src/provider/grant.rs", "trades a credential for an access token"),
    ("enclave/gateway/src/provider/vertex.rs", "encodes for the vendor"),
    ("enclave/gateway/src/provider/builtin.rs", "is the model"),
    ("enclave/gateway/src/provider/openai_compatible.rs", "encodes for the vendor"),
    ("enclave/gateway/src/route/features.rs", "finds what a request needs of a model"),
    ("enclave/gateway/src/route/strategy/complexity.rs", "guesses how hard a question is"),
    ("enclave/gateway/src/route/strategy/sticky.rs", "recognises a conversation"),
    ("enclave/gateway/src/route/wishes/body.rs", "reads which models and order a body asks for"),
    ("enclave/gateway/src/upstream.rs", "measures the parts of a body"),
    ("enclave/gateway/src/wire.rs", "refuses fields that would choose an upstream"),
    ("enclave/gateway/src/wire/json.rs", "reads requests that are translated"),
    ("enclave/gateway/src/wire/bedrock_converse.rs", "translates"),
    ("enclave/gateway/src/wire/cohere_chat.rs", "translates"),
    ("enclave/gateway/src/wire/embedding/bedrock.rs", "translates"),
    ("enclave/gateway/src/wire/embedding/cohere.rs", "translates"),
    ("enclave/gateway/src/wire/embedding/gemini.rs", "translates"),
    ("enclave/gateway/src/wire/embedding/vertex.rs", "translates"),
    ("enclave/gateway/src/wire/gemini.rs", "parses and translates"),
    ("enclave/gateway/src/wire/openai_responses.rs", "parses and translates"),
    ("enclave/gateway/src/wire/anthropic_count_tokens.rs", "parses"),
    ("enclave/gateway/src/wire/anthropic_messages.rs", "parses"),
    ("enclave/gateway/src/wire/openai_chat.rs", "parses"),
    ("enclave/gateway/src/wire/gemini_count_tokens.rs", "parses"),
    ("enclave/gateway/src/wire/openai_completions.rs", "parses and translates"),
    ("enclave/gateway/src/wire/openai_embeddings.rs", "parses"),
    ("enclave/gateway/src/wire/openai_shape.rs", "parses"),
    ("enclave/src/admin/admins.rs", "shows a fresh admin key once"),
    ("enclave/src/admin/keys.rs", "shows a fresh key once"),
    ("enclave/src/ingress/http1.rs", "writes answers into the client's TLS session"),
    ("enclave/src/ingress/http2.rs", "writes answers into the client's TLS session"),
    ("enclave/src/ingress/http1/duplex.rs", "writes answers into the client's TLS session"),
    ("enclave/src/ingress/shape.rs", "puts answers into frames"),
    ("enclave/src/ingress/shape/frames.rs", "puts answers into frames"),
    ("enclave/src/webhook.rs", "signs notices with the secret of their receiver"),
    ("enclave/src/secrets.rs", "resolves references to secrets that an operator has given"),
    ("enclave/src/kept.rs", "hands the database's password to its connection"),
    ("enclave/src/kept/given.rs", "seals what an operator has given for the next start"),
    ("enclave/src/provisioning.rs", "decodes what an operator has sealed"),
    ("enclave/src/upstream/builtin.rs", "hands the request to the built-in model"),
    ("enclave/src/upstream/exchange.rs", "writes calls into the upstream's TLS session"),
];

const OPENERS: [&str; 3] = [".expose(", ".expose_mut(", ".into_exposed("];

/// Files outside `allowed` that open content, and entries that no longer do.
fn violations(files: &[SourceFile], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    let opens =
        |file: &SourceFile| production(&file.text).any(|line| OPENERS.iter().any(|name| line.contains(name)));
    for file in files {
        if opens(file) && !allowed.iter().any(|(path, _)| *path == file.path) {
            problems.push(format!("{}: opens content or a secret and is not listed", file.path));
        }
    }
    for (path, reason) in allowed {
        if reason.is_empty() || !files.iter().any(|file| file.path == *path && opens(file)) {
            problems.push(format!("{path}: is listed, and has no reason to be"));
        }
    }
    problems
}

/// Lines of code before the test module.
fn production(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn only_listed_files_open_content() {
    let shipped: Vec<SourceFile> = workspace::rust_files()
        .into_iter()
        .filter(|file| !file.path.starts_with("tests/") && !is_test(&file.path))
        .collect();
    super::none(&violations(&shipped, ALLOWED));
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || ["/tests/", "/benches/", "/fuzz/"].iter().any(|folder| path.contains(folder))
}

#[test]
fn a_new_opener_is_found() {
    let judge = |text: &str, allowed: &[(&str, &str)]| {
        violations(&[SourceFile { path: "a.rs".to_owned(), text: text.to_owned() }], allowed).len()
    };
    for opener in ["body.expose().len()", "body.expose_mut().clear()", "body.into_exposed()"] {
        assert_eq!(judge(&format!("fn f() {{ {opener} }}"), &[]), 1, "{opener}");
        assert_eq!(judge(&format!("fn f() {{ {opener} }}"), &[("a.rs", "a reason")]), 0);
    }
    assert_eq!(judge("// body.expose()\n#[cfg(test)]\nmod tests { body.expose() }", &[]), 0);
    assert_eq!(judge("fn f() {}", &[("a.rs", "a reason")]), 1, "a stale entry");
    assert_eq!(judge("x.expose()", &[("a.rs", "")]), 1, "an entry without a reason");
}
