use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

struct Issuer {
    pair: EcdsaKeyPair,
    providers: Providers,
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn issuer() -> Issuer {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = pair.public_key().as_ref();
    let jwks = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig",
        "x": base64(&public[1..33]), "y": base64(&public[33..65]),
    }] });
    Issuer { pair, providers: providers(&format!("jwks = '{jwks}'")) }
}

fn providers(keys: &str) -> Providers {
    let config = format!(
        "issuer = \"https://idp.example\"\naudience = \"postern-admin\"\n{keys}\n[roles]\nops = \"platform_admin\"\nlead = \"team_admin\"\n"
    );
    let config: OidcConfig = toml::from_str(&config).unwrap();
    Providers::new(&[config]).unwrap()
}

fn claims() -> Value {
    json!({ "iss": "https://idp.example", "aud": "postern-admin", "sub": "ada", "exp": NOW + 300, "role": "ops" })
}

impl Issuer {
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed =
            format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64(signature.as_ref()))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "ES256", "kid": "k1", "typ": "JWT" }), claims)
    }

    fn with(&self, name: &str, value: &Value) -> String {
        let mut own = claims();
        own[name] = value.clone();
        self.token(&own)
    }

    fn role(&self, token: &str, now: u64) -> Option<Role> {
        self.providers.look(token, now).map(|own| own.role)
    }
}

#[test]
fn a_token_that_holds_gives_its_role() {
    let issuer = issuer();
    assert_eq!(issuer.role(&issuer.token(&claims()), NOW), Some(Role::PlatformAdmin));
    let mut lead = claims();
    lead["role"] = "lead".into();
    assert_eq!(issuer.role(&issuer.token(&lead), NOW), None, "a lead of nothing");
    lead["org"] = "acme".into();
    lead["team"] = "search".into();
    let known = issuer.providers.look(&issuer.token(&lead), NOW).unwrap();
    assert_eq!((known.role, known.reach.team.as_deref()), (Role::TeamAdmin, Some("search")));
    assert_eq!(known.id, "https://idp.example#ada");
}

#[test]
fn what_does_not_hold_is_refused() {
    let issuer = issuer();
    for (name, value) in [
        ("aud", json!("another-api")),
        ("aud", Value::Null),
        ("iss", json!("https://evil.example")),
        ("exp", json!(NOW - 61)),
        ("exp", json!("never")),
        ("exp", Value::Null),
        ("nbf", json!(NOW + 61)),
        ("role", json!("root")),
        ("role", json!("platform_admin")),
        ("sub", json!("")),
    ] {
        assert_eq!(issuer.role(&issuer.with(name, &value), NOW), None, "{name} {value}");
    }
    assert_eq!(issuer.role(&issuer.with("exp", &json!(NOW - 59)), NOW), Some(Role::PlatformAdmin), "leeway");
    let mut changed = issuer.token(&claims()).into_bytes();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    assert_eq!(issuer.role(&String::from_utf8_lossy(&changed), NOW), None);
}

