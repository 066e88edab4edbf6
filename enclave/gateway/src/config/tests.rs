use super::*;
use crate::deployment::tls_roots::tests::ONE as AUTHORITY;

const GOOD: &str = r#"
version = 1

[[admission.keys]]
id = "a"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
models = ["small"]

[deployments.main]
provider = "openai"
model = "gpt-x"
credential = "test:key"

[deployments.local]
provider = "openai_compatible"
model = "llama"
base_url = "http://[::1]:8000/v1"

[deployments.builtin]
provider = "builtin"
model = "postern-test"
tokens_per_second = 50

[models.small]
deployments = ["main", "local", "builtin"]
"#;

struct Secrets;

impl SecretSource for Secrets {
    fn read(&self, reference: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
        match reference.parts() {
            Some(("test", "key")) => Ok(Secret::new(b"sk-secret".to_vec())),
            Some(("test", "spaces")) => Ok(Secret::new(b"a b".to_vec())),
            Some(("test", "keys")) => Ok(Secret::new(KEY_FILE.as_bytes().to_vec())),
            Some(("test", "bad-keys")) => Ok(Secret::new(KEY_FILE.replace("models", "model").into_bytes())),
            Some(("test", _)) => Err(SecretError::Missing),
            _ => Err(SecretError::UnknownScheme),
        }
    }
}

const KEY_FILE: &str = "[[keys]]\nid = \"filed\"\nhmac_sha256 = \"1111111111111111111111111111111111111111111111111111111111111111\"\nmodels = [\"*\"]\n";

fn load(text: &str) -> Result<Gateway, ConfigError> {
    parse(text).and_then(|config: GatewayConfig| build(&config, &Secrets))
}

/// The error of the good configuration with one thing changed.
fn wrong(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the sample");
    load(&GOOD.replacen(from, to, 1)).err().map_or_else(|| "accepted".to_owned(), |error| error.to_string())
}

#[test]
fn accepts_the_sample() {
    let gateway = load(GOOD).expect("good");
    let model = gateway.models().find("small").expect("configured");
    let addresses: Vec<String> = model.deployments().map(|own| own.endpoint.to_string()).collect();
    assert_eq!(addresses, ["https://api.openai.com:443", "http://::1:8000", "builtin"]);
    assert_eq!(&*model.leaves[0].deployment.base_path, "/v1");
    assert_eq!(model.leaves[0].deployment.credential.as_ref().expect("has one").bare(), b"sk-secret");
}

#[test]
fn says_what_was_meant() {
    for (from, to, message) in [
        (
            "version = 1",
            "version = 1\nlimitz = {}",
            "CONFIG_UNKNOWN_KEY: unknown key 'limitz'; did you mean 'limits'?",
        ),
        (
            "sha256 =",
            "sha265 =",
            "CONFIG_UNKNOWN_KEY: admission.keys[0]: unknown key 'sha265'; did you mean 'sha256'?",
        ),
        (
            "credential =",
            "credentials =",
            "CONFIG_UNKNOWN_KEY: deployments.main: unknown key 'credentials'; did you mean 'credential'?",
        ),
        (
            "\"openai\"",
            "\"opanai\"",
            "CONFIG_UNKNOWN_NAME: deployments.main.provider: no such provider; did you mean 'openai'?",
        ),
        (
            "[\"main\",",
            "[\"mian\",",
            "CONFIG_UNKNOWN_NAME: models.small.members[0]: no such deployment or model; did you mean 'main'?",
        ),
        (
            "[\"small\"]",
            "[\"smal\"]",
            "CONFIG_UNKNOWN_NAME: admission.keys[0].models[0]: no such model; did you mean 'small'?",
        ),
        (
            "[models.small]",
            "[models.small]\nstrategy = \"prority\"",
            "CONFIG_UNKNOWN_NAME: models.small.strategy: no such strategy; did you mean 'priority'?",
        ),
        ("version = 1", "version = 1\nzzzzzzzz = 1", "CONFIG_UNKNOWN_KEY: unknown key 'zzzzzzzz'"),
    ] {
        assert_eq!(wrong(from, to), message);
    }
}

