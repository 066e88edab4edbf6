//! Objects to texts in other languages than allowed. Recognised by trigrams; texts too short to be sure of pass.

use super::{Detector, GuardrailKind, Hook, Judge, Settings, Subject};

/// The registered kind.
pub const KIND: LanguageKind = LanguageKind;

/// Shortest text that is judged, in characters.
const MIN_CHARACTERS: usize = 24;

/// Makes checks of languages.
pub struct LanguageKind;

impl GuardrailKind for LanguageKind {
    fn name(&self) -> &'static str {
        "language"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["languages"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let codes = settings.languages.clone().unwrap_or_default();
        let languages: Option<Vec<whatlang::Lang>> = codes.iter().map(whatlang::Lang::from_code).collect();
        let languages = languages.filter(|own| !own.is_empty());
        let languages =
            languages.ok_or("at least one of 'languages', as ISO 639-3 codes such as eng and deu")?;
        Ok(Detector::Judge(Box::new(Language { languages })))
    }
}

struct Language {
    languages: Vec<whatlang::Lang>,
}

impl Judge for Language {
    fn objects(&self, subject: &Subject<'_>) -> bool {
        subject.texts().any(|text| {
            let long = text.chars().filter(|letter| letter.is_alphabetic()).count() >= MIN_CHARACTERS;
            let sure = whatlang::detect(text).filter(|_| long).filter(whatlang::Info::is_reliable);
            sure.is_some_and(|own| !self.languages.contains(&own.lang()))
        })
    }
}
