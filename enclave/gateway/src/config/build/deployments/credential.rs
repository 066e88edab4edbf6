//! How a deployment proves who it is to its provider: reads the secret that its reference names, and checks its form.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::address::{Address, parse_url};
use super::{read, value};
use crate::config::{ConfigError, DeploymentConfig, SecretSource};
use crate::deployment::{
    Account, AwsKeys, Credential, Deployment, EntraApplication, ServiceAccount, TokenSource,
};
use crate::plaintext::Secret;
use crate::provider::{Access, Authentication, Issuer};

/// How a deployment proves who it is to its provider.
#[derive(Default)]
pub(super) struct Proof {
    pub(super) credential: Option<Credential>,
    pub(super) aws_keys: Option<AwsKeys>,
    pub(super) tokens: Option<TokenSource>,
}

pub(super) fn proof(
    name: &str,
    own: &DeploymentConfig,
    access: Access,
    secrets: &dyn SecretSource,
) -> Result<Proof, ConfigError> {
    let path = format!("deployments.{name}.credential");
    if own.token_url.is_some() && !matches!(access.authentication, Authentication::Tokens(_)) {
        let expected = "nothing: this deployment's credential is not traded for tokens";
        return Err(value(format!("deployments.{name}.token_url"), expected.to_owned()));
    }
    let reference = match (access.authentication, &own.credential) {
        (Authentication::Tokens(issuer), None) => return Err(value(path, issuer.wants().to_owned())),
        (Authentication::AwsKeys | Authentication::Bearer | Authentication::Header(_), None) => {
            return Err(value(path, "a reference to the provider's API key".to_owned()));
        }
        (Authentication::Internal, Some(_)) => {
            return Err(value(path, "no credential: this provider is built in".to_owned()));
        }
        (_, None) => return Ok(Proof::default()),
        (_, Some(reference)) => reference,
    };
    let secret = read(secrets, reference, &path)?;
    let bare = secret.expose().trim_ascii();
    if access.authentication == Authentication::AwsKeys && bare.starts_with(b"{") {
        let expected = "JSON with AccessKeyId and SecretAccessKey, or a Bedrock API key";
        let keys = AwsKeys::parse(bare).ok_or_else(|| value(path, expected.to_owned()))?;
        return Ok(Proof { aws_keys: Some(keys), ..Proof::default() });
    }
    if let Authentication::Tokens(issuer) = access.authentication {
        // Without secrets there is nothing whose form could be checked, and nothing will be called.
        let tokens = if secrets.are_real() { Some(tokens(name, own, issuer, bare)?) } else { None };
        return Ok(Proof { tokens, ..Proof::default() });
    }
    if bare.is_empty() || !bare.iter().all(u8::is_ascii_graphic) {
        return Err(value(path, "a secret of visible ASCII characters".to_owned()));
    }
    let (header, scheme) = match access.authentication {
        Authentication::Header(name) => (name, b"".as_slice()),
        Authentication::AwsKeys
        | Authentication::Bearer
        | Authentication::Internal
        | Authentication::OptionalBearer
        | Authentication::Tokens(_) => ("authorization", b"Bearer ".as_slice()),
    };
    let whole = Zeroizing::new([scheme, bare].concat());
    let value = Arc::new(Secret::new(whole.to_vec()));
    let credential = Credential { header, value, scheme_length: scheme.len() };
    Ok(Proof { credential: Some(credential), ..Proof::default() })
}

impl Issuer {
    const fn wants(self) -> &'static str {
        match self {
            Self::Entra => {
                "a reference to JSON with tenant_id, client_id and client_secret of an Entra application"
            }
            Self::Google => "a reference to the JSON key of a Google service account",
        }
    }

    const fn service(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Google => "google_oauth",
        }
    }
}

fn tokens(
    name: &str,
    own: &DeploymentConfig,
    issuer: Issuer,
    secret: &[u8],
) -> Result<TokenSource, ConfigError> {
    let wrong = || value(format!("deployments.{name}.credential"), issuer.wants().to_owned());
    let (account, usual) = match issuer {
        Issuer::Google => {
            let account = ServiceAccount::parse(secret).ok_or_else(wrong)?;
            // The key file is a secret: where tokens are traded must be seen without it.
            if own.token_url.is_none() && account.token_uri != ServiceAccount::TOKEN_URI {
                let expected = "the 'token_uri' of the key file, since it is not Google's usual one";
                return Err(value(format!("deployments.{name}.token_url"), expected.to_owned()));
            }
            (Account::Google(Box::new(account)), ServiceAccount::TOKEN_URI.to_owned())
        }
        Issuer::Entra => {
            let application = EntraApplication::parse(secret).ok_or_else(wrong)?;
            let tenant = &application.tenant_id;
            let usual = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token");
            (Account::Entra(application), usual)
        }
    };
    let url = own.token_url.as_deref().unwrap_or(&usual);
    let Address { endpoint, path } = parse_url(url, own.allow_plain_http)
        .map_err(|expected| value(format!("deployments.{name}.token_url"), expected.to_owned()))?;
    let service = Deployment::service(&format!("{name}.token"), issuer.service(), endpoint, &path);
    Ok(TokenSource::new(Arc::new(service), account))
}
