//! Asks a guardrail of Amazon Bedrock (`ApplyGuardrail`, Amazon Bedrock Runtime API reference) with a Bedrock API key: what
//! it intervenes in goes on in its words, or not at all.

use serde::Deserialize;

use super::{
    Answered, Asked, Detector, GuardrailKind, Hook, Needs, Question, Service, Settings, Unclear, Verdict,
};

/// The registered kind.
pub const KIND: BedrockGuardrailKind = BedrockGuardrailKind;

/// Makes checks that ask it.
pub struct BedrockGuardrailKind;

impl GuardrailKind for BedrockGuardrailKind {
    fn name(&self) -> &'static str {
        "bedrock_guardrail"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["policy"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let wrong = "'policy' as the guardrail's id and version, such as 'abc123/1'";
        let (id, version) = settings.policy.as_deref().and_then(|own| own.split_once('/')).ok_or(wrong)?;
        let plain = |own: &str| !own.is_empty() && own.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !plain(id) || !plain(version) {
            return Err(wrong);
        }
        let path = format!("/guardrail/{id}/version/{version}/apply");
        Ok(Detector::Service(Box::new(BedrockGuardrail { path })))
    }

    fn needs(&self) -> Option<Needs> {
        Some(Needs::Service { url: None, secret: true })
    }
}

struct BedrockGuardrail {
    path: String,
}

impl Service for BedrockGuardrail {
    fn ask(&self, question: &Question<'_>, secret: &[u8]) -> Asked {
        let source = if question.answer { "OUTPUT" } else { "INPUT" };
        let content: Vec<_> =
            question.texts.iter().map(|text| serde_json::json!({ "text": { "text": text } })).collect();
        let body = serde_json::json!({ "source": source, "content": content });
        Asked::bearing(secret, self.path.clone(), &body)
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
            action: String,
            #[serde(default)]
            outputs: Vec<Output>,
        }
        #[derive(Deserialize)]
        struct Output {
            text: String,
        }
        let reply: Reply = serde_json::from_slice(answer.body).map_err(|_| Unclear)?;
        match reply.action.as_str() {
            "NONE" => Ok(Verdict::Clean),
            // Where it blocks, its one output is a message of its own; where it masks, there is one for each text.
            "GUARDRAIL_INTERVENED"
                if question.texts.len() > 1 && reply.outputs.len() == question.texts.len() =>
            {
                Ok(Verdict::Texts(reply.outputs.into_iter().map(|own| own.text).collect()))
            }
            "GUARDRAIL_INTERVENED" => Ok(Verdict::Hit),
            _ => Err(Unclear),
        }
    }
}
