//! Embeddings of upstreams with an API of their own, behind `OpenAI`'s embeddings API, which is what clients speak.
//!
//! An API is one file in `wire/embedding/`; the provider that speaks it says so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::dialect::{Expressible, Weight};
use super::json::{TextOr, member, positive, report_unread};
use super::{Malformed, Request};
use crate::error::Error;
use crate::plaintext::Plaintext;

pub mod gemini;

pub mod vertex;

pub mod cohere;

pub mod bedrock;

/// An embeddings API as an upstream speaks it.
pub trait EmbeddingDialect: Sync {
    /// What of the path comes after the model, or after the version where the body names the model.
    fn method(&self) -> &'static str;
    /// A request for an upstream.
    ///
    /// # Errors
    /// What this API cannot say goes to `expressible`, which may refuse; [`Error::FieldInvalid`] for too many texts.
    fn write_request(
        &self,
        wanted: &Plaintext<Wanted>,
        model: &str,
        expressible: &mut Expressible,
    ) -> Result<Plaintext<Bytes>, Error>;
    /// An upstream's answer.
    ///
    /// # Errors
    /// [`Malformed`] if it is not this API's.
    fn read_answer(&self, body: &[u8]) -> Result<Plaintext<Vectors>, Malformed>;
    /// A head field of the answer with the count of input tokens, where the body has none.
    fn count_header(&self) -> Option<&'static str> {
        None
    }
}

/// What a client wants embedded.
pub struct Wanted {
    /// The texts.
    pub texts: Vec<String>,
    /// How many numbers for each; as many as the model has if absent.
    pub dimensions: Option<u64>,
    /// What for; `OpenAI`'s API has no word for it, so clients say it in `input_type`.
    pub purpose: Option<Purpose>,
    /// The vectors as base64 of little-endian 32-bit floats.
    pub base64: bool,
}

impl Wanted {
    /// Four bytes a token, for APIs that do not count.
    pub fn estimated_tokens(&self) -> u64 {
        let count = |text: &String| u64::try_from(text.len().div_ceil(4)).unwrap_or(u64::MAX);
        self.texts.iter().map(count).fold(0, u64::saturating_add)
    }
}

/// What vectors are for; models that know give other vectors to questions than to what answers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Telling kinds of texts apart.
    Classification,
    /// Finding groups.
    Clustering,
    /// Being found.
    Document,
    /// Finding.
    Query,
}

impl Purpose {
    /// From the words of Cohere, Voyage and Google.
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "classification" | "CLASSIFICATION" => Self::Classification,
            "clustering" | "CLUSTERING" => Self::Clustering,
            "document" | "passage" | "search_document" | "RETRIEVAL_DOCUMENT" => Self::Document,
            "query" | "search_query" | "RETRIEVAL_QUERY" => Self::Query,
            _ => return None,
        })
    }

    /// Google's word.
    const fn to_google(self) -> &'static str {
        match self {
            Self::Classification => "CLASSIFICATION",
            Self::Clustering => "CLUSTERING",
            Self::Document => "RETRIEVAL_DOCUMENT",
            Self::Query => "RETRIEVAL_QUERY",
        }
    }
}

/// An upstream's answer.
pub struct Vectors {
    /// One for each text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts, if reported.
    pub input_tokens: Option<u64>,
}

/// A client's request in this form.
///
/// # Errors
/// Field errors in the client's words; token arrays, which mean something to one vendor's models only, are refused.
pub fn read_request(request: &Request, expressible: &mut Expressible) -> Result<Plaintext<Wanted>, Error> {
    const READ: &[&str] = &["dimensions", "encoding_format", "input", "input_type", "model"];
    report_unread(request, READ, &[("user", Weight::Hint)], expressible)?;
    let expected = "a text or an array of texts";
    let texts = match member::<TextOr<String>>(request, "input", expected)? {
        None => return Err(Error::FieldMissing { param: "input" }),
        Some(TextOr::Text(text)) => vec![text],
        Some(TextOr::List(texts)) => texts,
    };
    if texts.is_empty() || texts.len() > MOST_TEXTS || texts.iter().any(String::is_empty) {
        return Err(Error::FieldInvalid { param: "input", expected: "1 to 2048 texts that are not empty" });
    }
    let base64 = match member::<String>(request, "encoding_format", "'float' or 'base64'")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            return Err(Error::FieldInvalid { param: "encoding_format", expected: "'float' or 'base64'" });
        }
    };
    let expected = "'query', 'document', 'classification' or 'clustering'";
    let purpose = match member::<String>(request, "input_type", expected)? {
        None => None,
        Some(word) => {
            Some(Purpose::from_word(&word).ok_or(Error::FieldInvalid { param: "input_type", expected })?)
        }
    };
    let dimensions = positive(request, "dimensions")?;
    Ok(Plaintext::new(Wanted { texts, dimensions, purpose, base64 }))
}

/// Most texts of one request, as in `OpenAI`'s API.
const MOST_TEXTS: usize = 2048;

/// An answer for a client. `tokens` is what is told where the upstream tells nothing.
pub fn write_answer(answer: &Vectors, base64: bool, model: &str, tokens: u64) -> Vec<u8> {
    let tokens = answer.input_tokens.unwrap_or(tokens);
    let mut out = br#"{"object":"list","data":["#.to_vec();
    for (place, vector) in answer.vectors.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!(r#"{{"object":"embedding","index":{place},"embedding":"#).as_bytes());
        append_vector(&mut out, vector, base64);
        out.push(b'}');
    }
    // Names of models need no escaping.
    let end =
        format!(r#"],"model":"{model}","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#);
    out.extend_from_slice(end.as_bytes());
    out
}

/// Appends one vector, as an array of numbers or as base64.
pub(crate) fn append_vector(out: &mut Vec<u8>, vector: &[f32], base64: bool) {
    if base64 {
        let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        out.push(b'"');
        out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
        out.push(b'"');
        return;
    }
    out.push(b'[');
    for (place, value) in vector.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(value.to_string().as_bytes());
    }
    out.push(b']');
}

impl Vectors {
    /// Whether there is a vector for each text, and all are of one length.
    pub fn answers(&self, texts: usize) -> bool {
        let length = self.vectors.first().map_or(0, Vec::len);
        let alike =
            |vector: &Vec<f32>| vector.len() == length && vector.iter().all(|value| value.is_finite());
        self.vectors.len() == texts && length > 0 && self.vectors.iter().all(alike)
    }
}

/// No more texts than the API takes at once.
fn at_most(wanted: &Wanted, most: usize, expected: &'static str) -> Result<(), Error> {
    if wanted.texts.len() > most { Err(Error::FieldInvalid { param: "input", expected }) } else { Ok(()) }
}
