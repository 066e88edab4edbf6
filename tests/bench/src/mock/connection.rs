//! One client of the mock: greeting, request, answer or stream, next request.

use std::net::TcpStream;
use std::sync::Arc;
use std::{io, mem};

use memchr::memmem;
use rustls::{Connection as TlsConnection, ServerConfig, ServerConnection};

use super::{Stats, answer};
use crate::clock;
use crate::http1::{MessageReader, Side, Step};
use crate::poller::Ready;
use crate::transport::{Filled, Transport};

/// What comes before HTTP on a listener.
#[derive(Debug, Clone)]
pub(super) enum Greeting {
    Egress,
    None,
    Tls(Arc<ServerConfig>),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) serial: u64,
    transport: Transport,
    reader: MessageReader,
    input: Vec<u8>,
    prefix: Vec<u8>,
    out: Vec<u8>,
    whole: Arc<[u8]>,
    awaits_frame: bool,
    stream: Option<Stream>,
    new_due: Option<u64>,
    /// The client asked for the connection to end with its answer.
    closes: bool,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    sent: u32,
    chunks: u32,
    start_ns: u64,
    pace_ns: u64,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, greeting: &Greeting, serial: u64) -> io::Result<Self> {
        let tls = match greeting {
            Greeting::Egress | Greeting::None => None,
            Greeting::Tls(config) => {
                let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Some(TlsConnection::Server(tls))
            }
        };
        Ok(Self {
            serial,
            transport: Transport::new(socket, tls)?,
            reader: MessageReader::new(Side::Request),
            input: Vec::new(),
            prefix: Vec::with_capacity(PREFIX),
            out: Vec::with_capacity(1024),
            whole: answer::whole().into(),
            awaits_frame: matches!(greeting, Greeting::Egress),
            stream: None,
            new_due: None,
            closes: false,
        })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        self.transport.socket()
    }

    pub(super) fn take_new_due(&mut self) -> Option<u64> {
        self.new_due.take()
    }

    /// Reads what is there and answers whole requests; false when the connection is over.
    pub(super) fn drive(&mut self, event: Ready, scratch: &mut [u8], stats: &mut Stats) -> bool {
        self.take(event, scratch, stats) && !self.is_over()
    }

    /// True once the last answer of a connection that closes is sent. The end that closes first keeps the port pair
    /// for a minute, so the mock does it rather than the measured gateway.
    pub(super) fn is_over(&mut self) -> bool {
        let over = self.closes && self.stream.is_none() && !self.transport.is_blocked();
        if over {
            self.transport.finish();
        }
        over
    }

    fn take(&mut self, event: Ready, scratch: &mut [u8], stats: &mut Stats) -> bool {
        if event.writable && self.transport.is_blocked() && self.transport.flush().is_err() {
            return false;
        }
        if !event.readable {
            return true;
        }
        loop {
            let mut input = mem::take(&mut self.input);
            let filled = self.transport.read(scratch, &mut input);
            let used = self.consume(&input, stats);
            self.input = input;
            match (filled, used) {
                (Ok(Filled::Drained), Ok(used)) if !event.ended => {
                    self.input.drain(..used);
                    return true;
                }
                (Ok(Filled::Drained | Filled::More), Ok(used)) => drop(self.input.drain(..used)),
                (Ok(Filled::End) | Err(_), _) | (_, Err(_)) => return false,
            }
        }
    }

    fn consume(&mut self, input: &[u8], stats: &mut Stats) -> anyhow::Result<usize> {
        let mut at = 0;
        if self.awaits_frame {
            at = self.greet(input)?;
        }
        while at < input.len() && !self.awaits_frame {
            let prefix = &mut self.prefix;
            let mut bytes = 0;
            let step = self.reader.feed(&input[at..], &mut |piece: &[u8]| {
                let room = PREFIX - prefix.len();
                prefix.extend_from_slice(&piece[..piece.len().min(room)]);
                bytes += piece.len() as u64;
            })?;
            stats.body_bytes += bytes;
            match step {
                Step::Complete(used) => at += used,
                Step::NeedMore => return Ok(input.len()),
            }
            self.answer(stats)?;
            self.prefix.clear();
            self.closes |= self.reader.close;
        }
        Ok(at)
    }

    fn greet(&mut self, input: &[u8]) -> anyhow::Result<usize> {
        let Some((frame, used)) = crate::egress::connect_reply(input)? else { return Ok(0) };
        self.transport.send(&frame)?;
        self.awaits_frame = false;
        Ok(used)
    }

    fn answer(&mut self, stats: &mut Stats) -> anyhow::Result<()> {
        if self.reader.is_get {
            let body = serde_json::to_string(stats)?;
            self.transport.send(&answer::with_length("application/json", &body))?;
            return Ok(());
        }
        anyhow::ensure!(self.stream.is_none(), "a request came while its stream was being sent");
        stats.requests += 1;
        if memmem::find(&self.prefix, br#""stream":true"#).is_none() {
            self.transport.send(&self.whole)?;
            return Ok(());
        }
        let chunks = number(&self.prefix, br#""max_tokens":"#).unwrap_or(1).max(1);
        let pace_us = number(&self.prefix, br#""seed":"#).unwrap_or(0);
        let start_ns = clock::now_ns();
        self.stream = Some(Stream { sent: 0, chunks: chunks as u32, start_ns, pace_ns: pace_us * 1000 });
        stats.streams += 1;
        self.out.extend_from_slice(answer::STREAM_HEAD);
        self.new_due = self.send_chunk(stats)?;
        Ok(())
    }

    /// Sends the events that are due; the time of the next one, or nothing when the stream is whole.
    pub(super) fn send_chunk(&mut self, stats: &mut Stats) -> io::Result<Option<u64>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        loop {
            let now = clock::now_ns();
            answer::push_event(&mut self.out, stream.sent == 0, now);
            stream.sent += 1;
            stats.chunks += 1;
            self.transport.send(&self.out)?;
            self.out.clear();
            if stream.sent == stream.chunks {
                answer::push_end(&mut self.out);
                self.transport.send(&self.out)?;
                self.out.clear();
                self.stream = None;
                return Ok(None);
            }
            let due = stream.start_ns + u64::from(stream.sent) * stream.pace_ns;
            if stream.pace_ns > 0 {
                return Ok(Some(due));
            }
        }
    }
}

fn number(text: &[u8], field: &[u8]) -> Option<u64> {
    let at = memmem::find(text, field)? + field.len();
    let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |value: Option<u64>, digit| Some(value.unwrap_or(0) * 10 + u64::from(digit - b'0')))
}

/// Directives stand at the start of the body.
const PREFIX: usize = 1024;
