//! `[provisioning]`: who gives secrets, and whether they are given once or after every start.

use serde::Deserialize;

use super::operator::OperatorKey;
use super::state::{RootKeyFrom, State};

/// `[provisioning]`
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Provisioning {
    /// The operator's public key, `ed25519:` and 64 hex digits: what is not signed with it is not taken. Clients see it,
    /// so nobody else can give this enclave provider accounts of his own.
    pub operator: OperatorKey,
    /// Where what was given stays; see [`Keep`]. Clients see it.
    #[serde(default)]
    pub keep: Keep,
}

/// Where what the operator has given stays.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// In memory: he gives it again after every start.
    #[default]
    Memory,
    /// Also sealed in the state, where the same release opens it on the same machine under the same configuration.
    Sealed,
}

impl Keep {
    /// As the public configuration says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sealed => "sealed",
        }
    }
}

impl Provisioning {
    /// What is wrong with it over this state, if anything: the key, and what it must be.
    pub(super) fn problem(&self, state: Option<&State>) -> Option<(&'static str, &'static str)> {
        if self.keep == Keep::Memory {
            return None;
        }
        let Some(state) = state.filter(|own| own.keeps_records()) else {
            return Some((
                "provisioning.keep",
                "`memory`, unless state.store names a place that outlives the process, to seal secrets in",
            ));
        };
        if state.root_key == Some(RootKeyFrom::Provisioned) {
            return Some((
                "provisioning.keep",
                "`memory` with state.root_key = \"provisioned\": a root key that the operator gives after every start cannot be kept under itself; take state.root_key = \"chip\"",
            ));
        }
        if state.awaits_operator() {
            return Some((
                "provisioning.keep",
                "`memory` with state.password = \"sealed:NAME\": the store cannot keep what it takes to reach it",
            ));
        }
        if !state.is_bound_to_chip() {
            return Some((
                "provisioning.keep",
                "`memory`, unless state.root_key = \"chip\" or state.bind_to_chip = true: whoever reads the file of the root key would read the secrets",
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(state: &str) -> Option<&'static str> {
        let operator = "0a".repeat(32);
        let own: Provisioning =
            toml::from_str(&format!("operator = \"ed25519:{operator}\"\nkeep = \"sealed\"")).unwrap();
        let state: Option<State> = (!state.is_empty()).then(|| toml::from_str(state).unwrap());
        let problem = own.problem(state.as_ref());
        let unkept = Provisioning { keep: Keep::Memory, ..own };
        assert_eq!(unkept.problem(state.as_ref()), None);
        problem.map(|(key, expected)| {
            assert_eq!(key, "provisioning.keep");
            expected
        })
    }

    #[test]
    fn secrets_are_kept_only_where_the_same_enclave_alone_opens_them() {
        for (state, expected) in [
            ("", "outlives the process"),
            ("root_key = \"chip\"", "outlives the process"),
            ("root_key = \"chip\"\naudit = \"/log\"", "outlives the process"),
            ("root_key = \"provisioned\"\nbind_to_chip = true\nstore = \"file:/s\"", "under itself"),
            (
                "root_key = \"chip\"\nstore = \"redis://h:1\"\npassword = \"sealed:p\"",
                "what it takes to reach it",
            ),
            ("root_key = \"file:/root.key\"\nstore = \"file:/s\"", "whoever reads the file"),
        ] {
            let said = problem(state).unwrap_or_default();
            assert!(said.contains(expected), "{state}: {said}");
        }
        assert_eq!(problem("root_key = \"chip\"\nstore = \"file:/s\""), None);
        let mixed = "root_key = \"file:/root.key\"\nbind_to_chip = true\nstore = \"file:/s\"";
        assert_eq!(problem(mixed), None);
    }
}
