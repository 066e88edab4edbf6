//! Which entries an auditor wants to see: who, what, when, which model, how it ended.

use crate::entry::{Entry, Event};

/// All conditions that are there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Key id, credential, principal, actor or team.
    pub who: Option<String>,
    /// `call`, `admin`, `lost`, `opened` or `stopped`; or an operation or action, or the beginning of one that ends in `*`.
    pub what: Option<String>,
    /// Not before, milliseconds since 1970.
    pub since: Option<u64>,
    /// Before, milliseconds since 1970.
    pub until: Option<u64>,
    /// Model name, or the deployment that served it.
    pub model: Option<String>,
    /// Outcome, result or error code.
    pub status: Option<String>,
}

impl Filter {
    /// Whether an entry meets all conditions.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.unix_ms >= since)
            && self.until.is_none_or(|until| entry.unix_ms < until)
            && self.who.as_deref().is_none_or(|who| is_by(&entry.event, who))
            && self.what.as_deref().is_none_or(|what| is_a(&entry.event, what))
            && self.model.as_deref().is_none_or(|model| concerns(&entry.event, model))
            && self.status.as_deref().is_none_or(|status| ended(&entry.event, status))
    }
}

fn is_by(event: &Event, who: &str) -> bool {
    let is = |own: &Option<String>| own.as_deref() == Some(who);
    match event {
        Event::Call(call) => {
            call.key == who || is(&call.principal) || is(&call.team) || is(&call.organisation)
        }
        Event::Admin(admin) => admin.actor == who || admin.credential == who || is(&admin.object_id),
        Event::Opened { instance, .. } => instance == who,
        Event::Lost { .. } | Event::Stopped { .. } => false,
    }
}

fn is_a(event: &Event, what: &str) -> bool {
    let (kind, own) = match event {
        Event::Call(call) => ("call", call.operation.as_str()),
        Event::Admin(admin) => ("admin", admin.action.as_str()),
        Event::Lost { .. } => ("lost", ""),
        Event::Opened { .. } => ("opened", ""),
        Event::Stopped { .. } => ("stopped", ""),
    };
    kind == what || own == what || what.strip_suffix('*').is_some_and(|start| own.starts_with(start))
}

fn concerns(event: &Event, model: &str) -> bool {
    let Event::Call(call) = event else { return false };
    [&call.model, &call.deployment].into_iter().any(|own| own.as_deref() == Some(model))
}

fn ended(event: &Event, status: &str) -> bool {
    match event {
        Event::Call(call) => call.outcome == status || call.error.as_deref() == Some(status),
        Event::Admin(admin) => admin.result == status,
        Event::Lost { .. } | Event::Opened { .. } | Event::Stopped { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Admin, Call, FORMAT};

    fn at(unix_ms: u64, event: Event) -> Entry {
        Entry { format: FORMAT, unix_ms, salt: String::new(), event }
    }

    #[test]
    fn all_conditions_must_hold() {
        let call = at(
            10,
            Event::Call(Box::new(Call {
                key: "k1".into(),
                team: Some("red".into()),
                operation: "chat".into(),
                model: Some("smart".into()),
                outcome: "refused".into(),
                error: Some("budget_exceeded".into()),
                ..Call::default()
            })),
        );
        let admin = at(
            20,
            Event::Admin(Box::new(Admin {
                actor: "ann".into(),
                action: "virtual_key.revoke".into(),
                result: "done".into(),
                ..Admin::default()
            })),
        );
        let text = |text: &str| Some(text.to_owned());
        let cases = [
            (Filter::default(), true, true),
            (Filter { who: text("k1"), ..Filter::default() }, true, false),
            (Filter { who: text("red"), ..Filter::default() }, true, false),
            (Filter { who: text("ann"), ..Filter::default() }, false, true),
            (Filter { what: text("call"), ..Filter::default() }, true, false),
            (Filter { what: text("virtual_key.*"), ..Filter::default() }, false, true),
            (Filter { since: Some(11), ..Filter::default() }, false, true),
            (Filter { until: Some(20), ..Filter::default() }, true, false),
            (Filter { model: text("smart"), ..Filter::default() }, true, false),
            (Filter { status: text("budget_exceeded"), ..Filter::default() }, true, false),
            (Filter { status: text("done"), ..Filter::default() }, false, true),
            (Filter { who: text("k1"), status: text("complete"), ..Filter::default() }, false, false),
        ];
        for (filter, of_call, of_admin) in cases {
            assert_eq!((filter.matches(&call), filter.matches(&admin)), (of_call, of_admin), "{filter:?}");
        }
    }
}
