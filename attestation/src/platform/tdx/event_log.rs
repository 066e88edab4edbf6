//! Logs of what was extended into a TD's run-time registers: the confidential computing event log that firmware
//! leaves (UEFI 2.10 section 38.4, TCG crypto-agile format), and the JSON array that dstack guests add to.
//! A log is hostile text; it means something only where replaying it gives the registers of a signed quote.

use crate::claims::tdx::LogEvent;
use crate::digest::{Measurement, Sha384, from_hex};
use crate::reader::{Cursor, Truncated};
use serde_json::Value;

/// Most events of one log.
const MAX_EVENTS: usize = 1024;
/// Longest payload of one event, in bytes.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024;
/// Longest name of one event, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// TCG: an event that is not extended.
const EV_NO_ACTION: u32 = 3;
/// TCG: algorithm SHA-384.
const ALG_SHA384: u16 = 0x000c;
/// What a log begins with, and how it names the crypto-agile format.
const SPEC_ID: &[u8] = b"Spec ID Event03\0";

/// Reads a log in either format.
pub(crate) fn parse(log: &[u8]) -> Result<Vec<LogEvent>, &'static str> {
    if log.first() == Some(&b'[') {
        parse_json(log)
    } else {
        parse_firmware(log).map_err(|_| "a firmware event log")
    }
}

/// What the four registers hold after these events; none where nothing was extended.
pub(crate) fn replay(events: &[LogEvent]) -> [Option<Measurement>; 4] {
    let mut registers = [None; 4];
    for event in events {
        if let Some(register) = registers.get_mut(usize::from(event.register)) {
            let before = register.map_or([0; 48], |value: Measurement| *value.as_bytes());
            let after = Sha384::of(&[before, event.digest].concat());
            *register = Some(Measurement::new(*after.as_bytes()));
        }
    }
    registers
}

fn parse_json(log: &[u8]) -> Result<Vec<LogEvent>, &'static str> {
    let wrong = "a JSON event log";
    let root: Value = serde_json::from_slice(log).map_err(|_| wrong)?;
    let list = root.as_array().filter(|list| list.len() <= MAX_EVENTS).ok_or(wrong)?;
    list.iter().map(json_event).collect::<Option<_>>().ok_or(wrong)
}

fn json_event(value: &Value) -> Option<LogEvent> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let register = number("imr").and_then(|imr| u8::try_from(imr).ok()).filter(|imr| *imr < 4)?;
    let kind = u32::try_from(number("event_type")?).ok()?;
    let name = text("event").filter(|name| name.len() <= MAX_NAME_BYTES)?.to_owned();
    let payload = from_hex(text("event_payload")?, MAX_PAYLOAD_BYTES).ok()?;
    let digest = from_hex(text("digest")?, 48).ok()?.try_into().ok()?;
    let measured = [&kind.to_le_bytes(), b":".as_slice(), name.as_bytes(), b":", &payload].concat();
    let recomputed = Sha384::of(&measured).as_bytes() == &digest;
    Some(LogEvent { register, kind, name, payload, digest, recomputed })
}

fn parse_firmware(log: &[u8]) -> Result<Vec<LogEvent>, Truncated> {
    let mut cursor = Cursor::new(log);
    let wrong =
        |cursor: &Cursor<'_>| Truncated { offset: cursor.position(), wanted: 0, left: cursor.rest().len() };
    // the first event has the old format and names the new one
    let (_, first, _) = (cursor.u32_le()?, cursor.u32_le()?, cursor.take(20)?);
    let length = cursor.u32_le()?;
    let specification = take(&mut cursor, length)?;
    if first != EV_NO_ACTION || !specification.starts_with(SPEC_ID) {
        return Err(wrong(&cursor));
    }
    let mut events = Vec::new();
    while !cursor.rest().iter().all(|byte| *byte == 0xff) && !cursor.rest().iter().all(|byte| *byte == 0) {
        let (index, kind, digests) = (cursor.u32_le()?, cursor.u32_le()?, cursor.u32_le()?);
        let algorithm = u16::from_le_bytes(cursor.array()?);
        let digest = cursor.array()?;
        let length = cursor.u32_le()?;
        let payload = take(&mut cursor, length)?;
        // measurement registers are counted from 1, which is RTMR0
        let register =
            index.checked_sub(1).and_then(|index| u8::try_from(index).ok()).filter(|index| *index < 4);
        if digests != 1 || algorithm != ALG_SHA384 || events.len() >= MAX_EVENTS {
            return Err(wrong(&cursor));
        }
        if kind != EV_NO_ACTION {
            let register = register.ok_or_else(|| wrong(&cursor))?;
            let recomputed = Sha384::of(payload).as_bytes() == &digest;
            let (name, payload) = (String::new(), payload.to_vec());
            events.push(LogEvent { register, kind, name, payload, digest, recomputed });
        }
    }
    Ok(events)
}

fn take<'a>(cursor: &mut Cursor<'a>, length: u32) -> Result<&'a [u8], Truncated> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_PAYLOAD_BYTES {
        return Err(Truncated { offset: cursor.position(), wanted: length, left: cursor.rest().len() });
    }
    cursor.take(length)
}
