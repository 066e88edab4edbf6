use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::admission::{AllowedModels, Key, KeyRules};
use crate::config::{ConfigError, Gateway, GatewayConfig, SecretError, SecretReference, SecretSource};
use crate::plaintext::{Plaintext, Secret};
use crate::route::health::Flight;
use crate::wire::{Request, WIRES};

mod filters;

mod orders;

mod trees;

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn read(&self, _: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
        Err(SecretError::Missing)
    }
}

const KEYS: &str = r#"
version = 1
[[admission.keys]]
id = "a"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
models = ["*"]
"#;

/// A configuration with these deployments (name, more settings) and more TOML.
fn load(deployments: &[(&str, &str)], more: &str) -> Result<Gateway, ConfigError> {
    let mut text = KEYS.to_owned();
    for (name, settings) in deployments {
        text += format!(
            "[deployments.{name}]\nprovider = \"openai_compatible\"\nmodel = \"m\"\nbase_url = \"http://127.0.0.1:9\"\n{settings}\n"
        )
        .as_str();
    }
    text += more;
    let config: GatewayConfig = crate::config::parse(&text)?;
    crate::config::build(&config, &NoSecrets)
}

/// One model to ask, with a clock and dice.
struct World {
    gateway: Gateway,
    now: Now,
    dice: Dice,
}

/// One question, before it is asked.
struct Ask {
    body: String,
    rules: KeyRules,
    wishes: Wishes,
    labels: Vec<Arc<str>>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            body: r#"{"model":"smart","messages":[{"role":"user","content":"x"}]}"#.to_owned(),
            rules: KeyRules::default(),
            wishes: Wishes::default(),
            labels: Vec::new(),
        }
    }
}

impl Ask {
    fn with(more: &str) -> Self {
        let body = format!(r#"{{"model":"smart","messages":[{{"role":"user","content":"x"}}],{more}}}"#);
        Self { body, ..Self::default() }
    }

    fn request(&self) -> Request {
        let chat = WIRES.iter().find(|wire| wire.name() == "openai_chat").unwrap();
        chat.parse(crate::wire::Asked::default(), Plaintext::new(Bytes::from(self.body.clone()))).unwrap()
    }
}

impl World {
    fn new(deployments: &[(&str, &str)], model: &str) -> Self {
        let gateway = load(deployments, model).unwrap_or_else(|error| panic!("{error}"));
        Self { gateway, now: at(1000), dice: Dice::new(7) }
    }

    fn model(&self) -> &Arc<Model> {
        self.gateway.models().find("smart").expect("the model of every test")
    }

    fn health(&self, name: &str) -> &Arc<health::Health> {
        let leaf = self.model().leaves.iter().find(|leaf| &*leaf.deployment.name == name);
        &leaf.expect("a deployment of the model").health
    }

    /// Names of deployments in the order of trying.
    fn order(&self, ask: &Ask) -> Result<Vec<String>, Error> {
        self.decide(ask, &mut |_, _| {}).map(|(names, _)| names)
    }

    fn decide(&self, ask: &Ask, report: &mut dyn FnMut(&Leaf, Filter)) -> Result<(Vec<String>, bool), Error> {
        let request = ask.request();
        let key = Key::new("a".into(), AllowedModels::Every, None).with_rules(ask.rules.clone());
        let model = self.model();
        let question = Question {
            request: &request,
            key: &key,
            wishes: &ask.wishes,
            labels: &ask.labels,
            now: self.now,
            dice: &self.dice,
            leaves: &model.leaves,
            features: &FeaturesOnce::new(&request),
        };
        let decided = decide(&question, model, self.gateway.models().ceilings(), report)?;
        let name = |place: &usize| model.leaves[*place].deployment.name.to_string();
        Ok((decided.order.places().iter().map(name).collect(), decided.relaxed))
    }

    /// How often each deployment came first.
    fn firsts(&self, ask: &Ask, times: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..times {
            let first = self.order(ask).expect("an order").remove(0);
            *counts.entry(first).or_default() += 1;
        }
        counts
    }

    fn begin(&self, name: &str) -> Flight {
        self.health(name).begin(10, true, self.now).expect("overruled")
    }

    fn fail(&self, name: &str, times: usize) {
        for _ in 0..times {
            self.begin(name).failed(Duration::from_secs(1), self.now);
        }
    }

    fn answer(&self, name: &str, after: Duration) {
        self.begin(name).reached(after, self.now);
    }
}

const fn at(seconds: u64) -> Now {
    Now { unix_ms: seconds * 1000, monotonic: Duration::from_secs(seconds) }
}

const THREE: &[(&str, &str)] = &[("a", ""), ("b", ""), ("c", "")];
