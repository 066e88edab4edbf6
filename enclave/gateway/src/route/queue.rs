//! Waiting for room, where everything that may serve a request is busy: bounded in length and time, by priority, and
//! fair between keys.
//!
//! Within a priority the key that has been given fewest tokens goes first (start-time fair queueing: Goyal, Vin and
//! Cheng, 1996), and a key's own requests keep their order. Whoever leaves the queue wakes the one that is first then;
//! only the first looks for room, when a deployment's bell says that there may be some. Nobody polls.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How requests of a model wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Most that wait at the same time; none waits at zero.
    pub length: usize,
    /// Longest wait.
    pub wait: Duration,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { length: 0, wait: Duration::from_secs(10) }
    }
}

/// The longest queue that can be configured.
pub const MAX_WAITING: usize = 1000;

/// The requests that wait for one model.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    places: Vec<Entry>,
    /// Tokens given to each key since the queue was last empty; a key that joins starts at the least of those waiting.
    given: BTreeMap<Arc<str>, u64>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    priority: u8,
    key: Arc<str>,
    tokens: u64,
    /// Whom to wake when it is first.
    waker: Option<Waker>,
}

/// A place in the queue, given up when dropped.
#[derive(Debug)]
pub struct Place<'q> {
    queue: &'q Queue,
    number: u64,
}

impl Queue {
    /// Takes a place; nothing if there is none left.
    pub fn join(
        &self,
        key: &Arc<str>,
        priority: u8,
        tokens: u64,
        settings: QueueSettings,
    ) -> Option<Place<'_>> {
        let mut waiting = self.lock();
        if waiting.places.len() >= settings.length.min(MAX_WAITING) {
            return None;
        }
        if waiting.places.is_empty() {
            waiting.given.clear();
        }
        let number = waiting.next;
        waiting.next = number.saturating_add(1);
        let least = waiting.places.iter().filter_map(|own| waiting.given.get(&own.key)).min().copied();
        let given = waiting.given.entry(Arc::clone(key)).or_default();
        *given = (*given).max(least.unwrap_or(0));
        waiting.places.push(Entry { number, priority, key: Arc::clone(key), tokens, waker: None });
        Some(Place { queue: self, number })
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().places.len()
    }

    /// How many wait that a newcomer of this priority lets go first.
    pub fn ahead(&self, priority: u8) -> usize {
        self.lock().places.iter().filter(|own| own.priority <= priority).count()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn first(&self) -> Option<&Entry> {
        let given = |entry: &Entry| self.given.get(&entry.key).copied().unwrap_or(0);
        self.places.iter().min_by_key(|entry| (entry.priority, given(entry), entry.number))
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        self.places.iter_mut().find(|entry| entry.number == number)
    }

    /// Takes out whoever wants to know that it is first now.
    fn next_waker(&mut self) -> Option<Waker> {
        let number = self.first()?.number;
        self.entry(number)?.waker.take()
    }
}

impl Place<'_> {
    /// Whether it is this one's turn.
    pub fn is_first(&self) -> bool {
        self.queue.lock().first().is_some_and(|first| first.number == self.number)
    }

    /// Ends when it is this one's turn.
    pub async fn turn(&self) {
        poll_fn(|context| {
            let mut waiting = self.queue.lock();
            if waiting.first().is_none_or(|first| first.number == self.number) {
                return Poll::Ready(());
            }
            if let Some(own) = waiting.entry(self.number) {
                own.waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Leaves the queue to be served: its tokens count as given to its key.
    pub fn served(self) {
        let mut waiting = self.queue.lock();
        let own = waiting.places.iter().find(|entry| entry.number == self.number);
        if let Some((key, tokens)) = own.map(|entry| (Arc::clone(&entry.key), entry.tokens)) {
            let given = waiting.given.entry(key).or_default();
            *given = given.saturating_add(tokens.max(1));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let next = {
            let mut waiting = self.queue.lock();
            waiting.places.retain(|entry| entry.number != self.number);
            waiting.next_waker()
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: QueueSettings = QueueSettings { length: 100, wait: Duration::from_secs(1) };

    /// Serves everybody; who came in which order.
    fn serve_all(queue: &Queue, mut places: Vec<(&'static str, Place<'_>)>) -> String {
        let mut order = String::new();
        while !places.is_empty() {
            let turn = places.iter().position(|(_, place)| place.is_first()).expect("somebody is first");
            let (name, place) = places.remove(turn);
            place.served();
            order.push_str(name);
        }
        assert!(queue.is_empty());
        order
    }

    #[test]
    fn a_key_that_asks_much_does_not_starve_others() {
        let queue = Queue::default();
        let join = |key: &'static str, priority, tokens| {
            (key, queue.join(&key.into(), priority, tokens, SETTINGS).expect("a place"))
        };
        let mut places: Vec<_> = (0..6).map(|_| join("a", 5, 100)).collect();
        places.extend((0..3).map(|_| join("b", 5, 100)));
        assert_eq!(serve_all(&queue, places), "ababab".to_owned() + "aaa");
        let mut places: Vec<_> = (0..2).map(|_| join("a", 5, 1000)).collect();
        places.extend((0..6).map(|_| join("b", 5, 250)));
        assert_eq!(serve_all(&queue, places), "abbbbabb", "fair in tokens, not in requests");
    }

    #[test]
    fn priority_comes_first_and_the_queue_is_bounded() {
        let queue = Queue::default();
        let join = |key: &'static str, priority| (key, queue.join(&key.into(), priority, 1, SETTINGS));
        let places: Vec<_> = [("a", 5), ("b", 0), ("c", 9)].map(|(key, priority)| join(key, priority)).into();
        let places = places.into_iter().map(|(key, place)| (key, place.expect("a place"))).collect();
        assert_eq!(serve_all(&queue, places), "bac");
        let short = QueueSettings { length: 1, ..SETTINGS };
        let only = queue.join(&"a".into(), 5, 1, short).expect("a place");
        assert!(queue.join(&"b".into(), 0, 1, short).is_none());
        drop(only);
        assert!(queue.is_empty(), "whoever gives up leaves its place");
    }

    #[test]
    fn whoever_becomes_first_is_woken() {
        use std::future::Future;
        use std::pin::pin;
        use std::sync::atomic::{AtomicU32, Ordering};
        use std::task::{Context, Wake};

        #[derive(Default)]
        struct Woken(AtomicU32);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        let queue = Queue::default();
        let join = |key: &str| queue.join(&key.into(), 5, 1, SETTINGS).expect("a place");
        let (first, second, third) = (join("a"), join("b"), join("c"));
        let woken = [(); 2].map(|()| Arc::new(Woken::default()));
        let (mut of_second, mut of_third) = (Box::pin(second.turn()), Box::pin(third.turn()));
        let contexts = woken.each_ref().map(|own| Waker::from(Arc::clone(own)));
        assert!(of_second.as_mut().poll(&mut Context::from_waker(&contexts[0])).is_pending());
        assert!(of_third.as_mut().poll(&mut Context::from_waker(&contexts[1])).is_pending());
        first.served();
        assert_eq!(woken.each_ref().map(|own| own.0.load(Ordering::Relaxed)), [1, 0]);
        assert!(of_second.as_mut().poll(&mut Context::from_waker(&contexts[0])).is_ready());
        drop(of_second);
        drop(second);
        assert_eq!(woken.each_ref().map(|own| own.0.load(Ordering::Relaxed)), [1, 1]);
        assert!(pin!(third.turn()).poll(&mut Context::from_waker(&contexts[1])).is_ready());
    }
}
