//! The form of an issued secret, so that scanners recognise one that was published by mistake:
//! `pst_<12 public>_<43 secret><6 checksum>`, all base62.
//!
//! What is stored is HMAC-SHA-256 of the whole under a pepper that never leaves sealed memory. The secret has 256 random
//! bits, so no slow hash is needed; a stolen table without the pepper cannot even be guessed at.

use ring::hmac;
use zeroize::Zeroize;

use crate::plaintext::Secret;

/// Characters of the public part.
pub const PUBLIC: usize = 12;
/// Characters that carry 256 bits: 62^43 > 2^256.
const RANDOM: usize = 43;
/// Characters of the checksum: 62^6 > 2^32.
const CHECKSUM: usize = 6;
/// Random bytes that [`mint`] wants.
pub const ENTROPY: usize = PUBLIC + 32;
/// Length of a stored tag.
pub const TAG: usize = 32;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// For what a secret is good. One kind is never taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The admin API.
    Administration,
    /// Requests to models.
    Inference,
}

impl Purpose {
    /// How such secrets begin.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Administration => "psta_",
            Self::Inference => "pst_",
        }
    }
}

/// The public part: names a key, now and after each rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicId(pub [u8; PUBLIC]);

impl PublicId {
    /// From its text.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; PUBLIC] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// One of 256 groups, for tables that are changed group by group.
    pub fn group(&self) -> usize {
        usize::from(self.0.iter().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte)))
    }
}

/// A secret as it was sent: its form is right, whose it is is not known yet.
#[derive(Clone, Copy)]
pub struct Presented<'s> {
    /// The public part.
    pub id: PublicId,
    whole: &'s [u8],
}

impl<'s> Presented<'s> {
    /// Takes apart what was sent; nothing if it is not of that kind.
    pub fn parse(purpose: Purpose, sent: &'s [u8]) -> Option<Self> {
        let rest = sent.strip_prefix(purpose.prefix().as_bytes())?;
        let (id, rest) = rest.split_at_checked(PUBLIC)?;
        let secret = rest.strip_prefix(b"_")?;
        if secret.len() != RANDOM + CHECKSUM || !secret.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let (checked, checksum) = sent.split_at_checked(sent.len().saturating_sub(CHECKSUM))?;
        if checksum != checksum_of(checked) {
            return None;
        }
        Some(Self { id: PublicId::parse(std::str::from_utf8(id).ok()?)?, whole: sent })
    }
}

/// The key under which secrets are hashed.
pub struct Pepper(hmac::Key);

impl Pepper {
    /// From 32 sealed random bytes.
    pub fn new(bytes: &Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes.expose()))
    }

    /// What is stored of a secret.
    pub fn tag(&self, presented: &Presented<'_>) -> [u8; TAG] {
        let mut tag = [0; TAG];
        for (slot, byte) in tag.iter_mut().zip(hmac::sign(&self.0, presented.whole).as_ref()) {
            *slot = *byte;
        }
        tag
    }
}

/// Makes a secret out of fresh random bytes. For a new version of a key its own `id` stays.
pub fn mint(
    purpose: Purpose,
    id: Option<PublicId>,
    mut entropy: [u8; ENTROPY],
) -> (PublicId, Secret<String>) {
    let (public, random) = entropy.split_at(PUBLIC);
    let id = id.unwrap_or_else(|| {
        let mut own = [0; PUBLIC];
        for (slot, byte) in own.iter_mut().zip(public) {
            *slot = letter(u32::from(*byte) % 62);
        }
        PublicId(own)
    });
    let mut secret = Vec::with_capacity(80);
    secret.extend_from_slice(purpose.prefix().as_bytes());
    secret.extend_from_slice(&id.0);
    secret.push(b'_');
    secret.extend_from_slice(&base62(random));
    let checksum = checksum_of(&secret);
    secret.extend_from_slice(&checksum);
    entropy.zeroize();
    (id, Secret::new(String::from_utf8(secret).unwrap_or_default()))
}

fn letter(digit: u32) -> u8 {
    usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit)).copied().unwrap_or(b'0')
}

