//! A client that speaks through `irc_proto::IrcCodec`, an implementation of IRC that is not ours.

use std::net::SocketAddr;

use bytes::BytesMut;
use irc_proto::{Command, IrcCodec, Message, Response};
use tokio_util::codec::{Decoder, Encoder};

use crate::client::{Transport, dial};

/// One connection.
pub struct CodecClient {
    transport: Box<dyn Transport>,
    codec: IrcCodec,
    bytes: BytesMut,
    pings: u32,
}

impl CodecClient {
    /// Connects and registers.
    pub fn register(address: SocketAddr, nick: &str) -> CodecClient {
        let mut client = CodecClient {
            transport: Box::new(dial(address)),
            codec: IrcCodec::new("utf8").unwrap(),
            bytes: BytesMut::new(),
            pings: 0,
        };
        client.send(Command::NICK(nick.to_owned()));
        client.send(Command::USER(nick.to_owned(), "0".to_owned(), nick.to_owned()));
        client.until(|message| matches!(message.command, Command::Response(Response::RPL_WELCOME, _)));
        client.sync();
        client
    }

    /// Sends a command.
    pub fn send(&mut self, command: Command) {
        let mut bytes = BytesMut::new();
        self.codec.encode(Message::from(command), &mut bytes).unwrap();
        self.transport.send(&bytes).unwrap();
    }

    /// The next message.
    pub fn message(&mut self) -> Message {
        loop {
            if let Some(message) = self.codec.decode(&mut self.bytes).unwrap() {
                return message;
            }
            let bytes = self.transport.receive().unwrap();
            assert!(!bytes.is_empty(), "the server closed the connection");
            self.bytes.extend_from_slice(&bytes);
        }
    }

    /// All messages up to and including the first that `wanted` says yes to.
    pub fn until(&mut self, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            messages.push(self.message());
            if messages.last().is_some_and(&wanted) {
                return messages;
            }
        }
    }

    /// Everything under way to this client.
    pub fn sync(&mut self) -> Vec<Message> {
        self.pings += 1;
        let token = format!("codec-{}", self.pings);
        self.send(Command::PING(token.clone(), None));
        let mut messages = self.until(|message| match &message.command {
            Command::PONG(first, second) => first == &token || second.as_ref() == Some(&token),
            _ => false,
        });
        messages.pop();
        messages
    }
}
