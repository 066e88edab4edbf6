//! What a key or a group has spent, has reserved, and may still lease. Counters in memory; the sealed store hears of
//! them in the background.
//!
//! A budget that several replicas share is leased to them in slices: [`Meter::grant`] is what this replica may still
//! spend of it. A request takes from the slice alone, so replicas cannot overspend together, whatever the host does to
//! the store or to the connection to it.

use std::sync::Arc;

use super::budget::{Action, Budget, OnStoreFailure, Unit};
use super::policy::Policy;
use super::rate::{Bucket, RateLimit, RateUnit, Standing};
use crate::clock::Now;

/// How much a request takes, or took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Money; zero if the price is not known.
    pub nano_usd: u64,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

impl Amounts {
    fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::NanoUsd => self.nano_usd,
            Unit::Requests => 1,
            Unit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
        }
    }

    fn rate(&self, unit: RateUnit) -> u64 {
        match unit {
            RateUnit::InputTokens => self.input_tokens,
            RateUnit::OutputTokens => self.output_tokens,
            RateUnit::Requests => 1,
            RateUnit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
        }
    }
}

/// How much of a budget this replica holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A leased slice: so much of it is left, reservations included.
    Slice(u64),
    /// All of it: there is no store to share it through.
    Whole,
}

/// One budget at work.
#[derive(Debug)]
pub struct Meter {
    /// The rule.
    pub budget: Arc<Budget>,
    /// Tells it from others, also from one of the same name before.
    pub serial: u64,
    /// The window that the numbers belong to.
    pub window: i64,
    /// When it ends, in seconds since 1970; nothing if never.
    ends: Option<i64>,
    /// Spent in the window as far as the store knows, by all replicas.
    pub known: u64,
    /// Spent here since the store was told.
    pub untold: u64,
    /// Held by requests in flight here.
    pub reserved: u64,
    /// What this replica may still take.
    pub grant: Grant,
    /// Largest reservation that the slice was too small for.
    pub wanted: u64,
    /// Added to the limit by hand until a time, in milliseconds since 1970.
    pub extra: (u64, u64),
    /// The highest percentage that somebody was told of.
    warned: u8,
}

/// Why something cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// The budget has so much left and no more.
    Budget(u64),
    /// The budget has enough, and this replica's slice has not.
    Slice,
}

impl Meter {
    fn new(budget: Arc<Budget>, serial: u64, leased: bool) -> Self {
        let grant = if leased { Grant::Slice(0) } else { Grant::Whole };
        Self {
            budget,
            serial,
            window: i64::MIN,
            ends: Some(i64::MIN),
            known: 0,
            untold: 0,
            reserved: 0,
            grant,
            wanted: 0,
            extra: (0, 0),
            warned: 0,
        }
    }

    /// Begins the window of this time, if it is another than the last.
    pub fn roll(&mut self, now: Now) {
        // The calendar is asked once a window, not several times a request.
        let seconds = i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX);
        if self.ends.is_none_or(|ends| seconds < ends) {
            return;
        }
        let period = self.budget.window.at(now.unix_seconds());
        if period.id > self.window {
            (self.window, self.ends) = (period.id, period.ends);
            self.known = 0;
            // What the last window owes to the store is void with it; holds of requests in flight stay.
            self.untold = 0;
            self.warned = 0;
            if let Grant::Slice(left) = &mut self.grant {
                *left = 0;
            }
        }
    }

    /// The limit now, with what was added by hand.
    pub fn limit(&self, now: Now) -> u64 {
        let (amount, until) = self.extra;
        self.budget.limit.saturating_add(if now.unix_ms < until { amount } else { 0 })
    }

    /// Spent in the window, as far as this replica knows.
    pub const fn spent(&self) -> u64 {
        self.known.saturating_add(self.untold)
    }

    fn left(&self, now: Now, store_down: bool) -> Result<u64, u64> {
        let whole = self.limit(now).saturating_sub(self.spent()).saturating_sub(self.reserved);
        match self.grant {
            Grant::Slice(left) if !(store_down && self.budget.on_store_failure == OnStoreFailure::Open) => {
                let own = left.saturating_sub(self.reserved);
                if own < whole { Err(own) } else { Ok(whole) }
            }
            Grant::Slice(_) | Grant::Whole => Ok(whole),
        }
    }

    /// Whether so much can be taken now.
    ///
    /// # Errors
    /// What is missing.
    fn may_take(&mut self, many: u64, now: Now, store_down: bool) -> Result<(), Short> {
        self.roll(now);
        if self.budget.action == Action::AllowAndAlert {
            return Ok(());
        }
        match self.left(now, store_down) {
            Ok(left) | Err(left) if left >= many => Ok(()),
            Ok(left) => Err(Short::Budget(left)),
            Err(_) => {
                self.wanted = self.wanted.max(many);
                let whole = self.limit(now).saturating_sub(self.spent()).saturating_sub(self.reserved);
                Err(if whole >= many { Short::Slice } else { Short::Budget(whole) })
            }
        }
    }

    fn settle(&mut self, reserved: u64, actual: u64, now: Now) {
        self.roll(now);
        self.reserved = self.reserved.saturating_sub(reserved);
        self.untold = self.untold.saturating_add(actual);
        if let Grant::Slice(left) = &mut self.grant {
            *left = left.saturating_sub(actual);
        }
    }

    /// The highest percentage that has been crossed and that nobody was told of.
    fn crossed(&mut self) -> Option<u8> {
        let spent = self.spent();
        let own =
            self.budget.soft_percent.iter().copied().filter(|percent| spent >= self.budget.share(*percent));
        let highest = own.max().filter(|percent| *percent > self.warned)?;
        self.warned = highest;
        Some(highest)
    }
}

