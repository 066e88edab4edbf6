//! The command line. What is refused here exits with 2.

#![expect(clippy::doc_markdown, reason = "these comments are the help texts that people read in a terminal")]

use std::net::SocketAddr;
use std::path::PathBuf;

use attestation::{HardwareId, Measurement, Sha256, TeeType};
use clap::{Args as ClapArgs, Parser, Subcommand};

/// Check that a gateway is what it claims to be, then talk to it.
#[derive(Parser)]
#[command(name = "postern", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Verify a gateway and show every check with what was expected and found
    Verify(Verify),
    /// Serve a localhost endpoint through which any SDK uses the verified gateway
    #[command(after_help = PROXY_HELP)]
    Proxy(Proxy),
    /// Send one prompt through a verified channel and stream the answer
    Chat(Chat),
    /// Issue keys, set budgets, revoke: the admin API of a verified gateway
    #[command(after_help = ADMIN_HELP)]
    Admin(Admin),
    /// Write or check a policy file
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Judge evidence offline: one request (JSON) on stdin, one answer (JSON) on stdout
    #[command(after_help = APPRAISE_HELP)]
    Appraise(Appraise),
    /// Give an enclave its secrets, as its operator, after verifying it
    #[command(subcommand, after_help = PROVISION_HELP)]
    Provision(ProvisionCommand),
    /// Fetch a gateway's log and check that nothing was removed from it
    #[command(subcommand, after_help = AUDIT_HELP)]
    Audit(AuditCommand),
    /// Look at evidence without judging it
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Compute offline what machines started from an image will report
    #[command(after_help = MEASURE_HELP)]
    Measure(Measure),
    /// Write another gateway's configuration as ours, and say what could not be carried
    #[command(after_help = IMPORT_HELP)]
    Import(Import),
}

#[derive(Subcommand)]
pub(crate) enum ProvisionCommand {
    /// Make an operator's key and print the line for the enclave's configuration
    NewKey(ProvisionNewKey),
    /// Make a root key, for enclaves whose state.root_key is `provisioned`
    NewRootKey(ProvisionNewKey),
    /// Verify an enclave, then seal secrets to it
    Send(ProvisionSend),
}

#[derive(ClapArgs)]
pub(crate) struct ProvisionNewKey {
    /// Where to write the key, readable by you only; an existing file stays
    pub(crate) file: PathBuf,
}

#[derive(ClapArgs)]
pub(crate) struct ProvisionSend {
    /// The gateway: https://NAME or https://NAME:PORT
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// The operator's key
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_key: PathBuf,
    /// TOML file with the secrets: NAME = "value" or NAME = { file = "PATH" }; - reads stdin
    #[arg(long, value_name = "FILE", required_unless_present = "root_key")]
    pub(crate) secrets: Option<PathBuf>,
    /// The root key under which the enclave seals what outlives it; opens its state
    #[arg(long, value_name = "FILE")]
    pub(crate) root_key: Option<PathBuf>,
    /// TOML file with a `[gateway]` table to put in force in place of the enclave's own
    #[arg(long, value_name = "FILE")]
    pub(crate) gateway: Option<PathBuf>,
}

