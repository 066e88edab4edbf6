//! HTTP/1.1 by hand, so that a test can send what no library would, and see exactly how an answer ends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::enclave::KEY;
use crate::tls::{self, Offer};

/// A connection that one request after another is written to.
#[derive(Debug)]
pub struct Http1<S> {
    stream: S,
    received: Vec<u8>,
}

/// An answer, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Head fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Whether the body ended as its framing promised.
    pub complete: bool,
}

impl Answer {
    /// The value of a head field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} {:?}", self.status, self.text()))
    }

    /// `error.code` of the body.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Http1<TlsStream<TcpStream>> {
    /// A connection to an enclave that nothing was verified about.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = tls::connect(address, Offer::http1().config()).await.expect("the enclave shakes hands");
        Self::new(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    /// Speaks over `stream`.
    pub const fn new(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// The stream itself.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Whatever the stream says.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Posts JSON with the good key, and reads the answer.
    pub async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send(&post(path, &body.to_string())).await.expect("the request can be sent");
        self.answer().await.expect("an answer comes")
    }

    /// Posts JSON with that key, and reads the answer.
    pub async fn post_as(&mut self, key: &str, path: &str, body: &Value) -> Answer {
        let fields = format!("authorization: Bearer {key}\r\n");
        self.send(&post_with(path, &fields, &body.to_string())).await.expect("the request can be sent");
        self.answer().await.expect("an answer comes")
    }

    /// Asks with the good key, and reads the answer.
    pub async fn get(&mut self, path: &str) -> Answer {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n\r\n");
        self.send(request.as_bytes()).await.expect("the request can be sent");
        self.answer().await.expect("an answer comes")
    }

    /// Reads one answer. `None`: the connection ended before its head.
    pub async fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.received.drain(..end + 4).collect()).expect("heads are text");
        let mut lines = head.trim_end().split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let answer = Answer { status, headers, body: Vec::new(), complete: false };
        if status == 100 {
            return Some(Answer { complete: true, ..answer });
        }
        let length = answer.header("content-length").map(|length| length.parse().expect("a number"));
        Some(match length {
            Some(length) => self.body_of(answer, length).await,
            None => self.chunks(answer).await,
        })
    }

    /// Waits until an answer has begun to arrive.
    pub async fn answer_begins(&mut self) {
        assert!(!self.received.is_empty() || self.more().await, "the connection ended without an answer");
    }

    /// Reads whatever comes until the connection ends. False: it was still open after `limit`.
    pub async fn ends_within(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, async { while self.more().await {} }).await.is_ok()
    }

    async fn body_of(&mut self, mut answer: Answer, length: usize) -> Answer {
        while self.received.len() < length {
            if !self.more().await {
                answer.body = std::mem::take(&mut self.received);
                return answer;
            }
        }
        answer.body = self.received.drain(..length).collect();
        answer.complete = true;
        answer
    }

    async fn chunks(&mut self, mut answer: Answer) -> Answer {
        loop {
            let line = loop {
                if let Some(line) = find(&self.received, b"\r\n") {
                    break line;
                }
                if !self.more().await {
                    return answer;
                }
            };
            let size = String::from_utf8(self.received[..line].to_vec()).expect("a chunk size is text");
            let size = usize::from_str_radix(&size, 16).expect("a chunk size is a number");
            while self.received.len() < line + 2 + size + 2 {
                if !self.more().await {
                    answer.body.extend_from_slice(&self.received[(line + 2).min(self.received.len())..]);
                    return answer;
                }
            }
            answer.body.extend_from_slice(&self.received[line + 2..line + 2 + size]);
            self.received.drain(..line + 2 + size + 2);
            if size == 0 {
                answer.complete = true;
                return answer;
            }
        }
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.received).await, Ok(1..))
    }
}

/// The bytes of a POST of JSON with the good key.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    post_with(path, &format!("authorization: Bearer {KEY}\r\n"), body)
}

/// The bytes of a POST of JSON with these head fields.
pub fn post_with(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{fields}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A chat request for a model.
pub fn chat(model: &str, stream: bool) -> Value {
    serde_json::json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Say hello"}]})
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
