//! `*playback`, as clients of ZNC know it (<https://wiki.znc.in/Playback>): `PLAY`, `LIST` and `CLEAR` say
//! from when on a client wants to see which conversations. Who negotiates `znc.in/playback` is replayed
//! nothing by itself.

use ircv3::numeric::Numeric;
use ircv3::{Cap, Casemapping, Message, mask};

use crate::server::command::chathistory::{self, Found};
use crate::server::command::printable;
use crate::server::record::{Border, Range};
use crate::server::{Ctx, Server};

/// What it speaks as.
const SOURCE: &str = "*playback!znc@znc.in";

/// Its nick.
pub const NICK: &str = "*playback";

/// Whether a message for this target is for it.
pub fn is_meant(target: &str) -> bool {
    target.eq_ignore_ascii_case(NICK)
}

/// What a client wants to see: of conversations that fit one of the masks, what was said between two moments,
/// in milliseconds since 1970. Of a client with `znc.in/playback` it holds for the channels that it joins from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    masks: Vec<Box<str>>,
    from: Option<u64>,
    to: Option<u64>,
}

impl Wish {
    /// Whether a conversation of this name is meant.
    pub fn fits(&self, name: &str, casemapping: Casemapping) -> bool {
        self.masks.iter().any(|mask| mask::matches(mask, name, casemapping))
    }

    /// The newest messages between the moments.
    pub fn range(&self) -> Range {
        match (self.from, self.to) {
            (None, None) => Range::Latest(None),
            (Some(from), None) => Range::Latest(Some(Border::Time(from))),
            (None, Some(to)) => Range::Before(Border::Time(to)),
            (Some(from), Some(to)) => Range::Between(Border::Time(to.max(from)), Border::Time(from)),
        }
    }
}

/// `ZNC *playback words`, as The Lounge says what others do by PRIVMSG.
pub fn znc(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let module = line.param(0).unwrap_or("");
    if is_meant(module) {
        let words: Vec<&str> = line.params().skip(1).collect();
        message(server, ctx, &words.join(" "));
    } else {
        let text = format!("No such module: this is no ZNC, and of those that it has there is {NICK} here");
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(module)], Some(&text));
    }
}

/// A message to it.
pub fn message(server: &mut Server, ctx: &mut Ctx, text: &str) {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let verb = words.first().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    if !server.settings.history {
        tell(ctx, "No history is kept on this server");
        return;
    }
    match (verb.as_str(), words.get(1..).unwrap_or_default()) {
        ("PLAY", [masks, moments @ ..]) if moments.len() <= 2 => play(server, ctx, masks, moments),
        ("LIST", rest) if rest.len() <= 1 => list(server, ctx, rest.first().unwrap_or(&"*")),
        ("CLEAR", [_]) => tell(ctx, "Nothing is cleared: the history is everyone's. PLAY takes a time to start from"),
        _ => tell(ctx, "That takes: PLAY <buffers> [from [to]], LIST [buffers] (buffers: names or masks, with commas)"),
    }
}

fn play(server: &mut Server, ctx: &mut Ctx, masks: &str, moments: &[&str]) {
    let mut read = Vec::with_capacity(2);
    for moment in moments {
        let Some(time) = milliseconds(moment) else {
            tell(ctx, &format!("{moment:?} is no time: seconds since 1970 are expected, such as 1700000000.123"));
            return;
        };
        read.push(time);
    }
    let wish = Wish {
        masks: masks.split(',').map(Box::from).collect(),
        from: read.first().copied(),
        to: read.get(1).copied(),
    };
    let wanted = named(server, ctx, masks, &wish);
    // Others are replayed by themselves what they missed of the channels that they join.
    if let Some(session) = server.session_mut(ctx.conn).filter(|session| session.caps.has(Cap::Playback)) {
        let particulars = session.particulars_mut();
        particulars.playback = Some(wish.clone());
        // What it joins again later it has been shown.
        particulars.replayed = wanted.iter().map(|found| found.id).collect();
    }
    chathistory::play(server, ctx, wish.range(), wanted);
}

/// The conversations that are meant: those of one's list that fit a mask, and whoever is named outright.
fn named(server: &Server, ctx: &Ctx, masks: &str, wish: &Wish) -> Vec<Found> {
    let casemapping = server.network.casemapping;
    let mut wanted: Vec<Found> = chathistory::readable(server, ctx)
        .into_iter()
        .map(|(found, _)| found)
        .filter(|found| wish.fits(&found.name, casemapping))
        .collect();
    for name in masks.split(',').filter(|name| !mask::has_wildcard(name)) {
        if let Some(found) = chathistory::conversation(server, ctx, name)
            && !wanted.iter().any(|other| other.id == found.id)
        {
            wanted.push(found);
        }
    }
    wanted
}

/// `buffer 0 last`: the conversations, and when something was last said in each.
fn list(server: &Server, ctx: &mut Ctx, masks: &str) {
    let wish = Wish { masks: masks.split(',').map(Box::from).collect(), from: None, to: None };
    for (found, last) in chathistory::readable(server, ctx) {
        if wish.fits(&found.name, server.network.casemapping) {
            say(ctx, &format!("{} 0 {}.{:03}", found.name, last / 1000, last % 1000));
        }
    }
}

/// What a client reads.
fn say(ctx: &mut Ctx, text: &str) {
    let nick = ctx.reply.nick.clone();
    ctx.reply.line_from(SOURCE, "PRIVMSG", &[&nick], Some(text));
}

/// What its user reads.
fn tell(ctx: &mut Ctx, text: &str) {
    let nick = ctx.reply.nick.clone();
    ctx.reply.line_from(SOURCE, "NOTICE", &[&nick], Some(text));
}

/// Seconds since 1970 with a fraction, as milliseconds.
fn milliseconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.parse().ok()?;
    // The largest that still stands for a moment that SQL and the wire can say.
    (0.0..1e11).contains(&seconds).then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn seconds_have_fractions() {
        assert_eq!(milliseconds("1700000000.123"), Some(1_700_000_000_123));
        assert_eq!(milliseconds("0"), Some(0));
        for text in ["", "-1", "nan", "inf", "1e12", "yesterday"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
