//! The verdict: first line what was decided, then each check with what was expected and found.

use attestation::Verified;
use attestation::policy::Waiver;
use attestation::rejection::{Check, Outcome as CheckOutcome};
use postern_client::channel::VerifiedChannel;
use postern_client::error::TlsFault;
use postern_client::state_file::StateError;
use postern_client::{ClientPolicy, Error, Outcome};
use serde_json::{Value, json};

use crate::output::{Mark, Output, printable};

/// Everything that is known after one attempt.
pub(crate) struct Verdict<'a> {
    pub(crate) url: &'a str,
    pub(crate) policy: Option<&'a ClientPolicy>,
    pub(crate) result: Result<&'a VerifiedChannel, &'a Error>,
}

/// One line of the argument, of the appraisal or of the channel.
struct Line {
    id: String,
    code: &'static str,
    outcome: &'static str,
    expected: String,
    found: String,
}

impl Verdict<'_> {
    /// `VERIFIED`, `VERIFIED (SIMULATED)`, `REJECTED CODE`, `UNUSABLE CODE` or `UNDECIDED CODE`, then the URL.
    pub(crate) fn first_line(&self, paint: impl Fn(Mark, &str) -> String) -> String {
        let words = match self.result {
            Ok(channel) if channel.verified().simulated() => {
                format!("{} {}", paint(Mark::Good, "VERIFIED"), paint(Mark::Warning, "(SIMULATED)"))
            }
            Ok(_) => paint(Mark::Good, "VERIFIED"),
            Err(error) => paint(Mark::Bad, &format!("{} {}", self.word().to_ascii_uppercase(), error.code())),
        };
        format!("{words}  {}", printable(self.url))
    }

    /// The whole verdict for people.
    pub(crate) fn text(&self, output: &Output) -> String {
        let mut lines = vec![self.first_line(|mark, text| output.marked(mark, text))];
        match self.result {
            Ok(channel) => lines.extend(gateway_lines(channel.verified(), output)),
            Err(error) => lines.push(format!("  {}", printable(&error.to_string()))),
        }
        for (at, line) in self.lines().into_iter().enumerate() {
            if at == 0 {
                lines.push(String::new());
            }
            let mark = match line.outcome {
                "pass" => Mark::Good,
                "fail" => Mark::Bad,
                _ => Mark::Warning,
            };
            let outcome = output.marked(mark, &format!("{:<11}", line.outcome));
            lines.push(format!("  {outcome} {}", printable(&line.id)));
            if line.outcome != "not_reached" {
                lines.push(format!("              expected {}", printable(&line.expected)));
                lines.push(format!("              found    {}", printable(&line.found)));
            }
        }
        lines.push(String::new());
        for waiver in self.waivers() {
            let rule = output.marked(Mark::Warning, waiver.rule);
            lines.push(format!("  loosened    {rule}: {}", printable(&waiver.reason)));
        }
        if self.result.is_ok() {
            lines.push(format!("  limits      {LIMITS}"));
        }
        let mut text = lines.join("\n").trim_end().to_owned();
        text.push('\n');
        text
    }

    /// The whole verdict for programs.
    pub(crate) fn json(&self) -> Value {
        let error = self.result.err();
        let verified = self.result.ok().map(VerifiedChannel::verified);
        let checks: Vec<Value> = self
            .lines()
            .into_iter()
            .map(|line| {
                json!({
                    "id": line.id,
                    "code": line.code,
                    "outcome": line.outcome,
                    "expected": line.expected,
                    "found": line.found,
                })
            })
            .collect();
        let waivers: Vec<Value> = self
            .waivers()
            .into_iter()
            .map(|waiver| json!({ "rule": waiver.rule, "reason": waiver.reason }))
            .collect();
        json!({
            "format": FORMAT,
            "verdict": self.word(),
            "simulated": verified.map(Verified::simulated),
            "url": self.url,
            "code": error.map(Error::code),
            "message": error.map(ToString::to_string),
            "hint": error.map(Error::hint),
            "gateway": verified.map(gateway_json),
            "checks": checks,
            "waivers": waivers,
            "limits": LIMITS,
        })
    }

    fn word(&self) -> &'static str {
        match self.result.map_err(Error::outcome) {
            Ok(_) => "verified",
            Err(Outcome::Rejected) => "rejected",
            Err(Outcome::Usage) => "unusable",
            Err(Outcome::Undecided) => "undecided",
        }
    }

    fn lines(&self) -> Vec<Line> {
        match self.result {
            Ok(channel) => {
                let mut lines: Vec<Line> = channel.verified().checks().iter().map(Line::of).collect();
                lines.extend(channel.channel_checks().into_iter().map(|check| Line {
                    id: check.id.to_owned(),
                    code: check.code,
                    outcome: "pass",
                    expected: check.expected,
                    found: check.found,
                }));
                lines
            }
            Err(Error::Appraisal(rejected)) => rejected.checks.iter().map(Line::of).collect(),
            Err(Error::Binding(rejection)) => vec![Line {
                id: rejection.field.to_owned(),
                code: rejection.code.as_str(),
                outcome: "fail",
                expected: rejection.expected.clone(),
                found: rejection.found.clone(),
            }],
            Err(error) => Line::of_refusal(error).into_iter().collect(),
        }
    }

    fn waivers(&self) -> Vec<Waiver> {
        self.policy.map(ClientPolicy::waivers).unwrap_or_default()
    }
}

