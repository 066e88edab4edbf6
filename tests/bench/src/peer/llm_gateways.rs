//! Gateways for language models that users come from, where a package registry has installed them.
//!
//! Both run as their documentation says, with one worker and plain HTTP: they are spared the TLS that all others
//! terminate. They understand the request, and so does what is measured here.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use super::{Setup, installed, postern::BEARER, text, write};

/// `LiteLLM` (the Python package `litellm[proxy]`): one worker, a master key, no database.
pub(super) fn litellm(setup: &Setup, listen: SocketAddr) -> Result<Option<Command>> {
    let Some(program) = installed(&["litellm"]) else { return Ok(None) };
    let config = format!(
        "model_list:
  - model_name: mock
    litellm_params: {{model: openai/mock, api_base: \"http://{upstream}/v1\", api_key: none}}
litellm_settings: {{telemetry: false}}
general_settings: {{master_key: {BEARER}}}
",
        upstream = setup.upstream,
    );
    let file = write(setup, "litellm.yaml", &config)?;
    let mut command = Command::new(program);
    command.args(["--config", text(&file)?, "--num_workers", "1"]);
    command.args(["--host", &listen.ip().to_string(), "--port", &listen.port().to_string()]);
    // Prices from the package, not from the network.
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("LITELLM_LOG", "ERROR");
    Ok(Some(command))
}

/// Portkey's gateway (the Node package `@portkey-ai/gateway`, whose program is called `gateway`).
pub(super) fn portkey(listen: SocketAddr) -> Option<Command> {
    let link = installed(&["gateway"])?;
    let own = std::fs::canonicalize(&link).ok()?.to_str()?.contains("@portkey-ai");
    own.then(|| {
        let mut command = Command::new(link);
        command.args(["--headless", &format!("--port={}", listen.port())]);
        // Without it a loopback upstream is refused.
        command.env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1");
        command
    })
}

/// The header lines with which Portkey is told, by each request, where to go.
pub(super) fn portkey_headers(upstream: SocketAddr) -> String {
    format!("x-portkey-provider: openai\r\nx-portkey-custom-host: http://{upstream}/v1\r\n")
}
