//! `batchEmbedContents` (Gemini API reference, "Embeddings").

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{EmbeddingDialect, Vectors, Wanted, at_most};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::wire::Malformed;
use crate::wire::dialect::Expressible;
use crate::wire::json::body;

/// The Gemini API's embeddings.
pub struct GeminiEmbeddings;

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<One<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    model: String,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u64>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    embeddings: Vec<Embedding>,
    usage_metadata: Option<Usage>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_token_count: Option<u64>,
}

impl EmbeddingDialect for GeminiEmbeddings {
    fn method(&self) -> &'static str {
        "batchEmbedContents"
    }

    fn write_request(
        &self,
        wanted: &Plaintext<Wanted>,
        model: &str,
        _: &mut Expressible,
    ) -> Result<Plaintext<Bytes>, Error> {
        let wanted = wanted.expose();
        at_most(wanted, 100, "at most 100 texts for this model")?;
        let one = |text| One {
            model: format!("models/{model}"),
            content: Content { parts: [Part { text }] },
            task_type: wanted.purpose.map(super::Purpose::to_google),
            output_dimensionality: wanted.dimensions,
        };
        Ok(body(&Batch { requests: wanted.texts.iter().map(|text| one(text.as_str())).collect() }))
    }

    fn read_answer(&self, body: &[u8]) -> Result<Plaintext<Vectors>, Malformed> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| Malformed)?;
        let vectors = answer.embeddings.into_iter().map(|own| own.values).collect();
        let input_tokens = answer.usage_metadata.and_then(|own| own.prompt_token_count);
        Ok(Plaintext::new(Vectors { vectors, input_tokens }))
    }
}
