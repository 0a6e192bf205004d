//! NickServ REGISTER, SAREGISTER, VERIFY and RESEND: as the commands of account-registration.

use crate::server::command::register::{self, By, Wanted};
use crate::server::command::services::say;
use crate::server::command::verify;
use crate::server::{Ctx, Server};

/// REGISTER
pub fn register(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    if params.len() > 2 {
        // Which of several words would be the password, and which a mistyped address?
        say(
            ctx,
            "NickServ",
            "The password is one word here, and the address behind it; PASSWD takes one of several words",
        );
        return;
    }
    let account = ctx.reply.nick.clone();
    let email = params.get(1).copied().filter(|email| *email != "*");
    register::begin(server, ctx, &Wanted { name: &account, email, by: By::NickServ }, params[0]);
}

/// SAREGISTER: an account for someone else.
pub fn saregister(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    if params.len() > 2 {
        say(ctx, "NickServ", "The password is one word here; SAPASSWD takes one of several words");
        return;
    }
    register::begin(server, ctx, &Wanted { name: params[0], email: None, by: By::Operator }, params[1]);
}

/// VERIFY
pub fn verify(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    verify::begin(server, ctx, params[0], params[1], By::NickServ);
}

/// RESEND
pub fn resend(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    verify::resend(server, ctx, params[0]);
}
