//! From what the gateway settled to the lines of the log.

use audit::entry::{Call, Entry, Event, FORMAT, Policy, Tokens};
use gateway::Clock;
use gateway::audit::{AuditRecord, Hex, Outcome};
use gateway::screening::report::Status;
use ring::hmac;
use state::RootKey;

use crate::clock::ProcessClock;

/// Makes lines.
pub(super) struct Lines {
    salts: hmac::Key,
    instance: String,
    count: u64,
}

impl Lines {
    pub(super) fn new(root: &RootKey, instance: [u8; 16]) -> Self {
        let salts = hmac::Key::new(hmac::HMAC_SHA256, &root.derive(b"audit salts")[..]);
        Self { salts, instance: Hex(&instance).to_string(), count: 0 }
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// The line of an entry of now. Its salt depends on the key, the process and a count, so no two are the same.
    pub(super) fn line(&mut self, event: Event) -> Vec<u8> {
        self.count = self.count.saturating_add(1);
        let mut context = hmac::Context::with_key(&self.salts);
        context.update(self.instance.as_bytes());
        context.update(&self.count.to_be_bytes());
        let salt = context.sign();
        let salt = Hex(salt.as_ref().get(..16).unwrap_or_default()).to_string();
        let unix_ms = ProcessClock::shared().now().unix_ms;
        Entry { format: FORMAT, unix_ms, salt, event }.to_line()
    }

    /// The line of a settled exchange.
    pub(super) fn call(&mut self, record: &AuditRecord, config: &str) -> Vec<u8> {
        self.line(Event::Call(Box::new(call(record, config))))
    }
}

fn call(record: &AuditRecord, config: &str) -> Call {
    let owned = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
    Call {
        request_id: record.request_id.as_str().to_owned(),
        started_unix_ms: record.started_unix_ms,
        key: record.key.to_string(),
        key_version: record.key_version,
        principal: owned(&record.principal),
        team: owned(&record.team),
        organisation: owned(&record.organisation),
        operation: record.operation.as_str().to_owned(),
        wire: record.wire.to_owned(),
        model: owned(&record.model),
        deployment: owned(&record.deployment),
        provider: record.provider.map(str::to_owned),
        region: owned(&record.region),
        exposure: record.exposure.map(str::to_owned),
        stream: record.stream,
        attempts: record.attempts,
        cache_hit: record.cache_hit,
        cache: record.cache.map(|state| state.as_str().to_owned()),
        saved_nano_usd: record.saved_nano_usd.map(|saved| saved.0),
        outcome: match record.outcome {
            Outcome::Broken => "broken",
            Outcome::Cancelled => "cancelled",
            Outcome::Complete => "complete",
            Outcome::Refused => "refused",
        }
        .to_owned(),
        error: record.error.map(str::to_owned),
        finish_reason: record.finish_reason.map(|reason| reason.to_openai().to_owned()),
        policies: policies(record),
        prompt_hmac: record.prompt_hmac.map(|hash| Hex(&hash).to_string()),
        response_hmac: record.response_hmac.map(|hash| Hex(&hash).to_string()),
        tokens: record.usage.map(|usage| Tokens {
            input: usage.input_tokens,
            output: usage.output_tokens,
            cached_input: usage.cached_input_tokens,
            reasoning: usage.reasoning_tokens,
        }),
        cost_nano_usd: record.cost_nano_usd.map(|cost| cost.0),
        charged_nano_usd: record.charged_nano_usd,
        hedges_lost: record.hedges_lost,
        request_bytes: record.request_bytes,
        answer_bytes: record.answer_bytes,
        first_content_us: record.first_content_us,
        duration_us: record.duration_us,
        config: config.to_owned(),
    }
}

/// Every guardrail that was asked and what it said. Their rules are part of the configuration, which the call names.
fn policies(record: &AuditRecord) -> Vec<Policy> {
    let of = |id: &str, action: &str| Policy { id: id.to_owned(), version: None, action: action.to_owned() };
    let mut all: Vec<Policy> =
        record.guardrails.iter().map(|(name, status)| of(name, status.as_str())).collect();
    if let Some(refused_by) = record.guardrail.as_deref()
        && !all.iter().any(|own| own.id == refused_by)
    {
        all.push(of(refused_by, Status::Blocked.as_str()));
    }
    all
}
