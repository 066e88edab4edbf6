//! Addresses of services beside providers: receivers of notices, keys of identity providers.

use gateway::config::parse_url;
use gateway::deployment::Endpoint;
use serde::Deserialize;

/// Where a service is: `https://` and a name of the public web, or `http://` on loopback.
///
/// Only the configuration names one, and clients see which. The enclave asks the far end for a certificate of that name;
/// an address, or a name that means something only where the host is, could not have one, so it is refused here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ServiceUrl {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// What to ask for there; at least a slash.
    pub path: String,
}

/// Last labels of names that are nobody's in the public web.
const PRIVATE: [&str; 8] =
    ["arpa", "home", "internal", "invalid", "lan", "local", "localdomain", "localhost"];

impl TryFrom<String> for ServiceUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let address = parse_url(&text, false)?;
        if let Endpoint::Https { host, .. } = &address.endpoint
            && !is_public_name(host)
        {
            return Err("a name of the public web, such as 'hooks.example.com', and no address");
        }
        let path = if address.path.is_empty() { "/".to_owned() } else { address.path };
        Ok(Self { endpoint: address.endpoint, path })
    }
}

impl std::fmt::Display for ServiceUrl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}{}", self.endpoint, self.path)
    }
}

/// Whether a certificate of the public web can be for it: labels with a last one of letters. So no form of an address
/// (`127.1`, `2130706433`, `0x7f.1`, `::ffff:a00:1`) is one.
fn is_public_name(host: &str) -> bool {
    let Some((rest, last)) = host.rsplit_once('.') else { return false };
    let label =
        |own: &str| !own.is_empty() && own.len() <= 63 && !own.starts_with('-') && !own.ends_with('-');
    let letters = last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_alphabetic());
    let punycode = last.starts_with("xn--");
    (letters || punycode) && !PRIVATE.contains(&last) && rest.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_02_addresses_and_private_names_are_no_services() {
        for bad in [
            "http://hooks.example.com/x",
            "http://10.0.0.1/x",
            "http://169.254.169.254/latest/meta-data",
            "https://169.254.169.254/x",
            "https://127.0.0.1/x",
            "https://127.1/x",
            "https://2130706433/x",
            "https://0x7f000001/x",
            "https://0x7f.0.0.0x1/x",
            "https://0177.0.0.1/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://localhost/x",
            "https://metadata.google.internal/x",
            "https://printer.local/x",
            "https://hooks/x",
            "https://hooks.example.com./x",
            "https://hooks.example.com@10.0.0.1/x",
            "https://user:password@hooks.example.com/x",
            "https://hooks.example.com/x?to=10.0.0.1",
            "https://hooks.example.com/x#y",
            "https://hooks.example.com/../x",
            "https://hooks.example.com/%2e%2e/x",
            "https://hooks.example.com:0/x",
            "https://hooks..example.com/x",
            "ftp://hooks.example.com/x",
            "file:///etc/passwd",
            "hooks.example.com",
            "",
        ] {
            assert!(ServiceUrl::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for (good, same) in [
            ("https://hooks.example.com/a/b", "https://hooks.example.com:443/a/b"),
            ("https://HOOKS.example.com:8443", "https://hooks.example.com:8443/"),
            ("https://a.xn--p1ai/", "https://a.xn--p1ai:443/"),
            ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x"),
        ] {
            assert_eq!(ServiceUrl::try_from(good.to_owned()).unwrap().to_string(), same);
        }
    }
}
