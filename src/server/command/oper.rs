//! OPER and KILL (Modern IRC, "Operator Messages").

use ircv3::Message;
use ircv3::message::{cut, write_line};
use ircv3::numeric::Numeric;

use crate::limits;
use crate::server::action::Call;
use crate::server::change::Change;
use crate::server::command::{Pending, mode, printable};
use crate::server::{Ctx, Server};

/// OPER
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (name, password) = (line.param(0).unwrap_or(""), line.param(1).unwrap_or(""));
    let throttle = format!("oper {name}");
    if !server.may_try_login(ctx.conn, Some(&throttle)) {
        ctx.reply.numeric(Numeric::ERR_PASSWDMISMATCH, &[], Some("Too many wrong passwords; wait a minute"));
        return;
    }
    let hash = server.settings.opers.iter().find(|oper| &*oper.name == name).map(|oper| oper.password.clone());
    let password = cut(password, limits::PASSWORD_LEN).into();
    server.call(ctx, Call::Verify { password, hash, derive: None }, Pending::Oper { name: name.into() });
}

/// The password was compared.
pub fn verified(server: &mut Server, ctx: &mut Ctx, name: &str, right: bool) {
    let Some(user) = ctx.user else { return };
    let nick = server.network.users[user].source.clone();
    if !right {
        server.login_failed(ctx.conn, Some(&format!("oper {name}")));
        server.log(true, format!("{nick} gave a wrong operator password for {name:?}"));
        ctx.reply.numeric(Numeric::ERR_PASSWDMISMATCH, &[], Some("Password incorrect"));
        return;
    }
    server.log(false, format!("{nick} is now an operator as {name:?}"));
    server.submit(ctx, Change::OperUp);
}

/// Makes the sender an operator.
pub fn apply(server: &mut Server, ctx: &mut Ctx) {
    let user = ctx.me();
    ctx.reply.numeric(Numeric::RPL_YOUREOPER, &[], Some("You are now an IRC operator"));
    if mode::set_user_mode(server, user, 'o', true) {
        mode::announce_user_modes(server, ctx, user, "+o");
    }
}

/// KILL
pub fn kill(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let user = ctx.me();
    if !server.network.users[user].is_oper() {
        ctx.reply.numeric(Numeric::ERR_NOPRIVILEGES, &[], Some("Permission Denied- You're not an IRC operator"));
        return;
    }
    let nick = line.param(0).unwrap_or("");
    let Some(target) = server.network.user_by_nick(nick) else {
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
    server.log(true, format!("{source} killed {nick}: {reason}"));
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
    if server.network.user_by_nick(&nick) == Some(target) && server.network.users[target].sessions.is_empty() {
        server.submit_alone(Change::Quit { user: target, reason: &quit, shown: None });
    }
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;

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
