//! What the operator says in requests: stored prompts, which clients refer to, and decorations, which no client can leave
//! out.
//!
//! Both are put into the request's own bytes, in its own dialect, before anything else looks at it: what comes after
//! (budgets, guardrails, the cache) sees the request as it goes upstream. [`decorate`] makes the only [`Prompted`].
//!
//! Templates are texts with `{{names}}` in them and nothing that could run. Values go into the text of one message, once:
//! they cannot name other variables, end the message or begin one in another role.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::admission::Key;
use crate::error::Error;
use crate::governance::ScopeKind;
use crate::plaintext::Plaintext;
use crate::wire::{Asked, Layout, Request, Wire};

mod template;

mod variable;

mod place;

mod reference;

pub use reference::{HEADER, Reference, VARIABLES};
pub use template::Template;
pub use variable::Variable;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model, in an example.
    Assistant,
    /// The operator.
    System,
    /// The end user, in an example.
    User,
}

/// A message that is put into a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// A tool that a stored prompt brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments, as JSON.
    pub parameters: String,
}

/// Parameters that count where the client says nothing, as JSON numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// How freely words are chosen.
    pub temperature: Option<String>,
    /// From which share of the likeliest words.
    pub top_p: Option<String>,
    /// The longest answer, in tokens.
    pub max_output_tokens: Option<u64>,
}

/// For which requests something is meant: every list that is not empty has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Models, by the name that the client asks for.
    pub models: Vec<String>,
    /// Keys, by their public ids.
    pub keys: Vec<String>,
    /// Teams, by their names.
    pub teams: Vec<String>,
}

impl Scope {
    fn fits(&self, model: &str, key: &Key) -> bool {
        (self.models.is_empty() || self.models.iter().any(|own| own == model)) && self.fits_key(key)
    }

    fn fits_key(&self, key: &Key) -> bool {
        let key_fits = self.keys.is_empty() || self.keys.iter().any(|own| **own == *key.id);
        let team = || key.belongs_to(ScopeKind::Team);
        let team_fits = |team: Arc<str>| self.teams.iter().any(|own| **own == *team);
        key_fits && (self.teams.is_empty() || team().is_some_and(team_fits))
    }
}

/// A stored prompt.
#[derive(Default)]
pub struct Prompt {
    /// Which version a label means.
    pub labels: BTreeMap<String, u32>,
    /// Its versions. None of them ever changes: what would be changed is another version.
    pub versions: BTreeMap<u32, Arc<Version>>,
    /// Who may refer to it, for which models.
    pub scope: Scope,
}

/// One version of a stored prompt.
pub struct Version {
    /// The prompt's name.
    pub name: Arc<str>,
    /// Its number.
    pub number: u32,
    /// What it says before what the client says.
    pub messages: Vec<(Role, Template)>,
    /// What its templates leave open, by name.
    pub variables: BTreeMap<String, Variable>,
    /// Parameters where the client says nothing.
    pub parameters: Parameters,
    /// Tools besides the client's own.
    pub tools: Vec<Tool>,
    /// Guardrails besides those that apply anyway.
    pub guardrails: Vec<String>,
    /// SHA-256 of all that it says.
    pub digest: [u8; 32],
}

/// Messages that are added to requests whether the client wants it or not.
pub struct Decoration {
    /// To which requests.
    pub scope: Scope,
    /// Before everything else.
    pub prepend: Vec<Message>,
    /// After everything else.
    pub append: Vec<Message>,
}

/// All stored prompts and decorations.
#[derive(Default)]
pub struct Prompts {
    /// Stored prompts by name.
    pub stored: BTreeMap<Arc<str>, Prompt>,
    /// Decorations in the order of their names; those that come first stand outermost.
    pub decorations: Vec<Decoration>,
}

/// The label that counts where a reference says neither version nor label.
pub const USUAL_LABEL: &str = "production";

impl Prompts {
    /// The version that a reference of that key means.
    ///
    /// # Errors
    /// [`Error::PromptUnknown`], also for a prompt that is there for others.
    fn find(&self, reference: &Reference, key: &Key) -> Result<&Arc<Version>, Error> {
        let prompt = self.stored.get(reference.id()).filter(|own| own.scope.fits_key(key));
        let prompt = prompt.ok_or(Error::PromptUnknown)?;
        let number = match reference.version() {
            reference::Which::Usual => prompt.labels.get(USUAL_LABEL).copied(),
            reference::Which::Label(label) => prompt.labels.get(label).copied(),
            reference::Which::Number(number) => Some(*number),
        };
        number.and_then(|number| prompt.versions.get(&number)).ok_or(Error::PromptUnknown)
    }

