//! A client of the gateway: from the head of its request to the last byte of the answer.

use bytes::Bytes;
use gateway::{AnswerBody, AnswerStream, Clock, Gateway, Plaintext, Step};

use crate::fake::{CHAT, TestClock, head, run};
use crate::instant::{Instant, Pieces};

/// Asks for a chat completion.
pub fn ask(
    gateway: &Gateway,
    upstream: &Instant,
    headers: &[(&str, &[u8])],
    body: &Bytes,
    clock: &TestClock,
) -> AnswerBody<Pieces> {
    let opened = gateway::open(&head("POST", CHAT, headers), gateway, clock.now()).expect("opens");
    let handled = gateway::handle(opened, Plaintext::new(body.clone()), gateway, upstream, clock);
    run(handled).expect("answers").body
}

/// How long a whole answer is.
pub fn whole(answer: &AnswerBody<Pieces>) -> usize {
    let AnswerBody::Whole(body) = answer else { panic!("buffered") };
    body.expose().len()
}

/// A streamed answer, before its first byte.
pub fn streamed(answer: AnswerBody<Pieces>) -> Box<AnswerStream<Pieces>> {
    let AnswerBody::Stream(stream) = answer else { panic!("streamed") };
    stream
}

/// Reads a stream to its end.
pub fn drain(mut stream: Box<AnswerStream<Pieces>>, clock: &TestClock) {
    let mut out = Plaintext::new(Vec::with_capacity(4096));
    while run(stream.next(&mut out, clock)) == Step::More {
        out.expose_mut().clear();
    }
}
