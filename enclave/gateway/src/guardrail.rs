//! Step 3, screen: may this content pass. The only maker of [`Screened`].
//!
//! A guardrail is one file in `guardrail/` and one line in [`GUARDRAILS`].

use std::sync::Arc;

use crate::admission::Admitted;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::scan;
use crate::wire::Request;

pub mod deny_list;

/// Every kind of guardrail, by the name the configuration uses.
pub const GUARDRAILS: &[&dyn GuardrailKind] = &[&deny_list::KIND];

/// A kind of guardrail: makes configured checks.
pub trait GuardrailKind: Sync {
    /// The `kind` in the configuration.
    fn name(&self) -> &'static str;
    /// Makes a check from its settings; the error says what was expected, without quoting them.
    fn configure(&self, settings: &Settings) -> Result<Box<dyn Guardrail>, &'static str>;
}

/// Settings of one configured guardrail; each kind reads its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Phrases, for kinds that take some.
    pub phrases: Vec<String>,
}

/// One configured check of a text.
pub trait Guardrail: Send + Sync {
    /// Judges one text of the request: one string, escapes resolved.
    fn check(&self, text: Plaintext<&str>) -> Verdict;
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Object: refuse the request, or label it.
    Block,
    /// Nothing to object.
    Pass,
}

/// The configured guardrails, in the order of their names.
#[derive(Default)]
pub struct Guardrails {
    checks: Vec<Check>,
}

struct Check {
    name: Arc<str>,
    /// What a hit does: labels the request with this, or, without a label, refuses it.
    label: Option<Arc<str>>,
    guardrail: Box<dyn Guardrail>,
}

/// Proof that every configured guardrail has passed this request. Made by [`screen`] only.
pub struct Screened {
    admitted: Admitted,
    labels: Vec<Arc<str>>,
}

impl Screened {
    /// The admitted request.
    pub const fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// What guardrails found in the content, without what it was; each label once.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// Gives the admitted request to the next stage.
    pub fn into_admitted(self) -> Admitted {
        self.admitted
    }
}

impl Guardrails {
    /// Adds a configured check. With a label, what it objects to is labelled and not refused.
    pub fn push(&mut self, name: Arc<str>, label: Option<Arc<str>>, check: Box<dyn Guardrail>) {
        self.checks.push(Check { name, label, guardrail: check });
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.checks.iter().map(|own| &own.name)
    }
}

/// Puts the request before every guardrail.
pub fn screen(admitted: Admitted, guardrails: &Guardrails) -> Result<Screened, Error> {
    let labels = labels(admitted.request(), guardrails)?;
    Ok(Screened { admitted, labels })
}

/// Puts every string of the request, field names included, before every guardrail. The labels that it gets; an error if
/// one refuses it.
pub fn labels(request: &Request, guardrails: &Guardrails) -> Result<Vec<Arc<str>>, Error> {
    let mut labels = Vec::new();
    if guardrails.checks.is_empty() {
        return Ok(labels);
    }
    let mut blocked: Option<&Arc<str>> = None;
    let mut decoded = Plaintext::new(String::new());
    scan::strings(request.body.expose(), |raw| {
        if blocked.is_some() {
            return;
        }
        decoded.expose_mut().clear();
        if scan::unescape_into(raw, decoded.expose_mut()) {
            blocked = judge(guardrails, decoded.expose(), &mut labels);
        }
    });
    match blocked {
        Some(name) => Err(Error::ContentRefused { guardrail: Arc::clone(name) }),
        None => Ok(labels),
    }
}

/// The first guardrail that refuses the text, if any does; otherwise adds the labels that it gets.
fn judge<'g>(guardrails: &'g Guardrails, text: &str, labels: &mut Vec<Arc<str>>) -> Option<&'g Arc<str>> {
    for Check { name, label, guardrail } in &guardrails.checks {
        if label.as_ref().is_some_and(|label| labels.contains(label)) {
            continue;
        }
        match (guardrail.check(Plaintext::new(text)), label) {
            (Verdict::Pass, _) => {}
            (Verdict::Block, None) => return Some(name),
            (Verdict::Block, Some(label)) => labels.push(Arc::clone(label)),
        }
    }
    None
}
