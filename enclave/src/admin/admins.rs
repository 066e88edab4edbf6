//! Administrators: the first by the claim code, others by the first; who a credential belongs to.

use gateway::Now;
use gateway::governance::Policy;
use gateway::governance::secret::{Presented, Purpose};
use ring::digest;
use state::{Change, Expect, RecordId, Table};
use subtle::ConstantTimeEq;

use super::identity::{AdminKeyRecord, Principal, Reach, Role};
use super::objects::{AdminKeyInput, AdminKeyView, ClaimInput, MAX_NAME, MintedAdmin};
use super::plan::{Asked, Plan, Touched, json};
use super::problem::Problem;
use super::{AdminApi, AdminRequest};

/// The record that says that the claim code was used.
const CLAIMED: &str = "admin-claimed";

impl AdminApi {
    /// Who asks: an admin key, or a token of a provider. Inference keys are neither.
    pub(super) async fn authenticate(
        &self,
        request: &AdminRequest<'_>,
        now: Now,
    ) -> Result<Option<Principal>, Problem> {
        let Some(value) = request.header("authorization")? else { return Ok(None) };
        let (scheme, token) = value.split_once(' ').ok_or_else(Problem::unauthenticated)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Problem::unauthenticated());
        }
        let token = token.trim();
        if let Some(presented) = Presented::parse(Purpose::Administration, token.as_bytes()) {
            return self.by_admin_key(&presented, now).await.map(Some);
        }
        let known = self.providers.recognise(token, now.unix_seconds()).await;
        known.map(Some).ok_or_else(Problem::unauthenticated)
    }

    async fn by_admin_key(&self, presented: &Presented<'_>, now: Now) -> Result<Principal, Problem> {
        let tag = self.governor.governance().pepper().tag(presented);
        let id = RecordId::new(presented.id.as_str())?;
        let record = self.store().get(Table::AdminKeys, &id).await?.ok_or_else(Problem::unauthenticated)?;
        let own: AdminKeyRecord =
            serde_json::from_slice(&record.value).map_err(|_| Problem::unauthenticated())?;
        let good = own.expires_at_ms.is_none_or(|until| now.unix_ms < until);
        if !bool::from(own.tag.ct_eq(&tag)) || !good {
            return Err(Problem::unauthenticated());
        }
        Ok(Principal {
            credential: own.id.clone(),
            id: own.id,
            role: own.role,
            reach: own.reach,
            ceiling: own.ceiling,
        })
    }

    /// Makes the first administrator. Works once in the life of a store, and for whoever has the code whose hash is in
    /// the configuration, and so in the evidence.
    pub(super) async fn claim(&self, asked: &Asked<'_>, now: Now) -> Result<Plan, Problem> {
        let ClaimInput { code } = asked.body()?;
        let given = digest::digest(&digest::SHA256, code.as_bytes());
        let right = self.claim_sha256.is_some_and(|own| bool::from(own.ct_eq(given.as_ref())));
        if !right {
            return Err(Problem::new(403, "claim_refused", "this is not the code whose hash is configured"));
        }
        let claimed = RecordId::new(CLAIMED)?;
        if self.store().get(Table::Meta, &claimed).await?.is_some() {
            return Err(Problem::new(
                409,
                "already_claimed",
                "the code was used; ask an administrator for a key",
            ));
        }
        let input = AdminKeyInput {
            name: "first".to_owned(),
            role: Role::PlatformAdmin,
            reach: Reach::default(),
            ceiling: None,
            expires_at_ms: None,
        };
        let mut plan = self.new_admin(input, "claim", now)?;
        plan.changes.push(Change::put(Table::Meta, claimed, Expect::Absent, now.unix_ms.to_string()));
        Ok(plan)
    }

    pub(super) fn create_admin(&self, who: &Principal, asked: &Asked<'_>, now: Now) -> Result<Plan, Problem> {
        let input: AdminKeyInput = asked.body()?;
        self.new_admin(input, &who.id, now)
    }

    fn new_admin(&self, input: AdminKeyInput, by: &str, now: Now) -> Result<Plan, Problem> {
        if input.name.is_empty() || input.name.len() > MAX_NAME || !input.reach.fits(input.role) {
            return Err(Problem::invalid(
                "name: 1 to 128 bytes; reach: none for platform_admin, org for org_admin, org and team for team_admin, org and user for developer",
            ));
        }
        let ceiling = input.ceiling.unwrap_or_else(Policy::everything);
        ceiling
            .check()
            .map_err(|flaw| Problem::invalid(format!("{}: expected {}", flaw.field, flaw.expected)))?;
        let (id, secret, tag) = self.mint(Purpose::Administration, None)?;
        let record = AdminKeyRecord {
            id: id.as_str().to_owned(),
            name: input.name,
            role: input.role,
            reach: input.reach,
            ceiling,
            tag,
            expires_at_ms: input.expires_at_ms,
            created_by: by.to_owned(),
            created_at_ms: now.unix_ms,
        };
        let value = serde_json::to_vec(&record).unwrap_or_default();
        let change = Change::put(Table::AdminKeys, RecordId::new(&record.id)?, Expect::Absent, value);
        let key = AdminKeyView::from(record);
        let touched = vec![Touched { id: key.id.clone(), before: None, after: Some(json(&key)?) }];
        let without_secret = Some(json(&MintedAdmin { secret: None, key: key.clone() })?);
        let gives = Some(json(&MintedAdmin { secret: Some(secret.expose().clone()), key })?);
        Ok(Plan { changes: vec![change], gives, without_secret, is_one: true, touched, ..Plan::default() })
    }

    fn reaches(who: &Principal, own: &AdminKeyRecord) -> bool {
        let Reach { org, team, user } = &own.reach;
        who.reach == Reach::default()
            || org.as_ref().is_some_and(|org| {
                let owner = gateway::governance::record::Owner {
                    org: org.clone(),
                    team: team.clone(),
                    user: user.clone(),
                };
                who.covers(&owner)
            })
    }

    pub(super) async fn list_admins(&self, who: &Principal, asked: &Asked<'_>) -> Result<Plan, Problem> {
        let keep = |own: AdminKeyRecord| Self::reaches(who, &own).then(|| AdminKeyView::from(own));
        Plan::show(&self.page_of(Table::AdminKeys, asked, keep).await?)
    }

    pub(super) async fn delete_admin(
        &self,
        id: &str,
        who: &Principal,
        asked: &Asked<'_>,
    ) -> Result<Plan, Problem> {
        let (record, version) = self.read::<AdminKeyRecord>(Table::AdminKeys, id).await?;
        if !Self::reaches(who, &record) {
            return Err(Problem::not_found());
        }
        asked.check_version(version)?;
        if record.id == who.id {
            return Err(Problem::new(409, "own_key", "nobody removes the key that he is using"));
        }
        let change = Change::delete(Table::AdminKeys, RecordId::new(id)?, Expect::Version(version));
        let before = Some(json(&AdminKeyView::from(record))?);
        let touched = vec![Touched { id: id.to_owned(), before, after: None }];
        Ok(Plan { changes: vec![change], touched, ..Plan::default() })
    }
}
