//! Tells those who wait that something they wait for may have happened. Ringing costs two atomic operations while nobody
//! listens, which is nearly always.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Bell {
    rung: AtomicU64,
    listening: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

impl Bell {
    /// Wakes all who listen.
    pub fn ring(&self) {
        // Ringing and listening each write first and read then, so that one of them sees the other.
        self.rung.fetch_add(1, Ordering::SeqCst);
        if self.listening.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut wakers = self.lock();
            self.listening.store(0, Ordering::SeqCst);
            std::mem::take(&mut *wakers)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// How often it has rung.
    pub fn rung(&self) -> u64 {
        self.rung.load(Ordering::SeqCst)
    }

    /// Listens from now on; true if it has rung since it had rung `since` times.
    fn heard(&self, since: u64, context: &Context<'_>) -> bool {
        {
            let mut wakers = self.lock();
            if !wakers.iter().any(|own| own.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            self.listening.store(wakers.len(), Ordering::SeqCst);
        }
        self.rung() != since
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when one of these bells has rung more often than noted.
pub async fn any_rings<'b>(bells: impl Iterator<Item = (&'b Bell, u64)> + Clone) {
    poll_fn(|context| {
        // Every one is listened to, so none is left out when the first has rung.
        let rung = bells.clone().filter(|(bell, since)| bell.heard(*since, context)).count();
        if rung > 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_listens_is_woken_and_nothing_is_missed() {
        let bells = [Bell::default(), Bell::default()];
        let noted: Vec<(&Bell, u64)> = bells.iter().map(|bell| (bell, bell.rung())).collect();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut waiting = pin!(any_rings(noted.iter().copied()));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!(bells[1].lock().len(), 1, "one task listens once");
        bells[1].ring();
        assert!(woken.0.load(Ordering::SeqCst));
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        // Rung between the note and the first look.
        let late = [(&bells[0], bells[0].rung())];
        bells[0].ring();
        assert!(pin!(any_rings(late.into_iter())).poll(&mut context).is_ready());
    }
}
