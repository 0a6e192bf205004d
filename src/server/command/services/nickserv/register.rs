//! NickServ REGISTER, SAREGISTER, VERIFY and RESEND: as the commands of account-registration.

use crate::server::command::register::{self, By, Wanted};
use crate::server::command::verify;
use crate::server::{Ctx, Server};

/// REGISTER
pub fn register(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let account = ctx.reply.nick.clone();
    let wanted = Wanted { name: &account, email: params.get(1).copied(), by: By::NickServ };
    register::begin(server, ctx, &wanted, params[0]);
}

/// SAREGISTER: an account for someone else.
pub fn saregister(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
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
