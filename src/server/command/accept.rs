//! ACCEPT (caller id, as in hybrid, Solanum, InspIRCd and Ergo): who may write to a user in spite of its
//! modes `R` and `g`. The list is of people, not of nicks, and ends with the user's stay; that
//! of an account that stays is kept over restarts.

use ircv3::Message;
use ircv3::message::write_line;
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::change::Change;
use crate::server::command::printable;
use crate::server::network::{Network, UserId};
use crate::server::record::Kind;
use crate::server::registration::server_frame;
use crate::server::user::Contact;
use crate::server::{Ctx, Server};

/// `ACCEPT nick[,-nick...]`, or `*` for the list.
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let mut listed = false;
    for item in line.param(0).unwrap_or("").split(',').filter(|item| !item.is_empty()) {
        match item.strip_prefix('-') {
            Some(nick) => server.submit(ctx, Change::Accept { nick, add: false }),
            None if item == "*" => listed = true,
            None => server.submit(ctx, Change::Accept { nick: item.trim_start_matches('+'), add: true }),
        }
    }
    if listed {
        list(server, ctx);
    }
}

/// 281 for each, then 282.
fn list(server: &Server, ctx: &mut Ctx) {
    let network = &server.network;
    let contacts = network.users[ctx.me()].contacts.as_deref();
    for contact in contacts.map_or(&[][..], |contacts| &contacts.accepted) {
        if let Some(name) = name_of(network, contact) {
            ctx.reply.numeric(Numeric::RPL_ACCEPTLIST, &[name], None);
        }
    }
    ctx.reply.numeric(Numeric::RPL_ENDOFACCEPT, &[], Some("End of /ACCEPT list"));
}

/// What a contact is called: its nick while it is on, else its account; `None` for a guest that has gone.
fn name_of<'a>(network: &'a Network, contact: &Contact) -> Option<&'a str> {
    match network.users.get(contact.user).filter(|user| contact.is(user)) {
        Some(user) => Some(&user.nick),
        None => network.account(contact.account?).map(|account| &*account.name),
    }
}

/// Puts someone on the sender's list, or takes it off.
pub fn apply(server: &mut Server, ctx: &mut Ctx, nick: &str, add: bool) {
    let network = &mut server.network;
    let me = ctx.me();
    let target = network.user_by_nick(nick).map(|id| Contact::of(id, &network.users[id]));
    let there = |contact: &Contact| match target {
        Some(target) => network.users.get(target.user).is_some_and(|user| contact.is(user)),
        // Whoever is on the list may have gone.
        None => name_of(network, contact).is_some_and(|name| network.casemapping.same(name, nick)),
    };
    let accepted = network.users[me].contacts.as_deref().map_or(&[][..], |contacts| &contacts.accepted);
    let at = accepted.iter().position(there);
    match (add, target, at) {
        (true, None, _) => {
            ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(nick)], Some("No such nick"));
        }
        (true, Some(target), Some(_)) => {
            let nick = &network.users[target.user].nick;
            ctx.reply.numeric(Numeric::ERR_ACCEPTEXIST, &[nick], Some("is already on your accept list"));
        }
        (true, Some(target), None) => {
            // Guests that have gone do not count: they do not come back.
            let gone = accepted.iter().filter(|contact| name_of(network, contact).is_none()).count();
            if accepted.len() - gone >= limits::ACCEPTED {
                let text = format!("Accept list is full: at most {}", limits::ACCEPTED);
                ctx.reply.numeric(Numeric::ERR_ACCEPTFULL, &[], Some(&text));
                return;
            }
            let mut accepted = accepted.to_vec();
            if gone > 0 {
                accepted.retain(|contact| name_of(network, contact).is_some());
            }
            accepted.push(target);
            network.users[me].contacts.get_or_insert_default().accepted = accepted;
            ctx.reply.after = ctx.reply.after.max(server.keep_presence(me));
        }
        (false, _, None) => {
            ctx.reply.numeric(Numeric::ERR_ACCEPTNOT, &[printable(nick)], Some("is not on your accept list"));
        }
        (false, _, Some(at)) => {
            if let Some(contacts) = &mut network.users[me].contacts {
                contacts.accepted.remove(at);
                if let Some(target) = target {
                    // Nor may it go on because it was written to.
                    contacts.addressed.retain(|contact| *contact != target);
                }
            }
            ctx.reply.after = ctx.reply.after.max(server.keep_presence(me));
        }
    }
}

/// Whoever is written to by a user under `R` or `g` may answer.
pub fn may_answer(server: &mut Server, user: UserId, target: UserId) {
    let network = &mut server.network;
    let modes = network.users[user].modes;
    if user == target || !(modes.has('R') || modes.has('g')) {
        return;
    }
    let other = &network.users[target];
    let contact = Contact::of(target, other);
    if network.users[user].contacts.as_ref().is_some_and(|contacts| contacts.addressed.last() == Some(&contact)) {
        return;
    }
    let addressed = &mut network.users[user].contacts.get_or_insert_default().addressed;
    addressed.retain(|known| *known != contact);
    if addressed.len() >= limits::ACCEPTED {
        addressed.remove(0);
    }
    addressed.push(contact);
}