/// One rate limit at work.
#[derive(Clone, Copy, Debug)]
struct Pace {
    rule: RateLimit,
    bucket: Bucket,
}

/// All counters of one key or group.
#[derive(Debug, Default)]
pub struct Meters {
    /// Requests in flight.
    pub parallel: u32,
    /// Budgets.
    pub budgets: Vec<Meter>,
    paces: Vec<Pace>,
}

/// Why a request has to wait or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A budget is used up. Says what it has left, and whether that is money.
    Budget {
        /// What is left.
        left: u64,
        /// Of what.
        unit: Unit,
    },
    /// Too many requests in flight.
    Parallel,
    /// A rate limit; wait so many nanoseconds.
    Rate {
        /// The wait.
        wait_ns: u64,
    },
    /// The slice of a budget is too small; the store is being asked for more.
    Slice,
}

/// Who is asked and when.
#[derive(Clone, Copy)]
pub struct Circumstances<'c> {
    /// The name that the client asked for.
    pub model: &'c str,
    /// The time.
    pub now: Now,
    /// Whether the store cannot be reached.
    pub store_down: bool,
    /// Replicas that share the rate limits.
    pub replicas: u32,
}

impl Circumstances<'_> {
    fn nanos(&self) -> u64 {
        u64::try_from(self.now.monotonic.as_nanos()).unwrap_or(u64::MAX)
    }

    /// This replica's part of a rate limit: rounded up, so that together they exceed it by less than one each.
    fn part(&self, rule: RateLimit) -> RateLimit {
        RateLimit { limit: rule.limit.div_ceil(u64::from(self.replicas.max(1))), ..rule }
    }
}

impl Meters {
    /// Takes on the rules of a policy. Counters of rules that stay are kept, whatever their limit was before.
    pub fn adopt(&mut self, policy: &Policy, leased: bool, mut serial: impl FnMut() -> u64) {
        let mut before = std::mem::take(&mut self.budgets);
        self.budgets = policy
            .budgets
            .iter()
            .map(|rule| {
                let same = |own: &Meter| {
                    own.budget.name == rule.name
                        && own.budget.unit == rule.unit
                        && own.budget.window == rule.window
                };
                match before.iter().position(same) {
                    Some(place) => {
                        let mut own = before.swap_remove(place);
                        own.budget = Arc::new(rule.clone());
                        own
                    }
                    None => Meter::new(Arc::new(rule.clone()), serial(), leased),
                }
            })
            .collect();
        let paces = std::mem::take(&mut self.paces);
        self.paces = policy
            .rate_limits
            .iter()
            .map(|rule| {
                let same = |own: &&Pace| own.rule.unit == rule.unit && own.rule.seconds == rule.seconds;
                let bucket = paces.iter().find(same).map(|own| own.bucket).unwrap_or_default();
                Pace { rule: *rule, bucket }
            })
            .collect();
    }

    /// Whether there is something that counts tokens or money.
    pub fn counts_tokens(&self) -> bool {
        self.budgets.iter().any(|own| own.budget.unit != Unit::Requests)
            || self.paces.iter().any(|own| own.rule.unit != RateUnit::Requests)
    }

