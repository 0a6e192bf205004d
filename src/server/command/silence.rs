//! SILENCE (ircu, UnrealIRCd): masks of those who cannot write to a user in private. They are not told;
//! what they say is neither delivered nor stored. The list ends with the user's stay; that of an account that
//! stays is kept over restarts.

use ircv3::extban::{self, Entry};
use ircv3::message::write_line;
use ircv3::numeric::Numeric;
use ircv3::{Message, mask};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::printable;
use crate::server::{Ctx, Server};

/// `SILENCE [+mask|-mask][,...]`; without any, the list.
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let asked = line.param(0).unwrap_or("");
    if asked.is_empty() {
        list(server, ctx);
    }
    for item in asked.split(',').filter(|item| !item.is_empty()) {
        let (mask, add) = match item.strip_prefix('-') {
            Some(mask) => (mask, false),
            None => (item.strip_prefix('+').unwrap_or(item), true),
        };
        server.submit(ctx, Change::Silence { mask, add });
    }
}

/// 271 for each, then 272.
fn list(server: &Server, ctx: &mut Ctx) {
    let contacts = server.network.users[ctx.me()].contacts.as_deref();
    for mask in contacts.map_or(&[][..], |contacts| &contacts.silenced) {
        ctx.reply.numeric(Numeric::RPL_SILELIST, &[mask], None);
    }
    ctx.reply.numeric(Numeric::RPL_ENDOFSILELIST, &[], Some("End of Silence List"));
}

/// Puts a mask on the sender's list, or takes it off, and tells all of its connections.
pub fn apply(server: &mut Server, ctx: &mut Ctx, given: &str, add: bool) {
    let fits = !given.contains(|c: char| c.is_ascii_whitespace()) && given.len() <= limits::MASK_LEN;
    // What is about speaking in a channel has no place here.
    let normal = extban::normalize(given).filter(|mask| fits && Entry::read(mask).about.is_none());
    let Some(mask) = normal else {
        let text = format!(
            "Bad mask: it is nick!user@host, or one such as account:bob; without spaces, at most {} bytes",
            limits::MASK_LEN
        );
        ctx.reply.numeric(Numeric::ERR_BADMASK, &[printable(given)], Some(&text));
        return;
    };
    let user = ctx.me();
    let casemapping = server.network.casemapping;
    let there = &mut server.network.users[user];
    let silenced = &mut there.contacts.get_or_insert_default().silenced;
    let at = silenced.iter().position(|other| mask::same(other, &mask, casemapping));
    match (add, at) {
        (true, Some(_)) | (false, None) => return,
        (true, None) if silenced.len() >= limits::SILENCED => {
            let text = format!("Your silence list is full: at most {}", limits::SILENCED);
            ctx.reply.numeric(Numeric::ERR_SILELISTFULL, &[&mask], Some(&text));
            return;
        }
        (true, None) => silenced.push(mask.as_str().into()),
        (false, Some(at)) => drop(silenced.remove(at)),
    }
    let kept = server.keep_presence(user);
    ctx.reply.after = ctx.reply.after.max(kept);
    let there = &server.network.users[user];
    let mut line = Vec::with_capacity(96);
    let change = format!("{}{mask}", if add { '+' } else { '-' });
    write_line(&mut line, &there.source, "SILENCE", &[&change], None);
    let mut frame = server.frame_from(user, line);
    frame.after = frame.after.max(kept);
    server.frame_to_self(ctx, user, &frame);
}

#[cfg(test)]
mod tests {
    use crate::limits;
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn masks_are_put_on_listed_and_taken_off() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        assert_eq!(asked.ask(alice, "SILENCE"), [":irc.test 272 alice :End of Silence List"]);
        assert_eq!(asked.ask(alice, "SILENCE bob"), [":alice!~u@10.0.0.1 SILENCE +bob!*@*"]);
        assert_eq!(asked.ask(alice, "SILENCE +BOB"), [""; 0]);
        assert_eq!(asked.ask(alice, "SILENCE +account:eve"), [":alice!~u@10.0.0.1 SILENCE +a:eve"]);
        assert!(asked.ask(alice, "SILENCE mute:eve")[0].contains(" 415 alice mute:eve :"));
        assert_eq!(
            asked.ask(alice, "SILENCE"),
            [":irc.test 271 alice bob!*@*", ":irc.test 271 alice a:eve", ":irc.test 272 alice :End of Silence List",]
        );
        assert_eq!(asked.ask(alice, "SILENCE -Bob"), [":alice!~u@10.0.0.1 SILENCE -Bob!*@*"]);
        assert_eq!(asked.ask(alice, "SILENCE").len(), 2);
        for n in 1..limits::SILENCED {
            assert_eq!(asked.ask(alice, &format!("SILENCE +u{n}")).len(), 1);
        }
        assert!(asked.ask(alice, "SILENCE +more")[0].contains(" 511 alice more!*@* :"));
    }

    #[test]
    fn whoever_is_silenced_is_neither_heard_nor_stored_nor_told() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        let bob = asked.user_with("bob", "echo-message");
        asked.ask(alice, "JOIN #a");
        asked.ask(alice, "MODE #a +i");
        let id = asked.id("alice");
        asked.server.network.set_login(id, Some((7, "alice".into())));
        let echo = ":bob!~u@10.0.0.1 PRIVMSG alice :hi";
        assert_eq!(asked.ask(bob, "PRIVMSG alice :hi"), [echo]);
        assert_eq!(asked.kept().len(), 2, "the conversation and what was said");
        asked.ask(alice, "SILENCE +*!*@10.0.0.1");
        for line in ["PRIVMSG alice :hi", "NOTICE alice :hi"] {
            assert_eq!(asked.ask(bob, line).len(), 1, "the echo is there as ever");
            assert_eq!(asked.sent(alice), [""; 0]);
            assert!(asked.kept().is_empty(), "{:?}", asked.kept());
        }
        asked.ask(bob, "JOIN #b");
        assert!(asked.ask(bob, "INVITE alice #b")[0].contains(" 341 bob alice #b"));
        assert_eq!(asked.sent(alice), [""; 0]);
        // Oneself is always heard.
        asked.ask(alice, "PRIVMSG alice :note");
        assert_eq!(asked.sent(alice), [":alice!~u@10.0.0.1 PRIVMSG alice :note"]);
    }
}
