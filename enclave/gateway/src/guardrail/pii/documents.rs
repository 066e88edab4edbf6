//! Account numbers and documents that begin with letters.

use super::At;

/// Lengths of IBANs by country (ISO 13616 registry).
const IBANS: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MR27MT31MU30NL18NO15PK24PL28PS29PT25QA29RO24RS22SA24SC31SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22VG24XK20";

/// International bank account numbers: the country's length, and 1 as the rest of the division by 97 (ISO 7064).
pub(super) fn iban(at: &At<'_>) -> Option<usize> {
    let rest = at.rest();
    let country = rest.get(..2)?;
    let check = rest.get(2..4)?;
    let small = country.iter().all(u8::is_ascii_lowercase);
    if !small && !country.iter().all(u8::is_ascii_uppercase) || !check.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (rows, _) = IBANS.as_bytes().as_chunks::<4>();
    let [.., tens, units] =
        rows.iter().find(|row| row.get(..2).is_some_and(|own| own.eq_ignore_ascii_case(country)))?;
    let digit = |byte: &u8| usize::from(byte.wrapping_sub(b'0'));
    let wanted = digit(tens).saturating_mul(10).saturating_add(digit(units));
    let mut letters = Vec::with_capacity(34);
    let mut length: usize = 0;
    while letters.len() < wanted {
        let byte = *rest.get(length)?;
        length = length.saturating_add(1);
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' => letters.push(byte),
            // In small letters only as one word: groups of them are words.
            b'a'..=b'z' if small => letters.push(byte.to_ascii_uppercase()),
            b' ' | b'-' if !small && rest.get(length).is_some_and(u8::is_ascii_alphanumeric) => {}
            _ => return None,
        }
    }
    letters.rotate_left(4);
    let rest = letters.iter().fold(0_u32, |sum, byte| match byte {
        b'0'..=b'9' => sum.wrapping_mul(10).wrapping_add(u32::from(byte.wrapping_sub(b'0'))) % 97,
        _ => sum.wrapping_mul(100).wrapping_add(u32::from(byte.wrapping_sub(b'A')).wrapping_add(10)) % 97,
    });
    (rest == 1 && at.ends_after(length)).then_some(length)
}

/// British national insurance numbers: two letters that are given, six digits, one of A to D (HMRC manual NIM39110). In
/// small letters as one word after a telling one.
pub(super) fn nino(at: &At<'_>) -> Option<usize> {
    let small = at.rest().first()?.is_ascii_lowercase();
    if small {
        let word = at.rest().get(..9)?.to_ascii_uppercase();
        return nino_of(&word)
            .filter(|_| at.ends_after(9) && at.after(&["nino", "national insurance", "ni number"]));
    }
    nino_of(at.rest()).filter(|length| at.ends_after(*length))
}

fn nino_of(rest: &[u8]) -> Option<usize> {
    let [one, two, ..] = *rest else { return None };
    let never = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&[one, two]);
    let given = |letter: u8| letter.is_ascii_uppercase() && !b"DFIQUV".contains(&letter);
    if never || !given(one) || !given(two) || two == b'O' {
        return None;
    }
    let mut digits: u32 = 0;
    let mut length: usize = 2;
    loop {
        let byte = *rest.get(length)?;
        length = length.saturating_add(1);
        match byte {
            b'0'..=b'9' if digits < 6 => digits = digits.saturating_add(1),
            b' ' if digits.is_multiple_of(2) => {}
            b'A'..=b'D' if digits == 6 => return Some(length),
            _ => return None,
        }
        if length > 16 {
            return None;
        }
    }
}

/// Passport numbers after the word: up to two letters and six to nine digits, or seven to ten capitals and digits with at
/// least two digits (ICAO 9303: nine characters; some countries print more).
pub(super) fn passport(at: &At<'_>) -> Option<usize> {
    let rest = at.rest();
    let letters = rest.iter().take(2).take_while(|byte| byte.is_ascii_uppercase()).count();
    let digits = rest.get(letters..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = letters.saturating_add(digits);
    let all = rest.iter().take(11).take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let (mixed, numbers) = all.fold((0_usize, 0_usize), |(all, digits), byte| {
        (all.saturating_add(1), digits.saturating_add(usize::from(byte.is_ascii_digit())))
    });
    let plain = (6..=9).contains(&digits) && length <= 10 && length == mixed;
    let form = (plain || (7..=10).contains(&mixed) && numbers >= 2) && !at.continues_number();
    let length = mixed;
    (form && at.ends_after(length) && at.after(&["passport", "pasaporte", "passeport", "reisepass"]))
        .then_some(length)
}
