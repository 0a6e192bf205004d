//! NickServ 2FA and SA2FA: the second factor of an account, for clients without `draft/account-2fa`.

use crate::accounts::totp;
use crate::limits;
use crate::server::change::Change;
use crate::server::command::info::readable;
use crate::server::command::second::new_factor;
use crate::server::command::services::nickserv::credentials::{may_change, may_change_of};
use crate::server::command::services::{account_named, own_account, say, usage_of};
use crate::server::record::{AccountId, Credentials, SecondProof};
use crate::server::second::{By, Kind, SecondChange, is_name};
use crate::server::{Ctx, Server};

/// 2FA
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(account) = own_account(server, ctx) else { return };
    let (verb, rest) = (params[0].to_ascii_uppercase(), &params[1..]);
    if verb == "LIST" {
        list(server, ctx, account);
        return;
    }
    if !may_change(server, ctx) {
        return;
    }
    let tries = matches!(verb.as_str(), "CONFIRM" | "REMOVE" | "OFF" | "RECOVERY");
    if tries && !server.may_try_second(ctx.conn, account) {
        say(ctx, "NickServ", "Too many wrong codes; wait a minute");
        return;
    }
    match (verb.as_str(), rest) {
        ("ADD" | "CERT", [] | [_]) => {
            let name = rest.first().copied().unwrap_or(if verb == "ADD" { "authenticator" } else { "certificate" });
            if !is_name(name) {
                say(ctx, "NickServ", &format!("A name is one word of at most {} bytes", limits::SECOND_NAME_LEN));
            } else if verb == "ADD" {
                begin(server, ctx, account, name);
            } else {
                certificate(server, ctx, account, name);
            }
        }
        ("CONFIRM", code @ ([_] | [_, _])) => {
            let enrolment = server.enrolment(ctx.conn);
            let Some((seed, name)) = enrolment.and_then(|enrolment| match enrolment.kind {
                Kind::Totp(seed) => Some((seed, enrolment.name)),
                Kind::Certificate => None,
            }) else {
                say(ctx, "NickServ", "Begin with 2FA ADD; its code is to come within two minutes");
                return;
            };
            let name = if name.is_empty() { "authenticator" } else { &name };
            add(server, ctx, account, name, SecondProof::Totp { seed, last: 0 }, &code.concat());
        }
        ("REMOVE", [id, code @ ..]) => {
            let id = if id.eq_ignore_ascii_case("ALL") { "*" } else { id };
            let change = SecondChange::Remove { by: By::NickServ, id, code: &code.concat() };
            server.submit(ctx, Change::Second { account, change: &change });
        }
        ("ON", []) => server.submit(ctx, Change::Second { account, change: &SecondChange::On(By::NickServ) }),
        ("OFF", code @ ([_] | [_, _])) => {
            let change = SecondChange::Off { by: By::NickServ, kind: "totp", proof: &code.concat() };
            server.submit(ctx, Change::Second { account, change: &change });
        }
        ("RECOVERY", code @ ([_] | [_, _])) => {
            let fresh = server.new_recovery_codes();
            let change = SecondChange::Recovery { code: &code.concat(), fresh: &fresh };
            server.submit(ctx, Change::Second { account, change: &change });
        }
        _ => usage_of(ctx, "NickServ", "2FA"),
    }
}

fn list(server: &Server, ctx: &mut Ctx, account: AccountId) {
    let kept = server.network.credentials(account).cloned().unwrap_or_default();
    let on = if kept.asks_second { "on" } else { "off" };
    let (count, codes) = (kept.seconds.len(), kept.recovery.len());
    say(
        ctx,
        "NickServ",
        &format!("Two-factor authentication is {on}; second factors: {count}; recovery codes: {codes}"),
    );
    for second in &kept.seconds {
        let (id, kind, made) = (&second.id, second.proof.word(), readable(second.made));
        say(ctx, "NickServ", &format!("{id}: {} ({kind}), added at {made}", second.name));
    }
}

fn begin(server: &mut Server, ctx: &mut Ctx, account: AccountId, name: &str) {
    let Some(owner) = server.network.account(account).map(|row| row.name.clone()) else { return };
    let seed = server.new_seed();
    server.enrol(ctx, Kind::Totp(seed), name);
    let secret = server.totp_secret(account, &seed);
    say(ctx, "NickServ", &format!("Type this secret into your authenticator: {}", totp::base32(&secret)));
    say(ctx, "NickServ", &format!("Or make a QR code of {}", totp::uri(&secret, &server.settings.network, &owner)));
    if !server.session(ctx.conn).is_some_and(|session| session.peer.tls) {
        say(ctx, "NickServ", "This connection is without TLS: whoever listens has the secret, too");
    }
    say(ctx, "NickServ", "Then, within two minutes: /msg NickServ 2FA CONFIRM <the code that it shows>");
}

fn certificate(server: &mut Server, ctx: &mut Ctx, account: AccountId, name: &str) {
    let own = server.session(ctx.conn).filter(|session| session.peer.tls);
    let Some(fingerprint) = own.and_then(|session| session.peer.certfp.clone()) else {
        say(ctx, "NickServ", "You connected without a client certificate over TLS");
        return;
    };
    add(server, ctx, account, name, SecondProof::Certificate(fingerprint), "");
}

fn add(server: &mut Server, ctx: &mut Ctx, account: AccountId, name: &str, proof: SecondProof, code: &str) {
    let recovery = server.new_recovery_codes();
    let factor = new_factor(server, name, proof);
    let change = SecondChange::Add { by: By::NickServ, factor: &factor, code, recovery: &recovery };
    server.submit(ctx, Change::Second { account, change: &change });
}

/// SA2FA
pub fn sa2fa(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = account_named(server, ctx, "NickServ", params[1]) else { return };
    if !params[0].eq_ignore_ascii_case("OFF") {
        usage_of(ctx, "NickServ", "SA2FA");
        return;
    }
    if !may_change_of(server, ctx, row.id) {
        return;
    }
    let has_one = |kept: &Credentials| kept.asks_second || !kept.seconds.is_empty() || !kept.recovery.is_empty();
    if !server.network.credentials(row.id).is_some_and(has_one) {
        say(ctx, "NickServ", &format!("Account {} has no second factor", row.name));
        return;
    }
    server.submit(ctx, Change::Second { account: row.id, change: &SecondChange::Drop });
}

/// What INFO says of it.
pub fn info(server: &Server, account: AccountId) -> Option<String> {
    let kept = server.network.credentials(account).filter(|kept| kept.asks_second)?;
    let (count, codes) = (kept.seconds.len(), kept.recovery.len());
    Some(format!("Two-factor authentication is on; second factors: {count}; recovery codes: {codes}"))
}
