//! Things made of digits in groups: cards, social security and insurance numbers, telephone numbers, dates of birth.

use super::At;

/// Most digits that are looked at.
const MOST: usize = 20;

/// Where a group ends: how many digits so far, after how many bytes, and the separator up to here if it is always the
/// same, 0 if there is none.
#[derive(Clone, Copy, Default)]
struct End {
    count: usize,
    at: usize,
    separator: Option<u8>,
}

/// Digits with at most one separator between two of them.
struct Groups {
    digits: [u8; MOST],
    count: usize,
    ends: [End; MOST],
    ended: usize,
    /// The separator, if it is always the same; 0 if there is none.
    separator: Option<u8>,
}

impl Groups {
    fn read(rest: &[u8]) -> Self {
        let mut own =
            Self { digits: [0; MOST], count: 0, ends: [End::default(); MOST], ended: 0, separator: Some(0) };
        let mut at = 0;
        while let Some(byte) = rest.get(at).copied() {
            if byte.is_ascii_digit() {
                let Some(slot) = own.digits.get_mut(own.count) else { break };
                *slot = byte.wrapping_sub(b'0');
                own.count = own.count.saturating_add(1);
                at = at.saturating_add(1);
                if !rest.get(at).is_some_and(u8::is_ascii_digit) {
                    own.end(at);
                }
                continue;
            }
            let next = rest.get(at.saturating_add(1)).is_some_and(u8::is_ascii_digit);
            if !matches!(byte, b' ' | b'-' | b'.' | b'/') || !next || own.count == 0 {
                break;
            }
            own.separator = match own.separator {
                Some(0) if own.ended <= 1 => Some(byte),
                Some(same) if same == byte => Some(byte),
                _ => None,
            };
            at = at.saturating_add(1);
        }
        own
    }

    fn end(&mut self, at: usize) {
        if let Some(slot) = self.ends.get_mut(self.ended) {
            *slot = End { count: self.count, at, separator: self.separator };
            self.ended = self.ended.saturating_add(1);
        }
    }

    fn digits(&self, count: usize) -> &[u8] {
        self.digits.get(..count).unwrap_or_default()
    }

    fn ends(&self) -> &[End] {
        self.ends.get(..self.ended).unwrap_or_default()
    }

    /// The lengths of the first so many groups.
    fn lengths<const N: usize>(&self) -> Option<[usize; N]> {
        let mut lengths = [0; N];
        let mut before = 0;
        for (slot, end) in lengths.iter_mut().zip(self.ends()) {
            *slot = end.count.saturating_sub(before);
            before = end.count;
        }
        (self.ended >= N).then_some(lengths)
    }

    /// Where so many groups end, if the next does not follow in the same way.
    fn end_of(&self, groups: usize, rest: &[u8]) -> Option<End> {
        let end = *self.ends().get(groups.checked_sub(1)?)?;
        let follows = self.ended > groups && rest.get(end.at).copied() == end.separator;
        (!follows).then_some(end)
    }

    /// Whether the groups up to there are as cards have them, or it is only one.
    fn is_printed(&self, upto: usize) -> bool {
        let mut before = 0;
        let mut lengths = [0; 5];
        for (slot, end) in lengths.iter_mut().zip(self.ends()).take(upto) {
            *slot = end.count.saturating_sub(before);
            before = end.count;
        }
        upto == 1
            || upto <= 5 && matches!(lengths, [4, 4, 4, 4, 0 | 3] | [4, 6, 4 | 5, 0, 0] | [4, 4, 5, 0, 0])
    }

    fn number(&self, from: usize, to: usize) -> u32 {
        let digits = self.digits.get(from..to).unwrap_or_default();
        digits.iter().fold(0, |sum, digit| sum.wrapping_mul(10).wrapping_add(u32::from(*digit)))
    }
}

/// The check digit of cards and of Canada's insurance numbers (ISO/IEC 7812-1, annex B).
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let own = u32::from(*digit);
            let twice = own.wrapping_mul(2);
            if place % 2 == 0 { own } else { twice.wrapping_sub(if twice > 9 { 9 } else { 0 }) }
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