#[derive(ClapArgs)]
pub(crate) struct Measure {
    /// The unified kernel image (.efi)
    pub(crate) image: PathBuf,
    /// Firmware for SEV-SNP that checks the kernel's hash (OVMF AmdSev)
    #[arg(long, value_name = "FILE")]
    pub(crate) firmware_snp: Option<PathBuf>,
    /// Firmware for TDX (OVMF)
    #[arg(long, value_name = "FILE")]
    pub(crate) firmware_tdx: Option<PathBuf>,
    /// The disk that a cloud boots from, for its partition table
    #[arg(long, value_name = "FILE")]
    pub(crate) disk: Option<PathBuf>,
    /// The enclave's configuration file, for the register that remembers it
    #[arg(long, value_name = "FILE")]
    pub(crate) configuration: Option<PathBuf>,
    /// Numbers of virtual processors
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    pub(crate) processors: Vec<u32>,
    /// QEMU's processor models
    #[arg(long, value_delimiter = ',', default_value = "EPYC-v4,EPYC-Genoa,EPYC-Turin", value_parser = model)]
    pub(crate) models: Vec<&'static str>,
    /// Print JSON: a list of the rows that a release manifest holds
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Admin {
    /// The gateway's admin listener: https://NAME or https://NAME:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// File with the admin key [env: POSTERN_API_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

#[derive(Subcommand)]
pub(crate) enum AdminCommand {
    /// Make the first administrator with the code whose hash is in the configuration
    Claim {
        /// File with the code; - reads stdin
        #[arg(long, value_name = "FILE")]
        code_file: PathBuf,
    },
    /// Show a list or a thing: keys, keys/ID, teams/ID/budgets, openapi.json
    Get {
        /// Where, below /admin/v1/
        path: String,
    },
    /// Make a thing from a JSON file: orgs, teams, users, tags, keys, admin-keys
    Create {
        /// Where, below /admin/v1/
        path: String,
        /// What; - reads stdin
        file: PathBuf,
    },
    /// Put a JSON file in the place of what is there now
    Replace {
        /// Where, below /admin/v1/
        path: String,
        /// What; - reads stdin
        file: PathBuf,
    },
    /// Remove a thing
    Delete {
        /// Where, below /admin/v1/
        path: String,
    },
    /// Give a key a new secret; the old one stays good for a while
    Rotate {
        /// The key's id
        key: String,
        /// How long, in seconds
        #[arg(long, default_value_t = 0)]
        grace_seconds: u32,
    },
    /// Refuse a key for now
    Block {
        /// The key's id
        key: String,
    },
    /// Let a blocked key in again
    Unblock {
        /// The key's id
        key: String,
    },
    /// Refuse a key for good; answers under way are cut
    Revoke {
        /// The key's id
        key: String,
    },
    /// Revoke every key that fits all that is stated
    RevokeAll {
        /// Of this organisation
        #[arg(long)]
        org: Option<String>,
        /// Of this team
        #[arg(long)]
        team: Option<String>,
        /// Of this user
        #[arg(long)]
        user: Option<String>,
        /// With this tag
        #[arg(long)]
        tag: Option<String>,
    },
}

#[derive(ClapArgs)]
pub(crate) struct Import {
    /// Whose configuration it is
    pub(crate) format: Format,
    /// The other gateway's file (YAML or JSON)
    pub(crate) file: PathBuf,
    /// Print the report as one JSON document (format postern.import/1)
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whose configuration is imported.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Format {
    /// Bifrost's config.json
    Bifrost,
    /// LiteLLM's config.yaml
    Litellm,
    /// Routing options as OpenRouter's clients send them
    Openrouter,
    /// A Portkey routing configuration
    Portkey,
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Fetch the log over a verified channel into a folder, or what is new since the last time
    Fetch(AuditFetch),
    /// Check a folder: every entry, the signed checkpoint, and every head that evidence has shown
    Verify(AuditVerify),
    /// Print the entries that meet all conditions, after their number
    Query(AuditQuery),
    /// The same as JSON lines, byte for byte as they were hashed
    Export(AuditQuery),
}

#[derive(ClapArgs)]
pub(crate) struct AuditFetch {
    /// The gateway: https://NAME or https://NAME:PORT
    pub(crate) url: String,
    /// Folder to fetch into
    pub(crate) folder: PathBuf,
    /// File with the auditor's credential
    #[arg(long, value_name = "FILE")]
    pub(crate) credential_file: PathBuf,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(ClapArgs)]
pub(crate) struct AuditVerify {
    /// Folder that was fetched
    pub(crate) folder: PathBuf,
}

#[derive(ClapArgs)]
pub(crate) struct AuditQuery {
    /// Folder that was fetched
    pub(crate) folder: PathBuf,
    /// Key, principal, team, organisation, actor or credential
    #[arg(long)]
    pub(crate) who: Option<String>,
    /// call, admin, lost, opened, stopped, an operation or an action; ACTION* for all that begin so
    #[arg(long)]
    pub(crate) what: Option<String>,
    /// Not before, in milliseconds since 1970
    #[arg(long, value_name = "MS")]
    pub(crate) since: Option<u64>,
    /// Before, in milliseconds since 1970
    #[arg(long, value_name = "MS")]
    pub(crate) until: Option<u64>,
    /// Model or deployment
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Outcome, error code or result
    #[arg(long)]
    pub(crate) status: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Show a report, quote or document in words: every field, every bit
    Show(EvidenceShow),
}

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Write a commented policy file; values that are not given must be filled in before it loads
    Init(Box<PolicyInit>),
    /// Load a policy file and print what it loosens
    Check(PolicyCheck),
}

/// What every command that reaches a gateway takes.
#[derive(ClapArgs)]
pub(crate) struct Reach {
    /// Policy file: what the gateway must prove
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// Dial this address instead of the URL's name; what is proved about the name stays the same
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub(crate) connect: Option<String>,
    /// Where to remember what must never go backwards [default: $XDG_STATE_HOME/postern/remembered.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) state_file: Option<PathBuf>,
}

#[derive(ClapArgs)]
pub(crate) struct Verify {
    /// The gateway: https://NAME or https://NAME:PORT
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Print the verdict as one JSON document (format postern.verdict/1)
    #[arg(long)]
    pub(crate) json: bool,
    /// On a rejection, go on after the check that decided and show every check that can be made
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Proxy {
    /// The gateway: https://NAME or https://NAME:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Write the local token here, readable by you only, instead of printing it
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Hold the gateway's key from this file [env: POSTERN_API_KEY]; without one, callers bring their own
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Listen even if the first verification fails; every request is verified anyway
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// DANGEROUS: listen on an address that other machines can reach, in clear text
    #[arg(long)]
    pub(crate) dangerously_listen_beyond_loopback: bool,
    /// Another Host header to answer to, as HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) allow_host: Vec<String>,
    /// Print one JSON line on stdout once the gateway is verified and the socket is bound
    #[arg(long)]
    pub(crate) json_ready: bool,
    /// End when stdin ends
    #[arg(long)]
    pub(crate) exit_on_stdin_close: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Chat {
    /// The gateway: https://NAME or https://NAME:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Model [default: the first that the gateway lists]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// File with the gateway's key [env: POSTERN_API_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The prompt; - reads it from stdin
    pub(crate) prompt: String,
}

#[derive(ClapArgs)]
pub(crate) struct Appraise {
    /// Go on after a check that fails, and show every check with expected and found on stderr
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(ClapArgs)]
pub(crate) struct EvidenceShow {
    /// File with a raw report, quote, Azure HCL blob, or one of Postern's own documents; - reads stdin
    pub(crate) file: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct PolicyInit {
    /// Where to write [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,
    /// Kind of machine; az-* are guests behind Azure's paravisor
    #[arg(long, value_name = "TEE", default_value = "snp", value_parser = tee)]
    pub(crate) tee: TeeType,
    /// Launch measurement of an acceptable release; may be repeated
    #[arg(long, value_name = "HEX", value_parser = measurement)]
    pub(crate) measurement: Vec<Measurement>,
    /// Id of an acceptable processor; may be repeated
    #[arg(long, value_name = "HEX", value_parser = hardware_id)]
    pub(crate) hardware_id: Vec<HardwareId>,
    /// Deployment id (64 hexadecimal digits), or unpinned
    #[arg(long, value_name = "ID", value_parser = deployment)]
    pub(crate) deployment: Option<String>,
    /// Root certificate (DER) of a SIMULATED processor; every result will say SIMULATED
    #[arg(long, value_name = "FILE")]
    pub(crate) simulated_root: Vec<PathBuf>,
    /// Firmware floors to hold the machine to, instead of those shipped with this program
    #[arg(long, value_name = "FILE")]
    pub(crate) floors: Option<PathBuf>,
    /// A signed release manifest (its signature is FILE.sig); may be repeated while two releases are acceptable
    #[arg(long, value_name = "FILE", requires = "release_key")]
    pub(crate) release: Vec<PathBuf>,
    /// The key that signs releases: 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = release_key)]
    pub(crate) release_key: Option<[u8; 32]>,
    /// Take only shapes that begin so, for example "EPYC-Genoa x 4"
    #[arg(long, value_name = "TEXT", requires = "release")]
    pub(crate) shape: Option<String>,
    /// The enclave's configuration file: the launch, or a register of the TPM, must name its hash
    #[arg(long, value_name = "FILE")]
    pub(crate) configuration: Option<PathBuf>,
    /// Whether a public certificate is demanded as well
    #[arg(long, value_parser = ["required", "not-required"])]
    pub(crate) webpki: Option<String>,
}

#[derive(ClapArgs)]
pub(crate) struct PolicyCheck {
    /// The policy file
    pub(crate) file: PathBuf,
}

fn address(text: &str) -> Result<String, &'static str> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if matches!(port, Some(Ok(_))) { Ok(text.to_owned()) } else { Err("an address to dial is HOST:PORT") }
}

fn tee(text: &str) -> Result<TeeType, String> {
    let known = TeeType::ALL.map(TeeType::as_str);
    let found = TeeType::ALL.into_iter().find(|tee| tee.as_str() == text);
    found.ok_or_else(|| format!("known are {}", known.join(", ")))
}

fn measurement(text: &str) -> Result<Measurement, &'static str> {
    Measurement::from_hex(text).map_err(|_| "a launch measurement is 96 lower-case hexadecimal digits")
}

fn hardware_id(text: &str) -> Result<HardwareId, &'static str> {
    HardwareId::from_hex(text).map_err(|_| "a processor's id is 16 to 128 lower-case hexadecimal digits")
}

fn model(text: &str) -> Result<&'static str, String> {
    let known = measurement::snp::MODELS.iter().map(|(name, _)| *name);
    known
        .clone()
        .find(|name| *name == text)
        .ok_or_else(|| format!("known models are {}", known.collect::<Vec<_>>().join(", ")))
}

fn release_key(text: &str) -> Result<[u8; 32], &'static str> {
    Sha256::from_hex(text)
        .map(|key| *key.as_bytes())
        .map_err(|_| "a release key is 64 lower-case hexadecimal digits")
}

