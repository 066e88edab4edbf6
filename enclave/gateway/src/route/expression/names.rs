//! What a condition may look at. All of it is known before anything is sent; nothing of it is content.

use super::super::tree::Question;
use crate::admission::Level;

/// A fact that is true or false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Stream,
    UsesImages,
    UsesJsonSchema,
    UsesTools,
}

/// A count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    EstimatedInputTokens,
    Hour,
    KeyPriority,
    MaxOutputTokens,
    Weekday,
}

/// A word; one that is absent is the empty text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Header(String),
    KeyExposureMax,
    KeyId,
    KeyTier,
    Metadata(String),
    Model,
    Operation,
}

/// Several words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Labels,
    Tags,
}

/// Any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Fact(Fact),
    Count(Count),
    Word(Word),
    Words(Words),
}

/// Every name without an index, as it is written.
pub(super) const NAMES: &[(&str, Name)] = &[
    ("estimate.input_tokens", Name::Count(Count::EstimatedInputTokens)),
    ("key.exposure_max", Name::Word(Word::KeyExposureMax)),
    ("key.id", Name::Word(Word::KeyId)),
    ("key.priority", Name::Count(Count::KeyPriority)),
    ("key.tier", Name::Word(Word::KeyTier)),
    ("labels", Name::Words(Words::Labels)),
    ("request.has_images", Name::Fact(Fact::UsesImages)),
    ("request.has_tools", Name::Fact(Fact::UsesTools)),
    ("request.json_schema", Name::Fact(Fact::UsesJsonSchema)),
    ("request.max_output_tokens", Name::Count(Count::MaxOutputTokens)),
    ("request.model", Name::Word(Word::Model)),
    ("request.operation", Name::Word(Word::Operation)),
    ("request.stream", Name::Fact(Fact::Stream)),
    ("tags", Name::Words(Words::Tags)),
    ("time.hour", Name::Count(Count::Hour)),
    ("time.weekday", Name::Count(Count::Weekday)),
];

impl Fact {
    pub(super) fn read(self, question: &Question<'_>) -> bool {
        match self {
            Self::Stream => question.request.stream,
            Self::UsesImages => question.features.get().images,
            Self::UsesJsonSchema => question.features.get().json_schema,
            Self::UsesTools => question.features.get().tools,
        }
    }
}

impl Count {
    pub(super) fn read(self, question: &Question<'_>) -> i64 {
        let seconds = question.now.unix_seconds();
        let value = match self {
            Self::EstimatedInputTokens => question.features.get().input_tokens,
            Self::Hour => seconds.wrapping_div(3600).wrapping_rem(24),
            Self::KeyPriority => u64::from(question.key.rules.priority),
            Self::MaxOutputTokens => question.features.get().max_output_tokens.unwrap_or(0),
            // 1970-01-01 was a Thursday; 0 is Sunday.
            Self::Weekday => seconds.wrapping_div(86_400).wrapping_add(4).wrapping_rem(7),
        };
        i64::try_from(value).unwrap_or(i64::MAX)
    }
}

impl Word {
    pub(super) fn read<'q>(&self, question: &'q Question<'_>) -> &'q str {
        match self {
            Self::Header(name) => question.wishes.headers.get(name).map_or("", String::as_str),
            Self::KeyExposureMax => question.key.rules.exposure_max.as_str(),
            Self::KeyId => &question.key.id,
            Self::KeyTier => question.key.rules.tier.map_or("", Level::as_str),
            Self::Metadata(name) => question.wishes.metadata.get(name).map_or("", String::as_str),
            Self::Model => &question.request.model,
            Self::Operation => question.request.wire.operation().as_str(),
        }
    }
}

impl Words {
    pub(super) fn contains(self, question: &Question<'_>, wanted: &str) -> bool {
        match self {
            Self::Labels => question.labels.iter().any(|own| &**own == wanted),
            Self::Tags => question.wishes.tags.iter().any(|own| own == wanted),
        }
    }

    pub(super) fn length(self, question: &Question<'_>) -> usize {
        match self {
            Self::Labels => question.labels.len(),
            Self::Tags => question.wishes.tags.len(),
        }
    }
}
