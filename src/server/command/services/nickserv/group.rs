//! NickServ GROUP and UNGROUP: nicks that belong to an account beside its name.

use ircv3::message::cut;

use crate::server::change::Change;
use crate::server::command::services::nickserv::credentials::own_to_change;
use crate::server::command::services::{quoted, say};
use crate::server::policy;
use crate::server::record::{AccountId, GroupedRow, Record, Seq};
use crate::server::{Ctx, Server};

/// GROUP
pub fn group(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(account) = own_to_change(server, ctx) else { return };
    let nick = server.network.users[ctx.me()].nick.clone();
    // As other services have it, GROUP <account> <password> asks for another account than one may be logged in to.
    if let Some(name) = params.first()
        && server.network.nick_owner(name).is_none_or(|owner| owner.id != account)
        && server.network.user_by_nick(name) != ctx.user
    {
        let own = server.network.account(account).map(|row| row.name.clone()).unwrap_or_default();
        let text = format!(
            "GROUP takes no words: it makes the nick that you use one of the account that you are logged in to, and that is \
             {own}. For {}, connect again and log in to that first",
            quoted(name)
        );
        say(ctx, "NickServ", &text);
        return;
    }
    server.submit(ctx, Change::Group { account, nick: &nick, on: true });
}

/// UNGROUP
pub fn ungroup(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(account) = own_to_change(server, ctx) else { return };
    let own = server.network.users[ctx.me()].nick.clone();
    let nick = params.first().copied().unwrap_or(&own);
    server.submit(ctx, Change::Group { account, nick, on: false });
}

/// Groups a nick, or gives it up.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, nick: &str, on: bool) {
    let Some(row) = server.network.account(account) else { return };
    let folded = server.network.fold(nick);
    let owner = server.network.nick_owner(nick).map(|owner| owner.id);
    let most = server.settings.grouped_nicks;
    let count = server.network.grouped(account).count();
    let text = if *row.folded == *folded.as_str() {
        format!("{nick} is the name of your account, and so your nick anyway")
    } else if !on && owner != Some(account) {
        format!("{:?} is no nick of your account; INFO lists them", cut(nick, 64))
    } else if !on {
        server.network.remove_grouped(folded.as_str());
        server.keep(seq, Record::GroupedGone(folded.as_str().into()));
        ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
        format!("{nick} is no nick of your account any more")
    } else if owner == Some(account) {
        format!("{nick} is a nick of your account already")
    } else if policy::nick_reserved(&server.network, nick, Some(account)) {
        format!("{nick} belongs to another account")
    } else if policy::nick_is_like_another(&server.network, nick, Some(account), ctx.user) {
        format!("{nick} looks like another nick that is in use or registered; choose another")
    } else if most == 0 {
        "Nicks cannot be grouped on this server".to_owned()
    } else if count >= most {
        format!("Your account has {count} nicks beside its name, and may have {most}; UNGROUP one first")
    } else {
        let row = GroupedRow { folded: folded.as_str().into(), nick: nick.into(), account, added: server.clock() };
        server.network.put_grouped(row.clone());
        server.keep(seq, Record::Grouped(Box::new(row)));
        ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
        format!("{nick} is a nick of your account from now on")
    };
    say(ctx, "NickServ", &text);
}

/// The nicks of an account beside its name, in the order in which they were grouped.
pub fn list(server: &Server, account: AccountId) -> Vec<&str> {
    let mut rows: Vec<&GroupedRow> = server.network.grouped(account).collect();
    rows.sort_unstable_by_key(|row| (row.added, &row.folded));
    rows.into_iter().map(|row| &*row.nick).collect()
}
