//! UBAN, KLINE, UNKLINE, DLINE and UNDLINE: bans of the server. UBAN is for every kind of target; the others
//! are what operators know from elsewhere.

use ircv3::mask;
use ircv3::message::cut;
use ircv3::numeric::Numeric;
use ircv3::{Cidr, Message};

use crate::limits;
use crate::server::ban::{Ban, Subject, Target, duration, spoken};
use crate::server::change::Change;
use crate::server::command::bulk::{self, Answer};
use crate::server::command::info::readable;
use crate::server::command::need_more_params;
use crate::server::event::ConnId;
use crate::server::network::UserId;
use crate::server::notice::About;
use crate::server::record::{BanRow, Record, Seq};
use crate::server::{Ctx, Server};

/// A ban as it was asked for.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Whom it is for.
    pub target: Target,
    /// Seconds that it is to hold; `None` until it is taken away.
    pub duration: Option<u64>,
    /// Why, for whom it meets.
    pub reason: &'a str,
    /// Why, for operators alone.
    pub oper_reason: &'a str,
    /// Whether the operator knows that it fits themselves.
    pub myself: bool,
    /// Whether it lets those pass who log in.
    pub unless_logged_in: bool,
}

/// `UBAN ADD target [duration] [REQUIRE-SASL] [MYSELF] [reason [| reason for operators]]`, `UBAN DEL target`,
/// `UBAN INFO target`, `UBAN LIST`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let words: Vec<&str> = line.params().skip(1).collect();
    match line.param(0).unwrap_or("").to_ascii_uppercase().as_str() {
        "LIST" => list(server, ctx, |_| true),
        "ADD" | "DEL" | "INFO" if words.is_empty() => need_more_params(ctx, "UBAN"),
        "ADD" => {
            let Some(target) = target(server, ctx, words[0]) else { return };
            add(server, ctx, target, &words[1..]);
        }
        "DEL" => {
            let Some(target) = target(server, ctx, words[0]) else { return };
            server.submit(ctx, Change::Unban { target: &target });
        }
        "INFO" => {
            let Some(target) = target(server, ctx, words[0]) else { return };
            info(server, ctx, &target);
        }
        other => {
            let text = format!("UBAN {:?} is unknown; give ADD, DEL, INFO or LIST", cut(other, 32));
            ctx.reply.notice(&text);
        }
    }
}

/// `KLINE [duration] mask [reason [| reason for operators]]`; a number alone is minutes. `KLINE LIST`
pub fn kline(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let is_own = |ban: &Ban| matches!(ban.target, Target::Mask(_));
    old_form(server, ctx, line, is_own, |given| Ok(mask::normalize(given)));
}

/// `DLINE [duration] address|network [reason [| reason for operators]]`, as KLINE. `DLINE LIST`
pub fn dline(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let is_own = |ban: &Ban| matches!(ban.target, Target::Address(_));
    old_form(server, ctx, line, is_own, address);
}

/// `UNKLINE mask`
pub fn unkline(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let mask = mask::normalize(line.param(0).unwrap_or(""));
    let Some(target) = target(server, ctx, &mask) else { return };
    server.submit(ctx, Change::Unban { target: &target });
}

/// `UNDLINE address|network`
pub fn undline(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    match address(line.param(0).unwrap_or("")) {
        Ok(address) => {
            let Some(target) = target(server, ctx, &address) else { return };
            server.submit(ctx, Change::Unban { target: &target });
        }
        Err(problem) => ctx.reply.notice(&problem),
    }
}

fn address(given: &str) -> Result<String, String> {
    given.parse::<Cidr>().map(|cidr| cidr.to_string()).map_err(|problem| format!("{:?} {problem}", cut(given, 64)))
}

