//! Who may spend what: issued keys, the teams and organisations they belong to, their budgets and limits.
//!
//! No I/O: the shell loads records from the sealed store, tells of every change, and takes out what the store has to
//! know. A request looks a key up without a lock, and locks only the counters of its own key and of the groups above.
//!
//! What a key may do is never computed into one list. A request has to pass its key's policy and that of every group
//! above it, so a key has the intersection of the permissions and the tightest of the limits, whatever is changed when.

pub mod pattern;

pub mod policy;

pub mod window;

pub mod budget;

pub mod rate;

pub mod meters;

pub mod secret;

pub mod record;

pub mod scope;

pub mod reservation;

pub mod registry;

pub mod lease;

pub use budget::{Budget, Unit};
pub use policy::{Family, Policy};
pub use registry::Governance;
pub use reservation::{Actual, Estimate, Refusal, Reservation};
pub use scope::{LiveKey, Scope, ScopeKind};

#[cfg(test)]
mod tests;