impl Line {
    /// The one check that failed where there was no appraisal; none where nothing could be checked.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other errors are not checks that failed")]
    fn of_refusal(error: &Error) -> Option<Self> {
        let (id, code, expected) = match error {
            Error::Tls(TlsFault::KeyExchange) => {
                ("channel.key_exchange", "PROTO_PQ", "a group that the policy allows")
            }
            Error::Tls(TlsFault::WebPki) => {
                ("channel.webpki", "PROTO_WEBPKI", "a chain to a public root for the name")
            }
            Error::Tls(_) => ("channel.tls", "PROTO_TLS", "TLS 1.3, ALPN http/1.1, no resumption"),
            Error::BindRefused { .. } => ("channel.binding", "BIND_SESSION", "this connection vouched for"),
            Error::EvidenceMissing { .. } => {
                ("evidence", "ATT_MISSING", "an evidence document and its configuration")
            }
            Error::State(StateError::Forked { .. }) => {
                ("state_head", "STATE_FORK", "the history seen before, continued")
            }
            _ => return None,
        };
        let found = error.to_string();
        Some(Self { id: id.to_owned(), code, outcome: "fail", expected: expected.to_owned(), found })
    }

    fn of(check: &Check) -> Self {
        Self {
            id: check.id.to_owned(),
            code: check.code.as_str(),
            outcome: match check.outcome {
                CheckOutcome::Pass => "pass",
                CheckOutcome::Fail => "fail",
                CheckOutcome::NotReached => "not_reached",
            },
            expected: check.expected.clone(),
            found: check.found.clone(),
        }
    }
}

fn gateway_lines(verified: &Verified, output: &Output) -> Vec<String> {
    let mut lines = Vec::new();
    if verified.simulated() {
        let warning = output.marked(Mark::Warning, "SIMULATED");
        lines.push(format!(
            "  {warning}   the hardware root is the policy's own: this proves nothing about hardware"
        ));
    }
    let hardware = verified.hardware();
    let id = hardware
        .hardware_id
        .as_ref()
        .map_or_else(|| "none (VLEK)".to_owned(), attestation::HardwareId::to_hex);
    lines.push(format!("  platform    {}", hardware.tee));
    if let Some(paravisor) = &hardware.paravisor {
        lines.push(format!("  paravisor   {}", paravisor.paravisor));
    }
    for trusted in hardware.trusted() {
        lines.push(format!("  trusts      {}: {}", trusted.party, trusted.role));
    }
    if hardware.firmware.is_some_and(|firmware| firmware.firmware_only) {
        let grade = output.marked(Mark::Warning, "FIRMWARE ONLY");
        lines.push(format!("  {grade} the kernel and what runs after it are not measured"));
    }
    lines.push(format!("  measurement {}", hardware.measurement.to_hex()));
    lines.push(format!("  processor   {id}"));
    lines.push(format!("  instance    {}", hex(&verified.claims().instance_id)));
    if let Some(head) = &verified.claims().state_head {
        let log = verified.claims().log.as_deref().unwrap_or("unnamed");
        let root = head.root.to_hex();
        lines.push(format!("  log         {}: {} entries, root {root}", printable(log), head.tree_size));
    }
    lines.push(format!("  valid until {}", verified.expires_at()));
    lines
}

fn gateway_json(verified: &Verified) -> Value {
    let claims = verified.claims();
    let hardware = verified.hardware();
    let trusted = hardware.trusted();
    let trusted: Vec<Value> =
        trusted.iter().map(|own| json!({ "party": own.party, "role": own.role })).collect();
    json!({
        "paravisor": hardware.paravisor.as_ref().map(|own| own.paravisor.as_str()),
        "firmware": hardware.firmware.map(|own| json!({
            "sha384": own.digest.to_hex(), "endorsed_at": own.issued_at.to_string(), "firmware_only": own.firmware_only,
        })),
        "trusted": trusted,
        "not_proven": hardware.not_proven(),
        "tee": verified.hardware().tee.as_str(),
        "measurement": verified.hardware().measurement.to_hex(),
        "hardware_id": verified.hardware().hardware_id.as_ref().map(attestation::HardwareId::to_hex),
        "deployment_id": hex(&claims.deployment_id),
        "instance_id": hex(&claims.instance_id),
        "keyset_digest": claims.keyset_digest.to_hex(),
        "config_digest": claims.config_digest.to_hex(),
        "log": claims.state_head.as_ref().map(|head| json!({
            "name": claims.log, "size": head.tree_size, "root": head.root.to_hex(),
        })),
        "expires_at": verified.expires_at().to_string(),
    })
}

fn hex(bytes: &[u8]) -> String {
    attestation::digest::to_hex(bytes)
}

const FORMAT: &str = "postern.verdict/1";
const LIMITS: &str = "physical attacks on the listed machine are not excluded";
