//! Asks Lakera Guard (`POST /v2/guard`, Lakera's API reference): whether it flags the content.

use serde::Deserialize;

use super::{
    Answered, Asked, Detector, GuardrailKind, Hook, Needs, Question, Service, Settings, Unclear, Verdict,
};

/// The registered kind.
pub const KIND: LakeraKind = LakeraKind;

/// Makes checks that ask it.
pub struct LakeraKind;

impl GuardrailKind for LakeraKind {
    fn name(&self) -> &'static str {
        "lakera"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["policy"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let project = settings.policy.clone();
        Ok(Detector::Service(Box::new(Lakera { project })))
    }

    fn needs(&self) -> Option<Needs> {
        Some(Needs::Service { url: Some("https://api.lakera.ai"), secret: true })
    }
}

struct Lakera {
    project: Option<String>,
}

impl Service for Lakera {
    fn ask(&self, question: &Question<'_>, secret: &[u8]) -> Asked {
        let role = if question.answer { "assistant" } else { "user" };
        let messages: Vec<_> =
            question.texts.iter().map(|text| serde_json::json!({ "role": role, "content": text })).collect();
        let mut body = serde_json::json!({ "messages": messages });
        if let (Some(project), Some(body)) = (&self.project, body.as_object_mut()) {
            body.insert("project_id".to_owned(), project.as_str().into());
        }
        Asked::bearing(secret, "/v2/guard".to_owned(), &body)
    }

    fn read(&self, _: &Question<'_>, _: &Asked, answer: &Answered<'_>, _: &[u8]) -> Result<Verdict, Unclear> {
        #[derive(Deserialize)]
        struct Reply {
            flagged: bool,
        }
        let reply: Reply = serde_json::from_slice(answer.body).map_err(|_| Unclear)?;
        Ok(if reply.flagged { Verdict::Hit } else { Verdict::Clean })
    }
}