fn old_form(
    server: &mut Server,
    ctx: &mut Ctx,
    line: &Message,
    is_own: fn(&Ban) -> bool,
    read: impl Fn(&str) -> Result<String, String>,
) {
    let mut words: Vec<&str> = line.params().collect();
    if words[0].eq_ignore_ascii_case("LIST") && words.len() == 1 {
        list(server, ctx, is_own);
        return;
    }
    // Whom it is for stands behind these words, and a duration before it in the old way.
    let mut before = Vec::new();
    let mut minutes = None;
    while words.len() > 1 {
        let word = words[0];
        if word.eq_ignore_ascii_case("MYSELF") || duration(word).is_some() {
            before.push(word);
        } else if let Some(number) = word.parse::<u64>().ok().and_then(|number| number.checked_mul(60)) {
            minutes = Some(format!("{number}s"));
        } else if !word.eq_ignore_ascii_case("ANDKILL") {
            break;
        }
        words.remove(0);
    }
    let target = match read(words[0]) {
        Ok(text) => target(server, ctx, &text),
        Err(problem) => {
            ctx.reply.notice(&problem);
            None
        }
    };
    let Some(target) = target else { return };
    before.extend(minutes.as_deref().filter(|text| duration(text).is_some()));
    before.extend(&words[1..]);
    add(server, ctx, target, &before);
}

/// The target that was meant; what is wrong is answered.
fn target(server: &Server, ctx: &mut Ctx, given: &str) -> Option<Target> {
    match Target::parse(given, server.network.casemapping) {
        Ok(target) => Some(target),
        Err(problem) => {
            ctx.reply.notice(&format!("No ban was changed: {problem}"));
            None
        }
    }
}

fn add(server: &mut Server, ctx: &mut Ctx, target: Target, mut words: &[&str]) {
    let (mut lasts, mut myself, mut unless_logged_in) = (None, false, false);
    while let Some((word, rest)) = words.split_first() {
        if word.eq_ignore_ascii_case("MYSELF") {
            myself = true;
        } else if word.eq_ignore_ascii_case("REQUIRE-SASL") {
            unless_logged_in = true;
        } else if word.eq_ignore_ascii_case("DURATION") && rest.first().is_some_and(|word| duration(word).is_some()) {
            // The duration is the next word.
        } else if let Some(seconds) = duration(word).filter(|_| lasts.is_none()) {
            lasts = Some(seconds);
        } else {
            break;
        }
        words = rest;
    }
    let text = words.join(" ");
    let (reason, oper_reason) = text.split_once('|').unwrap_or((&text, ""));
    let reason = match cut(reason.trim(), REASON_BYTES) {
        "" => "No reason given",
        reason => reason,
    };
    let oper_reason = cut(oper_reason.trim(), REASON_BYTES);
    let asked = Asked { target, duration: lasts, reason, oper_reason, myself, unless_logged_in };
    server.submit(ctx, Change::Ban(&asked));
}

/// The longest reason.
const REASON_BYTES: usize = 150;

/// Makes a ban, and ends the connections that it fits; operators stay.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, asked: &Asked<'_>) {
    let now = server.clock() / 1000;
    let casemapping = server.network.casemapping;
    let setter = server.network.users[ctx.me()].source.clone();
    let row = BanRow {
        target: asked.target.to_string().into(),
        reason: asked.reason.into(),
        oper_reason: asked.oper_reason.into(),
        setter: (*setter).into(),
        set_at: now,
        expires: asked.duration.map(|seconds| now + seconds),
        unless_logged_in: asked.unless_logged_in,
    };
    let ban = Ban { target: asked.target.clone(), row: row.clone() };
    if !asked.myself && ban.fits(&server.subject(ctx.conn), casemapping, now) {
        let text =
            format!("{} fits yourself, so nothing was done; say MYSELF before the reason if you mean it", row.target);
        ctx.reply.notice(&text);
        return;
    }
    let known = server.network.bans.get(&ban.target).is_some();
    if !known && server.network.bans.is_full() {
        ctx.reply.notice(&format!("There are {} bans, which is as many as there may be", limits::BANS));
        return;
    }
    server.network.bans.put(ban.clone());
    server.keep(seq, Record::Ban(Box::new(row.clone())));
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    let mut met = 0;
    for conn in server.connections() {
        if server.meets(conn, &ban, now) {
            server.close_banned(conn, &ban);
            met += 1;
        }
    }
    let lasts =
        asked.duration.map_or("until it is taken away".to_owned(), |seconds| format!("for {}", spoken(seconds)));
    let verb = if known { "changed" } else { "added" };
    let text = format!("Ban {verb} for {} {lasts}; {met} connections were closed: {}", row.target, row.reason);
    ctx.reply.notice(&text);
    server.notify(About::Bans, |_| format!("{setter} {verb} a ban for {} {lasts}: {}", row.target, row.reason));
}

