//! The admin API: keys, groups and budgets, over an attested listener of its own.
//!
//! One table ([`route::routes`]) says what there is, who may do it, and what goes in and out. The router, the published
//! document and the test of every role on every route are made from it. What is changed is committed to the sealed
//! store first, and then in force at once; other replicas hear of it within a second.

pub mod problem;

pub mod record;

pub mod identity;

pub mod oidc;

pub mod objects;

pub mod route;

pub mod openapi;

mod plan;

mod groups;

mod keys;

mod admins;

pub mod serve;

use std::sync::Arc;

use gateway::Now;
use ring::digest;
use serde_json::Value;
use state::{Change, Expect, RecordId, Store, Table};

use crate::config::AdminConfig;
use crate::governance::Governor;
use identity::{Permission, Principal};
use oidc::Providers;
use plan::{Asked, Plan};
use problem::Problem;
use record::{AdminJournal, AdminRecord, difference};
use route::{Action, Matched, Unmatched};

/// Largest body of a request, in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// How long an answer is kept for the same request sent again, in milliseconds.
const IDEMPOTENT_MS: u64 = 24 * 60 * 60 * 1000;

/// Everything that the admin API needs.
#[derive(Debug)]
pub struct AdminApi {
    governor: Arc<Governor>,
    claim_sha256: Option<[u8; 32]>,
    providers: Providers,
    journal: Arc<AdminJournal>,
}

/// A request, as the listener read it.
#[derive(Clone, Copy)]
pub struct AdminRequest<'r> {
    /// Method, upper case.
    pub method: &'r str,
    /// Path as received.
    pub path: &'r str,
    /// Query without the question mark.
    pub query: Option<&'r str>,
    /// Names in lower case, and values.
    pub headers: &'r [(String, Vec<u8>)],
    /// The body.
    pub body: &'r [u8],
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers but those of the connection.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl AdminRequest<'_> {
    /// The one header of that name; a second one is refused rather than chosen between.
    fn header(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut own = self.headers.iter().filter(|(own, _)| own == name);
        let found = own.next().map(|(_, value)| std::str::from_utf8(value).map_err(|_| name));
        match (found.transpose(), own.next()) {
            (Ok(found), None) => Ok(found),
            _ => Err(Problem::invalid(format!("send '{name}' once and as plain text"))),
        }
    }
}

