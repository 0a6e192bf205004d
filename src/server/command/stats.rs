//! STATS, LINKS, MAP, TRACE, USERS and SUMMON (RFC 2812, 3.4 and 4): what the server tells of itself and of who
//! runs it. One server is a small network, and its answers say so.

use ircv3::message::cut;
use ircv3::numeric::Numeric;
use ircv3::{Message, mask};

use crate::server::ban::{Ban, Target};
use crate::server::command::bulk::trailing_room;
use crate::server::command::info::is_elsewhere;
use crate::server::command::uban::BanList;
use crate::server::command::who::{ECHO_BYTES, idle_seconds};
use crate::server::command::{COMMANDS, oper, printable};
use crate::server::network::UserId;
use crate::server::notice::About;
use crate::server::registration::VERSION;
use crate::server::right::Right;
use crate::server::{Ctx, Server};

/// A letter of STATS.
struct Letter {
    letter: char,
    for_everyone: bool,
    help: &'static str,
    answer: Told,
}

enum Told {
    /// At once.
    By(fn(&mut Server, &mut Ctx)),
    /// One line for each ban that is shown, a page at a time.
    Bans(fn(&Ban) -> bool, fn(&Server, &mut Ctx, &Ban)),
}

/// What there is to ask for.
const LETTERS: &[Letter] = &[
    Letter { letter: '?', for_everyone: true, help: "these letters", answer: Told::By(letters) },
    Letter {
        letter: 'd',
        for_everyone: false,
        help: "bans of addresses and networks",
        answer: Told::Bans(is_address, address),
    },
    Letter { letter: 'i', for_everyone: false, help: "the limits of connections", answer: Told::By(limits) },
    Letter {
        letter: 'k',
        for_everyone: false,
        help: "bans of nick!user@host and accounts",
        answer: Told::Bans(is_mask, mask),
    },
    Letter { letter: 'm', for_everyone: false, help: "how often each command was used", answer: Told::By(commands) },
    Letter { letter: 'o', for_everyone: false, help: "the operators that are configured", answer: Told::By(opers) },
    Letter { letter: 'p', for_everyone: true, help: "the operators that are on", answer: Told::By(opers_on) },
    Letter { letter: 't', for_everyone: false, help: "connections, channels and accounts", answer: Told::By(counts) },
    Letter { letter: 'u', for_everyone: true, help: "how long the server has been up", answer: Told::By(uptime) },
    Letter { letter: 'w', for_everyone: false, help: "what became of web push", answer: Told::By(pushes) },
    Letter { letter: 'x', for_everyone: false, help: "bans of real names", answer: Told::Bans(is_realname, realname) },
];

/// `STATS [letter [server]]`
pub fn stats(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if is_elsewhere(server, ctx, line.param(1)) {
        return;
    }
    let asked = line.param(0).and_then(|word| word.chars().next()).unwrap_or('?');
    let row = LETTERS.iter().find(|row| row.letter == asked.to_ascii_lowercase());
    if let Some(row) = row {
        if !row.for_everyone && !oper::may(server, ctx, Right::Stats) {
            return;
        }
        let who = server.network.users[ctx.me()].source.clone();
        server.notify(About::Stats, |_| format!("{who} asked for STATS {asked}"));
        match row.answer {
            Told::By(answer) => answer(server, ctx),
            Told::Bans(shown, line) => {
                let end = |ctx: &mut Ctx, _, asked| end(ctx, asked);
                BanList::start(server, ctx, BanList { shown, line, end, letter: asked, after: 0, count: 0 });
                return;
            }
        }
    }
    end(ctx, asked);
}

fn end(ctx: &mut Ctx, asked: char) {
    let asked = asked.to_string();
    ctx.reply.numeric(Numeric::RPL_ENDOFSTATS, &[printable(&asked)], Some("End of /STATS report"));
}

fn debug(ctx: &mut Ctx, text: &str) {
    ctx.reply.numeric(Numeric::RPL_STATSDEBUG, &[], Some(text));
}

fn letters(_: &mut Server, ctx: &mut Ctx) {
    for row in LETTERS {
        let whose = if row.for_everyone { "" } else { " (operators)" };
        debug(ctx, &format!("{} - {}{whose}", row.letter, row.help));
    }
}

fn uptime(server: &mut Server, ctx: &mut Ctx) {
    let seconds = server.clock().saturating_sub(server.started()) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let text = format!("Server Up {days} days {hours}:{minutes:02}:{:02}", seconds % 60);
    ctx.reply.numeric(Numeric::RPL_STATSUPTIME, &[], Some(&text));
    let most = server.network.most_users;
    let text = format!("Highest connection count: {most} ({most} clients)");
    ctx.reply.numeric(Numeric::RPL_STATSCONN, &[], Some(&text));
}

