//! Rules for calls of tools: by the tool's name and by its arguments. The first rule that fits a call counts; a call that no
//! rule fits is denied unless the configuration says otherwise. Arguments that are no JSON are denied.

use regex::Regex;
use serde_json::Value;

use super::{Call, Detector, GuardrailKind, Hook, Judge, Settings, Subject, ToolVerdict, regex::compile};

/// The registered kind.
pub const KIND: ToolRulesKind = ToolRulesKind;

/// Makes rules for tools.
pub struct ToolRulesKind;

impl GuardrailKind for ToolRulesKind {
    fn name(&self) -> &'static str {
        "tool_rules"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["otherwise", "rules"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::ToolCall]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let configured = settings.rules.clone().unwrap_or_default();
        if configured.is_empty() || configured.len() > 1000 {
            return Err("at least one of 'rules', and 1,000 at most");
        }
        let whole = |source: &str| compile(&format!("^(?:{source})$"));
        let mut rules = Vec::with_capacity(configured.len());
        for own in configured {
            let pointer = own.argument.as_deref();
            if pointer.is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
                return Err("JSON pointers in 'argument', such as /path");
            }
            if own.matches.is_some() && pointer.is_none() {
                return Err("an 'argument' where there is 'matches'");
            }
            rules.push(Rule {
                name: whole(&own.name)?,
                argument: own.argument,
                matches: own.matches.as_deref().map(whole).transpose()?,
                verdict: own.verdict,
            });
        }
        Ok(Detector::Judge(Box::new(ToolRules { rules, otherwise: settings.otherwise.unwrap_or_default() })))
    }
}

struct Rule {
    name: Regex,
    argument: Option<String>,
    matches: Option<Regex>,
    verdict: ToolVerdict,
}

struct ToolRules {
    rules: Vec<Rule>,
    otherwise: ToolVerdict,
}

impl Judge for ToolRules {
    fn objects(&self, subject: &Subject<'_>) -> bool {
        subject.calls.iter().any(|call| self.verdict(call) == ToolVerdict::Deny)
    }
}

impl ToolRules {
    fn verdict(&self, call: &Call) -> ToolVerdict {
        if call.arguments.is_null() {
            return ToolVerdict::Deny;
        }
        let first = self.rules.iter().find(|own| own.fits(call));
        first.map_or(self.otherwise, |own| own.verdict)
    }
}

impl Rule {
    fn fits(&self, call: &Call) -> bool {
        if !self.name.is_match(&call.name) {
            return false;
        }
        let Some(pointer) = &self.argument else { return true };
        let Some(value) = call.arguments.pointer(pointer) else { return false };
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => {
                value.to_string()
            }
        };
        self.matches.as_ref().is_none_or(|own| own.is_match(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ToolRule;
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rule = |name: &str, argument: Option<(&str, &str)>, verdict| ToolRule {
            name: name.to_owned(),
            argument: argument.map(|(pointer, _)| pointer.to_owned()),
            matches: argument.map(|(_, matches)| matches.to_owned()),
            verdict,
        };
        let rules = vec![
            rule("read", Some(("/path", "/etc/.*")), ToolVerdict::Deny),
            rule("read|list", None, ToolVerdict::Allow),
            rule("pay", Some(("/amount", "[0-9]{1,3}")), ToolVerdict::Allow),
        ];
        let settings = Settings { rules: Some(rules), ..Settings::default() };
        let Ok(Detector::Judge(check)) = KIND.configure(&settings) else { panic!("a judge") };
        let denied = |name: &str, arguments: Value| {
            let calls = [Call { name: name.to_owned(), arguments }];
            let metadata = std::collections::BTreeMap::new();
            let subject = Subject {
                hook: Hook::ToolCall,
                segments: &[],
                calls: &calls,
                asked: &[],
                metadata: &metadata,
            };
            check.objects(&subject)
        };
        assert!(!denied("read", serde_json::json!({ "path": "/srv/x" })));
        assert!(denied("read", serde_json::json!({ "path": "/etc/passwd" })));
        assert!(denied("reader", serde_json::json!({})), "the whole name counts");
        assert!(!denied("pay", serde_json::json!({ "amount": 100 })));
        assert!(denied("pay", serde_json::json!({ "amount": 1000 })));
        assert!(denied("pay", serde_json::json!({})));
        assert!(denied("read", Value::Null), "arguments that are no JSON");
        assert!(KIND.configure(&Settings::default()).is_err());
    }
}
