//! The PROXY protocol, versions 1 and 2: whom a proxy speaks for is who it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use sha2::{Digest as _, Sha256};
use tungstenite::client::IntoClientRequest;

use crate::client::{Client, all, commands, dial, find};
use crate::server::{Server, free_ports, own_address};
use crate::tls;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A server with a listener that asks for a PROXY header, and one that asks for it before TLS.
struct Proxied {
    _server: Server,
    plain: SocketAddr,
    tls: SocketAddr,
}

fn start(settings: &[(&str, &str)]) -> Proxied {
    let [plain, tls] = free_ports(own_address());
    let on = format!(
        r#"[{{address = "{plain}", proxy = ["localhost"]}}, {{address = "{tls}", proxy = ["localhost"], tls = true}}]"#
    );
    let settings = [&[("ROOST__LISTEN__ON", &*on)], settings].concat();
    Proxied { _server: Server::with(&settings), plain, tls }
}

/// The address of a registered client, as WHOIS shows it.
#[track_caller]
fn address(client: &mut Client) -> String {
    let nick = client.nick.clone();
    let lines = client.ask(&format!("WHOIS {nick}"));
    let actually = find(&lines, "338");
    let host = find(&lines, "311").params()[3].to_owned();
    assert_eq!(actually.params()[3], host, "the address is the host");
    host
}

/// Sends `header`, and then registers.
#[track_caller]
fn registered(to: SocketAddr, header: &[u8], nick: &str) -> Client {
    let mut client = Client::plain(to);
    client.send_bytes(header);
    client.register(nick);
    client
}

fn v2(kind: [u8; 2], rest: &[u8]) -> Vec<u8> {
    [SIGNATURE, &kind, &(rest.len() as u16).to_be_bytes(), rest].concat()
}

fn v2_tcp4(ip: [u8; 4], tlvs: &[u8]) -> Vec<u8> {
    v2([0x21, 0x11], &[&ip[..], &[127, 0, 0, 1, 0xff, 0xfd, 0x1a, 0x0b], tlvs].concat())
}

/// The server closes without a word.
#[track_caller]
fn closed_silently(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(bytes.is_empty(), "{:?}", bytes.escape_ascii().to_string());
}

#[test]
fn c54_the_address_in_the_header_is_the_clients() {
    let proxied = start(&[]);
    let v2_tcp6 = v2([0x21, 0x21], &[&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 20]].concat());
    let headers: [(&[u8], &str); 6] = [
        (b"PROXY TCP4 1.1.1.1 127.0.0.1 65533 6667\r\n", "1.1.1.1"),
        (b"PROXY TCP6 2001:db8::1 ::1 65533 6667\r\n", "2001:db8::1"),
        (b"PROXY TCP6 ::2 ::1 65533 6667\r\n", "0::2"),
        (b"PROXY TCP6 ::ffff:9.9.9.9 ::1 1 2\r\n", "9.9.9.9"),
        (&v2_tcp4([8, 8, 4, 4], &[0x04, 0, 1, 0]), "8.8.4.4"),
        (&v2_tcp6, "2001:db8::1"),
    ];
    for (at, (header, expected)) in headers.into_iter().enumerate() {
        let mut client = registered(proxied.plain, header, &format!("user{at}"));
        assert_eq!(address(&mut client), expected);
        // What others see, and what bans go by.
        assert!(client.mask().ends_with(&format!("@{expected}")));
    }
}

#[test]
fn c54_a_header_that_speaks_for_nobody_is_the_proxys_own_connection() {
    let proxied = start(&[]);
    let (local, unspecified, unix) = (v2([0x20, 0], &[]), v2([0x21, 0], &[]), v2([0x21, 0x31], &[0; 216]));
    for (at, header) in [b"PROXY UNKNOWN\r\n", &local[..], &unspecified, &unix].into_iter().enumerate() {
        // A health check comes, says only that, and goes.
        let mut stream = dial(proxied.plain);
        stream.write_all(header).unwrap();
        drop(stream);
        let mut client = registered(proxied.plain, header, &format!("user{at}"));
        assert_eq!(address(&mut client), "127.0.0.1");
    }
}

