//! Keys of the configuration that say what the operator puts into requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::prompt::Role;

/// The contents of a prompt file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptFile {
    /// As in the configuration.
    pub prompts: BTreeMap<String, PromptConfig>,
    /// As in the configuration.
    pub decorations: BTreeMap<String, DecorationConfig>,
}

/// A stored prompt.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PromptConfig {
    /// Its versions. What changes is another version; the old one stays as it is, or goes.
    pub versions: Vec<VersionConfig>,
    /// Which version each label means. `production` is meant where a reference says nothing.
    #[serde(default)]
    pub labels: BTreeMap<String, u32>,
    /// For which models; all unless stated.
    #[serde(default)]
    pub models: Vec<String>,
    /// For which keys, by id; all unless stated.
    #[serde(default)]
    pub keys: Vec<String>,
    /// For keys of which teams, by name; all unless stated.
    #[serde(default)]
    pub teams: Vec<String>,
}

/// One version of a stored prompt.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VersionConfig {
    /// Its number, from 1.
    pub version: u32,
    /// What it says, before what the client says. Texts are templates: `{{name}}` is a variable.
    pub messages: Vec<MessageConfig>,
    /// The variables of its templates.
    #[serde(default)]
    pub variables: BTreeMap<String, VariableConfig>,
    /// Parameters that count where the client says nothing.
    #[serde(default)]
    pub parameters: ParametersConfig,
    /// Tools besides the client's own.
    #[serde(default)]
    pub tools: Vec<ToolConfig>,
    /// Guardrails besides those that apply anyway.
    #[serde(default)]
    pub guardrails: Vec<String>,
}

/// A message.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MessageConfig {
    /// Who says it; `system` unless stated.
    #[serde(default = "system")]
    pub role: Role,
    /// What is said.
    pub text: String,
}

const fn system() -> Role {
    Role::System
}

/// What a variable may be.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct VariableConfig {
    /// Its value where the client gives none.
    #[serde(rename = "default", skip_serializing_if = "Option::is_none")]
    pub usual: Option<String>,
    /// Most bytes of its value; 1 to 1,048,576, 32,768 unless stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// The values that it may have; any unless stated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// An expression that its whole value matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// Parameters.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParametersConfig {
    /// `temperature`, 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// `top_p`, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// The longest answer, in tokens, under whatever name each API has for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
}

/// A tool.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ToolConfig {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of its arguments, as JSON.
    pub parameters: String,
}

/// Messages that are added to requests.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecorationConfig {
    /// Before what everybody else says, stored prompts included.
    pub prepend: Vec<MessageConfig>,
    /// After it.
    pub append: Vec<MessageConfig>,
    /// For which models; all unless stated.
    pub models: Vec<String>,
    /// For which keys, by id; all unless stated.
    pub keys: Vec<String>,
    /// For keys of which teams, by name; all unless stated.
    pub teams: Vec<String>,
}
