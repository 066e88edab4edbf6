//! The configuration's order: the first that works.

use super::{Candidate, Strategy};

/// Keeps the order as configured.
pub struct Priority;

impl Strategy for Priority {
    fn name(&self) -> &'static str {
        "priority"
    }

    fn order(&self, _: &mut [Candidate], _: u64) {}
}
