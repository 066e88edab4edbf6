//! Accounts at the clouds: several values there; here where it is called, and one document with the credential.

use toml::{Table, Value};

use super::draft::Draft;
use super::source::Source;

/// What an account is paid and signed with.
#[derive(Clone, Copy)]
pub(super) enum Account {
    /// AWS access keys for Bedrock.
    Aws,
    /// An Entra application for Azure.
    Entra,
    /// A Google service account for Vertex.
    Google,
}

impl Account {
    const fn document(self) -> &'static str {
        match self {
            Self::Aws => {
                "JSON with 'aws_access_key_id', 'aws_secret_access_key' and, for temporary keys, 'aws_session_token'"
            }
            Self::Entra => "JSON with 'tenant_id', 'client_id' and 'client_secret'",
            Self::Google => "the service account's key file",
        }
    }

    /// Names the place of the account's one document. The other file's secret parts stay behind.
    pub(super) fn credential(
        self,
        own: &mut Table,
        at: &str,
        text: Option<&str>,
        name: &str,
        draft: &mut Draft,
    ) {
        let place = draft.document(at, text, name, self.document());
        own.insert("credential".to_owned(), place);
    }
}

/// Where the other gateway names the parts of an account.
pub(super) struct Names {
    pub(super) project: &'static str,
    pub(super) location: &'static str,
    /// Secret parts; the first is the one that notes point to.
    pub(super) secrets: &'static [&'static str],
}

/// Project and location of Vertex; nothing if the file leaves one of them to its surroundings.
pub(super) fn vertex(
    own: &mut Table,
    source: &mut Source,
    keys: &Names,
    name: &str,
    draft: &mut Draft,
) -> Option<()> {
    let project = source.plain(keys.project, draft)?;
    let location = source.plain(keys.location, draft)?;
    own.insert("project".to_owned(), project.into());
    own.insert("region".to_owned(), location.into());
    secrets(Account::Google, own, source, keys, name, draft);
    Some(())
}

/// Region of Bedrock, unless the model's name already said it.
pub(super) fn bedrock(
    own: &mut Table,
    source: &mut Source,
    keys: &Names,
    name: &str,
    draft: &mut Draft,
) -> Option<()> {
    if !own.contains_key("region") {
        own.insert("region".to_owned(), source.plain(keys.location, draft)?.into());
    }
    // A Bedrock API key goes along as it is.
    if let Some(key) = source.text("api_key") {
        let reference = draft.secret(&source.path("api_key"), Some(&key), name);
        own.insert("credential".to_owned(), reference);
        return Some(());
    }
    secrets(Account::Aws, own, source, keys, name, draft);
    Some(())
}

/// Takes the secret parts away and names their place.
pub(super) fn secrets(
    account: Account,
    own: &mut Table,
    source: &mut Source,
    keys: &Names,
    name: &str,
    draft: &mut Draft,
) {
    let at = source.path(keys.secrets.first().copied().unwrap_or_default());
    let mut texts: Vec<Value> = Vec::new();
    for key in keys.secrets {
        texts.extend(source.take(key).map(|own| own.as_str().unwrap_or_default().into()));
    }
    // One value may be a reference to the whole document; several never are.
    let only = texts.first().filter(|_| texts.len() == 1).and_then(Value::as_str).map(str::to_owned);
    account.credential(own, &at, only.as_deref(), name, draft);
}

/// The region that `LiteLLM`'s name of a Bedrock model may begin with, and the model's own name.
pub(super) fn bedrock_model(name: &str) -> (Option<&str>, &str) {
    let (mut region, mut rest) = (None, name);
    while let Some((first, others)) = rest.split_once('/') {
        match first {
            "converse" | "converse_like" | "invoke" => {}
            first if is_region(first) => region = Some(first),
            _ => break,
        }
        rest = others;
    }
    (region, rest)
}

/// Whether a word is an AWS region, such as `us-west-2`.
fn is_region(word: &str) -> bool {
    let parts = word.split('-').count();
    (3..=4).contains(&parts)
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && word.ends_with(|c: char| c.is_ascii_digit())
}
