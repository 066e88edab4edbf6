//! One connection of a provider: plain, or TLS under an authority of the provider's own.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A provider's certificate, and the authority that gave it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The authority's certificate, as PEM.
    pub roots: String,
    config: Arc<ServerConfig>,
}

impl Identity {
    /// A certificate for this name from an authority that nobody knows yet.
    pub fn new(name: &str) -> Self {
        let (key, authority_key) = (key(), key());
        let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).expect("no names");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).expect("rcgen signs");
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let issuer = rcgen::Issuer::from_params(&authority, &authority_key);
        let leaf = params.signed_by(&key, &issuer).expect("rcgen signs");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("key and certificate fit");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { roots: root.pem(), config: Arc::new(config) }
    }
}

fn key() -> rcgen::KeyPair {
    rcgen::KeyPair::generate().expect("rcgen makes keys")
}

/// See the module.
pub(super) enum Line {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Line {
    pub(super) fn over(socket: TcpStream, identity: Option<&Identity>) -> Self {
        let Some(identity) = identity else { return Self::Plain(socket) };
        let session = ServerConnection::new(Arc::clone(&identity.config)).expect("the settings are good");
        Self::Tls(Box::new(StreamOwned::new(session, socket)))
    }

    /// Says that nothing more comes, where the protocol has a word for it.
    pub(super) fn say_goodbye(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _sent = stream.flush();
        }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Line {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
