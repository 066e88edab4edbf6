//! Checks stored prompts and decorations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::RegexBuilder;
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::{ConfigError, GatewayConfig, Invalid, SecretSource, closest, parse, read, unknown, value};
use crate::admission::key_file::KeyTable;
use crate::audit::Hex;
use crate::config::{
    DecorationConfig, MessageConfig, ParametersConfig, PromptConfig, PromptFile, ToolConfig, VariableConfig,
    VersionConfig,
};
use crate::guardrail::Guardrails;
use crate::prompt::{
    Decoration, Message, Parameters, Prompt, Prompts, Scope, Template, Tool, Variable, Version,
};
use crate::route::Models;

/// Most messages of a version, and of each side of a decoration.
const MAX_MESSAGES: usize = 64;
/// Longest message.
const MAX_TEXT: usize = 256 * 1024;
/// Most bytes that an expression may become.
const MAX_EXPRESSION: usize = 256 * 1024;

/// What prompts may refer to.
pub(super) struct Known<'g> {
    pub(super) models: &'g Models,
    pub(super) guardrails: &'g Guardrails,
    pub(super) keys: &'g KeyTable,
}

pub(super) fn build(
    config: &GatewayConfig,
    known: &Known<'_>,
    secrets: &dyn SecretSource,
) -> Result<Prompts, ConfigError> {
    // Those of a key file that is yet to come are not known.
    let given = config.admission.key_file.is_none() || secrets.are_real();
    let keys_are_all_here = given && !config.admission.virtual_keys;
    let mut prompts = Prompts::default();
    // Decorations stand in the order of their names, wherever they are written.
    let mut decorations: BTreeMap<&str, Decoration> = BTreeMap::new();
    let file = file(config, secrets)?;
    let own = PromptFile { prompts: config.prompts.clone(), decorations: config.decorations.clone() };
    for (from, part) in [("", &own), ("prompt_file: ", &file)] {
        for (name, prompt) in &part.prompts {
            let at = format!("{from}prompts.{name}");
            check_name(name, &at)?;
            let made = stored(name, prompt, known, keys_are_all_here, &at)?;
            if prompts.stored.insert(name.as_str().into(), made).is_some() {
                return Err(ConfigError { path: at, problem: Invalid::Duplicate });
            }
        }
        for (name, decoration) in &part.decorations {
            let at = format!("{from}decorations.{name}");
            check_name(name, &at)?;
            let made = decorated(decoration, known, keys_are_all_here, &at)?;
            if decorations.insert(name, made).is_some() {
                return Err(ConfigError { path: at, problem: Invalid::Duplicate });
            }
        }
    }
    prompts.decorations = decorations.into_values().collect();
    Ok(prompts)
}

/// What clients may know: which prompts and decorations there are, and a digest of what each version and each decoration
/// says, so that nothing changes under them unseen. For whom they are is not said, nor what a prompt file holds.
pub(super) fn public(config: &GatewayConfig) -> serde_json::Value {
    let prompt = |own: &PromptConfig| {
        let versions: BTreeMap<u32, String> =
            own.versions.iter().map(|own| (own.version, Hex(&digest_of(own)).to_string())).collect();
        serde_json::json!({ "labels": own.labels, "versions": versions })
    };
    let decoration = |own: &DecorationConfig| Hex(&digest_of(&(&own.prepend, &own.append))).to_string();
    let prompts: BTreeMap<_, _> = config.prompts.iter().map(|(name, own)| (name, prompt(own))).collect();
    let decorations: BTreeMap<_, _> =
        config.decorations.iter().map(|(name, own)| (name, decoration(own))).collect();
    serde_json::json!({
        "stored": prompts,
        "decorations": decorations,
        "more_in_a_file": config.prompt_file.is_some(),
    })
}

fn file(config: &GatewayConfig, secrets: &dyn SecretSource) -> Result<PromptFile, ConfigError> {
    const PATH: &str = "prompt_file";
    let Some(reference) = &config.prompt_file else { return Ok(PromptFile::default()) };
    let bytes = read(secrets, reference, PATH)?;
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| value(PATH, "UTF-8".to_owned()))?;
    parse(text).map_err(|error| ConfigError { path: format!("{PATH}: {}", error.path), ..error })
}

fn digest_of(what: &impl Serialize) -> [u8; 32] {
    let text = serde_json::to_vec(what).unwrap_or_default();
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, &text).as_ref());
    out
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

