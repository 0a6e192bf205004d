//! The PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>): a proxy says whom it speaks for.

use std::io::{self, Read};
use std::net::IpAddr;

use ppp::{PartialResult, v1, v2};
use sha2::{Digest, Sha256};

use crate::limits::PROXY_HEADER_BYTES;
use crate::net::link::Socket;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of one read of a header: all but those with a certificate.
const READ_BYTES: usize = 512;

/// `PP2_TYPE_SSL`, its flags, and the certificate of the client inside it.
const TYPE_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;
/// On this connection, or when the session began that this one resumes.
const CLIENT_CERT: u8 = 0x02 | 0x04;
const SUBTYPE_CLIENT_CERT: u8 = 0x28;

/// Whom a proxy speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The address; an IPv4-mapped IPv6 address is IPv4.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// Whether the proxy took the connection over TLS.
    pub tls: bool,
    /// SHA-256 of the certificate that the client showed the proxy, in lower-case hex.
    pub certfp: Option<Box<str>>,
}

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    /// Not to be said yet.
    Incomplete,
    /// Something else.
    None,
    /// A header of so many bytes; `None` where it speaks for nobody: the proxy's own connection, to
    /// see whether the server is there.
    Header(usize, Option<Announced>),
    /// A header that is broken.
    Broken(String),
}

/// A connection that begins, or may begin, with a header.
#[derive(Debug)]
pub struct Introduction {
    socket: Socket,
    read: Vec<u8>,
    required: bool,
    /// The header was read, and it speaks for nobody.
    own: bool,
}

impl Introduction {
    /// What comes over `socket`. A header is `required`, or taken if it comes.
    pub fn new(socket: Socket, required: bool) -> Introduction {
        Introduction { socket, read: Vec::new(), required, own: false }
    }

    /// Whether it must begin with a header.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether it may go on as if nothing had been announced: nothing has come, and nothing has to.
    pub fn may_be_silent(&self) -> bool {
        !self.required && self.read.is_empty()
    }

    /// The socket, with what was read of it put back.
    pub fn into_socket(mut self) -> Socket {
        self.socket.unread(&self.read);
        self.socket
    }

