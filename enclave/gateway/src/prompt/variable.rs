//! What may be put into a template: every variable has a value that fits, and there is no value for anything else.

use std::collections::BTreeMap;

use regex::Regex;

use crate::error::Error;

/// A variable of a stored prompt.
#[derive(Clone, Debug, Default)]
pub struct Variable {
    /// Its value where the client gives none; without one the client has to.
    pub usual: Option<String>,
    /// Most bytes of its value.
    pub max_bytes: usize,
    /// The values that it may have; any if empty.
    pub one_of: Vec<String>,
    /// What its whole value looks like.
    pub pattern: Option<Regex>,
}

impl Variable {
    /// Most bytes of a value unless the configuration says otherwise.
    pub const USUAL_BYTES: usize = 32 * 1024;

    /// Whether it may have that value.
    pub fn fits(&self, value: &str) -> bool {
        value.len() <= self.max_bytes
            && (self.one_of.is_empty() || self.one_of.iter().any(|own| own == value))
            && self.pattern.as_ref().is_none_or(|own| own.is_match(value))
    }

    fn expected(&self, name: &str) -> String {
        let form = if self.pattern.is_some() { " in its configured form" } else { "" };
        match self.one_of.len() {
            0 => format!("for '{name}' at most {} bytes{form}", self.max_bytes),
            count => format!("for '{name}' one of its {count} configured values"),
        }
    }
}

/// The values of all variables: those given, where they fit, and otherwise the usual ones.
///
/// # Errors
/// [`Error::PromptVariable`], in which only the configuration's words are.
pub(super) fn values<'v>(
    variables: &'v BTreeMap<String, Variable>,
    given: &'v BTreeMap<String, String>,
) -> Result<BTreeMap<&'v str, &'v str>, Error> {
    let wrong = |expected: String| Error::PromptVariable { expected: expected.into() };
    if given.keys().any(|name| !variables.contains_key(name)) {
        let known: Vec<String> = variables.keys().map(|name| format!("'{name}'")).collect();
        let known = if known.is_empty() { "no variables".to_owned() } else { known.join(", ") };
        return Err(wrong(format!("no other variables than this prompt has: {known}")));
    }
    let mut values = BTreeMap::new();
    for (name, variable) in variables {
        let value = match given.get(name) {
            Some(value) if variable.fits(value) => value,
            Some(_) => return Err(wrong(variable.expected(name))),
            None => variable.usual.as_ref().ok_or_else(|| wrong(format!("a value for '{name}'")))?,
        };
        values.insert(name.as_str(), value.as_str());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(given: &[(&str, &str)]) -> String {
        let variable = |usual: Option<&str>, max_bytes| Variable {
            usual: usual.map(str::to_owned),
            max_bytes,
            ..Variable::default()
        };
        let tone =
            Variable { one_of: vec!["calm".to_owned(), "brief".to_owned()], ..variable(Some("calm"), 9) };
        let case = Variable { pattern: Regex::new("^(?:[0-9]+)$").ok(), ..variable(Some("1"), 9) };
        let variables = [("bank", variable(None, 4)), ("tone", tone), ("case", case)]
            .map(|(name, own)| (name.to_owned(), own));
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match values(&BTreeMap::from(variables), &given) {
            Ok(values) => values.into_values().collect::<Vec<_>>().join(","),
            Err(Error::PromptVariable { expected }) => format!("expected {expected}"),
            Err(_) => String::new(),
        }
    }

    #[test]
    fn values_fit_or_are_refused_in_the_configurations_words() {
        assert_eq!(told(&[("bank", "Acme")]), "Acme,1,calm");
        assert_eq!(told(&[("bank", ""), ("tone", "brief"), ("case", "77")]), ",77,brief");
        assert_eq!(told(&[]), "expected a value for 'bank'");
        assert_eq!(told(&[("bank", "Acmes")]), "expected for 'bank' at most 4 bytes");
        assert_eq!(
            told(&[("bank", "a"), ("tone", "rude")]),
            "expected for 'tone' one of its 2 configured values"
        );
        assert_eq!(
            told(&[("bank", "a"), ("case", "7\n")]),
            "expected for 'case' at most 9 bytes in its configured form"
        );
        let unknown = told(&[("bank", "a"), ("sécrèt", "x")]);
        assert_eq!(unknown, "expected no other variables than this prompt has: 'bank', 'case', 'tone'");
    }
}