/// Words that tell a card.
const CARDS: &[&str] = &["card", "carte", "karte", "kreditkarte", "maestro", "pan", "tarjeta", "visa"];

/// Payment cards: 13 to 19 digits of a known network (ISO/IEC 7812), with the right check digit.
pub(super) fn card(at: &At<'_>) -> Option<usize> {
    if !at.rest().first()?.is_ascii_digit() {
        return None;
    }
    let groups = Groups::read(at.rest());
    let fits = |(place, end): &(usize, &End)| {
        let digits = groups.digits(end.count);
        let network = matches!(digits, [2..=6, ..] | [1, 8, ..])
            && (end.count > 14 || matches!(digits, [3 | 4 | 6, ..]));
        let split =
            matches!(end.separator, Some(0 | b' ' | b'-')) && groups.is_printed(place.saturating_add(1));
        // Bar codes of goods have 13 digits too, and one in ten has the right check digit.
        let told = || end.count > 13 || at.after(CARDS);
        (13..=19).contains(&end.count) && split && network && luhn(digits) && at.ends_after(end.at) && told()
    };
    groups.ends().iter().enumerate().rev().find(fits).map(|(_, end)| end.at)
}

/// US social security numbers: three groups, or nine digits after a telling word; without the numbers that were never
/// given (SSA: areas 000, 666 and 900 and above, group 00, serial 0000).
pub(super) fn ssn(at: &At<'_>) -> Option<usize> {
    if !at.rest().first()?.is_ascii_digit() {
        return None;
    }
    let groups = Groups::read(at.rest());
    let told = || at.after(&["ssn", "social security", "tin"]);
    let end = match groups.lengths() {
        Some([3, 2, 4]) => {
            let plain = |end: &End| matches!(end.separator, Some(b' ' | b'-')) || told();
            groups.end_of(3, at.rest()).filter(plain)?.at
        }
        _ if groups.lengths() == Some([9]) && told() => groups.end_of(1, at.rest())?.at,
        _ => return None,
    };
    let (area, group, serial) = (groups.number(0, 3), groups.number(3, 5), groups.number(5, 9));
    let given = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    (given && at.ends_after(end)).then_some(end)
}

/// Canadian social insurance numbers: three groups of three with the right check digit and a telling word, or with dashes.
pub(super) fn sin(at: &At<'_>) -> Option<usize> {
    if !at.rest().first()?.is_ascii_digit() {
        return None;
    }
    let groups = Groups::read(at.rest());
    let told = || at.after(&["sin", "social insurance", "nas"]);
    let end = match groups.lengths() {
        Some([3, 3, 3]) => {
            groups.end_of(3, at.rest()).filter(|end| end.separator == Some(b'-') || told())?.at
        }
        _ if groups.lengths() == Some([9]) && told() => groups.end_of(1, at.rest())?.at,
        _ => return None,
    };
    let digits = groups.digits(9);
    let given = !matches!(digits, [0 | 8, ..]);
    (given && luhn(digits) && at.ends_after(end)).then_some(end)
}

/// Words that tell a telephone number.
const CALLS: &[&str] = &[
    "anrufen",
    "call",
    "cell",
    "contact",
    "fax",
    "handy",
    "mobile",
    "my number",
    "m\u{f3}vil",
    "phone",
    "reach",
    "ring",
    "rufnummer",
    "tel",
    "telefon",
    "telefono",
    "telephone",
    "text",
    "t\u{e9}l",
    "tel\u{e9}fono",
    "t\u{e9}l\u{e9}phone",
    "whatsapp",
    "手机",
    "电话",
    "電話",
];

