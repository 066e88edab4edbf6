//! Checks a parsed configuration and builds the [`Gateway`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::parse::closest;
use super::{
    AdmissionConfig, CacheConfig, ConfigError, Gateway, GatewayConfig, GuardrailConfig, Invalid, KeyConfig,
    KeyFile, ModelConfig, SecretReference, SecretSource, VERSION, parse,
};
use crate::admission::key_file::{DIGEST, KeyTable, Scheme};
use crate::admission::{AllowedModels, Key};
use crate::cache::exact::ExactCache;
use crate::deployment::Deployment;
use crate::guardrail::{GUARDRAILS, Guardrails, Settings};
use crate::plaintext::Secret;
use crate::route::{Model, Models, strategy};
use crate::settle::Books;
use crate::wire::is_model_name;

mod deployments;

/// Checks everything and builds the gateway; the first problem ends it.
pub fn build(config: &GatewayConfig, secrets: &dyn SecretSource) -> Result<Gateway, ConfigError> {
    if config.version != VERSION {
        return Err(value("version", format!("{VERSION}")));
    }
    let limits = &config.limits;
    let max_body_bytes = within("limits.request_body_bytes", limits.request_body_bytes, 1..=100 * MIB)?;
    let max_answer_bytes = within("limits.answer_body_bytes", limits.answer_body_bytes, 1..=1024 * MIB)?;
    let deployments = deployments::build(&config.deployments, secrets)?;
    let models = models(&config.models, &deployments)?;
    let keys = keys(&config.admission, &models, secrets)?;
    let guardrails = guardrails(&config.guardrails)?;
    let cache = cache(&config.cache)?;
    let public = public(config, &deployments);
    Ok(Gateway {
        keys,
        models,
        guardrails,
        cache,
        books: Arc::new(Books::default()),
        max_body_bytes,
        max_answer_bytes,
        public,
        seed: 0,
        sequence: AtomicU64::new(0),
    })
}

const MIB: u64 = 1024 * 1024;

type Deployments = BTreeMap<Arc<str>, Arc<Deployment>>;

fn models(
    configured: &BTreeMap<String, ModelConfig>,
    deployments: &Deployments,
) -> Result<Models, ConfigError> {
    if configured.is_empty() {
        return Err(value("models", "at least one model".to_owned()));
    }
    let mut models = Models::default();
    for (name, own) in configured {
        let path = |key: &str| format!("models.{name}{key}");
        if !is_model_name(name) {
            return Err(value("models", MODEL_NAME.to_owned()));
        }
        let strategy = strategy::find(&own.strategy).ok_or_else(|| {
            let known = strategy::STRATEGIES.iter().map(|strategy| strategy.name());
            unknown(path(".strategy"), "strategy", closest(&own.strategy, known))
        })?;
        if own.deployments.is_empty() {
            return Err(value(path(".deployments"), "at least one deployment".to_owned()));
        }
        let find = |(place, wanted): (usize, &String)| {
            deployments.get(wanted.as_str()).cloned().ok_or_else(|| {
                let known = deployments.keys().map(AsRef::as_ref);
                unknown(path(&format!(".deployments[{place}]")), "deployment", closest(wanted, known))
            })
        };
        let members = own.deployments.iter().enumerate().map(find).collect::<Result<Vec<_>, _>>()?;
        models.insert(Model { name: name.as_str().into(), strategy, deployments: members });
    }
    Ok(models)
}

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
    if table.is_empty() {
        return Err(value("admission", "at least one key, in 'keys' or 'key_file'".to_owned()));
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
    if key.models.iter().any(|name| name == "*") {
        let alone = key.models.len() == 1;
        let every = Key::new(key.id.as_str().into(), AllowedModels::Every, key.max_in_flight);
        return if alone {
            Ok(every)
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
    Ok(Key::new(key.id.as_str().into(), AllowedModels::These(key.models.clone()), key.max_in_flight))
}

fn guardrails(configured: &BTreeMap<String, GuardrailConfig>) -> Result<Guardrails, ConfigError> {
    let mut guardrails = Guardrails::default();
    for (name, own) in configured {
        let kind = GUARDRAILS.iter().find(|kind| kind.name() == own.kind).ok_or_else(|| {
            let known = GUARDRAILS.iter().map(|kind| kind.name());
            unknown(format!("guardrails.{name}.kind"), "kind of guardrail", closest(&own.kind, known))
        })?;
        let settings = Settings { phrases: own.phrases.clone() };
        let wrong = |what: &str| value(format!("guardrails.{name}"), what.to_owned());
        guardrails.push(name.as_str().into(), kind.configure(&settings).map_err(wrong)?);
    }
    Ok(guardrails)
}

fn cache(configured: &CacheConfig) -> Result<Option<ExactCache>, ConfigError> {
    let Some(exact) = &configured.exact else { return Ok(None) };
    within("cache.exact.ttl_seconds", exact.ttl_seconds, 1..=86_400)?;
    let max_bytes = within("cache.exact.max_bytes", exact.max_bytes, 64 * 1024..=1024 * MIB)?;
    Ok(Some(ExactCache::new(Duration::from_secs(exact.ttl_seconds), max_bytes)))
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
            "region": own.region,
            "price": own.price,
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
        "cache": config.cache,
    })
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
