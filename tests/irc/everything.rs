//! A client with every capability and one with none share a channel: each line of each, byte by byte.

use crate::client::{Client, Line, all, is_time};
use crate::server::Server;

/// The line with its time and msgid replaced by `TIME` and `ID`, after a look at their form.
fn placeholders(line: &Line) -> String {
    let tags: Vec<String> = line
        .tags()
        .into_iter()
        .map(|tag| match tag.split_once('=') {
            Some(("time", time)) => {
                assert!(is_time(time), "{line:?}");
                "time=TIME".to_owned()
            }
            Some(("msgid", id)) => {
                assert!(id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{line:?}");
                "msgid=ID".to_owned()
            }
            _ => tag.to_owned(),
        })
        .collect();
    if tags.is_empty() { line.body().to_owned() } else { format!("@{} {}", tags.join(";"), line.body()) }
}

fn seen(client: &mut Client) -> Vec<String> {
    client.sync().iter().map(placeholders).collect()
}

#[test]
fn every_line_of_every_capability_and_of_none_is_exact() {
    let server = Server::start();
    // All that is offered.
    let mut alice = server.connect();
    let offer = alice.ask("CAP LS 302");
    let caps: Vec<String> = all(&offer, "CAP")
        .iter()
        .flat_map(|line| {
            line.params()
                .last()
                .unwrap()
                .split(' ')
                .map(|cap| cap.split('=').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(caps.len() >= 19, "{caps:?}");
    for some in caps.chunks(8) {
        alice.request(&some.join(" "));
    }
    alice.send_all(&["NICK alice", "USER alice 0 * :Alice", "CAP END"]);
    alice.welcome("alice");
    let mut bob = server.user("bob");
    let mut carol = server.user_with("carol", "message-tags");
    let mut dave = server.user("dave");
    carol.join("#room");
    alice.join("#room");
    bob.join("#room");
    carol.ask("MODE #room +o alice");
    for client in [&mut alice, &mut bob, &mut carol] {
        client.sync();
    }
    let c = carol.mask();
    let d = dave.mask();
    let late = c.replace("carol!", "caroline!");

    /// What carol does; what alice and bob then see.
    struct Step {
        action: &'static str,
        alice: Vec<String>,
        bob: Vec<String>,
    }
    let step = |action: &'static str, alice: &[String], bob: &[String]| Step {
        action,
        alice: alice.to_vec(),
        bob: bob.to_vec(),
    };
    let steps = [
        step(
            "PRIVMSG #room :hello,  world ",
            &[format!("@time=TIME;msgid=ID :{c} PRIVMSG #room :hello,  world ")],
            &[format!(":{c} PRIVMSG #room :hello,  world ")],
        ),
        step(
            "@+reply=abc;+x=a\\:b;gone=1 NOTICE #room :with tags",
            &[format!("@time=TIME;msgid=ID;+reply=abc;+x=a\\:b :{c} NOTICE #room :with tags")],
            &[format!(":{c} NOTICE #room :with tags")],
        ),
        step("@+typing=active TAGMSG #room", &[format!("@time=TIME;msgid=ID;+typing=active :{c} TAGMSG #room")], &[]),
        step("REGISTER * * sesame", &[format!("@time=TIME;account=carol :{c} ACCOUNT carol")], &[]),
        step(
            "TOPIC #room :the topic",
            &[format!("@time=TIME;msgid=ID;account=carol :{c} TOPIC #room :the topic")],
            &[format!(":{c} TOPIC #room :the topic")],
        ),
        step(
            "MODE #room +v-v+b bob bob troll",
            &[format!("@time=TIME;msgid=ID;account=carol :{c} PROP #room +voice=bob -voice=bob +ban=troll!*@*")],
            &[format!(":{c} MODE #room +v-v+b bob bob troll!*@*")],
        ),
        step("AWAY :lunch", &[format!("@time=TIME;account=carol :{c} AWAY :lunch")], &[]),
        step("AWAY", &[format!("@time=TIME;account=carol :{c} AWAY")], &[]),
        step("SETNAME :Carol C", &[format!("@time=TIME;account=carol :{c} SETNAME :Carol C")], &[]),
        step("INVITE dave #room", &[format!("@time=TIME;account=carol :{c} INVITE dave #room")], &[]),
        step("PRIVMSG @#room :ops", &[format!("@time=TIME;msgid=ID;account=carol :{c} PRIVMSG @#room :ops")], &[]),
        step("PRIVMSG alice :you", &[format!("@time=TIME;msgid=ID;account=carol :{c} PRIVMSG alice :you")], &[]),
        step("NOTICE bob :you", &[], &[format!(":{c} NOTICE bob :you")]),
        // Dave, who has no account and no capability, comes in here. Nothing keeps a guest's JOIN, so
        // it has no id.
        step(
            "dave: JOIN #room",
            &[format!("@time=TIME :{d} JOIN #room * :dave of the tests")],
            &[format!(":{d} JOIN #room")],
        ),
        step(
            "KICK #room dave :out",
            &[format!("@time=TIME;msgid=ID;account=carol :{c} KICK #room dave :out")],
            &[format!(":{c} KICK #room dave :out")],
        ),
        step(
            "NICK caroline",
            &[format!("@time=TIME;msgid=ID;account=carol :{c} NICK caroline")],
            &[format!(":{c} NICK caroline")],
        ),
        step(
            "PART #room :bye",
            &[format!("@time=TIME;msgid=ID;account=carol :{late} PART #room :bye")],
            &[format!(":{late} PART #room :bye")],
        ),
        step("AWAY :out", &[], &[]),
        step(
            "JOIN #room",
            &[
                format!("@time=TIME;msgid=ID;account=carol :{late} JOIN #room carol :Carol C"),
                format!("@time=TIME;account=carol :{late} AWAY :out"),
            ],
            &[format!(":{late} JOIN #room")],
        ),
        step(
            "QUIT :done",
            &[format!("@time=TIME;msgid=ID;account=carol :{late} QUIT :Quit: done")],
            &[format!(":{late} QUIT :Quit: done")],
        ),
    ];
    for Step { action, alice: for_alice, bob: for_bob } in &steps {
        match action.strip_prefix("dave: ") {
            Some(action) => {
                dave.ask(action);
            }
            None if action.starts_with("QUIT") => {
                carol.send(action);
                carol.closed();
            }
            None => {
                carol.ask(action);
            }
        }
        assert_eq!(&seen(&mut alice), for_alice, "what alice sees of {action:?}");
        assert_eq!(&seen(&mut bob), for_bob, "what bob sees of {action:?}");
    }
}
