//! What a request needs of a deployment, from its original bytes in whatever API format. Nothing is decoded.

use super::server_tools;
use crate::deployment::Capability;
use crate::scan::{self, Field, Fields, Kind, Sign, Signs};
use crate::wire::{OperationName, Request};

/// Bytes of a request body that make one token, as an estimate: English text in JSON. Other scripts need fewer bytes per
/// token, so the estimate is low for them; it decides about room and price, never about policy.
pub const BYTES_PER_TOKEN: u64 = 4;
/// What an inline image or file counts for, instead of its bytes in base64: a [long string](scan::LONG_STRING) without white
/// space.
const TOKENS_PER_ATTACHMENT: u64 = 1000;

/// What a request needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Estimated tokens of the prompt; see [`BYTES_PER_TOKEN`].
    pub input_tokens: u64,
    /// Most tokens of the completion, if the client says.
    pub max_output_tokens: Option<u64>,
    /// How many completions of that length may be paid for: `n` or `best_of` for each prompt. At least one.
    pub answers: u64,
    /// It has sound in it.
    pub audio: bool,
    /// It has documents in it.
    pub documents: bool,
    /// It shows images.
    pub images: bool,
    /// It wants an answer that follows a JSON schema.
    pub json_schema: bool,
    /// It sets how much the model thinks.
    pub reasoning: bool,
    /// It offers tools.
    pub tools: bool,
}

impl Features {
    /// Of a checked request: from what the scan noted and one look at each top-level field, whatever the body's size.
    pub fn of(request: &Request) -> Self {
        let document = request.body.expose();
        let shows = |sign| request.fields.signs().is_some_and(|signs| signs.has(sign));
        let mut features = Self {
            audio: shows(Sign::Audio),
            documents: shows(Sign::Document),
            images: shows(Sign::Image),
            ..Self::default()
        };
        for field in &request.fields {
            features.look_at(field, document, shows(Sign::Schema));
        }
        features.answers = features.answers.max(1).saturating_mul(prompts(request));
        let attached = features.images || features.audio || features.documents;
        let attachments = request.fields.signs().filter(|_| attached);
        features.input_tokens =
            attachments.map_or_else(|| rough(document.len()), |signs| without_attachments(document, signs));
        features
    }

    fn look_at(&mut self, field: &Field, document: &[u8], schemas: bool) {
        match field.known(document, FIELDS) {
            Some("max_completion_tokens" | "max_output_tokens" | "max_tokens") => {
                // Where a request has several, the largest is room enough for any reading of it.
                self.max_output_tokens = self.max_output_tokens.max(field.unsigned(document));
            }
            Some("best_of" | "n") => self.answers = self.answers.max(number_of_answers(field, document)),
            Some("functions" | "tools") => {
                self.tools |= field.kind == Kind::Array && field.elements.count > 0;
            }
            Some("reasoning" | "reasoning_effort" | "thinking") => self.reasoning |= field.kind != Kind::Null,
            Some("generationConfig" | "generation_config") => {
                self.json_schema |= schemas && holds_schema(field, document);
                self.max_output_tokens = self.max_output_tokens.max(nested_max_output(field, document));
                self.answers = self.answers.max(nested_answers(field, document));
            }
            Some(_) => self.json_schema |= schemas && holds_schema(field, document),
            None => {}
        }
    }

    /// What a model must be able to do.
    pub fn needs(&self) -> impl Iterator<Item = Capability> + use<> {
        [
            (self.audio, Capability::Audio),
            (self.documents, Capability::Documents),
            (self.images, Capability::Images),
            (self.json_schema, Capability::JsonSchema),
            (self.reasoning, Capability::Reasoning),
            (self.tools, Capability::Tools),
        ]
        .into_iter()
        .filter_map(|(needed, capability)| needed.then_some(capability))
    }
}

/// The first estimate, from the request's size alone.
pub fn rough_tokens(request: &Request) -> u64 {
    rough(request.body.expose().len())
}

fn rough(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).wrapping_div(BYTES_PER_TOKEN)
}

