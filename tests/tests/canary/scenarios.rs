//! What happens to requests while canaries are in them: each scenario is over, connection closed, when its function ends.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use postern_tests::canary::Canaries;
use postern_tests::http1::{Answer, Http1, post_with};
use postern_tests::tls::{self, Offer};
use postern_tests::upstream::{self, Step};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::channels::World;

/// Plants canaries for one scenario.
#[derive(Clone)]
pub(super) struct Planter {
    canaries: Arc<Canaries>,
    pub(super) scenario: &'static str,
}

impl Planter {
    pub(super) fn new(world: &World, scenario: &'static str) -> Self {
        Self { canaries: Arc::clone(&world.canaries), scenario }
    }

    pub(super) fn plant(&self, part: &'static str) -> String {
        self.canaries.plant(self.scenario, part)
    }

    /// A chat request with a canary wherever text can stand.
    pub(super) fn chat(&self, model: &str, stream: bool) -> Value {
        let image = STANDARD.encode(format!("\u{1}PNG {} IEND", self.plant("image")));
        let tool = json!({"type": "function", "function": {
            "name": "look_up", "description": self.plant("tool description"),
            "parameters": {"type": "object", "properties": {"q": {"const": self.plant("tool schema")}}}}});
        let call = json!({"id": "call_1", "type": "function", "function": {
            "name": "look_up", "arguments": json!({"q": self.plant("tool arguments")}).to_string()}});
        json!({"model": model, "stream": stream, "user": self.plant("user name"), "tools": [tool], "messages": [
            {"role": "system", "content": self.plant("system prompt")},
            {"role": "user", "content": [
                {"type": "text", "text": format!("Quote \"{}\"\n", self.plant("prompt"))},
                {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{image}")}}]},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": self.plant("tool result")}]})
    }

    /// The request with a canary in its target and its head too.
    fn request(&self, key: &str, body: &str) -> Vec<u8> {
        let fields = format!(
            "authorization: Bearer {key}\r\nx-note: {}\r\ncookie: {}\r\n",
            self.plant("header"),
            self.plant("cookie")
        );
        post_with(&format!("/v1/chat/completions?note={}", self.plant("query")), &fields, body)
    }

    /// Events of an answer, each with a canary.
    fn events(&self, count: usize) -> Vec<Step> {
        let mut steps = vec![Step::Send(upstream::stream_head())];
        for _ in 0..count {
            steps.push(Step::Send(upstream::chunk(&upstream::event(&self.plant("streamed answer")))));
        }
        steps
    }

    fn whole_stream(&self, count: usize) -> Vec<Step> {
        let mut steps = self.events(count);
        for end in [upstream::finish_event(), upstream::done()] {
            steps.push(Step::Send(upstream::chunk(&end)));
        }
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    }
}

type Client = Http1<TlsStream<TcpStream>>;

async fn ask(client: &mut Client, request: &[u8]) -> Answer {
    client.send(request).await.unwrap();
    client.answer().await.expect("an answer comes")
}

/// One request for this model.
pub(super) async fn asked(world: &World, planter: &Planter, model: &str, stream: bool) -> Answer {
    let mut client = world.client().await;
    ask(&mut client, &planter.request(&world.key, &planter.chat(model, stream).to_string())).await
}

/// Over which protocol clients ask.
#[derive(Clone, Copy)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A client's connection on which everything was answered.
pub(super) enum Kept {
    Http1(Box<Client>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Kept {
    /// Leaves, and says whether the connection was still there.
    pub(super) async fn leave(self) -> bool {
        match self {
            Self::Http1(mut client) => !client.ends_within(Duration::from_millis(10)).await,
            Self::Http2(sender) => !sender.is_closed(),
        }
    }
}

/// Whole answers and streams, on one connection, which is still open.
pub(super) async fn answered(world: &World, planter: Planter, protocol: Protocol) -> Kept {
    let (text, own) = (planter.plant("answer"), planter.clone());
    world.enclave.upstream.plan(move |request| {
        if request.json()["stream"] == true {
            return own.whole_stream(20);
        }
        let mut body = upstream::completion();
        body["choices"][0]["message"]["content"] = text.clone().into();
        vec![Step::Send(upstream::whole(200, &body))]
    });
    match protocol {
        Protocol::Http1 => Kept::Http1(Box::new(answered_http1(world, &planter).await)),
        Protocol::Http2 => Kept::Http2(answered_http2(world, &planter).await),
    }
}

async fn answered_http1(world: &World, planter: &Planter) -> Client {
    let mut client = world.client().await;
    for stream in [false, true, false, true] {
        let body = planter.chat("fake", stream).to_string();
        let answer = ask(&mut client, &planter.request(&world.key, &body)).await;
        assert!(answer.status == 200 && answer.complete, "{}", answer.text());
    }
    client
}

async fn answered_http2(world: &World, planter: &Planter) -> http2::SendRequest<Full<Bytes>> {
    let stream = tls::connect(world.host, Offer::http2().config()).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for stream in [false, true, true] {
        let request = http::Request::post("https://localhost/v1/chat/completions")
            .header("authorization", format!("Bearer {}", world.key))
            .header("x-note", planter.plant("header"))
            .body(Full::<Bytes>::from(planter.chat("fake", stream).to_string()))
            .unwrap();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
    }
    sender
}

/// Whole answers and streams, on one connection of HTTP/1.1.
pub(super) async fn success(world: &World, planter: Planter) {
    drop(answered(world, planter, Protocol::Http1).await);
}

/// The same on HTTP/2.
pub(super) async fn success_http2(world: &World, planter: Planter) {
    drop(answered(world, planter, Protocol::Http2).await);
}

/// One request to the model whose name is a canary, and one of an issued key.
pub(super) async fn counted(world: &World, planter: Planter) {
    assert_eq!(asked(world, &planter, &world.named, false).await.status, 200);
    let mut client = world.client().await;
    let body = planter.chat("fake", true).to_string();
    assert_eq!(ask(&mut client, &planter.request(&world.issued, &body)).await.status, 200);
}

/// A prompt of four thousand words, each a canary.
pub(super) async fn long_prompt(world: &World, planter: Planter) {
    world.enclave.upstream.plan(upstream::well);
    let words: Vec<String> = (0..200).map(|_| planter.plant("long prompt")).collect();
    let text = words.join(" ").repeat(20);
    let body = json!({"model": "fake", "messages": [{"role": "user", "content": text}]}).to_string();
    let mut client = world.client().await;
    assert_eq!(ask(&mut client, &planter.request(&world.key, &body)).await.status, 200);
}

/// What the gateway refuses: broken JSON, unknown models and keys, broken framing, bodies too long.
pub(super) async fn refused(world: &World, planter: Planter) {
    let good = planter.chat("fake", false).to_string();
    let cut = &good[..good.len() / 2];
    let unknown = json!({"model": planter.plant("model name"), "messages": []}).to_string();
    for body in [cut, &unknown, &format!("{{\"{}\": }}", planter.plant("broken JSON"))] {
        let mut client = world.client().await;
        let answer = ask(&mut client, &planter.request(&world.key, body)).await;
        assert!((400..500).contains(&answer.status), "{}", answer.text());
    }
    let mut client = world.client().await;
    let wrong_key = planter.plant("unknown key");
    let _cut = client.send(&planter.request(&wrong_key, &good)).await;
    assert_eq!(client.answer().await.unwrap().status, 401);
    let mut client = world.client().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        world.key
    );
    let chunk = format!("28\r\n{{\"{}\":\"          \r\nno", planter.plant("broken chunk"));
    let _cut = client.send(format!("{head}{chunk}").as_bytes()).await;
    let _answer = tokio::time::timeout(Duration::from_secs(3), client.answer()).await;
    let mut client = world.client().await;
    let long = format!("{{\"{}\":\"{}\"}}", planter.plant("too long"), "x".repeat(3 << 20));
    let _cut = client.send(&planter.request(&world.key, &long)).await;
    assert_eq!(client.answer().await.unwrap().status, 413);
}

/// Upstreams that refuse, fail, or speak nonsense, quoting what they like.
pub(super) async fn upstream_errors(world: &World, planter: Planter) {
    for status in [400, 401, 429, 500, 503] {
        let body = json!({"error": {"message": planter.plant("upstream's error"), "type": planter.plant("upstream's error type")}});
        world.enclave.upstream.plan(move |_| vec![Step::Send(upstream::whole(status, &body))]);
        asked(world, &planter, "fake", false).await;
    }
    let nonsense = format!("{{\"{}\": ", planter.plant("upstream's broken JSON"));
    world.enclave.upstream.plan(move |_| vec![Step::Send(upstream::whole_bytes(200, nonsense.as_bytes()))]);
    assert_eq!(asked(world, &planter, "fake", false).await.status, 502);
    let events = planter.events(3);
    let nonsense = format!("data: {{\"{}\n\n", planter.plant("upstream's broken event"));
    world.enclave.upstream.plan(move |_| {
        [events.clone(), vec![Step::Send(upstream::chunk(nonsense.as_bytes())), Step::Close]].concat()
    });
    assert!(!asked(world, &planter, "fake", true).await.complete);
    let late =
        format!("HTTP/1.1 200 OK\r\nx-note: {}\r\nbroken\r\n\r\n", planter.plant("upstream's broken head"));
    world.enclave.upstream.plan(move |_| vec![Step::Send(late.clone().into_bytes()), Step::Close]);
    asked(world, &planter, "fake", false).await;
}

/// Upstreams that take too long, before an answer and in the middle of one.
pub(super) async fn timeout(world: &World, planter: Planter) {
    let events = planter.events(2);
    world.enclave.upstream.plan(move |request| {
        let head = if request.json()["stream"] == true { events.clone() } else { Vec::new() };
        [head, vec![Step::Wait(Duration::from_secs(2)), Step::Close]].concat()
    });
    assert_eq!(asked(world, &planter, "hasty", false).await.status, 504);
    assert!(!asked(world, &planter, "hasty", true).await.complete);
}

/// Clients that leave: in the middle of a body, of a stream, and of a wait.
pub(super) async fn client_aborts(world: &World, planter: Planter) {
    let events = planter.events(5);
    world.enclave.upstream.plan(move |_| [events.clone(), vec![Step::Wait(Duration::from_secs(5))]].concat());
    let body = planter.chat("fake", true).to_string();
    let request = planter.request(&world.key, &body);
    for (sent, reads) in [(request.len() / 2, false), (request.len() - 1, false), (request.len(), true)] {
        let mut client = world.client().await;
        client.send(&request[..sent]).await.unwrap();
        if reads {
            client.answer_begins().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let socket = client.stream().get_ref().0;
        socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Upstreams that leave in the middle of a stream.
pub(super) async fn upstream_aborts(world: &World, planter: Planter) {
    for end in [Step::Close, Step::Reset] {
        let events = planter.events(4);
        let plan = [events, vec![Step::Wait(Duration::from_millis(50)), end]].concat();
        world.enclave.upstream.plan(move |_| plan.clone());
        let answer = asked(world, &planter, "fake", true).await;
        assert!(!answer.complete, "{}", answer.text());
    }
}

/// More connections than there is room for, all with something to say.
pub(super) async fn overload(world: &World, planter: Planter) {
    world.enclave.upstream.plan(upstream::well);
    let mut clients = Vec::new();
    for _ in 0..60 {
        if let Ok(stream) = tls::connect(world.host, Offer::http1().config()).await {
            clients.push(Http1::new(stream));
        }
    }
    assert!(clients.len() < 60, "there was room for all");
    for client in &mut clients {
        let request = planter.request(&world.key, &planter.chat("fake", false).to_string());
        let _cut = client.send(&request).await;
    }
    for client in &mut clients {
        let _answer = client.answer().await;
    }
}

/// The process ends with a stream under way.
pub(super) async fn shutdown(world: &mut World, planter: Planter) {
    let events = planter.events(3);
    world.enclave.upstream.plan(move |_| [events.clone(), vec![Step::Hold]].concat());
    let mut client = world.client().await;
    client.send(&planter.request(&world.key, &planter.chat("fake", true).to_string())).await.unwrap();
    client.answer_begins().await;
    world.enclave.process.terminate();
    assert!(!client.answer().await.unwrap().complete);
    world.enclave.process.wait(Duration::from_secs(10)).expect("it ends");
}
