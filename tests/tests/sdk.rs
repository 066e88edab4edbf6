//! Real clients, not ours: the official SDKs and curl through `postern proxy` and `postern-host`, and httpx over HTTP/2.
//!
//! Where Python, Node or curl is missing the test says so and passes, unless `CI` is set.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use postern_tests::administered::Administered;
use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::programs::lasting_folder;
use postern_tests::scripts::{install, kept, python, python_with, run, source, succeeded};
use postern_tests::stack::Stack;
use postern_tests::upstream::{self, Step, chunk};
use postern_tests::{vendors, workspace};
use ring::digest::{SHA256, digest};
use serde_json::json;

/// A folder with `node_modules` as `package-lock.json` pins them.
fn node_folder() -> Option<PathBuf> {
    let wanted = std::fs::read_to_string(source("package-lock.json")).unwrap();
    let folder = lasting_folder().join("node");
    let stamp = folder.join("installed.txt");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = std::fs::File::create(lasting_folder().join("node.lock")).unwrap();
    lock.lock().unwrap();
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Some(folder);
    }
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        std::fs::copy(source(name), folder.join(name)).unwrap();
    }
    install(Command::new("npm").args(["ci", "--ignore-scripts", "--silent"]).current_dir(&folder))?;
    std::fs::write(stamp, wanted).unwrap();
    Some(folder)
}

/// A model `breaking` whose streams end in the middle, `failing-over` whose first deployment fails before it says anything,
/// `dying-over` whose first deployment takes each call and drops the connection, and one of each provider with an API of its own.
const MODELS: &str = r#"
[gateway.deployments.breaking]
provider = "openai_compatible"
model = "breaking-model"
base_url = "http://UPSTREAM/v1"
[gateway.deployments.gemini]
provider = "gemini"
model = "gemini-real"
base_url = "http://UPSTREAM/v1beta"
credential = "file:CREDENTIAL"
[gateway.deployments.bedrock]
provider = "bedrock"
model = "eu.maker.real-v1:0"
base_url = "http://UPSTREAM"
credential = "file:CREDENTIAL"
[gateway.deployments.claude]
provider = "anthropic"
model = "claude"
base_url = "http://UPSTREAM/v1"
credential = "file:CREDENTIAL"
[gateway.deployments.failing]
provider = "openai_compatible"
model = "failing-model"
base_url = "http://UPSTREAM/v1"
[gateway.deployments.dying]
provider = "openai_compatible"
model = "dying-model"
base_url = "http://UPSTREAM/v1"
[gateway.models]
dying-over = { deployments = ["dying", "fake"], retry = { base_ms = 1 } }
failing-over = { deployments = ["failing", "fake"], retry = { base_ms = 1 } }
claude = { deployments = ["claude"] }
breaking = { deployments = ["breaking"] }
gemini = { deployments = ["gemini"] }
bedrock = { deployments = ["bedrock"] }
"#;

/// The whole path, with [`MODELS`].
fn stack() -> Stack {
    let credential = lasting_folder().join("credential");
    std::fs::write(&credential, "sk-provider-0123456789").unwrap();
    let gateway = MODELS.replace("CREDENTIAL", credential.to_str().unwrap());
    let stack = Stack::start(&Setup { gateway, ..Setup::default() });
    stack.enclave.upstream.plan(|request| {
        let body = String::from_utf8_lossy(&request.body);
        if body.contains("dying-model") {
            return vec![Step::Reset];
        }
        if body.contains("failing-model") {
            return fails_before_content(
                body.contains("\"stream\":true") || body.contains("\"stream\": true"),
            );
        }
        if !body.contains("breaking-model") {
            return vendors::all(request);
        }
        vec![Step::Send(upstream::stream_head()), Step::Send(chunk(&upstream::event("Hel"))), Step::Reset]
    });
    stack
}

/// A stream that begins well and fails before its first word; a refusal where no stream was asked for.
fn fails_before_content(stream: bool) -> Vec<Step> {
    let failure = serde_json::json!({"error": {"message": "overloaded", "type": "server_error"}});
    if !stream {
        return vec![Step::Send(upstream::whole(503, &failure))];
    }
    let role = serde_json::json!({"id": "c-0", "object": "chat.completion.chunk", "created": 1, "model": "failing-model",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]});
    let events = [role, failure].map(|event| Step::Send(chunk(&upstream::data(&event))));
    [vec![Step::Send(upstream::stream_head())], events.into(), vec![Step::Close]].concat()
}

