//! NickServ UNREGISTER, ERASE and ERASEMESSAGES: what is to be here no more.

use crate::server::change::Change;
use crate::server::command::oper;
use crate::server::command::services::nickserv::credentials::{may_change_of, own_to_change};
use crate::server::command::services::{account_named, chanserv, own_account, say};
use crate::server::network::Identity;
use crate::server::notice::About;
use crate::server::record::{AccountId, AccountRow, Record, Seq};
use crate::server::retention::Keep;
use crate::server::right::Right;
use crate::server::{Ctx, Server};

/// UNREGISTER
pub fn unregister(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    drop_by(server, ctx, "UNREGISTER", params);
}

/// SADROP
pub fn sadrop(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    drop_by(server, ctx, "SADROP", params);
}

fn drop_by(server: &mut Server, ctx: &mut Ctx, verb: &str, params: &[&str]) {
    let Some(row) = account_named(server, ctx, "NickServ", params[0]) else { return };
    let is_own = own_account(server, ctx) == Some(row.id);
    if !is_own && !oper::has(server, ctx, Right::Force) {
        say(ctx, "NickServ", &format!("{} is not your account; log in to it first", row.name));
        return;
    }
    if !may_change_of(server, ctx, row.id) {
        return;
    }
    // The commands of operators are in the audit log as it is.
    if !is_own && verb == "UNREGISTER" {
        server.audit(ctx.me(), &format!("NickServ UNREGISTER {}", params.join(" ")));
    }
    let messages = match params.get(2) {
        None => false,
        // Operators have ERASE for it.
        Some(word) if is_own && word.eq_ignore_ascii_case("MESSAGES") => true,
        Some(word) => {
            say(ctx, "NickServ", &format!("{word:?} is not understood; behind the code stands MESSAGES or nothing"));
            return;
        }
    };
    if params.get(1).is_none() {
        let text = match is_own {
            true => {
                "What you said stays, and nobody can delete it once the account is gone. To have it deleted, too, put \
                 MESSAGES behind the code"
            }
            false => "What it said stays, and nobody can delete it once the account is gone; ERASE deletes both",
        };
        say(ctx, "NickServ", text);
    }
    if confirmed(server, ctx, "NickServ", verb, Some(&row.name), row.id, params.get(1)) {
        drop_account(server, ctx, &row, messages);
    }
}

/// ERASE
pub fn erase(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = account_named(server, ctx, "NickServ", params[0]) else { return };
    if !may_change_of(server, ctx, row.id) {
        return;
    }
    if confirmed(server, ctx, "NickServ", "ERASE", Some(&row.name), row.id, params.get(1)) {
        drop_account(server, ctx, &row, true);
    }
}

/// ERASEMESSAGES
pub fn erase_messages(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(account) = own_to_change(server, ctx) else { return };
    if !confirmed(server, ctx, "NickServ", "ERASEMESSAGES", None, account, params.first()) {
        return;
    }
    if server.may_erase(account) {
        server.submit(ctx, Change::EraseMessages { account });
    } else {
        say(ctx, "NickServ", "That was done a moment ago; try again in an hour");
    }
}

/// Whether the code is there that says that it is meant; without it, it is told.
pub fn confirmed(
    server: &Server,
    ctx: &mut Ctx,
    service: &str,
    verb: &str,
    name: Option<&str>,
    account: AccountId,
    given: Option<&&str>,
) -> bool {
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    is_meant(server, ctx, service, &format!("{verb}{name}"), &format!("{verb} {account}"), given)
}

/// Whether the code is there that says that a command is meant, with `what` it is a code of; without it, it is told.
pub fn is_meant(
    server: &Server,
    ctx: &mut Ctx,
    service: &str,
    command: &str,
    what: &str,
    given: Option<&&str>,
) -> bool {
    let code = server.confirmation(what);
    let verb = command.split(' ').next().unwrap_or_default();
    match given {
        Some(given) if **given == *code => return true,
        Some(_) => say(ctx, service, &format!("That is not the code; say {command} {code}")),
        None => {
            let text = format!("Nothing brings back what {verb} deletes. To go on: /msg {service} {command} {code}");
            say(ctx, service, &text);
        }
    }
    false
}

fn drop_account(server: &mut Server, ctx: &mut Ctx, row: &AccountRow, messages: bool) {
    let account = row.id;
    let sessions = server.sessions_of(account);
    server.submit(ctx, Change::DropAccount { account, messages });
    if server.network.account(account).is_none() {
        server.end_connections(ctx, &sessions, &format!("Account {} was deleted", row.name));
    }
}

