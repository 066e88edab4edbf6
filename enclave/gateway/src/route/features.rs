//! What a request needs of a deployment, from its original bytes in whatever API format. Nothing is decoded.

use crate::deployment::Capability;
use crate::plaintext::Plaintext;
use crate::scan::{self, Fields, Kind};
use crate::wire::Request;

/// Bytes of a request body that make one token, as an estimate: English text in JSON. Other scripts need fewer bytes per
/// token, so the estimate is low for them; it decides about room and price, never about policy.
pub const BYTES_PER_TOKEN: u64 = 4;
/// What an inline image or file counts for, instead of its bytes in base64.
const TOKENS_PER_ATTACHMENT: u64 = 1000;
/// A string of at least so many bytes without white space is an attachment.
const ATTACHMENT_BYTES: usize = 2048;

/// What a request needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Estimated tokens of the prompt; see [`BYTES_PER_TOKEN`].
    pub input_tokens: u64,
    /// Most tokens of the completion, if the client says.
    pub max_output_tokens: Option<u64>,
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
    /// Of a checked request.
    pub fn of(request: &Request) -> Self {
        let document = request.body.expose();
        let shows = |tokens: &[&[u8]]| tokens.iter().any(|token| has_string(document, token));
        let (images, audio, documents) = (shows(IMAGES), shows(AUDIO), shows(DOCUMENTS));
        let input_tokens = if images || audio || documents {
            without_attachments(&request.body)
        } else {
            rough(document.len())
        };
        Self {
            input_tokens,
            max_output_tokens: max_output(document, &request.fields),
            audio,
            documents,
            images,
            json_schema: wants_schema(document, &request.fields),
            reasoning: ["reasoning", "reasoning_effort", "thinking"].iter().any(|name| {
                request.fields.find(document, name).is_some_and(|field| field.kind != Kind::Null)
            }),
            tools: offers_tools(document, &request.fields),
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
    let is_true =
        |name: &str| request.fields.find(document, name).is_some_and(|field| field.kind == Kind::True);
    if is_true("store") || is_true("background") {
        return true;
    }
    let tools = request.fields.find(document, "tools").map(|field| field.value(document));
    tools.is_some_and(|tools| {
        SERVER_TOOLS.iter().any(|token| has_string(tools, token))
            || memchr::memmem::find_iter(tools, WEB_SEARCH)
                .any(|at| at.checked_sub(1).and_then(|place| tools.get(place)) != Some(&b'\\'))
    })
}

/// Whether a second execution at the same time leaves no traces and costs no more than twice.
pub fn may_be_doubled(request: &Request) -> bool {
    let document = request.body.expose();
    let n = request.fields.find(document, "n").is_none_or(|n| n.unsigned(document) == Some(1));
    n && request.fields.find(document, "audio").is_none() && !must_run_once(request)
}

/// Types of tools that the provider runs itself.
const SERVER_TOOLS: &[&[u8]] = &[
    b"mcp",
    b"code_interpreter",
    b"computer_use_preview",
    b"file_search",
    b"image_generation",
    b"local_shell",
];
/// How the types of searches on the web begin; a version follows, as in `web_search_20250305`.
const WEB_SEARCH: &[u8] = b"\"web_search";

/// Types and names that introduce an image: `OpenAI` chat and Responses, Anthropic, Gemini.
const IMAGES: &[&[u8]] = &[b"image_url", b"input_image", b"image", b"inlineData", b"inline_data"];
/// The same for sound.
const AUDIO: &[&[u8]] = &[b"input_audio"];
/// The same for documents.
const DOCUMENTS: &[&[u8]] = &[b"input_file", b"document", b"fileData", b"file_data"];

/// Whether this very string stands anywhere in a valid document. Inside a longer string its quotes would be escaped.
fn has_string(document: &[u8], token: &[u8]) -> bool {
    memchr::memmem::find_iter(document, token).any(|at| {
        let before = at.checked_sub(1).and_then(|place| document.get(place));
        let escaped = at.checked_sub(2).and_then(|place| document.get(place)) == Some(&b'\\');
        let after = document.get(at.saturating_add(token.len()));
        before == Some(&b'"') && !escaped && after == Some(&b'"')
    })
}

fn without_attachments(body: &Plaintext<bytes::Bytes>) -> u64 {
    let document = body.expose();
    let (mut attachments, mut bytes) = (0_u64, 0_usize);
    scan::strings(document, |text| {
        let solid = text.len() >= ATTACHMENT_BYTES && memchr::memchr3(b' ', b'\t', b'\\', text).is_none();
        if solid {
            attachments = attachments.saturating_add(1);
            bytes = bytes.saturating_add(text.len());
        }
    });
    let words = rough(document.len().saturating_sub(bytes));
    words.saturating_add(attachments.saturating_mul(TOKENS_PER_ATTACHMENT))
}

fn max_output(document: &[u8], fields: &Fields) -> Option<u64> {
    let top = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
    let stated = top.iter().find_map(|name| fields.find(document, name)?.unsigned(document));
    stated.or_else(|| {
        let nested = ["generationConfig", "generation_config"];
        let field = nested.iter().find_map(|name| fields.find(document, name))?;
        let object = field.value(document);
        let mut inner = Fields::new();
        inner.scan_utf8(object).ok()?;
        let names = ["maxOutputTokens", "max_output_tokens"];
        names.iter().find_map(|name| inner.find(object, name)?.unsigned(object))
    })
}

fn offers_tools(document: &[u8], fields: &Fields) -> bool {
    ["tools", "functions"].iter().any(|name| {
        let field = fields.find(document, name).filter(|field| field.kind == Kind::Array);
        field.is_some_and(|field| field.value(document).contains(&b'{'))
    })
}

fn wants_schema(document: &[u8], fields: &Fields) -> bool {
    let places = [
        "response_format",
        "text",
        "output_format",
        "output_config",
        "generationConfig",
        "generation_config",
    ];
    places.iter().any(|name| {
        let field = fields.find(document, name).filter(|field| field.kind == Kind::Object);
        field.is_some_and(|field| SCHEMAS.iter().any(|token| has_string(field.value(document), token)))
    })
}

const SCHEMAS: [&[u8]; 4] = [b"json_schema", b"responseSchema", b"responseJsonSchema", b"response_schema"];

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
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
