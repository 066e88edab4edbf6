//! Checks deployments: provider, address, credential, timeouts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::models::States;
use super::{Deployments, read, unknown, value};
use crate::config::deployment::ProbeConfig;
use crate::config::parse::closest;
use crate::config::routing::BreakerConfig;
use crate::config::{AuthenticationConfig, ConfigError, DeploymentConfig, SecretSource, TimeoutsConfig};
use crate::deployment::{
    Confidentiality, Deployment, Endpoint, Exposure, Limits, OwnRoots, Probe, Timeouts, TlsRoots,
};
use crate::price::CostSource;
use crate::price::catalogue::Catalogue;
use crate::provider::azure_openai::AzureOpenAi;
use crate::provider::vertex::Vertex;
use crate::provider::{self, Access, Authentication, Issuer, Naming, Provider, Wanted};
use crate::route::health::Health;
use crate::route::health::breaker::BreakerSettings;
use crate::wire::is_model_name;

mod address;

mod credential;

mod price;

pub use address::{Address, parse_url};

/// Where a service that serves no model is: where to connect, and the beginning of its paths.
pub(super) fn service_address(url: &str, plain: bool) -> Result<(Endpoint, String), &'static str> {
    parse_url(url, plain).map(|own| (own.endpoint, own.path))
}

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
    labels(name, own)?;
    let naming = naming(own);
    let wanted = |wanted: Wanted| value(path(wanted.key), wanted.expected.to_owned());
    let usual = match &own.base_url {
        Some(_) => None,
        None => provider.base_url(&naming).map_err(wanted)?,
    };
    let address = place(name, own, access, usual.as_deref())?;
    let confidentiality = Confidentiality::of(&address.endpoint);
    let internal = confidentiality == Confidentiality::Internal;
    let exposure = exposure(name, own, internal)?;
    let base_path = provider.base_path(address.path, &naming).map_err(wanted)?;
    let proof = credential::proof(name, own, access, secrets)?;
    let known = catalogue.find(provider.name(), own.base_model.as_deref().unwrap_or(&own.model));
    let price = price::of(name, own, internal, known.as_ref())?;
    let deployment = Deployment {
        name: name.into(),
        provider: provider.name(),
        model: own.model.as_str().into(),
        // Model names need no escaping.
        model_json: format!("\"{}\"", own.model).into(),
        endpoint: address.endpoint,
        base_path: base_path.into(),
        credential: proof.credential,
        aws_keys: proof.aws_keys,
        tokens: proof.tokens,
        confidentiality,
        exposure,
        timeouts: timeouts(name, &own.timeouts)?,
        api_version: own.api_version.as_deref().map(Into::into),
        cache_salt: own.cache_salt.unwrap_or_else(|| provider.salts_by_default()),
        price,
        cost_source: own.cost_source.unwrap_or_else(|| {
            let reports = own.price.is_none() && provider.reports_cost();
            if reports { CostSource::Reported } else { CostSource::Computed }
        }),
        on_unsupported: own.on_unsupported,
        capabilities: own.capabilities.clone(),
        context_tokens: own.context_tokens.or_else(|| known.as_ref().and_then(|known| known.context_tokens)),
        max_output_tokens: own
            .max_output_tokens
            .or_else(|| known.as_ref().and_then(|known| known.max_output_tokens)),
        region: own.region.as_deref().map(Into::into),
        tags: own.tags.iter().map(|tag| tag.as_str().into()).collect(),
        limits: limits(name, own)?,
        probe: probe(name, own.probe)?,
        tokens_per_second: pace(name, own, internal)?,
    };
    provider.check(&deployment).map_err(wanted)?;
    may_be_probed(&deployment, provider)?;
    Ok(deployment)
}

/// Events per second of the built-in model.
fn pace(name: &str, own: &DeploymentConfig, internal: bool) -> Result<Option<u32>, ConfigError> {
    if own.tokens_per_second.is_some_and(|rate| !internal || rate == 0 || rate > 100_000) {
        let expected = "1 to 100000, for provider 'builtin' only";
        return Err(value(format!("deployments.{name}.tokens_per_second"), expected.to_owned()));
    }
    Ok(own.tokens_per_second)
}

