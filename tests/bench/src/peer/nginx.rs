//! nginx as the project measures it: one worker, TLS 1.3, upstream connections kept, nothing buffered or logged.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use super::{Setup, installed, text, write};

/// The command that runs nginx on `listen` in front of the mock; nothing if it is not installed.
pub(super) fn command(setup: &Setup, listen: SocketAddr, tls: bool) -> Result<Option<Command>> {
    let Some(program) = installed(&["nginx"]) else { return Ok(None) };
    let name = if tls { "nginx-tls" } else { "nginx" };
    let security = if tls {
        format!(
            "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.3; ssl_session_tickets off; \
             ssl_session_cache off; ssl_ecdh_curve X25519:prime256v1;",
            text(&setup.certificate)?,
            text(&setup.key)?
        )
    } else {
        String::new()
    };
    let folder = setup.state.join(name);
    std::fs::create_dir_all(&folder)?;
    let config = format!(
        "daemon off; worker_processes 1; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_max_body_size 16m; client_body_buffer_size 64k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream mock {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 300s; }}
  server {{
    listen {listen}{ssl} backlog=4096; {security}
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection \"\";
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 300s;
    }}
  }}
}}
",
        folder = text(&folder)?,
        upstream = setup.upstream,
        ssl = if tls { " ssl" } else { "" },
    );
    let file = write(setup, &format!("{name}.conf"), &config)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(file).arg("-p").arg(folder);
    Ok(Some(command))
}