fn check_name(name: &str, at: &str) -> Result<(), ConfigError> {
    let fits = is_plain(name);
    if fits { Ok(()) } else { Err(value(at, "a name of 1 to 64 of A-Z a-z 0-9 . _ -".to_owned())) }
}

fn stored(
    name: &str,
    own: &PromptConfig,
    known: &Known<'_>,
    keys_are_all_here: bool,
    at: &str,
) -> Result<Prompt, ConfigError> {
    let scope = scope((&own.models, &own.keys, &own.teams), known, keys_are_all_here, at)?;
    let mut versions = BTreeMap::new();
    for (place, version) in own.versions.iter().enumerate() {
        let at = format!("{at}.versions[{place}]");
        let made = Arc::new(one_version(name, version, known, &at)?);
        if versions.insert(version.version, made).is_some() {
            return Err(ConfigError { path: format!("{at}.version"), problem: Invalid::Duplicate });
        }
    }
    if versions.is_empty() {
        return Err(value(format!("{at}.versions"), "at least one version".to_owned()));
    }
    for (label, version) in &own.labels {
        // A label that is a number would be taken for a version.
        if !is_plain(label) || label.bytes().all(|byte| byte.is_ascii_digit()) {
            let expected = "labels of 1 to 64 of A-Z a-z 0-9 . _ -, not all digits";
            return Err(value(format!("{at}.labels"), expected.to_owned()));
        }
        if !versions.contains_key(version) {
            return Err(unknown(format!("{at}.labels.{label}"), "version", None));
        }
    }
    Ok(Prompt { labels: own.labels.clone(), versions, scope })
}

fn one_version(name: &str, own: &VersionConfig, known: &Known<'_>, at: &str) -> Result<Version, ConfigError> {
    if own.version == 0 {
        return Err(value(format!("{at}.version"), "a number from 1".to_owned()));
    }
    check_messages(&own.messages, &format!("{at}.messages"))?;
    let mut messages = Vec::with_capacity(own.messages.len());
    let mut used = BTreeSet::new();
    for (place, message) in own.messages.iter().enumerate() {
        let at = format!("{at}.messages[{place}].text");
        let template = Template::read(&message.text).map_err(|expected| value(&*at, expected.to_owned()))?;
        for variable in template.variables() {
            if !own.variables.contains_key(variable) {
                let meant = closest(variable, own.variables.keys().map(String::as_str));
                return Err(unknown(at, "variable", meant));
            }
            used.insert(variable.to_owned());
        }
        messages.push((message.role, template));
    }
    if messages.is_empty() {
        return Err(value(format!("{at}.messages"), "at least one message".to_owned()));
    }
    let mut variables = BTreeMap::new();
    for (name, variable) in &own.variables {
        let at = format!("{at}.variables.{name}");
        if !used.contains(name) {
            return Err(value(at, "a variable that one of the messages has".to_owned()));
        }
        variables.insert(name.clone(), one_variable(variable, &at)?);
    }
    for name in &own.guardrails {
        if !known.guardrails.names().any(|own| **own == **name) {
            let meant = closest(name, known.guardrails.names().map(AsRef::as_ref));
            return Err(unknown(format!("{at}.guardrails"), "guardrail", meant));
        }
    }
    Ok(Version {
        name: name.into(),
        number: own.version,
        messages,
        variables,
        parameters: parameters(&own.parameters, &format!("{at}.parameters"))?,
        tools: tools(&own.tools, at)?,
        guardrails: own.guardrails.clone(),
        digest: digest_of(own),
    })
}

fn one_variable(own: &VariableConfig, at: &str) -> Result<Variable, ConfigError> {
    let max_bytes = match own.max_bytes {
        None => Variable::USUAL_BYTES,
        Some(most) => super::within(&format!("{at}.max_bytes"), most, 1..=1024 * 1024)?,
    };
    let pattern = match &own.pattern {
        None => None,
        Some(text) => {
            let whole = format!(r"\A(?:{text})\z");
            let expression = RegexBuilder::new(&whole).size_limit(MAX_EXPRESSION).build();
            let expected = "a regular expression without look-around or back-references";
            Some(expression.map_err(|_| value(format!("{at}.pattern"), expected.to_owned()))?)
        }
    };
    let variable = Variable { usual: own.usual.clone(), max_bytes, one_of: own.one_of.clone(), pattern };
    match &own.usual {
        Some(usual) if !variable.fits(usual) => {
            Err(value(format!("{at}.default"), "a value that the variable may have".to_owned()))
        }
        _ => Ok(variable),
    }
}

