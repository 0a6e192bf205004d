//! OPER and KILL (Modern IRC, "Operator Messages"), and who may use what operators use.

use ircv3::Message;
use ircv3::message::{cut, write_line};
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::action::Call;
use crate::server::change::Change;
use crate::server::command::{Pending, mode, need_more_params, printable};
use crate::server::event::ConnId;
use crate::server::network::UserId;
use crate::server::notice::{self, About};
use crate::server::policy::{self, Viewer};
use crate::server::right::Right;
use crate::server::user::Letters;
use crate::server::{Ctx, Server};

/// `OPER name [password]`: the password may be left out where a certificate is enough.
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (name, password) = (line.param(0).unwrap_or(""), line.param(1));
    let throttle = format!("oper {name}");
    if !server.may_try_login(ctx.conn, Some(&throttle)) {
        ctx.reply.numeric(Numeric::ERR_PASSWDMISMATCH, &[], Some("Too many wrong passwords; wait a minute"));
        return;
    }
    let certfp = server.session(ctx.conn).and_then(|session| session.peer.certfp.clone());
    if password.is_none() && certfp.is_none() {
        need_more_params(ctx, "OPER");
        return;
    }
    let oper = server.settings.opers.iter().find(|oper| &*oper.name == name);
    // Whoever shows another certificate than is asked for is as wrong as with a wrong password.
    let oper = oper.filter(|oper| oper.certfp.is_none() || oper.certfp == certfp);
    if oper.is_some_and(|oper| oper.password.is_none()) {
        verified(server, ctx, name, true);
        return;
    }
    let hash = oper.and_then(|oper| oper.password.clone());
    let password = cut(password.unwrap_or(""), limits::PASSWORD_LEN).into();
    server.call(ctx, Call::Verify { password, hash, derive: None }, Pending::Oper { name: name.into() });
}

/// The password was compared.
pub fn verified(server: &mut Server, ctx: &mut Ctx, name: &str, right: bool) {
    let Some(user) = ctx.user else { return };
    let source = server.network.users[user].source.clone();
    if !right {
        server.login_failed(ctx.conn, Some(&format!("oper {name}")));
        server.log(true, format!("{source} gave a wrong operator password for {name:?}"));
        server.notify(About::Opers, |_| format!("{source} tried to become the operator {name:?} and failed"));
        ctx.reply.numeric(Numeric::ERR_PASSWDMISMATCH, &[], Some("Password incorrect"));
        return;
    }
    server.submit(ctx, Change::OperUp { name });
}

/// Makes an operator of a user who has come with a certificate that is enough for that.
pub fn come_by_certificate(server: &mut Server, ctx: &mut Ctx) {
    let Some(user) = ctx.user else { return };
    let Some(certfp) = server.session(ctx.conn).and_then(|session| session.peer.certfp.clone()) else { return };
    let oper = server.settings.opers.iter().find(|oper| oper.auto && oper.certfp.as_ref() == Some(&certfp));
    let Some(name) = oper.map(|oper| oper.name.clone()) else { return };
    if server.network.users[user].is_oper() {
        // By another connection, of which this one proves as much.
        let is_same = server.network.users[user].oper.as_ref().is_some_and(|oper| oper.name == name);
        if let Some(session) = server.session_mut(ctx.conn).filter(|_| is_same) {
            session.particulars_mut().is_oper = true;
        }
        return;
    }
    server.submit(ctx, Change::OperUp { name: &name });
}