impl AdminApi {
    /// Over an open store.
    ///
    /// # Errors
    /// What is wrong in `[admin]`.
    pub fn new(
        governor: Arc<Governor>,
        config: &AdminConfig,
        journal: Arc<AdminJournal>,
    ) -> Result<Self, &'static str> {
        let claim_sha256 = match config.claim_sha256.as_deref() {
            Some(hex) => {
                Some(*attestation::digest::Sha256::from_hex(hex).map_err(|_| "64 hex digits")?.as_bytes())
            }
            None => None,
        };
        Ok(Self { governor, claim_sha256, providers: Providers::new(&config.oidc)?, journal })
    }

    fn store(&self) -> &Store {
        self.governor.store()
    }

    /// Answers one request, and writes down what it was.
    pub async fn answer(&self, request: &AdminRequest<'_>, now: Now) -> AdminAnswer {
        let matched = match route::find(request.method, request.path) {
            Ok(matched) => matched,
            Err(Unmatched::Path) => return failed(&Problem::not_found(), Vec::new()),
            Err(Unmatched::Method(methods)) => {
                let problem = Problem::new(405, "method_not_allowed", "this path has other methods");
                return failed(&problem, vec![("allow", methods.join(", "))]);
            }
        };
        let who = self.authenticate(request, now).await;
        let done = match &who {
            Ok(who) => self.perform(request, &matched, who.as_ref(), now).await,
            Err(problem) => Err(problem.clone()),
        };
        let (answer, changed, error) = match done {
            Ok((answer, changed)) => (answer, changed, None),
            Err(problem) => (failed(&problem, Vec::new()), Vec::new(), Some(problem.code)),
        };
        if request.method != "GET" || error.is_some() {
            let who = who.ok().flatten();
            self.journal.push(AdminRecord {
                at_unix_ms: now.unix_ms,
                actor: who.as_ref().map_or_else(|| "-".to_owned(), |who| who.id.clone()),
                role: who.as_ref().map_or("none", |who| who.role.as_str()),
                action: format!("{} {}", matched.route.method, matched.route.path),
                object: (!matched.id.is_empty()).then(|| matched.id.to_owned()),
                status: answer.status,
                error,
                changed,
            });
        }
        answer
    }

    /// Acts that wait for the audit log.
    pub fn journal(&self) -> &AdminJournal {
        &self.journal
    }

    async fn perform(
        &self,
        request: &AdminRequest<'_>,
        matched: &Matched<'_>,
        who: Option<&Principal>,
        now: Now,
    ) -> Result<(AdminAnswer, Vec<String>), Problem> {
        let needs = matched.route.needs;
        let nobody = Principal::nobody();
        let who = match who {
            Some(who) if who.role.may(needs) => who,
            Some(_) => return Err(Problem::forbidden()),
            None if needs == Permission::Anyone => &nobody,
            None => return Err(Problem::unauthenticated()),
        };
        if request.body.len() > MAX_BODY {
            return Err(Problem::new(413, "too_large", "the body is larger than 262144 bytes"));
        }
        let asked = Asked::read(request, matched)?;
        let mut kept = None;
        if let Some(key) = asked.idempotency_key {
            let id = idempotency_id(who, key)?;
            match self.answered_before(&id, request, now).await? {
                Before::Answered(answer) => return Ok((answer, Vec::new())),
                Before::Free(expect) => kept = Some((id, expect)),
            }
        }
        let mut plan = self.plan(matched, who, &asked, now).await?;
        let answer = self.carry_out(request, matched, &mut plan, kept, now).await?;
        Ok((answer, difference(plan.before.as_ref(), plan.after.as_ref())))
    }

    async fn plan(
        &self,
        matched: &Matched<'_>,
        who: &Principal,
        asked: &Asked<'_>,
        now: Now,
    ) -> Result<Plan, Problem> {
        let id = matched.id;
        match matched.route.action {
            Action::Claim => self.claim(asked, now).await,
            Action::WhoAmI => {
                Plan::show(&objects::WhoAmI { id: who.id.clone(), role: who.role, reach: who.reach.clone() })
            }
            Action::Document => Plan::show(&openapi::document()),
            Action::ListGroups(kind) => self.list_groups(kind, who, asked).await,
            Action::CreateGroup(kind) => self.create_group(kind, who, asked, now).await,
            Action::ShowGroup(kind) => self.show_group(kind, id, who).await,
            Action::ReplaceGroup(kind) => self.replace_group(kind, id, who, asked).await,
            Action::DeleteGroup(kind) => self.delete_group(kind, id, who, asked).await,
            Action::ShowBudgets(kind) => self.show_budgets(kind, id, who).await,
            Action::ListKeys => self.list_keys(who, asked).await,
            Action::CreateKey => self.create_key(who, asked, now).await,
            Action::ShowKey => self.show_key(id, who).await,
            Action::ReplaceKey => self.replace_key(id, who, asked).await,
            Action::RotateKey => self.rotate_key(id, who, asked, now).await,
            Action::SetKeyStatus => self.set_key_status(id, who, asked).await,
            Action::RevokeKeys => self.revoke_keys(who, asked).await,
            Action::ShowAccess => self.show_access(who, asked).await,
            Action::ListAdmins => self.list_admins(who, asked).await,
            Action::CreateAdmin => self.create_admin(who, asked, now),
            Action::DeleteAdmin => self.delete_admin(id, who, asked).await,
        }
    }

    /// Commits what was planned, with the answer to be given if the same request comes again, and puts it in force.
    async fn carry_out(
        &self,
        request: &AdminRequest<'_>,
        matched: &Matched<'_>,
        plan: &mut Plan,
        kept: Option<(RecordId, Expect)>,
        now: Now,
    ) -> Result<AdminAnswer, Problem> {
        let status = matched.route.status;
        let mut changes = std::mem::take(&mut plan.changes);
        if let Some((id, expect)) = kept {
            let kept = plan.without_secret.as_ref().or(plan.gives.as_ref());
            let record = serde_json::json!({
                "request": hash(request),
                "at_ms": now.unix_ms,
                "status": status,
                "body": kept,
            });
            changes.push(Change::put(Table::IdempotencyKeys, id, expect, record.to_string()));
        }
        let mut etag = plan.version;
        for part in changes.chunks(Store::MAX_CHANGES) {
            let versions = self.store().commit(part.to_vec()).await?;
            etag = etag.or_else(|| {
                versions.first().copied().filter(|_| part.first().is_some_and(|own| own.value.is_some()))
            });
            for change in part {
                self.governor.apply(change.table, &change.id, change.value.as_ref().map(|value| &value[..]));
            }
        }
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        if let Some(version) = etag.filter(|_| plan.is_one) {
            headers.push(("etag", format!("\"v{version}\"")));
        }
        let body = match &plan.gives {
            Some(gives) if status != 204 => {
                headers.push(("content-type", "application/json".to_owned()));
                gives.to_string().into_bytes()
            }
            _ => Vec::new(),
        };
        Ok(AdminAnswer { status, headers, body })
    }

    async fn answered_before(
        &self,
        id: &RecordId,
        request: &AdminRequest<'_>,
        now: Now,
    ) -> Result<Before, Problem> {
        let Some(record) = self.store().get(Table::IdempotencyKeys, id).await? else {
            return Ok(Before::Free(Expect::Absent));
        };
        let known: Value = serde_json::from_slice(&record.value).unwrap_or_default();
        let at = known.get("at_ms").and_then(Value::as_u64).unwrap_or(0);
        if now.unix_ms.saturating_sub(at) > IDEMPOTENT_MS {
            return Ok(Before::Free(Expect::Version(record.version)));
        }
        if known.get("request").and_then(Value::as_str) != Some(&hash(request)) {
            let detail = "this idempotency key was used for another request";
            return Err(Problem::new(422, "idempotency_key_reused", detail));
        }
        let status = known.get("status").and_then(Value::as_u64).and_then(|own| u16::try_from(own).ok());
        let body = known.get("body").map(|own| own.to_string().into_bytes()).unwrap_or_default();
        let headers = vec![
            ("cache-control", "no-store".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("idempotency-replayed", "true".to_owned()),
        ];
        Ok(Before::Answered(AdminAnswer { status: status.unwrap_or(200), headers, body }))
    }
}

/// What is known of an idempotency key.
enum Before {
    Answered(AdminAnswer),
    Free(Expect),
}

fn failed(problem: &Problem, mut headers: Vec<(&'static str, String)>) -> AdminAnswer {
    headers.push(("cache-control", "no-store".to_owned()));
    headers.push(("content-type", "application/problem+json".to_owned()));
    if problem.status == 401 {
        headers.push(("www-authenticate", "Bearer".to_owned()));
    }
    let body = serde_json::to_vec(problem).unwrap_or_default();
    AdminAnswer { status: problem.status, headers, body }
}

fn idempotency_id(who: &Principal, key: &str) -> Result<RecordId, Problem> {
    let name = [who.id.as_bytes(), b"\0", key.as_bytes()].concat();
    Ok(RecordId::new(digest::digest(&digest::SHA256, &name))?)
}

fn hash(request: &AdminRequest<'_>) -> String {
    let whole = [request.method.as_bytes(), b"\0", request.path.as_bytes(), b"\0", request.body].concat();
    let hash = digest::digest(&digest::SHA256, &whole);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests;
