//! A TPM as Azure's paravisor gives it to a guest: swtpm with an attestation key and a blob around a hardware report.
//!
//! The report is the simulated processor's and names the key, as the paravisor has it made. libtpms keeps at most 2048 bytes
//! in one index, so the run-time data here has the one key that verifiers use, where Azure's has two.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use attestation::attester::azure_vtpm::{AK_HANDLE, HCL_INDEX};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_tests::security_processor::SecurityProcessor;
use ring::digest::{SHA256, digest};
use simtee::azure::HclSpec;

/// Most that libtpms keeps in one index.
const INDEX_BYTES: usize = 2048;
/// SEV-SNP, in the blob.
const SNP: u32 = 2;
/// Bytes after the modulus in the key's DER: the exponent, 65537.
const EXPONENT_BYTES: usize = 5;
/// Bytes of the modulus.
const MODULUS_BYTES: usize = 256;

/// A running TPM for one machine.
pub struct AzureTpm {
    child: Child,
    state: PathBuf,
    /// What QEMU connects to.
    pub socket: PathBuf,
}

/// Whether swtpm and the tools that fill it are there. In CI their absence is a failure.
pub fn can_emulate() -> bool {
    let missing = ["swtpm", "tpm2_createprimary"]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err());
    if let Some(program) = missing {
        assert!(std::env::var_os("CI").is_none(), "{program} is needed");
        eprintln!("SKIPPED: {program} is not installed");
    }
    missing.is_none()
}

impl AzureTpm {
    /// Makes the key, has `processor` report it, stores the blob, and starts the TPM for QEMU.
    pub fn start(folder: &Path, processor: &SecurityProcessor) -> Self {
        let state = folder.join("tpm");
        std::fs::create_dir(&state).expect("the folder can be written to");
        provision(&state, processor);
        let socket = folder.join("tpm.sock");
        let child = swtpm(&state)
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", socket.display()))
            .spawn()
            .expect("swtpm starts");
        until(|| socket.exists());
        Self { child, state, socket }
    }

    /// All registers by bank (`sha256`, `sha384`), in hex, once the machine is gone: the emulator writes down what it
    /// remembers, and another one reads it to the tools.
    pub fn registers(self) -> BTreeMap<&'static str, BTreeMap<u8, String>> {
        let mut control = UnixStream::connect(&self.socket).expect("the emulator outlives its machine");
        // swtpm's control channel: CMD_STORE_VOLATILE, CMD_SHUTDOWN (`swtpm/tpm_ioctl.h`); four bytes of result each.
        for command in [10_u32, 3] {
            let mut result = [0xff; 4];
            control.write_all(&command.to_be_bytes()).expect("the emulator listens");
            control.read_exact(&mut result).expect("the emulator answers");
            assert_eq!(result, [0; 4], "control command {command}");
        }
        let state = self.state.clone();
        drop(self);
        let tools = Tools::start(&state, "not-need-init");
        let line = |line: &str| -> Option<(u8, String)> {
            let (index, value) = line.split_once(':')?;
            Some((index.trim().parse().ok()?, value.trim().strip_prefix("0x")?.to_owned()))
        };
        let read = |bank: &str| tools.done(&["tpm2_pcrread", bank]).lines().filter_map(line).collect();
        ["sha256", "sha384"].into_iter().map(|bank| (bank, read(bank))).collect()
    }
}

/// An emulator on TCP, and the tools that fill and read it.
struct Tools {
    child: Child,
    port: u16,
}

impl Tools {
    fn start(state: &Path, flags: &str) -> Self {
        let (port, control) = two_ports();
        let mut command = swtpm(state);
        command.arg("--server").arg(format!("type=tcp,port={port}"));
        command.arg("--ctrl").arg(format!("type=tcp,port={control}"));
        let child = command.args(["--flags", flags]).spawn().expect("swtpm starts");
        let own = Self { child, port };
        until(|| own.run(&["tpm2_getrandom", "1"]).status.success());
        own
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(arguments[0]);
        command
            .args(&arguments[1..])
            .env("TPM2TOOLS_TCTI", format!("swtpm:host=127.0.0.1,port={}", self.port));
        command.output().expect("tpm2-tools are there")
    }

