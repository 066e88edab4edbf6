//! The `postern` command as a shell sees it: first line, streams, exit code.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::fake_gateway::{FakeGateway, Lies, MEASUREMENT};

/// A command with nothing from the test's own environment that could change it.
fn postern(gateway: &FakeGateway, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command
        .args(args)
        .env_remove("POSTERN_API_KEY")
        .env("XDG_STATE_HOME", gateway.path("state"))
        .stdin(Stdio::null());
    command
}

/// The same with what every gateway command needs. `--policy` is the gateway's own policy.
fn reach(gateway: &FakeGateway, args: &[&str]) -> Command {
    let policy = gateway.path("policy.toml");
    if !policy.exists() {
        gateway.policy_file(|text| text);
    }
    let mut command = postern(gateway, args);
    command.arg("--policy").arg(policy).arg("--connect").arg(gateway.address.to_string());
    command
}

async fn run(mut command: Command) -> (i32, String, String) {
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn verify_says_the_verdict_first() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let url = gateway.url();
    let (code, out, _) = run(reach(&gateway, &["verify", &url])).await;
    assert_eq!(code, 0, "{out}");
    assert_eq!(out.lines().next(), Some(format!("VERIFIED (SIMULATED)  {url}").as_str()));
    for part in [
        "proves nothing about hardware",
        "pass        report_data",
        "pass        channel.binding",
        "expected X25519MLKEM768",
        "found    X25519MLKEM768",
        "loosened    release_manifest",
        "loosened    channel.webpki",
        "physical attacks on the listed machine are not excluded",
    ] {
        assert!(out.contains(part), "{part} not in\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "no colour where nobody asked for it");
    // What must not go backwards is remembered.
    assert!(gateway.path("state/postern/remembered.json").exists());
}

#[tokio::test]
async fn verify_speaks_json() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let (code, out, _) = run(reach(&gateway, &["verify", &gateway.url(), "--json"])).await;
    assert_eq!((code, out.lines().count()), (0, 1));
    let verdict: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(verdict["format"], "postern.verdict/1");
    assert_eq!((&verdict["verdict"], &verdict["simulated"]), (&"verified".into(), &true.into()));
    assert_eq!(verdict["gateway"]["measurement"], "5a".repeat(48));
    let checks = verdict["checks"].as_array().unwrap();
    assert!(checks.len() > 20 && checks.iter().all(|check| check["outcome"] == "pass"));

    let gateway = FakeGateway::start(Lies { measurement: [1; 48], ..Lies::default() }).await;
    let (code, out, error) = run(reach(&gateway, &["verify", &gateway.url(), "--json"])).await;
    let verdict: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &verdict["verdict"], &verdict["code"]),
        (1, &"rejected".into(), &"ATT_MEASUREMENT".into())
    );
    let failed: Vec<_> =
        verdict["checks"].as_array().unwrap().iter().filter(|check| check["outcome"] == "fail").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["found"], "01".repeat(48));
    assert!(error.contains("ATT_MEASUREMENT") && error.contains("hint: "), "{error}");
}

#[tokio::test]
async fn an_explanation_shows_what_comes_after_the_first_failure() {
    let gateway = FakeGateway::start(Lies { measurement: [1; 48], ..Lies::default() }).await;
    let (code, short, _) = run(reach(&gateway, &["verify", &gateway.url()])).await;
    let (explained, long, _) = run(reach(&gateway, &["verify", &gateway.url(), "--explain"])).await;
    assert_eq!((code, explained), (1, 1));
    assert_eq!(short.lines().next(), long.lines().next(), "the verdict is the same");
    assert!(short.contains("not_reached freshness") || short.matches("not_reached").count() > 3, "{short}");
    assert!(!long.contains("not_reached deployment") && long.contains("pass        deployment"), "{long}");
    assert!(long.matches("not_reached").count() < short.matches("not_reached").count(), "{long}");
}

