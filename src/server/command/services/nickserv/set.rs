//! NickServ SET and GET: the settings of an account.

use std::sync::Arc;

use ircv3::Cap;
use ircv3::message::cut;

use crate::server::change::Change;
use crate::server::command::register::{self, By};
use crate::server::command::services::chanserv::set::{parse_flag, parse_retention, retention_text};
use crate::server::command::services::nickserv::credentials;
use crate::server::command::services::{hostserv, keep_account, own_account, say};
use crate::server::mail::Given;
use crate::server::network::{Identity, UserId};
use crate::server::presence;
use crate::server::record::{AccountId, AccountRow, Purpose, Seq};
use crate::server::retention::AGE;
use crate::server::settings::AlwaysOn;
use crate::server::{Ctx, Server};

/// The settings, by name.
pub const SETTINGS: &[&str] =
    &["ALWAYS-ON", "AUTOREPLAY-MISSED", "EMAIL", "HISTORY", "HISTORY-RETENTION", "MULTICLIENT", "PUBKEY"];

/// SET
pub fn set(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let (Some(account), [name, value, ..]) = (own_account(server, ctx), params) else { return };
    let name = name.to_ascii_uppercase();
    match name.as_str() {
        "PUBKEY" => return credentials::set_key(server, ctx, value),
        // Whoever reads its letters may be given another password.
        "EMAIL" => {
            return credentials::own_to_change(server, ctx).map_or((), |account| email(server, ctx, account, value));
        }
        // What is kept for less time is deleted.
        "HISTORY" | "HISTORY-RETENTION" if !credentials::may_change(server, ctx) => return,
        "HISTORY-RETENTION" => return retention(server, ctx, account, &params[1..].join(" ")),
        name if !SETTINGS.contains(&name) => return unknown(ctx, name),
        _ => {}
    }
    set_for(server, ctx, account, &name, value);
}

/// Changes a setting of an account that has a word for its value.
pub fn set_for(server: &mut Server, ctx: &mut Ctx, account: AccountId, name: &str, value: &str) {
    match name {
        "HISTORY" => return history(server, ctx, account, value),
        "HISTORY-RETENTION" => return retention(server, ctx, account, value),
        name if !SETTINGS.contains(&name) => return unknown(ctx, name),
        _ => {}
    }
    let value = match value.to_ascii_uppercase().as_str() {
        "ON" | "TRUE" | "YES" => Some(true),
        "OFF" | "FALSE" | "NO" => Some(false),
        "DEFAULT" => None,
        _ => return wrong(ctx, name, value),
    };
    let change = match (name, value) {
        ("AUTOREPLAY-MISSED", Some(on)) => Change::AutoreplayMissed { account, on },
        ("ALWAYS-ON", chosen) => Change::AlwaysOn { account, chosen, by_nickserv: true },
        ("MULTICLIENT", Some(on)) => Change::Multiclient { account, on },
        _ => return wrong(ctx, name, "DEFAULT"),
    };
    server.submit(ctx, change);
}

fn unknown(ctx: &mut Ctx, name: &str) {
    say(ctx, "NickServ", &format!("{:?} is no setting; there are {}", cut(name, 32), SETTINGS.join(", ")));
}

fn wrong(ctx: &mut Ctx, name: &str, value: &str) {
    say(ctx, "NickServ", &format!("{:?} is no value of {name}; HELP SET says what it takes", cut(value, 64)));
}

/// GET
pub fn get(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = own_account(server, ctx).and_then(|account| server.network.account(account)).cloned() else {
        return;
    };
    show(server, ctx, row, params[0]);
}

/// Shows a setting of an account.
pub fn show(server: &Server, ctx: &mut Ctx, row: AccountRow, name: &str) {
    let word = |on| if on { "ON" } else { "OFF" }.to_owned();
    let name = name.to_ascii_uppercase();
    let value = match name.as_str() {
        "ALWAYS-ON" => row.always_on.map_or("DEFAULT".to_owned(), word),
        "AUTOREPLAY-MISSED" => word(row.autoreplay_missed),
        "EMAIL" => {
            let email = row.email.map_or("OFF".to_owned(), String::from);
            match server.network.code(row.id, Purpose::Email) {
                Some(code) => format!("{email}; {} waits for the code that was mailed there", code.email),
                None => email,
            }
        }
        "HISTORY" => word(server.network.account_settings(row.id).history),
        "HISTORY-RETENTION" => retention_text(server.network.account_settings(row.id).keep),
        "MULTICLIENT" => word(row.multiclient),
        "PUBKEY" => {
            let key = server.network.credentials(row.id).and_then(|kept| kept.key.as_ref());
            key.map_or("OFF".to_owned(), ToString::to_string)
        }
        _ => return unknown(ctx, &name),
    };
    say(ctx, "NickServ", &format!("{name} is {value}"));
}

