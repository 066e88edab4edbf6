//! The TLS endpoint: version 1.3 only, post-quantum key exchange first, nothing resumed, nothing early.

use std::cell::RefCell;
use std::sync::Arc;

use attestation::digest::Sha256;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::agent::Connection;
use crate::config::KeyExchange;
use crate::identity::{IdentityError, TlsIdentity};
use crate::transport::{ReadAhead, Transport};

/// HTTP/2, as negotiated.
pub const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1, as negotiated.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The settings of protocol.md 1.6 for one TLS key. Each has a test that connects and looks.
///
/// # Errors
/// [`IdentityError::Certificate`] when key and certificate do not fit, which a key made here always does.
pub fn server_config(identity: &TlsIdentity, groups: KeyExchange) -> Result<ServerConfig, IdentityError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(groups)))
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| IdentityError::Certificate)?
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key.clone_key())
        .map_err(|_| IdentityError::Certificate)?;
    // A resumed session would skip the key that evidence vouches for, so none can be resumed.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    config.enable_secret_extraction = false;
    config.alpn_protocols =
        vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec(), attestation::provisioning::ALPN.to_vec()];
    Ok(config)
}

/// The TLS library's own default order would lose the hybrid group silently in some builds, so it is spelled out.
fn provider(groups: KeyExchange) -> CryptoProvider {
    let kx_groups = match groups {
        KeyExchange::PostQuantum => vec![aws_lc_rs::kx_group::X25519MLKEM768],
        KeyExchange::Compatible => vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519],
    };
    CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() }
}

/// Acceptors by TLS key; a new key every few days.
pub struct Acceptors {
    groups: KeyExchange,
    current: RefCell<Option<(Sha256, TlsAcceptor)>>,
}

impl std::fmt::Debug for Acceptors {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Acceptors").field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl Acceptors {
    /// No acceptor yet.
    pub const fn new(groups: KeyExchange) -> Self {
        Self { groups, current: RefCell::new(None) }
    }

    /// The acceptor for `identity`.
    ///
    /// # Errors
    /// As [`server_config`].
    pub fn for_identity(&self, identity: &TlsIdentity) -> Result<TlsAcceptor, IdentityError> {
        let mut current = self.current.borrow_mut();
        if let Some((spki, acceptor)) = current.as_ref()
            && *spki == identity.spki
        {
            return Ok(acceptor.clone());
        }
        let acceptor = TlsAcceptor::from(Arc::new(server_config(identity, self.groups)?));
        *current = Some((identity.spki, acceptor.clone()));
        Ok(acceptor)
    }
}

/// One connection after its handshake.
#[derive(Debug)]
pub struct Secured {
    /// The stream.
    pub stream: TlsStream<ReadAhead<Transport>>,
    /// The key its handshake was signed with.
    pub spki: Sha256,
}

impl Connection for Secured {
    fn export(&self, label: &[u8], context: &[u8]) -> Option<[u8; 32]> {
        let (_, session) = self.stream.get_ref();
        session.export_keying_material([0; 32], label, Some(context)).ok()
    }

    fn alpn(&self) -> &[u8] {
        self.stream.get_ref().1.alpn_protocol().unwrap_or_default()
    }

    fn spki(&self) -> Sha256 {
        self.spki
    }
}
