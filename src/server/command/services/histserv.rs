//! HistServ: what was said, for clients that cannot ask for it; and for operators, whose data it is.

use ircv3::message::{cut, write_line};
use ircv3::{Cap, CapSet};

use crate::limits;
use crate::server::action::Call;
use crate::server::ban::duration;
use crate::server::change::Change;
use crate::server::command::amend::Place;
use crate::server::command::info::readable;
use crate::server::command::services::chanserv::set::history_text;
use crate::server::command::services::nickserv::erase::confirmed;
use crate::server::command::services::{Row, account_named, own_account, rows, say};
use crate::server::command::{Pending, amend, chathistory, oper};
use crate::server::event::Returned;
use crate::server::network::ChannelId;
use crate::server::record::{AccountId, Border, HistoryQuery, Kind, MessageRow, MsgId, Range, Seq, Wanted};
use crate::server::right::Right;
use crate::server::{Ctx, Server};

const NAME: &str = "HistServ";

/// Its commands, by name.
pub const ROWS: &[Row] = rows! {
    "DELETE", 2 Operator(History) delete, "<#channel> <msgid>",
        "deletes a message of a channel, whether you are in it or not";
    "EXPORT", 0 LoggedInOr(History) export, "[account]",
        "asks the operators for all that is kept of you: account, settings, channels, messages",
        "It is a file of JSON, which an operator hands to you. An operator with the right \"history\" names an account, and has it \
         written into the directory exports beside the database",
        "CANCEL in place of an account takes your request back";
    "FORGET", 1 Operator(History) forget, "<account> [code]",
        "deletes all that an account ever said",
        "Without a code you are told the code to confirm it with; nothing brings it back";
    "PLAY", 1 Anyone play, "<#channel|nick> [messages|duration]",
        "tells you what was said: the newest messages, or those since 1h30m ago",
        "Clients with draft/chathistory ask for that themselves";
    "STATUS", 0 Anyone status, "[#channel]",
        "tells what is kept here, or in a channel";
};

/// PLAY
fn play(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    if !server.settings.history {
        say(ctx, NAME, "No history is kept on this server");
        return;
    }
    let Some(found) = chathistory::conversation(server, ctx, params[0]) else {
        let text = format!("{:?} is no channel that you are in, and nobody you talked with", cut(params[0], 64));
        say(ctx, NAME, &text);
        return;
    };
    let most = limits::PLAYED;
    let (range, limit) = match params.get(1) {
        None => (Range::Latest(None), most / 2),
        Some(word) => match (word.parse::<u32>(), duration(word)) {
            (Ok(count), _) if count > 0 => (Range::Latest(None), count.min(most)),
            (_, Some(seconds)) => {
                let since = server.clock().saturating_sub(seconds.saturating_mul(1000));
                (Range::Latest(Some(Border::Time(since))), most)
            }
            _ => {
                let text = format!("{:?} is no number of messages and no duration; give 50, or 1h30m", cut(word, 64));
                say(ctx, NAME, &text);
                return;
            }
        },
    };
    let label = ctx.reply.take_label();
    let mut reader = chathistory::reader(server, ctx, "chathistory", &found.name, &[&found], None);
    // As it is told, not as it was: nobody's client takes it for something that is said now.
    reader.told = Some(server.clock());
    reader.batch = None;
    reader.label = None;
    let (floor, since) = (found.floor, found.since);
    let query = HistoryQuery { conversation: found.id, range, limit, wanted: Wanted::default(), floor, since, reader };
    let pending = Pending::Told { target: found.name };
    server.call_for(ctx.conn, Call::History(Box::new(query)), pending, label);
}

/// What was said was read.
pub fn told(server: &mut Server, ctx: &mut Ctx, target: &str, returned: Returned) {
    let Returned::History(page) = returned else {
        say(ctx, NAME, "The messages could not be read; try again later");
        return;
    };
    let count = page.messages;
    let head = if count == 0 { "Nothing that you may read is kept of" } else { "The newest of what was said in" };
    say(ctx, NAME, &format!("{head} {target}: {count} messages"));
    // What was answered so far goes out before.
    let fresh = server.ctx(ctx.conn, None);
    let answered = std::mem::replace(&mut ctx.reply, fresh.reply);
    server.finish(Ctx { conn: ctx.conn, user: ctx.user, reply: answered });
    chathistory::send(server, ctx, page);
}