/// Whether a second execution would leave traces: the client asks the provider to keep or to do something itself.
pub fn must_run_once(request: &Request) -> bool {
    let document = request.body.expose();
    let field = |name: &str| request.fields.find(document, name);
    let is_true = |name| field(name).is_some_and(|own| own.kind == Kind::True);
    let some = |name, kind| field(name).is_some_and(|own| own.kind == kind && own.value.len() > 2);
    is_true("store")
        || is_true("background")
        || some("mcp_servers", Kind::Array)
        || field("web_search_options").is_some_and(|own| own.kind == Kind::Object)
        || request.fields.signs().is_some_and(|signs| signs.has(Sign::ServerTool))
            && field("tools").is_some_and(|own| server_tools::any(own.value(document)))
}

/// Whether a second execution at the same time leaves no traces and costs no more than twice.
pub fn may_be_doubled(request: &Request) -> bool {
    let document = request.body.expose();
    let n = request.fields.find(document, "n").is_none_or(|n| n.unsigned(document) == Some(1));
    n && request.fields.find(document, "audio").is_none() && !must_run_once(request)
}

/// Names of the top-level fields that say what a request needs.
const FIELDS: &[&str] = &[
    "best_of",
    "functions",
    "generationConfig",
    "generation_config",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "n",
    "output_config",
    "output_format",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "text",
    "thinking",
    "tools",
];

/// Whether a part of a valid document has this sign in it.
fn holds(part: &[u8], sign: Sign) -> bool {
    let mut found = false;
    scan::strings(part, |word| found = found || Sign::of(word) == Some(sign));
    found
}

fn holds_schema(field: &Field, document: &[u8]) -> bool {
    field.kind == Kind::Object && holds(field.value(document), Sign::Schema)
}

fn without_attachments(document: &[u8], signs: &Signs) -> u64 {
    let (mut attachments, mut bytes) = (0_u64, 0_usize);
    for place in signs.long_strings() {
        let text = document.get(place.clone()).unwrap_or_default();
        if memchr::memchr3(b' ', b'\t', b'\\', text).is_none() {
            attachments = attachments.saturating_add(1);
            bytes = bytes.saturating_add(text.len());
        }
    }
    let words = rough(document.len().saturating_sub(bytes));
    words.saturating_add(attachments.saturating_mul(TOKENS_PER_ATTACHMENT))
}

/// Where Gemini's API says it.
fn nested_max_output(field: &Field, document: &[u8]) -> Option<u64> {
    nested(field, document, ["maxOutputTokens", "max_output_tokens"], Field::unsigned)
}

fn nested_answers(field: &Field, document: &[u8]) -> u64 {
    let read = |field: &Field, object: &[u8]| Some(number_of_answers(field, object));
    nested(field, document, ["candidateCount", "candidate_count"], read).unwrap_or(1)
}

fn nested<T>(
    field: &Field,
    document: &[u8],
    names: [&str; 2],
    read: impl Fn(&Field, &[u8]) -> Option<T>,
) -> Option<T> {
    let object = field.value(document);
    let mut inner = Fields::new();
    inner.scan_utf8(object).ok()?;
    names.iter().find_map(|name| read(inner.find(object, name)?, object))
}

/// A number of answers, however it is written: some servers take `2e1` for twenty.
fn number_of_answers(field: &Field, document: &[u8]) -> u64 {
    let loosely = || {
        let text = std::str::from_utf8(field.value(document)).ok()?;
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, which is what a bound wants"
        )]
        text.trim_matches('"').parse::<f64>().ok().map(|number| number.ceil() as u64)
    };
    field.unsigned(document).or_else(loosely).unwrap_or(1)
}