/// A number of 256 bits as 43 digits, the most significant first.
fn base62(number: &[u8]) -> [u8; RANDOM] {
    let mut number = number.to_vec();
    let mut digits = [b'0'; RANDOM];
    for slot in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = remainder.wrapping_mul(256).wrapping_add(u32::from(*byte));
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *slot = letter(remainder);
    }
    number.zeroize();
    digits
}

/// What each byte adds to a CRC-32.
const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut left: &mut [u32] = &mut table;
    let mut byte = 0_u32;
    while let Some((slot, rest)) = left.split_first_mut() {
        let (mut crc, mut bit) = (byte, 0_u8);
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            bit = bit.wrapping_add(1);
        }
        *slot = crc;
        left = rest;
        byte = byte.wrapping_add(1);
    }
    table
};

/// CRC-32 (IEEE 802.3) in base62: against typing errors, not against anybody.
fn checksum_of(bytes: &[u8]) -> [u8; CHECKSUM] {
    let step = |crc: u32, byte: &u8| {
        let [low, ..] = (crc ^ u32::from(*byte)).to_le_bytes();
        (crc >> 8) ^ CRC.get(usize::from(low)).copied().unwrap_or_default()
    };
    let mut left = !bytes.iter().fold(!0, step);
    let mut digits = [b'0'; CHECKSUM];
    for slot in digits.iter_mut().rev() {
        *slot = letter(left % 62);
        left /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minted(purpose: Purpose) -> Secret<String> {
        mint(purpose, None, std::array::from_fn(|place| (place * 7 + 3) as u8)).1
    }

    #[test]
    fn a_minted_secret_is_recognised_and_a_changed_one_is_not() {
        let secret = minted(Purpose::Inference);
        let text = secret.expose();
        assert_eq!(text.len(), "pst_".len() + 12 + 1 + 43 + 6);
        let own = Presented::parse(Purpose::Inference, text.as_bytes()).expect("its own form");
        assert_eq!(own.id.as_str(), &text[4..16]);
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'x' { b'y' } else { b'x' };
            assert!(Presented::parse(Purpose::Inference, &changed).is_none(), "at {place}");
        }
        assert!(Presented::parse(Purpose::Inference, &text.as_bytes()[..text.len() - 1]).is_none());
        assert!(Presented::parse(Purpose::Inference, format!("{text}0").as_bytes()).is_none());
    }

    #[test]
    fn one_kind_is_never_taken_for_the_other() {
        let (admin, inference) = (minted(Purpose::Administration), minted(Purpose::Inference));
        assert!(Presented::parse(Purpose::Inference, admin.expose().as_bytes()).is_none());
        assert!(Presented::parse(Purpose::Administration, inference.expose().as_bytes()).is_none());
        assert!(Presented::parse(Purpose::Administration, admin.expose().as_bytes()).is_some());
    }

    #[test]
    fn the_checksum_is_crc_32() {
        // The check value of CRC-32/ISO-HDLC: "123456789" has cbf43926.
        let mut left = 0xcbf4_3926_u32;
        let mut expected = [0; 6];
        for slot in expected.iter_mut().rev() {
            *slot = ALPHABET[(left % 62) as usize];
            left /= 62;
        }
        assert_eq!(checksum_of(b"123456789"), expected);
    }

    #[test]
    fn all_bits_of_the_random_number_count() {
        let zero = base62(&[0; 32]);
        for bit in 0..256 {
            let mut number = [0; 32];
            number[bit / 8] = 1 << (bit % 8);
            assert_ne!(base62(&number), zero, "bit {bit}");
        }
        assert_eq!(base62(&[255; 32]).len(), 43);
    }

    #[test]
    fn another_pepper_makes_another_tag() {
        let secret = minted(Purpose::Inference);
        let own = Presented::parse(Purpose::Inference, secret.expose().as_bytes()).expect("its own form");
        let tag = |byte: u8| Pepper::new(&Secret::new([byte; 32])).tag(&own);
        assert_eq!(tag(1), tag(1));
        assert_ne!(tag(1), tag(2));
    }
}