    /// Whether all that can be taken. Changes nothing but what is noted as wanted.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn may_take(
        &mut self,
        most_parallel: Option<u32>,
        asked: &Amounts,
        at: &Circumstances<'_>,
    ) -> Result<(), Stop> {
        if most_parallel.is_some_and(|most| self.parallel >= most) {
            return Err(Stop::Parallel);
        }
        for pace in &self.paces {
            let (rule, many) = (at.part(pace.rule), asked.rate(pace.rule.unit));
            pace.bucket.would_take(many, &rule, at.nanos()).map_err(|wait_ns| Stop::Rate { wait_ns })?;
        }
        for meter in self.budgets.iter_mut().filter(|meter| meter.budget.counts(at.model)) {
            let unit = meter.budget.unit;
            meter.may_take(asked.of(unit), at.now, at.store_down).map_err(|short| match short {
                Short::Budget(left) => Stop::Budget { left, unit },
                Short::Slice => Stop::Slice,
            })?;
        }
        Ok(())
    }

    /// Takes it. `held` gets the budgets that it was taken from.
    pub fn take(&mut self, asked: &Amounts, at: &Circumstances<'_>, mut held: impl FnMut(u64)) {
        self.parallel = self.parallel.saturating_add(1);
        for pace in &mut self.paces {
            let (rule, many) = (at.part(pace.rule), asked.rate(pace.rule.unit));
            // Allowed a moment ago, under the same lock.
            pace.bucket.take(many, &rule, at.nanos()).ok();
        }
        for meter in self.budgets.iter_mut().filter(|meter| meter.budget.counts(at.model)) {
            meter.reserved = meter.reserved.saturating_add(asked.of(meter.budget.unit));
            held(meter.serial);
        }
    }

    /// Takes more for a request that goes on, from the budgets that it was taken from.
    ///
    /// # Errors
    /// Why not; then nothing is taken.
    pub fn may_take_more(
        &mut self,
        serial: u64,
        more: &Amounts,
        now: Now,
        store_down: bool,
    ) -> Result<(), Stop> {
        let Some(meter) = self.with_serial(serial) else { return Ok(()) };
        let unit = meter.budget.unit;
        let many = if unit == Unit::Requests { 0 } else { more.of(unit) };
        meter.may_take(many, now, store_down).map_err(|short| match short {
            Short::Budget(left) => Stop::Budget { left, unit },
            Short::Slice => Stop::Slice,
        })
    }

    /// See [`Self::may_take_more`].
    pub fn take_more(&mut self, serial: u64, more: &Amounts) {
        if let Some(meter) = self.with_serial(serial).filter(|meter| meter.budget.unit != Unit::Requests) {
            meter.reserved = meter.reserved.saturating_add(more.of(meter.budget.unit));
        }
    }

    /// Ends a request: gives back what it held and books what it took. A request that took nothing does not count, unless
    /// it was answered. `crossed` hears of thresholds.
    pub fn settle(
        &mut self,
        end: &Settlement<'_>,
        at: &Circumstances<'_>,
        mut crossed: impl FnMut(&Meter, u8),
    ) {
        self.parallel = self.parallel.saturating_sub(1);
        for pace in self.paces.iter_mut().filter(|pace| pace.rule.unit != RateUnit::Requests) {
            let (rule, unit) = (at.part(pace.rule), pace.rule.unit);
            pace.bucket.correct(end.first.rate(unit), end.actual.rate(unit), &rule);
        }
        for (_, serial) in end.serials {
            let Some(meter) = self.with_serial(*serial) else { continue };
            let (held, took) = match meter.budget.unit {
                Unit::Requests => (1, u64::from(end.counts)),
                unit @ (Unit::NanoUsd | Unit::Tokens) => (end.held.of(unit), end.actual.of(unit)),
            };
            meter.settle(held, took, at.now);
            if let Some(percent) = meter.crossed() {
                crossed(meter, percent);
            }
        }
    }

    /// The rate limit with the least left in proportion, for requests or for tokens.
    pub fn tightest(&self, tokens: bool, at: &Circumstances<'_>) -> Option<Standing> {
        let own = self.paces.iter().filter(|pace| (pace.rule.unit != RateUnit::Requests) == tokens);
        own.map(|pace| pace.bucket.standing(&at.part(pace.rule), at.nanos())).min_by_key(|own| own.remaining)
    }

    fn with_serial(&mut self, serial: u64) -> Option<&mut Meter> {
        self.budgets.iter_mut().find(|meter| meter.serial == serial)
    }
}

/// How a request ended, for the counters.
#[derive(Clone, Copy)]
pub struct Settlement<'s> {
    /// What admission took.
    pub first: Amounts,
    /// What was held at the end.
    pub held: Amounts,
    /// What it took in truth.
    pub actual: Amounts,
    /// Whether it counts as a request.
    pub counts: bool,
    /// Budgets of this scope that it was taken from, each with the place of the scope in its chain.
    pub serials: &'s [(usize, u64)],
}
