//! Builds the configured guardrails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::deployments::service_address;
use super::{ConfigError, GatewayConfig, closest, read, unknown, value};
use crate::config::{GuardrailConfig, SecretReference, SecretSource};
use crate::deployment::{Confidentiality, Credential, Deployment, Exposure, Timeouts};
use crate::guardrail::{
    Action, Asks, Check, Detector, GUARDRAILS, GuardrailKind, Guardrails, Hook, JudgeModel, Mode, Needs,
    REQUIRE_ATTESTED, StreamMode,
};
use crate::route::{Model, Models, widest_exposure};

/// Keys that all kinds have.
const COMMON: [&str; 10] =
    ["kind", "hooks", "action", "label", "mode", "on_error", "applies", "models", "stream", "replacement"];

/// Keys of kinds that ask a service.
const SERVICE: [&str; 5] = ["url", "secret", "exposure", "timeout_ms", "allow_plain_http"];
/// How long a service may take unless the configuration says otherwise, in milliseconds.
const SERVICE_MS: u64 = 2000;
/// How long a model may take unless the configuration says otherwise, in milliseconds.
const MODEL_MS: u64 = 10_000;

/// How far labelled content may be exposed, the label of [`Action::RequireAttested`] included.
pub(super) fn sensitivity(config: &GatewayConfig) -> BTreeMap<String, Exposure> {
    let mut all = config.sensitivity.clone();
    all.insert(REQUIRE_ATTESTED.to_owned(), Exposure::Attested);
    all
}

pub(super) fn build(
    configured: &BTreeMap<String, GuardrailConfig>,
    models: &Models,
    secrets: &dyn SecretSource,
) -> Result<Guardrails, ConfigError> {
    let mut guardrails = Guardrails::default();
    for (name, own) in configured {
        guardrails.push(check(name, own, models, secrets)?);
    }
    Ok(guardrails)
}

fn check(
    name: &str,
    own: &GuardrailConfig,
    models: &Models,
    secrets: &dyn SecretSource,
) -> Result<Check, ConfigError> {
    let at = |key: &str| format!("guardrails.{name}.{key}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err(value(format!("guardrails.{name}"), "a name of 1 to 64 of A-Z a-z 0-9 . _ -".to_owned()));
    }
    let kind = GUARDRAILS.iter().find(|kind| kind.name() == own.kind).ok_or_else(|| {
        unknown(
            at("kind"),
            "kind of guardrail",
            closest(&own.kind, GUARDRAILS.iter().map(|kind| kind.name())),
        )
    })?;
    if let Some(key) = foreign_key(own, *kind) {
        return Err(value(at(&key), format!("no such key for the kind '{}'", kind.name())));
    }
    for model in own.models.iter().flatten() {
        if models.find(model).is_none() {
            let meant = closest(model, models.iter().map(|model| model.name.as_ref()));
            return Err(unknown(at("models"), "model", meant));
        }
    }
    let detector =
        kind.configure(own).map_err(|what| value(format!("guardrails.{name}"), what.to_owned()))?;
    let asks = match kind.needs() {
        Some(Needs::Model) => Some(Asks::Model(judge(name, own, models)?)),
        Some(Needs::Service { url, secret }) => {
            Some(Asks::Service(Arc::new(service(name, own, (url, secret), models, secrets)?)))
        }
        None => None,
    };
    let usual = if own.label.is_some() { Action::Label } else { Action::Block };
    let check = Check {
        name: name.into(),
        hooks: own.hooks.clone().unwrap_or_else(|| kind.hooks().to_vec()),
        action: own.action.unwrap_or(usual),
        label: own.label.as_deref().map(Into::into),
        mode: own.mode.unwrap_or_default(),
        on_error: own.on_error.unwrap_or_default(),
        applies: own.applies.unwrap_or_default(),
        models: own.models.clone().unwrap_or_default(),
        stream: own.stream.unwrap_or_default(),
        replacement: own.replacement.clone(),
        detector,
        asks,
    };
    match contradiction(&check) {
        Some((key, expected)) => Err(value(at(key), expected.to_owned())),
        None => Ok(check),
    }
}