fn commands(server: &mut Server, ctx: &mut Ctx) {
    for (command, count) in COMMANDS.iter().zip(&server.usage).filter(|(_, count)| **count > 0) {
        ctx.reply.numeric(Numeric::RPL_STATSCOMMANDS, &[command.name, &count.to_string()], None);
    }
}

fn opers(server: &mut Server, ctx: &mut Ctx) {
    for oper in server.settings.clone().opers.iter() {
        let class = if oper.class.is_empty() { "(all)" } else { &oper.class };
        ctx.reply.numeric(Numeric::RPL_STATSOLINE, &["O", "*@*", "*", &oper.name, "0", class], None);
    }
}

fn opers_on(server: &mut Server, ctx: &mut Ctx) {
    let mut count = 0;
    for (_, user) in server.network.users.iter().filter(|(_, user)| user.is_oper()) {
        count += 1;
        let idle = idle_seconds(server, user);
        debug(ctx, &format!("{} ({}@{}) Idle: {idle}", user.nick, user.user, user.host));
    }
    debug(ctx, &format!("{count} OPER(s)"));
}

fn is_address(ban: &Ban) -> bool {
    matches!(ban.target, Target::Address(_))
}

fn address(_: &Server, ctx: &mut Ctx, ban: &Ban) {
    let network = ban.target.to_string();
    ctx.reply.numeric(Numeric::RPL_STATSDLINE, &["D", middle(&network)], Some(&ban.row.reason));
}

fn is_mask(ban: &Ban) -> bool {
    matches!(ban.target, Target::Mask(_) | Target::Account(_))
}

fn mask(_: &Server, ctx: &mut Ctx, ban: &Ban) {
    let text = ban.target.to_string();
    let (user, host) = match &ban.target {
        Target::Mask(mask) => mask.split_once('@').unwrap_or((mask, "*")),
        _ => ("*", &*text),
    };
    ctx.reply.numeric(Numeric::RPL_STATSKLINE, &["K", middle(host), "*", middle(user)], Some(&ban.row.reason));
}

fn is_realname(ban: &Ban) -> bool {
    matches!(ban.target, Target::Realname(_))
}

fn realname(_: &Server, ctx: &mut Ctx, ban: &Ban) {
    if let Target::Realname(mask) = &ban.target {
        ctx.reply.numeric(Numeric::RPL_STATSXLINE, &["X", middle(mask)], Some(&ban.row.reason));
    }
}

/// A word that cannot be taken for the last parameter.
fn middle(word: &str) -> &str {
    if word.starts_with(':') { word.trim_start_matches(':') } else { word }
}

fn limits(server: &mut Server, ctx: &mut Ctx) {
    let settings = server.settings.clone();
    let Some(throttle) = &settings.throttle else { return };
    let line = |ctx: &mut Ctx, whose: &str, connections: u32| {
        let class = format!("{connections}-connections");
        ctx.reply.numeric(Numeric::RPL_STATSILINE, &["I", middle(whose), "*", middle(whose), "0", &class], None);
    };
    for network in &throttle.networks {
        let addresses = network.addresses.iter().map(ToString::to_string);
        for whose in addresses.chain(network.hosts.iter().map(|host| host.to_string())) {
            line(ctx, &whose, network.limits.connections);
        }
    }
    line(ctx, "*", throttle.limits.connections);
}

fn counts(server: &mut Server, ctx: &mut Ctx) {
    let (connections, unregistered) = server.session_counts();
    let network = &server.network;
    let (users, channels) = (network.users.len(), network.channels.len());
    debug(ctx, &format!("connections {connections}, of them not registered {unregistered}; users {users}"));
    debug(ctx, &format!("channels {channels}; bans {}", network.bans.iter().len()));
}

fn pushes(server: &mut Server, ctx: &mut Ctx) {
    let devices = server.network.all_subscriptions().count();
    let (waiting, queued, underway) = server.pushes.sizes();
    let counts = server.pushes.counts;
    debug(ctx, &format!("devices {devices}; pushes waiting {waiting}, queued {queued}, under way {underway}"));
    debug(
        ctx,
        &format!(
            "pushes delivered {}, cancelled {}, failed {}, dropped {}",
            counts.delivered, counts.cancelled, counts.failed, counts.dropped
        ),
    );
}

