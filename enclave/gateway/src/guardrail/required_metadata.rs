//! Objects to requests whose `postern-metadata` header lacks names that the operator wants: a cost centre, a purpose.

use super::{Detector, GuardrailKind, Hook, Judge, Settings, Subject};

/// The registered kind.
pub const KIND: RequiredMetadataKind = RequiredMetadataKind;

/// Makes checks of metadata.
pub struct RequiredMetadataKind;

impl GuardrailKind for RequiredMetadataKind {
    fn name(&self) -> &'static str {
        "required_metadata"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["metadata"]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Input]
    }

    fn configure(&self, settings: &Settings) -> Result<Detector, &'static str> {
        let names = settings.metadata.clone().unwrap_or_default();
        if names.is_empty() || names.iter().any(|own| own.trim().is_empty()) {
            return Err("at least one name in 'metadata'");
        }
        Ok(Detector::Judge(Box::new(RequiredMetadata { names })))
    }
}

struct RequiredMetadata {
    names: Vec<String>,
}

impl Judge for RequiredMetadata {
    fn objects(&self, subject: &Subject<'_>) -> bool {
        let has = |name: &String| subject.metadata.get(name).is_some_and(|value| !value.trim().is_empty());
        !self.names.iter().all(has)
    }
}