/// STATUS
fn status(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    if let Some(name) = params.first() {
        let seen = crate::server::policy::channel_seen(&server.network, oper::viewer(server, ctx), name);
        let text = match seen {
            Some(id) => history_text(server, id),
            None => format!("There is no channel {:?}", cut(name, 64)),
        };
        say(ctx, NAME, &text);
        return;
    }
    if !server.settings.history {
        say(ctx, NAME, "No history is kept on this server");
        return;
    }
    say(ctx, NAME, &format!("What is said on this server is kept {}.", server.settings.keep.spoken()));
    if let Some(account) = own_account(server, ctx) {
        let settings = server.network.account_settings(account).clone();
        let text = match settings.history {
            false => "Nothing of your private conversations is kept.".to_owned(),
            true => format!(
                "Your private conversations are kept {}, or less where the other side chose so.",
                settings.keep.and(server.settings.keep).spoken()
            ),
        };
        say(ctx, NAME, &text);
    }
    if oper::has(server, ctx, Right::History) {
        let gone = server.deleted_since_start();
        say(ctx, NAME, &format!("Deleted since the start, for being past their time: {gone} messages and events"));
        let asked = server.network.exports_asked();
        for (account, at) in asked.iter().take(limits::EXPORTS_LISTED) {
            let Some(row) = server.network.account(*account) else { continue };
            let text = format!("{} asked at {} for what is kept of it: EXPORT {}", row.name, readable(*at), row.name);
            say(ctx, NAME, &text);
        }
    }
}

/// FORGET
fn forget(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(row) = account_named(server, ctx, NAME, params[0]) else { return };
    if !may(server, ctx, row.id) {
        return;
    }
    if confirmed(server, ctx, NAME, "FORGET", Some(&row.name), row.id, params.get(1)) {
        if server.may_erase(row.id) {
            server.submit(ctx, Change::EraseMessages { account: row.id });
        } else {
            say(ctx, NAME, "That was done a moment ago; try again in an hour");
        }
    }
}

/// DELETE
fn delete(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let channel = server.network.channel_by_name(params[0]);
    let key = channel.map(|id| server.network.channels[id].folded.clone());
    let found = key.and_then(|key| server.network.conversation(key.as_str()));
    let (Some(id), Some(found)) = (channel, found) else {
        say(ctx, NAME, &format!("Nothing is kept of a channel {:?}", cut(params[0], 64)));
        return;
    };
    let Some(msgid) = MsgId::parse(params[1]).filter(|msgid| msgid.epoch == server.epoch()) else {
        let text =
            format!("{:?} is no msgid of this server; it stands in the tag msgid of the message", cut(params[1], 64));
        say(ctx, NAME, &text);
        return;
    };
    let serial = server.network.channels[id].serial;
    let call = Call::Find { conversation: found.id, seq: msgid.seq };
    server.call(ctx, call, Pending::Delete { channel: serial, seq: msgid.seq });
}

/// The message was looked up.
pub fn found(server: &mut Server, ctx: &mut Ctx, serial: u64, seq: Seq, returned: Returned) {
    match returned {
        Returned::Found(Some(row)) if matches!(row.kind, Kind::Privmsg | Kind::Notice | Kind::Tagmsg) => {
            server.submit(ctx, Change::Delete { channel: serial, message: seq, row: &row });
        }
        Returned::Found(_) => say(ctx, NAME, "There is no such message in that channel"),
        _ => say(ctx, NAME, "The message could not be read; try again later"),
    }
}

/// Deletes a message of a channel, and tells those who saw it.
pub fn apply_delete(server: &mut Server, ctx: &mut Ctx, seq: Seq, serial: u64, message: Seq, row: &MessageRow) {
    let mut channels = server.network.channels.iter();
    let channel = channels.find(|(_, channel)| channel.serial == serial).map(|(id, _): (ChannelId, _)| id);
    let still = channel.filter(|id| {
        let key = server.network.channels[*id].folded.as_str();
        server.network.conversation(key).is_some_and(|found| found.id == row.conversation)
    });
    let Some(id) = still else {
        say(ctx, NAME, "That channel is no more");
        return;
    };
    let user = ctx.me();
    let msgid = server.msgid(message).to_string();
    let place = Place::channel(server, id);
    let mut line = Vec::with_capacity(128);
    write_line(&mut line, &server.network.users[user].source, "REDACT", &[&place.name, &msgid], None);
    let mut frame = server.frame_from(user, line);
    frame.forms[0].needs = CapSet::of(&[Cap::MessageRedaction]);
    amend::take_back(server, seq, (message, row.conversation), &msgid);
    amend::tell(server, ctx, seq, &place, frame, (Kind::Redact, &msgid, ""));
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    say(ctx, NAME, &format!("The message {msgid} of {} is deleted", place.name));
}

