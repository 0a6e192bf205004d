//! ChanServ INFO and LIST.

use ircv3::mask;
use ircv3::message::cut;

use crate::server::command::info::readable;
use crate::server::command::services::chanserv::channel_named;
use crate::server::command::services::chanserv::set::history_text;
use crate::server::command::services::say;
use crate::server::record::AccountId;
use crate::server::{Ctx, Server};

/// Channels in one answer to LIST.
const LISTED: usize = 100;

/// INFO
pub fn info(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let name = params[0];
    if let Some(row) = server.network.purge(name) {
        let text = format!("Channel {} is closed for good: {}", cut(name, 64), row.reason);
        say(ctx, "ChanServ", &text);
        return;
    }
    let Some(id) = channel_named(server, ctx, name) else { return };
    let channel = &server.network.channels[id];
    let Some(founder) = channel.founder else {
        let text = format!("Channel {} is not registered", channel.name);
        say(ctx, "ChanServ", &text);
        return;
    };
    let text = format!(
        "Channel {} is registered to {} since {}",
        channel.name,
        account_name(server, founder),
        readable(channel.registered)
    );
    let access = channel.access.len();
    let own = server.network.users[ctx.me()].account;
    let offered = channel.transfer.filter(|to| own == Some(*to) || own == Some(founder));
    let offered = offered.map(|to| format!("It is offered to {}", account_name(server, to)));
    let settings = channel.settings.clone();
    say(ctx, "ChanServ", &text);
    for (what, text) in [("About", &settings.description), ("More", &settings.url), ("Write to", &settings.email)] {
        if let Some(text) = text {
            say(ctx, "ChanServ", &format!("{what}: {text}"));
        }
    }
    if server.settings.history {
        let text = history_text(server, id);
        say(ctx, "ChanServ", &text);
    }
    if settings.used > 0 {
        say(ctx, "ChanServ", &format!("It was last used about {}", readable(settings.used)));
    }
    if settings.no_expire {
        say(ctx, "ChanServ", "It does not lapse, however long nobody uses it");
    }
    if access > 0 {
        say(ctx, "ChanServ", &format!("Accounts that are something in it whenever they join: {access}"));
    }
    if let Some(text) = offered {
        say(ctx, "ChanServ", &text);
    }
}

fn account_name(server: &Server, account: AccountId) -> String {
    server.network.account(account).map_or_else(|| "an account that is gone".to_owned(), |row| row.name.to_string())
}

/// LIST
pub fn list(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let wanted = params.first().copied().unwrap_or("*");
    let casemapping = server.network.casemapping;
    let mut lines: Vec<String> = Vec::new();
    for (_, channel) in &server.network.channels {
        let Some(founder) = channel.founder.filter(|_| mask::matches(wanted, &channel.name, casemapping)) else {
            continue;
        };
        lines.push(format!(
            "{}: {}, since {}, {} there now",
            channel.name,
            account_name(server, founder),
            readable(channel.registered),
            channel.members.len()
        ));
    }
    lines.sort_unstable();
    let count = lines.len();
    for line in lines.into_iter().take(LISTED) {
        say(ctx, "ChanServ", &line);
    }
    let more = if count > LISTED { "; give a mask to see the others" } else { "" };
    say(ctx, "ChanServ", &format!("End of the list of registered channels: {count}{more}"));
}
