//! A client's own bytes for an upstream of the same dialect: what differs is cut in, everything else is sent as it came.

use bytes::Bytes;

use crate::deployment::Deployment;
use crate::scan::Fields;
use crate::upstream::BodyParts;

/// One replacement: the original's bytes in `at` give way to `with`.
pub(super) struct Edit {
    pub(super) at: std::ops::Range<usize>,
    pub(super) with: Bytes,
}

/// The body with these edits, which do not overlap. Without any it is the original as one piece.
pub(super) fn spliced<const N: usize>(body: &Bytes, mut edits: [Option<Edit>; N]) -> BodyParts {
    edits.sort_by_key(|edit| edit.as_ref().map_or(0, |edit| edit.at.start));
    let mut parts = BodyParts::default();
    let mut done = 0;
    for edit in edits.into_iter().flatten() {
        parts.push(body.slice(done..edit.at.start));
        parts.push(edit.with);
        done = edit.at.end;
    }
    parts.push(body.slice(done..));
    parts
}

/// The model as the deployment's provider calls it, if the body says otherwise or nothing.
pub(super) fn rename(document: &[u8], fields: &Fields, at: &Deployment) -> Option<Edit> {
    let Some(field) = fields.find(document, "model") else {
        // The path named it.
        let open = memchr::memchr(b'{', document)?.saturating_add(1);
        let comma = if fields.iter().next().is_some() { "," } else { "" };
        let with = [br#""model":"#.as_slice(), &at.model_json, comma.as_bytes()].concat();
        return Some(Edit { at: open..open, with: with.into() });
    };
    let differs = field.raw_string(document) != Some(at.model.as_bytes());
    differs.then(|| Edit { at: field.value.clone(), with: at.model_json.clone() })
}
