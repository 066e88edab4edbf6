//! How answers are shaped, as the configuration and requests say it.

use serde::Deserialize;

/// What lengths and times of an answer follow.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum StreamShape {
    /// Events are collected for up to 50 ms or eight of them, and padded to frames.
    #[default]
    Bucketed,
    /// One frame of the same size every 100 ms, for a number of seconds that is a power of two.
    Constant,
    /// As it comes. Sizes of tokens are visible.
    None,
}

impl StreamShape {
    /// The request header by which a client chooses, for one request, another shape than the configuration's;
    /// the response header that says which shape a stream has.
    pub const HEADER: &str = "postern-stream-shape";

    /// The name, as in the configuration and the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bucketed => "bucketed",
            Self::Constant => "constant",
            Self::None => "none",
        }
    }

    /// What a client gets that asks for `asked`. Anything but the three names changes nothing: a misspelt wish must
    /// not weaken.
    #[must_use]
    pub fn chosen(self, asked: Option<&[u8]>) -> Self {
        let known = [Self::Bucketed, Self::Constant, Self::None];
        known.into_iter().find(|shape| Some(shape.as_str().as_bytes()) == asked).unwrap_or(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_wish_changes_the_shape() {
        for shape in [StreamShape::Bucketed, StreamShape::Constant] {
            for asked in [None, Some(&b"None"[..]), Some(b""), Some(b"no"), Some(b"none "), Some(b"off")] {
                assert_eq!(shape.chosen(asked), shape);
            }
            assert_eq!(shape.chosen(Some(b"none")), StreamShape::None);
        }
        assert_eq!(StreamShape::Bucketed.chosen(Some(b"constant")), StreamShape::Constant);
    }
}
