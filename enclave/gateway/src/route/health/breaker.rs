//! The circuit breaker of one deployment: closed, open, half open. A pure state machine; [`super::Health`] shares it.

use std::time::Duration;

/// When a deployment is taken out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row open it.
    pub consecutive_failures: u32,
    /// The ratio counts only with at least so many calls within [`WINDOW`].
    pub minimum_calls: u32,
    /// Percentage of failures within [`WINDOW`] that opens it.
    pub failure_percent: u32,
    /// How long the first trip keeps it open; each further one doubles it.
    pub open: Duration,
    /// The longest it stays open.
    pub longest_open: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            minimum_calls: 20,
            failure_percent: 50,
            open: Duration::from_secs(5),
            longest_open: Duration::from_mins(5),
        }
    }
}

/// How far back failures count.
pub const WINDOW: Duration = Duration::from_secs(30);
/// Calls let through at the same time in each stage of a half-open breaker; all must succeed to pass it.
const STAGES: [u32; 2] = [1, 3];
/// The window's parts.
const SLOTS: u64 = 6;
/// Length of each.
const SLOT_SECONDS: u64 = WINDOW.as_secs() / SLOTS;

/// What a breaker does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything passes.
    Closed,
    /// Nothing passes before this time.
    Open {
        /// When the first probe may go.
        until: Duration,
    },
    /// A few probes decide.
    HalfOpen {
        /// Which of the stages.
        stage: usize,
        /// Probes under way.
        under_way: u32,
        /// Probes of this stage that succeeded.
        succeeded: u32,
    },
}

/// Leave for one call. Its outcome counts only while the breaker is still in the state that gave it.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
}

/// The state machine.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    phase: Phase,
    /// Changes with every change of phase or stage.
    epoch: u64,
    consecutive: u32,
    slots: [Slot; 6],
    trips: u32,
    closed_since: Duration,
}

/// Calls of one part of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    number: u64,
    calls: u32,
    failures: u32,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            phase: Phase::Closed,
            epoch: 0,
            consecutive: 0,
            slots: [Slot::default(); 6],
            trips: 0,
            closed_since: Duration::ZERO,
        }
    }

    /// What it does now.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// How often it has opened since it was last well for [`BreakerSettings::longest_open`].
    pub const fn trips(&self) -> u32 {
        self.trips
    }

    /// Leave for one call now, if it gives any.
    pub fn admit(&mut self, now: Duration) -> Option<Ticket> {
        if matches!(self.phase, Phase::Open { until } if now >= until) {
            self.enter(Phase::HalfOpen { stage: 0, under_way: 0, succeeded: 0 });
        }
        match &mut self.phase {
            Phase::Closed => {}
            Phase::Open { .. } => return None,
            Phase::HalfOpen { stage, under_way, succeeded } => {
                let most = STAGES.get(*stage).copied().unwrap_or(1);
                if under_way.saturating_add(*succeeded) >= most {
                    return None;
                }
                *under_way = under_way.saturating_add(1);
            }
        }
        Some(Ticket { epoch: self.epoch })
    }

    /// A call went well.
    pub fn succeeded(&mut self, ticket: &Ticket, now: Duration) {
        if ticket.epoch != self.epoch {
            return;
        }
        let (stage, done) = match &mut self.phase {
            Phase::Open { .. } => return,
            Phase::Closed => {
                self.consecutive = 0;
                self.slot(now).calls = self.slot(now).calls.saturating_add(1);
                return;
            }
            Phase::HalfOpen { stage, under_way, succeeded } => {
                *under_way = under_way.saturating_sub(1);
                *succeeded = succeeded.saturating_add(1);
                (*stage, *succeeded)
            }
        };
        if done < STAGES.get(stage).copied().unwrap_or(1) {
            return;
        }
        let next = stage.saturating_add(1);
        if next < STAGES.len() {
            self.enter(Phase::HalfOpen { stage: next, under_way: 0, succeeded: 0 });
        } else {
            self.close(now);
        }
    }

    /// A call failed in a way that speaks against the deployment.
    pub fn failed(&mut self, ticket: &Ticket, now: Duration) {
        if ticket.epoch == self.epoch {
            self.count_failure(now);
        }
    }

    /// A call that had begun well broke off.
    pub fn broke(&mut self, now: Duration) {
        self.count_failure(now);
    }

    /// A call ended without saying anything about the deployment.
    pub fn abandoned(&mut self, ticket: &Ticket) {
        if let (true, Phase::HalfOpen { under_way, .. }) = (ticket.epoch == self.epoch, &mut self.phase) {
            *under_way = under_way.saturating_sub(1);
        }
    }

    /// Calls and failures within [`WINDOW`].
    pub fn recent(&self, now: Duration) -> (u32, u32) {
        let oldest = number(now).saturating_sub(SLOTS.saturating_sub(1));
        let within = self.slots.iter().filter(|slot| slot.number >= oldest);
        within.fold((0, 0), |(calls, failures): (u32, u32), slot| {
            (calls.saturating_add(slot.calls), failures.saturating_add(slot.failures))
        })
    }

    fn count_failure(&mut self, now: Duration) {
        match self.phase {
            Phase::Open { .. } => return,
            Phase::HalfOpen { .. } => return self.open(now),
            Phase::Closed => {}
        }
        self.consecutive = self.consecutive.saturating_add(1);
        let slot = self.slot(now);
        slot.calls = slot.calls.saturating_add(1);
        slot.failures = slot.failures.saturating_add(1);
        let (calls, failures) = self.recent(now);
        let many = u64::from(failures).saturating_mul(100)
            >= u64::from(calls).saturating_mul(u64::from(self.settings.failure_percent));
        if self.consecutive >= self.settings.consecutive_failures
            || (calls >= self.settings.minimum_calls && many)
        {
            self.open(now);
        }
    }

    fn open(&mut self, now: Duration) {
        let well = now.saturating_sub(self.closed_since) >= self.settings.longest_open;
        if self.phase == Phase::Closed && well {
            self.trips = 0;
        }
        let factor = 1_u32.checked_shl(self.trips.min(16)).unwrap_or(u32::MAX);
        self.trips = self.trips.saturating_add(1);
        let time = self.settings.open.saturating_mul(factor).min(self.settings.longest_open);
        self.enter(Phase::Open { until: now.saturating_add(time) });
    }

    fn close(&mut self, now: Duration) {
        self.consecutive = 0;
        self.slots = [Slot::default(); 6];
        self.closed_since = now;
        self.enter(Phase::Closed);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// The part of the window that is now, emptied if it was an older one's.
    fn slot(&mut self, now: Duration) -> &mut Slot {
        let number = number(now);
        let place = usize::try_from(number.wrapping_rem(SLOTS)).unwrap_or(0);
        let [first, rest @ ..] = &mut self.slots;
        let slot = place.checked_sub(1).and_then(|place| rest.get_mut(place)).unwrap_or(first);
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot
    }
}

/// Which part of time it is, counted from one so that an unused slot is never now.
fn number(now: Duration) -> u64 {
    now.as_secs().wrapping_div(SLOT_SECONDS).saturating_add(1)
}

#[cfg(test)]
mod tests;
