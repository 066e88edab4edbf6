//! Addresses of networks: e-mail and IP.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::At;

/// Longest part before the at sign (RFC 5321).
const MAX_LOCAL: usize = 64;
/// Longest name of a host (RFC 1035).
const MAX_DOMAIN: usize = 253;

/// E-mail addresses in the form that people write: no quotes, no comments, none of the signs that separate fields, a host
/// with a dot; letters of other alphabets (RFC 6531) where words have spaces between them.
pub(super) fn email(at: &At<'_>) -> Option<usize> {
    let rest = at.rest();
    if !rest.first().is_some_and(|first| first.is_ascii_alphanumeric() || *first >= 0x80) {
        return None;
    }
    // Bytes of letters from U+00C0 to U+067F; signs before and after those begin with others.
    let foreign = |byte: &u8| (0x80..=0xd9).contains(byte) && *byte != 0xc2;
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b".!#$%'*+^_~-".contains(byte) || foreign(byte);
    let local = rest.iter().take(MAX_LOCAL.saturating_add(1)).take_while(|byte| part(byte)).count();
    if local > MAX_LOCAL || rest.get(local) != Some(&b'@') || rest.get(local.saturating_sub(1)) == Some(&b'.')
    {
        return None;
    }
    let host = rest.get(local.saturating_add(1)..)?;
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') || foreign(byte);
    let mut length = host.iter().take(MAX_DOMAIN).take_while(|byte| name(byte)).count();
    // A sentence may end after it.
    while host.get(..length)?.last().is_some_and(|last| matches!(last, b'.' | b'-')) {
        length = length.saturating_sub(1);
    }
    let labels = host.get(..length)?.split(|byte| *byte == b'.');
    let whole = labels.clone().count() >= 2 && labels.clone().all(|label| !label.is_empty());
    let mut labels = labels;
    let last = labels.next_back()?;
    let top = last.len() >= 2 && (last.iter().all(u8::is_ascii_alphabetic) || last.starts_with(b"xn--"));
    (whole && top).then_some(local.saturating_add(1).saturating_add(length))
}

/// IPv4 in four numbers, IPv6 in any of its forms (RFC 4291); not those that mean this host or nobody.
pub(super) fn ip_address(at: &At<'_>) -> Option<usize> {
    let rest = at.rest();
    let part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let mut length = rest.iter().take(46).take_while(|byte| part(byte)).count();
    while rest.get(..length)?.last().is_some_and(|last| *last == b'.')
        || rest.get(..length)?.ends_with(b":") && !rest.get(..length)?.ends_with(b"::")
    {
        length = length.saturating_sub(1);
    }
    let mut written = std::str::from_utf8(rest.get(..length)?).ok()?;
    if !written.contains("::") && written.matches(':').count() == 1 {
        // A port follows.
        written = written.split(':').next()?;
    }
    let colons = written.matches(':').count();
    let dots = written.matches('.').count();
    let told = match (colons, dots) {
        (0, 3) => written.parse::<Ipv4Addr>().is_ok_and(|own| !own.is_loopback() && !own.is_unspecified()),
        (2.., _) => written.parse::<Ipv6Addr>().is_ok_and(|own| !own.is_loopback() && !own.is_unspecified()),
        _ => false,
    };
    // Paths of programs have colons too: `a::b`.
    let hex = written.bytes().filter(u8::is_ascii_hexdigit).count();
    let plain = hex >= 8 || hex >= 3 && written.bytes().any(|byte| byte.is_ascii_digit());
    let part_of_more = matches!(at.byte_before(), Some(b'.' | b':')) || colons > 0 && !plain;
    (told && !part_of_more && at.ends_after(written.len())).then_some(written.len())
}
