//! A deadline that moves often and passes seldom. Each wait for bytes has one, and a timer that is set and taken back for
//! each costs more than the wait's own work; this one stays where it is, and looks when it goes off whether it was right.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// The time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate;

/// One deadline at a time; see the module documentation.
#[derive(Debug)]
pub struct Alarm {
    timer: Pin<Box<Sleep>>,
}

impl Alarm {
    /// A timer whose first deadline is expected to be `by`.
    pub fn new(by: Instant) -> Self {
        Self { timer: Box::pin(sleep_until(by)) }
    }

    /// Runs a future until it ends or `by` has passed. The future is asked first.
    ///
    /// # Errors
    /// [`TooLate`]; the future is dropped.
    pub async fn before<F: Future>(&mut self, by: Instant, future: F) -> Result<F::Output, TooLate> {
        let mut future = pin!(future);
        if by < self.timer.deadline() {
            self.timer.as_mut().reset(by);
        }
        poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            loop {
                ready!(self.timer.as_mut().poll(context));
                if self.timer.deadline() >= by {
                    return Poll::Ready(Err(TooLate));
                }
                self.timer.as_mut().reset(by);
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    #[test]
    fn ends_at_its_latest_deadline_wherever_the_timer_stood() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let at = |ms| start.checked_add(Duration::from_millis(ms)).unwrap();
            let passed = |ms| start.elapsed() >= Duration::from_millis(ms);
            let mut alarm = Alarm::new(at(5));
            assert_eq!(alarm.before(at(5), async { 7 }).await, Ok(7));
            // Later than the timer, then again, then earlier, then in the past.
            assert_eq!(alarm.before(at(60_000), sleep(Duration::from_millis(8))).await, Ok(()));
            assert_eq!(alarm.before(at(40), pending::<()>()).await, Err(TooLate));
            assert!(passed(40) && !passed(50_000));
            assert_eq!(alarm.before(at(90_000), sleep(Duration::from_millis(1))).await, Ok(()));
            assert_eq!(alarm.before(at(60), pending::<()>()).await, Err(TooLate));
            assert_eq!(alarm.before(at(3), pending::<()>()).await, Err(TooLate));
            assert!(passed(60) && !passed(50_000));
        });
    }
}