/// SET HISTORY
fn history(server: &mut Server, ctx: &mut Ctx, account: AccountId, value: &str) {
    let Some(on) = parse_flag(value) else { return wrong(ctx, "HISTORY", value) };
    let values = [("history", (!on).then(|| Box::from("off")))];
    let said = match (other(server, ctx, account), on) {
        (other, true) if !server.settings.history => {
            let whose = other.map(|name| format!(" of {name}")).unwrap_or_default();
            format!("HISTORY{whose} is on, but no history is kept on this server")
        }
        (None, true) => "HISTORY is on: your private conversations are kept".to_owned(),
        (None, false) => "HISTORY is off: nothing of your private conversations is kept from now on; ERASEMESSAGES \
                          deletes what was"
            .to_owned(),
        (Some(name), true) => format!("HISTORY of {name} is on: the private conversations of {name} are kept"),
        (Some(name), false) => {
            format!("HISTORY of {name} is off: nothing of the private conversations of {name} is kept from now on")
        }
    };
    server.submit(ctx, Change::AccountSetting { account, values: &values, said: &said, service: "NickServ" });
}

/// SET HISTORY-RETENTION
fn retention(server: &mut Server, ctx: &mut Ctx, account: AccountId, value: &str) {
    let keep = match parse_retention(server, value) {
        Ok(keep) => keep,
        Err(text) => return say(ctx, "NickServ", &text),
    };
    let number = |number: u32| (number > 0).then(|| number.to_string().into_boxed_str());
    let values = [("keep-seconds", number(keep.seconds)), ("keep-messages", number(keep.messages))];
    let other = other(server, ctx, account);
    let of = other.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    let whose =
        other.map_or("your private conversations".into(), |name| format!("the private conversations of {name}"));
    let chosen = retention_text(keep);
    let said = if server.settings.history {
        let kept = keep.and(server.settings.keep).spoken();
        format!("HISTORY-RETENTION{of} is {chosen}: {whose} are kept {kept}, or less where the other side chose so")
    } else {
        format!("HISTORY-RETENTION{of} is {chosen}, but no history is kept on this server")
    };
    server.submit(ctx, Change::AccountSetting { account, values: &values, said: &said, service: "NickServ" });
}

