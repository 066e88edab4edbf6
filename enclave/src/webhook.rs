//! Tells receivers that the configuration names when a budget crosses one of its thresholds: which budget and how much,
//! never who asked what.
//!
//! Signed as Standard Webhooks 1.0.0 says: `webhook-id`, `webhook-timestamp`, and `webhook-signature` with HMAC-SHA-256 of
//! id, time and body. The time is that of the try, so that a receiver can refuse old ones. Bodies have one of few
//! lengths. Answers are not read but for their status; a redirect is a failure.

mod outbox;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use attestation::digest::to_hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway::governance::registry::Crossing;
use gateway::{Clock, Now};
use ring::{digest, hmac};

use self::outbox::{Notice, Outbox};
use crate::active::{Active, Receiver};
use crate::clock::ProcessClock;
use crate::padding::padded_length;
use crate::service::{Ask, ask};
use crate::telemetry::{Event, emit};
use crate::upstream::Upstreams;

/// How often thresholds are looked for, and how often a notice that waits is looked at.
const STEP: Duration = Duration::from_millis(200);

/// Delivers what is crossed to the receivers in force. Never ends.
pub async fn deliver(
    take: impl Fn() -> Vec<Crossing>,
    active: impl Fn() -> Arc<Active>,
    upstreams: Rc<Upstreams>,
) {
    let mut outboxes: BTreeMap<String, Rc<RefCell<Outbox>>> = BTreeMap::new();
    loop {
        tokio::time::sleep(STEP).await;
        let (now, active) = (ProcessClock::shared().now(), active());
        let notices: Vec<Notice> = take().iter().map(notice).collect();
        // While secrets are missing nobody is served and nothing is crossed.
        outboxes.retain(|name, _| active.webhooks.iter().any(|own| own.url.to_string() == *name));
        for receiver in &active.webhooks {
            let name = receiver.url.to_string();
            let outbox = Rc::clone(outboxes.entry(name).or_default());
            for notice in &notices {
                outbox.borrow_mut().push(notice.clone(), now);
            }
            let lost = outbox.borrow_mut().take_lost();
            if lost > 0 {
                emit(Event::NoticesLost { notices: lost });
            }
            // One at a time for each receiver: whoever holds the outbox is sending.
            if Rc::strong_count(&outbox) > 2 {
                continue;
            }
            let next = outbox.borrow().due(now);
            if let Some(notice) = next {
                let (receiver, upstreams) = (receiver.clone(), Rc::clone(&upstreams));
                tokio::task::spawn_local(async move {
                    if send(&receiver, &notice, &upstreams).await {
                        outbox.borrow_mut().delivered(&notice.id);
                    } else {
                        outbox.borrow_mut().failed(&notice.id, ProcessClock::shared().now());
                    }
                });
            }
        }
    }
}

/// Whether the receiver took it.
async fn send(receiver: &Receiver, notice: &Notice, upstreams: &Upstreams) -> bool {
    let asked = Ask {
        url: &receiver.url,
        method: "POST",
        headers: signed(notice, receiver.secret.expose(), ProcessClock::shared().now()),
        body: notice.body.clone(),
    };
    matches!(ask(upstreams, asked).await, Ok((200..=299, _)))
}

fn signed(notice: &Notice, secret: &[u8], now: Now) -> Vec<(&'static str, String)> {
    let time = now.unix_seconds().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    for part in [notice.id.as_bytes(), b".", time.as_bytes(), b".", &notice.body] {
        context.update(part);
    }
    vec![
        ("content-type", "application/json".to_owned()),
        ("user-agent", "postern".to_owned()),
        ("webhook-id", notice.id.clone()),
        ("webhook-timestamp", time),
        ("webhook-signature", format!("v1,{}", STANDARD.encode(context.sign()))),
    ]
}

fn notice(crossing: &Crossing) -> Notice {
    let kind = if crossing.percent >= 100 { "budget.exhausted" } else { "budget.threshold_crossed" };
    let document = serde_json::json!({ "type": kind, "data": crossing });
    let mut body = document.to_string().into_bytes();
    body.resize(padded_length(body.len()), b' ');
    // Replicas, and a process after the one before it, say the same about the same window.
    let scope = crossing.scope.as_str();
    let what =
        format!("{scope}\0{}\0{}\0{}\0{}", crossing.id, crossing.budget, crossing.window, crossing.percent);
    let hash = digest::digest(&digest::SHA256, what.as_bytes());
    Notice { id: format!("budget_{}", to_hex(hash.as_ref().get(..16).unwrap_or_default())), body }
}

#[cfg(test)]
mod tests {
    use gateway::governance::ScopeKind;
    use gateway::governance::budget::Unit;

    use super::*;

    fn crossing() -> Crossing {
        Crossing {
            scope: ScopeKind::Team,
            id: "search".into(),
            budget: "month".to_owned(),
            unit: Unit::NanoUsd,
            window: 7,
            percent: 80,
            spent: 81,
            limit: 100,
            at_unix_ms: 5,
        }
    }

    /// The example of the specification, section "Signature scheme", recomputed with its own libraries.
    #[test]
    fn st_20_signatures_cover_id_time_and_body() {
        let notice = Notice {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            body: br#"{"test": 2432232314}"#.to_vec(),
        };
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let now = Now { unix_ms: 1_614_265_330_000, monotonic: Duration::ZERO };
        let headers = signed(&notice, &secret, now);
        let signature = headers.iter().find(|(name, _)| *name == "webhook-signature").unwrap();
        assert_eq!(signature.1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_same_crossing_has_one_id_and_bodies_do_not_tell_by_their_length() {
        let one = notice(&crossing());
        let later = notice(&Crossing { spent: 90, at_unix_ms: 9, ..crossing() });
        let other = notice(&Crossing { window: 8, ..crossing() });
        assert_eq!((&one.id, one.body.len()), (&later.id, later.body.len()));
        assert_ne!(one.id, other.id);
        assert_eq!(one.body.len(), padded_length(one.body.len()));
        let document: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
        assert_eq!(document["type"], "budget.threshold_crossed");
        assert_eq!(document["data"]["unit"], "nano_usd");
        assert_eq!(document["data"]["id"], "search");
    }
}
