//! Why a configuration is refused.

use std::path::PathBuf;

/// Why the file was refused: one line, with the place where there is one.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable(PathBuf, std::io::ErrorKind),
    /// A key or value is wrong; names keys, never values.
    Invalid(gateway::config::ConfigError),
    /// A value that parses but cannot be meant.
    Value {
        /// Key path.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl ConfigError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(..) => "CONFIG_UNREADABLE",
            Self::Invalid(error) => error.code(),
            Self::Value { .. } => "CONFIG_VALUE",
        }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(path, kind) => {
                write!(
                    out,
                    "CONFIG_UNREADABLE: {}: {kind}; name a readable file with --config",
                    path.display()
                )
            }
            Self::Invalid(error) => error.fmt(out),
            Self::Value { key, expected } => write!(out, "CONFIG_VALUE: {key}: expected {expected}"),
        }
    }
}

impl std::error::Error for ConfigError {}
