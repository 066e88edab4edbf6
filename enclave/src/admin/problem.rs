//! What the admin API answers when it does not do what was asked: RFC 9457, with a stable code.

use schemars::JsonSchema;
use serde::Serialize;
use state::StateError;

/// An error of the admin API, as the client reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// A stable name.
    pub code: &'static str,
    /// For people. Never quotes what was sent.
    pub detail: String,
}

impl Problem {
    /// One with these words.
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    /// Nobody proved who asks.
    pub fn unauthenticated() -> Self {
        Self::new(401, "unauthenticated", "send an admin key or a token as 'authorization: Bearer'")
    }

    /// Whoever asks may not do this.
    pub fn forbidden() -> Self {
        Self::new(403, "forbidden", "your role does not allow this")
    }

    /// There is nothing there, or nothing that whoever asks may know of: both look the same.
    pub fn not_found() -> Self {
        Self::new(404, "not_found", "there is no such thing within your reach")
    }

    /// What was sent is not what the document says.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, "invalid", detail)
    }

    /// It goes further than whoever asks may.
    pub fn exceeds(field: &str, expected: &str) -> Self {
        Self::new(403, "exceeds_creator", format!("{field}: expected {expected}"))
    }

    /// Somebody else changed it meanwhile, or made it already.
    pub fn conflict() -> Self {
        Self::new(
            409,
            "conflict",
            "something of this name exists, or it was changed meanwhile; read it again",
        )
    }
}

impl From<StateError> for Problem {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else the store says, it did not do what was asked"
    )]
    fn from(error: StateError) -> Self {
        match error {
            StateError::Conflict { .. } => Self::conflict(),
            StateError::Id => Self::not_found(),
            StateError::TooLarge => Self::invalid("too large to be kept"),
            _ => Self::new(503, error.code(), "the sealed store does not do this now; try again later"),
        }
    }
}
