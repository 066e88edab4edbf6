use super::*;

fn found(text: &str) -> Vec<(&'static str, String)> {
    let Ok(Detector::Spans(pii)) = KIND.configure(&Settings::default()) else { panic!("finds places") };
    let mut all = Vec::new();
    pii.find(text, 0, 0, &mut all);
    all.into_iter().map(|own| (own.what, text[own.at].to_owned())).collect()
}

fn one(text: &str, what: &'static str, value: &str) {
    assert_eq!(found(text), [(what, value.to_owned())], "{text}");
}

#[test]
fn each_kind_is_found_where_it_stands() {
    one("write to jane.doe+x@mail.example.co.uk.", "email", "jane.doe+x@mail.example.co.uk");
    one("pay with 4111 1111 1111 1111 12/27", "card", "4111 1111 1111 1111");
    one("Amex 378282246310005!", "card", "378282246310005");
    one("to DE89 3704 0044 0532 0130 00, today", "iban", "DE89 3704 0044 0532 0130 00");
    one("GB29NWBK60161331926819", "iban", "GB29NWBK60161331926819");
    one("SSN 536-90-4399.", "ssn", "536-90-4399");
    one("my ssn is 536904399", "ssn", "536904399");
    one("NI AB 12 34 56 C", "nino", "AB 12 34 56 C");
    one("SIN: 130 692 544", "sin", "130 692 544");
    one("call +49 (0)30 901820 now", "phone", "+49 (0)30 901820");
    one("(415) 555-2671", "phone", "(415) 555-2671");
    one("my phone: 030 901820", "phone", "030 901820");
    one("from 203.0.113.77:8080", "ip_address", "203.0.113.77");
    one("at 2001:db8::8a2e:370:7334", "ip_address", "2001:db8::8a2e:370:7334");
    one("born on 1980-02-29", "date_of_birth", "1980-02-29");
    one("Passport no. C01X00T47", "passport", "C01X00T47");
    one("a passport like L8980021", "passport", "L8980021");
    one("“jürgen@bücher.example.de”", "email", "jürgen@bücher.example.de");
    one("请发到jane@example.com谢谢", "email", "jane@example.com");
    let typeset = "4111\u{a0}1111\u{a0}1111\u{a0}11\u{200b}11";
    one(&format!("„{typeset}“"), "card", typeset);
    one("born 12. März 1985", "date_of_birth", "12. März 1985");
    one("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "bitcoin", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2");
    one(
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "bitcoin",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    );
    one(
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "ethereum",
        "0x52908400098527886E0F7030069857D2E4169EE7",
    );
}

#[test]
fn what_only_looks_like_it_is_left_alone() {
    for text in [
        "4111 1111 1111 1112",
        "order 1234567890123456",
        "DE89 3704 0044 0532 0130 01",
        "000-12-3456 and 666-12-3456",
        "room 536904399",
        "version 2.31.4 of 2024-05-06",
        "at 10:30, 12:45:10",
        "born in 1980, on 2024-13-45",
        "127.0.0.1 and ::1 and 1.2.3.4.5",
        "a@b and @home and x@localhost",
        "ZZ123456A QQ123456C",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3",
        "passport control is at gate 12",
        "550e8400-e29b-41d4-a716-446655440000",
        "f(1) + (2) / 3 - 4 = 0",
        "std::a1::b2 and a::b::c",
        "My phone broke in 2021. Order 868095020 shipped",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn nothing_is_settled_that_more_text_could_change() {
    let Ok(Detector::Spans(pii)) = KIND.configure(&Settings::default()) else { panic!("finds places") };
    let text = "Mail jane@mail.example or GB29 NWBK 6016 1331 9268 19, card 4111 1111 1111 1111 and +1 (415) 555-2671 from 2001:db8::1, born on 12 de marzo de 1985, tel 030\u{a0}901\u{200b}820 then rest. ";
    let mut whole = Vec::new();
    pii.find(text, 0, 0, &mut whole);
    assert_eq!(whole.len(), 7, "{whole:?}");
    for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
        let part = &text[..cut];
        let open = pii.open_from(part, 0);
        let mut seen = Vec::new();
        pii.find(part, 0, 0, &mut seen);
        let settled =
            |all: &[Finding]| all.iter().filter(|own| own.at.start < open).cloned().collect::<Vec<_>>();
        assert_eq!(settled(&seen), settled(&whole), "{part}");
    }
    assert_eq!(pii.open_from("plain words go at once ", 0), 23);
}
