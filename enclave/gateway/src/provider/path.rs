//! Model names inside paths.

/// One path segment, percent-encoded but for the unreserved characters of RFC 3986: nothing in a name can end the segment
/// or climb out of it.
pub(super) fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len().saturating_mul(2));
    for byte in name.bytes() {
        push_encoded(byte, false, &mut out);
    }
    out
}

/// One byte of a path; `plain` if it stays as it is in any case.
pub(super) fn push_encoded(byte: u8, plain: bool, out: &mut String) {
    if plain || byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        out.push(char::from(byte));
        return;
    }
    out.push('%');
    for digit in [byte >> 4, byte & 15] {
        out.extend(char::from_digit(u32::from(digit), 16).map(|digit| digit.to_ascii_uppercase()));
    }
}
