//! A model provider that speaks OpenAI's API over HTTP/1.1, plain or in TLS, and misbehaves as told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

pub use line::Identity;
use line::Line;

mod line;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Method and target, such as `POST /v1/chat/completions`.
    pub line: String,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, byte for byte.
    pub body: Vec<u8>,
}

impl Received {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body without the spaces that the gateway adds.
    pub fn without_padding(&self) -> &[u8] {
        self.body.trim_ascii_end()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn asks_for_stream(&self) -> bool {
        serde_json::from_slice::<Value>(&self.body).is_ok_and(|body| body["stream"] == true)
    }
}

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Does nothing for so long.
    Wait(Duration),
    /// Does nothing until [`Upstream::release`].
    Hold,
    /// Ends the connection in an orderly way.
    Close,
    /// Ends the connection with a reset.
    Reset,
}

/// How a request is answered.
pub type Plan = Box<dyn Fn(&Received) -> Vec<Step> + Send + Sync>;

/// A running provider.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    plan: Mutex<Plan>,
    received: Mutex<Vec<Received>>,
    released: Mutex<bool>,
    changed: Condvar,
    /// Connections that the other side ended while an answer was under way.
    cancelled: Mutex<usize>,
}

impl Upstream {
    /// One that answers everything well.
    pub fn start() -> Self {
        Self::with(well)
    }

    /// One that answers as planned.
    pub fn with(plan: impl Fn(&Received) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::serving(plan, None)
    }

    /// One that answers everything well, in TLS.
    pub fn in_tls(identity: Identity) -> Self {
        Self::serving(well, Some(identity))
    }

    fn serving(
        plan: impl Fn(&Received) -> Vec<Step> + Send + Sync + 'static,
        identity: Option<Identity>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            plan: Mutex::new(Box::new(plan)),
            received: Mutex::default(),
            released: Mutex::default(),
            changed: Condvar::new(),
            cancelled: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, identity) = (Arc::clone(&shared), identity.clone());
                std::thread::spawn(move || {
                    let _set = stream.set_nodelay(true);
                    serve(Line::over(stream, identity.as_ref()), &state);
                });
            }
        });
        Self { address, state }
    }

    /// Answers otherwise from now on.
    pub fn plan(&self, plan: impl Fn(&Received) -> Vec<Step> + Send + Sync + 'static) {
        *self.state.plan.lock().unwrap() = Box::new(plan);
    }

    /// Everything that arrived so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// The last request.
    pub fn last(&self) -> Received {
        self.received().pop().expect("a request arrived")
    }

    /// Lets every answer at [`Step::Hold`] go on.
    pub fn release(&self) {
        *self.state.released.lock().unwrap() = true;
        self.state.changed.notify_all();
    }

    /// Waits until the gateway has ended `count` connections in the middle of an answer.
    pub async fn wait_for_cancellations(&self, count: usize, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if *self.state.cancelled.lock().unwrap() >= count {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

/// Answers chat, streams and embeddings as a good provider does.
pub fn well(request: &Received) -> Vec<Step> {
    if request.line.contains("/embeddings") {
        return vec![Step::Send(whole(200, &embeddings(&request.json())))];
    }
    if request.asks_for_stream() {
        stream(&["Hel", "lo", "!"])
    } else {
        vec![Step::Send(whole(200, &completion()))]
    }
}

/// A whole answer.
pub fn whole(status: u16, body: &Value) -> Vec<u8> {
    whole_bytes(status, body.to_string().as_bytes())
}

/// A whole answer with this body.
pub fn whole_bytes(status: u16, body: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body);
    out
}

/// Head of a streamed answer.
pub fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()
}

/// Bytes as one chunk of a streamed answer.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

/// One event with text.
pub fn event(text: &str) -> Vec<u8> {
    let delta = json!({"index": 0, "delta": {"content": text}, "finish_reason": null});
    data(
        &json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "real-model", "choices": [delta]}),
    )
}

/// The event with the reason why the text ends.
pub fn finish_event() -> Vec<u8> {
    let delta = json!({"index": 0, "delta": {}, "finish_reason": "stop"});
    data(
        &json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "real-model", "choices": [delta]}),
    )
}

/// The event with the usage.
pub fn usage_event() -> Vec<u8> {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    data(
        &json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "real-model", "choices": [], "usage": usage}),
    )
}

/// One event with this JSON.
pub fn data(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

/// The terminal event.
pub fn done() -> Vec<u8> {
    b"data: [DONE]\n\n".to_vec()
}

/// A streamed answer with these deltas, usage and a proper end.
pub fn stream(texts: &[&str]) -> Vec<Step> {
    let mut steps = vec![Step::Send(stream_head())];
    steps.extend(texts.iter().map(|text| Step::Send(chunk(&event(text)))));
    for end in [finish_event(), usage_event(), done()] {
        steps.push(Step::Send(chunk(&end)));
    }
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}

/// A buffered chat completion.
pub fn completion() -> Value {
    json!({
        "id": "c-1", "object": "chat.completion", "created": 1, "model": "real-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "x_vendor": {"kept": true},
    })
}

/// The same vector for each text, as numbers or as the base64 of their bytes, as asked.
fn embeddings(request: &Value) -> Value {
    let vector = [0.25_f32, -0.5];
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    let base64 = request["encoding_format"] == "base64";
    let embedding = if base64 { json!(BASE64.encode(bytes)) } else { json!(vector) };
    let count = request["input"].as_array().map_or(1, Vec::len);
    let one = |index| json!({"object": "embedding", "index": index, "embedding": embedding});
    json!({
        "object": "list", "model": "real-model",
        "data": (0..count).map(one).collect::<Vec<_>>(),
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    })
}

fn serve(mut stream: Line, state: &State) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer) {
        let steps = (state.plan.lock().unwrap())(&request);
        state.received.lock().unwrap().push(request);
        for step in steps {
            if !perform(&mut stream, step, state) {
                return;
            }
        }
    }
}

/// Whether the connection is still there.
fn perform(stream: &mut Line, step: Step, state: &State) -> bool {
    let went_on = match step {
        Step::Send(bytes) => !is_gone(stream.socket()) && stream.write_all(&bytes).is_ok(),
        Step::Wait(time) => wait(stream.socket(), || false, time),
        Step::Hold => wait(stream.socket(), || *state.released.lock().unwrap(), Duration::from_mins(1)),
        Step::Close => {
            stream.say_goodbye();
            let _closed = stream.socket().shutdown(Shutdown::Both);
            return false;
        }
        Step::Reset => {
            let _set = socket2::SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO));
            return false;
        }
    };
    if !went_on {
        *state.cancelled.lock().unwrap() += 1;
    }
    went_on
}

/// Waits, watching the other side. False: it is gone.
fn wait(stream: &TcpStream, released: impl Fn() -> bool, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end && !released() {
        if is_gone(stream) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

fn is_gone(stream: &TcpStream) -> bool {
    let _set = stream.set_nonblocking(true);
    let peeked = stream.peek(&mut [0; 1]);
    let _set = stream.set_nonblocking(false);
    match peeked {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

fn read_request(stream: &mut Line, buffer: &mut Vec<u8>) -> Option<Received> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        fill(stream, buffer)?;
    };
    let head = String::from_utf8(buffer[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < end + length {
        fill(stream, buffer)?;
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some(Received { line, headers, body })
}

fn fill(stream: &mut Line, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 16 * 1024];
    match stream.read(&mut piece) {
        Ok(count @ 1..) => {
            buffer.extend_from_slice(&piece[..count]);
            Some(())
        }
        _ => None,
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
