//! Organisations, teams, users and tags, and what was spent.

use gateway::Now;
use gateway::governance::meters::Grant;
use gateway::governance::record::{GroupRecord, KeyRecord, Owner};
use gateway::governance::{Policy, ScopeKind};
use serde::de::DeserializeOwned;
use state::{Change, Expect, RecordId, Table};

use super::AdminApi;
use super::identity::Principal;
use super::objects::{BudgetView, BudgetsView, GroupInput, GroupView, MAX_NAME, Page};
use super::plan::{Asked, Plan, Touched, json};
use super::problem::Problem;
use super::route::is_id;
use crate::governance::table;

/// Records read at a time while a page is filled.
const LOOK: usize = 200;

/// Whom a group belongs to.
fn owner_of(kind: ScopeKind, record: &GroupRecord) -> Owner {
    let org = record.org.clone().unwrap_or_default();
    match kind {
        ScopeKind::Org => Owner { org: record.id.clone(), team: None, user: None },
        ScopeKind::Team => Owner { org, team: Some(record.id.clone()), user: None },
        ScopeKind::User => Owner { org, team: record.team.clone(), user: Some(record.id.clone()) },
        ScopeKind::Tag | ScopeKind::Key => Owner::default(),
    }
}

impl AdminApi {
    /// One record of that type, and its version.
    pub(super) async fn read<T: DeserializeOwned>(&self, of: Table, id: &str) -> Result<(T, u64), Problem> {
        let id = RecordId::new(id)?;
        let record = self.store().get(of, &id).await?.ok_or_else(Problem::not_found)?;
        let value = serde_json::from_slice(&record.value)
            .map_err(|_| Problem::new(503, "STATE_FORMAT", "the record was written by another release"))?;
        Ok((value, record.version))
    }

    /// A page of the records that `keep` makes something of.
    pub(super) async fn page_of<T: DeserializeOwned, V>(
        &self,
        of: Table,
        asked: &Asked<'_>,
        keep: impl Fn(T) -> Option<V>,
    ) -> Result<Page<V>, Problem> {
        let mut after = asked.after.map(RecordId::new).transpose()?;
        let mut items = Vec::new();
        loop {
            let records = self.store().page(of, after.as_ref(), LOOK).await?;
            let whole = records.len() < LOOK;
            for record in records {
                if items.len() >= asked.limit {
                    let next = after.as_ref().and_then(|own| own.as_str()).map(str::to_owned);
                    return Ok(Page { items, next });
                }
                let value = serde_json::from_slice::<T>(&record.value).ok().and_then(&keep);
                after = Some(record.id);
                items.extend(value);
            }
            if whole {
                return Ok(Page { items, next: None });
            }
        }
    }

    pub(super) async fn list_groups(
        &self,
        kind: ScopeKind,
        who: &Principal,
        asked: &Asked<'_>,
    ) -> Result<Plan, Problem> {
        let page = self.page_of(table(kind), asked, |own: GroupRecord| {
            who.covers(&owner_of(kind, &own)).then(|| GroupView::from(own))
        });
        Plan::show(&page.await?)
    }

    async fn group(&self, kind: ScopeKind, id: &str, who: &Principal) -> Result<(GroupRecord, u64), Problem> {
        let (record, version) = self.read::<GroupRecord>(table(kind), id).await?;
        if who.covers(&owner_of(kind, &record)) { Ok((record, version)) } else { Err(Problem::not_found()) }
    }

    pub(super) async fn show_group(
        &self,
        kind: ScopeKind,
        id: &str,
        who: &Principal,
    ) -> Result<Plan, Problem> {
        let (record, version) = self.group(kind, id, who).await?;
        Ok(Plan { is_one: true, version: Some(version), ..Plan::show(&GroupView::from(record))? })
    }

    pub(super) async fn create_group(
        &self,
        kind: ScopeKind,
        who: &Principal,
        asked: &Asked<'_>,
        now: Now,
    ) -> Result<Plan, Problem> {
        let input: GroupInput = asked.body()?;
        let record = GroupRecord {
            id: input.id,
            name: input.name,
            org: input.org,
            team: input.team,
            blocked: input.blocked,
            policy: input.policy,
            created_by: who.id.clone(),
            created_at_ms: now.unix_ms,
        };
        self.put_group(kind, record, None, Expect::Absent, who).await
    }

    pub(super) async fn replace_group(
        &self,
        kind: ScopeKind,
        id: &str,
        who: &Principal,
        asked: &Asked<'_>,
    ) -> Result<Plan, Problem> {
        let input: GroupInput = asked.body()?;
        let (before, version) = self.group(kind, id, who).await?;
        if input.id != id || input.org != before.org {
            return Err(Problem::invalid("id and org of a group do not change"));
        }
        let record = GroupRecord {
            name: input.name,
            team: input.team,
            blocked: input.blocked,
            policy: input.policy,
            ..before.clone()
        };
        let plan = self.put_group(kind, record, Some(before), Expect::Version(version), who).await?;
        // A precondition counts for what would have succeeded (RFC 9110 section 13.2.1).
        asked.check_version(version)?;
        Ok(plan)
    }