fn parameters(own: &ParametersConfig, at: &str) -> Result<Parameters, ConfigError> {
    let number = |name: &str, given: Option<f64>, most: f64| match given {
        None => Ok(None),
        Some(given) if (0.0..=most).contains(&given) => Ok(Some(format!("{given}"))),
        Some(_) => Err(value(format!("{at}.{name}"), format!("a number from 0 to {most}"))),
    };
    if own.max_output_tokens == Some(0) {
        return Err(value(format!("{at}.max_output_tokens"), "at least 1".to_owned()));
    }
    Ok(Parameters {
        temperature: number("temperature", own.temperature, 2.0)?,
        top_p: number("top_p", own.top_p, 1.0)?,
        max_output_tokens: own.max_output_tokens,
    })
}

fn tools(configured: &[ToolConfig], at: &str) -> Result<Vec<Tool>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut tools = Vec::with_capacity(configured.len());
    for (place, own) in configured.iter().enumerate() {
        let at = |key: &str| format!("{at}.tools[{place}].{key}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if !(1..=64).contains(&own.name.len()) || !own.name.bytes().all(plain) {
            return Err(value(at("name"), "a name of 1 to 64 of A-Z a-z 0-9 _ -".to_owned()));
        }
        if !names.insert(&own.name) {
            return Err(ConfigError { path: at("name"), problem: Invalid::Duplicate });
        }
        let schema: Option<serde_json::Map<_, _>> = serde_json::from_str(&own.parameters).ok();
        if schema.is_none() {
            return Err(value(at("parameters"), "a JSON object, as text".to_owned()));
        }
        let (name, description, parameters) =
            (own.name.clone(), own.description.clone(), own.parameters.clone());
        tools.push(Tool { name, description, parameters });
    }
    Ok(tools)
}

fn check_messages(own: &[MessageConfig], at: &str) -> Result<(), ConfigError> {
    let fits = |own: &MessageConfig| (1..=MAX_TEXT).contains(&own.text.trim().len());
    if own.len() <= MAX_MESSAGES && own.iter().all(fits) {
        return Ok(());
    }
    Err(value(at, format!("at most {MAX_MESSAGES} messages of 1 to {MAX_TEXT} bytes")))
}

fn decorated(
    own: &DecorationConfig,
    known: &Known<'_>,
    keys_are_all_here: bool,
    at: &str,
) -> Result<Decoration, ConfigError> {
    check_messages(&own.prepend, &format!("{at}.prepend"))?;
    check_messages(&own.append, &format!("{at}.append"))?;
    if own.prepend.is_empty() && own.append.is_empty() {
        return Err(value(at, "messages in 'prepend' or 'append'".to_owned()));
    }
    let message = |own: &MessageConfig| Message { role: own.role, text: own.text.clone() };
    Ok(Decoration {
        scope: scope((&own.models, &own.keys, &own.teams), known, keys_are_all_here, at)?,
        prepend: own.prepend.iter().map(message).collect(),
        append: own.append.iter().map(message).collect(),
    })
}

type Lists<'c> = (&'c Vec<String>, &'c Vec<String>, &'c Vec<String>);

/// A name with a slip in it would leave a decoration out without a word, so names are known as far as they can be.
fn scope(
    (models, keys, teams): Lists<'_>,
    known: &Known<'_>,
    keys_are_all_here: bool,
    at: &str,
) -> Result<Scope, ConfigError> {
    for name in models {
        if known.models.find(name).is_none() {
            let meant = closest(name, known.models.iter().map(|own| own.name.as_ref()));
            return Err(unknown(format!("{at}.models"), "model", meant));
        }
    }
    if keys_are_all_here {
        if keys.iter().any(|id| known.keys.with_id(id).is_none()) {
            return Err(unknown(format!("{at}.keys"), "key", None));
        }
        if !teams.is_empty() {
            let expected = "'admission.virtual_keys' beside it: keys of the configuration have no teams";
            return Err(value(format!("{at}.teams"), expected.to_owned()));
        }
    }
    Ok(Scope { models: models.clone(), keys: keys.clone(), teams: teams.clone() })
}
