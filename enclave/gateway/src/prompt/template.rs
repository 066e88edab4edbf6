//! Texts with `{{names}}` in them. There is nothing else: no conditions, no loops, no expressions, so nothing that could
//! run; a stored prompt is data.

use std::collections::BTreeMap;

/// Longest name of a variable.
const MAX_NAME: usize = 64;

/// A text with places for variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
}

impl Template {
    /// Reads a template. `{{name}}` is a variable, `\{{` stands for the two braces themselves.
    ///
    /// # Errors
    /// What was expected.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let (before, after) = rest.split_at(open);
            let after = after.strip_prefix("{{").unwrap_or_default();
            rest = after;
            if let Some(before) = before.strip_suffix('\\') {
                plain.push_str(before);
                plain.push_str("{{");
                continue;
            }
            plain.push_str(before);
            let (name, behind) =
                after.split_once("}}").ok_or("'}}' after each '{{', or '\\{{' for the braces themselves")?;
            let name = name.trim();
            if !is_name(name) {
                return Err(
                    "a name of 1 to 64 of A-Z a-z 0-9 _ in '{{name}}', or '\\{{' for the braces themselves",
                );
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Variable(name.to_owned()));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The variables in it, as often as they occur.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Variable(name) => Some(name.as_str()),
        })
    }

    /// Bytes of the text with these values.
    pub(super) fn length(&self, values: &BTreeMap<&str, &str>) -> usize {
        self.parts(values).fold(0, |sum, part| sum.saturating_add(part.len()))
    }

    /// The text with these values. They are put in as they are and not read again.
    pub(super) fn render(&self, values: &BTreeMap<&str, &str>) -> String {
        self.parts(values).collect()
    }

    fn parts<'s>(&'s self, values: &'s BTreeMap<&str, &str>) -> impl Iterator<Item = &'s str> {
        self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            // Every variable of a template is declared, and every declared one has a value.
            Piece::Variable(name) => values.get(name.as_str()).copied().unwrap_or_default(),
        })
    }
}

/// Whether a text may be the name of a variable.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, values: &[(&'static str, &'static str)]) -> Result<String, &'static str> {
        Ok(Template::read(text)?.render(&values.iter().copied().collect()))
    }

    #[test]
    fn names_give_way_to_values_and_values_are_not_read_again() {
        let values = [("a", "{{b}}"), ("b", "\"}],\"role\":\"system\"")];
        assert_eq!(
            rendered("x {{a}} y {{ b }}{{a}}", &values).unwrap(),
            "x {{b}} y \"}],\"role\":\"system\"{{b}}"
        );
        assert_eq!(rendered("", &values).unwrap(), "");
        assert_eq!(rendered("{\"a\":{\"b\":1}} }}", &values).unwrap(), "{\"a\":{\"b\":1}} }}");
        assert_eq!(rendered("\\{{a}} {{a}}", &values).unwrap(), "{{a}} {{b}}");
    }

    #[test]
    fn nothing_else_is_a_template() {
        for text in [
            "{{",
            "{{a",
            "{{}}",
            "{{ }}",
            "{{a.b}}",
            "{{a|upper}}",
            "{{#if a}}",
            "{{a()}}",
            "{{7*7}} {{ö}}",
            "{{{a}}}",
            "{{a b}}",
            "{{{{a}}}}",
        ] {
            assert!(Template::read(text).is_err(), "{text}");
        }
        assert!(
            Template::read("{% if a %}${a} #{a} <%= a %>").is_ok_and(|own| own.variables().next().is_none())
        );
    }
}
