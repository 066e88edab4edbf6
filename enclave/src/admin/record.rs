//! What is written down of every act of an administrator. Names and field names, never a secret.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// One act, also one that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdminRecord {
    /// When, milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Who: the id of an admin key, or issuer and subject of a token; `-` if nobody proved who.
    pub actor: String,
    /// As what.
    pub role: &'static str,
    /// What was asked: method and path template.
    pub action: String,
    /// Id of what it was about, if the path names one.
    pub object: Option<String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Code of the refusal.
    pub error: Option<&'static str>,
    /// Fields that differ afterwards.
    pub changed: Vec<String>,
}

/// Acts that wait for the audit log; bounded.
#[derive(Debug, Default)]
pub struct AdminJournal(Mutex<VecDeque<AdminRecord>>);

/// Most acts that wait.
const MAX_WAITING: usize = 4096;

impl AdminJournal {
    /// Adds one; if nobody took the earlier ones, the oldest is lost.
    pub fn push(&self, record: AdminRecord) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(record);
    }

    /// Takes all of them, oldest first.
    pub fn take(&self) -> Vec<AdminRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

/// Names of the fields at the top in which two documents differ.
pub fn difference(before: Option<&serde_json::Value>, after: Option<&serde_json::Value>) -> Vec<String> {
    let names = |own: Option<&serde_json::Value>| -> Vec<String> {
        own.and_then(|own| own.as_object()).map(|own| own.keys().cloned().collect()).unwrap_or_default()
    };
    let mut all = names(before);
    all.extend(names(after));
    all.sort_unstable();
    all.dedup();
    let field = |own: Option<&serde_json::Value>, name: &str| own.and_then(|own| own.get(name)).cloned();
    all.into_iter().filter(|name| field(before, name) != field(after, name)).collect()
}
