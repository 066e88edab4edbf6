//! Fetching the gateway's configuration. Each source is the host's; the first that gives the right bytes wins.

mod metadata;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::commitment::Commitment;
use crate::machine::Failure;
use crate::network::Link;
use crate::options::Source;

/// Longest configuration, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// How long one source may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// The host, seen from a guest.
const HOST_CID: u32 = 2;
/// Where clouds serve what they know of an instance.
const METADATA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);

/// The bytes to which the machine committed.
///
/// # Errors
/// [`Failure::Configuration`] with what each source gave.
pub fn fetch(sources: &[Source], link: Link, commitment: &mut dyn Commitment) -> Result<Vec<u8>, Failure> {
    let mut tried = Vec::new();
    for source in sources {
        let name = name(source);
        match from(source, link) {
            Ok(bytes) => {
                if commitment.accept(&bytes)? {
                    return Ok(bytes);
                }
                tried.push((name, format!("{} bytes with another hash", bytes.len())));
            }
            Err(error) => tried.push((name, error.kind().to_string())),
        }
    }
    let expected = commitment.digest();
    Err(Failure::Configuration { expected, tried })
}

fn name(source: &Source) -> String {
    match source {
        Source::Vsock(port) => format!("vsock:{port}"),
        Source::Gateway(port) => format!("gateway:{port}"),
        Source::Tcp(address) => format!("tcp:{address}"),
        Source::Aws => "aws".to_owned(),
        Source::Azure => "azure".to_owned(),
        Source::Gcp => "gcp".to_owned(),
    }
}

fn from(source: &Source, link: Link) -> io::Result<Vec<u8>> {
    match source {
        Source::Vsock(port) => {
            let stream = vsock::VsockStream::connect_with_cid_port(HOST_CID, *port)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            read_all(stream)
        }
        Source::Gateway(port) => {
            let gateway = link.gateway.ok_or(io::ErrorKind::NetworkUnreachable)?;
            read_all(dial((gateway, *port).into())?)
        }
        Source::Tcp(address) => read_all(dial(*address)?),
        Source::Aws => metadata::aws(ask),
        Source::Azure => metadata::azure(ask),
        Source::Gcp => metadata::gcp(ask),
    }
}

fn ask(request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = dial(METADATA)?;
    stream.write_all(request)?;
    read_all(stream)
}

fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Everything up to the end of the stream, if that comes in time and within the limit.
fn read_all(mut stream: impl Read) -> io::Result<Vec<u8>> {
    let deadline = Instant::now().checked_add(PATIENCE);
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if bytes.len() > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if deadline.is_none_or(|deadline| Instant::now() > deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Accepts one text.
    struct Only(&'static [u8]);

    impl Commitment for Only {
        fn accept(&mut self, configuration: &[u8]) -> Result<bool, Failure> {
            Ok(configuration == self.0)
        }

        fn digest(&self) -> String {
            "abcd".to_owned()
        }

        fn describe(&self) -> &'static str {
            "in a test"
        }
    }

    fn serving(bytes: Vec<u8>) -> Source {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || listener.accept().unwrap().0.write_all(&bytes));
        Source::Tcp(address)
    }

    #[test]
    fn the_first_with_the_right_hash_wins() {
        let sources = [
            Source::Gateway(1),
            serving(b"another".to_vec()),
            serving(vec![0; MAX_BYTES + 4096]),
            serving(b"right".to_vec()),
        ];
        assert_eq!(fetch(&sources, Link::default(), &mut Only(b"right")).unwrap(), b"right");
        let refused =
            fetch(&[serving(b"another".to_vec())], Link::default(), &mut Only(b"right")).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.starts_with("INIT_CONFIGURATION: no source gave the configuration abcd; tcp:"),
            "{text}"
        );
        assert!(text.ends_with("7 bytes with another hash"), "{text}");
    }

    #[test]
    fn too_much_is_not_read_to_the_end() {
        let endless = io::repeat(7);
        assert_eq!(read_all(endless).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
