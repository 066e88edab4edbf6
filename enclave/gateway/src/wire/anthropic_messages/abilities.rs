//! What a model of Anthropic's can do, from its name: the API refuses fields that a model does not know.

/// What a model can do. A name without a version is taken for the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Thinks as much as it finds right, led by `output_config.effort`; others want a budget in tokens.
    pub(super) adaptive_thinking: bool,
    /// Answers by a JSON schema (`output_config.format`), and keeps strictly to tools' schemas.
    pub(super) output_format: bool,
    /// Takes `temperature`, `top_p` and `top_k`.
    pub(super) sampling: bool,
    /// Takes `temperature` and `top_p` together.
    pub(super) both_samplings: bool,
    /// Thinks at all.
    pub(super) thinking: bool,
}

impl Abilities {
    /// From a name such as `claude-3-7-sonnet-20250219`, `claude-opus-4-6` or `anthropic.claude-sonnet-4-5-20250929-v1:0`.
    pub(super) fn of(model: &str) -> Self {
        let version = version(model).unwrap_or((u32::MAX, 0));
        Self {
            adaptive_thinking: version >= (4, 6),
            output_format: version >= (4, 1),
            sampling: version < (4, 7),
            both_samplings: version < (4, 1),
            thinking: version >= (3, 7),
        }
    }
}

/// Major and minor: the first short numbers after `claude-`; longer ones are dates.
fn version(model: &str) -> Option<(u32, u32)> {
    let (_, rest) = model.rsplit_once("claude-")?;
    let words = rest.split(['-', '.', '@', ':']);
    let mut numbers = words.filter(|word| word.len() <= 2).filter_map(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::{Abilities, version};

    #[test]
    fn versions_are_read_from_all_shapes_of_names() {
        let cases = [
            ("claude-3-7-sonnet-20250219", Some((3, 7))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("claude-opus-4-6", Some((4, 6))),
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", Some((4, 5))),
            ("anthropic/claude-opus-4.7", Some((4, 7))),
            ("claude-sonnet-4@20250514", Some((4, 0))),
            ("claude-haiku-latest", None),
        ];
        for (name, wanted) in cases {
            assert_eq!(version(name), wanted, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_the_newest() {
        let newest = Abilities::of("claude-next");
        assert!(newest.adaptive_thinking && newest.output_format && newest.thinking && !newest.sampling);
        let old = Abilities::of("claude-3-5-haiku-20241022");
        assert!(!old.adaptive_thinking && !old.output_format && !old.thinking && old.sampling);
    }
}
