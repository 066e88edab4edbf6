//! Requests padded with the spaces that may follow a JSON document (RFC 8259, section 2), so that neither their length
//! nor the pieces in which the application wrote them show in the sizes of TLS records.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::Request;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::wire::ChannelBody;

/// Pads the body of a request if it is JSON that nobody has compressed; any other is left as it is. A request that could
/// not be sent and comes back is not padded again.
pub(super) fn pad(mut request: Request<ChannelBody>) -> Request<ChannelBody> {
    let is_padded = request.extensions().get::<Padded>().is_some();
    if is_padded || !is_plain_json(&request) || request.body().is_end_stream() {
        return request;
    }
    let exact = request.body().size_hint().exact();
    if let Some(length) = exact {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(padded_length(length)));
    }
    request.extensions_mut().insert(Padded);
    request.map(|inner| {
        PaddedBody { inner, held: BytesMut::new(), taken: 0, state: State::Reads }.boxed_unsync()
    })
}

/// The length that stands for `length`: a power of two from 1 to 16 KiB; above, Padmé's (Nikitin and others, 2019), which
/// is at most 12 % more.
pub fn padded_length(length: u64) -> u64 {
    if length <= POWERS_UP_TO {
        return length.next_power_of_two().max(SMALLEST);
    }
    let exponent = length.ilog2();
    let kept = exponent.ilog2() + 1;
    length.checked_next_multiple_of(1 << (exponent - kept)).unwrap_or(length)
}

/// Marks requests whose body is padded.
#[derive(Clone, Copy)]
struct Padded;

fn is_plain_json(request: &Request<ChannelBody>) -> bool {
    let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json") && !request.headers().contains_key(CONTENT_ENCODING)
}

/// Passes a body on in pieces of one size, the last of them longer by the padding.
struct PaddedBody {
    inner: ChannelBody,
    held: BytesMut,
    /// Bytes that came from `inner`.
    taken: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reads,
    Ended,
}

impl PaddedBody {
    /// Everything that is left, with its padding.
    fn last(&mut self) -> Option<Bytes> {
        self.state = State::Ended;
        let missing = padded_length(self.taken) - self.taken;
        let length = self.held.len() + usize::try_from(missing).unwrap_or_default();
        self.held.resize(length, b' ');
        (length > 0).then(|| self.held.split().freeze())
    }
}

impl Body for PaddedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            // One more than a piece is awaited, so that the last piece carries the padding in it.
            if this.held.len() > PIECE {
                return Poll::Ready(Some(Ok(Frame::data(this.held.split_to(PIECE).freeze()))));
            }
            if this.state == State::Ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Trailers do not come from here: the proxy removes them, and nobody else makes any.
                    let data = frame.into_data().unwrap_or_default();
                    this.taken += length_of(&data);
                    this.held.extend_from_slice(&data);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(this.last().map(|bytes| Ok(Frame::data(bytes)))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Ended && self.held.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.state == State::Ended {
            return SizeHint::with_exact(length_of(&self.held));
        }
        match self.inner.size_hint().exact() {
            Some(left) => {
                SizeHint::with_exact(padded_length(self.taken + left) - self.taken + length_of(&self.held))
            }
            None => SizeHint::default(),
        }
    }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Shorter requests all look like this, in bytes.
const SMALLEST: u64 = 1024;
/// Up to here lengths are powers of two, in bytes.
const POWERS_UP_TO: u64 = 16 * 1024;
/// How much leaves at once, in bytes: one TLS record of the largest size.
const PIECE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A body that comes in these pieces, and does not say how long it is.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Box<dyn std::error::Error + Send + Sync>;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn request(media: &'static str, body: ChannelBody) -> Request<ChannelBody> {
        let mut request = Request::new(body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        request
    }

    async fn sizes(request: Request<ChannelBody>) -> (Vec<usize>, Vec<u8>) {
        let (mut body, mut sizes, mut bytes) = (request.into_body(), Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let data = frame.expect("no piece fails").into_data().expect("there are no trailers");
            sizes.push(data.len());
            bytes.extend_from_slice(&data);
        }
        (sizes, bytes)
    }

    #[test]
    fn few_lengths_are_in_use_and_none_is_much_larger() {
        let mut seen = std::collections::BTreeSet::new();
        for length in 0..200_000_u64 {
            let padded = padded_length(length);
            assert!(padded >= length && padded_length(padded) == padded, "{length} became {padded}");
            assert!(length <= POWERS_UP_TO || padded * 100 <= length * 113, "{length} became {padded}");
            seen.insert(padded);
        }
        assert!(seen.len() < 100, "{}", seen.len());
        assert_eq!(padded_length(u64::MAX), u64::MAX);
    }

    #[tokio::test]
    async fn json_ends_in_spaces_and_shows_nothing_of_how_it_was_written() {
        for length in [1, 300, 1023, 1024, 1025, 16_384, 16_385, 70_000] {
            let text = vec![b'x'; length];
            let whole = pad(request("application/json", crate::full_body(text.clone())));
            let announced: usize = whole.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
            assert_eq!(whole.body().size_hint().exact(), Some(announced as u64));
            let (of_whole, bytes) = sizes(whole).await;
            assert_eq!(bytes.len(), announced);
            assert_eq!(bytes.len() as u64, padded_length(length as u64));
            assert!(bytes.starts_with(&text) && bytes[length..].iter().all(|byte| *byte == b' '));
            for piece in [1, 100, 5000, 20_000] {
                let pieces = text.chunks(piece).map(Bytes::copy_from_slice).collect();
                let (sizes, same) =
                    sizes(pad(request("application/json; charset=utf-8", Pieces(pieces).boxed_unsync())))
                        .await;
                assert_eq!((sizes, same), (of_whole.clone(), bytes.clone()), "{length} in pieces of {piece}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_plain_json_is_left_as_it_is() {
        let multipart = pad(request("multipart/form-data; boundary=x", crate::full_body("abc")));
        assert!(!multipart.headers().contains_key(CONTENT_LENGTH));
        assert_eq!(sizes(multipart).await.1, b"abc");
        let mut compressed = request("application/json", crate::full_body("abc"));
        compressed.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(sizes(pad(compressed)).await.1, b"abc");
        assert_eq!(sizes(pad(request("application/json", crate::empty_body()))).await.1, b"");
    }

    #[tokio::test]
    async fn a_request_that_comes_back_is_padded_once() {
        let again = pad(pad(request("application/json", crate::full_body("{}"))));
        assert_eq!(sizes(again).await.1.len(), 1024);
    }
}
