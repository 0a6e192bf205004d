//! REHASH, DIE, RESTART, DEFCON and GLOBAL: the operator and the whole server.

use ircv3::Message;
use ircv3::message::cut;
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::action::Call;
use crate::server::change::Change;
use crate::server::command::{Pending, info, need_more_params};
use crate::server::event::{ConnId, Returned};
use crate::server::network::UserId;
use crate::server::notice::About;
use crate::server::session::Session;
use crate::server::{Ctx, Server};

/// `REHASH`: reads the configuration and the certificate again, as SIGHUP does. What the operator sends
/// afterwards waits until that is done.
pub fn rehash(server: &mut Server, ctx: &mut Ctx, _line: &Message) {
    ctx.reply.numeric(Numeric::RPL_REHASHING, &["roost.toml"], Some("Rehashing"));
    let by = server.network.users[ctx.me()].source.clone();
    server.notify(About::Announcements, |_| format!("{by} has the configuration read again"));
    // 382 goes out before the answer is there, with the label.
    let fresh = server.ctx(ctx.conn, None);
    let begun = std::mem::replace(ctx, fresh);
    server.finish(begun);
    server.call(ctx, Call::Reload, Pending::Reload);
}

/// The configuration was read again, or there is something wrong with it.
pub fn rehashed(ctx: &mut Ctx, returned: &Returned) {
    match returned {
        Returned::Failed(problem) => {
            ctx.reply.notice(&format!("The configuration stays as it was: {problem}"));
        }
        Returned::Reloaded(later) if !later.is_empty() => {
            let keys = later.join(", ");
            ctx.reply.notice(&format!("The configuration was read again; at the next start it is new for {keys}"));
        }
        _ => ctx.reply.notice("The configuration was read again"),
    }
}

/// `DIE [server]`
pub fn die(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    end(server, ctx, line, false);
}

/// `RESTART [server]`
pub fn restart(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    end(server, ctx, line, true);
}

fn end(server: &mut Server, ctx: &mut Ctx, line: &Message, restart: bool) {
    if info::is_elsewhere(server, ctx, line.param(0)) {
        return;
    }
    let by = server.network.users[ctx.me()].nick.clone();
    let what = if restart { "restarted" } else { "stopped" };
    server.log(true, format!("{by} has {what} the server"));
    server.end_soon(format!("The server was {what} by {by}"), restart);
}

/// The level at which nothing is closed.
pub const DEFCON_OPEN: u8 = 5;

/// What each level closes, from 5 down; each closes what those above it do.
const LEVELS: [&str; 5] = [
    "no new connections, but from this machine",
    "no new connections without login, but from this machine",
    "private messages only from those who are logged in",
    "no new accounts and no new registered channels",
    "nothing is closed",
];

/// `DEFCON [level]`
pub fn defcon(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let Some(given) = line.param(0) else {
        let level = server.network.defcon;
        ctx.reply.notice(&described(level));
        return;
    };
    match given.parse::<u8>() {
        Ok(level @ 1..=DEFCON_OPEN) => server.submit(ctx, Change::Defcon { level }),
        _ => {
            let text = format!("DEFCON {:?} is no level; give 5 (nothing is closed) down to 1", cut(given, 32));
            ctx.reply.notice(&text);
        }
    }
}

fn described(level: u8) -> String {
    let text = LEVELS.get(usize::from(level).saturating_sub(1)).copied().unwrap_or("");
    format!("DEFCON {level}: {text}")
}

/// Closes the server as far as a level says.
pub fn apply_defcon(server: &mut Server, ctx: &mut Ctx, level: u8) {
    server.network.defcon = level;
    let by = server.network.users[ctx.me()].source.clone();
    let text = described(level);
    server.log(true, format!("{by}: {text}"));
    ctx.reply.notice(&text);
    server.notify(About::Announcements, |_| format!("{by} set {text}"));
}

/// `GLOBAL text`: a notice to everyone.
pub fn global(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let text = line.param(0).unwrap_or("");
    if text.is_empty() {
        need_more_params(ctx, "GLOBAL");
        return;
    }
    let by = server.network.users[ctx.me()].nick.clone();
    let text = format!("[Global notice by {by}] {}", cut(text, limits::TOPIC_LEN));
    let everyone: Vec<UserId> = server.network.users.iter().map(|(id, _)| id).collect();
    for user in everyone {
        server.notice_to(user, &text);
    }
}

impl Server {
    /// Whether DEFCON lets a new connection come in, which has logged in or not.
    pub fn is_open_to(&self, conn: ConnId, logged_in: bool) -> bool {
        let level = self.network.defcon;
        // Or nobody could open it again. Behind a host that stands for everyone is not this machine.
        let here = |session: &Session| session.peer.host.is_none() && session.peer.ip.is_loopback();
        level > 2 || level == 2 && logged_in || self.session(conn).is_some_and(here)
    }

    /// Whether DEFCON lets accounts and channels be registered.
    pub fn is_open_to_registrations(&self) -> bool {
        self.network.defcon >= DEFCON_OPEN
    }
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn each_level_closes_more() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(bob, "JOIN #a");
        asked.set_oper("alice");
        assert_eq!(asked.ask(alice, "DEFCON"), [":irc.test NOTICE alice :DEFCON 5: nothing is closed"]);
        assert!(asked.ask(alice, "DEFCON 6")[0].contains("is no level"));
        asked.ask(alice, "DEFCON 4");
        assert!(asked.ask(bob, "REGISTER * * secret")[0].contains(" TEMPORARILY_UNAVAILABLE "));
        assert!(asked.ask(bob, "CS REGISTER #a").concat().contains("cannot be registered now"));
        assert!(asked.ask(bob, "PRIVMSG alice :hi").is_empty());
        asked.ask(alice, "DEFCON 3");
        assert!(asked.ask(bob, "PRIVMSG alice :hi")[0].contains(" 477 "));
        assert!(asked.ask(alice, "PRIVMSG bob :hi").is_empty());
        asked.user("carol");
        asked.ask(alice, "DEFCON 2");
        let dave = asked.open();
        asked.ask(dave, "NICK dave");
        let lines = asked.ask(dave, "USER u 0 * :A Name");
        assert!(asked.last_words(dave).contains("log in with SASL"), "{lines:?}");
        asked.ask(alice, "DEFCON 1");
        let erin = asked.open();
        assert!(asked.last_words(erin).contains("takes no new connections"));
        asked.ask(alice, "DEFCON 5");
        asked.user("erin");
    }

    #[test]
    fn a_global_notice_reaches_everyone() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.set_oper("alice");
        let told = |nick| format!(":irc.test NOTICE {nick} :[Global notice by alice] we move");
        assert_eq!(asked.ask(alice, "GLOBAL :we move"), [told("alice")]);
        assert_eq!(asked.sent(bob), [told("bob")]);
    }
}