#[test]
fn c54_a_header_may_come_in_pieces_and_with_what_follows() {
    let proxied = start(&[]);
    for (at, header) in
        [&b"PROXY TCP4 1.1.1.1 127.0.0.1 65533 6667\r\n"[..], &v2_tcp4([1, 1, 1, 1], &[])].into_iter().enumerate()
    {
        let mut client = Client::plain(proxied.plain);
        for byte in header {
            client.send_bytes(&[*byte]);
        }
        client.register(&format!("slow{at}"));
        assert_eq!(address(&mut client), "1.1.1.1");
        let mut client = Client::plain(proxied.plain);
        client.send_bytes(&[header, format!("NICK fast{at}\r\nUSER u 0 * :u\r\n").as_bytes()].concat());
        client.welcome(&format!("fast{at}"));
        assert_eq!(address(&mut client), "1.1.1.1");
    }
}

#[test]
fn c54_without_a_header_or_with_a_broken_one_nobody_gets_in() {
    let proxied = start(&[]);
    for start in [
        &b"NICK alice\r\nUSER a 0 * :a\r\n"[..],
        b"PROXY TCP4 1.1.1.1\r\n",
        b"PROXY TCP4 1.1.1.1 127.0.0.1 99999 6667\r\nNICK alice\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        &v2([0x31, 0x11], &[0; 12]),
        &v2([0x21, 0x11], &[0; 4]),
        &[SIGNATURE, b"\x21\x11\xff\xff", &[b'x'; 10_000]].concat(),
        &[b"PROXY TCP4 ", &[b'1'; 2000][..]].concat(),
    ] {
        for to in [proxied.plain, proxied.tls] {
            let mut stream = dial(to);
            let _ = stream.write_all(start);
            closed_silently(stream);
        }
    }
    let mut client = registered(proxied.plain, b"PROXY TCP4 1.1.1.1 127.0.0.1 65533 6667\r\n", "alice");
    client.silent();
}

