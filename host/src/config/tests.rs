//! Good files, and each way to write a bad one.

use super::*;

const FULL: &str = r#"
workers = 2
log = "debug"
drain_seconds = 5

[ingress]
listen = ["127.0.0.1:8443", "[::1]:8443"]
enclave = "vsock:16:7001"
max_connections = 10
max_connections_per_source = 0
new_connections_per_second_per_source = 0
first_byte_seconds = 1
connect_seconds = 1
idle_seconds = 30

[egress]
listen = "vsock:any:7002"
enclave_cid = 16
allow = ["API.example.com:443", "[::1]:8080", "10.0.0.1:80"]
resolve = { "api.example.com:443" = "127.0.0.1:9" }
max_connections = 3
connect_seconds = 1
idle_seconds = 60

[endorsements]
cache = "/var/cache/postern"
amd_kds = "http://127.0.0.1:1"
intel_pcs = "http://127.0.0.1:1"
intel_certificates = "http://127.0.0.1:1"
fetch_seconds = 1
refresh_seconds = 1
stale_seconds = 1
"#;

fn error(text: &str) -> String {
    Config::parse(text, "host.toml").unwrap_err().to_string()
}

#[test]
fn every_field_can_be_set() {
    let config = Config::parse(FULL, "host.toml").unwrap();
    let egress = config.egress.unwrap();
    assert_eq!(config.ingress.unwrap().listen.len(), 2);
    assert!(
        egress.allow.contains(&Destination { host: HostName::new("api.example.com").unwrap(), port: 443 })
    );
    assert!(egress.allow.contains(&Destination { host: HostName::new("::1").unwrap(), port: 8080 }));
    assert_eq!(egress.resolve.len(), 1);
    assert_eq!(config.log, Level::Debug);
}

#[test]
fn two_lines_suffice() {
    let text = "[ingress]\nlisten = \"127.0.0.1:0\"\nenclave = \"unix:/run/e.sock\"\n";
    let ingress = Config::parse(text, "host.toml").unwrap().ingress.unwrap();
    assert_eq!((ingress.listen.len(), ingress.idle_seconds), (1, 300));
}

#[test]
fn a_slip_of_the_pen_is_named_with_its_place_and_its_cure() {
    let text = error("[ingress]\nlistn = \"127.0.0.1:0\"\nenclave = \"unix:/e\"\n");
    assert!(text.starts_with("CONFIG_INVALID: host.toml:2:1: unknown field `listn`"), "{text}");
    assert!(text.ends_with("did you mean `listen`?"), "{text}");
    assert_eq!(text.lines().count(), 1);
    let far = error("xyzzy = 1\n");
    assert!(!far.contains("did you mean"), "{far}");
}

#[test]
fn each_bad_value_is_refused_in_one_line() {
    let full = |from: &str, to: &str| {
        assert!(FULL.contains(from), "{from}");
        error(&FULL.replacen(from, to, 1))
    };
    let cases = [
        (error(""), "CONFIG_EMPTY", "add [ingress] or [egress]"),
        (
            error(
                "[endorsements]\ncache = \"/c\"\n[ingress]\nlisten = \"127.0.0.1:0\"\nenclave = \"unix:/e\"",
            ),
            "CONFIG_NO_EGRESS",
            "add it",
        ),
        (full("\"[::1]:8443\"", "\"localhost:1\""), "CONFIG_INVALID", "0.0.0.0:8443"),
        (full("[\"127.0.0.1:8443\", \"[::1]:8443\"]", "[]"), "CONFIG_RANGE", "ingress.listen"),
        (full("vsock:16:7001", "vsock:any:7001"), "CONFIG_RANGE", "ingress.enclave"),
        (full("vsock:16:7001", "16:7001"), "CONFIG_INVALID", "tcp:, unix:, vsock: or hvsock:"),
        (full("max_connections = 10", "max_connections = 0"), "CONFIG_RANGE", "ingress.max_connections"),
        (full("max_connections = 3", "max_connections = 0"), "CONFIG_RANGE", "egress.max_connections"),
        (full("idle_seconds = 30", "idle_seconds = 0"), "CONFIG_RANGE", "ingress.idle_seconds"),
        (full("idle_seconds = 60", "idle_seconds = 86401"), "CONFIG_RANGE", "egress.idle_seconds"),
        (full("fetch_seconds = 1", "fetch_seconds = 0"), "CONFIG_RANGE", "endorsements.fetch_seconds"),
        (full("{ \"api.", "{ \"other."), "CONFIG_RESOLVE", "egress.allow"),
        (full("10.0.0.1:80\"", "*.example.com:443\""), "CONFIG_INVALID", "no wildcards"),
        (full("log = \"debug\"", "log = \"loud\""), "CONFIG_INVALID", "expected"),
        (full("workers = 2", "workers ="), "CONFIG_INVALID", "host.toml:2:"),
    ];
    for (text, code, hint) in cases {
        assert!(text.starts_with(code) && text.contains(hint), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn destinations_are_exact() {
    for bad in
        ["", "a", "a:", ":1", "a:0", "a:65536", "*:1", "::1:80", "[a]:1", "[::1]", "http://a:1", "a b:1"]
    {
        assert!(Destination::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_missing_file_is_one_line() {
    let error = Config::load(Path::new("/nonexistent/host.toml")).unwrap_err().to_string();
    assert!(error.starts_with("CONFIG_UNREADABLE: /nonexistent/host.toml: ") && error.contains("--config"));
}
