//! How replicas share a budget: what the sealed store keeps of a window, and how a slice of it is renewed.
//!
//! A replica spends from its slice alone. What is not heard of any more counts as spent, never as free: a host that
//! stops a replica, or the connection to the store, can make money unusable for a while and can never make more of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::registry::{Due, Leased, usual_slice};

/// A slice that was not renewed for so long counts as spent, in milliseconds.
pub const SLICE_TIME_MS: u64 = 60_000;

/// What the store keeps of one budget: the window in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetWindow {
    /// Which window.
    pub window: i64,
    /// Spent, and told to the store.
    pub settled: u64,
    /// Slices by replica.
    pub slices: BTreeMap<String, Slice>,
    /// What slices held that were not renewed, by replica. Part of `settled`, until the replica is heard of again.
    pub voided: BTreeMap<String, u64>,
}

/// What a replica may still spend, as the store knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// How much.
    pub amount: u64,
    /// When the replica was last heard of, milliseconds since 1970.
    pub renewed_at_ms: u64,
}

/// Books what a replica has spent and renews its slice. What comes out is to be committed in place of what went in; only
/// then does the second value hold.
pub fn renew(before: Option<BudgetWindow>, due: &Due, replica: &str, now_ms: u64) -> (BudgetWindow, Leased) {
    let mut record = before
        .filter(|own| own.window >= due.window)
        .unwrap_or_else(|| BudgetWindow { window: due.window, ..BudgetWindow::default() });
    if record.window > due.window {
        // Another replica is in a later window already. What was spent in the last belongs to it.
        let leased = Leased { window: due.window, told: due.untold, known: due.limit, more: 0 };
        return (record, leased);
    }
    if let Some(own) = record.voided.remove(replica) {
        record.settled = record.settled.saturating_sub(own);
        record.slices.insert(replica.to_owned(), Slice { amount: own, renewed_at_ms: now_ms });
    }
    void_the_silent(&mut record, replica, now_ms);
    let others: u64 = record
        .slices
        .iter()
        .filter(|(own, _)| *own != replica)
        .fold(0, |sum, (_, slice)| sum.saturating_add(slice.amount));
    let own = record.slices.entry(replica.to_owned()).or_default();
    own.renewed_at_ms = now_ms;
    own.amount = own.amount.saturating_sub(due.untold);
    record.settled = record.settled.saturating_add(due.untold);
    let free = due.limit.saturating_sub(record.settled).saturating_sub(others).saturating_sub(own.amount);
    let target = usual_slice(due.limit).max(due.wanted.saturating_mul(2)).saturating_add(due.reserved);
    let more = target.saturating_sub(own.amount).min(free);
    own.amount = own.amount.saturating_add(more);
    (record.clone(), Leased { window: due.window, told: due.untold, known: record.settled, more })
}

/// Gives a slice back at an orderly end, so that nothing of it is lost.
pub fn release(mut record: BudgetWindow, untold: u64, window: i64, replica: &str) -> BudgetWindow {
    if record.window == window {
        record.slices.remove(replica);
        record.settled = record.settled.saturating_add(untold);
    }
    record
}

fn void_the_silent(record: &mut BudgetWindow, replica: &str, now_ms: u64) {
    let silent = |own: &Slice| now_ms.saturating_sub(own.renewed_at_ms) > SLICE_TIME_MS;
    let gone: Vec<(String, u64)> = record
        .slices
        .iter()
        .filter(|(own, slice)| *own != replica && silent(slice))
        .map(|(own, slice)| (own.clone(), slice.amount))
        .collect();
    for (own, amount) in gone {
        record.slices.remove(&own);
        record.settled = record.settled.saturating_add(amount);
        if amount > 0 {
            record.voided.insert(own, amount);
        }
    }
}