#[test]
fn c54_half_a_header_and_silence_ends_after_five_seconds() {
    let proxied = start(&[]);
    let mut half = dial(proxied.plain);
    half.write_all(b"PROXY TCP4 1.1").unwrap();
    let silent = dial(proxied.plain);
    let begun = std::time::Instant::now();
    closed_silently(half);
    closed_silently(silent);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn c54_only_the_proxies_may_connect_to_their_listener() {
    let [listener] = free_ports(own_address());
    let on = format!(r#"[{{address = "{listener}", proxy = ["192.0.2.7", "2001:db8::/32"]}}]"#);
    let server = Server::with(&[("ROOST__LISTEN__ON", &on)]);
    let mut stream = dial(listener);
    let _ = stream.write_all(b"PROXY TCP4 1.1.1.1 127.0.0.1 65533 6667\r\nNICK alice\r\nUSER a 0 * :a\r\n");
    closed_silently(stream);
    server.user("alice").silent();
}

#[test]
fn c54_a_header_from_someone_who_is_not_trusted_changes_nothing() {
    let server = Server::start();
    let mut client = registered(server.plain, b"PROXY TCP4 1.1.1.1 127.0.0.1 65533 6667\r\n", "alice");
    assert_eq!(address(&mut client), "127.0.0.1");
}

#[test]
fn c54_whoever_is_trusted_may_begin_with_a_header_on_any_listener_and_only_begin() {
    let server = Server::with(&[("ROOST__LISTEN__PROXY_FROM", "localhost")]);
    let header = b"PROXY TCP4 1.1.1.1 127.0.0.1 65533 6667\r\n";
    let mut client = registered(server.plain, header, "first");
    assert_eq!(address(&mut client), "1.1.1.1");
    let mut client = registered(server.plain, &v2_tcp4([2, 2, 2, 2], &[]), "second");
    assert_eq!(address(&mut client), "2.2.2.2");
    // Without one it is who it is, even if it begins alike.
    for (nick, start) in [("third", &b""[..]), ("fourth", b"\r\n\r\n"), ("fifth", b"P\r\n")] {
        let mut client = registered(server.plain, start, nick);
        assert_eq!(address(&mut client), "127.0.0.1");
    }
    let mut late = server.connect();
    late.send("NICK sixth");
    late.send_bytes(header);
    late.send("USER u 0 * :u");
    late.welcome("sixth");
    assert_eq!(address(&mut late), "127.0.0.1");
    // Before TLS, and before WebSocket.
    let mut stream = dial(server.tls);
    stream.write_all(header).unwrap();
    let (mut client, _) = tls::over(stream, &rustls::version::TLS13, None);
    client.register("seventh");
    assert_eq!(address(&mut client), "1.1.1.1");
    let mut stream = dial(server.websocket);
    stream.write_all(header).unwrap();
    let request = format!("ws://{}/", server.websocket);
    let (mut socket, _) = tungstenite::client(request, stream).unwrap();
    for line in ["NICK eighth", "USER u 0 * :u", "WHOIS eighth"] {
        socket.send(tungstenite::Message::text(line)).unwrap();
    }
    loop {
        let line = socket.read().unwrap().into_text().unwrap();
        if line.contains(" 338 ") {
            assert!(line.contains(" 1.1.1.1 "), "{line}");
            break;
        }
    }
}

/// The address and the security of someone who comes through a web server that says `headers`.
fn through_web_server(server: &Server, before: &[u8], headers: &[(&'static str, &str)], nick: &str) -> (String, bool) {
    let mut stream = dial(server.websocket);
    stream.write_all(before).unwrap();
    let mut request = format!("ws://{}/", server.websocket).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let (mut socket, _) = tungstenite::client(request, stream).unwrap();
    for line in [format!("NICK {nick}"), "USER u 0 * :u".to_owned(), format!("WHOIS {nick}")] {
        socket.send(tungstenite::Message::text(line)).unwrap();
    }
    let (mut address, mut secure) = (String::new(), false);
    loop {
        let line = socket.read().unwrap().into_text().unwrap();
        match line.split(' ').nth(1) {
            Some("338") => address = line.split(' ').nth(5).unwrap().to_owned(),
            Some("671") => secure = true,
            Some("318") => return (address, secure),
            _ => {}
        }
    }
}

#[test]
fn a_web_server_that_is_trusted_says_whom_it_speaks_for() {
    let server = Server::with(&[("ROOST__LISTEN__PROXY_FROM", "localhost")]);
    let for_ = "x-forwarded-for";
    let seen = |before: &[u8], headers: &[(&'static str, &str)], nick: &str| {
        through_web_server(&server, before, headers, nick)
    };
    assert_eq!(seen(b"", &[], "a"), ("127.0.0.1".into(), false));
    assert_eq!(seen(b"", &[(for_, "6.6.6.6, 1.1.1.1")], "b"), ("1.1.1.1".into(), false));
    let secure = [(for_, "2001:db8::1"), ("x-forwarded-proto", "https")];
    assert_eq!(seen(b"", &secure, "c"), ("2001:db8::1".into(), true));
    // After a PROXY header the request is the client's own.
    let header = b"PROXY TCP4 2.2.2.2 127.0.0.1 1 2\r\n";
    assert_eq!(seen(header, &[(for_, "1.1.1.1"), ("x-forwarded-proto", "https")], "d"), ("2.2.2.2".into(), false));
    // From anyone else it is just talk.
    let server = Server::start();
    assert_eq!(through_web_server(&server, b"", &secure, "e"), ("127.0.0.1".into(), false));
}

#[test]
fn c54_tls_comes_after_the_header_or_ends_at_the_proxy() {
    let proxied = start(&[]);
    let mut stream = dial(proxied.tls);
    stream.write_all(b"PROXY TCP4 1.1.1.1 127.0.0.1 65533 6697\r\n").unwrap();
    let (mut inside, _) = tls::over(stream, &rustls::version::TLS12, None);
    inside.register("inside");
    assert_eq!(address(&mut inside), "1.1.1.1");
    assert!(inside.ask("WHOIS inside").iter().any(|line| line.command() == "671"));
    // The proxy says that it took the client over TLS: type SSL, flag 1; without the flag it did not.
    for (nick, flag) in [("ended", 1), ("bare", 0)] {
        let tlv = [0x20, 0, 5, flag, 0, 0, 0, 0];
        let mut client = registered(proxied.plain, &v2_tcp4([3, 3, 3, 3], &tlv), nick);
        let secure = client.ask(&format!("WHOIS {nick}")).iter().any(|line| line.command() == "671");
        assert_eq!(secure, flag == 1, "{nick}");
    }
}

#[test]
fn c55_the_certificate_that_the_client_showed_the_proxy_logs_in() {
    let proxied = start(&[]);
    let certificate = [7; 1500];
    let tlv = |kind: u8, value: &[u8]| [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat();
    // Type SSL: its flags (1 by TLS, 2 with a certificate, 4 with one in the session that is resumed) and whether it was
    // verified, which is not asked; inside of it the certificate itself.
    let announced = |flags: u8| {
        let ssl = tlv(0x20, &[&[flags, 0, 0, 0, 1][..], &tlv(0x28, &certificate)].concat());
        v2_tcp4([3, 3, 3, 3], &ssl)
    };
    let fingerprint: String = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut alice = registered(proxied.plain, &announced(3), "alice");
    alice.ask("NS REGISTER sesame");
    assert!(alice.told("NS CERT ADD").contains(&fingerprint));
    for (flags, nick) in [(3, "shown"), (5, "resumed")] {
        let mut guest = registered(proxied.plain, &announced(flags), nick);
        guest.request("sasl");
        guest.mechanism("EXTERNAL");
        assert_eq!(commands(&guest.ask("AUTHENTICATE +")), ["900", "903"]);
        find(&guest.ask(&format!("WHOIS {nick}")), "276").must_fit(&format!("*{fingerprint}"));
    }
    // One that the client did not show counts for nothing, nor does any without TLS.
    for (flags, nick) in [(1, "none"), (2, "bare")] {
        let mut other = registered(proxied.plain, &announced(flags), nick);
        other.request("sasl");
        let lines = other.ask("AUTHENTICATE EXTERNAL");
        let lines = if all(&lines, "904").is_empty() { other.ask("AUTHENTICATE +") } else { lines };
        assert!(all(&lines, "904").len() == 1 && all(&lines, "903").is_empty(), "{flags}: {lines:#?}");
        assert!(all(&other.ask(&format!("WHOIS {nick}")), "276").is_empty());
    }
}

#[test]
fn c54_limits_and_bans_go_by_the_address_in_the_header() {
    let proxied = start(&[
        ("ROOST__THROTTLE__ENABLED", "true"),
        ("ROOST__THROTTLE__CONNECTIONS", "2"),
        ("ROOST__THROTTLE__NETWORK", r#"[{from = ["10.0.0.0/8"], connections = 3}]"#),
        ("ROOST__THROTTLE__EXEMPT", "198.51.100.0/24"),
    ]);
    let mut count = 0;
    let mut connect = |ip: &str| {
        count += 1;
        let family = if ip.contains(':') { "TCP6" } else { "TCP4" };
        let to = if ip.contains(':') { "::1" } else { "127.0.0.1" };
        registered(proxied.plain, format!("PROXY {family} {ip} {to} 1 2\r\n").as_bytes(), &format!("u{count}"))
    };
    let refused = |ip: &str| {
        let family = if ip.contains(':') { "TCP6 " } else { "TCP4 " };
        let to = if ip.contains(':') { " ::1" } else { " 127.0.0.1" };
        let mut client = Client::plain(proxied.plain);
        client
            .send_bytes([b"PROXY ", family.as_bytes(), ip.as_bytes(), to.as_bytes(), b" 1 2\r\n"].concat().as_slice());
        client.closed().pop().unwrap().must_fit(&format!("ERROR :Closing Link: {ip} (Too many connections*"));
    };
    let mut first = connect("1.1.1.1");
    let second = connect("1.1.1.1");
    refused("1.1.1.1");
    let _other = connect("1.1.1.2");
    // A /64 is one; the next is another.
    let _sixes = [connect("2001:db8::1"), connect("2001:db8::2")];
    refused("2001:db8::3");
    let _next = connect("2001:db8:0:1::1");
    let _tens = [connect("10.0.0.1"), connect("10.0.0.1"), connect("10.0.0.1")];
    refused("10.0.0.1");
    let _exempt = [connect("198.51.100.1"), connect("198.51.100.1"), connect("198.51.100.1")];
    // Whoever has left makes room.
    let mut gone = second;
    gone.send("QUIT");
    gone.closed();
    let mut again = connect("1.1.1.1");
    first.join("#a");
    first.ask("MODE #a +b *!*@1.1.1.1");
    again.one("JOIN #a").must_fit(":* 474 *");
}

#[test]
fn c57_the_header_does_not_take_the_time_of_the_handshake() {
    let proxied = start(&[]);
    let mut slow = dial(proxied.tls);
    slow.write_all(b"PROXY TCP4 1.1.1.1 127.0.0.1 1 2\r\n").unwrap();
    // The header's five seconds are over; those of the handshake are not.
    let begun = std::time::Instant::now();
    let mut silent = dial(proxied.tls);
    let mut byte = [0];
    let _ = silent.read(&mut byte);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(4));
    let (mut client, _) = tls::over(slow, &rustls::version::TLS13, None);
    client.register("alice");
    assert_eq!(address(&mut client), "1.1.1.1");
}
