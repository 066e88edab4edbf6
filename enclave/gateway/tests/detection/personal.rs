//! Personal data as people write it: with the separators, signs of quotation and languages that real text has.

use ring::digest::{SHA256, digest};

use super::dice::{Dice, Plant};

const FIRST: [&str; 14] = [
    "anna", "bjorn", "chen", "dmitri", "elena", "fatima", "george", "hiro", "ines", "jane", "kwame", "lucía",
    "maria", "jürgen",
];
const LAST: [&str; 12] = [
    "abadi", "brown", "costa", "doe", "evans", "fischer", "garcia", "hansen", "ivanova", "jones", "müller",
    "okafor",
];
const HOSTS: [&str; 9] = [
    "example.com",
    "mail.example.org",
    "uni-koeln.example.de",
    "firma.example",
    "co.example.co.uk",
    "x1.example.io",
    "bücher.example.de",
    "post.example.museum",
    "a-b.example.com.br",
];

pub const PLANTS: &[Plant] = &[
    Plant {
        what: "email",
        value: email,
        says: &[
            "Write to {}.",
            "Kontakt: {}, danke",
            "cc <{}>",
            "\"email\":\"{}\",",
            "mailto:{}?subject=hi",
            "“{}” is mine",
            "请发到{}谢谢",
            "Jane ({}) will know",
            "to={};",
            "E-Mail:{}\t",
            "— {} —",
            "user_email={}&x=1",
        ],
    },
    Plant {
        what: "card",
        value: card,
        says: &[
            "Pay with {}.",
            "card: {} exp 12/27",
            "“{}”",
            "Kreditkarte {}, CVV folgt",
            "\"pan\":\"{}\"",
            "卡号{}。",
            "My Visa is {}; thanks",
            "tarjeta {} caduca pronto",
            "({})",
            "card no.{}",
        ],
    },
    Plant {
        what: "iban",
        value: iban,
        says: &[
            "Transfer to {}.",
            "IBAN: {}",
            "Bitte auf {} überweisen",
            "„{}“",
            "\"iban\":\"{}\"",
            "mon RIB: {}, merci",
            "account {} in EUR",
            "IBAN={};",
        ],
    },
    Plant {
        what: "phone",
        value: phone_abroad,
        says: &[
            "Call {}.",
            "Tel.: {}",
            "“{}”",
            "reach her at {}, please",
            "\"phone\":\"{}\"",
            "ruf mich an: {}",
            "手机{}。",
            "WhatsApp {} any time",
            "fax {}",
            "from {} to us",
        ],
    },
    Plant {
        what: "phone",
        value: phone_american,
        says: &[
            "Dial {}.",
            "office {}",
            "“{}”",
            "\"fax\":\"{}\"",
            "it is {}, ask for Jo",
            "main line {} ext 4",
        ],
    },
    Plant {
        what: "phone",
        value: phone_at_home,
        says: &[
            "my phone number is {}.",
            "Telefon: {}",
            "mobile {}",
            "call me on {} after six",
            "tél. {}",
            "móvil: {}",
            "Rufnummer {}",
            "you can reach me at {}",
            "cell: {}",
            "ring {} and ask",
        ],
    },
    Plant {
        what: "ssn",
        value: ssn,
        says: &[
            "SSN {}.",
            "her social security number is {}",
            "ssn: {}",
            "“{}” is his SSN",
            "\"ssn\":\"{}\"",
            "TIN {} on the W-2",
        ],
    },
    Plant {
        what: "nino",
        value: nino,
        says: &[
            "NI number {}.",
            "National Insurance: {}",
            "“{}”",
            "\"nino\":\"{}\"",
            "payroll has {} for him",
        ],
    },
    Plant {
        what: "sin",
        value: sin,
        says: &["SIN {}.", "social insurance number: {}", "NAS : {}", "my SIN is “{}”", "\"sin\":\"{}\""],
    },
    Plant {
        what: "ip_address",
        value: ip,
        says: &[
            "from {}.",
            "client {}: timed out",
            "http://{}/admin",
            "“{}”",
            "\"ip\":\"{}\"",
            "ssh root@{}",
            "[{}]",
            "deny {}, log",
        ],
    },
    Plant {
        what: "date_of_birth",
        value: birth,
        says: &[
            "born on {}.",
            "DOB: {}",
            "date of birth {}",
            "geboren am {}",
            "her birthday is {}",
            "\"dob\":\"{}\"",
            "“born {}”",
            "Geburtsdatum: {}",
            "née le {}",
            "fecha de nacimiento: {}",
        ],
    },
    Plant {
        what: "passport",
        value: passport,
        says: &[
            "passport {}.",
            "passport number: {}",
            "Reisepass Nr. {}",
            "passport no. {} expires",
            "\"passport\":\"{}\"",
            "passeport n° {}",
            "his passport is “{}”",
            "pasaporte {}",
        ],
    },
    Plant {
        what: "bitcoin",
        value: bitcoin,
        says: &["Send it to {}.", "BTC: {}", "“{}”", "bitcoin:{}?amount=1", "\"to\":\"{}\""],
    },
    Plant {
        what: "ethereum",
        value: ethereum,
        says: &["Wallet {}.", "ETH: {}", "“{}”", "to={};", "\"to\":\"{}\""],
    },
];

