//! NickServ and ChanServ: accounts and channels for clients without the commands of IRCv3. Each is a table of
//! commands; every check that all of them share is made here, and HELP comes from the tables.

pub mod chanserv;
pub mod histserv;
pub mod hostserv;
pub mod nickserv;

use ircv3::message::{MAX_BODY_BYTES, cut};
use ircv3::numeric::Numeric;
use ircv3::{Casemapping, Message};

use crate::server::command::oper;
use crate::server::record::{AccountId, AccountRow, Record, Seq};
use crate::server::right::Right;
use crate::server::session::Session;
use crate::server::{Ctx, Server};

/// Who may use a command of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everyone.
    Anyone,
    /// Those who are logged in.
    LoggedIn,
    /// Those who are logged in, each for what is their own, and operators with this right for that of others.
    LoggedInOr(Right),
    /// Operators with this right. It is in the audit log.
    Operator(Right),
}

/// A command of a service: one row of its table.
pub struct Row {
    /// Its name and what else it is called, in capitals.
    pub names: &'static [&'static str],
    /// The fewest parameters.
    pub min_params: usize,
    /// The most, where the last of them is a text, which keeps its spaces.
    pub with_text: Option<usize>,
    /// Who may use it.
    pub who: Who,
    /// Its parameters.
    pub syntax: &'static str,
    /// What it does: a line for HELP, and more for HELP with its name.
    pub help: &'static [&'static str],
    run: fn(&mut Server, &mut Ctx, &[&str]),
}

macro_rules! rows {
    ($($($name:literal)|+, $min:literal $(..$most:literal)? $who:ident $(($right:ident))? $run:path, $syntax:literal, $($help:literal),+;)+) => {
        &[$($crate::server::command::services::Row {
            names: &[$($name),+],
            min_params: $min,
            with_text: $crate::server::command::services::rows!(@most $($most)?),
            who: $crate::server::command::services::Who::$who $(($crate::server::right::Right::$right))?,
            syntax: $syntax,
            help: &[$($help),+],
            run: $run,
        }),+]
    };
    (@most) => { None };
    (@most $most:literal) => { Some($most) };
}
pub(crate) use rows;

/// A service.
pub struct Service {
    /// Its nick.
    pub name: &'static str,
    /// What it does.
    pub purpose: &'static str,
    /// Its commands, by name.
    pub rows: &'static [Row],
    /// What other services have and it has not.
    pub elsewhere: &'static [Elsewhere],
}

/// A command that people know from other services: its names, each perhaps with a setting behind it, and what does it
/// here.
pub type Elsewhere = (&'static [&'static str], &'static str);

/// The host of all services.
pub const HOST: &str = "services";

/// What those are told who have to be logged in.
pub const LOG_IN_FIRST: &str = "Log in first: /msg NickServ IDENTIFY <account> <password>";

/// All services.
pub const SERVICES: &[Service] = &[
    Service { name: "ChanServ", purpose: "Registers channels", rows: chanserv::ROWS, elsewhere: chanserv::ELSEWHERE },
    Service {
        name: "HistServ",
        purpose: "Tells what was said, and what is kept",
        rows: histserv::ROWS,
        elsewhere: &[],
    },
    Service { name: "HostServ", purpose: "Gives people hosts to be shown by", rows: hostserv::ROWS, elsewhere: &[] },
    Service {
        name: "NickServ",
        purpose: "Registers accounts and logs in to them",
        rows: nickserv::ROWS,
        elsewhere: nickserv::ELSEWHERE,
    },
];

/// The service of this nick.
pub fn service(nick: &str, casemapping: Casemapping) -> Option<&'static Service> {
    SERVICES.iter().find(|service| casemapping.same(service.name, nick))
}

/// NICKSERV, NS
pub fn nickserv(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let text = line.params_text();
    message(server, ctx, "NickServ", &text);
}

/// CHANSERV, CS
pub fn chanserv(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let text = line.params_text();
    message(server, ctx, "ChanServ", &text);
}

/// HISTSERV
pub fn histserv(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let text = line.params_text();
    message(server, ctx, "HistServ", &text);
}

/// HOSTSERV, HS
pub fn hostserv(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let text = line.params_text();
    message(server, ctx, "HostServ", &text);
}

