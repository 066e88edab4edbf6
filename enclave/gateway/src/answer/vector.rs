//! An answer to a question of the gateway's own: what a text means.

use serde::Deserialize;

use super::read_whole;
use crate::chat::Usage;
use crate::error::Error;
use crate::provider::Reading;
use crate::upstream::{UpstreamBody, UpstreamResponse};

#[derive(Deserialize)]
struct Embeddings {
    data: Vec<Embedding>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Embedding {
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
}

/// The one vector that was asked for, and what it took.
///
/// # Errors
/// [`Error::UpstreamFailed`], [`Error::UpstreamMalformed`], [`Error::AnswerTooLarge`].
pub(crate) async fn receive<B: UpstreamBody>(
    response: UpstreamResponse<B>,
    reading: Reading,
    max_bytes: usize,
) -> Result<(Vec<f32>, Option<Usage>), Error> {
    if !(200..=299).contains(&response.status) {
        return Err(Error::UpstreamFailed);
    }
    let body = read_whole(response.body, max_bytes).await?;
    let (vectors, tokens) = match reading {
        Reading::Embedded(way) => {
            let answer =
                way.from.read_answer(body.expose()).map_err(|_| Error::UpstreamMalformed)?.into_exposed();
            (answer.vectors, answer.input_tokens)
        }
        Reading::Same { .. } => {
            let read = serde_json::from_slice(body.expose());
            let Embeddings { data, usage } = read.map_err(|_| Error::UpstreamMalformed)?;
            let vectors = data.into_iter().map(|own| own.embedding).collect();
            (vectors, usage.map(|own| own.prompt_tokens))
        }
        Reading::Translated(_) => return Err(Error::UpstreamMalformed),
    };
    let [vector] = <[Vec<f32>; 1]>::try_from(vectors).map_err(|_| Error::UpstreamMalformed)?;
    let usage = tokens.map(|tokens| Usage { input_tokens: tokens, total_tokens: tokens, ..Usage::default() });
    Ok((vector, usage))
}
