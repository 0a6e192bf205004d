//! PROP: modes by their names (draft/named-modes,
//! <https://github.com/ircv3/ircv3-specifications/pull/484>). Whoever negotiated it is told of changes by PROP,
//! others by MODE; what one may change is the same by both.

use bytes::Bytes;
use ircv3::message::{MAX_BODY_BYTES, write_line};
use ircv3::mode::{self, Item, Kind, ModeChange};
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message};
use smallvec::SmallVec;

use crate::server::change::Change;
use crate::server::command::bulk::WordLines;
use crate::server::command::mode::{list_of, may_see_list};
use crate::server::command::{find_channel, printable};
use crate::server::frame::{Form, Frame, Tagged};
use crate::server::network::ChannelId;
use crate::server::{Ctx, Server};

/// Items in one line of PROP: fifteen parameters, less the target.
const ITEMS_A_LINE: usize = 14;

/// PROP
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let target = line.param(0).unwrap_or("");
    let words = line.params().skip(1).flat_map(|param| param.split(' ')).filter(|word| !word.is_empty());
    let items: Vec<Item<'_>> = words.map(Item::parse).collect();
    if target.starts_with('#') {
        of_channel(server, ctx, target, &items);
    } else {
        of_user(server, ctx, target, &items);
    }
}

fn of_channel(server: &mut Server, ctx: &mut Ctx, target: &str, items: &[Item<'_>]) {
    let Some(channel) = find_channel(server, ctx, target) else { return };
    if items.is_empty() {
        show(server, ctx, channel);
        return;
    }
    let mut changes: Vec<ModeChange<'_>> = Vec::with_capacity(items.len());
    for item in items {
        let Some(change) = item.channel_change() else {
            unknown(ctx, item.name);
            continue;
        };
        if item.sign.is_none() && mode::kind(change.letter) == Some(Kind::List) && change.param.is_none() {
            list(server, ctx, channel, change.letter, item.name);
        } else if item.sign.is_none() {
            let text = format!("{:?} changes nothing without + or - before it", item.name);
            ctx.reply.numeric(Numeric::ERR_UNKNOWNMODE, &[printable(item.name)], Some(&text));
        } else if change.param.is_none_or(str::is_empty) && mode::kind(change.letter) == Some(Kind::List) {
            let name = server.network.channels[channel].name.clone();
            let text = format!("{0} takes a mask: +{0}=nick!user@host", item.name);
            let letter = change.letter.to_string();
            ctx.reply.numeric(Numeric::ERR_INVALIDMODEPARAM, &[&name, &letter, "*"], Some(&text));
        } else {
            changes.push(change);
        }
    }
    if !changes.is_empty() {
        server.submit(ctx, Change::ChannelModes { channel: target, changes: &changes });
    }
}

fn of_user(server: &mut Server, ctx: &mut Ctx, target: &str, items: &[Item<'_>]) {
    match server.network.user_by_nick(target) {
        None => return ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(target)], Some("No such nick")),
        Some(other) if other != ctx.me() => {
            return ctx.reply.numeric(Numeric::ERR_USERSDONTMATCH, &[], Some("Cant change mode for other users"));
        }
        Some(_) => {}
    }
    if items.is_empty() {
        let there = &server.network.users[ctx.me()];
        let (nick, modes) = (there.nick.clone(), there.modes.text());
        let names: Vec<&str> = modes.chars().filter_map(mode::user_prop).collect();
        put_list(server, ctx, &nick, &names);
        return;
    }
    let (mut modes, mut mask) = (String::new(), None);
    for item in items {
        let known = mode::user_letter(item.name).zip(item.sign);
        let Some((letter, add)) = known else {
            unknown(ctx, item.name);
            continue;
        };
        modes.push(if add { '+' } else { '-' });
        modes.push(letter);
        mask = mask.or(item.param.filter(|_| letter == 's'));
    }
    if !modes.is_empty() {
        server.submit(ctx, Change::UserModes { modes: &modes, mask });
    }
}

fn unknown(ctx: &mut Ctx, name: &str) {
    let text = "is no mode here; the names are in 964 and 965, when you connect";
    ctx.reply.numeric(Numeric::ERR_UNKNOWNMODE, &[printable(name)], Some(text));
}