/// `LINKS [[server] mask]`
pub fn links(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (target, asked) = match (line.param(0), line.param(1)) {
        (Some(target), Some(asked)) => (Some(target), asked),
        (asked, _) => (None, asked.unwrap_or("*")),
    };
    if is_elsewhere(server, ctx, target) {
        return;
    }
    let settings = server.settings.clone();
    let name = &*settings.server_name;
    let fits = |name: &str| mask::matches(asked, name, server.network.casemapping);
    if fits(name) {
        let text = format!("0 {}", settings.description);
        let text = cut(&text, trailing_room(server, &ctx.reply, &[name, name]));
        ctx.reply.numeric(Numeric::RPL_LINKS, &[name, name], Some(text));
    }
    if let Some(services) = settings.services_name.as_deref().filter(|services| fits(services)) {
        ctx.reply.numeric(Numeric::RPL_LINKS, &[services, name], Some("1 Services"));
    }
    let asked = cut(printable(asked), ECHO_BYTES);
    ctx.reply.numeric(Numeric::RPL_ENDOFLINKS, &[asked], Some("End of /LINKS list"));
}

/// `MAP`
pub fn map(server: &mut Server, ctx: &mut Ctx, _line: &Message) {
    let settings = server.settings.clone();
    let users = server.network.users.len();
    ctx.reply.numeric(Numeric::RPL_MAP, &[], Some(&format!("{} [{users} users]", settings.server_name)));
    if let Some(services) = &settings.services_name {
        ctx.reply.numeric(Numeric::RPL_MAP, &[], Some(&format!("`- {services}")));
    }
    ctx.reply.numeric(Numeric::RPL_MAPEND, &[], Some("End of /MAP"));
}

/// `TRACE [nick|server]`: to an operator the operators that are on, or the one who was named; to others
/// themselves.
pub fn trace(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let me = ctx.me();
    let all = oper::has(server, ctx, Right::Stats);
    let named = line.param(0).and_then(|nick| server.network.user_by_nick(nick));
    if named.is_none() && is_elsewhere(server, ctx, line.param(0)) {
        return;
    }
    let shown: Vec<UserId> = match named {
        Some(user) if all || user == me => vec![user],
        Some(_) => Vec::new(),
        None if all => server.network.users.iter().filter(|(_, user)| user.is_oper()).map(|(id, _)| id).collect(),
        None => vec![me],
    };
    for user in shown.iter().map(|id| &server.network.users[*id]) {
        let (numeric, what) =
            if user.is_oper() { (Numeric::RPL_TRACEOPERATOR, "Oper") } else { (Numeric::RPL_TRACEUSER, "User") };
        let class = user.oper.as_ref().map_or("", |oper| &oper.class);
        ctx.reply.numeric(numeric, &[what, if class.is_empty() { "users" } else { class }, &user.nick], None);
    }
    let name = server.settings.server_name.clone();
    ctx.reply.numeric(Numeric::RPL_TRACEEND, &[&name, VERSION], Some("End of TRACE"));
}

/// `USERS`: who is logged in to the machine is nobody's business.
pub fn users(_server: &mut Server, ctx: &mut Ctx, _line: &Message) {
    ctx.reply.numeric(Numeric::ERR_USERSDISABLED, &[], Some("USERS has been disabled"));
}

/// `CONNECT`: there are no servers to link to, so none of that name.
pub fn connect(_server: &mut Server, ctx: &mut Ctx, line: &Message) {
    no_link(ctx, line, "No such server: this one has no others to link to");
}

/// `SQUIT`: there are no links to end.
pub fn squit(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let name = line.param(0).unwrap_or_default();
    let own = name.eq_ignore_ascii_case(&server.settings.server_name);
    no_link(ctx, line, if own { "This is that server, and DIE stops it" } else { "No such server is linked" });
}

fn no_link(ctx: &mut Ctx, line: &Message, text: &str) {
    let name = cut(printable(line.param(0).unwrap_or_default()), ECHO_BYTES);
    ctx.reply.numeric(Numeric::ERR_NOSUCHSERVER, &[name], Some(text));
}

/// `SUMMON`: nobody is called to IRC from the machine.
pub fn summon(_server: &mut Server, ctx: &mut Ctx, _line: &Message) {
    ctx.reply.numeric(Numeric::ERR_SUMMONDISABLED, &[], Some("SUMMON has been disabled"));
}