/// Telephone numbers: international ones (E.164, with a plus), North American ones in their usual forms, others after a
/// telling word.
pub(super) fn phone(at: &At<'_>) -> Option<usize> {
    let rest = at.rest();
    let first = *rest.first()?;
    let (digits, length, forms) = spread(rest)?;
    if !at.ends_after(length) || at.continues_number() {
        return None;
    }
    if first == b'+' {
        return (8..=15).contains(&digits.len()).then_some(length);
    }
    let national = match digits.as_slice() {
        [b'1', rest @ ..] if rest.len() == 10 => rest,
        all => all,
    };
    let american = national.len() == 10 && matches!(national, [b'2'..=b'9', _, _, b'2'..=b'9', ..]);
    let usual = american && forms >= 2 && usual_groups(rest.get(..length)?);
    let told = first != b'(' || digits.len() >= 9;
    let plain = told && (7..=15).contains(&digits.len()) && at.after(CALLS);
    (usual || plain).then_some(length)
}

/// The digits of a telephone number with all that may stand between them, how many bytes that is, and how many separators.
fn spread(rest: &[u8]) -> Option<(Vec<u8>, usize, usize)> {
    let mut digits = Vec::with_capacity(16);
    let (mut end, mut at, mut between, mut open, mut separators) =
        (0_usize, 0_usize, 0_usize, false, 0_usize);
    while let Some(byte) = rest.get(at).copied() {
        match byte {
            b'0'..=b'9' => {
                if digits.len() >= 15 {
                    return None;
                }
                separators = separators.saturating_add(usize::from(between > 0));
                digits.push(byte);
                (between, end) = (0, at.saturating_add(1));
            }
            b'+' if at == 0 => {}
            b'(' if !open && between <= 1 => (open, between) = (true, between.saturating_add(1)),
            b')' if open => (open, between) = (false, between.saturating_add(1)),
            // A sentence ends.
            b' ' if at.checked_sub(1).and_then(|before| rest.get(before)) == Some(&b'.') => break,
            b' ' | b'-' | b'.' | b'/' if between < 2 && !digits.is_empty() => {
                between = between.saturating_add(1);
            }
            _ => break,
        }
        at = at.saturating_add(1);
    }
    (digits.len() >= 7 && end <= 40).then_some((digits, end, separators))
}

/// Groups of three, three and four digits, a country's one before them.
fn usual_groups(written: &[u8]) -> bool {
    let mut lengths =
        written.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).filter(|length| *length > 0);
    let all: [usize; 4] = std::array::from_fn(|_| lengths.next().unwrap_or(0));
    lengths.next().is_none() && matches!(all, [3, 3, 4, 0] | [1, 3, 3, 4])
}

/// Words that tell a date of birth.
const BIRTH: &[&str] = &[
    "birth",
    "birthdate",
    "birthday",
    "born",
    "d.o.b",
    "dob",
    "geboren",
    "geburtsdatum",
    "nacimiento",
    "nacida",
    "nacido",
    "naissance",
    "n\u{e9}",
    "n\u{e9}e",
];
/// Names of months in English, German, French and Spanish, in lower case.
const MONTHS: &[&str] = &[
    "abril",
    "agosto",
    "ao\u{fb}t",
    "apr",
    "april",
    "aug",
    "august",
    "avril",
    "dec",
    "december",
    "dez",
    "dezember",
    "diciembre",
    "d\u{e9}cembre",
    "enero",
    "feb",
    "febrero",
    "februar",
    "february",
    "f\u{e9}vrier",
    "jan",
    "januar",
    "january",
    "janvier",
    "juillet",
    "juin",
    "jul",
    "juli",
    "julio",
    "july",
    "jun",
    "june",
    "juni",
    "junio",
    "mai",
    "mar",
    "march",
    "mars",
    "marzo",
    "may",
    "mayo",
    "m\u{e4}rz",
    "nov",
    "november",
    "novembre",
    "noviembre",
    "oct",
    "octobre",
    "october",
    "octubre",
    "okt",
    "oktober",
    "sep",
    "sept",
    "september",
    "septembre",
    "septiembre",
];
/// Longest date with the month's name: `30th of September, 1985`, with a word between.
pub(super) const MAX_WRITTEN: usize = 40;

/// Whether a word that tells a date of birth occurs.
pub(super) fn tells_birth(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    BIRTH.iter().any(|word| text.contains(word))
}