/// Makes the sender an operator.
pub fn apply(server: &mut Server, ctx: &mut Ctx, name: &str) {
    let user = ctx.me();
    // It may be gone since OPER came.
    let Some(oper) = server.settings.opers.iter().find(|oper| &*oper.name == name).cloned() else {
        ctx.reply.numeric(Numeric::ERR_NOOPERHOST, &[], Some("No O-lines for your host"));
        return;
    };
    let snomasks = oper.snomasks;
    let class = if oper.class.is_empty() { String::new() } else { format!(", class {}", oper.class) };
    server.network.users[user].oper = Some(oper);
    if let Some(session) = server.session_mut(ctx.conn) {
        session.particulars_mut().is_oper = true;
    }
    ctx.reply.numeric(Numeric::RPL_YOUREOPER, &[], Some("You are now an IRC operator"));
    let mut modes = String::from("+");
    if mode::set_user_mode(server, user, 'o', true) {
        modes.push('o');
    }
    if snomasks != Letters::default() && server.network.users[user].may(Right::Notices) {
        server.set_notices(user, snomasks);
        if mode::set_user_mode(server, user, 's', true) {
            modes.push('s');
        }
        notice::show(server, ctx);
    }
    if modes.len() > 1 {
        mode::announce_user_modes(server, ctx, user, &modes);
    }
    server.audit(user, "OPER");
    let source = server.network.users[user].source.clone();
    server.notify(About::Opers, |_| format!("{source} is now an operator as {name:?}{class}"));
}

/// Takes away what a user had as an operator, who is none any more; whether mode `s` went with it.
pub fn step_down(server: &mut Server, user: UserId) -> bool {
    server.network.users[user].oper = None;
    for conn in server.network.users[user].sessions.clone() {
        if let Some(session) = server.session_mut(conn).filter(|session| session.particulars().is_oper) {
            session.particulars_mut().is_oper = false;
        }
    }
    server.set_notices(user, Letters::default());
    mode::set_user_mode(server, user, 's', false)
}

/// The configuration was read again: operators may do what it says now, or are none any more.
pub fn reloaded(server: &mut Server) {
    let opers: Vec<UserId> = server.network.users.iter().filter(|(_, user)| user.is_oper()).map(|(id, _)| id).collect();
    for user in opers {
        let Some(was) = server.network.users[user].oper.clone() else { continue };
        let now = server.settings.opers.iter().find(|oper| oper.name == was.name).cloned();
        if now.is_some() {
            server.network.users[user].oper = now;
        } else if mode::set_user_mode(server, user, 'o', false) {
            let modes = if step_down(server, user) { "-os" } else { "-o" };
            let Some(conn) = server.network.users[user].sessions.first().copied() else { continue };
            let mut ctx = server.ctx(conn, None);
            mode::announce_user_modes(server, &mut ctx, user, modes);
            server.finish(ctx);
        }
    }
}

/// Whether the sender is an operator, for what all of them may do and see.
pub fn is(server: &Server, ctx: &Ctx) -> bool {
    server.network.users[ctx.me()].is_oper() && server.has_proved_oper(ctx.conn)
}

/// The sender, as far as it matters for what it sees and whom it may write to.
pub fn viewer(server: &Server, ctx: &Ctx) -> Viewer {
    Viewer { user: ctx.me(), is_oper: is(server, ctx) }
}

/// Whether the sender is an operator who may do this.
pub fn has(server: &Server, ctx: &Ctx, right: Right) -> bool {
    server.network.users[ctx.me()].may(right) && server.has_proved_oper(ctx.conn)
}

impl Server {
    /// Whether a connection of an operator's has as much to show as the one that gave OPER: not by an app password, nor by
    /// a password that is none any more.
    pub fn has_proved_oper(&self, conn: ConnId) -> bool {
        self.why_no_credentials(conn).is_none()
            || self.session(conn).is_some_and(|session| session.particulars().is_oper)
    }
}

/// Whether the sender is an operator who may do this; 481 or 723 where it may not.
pub fn may(server: &Server, ctx: &mut Ctx, right: Right) -> bool {
    let user = &server.network.users[ctx.me()];
    if !user.is_oper() {
        let text = "Permission Denied- You're not an IRC operator";
        ctx.reply.numeric(Numeric::ERR_NOPRIVILEGES, &[], Some(text));
    } else if !server.has_proved_oper(ctx.conn) {
        let text = "Permission Denied- Another connection of yours has given OPER, and this one came by an app password or \
                    has not logged in with your new password: give OPER here, or IDENTIFY";
        ctx.reply.numeric(Numeric::ERR_NOPRIVILEGES, &[], Some(text));
    } else if !user.may(right) {
        ctx.reply.numeric(Numeric::ERR_NOPRIVS, &[right.name()], Some("Insufficient oper privileges."));
    } else {
        return true;
    }
    false
}