/// How many prompts a request to complete has: an array of numbers is one prompt in tokens, any other array has one in each
/// element.
fn prompts(request: &Request) -> u64 {
    let document = request.body.expose();
    if request.wire.operation() != OperationName::TextCompletion {
        return 1;
    }
    let Some(prompt) = request.fields.find(document, "prompt") else { return 1 };
    let first = prompt.value(document).iter().skip(1).find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'"' | b'[') if prompt.kind == Kind::Array => u64::from(prompt.elements.count.max(1)),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::plaintext::Plaintext;
    use crate::wire::WIRES;

    fn features(more: &str, content: &str) -> Features {
        Features::of(&request(more, content))
    }

    fn request(more: &str, content: &str) -> Request {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]{more}}}"#);
        let chat = WIRES.iter().find(|wire| wire.name() == "openai_chat").unwrap();
        chat.parse(crate::wire::Asked::default(), Plaintext::new(Bytes::from(body))).unwrap()
    }

    #[test]
    fn tools_that_the_provider_runs_are_run_once() {
        for kind in ["file_search", "web_search", "web_search_preview", "web_search_20250305", "mcp"] {
            let tools = format!(r#","tools":[{{"type":"{kind}"}}]"#);
            assert!(must_run_once(&request(&tools, "\"x\"")), "{kind}");
        }
        let quoted =
            r#","tools":[{"type":"function","function":{"name":"f","description":"not \"web_search\""}}]"#;
        assert!(!must_run_once(&request(quoted, "\"web_search\"")));
    }

    #[test]
    fn a_plain_question_needs_nothing() {
        let text = r#""the word \"image_url\" and json_schema in a text""#;
        let own = features("", text);
        assert_eq!(
            (own.tools, own.images, own.json_schema, own.max_output_tokens),
            (false, false, false, None)
        );
        assert!((20..30).contains(&own.input_tokens), "{own:?}");
    }

    #[test]
    fn needs_are_found() {
        assert!(features(r#","tools":[{"type":"function"}]"#, "\"x\"").tools);
        assert!(!features(r#","tools":[]"#, "\"x\"").tools);
        assert!(
            features(r#","response_format":{"type":"json_schema","json_schema":{}}"#, "\"x\"").json_schema
        );
        assert!(!features(r#","response_format":{"type":"json_object"}"#, "\"x\"").json_schema);
        assert_eq!(features(r#","max_tokens":77"#, "\"x\"").max_output_tokens, Some(77));
        assert_eq!(
            features(r#","generationConfig":{"maxOutputTokens":9}"#, "\"x\"").max_output_tokens,
            Some(9)
        );
    }

    #[test]
    fn several_answers_are_counted_as_often_as_they_are_paid() {
        for (more, answers) in [
            ("", 1),
            (r#","n":null"#, 1),
            (r#","n":4"#, 4),
            (r#","n":2e1"#, 20),
            (r#","n":2.5"#, 3),
            (r#","n":"7""#, 7),
            (r#","n":1e300"#, u64::MAX),
            (r#","generationConfig":{"candidateCount":3}"#, 3),
        ] {
            assert_eq!(features(more, "\"x\"").answers, answers, "{more}");
        }
        let completions = WIRES.iter().find(|wire| wire.name() == "openai_completions").unwrap();
        for (rest, answers) in [
            (r#""prompt":"a""#, 1),
            (r#""prompt":["a","b","c"],"n":2"#, 6),
            (r#""prompt":["a","b"],"n":2,"best_of":5"#, 10),
            (r#""prompt":[1,2,3],"n":2"#, 2),
            (r#""prompt": [ [1,2],[3] ]"#, 2),
            (r#""prompt":[]"#, 1),
        ] {
            let body = Plaintext::new(Bytes::from(format!(r#"{{"model":"m",{rest}}}"#)));
            let request = completions.parse(crate::wire::Asked::default(), body).unwrap();
            assert_eq!(Features::of(&request).answers, answers, "{rest}");
        }
    }

    #[test]
    fn an_image_is_not_counted_by_its_bytes() {
        let image = format!(
            r#"[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{}"}}}}]"#,
            "A".repeat(400_000)
        );
        let own = features("", &image);
        assert!(own.images);
        assert!((1000..1100).contains(&own.input_tokens), "{own:?}");
    }
}
