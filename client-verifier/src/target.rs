//! Which gateway: the name the certificate and the keyset must answer for, and the address to dial.

use http::Uri;
use http::uri::Scheme;
use rustls_pki_types::ServerName;

use crate::error::{Error, UrlFault};

/// A gateway named by its URL, reachable at that name or at another address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    name: String,
    port: u16,
    dial: Option<String>,
}

impl Target {
    /// Parses `https://NAME[:PORT]`. The default port is 443.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let uri: Uri = url.parse().map_err(|_| Error::Url(UrlFault::Malformed))?;
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(Error::Url(UrlFault::Scheme));
        }
        let authority = uri.authority().ok_or(Error::Url(UrlFault::Malformed))?;
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(Error::Url(UrlFault::NotBare));
        }
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        ServerName::try_from(name.as_str()).map_err(|_| Error::Url(UrlFault::Malformed))?;
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => HTTPS_PORT,
            rest => rest
                .and_then(|rest| rest.strip_prefix(':'))
                .and_then(|port| port.parse().ok())
                .ok_or(Error::Url(UrlFault::Malformed))?,
        };
        Ok(Self { name, port, dial: None })
    }

    /// Dials `HOST:PORT` instead of the URL's name. What is proved about the name stays the same.
    #[must_use]
    pub fn with_connect(mut self, address: &str) -> Self {
        self.dial = Some(address.to_owned());
        self
    }

    /// The name that certificate and keyset must answer for, lower case, without brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What to hand to the resolver.
    pub(crate) fn dial_address(&self) -> String {
        match &self.dial {
            Some(address) => address.clone(),
            None if self.name.contains(':') => format!("[{}]:{}", self.name, self.port),
            None => format!("{}:{}", self.name, self.port),
        }
    }

    /// The value of the `Host` header.
    pub(crate) fn host_header(&self) -> String {
        let name = if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() };
        if self.port == HTTPS_PORT { name } else { format!("{name}:{}", self.port) }
    }

    /// The URL in its normal form.
    pub fn url(&self) -> String {
        format!("https://{}", self.host_header())
    }

    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, Error> {
        ServerName::try_from(self.name.clone()).map_err(|_| Error::Url(UrlFault::Malformed))
    }
}

const HTTPS_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ports_and_addresses() {
        let target = Target::parse("https://Gateway.Example").unwrap();
        assert_eq!(target.dial_address(), "gateway.example:443");
        assert_eq!(target.host_header(), "gateway.example");
        let target = Target::parse("https://localhost:8443/").unwrap().with_connect("127.0.0.1:9");
        assert_eq!((target.name(), target.dial_address().as_str()), ("localhost", "127.0.0.1:9"));
        assert_eq!(target.url(), "https://localhost:8443");
        let target = Target::parse("https://[::1]:8443").unwrap();
        assert_eq!((target.name(), target.dial_address().as_str()), ("::1", "[::1]:8443"));
        assert_eq!(target.host_header(), "[::1]:8443");
    }

    #[test]
    fn refuses_what_is_not_a_bare_https_url() {
        for (url, fault) in [
            ("http://localhost:1", UrlFault::Scheme),
            ("localhost:1", UrlFault::Scheme),
            ("", UrlFault::Malformed),
            ("https://", UrlFault::Malformed),
            ("https://a b", UrlFault::Malformed),
            ("https://localhost:99999", UrlFault::Malformed),
            ("https://localhost/v1", UrlFault::NotBare),
            ("https://localhost/?x=1", UrlFault::NotBare),
            ("https://user:secret@localhost", UrlFault::NotBare),
        ] {
            match Target::parse(url) {
                Err(Error::Url(found)) => assert_eq!(found, fault, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
        }
    }
}
