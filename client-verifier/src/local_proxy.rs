//! A localhost endpoint through which any SDK uses a verified channel. It believes nobody: callers need its token,
//! the gateway needs evidence, and an answer that is not whole never looks whole.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::evidence_source::Verifier;
use forward::Forwarder;
use guard::Guard;
use pool::Pool;

pub use guard::Token;

mod answer;
mod forward;
mod guard;
mod pool;

/// How the proxy is reached and whose key it uses.
pub struct ProxySettings {
    /// Where to listen. Anything but a loopback address needs `allow_non_loopback`.
    pub listen: SocketAddr,
    /// Lets other machines reach the proxy; whoever holds the token then speaks for its owner, in clear text.
    pub allow_non_loopback: bool,
    /// Further `Host` headers to answer to, as `host:port`.
    pub allow_hosts: Vec<String>,
    /// The token that admits callers.
    pub token: Token,
    /// The gateway's virtual key, if the proxy holds it; otherwise callers bring their own.
    pub gateway_key: Option<GatewayKey>,
}

/// The gateway's virtual key as an `Authorization` value. Never printed.
pub struct GatewayKey(HeaderValue);

impl GatewayKey {
    /// `None` if the text is empty or cannot be a header value.
    pub fn new(key: &str) -> Option<Self> {
        let key = key.trim();
        if key.is_empty() {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// The value for an `Authorization` header.
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }
}

/// A listening proxy.
pub struct LocalProxy {
    listener: TcpListener,
    address: SocketAddr,
    forwarder: Arc<Forwarder>,
    pool: Arc<Pool>,
}

impl LocalProxy {
    /// Binds the socket. Refuses addresses that other machines can reach, unless the settings spell it out.
    pub async fn bind(verifier: Verifier, settings: ProxySettings) -> io::Result<Self> {
        let ProxySettings { listen, allow_non_loopback, allow_hosts, token, gateway_key } = settings;
        if !listen.ip().is_loopback() && !allow_non_loopback {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let pool = Pool::new(verifier);
        let mut names = authorities(address);
        names.extend(allow_hosts);
        let guard = Guard::new(token, names);
        let key = gateway_key.map(|key| key.0);
        let forwarder = Arc::new(Forwarder::new(guard, Arc::clone(&pool), key));
        Ok(Self { listener, address, forwarder, pool })
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token, to be shown once to the one who started the proxy.
    pub fn token(&self) -> &Token {
        self.forwarder.token()
    }

    /// Opens one channel, so that the first verdict is known before anybody asks.
    pub async fn check(&self) -> Result<crate::channel::VerifiedChannel, Error> {
        self.pool.verifier().connect().await
    }

    /// Serves until `shutdown`, then lets answers in flight finish for at most 30 s.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        self.pool.spawn_reaper();
        let graceful = GracefulShutdown::new();
        let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            let Some((stream, slot)) = accepted else { continue };
            let forwarder = Arc::clone(&self.forwarder);
            let service = service_fn(move |request| {
                let forwarder = Arc::clone(&forwarder);
                async move { Ok::<_, Infallible>(forwarder.handle(request).await) }
            });
            let connection = server().serve_connection(TokioIo::new(stream), service).into_owned();
            let watched = graceful.watch(connection);
            tokio::spawn(async move {
                // A caller that leaves or breaks the protocol concerns nobody else.
                drop(watched.await);
                drop(slot);
            });
        }
        drop(self.listener);
        // Past the limit the rest is cut, visibly, by the end of the process.
        drop(tokio::time::timeout(DRAIN_TIME, graceful.shutdown()).await);
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    let Ok((stream, _)) = listener.accept().await else {
        // Out of descriptors, most likely: let some go first.
        tokio::time::sleep(ACCEPT_PAUSE).await;
        return None;
    };
    stream.set_nodelay(true).ok()?;
    Some((stream, slot))
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIME).max_buf_size(MAX_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .keep_alive_interval(IDLE_TIME);
    builder
}

/// The `host:port` texts by which a caller may address us.
fn authorities(address: SocketAddr) -> Vec<String> {
    let mut names = vec![address.to_string()];
    if address.ip().is_loopback() {
        let port = address.port();
        names.extend([format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")]);
        if port == HTTP_PORT {
            names.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        }
    }
    names
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const DRAIN_TIME: Duration = Duration::from_secs(30);
const HTTP_PORT: u16 = 80;
const IDLE_TIME: Duration = Duration::from_secs(75);
const MAX_BUFFER_BYTES: usize = 256 * 1024;
const MOST_CONNECTIONS: usize = 4096;
const MOST_STREAMS: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addressed_by_loopback_names_only() {
        let names = authorities("127.0.0.1:4000".parse().unwrap());
        assert!(names.contains(&"127.0.0.1:4000".to_owned()) && names.contains(&"localhost:4000".to_owned()));
        assert_eq!(authorities("192.0.2.1:4000".parse().unwrap()), ["192.0.2.1:4000"]);
    }

    #[test]
    fn a_gateway_key_is_a_header_value_and_does_not_print() {
        let key = GatewayKey::new(" sk-secret \n").unwrap();
        assert_eq!(key.header(), "Bearer sk-secret");
        assert!(!format!("{:?}", key.header()).contains("secret"));
        assert!(GatewayKey::new("  ").is_none() && GatewayKey::new("a\nb").is_none());
    }
}
