//! An auditor's pass over a log: every entry is hashed in its order, and the end must be what the checkpoint says.

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::entry::{Entry, Event};
use crate::tile::{WIDTH, read_entries};
use crate::tree::{Frontier, Hash, leaf};

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditError {
    /// A bundle is not what its place says: missing, cut, or with something after it.
    Bundle {
        /// Which bundle.
        index: u64,
    },
    /// The checkpoint is no signed note of this form, or not by the key that the evidence names.
    Checkpoint,
    /// An entry is not of a form that is known.
    Entry {
        /// Which entry, from 0.
        index: u64,
    },
    /// The log is not a continuation of the head that was given: something was removed or changed.
    Fork {
        /// Leaves of that head.
        size: u64,
    },
    /// Another log: the checkpoint's origin is not the expected one.
    Origin,
    /// The entries do not hash to the checkpoint's root.
    Root,
    /// There are fewer entries than the checkpoint, or the head that was given, says.
    Short {
        /// Entries that there are.
        found: u64,
        /// Entries that there should be.
        expected: u64,
    },
}

impl AuditError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bundle { .. } => "AUDIT_BUNDLE",
            Self::Checkpoint => "AUDIT_CHECKPOINT",
            Self::Entry { .. } => "AUDIT_ENTRY",
            Self::Fork { .. } => "STATE_FORK",
            Self::Origin => "AUDIT_ORIGIN",
            Self::Root => "AUDIT_ROOT",
            Self::Short { .. } => "AUDIT_SHORT",
        }
    }
}

impl std::fmt::Display for AuditError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bundle { index } => write!(out, "bundle {index}: missing, cut, or longer than it may be"),
            Self::Checkpoint => out.write_str("checkpoint: not signed by the key that the evidence names"),
            Self::Entry { index } => write!(out, "entry {index}: not of a form that is known"),
            Self::Fork { size } => write!(out, "the log is no continuation of what it was at {size} entries"),
            Self::Origin => out.write_str("checkpoint: of another log"),
            Self::Root => out.write_str("entries were changed: they do not hash to the checkpoint's root"),
            Self::Short { found, expected } => write!(out, "{found} entries, expected {expected}"),
        }
    }
}

impl std::error::Error for AuditError {}

/// A head that the log must go through: from evidence, or remembered from an earlier audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
}

/// What a log showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries in all.
    pub entries: u64,
    /// Of these, calls.
    pub calls: u64,
    /// Of these, acts of administration.
    pub admin: u64,
    /// Records that the log itself says were lost.
    pub lost: u64,
    /// Starts after an end that was not in order: what was settled in the last moments before may be missing.
    pub crashes: u64,
}

/// A pass over a log, bundle by bundle.
pub struct Auditor {
    checkpoint: Checkpoint,
    heads: Vec<Head>,
    frontier: Frontier,
    summary: Summary,
}

impl Auditor {
    /// Begins with a checkpoint, which the key `public` must have signed for the log `origin`. The log must go through all
    /// `heads`.
    ///
    /// # Errors
    /// [`AuditError::Checkpoint`], [`AuditError::Origin`], [`AuditError::Short`] if a head is beyond the checkpoint.
    pub fn new(
        signed: &SignedCheckpoint,
        public: &[u8; 32],
        origin: &str,
        mut heads: Vec<Head>,
    ) -> Result<Self, AuditError> {
        let checkpoint = signed.verify(public).ok_or(AuditError::Checkpoint)?.clone();
        if checkpoint.origin != origin {
            return Err(AuditError::Origin);
        }
        heads.sort_by_key(|head| head.size);
        if let Some(beyond) = heads.last().filter(|head| head.size > checkpoint.size) {
            return Err(AuditError::Short { found: checkpoint.size, expected: beyond.size });
        }
        Ok(Self { checkpoint, heads, frontier: Frontier::default(), summary: Summary::default() })
    }

    /// What the checkpoint says.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The next bundle to be read, and how many entries it must have; nothing when all are read.
    pub fn wants(&self) -> Option<(u64, u64)> {
        let left = self.checkpoint.size.saturating_sub(self.frontier.size());
        (left > 0).then(|| (self.frontier.size() / WIDTH, left.min(WIDTH)))
    }

    /// Reads the bundle that [`Self::wants`] names, and shows each of its entries with its line.
    ///
    /// # Errors
    /// [`AuditError::Bundle`], [`AuditError::Entry`], [`AuditError::Fork`].
    pub fn bundle(
        &mut self,
        bytes: &[u8],
        mut show: impl FnMut(u64, &Entry, &[u8]),
    ) -> Result<(), AuditError> {
        let Some((index, width)) = self.wants() else {
            return Err(AuditError::Bundle { index: self.frontier.size() / WIDTH });
        };
        let lines = read_entries(bytes, width).ok_or(AuditError::Bundle { index })?;
        for line in lines {
            self.pass_heads()?;
            let at = self.frontier.size();
            let entry = Entry::parse(line).ok_or(AuditError::Entry { index: at })?;
            self.count(&entry.event);
            show(at, &entry, line);
            self.frontier.push(leaf(line));
        }
        Ok(())
    }

    /// Ends the pass.
    ///
    /// # Errors
    /// [`AuditError::Short`], [`AuditError::Root`], [`AuditError::Fork`].
    pub fn finish(self) -> Result<Summary, AuditError> {
        if self.frontier.size() != self.checkpoint.size {
            return Err(AuditError::Short { found: self.frontier.size(), expected: self.checkpoint.size });
        }
        self.pass_heads()?;
        if self.frontier.root() != self.checkpoint.root {
            return Err(AuditError::Root);
        }
        Ok(self.summary)
    }

    /// Holds the tree against every head of its present size.
    fn pass_heads(&self) -> Result<(), AuditError> {
        let here = |head: &&Head| head.size == self.frontier.size();
        match self.heads.iter().filter(here).find(|head| head.root != self.frontier.root()) {
            Some(head) => Err(AuditError::Fork { size: head.size }),
            None => Ok(()),
        }
    }

    fn count(&mut self, event: &Event) {
        let summary = &mut self.summary;
        summary.entries = summary.entries.saturating_add(1);
        match event {
            Event::Call(_) => summary.calls = summary.calls.saturating_add(1),
            Event::Admin(_) => summary.admin = summary.admin.saturating_add(1),
            Event::Lost { records } => summary.lost = summary.lost.saturating_add(*records),
            Event::Opened { orderly: false, .. } => summary.crashes = summary.crashes.saturating_add(1),
            Event::Opened { .. } | Event::Stopped { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