fn through(stack: &Stack, command: &mut Command) -> Option<Output> {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let command = command.env("BASE_URL", &stack.base_url).env("TOKEN", &stack.token);
    run(command.env("DEAD_URL", format!("http://{dead}/v1")).env_remove("OPENAI_API_KEY"))
}

/// Runs a script of ours where its modules are.
fn node(stack: &Stack, folder: &Path, script: &str) -> Option<Output> {
    std::fs::copy(source(script), folder.join(script)).unwrap();
    through(stack, Command::new("node").arg(script).current_dir(folder))
}

#[test]
fn openai_for_python() {
    let Some(python) = python() else { return };
    let stack = stack();
    let output = through(&stack, Command::new(python).arg(source("openai_python.py"))).unwrap();
    assert_eq!(kept(&succeeded(&output)), 60);
    let received = stack.enclave.upstream.received();
    let failed = received.iter().filter(|own| String::from_utf8_lossy(&own.body).contains("failing-model"));
    assert!(failed.count() >= 2, "the deployment that fails was asked first");
}

#[test]
fn google_genai_for_python() {
    let Some(python) = python() else { return };
    let stack = stack();
    let output = through(&stack, Command::new(python).arg(source("google_genai.py"))).unwrap();
    assert_eq!(kept(&succeeded(&output)), 29);
}

