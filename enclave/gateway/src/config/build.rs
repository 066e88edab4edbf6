//! Checks a parsed configuration and builds the [`Gateway`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ring::hmac;

use super::parse::closest;
use super::routing::KeyRoutingConfig;
use super::{
    AdmissionConfig, ConfigError, Gateway, GatewayConfig, Invalid, KeyConfig, KeyFile, SecretReference,
    SecretSource, VERSION, parse,
};
use crate::admission::key_file::{DIGEST, KeyTable, Scheme};
use crate::admission::{AllowedModels, Key, KeyRules, Level, USUAL_PRIORITY};
use crate::audit::Hex;
use crate::deployment::{Deployment, Endpoint, Exposure};
use crate::plaintext::Secret;
use crate::provider;
use crate::route::Models;
use crate::settle::Books;

mod deployments;

pub use deployments::{Address, parse_url};

mod models;

mod guardrails;

mod caches;

mod prompts;

/// Checks everything and builds the gateway; the first problem ends it.
pub fn build(config: &GatewayConfig, secrets: &dyn SecretSource) -> Result<Gateway, ConfigError> {
    if config.version != VERSION {
        return Err(value("version", format!("{VERSION}")));
    }
    let limits = &config.limits;
    let max_body_bytes = within("limits.request_body_bytes", limits.request_body_bytes, 1..=100 * MIB)?;
    let max_answer_bytes = within("limits.answer_body_bytes", limits.answer_body_bytes, 1..=1024 * MIB)?;
    let deployments = deployments::build(&config.deployments, secrets)?;
    let states = deployments::states(&config.deployments, &deployments)?;
    let sensitivity = guardrails::sensitivity(config);
    let models = models::build(&config.models, &sensitivity, &deployments, &states)?;
    let keys = keys(&config.admission, &models, secrets)?;
    let guardrails = guardrails::build(&config.guardrails, &models, secrets)?;
    let caches = caches::build(&config.cache, &models, &deployments)?;
    let known = prompts::Known { models: &models, guardrails: &guardrails, keys: &keys };
    let prompts = prompts::build(config, &known, secrets)?;
    let public = public(config, &deployments);
    Ok(Gateway {
        keys,
        governance: None,
        models,
        guardrails,
        caches,
        prompts,
        books: Arc::new(Books::default()),
        shadows: Arc::default(),
        max_body_bytes,
        max_answer_bytes,
        public,
        seed: 0,
        secret: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &[0; 32])),
        sequence: Arc::new(AtomicU64::new(0)),
    })
}

const MIB: u64 = 1024 * 1024;

type Deployments = BTreeMap<Arc<str>, Arc<Deployment>>;

fn keys(
    configured: &AdmissionConfig,
    models: &Models,
    secrets: &dyn SecretSource,
) -> Result<KeyTable, ConfigError> {
    let pepper = match &configured.pepper {
        Some(reference) => Some(read(secrets, reference, "admission.pepper")?),
        None => None,
    };
    let mut table = KeyTable::new(pepper.as_ref());
    let mut ids = std::collections::BTreeSet::new();
    let mut add = |key: &KeyConfig, path: String| {
        if !ids.insert(key.id.clone()) {
            return Err(ConfigError { path: format!("{path}.id"), problem: Invalid::Duplicate });
        }
        let (scheme, digest) = digest(key, &path, pepper.is_some())?;
        let issued = Arc::new(issued(key, &path, models)?);
        let fresh = table.insert(scheme, digest, issued);
        if fresh { Ok(()) } else { Err(ConfigError { path, problem: Invalid::Duplicate }) }
    };
    for (place, key) in configured.keys.iter().enumerate() {
        add(key, format!("admission.keys[{place}]"))?;
    }
    if let Some(reference) = &configured.key_file {
        let prefix = |path: String| format!("admission.key_file: {path}");
        let file = read(secrets, reference, "admission.key_file")?;
        let text = std::str::from_utf8(file.expose())
            .map_err(|_| value("admission.key_file", "UTF-8".to_owned()))?;
        let file: KeyFile = parse(text).map_err(|error| ConfigError { path: prefix(error.path), ..error })?;
        for (place, key) in file.keys.iter().enumerate() {
            add(key, prefix(format!("keys[{place}]")))?;
        }
    }
    if table.is_empty() && !configured.virtual_keys {
        return Err(value(
            "admission",
            "at least one key in 'keys' or 'key_file', or virtual_keys = true".to_owned(),
        ));
    }
    Ok(table)
}

fn digest(key: &KeyConfig, path: &str, pepper: bool) -> Result<(Scheme, [u8; DIGEST]), ConfigError> {
    let (scheme, name, text) = match (&key.sha256, &key.hmac_sha256) {
        (Some(text), None) => (Scheme::Sha256, "sha256", text),
        (None, Some(_)) if !pepper => {
            return Err(value(
                format!("{path}.hmac_sha256"),
                "'admission.pepper' to be configured".to_owned(),
            ));
        }
        (None, Some(text)) => (Scheme::HmacSha256, "hmac_sha256", text),
        _ => return Err(value(path, "exactly one of 'sha256' and 'hmac_sha256'".to_owned())),
    };
    let digest =
        from_hex(text).ok_or_else(|| value(format!("{path}.{name}"), "64 hexadecimal digits".to_owned()))?;
    Ok((scheme, digest))
}

