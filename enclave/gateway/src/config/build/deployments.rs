//! Checks deployments: provider, address, credential, timeouts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::models::States;
use super::{Deployments, read, unknown, value};
use crate::config::parse::closest;
use crate::config::routing::BreakerConfig;
use crate::config::{AuthenticationConfig, ConfigError, DeploymentConfig, SecretSource, TimeoutsConfig};
use crate::deployment::{
    AwsKeys, Confidentiality, Credential, Deployment, Endpoint, Exposure, Limits, Timeouts,
};
use crate::plaintext::Secret;
use crate::price::Price;
use crate::price::catalogue::Catalogue;
use crate::provider::azure_openai::AzureOpenAi;
use crate::provider::{self, Access, Authentication, Naming, Provider};
use crate::route::health::Health;
use crate::route::health::breaker::BreakerSettings;
use crate::wire::is_model_name;

mod price;

pub(super) fn build(
    configured: &BTreeMap<String, DeploymentConfig>,
    secrets: &dyn SecretSource,
) -> Result<Deployments, ConfigError> {
    let catalogue = Catalogue::load()
        .map_err(|_| value("", "the price catalogue of this build in its format".to_owned()))?;
    let mut deployments = Deployments::new();
    for (name, own) in configured {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(value("deployments", "names of 1 to 64 characters of A-Z a-z 0-9 . _ -".to_owned()));
        }
        let built = one(name, own, &catalogue, secrets)?;
        deployments.insert(name.as_str().into(), Arc::new(built));
    }
    Ok(deployments)
}

fn one(
    name: &str,
    own: &DeploymentConfig,
    catalogue: &Catalogue,
    secrets: &dyn SecretSource,
) -> Result<Deployment, ConfigError> {
    let path = |key: &str| format!("deployments.{name}.{key}");
    let provider = provider::find(&own.provider)
        .ok_or_else(|| unknown(path("provider"), "provider", closest(&own.provider, provider::names())))?;
    if !is_model_name(&own.model) {
        return Err(value(path("model"), super::MODEL_NAME.to_owned()));
    }
    let access = access(name, own, provider)?;
    let address = address(own, access).map_err(|expected| value(path("base_url"), expected.to_owned()))?;
    let confidentiality = match &address.endpoint {
        Endpoint::Builtin => Confidentiality::Internal,
        Endpoint::Http { .. } => Confidentiality::Plain,
        Endpoint::Https { .. } => Confidentiality::WebPki,
    };
    let internal = confidentiality == Confidentiality::Internal;
    if own.tokens_per_second.is_some_and(|rate| !internal || rate == 0 || rate > 100_000) {
        let expected = "1 to 100000, for provider 'builtin' only";
        return Err(value(path("tokens_per_second"), expected.to_owned()));
    }
    let exposure = exposure(name, own, internal)?;
    labels(name, own)?;
    let naming = Naming { model: &own.model, api_version: own.api_version.as_deref() };
    let base_path = provider
        .base_path(address.path, &naming)
        .map_err(|expected| value(path("api_version"), expected.to_owned()))?;
    let proof = credential(name, own, access, secrets)?;
    let known = catalogue.find(provider.name(), own.base_model.as_deref().unwrap_or(&own.model));
    let price = match &own.price {
        Some(stated) => Some(Arc::new(price::stated(name, stated)?)),
        None if internal => Some(Arc::new(Price::nothing())),
        None => known.as_ref().map(|known| Arc::new(known.price.clone())),
    };
    Ok(Deployment {
        name: name.into(),
        provider: provider.name(),
        model: own.model.as_str().into(),
        // Model names need no escaping.
        model_json: format!("\"{}\"", own.model).into(),
        endpoint: address.endpoint,
        base_path: base_path.into(),
        credential: proof.credential,
        aws_keys: proof.aws_keys,
        confidentiality,
        exposure,
        timeouts: timeouts(name, &own.timeouts)?,
        api_version: own.api_version.as_deref().map(Into::into),
        cache_salt: own.cache_salt.unwrap_or_else(|| provider.salts_by_default()),
        price,
        on_unsupported: own.on_unsupported,
        capabilities: own.capabilities.clone(),
        context_tokens: own.context_tokens.or_else(|| known.as_ref().and_then(|known| known.context_tokens)),
        max_output_tokens: own
            .max_output_tokens
            .or_else(|| known.as_ref().and_then(|known| known.max_output_tokens)),
        region: own.region.as_deref().map(Into::into),
        tags: own.tags.iter().map(|tag| tag.as_str().into()).collect(),
        limits: limits(name, own)?,
        tokens_per_second: own.tokens_per_second,
    })
}

