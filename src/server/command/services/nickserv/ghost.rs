//! NickServ GHOST and REGAIN: the nick of one's account, which another connection has.

use ircv3::message::cut;
use ircv3::name::is_nick;

use crate::limits::NICK_LEN;
use crate::server::change::Change;
use crate::server::command::services::nickserv::identify;
use crate::server::command::services::{own_account, say};
use crate::server::network::UserId;
use crate::server::{Ctx, Server};

/// What is wanted with a nick of one's account.
#[derive(Clone, Debug)]
pub struct Wanted {
    nick: Box<str>,
    /// Whether the sender is to have it.
    regain: bool,
}

/// GHOST
pub fn ghost(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    begin(server, ctx, ("GHOST", false), params);
}

/// REGAIN
pub fn regain(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    begin(server, ctx, ("REGAIN", true), params);
}

/// Does it at once where the sender is logged in; with a password, as other services have it, that logs in first.
fn begin(server: &mut Server, ctx: &mut Ctx, (verb, regain): (&str, bool), params: &[&str]) {
    let (nick, password) = (params[0], &params[1..]);
    let wanted = Wanted { nick: nick.into(), regain };
    if own_account(server, ctx).is_some() {
        go_on(server, ctx, &wanted);
    } else if password.is_empty() {
        let text = format!(
            "Log in first: /msg NickServ IDENTIFY <account> <password>; or put the password behind it: {verb} {} \
             <password>",
            cut(nick, 64)
        );
        say(ctx, "NickServ", &text);
    } else {
        // The nick may be no account's, and who has it logged in.
        let holder = server.network.user_by_nick(nick).and_then(|user| server.network.users[user].account_name.clone());
        let holder = holder.filter(|_| server.network.nick_owner(nick).is_none());
        identify::with_words(server, ctx, holder.as_deref().unwrap_or(nick), password);
        server.after_login(ctx, wanted);
    }
}

/// Does what is wanted; the sender is logged in.
pub fn go_on(server: &mut Server, ctx: &mut Ctx, wanted: &Wanted) {
    if wanted.regain {
        take_nick(server, ctx, &wanted.nick);
    } else if release(server, ctx, &wanted.nick) {
        say(ctx, "NickServ", &format!("{} is free now", wanted.nick));
    }
}

fn take_nick(server: &mut Server, ctx: &mut Ctx, nick: &str) {
    if server.network.user_by_nick(nick) == ctx.user {
        say(ctx, "NickServ", "You have that nick already");
        return;
    }
    let (held, account) = (server.network.user_by_nick(nick), own_account(server, ctx));
    if let Some(user) = held.filter(|user| account.is_some_and(|account| server.is_presence_of(*user, account))) {
        say_how_to_be(server, ctx, user);
        return;
    }
    if held.is_none() || release(server, ctx, nick) {
        if !is_nick(nick, NICK_LEN, server.network.casemapping) {
            say(ctx, "NickServ", &format!("{:?} is no nick", cut(nick, 64)));
            return;
        }
        server.submit(ctx, Change::Nick { nick });
    }
}

/// Ends whoever has a nick that is the sender's; whether it did.
fn release(server: &mut Server, ctx: &mut Ctx, nick: &str) -> bool {
    let Some(user) = server.network.user_by_nick(nick) else {
        say(ctx, "NickServ", &format!("Nobody uses the nick {:?}", cut(nick, 64)));
        return false;
    };
    if Some(user) == ctx.user {
        say(ctx, "NickServ", "That is you; CLIENTS LOGOUT ends your other connections");
        return false;
    }
    let Some(account) = own_account(server, ctx) else { return false };
    let is_own = server.network.nick_owner(nick).is_some_and(|row| row.id == account);
    if !is_own && server.network.users[user].account != Some(account) {
        say(ctx, "NickServ", &format!("{nick} is not the nick of your account, nor logged in to it"));
        return false;
    }
    let by = ctx.reply.nick.clone();
    let (was, serial) = (server.is_presence_of(user, account), server.network.users[user].serial);
    server.end_holder(ctx, user, account, &format!("GHOST command used by {by}"));
    let stays = was && server.network.is_still(user, serial);
    if stays {
        say_how_to_be(server, ctx, user);
    }
    !stays
}

/// Tells whoever is not who its account keeps how to be that.
pub fn say_how_to_be(server: &Server, ctx: &mut Ctx, user: UserId) {
    let there = &server.network.users[user];
    let (nick, connections) = (there.nick.clone(), there.sessions.len());
    let account = there.account_name.as_deref().unwrap_or(&nick);
    let text = match connections {
        0 => format!("{nick} is you: always on, with no connection now, and stays in its channels"),
        1 => format!("{nick} is you: always on, with 1 connection"),
        _ => format!("{nick} is you: always on, with {connections} connections"),
    };
    let how = format!(
        "To be {nick} on this connection, connect again and log in at once: by SASL, or with the server password \
         {account}:<password>"
    );
    say(ctx, "NickServ", &text);
    say(ctx, "NickServ", &how);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{ConnId, Event, Returned};

    /// Alice, who is logged in and on, and somebody else.
    fn with_alice() -> (Asked, ConnId) {
        let mut asked = Asked::new();
        asked.user("alice");
        asked.account("alice", 1);
        let guest = asked.user("guest");
        (asked, guest)
    }

    /// What a command comes to whose password is compared.
    fn with_password(asked: &mut Asked, conn: ConnId, line: &str, right: bool) -> String {
        asked.ask(conn, line);
        let [(call, _)] = asked.calls() else { panic!("{line}: {:?}", asked.calls()) };
        let call = *call;
        asked.handle(Event::Returned(call, Returned::Verified(right)));
        asked.sent(conn).concat()
    }

    #[test]
    fn ghost_and_regain_with_the_password_log_in_and_then_do_it() {
        for verb in ["GHOST", "RECOVER", "REGAIN", "RELEASE"] {
            let (mut asked, guest) = with_alice();
            let alice = asked.id("alice");
            let told = with_password(&mut asked, guest, &format!("NS {verb} alice wrong"), false);
            assert!(told.contains("You are not logged in: the account or the password is wrong"), "{verb}: {told}");
            assert_eq!(asked.server.network.user_by_nick("alice"), Some(alice), "{verb}");
            let told = with_password(&mut asked, guest, &format!("NS {verb} alice sesame"), true);
            assert!(told.contains("You are now logged in"), "{verb}: {told}");
            let holder = asked.server.network.user_by_nick("alice");
            let is_guests = holder == asked.server.session(guest).unwrap().user;
            assert_eq!((holder.is_none(), is_guests), (verb == "GHOST", verb != "GHOST"), "{verb}: {told}");
        }
    }

    #[test]
    fn a_nick_that_is_no_accounts_is_that_of_whoever_has_it() {
        let (mut asked, guest) = with_alice();
        let alice = asked.server.network.users[asked.id("alice")].sessions[0];
        asked.ask(alice, "NICK alice_");
        let told = with_password(&mut asked, guest, "NS GHOST alice_ sesame", true);
        assert!(told.contains("alice_ is free now"), "{told}");
    }

    #[test]
    fn without_a_password_it_says_where_one_goes() {
        let (mut asked, guest) = with_alice();
        let told = asked.ask(guest, "NS RECOVER alice").concat();
        assert!(told.contains("Log in first") && told.contains("REGAIN alice <password>"), "{told}");
    }
}
