//! Where the root sealing key comes in. One place, so that provisioning has one place to put it.

use std::path::Path;

use attestation::attester::socket::SocketAttester;
use sev::firmware::guest::{DerivedKey, Firmware, GuestFieldSelect};
use state::{RootKey, StateError};
use zeroize::Zeroizing;

use crate::config::{RootKeyFrom, State};

/// Why there is no root sealing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Another one than the one under which state is open.
    Another,
    /// The operator has not provisioned one yet.
    Awaited,
    /// The processor derives none: not SEV-SNP, or `/dev/sev-guest` may not be used. TDX has no such key.
    Chip,
    /// The file cannot be read or is not 64 hex digits.
    File,
    /// The operator has given one, and the configuration takes none from him.
    NotAwaited,
}

impl KeyError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Another => "STATE_KEY_ANOTHER",
            Self::Awaited => "STATE_KEY_AWAITED",
            Self::Chip => "STATE_KEY_CHIP",
            Self::File => "STATE_KEY_FILE",
            Self::NotAwaited => "STATE_KEY_NOT_AWAITED",
        }
    }
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let says = match self {
            Self::Another => "state is open under another root key; only a start changes that",
            Self::Awaited => {
                "state.root_key = \"provisioned\", and no key has been provisioned; give it with 'postern provision send --root-key FILE'"
            }
            Self::Chip => {
                "state.root_key = \"chip\" and state.bind_to_chip need SEV-SNP and /dev/sev-guest; elsewhere no processor derives a key, and the operator must give it"
            }
            Self::File => "state.root_key names a file that cannot be read, or that is not 64 hex digits",
            Self::NotAwaited => {
                "a root key was given, and state.root_key is not \"provisioned\": nothing would be sealed under it"
            }
        };
        write!(out, "{}: {says}", self.code())
    }
}

impl std::error::Error for KeyError {}

/// Who derives the key of this measurement on this machine.
#[derive(Clone, Debug)]
pub enum Chip {
    /// The security processor, through its own device.
    Device,
    /// The processor behind the socket that also gives evidence. Its host knows the key; and its evidence shows clients and
    /// operators that it is no hardware.
    Simulated(SocketAttester),
}

/// Gives the root sealing key: what the configuration names, `provisioned` (what the operator has sealed to this process, if
/// anything yet), what `chip` derives, or `fresh`, which nobody keeps, for what ends with the process.
///
/// # Errors
/// [`KeyError`].
pub fn obtain(
    config: Option<&State>,
    provisioned: Option<RootKey>,
    chip: &Chip,
    fresh: &[u8; 32],
) -> Result<RootKey, KeyError> {
    let root = match (config.and_then(|own| own.root_key.as_ref()), provisioned) {
        (Some(RootKeyFrom::Provisioned), given) => given.ok_or(KeyError::Awaited)?,
        (_, Some(_)) => return Err(KeyError::NotAwaited),
        (Some(RootKeyFrom::File(path)), None) => from_file(path)?,
        (Some(RootKeyFrom::Chip), None) => return Ok(RootKey::new(*chip.derive()?)),
        (None, None) => RootKey::new(*fresh),
    };
    let bound = config.is_some_and(|own| own.bind_to_chip);
    if bound { Ok(root.bound_to_chip(&*chip.derive()?)) } else { Ok(root) }
}

#[expect(clippy::disallowed_methods, reason = "start-up reads the key that its file names")]
fn from_file(path: &Path) -> Result<RootKey, KeyError> {
    let text = Zeroizing::new(std::fs::read(path).map_err(|_| KeyError::File)?);
    let digits = std::str::from_utf8(&text).map_err(|_| KeyError::File)?;
    let bytes = attestation::digest::Sha256::from_hex(digits.trim_end()).map_err(|_| KeyError::File)?;
    Ok(RootKey::new(*bytes.as_bytes()))
}

impl Chip {
    fn derive(&self) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        match self {
            Self::Device => derived_by_device(),
            Self::Simulated(processor) => {
                processor.derived_key().map(Zeroizing::new).map_err(|_| KeyError::Chip)
            }
        }
    }
}

/// SEV-SNP firmware ABI, `MSG_KEY_REQ`: from the chip's own key, over measurement and guest policy, at level 0. Not over the
/// firmware's version, since every update of it would lock the store.
fn derived_by_device() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut fields = GuestFieldSelect::default();
    fields.set_guest_policy(true);
    fields.set_measurement(true);
    let request = DerivedKey::new(false, fields, 0, 0, 0, None);
    let mut device = Firmware::open().map_err(|_| KeyError::Chip)?;
    device.get_derived_key(Some(1), request).map(Zeroizing::new).map_err(|_| KeyError::Chip)
}

/// What a store says when the key is missing, for callers that know only stores.
impl From<KeyError> for StateError {
    fn from(_: KeyError) -> Self {
        Self::Key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> State {
        toml::from_str(text).unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a file for the test")]
    fn a_key_is_64_hex_digits_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let config = config(&format!("root_key = \"file:{}\"", path.display()));
        assert_eq!(obtain(Some(&config), None, &Chip::Device, &[0; 32]).err(), Some(KeyError::File));
        for (text, good) in [
            ("ab".repeat(32), true),
            (format!("{}\n", "ab".repeat(32)), true),
            ("ab".repeat(31), false),
            ("zz".repeat(32), false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(obtain(Some(&config), None, &Chip::Device, &[0; 32]).is_ok(), good);
        }
    }

    #[test]
    fn a_provisioned_key_is_awaited() {
        let config = config("root_key = \"provisioned\"");
        assert_eq!(obtain(Some(&config), None, &Chip::Device, &[0; 32]).err(), Some(KeyError::Awaited));
        assert!(obtain(Some(&config), Some(RootKey::new([1; 32])), &Chip::Device, &[0; 32]).is_ok());
    }

    #[test]
    fn a_key_that_nobody_waits_for_is_not_taken() {
        let given = || Some(RootKey::new([1; 32]));
        let of_file = config("root_key = \"file:/root.key\"");
        assert_eq!(
            obtain(Some(&of_file), given(), &Chip::Device, &[0; 32]).err(),
            Some(KeyError::NotAwaited)
        );
        assert_eq!(obtain(None, given(), &Chip::Device, &[0; 32]).err(), Some(KeyError::NotAwaited));
        assert!(obtain(None, None, &Chip::Device, &[0; 32]).is_ok());
    }

    #[test]
    fn without_the_chip_nothing_is_bound_to_it() {
        if Path::new(crate::sev_guest::DEVICE).exists() {
            return;
        }
        let chip = config("root_key = \"chip\"");
        assert_eq!(obtain(Some(&chip), None, &Chip::Device, &[0; 32]).err(), Some(KeyError::Chip));
        assert_eq!(
            obtain(Some(&chip), Some(RootKey::new([1; 32])), &Chip::Device, &[0; 32]).err(),
            Some(KeyError::NotAwaited)
        );
        let config = config("root_key = \"provisioned\"\nbind_to_chip = true");
        assert_eq!(
            obtain(Some(&config), Some(RootKey::new([1; 32])), &Chip::Device, &[0; 32]).err(),
            Some(KeyError::Chip)
        );
    }
}