    /// What it said, having done it.
    fn done(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for AzureTpm {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn swtpm(state: &Path) -> Command {
    let mut command = Command::new("swtpm");
    command.args(["socket", "--tpm2", "--tpmstate"]).arg(format!("dir={}", state.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn end(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}

fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "swtpm does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn provision(state: &Path, processor: &SecurityProcessor) {
    let file = |name: &str| state.join(name).to_str().expect("UTF-8").to_owned();
    let tools = Tools::start(state, "not-need-init,startup-clear");
    let done = |arguments: &[&str]| drop(tools.done(arguments));
    let (context, key, blob) = (file("ak.context"), file("ak.der"), file("blob"));
    let (handle, index) = (format!("{AK_HANDLE:#x}"), format!("{HCL_INDEX:#x}"));
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign";
    let scheme = "rsa2048:rsassa-sha256:null";
    done(&["tpm2_createprimary", "-C", "o", "-G", scheme, "-a", attributes, "-c", &context]);
    done(&["tpm2_evictcontrol", "-C", "o", "-c", &context, &handle]);
    done(&["tpm2_readpublic", "-c", &handle, "-f", "der", "-o", &key]);
    let key = std::fs::read(key).expect("the key was written");
    let end_of_modulus = key.len() - EXPONENT_BYTES;
    let text = runtime_text(&key[end_of_modulus - MODULUS_BYTES..end_of_modulus]);
    let mut report_data = [0; 64];
    report_data[..32].copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    let quote = processor.processor.quote(&report_data).expect("the processor reports");
    let spec = HclSpec { index_bytes: INDEX_BYTES, ..HclSpec::good() };
    std::fs::write(&blob, spec.encode(&quote.report, SNP, text.as_bytes()))
        .expect("the folder can be written to");
    let size = INDEX_BYTES.to_string();
    done(&["tpm2_nvdefine", &index, "-C", "o", "-s", &size, "-a", "ownerread|ownerwrite|authread|authwrite"]);
    done(&["tpm2_nvwrite", &index, "-C", "o", "-i", &blob]);
    done(&["tpm2_shutdown", "-c"]);
}

/// What the paravisor says of the guest, with the one key that verifiers look for.
fn runtime_text(modulus: &[u8]) -> String {
    let text = simtee::azure::blob::runtime_text(modulus, modulus);
    let mut fewer: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    fewer["keys"].as_array_mut().expect("keys").truncate(1);
    fewer.to_string()
}

/// Two ports one after the other, as the tools expect of swtpm.
fn two_ports() -> (u16, u16) {
    for _ in 0..100 {
        let first = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let port = first.local_addr().expect("it is bound").port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return (port, port + 1);
        }
    }
    panic!("no two free ports in a row");
}

/// Answers as Azure's metadata service does: the configuration to whoever asks for user data in its way, nothing else. A
/// program that QEMU starts for each connection.
pub fn metadata_service(folder: &Path, configuration: &[u8]) -> PathBuf {
    let (script, body) = (folder.join("metadata"), folder.join("user-data"));
    std::fs::write(&body, STANDARD.encode(configuration)).expect("the folder can be written to");
    let lines = format!(
        r#"#!/bin/sh
cr=$(printf '\r'); asked=; flag=
while IFS= read -r line; do
    line=${{line%"$cr"}}
    [ -n "$line" ] || break
    case $line in
        'GET /metadata/instance/compute/userData?api-version='*'&format=text HTTP/1.0') asked=yes ;;
        'metadata: true') flag=yes ;;
    esac
done
if [ "$asked$flag" = yesyes ]; then
    printf 'HTTP/1.0 200 OK\r\n\r\n'; cat '{}'
else
    printf 'HTTP/1.0 404 Not Found\r\n\r\n'
fi
"#,
        body.display()
    );
    std::fs::write(&script, lines).expect("the folder can be written to");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    script
}
