//! Credentials that are not sent but sign what is sent.

use serde::Deserialize;

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
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let all = [Some(&access_key_id), Some(&secret_access_key), session_token.as_ref()];
        if !all.into_iter().flatten().all(|own| plain(own)) {
            return None;
        }
        Some(Self {
            access_key_id,
            secret_access_key: Secret::new(secret_access_key),
            session_token: session_token.map(Secret::new),
        })
    }
}
