//! Builds the configured guardrails.

use std::collections::BTreeMap;

use super::{ConfigError, GatewayConfig, closest, unknown, value};
use crate::config::GuardrailConfig;
use crate::deployment::Exposure;
use crate::guardrail::{
    Action, Check, Detector, GUARDRAILS, GuardrailKind, Guardrails, Hook, Mode, REQUIRE_ATTESTED, StreamMode,
};
use crate::route::Models;

/// Keys that all kinds have.
const COMMON: [&str; 10] =
    ["kind", "hooks", "action", "label", "mode", "on_error", "applies", "models", "stream", "replacement"];

/// How far labelled content may be exposed, the label of [`Action::RequireAttested`] included.
pub(super) fn sensitivity(config: &GatewayConfig) -> BTreeMap<String, Exposure> {
    let mut all = config.sensitivity.clone();
    all.insert(REQUIRE_ATTESTED.to_owned(), Exposure::Attested);
    all
}

pub(super) fn build(
    configured: &BTreeMap<String, GuardrailConfig>,
    models: &Models,
) -> Result<Guardrails, ConfigError> {
    let mut guardrails = Guardrails::default();
    for (name, own) in configured {
        guardrails.push(check(name, own, models)?);
    }
    Ok(guardrails)
}

fn check(name: &str, own: &GuardrailConfig, models: &Models) -> Result<Check, ConfigError> {
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
        service: None,
    };
    match contradiction(&check) {
        Some((key, expected)) => Err(value(at(key), expected.to_owned())),
        None => Ok(check),
    }
}

/// A key that is set and that this kind does not read.
fn foreign_key(own: &GuardrailConfig, kind: &dyn GuardrailKind) -> Option<String> {
    let set = serde_json::to_value(own).ok()?;
    let reads = |key: &String| COMMON.contains(&key.as_str()) || kind.keys().contains(&key.as_str());
    set.as_object()?.keys().find(|key| !reads(key)).cloned()
}

/// What cannot be meant together.
fn contradiction(check: &Check) -> Option<(&'static str, &'static str)> {
    let changes = matches!(check.action, Action::Mask | Action::Redact);
    let answers = check.looks_at_answers();
    if check.hooks.is_empty() {
        return Some(("hooks", "at least one of input, input_parallel, output, tool_call, tool_result, log"));
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