fn email(dice: &mut Dice) -> String {
    let (first, last) = (*dice.pick(&FIRST), *dice.pick(&LAST));
    let tag = if dice.one_in(5) { "+news" } else { "" };
    let local = match dice.below(4) {
        0 => format!("{first}.{last}{tag}"),
        1 => format!("{}{last}{}", first.chars().next().expect("a letter"), dice.below(90)),
        2 => format!("{first}_{last}{tag}"),
        _ => format!("{first}{tag}"),
    };
    let address = format!("{local}@{}", dice.pick(&HOSTS));
    if dice.one_in(8) { address.to_uppercase() } else { address }
}

/// Groups with a separator that people and word processors use.
fn grouped(dice: &mut Dice, digits: &str, lengths: &[usize], separators: &[&str]) -> String {
    let separator = *dice.pick(separators);
    let mut out = String::new();
    let mut letters = digits.chars();
    for (place, length) in lengths.iter().enumerate() {
        out.push_str(if place == 0 { "" } else { separator });
        out.extend(letters.by_ref().take(*length));
    }
    out.extend(letters);
    out
}

fn with_luhn(mut digits: String) -> String {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0') * if place % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    digits.push(char::from(b'0' + ((10 - sum % 10) % 10) as u8));
    digits
}

fn card(dice: &mut Dice) -> String {
    let (prefix, length) = *dice.pick(&[
        ("4", 16),
        ("51", 16),
        ("2720", 16),
        ("34", 15),
        ("6011", 16),
        ("3528", 16),
        ("62", 16),
        ("36", 14),
    ]);
    let digits = format!("{prefix}{}", dice.digits(length - 1 - prefix.len()));
    let digits = with_luhn(digits);
    let lengths: &[usize] = match length {
        15 => &[4, 6, 5],
        14 => &[4, 6, 4],
        _ => &[4, 4, 4, 4],
    };
    let text = grouped(dice, &digits, lengths, &["", " ", "-", " ", "\u{a0}", "\u{202f}", "\u{2011}"]);
    if dice.one_in(12) { wide(&text) } else { text }
}

/// Full-width digits, as East Asian keyboards write them.
fn wide(text: &str) -> String {
    text.chars()
        .map(|own| own.to_digit(10).map_or(own, |digit| char::from_u32(0xff10 + digit).expect("a digit")))
        .collect()
}

