//! Keys of the configuration that say how requests are routed.

use std::collections::BTreeMap;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::deployment::Exposure;

/// A name that clients use.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// How the members are ordered; `priority` unless stated.
    #[serde(default)]
    pub strategy: StrategyConfig,
    /// Deployments, other models, or strategies of their own. `deployments` is another name for it.
    #[serde(alias = "deployments")]
    pub members: Vec<MemberConfig>,
    /// How often and how fast it is tried again.
    #[serde(default)]
    pub retry: RetryConfig,
    /// Times that are shorter than those of its deployments.
    #[serde(default)]
    pub timeouts: ModelTimeoutsConfig,
    /// Models to try in place of this one.
    #[serde(default)]
    pub fallbacks: FallbacksConfig,
    /// Waiting where everything is busy; nobody waits unless stated.
    #[serde(default)]
    pub queue: QueueConfig,
    /// Asking a second deployment while the first is slow; never unless stated.
    #[serde(default)]
    pub hedge: Option<HedgeConfig>,
    /// How fast streams have to begin; however they do unless stated.
    #[serde(default)]
    pub throughput: Option<ThroughputConfig>,
    /// A deployment on trial, which gets copies of requests; none unless stated.
    #[serde(default)]
    pub shadow: Option<ShadowConfig>,
}

/// Copies of some requests for a deployment whose answers nobody gets: only their numbers are kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowConfig {
    /// The deployment. It gets copies of those requests only that it may see as much as whoever answers them.
    #[serde(rename = "use")]
    pub deployment: String,
    /// Share of requests; 1 unless stated.
    #[serde(default)]
    pub percent: Option<u32>,
    /// Most copies at the same time; 4 unless stated. What is beyond is left out.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// Most copies in a minute; 60 unless stated.
    #[serde(default)]
    pub requests_per_minute: Option<u64>,
}

/// A stream that begins slower than this is given up for another deployment, while one is left to try. Its beginning is held
/// back until that is known.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ThroughputConfig {
    /// Tokens a second, guessed from events and bytes; 1 to 10,000.
    pub tokens_per_second: u32,
    /// Judged at the latest so long after the first content, in milliseconds; 5,000 unless stated.
    #[serde(default)]
    pub within_ms: Option<u64>,
}

/// Waiting where everything is busy.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Most requests that wait; 0 to 1,000.
    pub length: usize,
    /// Longest wait, in milliseconds; 10,000 unless stated.
    pub wait_ms: Option<u64>,
}

/// Asking a second deployment. It costs up to twice the tokens; both are counted.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HedgeConfig {
    /// `parallel`: both at once. `delayed`: the second when the first is slow.
    pub mode: HedgeMode,
    /// For `delayed`: after so long; the first deployment's own 95th percentile unless stated.
    #[serde(default)]
    pub delay_ms: Option<u64>,
    /// Most hedges as a percentage of requests; 5 unless stated.
    #[serde(default)]
    pub budget_percent: Option<u32>,
    /// For which answers; both unless stated.
    #[serde(default)]
    pub scope: HedgeScope,
}

/// When the second call starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HedgeMode {
    /// When the first is slow.
    Delayed,
    /// With the first.
    Parallel,
}

/// Which answers are hedged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HedgeScope {
    /// All.
    #[default]
    Both,
    /// Buffered ones.
    Buffered,
    /// Streams.
    Stream,
}

/// How often and how fast a model's requests are tried again.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Attempts for one request, all deployments together; 3 unless stated.
    pub max_attempts: Option<u32>,
    /// Further attempts at a deployment that failed; 1 unless stated.
    pub per_deployment: Option<u32>,
    /// Wait before such an attempt, doubled each time; 500 unless stated.
    pub base_ms: Option<u64>,
    /// Longest such wait; 5,000 unless stated.
    pub longest_ms: Option<u64>,
    /// Longest wait that a provider's advice can cause; 10,000 unless stated.
    pub longest_advised_ms: Option<u64>,
}

/// Times of a model, in milliseconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelTimeoutsConfig {
    /// To the first content of a stream.
    pub first_content_ms: Option<u64>,
    /// Between two pieces of an answer.
    pub stall_ms: Option<u64>,
    /// For everything, all attempts together.
    pub total_ms: Option<u64>,
}

/// Models to try in place of one, by the reason. None unless stated. A key must be allowed them too.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FallbacksConfig {
    /// Where the prompt is too long.
    pub context_window: Vec<String>,
    /// Where the provider's rules are against the content.
    pub content_policy: Vec<String>,
}

