//! The page of numbers: only where asked for, only sums, and no newer than its interval.

use std::time::Duration;

use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Http1, chat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METRICS: &str = "[metrics]\naddress = \"tcp:127.0.0.1:0\"\n";

async fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address.strip_prefix("tcp:").unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(8), stream.read_to_string(&mut answer));
    read.await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn numbers_are_served_where_asked_for_and_nowhere_else() {
    let enclave = Enclave::with(&Setup { gateway: METRICS.to_owned(), ..Setup::default() });
    let mut client = Http1::connect(enclave.address).await;
    for stream in [false, true] {
        assert_eq!(client.post("/v1/chat/completions", &chat("fake", stream)).await.status, 200);
    }
    assert_eq!(
        client.post("/v1/chat/completions", &chat("canary-no-such-model-71c2", false)).await.status,
        404
    );
    let address = enclave.process.said("metrics").to_owned();
    let page = ask(&address, "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4"), "{page}");
    let fake = r#"{gen_ai_operation_name="chat",gen_ai_provider_name="openai_compatible",gen_ai_request_model="fake",error_type=""}"#;
    assert!(page.contains(&format!("postern_exchanges_total{fake} 2\n")), "{page}");
    assert!(page.contains(r#"postern_attempts_total{deployment="fake",outcome="ok"} 2"#), "{page}");
    assert!(page.contains("gen_ai_server_time_to_first_token_seconds_count"), "{page}");
    assert!(page.contains(r#"error_type="model_not_found"} 1"#), "{page}");
    for foreign in ["canary", "hello", KEY, "\"all\""] {
        assert!(!page.contains(foreign), "{foreign} is in the numbers: {page}");
    }
    // What one asks after the other shows nothing of what happened between.
    assert_eq!(client.post("/v1/chat/completions", &chat("fake", false)).await.status, 200);
    assert_eq!(ask(&address, "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await, page);
    for (request, status) in [
        ("GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", "405"),
        ("\u{1}\u{2}\r\n\r\n", "400"),
    ] {
        let answer = ask(&address, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    // Clients see that somebody counts; the page itself is not theirs.
    let config = client.get("/.well-known/postern/config").await.json();
    assert_eq!(config["metrics_every_seconds"], 60);
    assert_eq!(client.get("/metrics").await.status, 404);
}

#[tokio::test]
async fn nobody_reads_numbers_unless_the_configuration_says_so() {
    let enclave = Enclave::start();
    assert!(enclave.process.ready["metrics"].is_null());
    let config = Http1::connect(enclave.address).await.get("/.well-known/postern/config").await.json();
    assert!(config["metrics_every_seconds"].is_null());
}
