//! Virtual keys: made, shown, changed, rotated, blocked, revoked.

use gateway::Now;
use gateway::governance::record::{KeyRecord, SecretVersion, Status};
use gateway::governance::secret::{ENTROPY, Presented, PublicId, Purpose, TAG, mint};
use gateway::plaintext::Secret;
use state::{Change, Expect, RecordId, Table};

use super::AdminApi;
use super::identity::Principal;
use super::objects::{
    AccessView, KeyInput, KeyView, MAX_NAME, Minted, Revoked, Rotation, Selection, StatusInput,
};
use super::plan::{Asked, Plan, Touched, json};
use super::problem::Problem;
use super::route::is_id;
use crate::governance::all;

/// Longest time that two secrets of a key are good, in seconds.
const MAX_GRACE: u32 = 30 * 24 * 60 * 60;
/// Secrets of a key that are remembered.
const MAX_SECRETS: usize = 8;

impl AdminApi {
    async fn key(&self, id: &str, who: &Principal) -> Result<(KeyRecord, u64), Problem> {
        let (record, version) = self.read::<KeyRecord>(Table::VirtualKeys, id).await?;
        if who.covers(&record.owner) { Ok((record, version)) } else { Err(Problem::not_found()) }
    }

    pub(super) async fn list_keys(&self, who: &Principal, asked: &Asked<'_>) -> Result<Plan, Problem> {
        let keep = |own: KeyRecord| who.covers(&own.owner).then(|| KeyView::from(own));
        Plan::show(&self.page_of(Table::VirtualKeys, asked, keep).await?)
    }

    pub(super) async fn show_key(&self, id: &str, who: &Principal) -> Result<Plan, Problem> {
        let (record, version) = self.key(id, who).await?;
        Ok(Plan { is_one: true, version: Some(version), ..Plan::show(&KeyView::from(record))? })
    }

    pub(super) async fn create_key(
        &self,
        who: &Principal,
        asked: &Asked<'_>,
        now: Now,
    ) -> Result<Plan, Problem> {
        let input = self.checked(asked.body()?, who).await?;
        let (id, secret, tag) = self.mint(Purpose::Inference, None)?;
        let record = KeyRecord {
            id: id.as_str().to_owned(),
            name: input.name,
            owner: input.owner,
            created_by: who.id.clone(),
            created_at_ms: now.unix_ms,
            expires_at_ms: input.expires_at_ms,
            status: Status::Active,
            secrets: vec![SecretVersion {
                version: 1,
                tag,
                created_at_ms: now.unix_ms,
                valid_until_ms: None,
            }],
            policy: input.policy,
            tags: input.tags,
            metadata: input.metadata,
        };
        minted(record, None, Expect::Absent, &secret)
    }

    pub(super) async fn replace_key(
        &self,
        id: &str,
        who: &Principal,
        asked: &Asked<'_>,
    ) -> Result<Plan, Problem> {
        let (before, version) = self.key(id, who).await?;
        let input = self.checked(asked.body()?, who).await?;
        asked.check_version(version)?;
        let record = KeyRecord {
            name: input.name,
            owner: input.owner,
            expires_at_ms: input.expires_at_ms,
            policy: input.policy,
            tags: input.tags,
            metadata: input.metadata,
            ..before.clone()
        };
        changed(record, before, version)
    }

    pub(super) async fn rotate_key(
        &self,
        id: &str,
        who: &Principal,
        asked: &Asked<'_>,
        now: Now,
    ) -> Result<Plan, Problem> {
        let Rotation { grace_seconds } = asked.body()?;
        if grace_seconds > MAX_GRACE {
            return Err(Problem::invalid("grace_seconds: at most 2592000"));
        }
        let (before, version) = self.key(id, who).await?;
        if before.status == Status::Revoked {
            return Err(Problem::new(409, "revoked", "a revoked key gets no new secret"));
        }
        // Whoever gets the secret may do what the key may, so that has to be within what he could give.
        if Self::tightened(before.policy.clone(), who)? != before.policy {
            return Err(Problem::exceeds("policy", "no more than whoever rotates it has"));
        }
        let mut record = before.clone();
        let grace = u64::from(grace_seconds).saturating_mul(1000);
        let until = now.unix_ms.saturating_add(grace);
        for own in &mut record.secrets {
            own.valid_until_ms = Some(own.valid_until_ms.map_or(until, |before| before.min(until)));
        }
        record.secrets.retain(|own| own.valid_until_ms.is_none_or(|until| now.unix_ms < until));
        let last = before.secrets.iter().map(|own| own.version).max().unwrap_or(0);
        while record.secrets.len() >= MAX_SECRETS {
            record.secrets.remove(0);
        }
        let (_, secret, tag) = self.mint(Purpose::Inference, PublicId::parse(id))?;
        record.secrets.push(SecretVersion {
            version: last.saturating_add(1),
            tag,
            created_at_ms: now.unix_ms,
            valid_until_ms: None,
        });
        minted(record, Some(before), Expect::Version(version), &secret)
    }

    pub(super) async fn set_key_status(
        &self,
        id: &str,
        who: &Principal,
        asked: &Asked<'_>,
    ) -> Result<Plan, Problem> {
        let StatusInput { status } = asked.body()?;
        let (before, version) = self.key(id, who).await?;
        if before.status == Status::Revoked && status != Status::Revoked {
            return Err(Problem::new(409, "revoked", "a revoked key stays revoked; make another"));
        }
        changed(KeyRecord { status, ..before.clone() }, before, version)
    }

