//! Two futures, of which the first to end counts. The other is dropped, and with it whatever it was doing.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Which of two ended.
pub(crate) enum Won<A, B> {
    /// The first.
    First(A),
    /// The second.
    Second(B),
}

/// Runs both until one ends. The first is asked first, so the second costs nothing where the first does not wait.
/// Large ones are to be pinned by the caller: what an async function is given takes its room twice.
pub(crate) async fn race<A: Future, B: Future>(first: A, second: B) -> Won<A::Output, B::Output> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| {
        if let Poll::Ready(value) = first.as_mut().poll(context) {
            return Poll::Ready(Won::First(value));
        }
        second.as_mut().poll(context).map(Won::Second)
    })
    .await
}

/// Runs both to their ends, but gives up the first as soon as the second ends without agreeing: then there is no first.
pub(crate) async fn accompanied<A: Future, B, D>(
    first: A,
    second: impl Future<Output = (B, D)>,
    agrees: impl Fn(&(B, D)) -> bool,
) -> (Option<A::Output>, B, D) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut one, mut other) = (None, None);
    poll_fn(|context| {
        if other.is_none()
            && let Poll::Ready(value) = second.as_mut().poll(context)
        {
            other = Some(value);
        }
        let refused = other.as_ref().is_some_and(|own| !agrees(own));
        if !refused
            && one.is_none()
            && let Poll::Ready(value) = first.as_mut().poll(context)
        {
            one = Some(value);
        }
        let ended = refused || one.is_some();
        match if ended { other.take() } else { None } {
            Some((said, verdict)) => Poll::Ready((one.take(), said, verdict)),
            None => Poll::Pending,
        }
    })
    .await
}