#[cfg(test)]
mod tests {
    use super::{LETTERS, is_mask};
    use crate::limits;
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn operators_are_told_that_there_are_no_links() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.set_oper("alice");
        for (line, answer) in [
            (
                "CONNECT hub.test 6667",
                ":irc.test 402 alice hub.test :No such server: this one has no others to link to",
            ),
            ("SQUIT hub.test :bye", ":irc.test 402 alice hub.test :No such server is linked"),
            ("SQUIT IRC.test", ":irc.test 402 alice IRC.test :This is that server, and DIE stops it"),
        ] {
            assert_eq!(asked.ask(alice, line), [answer]);
            assert!(asked.ask(bob, line)[0].starts_with(":irc.test 481 bob "), "{line}");
        }
    }

    #[test]
    fn a_long_list_of_bans_waits_for_its_reader() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.set_oper("alice");
        let reason = "r".repeat(100);
        for number in 0..3000 {
            asked.ask(alice, &format!("KLINE bad{number}!*@* :{reason}"));
        }
        assert!(asked.server.network.bans.iter().all(is_mask));
        for (line, count) in [("UBAN LIST", 3001), ("KLINE LIST", 3001), ("STATS K", 3001), ("DLINE LIST", 1)] {
            let pages = asked.pages(alice, line);
            for page in &pages {
                let bytes: usize = page.iter().map(|line| line.len() + 2).sum();
                assert!(bytes <= limits::BULK_BYTES, "{line}: {bytes} bytes at once");
            }
            assert!(count == 1 || pages.len() > 1, "{line}");
            let lines = pages.concat();
            assert_eq!(lines.len(), count, "{line}");
            assert_eq!(lines.iter().filter(|line| line.contains("bad2999!")).count(), usize::from(count > 1), "{line}");
        }
    }

    #[test]
    fn every_letter_is_answered_to_the_end_and_some_are_for_operators() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.set_oper("alice");
        asked.ask(alice, "DLINE 192.0.2.0/24 :one");
        asked.ask(alice, "KLINE bad!*@* :two");
        asked.ask(alice, "UBAN ADD account:eve :three");
        asked.ask(alice, "UBAN ADD realname:spam* :four");
        for row in LETTERS {
            let lines = asked.ask(alice, &format!("STATS {}", row.letter));
            let end = format!(":irc.test 219 alice {} :End of /STATS report", row.letter);
            assert_eq!(lines.last(), Some(&end));
            let lines = asked.ask(bob, &format!("STATS {}", row.letter));
            assert_eq!(lines[0].contains(" 481 bob "), !row.for_everyone, "{lines:?}");
        }
        asked.now.unix_ms += 93_784_000;
        assert_eq!(asked.ask(bob, "STATS u")[0], ":irc.test 242 bob :Server Up 1 days 2:03:04");
        assert_eq!(asked.ask(bob, "STATS p")[1], ":irc.test 249 bob :1 OPER(s)");
        assert_eq!(asked.ask(alice, "STATS D")[0], ":irc.test 225 alice D 192.0.2.0/24 :one");
        assert_eq!(
            asked.ask(alice, "STATS k")[..2],
            [":irc.test 216 alice K * * bad!* :two", ":irc.test 216 alice K account:eve * * :three"]
        );
        assert_eq!(asked.ask(alice, "STATS x")[0], ":irc.test 247 alice X spam* :four");
        assert!(asked.ask(alice, "STATS m").contains(&":irc.test 212 alice UBAN 2".to_owned()));
        assert_eq!(asked.ask(bob, "STATS z").len(), 1);
        assert!(asked.ask(bob, "STATS u elsewhere.test")[0].contains(" 402 "));
    }

    #[test]
    fn one_server_is_a_small_network() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        let lines = asked.ask(alice, "LINKS");
        assert_eq!(lines[0], ":irc.test 364 alice irc.test irc.test :0 An IRC server you can come back to");
        assert_eq!(lines[1], ":irc.test 365 alice * :End of /LINKS list");
        assert_eq!(asked.ask(alice, "LINKS *.nowhere"), [":irc.test 365 alice *.nowhere :End of /LINKS list"]);
        assert_eq!(
            asked.ask(alice, "MAP"),
            [":irc.test 006 alice :irc.test [1 users]", ":irc.test 007 alice :End of /MAP"]
        );
        assert_eq!(asked.ask(alice, "USERS"), [":irc.test 446 alice :USERS has been disabled"]);
        assert_eq!(asked.ask(alice, "SUMMON bob"), [":irc.test 445 alice :SUMMON has been disabled"]);
    }

    #[test]
    fn trace_shows_oneself_and_to_operators_the_operators() {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.set_oper("alice");
        assert_eq!(asked.ask(bob, "TRACE")[0], ":irc.test 205 bob User users bob");
        assert_eq!(asked.ask(bob, "TRACE alice").len(), 1);
        assert_eq!(asked.ask(alice, "TRACE")[0], ":irc.test 204 alice Oper users alice");
        assert_eq!(asked.ask(alice, "TRACE bob")[0], ":irc.test 205 alice User users bob");
    }
}