fn iban(dice: &mut Dice) -> String {
    let (country, account) = match dice.below(6) {
        0 => ("DE", dice.digits(18)),
        1 => ("GB", format!("NWBK{}", dice.digits(14))),
        2 => (
            "FR",
            format!("{}{}{}", dice.digits(10), dice.letters("ABCDEFGHJK0123456789", 11), dice.digits(2)),
        ),
        3 => ("ES", dice.digits(20)),
        4 => ("NL", format!("ABNA{}", dice.digits(10))),
        _ => ("CH", dice.digits(17)),
    };
    let number: String = format!("{account}{country}00")
        .chars()
        .map(|own| own.to_digit(36).expect("36").to_string())
        .collect();
    let rest = number.bytes().fold(0_u64, |sum, byte| (sum * 10 + u64::from(byte - b'0')) % 97);
    let whole = format!("{country}{:02}{account}", 98 - rest);
    let lengths = vec![4; whole.len() / 4];
    let text = grouped(dice, &whole, &lengths, &["", " ", " ", "\u{a0}", "-"]);
    let text = if whole.len() % 4 > 0 && text.len() > whole.len() {
        let (head, tail) = text.split_at(text.len() - whole.len() % 4);
        let separator: String = text.chars().skip(4).take(1).collect();
        format!("{head}{separator}{tail}")
    } else {
        text
    };
    if dice.one_in(12) && text.len() == whole.len() { text.to_lowercase() } else { text }
}

fn phone_abroad(dice: &mut Dice) -> String {
    let national = dice.digits(8);
    match dice.below(6) {
        0 => format!("+49 (0)30 {national}"),
        1 => format!("+44 20 {} {}", &national[..4], &national[4..]),
        2 => format!("+33 6 {} {} {} {}", &national[..2], &national[2..4], &national[4..6], &national[6..]),
        3 => format!("+4915{national}1"),
        4 => format!("+1\u{2011}415\u{2011}555\u{2011}{}", &national[..4]),
        _ => format!("+86 138 {} {}", &national[..4], &national[4..]),
    }
}

fn phone_american(dice: &mut Dice) -> String {
    let (area, exchange, line) = (dice.between(201, 989), dice.between(200, 999), dice.digits(4));
    match dice.below(5) {
        0 => format!("({area}) {exchange}-{line}"),
        1 => format!("{area}-{exchange}-{line}"),
        2 => format!("{area}.{exchange}.{line}"),
        3 => format!("1-{area}-{exchange}-{line}"),
        _ => format!("({area})\u{a0}{exchange}\u{2013}{line}"),
    }
}

fn phone_at_home(dice: &mut Dice) -> String {
    let rest = dice.digits(8);
    match dice.below(5) {
        0 => format!("020 {} {}", &rest[..4], &rest[4..]),
        1 => format!("06 {} {} {} {}", &rest[..2], &rest[2..4], &rest[4..6], &rest[6..]),
        2 => format!("030/{rest}"),
        3 => format!("6{rest}"),
        _ => format!("0171-{rest}"),
    }
}

fn ssn(dice: &mut Dice) -> String {
    let mut area = dice.between(1, 899);
    if area == 666 {
        area = 667;
    }
    let (group, serial) = (dice.between(1, 99), dice.between(1, 9999));
    let digits = format!("{area:03}{group:02}{serial:04}");
    grouped(dice, &digits, &[3, 2, 4], &["-", "-", "-", " ", "", "\u{2011}"])
}

fn nino(dice: &mut Dice) -> String {
    let prefix = *dice.pick(&["AB", "CE", "HJ", "JK", "PR", "SX", "WM", "YZ"]);
    let whole = format!("{prefix}{}{}", dice.digits(6), dice.letters("ABCD", 1));
    let text = grouped(dice, &whole, &[2, 2, 2, 2, 1], &["", " ", "\u{a0}"]);
    if dice.one_in(12) && text.len() == whole.len() { text.to_lowercase() } else { text }
}

fn sin(dice: &mut Dice) -> String {
    let digits = with_luhn(format!("{}{}", dice.between(1, 7), dice.digits(7)));
    grouped(dice, &digits, &[3, 3, 3], &["-", " ", "", "\u{a0}"])
}

