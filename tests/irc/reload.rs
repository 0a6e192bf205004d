//! Reading the configuration again under load, and an end that loses nothing of what was taken.
//! `ROOST_RELOADS=1000` for the long run.

use std::env;
use std::fs;
use std::time::Instant;

use crate::client::{Client, Line, texts};
use crate::server::{PATIENCE, Server};
use crate::tls;

const CAPS: &str = "draft/chathistory batch message-tags server-time echo-message";

/// A certificate and its key, PEM.
fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Kilobytes of memory that are its own and in use.
fn memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

#[test]
fn reloads_under_load_cost_no_memory_no_file_and_nobody_a_line() {
    let reloads: usize = env::var("ROOST_RELOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(100);
    let certificates = [certificate("first.example"), certificate("second.example")];
    let config = "[server]\nmotd = \"motd.txt\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    let server = Server::with_files(
        &[
            ("conf/roost.toml", config),
            ("motd.txt", "number 0\n"),
            ("c.pem", &certificates[0].0),
            ("k.pem", &certificates[0].1),
        ],
        &[],
    );
    let mut alice = server.user_with("alice", CAPS);
    let mut bob = server.user_with("bob", CAPS);
    let (mut over_tls, first) = tls::connect(&server, &rustls::version::TLS13);
    over_tls.register("carol");
    for client in [&mut alice, &mut bob, &mut over_tls] {
        client.join("#room");
    }
    alice.sync();
    bob.sync();
    let mut said = 0;
    let mut before = None;
    for reload in 1..=reloads {
        fs::write(server.home().join("motd.txt"), format!("number {reload}\n")).unwrap();
        let (pem, key) = &certificates[reload % 2];
        fs::write(server.home().join("c.pem"), pem).unwrap();
        fs::write(server.home().join("k.pem"), key).unwrap();
        // Most of it is not kept (two guests): what the store remembers of a growing file is no leak.
        let target = |n: usize| if n == 0 { "#room" } else { "bob" };
        let lines: String = (0..20).map(|n| format!("PRIVMSG {} :{}\r\n", target(n), said + n)).collect();
        alice.send_bytes(lines.as_bytes());
        said += 20;
        server.signal("HUP");
        let deadline = Instant::now() + PATIENCE;
        // A signal has no answer: ask until the answer is the new one.
        let expected = format!("number {reload}");
        while !over_tls.ask("MOTD").iter().any(|line| line.raw.ends_with(&expected)) {
            assert!(Instant::now() < deadline, "reload {reload} never came");
        }
        let numbers: Vec<String> = (said - 20..said).map(|n| n.to_string()).collect();
        assert_eq!(texts(&alice.sync()), numbers, "reload {reload}");
        let seen = bob.sync();
        let seen: Vec<&str> = texts(&seen);
        assert_eq!(seen, numbers, "reload {reload}");
        if reload % 10 == 0 {
            let (mut new, shown) = tls::connect(&server, &rustls::version::TLS13);
            assert_eq!(shown == first, reload % 2 == 0, "reload {reload}: the certificate is that of the files");
            new.register("dave");
            new.send("QUIT");
            new.closed();
        }
        // What a start leaves to be made on first use has been made by now.
        if env::var_os("ROOST_RELOADS").is_some() && reload % 250 == 0 {
            println!("after {reload}: {} KiB", memory(&server));
        }
        if reload == reloads.div_ceil(4) {
            before = Some((memory(&server), open_files(&server)));
        }
    }
    let before = before.unwrap();
    let deadline = Instant::now() + PATIENCE;
    // The last that came and went may still be on its way out.
    while open_files(&server) > before.1 && Instant::now() < deadline {
        alice.sync();
    }
    let after = (memory(&server), open_files(&server));
    println!("{reloads} reloads: {before:?} before, {after:?} after (KiB, files)");
    assert!(after.1 <= before.1, "from {} to {} open files", before.1, after.1);
    // Pages that an allocator has not given back yet; a leak of one configuration would be 4 KiB each time.
    assert!(after.0 < before.0 + 512 + reloads as u64, "from {} KiB to {} KiB", before.0, after.0);

    // Files that will not do change nothing.
    fs::write(server.home().join("c.pem"), "nonsense").unwrap();
    server.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while !server.output().contains("the certificate stays as it was") {
        assert!(Instant::now() < deadline, "{}", server.output());
        over_tls.ask("MOTD");
    }
    let (mut new, shown) = tls::connect(&server, &rustls::version::TLS13);
    assert_eq!(shown == first, reloads.is_multiple_of(2));
    new.register("dave");
}

#[test]
fn whatever_was_taken_before_sigterm_is_kept_and_what_is_kept_has_no_gap() {
    let mut server = Server::start();
    let mut clients: Vec<Client> = (0..4).map(|n| server.user_with(&format!("user{n}"), CAPS)).collect();
    for client in &mut clients {
        client.join("#room");
    }
    for client in &mut clients {
        client.sync();
    }
    for client in &mut clients {
        let nick = client.nick.clone();
        let lines: String = (0..3000).map(|n| format!("PRIVMSG #room :{nick} {n}\r\n")).collect();
        client.send_bytes(lines.as_bytes());
    }
    let mut seen: Vec<Vec<String>> = vec![Vec::new(); 4];
    let said = |line: &Line| (line.command() == "PRIVMSG").then(|| line.params()[1].to_owned());
    while seen[0].len() < 200 {
        seen[0].extend(said(&clients[0].line()));
    }
    server.signal("TERM");
    for (client, seen) in clients.iter_mut().zip(&mut seen) {
        let lines = client.closed();
        assert_eq!(lines.last().map(Line::command), Some("ERROR"), "{:?}", lines.last());
        seen.extend(lines.iter().filter_map(said));
    }
    assert!(server.wait().success(), "{}", server.output());
    server.start_again();
    let mut reader = server.user_with("reader", CAPS);
    reader.join("#room");
    let mut pages: Vec<Vec<String>> = Vec::new();
    let mut question = "CHATHISTORY LATEST #room * 1000".to_owned();
    loop {
        let lines = reader.ask(&question);
        let Some(first) = lines.iter().find(|line| line.command() == "PRIVMSG") else { break };
        question = format!("CHATHISTORY BEFORE #room msgid={} 1000", first.msgid());
        pages.push(lines.iter().filter_map(said).collect());
    }
    let kept: Vec<String> = pages.into_iter().rev().flatten().collect();
    for (n, seen) in seen.iter().enumerate() {
        // Each of them saw all that was said, and that is all that is kept.
        assert_eq!(seen, &kept, "user{n}");
        let own: Vec<&String> = kept.iter().filter(|text| text.starts_with(&format!("user{n} "))).collect();
        let expected: Vec<String> = (0..own.len()).map(|at| format!("user{n} {at}")).collect();
        assert!(own.into_iter().eq(&expected), "user{n}");
    }
    println!("{} of 12000 lines were taken before the end", kept.len());
}
