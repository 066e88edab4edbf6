//! Configuration files: looked at before use, and replaced while requests are in flight.

use std::process::Command;
use std::time::Duration;

use attestation::Nonce;
use attestation::binding::ChallengeRequest;
use attestation::digest::Sha384;
use attestation::enclave_claims::EnclaveClaims;
use attestation::evidence::EvidenceDocument;
use postern_tests::enclave::{Enclave, KEY};
use postern_tests::http1::{Http1, chat, post};
use postern_tests::programs;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What the program prints about files, and whether it finds them usable.
fn inspect(arguments: &[&str]) -> (String, bool) {
    let output = Command::new(programs::path("postern-enclave")).args(arguments).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

/// The digest in fresh evidence, and that of the configuration that the same connection shows.
async fn digests(client: &mut Http1<TlsStream<TcpStream>>) -> (Sha384, Sha384) {
    let body = ChallengeRequest { nonce: Nonce::new([7; 32]) }.encode();
    let head = format!(
        "POST /.well-known/postern/evidence HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.send(&[head.as_bytes(), &body].concat()).await.unwrap();
    let document = EvidenceDocument::decode(&client.answer().await.unwrap().body).unwrap();
    let claims = EnclaveClaims::decode(&document.claims).unwrap();
    let shown = client.get("/.well-known/postern/config").await.body;
    (claims.config_digest, Sha384::of(&shown))
}

#[tokio::test]
async fn what_clients_see_changes_for_new_connections_only() {
    let enclave = Enclave::start();
    let mut idle = Http1::connect(enclave.address).await;
    let before = digests(&mut idle).await;
    assert_eq!(before.0, before.1);
    let mut streaming = Http1::connect(enclave.address).await;
    streaming.send(&post("/v1/chat/completions", &chat("slow", true).to_string())).await.unwrap();
    streaming.answer_begins().await;

    enclave.reconfigure("[gateway.models.builtin]", "[gateway.models.renamed]");
    enclave.process.waits_to_say(r#""event":"reload_failed","reason":"CONFIG_UNKNOWN_NAME""#, 1);
    assert_eq!(digests(&mut idle).await, before, "a key names the model that is gone: nothing changes");
    enclave.reconfigure(r#"models = ["builtin"]"#, r#"models = ["renamed"]"#);
    enclave.process.waits_to_say(r#""event":"reloaded","visible":true"#, 1);

    assert!(idle.ends_within(Duration::from_secs(2)).await, "its client has to verify anew");
    let answer = streaming.answer().await.unwrap();
    assert!(answer.complete, "what was in flight ends as it began: {}", answer.text());
    assert!(streaming.ends_within(Duration::from_secs(2)).await);
    let mut client = Http1::connect(enclave.address).await;
    let after = digests(&mut client).await;
    assert!(after.0 == after.1 && after.0 != before.0);
    assert_eq!(client.post("/v1/chat/completions", &chat("builtin", false)).await.status, 404);
    assert_eq!(client.post("/v1/chat/completions", &chat("renamed", false)).await.status, 200);
}

#[tokio::test]
async fn what_clients_do_not_see_changes_under_their_hands() {
    let enclave = Enclave::start();
    let mut client = Http1::connect(enclave.address).await;
    let before = digests(&mut client).await;
    assert_eq!(client.get("/v1/models").await.status, 200);
    let revoked = hex::encode(ring::digest::digest(&ring::digest::SHA256, KEY.as_bytes()));
    enclave.reconfigure(&revoked, &"0".repeat(64));
    enclave.process.waits_to_say(r#""event":"reloaded","visible":false"#, 1);
    assert_eq!(client.get("/v1/models").await.status, 401, "a revoked key is worthless at once");
    assert_eq!(digests(&mut client).await, before);
}

#[tokio::test]
async fn what_needs_a_start_is_refused_as_a_whole() {
    let enclave = Enclave::start();
    enclave.reconfigure("[drain]", "[drain]\nlimit_seconds = 5");
    enclave.process.waits_to_say(r#""reason":"CONFIG_RESTART""#, 1);
    enclave.process.waits_to_say("CONFIG_RESTART: drain:", 1);
    enclave.reconfigure("version = 1\n[listen]", "version = [listen]");
    enclave.process.waits_to_say(r#""reason":"CONFIG_SYNTAX""#, 1);
    std::fs::remove_file(enclave.config_file()).unwrap();
    enclave.process.hang_up();
    enclave.process.waits_to_say(r#""reason":"CONFIG_UNREADABLE""#, 1);
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.post("/v1/chat/completions", &chat("builtin", false)).await.status, 200);
}

#[tokio::test]
async fn check_tells_everything_and_the_digest() {
    let enclave = Enclave::start();
    let (mut client, file) = (Http1::connect(enclave.address).await, enclave.config_file());
    let file = file.to_str().unwrap();
    let (in_force, _) = digests(&mut client).await;
    let (said, usable) = inspect(&["check", file]);
    assert!(usable && said.ends_with(&format!("ok: config_digest {}\n", in_force.to_hex())), "{said}");
    assert!(said.contains("PRICE_UNKNOWN: deployments.fake:"), "{said}");

    let wrong = enclave.folder().join("wrong.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace("real-model\"\nbase_url = \"http", "real-model\"\nbase_url = \"gopher");
    let text = text.replace("deployments = [\"builtin\"]", "deployments = [\"bultin\"]");
    std::fs::write(&wrong, text).unwrap();
    let (said, usable) = inspect(&["check", wrong.to_str().unwrap()]);
    assert!(!usable && said.lines().count() == 2, "{said}");
    assert!(said.contains("did you mean 'builtin'?") && said.contains("deployments.fake.base_url"), "{said}");
}

#[tokio::test]
async fn diff_says_what_it_takes() {
    let enclave = Enclave::start();
    let (old, new) = (enclave.config_file(), enclave.folder().join("new.toml"));
    let text = std::fs::read_to_string(&old).unwrap();
    let diff = |text: &str| {
        std::fs::write(&new, text).unwrap();
        inspect(&["diff", old.to_str().unwrap(), new.to_str().unwrap()]).0
    };
    assert_eq!(diff(&text), "clients see no difference\ntakes effect on SIGHUP\n");
    let said = diff(&text.replace("tokens_per_second = 20", "tokens_per_second = 21\nregion = \"eu\""));
    assert!(said.contains("~ gateway.deployments.slow.tokens_per_second: 20 -> 21\n"), "{said}");
    assert!(said.contains("+ gateway.deployments.slow.region\n"), "{said}");
    assert!(
        said.contains("clients see: config_digest ") && said.ends_with("takes effect on SIGHUP\n"),
        "{said}"
    );
    let said = diff(&text.replace("[drain]", "[drain]\nlimit_seconds = 5"));
    assert!(said.contains("+ drain.limit_seconds\n"), "{said}");
    assert!(said.ends_with("takes effect at a start only: drain\n"), "{said}");
}
