//! Logging in with a token: OAUTHBEARER (RFC 7628), and IRCV3BEARER
//! (<https://github.com/ircv3/ircv3-specifications/pull/545>). What a token is worth is not known here.

use std::fmt;

/// What a client that logs in with a token says.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer<'a> {
    /// Whom it wants to act as; empty: whoever the token is for.
    pub authzid: String,
    /// The token.
    pub token: &'a str,
}

impl fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("authzid", &self.authzid).finish_non_exhaustive()
    }
}

/// Takes an OAUTHBEARER response apart: `n,a=account,` and then, each between bytes 1, `auth=Bearer
/// token` and perhaps others, which say nothing here. `None` where it is anything else. A token that is
/// empty asks for the challenge that [`oauth_error`] makes, as a client does that wants to find out.
pub fn parse_oauth(response: &[u8]) -> Option<Bearer<'_>> {
    let text = std::str::from_utf8(response).ok()?;
    let (header, pairs) = text.split_once('\x01')?;
    let pairs = pairs.strip_suffix("\x01\x01").or(pairs.strip_suffix('\x01').filter(|pairs| pairs.is_empty()))?;
    let mut header = header.split(',');
    // There is no mechanism of tokens that is bound to its connection.
    if !matches!(header.next()?, "n" | "y") {
        return None;
    }
    let authzid = match header.next()? {
        "" => String::new(),
        authzid => authzid.strip_prefix("a=")?.replace("=2C", ",").replace("=3D", "="),
    };
    if !header.next()?.is_empty() || header.next().is_some() {
        return None;
    }
    let auth = pairs.split('\x01').find_map(|pair| pair.strip_prefix("auth=")).unwrap_or("");
    let token = match auth.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => token.trim(),
        None if auth.is_empty() => "",
        _ => return None,
    };
    Some(Bearer { authzid, token })
}

/// Takes an IRCV3BEARER response apart: account, type and token with a NUL between them. `None` where
/// it is anything else, or a type that is none of `oauth2` and `jwt`.
pub fn parse_ircv3(response: &[u8]) -> Option<Bearer<'_>> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\0');
    let (authzid, kind, token) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && matches!(kind, "oauth2" | "jwt") && !token.is_empty();
    whole.then(|| Bearer { authzid: authzid.to_owned(), token })
}

/// Why a token does not log in, in the words of RFC 6750.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OauthError {
    /// The response is none.
    InvalidRequest,
    /// The token is not one that logs in.
    InvalidToken,
}

/// The challenge that tells a client of OAUTHBEARER that it failed (RFC 7628, section 3.2.2); it
/// answers with one byte 1, and then the exchange fails.
pub fn oauth_error(error: OauthError) -> &'static str {
    match error {
        OauthError::InvalidRequest => r#"{"status":"invalid_request","schemes":"bearer"}"#,
        OauthError::InvalidToken => r#"{"status":"invalid_token","schemes":"bearer"}"#,
    }
}

#[cfg(test)]
mod tests {
    use super::{Bearer, parse_ircv3, parse_oauth};

    #[test]
    fn the_example_of_rfc_7628_is_understood() {
        // Section 4.1.
        let response = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
            auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let right = Bearer { authzid: "user@example.com".into(), token: "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" };
        assert_eq!(parse_oauth(response), Some(right));
        // Section 4.3: a client that asks how it is done.
        let asks = parse_oauth(b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=\x01\x01");
        assert_eq!(asks.map(|bearer| bearer.token.to_owned()), Some(String::new()));
        let shortest = parse_oauth(b"n,,\x01auth=Bearer t\x01\x01");
        assert_eq!(shortest, Some(Bearer { authzid: String::new(), token: "t" }));
        assert_eq!(parse_oauth(b"n,a=a=2Cb=3Dc,\x01auth=bearer t\x01\x01").map(|b| b.authzid), Some("a,b=c".into()));
    }

    #[test]
    fn what_is_no_oauth_response_is_refused() {
        for bad in [
            &b""[..],
            b"\x01",
            b"n,,",
            b"n,,\x01auth=Bearer t",
            b"n,,\x01auth=Bearer t\x01",
            b"p=tls-exporter,,\x01auth=Bearer t\x01\x01",
            b"n,user,\x01auth=Bearer t\x01\x01",
            b"n,a=user\x01auth=Bearer t\x01\x01",
            b"n,,\x01auth=Basic t\x01\x01",
            b"n,,\x01auth=Bearer \xff\x01\x01",
        ] {
            assert_eq!(parse_oauth(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_ircv3_response_has_account_type_and_token() {
        assert_eq!(parse_ircv3(b"\0jwt\0t"), Some(Bearer { authzid: String::new(), token: "t" }));
        assert_eq!(parse_ircv3(b"alice\0oauth2\0t"), Some(Bearer { authzid: "alice".into(), token: "t" }));
        for bad in [&b""[..], b"alice\0jwt", b"alice\0jwt\0", b"alice\0saml\0t", b"alice\0jwt\0t\0", b"\0jwt\0\xff"] {
            assert_eq!(parse_ircv3(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn no_token_is_debugged() {
        assert!(!format!("{:?}", parse_ircv3(b"\0jwt\0hunter2")).contains("hunter2"));
    }
}
