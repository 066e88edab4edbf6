//! `predict` of Google's text embedding models on Vertex AI (Vertex AI API reference, "Text embeddings").

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{EmbeddingDialect, Vectors, Wanted, at_most};
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::wire::Malformed;
use crate::wire::dialect::Expressible;
use crate::wire::json::body;

/// Vertex AI's embeddings.
pub struct VertexEmbeddings;

#[derive(Serialize)]
struct Body<'a> {
    instances: Vec<Instance<'a>>,
    parameters: Parameters,
}

#[derive(Serialize)]
struct Instance<'a> {
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    /// Too long a text is an error, as elsewhere, and is not cut in silence.
    auto_truncate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u64>,
}

#[derive(Deserialize)]
struct Answer {
    predictions: Vec<Prediction>,
}

#[derive(Deserialize)]
struct Prediction {
    embeddings: Embedding,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    /// Some models write it as `7.0`.
    token_count: Option<f64>,
}

impl EmbeddingDialect for VertexEmbeddings {
    fn method(&self) -> &'static str {
        "predict"
    }

    fn write_request(
        &self,
        wanted: &Plaintext<Wanted>,
        _: &str,
        _: &mut Expressible,
    ) -> Result<Plaintext<Bytes>, Error> {
        let wanted = wanted.expose();
        at_most(wanted, 250, "at most 250 texts for this model")?;
        let task_type = wanted.purpose.map(super::Purpose::to_google);
        let instances = wanted.texts.iter().map(|content| Instance { content, task_type }).collect();
        let parameters = Parameters { auto_truncate: false, output_dimensionality: wanted.dimensions };
        Ok(body(&Body { instances, parameters }))
    }

    fn read_answer(&self, body: &[u8]) -> Result<Plaintext<Vectors>, Malformed> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| Malformed)?;
        let mut vectors = Vec::with_capacity(answer.predictions.len());
        let mut input_tokens = Some(0);
        for Prediction { embeddings } in answer.predictions {
            let count = embeddings.statistics.and_then(|own| own.token_count).and_then(whole);
            input_tokens = input_tokens.zip(count).map(|(sum, own): (u64, u64)| sum.saturating_add(own));
            vectors.push(embeddings.values);
        }
        Ok(Plaintext::new(Vectors { vectors, input_tokens }))
    }
}

/// A count of tokens that was written as a number with a fraction of nothing.
fn whole(number: f64) -> Option<u64> {
    format!("{number:.0}").parse().ok()
}
