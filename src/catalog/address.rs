//! Addresses of providers: which ones may be called, as far as a name tells.

/// The outbound address policy for a row's `base_url` (see [`check_address`]).
pub fn check_base_url(url: &str, allow_private: bool) -> Result<(), String> {
    check_address("base_url", url, allow_private)
}

/// The outbound address policy, as far as a name tells: https for public hosts, and literal private,
/// loopback, link-local or otherwise special addresses only where the row allows them. (On one's own
/// box the network layer enforces the same for what names resolve to; at the edge private networks
/// cannot be reached at all.) `field`: the member that it stands in, for the message.
pub fn check_address(field: &str, url: &str, allow_private: bool) -> Result<(), String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{field} must begin with https://"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if rest.contains(['?', '#'])
        || authority.contains('@')
        || url.chars().any(|c| c.is_control() || c == ' ' || c == '\\')
    {
        return Err(format!("{field} must be a plain address without user, query or fragment."));
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority
            .rsplit_once(':')
            .map_or(authority, |(host, port)| if port.bytes().all(|b| b.is_ascii_digit()) { host } else { authority }),
    };
    if host.is_empty() {
        return Err(format!("{field} has no host."));
    }
    let private = is_private_host(host);
    match scheme {
        "https" => {}
        "http" if private && allow_private => {}
        "http" => {
            return Err(format!("{field} must use https (http is for private addresses, with allow_private_network)."));
        }
        _ => return Err(format!("{field} must begin with https://")),
    }
    if private && !allow_private {
        return Err(format!("{field} points into a private network; set allow_private_network if that is meant."));
    }
    Ok(())
}

fn is_private_host(host: &str) -> bool {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    fn v4(ip: Ipv4Addr) -> bool {
        let [a, b, c, _] = ip.octets();
        ip.is_private()
            || ip.is_loopback()
            || ip.is_link_local()
            || ip.is_broadcast()
            || ip.is_multicast()
            || a == 0
            || a >= 240
            || a == 100 && (64..128).contains(&b)
            || a == 192 && b == 0 && c == 0
            || a == 198 && (18..20).contains(&b)
    }
    #[expect(clippy::many_single_char_names, reason = "the segments of an address")]
    fn v6(ip: Ipv6Addr) -> bool {
        let [a, b, c, d, e, f, g, h] = ip.segments();
        let embedded = |high: u16, low: u16| {
            let ([p, q], [r, s]) = (high.to_be_bytes(), low.to_be_bytes());
            v4(Ipv4Addr::new(p, q, r, s))
        };
        ip.is_loopback()
            || ip.is_unspecified()
            || ip.is_multicast()
            || a & 0xfe00 == 0xfc00
            || a & 0xffc0 == 0xfe80
            || (a, b, c, d, e) == (0, 0, 0, 0, 0) && (f == 0xffff || f == 0) && embedded(g, h)
            || (a, b) == (0x64, 0xff9b) && embedded(g, h)
            || a == 0x2002 && embedded(b, c)
    }
    let lower = host.trim_end_matches('.').to_ascii_lowercase();
    match lower.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => v4(ip),
        Ok(IpAddr::V6(ip)) => v6(ip),
        // Names without a dot, names that only private resolvers know, and every other way to write
        // an IPv4 address (decimal, octal, hexadecimal, short) that a URL parser would accept.
        Err(_) => {
            let last = lower.rsplit('.').next().unwrap_or_default();
            !lower.contains('.')
                || ["localhost", "local", "internal", "lan", "home", "arpa"].contains(&last)
                || last.bytes().all(|b| b.is_ascii_digit())
                || last.starts_with("0x")
        }
    }
}

/// Scheme, host and port.
pub fn origin(url: &str) -> String {
    url.split('/').take(3).collect::<Vec<_>>().join("/").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_follow_the_outbound_address_policy() {
        for (url, public, private) in [
            ("https://api.openai.com/v1", true, true),
            ("https://api.openai.com:8443/v1", true, true),
            ("https://[2606:4700::1111]/v1", true, true),
            ("http://api.openai.com/v1", false, false),
            ("http://127.0.0.1:9000/v1", false, true),
            ("https://127.0.0.1/v1", false, true),
            ("http://localhost:11434/v1", false, true),
            ("http://ollama:11434/v1", false, true),
            ("https://0.0.0.0/v1", false, true),
            ("https://10.1.2.3/v1", false, true),
            ("https://100.64.0.1/v1", false, true),
            ("https://169.254.169.254/latest", false, true),
            ("https://[::1]/v1", false, true),
            ("https://[::]/v1", false, true),
            ("https://[::ffff:10.0.0.1]/v1", false, true),
            ("https://[64:ff9b::a00:1]/v1", false, true),
            ("https://[2002:a00:1::]/v1", false, true),
            ("https://[fd00::1]/v1", false, true),
            ("https://2130706433/v1", false, true),
            ("https://0x7f.1/v1", false, true),
            ("https://127.1/v1", false, true),
            ("https://metadata.google.internal/v1", false, true),
            ("https://user:pw@api.openai.com/v1", false, false),
            ("https://api.openai.com/v1?x=1", false, false),
            ("https://evil.com\\@api.openai.com/", false, false),
            ("ftp://api.openai.com", false, false),
            ("https:///v1", false, false),
            ("api.openai.com", false, false),
        ] {
            assert_eq!(check_base_url(url, false).is_ok(), public, "{url} (public only)");
            assert_eq!(check_base_url(url, true).is_ok(), private, "{url} (private allowed)");
        }
    }
}
