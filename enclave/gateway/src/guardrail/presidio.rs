//! Asks a Presidio analyzer (`POST /analyze`, Presidio's API reference): where in the texts names, places and other personal
//! data are. It is the way to names, which have no form that could be looked for in here.

use serde::Deserialize;

use super::{
    Answered, Asked, Detector, Finding, GuardrailKind, Hook, Needs, Question, Service, Settings, Unclear,
    Verdict,
};

/// The registered kind.
pub const KIND: PresidioKind = PresidioKind;

/// Makes checks that ask it.
pub struct PresidioKind;

impl GuardrailKind for PresidioKind {
    fn name(&self) -> &'static str {
        "presidio"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["policy"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let language = settings.policy.clone().unwrap_or_else(|| "en".to_owned());
        Ok(Detector::Service(Box::new(Presidio { language })))
    }

    fn needs(&self) -> Option<Needs> {
        Some(Needs::Service { url: None, secret: false })
    }
}

struct Presidio {
    language: String,
}

/// Between two texts: nothing is found over it.
const BETWEEN: &str = "\n\n";

impl Service for Presidio {
    fn ask(&self, question: &Question<'_>, secret: &[u8]) -> Asked {
        let text = question.texts.join(BETWEEN);
        let body = serde_json::json!({ "text": text, "language": self.language });
        Asked::bearing(secret, "/analyze".to_owned(), &body)
    }

    fn read(
        &self,
        question: &Question<'_>,
        _: &Asked,
        answer: &Answered<'_>,
        _: &[u8],
    ) -> Result<Verdict, Unclear> {
        #[derive(Deserialize)]
        struct Found {
            entity_type: String,
            start: usize,
            end: usize,
        }
        let found: Vec<Found> = serde_json::from_slice(answer.body).map_err(|_| Unclear)?;
        let text = question.texts.join(BETWEEN);
        // Places are counted in characters.
        let mut places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        places.push(text.len());
        let mut all = Vec::new();
        for own in found {
            let start = *places.get(own.start).ok_or(Unclear)?;
            let end = *places.get(own.end).filter(|end| **end > start).ok_or(Unclear)?;
            let mut begin: usize = 0;
            for (number, text) in question.texts.iter().enumerate() {
                let over = begin.saturating_add(text.len());
                let (from, to) = (start.max(begin), end.min(over));
                if from < to {
                    let at = from.saturating_sub(begin)..to.saturating_sub(begin);
                    all.push((number, Finding { at, what: what(&own.entity_type) }));
                }
                begin = over.saturating_add(BETWEEN.len());
            }
        }
        all.sort_by_key(|(number, own)| (*number, own.at.start));
        Ok(if all.is_empty() { Verdict::Clean } else { Verdict::Found(all) })
    }
}

/// Presidio's name of a kind of thing, as placeholders say it.
fn what(entity: &str) -> &'static str {
    match entity {
        "CREDIT_CARD" => "card",
        "DATE_TIME" => "date",
        "EMAIL_ADDRESS" => "email",
        "IBAN_CODE" => "iban",
        "IP_ADDRESS" => "ip_address",
        "LOCATION" => "location",
        "NRP" => "group",
        "ORGANIZATION" => "organization",
        "PERSON" => "person",
        "PHONE_NUMBER" => "phone",
        "URL" => "url",
        "US_SSN" => "ssn",
        _ => "personal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_characters_become_places_in_bytes_of_each_text() {
        let texts = ["Grüße an Jürgen".to_owned(), "in Köln".to_owned()];
        let question = Question {
            answer: false,
            request_id: "r",
            key_id: "k",
            model: "m",
            guardrail: "g",
            unix_seconds: 7,
            texts: &texts,
        };
        let presidio = Presidio { language: "de".to_owned() };
        let read = |body: &str| {
            let asked = presidio.ask(&question, b"");
            presidio.read(&question, &asked, &Answered { signature: None, body: body.as_bytes() }, b"")
        };
        let body = r#"[{"entity_type":"LOCATION","start":20,"end":24,"score":0.8},{"entity_type":"PERSON","start":9,"end":15,"score":1}]"#;
        let Ok(Verdict::Found(found)) = read(body) else { panic!("places") };
        let said: Vec<_> =
            found.iter().map(|(number, own)| (own.what, &texts[*number][own.at.clone()])).collect();
        assert_eq!(said, [("person", "Jürgen"), ("location", "Köln")]);
        assert_eq!(read("[]"), Ok(Verdict::Clean));
        for wrong in [
            r#"[{"entity_type":"PERSON","start":9,"end":99}]"#,
            r#"[{"entity_type":"PERSON","start":9,"end":9}]"#,
            "{}",
        ] {
            assert_eq!(read(wrong), Err(Unclear));
        }
    }
}
