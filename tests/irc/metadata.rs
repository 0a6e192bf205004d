//! METADATA in both dialects (draft/metadata-2, draft/metadata-3).

use crate::client::{Client, Line, commands};
use crate::server::Server;

const NEW: &str = "draft/metadata-3 batch";
const OLD: &str = "draft/metadata-2 batch";

/// What is between the lines of a batch.
fn inside(lines: &[Line]) -> Vec<&str> {
    assert_eq!(lines.first().map(Line::command), Some("BATCH"), "{lines:?}");
    assert_eq!(lines.last().map(Line::command), Some("BATCH"), "{lines:?}");
    let name = &lines[0].params()[0][1..];
    let inner = &lines[1..lines.len() - 1];
    assert!(inner.iter().all(|line| line.tag("batch") == Some(name)), "{lines:?}");
    inner.iter().map(Line::body).collect()
}

#[test]
fn keys_are_set_read_and_removed_in_each_dialect() {
    let server = Server::start();
    let mut new = server.user_with("new", NEW);
    let mut old = server.user_with("old", OLD);
    new.one("METADATA * SET status :at work").must_fit(":roost.local 761 new new status * :at work");
    let lines = old.ask("METADATA new GET status color Wrong!");
    let told = [
        ":roost.local 761 old new status * :at work",
        ":roost.local 766 old new color :no matching key",
        ":roost.local FAIL METADATA KEY_INVALID Wrong! :A key has 1 to 64 of a-z, 0-9 and _ . / -",
    ];
    assert_eq!(inside(&lines), told);
    old.one("METADATA * SET x").must_fit("*FAIL METADATA KEY_NOT_SET old x :*");
    new.one("METADATA * SET x").must_fit(":roost.local 766 new new x :*");
    old.one(&format!("METADATA * SET x :{}", "é".repeat(126))).must_fit("*FAIL METADATA VALUE_INVALID :*");
    new.one(&format!("METADATA * SET x :{}", "é".repeat(126))).must_fit("*FAIL METADATA INVALID_VALUE x :*");
    new.one("METADATA * SET empty :").must_fit(":roost.local 761 new new empty * :");
    assert_eq!(inside(&new.ask("METADATA * LIST")).len(), 2);
    assert_eq!(
        inside(&new.ask("METADATA * CLEAR")),
        [":roost.local 766 new new empty :no matching key", ":roost.local 766 new new status :no matching key"]
    );
    assert_eq!(inside(&new.ask("METADATA new LIST")), [""; 0]);
    new.one("METADATA nobody LIST").must_fit("*FAIL METADATA INVALID_TARGET nobody :*");
    new.one("METADATA old SET x :y").must_fit("*FAIL METADATA KEY_NO_PERMISSION old x :*");
    new.one("METADATA * DANCE").must_fit("*FAIL METADATA INVALID_PARAMS DANCE :*");
    old.one("METADATA * DANCE").must_fit("*FAIL METADATA SUBCOMMAND_INVALID DANCE :*");
    for at in 0..20 {
        new.ask(&format!("METADATA * SET k{at} :v"));
    }
    new.one("METADATA * SET k20 :v").must_fit("*FAIL METADATA LIMIT_REACHED new :*");
    new.one("METADATA * SET k1 :w").must_fit("*761 new new k1 * :w");
    let mut plain = server.user("plain");
    plain.one("METADATA * LIST").must_fit("*421 plain METADATA :*");
}

#[test]
fn whoever_subscribed_is_told_and_nobody_else() {
    let server = Server::start();
    let mut ann = server.user_with("ann", NEW);
    let mut new = server.user_with("new", NEW);
    let mut old = server.user_with("old", OLD);
    let mut watcher = server.user_with("watcher", OLD);
    let mut other = server.user_with("other", NEW);
    assert_eq!(commands(&new.ask("METADATA * SUB status color")), ["770", "774"]);
    assert_eq!(old.ask("METADATA * SUB status")[0].body(), ":roost.local 770 old status");
    watcher.ask("METADATA * SUB status");
    watcher.ask("MONITOR + ann");
    for client in [&mut ann, &mut new, &mut old, &mut other] {
        client.join("#room");
    }
    for client in [&mut ann, &mut new, &mut old, &mut other] {
        client.sync();
    }
    ann.ask("METADATA * SET status :busy");
    new.only().must_fit(":roost.local 761 new ann status * :busy");
    old.only().must_fit(":ann!* METADATA ann status * :busy");
    watcher.only().must_fit(":ann!* METADATA ann status * :busy");
    other.silent();
    ann.ask("METADATA * SET status :busy");
    new.silent();
    ann.ask("METADATA * SET avatar :https://example.org/a.png");
    new.silent();
    ann.ask("METADATA * SET status");
    new.only().must_fit(":roost.local 766 new ann status :*");
    old.only().must_fit(":ann!* METADATA ann status *");
    ann.ask("METADATA #room SET color :red");
    new.only().must_fit(":roost.local 761 new #room color * :red");
    new.one("METADATA * UNSUB color").must_fit(":roost.local 771 new color");
    assert_eq!(inside(&new.ask("METADATA * SUBS")), [":roost.local 772 new status"]);
    ann.ask("METADATA #room SET color :blue");
    new.silent();
    other.one("METADATA #room SET color :green").must_fit("*FAIL METADATA KEY_NO_PERMISSION #room color :*");
}

