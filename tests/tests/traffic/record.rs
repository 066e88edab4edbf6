//! Answers streamed through the real enclave, and what the wire showed of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postern_tests::capture::{Record, Seen, Tapped};
use postern_tests::enclave::{Enclave, KEY, NAME, Setup};
use postern_tests::http1::{Http1, chat, post_with};
use postern_tests::tls::Offer;
use postern_tests::upstream::{self, Step};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Clients at the same time.
const CLIENTS: usize = 32;
/// Between two tokens of the model.
const TOKEN_TIME: Duration = Duration::from_millis(12);

/// One answer as the wire showed it, and what it was.
pub(super) struct Recorded {
    pub(super) index: usize,
    pub(super) records: Vec<Record>,
    /// For each record: how many events were in it, and how many letters they had together.
    pub(super) inside: Vec<(usize, usize)>,
    pub(super) bytes: usize,
    pub(super) took: Duration,
}

/// Streams every answer once, in this shape.
pub(super) async fn streamed(answers: &Arc<Vec<Vec<String>>>, shape: &str) -> Vec<Recorded> {
    let enclave = Enclave::with(&Setup { limits: "idle_seconds = 60".to_owned(), ..Setup::default() });
    let told = Arc::clone(answers);
    enclave.upstream.plan(move |request| {
        let number = request.json()["messages"][0]["content"].as_str().unwrap().parse::<usize>().unwrap();
        let mut steps = vec![Step::Send(upstream::stream_head())];
        for token in &told[number] {
            steps.push(Step::Send(upstream::chunk(&upstream::event(token))));
            steps.push(Step::Wait(TOKEN_TIME));
        }
        steps.push(Step::Send(upstream::chunk(&[upstream::finish_event(), upstream::done()].concat())));
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    });
    let (next, done) = (Arc::new(Mutex::new(0..answers.len())), Arc::new(Mutex::new(Vec::new())));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (address, shape) = (enclave.address, shape.to_owned());
        let (next, done) = (Arc::clone(&next), Arc::clone(&done));
        clients.push(tokio::spawn(async move {
            let (mut client, seen) = connect(address).await;
            loop {
                let Some(index) = next.lock().unwrap().next() else { return };
                let recorded = one(&mut client, &seen, index, &shape).await;
                done.lock().unwrap().push(recorded);
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    let mut done = std::mem::take(&mut *done.lock().unwrap());
    done.sort_by_key(|recorded| recorded.index);
    done
}

async fn connect(address: std::net::SocketAddr) -> (Http1<TlsStream<Tapped>>, Seen) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (tapped, seen) = Tapped::new(stream);
    let name = ServerName::try_from(NAME).unwrap();
    let stream = TlsConnector::from(Offer::http1().config()).connect(name, tapped).await.unwrap();
    (Http1::new(stream), seen)
}

async fn one(client: &mut Http1<TlsStream<Tapped>>, seen: &Seen, index: usize, shape: &str) -> Recorded {
    let mut body = chat("fake", true);
    body["messages"][0]["content"] = index.to_string().into();
    let fields = format!("authorization: Bearer {KEY}\r\npostern-stream-shape: {shape}\r\n");
    seen.take();
    let started = Instant::now();
    client.send(&post_with("/v1/chat/completions", &fields, &body.to_string())).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert!(answer.complete && answer.header("postern-stream-shape") == Some(shape), "{}", answer.text());
    let (took, records) = (started.elapsed(), seen.take());
    let bytes = records.iter().map(|record| record.size).sum();
    Recorded { index, inside: inside(&records, &answer.body), records, bytes, took }
}

/// What was in each record. Records hold 17 bytes besides their text (RFC 8446, sections 5.2 and 5.3); the text is a head,
/// then chunks of which each is one piece of the answer.
fn inside(records: &[Record], body: &[u8]) -> Vec<(usize, usize)> {
    const CHUNK: usize = 10 + 2;
    let text = String::from_utf8(body.to_vec()).unwrap();
    let total: usize = records.iter().map(|record| record.size - 17).sum();
    // Whatever is not body or its framing is the head, which came with the first record.
    let framing = CHUNK * records.len() + 5;
    let head = total.saturating_sub(text.len() + framing);
    let mut at = 0;
    let mut found = Vec::new();
    for (number, record) in records.iter().enumerate() {
        let overhead = CHUNK + if number == 0 { head } else { 0 };
        let length = (record.size - 17).saturating_sub(overhead).min(text.len() - at);
        let piece = &text[at..at + length];
        at += length;
        let events = piece.matches("\"content\":\"").count();
        let letters =
            piece.split("\"content\":\"").skip(1).map(|rest| rest.find("\"}").unwrap_or(rest.len())).sum();
        found.push((events, letters));
    }
    found
}
