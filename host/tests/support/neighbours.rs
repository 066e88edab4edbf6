//! A host in the test's process, and both of its neighbours played by plain blocking sockets.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::wildcard_enum_match_arm,
    reason = "each test file uses its share, and a helper that fails fails the test"
)]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use postern_host::{
    Config, Host,
    address::Address,
    log::{Level, Log},
};

/// Long enough for anything that works, short enough for a test that does not.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Running {
    pub host: Host,
    pub folder: tempfile::TempDir,
}

/// Starts a host; `ENCLAVE` in the text stands for `enclave`, `FOLDER` for a temporary folder.
pub fn start(text: &str, enclave: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let text = text.replace("FOLDER", folder.path().to_str().unwrap()).replace("ENCLAVE", enclave);
    let config = Config::parse(&text, "test").unwrap();
    let host = Host::start(&config, Arc::new(Log::silent(Level::Warn))).unwrap();
    Running { host, folder }
}

pub fn ingress(extra: &str) -> String {
    format!("drain_seconds = 1\n[ingress]\nlisten = \"127.0.0.1:0\"\nenclave = \"ENCLAVE\"\n{extra}\n")
}

pub fn egress(extra: &str) -> String {
    format!("[egress]\nlisten = \"unix:FOLDER/egress.sock\"\n{extra}\n")
}

impl Running {
    pub fn client(&self) -> TcpStream {
        patient(TcpStream::connect(self.host.ingress()[0]).unwrap())
    }

    pub fn egress_path(&self) -> PathBuf {
        match self.host.egress().unwrap() {
            Address::Unix(path) => path.clone(),
            other => panic!("{other}"),
        }
    }

    pub fn egress(&self) -> UnixStream {
        let stream = UnixStream::connect(self.egress_path()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// An enclave on TCP; each connection is handed to `serve` on a thread of its own.
pub fn enclave(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (String, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(patient(stream.unwrap())));
        }
    });
    (format!("tcp:{address}"), address)
}

/// Sends back what it gets; ends when the other side ends.
pub fn echo(mut stream: TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    if std::io::copy(&mut reader, &mut stream).is_ok() {
        drop(stream.shutdown(Shutdown::Write));
    }
}

pub fn ask(stream: &mut (impl Read + Write), text: &[u8]) -> Vec<u8> {
    stream.write_all(text).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// Whether the other side has ended the connection, cleanly or not, rather than kept it open.
pub fn is_closed(mut stream: impl Read) -> bool {
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Waits until `done`, and says whether it came to that.
pub fn eventually(mut done: impl FnMut() -> bool) -> bool {
    (0..500).any(|_| {
        let now = done();
        if !now {
            thread::sleep(Duration::from_millis(10));
        }
        now
    })
}
