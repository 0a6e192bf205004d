//! The floor: the least that a server with one thread can do for the workloads.
//!
//! It knows no rules of IRC: a NICK gets 001, a JOIN gets 366, a PRIVMSG is copied to every other member of the
//! channel, and each socket is written once in a turn of the event loop.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use memchr::memchr;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX >> 1);

struct Connection {
    socket: TcpStream,
    nick: Vec<u8>,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Is in the list of those to be written in this turn.
    dirty: bool,
}

#[derive(Default)]
struct Floor {
    /// By token; a place is not used again.
    connections: Vec<Option<Connection>>,
    channels: HashMap<Vec<u8>, Vec<usize>>,
    dirty: Vec<usize>,
}

/// Serves on 127.0.0.1 until the process is ended.
///
/// # Errors
/// The port is taken, or epoll fails.
pub fn serve(port: u16) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(4096);
    let mut scratch = vec![0; 65536];
    let mut floor = Floor::default();
    loop {
        poll.poll(&mut events, None)?;
        for event in events.iter() {
            if event.token() == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    socket.set_nodelay(true)?;
                    let token = Token(floor.connections.len());
                    poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
                    let (nick, input, output) = Default::default();
                    floor.connections.push(Some(Connection { socket, nick, input, output, dirty: false }));
                }
                continue;
            }
            if event.is_readable() {
                floor.read(event.token().0, &mut scratch);
            }
            if event.is_writable() {
                floor.mark(event.token().0);
            }
        }
        floor.write();
    }
}

impl Floor {
    fn read(&mut self, id: usize, scratch: &mut [u8]) {
        let Some(connection) = &mut self.connections[id] else { return };
        loop {
            match connection.socket.read(scratch) {
                Ok(0) => return self.close(id),
                Ok(length) => connection.input.extend_from_slice(&scratch[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return self.close(id),
            }
        }
        let mut input = std::mem::take(&mut connection.input);
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &input[start..]) {
            let line = &input[start..start + length];
            self.line(id, line.strip_suffix(b"\r").unwrap_or(line));
            start += length + 1;
        }
        input.drain(..start);
        if let Some(connection) = &mut self.connections[id] {
            connection.input = input;
        }
    }

    fn line(&mut self, id: usize, line: &[u8]) {
        let Some(connection) = &mut self.connections[id] else { return };
        if let Some(nick) = line.strip_prefix(b"NICK ") {
            connection.nick = nick.to_vec();
            connection.output.extend([b":floor 001 ", nick, b" :hi\r\n"].into_iter().flatten());
            self.mark(id);
        } else if let Some(channel) = line.strip_prefix(b"JOIN ") {
            connection.output.extend(
                [b":floor 366 ", connection.nick.as_slice(), b" ", channel, b" :end\r\n"].into_iter().flatten(),
            );
            self.channels.entry(channel.to_vec()).or_default().push(id);
            self.mark(id);
        } else if let Some(rest) = line.strip_prefix(b"PRIVMSG ") {
            let channel = rest.split(|byte| *byte == b' ').next().unwrap_or(rest);
            let message = [b":", connection.nick.as_slice(), b"!load@127.0.0.1 ", line, b"\r\n"].concat();
            let Some(members) = self.channels.get(channel) else { return };
            for &member in members.iter().filter(|member| **member != id) {
                let Some(connection) = &mut self.connections[member] else { continue };
                connection.output.extend_from_slice(&message);
                if !connection.dirty {
                    connection.dirty = true;
                    self.dirty.push(member);
                }
            }
        }
    }

    /// Has the connection written in this turn, if there is anything to write.
    fn mark(&mut self, id: usize) {
        if let Some(connection) = &mut self.connections[id]
            && !connection.dirty
            && !connection.output.is_empty()
        {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    fn write(&mut self) {
        for id in self.dirty.drain(..) {
            let Some(connection) = &mut self.connections[id] else { continue };
            connection.dirty = false;
            let mut written = 0;
            // What does not fit waits for the socket to become writable; a broken one shows when it is read.
            while written < connection.output.len() {
                match connection.socket.write(&connection.output[written..]) {
                    Ok(length) => written += length,
                    Err(_) => break,
                }
            }
            connection.output.drain(..written);
        }
    }

    fn close(&mut self, id: usize) {
        for members in self.channels.values_mut() {
            members.retain(|member| *member != id);
        }
        self.connections[id] = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

    use crate::floor::serve;
    use crate::server::free_port;

    #[test]
    fn a_line_reaches_the_others_of_the_channel_and_not_its_sender() {
        let port = free_port().unwrap();
        // Serves until the test process ends.
        std::thread::spawn(move || serve(port));
        let join = |nick: &str| {
            let mut socket = loop {
                if let Ok(socket) = TcpStream::connect(("127.0.0.1", port)) {
                    break socket;
                }
                std::thread::yield_now();
            };
            write!(socket, "NICK {nick}\r\nUSER load 0 * :load\r\nJOIN #a\r\n").unwrap();
            let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
            assert_eq!(lines.next().unwrap().unwrap(), format!(":floor 001 {nick} :hi"));
            assert_eq!(lines.next().unwrap().unwrap(), format!(":floor 366 {nick} #a :end"));
            (socket, lines)
        };
        let (mut alice, mut alices) = join("alice");
        let (mut bob, mut bobs) = join("bob");
        alice.write_all(b"PRIVMSG #a :one\r\n").unwrap();
        assert_eq!(bobs.next().unwrap().unwrap(), ":alice!load@127.0.0.1 PRIVMSG #a :one");
        bob.write_all(b"PRIVMSG #a :two\r\n").unwrap();
        assert_eq!(alices.next().unwrap().unwrap(), ":bob!load@127.0.0.1 PRIVMSG #a :two");
    }
}
