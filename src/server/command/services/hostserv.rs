//! HostServ: hosts that people are shown by in place of their cloak. Some are offered to everyone who is logged in; others
//! are asked for, and an operator approves them.
//!
//! Bans see what is behind it: one of a cloak, or of an address, holds whatever somebody is shown by.

use ircv3::mask;
use ircv3::message::cut;

use crate::limits;
use crate::server::change::Change;
use crate::server::command::info::readable;
use crate::server::command::oper;
use crate::server::command::services::{Row, account_named, own_account, rows, say, tell_account};
use crate::server::command::vhost::{self, is_shown_host};
use crate::server::network::UserId;
use crate::server::notice::About;
use crate::server::record::{AccountId, AccountRow};
use crate::server::right::Right;
use crate::server::{Ctx, Server};

const NAME: &str = "HostServ";
/// Accounts in one answer to LIST and WAITING.
const LISTED: usize = 100;

/// Its commands, by name.
pub const ROWS: &[Row] = rows! {
    "APPROVE", 2 Operator(Vhost) approve, "<account> <host>",
        "gives someone the host that they asked for",
        "The host is that of WAITING: they may have asked for another since";
    "DEL", 1 Operator(Vhost) del, "<account>",
        "takes the host of an account away";
    "DROP", 0 LoggedIn drop_own, "",
        "gives your host back, or takes back what you asked for";
    "LIST", 0 Operator(Vhost) list, "[mask]",
        "lists accounts that have a host";
    "OFF", 0 LoggedIn off, "",
        "shows you by your cloak again";
    "OFFERLIST" | "OFFERS", 0 Anyone offers, "",
        "lists hosts that you may take";
    "ON", 0 LoggedIn on, "",
        "shows you by your host";
    "REJECT", 1 Operator(Vhost) reject, "<account> [reason]",
        "refuses someone the host that they asked for";
    "REQUEST", 1 LoggedIn request, "<host>",
        "asks the operators for a host",
        "It is of letters, digits, and . - _ : /, such as roses.example.org. One that is offered you TAKE without asking";
    "SET", 2 Operator(Vhost) set, "<account> <host>",
        "gives an account a host";
    "STATUS", 0 LoggedInOr(Vhost) status, "",
        "tells which host you have, and what you asked for",
        "Operators with the right \"vhost\" may name the account of someone else: STATUS <account>";
    "TAKE", 1 LoggedIn take, "<number>|<host>",
        "takes one of the hosts of OFFERLIST";
    "WAITING", 0 Operator(Vhost) waiting, "",
        "lists hosts that were asked for";
};

/// The hosts that are offered, as they would be this account's: without a letter that no host has it would be that of
/// another account, so that whose name has one is not offered those with `$account`.
fn offered(server: &Server, account: &str) -> Vec<String> {
    let all = server.settings.offered_hosts.iter().map(|host| host.replace("$account", account));
    all.filter(|host| is_shown_host(host)).collect()
}

