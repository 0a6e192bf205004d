//! Server notices: what operators with user mode `s` are told, by the letters of their mask (008).

use bytes::Bytes;
use ircv3::message::{MAX_BODY_BYTES, cut, write_line};
use ircv3::numeric::Numeric;

use crate::server::command::mode;
use crate::server::frame::Frame;
use crate::server::network::UserId;
use crate::server::record::Seq;
use crate::server::right::Right;
use crate::server::user::Letters;
use crate::server::{Ctx, Server};

/// What a notice is about: a letter of the mask.
pub struct Snomask {
    /// The letter.
    pub letter: char,
    /// What it tells.
    pub help: &'static str,
}

macro_rules! snomasks {
    ($($topic:ident $letter:literal $help:literal;)+) => {
        /// What a notice is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum About {
            $(#[doc = $help] $topic,)+
        }

        impl About {
            /// Its letter.
            pub fn letter(self) -> char {
                match self {
                    $(About::$topic => $letter,)+
                }
            }
        }

        /// All letters, in alphabetical order.
        pub const SNOMASKS: &[Snomask] = &[$(Snomask { letter: $letter, help: $help }),+];
    };
}

snomasks! {
    Announcements 'a' "REHASH, DEFCON, GLOBAL, DIE and RESTART.";
    Connects 'c' "Who comes.";
    Forced 'f' "SAJOIN, SAPART, SANICK and SAMODE.";
    Channels 'j' "Channels that are made, registered and dropped.";
    Kills 'k' "KILL.";
    Limits 'l' "Connections that the limits of their address refuse.";
    Nicks 'n' "Changes of nick.";
    Opers 'o' "Who becomes an operator, and who tries.";
    Quits 'q' "Who goes.";
    Stats 't' "STATS.";
    Accounts 'u' "Accounts that are made, and logins.";
    Vhosts 'v' "Changes of a displayed host.";
    Bans 'x' "Bans of the server: set, removed, expired, and whom they met.";
}

/// The letters of all topics.
pub fn all() -> Letters {
    let letters: String = SNOMASKS.iter().map(|row| row.letter).collect();
    Letters::of(&letters)
}

impl Server {
    /// Tells the operators who asked about such things. The text is made only where there is one.
    pub fn notify(&mut self, about: About, text: impl FnOnce(&Server) -> String) {
        let letter = about.letter();
        let hear = |server: &Server, id: UserId| server.network.users[id].notices.has(letter);
        let ids: Vec<UserId> = self.network.noticed.iter().copied().filter(|id| hear(self, *id)).collect();
        if ids.is_empty() {
            return;
        }
        let text = format!("*** {}", text(self));
        // What has become of something is told once it is kept. Who comes and goes is told at once.
        let is_kept = matches!(about, About::Accounts | About::Bans | About::Channels | About::Vhosts);
        let after = if is_kept { self.wait_for(self.last_seq) } else { 0 };
        for id in ids {
            self.notice_to_oper(id, &text, after);
        }
    }

    /// NOTICE from the server to all connections of a user.
    pub fn notice_to(&mut self, id: UserId, text: &str) {
        let frame = self.notice_frame(id, text);
        self.frame_to_user(id, &frame, None);
    }

    /// The same, to those of an operator's connections that have proved to be the operator's.
    pub(super) fn notice_to_oper(&mut self, id: UserId, text: &str, after: Seq) {
        let mut frame = self.notice_frame(id, text);
        frame.after = after;
        for conn in self.network.users[id].sessions.clone() {
            if self.has_proved_oper(conn) {
                self.frame_to(conn, &frame);
            }
        }
    }

    fn notice_frame(&self, id: UserId, text: &str) -> Frame {
        let (name, nick) = (&self.settings.server_name, &self.network.users[id].nick);
        let room = MAX_BODY_BYTES - (name.len() + nick.len() + ": NOTICE  :\r\n".len());
        let mut line = Vec::with_capacity(128);
        write_line(&mut line, name, "NOTICE", &[nick], Some(cut(text, room)));
        Frame::plain(self.clock(), Bytes::from(line))
    }

    /// What a user hears of from now on.
    pub fn set_notices(&mut self, id: UserId, letters: Letters) {
        self.network.users[id].notices = letters;
        self.network.noticed.retain(|other| *other != id);
        if letters != Letters::default() {
            self.network.noticed.push(id);
        }
    }
}

/// `MODE nick +s [letters]` of the sender's; whether the mode `s` itself changed. Without letters it is all of
/// them; `+cko` and `cko` add, `-n` takes away.
pub fn set_mode(server: &mut Server, ctx: &mut Ctx, add: bool, mask: Option<&str>) -> bool {
    let user = ctx.me();
    let before = server.network.users[user].notices;
    if add && !crate::server::command::oper::may(server, ctx, Right::Notices) {
        return false;
    }
    let mut letters = before;
    match (add, mask.filter(|mask| !mask.is_empty())) {
        (true, None) => letters = all(),
        (false, None) => letters = Letters::default(),
        (add, Some(mask)) => {
            let mut on = add;
            for letter in mask.chars() {
                match letter {
                    '+' => on = true,
                    '-' => on = false,
                    letter if all().has(letter) => {
                        letters.set(letter, on);
                    }
                    _ => {}
                }
            }
        }
    }
    server.set_notices(user, letters);
    let changed = mode::set_user_mode(server, user, 's', letters != Letters::default());
    if letters != before {
        show(server, ctx);
    }
    changed
}

/// 008
pub fn show(server: &Server, ctx: &mut Ctx) {
    let letters = format!("+{}", server.network.users[ctx.me()].notices.text());
    ctx.reply.numeric(Numeric::RPL_SNOMASK, &[&letters], Some("Server notice mask"));
}

#[cfg(test)]
mod tests {
    use super::{SNOMASKS, all};
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn the_letters_are_in_order_and_no_two_alike() {
        for pair in SNOMASKS.windows(2) {
            assert!(pair[0].letter < pair[1].letter, "{} stands before {}", pair[0].letter, pair[1].letter);
        }
        assert_eq!(all().text().len(), SNOMASKS.len());
    }

    #[test]
    fn an_operator_hears_of_what_it_asked_for_and_nobody_else_does() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        let refused = asked.ask(bob, "MODE bob +s");
        assert!(refused.len() == 1 && refused[0].contains(" 481 bob "), "{refused:?}");
        asked.set_oper("alice");
        assert_eq!(
            asked.ask(alice, "MODE alice +s nk"),
            [":irc.test 008 alice +kn :Server notice mask", ":alice!~u@10.0.0.1 MODE alice +s"]
        );
        asked.ask(bob, "NICK robert");
        let told = ":irc.test NOTICE alice :*** bob (~u@10.0.0.1) is now robert";
        assert_eq!(asked.sent(alice), [told]);
        assert_eq!(asked.ask(alice, "MODE alice +s -n+c"), [":irc.test 008 alice +ck :Server notice mask"]);
        asked.ask(bob, "NICK bob");
        assert!(asked.sent(alice).is_empty());
        assert_eq!(
            asked.ask(alice, "MODE alice -s"),
            [":irc.test 008 alice + :Server notice mask", ":alice!~u@10.0.0.1 MODE alice -s"]
        );
        // Whoever is no operator any more is told nothing.
        asked.ask(alice, "MODE alice +s");
        assert_eq!(asked.ask(alice, "MODE alice -o"), [":alice!~u@10.0.0.1 MODE alice -os"]);
        asked.ask(bob, "NICK robert");
        assert!(asked.sent(alice).is_empty());
        assert!(asked.server.network.noticed.is_empty());
    }
}
