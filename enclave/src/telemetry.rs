//! The only way out for logs: typed fields from an allow-list, one JSON object a line on standard error.
//!
//! No variant has room for text from outside, so nothing a client or an upstream sends can be logged.

use std::io::Write;

use gateway::Clock;

use crate::clock::ProcessClock;

/// Everything this program ever logs.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// Serving since now.
    Serving {
        /// Worker threads.
        workers: usize,
    },
    /// No new connections from now on; those with a request in flight finish.
    Draining,
    /// All connections ended, or the drain limit passed.
    Stopped {
        /// Connections cut at the limit.
        cut: usize,
    },
    /// A connection was closed before its first request.
    Refused {
        /// Why, as a stable code.
        reason: &'static str,
    },
    /// Evidence could not be produced.
    EvidenceFailed {
        /// Why, as a stable code.
        reason: &'static str,
    },
    /// Another configuration is in force.
    Reloaded {
        /// Clients can tell the difference, so that their connections end and they verify anew.
        visible: bool,
    },
    /// The file was read again and cannot be used; the configuration in force stays.
    ReloadFailed {
        /// Why, as a stable code.
        reason: &'static str,
    },
    /// An operator has given secrets.
    Provisioned {
        /// How many.
        secrets: usize,
        /// Clients can tell the difference.
        visible: bool,
    },
    /// What an operator has given before this start was opened again, and is in force.
    ProvisionedFromState {
        /// How many secrets.
        secrets: usize,
    },
    /// What an operator has given before this start is not used; he has to give it again.
    KeptRefused {
        /// Why, as a stable code.
        reason: &'static str,
    },
    /// Something was posted as provisioning and not taken.
    ProvisioningRefused {
        /// Why, as a stable code.
        reason: &'static str,
    },
    /// Serving evidence only: an operator has yet to give secrets, or the root key of state.
    AwaitsProvisioning {
        /// How many secrets.
        secrets: usize,
        /// Whether also the root key.
        root_key: bool,
    },
    /// The audit log cannot be written; records wait.
    AuditStalled {
        /// How many.
        waiting: usize,
    },
    /// Notices of budgets were given up, because a receiver did not take them.
    NoticesLost {
        /// How many.
        notices: u64,
    },
    /// A new session-binding key and keyset are in force.
    Rekeyed {
        /// Epoch number since boot.
        epoch: u64,
    },
}

/// Writes one line. A full or closed standard error loses the line rather than the service.
pub fn emit(event: Event) {
    let time = ProcessClock::shared().now().unix_ms;
    let fields = match event {
        Event::Serving { workers } => format!(r#""event":"serving","workers":{workers}"#),
        Event::Draining => r#""event":"draining""#.to_owned(),
        Event::Stopped { cut } => format!(r#""event":"stopped","cut":{cut}"#),
        Event::Refused { reason } => format!(r#""event":"refused","reason":"{reason}""#),
        Event::EvidenceFailed { reason } => format!(r#""event":"evidence_failed","reason":"{reason}""#),
        Event::Reloaded { visible } => format!(r#""event":"reloaded","visible":{visible}"#),
        Event::ReloadFailed { reason } => format!(r#""event":"reload_failed","reason":"{reason}""#),
        Event::Provisioned { secrets, visible } => {
            format!(r#""event":"provisioned","secrets":{secrets},"visible":{visible}"#)
        }
        Event::ProvisionedFromState { secrets } => {
            format!(r#""event":"provisioned_from_state","secrets":{secrets}"#)
        }
        Event::KeptRefused { reason } => format!(r#""event":"kept_refused","reason":"{reason}""#),
        Event::ProvisioningRefused { reason } => {
            format!(r#""event":"provisioning_refused","reason":"{reason}""#)
        }
        Event::AwaitsProvisioning { secrets, root_key } => {
            format!(r#""event":"awaits_provisioning","secrets":{secrets},"root_key":{root_key}"#)
        }
        Event::AuditStalled { waiting } => format!(r#""event":"audit_stalled","waiting":{waiting}"#),
        Event::NoticesLost { notices } => format!(r#""event":"notices_lost","notices":{notices}"#),
        Event::Rekeyed { epoch } => format!(r#""event":"rekeyed","epoch":{epoch}"#),
    };
    write_line(&format!("{{\"time_ms\":{time},{fields}}}\n"));
}

/// From now on a panic is reported by its place in the source alone: its message may quote what a client
/// sent. One connection's task ends; the others do not notice.
pub fn report_panics_without_their_message() {
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) = panic.location().map_or(("", 0), |place| (place.file(), place.line()));
        write_line(&format!("{{\"event\":\"panicked\",\"file\":\"{file}\",\"line\":{line}}}\n"));
    }));
}

fn write_line(line: &str) {
    drop(std::io::stderr().lock().write_all(line.as_bytes()));
}
