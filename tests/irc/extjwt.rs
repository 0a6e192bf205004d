//! EXTJWT: a signed statement of who someone is (<https://github.com/ircv3/ircv3-specifications/pull/547>).

use jsonwebtoken::{DecodingKey, Validation, decode};
use serde_json::Value;

use crate::client::{Client, commands};
use crate::server::Server;

const SECRET: &str = "a secret of thirty-two bytes, or more";

fn server() -> Server {
    let text = format!(
        "[[extjwt]]\nsecret = \"{SECRET}\"\n[[extjwt]]\nname = \"forum.example.org\"\nsecret = \"{SECRET} of the forum\"\n"
    );
    Server::with_files(&[("conf/roost.toml", &text)], &[])
}

/// What the statement that answers `line` says, after a look at its signature.
#[track_caller]
fn stated(client: &mut Client, line: &str, secret: &str) -> Value {
    let lines = client.ask(line);
    assert!(lines.iter().all(|line| line.command() == "EXTJWT" && line.body().len() + 2 <= 512), "{lines:#?}");
    let (last, parts) = lines.split_last().unwrap();
    assert!(parts.iter().all(|line| line.params().len() == 4 && line.params()[2] == "*"), "{lines:#?}");
    assert_eq!(last.params().len(), 3, "{last:?}");
    let token: String = lines.iter().map(|line| line.params().pop().unwrap().to_owned()).collect();
    let key = DecodingKey::from_secret(secret.as_bytes());
    decode::<Value>(&token, &key, &Validation::default()).unwrap().claims
}

#[test]
fn it_says_who_one_is_and_what_one_may_in_a_channel() {
    let server = server();
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#room");
    let claims = stated(&mut alice, "EXTJWT *", SECRET);
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["account"]),
        (&"roost.local".into(), &"alice".into(), &"alice".into())
    );
    assert!(claims["umodes"].is_array() && claims.get("channel").is_none() && claims.get("service").is_none());
    let claims = stated(&mut alice, "EXTJWT #ROOM", SECRET);
    assert_eq!(
        (&claims["channel"], &claims["joined"], &claims["cmodes"][0]),
        (&"#room".into(), &1.into(), &"o".into())
    );
    let claims = stated(&mut alice, "EXTJWT * forum.example.org", &format!("{SECRET} of the forum"));
    assert_eq!(claims["service"], "forum.example.org");
    let mut bob = server.user("bob");
    let claims = stated(&mut bob, "EXTJWT #room", SECRET);
    assert_eq!((&claims["account"], &claims["joined"]), (&"".into(), &0.into()));
    // A long channel makes a long statement.
    let long = format!("#{}", "x".repeat(60));
    bob.join(&long);
    assert_eq!(stated(&mut bob, &format!("EXTJWT {long}"), SECRET)["channel"], *long);
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let server = server();
    let mut alice = server.user("alice");
    alice.one("EXTJWT * nosuch").must_fit(":roost.local FAIL EXTJWT NO_SUCH_SERVICE :*\"nosuch\"*");
    assert_eq!(commands(&alice.ask("EXTJWT #nowhere")), ["403"]);
    alice.one("EXTJWT bob").must_fit(":roost.local FAIL EXTJWT INVALID_TARGET bob :*");
    let without = Server::start();
    let mut alice = without.user("alice");
    alice.one("EXTJWT *").must_fit(":roost.local FAIL EXTJWT NO_SUCH_SERVICE :*");
    assert!(alice.ask("ISUPPORT").iter().all(|line| !line.raw.contains("EXTJWT")));
}

#[test]
fn a_secret_channel_is_not_betrayed() {
    let server = server();
    let (mut alice, mut bob) = (server.user("alice"), server.user("bob"));
    alice.join("#hidden");
    alice.ask("MODE #hidden +s");
    assert_eq!(commands(&bob.ask("EXTJWT #hidden")), ["403"]);
}
