//! Credentials that are not sent but sign what is sent, or are traded for what is sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::plaintext::Secret;

/// An AWS access key.
pub struct AwsKeys {
    /// Public half.
    pub access_key_id: String,
    /// Secret half.
    pub secret_access_key: Secret<String>,
    /// Proof that temporary keys are valid; only they have one.
    pub session_token: Option<Secret<String>>,
}

impl AwsKeys {
    /// From JSON as `aws sts assume-role` prints it (`AccessKeyId`, `SecretAccessKey`, `SessionToken`), or with the names
    /// of environment variables in small letters (`aws_access_key_id` and so on). Other members do not matter.
    pub fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Written {
            #[serde(rename = "AccessKeyId", alias = "aws_access_key_id")]
            access_key_id: String,
            #[serde(rename = "SecretAccessKey", alias = "aws_secret_access_key")]
            secret_access_key: String,
            #[serde(rename = "SessionToken", alias = "aws_session_token")]
            session_token: Option<String>,
        }
        let Written { access_key_id, secret_access_key, session_token } =
            serde_json::from_slice(json).ok()?;
        let all = [Some(&access_key_id), Some(&secret_access_key), session_token.as_ref()];
        if !all.into_iter().flatten().all(|own| is_visible(own)) {
            return None;
        }
        Some(Self {
            access_key_id,
            secret_access_key: Secret::new(secret_access_key),
            session_token: session_token.map(Secret::new),
        })
    }
}

/// The key of a Google service account: what it signs, Google's token service trades for access tokens (RFC 7523;
/// Google Identity, "Using OAuth 2.0 for Server to Server Applications").
pub struct ServiceAccount {
    /// The account, `NAME@PROJECT.iam.gserviceaccount.com`.
    pub client_email: String,
    /// Which of its keys this is.
    pub private_key_id: String,
    /// Where its signatures are traded, as the key file says; also whom they are for.
    pub token_uri: String,
    key: RsaKeyPair,
}

impl ServiceAccount {
    /// From the JSON file that Google gives out with a new key (`"type": "service_account"`).
    pub fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Written {
            r#type: String,
            client_email: String,
            private_key_id: String,
            private_key: String,
            token_uri: Option<String>,
        }
        let written: Written = serde_json::from_slice(json).ok()?;
        let Written { client_email, private_key_id, token_uri, r#type, private_key } = written;
        let private_key = Zeroizing::new(private_key);
        if r#type != "service_account" || !is_visible(&client_email) || !is_visible(&private_key_id) {
            return None;
        }
        let key = RsaKeyPair::from_pkcs8(&pkcs8(&private_key)?).ok()?;
        let token_uri = token_uri.unwrap_or_else(|| Self::TOKEN_URI.to_owned());
        Some(Self { client_email, private_key_id, token_uri, key })
    }

    /// Google's token service.
    pub const TOKEN_URI: &'static str = "https://oauth2.googleapis.com/token";

    /// An `RS256` signature.
    #[expect(
        clippy::disallowed_methods,
        reason = "PKCS #1 v1.5 draws no randomness; the library asks for a source"
    )]
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }
}

/// The key inside a PEM text of one `PRIVATE KEY` (RFC 7468).
fn pkcs8(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (lines, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let text: Zeroizing<String> = Zeroizing::new(lines.split_ascii_whitespace().collect());
    STANDARD.decode(text.as_bytes()).ok().map(Zeroizing::new)
}

/// An application registered with Microsoft Entra, which trades its secret for access tokens (Microsoft identity platform,
/// "OAuth 2.0 client credentials flow").
pub struct EntraApplication {
    /// The directory.
    pub tenant_id: String,
    /// The application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret<String>,
}

impl EntraApplication {
    /// From JSON with `tenant_id`, `client_id` and `client_secret`, or as `az ad sp create-for-rbac` prints it (`tenant`,
    /// `appId`, `password`). Other members do not matter.
    pub fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Written {
            #[serde(alias = "tenant", alias = "tenantId")]
            tenant_id: String,
            #[serde(alias = "appId", alias = "clientId")]
            client_id: String,
            #[serde(alias = "password", alias = "clientSecret")]
            client_secret: String,
        }
        let Written { tenant_id, client_id, client_secret } = serde_json::from_slice(json).ok()?;
        // The directory becomes a segment of a path.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        let named = !tenant_id.is_empty() && tenant_id.bytes().all(plain) && !tenant_id.contains("..");
        if !named || !is_visible(&client_id) || !is_visible(&client_secret) {
            return None;
        }
        Some(Self { tenant_id, client_id, client_secret: Secret::new(client_secret) })
    }
}

/// Whether a text can stand in a header: visible characters, at least one.
fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