/// 961 and 960.
fn show(server: &Server, ctx: &mut Ctx, channel: ChannelId) {
    let there = &server.network.channels[channel];
    let (letters, params) = there.modes_text(there.members.contains_key(&ctx.me()));
    let items: Vec<String> = mode::parse_channel_modes(&letters, params.iter().map(String::as_str))
        .map(|change| mode::prop_item(&change).split_off(1))
        .collect();
    let words: Vec<&str> = items.iter().map(String::as_str).collect();
    let (name, after) = (there.name.clone(), there.changed);
    put_list(server, ctx, &name, &words);
    ctx.reply.after = ctx.reply.after.max(after);
}

fn put_list(server: &Server, ctx: &mut Ctx, target: &str, words: &[&str]) {
    let subject = [target];
    let mut lines = WordLines::new(server, &ctx.reply, Numeric::RPL_PROPLIST, &subject);
    for word in words {
        lines.push(&mut ctx.reply, &[word]);
    }
    lines.finish(&mut ctx.reply);
    ctx.reply.numeric(Numeric::RPL_ENDOFPROPLIST, &[target], Some("End of mode list"));
}

/// 963 for each entry, then 962.
fn list(server: &Server, ctx: &mut Ctx, channel: ChannelId, letter: char, name: &str) {
    if !may_see_list(server, ctx, channel, letter) {
        return;
    }
    let there = &server.network.channels[channel];
    for entry in list_of(there, letter) {
        let middles = [&*there.name, name, &entry.mask, &entry.setter, &entry.set_at.to_string()];
        ctx.reply.numeric(Numeric::RPL_LISTPROPLIST, &middles, None);
    }
    ctx.reply.numeric(Numeric::RPL_ENDOFLISTPROPLIST, &[&there.name, name], Some("End of list"));
    ctx.reply.after = ctx.reply.after.max(there.changed);
}

/// The names of all modes, in the welcome of those who negotiated it: 964 and 965.
pub fn on_welcome(server: &Server, ctx: &mut Ctx) {
    if !ctx.reply.caps.has(Cap::NamedModes) {
        return;
    }
    for (numeric, names) in
        [(Numeric::RPL_CHMODELIST, mode::channel_list()), (Numeric::RPL_UMODELIST, mode::user_list())]
    {
        let around = ": 000  * :\r\n".len() + server.settings.server_name.len() + ctx.reply.nick.len();
        let lines = lines_of(&names, MAX_BODY_BYTES - around, usize::MAX);
        let last = lines.len().saturating_sub(1);
        for (at, line) in lines.iter().enumerate() {
            let more: &[&str] = if at < last { &["*"] } else { &[] };
            ctx.reply.numeric(numeric, more, Some(&line.join(" ")));
        }
    }
}

/// The items of each line: at most so many bytes and items in one.
fn lines_of(items: &[String], most_bytes: usize, most_items: usize) -> Vec<Vec<&str>> {
    let mut lines: Vec<Vec<&str>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        match lines.last_mut().filter(|line| line.len() < most_items && bytes + 1 + item.len() <= most_bytes) {
            Some(line) => {
                line.push(item);
                bytes += 1 + item.len();
            }
            None => {
                lines.push(vec![item]);
                bytes = item.len();
            }
        }
    }
    lines
}

/// Gives a MODE for everyone another form for those who negotiated names: PROP with these items.
pub fn add_form(frame: &mut Frame, source: &str, target: &str, items: &[String]) {
    let room = MAX_BODY_BYTES.saturating_sub(": PROP \r\n".len() + source.len() + target.len() + 1);
    let mut lines: SmallVec<[Bytes; 1]> = SmallVec::new();
    for words in lines_of(items, room, ITEMS_A_LINE) {
        let mut params = vec![target];
        params.extend(words);
        let mut line = Vec::with_capacity(128);
        write_line(&mut line, source, "PROP", &params, None);
        lines.push(Bytes::from(line));
    }
    let needs = CapSet::of(&[Cap::NamedModes]);
    frame.forms.insert(0, Form { needs, lacks: CapSet::EMPTY, lines, tagged: Tagged::Parts });
}
