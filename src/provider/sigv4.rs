//! AWS Signature Version 4: headers that prove who sends a request.
//!
//! Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, as of
//! November 2026. Pure: the moment is handed in. Paths are signed as every service but S3 wants them:
//! what is sent is percent-encoded once more. Dot segments are not resolved: addresses made by this
//! gateway have none.

use std::fmt::Write;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::{ids::hex, time::Millis};

/// An AWS key. Deliberately without `Debug`.
#[derive(Clone, Copy)]
pub struct Credentials<'c> {
    /// `AKIA...` or `ASIA...`
    pub access_key: &'c str,
    /// Its secret half.
    pub secret_key: &'c str,
    /// Of temporary credentials.
    pub session_token: Option<&'c str>,
}

/// What a signature is good for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s> {
    /// `us-east-1`
    pub region: &'s str,
    /// `bedrock`
    pub service: &'s str,
}

/// A request to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// `POST`
    pub method: &'r str,
    /// The whole address, as it will be sent.
    pub url: &'r str,
    /// Headers that are signed beside `host` and those that the signature adds.
    pub headers: &'r [(&'r str, &'r str)],
    /// [`body_hash`] of the body.
    pub body_hash: &'r str,
}

/// What a request's body is signed by.
pub fn body_hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

/// The headers to add.
pub fn sign(
    credentials: Credentials<'_>,
    scope: Scope<'_>,
    request: Request<'_>,
    now: Millis,
) -> Vec<(String, String)> {
    let moment = compact(now);
    let day = moment.get(..8).unwrap_or_default();
    let (host, path, query) = parts(request.url);

    let mut added = vec![("x-amz-date".to_owned(), moment.clone())];
    added.extend(credentials.session_token.map(|token| ("x-amz-security-token".to_owned(), token.to_owned())));
    let mut headers: Vec<(String, String)> = request
        .headers
        .iter()
        .copied()
        .chain([("host", host)])
        .chain(added.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .map(|(name, value)| (name.to_ascii_lowercase(), trimmed(value)))
        .collect();
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    headers.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.1.push(',');
            first.1.push_str(&next.1);
        }
        same
    });
    let signed: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let signed = signed.join(";");

    let mut canonical = format!("{}\n{}\n{}\n", request.method, encoded(path, true), canonical_query(query));
    for (name, value) in &headers {
        let _ = writeln!(canonical, "{name}:{value}");
    }
    let _ = write!(canonical, "\n{signed}\n{}", request.body_hash);

    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!("AWS4-HMAC-SHA256\n{moment}\n{place}\n{}", hex(&Sha256::digest(&canonical)));
    let secret = format!("AWS4{}", credentials.secret_key);
    let key = [day, scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, word| hmac(&key, word));
    let signature = hex(&hmac(&key, &text));

    let access_key = credentials.access_key;
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={access_key}/{place}, SignedHeaders={signed}, Signature={signature}");
    added.push(("authorization".to_owned(), authorization));
    added
}

/// `20150830T123600Z`
fn compact(now: Millis) -> String {
    let iso = now.iso();
    let seconds = iso.get(..19).unwrap_or_default();
    seconds.chars().filter(|c| !matches!(c, '-' | ':')).chain(['Z']).collect()
}

/// Host, path and query of an address.
fn parts(url: &str) -> (&str, &str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    match rest.find('/').map(|at| rest.split_at(at)) {
        Some((host, path)) => (host, path, query),
        None => (rest, "/", query),
    }
}

/// Without white space at the ends, and one space for each run of spaces inside.
fn trimmed(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Every pair percent-encoded once, in order of name and value.
fn canonical_query(query: &str) -> String {
    let again = |text: &str| encoded_bytes(&decoded(text), false);
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (again(name), again(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Percent-encoded but for letters, digits and `-._~` (and `/` in paths).
pub(super) fn encoded(text: &str, slashes: bool) -> String {
    encoded_bytes(text.as_bytes(), slashes)
}

fn encoded_bytes(bytes: &[u8], slashes: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || slashes && byte == b'/' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit =
            |at: usize| after.get(at).and_then(|&b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            out.push(high << 4 | low);
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
    const ALL: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    fn signed(token: Option<&str>, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token: token,
        };
        let url = format!("https://example.amazonaws.com{path}");
        let body_hash = body_hash(body.as_bytes());
        let request = Request { method, url: &url, headers, body_hash: &body_hash };
        let scope = Scope { region: "us-east-1", service: "service" };
        let now = Millis::parse_iso("2015-08-30T12:36:00Z").unwrap();
        let added = sign(credentials, scope, request, now);
        assert_eq!(added[0], ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()));
        let authorization = &added.last().unwrap().1;
        let rest = authorization
            .strip_prefix("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ")
            .unwrap();
        rest.to_owned()
    }

    /// Name, method, path, headers, body, names of the signed headers, signature.
    type Case<'c> = (&'c str, &'c str, &'c str, &'c [(&'c str, &'c str)], &'c str, &'c str, &'c str);

    /// AWS's own test suite (`aws-signing-test-suite/v4`), by the names it has there.
    #[test]
    fn the_published_test_suite_passes() {
        let everything = format!("/?{ALL}={ALL}");
        let form = "Param1=value1";
        let form_headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", "13"),
            ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
        ];
        let form_signed = "content-length;content-type;host;x-amz-content-sha256;x-amz-date";
        let duplicate = [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")];
        let spaces = [("My-Header1", " value1"), ("My-Header2", " \"a   b   c\" ")];
        #[rustfmt::skip]
        let cases: &[Case<'_>] = &[
            ("get-vanilla", "GET", "/", &[], "", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("post-vanilla", "POST", "/", &[], "", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            ("get-utf8", "GET", "/ሴ", &[], "", "host;x-amz-date", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
            ("get-space-unnormalized", "GET", "/example space/", &[], "", "host;x-amz-date", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
            ("get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", &[], "", "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
            ("get-vanilla-query-order-encoded", "GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", &[], "", "host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
            ("get-vanilla-query-unreserved", "GET", &everything, &[], "", "host;x-amz-date", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
            ("get-header-value-trim", "GET", "/", &spaces, "", "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
            ("get-header-key-duplicate", "GET", "/", &duplicate, "", "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
            ("post-x-www-form-urlencoded", "POST", "/", &form_headers, form, form_signed, "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
        ];
        for (name, method, path, headers, body, names, signature) in cases {
            let expected = format!("SignedHeaders={names}, Signature={signature}");
            assert_eq!(signed(None, method, path, headers, body), expected, "{name}");
        }
        assert_eq!(
            signed(Some(TOKEN), "GET", "/", &[], ""),
            "SignedHeaders=host;x-amz-date;x-amz-security-token, \
             Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            "get-vanilla-with-session-token"
        );
    }

    #[test]
    fn a_path_that_is_encoded_is_encoded_once_more() {
        assert_eq!(encoded("/model/a%3A0/converse", true), "/model/a%253A0/converse");
        assert_eq!(parts("https://h.example"), ("h.example", "/", ""));
        assert_eq!(parts("https://h.example/a/b?c=d"), ("h.example", "/a/b", "c=d"));
    }
}