fn deployment(text: &str) -> Result<String, &'static str> {
    if text == "unpinned" || Sha256::from_hex(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err("a deployment id is 64 lower-case hexadecimal digits, or the word unpinned")
    }
}

const PROXY_HELP: &str = "\
Every caller needs the local token, made anew at each start. Two ways to combine it with the gateway's key:

  The proxy holds the gateway's key (--key-file or POSTERN_API_KEY):
      base URL  http://127.0.0.1:PORT/v1            API key  the local token
  The caller brings the gateway's key, and the token goes into the path:
      base URL  http://127.0.0.1:PORT/t/TOKEN/v1    API key  the gateway's key

The token is also taken from the headers x-api-key and x-goog-api-key. It is never sent to the gateway.";

const APPRAISE_HELP: &str = "\
Request and answer have the format postern.appraise/1; client-verifier/schema describes both. No network, no clock:
everything that counts is in the request.

Exit codes: 0 accepted, 10 rejected, 30 malformed request, 1 internal fault.

  postern appraise < request.json
  postern appraise --explain < request.json > answer.json";

const IMPORT_HELP: &str = "\
The configuration goes to stdout, the report to stderr. Secrets are never copied: the report says where to put them.

  postern import litellm config.yaml > enclave.toml
  postern-enclave check --without-secrets enclave.toml";