#[test]
fn says_what_is_missing_or_of_the_wrong_kind() {
    for (from, to, message) in [
        ("model = \"gpt-x\"\n", "", "CONFIG_MISSING_KEY: deployments.main: missing key 'model'"),
        ("version = 1", "", "CONFIG_MISSING_KEY: missing key 'version'"),
        ("version = 1", "version = 2", "CONFIG_VALUE: version: expected 1"),
        ("version = 1", "version = \"x\"", "CONFIG_VALUE: version: expected u32"),
        ("version = 1", "version = ", "CONFIG_SYNTAX: not TOML at line 2 column 11"),
        (
            "tokens_per_second = 50",
            "tokens_per_second = -1",
            "CONFIG_VALUE: deployments.builtin.tokens_per_second: expected u32",
        ),
        (
            "tokens_per_second = 50",
            "tokens_per_second = 0",
            "CONFIG_VALUE: deployments.builtin.tokens_per_second: expected 1 to 100000, for provider 'builtin' only",
        ),
        (
            "credential = \"test:key\"",
            "",
            "CONFIG_VALUE: deployments.main.credential: expected a reference to the provider's API key",
        ),
        ("test:key", "test:nothing", "CONFIG_SECRET: deployments.main.credential: the secret is not there"),
        (
            "test:key",
            "sk-live-key",
            "CONFIG_SECRET: deployments.main.credential: secrets are references such as 'file:/run/secrets/name'",
        ),
        (
            "test:key",
            "test:spaces",
            "CONFIG_VALUE: deployments.main.credential: expected a secret of visible ASCII characters",
        ),
        (
            "http://[::1]:8000",
            "http://models.example:8000",
            "CONFIG_VALUE: deployments.local.base_url: expected 'https://', or a loopback address, or 'allow_plain_http = true'",
        ),
        (
            "http://[::1]:8000/v1",
            "http://[::1]:8000/v1?x",
            "CONFIG_VALUE: deployments.local.base_url: expected a plain path, without query, escapes or '..'",
        ),
        (
            "http://[::1]:8000",
            "http://[::1]:0",
            "CONFIG_VALUE: deployments.local.base_url: expected a port from 1 to 65535",
        ),
        (
            "sha256 = \"0",
            "sha256 = \"g",
            "CONFIG_VALUE: admission.keys[0].sha256: expected 64 hexadecimal digits",
        ),
        (
            "sha256 = \"0",
            "sha256 = \"",
            "CONFIG_VALUE: admission.keys[0].sha256: expected 64 hexadecimal digits",
        ),
        (
            "models = [\"small\"]",
            "models = [\"*\", \"small\"]",
            "CONFIG_VALUE: admission.keys[0].models: expected either '*' or names",
        ),
        (
            "sha256 =",
            "hmac_sha256 =",
            "CONFIG_VALUE: admission.keys[0].hmac_sha256: expected 'admission.pepper' to be configured",
        ),
        (
            "[deployments.builtin]",
            "[deployments.builtin]\nbase_url = \"http://127.0.0.1\"",
            "CONFIG_VALUE: deployments.builtin.base_url: expected no address: this provider is built in",
        ),
        (
            "[deployments.main]",
            "[deployments.main]\nexposure = \"attested\"",
            "CONFIG_VALUE: deployments.main.exposure: expected 'contract_zdr' or 'provider_visible': nothing attests this upstream",
        ),
        (
            "[deployments.main]",
            "[deployments.main]\ntimeouts.stall_ms = 0",
            "CONFIG_VALUE: deployments.main.timeouts.stall_ms: expected 1 to 3600000",
        ),
        (
            "version = 1",
            "version = 1\nlimits.request_body_bytes = 104857601",
            "CONFIG_VALUE: limits.request_body_bytes: expected 1 to 104857600",
        ),
        (
            "version = 1",
            "version = 1\ncache.exact = { ttl_seconds = 0, max_bytes = 65536 }",
            "CONFIG_VALUE: cache.exact.ttl_seconds: expected 1 to 2592000",
        ),
        (
            "version = 1",
            "version = 1\nguardrails.g = { kind = \"deny_list\" }",
            "CONFIG_VALUE: guardrails.g: expected at least one phrase",
        ),
    ] {
        assert_eq!(wrong(from, to), message, "{to}");
    }
}

