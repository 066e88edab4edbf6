//! `POST /v2/embed` (Cohere API reference, "Embed API (v2)"), and what its models take on Amazon Bedrock.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{EmbeddingDialect, Purpose, Vectors, Wanted, at_most};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::wire::Malformed;
use crate::wire::dialect::Expressible;
use crate::wire::json::body;

/// Cohere's embeddings.
pub struct CohereEmbeddings;

#[derive(Serialize)]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    /// The API wants one; a text that is not said to be a question is something to be found.
    input_type: &'static str,
    texts: &'a [String],
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    embedding_types: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u64>,
    /// Too long a text is an error, and is not cut in silence.
    truncate: &'static str,
}

impl<'a> Body<'a> {
    pub(super) fn new(wanted: &'a Wanted, model: Option<&'a str>) -> Result<Self, Error> {
        at_most(wanted, 96, "at most 96 texts for this model")?;
        Ok(Self {
            model,
            input_type: match wanted.purpose {
                Some(Purpose::Classification) => "classification",
                Some(Purpose::Clustering) => "clustering",
                None | Some(Purpose::Document) => "search_document",
                Some(Purpose::Query) => "search_query",
            },
            texts: &wanted.texts,
            embedding_types: &["float"],
            output_dimension: wanted.dimensions,
            truncate: "NONE",
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    embeddings: Embeddings,
    meta: Option<Meta>,
}

/// By type where types were asked for; older models on Bedrock know one type and give the list alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Embeddings {
    ByType { float: Vec<Vec<f32>> },
    Alone(Vec<Vec<f32>>),
}

#[derive(Deserialize)]
struct Meta {
    billed_units: Option<BilledUnits>,
}

#[derive(Deserialize)]
struct BilledUnits {
    input_tokens: Option<u64>,
}

pub(super) fn read(body: &[u8]) -> Result<Plaintext<Vectors>, Malformed> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Malformed)?;
    let vectors = match answer.embeddings {
        Embeddings::ByType { float } => float,
        Embeddings::Alone(vectors) => vectors,
    };
    let input_tokens = answer.meta.and_then(|own| own.billed_units).and_then(|own| own.input_tokens);
    Ok(Plaintext::new(Vectors { vectors, input_tokens }))
}

impl EmbeddingDialect for CohereEmbeddings {
    fn method(&self) -> &'static str {
        "embed"
    }

    fn write_request(
        &self,
        wanted: &Plaintext<Wanted>,
        model: &str,
        _: &mut Expressible,
    ) -> Result<Plaintext<Bytes>, Error> {
        Ok(body(&Body::new(wanted.expose(), Some(model))?))
    }

    fn read_answer(&self, body: &[u8]) -> Result<Plaintext<Vectors>, Malformed> {
        read(body)
    }
}
