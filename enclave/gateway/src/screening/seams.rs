//! What stands over two texts: an entity that begins at the end of one part or turn and ends in the next of the same
//! speaker, as nobody writes it who does not hide it.

use std::collections::BTreeMap;

use super::{Guard, Phase, Said, spans};
use crate::content::mask::floor;
use crate::content::{Change, Kind, Role, View};
use crate::error::Error;

/// How much of each side is looked at.
const SIDE: usize = 256;

/// Looks at all seams of a request.
pub(super) fn request(
    guard: &mut Guard,
    view: &View,
    said: &mut Said,
    changes: &mut BTreeMap<usize, Vec<Change>>,
) -> Result<(), Error> {
    if !guard.checks.iter().any(|own| own.spans().is_some()) {
        return Ok(());
    }
    let mut last: BTreeMap<(Role, Kind), usize> = BTreeMap::new();
    for (number, segment) in view.segments.iter().enumerate() {
        let spoken = matches!(segment.kind, Kind::Text | Kind::ToolResult) && !segment.is_name();
        if !spoken || segment.text.is_empty() {
            continue;
        }
        let before = last.insert((segment.role, segment.kind), number);
        let Some((place, before)) = before.and_then(|place| Some((place, view.segments.get(place)?))) else {
            continue;
        };
        let start = floor(&before.text, before.text.len().saturating_sub(SIDE));
        let tail = before.text.get(start..).unwrap_or_default();
        let head = segment.text.get(..floor(&segment.text, SIDE)).unwrap_or_default();
        let joined = format!("{tail}{head}");
        let seam = tail.len();
        let mut found = guard.found(Phase::Request, segment.kind, &joined, 0, 0);
        found.retain(|hit| hit.at.start < seam && hit.at.end > seam);
        for change in guard.decide(Phase::Request, &joined, found, true, said)? {
            let first =
                Change { at: start.saturating_add(change.at.start)..before.text.len(), with: change.with };
            let second = Change { at: 0..change.at.end.saturating_sub(seam), with: String::new() };
            spans::merge(changes.entry(place).or_default(), vec![first]);
            spans::merge(changes.entry(number).or_default(), vec![second]);
        }
    }
    Ok(())
}
