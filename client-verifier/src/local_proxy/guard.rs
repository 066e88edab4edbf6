//! Who on this machine may use the proxy: holders of its token, addressing it by its own name, and no web page.
//! (Adversary matrix, row 47: other local users, DNS rebinding, cross-site requests.)

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::uri::PathAndQuery;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::tls::random_bytes;

/// The secret that admits a local caller. Not printable, not comparable but in constant time, wiped on drop.
pub struct Token(Zeroizing<String>);

impl Token {
    /// 32 random bytes as 64 hexadecimal digits.
    pub fn generate() -> Result<Self, Error> {
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random_bytes()?);
        let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
        for byte in bytes.iter() {
            for nibble in [byte >> 4, byte & 0x0f] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Ok(Self(text))
    }

    /// The token, to be shown once to the one who started the proxy.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn matches(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

/// Why a local request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The request names a host that is not this proxy (421).
    Host,
    /// The request comes from a web page (421).
    Origin,
    /// No token, or a wrong one (401).
    Token,
}

/// The names by which this proxy may be addressed, and its token.
pub(super) struct Guard {
    token: Token,
    authorities: Vec<String>,
}

impl Guard {
    /// `authorities` are `host:port` texts, lower case.
    pub(super) fn new(token: Token, authorities: Vec<String>) -> Self {
        Self { token, authorities }
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    /// Lets a request pass, less the token: the path prefix or header that carried it is removed.
    pub(super) fn admit(&self, request: &mut Parts) -> Result<(), Denied> {
        self.check_host(request)?;
        self.check_origin(&request.headers)?;
        let in_path = self.take_from_path(request);
        let in_authorization = self.take_from_header(&mut request.headers, &AUTHORIZATION);
        let in_api_key = self.take_from_header(&mut request.headers, &X_API_KEY);
        let in_google_key = self.take_from_header(&mut request.headers, &X_GOOG_API_KEY);
        if in_path || in_authorization || in_api_key || in_google_key { Ok(()) } else { Err(Denied::Token) }
    }

    fn check_host(&self, request: &Parts) -> Result<(), Denied> {
        let mut hosts = request.headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(host.to_str().map_err(|_| Denied::Host)?),
            (None, _) => None,
            (Some(_), Some(_)) => return Err(Denied::Host),
        };
        let authority = request.uri.authority().map(http::uri::Authority::as_str);
        let mut named = host.into_iter().chain(authority).peekable();
        if named.peek().is_none() || !named.all(|name| self.is_ours(name)) {
            return Err(Denied::Host);
        }
        Ok(())
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let ours = |value: &HeaderValue| {
            value
                .to_str()
                .ok()
                .and_then(|text| text.strip_prefix("http://"))
                .is_some_and(|name| self.is_ours(name))
        };
        if headers.get_all(ORIGIN).iter().all(ours) { Ok(()) } else { Err(Denied::Origin) }
    }

    fn is_ours(&self, name: &str) -> bool {
        self.authorities.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    }

    /// `/t/TOKEN/rest` becomes `/rest`.
    fn take_from_path(&self, request: &mut Parts) -> bool {
        let Some(after) = request.uri.path().strip_prefix(PATH_PREFIX) else { return false };
        let (candidate, rest) = after.find('/').map_or((after, "/"), |at| after.split_at(at));
        if !self.token.matches(candidate.as_bytes()) {
            return false;
        }
        let path = match request.uri.query() {
            Some(query) => format!("{rest}?{query}"),
            None => rest.to_owned(),
        };
        let Ok(path) = PathAndQuery::try_from(path) else { return false };
        request.uri = http::Uri::from(path);
        true
    }

    fn take_from_header(&self, headers: &mut HeaderMap, name: &HeaderName) -> bool {
        let holds = |value: &HeaderValue| {
            let bytes = value.as_bytes();
            let bare = match bytes.split_at_checked(BEARER.len()) {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case(BEARER) => rest.trim_ascii(),
                _ => bytes.trim_ascii(),
            };
            self.token.matches(bare)
        };
        let found = headers.get_all(name).iter().any(holds);
        if found {
            headers.remove(name);
        }
        found
    }
}

