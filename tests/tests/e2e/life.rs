//! How the enclave starts, drains and ends.

use std::process::Command;
use std::time::Duration;

use postern_tests::enclave::{Enclave, Setup};
use postern_tests::http1::{Http1, chat, post};
use postern_tests::programs::{self, Running};

#[tokio::test]
async fn streams_in_flight_finish_before_the_process_ends() {
    let mut enclave = Enclave::start();
    let mut streaming = Http1::connect(enclave.address).await;
    let mut idle = Http1::connect(enclave.address).await;
    assert_eq!(idle.get("/readyz").await.status, 200);
    streaming.send(&post("/v1/chat/completions", &chat("slow", true).to_string())).await.unwrap();
    streaming.answer_begins().await;
    enclave.process.terminate();
    assert!(idle.ends_within(Duration::from_secs(2)).await, "an idle connection is closed");
    let refused = async { while tokio::net::TcpStream::connect(enclave.address).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(2), refused).await.expect("nobody listens any more");
    assert!(enclave.process.is_running(), "the stream is still going");
    let answer = streaming.answer().await.unwrap();
    assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    let status = enclave.process.wait(Duration::from_secs(5)).expect("it ends after its last stream");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_stream_longer_than_the_drain_is_cut_and_says_so() {
    let mut enclave = Enclave::with(&Setup { drain: "limit_seconds = 1".to_owned(), ..Setup::default() });
    let upstream = &enclave.upstream;
    upstream.plan(|_| {
        use postern_tests::upstream::{Step, chunk, event, stream_head};
        vec![Step::Send(stream_head()), Step::Send(chunk(&event("Hel"))), Step::Hold]
    });
    let mut client = Http1::connect(enclave.address).await;
    client.send(&post("/v1/chat/completions", &chat("fake", true).to_string())).await.unwrap();
    client.answer_begins().await;
    enclave.process.terminate();
    let answer = client.answer().await.unwrap();
    let text = answer.text();
    assert!(!answer.complete && text.contains("server_shutting_down"), "{text}");
    assert!(text.contains("Hel") && !text.contains("[DONE]"), "{text}");
    assert!(enclave.process.wait(Duration::from_secs(5)).is_some());
}

#[tokio::test]
async fn while_it_leaves_it_says_so_and_serves_on() {
    let mut enclave = Enclave::with(&Setup { drain: "delay_seconds = 2".to_owned(), ..Setup::default() });
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.get("/readyz").await.status, 200);
    enclave.process.terminate();
    let mut readiness = client.get("/readyz").await;
    for _ in 0..100 {
        if readiness.status == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        readiness = client.get("/readyz").await;
    }
    assert_eq!((readiness.status, readiness.text().trim_end()), (503, "draining"));
    // Load balancers need a moment to notice; whoever comes meanwhile is served like anybody.
    assert_eq!(client.get("/livez").await.status, 200);
    let answer = client.post("/v1/chat/completions", &chat("fake", false)).await;
    assert_eq!((answer.status, answer.header("connection")), (200, None));
    let mut late = Http1::connect(enclave.address).await;
    assert_eq!(late.post("/v1/chat/completions", &chat("fake", false)).await.status, 200);
    // A request that has begun when the drain begins is answered, and its connection closes.
    let request = post("/v1/chat/completions", &chat("fake", false).to_string());
    let (begun, rest) = request.split_at(request.len() - 5);
    late.send(begun).await.unwrap();
    assert!(client.ends_within(Duration::from_secs(4)).await, "an idle connection is closed");
    late.send(rest).await.unwrap();
    let answer = late.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(enclave.process.wait(Duration::from_secs(5)).expect("it ends").success());
}

#[tokio::test]
async fn the_end_of_its_parent_ends_it() {
    let mut enclave = Enclave::start();
    enclave.process.close_stdin();
    assert!(enclave.process.wait(Duration::from_secs(5)).expect("it ends").success());
}

#[tokio::test]
async fn sslkeylogfile_creates_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let environment = vec![("SSLKEYLOGFILE", path.display().to_string()), ("RUST_LOG", "trace".to_owned())];
    let enclave = Enclave::with(&Setup { environment, ..Setup::default() });
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.post("/v1/chat/completions", &chat("fake", false)).await.status, 200);
    assert!(!path.exists(), "TLS keys were written down");
}

#[tokio::test]
async fn nothing_is_written_to_its_folder() {
    let enclave = Enclave::start();
    let list = || {
        let entries = std::fs::read_dir(enclave.folder()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = list();
    let mut client = Http1::connect(enclave.address).await;
    for model in ["builtin", "fake"] {
        assert_eq!(client.post("/v1/chat/completions", &chat(model, false)).await.status, 200);
    }
    assert_eq!(list(), before);
}

#[test]
fn a_bad_configuration_is_one_line_with_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enclave.toml");
    let start = || {
        let mut command = Command::new(programs::path("postern-enclave"));
        Running::try_start(command.arg("--config").arg(&path)).expect_err("it must not start")
    };
    for text in [
        None,
        Some(""),
        Some("version = 2"),
        Some("version = 1\nunknown = \"canary-5b3d\""),
        Some("version = \"canary-5b3d\""),
        Some("version = 1\n[listen\n"),
        Some("\0\u{1}"),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let (status, said) = start();
        assert_eq!(status.code(), Some(2), "{text:?}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{text:?}: {said}");
        assert!(said.contains("CONFIG_"), "{text:?}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

#[tokio::test]
async fn the_environment_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("written").display().to_string();
    let files = [
        "SSLKEYLOGFILE",
        "MALLOC_TRACE",
        "LLVM_PROFILE_FILE",
        "OPENSSL_CONF",
        "AWS_LC_SEEDFILE",
        "TMPDIR",
        "HOME",
    ];
    let proxies = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"];
    let loud = ["RUST_LOG", "RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "TOKIO_WORKER_THREADS", "DEBUG"];
    let ours = [
        "POSTERN_CONFIG",
        "POSTERN_LOG",
        "POSTERN_DEBUG",
        "POSTERN_API_KEY",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
    ];
    let set = |names: &[&'static str], value: &str| -> Vec<_> {
        names.iter().map(|name| (*name, value.to_owned())).collect()
    };
    let environment = [
        set(&files, &file),
        set(&proxies, "http://127.0.0.1:9"),
        set(&loud, "1"),
        set(&ours, "http://127.0.0.1:9/canary-2c7e"),
    ];
    let (plain, altered) =
        (Enclave::start(), Enclave::with(&Setup { environment: environment.concat(), ..Setup::default() }));
    let mut seen = Vec::new();
    for enclave in [&plain, &altered] {
        let mut client = Http1::connect(enclave.address).await;
        let config = client.get("/.well-known/postern/config").await.text();
        let port = enclave.upstream.address.port().to_string();
        assert_eq!(client.post("/v1/chat/completions", &chat("fake", false)).await.status, 200);
        seen.push(config.replace(&port, "PORT"));
        assert!(!enclave.process.stderr().contains("canary"));
    }
    assert_eq!(seen[0], seen[1], "the public configuration depends on the environment");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "a file was written because a variable said so"
    );
}
