//! The PLAIN mechanism (RFC 4616).

use std::fmt;

/// A PLAIN response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Plain<'a> {
    /// Whom the client wants to act as; empty: the same as `authcid`.
    pub authzid: &'a str,
    /// Whose password it is; never empty.
    pub authcid: &'a str,
    /// The password; never empty.
    pub password: &'a str,
}

impl fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").field("authzid", &self.authzid).field("authcid", &self.authcid).finish_non_exhaustive()
    }
}

/// Takes a PLAIN response apart: three parts of UTF-8 with a NUL between them, so that no part has
/// a NUL. `None` where it is anything else, or has no `authcid` or no password.
pub fn parse_plain(response: &[u8]) -> Option<Plain<'_>> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\0');
    let (authzid, authcid, password) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && !authcid.is_empty() && !password.is_empty()).then_some(Plain {
        authzid,
        authcid,
        password,
    })
}

#[cfg(test)]
mod tests {
    use super::{Plain, parse_plain};

    #[test]
    fn plain_has_three_parts() {
        let right = Plain { authzid: "", authcid: "alice", password: "s e:cret\u{e9}" };
        assert_eq!(parse_plain("\0alice\0s e:cret\u{e9}".as_bytes()), Some(right));
        assert_eq!(parse_plain(b"bob\0alice\0x").map(|plain| plain.authzid), Some("bob"));
        for bad in [&b""[..], b"\0", b"\0\0", b"\0alice\0", b"\0\0x", b"alice\0x", b"\0alice\0x\0y", b"\0alice\0\xff"] {
            assert_eq!(parse_plain(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn no_password_is_debugged() {
        assert!(!format!("{:?}", parse_plain(b"\0alice\0hunter2")).contains("hunter2"));
    }
}
