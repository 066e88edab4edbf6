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