/// KILL
pub fn kill(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let user = ctx.me();
    let nick = line.param(0).unwrap_or("");
    let Some(target) = server.network.user_by_nick(nick) else {
        if policy::is_service(nick, server.network.casemapping)
            || nick.eq_ignore_ascii_case(&server.settings.server_name)
        {
            ctx.reply.numeric(Numeric::ERR_CANTKILLSERVER, &[], Some("You cant kill a server!"));
            return;
        }
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[printable(nick)], Some("No such nick"));
        return;
    };
    let reason = match cut(line.param(1).unwrap_or(""), limits::REASON_LEN) {
        "" => "No reason given",
        reason => reason,
    };
    let by = server.network.users[user].nick.clone();
    let source = server.network.users[user].source.clone();
    let nick = server.network.users[target].nick.clone();
    let serial = server.network.users[target].serial;
    server.log(true, format!("{source} killed {nick}: {reason}"));
    let target_source = server.network.users[target].source.clone();
    server.notify(About::Kills, |_| format!("{target_source} was killed by {by}: {reason}"));
    let mut line = Vec::new();
    write_line(&mut line, &source, "KILL", &[&nick], Some(reason));
    let frame = server.frame_from(user, line);
    let quit = format!("Killed ({by} ({reason}))");
    for conn in server.network.users[target].sessions.clone() {
        server.frame_to(conn, &frame);
        // Whoever ends its own connection is answered by ERROR, as for QUIT.
        let label = if conn == ctx.conn { ctx.reply.take_label() } else { None };
        server.close_labelled(conn, &quit, &quit, label);
    }
    // Who is always on would stay.
    if server.network.is_still(target, serial) {
        server.end_user(target, &quit);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use crate::accounts::Secrets;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{CloseCause, Event, Returned};
    use crate::server::right::Rights;
    use crate::server::settings::{Oper, Settings};
    use crate::server::user::Letters;

    #[test]
    fn who_stays_without_a_connection_is_no_operator_any_more() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.ask(alice, "REGISTER * * sesame");
        let call = asked.calls()[0].0;
        let secrets = Secrets { hash: "h".into(), scram: Vec::new() };
        asked.handle(Event::Returned(call, Returned::Hashed(Box::new(secrets))));
        asked.ask(alice, "NS SET ALWAYS-ON ON");
        asked.set_oper("alice");
        let app = asked.ask(alice, "NS APPPASS ADD phone")[0].rsplit_once(' ').unwrap().1.to_owned();
        asked.handle(Event::Closed(alice, CloseCause::Eof { shown: None }));
        assert!(asked.server.network.users[asked.id("alice")].sessions.is_empty());
        // The password of the operator is asked for again, of whatever connects to the account.
        let phone = asked.open();
        for line in [&*format!("PASS alice:{app}"), "NICK alice", "USER u 0 * :a"] {
            asked.ask(phone, line);
        }
        assert_eq!(asked.server.session(phone).unwrap().user, Some(asked.id("alice")));
        assert!(asked.ask(phone, "KILL alice :x").concat().contains(" 481 "));
        assert_eq!(asked.server.network.opers, 0);
    }

    fn with_opers(opers: &[Oper]) -> Asked {
        let mut asked = Asked::new();
        set_opers(&mut asked, opers);
        asked
    }

    fn set_opers(asked: &mut Asked, opers: &[Oper]) {
        let opers = opers.iter().cloned().map(Arc::new).collect();
        let settings = Settings { opers, ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
    }

    fn with_certificate(asked: &mut Asked, nick: &str, certfp: &str) -> (crate::server::event::ConnId, Vec<String>) {
        let conn = asked.open();
        asked.server.session_mut(conn).unwrap().peer.certfp = Some(certfp.into());
        asked.ask(conn, &format!("NICK {nick}"));
        let lines = asked.ask(conn, "USER u 0 * :A Name");
        (conn, lines)
    }

    fn by_certificate(name: &str, auto: bool) -> Oper {
        Oper { name: name.into(), certfp: Some("ab".into()), auto, rights: Rights::ALL, ..Oper::default() }
    }

    #[test]
    fn a_certificate_is_enough_where_the_operator_has_no_password() {
        let mut asked = with_opers(&[by_certificate("root", false)]);
        let (alice, _) = with_certificate(&mut asked, "alice", "ab");
        assert!(asked.ask(alice, "OPER root")[0].contains(" 381 alice "));
        // With another one, it takes as long as a wrong password.
        let (bob, _) = with_certificate(&mut asked, "bob", "cd");
        assert!(asked.ask(bob, "OPER root").is_empty());
        assert!(asked.server.session(bob).unwrap().waiting.is_some());
        let carol = asked.user("carol");
        assert!(asked.ask(carol, "OPER root")[0].contains(" 461 carol OPER "));
    }

    #[test]
    fn auto_needs_no_oper_and_brings_its_notices() {
        let snomasks = Letters::of("ck");
        let mut asked = with_opers(&[Oper { snomasks, ..by_certificate("root", true) }]);
        let (_, lines) = with_certificate(&mut asked, "alice", "ab");
        let at = |part: &str| lines.iter().position(|line| line.contains(part)).unwrap();
        assert!(at(" 001 alice ") < at(" 381 alice "));
        at(" 008 alice +ck ");
        at(" MODE alice +os");
        let (_, lines) = with_certificate(&mut asked, "bob", "cd");
        assert!(!lines.iter().any(|line| line.contains(" 381 ")));
    }

    #[test]
    fn a_class_bounds_what_an_operator_may_do_and_a_reload_changes_it() {
        let helper = Oper { rights: Rights::named(["wallops"]), ..by_certificate("root", true) };
        let mut asked = with_opers(std::slice::from_ref(&helper));
        let (alice, _) = with_certificate(&mut asked, "alice", "ab");
        let refused = ":irc.test 723 alice kill :Insufficient oper privileges.";
        assert_eq!(asked.ask(alice, "KILL alice"), [refused]);
        assert_eq!(asked.ask(alice, "WALLOPS :all"), [":alice!~u@10.0.0.1 WALLOPS :all"]);
        set_opers(&mut asked, &[Oper { rights: Rights::ALL, ..helper }]);
        assert!(asked.ask(alice, "KILL nobody")[0].contains(" 401 alice nobody "));
        set_opers(&mut asked, &[]);
        assert_eq!(asked.sent(alice), [":alice!~u@10.0.0.1 MODE alice -o"]);
        assert!(asked.ask(alice, "KILL nobody")[0].contains(" 481 alice "));
        assert_eq!(asked.server.network.opers, 0);
    }

    #[test]
    fn services_and_the_server_are_not_killed() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.set_oper("alice");
        for name in ["NickServ", "irc.test"] {
            assert_eq!(asked.ask(alice, &format!("KILL {name}")), [":irc.test 483 alice :You cant kill a server!"]);
        }
    }

    #[test]
    fn c40_an_operator_who_kills_itself_sees_it_and_has_its_label_answered() {
        let mut asked = Asked::new();
        let alice = asked.user_with("alice", "batch labeled-response");
        asked.set_oper("alice");
        let lines = asked.ask(alice, "@label=x KILL alice :test");
        assert_eq!(lines, [":alice!~u@10.0.0.1 KILL alice :test"]);
        let last = asked.last_words(alice);
        assert!(last.starts_with("@label=x ERROR :Closing Link: "), "{last}");
    }
}
