//! REGISTER and VERIFY (<https://ircv3.net/specs/extensions/account-registration>).

use std::sync::Arc;

use ircv3::{Message, name};

use crate::limits;
use crate::server::action::Call;
use crate::server::change::Change;
use crate::server::command::{Pending, printable, services};
use crate::server::event::Returned;
use crate::server::policy;
use crate::server::record::{AccountRow, Record, Seq};
use crate::server::{Ctx, Server};

/// Why an account may not be made: the code of FAIL and words for people.
pub struct Refused {
    /// As in the registry of standard replies.
    pub code: &'static str,
    /// What was wrong and what would be right.
    pub text: String,
}

/// REGISTER
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let given = line.param(0).unwrap_or("*");
    let email = line.param(1).unwrap_or("*");
    let password = line.param(2).unwrap_or("");
    let account = if given == "*" { ctx.reply.nick.clone() } else { Arc::from(given) };
    let context = printable(given);
    let Some(session) = server.session(ctx.conn) else { return };
    if session.account.is_some() {
        ctx.reply.fail("REGISTER", "ALREADY_AUTHENTICATED", &[context], "You are logged in to an account already");
        return;
    }
    if ctx.user.is_none() {
        if !server.settings.register_before_connect {
            ctx.reply.fail(
                "REGISTER",
                "COMPLETE_CONNECTION_REQUIRED",
                &[context],
                "Complete the connection first (NICK and USER)",
            );
            return;
        }
        if given == "*" && &*ctx.reply.nick == "*" {
            // Whoever asked for a nick that another has would get that other's account.
            if server.session(ctx.conn).is_some_and(|session| session.registration.as_ref().is_some_and(|r| r.refused))
            {
                ctx.reply.fail("REGISTER", "ACCOUNT_EXISTS", &[context], "Somebody else uses that nick now");
                return;
            }
            ctx.reply.fail("REGISTER", "NEED_NICK", &[context], "Choose a nick first (NICK)");
            return;
        }
    }
    if email != "*" && !email.is_empty() && !looks_like_email(email) {
        ctx.reply.fail("REGISTER", "INVALID_EMAIL", &[context], "That is no e-mail address; * gives none");
        return;
    }
    match check(server, ctx, &account, password) {
        Ok(()) => {
            let pending = Pending::Register { name: (*account).into(), by_nickserv: false };
            server.call(ctx, Call::Hash { password: password.into() }, pending);
        }
        Err(refused) => ctx.reply.fail("REGISTER", refused.code, &[printable(&account)], &refused.text),
    }
}

/// Whether a connection may make an account of this name with this password.
pub fn check(server: &mut Server, ctx: &Ctx, account: &str, password: &str) -> Result<(), Refused> {
    let refuse = |code, text: &str| Err(Refused { code, text: text.to_owned() });
    if !server.settings.registration {
        return refuse("TEMPORARILY_UNAVAILABLE", "Accounts cannot be registered on this server");
    }
    if server.store_refuses() {
        return refuse("TEMPORARILY_UNAVAILABLE", "The server cannot store anything now; try again later");
    }
    if !name::is_account_name(account, limits::NICK_LEN) || policy::is_service(account) {
        return refuse("BAD_ACCOUNT_NAME", "An account's name is like a nick: letters, digits and []\\`_^{|}-");
    }
    if server.network.account_by_name(account).is_some() {
        return refuse("ACCOUNT_EXISTS", "An account of that name exists");
    }
    let taken = server.network.user_by_nick(account).is_some_and(|owner| Some(owner) != ctx.user);
    if taken {
        return refuse("ACCOUNT_EXISTS", "Somebody else uses that nick now");
    }
    if password.is_empty() || password.len() > limits::PASSWORD_LEN {
        let text = format!("A password has 1 to {} bytes", limits::PASSWORD_LEN);
        return refuse("UNACCEPTABLE_PASSWORD", &text);
    }
    if !server.may_register_account(ctx.conn) {
        return refuse(
            "TEMPORARILY_UNAVAILABLE",
            "Too many accounts were registered from your address; try again later",
        );
    }
    Ok(())
}

fn looks_like_email(text: &str) -> bool {
    text.len() <= 254
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        && text
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'))
}

/// The password of a new account was hashed.
pub fn hashed(server: &mut Server, ctx: &mut Ctx, name: &str, by_nickserv: bool, returned: Returned) {
    let Returned::Hashed(hash) = returned else {
        let text = "The server has too many passwords to hash; try again".to_owned();
        refuse(ctx, name, by_nickserv, &Refused { code: "TEMPORARILY_UNAVAILABLE", text });
        return;
    };
    server.submit(ctx, Change::Account { name, hash: &hash, by_nickserv });
}

/// Makes an account and logs the sender in to it.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, hash: &str, by_nickserv: bool) {
    match create(server, ctx, seq, name, hash) {
        Ok(name) => {
            if by_nickserv {
                services::say(ctx, "NickServ", &format!("Account created: you are registered and logged in as {name}"));
            } else {
                ctx.reply.line("REGISTER", &["SUCCESS", &name], Some("Account created"));
            }
        }
        Err(refused) => refuse(ctx, name, by_nickserv, &refused),
    }
}

fn refuse(ctx: &mut Ctx, name: &str, by_nickserv: bool, refused: &Refused) {
    if by_nickserv {
        services::say(ctx, "NickServ", &refused.text);
    } else {
        ctx.reply.fail("REGISTER", refused.code, &[printable(name)], &refused.text);
    }
}

fn create(server: &mut Server, ctx: &mut Ctx, seq: Seq, name: &str, hash: &str) -> Result<Arc<str>, Refused> {
    // While the password was hashed another may have taken the name, or this connection logged in.
    if server.network.account_by_name(name).is_some() {
        return Err(Refused { code: "ACCOUNT_EXISTS", text: "An account of that name exists".into() });
    }
    let row = AccountRow {
        // Its number was never used, so that nobody inherits the private conversations of an account
        // that is gone.
        id: seq,
        name: name.into(),
        folded: server.network.fold(name).as_str().into(),
        password: hash.into(),
        registered: server.clock(),
        autoreplay_missed: true,
        always_on: None,
        multiclient: true,
    };
    let (id, name) = (row.id, row.name.clone());
    server.network.put_account(row.clone());
    server.keep(seq, Record::Account(Box::new(row)));
    server.log(false, format!("account {name} was registered"));
    server.login(ctx, id, "");
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    Ok(name)
}

/// VERIFY: accounts need no verification here, so there is never one to be verified.
pub fn verify(_: &mut Server, ctx: &mut Ctx, line: &Message) {
    let account = printable(line.param(0).unwrap_or("*"));
    ctx.reply.fail("VERIFY", "INVALID_CODE", &[account], "No account of that name waits for a code");
}
