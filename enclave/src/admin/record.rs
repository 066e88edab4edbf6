//! What is written into the audit log of every act of an administrator: who, what, on what, what changes and what came of
//! it. Never a secret, and of values only those that are nobody's secret.
//!
//! An act that changes something is written down before it is done and again afterwards, and waits for the disk both
//! times: a machine that stops in between leaves an act that began, never one that nobody knows of. Refused acts are
//! written once. Of strangers, whom anybody can send, only so many are written; the rest is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attestation::digest::{UnixTime, to_hex};
use audit::entry::{Admin, Changed, Event};
use gateway::Now;
use serde_json::Value;
use state::Expect;
use tokio::time::timeout;

use super::identity::Principal;
use super::plan::{Plan, Touched};
use super::problem::Problem;
use super::route::Matched;
use crate::audit_log::AuditLog;
use crate::rate::RateLimit;

/// How long an act waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Refusals of strangers that are written down in a second.
const STRANGERS_PER_SECOND: u32 = 1;
/// Fields that are told as they are: states, roles, times, and ids of groups.
const TOLD: [&str; 12] = [
    "blocked",
    "expires_at_ms",
    "id",
    "org",
    "owner.org",
    "owner.team",
    "owner.user",
    "reach.org",
    "reach.team",
    "reach.user",
    "role",
    "status",
];
/// Fields whose own fields are compared one by one.
const TAKEN_APART: [&str; 4] = ["ceiling", "owner", "policy", "reach"];

/// Writes acts down.
pub struct Acts {
    log: Option<Arc<AuditLog>>,
    strangers: RateLimit,
    unwritten: AtomicU64,
}

impl std::fmt::Debug for Acts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Acts").field("kept", &self.log.is_some()).finish_non_exhaustive()
    }
}

impl Acts {
    /// Into this log; nowhere, if the configuration names none.
    pub fn new(log: Option<Arc<AuditLog>>) -> Self {
        Self { log, strangers: RateLimit::new(STRANGERS_PER_SECOND), unwritten: AtomicU64::new(0) }
    }

    /// Writes what is about to be done. Returns where.
    pub(super) async fn begin(
        &self,
        matched: &Matched<'_>,
        who: &Principal,
        plan: &Plan,
    ) -> Result<Option<u64>, Problem> {
        let Some(log) = &self.log else { return Ok(None) };
        let act = || Admin { result: Admin::BEGUN.to_owned(), ..act(matched, Some(who)) };
        let mut events: Vec<Event> = plan
            .touched
            .iter()
            .zip(&plan.changes)
            .map(|(touched, change)| {
                Event::Admin(Box::new(Admin {
                    object_id: Some(touched.id.clone()),
                    version_before: match change.expect {
                        Expect::Version(version) => Some(version),
                        Expect::Absent | Expect::Any => None,
                    },
                    changed: changed(log, touched),
                    ..act()
                }))
            })
            .collect();
        if events.is_empty() {
            events.push(Event::Admin(Box::new(act())));
        }
        write(log, events, "nothing was done").await.map(Some)
    }

    /// Writes what came of an act that began there.
    pub(super) async fn end(
        &self,
        matched: &Matched<'_>,
        who: &Principal,
        (plan, begun): (&Plan, Option<u64>),
        (result, version_after): (&str, Option<u64>),
    ) -> Result<(), Problem> {
        let Some(log) = &self.log else { return Ok(()) };
        let one = match plan.touched.as_slice() {
            [one] => Some(one.id.clone()),
            _ => None,
        };
        let own = act(matched, Some(who));
        let object_id = one.or_else(|| own.object_id.clone());
        let event = Admin { object_id, version_after, result: result.to_owned(), begun, ..own };
        write(log, vec![Event::Admin(Box::new(event))], "see whether it was").await.map(drop)
    }

    /// Writes an act that was not done.
    pub(super) async fn not_done(
        &self,
        matched: &Matched<'_>,
        who: Option<&Principal>,
        result: &str,
        now: Now,
    ) -> Result<(), Problem> {
        let Some(log) = &self.log else { return Ok(()) };
        let at = UnixTime::from_seconds(now.unix_seconds());
        if who.is_none() && self.strangers.take(at).is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let unwritten = self.unwritten.swap(0, Ordering::Relaxed);
        let event = Admin { result: result.to_owned(), unwritten, ..act(matched, who) };
        write(log, vec![Event::Admin(Box::new(event))], "nothing was done").await.map(drop)
    }
}

fn act(matched: &Matched<'_>, who: Option<&Principal>) -> Admin {
    let (object, verb) = matched.route.action.words();
    Admin {
        actor: who.map_or_else(|| "-".to_owned(), |who| who.id.clone()),
        credential: who.map_or_else(String::new, |who| who.credential.clone()),
        role: who.map_or("none", |who| who.role.as_str()).to_owned(),
        action: format!("{object}.{verb}"),
        object: object.to_owned(),
        object_id: (!matched.id.is_empty()).then(|| matched.id.to_owned()),
        ..Admin::default()
    }
}

async fn write(log: &AuditLog, events: Vec<Event>, so: &str) -> Result<u64, Problem> {
    match timeout(PATIENCE, log.record(events)).await {
        Ok(Ok(index)) => Ok(index),
        Ok(Err(_)) | Err(_) => {
            Err(Problem::new(503, "audit_stalled", format!("the audit log cannot be written now; {so}")))
        }
    }
}

/// The fields in which something differs afterwards, by name.
fn changed(log: &AuditLog, touched: &Touched) -> Vec<Changed> {
    let (before, after) = (fields(touched.before.as_ref()), fields(touched.after.as_ref()));
    let mut names: Vec<&String> = before.iter().chain(&after).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let of = |fields: &[(String, Value)], name: &str| {
        fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    };
    let one = |name: &String| {
        let (before, after) = (of(&before, name), of(&after, name));
        (before != after).then(|| Changed {
            field: name.clone(),
            before: before.map(|value| told(log, name, &value)),
            after: after.map(|value| told(log, name, &value)),
        })
    };
    names.into_iter().filter_map(one).collect()
}

/// Fields that are there, those of [`TAKEN_APART`] one by one.
fn fields(whole: Option<&Value>) -> Vec<(String, Value)> {
    let members = whole.and_then(Value::as_object).into_iter().flatten();
    let mut fields = Vec::new();
    for (name, value) in members {
        match value.as_object().filter(|_| TAKEN_APART.contains(&name.as_str())) {
            Some(inner) => {
                fields.extend(inner.iter().map(|(own, value)| (format!("{name}.{own}"), value.clone())));
            }
            None => fields.push((name.clone(), value.clone())),
        }
    }
    fields.retain(|(_, value)| !value.is_null());
    fields
}

/// A value as an entry may say it.
fn told(log: &AuditLog, name: &str, value: &Value) -> String {
    let plain = TOLD.contains(&name) && !value.is_array() && !value.is_object();
    if plain {
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    }
    format!("hmac:{}", to_hex(&log.hide(value.to_string().as_bytes())))
}
