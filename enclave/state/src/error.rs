//! What can go wrong with state, each with its stable code.

/// Why a store did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// A change of [`crate::Store::commit`] did not find what it expected; nothing was changed.
    Conflict {
        /// Which change, counted from 0.
        index: usize,
    },
    /// A record, or the file as a whole, is not what this deployment wrote.
    Damaged,
    /// A record was sealed in an epoch that is no longer, or not yet, accepted.
    Epoch,
    /// The store was written by a newer release, or by something else.
    Format,
    /// A record id is empty or longer than [`crate::RecordId::MAX`].
    Id,
    /// The root sealing key is not the one that this store was made with.
    Key,
    /// Another process has the file open.
    Locked,
    /// The store holds less than this process has seen in it, or than the audit log says it held.
    Rollback,
    /// One node, started again, with a disk that may lie: not to be proven current. Only lease mode starts then.
    RollbackUnprovable,
    /// The server of a store does not offer TLS, or no certificate for its name that is believed.
    Tls,
    /// A value is longer than [`crate::Store::MAX_VALUE`], or a commit has more than [`crate::Store::MAX_CHANGES`].
    TooLarge,
    /// The store does not answer, or said no.
    Unavailable,
}

impl StateError {
    /// Stable, for logs and answers.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "STATE_CONFLICT",
            Self::Damaged => "STATE_DAMAGED",
            Self::Epoch => "STATE_EPOCH",
            Self::Format => "STATE_FORMAT",
            Self::Id => "STATE_ID",
            Self::Key => "STATE_KEY",
            Self::Locked => "STATE_LOCKED",
            Self::Rollback => "STATE_ROLLBACK",
            Self::RollbackUnprovable => "STATE_ROLLBACK_UNPROVABLE",
            Self::Tls => "STATE_TLS",
            Self::TooLarge => "STATE_TOO_LARGE",
            Self::Unavailable => "STATE_UNAVAILABLE",
        }
    }

    /// Whether the same call may succeed later. A conflict needs a fresh read first.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Unavailable | Self::Locked)
    }
}

impl std::fmt::Display for StateError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let says = match self {
            Self::Conflict { index } => {
                return write!(out, "{}: change {index} found another version", self.code());
            }
            Self::Damaged => "the store holds what this deployment did not write",
            Self::Epoch => "a record was sealed in an epoch that is not accepted",
            Self::Format => "the store was written in a format that this release does not know",
            Self::Id => "a record id must have 1 to 128 bytes",
            Self::Key => "the root sealing key is not the one this store was made with",
            Self::Locked => "another process has the store open",
            Self::Rollback => "the store went back to an older state",
            Self::RollbackUnprovable => {
                "a single node cannot prove that its disk is current; set state.mode = \"lease\" to start with every lease void"
            }
            Self::Tls => "the store's server offers no TLS, or no certificate for its name that is believed",
            Self::TooLarge => "a record or a commit is over its limit",
            Self::Unavailable => "the store does not answer",
        };
        write!(out, "{}: {says}", self.code())
    }
}

impl std::error::Error for StateError {}
