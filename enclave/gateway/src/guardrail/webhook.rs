//! Asks a service of the operator's own. The contract is in `deploy/guardrail-webhook.md`: JSON both ways, signed both ways.
//!
//! The signature of an answer covers that of the question, so an answer fits one question and cannot be replayed.

use ring::hmac;
use serde::Deserialize;

use super::{
    Answered, Asked, Detector, GuardrailKind, Hook, Needs, Question, Service, Settings, Unclear, Verdict,
};

/// The registered kind.
pub const KIND: WebhookKind = WebhookKind;

/// The header of both signatures.
const SIGNATURE: &str = "postern-signature";

/// Makes checks that ask a webhook.
pub struct WebhookKind;

impl GuardrailKind for WebhookKind {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, _: &Settings) -> Result<Detector, &'static str> {
        Ok(Detector::Service(Box::new(Webhook)))
    }

    fn needs(&self) -> Option<Needs> {
        Some(Needs::Service { url: None, secret: true })
    }
}

struct Webhook;

/// What a webhook answers; what else it says is not looked at.
#[derive(Deserialize)]
struct Reply {
    action: String,
    texts: Option<Vec<String>>,
}

impl Service for Webhook {
    fn ask(&self, question: &Question<'_>, secret: &[u8]) -> Asked {
        let body = serde_json::json!({
            "version": 1,
            "phase": if question.answer { "output" } else { "input" },
            "request_id": question.request_id,
            "guardrail": question.guardrail,
            "model": question.model,
            "identities": { "key_id": question.key_id },
            "texts": question.texts,
        });
        let body = body.to_string().into_bytes();
        let time = question.unix_seconds.to_string();
        let signature = format!("t={time},v1={}", sign(secret, time.as_bytes(), &body));
        Asked { path: String::new(), headers: vec![(SIGNATURE, signature.into_bytes())], body }
    }

    fn read(
        &self,
        question: &Question<'_>,
        asked: &Asked,
        answer: &Answered<'_>,
        secret: &[u8],
    ) -> Result<Verdict, Unclear> {
        let sent = asked.headers.first().map(|(_, value)| value.as_slice()).ok_or(Unclear)?;
        let given = answer.signature.and_then(|own| own.strip_prefix(b"v1=")).ok_or(Unclear)?;
        let expected = sign(secret, sent, answer.body);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(given, expected.as_bytes())) {
            return Err(Unclear);
        }
        let reply: Reply = serde_json::from_slice(answer.body).map_err(|_| Unclear)?;
        match (reply.action.as_str(), reply.texts) {
            ("NONE", _) => Ok(Verdict::Clean),
            ("BLOCKED" | "LABEL", _) => Ok(Verdict::Hit),
            ("GUARDRAIL_INTERVENED", Some(texts)) if texts.len() == question.texts.len() => {
                Ok(Verdict::Texts(texts))
            }
            _ => Err(Unclear),
        }
    }
}

/// HMAC-SHA-256 over both with a dot between, in hexadecimal.
fn sign(secret: &[u8], first: &[u8], second: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(first);
    context.update(b".");
    context.update(second);
    let mut text = String::with_capacity(64);
    for byte in context.sign().as_ref() {
        for digit in [byte.wrapping_shr(4), byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &[u8], signature: Option<&[u8]>) -> Result<Verdict, Unclear> {
        let texts = ["one".to_owned(), "two".to_owned()];
        let question = question(&texts);
        let asked = Webhook.ask(&question, b"secret");
        let own = format!("v1={}", sign(b"secret", &asked.headers[0].1, answer));
        let signature = Some(signature.unwrap_or(own.as_bytes()));
        Webhook.read(&question, &asked, &Answered { signature, body: answer }, b"secret")
    }

    fn question(texts: &[String]) -> Question<'_> {
        Question {
            answer: false,
            request_id: "r",
            key_id: "k",
            model: "m",
            guardrail: "g",
            unix_seconds: 7,
            texts,
        }
    }

    #[test]
    fn only_what_is_signed_and_understood_is_a_verdict() {
        assert_eq!(read(br#"{"action":"NONE"}"#, None), Ok(Verdict::Clean));
        assert_eq!(read(br#"{"action":"BLOCKED","blocked_reason":"x"}"#, None), Ok(Verdict::Hit));
        let texts = Ok(Verdict::Texts(vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(read(br#"{"action":"GUARDRAIL_INTERVENED","texts":["1","2"]}"#, None), texts);
        for wrong in [
            &br#"{"action":"GUARDRAIL_INTERVENED","texts":["1"]}"#[..],
            br#"{"action":"GUARDRAIL_INTERVENED"}"#,
            br#"{"action":"none"}"#,
            b"{}",
            b"",
            b"NONE",
        ] {
            assert_eq!(read(wrong, None), Err(Unclear));
        }
        assert_eq!(read(br#"{"action":"NONE"}"#, Some(b"v1=00")), Err(Unclear));
        let texts = [];
        let asked = Webhook.ask(&question(&texts), b"secret");
        let answer = Answered { signature: None, body: br#"{"action":"NONE"}"# };
        assert_eq!(Webhook.read(&question(&texts), &asked, &answer, b"secret"), Err(Unclear));
    }
}
