//! NickServ SENDPASS and RESETPASS: another password, by mail.

use crate::limits;
use crate::server::action::Call;
use crate::server::command::Pending;
use crate::server::command::services::nickserv::credentials::{By, new_password};
use crate::server::command::services::{quoted, say};
use crate::server::mail::Given;
use crate::server::record::Purpose;
use crate::server::{Ctx, Server};

/// SENDPASS: whoever asks learns nothing of the account.
pub fn sendpass(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    if server.settings.mail.is_none() {
        say(ctx, "NickServ", "This server sends no mail; ask an operator");
        return;
    }
    let row = server.network.nick_owner(params[0]).filter(|row| row.verified);
    let known = row.and_then(|row| Some((row.id, row.email.clone()?)));
    if let Some((account, email)) = known {
        server.mail_code(ctx, account, Purpose::Password, &email);
    }
    let text = format!(
        "If {} has an address, a letter is on its way to it; only so many are sent in an hour",
        quoted(params[0])
    );
    say(ctx, "NickServ", &text);
}

/// RESETPASS
pub fn resetpass(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let [name, code, password @ ..] = params else { return };
    let password = new_password(password);
    if password.len() > limits::PASSWORD_LEN {
        say(ctx, "NickServ", &format!("A password has 1 to {} bytes", limits::PASSWORD_LEN));
        return;
    }
    match server.try_code(ctx.conn, name, Purpose::Password, code) {
        Given::Right(row) => {
            let call = Call::Hash { password: password.as_str().into(), iterations: server.settings.scram_iterations };
            server.call(ctx, call, Pending::SetPassword { account: row.account, by: By::Code(row.code) });
        }
        Given::Wrong if server.settings.mail.is_none() => {
            say(ctx, "NickServ", "The code is wrong or over, and this server sends no mail; ask an operator");
        }
        Given::Wrong => say(ctx, "NickServ", "The code is wrong or over; SENDPASS mails the right one"),
        Given::Throttled => say(ctx, "NickServ", "Too many wrong codes from your address; wait a minute"),
    }
}