#[tokio::test]
async fn the_exit_code_tells_the_kind_of_failure() {
    let rejected = FakeGateway::start(Lies { other_sbk: true, ..Lies::default() }).await;
    let (code, out, _) = run(reach(&rejected, &["verify", &rejected.url()])).await;
    assert_eq!(
        (code, out.split_whitespace().take(2).collect::<Vec<_>>().join(" ")),
        (1, "REJECTED BIND_SESSION".into())
    );

    let classical = FakeGateway::start(Lies { classical: true, ..Lies::default() }).await;
    let (code, out, _) = run(reach(&classical, &["verify", &classical.url()])).await;
    assert!(
        out.starts_with("REJECTED PROTO_PQ") && out.contains("fail        channel.key_exchange"),
        "{out}"
    );
    assert_eq!(code, 1);

    let busy = Some((503, "application/problem+cbor", vec![0xa0]));
    let undecided = FakeGateway::start(Lies { evidence_answer: busy, ..Lies::default() }).await;
    let (code, out, error) = run(reach(&undecided, &["verify", &undecided.url()])).await;
    assert!(out.starts_with("UNDECIDED EVIDENCE_UNAVAILABLE") && error.contains("hint: "), "{out}{error}");
    assert_eq!(code, 3);

    let gateway = FakeGateway::start(Lies::default()).await;
    gateway.policy_file(|text| text.replace("max_evidence_age_minutes", "max_evidence_age_minuets"));
    let (code, out, error) = run(reach(&gateway, &["verify", &gateway.url()])).await;
    assert!(out.starts_with("UNUSABLE POL_UNKNOWN_KEY"), "{out}");
    assert!(
        error.contains("did you mean max_evidence_age_minutes?") && error.contains("policy.toml:"),
        "{error}"
    );
    assert_eq!(code, 2);
    for args in [&["verify"][..], &["verify", "http://localhost"], &["nonsense"], &["verify", "https://a/b"]]
    {
        let (code, out, error) = run(reach(&gateway, args)).await;
        assert_eq!(code, 2, "{args:?} {out} {error}");
    }
    for address in ["nowhere", ":1", "127.0.0.1:99999"] {
        let (code, ..) =
            run(postern(&gateway, &["verify", &gateway.url(), "--policy", "x", "--connect", address])).await;
        assert_eq!(code, 2, "{address}");
    }
    gateway.policy_file(|text| text.replace("measurements = [", "measurements = []\nignored = ["));
    let (code, out, _) = run(reach(&gateway, &["verify", &gateway.url()])).await;
    assert_eq!((code, out.starts_with("UNUSABLE POL_")), (2, true), "{out}");
}

#[tokio::test]
async fn a_state_file_that_cannot_be_read_stops_the_run() {
    let gateway = FakeGateway::start(Lies::default()).await;
    std::fs::write(gateway.path("remembered.json"), "rubbish").unwrap();
    let mut command = reach(&gateway, &["verify", &gateway.url()]);
    command.arg("--state-file").arg(gateway.path("remembered.json"));
    let (code, out, _) = run(command).await;
    assert_eq!((code, out.starts_with("UNUSABLE STATE_CORRUPT")), (2, true), "{out}");
    let higher = r#"{"format":"postern.remembered/1","floors_version":4000000000,"state_heads":{}}"#;
    std::fs::write(gateway.path("remembered.json"), higher).unwrap();
    let mut command = reach(&gateway, &["verify", &gateway.url()]);
    command.arg("--state-file").arg(gateway.path("remembered.json"));
    let (code, out, _) = run(command).await;
    assert_eq!((code, out.starts_with("UNUSABLE POL_FLOORS_STALE")), (2, true), "{out}");
}

#[tokio::test]
async fn chat_streams_the_answer() {
    let gateway = FakeGateway::start(Lies::default()).await;
    std::fs::write(gateway.path("key"), "sk-gateway\n").unwrap();
    let mut command = reach(&gateway, &["chat", "--to", &gateway.url(), "Say hello"]);
    command.arg("--key-file").arg(gateway.path("key"));
    let (code, out, error) = run(command).await;
    assert_eq!((code, out.as_str()), (0, "Hello, world\n"), "{error}");
    assert!(error.starts_with("VERIFIED (SIMULATED)"), "{error}");
    assert!(!error.contains("Say hello") && !error.contains("sk-gateway"));
    let heads = gateway.seen.heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 2, "the models, then the prompt");
    assert!(
        heads[1].contains("authorization: Bearer sk-gateway\r\n")
            && heads[1].contains(r#""model":"fake-model""#)
    );
    assert!(heads[1].contains("Say hello"));
}