/// EXPORT
pub fn export(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let own = own_account(server, ctx);
    let name = match (params.first(), own) {
        (None, Some(own)) => return ask(server, ctx, own),
        (Some(word), Some(own)) if word.eq_ignore_ascii_case("CANCEL") => return take_back(server, ctx, own),
        // An operator who is logged in to none.
        (None, None) => return say(ctx, NAME, "You are not logged in, so name an account: EXPORT <account>"),
        (Some(name), _) => name,
    };
    if !oper::has(server, ctx, Right::History) {
        say(ctx, NAME, "Say EXPORT alone for what is kept of yourself; only operators name an account");
        return;
    }
    let Some(row) = account_named(server, ctx, NAME, name) else { return };
    if !may(server, ctx, row.id) {
        return;
    }
    server.audit(ctx.me(), &format!("{NAME} EXPORT {}", row.name));
    if let Some(other) = &server.exporting {
        let text = format!("What is kept of {other} is being written; one at a time");
        say(ctx, NAME, &text);
        return;
    }
    server.exporting = Some(row.name.clone());
    server.export(&row.name);
    say(ctx, NAME, &format!("What is kept of {} is being written; operators are told when it is done", row.name));
}

fn take_back(server: &mut Server, ctx: &mut Ctx, account: AccountId) {
    if server.network.account_settings(account).export_asked == 0 {
        say(ctx, NAME, "You have not asked for it; EXPORT does that");
        return;
    }
    let values = [("export-asked", None)];
    let said = "Your request for what is kept of you is taken back";
    server.submit(ctx, Change::AccountSetting { account, values: &values, said, service: NAME });
}

/// Whether the sender may have all that is kept of an account handed out, or deleted: of their own not over a connection
/// that may not change what that logs in with, and it is told so.
fn may(server: &Server, ctx: &mut Ctx, account: AccountId) -> bool {
    let why = server.why_no_credentials(ctx.conn).filter(|_| own_account(server, ctx) == Some(account));
    if let Some(text) = why {
        say(ctx, NAME, text);
    }
    why.is_none()
}

fn ask(server: &mut Server, ctx: &mut Ctx, account: AccountId) {
    if !may(server, ctx, account) {
        return;
    }
    let Some(name) = server.network.account(account).map(|row| row.name.clone()) else { return };
    if server.network.account_settings(account).export_asked > 0 {
        say(ctx, NAME, "You have asked already; an operator will hand it to you. EXPORT CANCEL takes it back");
        return;
    }
    let at = server.clock().to_string();
    let values = [("export-asked", Some(at.into()))];
    let said =
        "You have asked for all that is kept of you; an operator will hand you a file. EXPORT CANCEL takes it back";
    server.submit(ctx, Change::AccountSetting { account, values: &values, said, service: NAME });
    if server.network.account_settings(account).export_asked > 0 {
        server.tell_opers(&format!("{name} asks for what is kept of it: /msg HistServ EXPORT {name}"));
        server.log(false, format!("account {name} asks for what is kept of it: /msg HistServ EXPORT {name}"));
    }
}

impl Server {
    /// What is kept of an account was written, or not.
    pub(in crate::server) fn exported(&mut self, account: &str, outcome: Result<(String, u64), String>) {
        self.exporting = None;
        let text = match outcome {
            Ok((file, count)) => {
                if let Some(id) = self.network.account_by_name(account).map(|row| row.id)
                    && self.network.account_settings(id).export_asked > 0
                    && !self.store_refuses()
                {
                    let values = [("export-asked", None)];
                    self.submit_alone(Change::AccountSetting { account: id, values: &values, said: "", service: NAME });
                }
                format!("what is kept of the account {account} is in {file}, with {count} messages")
            }
            Err(error) => format!("what is kept of the account {account} could not be written: {error}"),
        };
        self.tell_opers(&text);
        self.log(false, text);
    }
}