#[test]
fn algorithms_are_those_of_public_keys_only() {
    let issuer = issuer();
    let unsigned =
        format!("{}.{}.", base64(br#"{"alg":"none","kid":"k1"}"#), base64(claims().to_string().as_bytes()));
    assert_eq!(issuer.role(&unsigned, NOW), None);
    // The public key taken for a shared secret, in the forms in which it is known.
    let raw = issuer.pair.public_key().as_ref().to_vec();
    let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(issuer.pair.public_key()).unwrap();
    for secret in [raw, der.as_ref().to_vec()] {
        let header = base64(br#"{"alg":"HS256","kid":"k1"}"#);
        let signed = format!("{header}.{}", base64(claims().to_string().as_bytes()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let token = format!("{signed}.{}", base64(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref()));
        assert_eq!(issuer.role(&token, NOW), None);
    }
    for header in [json!({ "alg": "ES384", "kid": "k1" }), json!({ "alg": "ES256", "kid": "k2" })] {
        assert_eq!(issuer.role(&issuer.sign(&header, &claims()), NOW), None, "{header}");
    }
    // Whoever signs with a key of his own and brings it along, or says where it is.
    let other = self::issuer();
    let public = other.pair.public_key().as_ref();
    let jwk =
        json!({ "kty": "EC", "crv": "P-256", "x": base64(&public[1..33]), "y": base64(&public[33..65]) });
    for header in [
        json!({ "alg": "ES256", "jwk": jwk }),
        json!({ "alg": "ES256", "kid": "k1", "jwk": jwk }),
        json!({ "alg": "ES256", "kid": "k1", "jku": "https://evil.example/keys" }),
        json!({ "alg": "ES256", "kid": "k1", "x5u": "https://evil.example/chain" }),
        json!({ "alg": "ES256", "kid": "../../dev/null" }),
        json!({ "alg": "ES256", "kid": "k1' OR '1'='1" }),
        json!({ "alg": "ES256", "kid": "" }),
    ] {
        assert_eq!(issuer.role(&other.sign(&header, &claims()), NOW), None, "{header}");
    }
    assert_eq!(issuer.role(&other.token(&claims()), NOW), None, "another signer");
    // Signed well, and with something in it that would have to be understood.
    for extension in ["b64", "exp", "unknown"] {
        let header = json!({ "alg": "ES256", "kid": "k1", "crit": [extension], extension: false });
        assert_eq!(issuer.role(&issuer.sign(&header, &claims()), NOW), None, "{header}");
    }
}

#[test]
fn a_key_for_something_else_signs_no_token() {
    let own = issuer();
    let public = own.pair.public_key().as_ref();
    for (purpose, expected) in [("sig", Some(Role::PlatformAdmin)), ("enc", None), ("anything", None)] {
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "k1", "use": purpose,
            "x": base64(&public[1..33]), "y": base64(&public[33..65]),
        }] });
        let providers = providers(&format!("jwks = '{jwks}'"));
        let found = providers.look(&own.token(&claims()), NOW).map(|own| own.role);
        assert_eq!(found, expected, "{purpose}");
    }
}

/// A provider that begins to use another key, seen by an enclave that fetches them.
#[tokio::test]
async fn keys_are_fetched_again_when_a_token_names_another_one() {
    let (old, new) = (issuer(), issuer());
    let set = |issuer: &Issuer, kid: &str| {
        let public = issuer.pair.public_key().as_ref();
        let (x, y) = (base64(&public[1..33]), base64(&public[33..65]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y }] })
            .to_string()
            .into_bytes()
    };
    let providers = providers("jwks_url = \"https://idp.example/keys\"");
    let (published, fetches) = (std::cell::RefCell::new(Some(set(&old, "k1"))), std::cell::Cell::new(0));
    let fetch = async |url: &ServiceUrl| {
        assert_eq!(url.to_string(), "https://idp.example:443/keys");
        fetches.set(fetches.get() + 1);
        published.borrow().clone()
    };
    let now = gateway::Clock::now(crate::clock::ProcessClock::shared()).unix_seconds();
    let mut fresh = claims();
    fresh["exp"] = (now + 200_000).into();
    let by_old = old.token(&fresh);
    let by_new = new.sign(&json!({ "alg": "ES256", "kid": "k2" }), &fresh);
    let keys = &providers.providers[0].1;
    let story = async {
        assert!(providers.recognise(&by_old, now).await.is_some(), "it is waited for");
        assert_eq!(fetches.get(), 1);
        for _ in 0..50 {
            assert!(providers.recognise(&by_new, now).await.is_none(), "not published");
        }
        assert_eq!(fetches.get(), 1, "tokens that anybody can make up do not make it ask");
        published.replace(Some(set(&new, "k2")));
        assert!(providers.recognise(&by_new, now + 31).await.is_some());
        assert!(
            providers.recognise(&by_old, now + 31).await.is_none(),
            "withdrawn, also if it was remembered"
        );
        published.replace(Some(br#"{"keys":[]}"#.to_vec()));
        let unknown = new.sign(&json!({ "alg": "ES256", "kid": "k3" }), &fresh);
        assert!(providers.recognise(&unknown, now + 62).await.is_none());
        assert!(providers.recognise(&by_new, now + 62).await.is_some(), "the last good keys count");
        providers.forget();
        assert!(providers.look(&by_new, now + 100_000).is_none(), "for a day");
    };
    tokio::select! {
        () = keys.follow(fetch, || providers.forget()) => {}
        () = story => {}
    }
}

#[test]
fn what_is_remembered_is_the_whole_token_and_ends_with_it() {
    let issuer = issuer();
    let token = issuer.token(&claims());
    assert!(issuer.role(&token, NOW).is_some());
    // The same head and the same claims with another signature: a cache by prefix would take it.
    let (signed, _) = token.rsplit_once('.').unwrap();
    assert_eq!(issuer.role(&format!("{signed}.{}", base64(&[0; 64])), NOW), None);
    assert!(issuer.role(&token, NOW + 299).is_some());
    assert_eq!(issuer.role(&token, NOW + 361), None);
    assert_eq!(issuer.providers.good.lock().unwrap().len(), 0);
}

#[test]
fn providers_without_issuer_audience_or_keys_are_refused() {
    let config = |issuer: &str, audience: &str, jwks: &str| OidcConfig {
        issuer: issuer.to_owned(),
        audience: audience.to_owned(),
        jwks: Some(jwks.to_owned()),
        jwks_url: None,
        role: "/role".to_owned(),
        org: "/org".to_owned(),
        team: "/team".to_owned(),
        roles: BTreeMap::new(),
    };
    for (issuer, audience, jwks) in [
        ("", "a", r#"{"keys":[]}"#),
        ("i", "", r#"{"keys":[]}"#),
        ("i", "a", r#"{"keys":[]}"#),
        ("i", "a", "x"),
        ("i", "a", r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}"#),
    ] {
        assert!(Providers::new(&[config(issuer, audience, jwks)]).is_err());
    }
}
