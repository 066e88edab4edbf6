//! One call upstream for many requests of the same: the first flies, the others wait until it has landed, however it does.
//! What is the same has the same fingerprint, and so the same partition: nobody waits for another's call.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::digest::Fingerprint;

/// Most that wait for one; more go their own way at once.
const MOST_WAITING: usize = 1024;

/// Calls under way.
#[derive(Default)]
pub struct Flights {
    flying: Mutex<BTreeMap<Fingerprint, Arc<Flight>>>,
}

/// One call, and who waits for it; nothing once it has landed.
struct Flight(Mutex<Option<Vec<Waker>>>);

/// Whoever makes the call. Lands when dropped.
pub struct Leader {
    flights: Arc<Flights>,
    fingerprint: Fingerprint,
    flight: Arc<Flight>,
}

/// Whoever waits for it.
pub struct Follower(Arc<Flight>);

impl Flights {
    /// Begins a call, or waits for one that is under way.
    pub(super) fn board(self: &Arc<Self>, fingerprint: &Fingerprint) -> Result<Leader, Follower> {
        let mut flying = self.flying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flying.get(fingerprint) {
            return Err(Follower(Arc::clone(flight)));
        }
        let flight = Arc::new(Flight(Mutex::new(Some(Vec::new()))));
        flying.insert(*fingerprint, Arc::clone(&flight));
        Ok(Leader { flights: Arc::clone(self), fingerprint: *fingerprint, flight })
    }
}

impl Follower {
    /// Waits until the call has landed.
    pub async fn wait(self) {
        poll_fn(|context| {
            let mut waiting = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(wakers) = waiting.as_mut() else { return Poll::Ready(()) };
            if !wakers.iter().any(|own| own.will_wake(context.waker())) {
                if wakers.len() >= MOST_WAITING {
                    return Poll::Ready(());
                }
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.flights.flying.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.fingerprint);
        let waiting = self.flight.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn who_waits_is_released_when_the_leader_ends_however_it_ends() {
        let flights = Arc::<Flights>::default();
        let one = Fingerprint([1; 32]);
        let leader = flights.board(&one).ok().expect("the first leads");
        assert!(flights.board(&Fingerprint([2; 32])).is_ok(), "another's call is no reason to wait");
        let mut waiting = pin!(flights.board(&one).err().expect("the second waits").wait());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(leader);
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        assert!(flights.board(&one).is_ok(), "nobody flies any more");
        assert!(flights.flying.lock().expect("free").is_empty());
    }

    #[test]
    fn a_crowd_beyond_the_bound_does_not_wait() {
        let flights = Arc::<Flights>::default();
        let one = Fingerprint([1; 32]);
        let _leader = flights.board(&one).ok().expect("leads");
        let full = flights.flying.lock().expect("free").get(&one).map(Arc::clone).expect("flies");
        let someone = |_| Waker::from(Arc::new(Idle));
        *full.0.lock().expect("free") = Some((0..MOST_WAITING).map(someone).collect());
        let mut late = pin!(flights.board(&one).err().expect("waits").wait());
        assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    struct Idle;

    impl std::task::Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }
}