/// What Anthropic's SDK and the provider saw of each other: the body's SHA-256 and the beta field.
fn seen_by_anthropic(stack: &Stack) -> Vec<String> {
    let received = stack.enclave.upstream.received();
    let own = received.iter().filter(|request| request.line.starts_with("POST /v1/messages"));
    own.filter(|request| !request.line.contains("count_tokens"))
        .map(|request| {
            let beta = request.header("anthropic-beta").unwrap_or_default();
            format!("sent: {} {beta}", hex::encode(digest(&SHA256, request.without_padding())))
                .trim_end()
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn anthropic_for_python() {
    let Some(python) = python() else { return };
    let stack = stack();
    let output = through(&stack, Command::new(python).arg(source("anthropic_python.py"))).unwrap();
    let said = succeeded(&output);
    assert_eq!(kept(&said), 51);
    // byte for byte but for the padding, with the beta field as it was
    let seen = seen_by_anthropic(&stack);
    assert_eq!(seen.len(), 11);
    for request in &seen {
        assert!(said.lines().any(|line| line.trim_end() == request), "{request}\n{said}");
    }
    assert!(seen.last().unwrap().ends_with(" context-1m-2025-08-07,made-up-beta-2030-01-01"), "{seen:?}");
    // translated, with every block
    let received = stack.enclave.upstream.received();
    let translated = received.iter().filter(|request| request.line.contains("/chat/completions"));
    let bodies: Vec<String> =
        translated.map(|request| String::from_utf8(request.body.clone()).unwrap()).collect();
    let told = ["First block.", "Second block.", "data:image/png;base64,iVBORw0KGgo"];
    assert!(bodies.iter().any(|body| told.iter().all(|text| body.contains(text))), "{bodies:?}");
    assert!(stack.enclave.upstream.wait_for_cancellations(2, Duration::from_secs(10)).await);
}

#[tokio::test]
async fn anthropic_for_node() {
    let Some(folder) = node_folder() else { return };
    let stack = stack();
    let Some(output) = node(&stack, &folder, "anthropic_node.mjs") else { return };
    assert_eq!(kept(&succeeded(&output)), 28);
    assert!(stack.enclave.upstream.wait_for_cancellations(2, Duration::from_secs(10)).await);
}

#[test]
fn openai_for_node() {
    let Some(folder) = node_folder() else { return };
    let stack = stack();
    let Some(output) = node(&stack, &folder, "openai_node.mjs") else { return };
    assert_eq!(kept(&succeeded(&output)), 28);
}

/// `LangChain` pins SDKs that exclude the ones above, so it has an environment of its own.
#[tokio::test]
async fn langchain() {
    let Some(python) = python_with("langchain", "langchain-requirements.txt") else { return };
    let stack = stack();
    let output = through(&stack, Command::new(python).arg(source("langchain_clients.py"))).unwrap();
    assert_eq!(kept(&succeeded(&output)), 45);
    // those whose clients gave up
    assert!(stack.enclave.upstream.wait_for_cancellations(2, Duration::from_secs(10)).await);
}

#[tokio::test]
async fn vercel_ai() {
    let Some(folder) = node_folder() else { return };
    let stack = stack();
    let Some(output) = node(&stack, &folder, "vercel_ai.mjs") else { return };
    assert_eq!(kept(&succeeded(&output)), 69);
    assert!(stack.enclave.upstream.wait_for_cancellations(4, Duration::from_secs(10)).await);
}

#[test]
fn httpx_over_http2_straight_to_the_enclave() {
    let Some(python) = python() else { return };
    let enclave =
        Enclave::with(&Setup { listen: "key_exchange = \"compatible\"".to_owned(), ..Setup::default() });
    let url = format!("https://localhost:{}", enclave.address.port());
    let mut command = Command::new(python);
    let output = run(command.arg(source("httpx_http2.py")).env("ENCLAVE_URL", url).env("KEY", KEY)).unwrap();
    assert_eq!(kept(&succeeded(&output)), 1);
}

#[test]
fn curl() {
    let stack = stack();
    let ask = |arguments: &[&str], path: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20"]).args(arguments);
        run(command.arg(format!("{}{path}", stack.base_url)))
    };
    let authorization = format!("authorization: Bearer {}", stack.token);
    let Some(models) = ask(&["--fail", "-H", &authorization], "/models") else { return };
    assert!(succeeded(&models).contains("\"builtin\""));
    let stream = ["-H", &authorization, "-H", "content-type: application/json", "--no-buffer", "-d"];
    let good = r#"{"model":"builtin","stream":true,"messages":[{"role":"user","content":"Say hello"}]}"#;
    let said = succeeded(&ask(&[&stream[..], &[good]].concat(), "/chat/completions").unwrap());
    assert!(said.contains("chat.completion.chunk") && said.trim_end().ends_with("data: [DONE]"), "{said}");
    // a stream that breaks is no success
    let output =
        ask(&[&stream[..], &[&good.replace("builtin", "breaking")]].concat(), "/chat/completions").unwrap();
    assert_eq!(output.status.code(), Some(18), "partial file: {output:?}");
    // no token, no answer
    let output = ask(&["--fail"], "/models").unwrap();
    assert_eq!(output.status.code(), Some(22), "{output:?}");
}

/// The admin API of the running program against its own document: schemathesis makes up requests that fit it and some that
/// do not, and looks at each answer.
#[test]
fn schemathesis_finds_nothing_in_the_admin_api() {
    let Some(python) = python_with("schemathesis", "schemathesis-requirements.txt") else { return };
    let setup = Setup { listen: "key_exchange = \"compatible\"".to_owned(), ..Setup::default() };
    let world = Administered::start("", setup, |_| {});
    for (path, group) in [
        ("orgs", json!({ "id": "acme", "policy": { "allowed_models": ["*"] } })),
        ("teams", json!({ "id": "search", "org": "acme" })),
        ("keys", json!({ "owner": { "org": "acme", "team": "search" } })),
    ] {
        world.administer(&["create", path, "-"], Some(&group));
    }
    let mut command = Command::new(python);
    command.args(["-m", "schemathesis.cli", "run"]).current_dir(world.disk());
    command.arg(workspace::root().join("deploy/admin-openapi.json"));
    command.args(["--url", &format!("https://{}", world.admin), "--tls-verify", "false"]);
    command.args(["--header", &format!("Authorization: Bearer {}", world.root)]);
    // What fits the document can still name an organisation that does not exist, and a missing precondition is 428 (RFC 6585),
    // which the tool takes for acceptance.
    command.args(["--checks", "all", "--exclude-checks", "positive_data_acceptance,missing_required_header"]);
    command.args(["--max-examples", "3", "--seed", "1", "--suppress-health-check", "all"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--warnings", "off"]);
    let output =
        run(command.env("PYTHONWARNINGS", "ignore").env("HYPOTHESIS_STORAGE_DIRECTORY", world.disk()));
    let said = succeeded(&output.unwrap());
    assert!(said.contains("No issues found"), "{said}");
    assert!(!world.enclave.process.stderr().contains("panicked"));
}

#[test]
fn the_scripts_are_the_ones_counted_here() {
    let count = |name: &str| std::fs::read_to_string(source(name)).unwrap().matches("kept(").count();
    assert!(count("openai_python.py") >= 9 && count("openai_node.mjs") >= 6);
    assert!(Path::new(&source("package-lock.json")).exists());
}
