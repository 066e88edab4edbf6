//! Notices that wait for one receiver: bounded, tried again ever more seldom, given up after a day's worth of tries.

use std::collections::VecDeque;
use std::time::Duration;

use gateway::Now;

/// Most notices that wait for a receiver.
const MOST: usize = 1024;
/// First pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// Tries of a notice; with the pauses above about two hours.
const TRIES: u32 = 20;

/// A notice, ready to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// The same for the same happening, so that a receiver can leave out what it has.
    pub(super) id: String,
    /// The document.
    pub(super) body: Vec<u8>,
}

struct Waiting {
    notice: Notice,
    due: Duration,
    failures: u32,
}

/// See the module documentation.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    lost: u64,
}

impl Outbox {
    /// Adds a notice; if nobody takes the earlier ones, the oldest is given up.
    pub(super) fn push(&mut self, notice: Notice, now: Now) {
        if self.waiting.iter().any(|own| own.notice.id == notice.id) {
            return;
        }
        if self.waiting.len() >= MOST {
            self.waiting.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        self.waiting.push_back(Waiting { notice, due: now.monotonic, failures: 0 });
    }

    /// The one that is to be sent now.
    pub(super) fn due(&self, now: Now) -> Option<Notice> {
        let next = self.waiting.iter().min_by_key(|own| own.due)?;
        (next.due <= now.monotonic).then(|| next.notice.clone())
    }

    /// The receiver has it.
    pub(super) fn delivered(&mut self, id: &str) {
        self.waiting.retain(|own| own.notice.id != id);
    }

    /// The receiver does not have it. It is tried again later, or given up.
    pub(super) fn failed(&mut self, id: &str, now: Now) {
        let Some(place) = self.waiting.iter().position(|own| own.notice.id == id) else { return };
        let Some(own) = self.waiting.get_mut(place) else { return };
        own.failures = own.failures.saturating_add(1);
        if own.failures >= TRIES {
            self.waiting.remove(place);
            self.lost = self.lost.saturating_add(1);
            return;
        }
        let doubled = 1_u32.checked_shl(own.failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
        own.due = now.monotonic.saturating_add(pause);
    }

    /// How many were given up since the last time this was asked.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { unix_ms: seconds * 1000, monotonic: Duration::from_secs(seconds) }
    }

    fn notice(id: &str) -> Notice {
        Notice { id: id.to_owned(), body: b"{}".to_vec() }
    }

    #[test]
    fn what_fails_is_tried_again_later_and_in_the_end_given_up() {
        let mut outbox = Outbox::default();
        outbox.push(notice("a"), at(0));
        outbox.push(notice("a"), at(0));
        let (mut now, mut tries, mut pauses) = (0, 0, Vec::new());
        while now < 100_000 {
            if outbox.due(at(now)).is_some() {
                tries += 1;
                pauses.push(now);
                outbox.failed("a", at(now));
            }
            now += 1;
        }
        assert_eq!((tries, outbox.take_lost(), outbox.take_lost()), (TRIES, 1, 0));
        assert_eq!(&pauses[..5], [0, 1, 3, 7, 15]);
        assert_eq!(pauses[19] - pauses[18], LONGEST_PAUSE.as_secs());
        assert!(outbox.waiting.is_empty());
    }

    #[test]
    fn one_that_fails_does_not_hold_back_the_others_and_the_queue_is_bounded() {
        let mut outbox = Outbox::default();
        outbox.push(notice("a"), at(0));
        outbox.failed("a", at(0));
        outbox.push(notice("b"), at(0));
        assert_eq!(outbox.due(at(0)), Some(notice("b")));
        outbox.delivered("b");
        assert_eq!((outbox.due(at(0)), outbox.due(at(1))), (None, Some(notice("a"))));
        for number in 0..2000 {
            outbox.push(notice(&number.to_string()), at(0));
        }
        assert_eq!((outbox.waiting.len(), outbox.take_lost()), (MOST, 2001 - MOST as u64));
    }
}