const PROVISION_HELP: &str = "\
Secrets that a configuration refers to as sealed:NAME are given to a running enclave, which serves evidence only until
it has them. They are bound to this boot of the enclave and to the configuration that was verified, and kept in its
memory only: give them again after a restart, unless provisioning.keep says `sealed`. So is the root key, where
state.root_key says `provisioned`. Keep a copy of it: who loses it loses what is sealed under it.

  postern provision new-key operator.key
  postern provision new-root-key root.key
  postern provision send https://gateway.example --policy policy.toml --operator-key operator.key --secrets secrets.toml --root-key root.key";

const MEASURE_HELP: &str = "\
Each value says on what it rests: computed (other programs, a real boot or recorded evidence agree), predicted (no
hardware has confirmed it), or to-be-recorded-on-hardware (only the machine knows it).

  postern measure postern-metal.efi --firmware-snp firmware-snp.fd --processors 4 --models EPYC-Genoa";

const ADMIN_HELP: &str = "\
The gateway is verified before the admin key is sent. Answers are JSON on stdout.

  postern admin --to https://gateway.example:8444 --policy policy.toml claim --code-file code
  postern admin --to https://gateway.example:8444 --policy policy.toml --key-file admin.key create teams team.json
  postern admin --to https://gateway.example:8444 --policy policy.toml --key-file admin.key revoke KEY-ID";

const AUDIT_HELP: &str = "\
Exit codes: 0 the log is whole, 1 something was removed or changed, 2 usage, 3 could not decide.

  postern audit fetch https://gateway.example log/ --credential-file auditor.key --policy policy.toml
  postern audit verify log/
  postern audit query log/ --who team-red --status refused";

const AFTER_HELP: &str = "\
Exit codes: 0 verified, 1 rejected, 2 usage or configuration, 3 could not decide.

  postern policy init --output policy.toml
  postern verify https://gateway.example --policy policy.toml
  postern proxy --to https://gateway.example --policy policy.toml --listen 127.0.0.1:4000";