#[tokio::test]
async fn chat_sends_nothing_to_a_gateway_that_is_not_verified() {
    let gateway = FakeGateway::start(Lies { other_connection: true, ..Lies::default() }).await;
    let (code, out, error) = run(reach(&gateway, &["chat", "--to", &gateway.url(), "secret prompt"])).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("BIND_SESSION") && !error.contains("secret prompt"), "{error}");
    assert!(gateway.seen.heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn policy_init_writes_what_it_was_told_and_guesses_nothing() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let file = gateway.path("new.toml");
    let file = file.to_str().unwrap();
    let (code, out, error) = run(postern(&gateway, &["policy", "init", "--output", file])).await;
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(error.contains("4 values are to be filled in"), "{error}");
    let (code, _, error) = run(postern(&gateway, &["policy", "check", file])).await;
    assert_eq!((code, error.contains("POL_PLACEHOLDER")), (2, true), "{error}");
    let (code, _, error) = run(postern(&gateway, &["policy", "init", "--output", file])).await;
    assert_eq!((code, error.contains("--force")), (2, true), "an existing file is not replaced");

    let measurement = attestation::Measurement::new(MEASUREMENT).to_hex();
    let hardware = "c1".repeat(64);
    let args = [
        "policy",
        "init",
        "--output",
        file,
        "--force",
        "--measurement",
        &measurement,
        "--hardware-id",
        &hardware,
    ];
    let rest = ["--deployment", "unpinned", "--webpki", "not-required", "--simulated-root", "ark.der"];
    let (code, _, error) = run(postern(&gateway, &[&args[..], &rest[..]].concat())).await;
    assert_eq!((code, error.contains("SIMULATED")), (0, true), "{error}");
    let (code, out, error) = run(postern(&gateway, &["policy", "check", file])).await;
    assert_eq!((code, out.starts_with("USABLE") && out.contains("SIMULATED")), (0, true), "{out}{error}");
    for bad in [["--measurement", "abcd"], ["--hardware-id", "zz"], ["--deployment", "mine"]] {
        let (code, ..) = run(postern(&gateway, &["policy", "init", bad[0], bad[1]])).await;
        assert_eq!(code, 2, "{bad:?}");
    }
}

struct Running {
    child: std::process::Child,
    ready: serde_json::Value,
}

/// Starts a proxy and waits for its line.
async fn start_proxy(mut command: Command) -> Running {
    tokio::task::spawn_blocking(move || {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a JSON line: {line}"));
        Running { child, ready }
    })
    .await
    .unwrap()
}

fn wait(child: &mut std::process::Child) -> i32 {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(20) {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    panic!("the proxy did not end");
}

fn get(address: &str, path: &str, token: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn proxy_is_ready_when_it_says_so_and_ends_with_its_parent() {
    let gateway = FakeGateway::start(Lies::default()).await;
    let token_file = gateway.path("token");
    std::fs::write(&token_file, "left over and longer than any token, readable by all").unwrap();
    std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = reach(&gateway, &["proxy", "--to", &gateway.url(), "--listen", "127.0.0.1:0"]);
    command.arg("--token-file").arg(&token_file).args(["--json-ready", "--exit-on-stdin-close"]);
    command.env("POSTERN_API_KEY", "sk-gateway");
    let mut running = start_proxy(command).await;
    let listen = running.ready["listen"].as_str().unwrap().to_owned();
    assert_eq!(running.ready["ready"], true);
    assert_eq!(running.ready["base_url"], format!("http://{listen}/v1"));
    assert_eq!(Path::new(running.ready["token_file"].as_str().unwrap()), token_file);
    assert_eq!(std::fs::metadata(&token_file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(&token_file).unwrap().trim().to_owned();
    assert_eq!(token.len(), 64);
    let (answer, code) = tokio::task::spawn_blocking(move || {
        let answer = get(&listen, "/v1/models", &token);
        drop(running.child.stdin.take());
        (answer, wait(&mut running.child))
    })
    .await
    .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(code, 0);
    assert!(gateway.seen.heads.lock().unwrap()[0].contains("authorization: Bearer sk-gateway\r\n"));
}

#[tokio::test]
async fn proxy_does_not_start_on_a_gateway_that_is_rejected() {
    let gateway = FakeGateway::start(Lies { other_spki: true, ..Lies::default() }).await;
    let args = ["proxy", "--to", &gateway.url(), "--listen", "127.0.0.1:0", "--json-ready"];
    let (code, out, error) = run(reach(&gateway, &args)).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.starts_with("REJECTED BIND_SPKI"), "{error}");
    assert!(!error.contains("token"), "{error}");
    let (code, _, error) =
        run(reach(&gateway, &["proxy", "--to", &gateway.url(), "--listen", "0.0.0.0:0"])).await;
    assert_eq!((code, error.contains("CLI_LISTEN")), (2, true), "{error}");
}

#[tokio::test]
async fn proxy_told_to_keep_going_fails_closed() {
    let gateway = FakeGateway::start(Lies { other_spki: true, ..Lies::default() }).await;
    let args = ["proxy", "--to", &gateway.url(), "--listen", "127.0.0.1:0", "--json-ready", "--keep-going"];
    let mut running = start_proxy(reach(&gateway, &args)).await;
    let listen = running.ready["listen"].as_str().unwrap().to_owned();
    let token = running.ready["token"].as_str().unwrap().to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let answer = get(&listen, "/v1/models", &token);
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        answer
    })
    .await
    .unwrap();
    assert!(answer.contains(r#""code":"BIND_SPKI""#) && answer.contains("attestation_error"), "{answer}");
}
