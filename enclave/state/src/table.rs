//! Which tables there are, and how records are named.

use crate::error::StateError;

/// Kinds of records. The number is sealed into every record, so it is never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// What the deployment knows of itself: one record per name.
    Meta = 1,
    /// Organisations.
    Organisations = 2,
    /// Teams.
    Teams = 3,
    /// Users and service accounts.
    Users = 4,
    /// Who has which role where.
    RoleBindings = 5,
    /// Virtual keys, with the hashes of their secrets.
    VirtualKeys = 6,
    /// Budgets.
    Budgets = 7,
    /// What was spent in a window of a budget.
    BudgetWindows = 8,
    /// Slices of budgets that replicas hold.
    Leases = 9,
    /// Counters of rate limits that replicas share.
    RateBuckets = 10,
    /// One record per settled request, or batch of them.
    Ledger = 11,
    /// Sums over the ledger.
    UsageRollups = 12,
    /// Answers already given to an idempotency key.
    IdempotencyKeys = 13,
    /// Credentials of providers.
    ProviderCredentials = 14,
    /// Versions of the configuration.
    Configurations = 15,
    /// Credentials of the admin API.
    AdminKeys = 16,
    /// Prompts and their versions.
    Prompts = 17,
    /// Where alerts go.
    Webhooks = 18,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 18] = [
        Self::Meta,
        Self::Organisations,
        Self::Teams,
        Self::Users,
        Self::RoleBindings,
        Self::VirtualKeys,
        Self::Budgets,
        Self::BudgetWindows,
        Self::Leases,
        Self::RateBuckets,
        Self::Ledger,
        Self::UsageRollups,
        Self::IdempotencyKeys,
        Self::ProviderCredentials,
        Self::Configurations,
        Self::AdminKeys,
        Self::Prompts,
        Self::Webhooks,
    ];

    /// Its number.
    #[expect(clippy::as_conversions, reason = "the discriminant of a fieldless enum")]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The table of this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }

    /// Whether the process remembers the version of each record, to notice when the store goes back. The ledger only
    /// ever grows, and its sums are held by the windows, so its memory is saved.
    pub(crate) const fn remembered(self) -> bool {
        !matches!(self, Self::Ledger)
    }
}

/// The name of a record within its table: 1 to 128 bytes. A backend sees a keyed hash of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Box<[u8]>);

impl RecordId {
    /// Most bytes.
    pub const MAX: usize = 128;

    /// From its bytes.
    ///
    /// # Errors
    /// [`StateError::Id`] if there are none or too many.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, StateError> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() || bytes.len() > Self::MAX {
            return Err(StateError::Id);
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_found_again() {
        for (index, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(table.number()), index + 1, "{table:?}: numbers are never used again");
            assert_eq!(Table::from_number(table.number()), Some(table));
        }
        assert_eq!(Table::from_number(0), None);
    }

    #[test]
    fn ids_have_a_length() {
        assert_eq!(RecordId::new([]), Err(StateError::Id));
        assert_eq!(RecordId::new([1; 129]), Err(StateError::Id));
        assert_eq!(RecordId::new("key-1").unwrap().as_str(), Some("key-1"));
    }
}
