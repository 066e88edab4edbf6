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

mod repeats;

mod groups;

mod keys;

mod admins;

pub mod serve;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use audit::entry::Admin;
use gateway::{Clock, Now};
use state::Store;

use crate::audit_log::AuditLog;
use crate::clock::ProcessClock;
use crate::config::AdminConfig;
use crate::governance::Governor;
use crate::upstream::Upstreams;
use identity::{Permission, Principal};
use oidc::Providers;
use plan::{Asked, Plan};
use problem::Problem;
use record::Acts;
use repeats::Before;
use route::{Action, Matched, Unmatched};

/// Largest body of a request, in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// How often answers that have expired are removed.
const SWEEP: Duration = Duration::from_hours(1);

/// Everything that the admin API needs.
#[derive(Debug)]
pub struct AdminApi {
    governor: Arc<Governor>,
    claim_sha256: Option<[u8; 32]>,
    providers: Providers,
    acts: Acts,
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
    /// Over an open store. What is done is written into `log`.
    ///
    /// # Errors
    /// What is wrong in `[admin]`.
    pub fn new(
        governor: Arc<Governor>,
        config: &AdminConfig,
        log: Option<Arc<AuditLog>>,
    ) -> Result<Self, &'static str> {
        let claim_sha256 = match config.claim_sha256.as_deref() {
            Some(hex) => {
                Some(*attestation::digest::Sha256::from_hex(hex).map_err(|_| "64 hex digits")?.as_bytes())
            }
            None => None,
        };
        Ok(Self { governor, claim_sha256, providers: Providers::new(&config.oidc)?, acts: Acts::new(log) })
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
            Err(problem) => Err(problem.clone().into()),
        };
        match done {
            Ok(answer) => answer,
            Err(Undone::Written(problem)) => failed(&problem, Vec::new()),
            Err(Undone::Refused(problem)) => {
                let who = who.as_ref().ok().and_then(Option::as_ref);
                let written = self.acts.not_done(&matched, who, problem.code, now).await;
                failed(written.as_ref().err().unwrap_or(&problem), Vec::new())
            }
        }
    }

    /// Fetches the keys of identity providers, as long as this thread runs.
    pub fn follow_keys(self: &Arc<Self>, upstreams: &Rc<Upstreams>) {
        for place in 0..self.providers.len() {
            let (api, upstreams) = (Arc::clone(self), Rc::clone(upstreams));
            tokio::task::spawn_local(async move { api.providers.follow(place, &upstreams).await });
        }
    }

    /// Removes answers that are kept no longer. Never ends.
    pub async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            // If the store does not answer, the next round does it.
            repeats::sweep(self.store(), ProcessClock::shared().now()).await.ok();
        }
    }

    async fn perform(
        &self,
        request: &AdminRequest<'_>,
        matched: &Matched<'_>,
        who: Option<&Principal>,
        now: Now,
    ) -> Result<AdminAnswer, Undone> {
        let needs = matched.route.needs;
        let nobody = Principal::nobody();
        let who = match who {
            Some(who) if who.role.may(needs) => who,
            Some(_) => return Err(Problem::forbidden().into()),
            None if needs == Permission::Anyone => &nobody,
            None => return Err(Problem::unauthenticated().into()),
        };
        if request.body.len() > MAX_BODY {
            return Err(Problem::new(413, "too_large", "the body is larger than 262144 bytes").into());
        }
        let asked = Asked::read(request, matched)?;
        let mut kept = None;
        if let Some(key) = asked.idempotency_key {
            match repeats::look(self.store(), who, key, request, now).await? {
                Before::Answered(answer) => {
                    self.acts.not_done(matched, Some(who), Admin::REPEATED, now).await?;
                    return Ok(answer);
                }
                Before::Free(place) => kept = Some(place),
            }
        }
        let mut plan = self.plan(matched, who, &asked, now).await?;
        if request.method == "GET" {
            return Ok(plan.answer(matched.route.status, plan.version));
        }
        let begun = self.acts.begin(matched, who, &plan).await?;
        if let Some(place) = kept {
            let again = plan.without_secret.clone().or_else(|| plan.gives.clone());
            plan.changes.push(place.keep(matched.route.status, again, now));
        }
        let done = self.carry_out(&mut plan).await;
        let result = match &done {
            Ok(version) => (Admin::DONE, *version),
            Err(problem) => (problem.code, None),
        };
        let written = self.acts.end(matched, who, (&plan, begun), result).await;
        written.map_err(Undone::Written)?;
        done.map(|version| plan.answer(matched.route.status, version)).map_err(Undone::Written)
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

    /// Commits what was planned and puts it in force. Returns the version of the thing itself.
    async fn carry_out(&self, plan: &mut Plan) -> Result<Option<u64>, Problem> {
        let mut first = plan.version;
        for part in std::mem::take(&mut plan.changes).chunks(Store::MAX_CHANGES) {
            let versions = self.store().commit(part.to_vec()).await?;
            first = first.or_else(|| {
                versions.first().copied().filter(|_| part.first().is_some_and(|own| own.value.is_some()))
            });
            for change in part {
                self.governor.apply(change.table, &change.id, change.value.as_ref().map(|value| &value[..]));
            }
        }
        Ok(first)
    }
}

/// Why something was not done.
enum Undone {
    /// It never began, and is to be written down.
    Refused(Problem),
    /// It began and failed, and that is written down, or cannot be.
    Written(Problem),
}

impl From<Problem> for Undone {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
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

#[cfg(test)]
mod tests;