/// Takes a ban away, because the sender asks for it or because it is over.
pub fn apply_gone(server: &mut Server, ctx: &mut Ctx, seq: Seq, target: &Target) {
    let Some(ban) = server.network.bans.remove(target) else {
        ctx.reply.notice(&format!("There is no ban for {target}; UBAN LIST shows all"));
        return;
    };
    server.keep(seq, Record::BanGone(ban.row.target.clone()));
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    match ctx.user {
        Some(user) => {
            ctx.reply.notice(&format!("Ban removed for {target}"));
            let by = server.network.users[user].source.clone();
            server.notify(About::Bans, |_| format!("{by} removed the ban for {target}"));
        }
        None => server.notify(About::Bans, |_| format!("the ban for {target} has expired")),
    }
}

fn list(server: &mut Server, ctx: &mut Ctx, shown: fn(&Ban) -> bool) {
    let line = |server: &Server, ctx: &mut Ctx, ban: &Ban| ctx.reply.notice(&described(server, ban));
    let end = |ctx: &mut Ctx, count: usize, _| ctx.reply.notice(&format!("End of the list of bans: {count}"));
    BanList::start(server, ctx, BanList { shown, line, end, letter: ' ', after: 0, count: 0 });
}

/// A list of bans, as an operator asked for it, and where it stands.
#[derive(Debug)]
pub struct BanList {
    /// Which are in it.
    pub shown: fn(&Ban) -> bool,
    /// Says one of them.
    pub line: fn(&Server, &mut Ctx, &Ban),
    /// Says that there are no more, and how many there were.
    pub end: fn(&mut Ctx, usize, char),
    /// What `end` is told: the letter that was asked for.
    pub letter: char,
    /// The number of the last that was looked at.
    pub after: u64,
    /// How many were said.
    pub count: usize,
}

impl BanList {
    /// Begins the list.
    pub fn start(server: &mut Server, ctx: &mut Ctx, list: BanList) {
        bulk::start(server, ctx, Answer::Bans(list));
    }

    /// Appends the next page; whether it is the last.
    pub fn page(&mut self, server: &Server, ctx: &mut Ctx) -> bool {
        for (number, ban) in server.network.bans.after(self.after) {
            if bulk::is_full(&ctx.reply) {
                return false;
            }
            self.after = number;
            if (self.shown)(ban) {
                (self.line)(server, ctx, ban);
                self.count += 1;
            }
        }
        (self.end)(ctx, self.count, self.letter);
        true
    }
}

fn described(server: &Server, ban: &Ban) -> String {
    let row = &ban.row;
    let now = server.clock() / 1000;
    let left = row.expires.map_or("for good".to_owned(), |at| format!("for {} more", spoken(at.saturating_sub(now))));
    let login = if row.unless_logged_in { ", unless logged in" } else { "" };
    let oper = if row.oper_reason.is_empty() { String::new() } else { format!(" | {}", row.oper_reason) };
    format!("{} ({left}{login}; {}): {}{oper}", row.target, readable(row.set_at * 1000), row.reason)
}

