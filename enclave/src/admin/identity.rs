//! Who administers, and what each role may do. One table; no role is checked anywhere else.

use gateway::governance::Policy;
use gateway::governance::record::Owner;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything of its part, changes nothing.
    Auditor,
    /// Has keys of its own.
    Developer,
    /// Runs an organisation.
    OrgAdmin,
    /// Runs everything. Reads no content: there is none to read.
    PlatformAdmin,
    /// Runs a team.
    TeamAdmin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Auditor, Self::Developer, Self::OrgAdmin, Self::PlatformAdmin, Self::TeamAdmin];

    /// As records write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Developer => "developer",
            Self::OrgAdmin => "org_admin",
            Self::PlatformAdmin => "platform_admin",
            Self::TeamAdmin => "team_admin",
        }
    }

    /// From its word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.as_str() == name)
    }

    /// Whether it has a permission. What it has it for is another question: [`Principal::covers`].
    pub const fn may(self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Self::PlatformAdmin => true,
            Self::Auditor => {
                matches!(permission, P::Anyone | P::Know | P::ReadGroups | P::ReadKeys | P::ReadAdmins)
            }
            Self::OrgAdmin => matches!(
                permission,
                P::Anyone
                    | P::Know
                    | P::ReadGroups
                    | P::ReadKeys
                    | P::WriteKeys
                    | P::WriteTeams
                    | P::WriteUsers
            ),
            Self::TeamAdmin => {
                matches!(
                    permission,
                    P::Anyone | P::Know | P::ReadGroups | P::ReadKeys | P::WriteKeys | P::WriteUsers
                )
            }
            Self::Developer => matches!(permission, P::Anyone | P::Know | P::ReadKeys | P::WriteKeys),
        }
    }
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Nothing: the claim code is the proof.
    Anyone,
    /// To be known.
    Know,
    /// To see organisations, teams, users, tags and what they spent.
    ReadGroups,
    /// To change organisations, tags, and limits by hand.
    WriteOrgs,
    /// To change teams.
    WriteTeams,
    /// To change users.
    WriteUsers,
    /// To see keys, never their secrets.
    ReadKeys,
    /// To make and change keys.
    WriteKeys,
    /// To see who administers.
    ReadAdmins,
    /// To make administrators.
    WriteAdmins,
}

/// Somebody who proved who he is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// For records.
    pub id: String,
    /// The public name of what he proved it with, for records.
    pub credential: String,
    /// What he is.
    pub role: Role,
    /// Of which part: everything, if absent.
    pub reach: Reach,
    /// What he may hand on at most.
    pub ceiling: Policy,
}

/// A part of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reach {
    /// An organisation; everything if absent.
    pub org: Option<String>,
    /// A team of it.
    pub team: Option<String>,
    /// A user of it.
    pub user: Option<String>,
}

impl Reach {
    /// Whether it says enough for a role: whoever is not responsible for everything must be so for something.
    pub fn fits(&self, role: Role) -> bool {
        match role {
            Role::PlatformAdmin => *self == Self::default(),
            Role::Auditor => self.user.is_none() && (self.team.is_none() || self.org.is_some()),
            Role::OrgAdmin => self.org.is_some() && self.team.is_none() && self.user.is_none(),
            Role::TeamAdmin => self.org.is_some() && self.team.is_some() && self.user.is_none(),
            Role::Developer => self.org.is_some() && self.user.is_some(),
        }
    }
}

impl Principal {
    /// Whether something that belongs there is within his reach.
    pub fn covers(&self, owner: &Owner) -> bool {
        let Reach { org, team, user } = &self.reach;
        org.as_ref().is_none_or(|org| *org == owner.org)
            && team.as_ref().is_none_or(|team| Some(team) == owner.team.as_ref())
            && user.as_ref().is_none_or(|user| Some(user) == owner.user.as_ref())
    }
}

/// An admin key, as the sealed store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminKeyRecord {
    /// Public part of its secret.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Where it holds.
    pub reach: Reach,
    /// What it may hand on at most.
    pub ceiling: Policy,
    /// Hash of its secret under the pepper.
    pub tag: [u8; 32],
    /// Until when it is good, milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// Who made it.
    pub created_by: String,
    /// When, milliseconds since 1970.
    pub created_at_ms: u64,
}
