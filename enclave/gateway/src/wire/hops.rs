//! Requests that go round: each gateway adds its name to `via` (RFC 9110, section 7.6.3) on the way to an upstream, and
//! refuses what has come by itself already, or by too many of its kind.

use super::RequestHead;
use crate::error::Error;

/// Most gateways of our kind that a request may have come by.
const MOST: usize = 8;
/// How their names begin.
const NAME: &str = "postern-";

/// What the next hop is told: the gateways of our kind so far, and this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hops(String);

impl Hops {
    /// Reads a head that reaches the gateway of that number.
    ///
    /// # Errors
    /// [`Error::RequestLoop`] if it has been here, or came a long way.
    pub fn read(head: &RequestHead<'_>, number: u64) -> Result<Self, Error> {
        let own = format!("{NAME}{number:016x}");
        let mut hops = Vec::new();
        let fields = head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("via"));
        for member in fields.flat_map(|(_, value)| value.split(|byte| *byte == b',')) {
            // `1.1 postern-0123456789abcdef`, perhaps with a comment behind it.
            let words = std::str::from_utf8(member).unwrap_or_default().split_ascii_whitespace();
            let Some(name) = words.skip(1).find(|word| is_name(word)) else { continue };
            if name.eq_ignore_ascii_case(&own) || hops.len() >= MOST {
                return Err(Error::RequestLoop);
            }
            hops.push(format!("1.1 {}", name.to_ascii_lowercase()));
        }
        hops.push(format!("1.1 {own}"));
        Ok(Self(hops.join(", ")))
    }

    /// The header's value.
    pub fn via(&self) -> &str {
        &self.0
    }
}

fn is_name(word: &str) -> bool {
    let number = word.split_at_checked(NAME.len()).filter(|(start, _)| start.eq_ignore_ascii_case(NAME));
    number.is_some_and(|(_, rest)| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(via: &[&str]) -> Result<Hops, Error> {
        let headers: Vec<(&str, &[u8])> = via.iter().map(|value| ("Via", value.as_bytes())).collect();
        Hops::read(&RequestHead { method: "POST", path: "/", query: None, headers: &headers }, 7)
    }

    #[test]
    fn st_22_what_has_been_here_is_refused() {
        let own = "1.1 postern-0000000000000007";
        assert_eq!(read(&[]).unwrap().via(), own);
        let other = "1.1 postern-00000000000000ff";
        // proxies of other kinds are none of the next hop's business
        let told = read(&["1.1 nginx, 2 POSTERN-00000000000000FF (x)", "1.1 cdn"]).unwrap();
        assert_eq!(told.via(), format!("{other}, {own}"));
        for via in [own, "1.0 a, 1.1 postern-0000000000000007 (b)", "1.1 Postern-0000000000000007"] {
            assert!(matches!(read(&["1.1 a", via]), Err(Error::RequestLoop)), "{via}");
        }
        let long = [other; 8].join(", ");
        assert!(read(&[&long]).is_ok());
        assert!(matches!(read(&[&long, other]), Err(Error::RequestLoop)));
        assert_eq!(read(&["1.1 postern-7", "postern-0000000000000007"]).unwrap().via(), own, "no such names");
    }
}