    async fn put_group(
        &self,
        kind: ScopeKind,
        mut record: GroupRecord,
        before: Option<GroupRecord>,
        expect: Expect,
        who: &Principal,
    ) -> Result<Plan, Problem> {
        if !is_id(&record.id) || record.name.len() > MAX_NAME {
            return Err(Problem::invalid(
                "id: 1 to 64 characters of A-Z a-z 0-9 . _ @ -; name: at most 128 bytes",
            ));
        }
        let of_org = matches!(kind, ScopeKind::Team | ScopeKind::User);
        if record.org.is_some() != of_org || (record.team.is_some() && kind != ScopeKind::User) {
            return Err(Problem::invalid("org belongs to teams and users, team to users"));
        }
        let owner = owner_of(kind, &record);
        if !who.covers(&owner) {
            return Err(Problem::not_found());
        }
        if of_org {
            self.check_owner(&Owner { user: None, team: record.team.clone(), org: owner.org.clone() })
                .await?;
        }
        record
            .policy
            .check()
            .map_err(|flaw| Problem::invalid(format!("{}: expected {}", flaw.field, flaw.expected)))?;
        record.policy = Self::tightened(std::mem::take(&mut record.policy), who)?;
        let (name, id) = (record.id.clone(), RecordId::new(&record.id)?);
        let view = |own: GroupRecord| json(&GroupView::from(own));
        let value = serde_json::to_vec(&record).unwrap_or_default();
        let after = view(record)?;
        Ok(Plan {
            changes: vec![Change::put(table(kind), id, expect, value)],
            gives: Some(after.clone()),
            is_one: true,
            touched: vec![Touched { id: name, before: before.map(view).transpose()?, after: Some(after) }],
            ..Plan::default()
        })
    }

    pub(super) async fn delete_group(
        &self,
        kind: ScopeKind,
        id: &str,
        who: &Principal,
        asked: &Asked<'_>,
    ) -> Result<Plan, Problem> {
        let (record, version) = self.group(kind, id, who).await?;
        asked.check_version(version)?;
        let change = Change::delete(table(kind), RecordId::new(id)?, Expect::Version(version));
        let before = Some(json(&GroupView::from(record))?);
        let touched = vec![Touched { id: id.to_owned(), before, after: None }];
        Ok(Plan { changes: vec![change], touched, ..Plan::default() })
    }

    /// Whether organisation, team and user exist and belong together.
    pub(super) async fn check_owner(&self, owner: &Owner) -> Result<(), Problem> {
        let missing = |what: &str| Problem::invalid(format!("owner: there is no such {what} there"));
        self.read::<GroupRecord>(Table::Organisations, &owner.org)
            .await
            .map_err(|_| missing("organisation"))?;
        if let Some(team) = &owner.team {
            let (own, _) = self.read::<GroupRecord>(Table::Teams, team).await.map_err(|_| missing("team"))?;
            if own.org.as_ref() != Some(&owner.org) {
                return Err(missing("team"));
            }
        }
        if let Some(user) = &owner.user {
            let (own, _) = self.read::<GroupRecord>(Table::Users, user).await.map_err(|_| missing("user"))?;
            let of_team = own.team.is_none() || own.team == owner.team;
            if own.org.as_ref() != Some(&owner.org) || !of_team {
                return Err(missing("user"));
            }
        }
        Ok(())
    }

    /// A policy that goes no further than whoever hands it on.
    pub(super) fn tightened(policy: Policy, who: &Principal) -> Result<Policy, Problem> {
        policy.tightened(&who.ceiling).map_err(|flaw| Problem::exceeds(flaw.field, flaw.expected))
    }

    pub(super) async fn show_budgets(
        &self,
        kind: ScopeKind,
        id: &str,
        who: &Principal,
    ) -> Result<Plan, Problem> {
        if kind == ScopeKind::Key {
            let (record, _) = self.read::<KeyRecord>(Table::VirtualKeys, id).await?;
            if !who.covers(&record.owner) {
                return Err(Problem::not_found());
            }
        } else {
            self.group(kind, id, who).await?;
        }
        let read = |meters: &[gateway::governance::meters::Meter]| {
            let one = |own: &gateway::governance::meters::Meter| BudgetView {
                budget: own.budget.as_ref().clone(),
                spent: own.spent(),
                reserved: own.reserved,
                leased: match own.grant {
                    Grant::Slice(left) => Some(left),
                    Grant::Whole => None,
                },
            };
            meters.iter().map(one).collect::<Vec<_>>()
        };
        let budgets = self.governor.governance().with_meters(kind, id, read).unwrap_or_default();
        Plan::show(&BudgetsView { budgets })
    }
}
