//! Why bytes from the other side are not a message. Carries numbers only, never bytes from outside.

use std::fmt;

/// A message that cannot be decoded or built. The stream it came from is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// An endorsement document that does not have the announced inner length.
    Document,
    /// A field inside the payload has a value outside its range.
    Field {
        /// Which field.
        field: &'static str,
    },
    /// The host name is empty, longer than 253 bytes, or holds a character outside `a-z 0-9 - . _ :`.
    HostName,
    /// The kind byte is unknown, or belongs to the other direction.
    Kind {
        /// The kind byte found.
        found: u8,
    },
    /// The announced payload length cannot be right for this kind.
    Length {
        /// The length announced.
        found: u16,
    },
    /// Port 0.
    Port,
    /// The version byte is not [`crate::VERSION`].
    Version {
        /// The version byte found.
        found: u8,
    },
}

impl LinkError {
    /// Stable code for logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Document => "LINK_DOCUMENT",
            Self::Field { .. } => "LINK_FIELD",
            Self::HostName => "LINK_HOST_NAME",
            Self::Kind { .. } => "LINK_KIND",
            Self::Length { .. } => "LINK_LENGTH",
            Self::Port => "LINK_PORT",
            Self::Version { .. } => "LINK_VERSION",
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code();
        match self {
            Self::Document => write!(f, "{code}: endorsement document does not have its announced length"),
            Self::Field { field } => write!(f, "{code}: {field} is outside its range"),
            Self::HostName => write!(f, "{code}: host name is not 1 to 253 characters of a-z 0-9 - . _ :"),
            Self::Kind { found } => write!(f, "{code}: unknown message kind {found}"),
            Self::Length { found } => write!(f, "{code}: payload length {found} does not fit the kind"),
            Self::Port => write!(f, "{code}: port is 0"),
            Self::Version { found } => write!(f, "{code}: version {found} is unknown"),
        }
    }
}

impl std::error::Error for LinkError {}