fn may_be_probed(deployment: &Deployment, provider: &dyn Provider) -> Result<(), ConfigError> {
    if deployment.probe.is_none() || provider.listing(deployment).is_some() {
        return Ok(());
    }
    let expected = "nothing: this provider has no list of models that could be asked for".to_owned();
    Err(value(format!("deployments.{}.probe", deployment.name), expected))
}

fn probe(name: &str, own: Option<ProbeConfig>) -> Result<Option<Probe>, ConfigError> {
    let Some(own) = own else { return Ok(None) };
    let time = |key: &str, given: Option<u64>, usual: Duration| match given {
        None => Ok(usual),
        Some(ms) if (1000..=3_600_000).contains(&ms) => Ok(Duration::from_millis(ms)),
        Some(_) => Err(value(format!("deployments.{name}.probe.{key}"), "1000 to 3600000".to_owned())),
    };
    let interval = time("interval_ms", own.interval_ms, Duration::from_secs(30))?;
    let counts = time("counts_ms", own.counts_ms, interval.saturating_mul(3))?;
    if counts < interval {
        let expected = "at least interval_ms: between two probes nothing would be known".to_owned();
        return Err(value(format!("deployments.{name}.probe.counts_ms"), expected));
    }
    Ok(Some(Probe { interval, counts }))
}

fn naming(own: &DeploymentConfig) -> Naming<'_> {
    Naming {
        model: &own.model,
        api_version: own.api_version.as_deref(),
        project: own.project.as_deref(),
        region: own.region.as_deref(),
    }
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
    if own.project.is_some() && provider.name() != Vertex.name() {
        return Err(value(path("project"), "nothing: it is for 'vertex' only".to_owned()));
    }
    let access = provider.access();
    Ok(match own.authentication {
        Some(AuthenticationConfig::Entra) => {
            Access { authentication: Authentication::Tokens(Issuer::Entra), ..access }
        }
        Some(AuthenticationConfig::Bearer) => Access { authentication: Authentication::Bearer, ..access },
        Some(AuthenticationConfig::ApiKey) | None => access,
    })
}

fn address(own: &DeploymentConfig, access: Access, usual: Option<&str>) -> Result<Address, &'static str> {
    if access.authentication == Authentication::Internal {
        let none = own.base_url.is_none();
        return if none {
            Ok(Address { endpoint: Endpoint::Builtin, path: "/v1".to_owned() })
        } else {
            Err("no address: this provider is built in")
        };
    }
    let url = own.base_url.as_deref().or(usual).ok_or("an address such as 'https://api.example.com/v1'")?;
    parse_url(url, own.allow_plain_http)
}

/// Where it is, and who vouches for that.
fn place(
    name: &str,
    own: &DeploymentConfig,
    access: Access,
    usual: Option<&str>,
) -> Result<Address, ConfigError> {
    let wrong = |key: &str, expected: &str| value(format!("deployments.{name}.{key}"), expected.to_owned());
    let address = address(own, access, usual).map_err(|expected| wrong("base_url", expected))?;
    under_own_roots(address, own.tls_roots.as_deref()).map_err(|expected| wrong("tls_roots", expected))
}

/// The same address, vouched for by these authorities alone if there are any.
fn under_own_roots(address: Address, pem: Option<&str>) -> Result<Address, &'static str> {
    let Some(pem) = pem else { return Ok(address) };
    let Endpoint::Https { host, port, .. } = address.endpoint else {
        return Err("nothing: this deployment is not reached by 'https://'");
    };
    let roots = TlsRoots::Own(Arc::new(OwnRoots::from_pem(pem)?));
    Ok(Address { endpoint: Endpoint::Https { host, port, roots }, ..address })
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
    if given.adaptive && given.max_in_flight.is_none() {
        let expected = "a limits.max_in_flight to adapt".to_owned();
        return Err(value(format!("deployments.{name}.limits.adaptive"), expected));
    }
    Ok(Limits {
        max_in_flight: given.max_in_flight,
        adapts: given.adaptive,
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
