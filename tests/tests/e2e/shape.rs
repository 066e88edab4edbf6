//! What answers look like from outside, and that readers do not notice.

use postern_tests::capture::{Seen, Tapped};
use postern_tests::enclave::{Enclave, KEY, NAME, Setup};
use postern_tests::http1::{Answer, Http1, chat, post_with};
use postern_tests::tls::Offer;
use postern_tests::upstream::{self, Step};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn connect(enclave: &Enclave) -> (Http1<TlsStream<Tapped>>, Seen) {
    let (tapped, seen) = Tapped::new(TcpStream::connect(enclave.address).await.unwrap());
    let name = ServerName::try_from(NAME).unwrap();
    let stream = TlsConnector::from(Offer::http1().config()).connect(name, tapped).await.unwrap();
    (Http1::new(stream), seen)
}

async fn ask(client: &mut Http1<TlsStream<Tapped>>, wish: &str, stream: bool) -> Answer {
    let fields = format!("authorization: Bearer {KEY}\r\n{wish}");
    client
        .send(&post_with("/v1/chat/completions", &fields, &chat("fake", stream).to_string()))
        .await
        .unwrap();
    client.answer().await.unwrap()
}

/// Events, without what readers skip.
fn events(answer: &Answer) -> Vec<String> {
    let text = answer.text();
    text.split_inclusive("\n\n").filter(|event| !event.starts_with(':')).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_stream_has_the_same_events_in_every_shape() {
    let enclave = Enclave::start();
    let (mut client, _) = connect(&enclave).await;
    let plain = ask(&mut client, "postern-stream-shape: none\r\n", true).await;
    assert!(plain.complete && !plain.text().contains("\n: "), "{}", plain.text());
    for (wish, shape) in [
        ("", "bucketed"),
        ("postern-stream-shape: bucketed\r\n", "bucketed"),
        ("postern-stream-shape: constant\r\n", "constant"),
        ("postern-stream-shape: NONE\r\n", "bucketed"),
    ] {
        let answer = ask(&mut client, wish, true).await;
        assert_eq!(answer.header("postern-stream-shape"), Some(shape));
        assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
        assert_eq!(events(&answer).concat().trim_start_matches('\n'), plain.text(), "{shape}");
        assert!(answer.body.len() > plain.body.len(), "{shape} is not padded");
    }
}

#[tokio::test]
async fn constant_streams_look_alike_whatever_they_say() {
    let enclave =
        Enclave::with(&Setup { listen: "stream_shape = \"constant\"".to_owned(), ..Setup::default() });
    let mut seen_of = Vec::new();
    for words in [&["a"][..], &["some", "longer", "answer that nobody can tell from the first"]] {
        enclave.upstream.plan(move |_| upstream::stream(words));
        let (mut client, seen) = connect(&enclave).await;
        seen.take();
        let answer = ask(&mut client, "", true).await;
        assert!(answer.complete && events(&answer).concat().contains(words[0]));
        seen_of.push(seen.take().iter().map(|record| record.size).collect::<Vec<_>>());
    }
    assert_eq!(seen_of[0].len(), 10, "one frame each 100 ms for a second: {seen_of:?}");
    assert_eq!(seen_of[0], seen_of[1]);
    // the configuration that clients see says so
    let mut client = Http1::connect(enclave.address).await;
    assert_eq!(client.get("/.well-known/postern/config").await.json()["stream_shape"], "constant");
}

#[tokio::test]
async fn whole_answers_and_errors_end_in_spaces() {
    let enclave = Enclave::start();
    let (mut client, _) = connect(&enclave).await;
    let mut lengths = Vec::new();
    for text in ["a", "bcdefg", &"long ".repeat(300), &"long ".repeat(302)] {
        let mut body = upstream::completion();
        body["choices"][0]["message"]["content"] = text.into();
        let sent = body.to_string();
        enclave.upstream.plan(move |_| vec![Step::Send(upstream::whole(200, &body))]);
        let answer = ask(&mut client, "", false).await;
        assert_eq!(answer.text().trim_end_matches(' '), sent, "what the vendor said is all there");
        lengths.push(answer.body.len());
        assert_eq!(ask(&mut client, "postern-stream-shape: none\r\n", false).await.text(), sent);
    }
    assert!(lengths[0] == lengths[1] && lengths[2] == lengths[3] && lengths[0] < lengths[2], "{lengths:?}");
    for path in ["/v1/nothing", "/v1/chat/completions"] {
        let (mut client, _) = connect(&enclave).await;
        client.send(&post_with(path, "authorization: Bearer sk-wrong\r\n", "")).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.body.len(), 512, "{}", answer.text());
        answer.json();
    }
}
