//! NickServ for operators: the accounts of others (LIST, SAGET, SASET, SAVERIFY); and STATUS, which bots ask.

use ircv3::mask;
use ircv3::message::cut;

use crate::server::change::Change;
use crate::server::command::info::readable;
use crate::server::command::register::By;
use crate::server::command::services::chanserv::set::parse_flag;
use crate::server::command::services::nickserv::credentials::may_change_of;
use crate::server::command::services::nickserv::set;
use crate::server::command::services::{account_named, say};
use crate::server::{Ctx, Server};

/// Accounts in one answer to LIST.
const LISTED: usize = 100;
/// Nicks in one STATUS.
const ASKED: usize = 16;

/// LIST
pub fn list(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let wanted = params.first().copied().unwrap_or("*");
    let casemapping = server.network.casemapping;
    let ids = server.network.account_ids();
    let rows = ids.iter().filter_map(|id| server.network.account(*id));
    let mut found: Vec<_> = rows.filter(|row| mask::matches(wanted, &row.name, casemapping)).collect();
    found.sort_unstable_by(|a, b| a.folded.cmp(&b.folded));
    for row in found.iter().take(LISTED) {
        let used = server.network.account_settings(row.id).used;
        let used = if used > 0 { format!(", last used about {}", readable(used)) } else { String::new() };
        let suspended = if server.network.suspension(row.id).is_some() { ", suspended" } else { "" };
        let waits = if row.verified { "" } else { ", not verified" };
        let text = format!("{}: since {}{used}{suspended}{waits}", row.name, readable(row.registered));
        say(ctx, "NickServ", &text);
    }
    let more = if found.len() > LISTED { "; give a mask to see the others" } else { "" };
    say(ctx, "NickServ", &format!("End of the list of accounts: {}{more}", found.len()));
}

/// STATUS
pub fn status(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let own = ctx.reply.nick.clone();
    let own: &[&str] = &[&own];
    let nicks = if params.is_empty() { own } else { &params[..params.len().min(ASKED)] };
    for nick in nicks {
        let user = server.network.user_by_nick(nick).map(|id| &server.network.users[id]);
        // As bots know it from elsewhere: 0 nobody, 1 not logged in, 3 logged in.
        let (level, account) = match user {
            None => (0, "*"),
            Some(user) => match user.account_name.as_deref() {
                None => (1, "*"),
                Some(account) => (3, account),
            },
        };
        say(ctx, "NickServ", &format!("STATUS {} {level} {account}", cut(nick, 64)));
    }
    if params.len() > ASKED {
        let left = params.len() - ASKED;
        say(ctx, "NickServ", &format!("Only {ASKED} nicks are told of at a time; ask again for the other {left}"));
    }
}

/// SAGET
pub fn saget(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = account_named(server, ctx, "NickServ", params[0]) else { return };
    if params[1].eq_ignore_ascii_case("EXPIRE") {
        let word = if server.network.account_settings(row.id).no_expire { "OFF" } else { "ON" };
        say(ctx, "NickServ", &format!("EXPIRE is {word}"));
        return;
    }
    set::show(server, ctx, row, params[1]);
}

/// SASET
pub fn saset(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = account_named(server, ctx, "NickServ", params[0]) else { return };
    let (account, value) = (row.id, params[2..].join(" "));
    match params[1].to_ascii_uppercase().as_str() {
        "EXPIRE" => {
            let Some(on) = parse_flag(&value) else {
                say(ctx, "NickServ", &format!("{:?} is no value of EXPIRE, which takes ON or OFF", cut(&value, 64)));
                return;
            };
            let values = [("noexpire", (!on).then(|| Box::from("on")))];
            let does = if on { "may lapse when nobody uses it" } else { "stays, however long nobody uses it" };
            let said = format!("The account {} {does}", row.name);
            server.submit(ctx, Change::AccountSetting { account, values: &values, said: &said, service: "NickServ" });
        }
        "EMAIL" => {
            if !may_change_of(server, ctx, account) {
                return;
            }
            let email = (value != "*" && !value.eq_ignore_ascii_case("OFF")).then_some(&*value);
            if email.is_some_and(|email| !crate::mail::is_address(email)) {
                say(ctx, "NickServ", &format!("{:?} is no e-mail address", cut(&value, 64)));
                return;
            }
            server.submit(ctx, Change::Email { account, email });
        }
        "PUBKEY" => say(ctx, "NickServ", "A key is its owner's alone to set"),
        "HISTORY" | "HISTORY-RETENTION" if !may_change_of(server, ctx, account) => {}
        name => set::set_for(server, ctx, account, name, &value),
    }
}

/// SAVERIFY
pub fn saverify(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = account_named(server, ctx, "NickServ", params[0]) else { return };
    if row.verified {
        say(ctx, "NickServ", &format!("The account {} is verified already", row.name));
        return;
    }
    server.submit(ctx, Change::Verified { account: row.id, by: By::Operator });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn whoever_changes_a_setting_of_another_is_told_whose_it_is() {
        let mut asked = Asked::new();
        let (boss, erin) = (asked.user("boss"), asked.user("erin"));
        asked.set_oper("boss");
        asked.account("erin", 1);
        for (words, mine) in [
            ("ALWAYS-ON ON", "you stay"),
            ("ALWAYS-ON OFF", "you leave"),
            ("MULTICLIENT OFF", "MULTICLIENT is off"),
            ("AUTOREPLAY-MISSED ON", "AUTOREPLAY-MISSED is on"),
            ("HISTORY OFF", "your private"),
            ("HISTORY ON", "your private"),
            ("HISTORY-RETENTION 30d", "your private"),
        ] {
            let told = asked.ask(boss, &format!("NS SASET erin {words}")).concat();
            assert!(told.contains(" of erin is ") && !told.contains("you"), "{words}: {told}");
            let told = asked.ask(erin, &format!("NS SET {words}")).concat();
            assert!(told.contains(mine) && !told.contains("erin is"), "{words}: {told}");
        }
        let told = asked.ask(boss, "NS SASET erin EMAIL erin@[192.0.2.1]").concat();
        assert!(told.contains("is no e-mail address"), "{told}");
    }
}
