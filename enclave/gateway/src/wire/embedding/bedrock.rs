//! `InvokeModel` of the embedding models on Amazon Bedrock, each with its vendor's body (Amazon Bedrock user guide, "Amazon
//! Titan Text Embeddings", "Cohere Embed").

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::cohere;
use super::{EmbeddingDialect, Vectors, Wanted, at_most};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::wire::Malformed;
use crate::wire::dialect::{Expressible, Weight};
use crate::wire::json::body;

/// Amazon's Titan models.
pub struct TitanEmbeddings;

/// Cohere's models there.
pub struct CohereOnBedrock;

/// The API of a model that embeds, by its name, which may stand within an inference profile's.
pub fn of_model(model: &str) -> Option<&'static dyn EmbeddingDialect> {
    if model.contains("titan-embed-text") {
        Some(&TitanEmbeddings)
    } else if model.contains("cohere.embed") {
        Some(&CohereOnBedrock)
    } else {
        None
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TitanBody<'a> {
    input_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TitanAnswer {
    embedding: Vec<f32>,
    input_text_token_count: Option<u64>,
}

impl EmbeddingDialect for TitanEmbeddings {
    fn method(&self) -> &'static str {
        "invoke"
    }

    fn write_request(
        &self,
        wanted: &Plaintext<Wanted>,
        _: &str,
        expressible: &mut Expressible,
    ) -> Result<Plaintext<Bytes>, Error> {
        let wanted = wanted.expose();
        at_most(wanted, 1, "one text for this model")?;
        if wanted.purpose.is_some() {
            expressible.cannot("input_type", Weight::Hint)?;
        }
        let input_text = wanted.texts.first().map_or("", String::as_str);
        Ok(body(&TitanBody { input_text, dimensions: wanted.dimensions }))
    }

    fn read_answer(&self, body: &[u8]) -> Result<Plaintext<Vectors>, Malformed> {
        let answer: TitanAnswer = serde_json::from_slice(body).map_err(|_| Malformed)?;
        let input_tokens = answer.input_text_token_count;
        Ok(Plaintext::new(Vectors { vectors: vec![answer.embedding], input_tokens }))
    }
}

impl EmbeddingDialect for CohereOnBedrock {
    fn method(&self) -> &'static str {
        "invoke"
    }

    fn write_request(
        &self,
        wanted: &Plaintext<Wanted>,
        _: &str,
        _: &mut Expressible,
    ) -> Result<Plaintext<Bytes>, Error> {
        Ok(body(&cohere::Body::new(wanted.expose(), None)?))
    }

    fn read_answer(&self, body: &[u8]) -> Result<Plaintext<Vectors>, Malformed> {
        cohere::read(body)
    }

    fn count_header(&self) -> Option<&'static str> {
        Some("x-amzn-bedrock-input-token-count")
    }
}