/// A fresh state for each deployment.
pub(super) fn states(
    configured: &BTreeMap<String, DeploymentConfig>,
    deployments: &Deployments,
) -> Result<States, ConfigError> {
    let mut states = States::new();
    for (name, deployment) in deployments {
        let Some(own) = configured.get(&**name) else { continue };
        let breaker = breaker(name, &own.breaker)?;
        states.insert(Arc::clone(name), Arc::new(Health::new(breaker, deployment.limits)));
    }
    Ok(states)
}

fn breaker(name: &str, own: &BreakerConfig) -> Result<BreakerSettings, ConfigError> {
    let usual = BreakerSettings::default();
    let within = |key: &str, given: Option<u32>, usual: u32, most: u32| match given {
        None => Ok(usual),
        Some(own) if (1..=most).contains(&own) => Ok(own),
        Some(_) => Err(value(format!("deployments.{name}.breaker.{key}"), format!("1 to {most}"))),
    };
    let time = |key: &str, given: Option<u64>, usual: Duration| match given {
        None => Ok(usual),
        Some(ms) if (1..=3_600_000).contains(&ms) => Ok(Duration::from_millis(ms)),
        Some(_) => Err(value(format!("deployments.{name}.breaker.{key}"), "1 to 3600000".to_owned())),
    };
    Ok(BreakerSettings {
        consecutive_failures: within(
            "consecutive_failures",
            own.consecutive_failures,
            usual.consecutive_failures,
            1000,
        )?,
        minimum_calls: within("minimum_calls", own.minimum_calls, usual.minimum_calls, 100_000)?,
        failure_percent: within("failure_percent", own.failure_percent, usual.failure_percent, 100)?,
        open: time("open_ms", own.open_ms, usual.open)?,
        longest_open: time("longest_open_ms", own.longest_open_ms, usual.longest_open)?,
    })
}

/// How far content is exposed: as stated, but never better than what was proved.
fn exposure(name: &str, own: &DeploymentConfig, internal: bool) -> Result<Exposure, ConfigError> {
    match own.exposure {
        None if internal => Ok(Exposure::Attested),
        None => Ok(Exposure::ProviderVisible),
        Some(Exposure::Attested) if !internal => {
            let expected = "'contract_zdr' or 'provider_visible': nothing attests this upstream";
            Err(value(format!("deployments.{name}.exposure"), expected.to_owned()))
        }
        Some(stated) => Ok(stated),
    }
}

/// How the provider is reached, with what the configuration may say about it.
fn access(name: &str, own: &DeploymentConfig, provider: &dyn Provider) -> Result<Access, ConfigError> {
    let path = |key: &str| format!("deployments.{name}.{key}");
    let versioned = provider.name() == AzureOpenAi.name();
    if !versioned && own.authentication.is_some() {
        return Err(value(path("authentication"), "nothing: this provider has one way only".to_owned()));
    }
    let plain = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        versioned && !text.is_empty() && text.len() <= 32 && text.bytes().all(plain)
    };
    if own.api_version.as_deref().is_some_and(|text| !plain(text)) {
        return Err(value(
            path("api_version"),
            "a version such as '2024-10-21', for 'azure_openai' only".to_owned(),
        ));
    }
    let access = provider.access();
    Ok(match own.authentication {
        Some(AuthenticationConfig::Bearer) => Access { authentication: Authentication::Bearer, ..access },
        Some(AuthenticationConfig::ApiKey) | None => access,
    })
}

struct Address {
    endpoint: Endpoint,
    path: String,
}

fn address(own: &DeploymentConfig, access: Access) -> Result<Address, &'static str> {
    if access.authentication == Authentication::Internal {
        let none = own.base_url.is_none();
        return if none {
            Ok(Address { endpoint: Endpoint::Builtin, path: "/v1".to_owned() })
        } else {
            Err("no address: this provider is built in")
        };
    }
    let url = own
        .base_url
        .as_deref()
        .or(access.base_url)
        .ok_or("an address such as 'https://api.example.com/v1'")?;
    let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("'https://' or 'http://' first"),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = path.trim_end_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if !path.bytes().all(plain) || path.contains("..") || path.contains("//") {
        return Err("a plain path, without query, escapes or '..'");
    }
    let (host, port) = host_and_port(authority, if tls { 443 } else { 80 })?;
    if !tls && !own.allow_plain_http && !is_loopback(&host) {
        return Err("'https://', or a loopback address, or 'allow_plain_http = true'");
    }
    let host: Arc<str> = host.into();
    let endpoint = if tls { Endpoint::Https { host, port } } else { Endpoint::Http { host, port } };
    Ok(Address { endpoint, path: path.to_owned() })
}

