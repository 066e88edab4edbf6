//! Taps: they pass connections on and keep what crosses.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What crossed, both ways.
pub(super) type Seen = Arc<Mutex<Vec<u8>>>;

/// Between the host and the enclave's address: where the host connects instead.
pub(super) fn before(enclave: SocketAddr) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
    let shared = Arc::clone(&seen);
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            if let Ok(far) = TcpStream::connect(enclave) {
                between(near, far, &shared);
            }
        }
    });
    (address, seen)
}

/// Between the enclave's way out and the host.
pub(super) fn on_the_way_out(enclave: &Path, host: &Path) -> Seen {
    let listener = UnixListener::bind(enclave).unwrap();
    let (host, seen) = (host.to_owned(), Seen::default());
    let shared = Arc::clone(&seen);
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            if let Ok(far) = UnixStream::connect(&host) {
                between(near, far, &shared);
            }
        }
    });
    seen
}

/// A connection, whatever it is made of.
trait Line: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> Self;
    fn end(&self, which: Shutdown);
}

impl Line for TcpStream {
    fn twin(&self) -> Self {
        self.try_clone().unwrap()
    }

    fn end(&self, which: Shutdown) {
        let _ended = self.shutdown(which);
    }
}

impl Line for UnixStream {
    fn twin(&self) -> Self {
        self.try_clone().unwrap()
    }

    fn end(&self, which: Shutdown) {
        let _ended = self.shutdown(which);
    }
}

fn between<L: Line>(near: L, far: L, seen: &Seen) {
    for (from, into) in [(near.twin(), far.twin()), (far, near)] {
        let seen = Arc::clone(seen);
        std::thread::spawn(move || copy(from, into, &seen));
    }
}

fn copy<L: Line>(mut from: L, mut into: L, seen: &Mutex<Vec<u8>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        seen.lock().unwrap().extend_from_slice(&buffer[..count]);
        if into.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    into.end(Shutdown::Write);
    from.end(Shutdown::Read);
}
