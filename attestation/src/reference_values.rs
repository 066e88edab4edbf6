//! What a release is expected to measure as. An empty list accepts nothing; there is no wildcard for a channel.

use crate::digest::Measurement;
use crate::firmware_endorsement::FirmwareEndorsement;
use crate::rejection::Rejection;
use std::sync::Arc;

/// A value a field must have. There is no "absent means anything".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement<T> {
    /// This or more.
    AtLeast(T),
    /// This and nothing else.
    Exactly(T),
    /// One of these. Empty accepts nothing.
    OneOf(Vec<T>),
    /// Not judged, for this reason; listed in the result.
    Waived {
        /// Why.
        reason: String,
    },
}

impl<T: PartialOrd> Requirement<T> {
    /// Whether `found` is acceptable.
    pub fn accepts(&self, found: &T) -> bool {
        match self {
            Self::AtLeast(least) => found >= least,
            Self::Exactly(exact) => found == exact,
            Self::OneOf(values) => values.contains(found),
            Self::Waived { .. } => true,
        }
    }
}

impl<T> Requirement<T> {
    /// Why this is not judged, if so.
    pub fn waiver(&self) -> Option<&str> {
        match self {
            Self::Waived { reason } => Some(reason),
            Self::AtLeast(_) | Self::Exactly(_) | Self::OneOf(_) => None,
        }
    }

    /// The requirement in words, each value spelled by `spell`.
    pub fn describe(&self, spell: impl Fn(&T) -> String) -> String {
        match self {
            Self::AtLeast(least) => format!("at least {}", spell(least)),
            Self::Exactly(exact) => spell(exact),
            Self::OneOf(values) => {
                let spelled: Vec<String> = values.iter().map(spell).collect();
                format!("one of [{}]", spelled.join(", "))
            }
            Self::Waived { .. } => "any (waived)".to_owned(),
        }
    }
}

/// What the SNP ID block of a release must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdBlock {
    /// No ID block: both digests zero, no author key.
    Absent,
    /// This ID key, and this author key or none.
    Keys {
        /// SHA-384 of the ID key.
        id_key_digest: [u8; 48],
        /// SHA-384 of the author key; none means `AUTHOR_KEY_EN` must be 0 and the digest zero.
        author_key_digest: Option<[u8; 48]>,
    },
    /// Not judged, for this reason; only outside channels.
    Waived {
        /// Why.
        reason: String,
    },
}

/// Who says that a launch measurement is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// The policy's author.
    Author,
    /// Google for its firmware; other registers of the same release pin what that starts.
    Google(Arc<FirmwareEndorsement>),
    /// Google for its firmware, and nobody for what that starts, for this reason.
    GoogleFirmwareOnly {
        /// The endorsement.
        endorsement: Arc<FirmwareEndorsement>,
        /// Why this is enough.
        reason: String,
    },
}

impl Voucher {
    /// Google's endorsement, if it is Google.
    pub fn endorsement(&self) -> Option<&FirmwareEndorsement> {
        match self {
            Self::Author => None,
            Self::Google(endorsement) | Self::GoogleFirmwareOnly { endorsement, .. } => Some(endorsement),
        }
    }
}

/// One release on one platform shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Name for people, printed in results.
    pub name: String,
    /// Who vouches for the measurement.
    pub voucher: Voucher,
    /// SNP `MEASUREMENT` (TDX: `MRTD`).
    pub measurement: Requirement<Measurement>,
    /// SNP `GUEST_SVN`.
    pub guest_svn: Requirement<u32>,
    /// SNP `FAMILY_ID`.
    pub family_id: Requirement<[u8; 16]>,
    /// SNP `IMAGE_ID`.
    pub image_id: Requirement<[u8; 16]>,
    /// SNP `HOST_DATA`.
    pub host_data: Requirement<[u8; 32]>,
    /// SNP ID block.
    pub id_block: IdBlock,
}

impl Release {
    /// A release known by its measurement alone: no ID block, everything else zero.
    pub fn pinned(name: impl Into<String>, measurement: Measurement) -> Self {
        Self {
            name: name.into(),
            voucher: Voucher::Author,
            measurement: Requirement::Exactly(measurement),
            guest_svn: Requirement::AtLeast(0),
            family_id: Requirement::Exactly([0; 16]),
            image_id: Requirement::Exactly([0; 16]),
            host_data: Requirement::Exactly([0; 32]),
            id_block: IdBlock::Absent,
        }
    }

    /// Google's firmware on SEV-SNP at this security version or above, with any number of processors it is endorsed
    /// for; Google sets no ID block. What the firmware starts is not in this measurement: `reason` says why that is
    /// enough, and is a waiver of every result.
    ///
    /// # Errors
    /// Those of [`FirmwareEndorsement::snp`].
    pub fn google_firmware_only(
        endorsement: Arc<FirmwareEndorsement>,
        minimum_svn: u32,
        reason: String,
    ) -> Result<Self, Rejection> {
        let measurements = endorsement.snp(minimum_svn)?.measurements.values().copied().collect();
        Ok(Self {
            measurement: Requirement::OneOf(measurements),
            voucher: Voucher::GoogleFirmwareOnly { endorsement, reason },
            ..Self::pinned("google firmware", Measurement::new([0; 48]))
        })
    }

    /// A release of which nothing is judged, for this reason.
    pub fn unjudged(name: impl Into<String>, reason: String) -> Self {
        Self {
            name: name.into(),
            voucher: Voucher::Author,
            measurement: Requirement::Waived { reason: reason.clone() },
            guest_svn: Requirement::Waived { reason: reason.clone() },
            family_id: Requirement::Waived { reason: reason.clone() },
            image_id: Requirement::Waived { reason: reason.clone() },
            host_data: Requirement::Waived { reason: reason.clone() },
            id_block: IdBlock::Waived { reason },
        }
    }
}

/// Where the measurement allow-list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceValues {
    /// Written into the policy by its author (`pinned-measurement` mode); listed in the result.
    Pinned(Vec<Release>),
    /// Not judged, for this reason; only outside channels.
    Unchecked {
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_accepts_nothing() {
        assert!(!Requirement::<u32>::OneOf(Vec::new()).accepts(&0));
        assert!(Requirement::Exactly(3).accepts(&3) && !Requirement::Exactly(3).accepts(&4));
        assert!(Requirement::AtLeast(3).accepts(&4) && !Requirement::AtLeast(3).accepts(&2));
        assert_eq!(Requirement::OneOf(vec![1, 2]).describe(u32::to_string), "one of [1, 2]");
    }
}
