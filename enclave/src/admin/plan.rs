//! What a request asks for, taken apart, and what is to be done about it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use state::Change;

use super::openapi;
use super::problem::Problem;
use super::route::{Action, Matched, is_id};
use super::{AdminAnswer, AdminRequest, identity};

/// Items of a page where the request does not say.
const USUAL_PAGE: usize = 50;

/// What a request says besides its path.
pub(super) struct Asked<'r> {
    body: &'r [u8],
    /// Items on a page.
    pub(super) limit: usize,
    /// The last item of the page before.
    pub(super) after: Option<&'r str>,
    /// A model, where the route asks for one.
    pub(super) model: Option<String>,
    /// The version that was read before.
    pub(super) version: Option<u64>,
    /// See [`super::AdminApi::answer`].
    pub(super) idempotency_key: Option<&'r str>,
}

impl<'r> Asked<'r> {
    pub(super) fn read(request: &'r AdminRequest<'r>, matched: &Matched<'_>) -> Result<Self, Problem> {
        let mut own = Self {
            body: request.body,
            limit: USUAL_PAGE,
            after: None,
            model: None,
            version: None,
            idempotency_key: None,
        };
        let pages = openapi::is_list(matched.route.action);
        for member in request.query.unwrap_or_default().split('&').filter(|member| !member.is_empty()) {
            let invalid = || Problem::invalid("the query has something that this route does not take");
            match member.split_once('=').ok_or_else(invalid)? {
                ("limit", text) if pages => {
                    let limit: usize = text.parse().map_err(|_| invalid())?;
                    own.limit = Some(limit).filter(|own| (1..=100).contains(own)).ok_or_else(invalid)?;
                }
                ("after", text) if pages && is_id(text) => own.after = Some(text),
                ("model", text) if matched.route.action == Action::ShowAccess => {
                    own.model = Some(model_name(text).ok_or_else(invalid)?);
                }
                _ => return Err(invalid()),
            }
        }
        if openapi::wants_etag(matched.route) {
            let text = request.header("if-match")?.ok_or_else(|| {
                Problem::new(428, "precondition_required", "send the ETag that you read as 'if-match'")
            })?;
            let number = text.strip_prefix("\"v").and_then(|rest| rest.strip_suffix('"'));
            let number = number.and_then(|digits| digits.parse().ok());
            own.version =
                Some(number.ok_or_else(|| Problem::invalid("'if-match' is not an ETag of this API"))?);
        }
        if request.method == "POST"
            && let Some(key) = request.header("idempotency-key")?
        {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            if !(8..=64).contains(&key.len()) || !key.bytes().all(plain) {
                return Err(Problem::invalid("'idempotency-key' is 8 to 64 characters of A-Z a-z 0-9 _ -"));
            }
            own.idempotency_key = Some(key);
        }
        if matched.route.takes.is_none() && !request.body.is_empty() {
            return Err(Problem::invalid("this route takes no body"));
        }
        Ok(own)
    }

    /// The body as that type. Says where it is wrong, never what stands there.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::invalid(format!(
                "the body is not what the document says, at line {line} column {column}"
            ))
        })
    }

    /// Whether a record still is what was read.
    pub(super) fn check_version(&self, version: u64) -> Result<(), Problem> {
        if self.version.is_some_and(|own| own != version) {
            return Err(Problem::new(
                412,
                "changed_meanwhile",
                "it was changed since you read it; read it again",
            ));
        }
        Ok(())
    }
}

/// What is to be done and said.
#[derive(Default)]
pub(super) struct Plan {
    /// To be committed all together; the thing itself first.
    pub(super) changes: Vec<Change>,
    /// The answer.
    pub(super) gives: Option<Value>,
    /// The answer when the same request comes again.
    pub(super) without_secret: Option<Value>,
    /// Whether the answer is one thing that has versions.
    pub(super) is_one: bool,
    /// Its version, if it is not changed.
    pub(super) version: Option<u64>,
    /// What the first changes are about, one for each, for the audit log.
    pub(super) touched: Vec<Touched>,
}

/// A thing that is made, changed or removed.
pub(super) struct Touched {
    /// Its id.
    pub(super) id: String,
    /// What it was, as it may be shown.
    pub(super) before: Option<Value>,
    /// What it is to be, as it may be shown.
    pub(super) after: Option<Value>,
}

impl Plan {
    /// The answer when all is well; `version` is that of what it shows.
    pub(super) fn answer(&self, status: u16, version: Option<u64>) -> AdminAnswer {
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        if let Some(version) = version.filter(|_| self.is_one) {
            headers.push(("etag", format!("\"v{version}\"")));
        }
        let body = match &self.gives {
            Some(gives) if status != 204 => {
                headers.push(("content-type", "application/json".to_owned()));
                gives.to_string().into_bytes()
            }
            _ => Vec::new(),
        };
        AdminAnswer { status, headers, body }
    }

    /// Changes nothing and shows this.
    pub(super) fn show(what: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self { gives: Some(json(what)?), ..Self::default() })
    }
}

/// As JSON.
pub(super) fn json(what: &impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(what).map_err(|_| Problem::new(500, "internal", "it cannot be written as JSON"))
}

impl identity::Principal {
    /// Whoever has not proved anything.
    pub(super) fn nobody() -> Self {
        Self {
            id: "-".to_owned(),
            credential: String::new(),
            role: identity::Role::Developer,
            reach: identity::Reach::default(),
            ceiling: gateway::governance::Policy::default(),
        }
    }
}

/// The name of a model as a query spells it: 1 to 128 characters of A-Z a-z 0-9 . _ : @ + / -, any of them as `%XX`.
fn model_name(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        name.push(char::from(u8::from_str_radix(code, 16).ok()?));
        name.push_str(rest);
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@+/-".contains(&byte);
    ((1..=128).contains(&name.len()) && name.bytes().all(known)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_come_out_of_queries() {
        assert_eq!(model_name("gpt-5").as_deref(), Some("gpt-5"));
        assert_eq!(model_name("meta%2Fllama%3A70b").as_deref(), Some("meta/llama:70b"));
        for bad in ["", "%", "%2", "%zz", "a%00", "a b", "%C3%A4", &"a".repeat(129)] {
            assert_eq!(model_name(bad), None, "{bad}");
        }
    }
}