    pub(super) async fn revoke_keys(&self, who: &Principal, asked: &Asked<'_>) -> Result<Plan, Problem> {
        let Selection { org, team, user, tag } = asked.body()?;
        if org.is_none() && team.is_none() && user.is_none() && tag.is_none() {
            return Err(Problem::invalid("state at least one of org, team, user and tag"));
        }
        let mut plan = Plan::default();
        let mut revoked = Vec::new();
        for record in all(self.store(), Table::VirtualKeys).await? {
            let Ok(own) = serde_json::from_slice::<KeyRecord>(&record.value) else { continue };
            let fits = org.as_ref().is_none_or(|org| *org == own.owner.org)
                && team.as_ref().is_none_or(|team| Some(team) == own.owner.team.as_ref())
                && user.as_ref().is_none_or(|user| Some(user) == own.owner.user.as_ref())
                && tag.as_ref().is_none_or(|tag| own.tags.contains(tag));
            if !fits || !who.covers(&own.owner) || own.status == Status::Revoked {
                continue;
            }
            revoked.push(own.id.clone());
            let before = Some(json(&KeyView::from(own.clone()))?);
            let own = KeyRecord { status: Status::Revoked, ..own };
            let after = Some(json(&KeyView::from(own.clone()))?);
            plan.touched.push(Touched { id: own.id.clone(), before, after });
            let value = serde_json::to_vec(&own).unwrap_or_default();
            plan.changes.push(Change::put(
                Table::VirtualKeys,
                record.id,
                Expect::Version(record.version),
                value,
            ));
        }
        plan.gives = Some(json(&Revoked { revoked })?);
        Ok(plan)
    }

    pub(super) async fn show_access(&self, who: &Principal, asked: &Asked<'_>) -> Result<Plan, Problem> {
        let model = asked.model.as_deref().ok_or_else(|| Problem::invalid("state a model in the query"))?;
        let mut keys = Vec::new();
        for record in all(self.store(), Table::VirtualKeys).await? {
            let Ok(own) = serde_json::from_slice::<KeyRecord>(&record.value) else { continue };
            let live = PublicId::parse(&own.id).and_then(|id| self.governor.governance().key(&id));
            if who.covers(&own.owner)
                && own.status == Status::Active
                && live.is_some_and(|live| live.permits_model(model))
            {
                keys.push(own.id);
            }
        }
        Plan::show(&AccessView { keys })
    }

    /// What was asked for, if it may be given.
    async fn checked(&self, mut input: KeyInput, who: &Principal) -> Result<KeyInput, Problem> {
        if !who.covers(&input.owner) {
            return Err(Problem::exceeds("owner", "somebody within your reach"));
        }
        let metadata =
            input.metadata.iter().all(|(name, value)| name.len() <= MAX_NAME && value.len() <= 512);
        if input.name.len() > MAX_NAME || input.metadata.len() > 32 || !metadata {
            return Err(Problem::invalid(
                "name: at most 128 bytes; metadata: at most 32 of 128 and 512 bytes",
            ));
        }
        if input.tags.len() > 16 || !input.tags.iter().all(|tag| is_id(tag)) {
            return Err(Problem::invalid("tags: at most 16, each 1 to 64 characters of A-Z a-z 0-9 . _ @ -"));
        }
        self.check_owner(&input.owner).await?;
        let policy = &input.policy;
        policy
            .check()
            .map_err(|flaw| Problem::invalid(format!("{}: expected {}", flaw.field, flaw.expected)))?;
        input.policy = Self::tightened(std::mem::take(&mut input.policy), who)?;
        Ok(input)
    }

    /// A fresh secret and what is stored of it.
    pub(super) fn mint(
        &self,
        purpose: Purpose,
        id: Option<PublicId>,
    ) -> Result<(PublicId, Secret<String>, [u8; TAG]), Problem> {
        let internal = || Problem::new(503, "entropy", "no random numbers can be had");
        let mut entropy = [0; ENTROPY];
        aws_lc_rs::rand::fill(&mut entropy).map_err(|_| internal())?;
        let (id, secret) = mint(purpose, id, entropy);
        let presented = Presented::parse(purpose, secret.expose().as_bytes()).ok_or_else(internal)?;
        let tag = self.governor.governance().pepper().tag(&presented);
        Ok((id, secret, tag))
    }
}

fn put(record: &KeyRecord, expect: Expect) -> Result<Change, Problem> {
    let value = serde_json::to_vec(record).unwrap_or_default();
    Ok(Change::put(Table::VirtualKeys, RecordId::new(&record.id)?, expect, value))
}

fn minted(
    record: KeyRecord,
    before: Option<KeyRecord>,
    expect: Expect,
    secret: &Secret<String>,
) -> Result<Plan, Problem> {
    let changes = vec![put(&record, expect)?];
    let key = KeyView::from(record);
    let before = before.map(|own| json(&KeyView::from(own))).transpose()?;
    let touched = vec![Touched { id: key.id.clone(), before, after: Some(json(&key)?) }];
    let without_secret = Some(json(&Minted { secret: None, key: key.clone() })?);
    let gives = Some(json(&Minted { secret: Some(secret.expose().clone()), key })?);
    Ok(Plan { changes, gives, without_secret, is_one: true, touched, version: None })
}

fn changed(record: KeyRecord, before: KeyRecord, version: u64) -> Result<Plan, Problem> {
    let changes = vec![put(&record, Expect::Version(version))?];
    let id = record.id.clone();
    let after = json(&KeyView::from(record))?;
    let before = Some(json(&KeyView::from(before))?);
    Ok(Plan {
        changes,
        gives: Some(after.clone()),
        is_one: true,
        touched: vec![Touched { id, before, after: Some(after) }],
        ..Plan::default()
    })
}
