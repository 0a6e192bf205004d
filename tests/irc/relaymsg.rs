//! RELAYMSG (draft/relaymsg), and NPC, NPCA and SCENE.

use crate::client::{find, texts};
use crate::server::Server;

const CAPS: &str = "draft/relaymsg echo-message batch draft/chathistory message-tags";

#[test]
fn a_bridge_speaks_for_others_where_it_is_operator() {
    let server = Server::start();
    let mut bridge = server.user_with("bridge", CAPS);
    let mut bob = server.user_with("bob", CAPS);
    let mut old = server.user("old");
    for client in [&mut bridge, &mut bob, &mut old] {
        client.join("#room");
    }
    bridge.sync();
    bob.sync();
    bridge
        .one("@+draft/reply=x RELAYMSG #room carol/matrix :hello there")
        .must_fit("*:carol/matrix!bridge@* PRIVMSG #room :hello there");
    let line = bob.only();
    assert_eq!((line.tag("draft/relaymsg"), line.tag("+draft/reply")), (Some("bridge"), Some("x")));
    old.only().must_fit(":carol/matrix!bridge@* PRIVMSG #room :hello there");
    bob.one("RELAYMSG #room carol/matrix :hello").must_fit("*FAIL RELAYMSG PRIVS_NEEDED :*");
    for nick in ["carol", "/carol", "carol/", "ca rol/x", "a!b/c"] {
        bridge.ask(&format!("RELAYMSG #room {nick} :x")).pop().unwrap().must_fit("*FAIL RELAYMSG INVALID_NICK *");
    }
    bob.one("NICK carol/matrix").must_fit("*432 bob carol/matrix :*");
    bridge.ask("MODE #room +m");
    bob.ask("CHATHISTORY LATEST #room * 5");
    let page = bob.ask("CHATHISTORY LATEST #room * 5");
    let said = find(&page, "PRIVMSG");
    assert_eq!((said.tag("draft/relaymsg"), said.tag("account")), (Some("bridge"), None));
}

#[test]
fn players_speak_for_characters_in_a_channel_with_mode_e_alone() {
    let server = Server::start();
    let mut alice = server.user_with("alice", "");
    let mut bob = server.user_with("bob", "draft/chathistory batch");
    alice.join("#game");
    bob.join("#game");
    alice.sync();
    alice.one("NPC #game gandalf you shall not pass").must_fit("*573 alice #game :*");
    alice.ask("MODE #game +E");
    bob.sync();
    alice.one("NPC #game gandalf you shall not pass").must_fit(":*gandalf*!alice@* PRIVMSG #game :you shall not pass");
    alice.ask("NPCA #game gandalf :falls");
    alice.ask("SCENE #game :a bridge");
    assert_eq!(texts(&bob.sync()), ["you shall not pass", "\u{1}ACTION falls\u{1}", "a bridge"]);
    let page = bob.ask("CHATHISTORY LATEST #game * 5");
    assert_eq!(page.iter().filter(|line| line.command() == "PRIVMSG").count(), 3);
}

#[test]
fn what_somebodys_characters_say_is_exported_and_erased_as_the_players_and_shown_as_nobodys() {
    let server = Server::start();
    server.account("alice", "sesame");
    let caps = "draft/relaymsg draft/message-redaction draft/message-edit echo-message";
    let mut alice = server.logged_in("alice", "alice", "sesame", &format!("{CAPS} {caps} account-tag"));
    let mut bob = server.user_with("bob", &format!("{CAPS} account-tag"));
    alice.ask("JOIN #game");
    alice.ask("MODE #game +E");
    bob.join("#game");
    alice.sync();
    bob.sync();
    let lines = ["NPC #game gandalf npc", "NPCA #game gandalf npca", "SCENE #game scene", "RELAYMSG #game x/y :relay"];
    let said: Vec<_> = lines.into_iter().flat_map(|line| alice.ask(line)).collect();
    assert_eq!(said.len(), 4, "{said:#?}");
    let msgid = said[0].tag("msgid").unwrap().to_owned();
    find(&alice.ask(&format!("@+draft/edit-text=x EDIT #game {msgid} :other")), "FAIL");
    let live = bob.sync();
    let page = bob.ask("CHATHISTORY LATEST #game * 50");
    for lines in [&live, &page] {
        let said: Vec<_> = lines.iter().filter(|line| line.command() == "PRIVMSG").collect();
        assert!(said.len() == 4 && said.iter().all(|line| line.tag("account").is_none()), "{lines:#?}");
    }
    let exported = server.roost(&["export", "--account", "alice"]);
    let exported = String::from_utf8(exported.stdout).unwrap();
    for (text, is_hers) in [("npc", true), ("\\u0001ACTION npca\\u0001", true), ("scene", true), ("relay", false)] {
        assert_eq!(exported.contains(&format!("\"text\":\"{text}\"")), is_hers, "{text}: {exported}");
    }
    let told = alice.told("NS ERASEMESSAGES");
    let code = told.split_whitespace().last().unwrap().to_owned();
    assert!(alice.told(&format!("NS ERASEMESSAGES {code}")).contains("deleted"));
    let page = bob.ask("CHATHISTORY LATEST #game * 50");
    assert_eq!(texts(&page.into_iter().filter(|line| line.command() == "PRIVMSG").collect::<Vec<_>>()), ["relay"]);
}
