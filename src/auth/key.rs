//! The text form of a virtual key: `sk-sl-v1-<43 random><6 checksum>`, all base 62.
//!
//! The checksum is CRC-32 (IEEE) over everything before it, so that a mistyped or truncated key, or
//! one of another gateway, is refused without any look-up, and so that secret scanners can tell a
//! real key from a placeholder. It is no secret and adds no strength; the 43 digits (256 bits) do.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{base62_digit, hex};

const PREFIX: &str = "sk-sl-v1-";
const RANDOM_LEN: usize = 43;
const CHECKSUM_LEN: usize = 6;

/// A key as a client holds it. Deliberately without `Debug` or `Display`.
pub struct VirtualKey(String);

/// Lower-case hexadecimal SHA-256 of a key: its identity in every store and answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(String);

impl VirtualKey {
    /// A new key from 48 bytes of the platform's secure randomness.
    pub fn generate(random: &[u8; 48]) -> Self {
        // Base-62 digits of six-byte groups: the bias of the remainder is below 2^-42.
        let mut text = PREFIX.to_owned();
        for group in random.chunks(6).map(|g| g.iter().fold(0_u64, |n, &b| n << 8 | u64::from(b))) {
            let mut bits = group;
            for _ in 0..6 {
                if text.len() < PREFIX.len() + RANDOM_LEN {
                    text.push(base62_digit(bits));
                    bits /= 62;
                }
            }
        }
        let checksum = checksum(&text);
        Self(text + &checksum)
    }

    /// Checks form and checksum; `None` means that this cannot be a key of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        if body.len() != RANDOM_LEN + CHECKSUM_LEN || !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let (signed, given) = text.split_at_checked(text.len() - CHECKSUM_LEN)?;
        (checksum(signed) == given).then(|| Self(text.to_owned()))
    }

    /// The key itself, to be shown once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its hash.
    pub fn hash(&self) -> KeyHash {
        KeyHash(hex(&Sha256::digest(self.0.as_bytes())))
    }

    /// `sk-sl-v1-abc...xyz`, for lists.
    pub fn label(&self) -> String {
        let head = self.0.get(..PREFIX.len() + 3).unwrap_or(PREFIX);
        let tail = self.0.get(self.0.len().saturating_sub(3)..).unwrap_or_default();
        format!("{head}...{tail}")
    }
}

impl KeyHash {
    /// From a path or a store: 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let good = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self(text.to_owned()))
    }

    /// Of no key: for requests that come without one.
    pub fn nobody() -> Self {
        Self("0".repeat(64))
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn checksum(text: &str) -> String {
    let mut rest = u64::from(crc32(text.as_bytes()));
    let mut digits = [' '; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(rest);
        rest /= 62;
    }
    digits.iter().collect()
}

/// CRC-32 (IEEE 802.3), a nibble at a time: a key has 52 bytes, and a table of 64 bytes is in the
/// cache where the 16 KB of a fast implementation are not.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = [
        0x0000_0000,
        0x1DB7_1064,
        0x3B6E_20C8,
        0x26D9_30AC,
        0x76DC_4190,
        0x6B6B_51F4,
        0x4DB2_6158,
        0x5005_713C,
        0xEDB8_8320,
        0xF00F_9344,
        0xD6D6_A3E8,
        0xCB61_B38C,
        0x9B64_C2B0,
        0x86D3_D2D4,
        0xA00A_E278,
        0xBDBD_F21C,
    ];
    let step = |crc: u32, nibble: u8| crc >> 4 ^ TABLE.get(usize::from(nibble & 15)).copied().unwrap_or(0);
    let low = |crc: u32| crc.to_le_bytes()[0];
    !bytes.iter().fold(!0, |crc, &byte| {
        let crc = step(crc, low(crc) ^ byte);
        step(crc, low(crc) ^ byte >> 4)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_written_form_is_fixed() {
        // Computed apart, with node:zlib's crc32: the start script makes keys with it.
        let key = "sk-sl-v1-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg";
        assert_eq!(key.len(), PREFIX.len() + RANDOM_LEN);
        assert_eq!(checksum(key), "1re0Io");
    }

    proptest! {
        #[test]
        fn a_generated_key_is_accepted_and_its_neighbours_are_not(
            random in proptest::array::uniform32(any::<u8>()), at in 0_usize..58, to in "[0-9A-Za-z]",
        ) {
            let mut seed = [0_u8; 48];
            seed[..32].copy_from_slice(&random);
            let key = VirtualKey::generate(&seed);
            prop_assert_eq!(key.expose().len(), PREFIX.len() + RANDOM_LEN + CHECKSUM_LEN);
            prop_assert!(VirtualKey::parse(key.expose()).is_some());
            let mut other = key.expose().to_owned();
            other.replace_range(at..=at, &to);
            prop_assert_eq!(VirtualKey::parse(&other).is_some(), other == key.expose());
            prop_assert!(VirtualKey::parse(&key.expose()[..57]).is_none());
        }
    }
}