/// A strategy by its name, or with settings: `{ kind = "least_latency", buffer_percent = 10 }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StrategyConfig {
    /// A registered strategy.
    pub kind: String,
    /// For `least_latency`: members so close to each other count as equals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_percent: Option<u32>,
    /// For `canary`: share of traffic of the second member; 5 unless stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_percent: Option<u32>,
    /// For `canary`: calls within half a minute before it is judged; 20 unless stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_calls: Option<u32>,
    /// For `canary`: it is rolled back when it fails more often by so many percentage points; 10 unless stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worse_by_percent: Option<u32>,
    /// For `sensitivity`: how far labelled content may be exposed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ceilings: BTreeMap<String, Exposure>,
}

/// A member by its name (a deployment, else a model), or with settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemberConfig {
    /// A deployment, or a model if no deployment has that name.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In place of `use`: how its own members are ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyConfig>,
    /// In place of `use`: its own members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Self>,
    /// For `weighted`: its share; 1 unless stated, 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// For `conditional`: when it is chosen; none for the last, which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// For `complexity`: the hardest questions it gets (`simple`, `medium`, `complex`); none for the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<String>,
}

/// When a deployment is taken out.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// After so many failures in a row; 5 unless stated.
    pub consecutive_failures: Option<u32>,
    /// Or at this percentage of failures within half a minute; 50 unless stated.
    pub failure_percent: Option<u32>,
    /// Of so many calls at least; 20 unless stated.
    pub minimum_calls: Option<u32>,
    /// For how long at first; 5,000 unless stated. Doubles with each trip.
    pub open_ms: Option<u64>,
    /// For how long at most; 300,000 unless stated.
    pub longest_open_ms: Option<u64>,
}

/// What routing needs to know of a key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyRoutingConfig {
    /// How far its content may be exposed; `provider_visible` unless stated.
    pub exposure_max: Option<Exposure>,
    /// Providers it may use; all unless stated.
    pub providers: Option<Vec<String>>,
    /// 0 (first) to 9; 5 unless stated.
    pub priority: Option<u8>,
    /// For `complexity`: how hard its questions are, in place of a guess.
    pub tier: Option<String>,
    /// Whether it may send `postern-explain`.
    pub explain: bool,
}

impl Default for StrategyConfig {
    fn default() -> Self {
        Self {
            kind: "priority".to_owned(),
            buffer_percent: None,
            canary_percent: None,
            minimum_calls: None,
            worse_by_percent: None,
            ceilings: BTreeMap::new(),
        }
    }
}

impl<'de> Deserialize<'de> for StrategyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            kind: String,
            buffer_percent: Option<u32>,
            canary_percent: Option<u32>,
            minimum_calls: Option<u32>,
            worse_by_percent: Option<u32>,
            #[serde(default)]
            ceilings: BTreeMap<String, Exposure>,
        }
        impl NameOrTable for Table {
            const EXPECTED: &'static str = "the name of a strategy, or a table with 'kind'";
        }
        let table = match name_or_table::<Table, D>(deserializer)? {
            Either::Name(kind) => return Ok(Self { kind, ..Self::default() }),
            Either::Table(table) => table,
        };
        Ok(Self {
            kind: table.kind,
            buffer_percent: table.buffer_percent,
            canary_percent: table.canary_percent,
            minimum_calls: table.minimum_calls,
            worse_by_percent: table.worse_by_percent,
            ceilings: table.ceilings,
        })
    }
}

impl<'de> Deserialize<'de> for MemberConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            #[serde(rename = "use")]
            name: Option<String>,
            strategy: Option<StrategyConfig>,
            #[serde(default)]
            members: Vec<MemberConfig>,
            weight: Option<u32>,
            when: Option<String>,
            up_to: Option<String>,
        }
        impl NameOrTable for Table {
            const EXPECTED: &'static str =
                "the name of a deployment or model, or a table with 'use' or 'members'";
        }
        let table = match name_or_table::<Table, D>(deserializer)? {
            Either::Name(name) => return Ok(Self { name: Some(name), ..Self::default() }),
            Either::Table(table) => table,
        };
        Ok(Self {
            name: table.name,
            strategy: table.strategy,
            members: table.members,
            weight: table.weight,
            when: table.when,
            up_to: table.up_to,
        })
    }
}

/// A table that can also be written as one word.
trait NameOrTable {
    const EXPECTED: &'static str;
}

enum Either<T> {
    Name(String),
    Table(T),
}

fn name_or_table<'de, T, D>(deserializer: D) -> Result<Either<T>, D::Error>
where
    T: Deserialize<'de> + NameOrTable,
    D: Deserializer<'de>,
{
    struct Words<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de> + NameOrTable> Visitor<'de> for Words<T> {
        type Value = Either<T>;

        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str(T::EXPECTED)
        }

        fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
            Ok(Either::Name(name.to_owned()))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Either::Table)
        }
    }
    deserializer.deserialize_any(Words(std::marker::PhantomData))
}