/// A PRIVMSG to a service.
pub fn message(server: &mut Server, ctx: &mut Ctx, service: &str, text: &str) {
    // A target before this one in the same PRIVMSG has the line's label and waits for its answer.
    if server.session(ctx.conn).is_some_and(Session::is_busy) {
        return;
    }
    let Some(service) = self::service(service, server.network.casemapping) else {
        ctx.reply.numeric(Numeric::ERR_NOSUCHNICK, &[service], Some("No such service on this server"));
        return;
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (verb, params) = words.split_first().map_or(("HELP", &[][..]), |(verb, params)| (*verb, params));
    if verb.eq_ignore_ascii_case("HELP") {
        help(server, ctx, service, params);
        return;
    }
    if let Some(text) = elsewhere(service, verb, params) {
        say(ctx, service.name, text);
        return;
    }
    let Some(row) = find(service, verb) else {
        no_command(ctx, service, verb);
        return;
    };
    match row.who {
        Who::Anyone => {}
        Who::LoggedIn | Who::LoggedInOr(_) if own_account(server, ctx).is_some() => {}
        Who::LoggedInOr(right) if oper::has(server, ctx, right) => {}
        Who::LoggedIn | Who::LoggedInOr(_) => {
            say(ctx, service.name, LOG_IN_FIRST);
            return;
        }
        Who::Operator(right) if !oper::may(server, ctx, right) => return,
        Who::Operator(_) => audit(server, ctx, service, row, params),
    }
    if params.len() < row.min_params {
        usage(ctx, service.name, row);
        return;
    }
    match row.with_text.filter(|most| params.len() > *most) {
        Some(most) => (row.run)(server, ctx, &words_and_text(text, most + 1)[1..]),
        None => (row.run)(server, ctx, params),
    }
}

/// So many words at most, of which the last is all that is left.
fn words_and_text(text: &str, most: usize) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::with_capacity(most), text.trim_ascii());
    while words.len() + 1 < most
        && let Some((word, behind)) = rest.split_once(|c: char| c.is_ascii_whitespace())
    {
        words.push(word);
        rest = behind.trim_ascii_start();
    }
    words.push(rest);
    words
}

fn no_command(ctx: &mut Ctx, service: &Service, verb: &str) {
    say(ctx, service.name, &format!("{:?} is no command of {}; HELP lists them", cut(verb, 32), service.name));
}

/// What does here what other services know by another name.
fn elsewhere(service: &Service, verb: &str, params: &[&str]) -> Option<&'static str> {
    let setting = params.iter().find(|word| !word.starts_with('#')).copied().unwrap_or_default();
    let is_it = |name: &&str| match name.split_once(' ') {
        Some((own, of)) => own.eq_ignore_ascii_case(verb) && of.eq_ignore_ascii_case(setting),
        None => name.eq_ignore_ascii_case(verb),
    };
    service.elsewhere.iter().find(|(names, _)| names.iter().any(is_it)).map(|(_, text)| *text)
}

/// What an operator did; a password is not in it.
fn audit(server: &mut Server, ctx: &Ctx, service: &Service, row: &Row, params: &[&str]) {
    let shown = if row.syntax.contains("password") { &params[..params.len().min(1)] } else { params };
    server.audit(ctx.me(), &format!("{} {} {}", service.name, row.names[0], shown.join(" ")));
}

/// The command of this name, in any case.
pub fn find(service: &Service, verb: &str) -> Option<&'static Row> {
    service.rows.iter().find(|row| row.names.iter().any(|name| name.eq_ignore_ascii_case(verb)))
}

fn help(server: &Server, ctx: &mut Ctx, service: &Service, words: &[&str]) {
    let name = service.name;
    let line = |row: &Row| format!("{}: {}", full(row), row.help[0]);
    let Some(verb) = words.first() else {
        say(ctx, name, &format!("{name} knows these commands; HELP with one of them says more:"));
        for row in service.rows {
            match row.who {
                Who::Operator(right) if !oper::has(server, ctx, right) => {}
                Who::Operator(_) => say(ctx, name, &format!("{} (operators)", line(row))),
                _ => say(ctx, name, &line(row)),
            }
        }
        return;
    };
    if let Some(text) = elsewhere(service, verb, &words[1..]) {
        say(ctx, name, text);
        return;
    }
    let Some(row) = find(service, verb) else {
        no_command(ctx, service, verb);
        return;
    };
    if let Some(setting) = words.get(1).filter(|_| row.syntax.contains("setting")) {
        help_of_setting(ctx, service, row, setting);
        return;
    }
    say(ctx, name, &line(row));
    for text in &row.help[1..] {
        say(ctx, name, text);
    }
    if row.names.len() > 1 {
        say(ctx, name, &format!("It is also called {}", row.names[1..].join(", ")));
    }
    match row.who {
        Who::Anyone => {}
        Who::LoggedIn => say(ctx, name, "It is for those who are logged in"),
        Who::LoggedInOr(right) => {
            let right = right.name();
            say(ctx, name, &format!("It is for those who are logged in, and operators with the right {right:?}"));
        }
        Who::Operator(right) => say(ctx, name, &format!("It is for operators with the right {:?}", right.name())),
    }
}

