//! Smooth weighted round robin (as in nginx): over any stretch each member gets its share, spread evenly.

use std::sync::{Mutex, PoisonError};

use super::strategy::Candidate;

/// The weights of a branch's members, and whose turn it is.
pub struct Turns {
    weights: Vec<u32>,
    credit: Mutex<Vec<i64>>,
}

impl Turns {
    /// Nobody has had a turn yet.
    pub fn new(weights: Vec<u32>) -> Self {
        let credit = Mutex::new(vec![0; weights.len()]);
        Self { weights, credit }
    }

    /// Puts the one whose turn it is first, then the others by weight. Members without weight get no traffic at all.
    pub fn order(&self, candidates: &mut Vec<Candidate>) {
        candidates.retain(|candidate| self.weight(candidate) > 0);
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = 0_i64;
        let mut chosen: Option<(i64, usize)> = None;
        for candidate in candidates.iter() {
            let Some(own) = credit.get_mut(candidate.place) else { continue };
            let weight = i64::from(self.weight(candidate));
            total = total.saturating_add(weight);
            *own = own.saturating_add(weight);
            if chosen.is_none_or(|(most, _)| *own > most) {
                chosen = Some((*own, candidate.place));
            }
        }
        let Some((_, place)) = chosen else { return };
        if let Some(own) = credit.get_mut(place) {
            *own = own.saturating_sub(total);
        }
        drop(credit);
        candidates.sort_by_key(|own| (own.place != place, std::cmp::Reverse(self.weight(own))));
    }

    fn weight(&self, candidate: &Candidate) -> u32 {
        self.weights.get(candidate.place).copied().unwrap_or(0)
    }
}