/// Dates after a word that tells that they are of birth: `1980-02-29`, `29.02.1980`, `02/29/1980`, `02/29/80`, and with the
/// month's name.
pub(super) fn date_of_birth(at: &At<'_>) -> Option<usize> {
    numeric_date(at).or_else(|| written_date(at)).filter(|end| at.ends_after(*end) && at.after(BIRTH))
}

/// `12 March 1985`, `12. März 1985`, `12 de marzo de 1985`, `March 12th, 1985`.
fn written_date(at: &At<'_>) -> Option<usize> {
    let rest = std::str::from_utf8(at.rest().get(..at.rest().len().min(MAX_WRITTEN)).unwrap_or_default());
    let rest = match rest {
        Ok(rest) => rest,
        Err(error) => std::str::from_utf8(at.rest().get(..error.valid_up_to())?).ok()?,
    };
    let (after_first, first_is_day) =
        day(rest).map(|own| (own, true)).or_else(|| Some((month(rest)?, false)))?;
    let between = |text: &'_ str| -> Option<usize> {
        let blank = text.len().saturating_sub(text.trim_start_matches([' ', '.', ',']).len());
        let text = text.get(blank..)?;
        let word = ["de ", "of "].iter().find(|word| text.starts_with(**word)).map_or(0, |word| word.len());
        (blank > 0).then(|| blank.saturating_add(word))
    };
    let second = after_first.saturating_add(between(rest.get(after_first..)?)?);
    let tail = rest.get(second..)?;
    let length = if first_is_day { month(tail)? } else { day(tail)? };
    let third = second.saturating_add(length);
    let year = third.saturating_add(between(rest.get(third..)?)?);
    let digits = rest.get(year..)?.bytes().take_while(u8::is_ascii_digit).count();
    let century = rest.get(year..)?.starts_with("19") || rest.get(year..)?.starts_with("20");
    (digits == 4 && century).then(|| year.saturating_add(4))
}

/// A day of a month, as English writes it too: `1`, `12`, `3rd`.
fn day(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u32 = text.get(..digits)?.parse().ok()?;
    let ending = ["st", "nd", "rd", "th"]
        .iter()
        .any(|own| text.get(digits..).is_some_and(|rest| rest.starts_with(own)));
    (digits <= 2 && (1..=31).contains(&number)).then(|| digits.saturating_add(if ending { 2 } else { 0 }))
}

fn month(text: &str) -> Option<usize> {
    let length = text.find(|letter: char| !letter.is_alphabetic()).unwrap_or(text.len());
    let name = text.get(..length).filter(|name| (3..=12).contains(&name.len()))?.to_lowercase();
    MONTHS.contains(&name.as_str()).then_some(length)
}

fn numeric_date(at: &At<'_>) -> Option<usize> {
    if !at.rest().first()?.is_ascii_digit() {
        return None;
    }
    let groups = Groups::read(at.rest());
    let [first, second, third] = groups.lengths()?;
    let end = groups.end_of(3, at.rest()).filter(|end| end.separator.is_some())?.at;
    let (year, one, two) = match (first, second, third) {
        (4, 1 | 2, 1 | 2) => {
            let middle = first.saturating_add(second);
            (
                groups.number(0, 4),
                groups.number(4, middle),
                groups.number(middle, middle.saturating_add(third)),
            )
        }
        (1 | 2, 1 | 2, 4) => {
            let middle = first.saturating_add(second);
            (
                groups.number(middle, middle.saturating_add(4)),
                groups.number(0, first),
                groups.number(first, middle),
            )
        }
        (1 | 2, 1 | 2, 2) => {
            let middle = first.saturating_add(second);
            let year = groups.number(middle, middle.saturating_add(2)).saturating_add(1900);
            (year, groups.number(0, first), groups.number(first, middle))
        }
        _ => return None,
    };
    let (day, month) = (one.max(two), one.min(two));
    let date = (1880..=2100).contains(&year) && (1..=31).contains(&day) && (1..=12).contains(&month);
    date.then_some(end)
}