#[test]
fn values_come_with_a_join_and_a_newcomer_s_to_those_who_are_there() {
    let server = Server::start();
    let mut ann = server.user_with("ann", NEW);
    ann.join("#room");
    ann.ask("METADATA * SET status :here");
    ann.ask("METADATA #room SET status :open");
    let mut late = server.user_with("late", NEW);
    late.ask("METADATA * SUB status");
    late.ask("METADATA * SET status :late");
    ann.ask("METADATA * SUB status");
    let lines = late.ask("JOIN #room");
    let start = lines.iter().position(|line| line.command() == "BATCH").expect("a batch");
    let told = [
        ":roost.local 761 late #room status * :open",
        ":roost.local 761 late ann status * :here",
        ":roost.local 761 late late status * :late",
    ];
    assert_eq!(inside(&lines[start..]), told);
    let lines = ann.sync();
    assert_eq!(commands(&lines), ["JOIN", "761"]);
    let lines = late.ask("METADATA *ALL SYNC");
    assert_eq!(lines.iter().filter(|line| line.command() == "761").count(), 1 + 3);
}

#[test]
fn keys_of_closed_channels_are_for_their_members() {
    let server = Server::start();
    let mut op = server.user_with("op", NEW);
    let mut bob = server.user_with("bob", NEW);
    op.join("#room");
    op.ask("METADATA #room SET topic :private matters");
    bob.ask("METADATA * SUB topic");
    assert_eq!(inside(&bob.ask("METADATA #room GET topic")).len(), 1);
    for mode in ["+i", "-i+k key", "-k+s key"] {
        op.ask(&format!("MODE #room {mode}"));
        for subcommand in ["GET topic", "LIST", "SYNC"] {
            let line = bob.one(&format!("METADATA #room {subcommand}"));
            assert!(line.command() == "FAIL" && !line.raw.contains("private"), "{mode} {line:?}");
        }
    }
}

#[test]
fn keys_of_accounts_and_registered_channels_survive_sigkill() {
    let mut server = Server::start();
    server.account("ann", "sesame");
    let mut ann = server.logged_in("ann", "ann", "sesame", NEW);
    ann.join("#room");
    ann.ask("METADATA #room SET avatar :before");
    ann.ask("CS REGISTER #room");
    ann.ask("METADATA #room SET color :after");
    ann.ask("METADATA * SET status :mine");
    ann.ask("METADATA * SET gone :x");
    ann.ask("METADATA * SET gone");
    let mut guest = server.user_with("guest", NEW);
    guest.ask("METADATA * SET status :guest");
    server.crash_and_restart();
    let mut ann = server.logged_in("ann", "ann", "sesame", NEW);
    assert_eq!(inside(&ann.ask("METADATA * LIST")), [":roost.local 761 ann ann status * :mine"]);
    let told = [":roost.local 761 ann #room avatar * :before", ":roost.local 761 ann #room color * :after"];
    assert_eq!(inside(&ann.ask("METADATA #room LIST")), told);
    let mut guest = server.user_with("guest", NEW);
    assert_eq!(inside(&guest.ask("METADATA * LIST")), [""; 0]);
}

#[test]
fn keys_are_set_before_the_connection_is_registered_and_told_before_the_motd() {
    let server = Server::start();
    let mut client: Client = server.connect();
    client.send("CAP REQ :draft/metadata-3 batch");
    client.until("CAP");
    client.one("METADATA * SET status :early").must_fit(":roost.local 761 * * status * :early");
    client.one("METADATA ann SET status :x").must_fit("*FAIL METADATA INVALID_TARGET ann :*");
    client.send_all(&["NICK ann", "USER a 0 * :a", "CAP END"]);
    let lines = client.until("376");
    let start = lines.iter().position(|line| line.command() == "BATCH").expect("a batch");
    assert_eq!(inside(&lines[start..start + 3]), [":roost.local 761 ann ann status * :early"]);
    let bare = server.user_with("bare", NEW);
    drop(bare);
}