    /// Reads the header; `WouldBlock` until it is there. `Ok(None)`: the connection is what it looks
    /// like. A proxy that only looks whether the server is there is waited for until it says more,
    /// so that one that leaves again is never heard of.
    ///
    /// # Errors
    /// The connection ended; the header is missing or broken.
    pub fn step(&mut self) -> io::Result<Option<Announced>> {
        loop {
            if self.own && !self.read.is_empty() {
                return Ok(None);
            }
            if !self.own {
                match start_of(&self.read) {
                    Start::Incomplete => {}
                    Start::None if self.required => return Err(invalid("no PROXY header")),
                    Start::None => return Ok(None),
                    Start::Broken(why) => return Err(invalid(&why)),
                    Start::Header(bytes, Some(announced)) => {
                        self.read.drain(..bytes);
                        return Ok(Some(announced));
                    }
                    Start::Header(bytes, None) => {
                        self.read.drain(..bytes);
                        self.own = true;
                        continue;
                    }
                }
            }
            if self.read.len() > PROXY_HEADER_BYTES {
                return Err(invalid("the PROXY header is too long"));
            }
            let mut scratch = [0; READ_BYTES];
            match self.socket.read(&mut scratch)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.read.extend_from_slice(&scratch[..n]),
            }
        }
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// What is said by the first bytes of a connection.
pub fn start_of(bytes: &[u8]) -> Start {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(V2) {
        if bytes.len() < V2.len() {
            return Start::Incomplete;
        }
        let header = v2::Header::try_from(bytes);
        match header {
            _ if header.is_incomplete() => Start::Incomplete,
            Ok(header) => Start::Header(header.len(), announced_v2(&header)),
            Err(error) => Start::Broken(error.to_string()),
        }
    } else if begins(V1) {
        let Some(end) = bytes.iter().take(MAX_V1_BYTES).position(|byte| *byte == b'\n') else {
            // Whatever a line lacks that has no end yet may still come.
            let complete = bytes.len() >= MAX_V1_BYTES;
            return if complete { Start::Broken("the line is too long".into()) } else { Start::Incomplete };
        };
        let line = &bytes[..=end];
        if !line.ends_with(b"\r\n") {
            return Start::Broken("the line does not end in CR LF".into());
        }
        match v1::Header::try_from(line) {
            Ok(header) => Start::Header(line.len(), announced_v1(&header)),
            Err(error) => Start::Broken(error.to_string()),
        }
    } else {
        Start::None
    }
}

/// The longest line of version 1, with its CR LF.
const MAX_V1_BYTES: usize = 107;

fn announced_v1(header: &v1::Header<'_>) -> Option<Announced> {
    let (ip, port) = match &header.addresses {
        v1::Addresses::Tcp4(tcp) => (IpAddr::V4(tcp.source_address), tcp.source_port),
        v1::Addresses::Tcp6(tcp) => (IpAddr::V6(tcp.source_address), tcp.source_port),
        v1::Addresses::Unknown => return None,
    };
    Some(Announced { ip: ip.to_canonical(), port, tls: false, certfp: None })
}

fn announced_v2(header: &v2::Header<'_>) -> Option<Announced> {
    if header.command == v2::Command::Local {
        return None;
    }
    let (ip, port) = match &header.addresses {
        v2::Addresses::IPv4(tcp) => (IpAddr::V4(tcp.source_address), tcp.source_port),
        v2::Addresses::IPv6(tcp) => (IpAddr::V6(tcp.source_address), tcp.source_port),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => return None,
    };
    let mut announced = Announced { ip: ip.to_canonical(), port, tls: false, certfp: None };
    for tlv in header.tlvs().map_while(Result::ok).filter(|tlv| tlv.kind == TYPE_SSL) {
        // One byte of flags and four that say whether the certificate was verified: whose it is is a
        // matter of its fingerprint here.
        let (Some(flags), Some(inner)) = (tlv.value.first(), tlv.value.get(5..)) else { continue };
        announced.tls = flags & CLIENT_SSL != 0;
        if announced.tls && flags & CLIENT_CERT != 0 {
            let mut inner = v2::TypeLengthValues::from(inner).map_while(Result::ok);
            let certificate = inner.find(|tlv| tlv.kind == SUBTYPE_CLIENT_CERT);
            announced.certfp = certificate.map(|tlv| hex(&Sha256::digest(&tlv.value)));
        }
    }
    Some(announced)
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> Box<str> {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sha2::{Digest, Sha256};

    use super::{Announced, Start, V2, hex, start_of};

    fn from(ip: &str, port: u16) -> Option<Announced> {
        Some(Announced { ip: ip.parse().unwrap(), port, tls: false, certfp: None })
    }

    /// A header of version 2; `kind` is version and command, then family and protocol.
    fn v2(kind: [u8; 2], rest: &[u8]) -> Vec<u8> {
        [V2, &kind, &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    fn tcp4(ip: [u8; 4], port: u16) -> Vec<u8> {
        [&ip[..], &[127, 0, 0, 1], &port.to_be_bytes(), &6667u16.to_be_bytes()].concat()
    }

    /// Every beginning of it is incomplete, and all of it, whatever follows, is this.
    #[track_caller]
    fn is(header: &[u8], announced: Option<Announced>) {
        for end in 0..header.len() {
            assert_eq!(start_of(&header[..end]), Start::Incomplete, "{end} of {}", header.len());
        }
        for follows in [&b""[..], b"NICK a\r\n", b"\x16\x03\x01", b"PROXY TCP4 "] {
            let expected = Start::Header(header.len(), announced.clone());
            assert_eq!(start_of(&[header, follows].concat()), expected);
        }
    }

    #[test]
    fn version_1_in_every_form() {
        is(b"PROXY TCP4 1.2.3.4 127.0.0.1 65533 6667\r\n", from("1.2.3.4", 65_533));
        is(b"PROXY TCP6 2001:db8::1 ::1 1 6667\r\n", from("2001:db8::1", 1));
        is(b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 6667\r\n", from("1.2.3.4", 1));
        is(b"PROXY UNKNOWN\r\n", None);
        is(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None);
    }

    #[test]
    fn version_2_in_every_form() {
        is(&v2([0x21, 0x11], &tcp4([1, 2, 3, 4], 65_533)), from("1.2.3.4", 65_533));
        let mut tcp6 = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec();
        tcp6.extend([&[0; 16][..], &[0, 9, 0, 9]].concat());
        is(&v2([0x21, 0x21], &tcp6), from("2001:db8::1", 9));
        is(&v2([0x20, 0x00], &[]), None);
        is(&v2([0x20, 0x11], &tcp4([1, 2, 3, 4], 1)), None);
        is(&v2([0x21, 0x31], &[0; 216]), None);
        is(&v2([0x21, 0x00], &[]), None);
    }

    #[test]
    fn version_2_says_whether_the_client_came_by_tls_and_with_which_certificate() {
        let tlv = |kind: u8, value: &[u8]| [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat();
        let certificate = [7; 1500];
        let inner = [tlv(0x21, b"TLSv1.3"), tlv(0x28, &certificate)].concat();
        let fingerprint = Some(hex(&Sha256::digest(certificate)));
        for (flags, tls, certfp) in [
            (0x01, true, None),
            (0x03, true, fingerprint.clone()),
            (0x05, true, fingerprint),
            (0x00, false, None),
            (0x02, false, None),
        ] {
            let ssl = tlv(0x20, &[&[flags, 0, 0, 0, 0][..], &inner].concat());
            let rest = [tcp4([1, 2, 3, 4], 5), tlv(0x01, b"irc"), ssl, tlv(0x04, b"")].concat();
            let announced = Announced { tls, certfp, ..from("1.2.3.4", 5).unwrap() };
            is(&v2([0x21, 0x11], &rest), Some(announced));
        }
    }

    #[test]
    fn what_is_no_header_is_told_from_one_that_is_broken() {
        for start in [&b"N"[..], b"PROXZ", b"\r\n\r\nN", b"\x16\x03", b"PRIVMSG", b"proxy TCP4 ", b"GET / HTTP/1.1"] {
            assert_eq!(start_of(start), Start::None, "{}", start.escape_ascii());
        }
        let cut = v2([0x21, 0x11], &[1, 2, 3, 4]);
        let version = v2([0x31, 0x11], &tcp4([1, 2, 3, 4], 1));
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        for broken in [
            &b"PROXY TCP4 1.2.3.4\r\n"[..],
            b"PROXY TCP4 1.2.3.4 127.0.0.1 65536 6667\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP5 1.2.3.4 127.0.0.1 1 6667\r\n",
            b"PROXY TCP4 1.2.3.4 127.0.0.1 1 6667\n",
            b"PROXY \xff\r\n",
            &cut,
            &version,
            &long,
        ] {
            assert!(matches!(start_of(broken), Start::Broken(_)), "{}", broken.escape_ascii());
        }
    }
}