/// Where a service is, and how it is asked.
fn service(
    name: &str,
    own: &GuardrailConfig,
    (usual_url, needs_secret): (Option<&'static str>, bool),
    models: &Models,
    secrets: &dyn SecretSource,
) -> Result<Deployment, ConfigError> {
    let at = |key: &str| format!("guardrails.{name}.{key}");
    let url = own.url.as_deref().or(usual_url);
    let url = url.ok_or_else(|| value(at("url"), "the address of the service".to_owned()))?;
    let (endpoint, path) = service_address(url, own.allow_plain_http == Some(true))
        .map_err(|expected| value(at("url"), expected.to_owned()))?;
    let time = time(name, own, SERVICE_MS)?;
    let exposure = own.exposure.unwrap_or(Exposure::ProviderVisible);
    // Nothing that is not built in has a way to prove itself yet.
    if exposure == Exposure::Attested {
        return Err(value(at("exposure"), "'contract_zdr' or 'provider_visible'".to_owned()));
    }
    no_wider(name, own, exposure, models)?;
    let usual = Timeouts::default();
    let timeouts = Timeouts {
        connect: usual.connect.min(time),
        response_head: time,
        first_content: time,
        stall: time,
        total: time,
    };
    let credential = match &own.secret {
        Some(reference) => {
            let secret = read(secrets, &SecretReference::new(reference.as_str()), &at("secret"))?;
            let bare = secret.expose().trim_ascii();
            let short = secrets.are_real() && bare.len() < 16 && usual_url.is_none();
            if bare.is_empty() || short || !bare.iter().all(u8::is_ascii_graphic) {
                let expected = "a secret of visible ASCII characters; for signatures, 16 or more";
                return Err(value(at("secret"), expected.to_owned()));
            }
            let value = Arc::new(crate::plaintext::Secret::new(bare.to_vec()));
            Some(Credential { header: "authorization", value, scheme_length: 0 })
        }
        None if needs_secret => {
            return Err(value(at("secret"), "a reference to the service's secret".to_owned()));
        }
        None => None,
    };
    let confidentiality = Confidentiality::of(&endpoint);
    let service = Deployment::service(name, "guardrail", endpoint, &path);
    Ok(Deployment { credential, confidentiality, exposure, timeouts, ..service })
}

/// The model that judges.
fn judge(name: &str, own: &GuardrailConfig, models: &Models) -> Result<JudgeModel, ConfigError> {
    let model = own.model.as_deref().unwrap_or_default();
    let Some(found) = models.find(model) else {
        let meant = closest(model, models.iter().map(|model| model.name.as_ref()));
        return Err(unknown(format!("guardrails.{name}.model"), "model", meant));
    };
    let exposure = widest_exposure(found);
    no_wider(name, own, exposure, models)?;
    Ok(JudgeModel { name: Arc::clone(&found.name), exposure, total: time(name, own, MODEL_MS)? })
}

fn time(name: &str, own: &GuardrailConfig, usual: u64) -> Result<Duration, ConfigError> {
    let timeout = own.timeout_ms.unwrap_or(usual);
    if (10..=30_000).contains(&timeout) {
        return Ok(Duration::from_millis(timeout));
    }
    Err(value(format!("guardrails.{name}.timeout_ms"), "10 to 30000".to_owned()))
}

/// What a route says of itself must stay true with whoever is asked beside it.
fn no_wider(
    name: &str,
    own: &GuardrailConfig,
    exposure: Exposure,
    models: &Models,
) -> Result<(), ConfigError> {
    let key = if own.model.is_some() { "model" } else { "exposure" };
    let concerned = |model: &&Arc<Model>| {
        own.models.as_ref().is_none_or(|names| names.iter().any(|own| **own == *model.name))
    };
    for model in models.iter().filter(concerned) {
        if model.deployments().any(|deployment| deployment.exposure < exposure) {
            let expected = format!(
                "not wider than '{}' exposes: leave that model out of 'models', or ask somebody who is as confidential",
                model.name
            );
            return Err(value(format!("guardrails.{name}.{key}"), expected));
        }
    }
    Ok(())
}

/// A key that is set and that this kind does not read.
fn foreign_key(own: &GuardrailConfig, kind: &dyn GuardrailKind) -> Option<String> {
    let set = serde_json::to_value(own).ok()?;
    let needs: &[&str] = match kind.needs() {
        None => &[],
        Some(Needs::Model) => &["timeout_ms"],
        Some(Needs::Service { .. }) => &SERVICE,
    };
    let reads = |key: &String| {
        let key = key.as_str();
        COMMON.contains(&key) || kind.keys().contains(&key) || needs.contains(&key)
    };
    set.as_object()?.keys().find(|key| !reads(key)).cloned()
}

/// What a service cannot be asked for.
fn service_contradiction(
    check: &Check,
    changes: bool,
    answers: bool,
) -> Option<(&'static str, &'static str)> {
    if !matches!(check.detector, Detector::Service(_)) {
        return None;
    }
    if check.looks_at(Hook::Log) {
        return Some(("hooks", "no 'log': what is kept is not sent to services"));
    }
    if changes && matches!(check.asks, Some(Asks::Model(_))) {
        return Some(("action", "'block', 'label' or 'require_attested', since a model names no places"));
    }
    if check.looks_at(Hook::InputParallel) && (changes || check.looks_at(Hook::Input)) {
        return Some(("hooks", "'input' alone, or 'input_parallel' where nothing is to be changed"));
    }
    if answers && check.stream == StreamMode::Detect {
        return Some((
            "stream",
            "'hold' or 'window': a service is asked about whole answers, before they go out",
        ));
    }
    None
}

/// What cannot be meant together.
fn contradiction(check: &Check) -> Option<(&'static str, &'static str)> {
    let changes = matches!(check.action, Action::Mask | Action::Redact);
    let answers = check.looks_at_answers();
    if check.hooks.is_empty() {
        return Some(("hooks", "at least one of input, input_parallel, output, tool_call, tool_result, log"));
    }
    if let Some(problem) = service_contradiction(check, changes, answers) {
        return Some(problem);
    }
    if changes && matches!(check.detector, Detector::Judge(_)) {
        return Some(("action", "'block', 'label' or 'require_attested', since this kind finds no places"));
    }
    if (check.action == Action::Label) != check.label.is_some() {
        return Some(("label", "a label where the action is 'label', and nowhere else"));
    }
    if check.label.as_ref().is_some_and(|label| label.is_empty() || label.len() > 64) {
        return Some(("label", "a label of 1 to 64 characters"));
    }
    let labels = matches!(check.action, Action::Label | Action::RequireAttested);
    if labels && !check.hooks.iter().any(|hook| matches!(hook, Hook::Input | Hook::ToolResult)) {
        return Some((
            "action",
            "'block', 'mask' or 'redact': a label on an answer comes too late to route by",
        ));
    }
    if check.replacement.is_some() && check.action != Action::Redact {
        return Some(("replacement", "the action 'redact' beside it"));
    }
    if check.stream == StreamMode::Detect && answers && check.mode == Mode::Enforce && changes {
        return Some(("stream", "'window' or 'hold' where something is to be masked"));
    }
    None
}