/// Deletes an account, with its registered channels and, where that is wanted, all that it ever said.
pub fn apply_account(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, messages: bool) {
    let Some(row) = server.network.account(account).cloned() else { return };
    chanserv::forget_account(server, seq, account);
    server.drop_devices(seq, account, |_| true);
    // A guest who has its name is another, and reads nothing of the talks that go on under that.
    let guest =
        server.network.user_by_nick(&row.name).filter(|user| server.network.users[*user].account != Some(account));
    server.log_out_all(account);
    if let Some(guest) = guest {
        server.network.users[guest].since = seq;
    }
    if messages {
        server.keep(seq, Record::Erased { account: row.name.clone(), after: account, before: seq });
        server.push_erased(&row.name);
    }
    leave_talks(server, seq, &row);
    server.forget_own_said(account);
    server.network.remove_account(account);
    server.keep(seq, Record::AccountGone(account));
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    server.log(false, format!("account {} was deleted", row.name));
    server.notify(About::Accounts, |_| format!("the account {} was deleted", row.name));
    let said = if messages { "with all that it said" } else { "but not what it said" };
    say(ctx, "NickServ", &format!("Account {} is deleted, {said}", row.name));
}

/// Whoever has talked to an account that goes has that still, as with a guest of its name.
fn leave_talks(server: &mut Server, seq: Seq, row: &AccountRow) {
    let (gone, guest) = (Identity::Account(row.id), Identity::Guest(server.network.fold(&row.name)));
    let talks = server.network.private_conversations(row.id);
    server.network.forget_peers(row.id);
    let keeps = server.network.account_settings(row.id).keep != Keep::default();
    for (peer, _) in talks {
        if peer == gone {
            continue;
        }
        let (old, new) = (gone.key(&peer), guest.key(&peer));
        // What the account let nobody read any more stays so, and goes.
        if keeps {
            server.delete_overdue(&(&*old).into());
            let since = server.kept_since(&old);
            server.network.read_from(&old, since);
        }
        server.move_conversation(seq, &old, &new, &row.name);
    }
    server.move_about(seq, &gone.text(), &guest.text(), &row.name);
}

/// Deletes all that an account ever said.
pub fn apply_messages(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId) {
    let Some(name) = server.network.account(account).map(|row| row.name.clone()) else { return };
    // An account of the same name that was before it has said nothing that is its own.
    server.keep(seq, Record::Erased { account: name.clone(), after: account, before: seq });
    server.push_erased(&name);
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    server.log(false, format!("all that the account {name} said was deleted"));
    if own_account(server, ctx) == Some(account) {
        let text = "All that you said here while logged in is deleted; who has read it may still have it";
        say(ctx, "NickServ", text);
    } else {
        let text = format!("All that {name} said here while logged in is deleted; who has read it may still have it");
        say(ctx, "HistServ", &text);
    }
}

#[cfg(test)]
mod tests {
    use crate::server::action::Call;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{ConnId, Event, Returned};

    /// From when on bob reads his talk with alice, in milliseconds since 1970.
    fn since(asked: &mut Asked, bob: ConnId) -> u64 {
        asked.ask(bob, "CHATHISTORY LATEST alice * 10");
        let [(id, Call::History(query))] = asked.calls() else { panic!("{:?}", asked.calls()) };
        let (id, since) = (*id, query.since);
        asked.handle(Event::Returned(id, Returned::Failed("enough".into())));
        since
    }

    #[test]
    fn what_an_account_let_nobody_read_any_more_is_not_read_once_it_is_deleted() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.account("alice", 1);
        asked.account("bob", 2);
        asked.ask(alice, "NS SET HISTORY-RETENTION 1m");
        asked.ask(bob, "PRIVMSG alice :secret");
        let said = asked.now.unix_ms;
        asked.now.unix_ms += 120_000;
        asked.now.mono_ms += 120_000;
        asked.handle(Event::Tick);
        assert!(since(&mut asked, bob) > said);
        asked.confirmed(alice, "NS UNREGISTER alice");
        assert!(asked.server.network.account(1).is_none());
        assert!(since(&mut asked, bob) > said, "it is read again");
        assert_eq!(asked.server.network.private_conversations(2).len(), 1);
    }
}
