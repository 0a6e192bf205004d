//! WebSocket with both subprotocols (<https://ircv3.net/specs/extensions/websocket>).

use std::io;
use std::net::TcpStream;

use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

use crate::client::{Client, Transport, dial, texts};
use crate::server::Server;

/// A WebSocket as a transport: one message a line, without CR LF.
struct Socket {
    socket: WebSocket<TcpStream>,
    text: bool,
}

impl Transport for Socket {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for line in String::from_utf8(bytes.to_vec()).unwrap().split_terminator("\r\n") {
            let message = if self.text { Message::text(line) } else { Message::binary(line.as_bytes().to_vec()) };
            self.socket.send(message).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let mut bytes = match self.socket.read() {
                Ok(Message::Text(text)) if self.text => text.as_bytes().to_vec(),
                Ok(Message::Binary(bytes)) if !self.text => bytes.to_vec(),
                Ok(Message::Ping(_) | Message::Pong(_)) => continue,
                Ok(Message::Close(_)) => return Ok(Vec::new()),
                Ok(other) => panic!("a message of the wrong kind: {other:?}"),
                Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_)) => return Ok(Vec::new()),
                Err(Error::Io(error)) => return Err(error),
                Err(error) => panic!("{error}"),
            };
            assert!(!bytes.contains(&b'\n') && !bytes.contains(&b'\r'), "a newline inside a WebSocket message");
            bytes.extend_from_slice(b"\r\n");
            return Ok(bytes);
        }
    }
}

/// Connects with these subprotocols; the one that the server chose.
fn connect(
    server: &Server,
    subprotocols: &str,
    origin: Option<&str>,
) -> Result<(WebSocket<TcpStream>, Option<String>), String> {
    let mut request = format!("ws://{}/", server.websocket).into_client_request().unwrap();
    if !subprotocols.is_empty() {
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_str(subprotocols).unwrap());
    }
    if let Some(origin) = origin {
        request.headers_mut().insert("Origin", HeaderValue::from_str(origin).unwrap());
    }
    let (socket, response) = tungstenite::client(request, dial(server.websocket)).map_err(|error| error.to_string())?;
    let chosen = response.headers().get("Sec-WebSocket-Protocol").map(|value| value.to_str().unwrap().to_owned());
    Ok((socket, chosen))
}

fn client(server: &Server, subprotocol: &str) -> Client {
    let (socket, chosen) = connect(server, subprotocol, None).unwrap();
    assert_eq!(chosen.as_deref(), Some(subprotocol));
    Client::over(Box::new(Socket { socket, text: subprotocol == "text.ircv3.net" }))
}

#[test]
fn both_subprotocols_carry_a_conversation() {
    let server = Server::start();
    let mut alice = client(&server, "text.ircv3.net");
    let mut bob = client(&server, "binary.ircv3.net");
    let mut carol = server.user("carol");
    alice.register("alice");
    bob.register("bob");
    for client in [&mut alice, &mut bob, &mut carol] {
        client.join("#room");
    }
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    alice.ask("PRIVMSG #room :héllo");
    assert_eq!(texts(&bob.ask("PRIVMSG #room :wörld")), ["héllo"]);
    assert_eq!(texts(&alice.sync()), ["wörld"]);
    assert_eq!(texts(&carol.sync()), ["héllo", "wörld"]);
}

#[test]
fn the_order_of_the_client_decides_the_subprotocol() {
    let server = Server::start();
    let chosen = |wanted: &str| connect(&server, wanted, None).unwrap().1;
    assert_eq!(chosen("text.ircv3.net, binary.ircv3.net").as_deref(), Some("text.ircv3.net"));
    assert_eq!(chosen("binary.ircv3.net, text.ircv3.net").as_deref(), Some("binary.ircv3.net"));
    assert_eq!(chosen("chat.example, text.ircv3.net").as_deref(), Some("text.ircv3.net"));
}

#[test]
fn without_a_subprotocol_the_connection_works() {
    let server = Server::start();
    let (socket, chosen) = connect(&server, "", None).unwrap();
    assert_eq!(chosen, None);
    Client::over(Box::new(Socket { socket, text: true })).register("alice");
}

#[test]
fn c07_tag_budgets_hold_over_websocket() {
    let server = Server::start();
    let mut alice = client(&server, "text.ircv3.net");
    let mut bob = client(&server, "text.ircv3.net");
    alice.register_with("alice", "message-tags");
    bob.register_with("bob", "message-tags");
    alice.send(&format!("@+x={} PRIVMSG bob :ok", "a".repeat(4091)));
    alice.silent();
    assert_eq!(bob.only().tag("+x").map(str::len), Some(4091));
    alice.one(&format!("@+x={} PRIVMSG bob :no", "a".repeat(4092))).must_fit(":roost.local 417 alice :*");
    alice.one(&format!("PRIVMSG bob :{}", "x".repeat(600))).must_fit(":roost.local 417 alice :*");
    bob.silent();
}

#[test]
fn only_listed_origins_may_connect() {
    let server = Server::with(&[("ROOST__LISTEN__WEBSOCKET_ORIGINS", "https://chat.example")]);
    assert!(connect(&server, "text.ircv3.net", Some("https://evil.example")).is_err());
    assert!(connect(&server, "text.ircv3.net", Some("https://chat.example")).is_ok());
}

#[test]
fn plain_http_is_answered_and_closed() {
    let server = Server::start();
    let mut stream = dial(server.websocket);
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 4"), "{:?}", bytes.escape_ascii().to_string());
}

#[test]
fn a_message_with_a_newline_inside_is_never_two_commands() {
    let server = Server::start();
    let (mut socket, _) = connect(&server, "text.ircv3.net", None).unwrap();
    socket.send(Message::text("NICK alice\r\nUSER a 0 * :a")).unwrap();
    let mut client = Client::over(Box::new(Socket { socket, text: true }));
    let lines = client.sync();
    assert!(lines.iter().all(|line| line.command() != "001"), "{lines:#?}");
}
