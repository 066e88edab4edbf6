//! What a client wants of the caches. It can only narrow what the configuration allows.

use std::time::Duration;

/// What one word asks of the caches. Later ones ask for less of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheUse {
    /// An earlier answer if there is one; otherwise a fresh one, which is stored.
    #[default]
    Use,
    /// An earlier answer if there is one; otherwise a fresh one, which is not stored.
    ReadOnly,
    /// A fresh answer, which is stored.
    Refresh,
    /// A fresh answer, which is not stored.
    Off,
}

impl CacheUse {
    /// From the words of `postern-cache`.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "off" => Self::Off,
            "read-only" => Self::ReadOnly,
            "refresh" => Self::Refresh,
            "use" => Self::Use,
            _ => return None,
        })
    }
}

/// Everything that a client wants of the caches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// No earlier answer.
    pub fresh: bool,
    /// The answer is not to be stored.
    pub unkept: bool,
    /// No answer older than this.
    pub max_age: Option<Duration>,
    /// The answer is to be stored no longer than this.
    pub ttl: Option<Duration>,
    /// A name within the client's own partition; what is stored under another one is not looked at.
    pub namespace: Option<String>,
}

impl Wanted {
    /// Asks for no more than that word says.
    pub fn narrow(&mut self, asked: CacheUse) {
        self.fresh |= matches!(asked, CacheUse::Refresh | CacheUse::Off);
        self.unkept |= matches!(asked, CacheUse::ReadOnly | CacheUse::Off);
    }

    /// Takes no answer that is older than so many seconds; said twice, the shorter time holds.
    pub fn no_older_than(&mut self, seconds: u64) {
        let age = Duration::from_secs(seconds);
        self.max_age = Some(self.max_age.map_or(age, |own| own.min(age)));
    }

    /// Stores the answer for no longer than so many seconds; said twice, the shorter time holds.
    pub fn no_longer_than(&mut self, seconds: u64) {
        let ttl = Duration::from_secs(seconds);
        self.ttl = Some(self.ttl.map_or(ttl, |own| own.min(ttl)));
    }

    /// Takes what `cache-control` says in a request (RFC 9111, section 5.2.1): `no-cache`, `no-store`, `max-age`. What is
    /// not understood is left out, as that section says, but an age that is no number counts as zero (section 4.2.1).
    pub fn control(&mut self, directives: &str) {
        for directive in directives.split(',').map(|own| own.trim().to_ascii_lowercase()) {
            match directive.split_once('=') {
                Some(("max-age", seconds)) => {
                    self.no_older_than(seconds.trim().trim_matches('"').parse().unwrap_or(0));
                }
                None if directive == "no-cache" => self.narrow(CacheUse::Refresh),
                None if directive == "no-store" => self.narrow(CacheUse::Off),
                Some(_) | None => {}
            }
        }
    }
}

impl From<CacheUse> for Wanted {
    fn from(asked: CacheUse) -> Self {
        let mut wanted = Self::default();
        wanted.narrow(asked);
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_narrows_and_never_widens() {
        let mut wanted = Wanted::from(CacheUse::Off);
        wanted.narrow(CacheUse::Use);
        assert_eq!((wanted.fresh, wanted.unkept), (true, true));
        let mut both = Wanted::from(CacheUse::ReadOnly);
        both.narrow(CacheUse::Refresh);
        assert_eq!(both, CacheUse::Off.into(), "neither an earlier one nor to be kept");
        for (directives, expected) in [
            ("No-Cache", (true, false, None)),
            ("no-store", (true, true, None)),
            ("max-age=7, max-age=\"5\"", (false, false, Some(5))),
            ("max-age=soon", (false, false, Some(0))),
            ("private, x=y, only-if-cached", (false, false, None)),
        ] {
            let mut wanted = Wanted::default();
            wanted.control(directives);
            let age = wanted.max_age.map(|age| age.as_secs());
            assert_eq!((wanted.fresh, wanted.unkept, age), expected, "{directives}");
        }
        let mut shorter = Wanted::default();
        for seconds in [30, 9, 60] {
            shorter.no_longer_than(seconds);
        }
        assert_eq!(shorter.ttl, Some(Duration::from_secs(9)));
    }
}