/// Changes what is kept beside an account's row.
pub fn apply_settings(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    account: AccountId,
    values: &[(&'static str, Option<Box<str>>)],
    (service, said): (&str, &str),
) {
    if server.network.account(account).is_none() {
        return;
    }
    let settings = server.network.account_settings(account);
    let (before, host) = (settings.keep, settings.vhost.clone());
    if values.iter().any(|(key, _)| *key == AGE) {
        let own = Identity::Account(account);
        for (peer, _) in server.network.private_conversations(account) {
            let key = own.key(&peer);
            let gone = server.gone_before(&key).and_then(|gone| server.network.read_from(&key, gone));
            if let Some(record) = gone {
                server.keep(seq, record);
            }
        }
    }
    for (key, value) in values {
        server.put_account_setting(account, seq, key, value.as_deref());
    }
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    if server.network.account_settings(account).keep != before {
        server.network.forget_private_counts(account);
        server.renew_retention();
    }
    if !said.is_empty() {
        say(ctx, service, said);
    }
    if values.iter().any(|(key, _)| matches!(*key, "vhost" | "vhost-off")) {
        hostserv::refresh(server, ctx, account, host.as_deref());
    }
}

/// SET EMAIL: the address is the account's once its code has come back.
fn email(server: &mut Server, ctx: &mut Ctx, account: AccountId, value: &str) {
    if value == "*" || value.eq_ignore_ascii_case("OFF") {
        if server.settings.mail.as_ref().is_some_and(|mail| mail.required) {
            say(ctx, "NickServ", "Accounts have an address on this server; give another one");
            return;
        }
        server.submit(ctx, Change::Email { account, email: None });
        return;
    }
    if server.settings.mail.is_none() {
        say(ctx, "NickServ", "This server sends no mail, so it takes no addresses");
        return;
    }
    if let Err(refused) = register::judge_email(server, Some(value), By::NickServ) {
        say(ctx, "NickServ", &refused.text);
        return;
    }
    if !server.may_mail(ctx.conn, value) {
        say(ctx, "NickServ", "Too many letters were sent to that address; try again in an hour");
        return;
    }
    let code = server.new_code();
    let purpose = Purpose::Email;
    server.submit(ctx, Change::Code { account, purpose, email: value, code: &code, waits: true });
}

/// VERIFYEMAIL
pub fn verify_email(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(account) = credentials::own_to_change(server, ctx) else { return };
    let Some(name) = server.network.account(account).map(|row| row.name.clone()) else { return };
    match server.try_code(ctx.conn, &name, Purpose::Email, params[0]) {
        Given::Right(code) => server.submit(ctx, Change::Email { account, email: Some(&code.email) }),
        Given::Wrong => say(ctx, "NickServ", "The code is wrong or over; SET EMAIL mails another"),
        Given::Throttled => say(ctx, "NickServ", "Too many wrong codes from your address; wait a minute"),
    }
}

/// Gives an account an address, which somebody has shown to read; or none.
pub fn apply_email(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, email: Option<&str>) {
    server.use_code(seq, account, Purpose::Email);
    // What was sent to the old one must not open the account any more.
    server.use_code(seq, account, Purpose::Password);
    if keep_account(server, ctx, seq, account, |row| row.email = email.map(Into::into)) {
        let name = server.network.account(account).map(|row| row.name.clone()).unwrap_or_default();
        let text = match (email, own_account(server, ctx) == Some(account)) {
            (Some(email), true) => format!("The address of your account is {email} now"),
            (None, true) => "Your account has no address now".to_owned(),
            (Some(email), false) => format!("The address of the account {name} is {email} now"),
            (None, false) => format!("The account {name} has no address now"),
        };
        say(ctx, "NickServ", &text);
    }
}

/// Sets whether an account stays on the network without a connection.
pub fn apply_always_on(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    account: AccountId,
    chosen: Option<bool>,
    by_nickserv: bool,
) {
    if !keep_account(server, ctx, seq, account, |row| row.always_on = chosen) {
        return;
    }
    let theirs: Vec<UserId> = server.network.users_of(account).collect();
    for user in theirs {
        let kept = server.keep_presence(user);
        ctx.reply.after = ctx.reply.after.max(kept);
        for conn in server.network.users[user].sessions.clone() {
            if conn != ctx.conn && server.session(conn).is_some_and(|session| session.caps.has(Cap::Persistence)) {
                let mut told = server.ctx(conn, None);
                presence::status(server, &mut told, account);
                told.reply.after = ctx.reply.after;
                server.finish(told);
            }
        }
        // It may have been turned off from another nick, or by an operator.
        server.leave_unless_kept(user, "Not always on any more", kept);
    }
    if by_nickserv {
        let on = presence::is_chosen(&server.settings, chosen);
        let chosen = chosen.map_or("left to the server", |on| if on { "on" } else { "off" });
        let of = other(server, ctx, account);
        let subject = of.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        let text = match (of, on) {
            (None, true) => "you stay on the network when you disconnect".to_owned(),
            (None, false) => "you leave when you disconnect".to_owned(),
            (Some(name), true) => format!("{name} stays on the network without a connection"),
            (Some(name), false) => format!("{name} leaves with the last connection"),
        };
        // Where it is not left to accounts, what was chosen holds once it is.
        let said = match server.settings.always_on {
            AlwaysOn::Off | AlwaysOn::Mandatory => {
                let setting = if on { "everybody is always on here" } else { "nobody is always on here" };
                format!(
                    "ALWAYS-ON{subject} is {chosen}, but this server decides for all (accounts.always_on): {setting}, \
                     so {text}"
                )
            }
            AlwaysOn::OptIn | AlwaysOn::OptOut => format!("ALWAYS-ON{subject} is {chosen}: {text}"),
        };
        say(ctx, "NickServ", &said);
    } else {
        presence::status(server, ctx, account);
    }
}

/// Sets whether a second connection may share the account's nick.
pub fn apply_multiclient(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, on: bool) {
    if keep_account(server, ctx, seq, account, |row| row.multiclient = on) {
        say_flag(server, ctx, account, "MULTICLIENT", on);
    }
}

/// Sets whether what was missed is replayed to an account's clients.
pub fn apply_autoreplay(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, on: bool) {
    if keep_account(server, ctx, seq, account, |row| row.autoreplay_missed = on) {
        say_flag(server, ctx, account, "AUTOREPLAY-MISSED", on);
    }
}

fn say_flag(server: &Server, ctx: &mut Ctx, account: AccountId, name: &str, on: bool) {
    let of = other(server, ctx, account).map(|name| format!(" of {name}")).unwrap_or_default();
    say(ctx, "NickServ", &format!("{name}{of} is {}", if on { "on" } else { "off" }));
}

/// The name of an account that is not the sender's.
pub fn other(server: &Server, ctx: &Ctx, account: AccountId) -> Option<Arc<str>> {
    let row = server.network.account(account).filter(|row| own_account(server, ctx) != Some(row.id));
    row.map(|row| row.name.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::server::command::bulk::testing::Asked;
    use crate::server::settings::{AlwaysOn, Settings};

    #[test]
    fn where_the_server_decides_who_is_always_on_the_answer_says_so() {
        for (always_on, value, expected) in [
            (AlwaysOn::OptIn, "ON", "ALWAYS-ON is on: you stay on the network when you disconnect"),
            (AlwaysOn::Mandatory, "OFF", "everybody is always on here, so you stay on the network when you disconnect"),
            (AlwaysOn::Off, "ON", "nobody is always on here, so you leave when you disconnect"),
        ] {
            let mut asked = Asked::new();
            asked.server.settings = Arc::new(Settings { always_on, ..(*asked.server.settings).clone() });
            let alice = asked.user("alice");
            asked.account("alice", 1);
            let said = asked.ask(alice, &format!("NS SET ALWAYS-ON {value}")).concat();
            assert!(said.ends_with(expected), "{said}");
            assert_eq!(said.contains("(accounts.always_on)"), always_on != AlwaysOn::OptIn, "{said}");
        }
    }
}
