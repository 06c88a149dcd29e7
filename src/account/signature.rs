//! Signed webhooks, both ways: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`. Stripe signs what
//! it sends us so (docs.stripe.com/webhooks, read 2026-11), and we sign alerts the same.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::{ids::hex, time::Millis};

/// How old, or how far ahead of our clock, a signature may be.
pub const TOLERANCE_S: i64 = 300;
/// A sender that rolls its secret signs with two; more are a flood.
const MOST_SIGNATURES: usize = 8;

/// The header's value for a body that leaves now.
pub fn sign(secret: &str, body: &str, now: Millis) -> Option<String> {
    let t = now.seconds();
    let digest = keyed(secret, &t.to_string(), body.as_bytes())?.finalize().into_bytes();
    Some(format!("t={t},v1={}", hex(&digest)))
}

/// Checks a header: one of its `v1` has to fit. The comparison takes the same time wherever they differ.
pub fn verify(secret: &str, header: &str, body: &[u8], now: Millis) -> Result<(), &'static str> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let t = parts().find(|(name, _)| *name == "t").map(|(_, value)| value).ok_or("it has no timestamp")?;
    let moment: i64 = t.parse().map_err(|_| "its timestamp is no number")?;
    if now.seconds().abs_diff(moment) > TOLERANCE_S.unsigned_abs() {
        return Err("it is too old, or from the future");
    }
    let mac = keyed(secret, t, body).ok_or("the secret cannot be used")?;
    let fits = parts()
        .filter(|(name, _)| *name == "v1")
        .take(MOST_SIGNATURES)
        .filter_map(|(_, value)| unhex(value))
        .fold(false, |fits, given| fits | mac.clone().verify_slice(&given).is_ok());
    if fits { Ok(()) } else { Err("it does not fit the body") }
}

fn keyed(secret: &str, t: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(t.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_795_176_000_000);

    #[test]
    fn the_digest_is_hmac_sha256_of_time_dot_body() {
        // RFC 4231, case 2: key "Jefe", data "what do ya want for nothing?".
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        assert_eq!(
            hex(&mac.finalize().into_bytes()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let header = sign("whsec", "{}", NOW).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec").unwrap();
        mac.update(b"1795176000.{}");
        assert_eq!(header, format!("t=1795176000,v1={}", hex(&mac.finalize().into_bytes())));
    }

    #[test]
    fn a_signature_fits_its_secret_body_and_time_only() {
        let header = sign("whsec", "{\"a\":1}", NOW).unwrap();
        let at = |ms| verify("whsec", &header, b"{\"a\":1}", NOW.plus(ms));
        assert_eq!(at(0), Ok(()));
        assert_eq!((at(300_000), at(-300_000)), (Ok(()), Ok(())));
        assert!(at(301_000).is_err() && at(-301_000).is_err());
        assert!(verify("other", &header, b"{\"a\":1}", NOW).is_err());
        assert!(verify("whsec", &header, b"{\"a\":2}", NOW).is_err());
        // Another time with the old digest.
        let moved = header.replace("t=1795176000", "t=1795176001");
        assert!(verify("whsec", &moved, b"{\"a\":1}", NOW).is_err());
    }

    #[test]
    fn one_of_several_signatures_is_enough_and_rubbish_is_none() {
        let good = sign("new", "b", NOW).unwrap();
        let v1 = good.split(',').nth(1).unwrap();
        let old = sign("old", "b", NOW).unwrap();
        assert_eq!(verify("new", &format!("{old},v0=zz,{v1}"), b"b", NOW), Ok(()));
        for bad in ["", "t=,v1=", "t=1795176000", "v1=ab", "t=x,v1=ab", "t=1795176000,v1=zz", "t=1795176000,v1="] {
            assert!(verify("new", bad, b"b", NOW).is_err(), "{bad}");
        }
        let late = std::iter::repeat_n(old.split(',').nth(1).unwrap(), MOST_SIGNATURES).collect::<Vec<_>>().join(",");
        assert!(verify("new", &format!("t=1795176000,{late},{v1}"), b"b", NOW).is_err(), "a flood");
    }
}