const BEARER: &[u8] = b"bearer ";
const PATH_PREFIX: &str = "/t/";
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn guard() -> (Guard, String) {
        let token = Token::generate().unwrap();
        let text = token.reveal().to_owned();
        (Guard::new(token, vec!["127.0.0.1:4000".into(), "localhost:4000".into()]), text)
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn tokens_are_long_and_differ() {
        let (one, two) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_eq!(one.reveal().len(), 64);
        assert_ne!(one.reveal(), two.reveal());
    }

    #[test]
    fn the_token_is_taken_from_each_place_and_removed() {
        let (guard, token) = guard();
        let mut by_path = request(&format!("/t/{token}/v1/models?x=1"), &[("host", "127.0.0.1:4000")]);
        by_path.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer gateway-key"));
        guard.admit(&mut by_path).unwrap();
        assert_eq!(by_path.uri, "/v1/models?x=1");
        assert_eq!(by_path.headers[AUTHORIZATION], "Bearer gateway-key");

        let bearer = format!("Bearer {token}");
        let mut by_bearer = request("/v1/models", &[("host", "localhost:4000"), ("authorization", &bearer)]);
        guard.admit(&mut by_bearer).unwrap();
        assert!(!by_bearer.headers.contains_key(AUTHORIZATION));

        let mut by_api_key = request("/v1/models", &[("host", "localhost:4000"), ("x-api-key", &token)]);
        by_api_key.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer gateway-key"));
        guard.admit(&mut by_api_key).unwrap();
        assert!(!by_api_key.headers.contains_key(X_API_KEY));
        assert_eq!(by_api_key.headers[AUTHORIZATION], "Bearer gateway-key");
    }

    #[test]
    fn a_missing_or_wrong_token_is_denied() {
        let (guard, token) = guard();
        let host = ("host", "127.0.0.1:4000");
        let short = format!("Bearer {}", &token[..63]);
        let other = format!("/t/{}/v1/models", "0".repeat(64));
        for (uri, headers) in [
            ("/v1/models", vec![host]),
            ("/v1/models", vec![host, ("authorization", "Bearer ")]),
            ("/v1/models", vec![host, ("authorization", short.as_str())]),
            ("/t//v1/models", vec![host]),
            (other.as_str(), vec![host]),
        ] {
            assert_eq!(guard.admit(&mut request(uri, &headers)), Err(Denied::Token), "{uri}");
        }
    }

    #[test]
    fn a_foreign_host_or_origin_is_denied_even_with_the_token() {
        let (guard, token) = guard();
        let uri = format!("/t/{token}/v1/models");
        for host in ["evil.example:4000", "127.0.0.1", "127.0.0.1:4001", "localhost.evil.example:4000"] {
            assert_eq!(guard.admit(&mut request(&uri, &[("host", host)])), Err(Denied::Host), "{host}");
        }
        assert_eq!(guard.admit(&mut request(&uri, &[])), Err(Denied::Host));
        let absolute = format!("http://evil.example/t/{token}/v1/models");
        assert_eq!(guard.admit(&mut request(&absolute, &[("host", "127.0.0.1:4000")])), Err(Denied::Host));
        let twice = [("host", "127.0.0.1:4000"), ("host", "evil.example")];
        assert_eq!(guard.admit(&mut request(&uri, &twice)), Err(Denied::Host));
        for origin in ["https://evil.example", "null", "http://localhost:3000", "https://127.0.0.1:4000"] {
            let headers = [("host", "127.0.0.1:4000"), ("origin", origin)];
            assert_eq!(guard.admit(&mut request(&uri, &headers)), Err(Denied::Origin), "{origin}");
        }
        let own = [("host", "127.0.0.1:4000"), ("origin", "http://127.0.0.1:4000")];
        assert_eq!(guard.admit(&mut request(&uri, &own)), Ok(()));
    }
}