/// The line of help of a single setting. Those of SET are in its help, and other commands have more of their own.
fn help_of_setting(ctx: &mut Ctx, service: &Service, row: &Row, setting: &str) {
    let of_set = find(service, "SET").filter(|set| !std::ptr::eq(*set, row)).map_or(&[][..], |set| set.help);
    let lines = || row.help.iter().chain(of_set).copied();
    let is_it = |name: &str| name.eq_ignore_ascii_case(setting);
    let text = match lines().find(|line| settings_of(line).any(is_it)) {
        Some(line) => line.to_owned(),
        None => {
            let mut names: Vec<&str> = lines().flat_map(settings_of).collect();
            names.sort_unstable();
            format!("{:?} is no setting; there are {}", cut(setting, 32), names.join(", "))
        }
    };
    say(ctx, service.name, &text);
}

/// The settings that a line of help is about: the words in capitals at its beginning, as in `URL, EMAIL text|OFF: what`.
fn settings_of(line: &str) -> impl Iterator<Item = &str> {
    let head = line.split_once(": ").map_or("", |(head, _)| head);
    let words = head.split(' ').map(|word| word.trim_end_matches(','));
    words.take_while(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'))
}

/// A command with its parameters.
pub fn full(row: &Row) -> String {
    format!("{} {}", row.names[0], row.syntax).trim_end().to_owned()
}

/// What a command takes.
pub fn usage(ctx: &mut Ctx, service: &str, row: &Row) {
    say(ctx, service, &format!("That takes: {}", full(row)));
}

/// As [`usage`], for the command of this name.
pub fn usage_of(ctx: &mut Ctx, service: &str, verb: &str) {
    let service = SERVICES.iter().find(|other| other.name == service);
    if let Some((service, row)) = service.and_then(|service| Some((service, find(service, verb)?))) {
        usage(ctx, service.name, row);
    }
}

/// A NOTICE from a service to the client.
pub fn say(ctx: &mut Ctx, service: &str, text: &str) {
    let nick = ctx.reply.nick.clone();
    ctx.reply.line_from(&source(service), "NOTICE", &[&nick], Some(text));
}

/// A NOTICE from a service to all of an account that are on, which waits for `after`.
pub fn tell_account(server: &mut Server, service: &str, account: AccountId, after: Seq, text: &str) {
    for conn in server.sessions_of(account) {
        if server.session(conn).is_some_and(|session| session.user.is_some()) {
            let mut told = server.ctx(conn, None);
            told.reply.after = after;
            say(&mut told, service, text);
            server.finish(told);
        }
    }
}

/// As [`say`], for words of which one line may not have the room: each begins with the head.
pub fn say_words<'a>(ctx: &mut Ctx, service: &str, head: &str, words: impl IntoIterator<Item = &'a str>) {
    let around = ": NOTICE  :\r\n".len() + source(service).len() + ctx.reply.nick.len();
    let room = MAX_BODY_BYTES.saturating_sub(around);
    let mut line = head.to_owned();
    for word in words {
        if line.len() > head.len() && line.len() + 1 + word.len() > room {
            say(ctx, service, &line);
            line.truncate(head.len());
        }
        line.push(' ');
        line.push_str(word);
    }
    say(ctx, service, &line);
}

/// What a service speaks as.
pub fn source(service: &str) -> String {
    format!("{service}!{service}@{HOST}")
}

/// The account of this name, or whose nick that is (NickServ GROUP); without one, a service says so.
pub fn account_named(server: &Server, ctx: &mut Ctx, service: &str, name: &str) -> Option<AccountRow> {
    let row = server.network.nick_owner(name).cloned();
    if row.is_none() {
        say(ctx, service, &format!("There is no account {}", quoted(name)));
    }
    row
}

/// A name between quotation marks, as it was typed but for what is no text: nicks have backslashes.
pub fn quoted(name: &str) -> String {
    let name: String = cut(name, 64).chars().filter(|c| !c.is_control()).collect();
    format!("\"{name}\"")
}