#[test]
fn reads_keys_from_a_file() {
    let inline = GOOD.find("[[admission.keys]]").zip(GOOD.find("[deployments.main]")).expect("in the sample");
    let without_keys = [&GOOD[..inline.0], "@\n", &GOOD[inline.1..]].concat();
    let load_with = |admission: &str| {
        load(&without_keys.replace('@', admission)).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(load_with("admission = { key_file = \"test:keys\", pepper = \"test:key\" }"), Ok(()));
    let missing = load_with("admission = { key_file = \"test:nothing\" }").expect_err("missing");
    assert_eq!(missing, "CONFIG_SECRET: admission.key_file: the secret is not there");
    let bad = load_with("admission = { key_file = \"test:bad-keys\" }").expect_err("bad");
    assert_eq!(
        bad,
        "CONFIG_UNKNOWN_KEY: admission.key_file: keys[0]: unknown key 'model'; did you mean 'models'?"
    );
    let none = load_with("admission = {}").expect_err("no keys");
    assert_eq!(
        none,
        "CONFIG_VALUE: admission: expected at least one key in 'keys' or 'key_file', or virtual_keys = true"
    );
}

#[test]
fn refuses_the_same_key_twice() {
    let twice =
        format!("{GOOD}\n[[admission.keys]]\nid = \"b\"\nsha256 = \"{}\"\nmodels = []\n", "0".repeat(64));
    assert_eq!(
        load(&twice).err().expect("refused").to_string(),
        "CONFIG_DUPLICATE: admission.keys[1]: used twice"
    );
    let same_id = twice.replacen("\"b\"", "\"a\"", 1).replacen(&"0".repeat(64), &"2".repeat(64), 1);
    assert_eq!(
        load(&same_id).err().expect("refused").to_string(),
        "CONFIG_DUPLICATE: admission.keys[1].id: used twice"
    );
}

#[test]
fn the_public_part_has_no_keys_and_no_references() {
    let gateway = load(GOOD).expect("good");
    let text = gateway.public_config().to_string();
    assert!(text.contains("\"https://api.openai.com:443\"") && text.contains("\"provider_visible\""));
    assert!(
        !text.contains("test:key")
            && !text.contains("sk-secret")
            && !text.contains("0000")
            && !text.contains("admission")
    );
}

#[test]
fn an_upstream_can_have_authorities_of_its_own_and_clients_see_which() {
    let own = |pem: &str| GOOD.replace("\"gpt-x\"", &format!("\"gpt-x\"\ntls_roots = '''\n{pem}'''"));
    let public = |text: &str| load(text).expect("good").public_config()["deployments"]["main"].clone();
    let (web, private) = (public(GOOD), public(&own(AUTHORITY)));
    assert_eq!((&web["confidentiality"], &web["tls_roots"]), (&"web_pki".into(), &serde_json::Value::Null));
    assert_eq!(private["confidentiality"], "private_pki");
    let fingerprint = "c49df178cf5af8a45cc9b21cf6079a6228cd54eec3fb94271259b71dc98c6340";
    assert_eq!(private["tls_roots"], serde_json::json!([fingerprint]));
    let refused = |text: &str| load(text).err().expect("wrong").to_string();
    assert_eq!(
        refused(&own("")),
        "CONFIG_VALUE: deployments.main.tls_roots: expected at least one certificate in PEM"
    );
    assert_eq!(
        refused(&own(&AUTHORITY.replace("END", "EMD"))),
        "CONFIG_VALUE: deployments.main.tls_roots: expected whole certificates in PEM"
    );
    for name in ["\"llama\"", "\"postern-test\""] {
        let text = GOOD.replace(name, &format!("{name}\ntls_roots = '''\n{AUTHORITY}'''"));
        let error = refused(&text);
        assert!(
            error.ends_with(".tls_roots: expected nothing: this deployment is not reached by 'https://'"),
            "{error}"
        );
    }
}
