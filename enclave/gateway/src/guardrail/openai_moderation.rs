//! Asks OpenAI's moderation (`POST /v1/moderations`, OpenAI's API reference), or another model behind the same API: whether
//! one of the texts is flagged.

use serde::Deserialize;

use super::{
    Answered, Asked, Detector, GuardrailKind, Hook, Needs, Question, Service, Settings, Unclear, Verdict,
};

/// The registered kind.
pub const KIND: OpenAiModerationKind = OpenAiModerationKind;

/// Makes checks that ask it.
pub struct OpenAiModerationKind;

impl GuardrailKind for OpenAiModerationKind {
    fn name(&self) -> &'static str {
        "openai_moderation"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["policy"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let model = settings.policy.clone().unwrap_or_else(|| "omni-moderation-latest".to_owned());
        Ok(Detector::Service(Box::new(OpenAiModeration { model })))
    }

    fn needs(&self) -> Option<Needs> {
        Some(Needs::Service { url: Some("https://api.openai.com/v1"), secret: false })
    }
}

struct OpenAiModeration {
    model: String,
}

impl Service for OpenAiModeration {
    fn ask(&self, question: &Question<'_>, secret: &[u8]) -> Asked {
        let body = serde_json::json!({ "model": self.model, "input": question.texts });
        Asked::bearing(secret, "/moderations".to_owned(), &body)
    }

    fn read(
        &self,
        question: &Question<'_>,
        _: &Asked,
        answer: &Answered<'_>,
        _: &[u8],
    ) -> Result<Verdict, Unclear> {
        #[derive(Deserialize)]
        struct Reply {
            results: Vec<Verdicts>,
        }
        #[derive(Deserialize)]
        struct Verdicts {
            flagged: bool,
        }
        let reply: Reply = serde_json::from_slice(answer.body).map_err(|_| Unclear)?;
        // One for each text; fewer would leave some unchecked.
        if reply.results.len() != question.texts.len() {
            return Err(Unclear);
        }
        let flagged = reply.results.iter().any(|own| own.flagged);
        Ok(if flagged { Verdict::Hit } else { Verdict::Clean })
    }
}
