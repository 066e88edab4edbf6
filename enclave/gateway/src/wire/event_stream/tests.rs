use proptest::prelude::*;

use super::*;

/// CRC-32 of "123456789" in every catalogue of checksums.
#[test]
fn the_checksum_is_the_usual_one() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

/// The specification's example of an empty message: total 16, no headers, prelude checksum 0x05c248eb.
#[test]
fn the_empty_message_of_the_specification_is_read() {
    let bytes = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
    let mut messages = Messages::default();
    messages.buffer().extend_from_slice(&bytes);
    assert_eq!(messages.next_message(), Ok(Some(Message::default())));
    assert_eq!(messages.next_message(), Ok(None));
    assert!(messages.is_empty());
    assert_eq!(encode(&[], b""), bytes);
}

#[test]
fn any_flipped_bit_is_noticed() {
    let good =
        encode(&[(":message-type", "event"), (":event-type", "contentBlockDelta")], br#"{"delta":{}}"#);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let mut messages = Messages::default();
        messages.buffer().extend_from_slice(&bad);
        assert_eq!(messages.next_message(), Err(BadFraming), "bit {bit}");
    }
}

#[test]
fn lengths_are_not_believed() {
    let claim = |total: u32, headers: u32| {
        let mut out = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        out.extend_from_slice(&crc32(&out).to_be_bytes());
        let mut messages = Messages::default();
        messages.buffer().extend_from_slice(&out);
        messages.next_message().map(|message| message.is_some())
    };
    assert_eq!(claim(16 * 1024 * 1024, 0), Ok(false), "the largest message is waited for");
    assert_eq!(claim(16 * 1024 * 1024 + 1, 0), Err(BadFraming));
    assert_eq!(claim(u32::MAX, u32::MAX), Err(BadFraming));
    assert_eq!(claim(15, 0), Err(BadFraming));
    assert_eq!(claim(40, 25), Err(BadFraming), "headers longer than the message");
    assert_eq!(claim(1024 * 1024, 128 * 1024 + 1), Err(BadFraming));
}

#[test]
fn headers_of_every_type_are_passed_over() {
    let mut block = Vec::new();
    let mut put = |name: &str, kind: u8, value: &[u8]| {
        block.push(u8::try_from(name.len()).unwrap());
        block.extend_from_slice(name.as_bytes());
        block.push(kind);
        block.extend_from_slice(value);
    };
    put("t", 0, b"");
    put("f", 1, b"");
    put("b", 2, &[1]);
    put("s", 3, &[1, 2]);
    put("i", 4, &[0; 4]);
    put("l", 5, &[0; 8]);
    put("y", 6, &[0, 2, 9, 9]);
    put("d", 8, &[0; 8]);
    put("u", 9, &[0; 16]);
    put(":message-type", 7, b"\x00\x05event");
    let mut message = Message::default();
    read_headers(&block, &mut message).unwrap();
    assert_eq!(message.message_type, b"event");
    assert_eq!(read_headers(&block[..block.len() - 1], &mut message), Err(BadFraming));
    assert_eq!(read_headers(&[1, b'x', 10], &mut message), Err(BadFraming));
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_messages(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        cuts in prop::collection::vec(1_usize..30, 1..40),
    ) {
        let whole: Vec<u8> = payloads.iter().flat_map(|own| encode(&[(":event-type", "x")], own)).collect();
        let (mut messages, mut got, mut rest) = (Messages::default(), Vec::new(), whole.as_slice());
        let mut sizes = cuts.iter().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            messages.buffer().extend_from_slice(now);
            while let Some(message) = messages.next_message().unwrap() {
                got.push(message.payload.to_vec());
            }
            rest = later;
        }
        prop_assert_eq!(got, payloads);
        prop_assert!(messages.is_empty());
    }

    #[test]
    fn noise_is_refused_or_waited_for(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut messages = Messages::default();
        messages.buffer().extend_from_slice(&noise);
        while let Ok(Some(_)) = messages.next_message() {}
    }
}