fn info(server: &mut Server, ctx: &mut Ctx, target: &Target) {
    let now = server.clock() / 1000;
    match server.network.bans.get(target).cloned() {
        Some(ban) => {
            ctx.reply.notice(&described(server, &ban));
            ctx.reply.notice(&format!("It was set by {}", ban.row.setter));
        }
        None => ctx.reply.notice(&format!("There is no ban for {target}")),
    }
    if let Target::Address(network) = target
        && let Ok(address) = network.to_string().parse()
        && let Some(ban) = server.network.bans.judge_address(address, now).filter(|ban| ban.target != *target)
    {
        ctx.reply.notice(&format!("{address} is in a ban: {}", described(server, ban)));
    }
    let row = BanRow { target: target.to_string().into(), ..BanRow::default() };
    let trial = Ban { target: target.clone(), row };
    let mut names: Vec<String> = Vec::new();
    let casemapping = server.network.casemapping;
    for conn in server.connections() {
        if trial.fits(&server.subject(conn), casemapping, now) {
            let user = server.session(conn).and_then(|session| session.user);
            let name = user.map_or("(not registered)", |user| &server.network.users[user].nick).to_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let shown = names.iter().take(20).cloned().collect::<Vec<_>>().join(" ");
    ctx.reply.notice(&format!("It fits {} who are on now: {shown}", names.len()));
}

impl Server {
    /// What bans go by of a connection.
    pub fn subject(&self, conn: ConnId) -> Subject {
        let Some(session) = self.session(conn) else { return Subject::default() };
        let peer = &session.peer;
        // Behind a host that stands for everyone, the address is that of the way.
        let address = peer.host.is_none().then_some(peer.ip);
        let mut subject = Subject { address, ..Subject::default() };
        let account = session.account_name.as_ref();
        subject.account = account.map(|name| self.network.fold(name).as_str().into());
        // The address, and what it is shown by, or would be.
        let mut hosts = vec![peer.host()];
        hosts.extend(self.cloak(conn));
        let (nick, user, realname) = match session.user {
            Some(id) => {
                let there = &self.network.users[id];
                hosts.extend(there.shown_hosts().cloned());
                (there.nick.to_string(), there.user.to_string(), there.realname.clone())
            }
            None => {
                let registration = session.registration.as_ref();
                let Some((nick, (user, realname))) =
                    registration.and_then(|given| given.nick.clone().zip(given.user.clone()))
                else {
                    return subject;
                };
                // A host of HostServ, whether that is on or off.
                let given = session.account.map(|account| self.network.account_settings(account));
                hosts.extend(given.and_then(|settings| settings.vhost.as_deref()).map(Into::into));
                (nick.into(), format!("~{}", ircv3::name::sanitize_user(&user, limits::USER_LEN - 1)), realname)
            }
        };
        hosts.dedup();
        subject.sources = hosts.iter().map(|host| format!("{nick}!{user}@{host}")).collect();
        subject.realname = Some(realname);
        subject
    }

    /// Whether a ban ends a connection that is on: not an operator's.
    fn meets(&self, conn: ConnId, ban: &Ban, now: u64) -> bool {
        let Some(session) = self.session(conn) else { return false };
        if session.user.is_some_and(|user| self.network.users[user].is_oper()) {
            return false;
        }
        // Before it has registered it may still log in.
        if session.user.is_none() && ban.waits_for_login() {
            return false;
        }
        ban.fits(&self.subject(conn), self.network.casemapping, now)
    }

    /// Closes a connection with 465 and ERROR.
    pub fn close_banned(&mut self, conn: ConnId, ban: &Ban) {
        let row = &ban.row;
        let until = row.expires.map(|at| format!(" (until {})", readable(at * 1000))).unwrap_or_default();
        let login = if row.unless_logged_in { "; log in with SASL to be let in" } else { "" };
        let text = format!("You are banned from this server{until}: {}{login}", row.reason);
        let mut ctx = self.ctx(conn, None);
        ctx.reply.numeric(Numeric::ERR_YOUREBANNEDCREEP, &[], Some(&text));
        self.finish(ctx);
        let target = row.target.clone();
        let who = self.subject(conn);
        self.notify(About::Bans, |_| {
            let name = who.sources.first().cloned().or(who.address.map(|address| address.to_string()));
            format!("{} met the ban for {target}", name.unwrap_or_default())
        });
        let reason = format!("Banned: {}", row.reason);
        self.close(conn, &reason);
    }

    /// Closes a new connection whose address is banned.
    pub fn judge_address(&mut self, conn: ConnId) {
        let session = self.session(conn).filter(|session| !session.closing && session.peer.host.is_none());
        let Some(address) = session.map(|session| session.peer.ip) else { return };
        if let Some(ban) = self.network.bans.judge_address(address, self.clock() / 1000).cloned() {
            self.close_banned(conn, &ban);
        }
    }

    /// Closes a connection that is to become a user's and that a ban fits; whether one did.
    pub fn judge_registration(&mut self, conn: ConnId) -> bool {
        let (casemapping, now) = (self.network.casemapping, self.clock() / 1000);
        let Some(ban) = self.network.bans.judge(&self.subject(conn), casemapping, now).cloned() else { return false };
        self.close_banned(conn, &ban);
        true
    }

    /// Closes those connections of a user that a ban fits, after something of the user has changed.
    pub fn judge_user(&mut self, user: UserId) {
        // It may be gone since.
        let Some(there) = self.network.users.get(user) else { return };
        if self.network.bans.iter().len() == 0 || there.is_oper() {
            return;
        }
        let (casemapping, now) = (self.network.casemapping, self.clock() / 1000);
        for conn in self.network.users[user].sessions.clone() {
            if let Some(ban) = self.network.bans.judge(&self.subject(conn), casemapping, now).cloned() {
                self.close_banned(conn, &ban);
            }
        }
    }

    /// Takes bans away that are over.
    pub fn expire_bans(&mut self) {
        for target in self.network.bans.expired(self.clock() / 1000) {
            self.submit_alone(Change::Unban { target: &target });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::IpAddr;
    use std::sync::Arc;

    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{ConnId, Event, Peer};
    use crate::server::record::Record;

    fn operator() -> (Asked, ConnId) {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.set_oper("alice");
        (asked, alice)
    }

    /// Opens a connection from this address, and gives what it was closed with.
    fn refused(asked: &mut Asked, slot: u32, ip: &str, host: Option<&str>) -> Option<String> {
        let conn = ConnId { worker: 0, slot: 100 + slot };
        let ip: IpAddr = ip.parse().unwrap();
        let host = host.map(Arc::from);
        let peer = Peer { host, ..Peer::new(ip, 1) };
        asked.handle(Event::Opened(conn, Box::new(peer)));
        let told = asked.sent(conn);
        told.first().cloned()
    }

    #[test]
    fn an_address_is_refused_when_it_connects_until_the_ban_is_over() {
        let (mut asked, alice) = operator();
        let added = asked.ask(alice, "DLINE 1h30m 192.0.2.0/24 too much | from the log");
        assert_eq!(
            added,
            [
                ":irc.test NOTICE alice :Ban added for 192.0.2.0/24 for 1 hour 30 minutes; 0 connections were closed: too \
              much"
            ]
        );
        let told = refused(&mut asked, 0, "192.0.2.9", None).unwrap();
        assert_eq!(
            told, ":irc.test 465 * :You are banned from this server (until 2023-11-14 23:43:20 UTC): too much",
            "nothing of what is for operators"
        );
        assert_eq!(refused(&mut asked, 1, "192.0.3.9", None), None);
        assert_eq!(refused(&mut asked, 2, "192.0.2.9", Some("tor.onion")), None, "it is not that address's");
        let listed = asked.ask(alice, "DLINE LIST");
        assert!(
            listed[0].contains(" 192.0.2.0/24 (for 1 hour 30 minutes more; ") || listed[0].contains(":192.0.2.0/24")
        );
        assert!(listed[0].ends_with("too much | from the log"), "{listed:?}");
        asked.now.unix_ms += 5_400_000;
        asked.ask(alice, "MODE alice +s x");
        asked.handle(Event::Tick);
        assert_eq!(asked.sent(alice), [":irc.test NOTICE alice :*** the ban for 192.0.2.0/24 has expired"]);
        assert!(matches!(asked.kept(), [(_, Record::BanGone(target)), ..] if &**target == "192.0.2.0/24"));
        assert_eq!(refused(&mut asked, 3, "192.0.2.9", None), None);
    }

    #[test]
    fn those_who_are_on_go_at_once_and_operators_stay() {
        let (mut asked, alice) = operator();
        let (bob, carol) = (asked.user("bob"), asked.user("carol"));
        asked.set_oper("carol");
        asked.handle(Event::Line(alice, ircv3::Message::parse_client("UBAN ADD *@10.0.0.1 :go away").unwrap()));
        let told = asked.sent(alice);
        assert!(told[0].contains("fits yourself") && told.len() == 1, "{told:?}");
        let line = "UBAN ADD *@10.0.0.1 MYSELF go away";
        asked.handle(Event::Line(alice, ircv3::Message::parse_client(line).unwrap()));
        assert_eq!(asked.sent(bob), [":irc.test 465 bob :You are banned from this server: go away"]);
        assert_eq!(asked.last_words(bob), "ERROR :Closing Link: 10.0.0.1 (Banned: go away)\r\n");
        assert!(asked.sent(carol).is_empty());
        assert_eq!(asked.server.network.users.len(), 2);
    }

    #[test]
    fn whoever_comes_to_fit_by_nick_or_real_name_goes() {
        let (mut asked, alice) = operator();
        asked.ask(alice, "KLINE bad*!*@* :bad nick");
        asked.ask(alice, "UBAN ADD realname:free?money* 5d :spam");
        let (bob, carol) = (asked.user("bob"), asked.user_with("carol", "setname"));
        asked.ask(bob, "NICK badger");
        assert!(asked.last_words(bob).contains("Banned: bad nick"));
        asked.ask(carol, "SETNAME :Free money now");
        assert!(asked.last_words(carol).contains("Banned: spam"));
        // Before it has registered, too.
        let dave = asked.open();
        asked.ask(dave, "NICK badly");
        let lines = asked.ask(dave, "USER u 0 * :A Name");
        assert_eq!(lines, [":irc.test 465 badly :You are banned from this server: bad nick"]);
        asked.ask(alice, "UNKLINE BAD*!*@*");
        asked.user("badger");
        let gone = asked.ask(alice, "UNKLINE bad*!*@*");
        assert_eq!(gone, [":irc.test NOTICE alice :There is no ban for bad*!*@*; UBAN LIST shows all"]);
    }

    #[test]
    fn what_is_no_ban_changes_nothing_and_says_what_would_be_right() {
        let (mut asked, alice) = operator();
        for (line, says) in [
            ("UBAN ADD bob", "give an address"),
            ("UBAN ADD 192.0.2.1/24", "bits set past its length"),
            ("UBAN FROB x", "give ADD, DEL, INFO or LIST"),
            ("UBAN ADD", " 461 alice UBAN "),
            ("DLINE somewhere", "is not an address or network"),
            ("UBAN DEL account:bob", "There is no ban for account:bob"),
        ] {
            let lines = asked.ask(alice, line);
            assert!(lines.len() == 1 && lines[0].contains(says), "{line}: {lines:?}");
        }
        assert_eq!(asked.server.network.bans.iter().count(), 0);
    }

    #[test]
    fn a_number_alone_is_minutes_and_a_ban_is_changed_by_adding_it_again() {
        let (mut asked, alice) = operator();
        let added = asked.ask(alice, "KLINE 90 x@y :one");
        assert!(added[0].contains("Ban added for *!x@y for 1 hour 30 minutes;"), "{added:?}");
        let changed = asked.ask(alice, "UBAN ADD x@y :two");
        assert!(changed[0].contains("Ban changed for *!x@y until it is taken away;"), "{changed:?}");
        assert_eq!(asked.ask(alice, "UBAN LIST").len(), 2);
        let info = asked.ask(alice, "UBAN INFO x@y");
        assert!(
            info[0].contains("two") && info[1].contains("set by alice!") && info[2].contains("fits 0 "),
            "{info:?}"
        );
    }
}