/// A name, an IPv4 address or a bracketed IPv6 address (returned without brackets), perhaps with a port.
fn host_and_port(authority: &str, default: u16) -> Result<(String, u16), &'static str> {
    let expected = "a host name or address, perhaps with a port, without user or password";
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(expected)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| expected)?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")).ok_or(expected)?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(plain);
    if !is_name && !authority.starts_with('[') {
        return Err(expected);
    }
    let given = if port.is_empty() { Ok(default) } else { port.parse() };
    let port = given.ok().filter(|port| *port != 0).ok_or("a port from 1 to 65535")?;
    Ok((host.to_ascii_lowercase(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// How a deployment proves who it is to its provider.
#[derive(Default)]
struct Proof {
    credential: Option<Credential>,
    aws_keys: Option<AwsKeys>,
}

fn credential(
    name: &str,
    own: &DeploymentConfig,
    access: Access,
    secrets: &dyn SecretSource,
) -> Result<Proof, ConfigError> {
    let path = format!("deployments.{name}.credential");
    let reference = match (access.authentication, &own.credential) {
        (Authentication::AwsKeys | Authentication::Bearer | Authentication::Header(_), None) => {
            return Err(value(path, "a reference to the provider's API key".to_owned()));
        }
        (Authentication::Internal, Some(_)) => {
            return Err(value(path, "no credential: this provider is built in".to_owned()));
        }
        (_, None) => return Ok(Proof::default()),
        (_, Some(reference)) => reference,
    };
    let secret = read(secrets, reference, &path)?;
    let bare = secret.expose().trim_ascii();
    if access.authentication == Authentication::AwsKeys && bare.starts_with(b"{") {
        let expected = "JSON with AccessKeyId and SecretAccessKey, or a Bedrock API key";
        let keys = AwsKeys::parse(bare).ok_or_else(|| value(path, expected.to_owned()))?;
        return Ok(Proof { aws_keys: Some(keys), ..Proof::default() });
    }
    if bare.is_empty() || !bare.iter().all(u8::is_ascii_graphic) {
        return Err(value(path, "a secret of visible ASCII characters".to_owned()));
    }
    let (header, scheme) = match access.authentication {
        Authentication::Header(name) => (name, b"".as_slice()),
        Authentication::AwsKeys
        | Authentication::Bearer
        | Authentication::Internal
        | Authentication::OptionalBearer => ("authorization", b"Bearer ".as_slice()),
    };
    let whole = Zeroizing::new([scheme, bare].concat());
    let value = Arc::new(Secret::new(whole.to_vec()));
    let credential = Credential { header, value, scheme_length: scheme.len() };
    Ok(Proof { credential: Some(credential), ..Proof::default() })
}

/// Region and tags go into policies and headers: plain words only.
fn labels(name: &str, own: &DeploymentConfig) -> Result<(), ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let word = |text: &str| !text.is_empty() && text.len() <= 64 && text.bytes().all(plain);
    let expected = || "1 to 64 characters of A-Z a-z 0-9 . _ -".to_owned();
    if own.region.as_deref().is_some_and(|region| !word(region)) {
        return Err(value(format!("deployments.{name}.region"), expected()));
    }
    match own.tags.iter().position(|tag| !word(tag)) {
        Some(place) => Err(value(format!("deployments.{name}.tags[{place}]"), expected())),
        None => Ok(()),
    }
}

/// Bounds of zero would be deployments that serve nothing.
fn limits(name: &str, own: &DeploymentConfig) -> Result<Limits, ConfigError> {
    let given = &own.limits;
    for (key, bound) in [
        ("context_tokens", own.context_tokens),
        ("max_output_tokens", own.max_output_tokens),
        ("limits.max_in_flight", given.max_in_flight.map(u64::from)),
        ("limits.requests_per_minute", given.requests_per_minute),
        ("limits.tokens_per_minute", given.tokens_per_minute),
    ] {
        if bound == Some(0) {
            return Err(value(format!("deployments.{name}.{key}"), "at least 1".to_owned()));
        }
    }
    Ok(Limits {
        max_in_flight: given.max_in_flight,
        requests_per_minute: given.requests_per_minute,
        tokens_per_minute: given.tokens_per_minute,
    })
}

fn timeouts(name: &str, own: &TimeoutsConfig) -> Result<Timeouts, ConfigError> {
    let read = |key: &str, given: Option<u64>, default: Duration| match given {
        None => Ok(default),
        Some(ms) if (1..=3_600_000).contains(&ms) => Ok(Duration::from_millis(ms)),
        Some(_) => Err(value(format!("deployments.{name}.timeouts.{key}"), "1 to 3600000".to_owned())),
    };
    let default = Timeouts::default();
    Ok(Timeouts {
        connect: read("connect_ms", own.connect_ms, default.connect)?,
        response_head: read("response_head_ms", own.response_head_ms, default.response_head)?,
        first_content: read("first_content_ms", own.first_content_ms, default.first_content)?,
        stall: read("stall_ms", own.stall_ms, default.stall)?,
        total: read("total_ms", own.total_ms, default.total)?,
    })
}
