//! What each guardrail said of an exchange: names and words from a list, never content.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::guardrail::Check;

/// The header and the comment that list it.
pub const HEADER: &str = "postern-guardrails";

/// What one guardrail said, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It found nothing.
    Success,
    /// It would have objected, but only watches.
    ShadowWouldBlock,
    /// It labelled or changed something.
    Intervened,
    /// It could not be asked.
    #[serde(rename = "failed_to_respond")]
    Failed,
    /// It refused.
    Blocked,
}

impl Status {
    /// As headers and records write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Failed => "failed_to_respond",
            Self::Intervened => "intervened",
            Self::ShadowWouldBlock => "shadow_would_block",
            Self::Success => "success",
        }
    }
}

/// What all guardrails of an exchange said, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Report(BTreeMap<Arc<str>, Status>);

impl Report {
    pub(super) fn of(checks: &[Arc<Check>]) -> Self {
        Self(checks.iter().map(|own| (Arc::clone(&own.name), Status::Success)).collect())
    }

    /// Takes note; the gravest word of each counts.
    pub(crate) fn set(&mut self, name: &Arc<str>, status: Status) {
        let own = self.0.entry(Arc::clone(name)).or_insert(status);
        *own = status.max(*own);
    }

    /// Each guardrail and what it said, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Status)> {
        self.0.iter().map(|(name, status)| (&**name, *status))
    }

    /// Takes note of what another says.
    pub fn merge(&mut self, other: &Self) {
        for (name, status) in &other.0 {
            self.set(name, *status);
        }
    }

    /// What one says.
    pub fn get(&self, name: &str) -> Option<Status> {
        self.0.get(name).copied()
    }

    /// Whether no guardrail was asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `first=success, second=intervened`.
impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, (name, status)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(out, "{comma}{name}={}", status.as_str())?;
        }
        Ok(())
    }
}