fn issued(key: &KeyConfig, path: &str, models: &Models) -> Result<Key, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@/".contains(&byte);
    if key.id.is_empty() || key.id.len() > 128 || !key.id.bytes().all(plain) {
        return Err(value(format!("{path}.id"), "1 to 128 characters of A-Z a-z 0-9 . _ - @ /".to_owned()));
    }
    if key.max_in_flight == Some(0) {
        return Err(value(format!("{path}.max_in_flight"), "at least 1".to_owned()));
    }
    let allowed = allowed_models(key, path, models)?;
    let rules = rules(&key.routing, &format!("{path}.routing"))?;
    Ok(Key::new(key.id.as_str().into(), allowed, key.max_in_flight).with_rules(rules))
}

fn allowed_models(key: &KeyConfig, path: &str, models: &Models) -> Result<AllowedModels, ConfigError> {
    if key.models.iter().any(|name| name == "*") {
        let alone = key.models.len() == 1;
        return if alone {
            Ok(AllowedModels::Every)
        } else {
            Err(value(format!("{path}.models"), "either '*' or names".to_owned()))
        };
    }
    for (place, name) in key.models.iter().enumerate() {
        if models.find(name).is_none() {
            let meant = closest(name, models.iter().map(|model| model.name.as_ref()));
            return Err(unknown(format!("{path}.models[{place}]"), "model", meant));
        }
    }
    Ok(AllowedModels::These(key.models.clone()))
}

fn rules(own: &KeyRoutingConfig, path: &str) -> Result<KeyRules, ConfigError> {
    let at = |key: &str| format!("{path}.{key}");
    if own.providers.as_ref().is_some_and(Vec::is_empty) {
        return Err(value(at("providers"), "at least one provider".to_owned()));
    }
    for (place, name) in own.providers.iter().flatten().enumerate() {
        if provider::find(name).is_none() {
            let meant = closest(name, provider::names());
            return Err(unknown(format!("{path}.providers[{place}]"), "provider", meant));
        }
    }
    if own.priority.is_some_and(|priority| priority > 9) {
        return Err(value(at("priority"), "0 to 9".to_owned()));
    }
    let tier =
        match own.tier.as_deref() {
            None => None,
            Some(name) => Some(Level::from_name(name).ok_or_else(|| {
                value(at("tier"), "'simple', 'medium', 'complex' or 'reasoning'".to_owned())
            })?),
        };
    Ok(KeyRules {
        exposure_max: own.exposure_max.unwrap_or(Exposure::ProviderVisible),
        providers: own.providers.clone(),
        priority: own.priority.unwrap_or(USUAL_PRIORITY),
        tier,
        may_explain: own.explain,
    })
}

/// What every client may know, as part of what the evidence commits to.
fn public(config: &GatewayConfig, deployments: &Deployments) -> serde_json::Value {
    let deployment = |own: &Arc<Deployment>| {
        serde_json::json!({
            "provider": own.provider,
            "model": *own.model,
            "exposure": own.exposure,
            "confidentiality": own.confidentiality,
            "upstream": own.endpoint.to_string(),
            "tls_roots": tls_roots(&own.endpoint),
            "token_service": own.tokens.as_ref().map(|tokens| tokens.service.endpoint.to_string()),
            "region": own.region,
            "price": own.price,
            "cost_source": own.cost_source,
        })
    };
    let deployments: BTreeMap<_, _> =
        deployments.iter().map(|(name, own)| (name.to_string(), deployment(own))).collect();
    let guardrails: BTreeMap<_, _> = config.guardrails.iter().map(|(name, own)| (name, &own.kind)).collect();
    serde_json::json!({
        "version": VERSION,
        "limits": config.limits,
        "deployments": deployments,
        "models": config.models,
        "guardrails": guardrails,
        "prompts": prompts::public(config),
        "cache": config.cache,
        "sensitivity": config.sensitivity,
    })
}

/// SHA-256 of each certificate that alone may vouch for an upstream, as `openssl x509 -fingerprint -sha256` says it but for
/// colons and capitals.
fn tls_roots(endpoint: &Endpoint) -> Option<Vec<String>> {
    let Endpoint::Https { roots, .. } = endpoint else { return None };
    let fingerprints = roots.fingerprints()?.iter();
    Some(fingerprints.map(|own| Hex(own).to_string()).collect())
}

fn read(
    secrets: &dyn SecretSource,
    reference: &SecretReference,
    path: &str,
) -> Result<Secret<Vec<u8>>, ConfigError> {
    secrets
        .read(reference)
        .map_err(|why| ConfigError { path: path.to_owned(), problem: Invalid::Secret { why } })
}

fn within(path: &str, given: u64, bounds: std::ops::RangeInclusive<u64>) -> Result<usize, ConfigError> {
    let fits = bounds.contains(&given).then(|| usize::try_from(given).ok()).flatten();
    fits.ok_or_else(|| value(path, format!("{} to {}", bounds.start(), bounds.end())))
}

fn value(path: impl Into<String>, expected: String) -> ConfigError {
    ConfigError { path: path.into(), problem: Invalid::Value { expected } }
}

fn unknown(path: String, what: &'static str, meant: Option<String>) -> ConfigError {
    ConfigError { path, problem: Invalid::UnknownName { what, meant } }
}

fn from_hex(text: &str) -> Option<[u8; DIGEST]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)?.wrapping_shl(4) | digit(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}

const MODEL_NAME: &str = "model names of at most 256 characters of A-Z a-z 0-9 . _ : / @ + - without '..'";