fn ip(dice: &mut Dice) -> String {
    if dice.one_in(3) {
        let part = |dice: &mut Dice| format!("{:x}", dice.below(0x1_0000));
        return match dice.below(3) {
            0 => format!("2001:db8::{}:{}", part(dice), part(dice)),
            1 => (0..8)
                .map(|place| if place == 0 { "2a02".to_owned() } else { part(dice) })
                .collect::<Vec<_>>()
                .join(":"),
            _ => format!("fe80::{}:{}:{}", part(dice), part(dice), part(dice)),
        };
    }
    format!("{}.{}.{}.{}", dice.between(1, 223), dice.below(256), dice.below(256), dice.between(1, 254))
        .replacen("127.", "128.", 1)
}

fn birth(dice: &mut Dice) -> String {
    const MONTHS: [(&str, &str); 6] = [
        ("January", "Januar"),
        ("March", "März"),
        ("May", "Mai"),
        ("July", "Juli"),
        ("October", "Oktober"),
        ("December", "Dezember"),
    ];
    let (year, month, day) = (dice.between(1930, 2012), dice.between(1, 12), dice.between(1, 28));
    let (name, german) = *dice.pick(&MONTHS);
    match dice.below(8) {
        0 => format!("{year}-{month:02}-{day:02}"),
        1 => format!("{day:02}.{month:02}.{year}"),
        2 => format!("{month}/{day}/{year}"),
        3 => format!("{day} {name} {year}"),
        4 => format!("{name} {day}, {year}"),
        5 => format!("{day}. {german} {year}"),
        6 => format!("{} {} {year}", day, &name[..3]),
        _ => format!("{day:02}/{month:02}/{:02}", year % 100),
    }
}

fn passport(dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => dice.digits(9),
        1 => format!("{}{}", dice.letters("CFGHJK", 1), dice.letters("CFGHJKLMNPRTVWXYZ0123456789012345", 8)),
        2 => format!("{}{}{}", dice.digits(2), dice.letters("ABCDEFGH", 2), dice.digits(5)),
        3 => format!("{}{}", dice.letters("KLMNPZ", 1), dice.digits(7)),
        _ => format!("{}{}", dice.letters("ABGKX", 2), dice.digits(7)),
    }
}

fn bitcoin(dice: &mut Dice) -> String {
    let random: Vec<u8> = (0..20).map(|_| dice.below(256) as u8).collect();
    if dice.one_in(3) {
        return segwit(&random);
    }
    let mut bytes = vec![if dice.one_in(2) { 0 } else { 5 }];
    bytes.extend(&random);
    let twice = digest(&SHA256, digest(&SHA256, &bytes).as_ref());
    bytes.extend(&twice.as_ref()[..4]);
    base58(&bytes)
}

fn base58(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut digits: Vec<u32> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let zeros = std::iter::repeat_n('1', zeros);
    zeros.chain(digits.iter().rev().map(|digit| char::from(LETTERS[*digit as usize]))).collect()
}

fn segwit(program: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let bits: Vec<u8> =
        program.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut values = vec![0_u8];
    values.extend(bits.chunks(5).map(|five| five.iter().fold(0, |sum, bit| sum << 1 | bit)));
    let step = |sum: u32, value: u32| {
        let top = sum >> 25;
        let next = (sum & 0x1ff_ffff) << 5 ^ value;
        [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]
            .iter()
            .enumerate()
            .fold(next, |sum, (bit, own)| if top >> bit & 1 == 1 { sum ^ own } else { sum })
    };
    let all = [3, 3, 0, 2, 3].into_iter().chain(values.iter().map(|own| u32::from(*own))).chain([0; 6]);
    let check = all.fold(1, step) ^ 1;
    values.extend((0..6).map(|place| (check >> (5 * (5 - place)) & 31) as u8));
    format!("bc1{}", values.iter().map(|own| char::from(LETTERS[usize::from(*own)])).collect::<String>())
}

fn ethereum(dice: &mut Dice) -> String {
    format!("0x{}", dice.letters("0123456789abcdefABCDEF", 40))
}
