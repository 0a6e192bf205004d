//! VERIFY (<https://ircv3.net/specs/extensions/account-registration>): the code that was mailed comes back.

use ircv3::Message;

use crate::limits;
use crate::mail::is_address;
use crate::server::change::Change;
use crate::server::command::printable;
use crate::server::command::register::By;
use crate::server::command::services::nickserv::suspend;
use crate::server::command::services::{keep_account, own_account, quoted, say};
use crate::server::event::Returned;
use crate::server::login::{Door, Proof};
use crate::server::mail::Given;
use crate::server::notice::About;
use crate::server::record::{AccountId, Purpose, Seq};
use crate::server::{Ctx, Server};

/// VERIFY
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let name = line.param(0).unwrap_or("");
    if ctx.user.is_none() && !server.settings.register_before_connect {
        let text = "Complete the connection first (NICK and USER)";
        ctx.reply.fail("VERIFY", "COMPLETE_CONNECTION_REQUIRED", &[printable(name)], text);
        return;
    }
    begin(server, ctx, name, line.param(1).unwrap_or(""), By::Register);
}

/// Verifies an account, where the code is right.
pub fn begin(server: &mut Server, ctx: &mut Ctx, name: &str, code: &str, by: By) {
    if server.session(ctx.conn).is_some_and(|session| session.account.is_some()) {
        fail(ctx, "ALREADY_AUTHENTICATED", name, by, "You are logged in to an account already");
        return;
    }
    match server.try_code(ctx.conn, name, Purpose::Register, code) {
        Given::Right(row) => server.submit(ctx, Change::Verified { account: row.account, by }),
        Given::Wrong => {
            let text = "The code is wrong or over, or no account of that name waits for one";
            fail(ctx, "INVALID_CODE", name, by, text);
        }
        Given::Throttled => {
            let text = "Too many wrong codes from your address; wait a minute";
            fail(ctx, "TEMPORARILY_UNAVAILABLE", name, by, text);
        }
    }
}

fn fail(ctx: &mut Ctx, code: &str, name: &str, by: By, text: &str) {
    match by {
        By::Register => ctx.reply.fail("VERIFY", code, &[printable(name)], text),
        _ => say(ctx, "NickServ", text),
    }
}

/// Lets an account be used from now on, and logs the sender in to it that gave the code; an operator has given none.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, by: By) {
    let Some(code) = server.network.code(account, Purpose::Register).cloned() else { return };
    server.use_code(seq, account, Purpose::Register);
    keep_account(server, ctx, seq, account, |row| {
        row.verified = true;
        row.email = Some(code.email);
    });
    let name = server.network.account(account).map(|row| row.name.clone()).unwrap_or_default();
    server.log(false, format!("account {name} was verified"));
    server.notify(About::Accounts, |_| format!("the account {name} was verified"));
    if by == By::Operator {
        say(ctx, "NickServ", &format!("The account {name} may be used now"));
        return;
    }
    server.admit(ctx, Door::Made, account, "", Proof::Has);
    if own_account(server, ctx) != Some(account) {
        // It may be suspended, or this connection somebody who has logged in meanwhile.
        let why = suspend::why(server, account).unwrap_or_else(|| "log in to it as you connect next".to_owned());
        let text = format!("The account {name} is verified, and you are not logged in to it: {why}");
        match by {
            By::Register => ctx.reply.line("VERIFY", &["SUCCESS", &name], Some(&text)),
            _ => say(ctx, "NickServ", &text),
        }
        return;
    }
    match by {
        By::Register => ctx.reply.line("VERIFY", &["SUCCESS", &name], Some("Account verified")),
        _ => say(ctx, "NickServ", &format!("Account verified: you are logged in as {name}")),
    }
}

/// The letter with the code of a new account has gone out, or could not.
pub fn mailed(server: &mut Server, ctx: &mut Ctx, account: AccountId, by: By, returned: &Returned) {
    let purpose = Purpose::Register;
    let (Some(row), Some(code)) = (server.network.account(account), server.network.code(account, purpose)) else {
        return;
    };
    let (name, email) = (row.name.clone(), code.email.clone());
    let (code, text) = match returned {
        Returned::Mailed(Ok(())) => {
            if let Some(registration) = server.session_mut(ctx.conn).and_then(|session| session.registration.as_mut()) {
                registration.awaits_code = true;
            }
            let text = format!("A code was sent to {email}; give it with VERIFY {name} <code>");
            match by {
                By::Register => ctx.reply.line("REGISTER", &["VERIFICATION_REQUIRED", &name], Some(&text)),
                _ => say(ctx, "NickServ", &text),
            }
            return;
        }
        Returned::Mailed(Err(_)) => {
            ("UNACCEPTABLE_EMAIL", format!("The mail server does not take the address {email:?}; give another"))
        }
        _ => ("TEMPORARILY_UNAVAILABLE", "The code cannot be mailed now; try again later".to_owned()),
    };
    // Its name is free again for another try.
    if !server.store_refuses() {
        server.submit(ctx, Change::CodeOver { account, purpose });
    }
    match by {
        By::Register => ctx.reply.fail("REGISTER", code, &[printable(&name)], &text),
        _ => say(ctx, "NickServ", &text),
    }
}

/// Has the code of an account that waits for it mailed again. Whoever asks learns nothing of the account.
pub fn resend(server: &mut Server, ctx: &mut Ctx, name: &str) {
    if server.settings.mail.is_none() {
        say(ctx, "NickServ", "This server sends no mail; ask an operator");
        return;
    }
    let account = server.network.account_by_name(name).map(|row| row.id);
    let code = account.and_then(|account| server.network.code(account, Purpose::Register));
    if let Some((account, email)) = code.map(|code| (code.account, code.email.clone())) {
        server.mail_code(ctx, account, Purpose::Register, &email);
    }
    let text = format!(
        "If {} waits for a code, a letter with it is on its way to its address; only so many are sent in an hour",
        quoted(name)
    );
    say(ctx, "NickServ", &text);
}

/// The letter with the code of SET EMAIL has gone out, or could not.
pub fn code_mailed(ctx: &mut Ctx, email: &str, returned: &Returned) {
    let text = match returned {
        Returned::Mailed(Ok(())) => format!("A code was sent to {email}; only the newest one is right"),
        Returned::Mailed(Err(_)) => format!("The mail server does not take the address {email}"),
        _ => format!("The letter to {email} cannot be sent now; it is tried again for a few minutes"),
    };
    say(ctx, "NickServ", &text);
}

/// Whether a text can be an address.
pub fn looks_like_email(text: &str) -> bool {
    let is_name = |host: &str| host.contains('.') && host.split('.').all(|label| !label.is_empty());
    text.len() <= limits::EMAIL_LEN && text.split_once('@').is_some_and(|(_, host)| is_name(host)) && is_address(text)
}
