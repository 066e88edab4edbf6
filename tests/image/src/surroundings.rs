//! What a machine meets: a host that serves its configuration, and a security processor that reports what it was launched from.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use attestation::{HardwareId, Measurement, Sha256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use measurement::snp::{Launch, Vmm, launch_digest, signature};
use measurement::{Firmware, KernelHashes};
use postern_client::policy_file::Template;
use postern_tests::security_processor::{SecurityProcessor, floors_file, root_file};
use ring::digest::{SHA256, digest};

/// The name clients dial.
pub const NAME: &str = "localhost";
/// The key the enclave admits.
pub const KEY: &str = "sk-image-4b1d";

/// The page of kernel hashes and where it belongs.
pub fn hash_page(firmware: &[u8], kernel: &[u8]) -> (u64, Vec<u8>) {
    let firmware = Firmware::parse(firmware).expect("firmware");
    let (address, _) = firmware.kernel_hashes_page().expect("it checks hashes");
    (address, KernelHashes::new(kernel, None, None).page(&firmware).expect("a page"))
}

/// What the launch of these files measures to, on one virtual processor.
pub fn measured(firmware: &[u8], kernel: &[u8]) -> [u8; 48] {
    let hashes = KernelHashes::new(kernel, None, None);
    let vmm = Vmm::Qemu { signature: signature("EPYC-Genoa").expect("a model") };
    let launch = Launch { vmm, processors: 1, features: 1, kernel: Some(&hashes) };
    let value = launch_digest(&Firmware::parse(firmware).expect("firmware"), &launch).expect("a digest");
    value.as_bytes().try_into().expect("48 bytes")
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("32 bytes")
}

/// A configuration with the built-in model, reached on TCP port 8443; evidence comes from `attester`.
pub fn configuration(attester: &str) -> String {
    configuration_at("tcp:0.0.0.0:8443", attester, "")
}

/// The same, reached at `address`, with further tables.
pub fn configuration_at(address: &str, attester: &str, tables: &str) -> String {
    format!(
        r#"version = 1
[listen]
address = "{address}"
names = ["{NAME}"]
workers = 1
[tee]
attester = "{attester}"
{tables}
[gateway]
version = 1
[[gateway.admission.keys]]
id = "image"
sha256 = "{}"
models = ["*"]
[gateway.deployments.builtin]
provider = "builtin"
model = "postern-builtin"
[gateway.models.postern-builtin]
deployments = ["builtin"]
"#,
        hex::encode(sha256(KEY.as_bytes()))
    )
}

/// AMD's key distribution service for this processor: its certificate, its issuers, their revocation list.
pub fn vendor(processor: &SecurityProcessor) -> u16 {
    let chain = processor.processor.chain();
    let pem = |der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    let issuers = [pem(&chain.intermediate), pem(&chain.ark)].concat().into_bytes();
    let (own, list) = (chain.vek.clone(), chain.crl.clone().expect("a good processor has one"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let head = head(&mut client);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let body = match path.rsplit('/').next() {
                Some("cert_chain") => &issuers,
                Some("crl") => &list,
                _ => &own,
            };
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // Whoever hangs up gets no answer.
            drop(client.write_all(&[answer.as_bytes(), body].concat()));
        }
    });
    port
}

fn head(client: &mut TcpStream) -> String {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
        bytes.extend(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Serves these bytes to whoever connects to this Unix socket.
pub fn serving_at(socket: &Path, bytes: &[u8]) {
    let listener = UnixListener::bind(socket).expect("a socket in a new folder");
    let bytes = bytes.to_vec();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _gone = client.write_all(&bytes);
        }
    });
}

/// Serves these bytes to whoever connects, and returns the port.
pub fn serving(bytes: &[u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port();
    let bytes = bytes.to_vec();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _gone = client.write_all(&bytes);
        }
    });
    port
}

/// A TCP port that leads to a Unix socket.
pub fn bridge(socket: &Path) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port();
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let socket = socket.clone();
            std::thread::spawn(move || pass(client, &socket));
        }
    });
    port
}

/// One request of the security processor's protocol has 72 bytes; the answer ends with the stream.
fn pass(mut client: TcpStream, socket: &Path) {
    let mut request = [0; 72];
    let mut answer = Vec::new();
    let passed = client.read_exact(&mut request).and_then(|()| {
        let mut processor = UnixStream::connect(socket)?;
        processor.write_all(&request)?;
        processor.read_to_end(&mut answer)?;
        client.write_all(&answer)
    });
    // Whoever hangs up gets no answer.
    drop(passed);
}

/// A processor that says it launched `firmware` and `kernel` with the hash of `configuration`.
pub fn processor(folder: &Path, measurement: [u8; 48], host_data: [u8; 32]) -> SecurityProcessor {
    SecurityProcessor::start_with(folder, |spec| {
        spec.report.measurement = measurement;
        spec.report.host_data = host_data;
    })
}

/// Writes the policy of a client that expects this measurement and configuration from this processor.
pub fn policy(
    folder: &Path,
    processor: &SecurityProcessor,
    measurement: [u8; 48],
    configuration: [u8; 32],
) -> PathBuf {
    let text = Template {
        measurements: vec![Measurement::new(measurement)],
        hardware: vec![HardwareId::try_from(processor.chip_id.as_slice()).expect("8 to 64 bytes")],
        deployment: Some("unpinned".to_owned()),
        simulated_roots: vec![root_file(folder)],
        webpki: Some("not-required".to_owned()),
        floors: Some(floors_file(folder)),
        configuration: Some(Sha256::new(configuration)),
        ..Template::default()
    }
    .render();
    let path = folder.join("policy.toml");
    std::fs::write(&path, text).expect("the folder can be written to");
    path
}
