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
