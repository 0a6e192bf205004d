//! As little of WebSocket (RFC 6455) as a client needs that is talked to by a server it trusts: IRC's subprotocol
//! for text (<https://ircv3.net/specs/extensions/websocket>), whole messages, a mask of zeros.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// The HTTP request that begins a connection. The key is the specification's example: what the server makes of it is
/// not looked at.
pub fn request(address: SocketAddr) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nOrigin: http://load.invalid\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: text.ircv3.net\r\n\r\n"
    )
}

/// Appends a message with this text. A mask of zeros leaves the bytes as they are, which is as cheap as can be.
pub fn masked(output: &mut Vec<u8>, text: &[u8]) {
    output.push(FINAL | TEXT);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..126), _) => output.push(MASKED | length),
        (_, Ok(length)) => {
            output.push(MASKED | 126);
            output.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            output.push(MASKED | 127);
            output.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(&[0; 4]);
    output.extend_from_slice(text);
}

/// The first message's text, and how many bytes it takes with its head; `None` where its end has not come. What is not
/// text has an empty one.
///
/// # Errors
/// The server closes, masks or parts a message.
pub fn message(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = first & 0x0f;
    ensure!(opcode != CLOSE, "was closed by the server");
    ensure!(first & FINAL != 0 && second & MASKED == 0, "got a message that is parted or masked");
    let (head, length) = match (*second, rest) {
        (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        (126 | 127, _) => return Ok(None),
        (length, _) => (2, u64::from(length)),
    };
    let end = head + usize::try_from(length)?;
    let text = bytes.get(head..end).map(|text| if matches!(opcode, TEXT | BINARY) { text } else { &[] });
    Ok(text.map(|text| (text, end)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{FINAL, TEXT, masked, message};

    /// A server's message: as a client's, without the mask.
    fn sent(text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        masked(&mut bytes, text);
        bytes[1] &= 0x7f;
        let head = bytes.len() - text.len();
        bytes.drain(head - 4..head);
        bytes
    }

    #[test]
    fn a_message_is_read_whole_or_not_at_all() {
        for length in [0, 1, 125, 126, 300, 65_535, 65_536] {
            let text = vec![b'x'; length];
            let bytes = sent(&text);
            assert_eq!(message(&bytes).unwrap(), Some((text.as_slice(), bytes.len())));
            assert_eq!(message(&bytes[..bytes.len() - 1]).unwrap(), None);
        }
        assert_eq!(message(&[]).unwrap(), None);
    }

    #[test]
    fn a_client_masks_and_only_a_client() {
        let mut bytes = Vec::new();
        masked(&mut bytes, b"PING");
        assert_eq!(bytes, [&[FINAL | TEXT, 0x84, 0, 0, 0, 0], b"PING".as_slice()].concat());
        assert!(message(&bytes).is_err());
    }

    #[test]
    fn a_ping_has_no_text_and_a_close_is_an_end() {
        assert_eq!(message(&[0x89, 2, 1, 2]).unwrap(), Some((&[][..], 4)));
        assert!(message(&[0x88, 0]).is_err());
    }
}