/// Someone whom the sender may not write to (`g`) is told of it, now and then, and the sender that it was.
pub fn tell_of_caller(server: &mut Server, ctx: &mut Ctx, kind: Kind, target: UserId) {
    let now = server.now().mono_ms;
    let contacts = server.network.users[target].contacts.get_or_insert_default();
    if contacts.told.is_some_and(|told| now < told + limits::CALLER_MS) {
        return;
    }
    contacts.told = Some(now);
    let (from, there) = (&server.network.users[ctx.me()], &server.network.users[target]);
    let host = format!("{}@{}", from.user, from.host);
    let mut line = Vec::with_capacity(160);
    let middles = [&*there.nick, &from.nick, &host];
    let text = "is messaging you, and you have mode +g; /accept them to get what they say";
    write_line(&mut line, &server.settings.server_name, Numeric::RPL_UMODEGMSG.as_str(), &middles, Some(text));
    let frame = server_frame(server, line);
    if kind != Kind::Notice {
        let text = "has been informed that you messaged them";
        ctx.reply.numeric(Numeric::RPL_TARGNOTIFY, &[&there.nick], Some(text));
    }
    server.frame_to_user(target, &frame, None);
}

#[cfg(test)]
mod tests {
    use crate::limits;
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn the_list_is_of_people_and_not_of_nicks() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(alice, "MODE alice +R");
        assert_eq!(asked.ask(alice, "ACCEPT bob"), [""; 0]);
        assert_eq!(asked.ask(alice, "ACCEPT BOB"), [":irc.test 457 alice bob :is already on your accept list"]);
        asked.ask(bob, "NICK rob");
        assert_eq!(asked.ask(bob, "PRIVMSG alice :hi"), [""; 0]);
        let mallory = asked.user("bob");
        let refused = asked.ask(mallory, "PRIVMSG alice :hi");
        assert!(refused.len() == 1 && refused[0].contains(" 477 bob alice "), "{refused:?}");
        let end = ":irc.test 282 alice :End of /ACCEPT list";
        assert_eq!(asked.ask(alice, "ACCEPT *"), [":irc.test 281 alice rob", end]);
        assert_eq!(asked.ask(alice, "ACCEPT -bob"), [":irc.test 458 alice bob :is not on your accept list"]);
        asked.ask(bob, "QUIT");
        assert_eq!(asked.ask(alice, "ACCEPT *"), [end], "a guest that has gone does not come back");
        assert_eq!(asked.ask(alice, "ACCEPT nosuch"), [":irc.test 401 alice nosuch :No such nick"]);
    }

    #[test]
    fn the_list_holds_what_005_says_and_those_who_have_gone_do_not_count() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        for n in 0..=limits::ACCEPTED {
            asked.user(&format!("u{n}"));
            let lines = asked.ask(alice, &format!("ACCEPT u{n}"));
            assert_eq!(lines.len(), usize::from(n == limits::ACCEPTED), "{n}: {lines:?}");
        }
        let last = format!("u{}", limits::ACCEPTED);
        assert!(asked.ask(alice, &format!("ACCEPT {last}"))[0].contains(" 456 alice :"));
        let gone = asked.server.network.users[asked.id("u3")].sessions[0];
        asked.ask(gone, "QUIT");
        assert_eq!(asked.ask(alice, &format!("ACCEPT {last}")), [""; 0]);
        assert_eq!(asked.ask(alice, "ACCEPT *").len(), limits::ACCEPTED + 1);
        assert_eq!(asked.ask(alice, &format!("ACCEPT -{last},-u0")), [""; 0]);
    }

    #[test]
    fn caller_id_tells_both_sides_and_the_one_called_only_now_and_then() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.ask(alice, "MODE alice +g");
        let ignored =
            ":irc.test 716 bob alice :is in +g mode (server-side ignore): only those whom they accept may write";
        let informed = ":irc.test 717 bob alice :has been informed that you messaged them";
        assert_eq!(asked.ask(bob, "PRIVMSG alice :hi"), [ignored, informed]);
        let told = asked.sent(alice);
        assert!(told.len() == 1 && told[0].starts_with(":irc.test 718 alice bob ~u@10.0.0.1 :"), "{told:?}");
        assert_eq!(asked.ask(bob, "PRIVMSG alice :hi"), [ignored]);
        assert_eq!(asked.sent(alice), [""; 0]);
        asked.now.mono_ms += limits::CALLER_MS;
        assert_eq!(asked.ask(bob, "NOTICE alice :hi"), [""; 0], "a NOTICE is never answered");
        assert_eq!(asked.sent(alice).len(), 1);
        // Whoever is written to may answer.
        asked.ask(alice, "PRIVMSG bob :yes?");
        asked.ask(bob, "PRIVMSG alice :hi");
        assert_eq!(asked.sent(alice), [":bob!~u@10.0.0.1 PRIVMSG alice :hi"]);
    }
}