fn change(
    server: &mut Server,
    ctx: &mut Ctx,
    account: AccountId,
    values: &[(&'static str, Option<Box<str>>)],
    said: &str,
) {
    server.submit(ctx, Change::AccountSetting { account, values, said, service: NAME });
}

/// The values that give an account a host.
fn given(host: &str) -> [(&'static str, Option<Box<str>>); 3] {
    [("vhost", Some(host.into())), ("vhost-off", None), ("vhost-asked", None)]
}

fn own(server: &Server, ctx: &Ctx) -> Option<AccountRow> {
    server.network.account(own_account(server, ctx)?).cloned()
}

/// ON
fn on(server: &mut Server, ctx: &mut Ctx, _params: &[&str]) {
    let Some(row) = own(server, ctx) else { return };
    let Some(host) = server.network.account_settings(row.id).vhost.clone() else {
        say(ctx, NAME, "You have no host; REQUEST asks for one, and OFFERLIST shows those that you may take");
        return;
    };
    change(server, ctx, row.id, &[("vhost-off", None)], &format!("You are shown as {host}"));
}

/// OFF
fn off(server: &mut Server, ctx: &mut Ctx, _params: &[&str]) {
    let Some(row) = own(server, ctx) else { return };
    if server.network.account_settings(row.id).vhost.is_none() {
        say(ctx, NAME, "You have no host");
        return;
    }
    change(
        server,
        ctx,
        row.id,
        &[("vhost-off", Some("on".into()))],
        "You are not shown by your host any more; ON does that",
    );
}

/// DROP
fn drop_own(server: &mut Server, ctx: &mut Ctx, _params: &[&str]) {
    let Some(row) = own(server, ctx) else { return };
    let settings = server.network.account_settings(row.id);
    if settings.vhost.is_none() && settings.vhost_asked.is_none() {
        say(ctx, NAME, "You have no host, and asked for none");
        return;
    }
    let values = [("vhost", None), ("vhost-off", None), ("vhost-asked", None)];
    change(server, ctx, row.id, &values, "You have no host any more");
}

/// OFFERLIST
fn offers(server: &mut Server, ctx: &mut Ctx, _params: &[&str]) {
    let name = own(server, ctx).map_or_else(|| "account".into(), |row| row.name);
    let all = offered(server, &name);
    for (at, host) in all.iter().enumerate() {
        say(ctx, NAME, &format!("{}: {host}", at + 1));
    }
    say(ctx, NAME, &format!("End of the hosts that are offered: {}; TAKE with a number takes one", all.len()));
}

/// TAKE
fn take(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = own(server, ctx) else { return };
    let all = offered(server, &row.name);
    let by_number = params[0].parse::<usize>().ok().and_then(|number| all.get(number.checked_sub(1)?));
    let Some(host) = by_number.or_else(|| all.iter().find(|host| host.eq_ignore_ascii_case(params[0]))) else {
        say(ctx, NAME, &format!("{:?} is not offered; OFFERLIST shows what is", cut(params[0], 64)));
        return;
    };
    change(server, ctx, row.id, &given(host), &format!("You are shown as {host}"));
}

/// REQUEST
fn request(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = own(server, ctx) else { return };
    if !server.settings.host_requests {
        say(ctx, NAME, "This server gives no hosts on request; OFFERLIST shows those that you may take");
        return;
    }
    let host = &*params.join(" ");
    if !is_shown_host(host) {
        not_a_host(ctx, host);
        return;
    }
    let settings = server.network.account_settings(row.id);
    if settings.vhost.as_deref() == Some(host) {
        say(ctx, NAME, "You have that host already");
        return;
    }
    let clock = server.clock();
    let asked_lately = settings.vhost_asked.as_ref().is_some_and(|asked| asked.at + limits::HOST_REQUEST_MS > clock);
    // Nor does it help to take it back.
    if asked_lately || !server.may_request_host(row.id) {
        say(ctx, NAME, "You have asked for a host a moment ago; ask for another in some minutes");
        return;
    }
    let values = [("vhost-asked", Some(format!("{clock} {host}").into()))];
    let said = format!("You have asked for {host}; an operator decides. DROP takes it back");
    change(server, ctx, row.id, &values, &said);
    if server.network.account_settings(row.id).vhost_asked.as_ref().is_some_and(|asked| asked.at == clock) {
        let name = row.name;
        server.tell_opers(&format!("{name} asks for the host {host}: /msg HostServ APPROVE {name} {host}"));
    }
}

fn not_a_host(ctx: &mut Ctx, host: &str) {
    let text = format!(
        "{:?} is no host: give 1 to {} letters, digits, and . - _ : /, not beginning with a colon",
        cut(host, 80),
        limits::HOST_LEN
    );
    say(ctx, NAME, &text);
}

/// WAITING
fn waiting(server: &mut Server, ctx: &mut Ctx, _params: &[&str]) {
    let mut count = 0;
    for (account, settings) in server.network.all_account_settings() {
        let (Some(asked), Some(row)) = (&settings.vhost_asked, server.network.account(account)) else { continue };
        if count < LISTED {
            let has = settings.vhost.as_ref().map(|host| format!(" (has {host})")).unwrap_or_default();
            say(ctx, NAME, &format!("{} asked for {} at {}{has}", row.name, asked.host, readable(asked.at)));
        }
        count += 1;
    }
    say(
        ctx,
        NAME,
        &format!("End of the hosts that were asked for: {count}; APPROVE with the account and the host, or REJECT"),
    );
}

/// LIST
fn list(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let wanted = params.first().copied().unwrap_or("*");
    let casemapping = server.network.casemapping;
    let mut count = 0;
    for (account, settings) in server.network.all_account_settings() {
        let (Some(host), Some(row)) = (&settings.vhost, server.network.account(account)) else { continue };
        if !mask::matches(wanted, &row.name, casemapping) && !mask::matches(wanted, host, casemapping) {
            continue;
        }
        if count < LISTED {
            let off = if settings.vhost_on { "" } else { " (off)" };
            say(ctx, NAME, &format!("{} has {host}{off}", row.name));
        }
        count += 1;
    }
    let more = if count > LISTED { "; give a mask to see the others" } else { "" };
    say(ctx, NAME, &format!("End of the list of hosts: {count}{more}"));
}

/// The account, and the host that it asked for.
fn asked(server: &Server, ctx: &mut Ctx, name: &str) -> Option<(AccountRow, Box<str>)> {
    let row = account_named(server, ctx, NAME, name)?;
    let asked = server.network.account_settings(row.id).vhost_asked.clone();
    if asked.is_none() {
        say(ctx, NAME, &format!("{} has asked for no host; WAITING lists who has", row.name));
    }
    Some((row, asked?.host))
}

/// APPROVE
fn approve(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some((row, host)) = asked(server, ctx, params[0]) else { return };
    if *host != *params[1] {
        say(ctx, NAME, &format!("{} asks for {host}: APPROVE {} {host}, or REJECT", row.name, row.name));
        return;
    }
    change(server, ctx, row.id, &given(&host), &format!("{} is shown as {host} now", row.name));
    let after = server.wait_for(server.last_seq());
    tell_account(
        server,
        NAME,
        row.id,
        after,
        &format!("You have the host {host} now; OFF shows you by your cloak again"),
    );
    let by = ctx.reply.nick.clone();
    server.notify(About::Vhosts, |_| format!("{by} gave {} the host {host}", row.name));
}

/// REJECT
fn reject(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some((row, host)) = asked(server, ctx, params[0]) else { return };
    let reason = params[1..].join(" ");
    let reason = if reason.is_empty() { String::new() } else { format!(": {}", cut(&reason, limits::REASON_LEN)) };
    change(server, ctx, row.id, &[("vhost-asked", None)], &format!("{} does not get {host}", row.name));
    let after = server.wait_for(server.last_seq());
    tell_account(server, NAME, row.id, after, &format!("You do not get the host {host}{reason}"));
    let by = ctx.reply.nick.clone();
    server.notify(About::Vhosts, |_| format!("{by} refused {} the host {host}{reason}", row.name));
}

/// SET
fn set(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = account_named(server, ctx, NAME, params[0]) else { return };
    let host = &*params[1..].join(" ");
    if !is_shown_host(host) {
        not_a_host(ctx, host);
        return;
    }
    change(server, ctx, row.id, &given(host), &format!("{} is shown as {host} now", row.name));
    let by = ctx.reply.nick.clone();
    server.notify(About::Vhosts, |_| format!("{by} gave {} the host {host}", row.name));
}

/// DEL
fn del(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = account_named(server, ctx, NAME, params[0]) else { return };
    if server.network.account_settings(row.id).vhost.is_none() {
        say(ctx, NAME, &format!("{} has no host", row.name));
        return;
    }
    let values = [("vhost", None), ("vhost-off", None)];
    change(server, ctx, row.id, &values, &format!("{} has no host any more", row.name));
    let by = ctx.reply.nick.clone();
    server.notify(About::Vhosts, |_| format!("{by} took the host of {} away", row.name));
}

/// STATUS
fn status(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let row = match params.first() {
        None if own_account(server, ctx).is_none() => {
            return say(ctx, NAME, "You are not logged in, so name an account: STATUS <account>");
        }
        None => own(server, ctx),
        Some(name) if !oper::has(server, ctx, Right::Vhost) => {
            let asked = server.network.nick_owner(name).map(|row| row.id);
            if asked.is_none() || asked != own_account(server, ctx) {
                let text =
                    "Only operators with the right \"vhost\" may ask about others; STATUS tells of your own host";
                return say(ctx, NAME, text);
            }
            own(server, ctx)
        }
        Some(name) => account_named(server, ctx, NAME, name),
    };
    let Some(row) = row else { return };
    let settings = server.network.account_settings(row.id).clone();
    let text = match (&settings.vhost, settings.vhost_on) {
        (None, _) => format!("{} has no host", row.name),
        (Some(host), true) => format!("{} has the host {host}, and is shown by it", row.name),
        (Some(host), false) => format!("{} has the host {host}, and is not shown by it (OFF)", row.name),
    };
    say(ctx, NAME, &text);
    if let Some(asked) = settings.vhost_asked {
        let text = format!("{} asked for {} at {}", row.name, asked.host, readable(asked.at));
        say(ctx, NAME, &text);
    }
}

/// Shows whoever uses an account by its host, or not any more by the one that it had until now.
pub fn refresh(server: &mut Server, ctx: &mut Ctx, account: AccountId, before: Option<&str>) {
    let settings = server.network.account_settings(account);
    let now = settings.vhost.clone().filter(|_| settings.vhost_on);
    let users: Vec<UserId> = server.network.users_of(account).collect();
    for user in users {
        let there = &server.network.users[user];
        let host = match &now {
            Some(host) => host.to_string(),
            // Another that an operator gave it stays.
            None if before.is_some_and(|before| *there.host == *before) => plain_host(server, user).to_string(),
            None => continue,
        };
        server.to_judge.push(user);
        vhost::set(server, ctx, user, &host);
    }
}

impl Server {
    /// Bans of the host of an account hold whoever uses it without being shown by that host.
    pub(in crate::server) fn note_former_vhost(&mut self, user: UserId) {
        let Some(account) = self.network.users[user].account else { return };
        let settings = self.network.account_settings(account);
        if let Some(host) = settings.vhost.as_deref().filter(|_| !settings.vhost_on).map(Into::into) {
            self.network.users[user].was_shown_by(host);
        }
    }

    /// The host that whoever uses an account is shown by, where it has one.
    pub(in crate::server) fn vhost_of(&self, account: AccountId) -> Option<std::sync::Arc<str>> {
        let settings = self.network.account_settings(account);
        settings.vhost.as_deref().filter(|_| settings.vhost_on).map(Into::into)
    }
}

/// What a user is shown by that has no host of its own.
pub fn plain_host(server: &Server, user: UserId) -> std::sync::Arc<str> {
    let there = &server.network.users[user];
    let Some(conn) = there.sessions.first() else { return there.plain_host.clone() };
    server.plain_host_of(user, *conn).unwrap_or_else(|| there.plain_host.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use crate::accounts::Secrets;
    use crate::server::cloak::Cloak;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{ConnId, Event, Returned};
    use crate::server::settings::Settings;

    fn asked() -> Asked {
        let mut asked = Asked::new();
        let offered_hosts = vec!["$account.users.example.org".into(), "reader.example.org".into()];
        let settings = Settings { offered_hosts, host_requests: true, ..(*asked.server.settings).clone() };
        asked.server.settings = Arc::new(settings);
        asked
    }

    /// Somebody with an account of their nick, whose password is always right.
    fn owner(asked: &mut Asked, nick: &str) -> ConnId {
        let conn = asked.user(nick);
        asked.ask(conn, "REGISTER * * sesame");
        let call = asked.calls()[0].0;
        let secrets = Secrets { hash: format!("h:{nick}").into(), scram: Vec::new() };
        asked.handle(Event::Returned(call, Returned::Hashed(Box::new(secrets))));
        assert!(asked.server.session(conn).unwrap().account.is_some(), "{nick}");
        conn
    }

    fn host(asked: &Asked, nick: &str) -> String {
        asked.server.network.users[asked.id(nick)].host.to_string()
    }

    #[test]
    fn nobody_is_offered_the_host_of_another_account() {
        let mut asked = asked();
        let (alice, other) = (owner(&mut asked, "alice"), owner(&mut asked, "[alice]"));
        assert!(asked.ask(alice, "HS OFFERLIST").concat().contains("1: alice.users.example.org"));
        let offers = asked.ask(other, "HS OFFERLIST").concat();
        assert!(offers.contains("1: reader.example.org") && !offers.contains("users"), "{offers}");
        assert!(asked.ask(other, "HS TAKE alice.users.example.org").concat().contains("is not offered"));
    }

    #[test]
    fn an_operator_approves_the_host_that_they_have_read_and_no_other() {
        let mut asked = asked();
        let alice = owner(&mut asked, "alice");
        let boss = asked.user("boss");
        asked.set_oper("boss");
        asked.ask(alice, "HS REQUEST roses.example.org");
        assert!(asked.heard(boss).concat().contains("alice asks for the host"), "operators hear of it without +s");
        // Taking it back makes no other possible at once.
        asked.ask(alice, "HS DROP");
        assert!(asked.ask(alice, "HS REQUEST irc.test").concat().contains("a moment ago"));
        for _ in 0..10 {
            asked.now.mono_ms += crate::limits::HOST_REQUEST_MS / 10;
            asked.now.unix_ms += crate::limits::HOST_REQUEST_MS / 10;
            asked.handle(Event::Tick);
            asked.ask(alice, "PONG x");
            asked.ask(boss, "PONG x");
        }
        let told = asked.ask(alice, "HS REQUEST irc.test").concat();
        assert!(told.contains("an operator decides"), "{told}");
        let told = asked.ask(boss, "HS APPROVE alice roses.example.org").concat();
        assert!(told.contains("alice asks for irc.test"), "{told}");
        assert!(asked.ask(boss, "HS APPROVE alice").concat().contains("APPROVE <account> <host>"));
        assert_eq!(host(&asked, "alice"), "10.0.0.1");
        asked.ask(boss, "HS APPROVE alice irc.test");
        assert_eq!(host(&asked, "alice"), "irc.test");
    }

    #[test]
    fn who_logs_in_to_another_account_does_not_keep_the_host_of_the_first() {
        let mut asked = asked();
        let alice = owner(&mut asked, "alice");
        asked.ask(alice, "HS TAKE 1");
        assert_eq!(host(&asked, "alice"), "alice.users.example.org");
        let bob = owner(&mut asked, "bob");
        asked.ask(bob, "QUIT");
        asked.ask(alice, "CAP REQ sasl");
        asked.ask(alice, "AUTHENTICATE PLAIN");
        asked.ask(alice, "AUTHENTICATE AGJvYgBzZXNhbWU=");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, Returned::Verified(true)));
        assert_eq!(
            &*asked.server.network.account(asked.server.session(alice).unwrap().account.unwrap()).unwrap().name,
            "bob"
        );
        assert_eq!(host(&asked, "alice"), "10.0.0.1");
    }

    #[test]
    fn who_is_banned_by_the_host_that_they_will_be_shown_by_does_not_come_in() {
        for banned in ["reader.example.org", "cloak"] {
            let mut asked = asked();
            let settings = Settings { cloak: Some(Cloak::default()), ..(*asked.server.settings).clone() };
            asked.server.settings = Arc::new(settings);
            let bob = owner(&mut asked, "bob");
            let cloak = host(&asked, "bob");
            assert!(cloak.ends_with(".cloak"));
            asked.ask(bob, "HS TAKE reader.example.org");
            asked.ask(bob, "QUIT");
            let boss = asked.user("boss");
            asked.set_oper("boss");
            let banned = if banned == "cloak" { &*cloak } else { banned };
            asked.ask(boss, &format!("KLINE bob*!*@{banned} :out"));
            let bob = asked.open();
            for line in ["PASS bob:sesame", "NICK bob2", "USER u 0 * :a"] {
                asked.ask(bob, line);
            }
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, Returned::Verified(true)));
            assert!(asked.server.network.user_by_nick("bob2").is_none(), "{banned}");
            assert!(asked.last_words(bob).contains("out"), "{banned}");
        }
    }

    #[test]
    fn a_ban_of_a_host_holds_whoever_is_not_shown_by_it_any_more() {
        let mut asked = asked();
        let (alice, bob) = (owner(&mut asked, "alice"), owner(&mut asked, "bob"));
        asked.ask(alice, "JOIN #garden");
        asked.ask(bob, "HS TAKE reader.example.org");
        asked.ask(alice, "MODE #garden +b *!*@reader.example.org");
        for line in ["HS OFF", "HS TAKE 1", "HS DROP"] {
            asked.ask(bob, line);
            assert_ne!(host(&asked, "bob"), "reader.example.org");
            assert!(asked.ask(bob, "JOIN #garden").concat().contains(" 474 "), "{line}");
        }
        // Nor where somebody comes with it off.
        asked.ask(bob, "HS TAKE reader.example.org");
        asked.ask(bob, "HS OFF");
        asked.ask(bob, "QUIT");
        let bob = asked.user("bob2");
        asked.ask(bob, "NS IDENTIFY bob sesame");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, Returned::Verified(true)));
        assert!(asked.ask(bob, "JOIN #garden").concat().contains(" 474 "));
        // Whoever was never shown by it comes in.
        let carol = owner(&mut asked, "carol");
        assert!(!asked.ask(carol, "JOIN #garden").concat().contains(" 474 "));
    }

    #[test]
    fn whoever_asks_for_the_host_of_another_is_told_who_may() {
        let mut asked = asked();
        let (alice, bob) = (owner(&mut asked, "alice"), owner(&mut asked, "bob"));
        let told = asked.ask(bob, "HS STATUS alice").concat();
        assert!(told.contains("Only operators with the right") && !told.contains("That takes"), "{told}");
        assert_eq!(asked.ask(bob, "HS STATUS nobody").concat(), told);
        assert!(asked.ask(alice, "HS STATUS alice").concat().contains("alice has no host"));
        assert!(!asked.ask(bob, "HS HELP").concat().contains("STATUS [account]"));
        asked.set_oper("bob");
        assert!(asked.ask(bob, "HS STATUS alice").concat().contains("alice has no host"));
    }

    #[test]
    fn a_host_of_two_words_is_none() {
        let mut asked = asked();
        let alice = owner(&mut asked, "alice");
        assert!(asked.ask(alice, "HS REQUEST bad host").concat().contains("\"bad host\" is no host"));
        asked.set_oper("alice");
        assert!(asked.ask(alice, "HS SET alice bad host").concat().contains("\"bad host\" is no host"));
        assert!(asked.ask(alice, "HS STATUS").concat().contains("alice has no host"));
    }
}
