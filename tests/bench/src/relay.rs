//! The floor: a relay that ends TLS, or not, and copies bytes. It reads no HTTP at all, so no gateway can do less.
//!
//! One tokio task per connection on one thread, both directions through tokio's own 8 KiB copy loop.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::ServerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Relays `listen` to `to` until the process ends; with `tls`, clients are spoken to in TLS.
///
/// # Errors
/// The listener cannot be opened, or accepting fails.
pub fn serve(listen: SocketAddr, to: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Result<()> {
    ensure!(listen.ip().is_loopback() && to.ip().is_loopback(), "the relay stays on loopback");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, accept(listen, to, tls.map(TlsAcceptor::from)))
}

async fn accept(listen: SocketAddr, to: SocketAddr, tls: Option<TlsAcceptor>) -> Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    loop {
        let (client, _) = listener.accept().await.context("accept at the relay")?;
        let tls = tls.clone();
        tokio::task::spawn_local(async move {
            // A connection that breaks shows at the load generator as a failed exchange.
            let _ended = relay(client, to, tls).await;
        });
    }
}

async fn relay(mut client: TcpStream, to: SocketAddr, tls: Option<TlsAcceptor>) -> Result<()> {
    client.set_nodelay(true)?;
    match tls {
        None => {
            let mut upstream = TcpStream::connect(to).await?;
            upstream.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut upstream).await?;
        }
        Some(acceptor) => {
            let mut client = acceptor.accept(client).await?;
            let mut upstream = TcpStream::connect(to).await?;
            upstream.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut upstream).await?;
        }
    }
    Ok(())
}