    /// A version that says something else in `before`, by its place in the configuration.
    pub fn rewritten_since(&self, before: &Self) -> Option<String> {
        for (name, prompt) in &self.stored {
            let Some(earlier) = before.stored.get(name) else { continue };
            for (number, version) in &prompt.versions {
                if earlier.versions.get(number).is_some_and(|own| own.digest != version.digest) {
                    return Some(format!("prompts.{name}.versions"));
                }
            }
        }
        None
    }
}

/// A body before it is parsed, with the stored prompt that it refers to.
pub struct Filled {
    /// The body.
    pub body: Plaintext<Bytes>,
    /// What was put into it.
    pub version: Option<Arc<Version>>,
}

/// Puts the stored prompt that head or body refers to into the body. Without stored prompts a body stays as it is: then a
/// `prompt` in it is between the client and the provider.
///
/// # Errors
/// [`Error::PromptUnknown`], [`Error::PromptVariable`]; [`Error::FieldInvalid`] for a reference that is none;
/// [`Error::BodyTooLarge`] if the body has grown beyond `most_bytes`.
pub fn fill(
    prompts: &Prompts,
    wire: &dyn Wire,
    named: Option<Reference>,
    body: Plaintext<Bytes>,
    key: &Key,
    most_bytes: usize,
) -> Result<Filled, Error> {
    if prompts.stored.is_empty() {
        return if named.is_some() { Err(Error::PromptUnknown) } else { Ok(Filled { body, version: None }) };
    }
    let silent = wire.layout() == Layout::None;
    let (body, inside) = if silent { (body, None) } else { reference::take(body)? };
    let reference = match (named, inside) {
        (Some(_), Some(_)) => {
            return Err(Error::FieldInvalid {
                param: "prompt",
                expected: "one reference: in the body or in the head",
            });
        }
        (Some(own), None) | (None, Some(own)) => own,
        (None, None) => return Ok(Filled { body, version: None }),
    };
    if silent {
        return Err(Error::FieldUnsupported { param: HEADER });
    }
    let version = Arc::clone(prompts.find(&reference, key)?);
    let values = variable::values(&version.variables, reference.variables())?;
    let room = most_bytes.saturating_sub(body.expose().len());
    let mut front = Plaintext::new(Vec::with_capacity(version.messages.len()));
    let mut length = 0_usize;
    for (role, template) in &version.messages {
        length = length.saturating_add(template.length(&values));
        if length > room {
            return Err(Error::BodyTooLarge { limit: most_bytes });
        }
        front.expose_mut().push(Message { role: *role, text: template.render(&values) });
    }
    let added = place::Added {
        front: front.expose(),
        back: &[],
        tools: &version.tools,
        parameters: &version.parameters,
    };
    let body = place::put(wire, body.expose(), &added)?;
    Ok(Filled { body: Plaintext::new(body.into()), version: Some(version) })
}

/// Proof that the operator's own words are in the request. Made by [`decorate`] only.
pub struct Prompted {
    request: Request,
}

impl Prompted {
    /// The request.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// Gives it to the next stage.
    pub fn into_request(self) -> Request {
        self.request
    }
}

/// Adds the decorations that apply to a request of that key, and checks that the stored prompt in it is for its model.
///
/// # Errors
/// [`Error::PromptUnknown`], as for a prompt that does not exist; [`Error::FieldInvalid`] where a decoration has no place,
/// since it must not be left out.
pub fn decorate(
    prompts: &Prompts,
    request: Request,
    used: Option<&Version>,
    key: &Key,
) -> Result<Prompted, Error> {
    if let Some(version) = used {
        let scope = prompts.stored.get(&version.name).map(|own| &own.scope);
        if !scope.is_some_and(|own| own.fits(&request.model, key)) {
            return Err(Error::PromptUnknown);
        }
    }
    if request.wire.layout() == Layout::None {
        return Ok(Prompted { request });
    }
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for own in prompts.decorations.iter().filter(|own| own.scope.fits(&request.model, key)) {
        front.extend(own.prepend.iter().cloned());
        back.splice(0..0, own.append.iter().cloned());
    }
    if front.is_empty() && back.is_empty() {
        return Ok(Prompted { request });
    }
    let parameters = Parameters::default();
    let added = place::Added { front: &front, back: &back, tools: &[], parameters: &parameters };
    let Request { wire, model, asked, body, .. } = request;
    let body = place::put(wire, body.expose(), &added)?;
    let asked = Asked { model: Some(model), ..asked };
    let request = crate::wire::read(wire, asked, Plaintext::new(body.into()))?;
    Ok(Prompted { request })
}