/// The account that the sender is logged in to.
pub fn own_account(server: &Server, ctx: &Ctx) -> Option<AccountId> {
    server.session(ctx.conn).and_then(|session| session.account)
}

/// Changes an account and keeps it; whether there is such an account.
pub fn keep_account(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    account: AccountId,
    change: impl FnOnce(&mut AccountRow),
) -> bool {
    let Some(mut row) = server.network.account(account).cloned() else { return false };
    change(&mut row);
    server.network.put_account(row.clone());
    server.keep(seq, Record::Account(Box::new(row)));
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::{SERVICES, Who, chanserv, full, nickserv};
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{Event, Returned};
    use crate::server::settings::Settings;

    #[test]
    fn c40_a_service_named_twice_in_one_line_is_asked_once_and_the_label_stays_with_it() {
        let mut asked = Asked::new();
        let alice = asked.user_with("alice", "batch labeled-response");
        asked.ask(alice, "@label=x PRIVMSG NickServ,NickServ :IDENTIFY alice password");
        let waiting = asked.server.session(alice).unwrap().waiting.as_ref().unwrap();
        assert_eq!(waiting.label.as_deref(), Some("x"));
    }

    #[test]
    fn what_is_said_to_a_service_is_echoed_to_whoever_says_it_and_to_nobody_else() {
        let mut asked = Asked::new();
        let alice = asked.device("alice", 1, "a", "echo-message message-tags labeled-response batch");
        let other = asked.device("alice", 1, "b", "echo-message message-tags");
        let is_echo = |line: &String, body: &str| {
            let (tags, rest) = line.split_once(' ').unwrap();
            tags.contains("msgid=") && rest.starts_with(":alice!") && rest.ends_with(body)
        };
        for (line, echo, answers) in [
            ("PRIVMSG NickServ :STATUS", "PRIVMSG NickServ :STATUS", 1),
            ("NOTICE nickserv :STATUS", "NOTICE NickServ :STATUS", 0),
            ("PRIVMSG ChanServ@services :FROB", "PRIVMSG ChanServ :FROB", 1),
            ("PRIVMSG HostServ :\u{1}VERSION\u{1}", "PRIVMSG HostServ :\u{1}VERSION\u{1}", 0),
            ("@+typing=active TAGMSG NickServ", "TAGMSG NickServ", 0),
            ("PRIVMSG *playback :LIST", "PRIVMSG *playback :LIST", 0),
        ] {
            let lines = asked.ask(alice, line);
            assert!(is_echo(&lines[0], echo) && lines.len() == 1 + answers, "{line}: {lines:?}");
            assert!(asked.heard(other).is_empty() && asked.kept().is_empty(), "{line}");
        }
        assert_eq!(asked.ask(alice, "NS STATUS").len(), 1, "what is no message has no echo");
        // Echo and answer are one answer to a label, whether that is here at once or not.
        let lines = asked.ask(alice, "@label=1 PRIVMSG NickServ :STATUS");
        assert!(lines[0].starts_with("@label=1 :irc.test BATCH +") && lines.len() == 4, "{lines:?}");
        let lines = asked.ask(alice, "@label=2 NOTICE NickServ :STATUS");
        assert!(lines.len() == 1 && lines[0].starts_with("@label=2;"), "{lines:?}");
        let plain = asked.user("plain");
        assert_eq!(asked.ask(plain, "PRIVMSG NickServ :STATUS").len(), 1);
    }

    #[test]
    fn the_echo_of_a_password_waits_for_the_answer_where_there_is_a_label() {
        let mut asked = Asked::new();
        let eve = asked.user("bob");
        asked.account("bob", 1);
        asked.ask(eve, "QUIT");
        for label in ["", "@label=x "] {
            let bob = asked.user_with("guest", "echo-message labeled-response batch");
            let told = asked.ask(bob, &format!("{label}PRIVMSG NickServ,bob2 :IDENTIFY bob sesame"));
            assert_eq!(told.is_empty(), !label.is_empty(), "{told:?}");
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, Returned::Verified(false)));
            let lines = asked.sent(bob);
            if label.is_empty() {
                assert!(told[0].ends_with("PRIVMSG NickServ :IDENTIFY bob sesame"), "{told:?}");
                assert!(lines.concat().contains("You are not logged in"), "{lines:?}");
            } else {
                assert!(lines[0].starts_with("@label=x :irc.test BATCH +"), "{lines:?}");
                assert!(lines[1].ends_with("PRIVMSG NickServ :IDENTIFY bob sesame"), "{lines:?}");
                assert!(lines[2].starts_with("@batch=") && lines[2].contains(" 401 "), "{lines:?}");
                assert!(lines[3].starts_with("@batch=") && lines[3].contains("not logged in"), "{lines:?}");
                assert!(lines.len() == 5 && lines[4].contains("BATCH -"), "{lines:?}");
            }
            asked.ask(bob, "QUIT");
        }
    }

    #[test]
    fn a_channel_that_nobody_has_registered_is_said_to_be_none() {
        let mut asked = Asked::new();
        let bob = asked.user("bob");
        asked.account("bob", 1);
        let told = asked.ask(bob, "CS REGISTER #mine").concat();
        assert!(told.contains("There is no channel \"#mine\"; /join it first"), "{told}");
        asked.ask(bob, "JOIN #mine");
        for line in [
            "OP",
            "UP",
            "DEVOICE",
            "HALFOP",
            "KICK bob",
            "BAN bob",
            "UNBAN",
            "GETKEY",
            "TOPIC x",
            "INVITE bob",
            "AMODE",
            "AMODE +o bob",
            "STATUS other",
            "SET ENTRYMSG x",
        ] {
            let line = match line.split_once(' ') {
                Some((verb, rest)) => format!("CS {verb} #mine {rest}"),
                None => format!("CS {line} #mine"),
            };
            let told = asked.ask(bob, &line).concat();
            assert!(told.contains("Channel #mine is not registered; REGISTER does that"), "{line}: {told}");
        }
        assert!(asked.ask(bob, "CS STATUS #mine").concat().contains("bob is nothing by account in #mine"));
    }

    #[test]
    fn operators_without_an_account_list_amode_and_change_nothing_of_it() {
        let mut asked = Asked::new();
        let (alice, boss) = (asked.user("alice"), asked.user("boss"));
        asked.account("alice", 1);
        asked.ask(alice, "JOIN #a");
        asked.ask(alice, "MODE #a +s");
        asked.ask(alice, "CS REGISTER #a");
        assert!(asked.ask(boss, "CS AMODE #a").concat().contains("Log in first"));
        asked.set_oper("boss");
        assert!(asked.ask(boss, "CS AMODE #a").concat().contains("whenever they join: 0"));
        assert!(asked.ask(boss, "CS AMODE #a +o alice").concat().contains("Log in first"));
    }

    #[test]
    fn info_tells_of_all_channels_and_nicks_of_an_account() {
        let mut asked = Asked::new();
        asked.server.settings = Arc::new(Settings { grouped_nicks: 100, ..(*asked.server.settings).clone() });
        let alice = asked.user("alice");
        asked.account("alice", 1);
        for n in 0..45 {
            let name = format!("#{:c<50}", n);
            asked.ask(alice, &format!("JOIN {name}"));
            asked.ask(alice, &format!("CS REGISTER {name}"));
            asked.ask(alice, &format!("NICK n{n:n>20}"));
            asked.ask(alice, "NS GROUP");
        }
        let lines = asked.ask(alice, "NS INFO");
        for (head, word, count) in [(":Its channels are ", '#', 45), (":Its other nicks are ", 'n', 45)] {
            let words = lines.iter().filter_map(|line| line.split_once(head)).flat_map(|(_, words)| words.split(' '));
            let words: Vec<&str> = words.collect();
            assert!(words.len() == count && words.iter().all(|name| name.starts_with(word)), "{words:?}");
            assert!(words.iter().all(|name| name.len() == words[0].len()), "{words:?}");
        }
    }

    #[test]
    fn group_for_another_account_than_ones_own_does_not_group_to_ones_own() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.account("alice", 1);
        asked.account("bob", 2);
        asked.ask(bob, "NICK moon");
        for line in ["NS GROUP alice sesame", "NS GROUP nobody sesame"] {
            let told = asked.ask(bob, line).concat();
            assert!(told.contains("GROUP takes no words") && told.contains("that is bob"), "{told}");
            assert!(!told.contains("sesame"), "{told}");
        }
        assert!(asked.server.network.nick_owner("moon").is_none());
        assert!(asked.ask(bob, "NS GROUP BOB sesame").concat().contains("moon is a nick of your account"));
        asked.ask(alice, "NICK sun");
        assert!(asked.ask(alice, "NS GROUP sun").concat().contains("sun is a nick of your account"));
        asked.server.settings = Arc::new(Settings { grouped_nicks: 0, ..(*asked.server.settings).clone() });
        asked.ask(alice, "NICK star");
        assert!(asked.ask(alice, "NS GROUP").concat().contains("Nicks cannot be grouped on this server"));
    }

    #[test]
    fn answers_are_true_whatever_the_server_is_set_to() {
        let mut asked = Asked::new();
        asked.server.settings = Arc::new(Settings { history: false, ..(*asked.server.settings).clone() });
        let (alice, boss) = (asked.user("alice"), asked.user("boss"));
        asked.account("alice", 1);
        asked.set_oper("boss");
        let many = "n ".repeat(17);
        for (conn, line, answer, lie) in [
            (alice, "NICK ChanServ", "that of a service", "log in to it"),
            (alice, "NS REGAIN NickServ", "that of a service", "log in to it"),
            (
                alice,
                "NS SET HISTORY ON",
                "HISTORY is on, but no history is kept on this server",
                "conversations are kept",
            ),
            (alice, "NS SET HISTORY-RETENTION 30d", "30d, but no history is kept on this server", "are kept"),
            (boss, "NS SASET alice HISTORY ON", "no history is kept on this server", "of alice are kept"),
            (alice, "NS RESETPASS alice 123456 new", "this server sends no mail", "SENDPASS"),
            (alice, &format!("NS STATUS {many}"), "ask again for the other 1", "nosuch"),
            (boss, "DEFCON 4", "DEFCON 4", "nosuch"),
        ] {
            let told = asked.ask(conn, line).concat();
            assert!(told.contains(answer) && !told.contains(lie), "{line}: {told}");
        }
        let guest = asked.user("guest");
        asked.ask(guest, "QUIT");
        let new = asked.open();
        asked.ask(new, "NICK HostServ");
        let told = asked.ask(new, "USER u 0 * :A Name").concat();
        assert!(told.contains(" 433 * HostServ :Nickname is that of a service"), "{told}");
        let guest = asked.user("guest");
        let told = asked.ask(guest, "NS REGISTER sesame").concat();
        assert!(told.contains("Accounts cannot be registered now; try again later"), "{told}");
    }

    #[test]
    fn every_command_explains_itself_and_asks_for_what_it_needs() {
        let mut asked = Asked::new();
        let (alice, boss) = (asked.user("alice"), asked.user("boss"));
        asked.set_oper("boss");
        for service in SERVICES {
            let name = service.name;
            for pair in service.rows.windows(2) {
                assert!(pair[0].names[0] < pair[1].names[0], "{} stands before {}", pair[0].names[0], pair[1].names[0]);
            }
            let listed = asked.ask(boss, &format!("PRIVMSG {name} :help")).concat();
            let to_alice = asked.ask(alice, &format!("PRIVMSG {name} :")).concat()
                + &asked.ask(alice, &format!("{name} HELP")).concat();
            for row in service.rows {
                let is_operators = matches!(row.who, Who::Operator(_));
                assert!(listed.contains(&full(row)), "{}", row.names[0]);
                assert_eq!(to_alice.contains(&format!(":{}: ", full(row))), !is_operators, "{}", row.names[0]);
                for verb in row.names {
                    let lines = asked.ask(alice, &format!("{name} HELP {verb}"));
                    assert!(lines[0].contains(&format!(":{}: ", full(row))), "{verb}: {lines:?}");
                    assert!(lines.iter().all(|line| line.len() < 500), "{verb}: {lines:?}");
                    let lines = asked.ask(alice, &format!("{name} {verb}"));
                    let refused = match row.who {
                        Who::Operator(_) => " 481 alice ",
                        Who::LoggedIn | Who::LoggedInOr(_) => ":Log in first",
                        Who::Anyone if row.min_params > 0 => ":That takes: ",
                        Who::Anyone => ":",
                    };
                    assert!(lines[0].contains(refused), "{verb}: {lines:?}");
                    if is_operators && row.min_params > 0 {
                        let lines = asked.ask(boss, &format!("{name} {verb}"));
                        assert!(lines[0].contains(":That takes: "), "{verb}: {lines:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_service_is_reached_by_its_nick_with_any_host_behind_it() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        for (target, answer) in [
            ("NickServ@services.example.org", "NickServ"),
            ("nickserv@irc.test", "NickServ"),
            ("CHANSERV@services", "ChanServ"),
            ("HostServ@", "HostServ"),
        ] {
            let told = asked.ask(alice, &format!("PRIVMSG {target} :HELP")).concat();
            assert!(told.contains(&format!("{answer} knows these commands")), "{target}: {told}");
            for kind in ["NOTICE", "PRIVMSG"] {
                asked.ask(alice, &format!("{kind} {target} :IDENTIFY alice sesame"));
                assert!(asked.kept().is_empty() && asked.heard(bob).is_empty(), "{kind} {target}");
                let calls = asked.calls().to_vec();
                for (call, _) in calls {
                    asked.handle(Event::Returned(call, Returned::Verified(false)));
                }
            }
        }
        assert!(asked.ask(alice, "PRIVMSG bob@services :hi").concat().contains(" 401 "));
    }

    #[test]
    fn services_are_on_for_monitor_as_for_ison() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        let online = [":irc.test 730 alice :NickServ!NickServ@services"];
        assert_eq!(asked.ask(alice, "MONITOR + nickserv"), online);
        assert_eq!(asked.ask(alice, "MONITOR S"), online);
        assert_eq!(asked.ask(alice, "ISON nickserv"), [":irc.test 303 alice :NickServ"]);
    }

    #[test]
    fn services_know_an_account_by_its_grouped_nicks_and_answer_with_its_name() {
        let mut asked = Asked::new();
        asked.server.settings = Arc::new(Settings { host_requests: true, ..(*asked.server.settings).clone() });
        let (boss, carol) = (asked.user("boss"), asked.user("carol"));
        asked.set_oper("boss");
        asked.account("boss", 1);
        asked.account("carol", 2);
        asked.ask(carol, "NICK caz");
        assert!(asked.ask(carol, "NS GROUP").concat().contains("is a nick of your account"));
        asked.ask(boss, "JOIN #r");
        assert!(asked.ask(boss, "CS REGISTER #r").concat().contains("#r"));
        for (line, answer) in [
            ("CS AMODE #r +o CAZ", "carol has +o in #r"),
            ("CS STATUS #r caz", "+o by account"),
            ("CS AMODE #r -o caz", "carol has no +o in #r any more"),
            ("CS SET #r SUCCESSOR caz", "carol"),
            ("CS TRANSFER #r caz", "will be carol's"),
            ("NS SAGET caz EMAIL", "EMAIL is OFF"),
            ("NS SASET caz EMAIL carol@example.org", "account carol is carol@example.org"),
            ("NS SADROP caz", "SADROP carol "),
            ("HS SET caz roses.example.org", "carol is shown as roses.example.org"),
            ("HS STATUS caz", "carol has the host roses.example.org"),
            ("NS SUSPEND ADD caz", "Account carol is suspended"),
            ("NS SUSPEND DEL caz", "Account carol may be used again"),
        ] {
            let told = asked.ask(boss, line).concat();
            assert!(told.contains(answer), "{line}: {told}");
        }
        asked.ask(boss, "NS SAPASSWD caz other");
        assert_eq!(asked.calls().len(), 1);
    }

    #[test]
    fn help_tells_of_a_single_setting_and_says_where_there_is_none() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        let of_channels = chanserv::set::SETTINGS.iter().map(|setting| ("CS", setting.name));
        let of_accounts = nickserv::set::SETTINGS.iter().map(|name| ("NS", *name));
        for (service, name) in of_channels.chain(of_accounts) {
            for verb in ["SET", "GET"] {
                let lines = asked.ask(alice, &format!("{service} HELP {verb} {}", name.to_lowercase()));
                assert!(lines.len() == 1 && lines[0].contains(name), "{service} {name}: {lines:?}");
                assert!(!lines[0].contains("is no setting"), "{service} {name}: {lines:?}");
            }
        }
        for service in ["CS", "NS"] {
            let lines = asked.ask(alice, &format!("{service} HELP SET NONSENSE"));
            assert!(lines.len() == 1 && lines[0].contains("\"NONSENSE\" is no setting; there are "), "{lines:?}");
        }
        assert!(asked.ask(alice, "NS HELP SASET EXPIRE")[0].contains("may lapse"));
    }

    #[test]
    fn the_name_of_a_service_alone_is_answered_with_its_help() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        for service in ["NS", "CS", "HS", "NICKSERV", "CHANSERV", "HISTSERV", "HOSTSERV"] {
            let lines = asked.ask(alice, service);
            assert!(lines[0].contains("knows these commands") && lines.len() > 2, "{service}: {lines:?}");
        }
    }

    #[test]
    fn what_other_services_call_otherwise_is_answered_with_what_does_it_here() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        for service in SERVICES {
            for name in service.elsewhere.iter().flat_map(|(names, _)| *names) {
                // A setting of a channel comes after the channel.
                let line = if service.name == "ChanServ" { name.replace(' ', " #garden ") } else { (*name).to_owned() };
                for line in [line, format!("HELP {name}")] {
                    let lines = asked.ask(alice, &format!("{} {line}", service.name));
                    assert!(lines.len() == 1 && lines[0].len() < 400, "{line}: {lines:?}");
                    assert!(!lines[0].contains("is no command") && !lines[0].contains("Log in first"), "{lines:?}");
                }
                assert!(super::find(service, name).is_none(), "{name} is here");
            }
        }
        assert!(asked.ask(alice, "NS FROB").concat().contains("is no command"));
    }

    #[test]
    fn a_service_does_not_take_ctcp_for_a_command() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        assert!(asked.ask(alice, "PRIVMSG NickServ :\u{1}VERSION\u{1}").is_empty());
    }

    #[test]
    fn what_services_say_is_of_whom_and_of_what_it_is_about() {
        let mut asked = Asked::new();
        let (alice, boss, _) = (asked.user("bob"), asked.user("boss"), asked.user("fred"));
        asked.account("bob", 1);
        asked.account("fred", 2);
        asked.set_oper("boss");
        asked.ask(alice, "NICK [a\\b");
        for (conn, line, answer) in [
            (alice, "NS INFO", "Account bob was registered"),
            (boss, "NS INFO [a\\b", "Account bob was registered"),
            (alice, "NS INFO a\\b", "no account \"a\\b\""),
            (alice, "NS SET EMAIL *", "Your account has no address now"),
            (boss, "NS SASET fred EMAIL *", "The account fred has no address now"),
            (boss, "NS SASET fred EMAIL f@example.org", "The address of the account fred is f@example.org now"),
            (boss, "NS SA2FA OFF fred", "Account fred has no second factor"),
            (alice, "NS NOTIFY HIDE * x", "ON, OFF or DEFAULT"),
            (alice, "HISTSERV EXPORT CANCEL", "You have not asked for it"),
            (alice, "NS PASSWD one two", "differ"),
            (boss, "NS SUSPEND ADD fred 0s x", "is no duration"),
            (boss, "NS SUSPEND ADD fred 5x spam", "is no duration"),
            (boss, "NS SUSPEND ADD fred 1h30 spam", "is no duration"),
        ] {
            let told = asked.ask(conn, line).concat();
            assert!(told.contains(answer), "{line}: {told}");
        }
        let told = asked.confirmed(boss, "HISTSERV FORGET fred").concat();
        assert!(told.contains(":HistServ!") && told.contains("All that fred said"), "{told}");
    }

    #[test]
    fn operators_without_an_account_may_type_what_help_and_notices_tell_them_to() {
        let mut asked = Asked::new();
        let (_, boss) = (asked.user("bobby"), asked.user("boss"));
        asked.account("bobby", 1);
        for line in ["HISTSERV EXPORT bobby", "HS STATUS bobby", "NS UNREGISTER bobby"] {
            assert!(asked.ask(boss, line).concat().contains("Log in first"), "{line}");
        }
        asked.set_oper("boss");
        for (line, answer) in [
            ("HISTSERV EXPORT bobby", "What is kept of bobby is being written"),
            ("HISTSERV EXPORT", "name an account: EXPORT <account>"),
            ("HS STATUS bobby", "bobby has no host"),
            ("HS STATUS", "name an account: STATUS <account>"),
            ("NS UNREGISTER bobby", "NickServ UNREGISTER bobby "),
        ] {
            let told = asked.ask(boss, line).concat();
            assert!(told.contains(answer), "{line}: {told}");
        }
    }

    #[test]
    fn what_operators_may_ask_of_services_is_documented() {
        let text = include_str!("../../../../conf/OPERATORS.md");
        for service in SERVICES {
            for row in service.rows {
                if let Who::Operator(right) = row.who {
                    let usage = format!("{} {}", service.name, full(row)).replace('|', "\\|");
                    let row = format!("| `{usage}` | `{}` | {} |", right.name(), row.help[0]);
                    assert!(text.contains(&row), "conf/OPERATORS.md has no row {row}");
                }
            }
        }
    }
}
