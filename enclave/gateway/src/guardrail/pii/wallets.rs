//! Addresses of crypto-currencies.

use ring::digest::{SHA256, digest};

use super::At;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Bitcoin: base58check of 25 bytes, or bech32 and bech32m of the main network (BIP 173, BIP 350).
pub(super) fn bitcoin(at: &At<'_>) -> Option<usize> {
    let rest = at.rest();
    let length = rest.iter().take(91).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let written = rest.get(..length)?;
    let found = match written {
        [b'1' | b'3', ..] if (26..=35).contains(&length) => base58check(written),
        [b'b', b'c', b'1', data @ ..] if (14..=90).contains(&length) => bech32(data),
        _ => false,
    };
    (found && at.ends_after(length)).then_some(length)
}

fn base58check(written: &[u8]) -> bool {
    let mut bytes = [0_u8; 25];
    for letter in written {
        let Some(value) = BASE58.iter().position(|own| own == letter) else { return false };
        let mut carry = u32::try_from(value).unwrap_or(0);
        for byte in bytes.iter_mut().rev() {
            let sum = u32::from(*byte).wrapping_mul(58).wrapping_add(carry);
            *byte = u8::try_from(sum & 0xff).unwrap_or(0);
            carry = sum.wrapping_shr(8);
        }
        if carry != 0 {
            return false;
        }
    }
    let Some((body, check)) = bytes.split_at_checked(21) else { return false };
    digest(&SHA256, digest(&SHA256, body).as_ref()).as_ref().starts_with(check)
}

fn bech32(data: &[u8]) -> bool {
    // The expanded "bc": high bits, zero, low bits.
    let mut sum = [3_u32, 3, 0, 2, 3].into_iter().fold(1, polymod);
    for letter in data {
        let Some(value) = BECH32.iter().position(|own| own == letter) else { return false };
        sum = polymod(sum, u32::try_from(value).unwrap_or(0));
    }
    matches!(sum, 1 | 0x2bc8_30a3)
}

fn polymod(sum: u32, value: u32) -> u32 {
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = sum.wrapping_shr(25);
    let mut next = (sum & 0x01ff_ffff).wrapping_shl(5) ^ value;
    for (place, generator) in (0_u32..).zip(GENERATORS) {
        if top.wrapping_shr(place) & 1 == 1 {
            next ^= generator;
        }
    }
    next
}

/// Ethereum: 20 bytes in hexadecimal. The checksum in its letter case is optional and not looked at.
pub(super) fn ethereum(at: &At<'_>) -> Option<usize> {
    let rest = at.rest().strip_prefix(b"0x")?;
    let hex = rest.iter().take(41).take_while(|byte| byte.is_ascii_hexdigit()).count();
    (hex == 40 && at.ends_after(42)).then_some(42)
}
