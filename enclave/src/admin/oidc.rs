//! Tokens of an identity provider (`OpenID` Connect): who signed, for whom, until when, and what role that gives.
//!
//! Issuer, audience and expiry are demanded of every token; algorithms are those of public keys and no others, so that a
//! public key is never taken for a shared secret. The provider's keys come with the configuration, or over TLS from where
//! it says (`oidc/keys.rs`); a token never says where keys are.

mod keys;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use attestation::digest::to_hex;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::governance::Policy;
use jsonwebtoken::jwk::{JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use ring::digest;
use serde_json::Value;

use self::keys::KeyRing;
use super::identity::{Principal, Reach, Role};
use crate::config::{OidcConfig, ServiceUrl};
use crate::service::{Ask, ask};
use crate::upstream::Upstreams;

/// Clocks may differ by so many seconds.
const LEEWAY_SECONDS: u64 = 60;
/// Longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// Most tokens that are remembered.
const MAX_REMEMBERED: usize = 1024;
/// Signatures that are taken: all of public keys.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::RS256,
    Algorithm::RS384,
];

/// Every provider that is trusted, and tokens that were good a moment ago.
pub struct Providers {
    providers: Vec<(OidcConfig, KeyRing)>,
    /// By SHA-256 of the whole token, with its expiry: never a part of it, never longer than it is good.
    good: Mutex<BTreeMap<[u8; 32], (u64, Principal)>>,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Providers").field("count", &self.providers.len()).finish_non_exhaustive()
    }
}

impl Providers {
    /// From the configuration.
    ///
    /// # Errors
    /// What is wrong.
    pub fn new(configured: &[OidcConfig]) -> Result<Self, &'static str> {
        let mut providers = Vec::new();
        for own in configured {
            if !own.roles.values().all(|role| Role::from_name(role).is_some()) {
                return Err("roles of this API in roles");
            }
            if own.issuer.is_empty() || own.audience.is_empty() {
                return Err("issuer and audience that are not empty");
            }
            let keys = match (&own.jwks, &own.jwks_url) {
                (Some(text), None) => KeyRing::stated(text)?,
                (None, Some(url)) => KeyRing::fetched_from(url.clone()),
                _ => return Err("either jwks or jwks_url"),
            };
            providers.push((own.clone(), keys));
        }
        Ok(Self { providers, good: Mutex::default() })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.providers.len()
    }

    /// Whether nobody is trusted.
    pub const fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// Fetches the keys of one of them, again and again. Ends only if there is nothing to fetch.
    pub async fn follow(&self, place: usize, upstreams: &Upstreams) {
        let Some((_, keys)) = self.providers.get(place) else { return };
        let fetch = async |url: &ServiceUrl| {
            let headers = vec![("accept", "application/json".to_owned())];
            let asked = Ask { url, method: "GET", headers, body: Vec::new() };
            match ask(upstreams, asked).await {
                Ok((200, body)) => Some(body),
                Ok(_) | Err(_) => None,
            }
        };
        keys.follow(fetch, || self.forget()).await;
    }

    /// Tokens are verified anew: a key that was withdrawn vouches for nothing more.
    fn forget(&self) {
        self.good.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Who a token speaks for, also if its key is one that the provider has only just begun to use.
    pub async fn recognise(&self, token: &str, now: u64) -> Option<Principal> {
        if let Some(known) = self.look(token, now) {
            return Some(known);
        }
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let lacks = |keys: &&KeyRing| keys.at(now).is_none_or(|set| set.find(&kid).is_none());
        let mut asked = false;
        for keys in self.providers.iter().map(|(_, keys)| keys).filter(lacks) {
            asked |= keys.ask_again(now).await;
        }
        if asked { self.look(token, now) } else { None }
    }

    /// Who a token speaks for; nothing if it does not hold at this time, in seconds since 1970.
    fn look(&self, token: &str, now: u64) -> Option<Principal> {
        if token.len() > MAX_TOKEN || self.providers.is_empty() {
            return None;
        }
        let hash: [u8; 32] = digest::digest(&digest::SHA256, token.as_bytes()).as_ref().try_into().ok()?;
        {
            let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
            good.retain(|_, (until, _)| now < *until);
            if let Some((_, known)) = good.get(&hash) {
                return Some(known.clone());
            }
        }
        let (until, mut principal) =
            self.providers.iter().find_map(|(own, keys)| verify(token, own, keys.at(now)?.as_ref(), now))?;
        principal.credential = format!("token:{}", to_hex(hash.get(..8)?));
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() < MAX_REMEMBERED {
            good.insert(hash, (until, principal.clone()));
        }
        Some(principal)
    }
}

/// Whether its header names extensions that have to be understood (RFC 7515 section 4.1.11). None is.
fn has_critical(token: &str) -> Option<bool> {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    Some(header.get("crit").is_some())
}

fn verify(token: &str, own: &OidcConfig, keys: &JwkSet, now: u64) -> Option<(u64, Principal)> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    if !ALGORITHMS.contains(&header.alg) || has_critical(token)? {
        return None;
    }
    let key = match &header.kid {
        Some(kid) => keys.find(kid)?,
        None if keys.keys.len() == 1 => keys.keys.first()?,
        None => return None,
    };
    // A key that says what it is for is for nothing else.
    if key.common.public_key_use.as_ref().is_some_and(|own| *own != PublicKeyUse::Signature) {
        return None;
    }
    let named = key.common.key_algorithm.map(|own| own.to_string());
    if named.is_some_and(|named| named != format!("{:?}", header.alg)) {
        return None;
    }
    let key = DecodingKey::from_jwk(key).ok()?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[&own.issuer]);
    validation.set_audience(&[&own.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Time is an argument, so it is checked here and not by the library.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let claims: Value = jsonwebtoken::decode::<Value>(token, &key, &validation).ok()?.claims;
    let until = claims.get("exp")?.as_u64()?;
    if now >= until.saturating_add(LEEWAY_SECONDS) {
        return None;
    }
    let not_before = claims.get("nbf").map_or(Some(0), Value::as_u64)?;
    if not_before > now.saturating_add(LEEWAY_SECONDS) {
        return None;
    }
    let text = |pointer: &str| claims.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let word = text(&own.role)?;
    let named = |role: &Role| own.roles.is_empty() && role.as_str() == word;
    let mapped = own.roles.get(&word).and_then(|own| Role::from_name(own));
    let role = mapped.or_else(|| Role::ALL.into_iter().find(named))?;
    let subject = text("/sub").filter(|own| !own.is_empty() && own.len() <= 128)?;
    let reach = match role {
        Role::PlatformAdmin => Reach::default(),
        Role::Auditor | Role::OrgAdmin => Reach { org: text(&own.org), ..Reach::default() },
        Role::TeamAdmin => Reach { org: text(&own.org), team: text(&own.team), user: None },
        Role::Developer => Reach { org: text(&own.org), team: text(&own.team), user: Some(subject.clone()) },
    };
    let fits = reach.fits(role);
    let id = format!("{}#{subject}", own.issuer);
    let credential = String::new();
    fits.then(|| (until, Principal { id, credential, role, reach, ceiling: Policy::everything() }))
}

#[cfg(test)]
mod tests;
