//! PEM certificates, read in one spelling only (RFC 7468 "strict", 64 columns, `\n`), so that no byte of an
//! unsigned text can change without the certificate changing with it.

use crate::rejection::{Code, Rejection};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
const END: &[u8] = b"-----END CERTIFICATE-----\n";
const COLUMNS: usize = 64;

/// Longest certificate, in bytes of DER.
const MAX_CERTIFICATE_BYTES: usize = 4096;

/// The certificates of a PEM text, at most `most`.
///
/// Intel's tools end some of these texts with one zero byte, others leave out the last newline; nothing else
/// may stand between or after the certificates.
///
/// # Errors
/// `code`, naming `field`.
pub(crate) fn certificates(
    text: &[u8],
    most: usize,
    code: Code,
    field: &'static str,
) -> Result<Vec<Vec<u8>>, Rejection> {
    let wrong = |found: &str| Rejection::new(code, field, format!("1 to {most} PEM certificates"), found);
    let mut rest = text.strip_suffix(&[0]).unwrap_or(text);
    let mut found = Vec::new();
    while !rest.is_empty() {
        if found.len() >= most {
            return Err(wrong("more"));
        }
        let body = rest.strip_prefix(BEGIN).ok_or_else(|| wrong("other text"))?;
        let (certificate, after) = one(body).ok_or_else(|| wrong("another spelling"))?;
        found.push(certificate);
        rest = after;
    }
    if found.is_empty() { Err(wrong("none")) } else { Ok(found) }
}

fn one(body: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut der = Vec::new();
    let mut rest = body;
    loop {
        let end = rest.iter().take(COLUMNS.saturating_add(1)).position(|byte| *byte == b'\n')?;
        let (line, after) = (rest.get(..end)?, rest.get(end.checked_add(1)?..)?);
        let last = after.starts_with(b"-");
        if line.is_empty() || (!last && line.len() != COLUMNS) || der.len() > MAX_CERTIFICATE_BYTES {
            return None;
        }
        base64_line(line, last, &mut der)?;
        rest = after;
        if last {
            let unended = END.strip_suffix(b"\n")?;
            return match rest.strip_prefix(END) {
                Some(after) => Some((der, after)),
                // only the very last line may go without its newline
                None => (rest == unended).then_some((der, &[])),
            };
        }
    }
}

/// Decodes one line; padding only at the very end, and its unused bits zero.
fn base64_line(line: &[u8], last: bool, out: &mut Vec<u8>) -> Option<()> {
    let groups = line.chunks_exact(4);
    if !groups.remainder().is_empty() {
        return None;
    }
    let count = groups.len();
    for (index, group) in groups.enumerate() {
        let &[a, b, c, d] = group else { return None };
        let (first, second) = (sextet(a)?, sextet(b)?);
        out.push((first << 2) | (second >> 4));
        let may_pad = last && index.checked_add(1)? == count;
        match (c, d) {
            (b'=', b'=') if may_pad && second.trailing_zeros() >= 4 => {}
            (third, b'=') if may_pad => {
                let third = sextet(third)?;
                if third & 0x03 != 0 {
                    return None;
                }
                out.push((second << 4) | (third >> 2));
            }
            (third, fourth) => {
                let (third, fourth) = (sextet(third)?, sextet(fourth)?);
                out.push((second << 4) | (third >> 2));
                out.push((third << 6) | fourth);
            }
        }
    }
    Some(())
}

const fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit.wrapping_sub(b'A')),
        b'a'..=b'z' => Some(digit.wrapping_sub(b'a').wrapping_add(26)),
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0').wrapping_add(52)),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<Vec<u8>>> {
        certificates(text.as_bytes(), 2, Code::TdxChain, "cpu.quote.chain").ok()
    }

    fn wrap(body: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn reads_the_one_spelling() {
        assert_eq!(read(&wrap("MAMCAQU=")), Some(vec![vec![0x30, 3, 2, 1, 5]]));
        assert_eq!(read(&wrap("MA==")), Some(vec![vec![0x30]]));
        assert_eq!(read(&format!("{}\0", wrap("MAMC"))), Some(vec![vec![0x30, 3, 2]]));
        assert_eq!(read(wrap("MAMC").trim_end()), Some(vec![vec![0x30, 3, 2]]));
        let long = format!("{}\nMAMC", "A".repeat(64));
        assert_eq!(read(&wrap(&long)).map(|list| list[0].len()), Some(51));
        let two = [wrap("MAMC"), wrap("MAMC")].concat();
        assert_eq!(read(&two).map(|list| list.len()), Some(2));
    }

    #[test]
    fn refuses_every_other_spelling() {
        for (text, why) in [
            (String::new(), "empty"),
            ("\0".to_owned(), "only the zero"),
            (wrap(""), "empty body"),
            (wrap("MAMCAQV="), "unused bits set"),
            (wrap("MB=="), "unused bits set"),
            (wrap("MAMCAQU"), "no padding"),
            (wrap("MA==MAMC"), "padding inside"),
            (wrap("M AMCAQU="), "space"),
            (wrap("MAMCAQU=\r"), "carriage return"),
            (wrap("MAMC\nMAMC"), "short line"),
            (wrap(&"A".repeat(68)), "long line"),
            (format!(" {}", wrap("MAMC")), "text before"),
            (format!("{} ", wrap("MAMC")), "text after"),
            (format!("{}\0\0", wrap("MAMC")), "two zeros"),
            (format!("{}{}", wrap("MAMC").trim_end(), wrap("MAMC")), "no newline between"),
            ([wrap("MAMC"), wrap("MAMC"), wrap("MAMC")].concat(), "three of two"),
        ] {
            assert_eq!(read(&text), None, "{why}");
        }
    }
}
