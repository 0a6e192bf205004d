//! From a connection to a user, and back: opening, registration, leaving.

use std::net::IpAddr;
use std::sync::Arc;

use ircv3::message::write_line;
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Casemapping};
use smallvec::SmallVec;

use crate::limits;
use crate::server::action::{Call, NetAction};
use crate::server::change::{Change, Happened};
use crate::server::command::chathistory::Occasion;
use crate::server::command::services::nickserv::ghost;
use crate::server::command::{self, Pending};
use crate::server::event::{ConnId, Peer};
use crate::server::frame::{Form, Frame, Tagged};
use crate::server::login::{self, Door};
use crate::server::network::{Stand, UserId};
use crate::server::notice::About;
use crate::server::policy;
use crate::server::record::{AccountId, Kind, Record, SeenRow, Seq};
use crate::server::session::Session;
use crate::server::settings::{Limits, Settings};
use crate::server::throttle::{Origin, Tried};
use crate::server::user::{Letters, User, source};
use crate::server::{Ctx, Server};

/// The version that 002, 004, 351 and INFO name.
pub const VERSION: &str = concat!("roost-", env!("CARGO_PKG_VERSION"));

/// The tokens of 005, in order.
pub fn isupport(settings: &Settings, casemapping: Casemapping) -> Vec<String> {
    use ircv3::isupport::escape;
    let mut tokens: Vec<String> = vec![
        format!("ACCEPT={}", limits::ACCEPTED),
        format!("ACCOUNTEXTBAN={}", ircv3::extban::ACCOUNT_TOKEN),
        format!("AWAYLEN={}", limits::AWAY_LEN),
        "BOT=B".into(),
        "CALLERID=g".into(),
        format!("CASEMAPPING={}", casemapping.token()),
        format!("CHANLIMIT=#:{}", settings.channels_per_user),
        format!("CHANMODES={}", ircv3::mode::chanmodes_token()),
        format!("CHANNELLEN={}", limits::CHANNEL_LEN),
        "CHANTYPES=#".into(),
        "ELIST=CMNTU".into(),
        "EXCEPTS=e".into(),
        format!("EXTBAN={}", ircv3::extban::extban_token()),
        "FORWARD=f".into(),
        format!("HOSTLEN={}", limits::HOST_LEN),
        "INVEX=I".into(),
        format!("KEYLEN={}", limits::KEY_LEN),
        format!("KICKLEN={}", limits::KICK_LEN),
        "KNOCK".into(),
        format!("MAXLIST=Ibe:{}", settings.list_entries),
        format!("MAXMODES={}", limits::MODES),
        format!("MODES={}", limits::MODES),
        format!("MONITOR={}", limits::MONITORED),
        "MSGREFTYPES=msgid,timestamp".into(),
        format!("NAMELEN={}", limits::REALNAME_LEN),
        format!("NETWORK={}", escape(&settings.network)),
        format!("NICKLEN={}", limits::NICK_LEN),
        format!("PREFIX={}", ircv3::mode::prefix_token()),
        "SAFELIST".into(),
        // Whoever sends too fast is read more slowly, and never disconnected for it
        // (<https://github.com/ircv3/ircv3-specifications/pull/556>).
        "SAFERATE".into(),
        "soju.im/SAFERATE".into(),
        format!("SILENCE={}", limits::SILENCED),
        "STATUSMSG=~&@%+".into(),
        format!(
            "TARGMAX=JOIN:,KICK:,LIST:,NAMES:,NOTICE:{n},PART:,PRIVMSG:{n},TAGMSG:{n},WHOIS:1",
            n = limits::MESSAGE_TARGETS
        ),
        format!("TOPICLEN={}", limits::TOPIC_LEN),
        format!("USERLEN={}", limits::USER_LEN),
        "UTF8ONLY".into(),
        "WHOX".into(),
        "draft/AUTHTOKEN".into(),
    ];
    if !settings.extjwt.is_empty() {
        tokens.push("EXTJWT=1".into());
    }
    if settings.history {
        tokens.push(format!("CHATHISTORY={}", settings.chathistory_limit));
    }
    let urls = [("draft/ICON", &settings.icon), ("draft/EMOJI", &settings.emoji)];
    tokens.extend(urls.iter().filter(|(_, url)| !url.is_empty()).map(|(name, url)| ircv3::isupport::token(name, url)));
    if !settings.client_tag_deny.is_empty() {
        tokens.push(format!("CLIENTTAGDENY={}", settings.client_tag_deny.join(",")));
    }
    tokens
}

impl Server {
    pub(super) fn opened(&mut self, conn: ConnId, peer: Box<Peer>) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let now = self.now.mono_ms;
        let session = Session::new(conn, serial, peer, now, self.last_seq);
        self.put_session(session);
        self.unregistered += 1;
        self.timers.look(now + self.settings.registration_ms, conn, serial);
        self.came(conn);
        self.judge_address(conn);
        // With login it may be let in later.
        if !self.is_open_to(conn, true) {
            self.close(conn, "The server takes no new connections now; try again later");
        }
        if self.ending.is_some() {
            self.close(conn, "The server is ending");
        }
    }

    /// Counts a connection where it comes from, and closes it where that is one too many.
    pub(super) fn came(&mut self, conn: ConnId) {
        let Some(session) = self.session(conn) else { return };
        let origin = Origin::of(&session.peer);
        // A gateway's connections are counted once it has said whom they are for.
        let gateway = session.peer.host.is_none() && self.settings.is_gateway(session.peer.ip);
        let limits = self.limits(conn).filter(|_| !gateway);
        let here = self.throttles.came(origin.clone());
        let Some(limits) = limits else { return };
        let now = self.now.mono_ms;
        let reason = if here > limits.connections {
            format!("Too many connections from your address (at most {})", limits.connections)
        } else if !self.throttles.allow(Tried::Connection(origin), limits.connections_per_minute, 60_000, now) {
            "Too many new connections from your address; try again in a minute".to_owned()
        } else {
            return;
        };
        self.notify(About::Limits, |server| {
            let host = server.session(conn).map(|session| session.peer.host()).unwrap_or_default();
            format!("a connection from {host} was refused: {reason}")
        });
        self.close(conn, &reason);
    }

    /// A gateway said whom a connection is for: the limits go by them from now on.
    pub(super) fn comes_from(&mut self, conn: ConnId, peer: Box<Peer>) {
        let Some(session) = self.session_mut(conn) else { return };
        let before = std::mem::replace(&mut session.peer, peer);
        self.throttles.went(&Origin::of(&before));
        self.came(conn);
        self.judge_address(conn);
    }

    /// The limits that hold for a connection; `None` where none does.
    fn limits(&self, conn: ConnId) -> Option<Limits> {
        self.settings.throttle.as_ref()?.limits(&self.session(conn)?.peer)
    }

    /// Whether one more account may be registered from here; counts it.
    pub fn may_register_account(&mut self, conn: ConnId) -> bool {
        let Some(origin) = self.session(conn).map(|session| Origin::of(&session.peer)) else { return false };
        let Some(limits) = self.limits(conn) else { return true };
        let now = self.now.mono_ms;
        self.throttles.allow(Tried::Registration(origin), limits.registrations_per_hour, 3_600_000, now)
    }

    /// Makes a user of a connection that has given everything that is needed.
    pub fn try_register(&mut self, ctx: &mut Ctx) {
        let conn = ctx.conn;
        let Some(session) = self.session_mut(conn) else { return };
        if session.is_busy() || session.closing {
            return;
        }
        let account = session.account;
        let Some(registration) = &mut session.registration else { return };
        let (Some(nick), Some((user, realname))) = (registration.nick.clone(), registration.user.clone()) else {
            return;
        };
        if registration.negotiating {
            return;
        }
        let password = registration.password.clone();
        // `PASS account:password` logs in, for clients without SASL.
        if let (Some(password), None, false) = (&password, account, registration.password_login_tried) {
            registration.password_login_tried = true;
            if let Some((name, secret)) = password.split_once(':') {
                let (name, device) = login::split_device(name);
                // Where the server has a password of its own, it may have a colon in it.
                let asks = self.settings.witness.is_some() && self.settings.password.is_none();
                if asks || self.network.nick_owner(name).is_some() {
                    self.try_password(ctx, Door::Pass, (name, device), secret, None);
                    return;
                }
            }
        }
        if let Some(hash) = self.settings.password.clone() {
            let Some(registration) = self.session_mut(conn).and_then(|session| session.registration.as_mut()) else {
                return;
            };
            if !registration.password_right {
                let Some(password) = password else {
                    ctx.reply.numeric(Numeric::ERR_PASSWDMISMATCH, &[], Some("This server asks for a password (PASS)"));
                    self.refuse(ctx, "This server asks for a password");
                    return;
                };
                self.call(ctx, Call::Verify { password, hash: Some(hash), derive: None }, Pending::ServerPassword);
                return;
            }
        }
        // Between the first factor and the second nobody registers but without the account.
        if self.forget_first_factor(conn) {
            command::authenticate::aborted(ctx);
        }
        if self.judge_registration(conn) {
            return;
        }
        if !self.is_open_to(conn, account.is_some()) {
            self.refuse(ctx, "The server takes new connections only from those who log in with SASL now");
            return;
        }
        if command::bouncer::lists_networks(self, ctx) {
            command::bouncer::register_unbound(self, ctx, &nick);
            return;
        }
        // The nick may have been taken, or an account of that name made, since NICK.
        if let Some(owner) = self.network.user_by_nick(&nick) {
            let same = account.filter(|account| self.network.users[owner].account == Some(*account));
            let row = same.and_then(|account| self.network.account(account));
            if row.is_some_and(|row| row.multiclient || self.network.users[owner].sessions.is_empty()) {
                self.submit(ctx, Change::Attach { user: owner, nick: None });
                return;
            }
            self.nick_is_refused(ctx, &nick, "Nickname is already in use");
            // It is its own, and it would ask for it again and again. Whoever knows RECOVER takes it.
            let is_its_own = same.is_some() && self.network.nick_owner(&nick).map(|row| row.id) == same;
            let recovers = self.session(conn).is_some_and(|session| session.caps.has(Cap::NickRecovery));
            if is_its_own && !recovers {
                let reason = format!(
                    "Another connection of your account has the nick {nick}, and MULTICLIENT is off, so they cannot share \
                     it. End that connection, or say on it: /msg NickServ SET MULTICLIENT ON. Or connect under another \
                     nick and say: /msg NickServ GHOST {nick}"
                );
                self.refuse(ctx, &reason);
            }
            return;
        }
        if policy::nick_reserved(&self.network, &nick, account) {
            let is_service = policy::is_reserved(&nick, self.network.casemapping);
            let why = if is_service { command::nick::IS_SERVICE } else { command::nick::IS_RESERVED };
            self.nick_is_refused(ctx, &nick, why);
            return;
        }
        if policy::nick_is_like_another(&self.network, &nick, account, None) {
            self.nick_is_refused(ctx, &nick, command::nick::LOOKS_LIKE_ANOTHER);
            return;
        }
        let row = account.and_then(|account| self.network.account(account));
        if let Some(row) = row
            && let Some(known) = self.known_by(row, &nick)
            && (row.multiclient || self.network.users[known].sessions.is_empty())
        {
            self.submit(ctx, Change::Attach { user: known, nick: Some(&nick) });
            return;
        }
        self.submit(ctx, Change::Arrive { nick: &nick, user: &user, realname: &realname });
    }

    fn refuse(&mut self, ctx: &mut Ctx, reason: &str) {
        let nick = ctx.reply.nick.clone();
        let fresh = self.ctx(ctx.conn, None);
        let answered = std::mem::replace(&mut ctx.reply, fresh.reply);
        self.finish(Ctx { conn: ctx.conn, user: None, reply: answered });
        ctx.reply.nick = nick;
        self.close(ctx.conn, reason);
    }

    /// 433; the client may choose another nick.
    fn nick_is_refused(&mut self, ctx: &mut Ctx, nick: &str, text: &str) {
        if let Some(registration) = self.session_mut(ctx.conn).and_then(|session| session.registration.as_mut()) {
            registration.nick = None;
        }
        ctx.reply.nick = "*".into();
        ctx.reply.numeric(Numeric::ERR_NICKNAMEINUSE, &[nick], Some(text));
    }

    /// The server's password was compared.
    pub fn server_password(&mut self, ctx: &mut Ctx, right: bool) {
        if right {
            if let Some(registration) = self.session_mut(ctx.conn).and_then(|session| session.registration.as_mut()) {
                registration.password_right = true;
            }
            self.try_register(ctx);
        } else {
            ctx.reply.numeric(Numeric::ERR_PASSWDMISMATCH, &[], Some("Password incorrect"));
            self.refuse(ctx, "Password incorrect");
        }
    }

    /// Makes a user of a connection; its nick is free.
    pub(super) fn introduce(&mut self, ctx: &mut Ctx, since: Seq, nick: &str, user: &str, realname: &str) {
        let Some(session) = self.session_mut(ctx.conn) else { return };
        let early = session.registration.take().map(|registration| registration.metadata).unwrap_or_default();
        let (account, account_name) = (session.account, session.account_name.clone());
        let (address, secure, ip) = (session.peer.host(), session.peer.tls, session.peer.ip);
        let certfps = session.peer.certfp.iter().cloned().collect();
        self.unregistered -= 1;
        let user = format!("~{}", ircv3::name::sanitize_user(user, limits::USER_LEN - 1));
        let mut modes = Letters::of(&self.settings.default_user_modes);
        modes.set('Z', secure);
        let cloak = self.cloak(ctx.conn);
        modes.set('x', cloak.is_some());
        let plain_host = cloak.unwrap_or(address);
        let host = account.and_then(|account| self.vhost_of(account)).unwrap_or_else(|| plain_host.clone());
        let id = self.network.insert_user(User {
            serial: 0,
            since,
            nick: nick.into(),
            former_nick: None,
            folded: self.network.fold(nick),
            source: source(nick, &user, &host),
            user: user.into(),
            plain_host,
            plain_host_known: true,
            host,
            former_hosts: SmallVec::new(),
            session_hosts: Box::default(),
            realname: ircv3::message::cut(realname, limits::REALNAME_LEN).into(),
            account,
            account_name,
            away: None,
            metadata: None,
            modes,
            channels: SmallVec::new(),
            sessions: SmallVec::from_elem(ctx.conn, 1),
            contacts: None,
            certfps,
            signon: self.clock / 1000,
            spoke: self.now.mono_ms,
            told: 0,
            secure,
            oper: None,
            notices: Letters::default(),
            left: 0,
            presence_kept: false,
        });
        self.note_former_vhost(id);
        if modes.has('i') {
            self.network.invisible += 1;
        }
        self.become_user(ctx, id);
        command::metadata::adopt(self, id, since, early);
        self.keep_presence(id);
        self.welcome(ctx, id);
        command::oper::come_by_certificate(self, ctx);
        let there = &self.network.users[id];
        let (folded, nick, source) = (there.folded.clone(), there.nick.clone(), there.source.clone());
        command::monitor::changed(self, None, &folded, &nick, Some(&source));
        // It may have come away (pre-away): that is told after its coming.
        self.apply_away(id, Some(ctx.conn));
        self.notify(About::Connects, |server| server.network.users[id].described("comes", &ip.to_string()));
        if let Some(absent) = self.absent_beside(id) {
            ghost::say_how_to_be(self, ctx, absent);
        }
        command::chathistory::replay(self, ctx, Occasion::Arrived);
        self.note_behind(ctx.conn);
    }

    /// The cloak of whoever is at the other end of a connection; `None` where there are none, and for those
    /// who come by a way that hides their address anyway.
    pub fn cloak(&self, conn: ConnId) -> Option<Arc<str>> {
        let peer = &self.session(conn)?.peer;
        let cloak = self.settings.cloak.as_ref().filter(|_| peer.host.is_none())?;
        Some(cloak.of(&self.secret, peer.ip).into())
    }

    /// What a user is shown by for where this connection of it comes from, if nothing else shows it by another host.
    pub fn plain_host_of(&self, user: UserId, conn: ConnId) -> Option<Arc<str>> {
        let there = &self.network.users[user];
        // Whoever has taken the cloak off is shown by an address. Who has no `x` for having come by Tor, or before there were
        // cloaks, has not, and another connection's address is not shown for that.
        let may_show = self.settings.cloak.as_ref().is_some_and(|cloak| cloak.optional) && !there.modes.has('x');
        let shows = may_show && there.shown_hosts().any(|host| host.parse::<IpAddr>().is_ok());
        let cloak = self.cloak(conn).filter(|_| !shows);
        cloak.or_else(|| self.session(conn).map(|session| session.peer.host()))
    }

    fn become_user(&mut self, ctx: &mut Ctx, user: UserId) {
        let conn = ctx.conn;
        let now = self.now.mono_ms;
        let ping = self.settings.ping_ms;
        let seq = self.last_seq;
        let Some(session) = self.session_mut(conn) else { return };
        session.user = Some(user);
        session.heard = now;
        session.away_seq = seq;
        let serial = session.serial;
        self.timers.look(now + ping, conn, serial);
        self.act(conn, |slot| NetAction::Registered { slot });
        ctx.user = Some(user);
        ctx.reply.nick = self.network.users[user].nick.clone();
        if let Some(session) = self.session(conn)
            && let (Some(account), device, read) = (session.account, session.device.clone(), session.mark)
        {
            self.note_came(account, &device, read);
        }
    }

    /// One more connection for a user who is here already, and has `nick` from now on where it has no other connection, and
    /// may change it.
    pub(super) fn attach(&mut self, ctx: &mut Ctx, seq: Seq, user: UserId, nick: Option<&str>) {
        let Some(session) = self.session_mut(ctx.conn) else { return };
        let early = session.registration.take().map(|registration| registration.metadata).unwrap_or_default();
        let secure = session.peer.tls;
        self.unregistered -= 1;
        let there = &mut self.network.users[user];
        let nick = nick.filter(|_| there.sessions.is_empty());
        there.sessions.push(ctx.conn);
        there.secure = secure && (there.secure || there.sessions.len() == 1);
        there.modes.set('Z', there.secure);
        self.sessions_changed(user);
        if let Some(nick) = nick
            && !self.store_refuses()
            && policy::nick_held(&self.network, user).is_none()
        {
            // It has not been welcomed yet, and is so under this one.
            let mut unshown = self.ctx(ctx.conn, None);
            command::nick::rename(self, &mut unshown, seq, user, nick);
            ctx.reply.after = ctx.reply.after.max(unshown.reply.after);
            self.to_judge.push(user);
        }
        let shown_by = self.reveal_plain_host(ctx, user);
        self.note_former_vhost(user);
        self.become_user(ctx, user);
        command::metadata::adopt(self, user, seq, early);
        self.sum_away(user, Some(ctx.conn));
        self.welcome(ctx, user);
        if let Some(host) = shown_by {
            command::vhost::set(self, ctx, user, &host);
        }
        command::oper::come_by_certificate(self, ctx);
        for channel in self.network.users[user].channels.clone() {
            command::join::show(self, ctx, channel);
        }
        command::chathistory::replay(self, ctx, Occasion::Arrived);
        self.note_behind(ctx.conn);
    }

    /// One connection less that has not registered.
    pub fn no_longer_unregistered(&mut self) {
        self.unregistered -= 1;
    }

    /// Of a user whom an earlier version kept, what is behind the host that it is shown by is not known until it comes.
    /// Where its account does not give it that host, what it is to be shown by.
    fn reveal_plain_host(&mut self, ctx: &Ctx, user: UserId) -> Option<Arc<str>> {
        let there = &self.network.users[user];
        if there.plain_host_known {
            return None;
        }
        let plain = self.plain_host_of(user, ctx.conn)?;
        let given = there.account.and_then(|account| self.vhost_of(account));
        let there = &mut self.network.users[user];
        let before = std::mem::replace(&mut there.plain_host, plain.clone());
        there.plain_host_known = true;
        self.to_judge.push(user);
        let there = &self.network.users[user];
        (there.host == before && given.as_ref() != Some(&before)).then_some(plain)
    }

    /// 001 to 005.
    pub fn greet(&mut self, ctx: &mut Ctx, source: &str) {
        let settings = self.settings.clone();
        let server = &*settings.server_name;
        ctx.reply.numeric(
            Numeric::RPL_WELCOME,
            &[],
            Some(&format!("Welcome to the {} Network, {}", settings.network, source)),
        );
        ctx.reply.numeric(
            Numeric::RPL_YOURHOST,
            &[],
            Some(&format!("Your host is {server}, running version {VERSION}")),
        );
        let mut created = Vec::new();
        ircv3::time::put_time(&mut created, self.started());
        ctx.reply.numeric(
            Numeric::RPL_CREATED,
            &[],
            Some(&format!("This server was created {}", String::from_utf8_lossy(&created))),
        );
        let [user_modes, channel_modes, with_parameter] = ircv3::mode::my_info();
        let middles = [server, VERSION, &user_modes, &channel_modes, &with_parameter];
        ctx.reply.numeric(Numeric::RPL_MYINFO, &middles, None);
        command::info::isupport(self, ctx);
    }

    fn welcome(&mut self, ctx: &mut Ctx, user: UserId) {
        let there = &self.network.users[user];
        let (source, modes) = (there.source.clone(), there.modes);
        self.greet(ctx, &source);
        command::prop::on_welcome(self, ctx);
        command::setname::on_welcome(self, ctx, user);
        command::metadata::on_welcome(self, ctx, user);
        command::persistence::on_welcome(self, ctx);
        command::token::on_welcome(self, ctx);
        command::info::lusers(self, ctx);
        command::info::motd(self, ctx);
        if modes != Letters::default() {
            let nick = ctx.reply.nick.clone();
            ctx.reply.line_from(&source, "MODE", &[&nick, &format!("+{}", modes.text())], None);
        }
        command::bouncer::on_welcome(self, ctx);
    }

    /// Takes a connection off its user, and the user off the network if it was the last. `seen` is
    /// the last change that the connection can be taken to have shown.
    pub(super) fn leave(&mut self, conn: ConnId, reason: &str, seen: Seq) {
        command::monitor::forget(self, conn);
        self.settle_silent(conn, seen);
        let Some(session) = self.session(conn) else { return };
        let device = session.device.clone();
        // One that lists networks is no device.
        let account = session.account.filter(|_| !command::bouncer::is_unbound(session));
        if let Some(account) = account {
            let owed = self.owed_at_end(session, seen);
            let owes = !owed.is_empty() || !self.network.told(account, &device).is_empty();
            self.note_own_said(conn, account, &device, seen, owes);
            self.owe(conn, account, &device, &owed, seen);
        }
        let Some(session) = self.session_mut(conn) else { return };
        let user = session.user.take();
        let (origin, unregistered) = (Origin::of(&session.peer), session.registration.take().is_some());
        let sees_quit = session.sees_quit;
        self.unregistered -= usize::from(unregistered);
        self.throttles.went(&origin);
        if let Some(account) = account {
            self.device_left(conn, account, &device, seen);
        }
        let Some(user) = user else { return };
        let there = &mut self.network.users[user];
        there.sessions.retain(|other| *other != conn);
        for channel in &there.channels {
            self.network.channels[*channel].unhear(conn);
        }
        let source = there.source.clone();
        if there.sessions.is_empty() {
            self.go_on_as_account(user);
        }
        if self.network.users[user].sessions.is_empty() && !self.stays(user) {
            self.submit_alone(Change::Quit { user, reason, shown: sees_quit.then_some(conn), after: 0 });
        } else {
            if sees_quit {
                let mut line = Vec::with_capacity(96);
                write_line(&mut line, &source, "QUIT", &[], Some(reason));
                let frame = self.frame_from(user, line);
                self.frame_to(conn, &frame);
            }
            // Whatever connects next to the account may have proved less than the one that gave OPER.
            if self.network.users[user].sessions.is_empty() && command::mode::set_user_mode(self, user, 'o', false) {
                command::oper::step_down(self, user);
            }
            self.sessions_changed(user);
            self.sum_away(user, None);
        }
    }

    /// A connection of a device has gone: where it was the last, the device has read so far.
    pub(super) fn device_left(&mut self, conn: ConnId, account: AccountId, device: &str, seen: Seq) {
        let is_superseded = self.session(conn).is_some_and(Session::is_superseded);
        let went = self.network.device_went(account, device, conn, seen, is_superseded);
        match went {
            Some(seen) => {
                let mut owed = self.network.owed(account, device).to_vec();
                owed.extend(self.own_to_keep(account, device, &[]));
                self.keep_stand(account, device, Stand { seen: Some(seen), owed });
            }
            None => self.note_device(account, device),
        }
    }

    /// A connection is a device's from now on. That one is there which was here before is kept when the connection is known
    /// to have read something, and not before.
    pub(super) fn device_came(&mut self, conn: ConnId, account: AccountId, device: &str) {
        let is_first = self.network.device_came(account, device, conn);
        if is_first && self.network.seen(account, device).is_none() {
            self.submit_alone(Change::Seen { account, device, stand: Stand::default() });
        }
    }

    /// Keeps of a device what is not kept of it yet.
    pub(super) fn keep_stand(&mut self, account: AccountId, device: &str, stand: Stand) {
        if *self.network.stand(account, device) != stand {
            self.submit_alone(Change::Seen { account, device, stand });
        }
    }

    /// Notes how far a device has read, and what it is owed.
    pub(super) fn note_stand(&mut self, seq: Seq, account: AccountId, device: &str, stand: Stand) {
        self.network.set_stand(account, device, stand.clone());
        let Stand { seen, owed } = stand;
        self.keep(seq, Record::Seen(SeenRow { account, device: device.into(), seq: seen, owed }));
        self.note_account_used(account, seq);
    }

    /// Takes a user off the network; its connections are gone or going.
    ///
    /// `shown` is a connection of its that is told of it, too.
    pub(super) fn quit(&mut self, seq: Seq, user: UserId, reason: &str, shown: Option<ConnId>, after: Seq) {
        let reason = ircv3::message::cut(reason, limits::REASON_LEN);
        let mut line = Vec::with_capacity(128);
        let there = &self.network.users[user];
        write_line(&mut line, &there.source, "QUIT", &[], Some(reason));
        let kept = there.account.is_some();
        let channels = there.channels.clone();
        let mut frame = self.frame_from(user, line);
        self.notify(About::Quits, |server| server.network.users[user].described("goes", reason));
        if kept {
            for channel in &channels {
                // What only some were shown is not in history.
                if self.network.channels[*channel].unshown.contains(&user) {
                    continue;
                }
                self.keep_event(
                    &mut frame,
                    *channel,
                    user,
                    seq,
                    Happened { kind: Kind::Quit, argument: None, text: reason },
                );
            }
        }
        frame.after = frame.after.max(after).max(self.presence_wait(user));
        if let Some(conn) = shown {
            self.frame_to(conn, &frame);
        }
        let frame = Arc::new(frame);
        match &*channels {
            // As a rule there is one, and its audience is known.
            [channel] if !self.network.channels[*channel].unshown.contains(&user) => {
                self.frame_to_channel(*channel, frame, None);
            }
            _ => {
                let mut others = self.network.neighbours(user);
                others.retain(|other| *other != user);
                self.frame_to_users(&others, frame, None);
            }
        }
        self.forget_presence(user);
        for channel in channels {
            self.leave_channel(channel, user);
        }
        let there = self.network.remove_user(user, self.clock);
        command::monitor::changed(self, None, &there.folded, &there.nick, None);
        if there.is_oper() {
            self.network.opers -= 1;
        }
        if there.modes.has('i') {
            self.network.invisible -= 1;
        }
    }

    /// Ends a user: all its connections, and its stay where it is always on.
    pub fn end_user(&mut self, user: UserId, reason: &str) {
        let Some(serial) = self.network.users.get(user).map(|there| there.serial) else { return };
        for conn in self.network.users[user].sessions.clone() {
            self.close(conn, reason);
        }
        // Who is always on would stay.
        if self.network.users.get(user).is_some_and(|there| there.serial == serial && there.sessions.is_empty()) {
            self.submit_alone(Change::Quit { user, reason, shown: None, after: 0 });
        }
    }

    /// Ends whoever has a nick that is an account's, for the sake of that; of the account's own presence the connections.
    pub fn end_holder(&mut self, ctx: &mut Ctx, holder: UserId, account: AccountId, reason: &str) {
        if self.is_presence_of(holder, account) {
            let ended = self.network.users[holder].sessions.clone();
            self.end_connections(ctx, &ended, reason);
        } else {
            self.end_user(holder, reason);
        }
    }

    /// Ends connections; what was answered to one of them goes out before.
    pub fn end_connections(&mut self, ctx: &mut Ctx, ended: &[ConnId], reason: &str) {
        for conn in ended {
            if *conn == ctx.conn {
                let fresh = self.ctx(ctx.conn, None);
                let answered = std::mem::replace(&mut ctx.reply, fresh.reply);
                self.finish(Ctx { conn: ctx.conn, user: ctx.user, reply: answered });
            }
            self.close(*conn, reason);
        }
    }

    /// The connections that are logged in to an account.
    pub fn sessions_of(&self, account: AccountId) -> Vec<ConnId> {
        let sessions = self.all_sessions().filter(|session| session.account == Some(account) && !session.closing);
        sessions.map(|session| session.conn).collect()
    }

    /// Ends all that is logged in to an account.
    pub fn end_account(&mut self, ctx: &mut Ctx, account: AccountId, reason: &str) {
        let conns = self.sessions_of(account);
        let users = self.network.users_of(account).map(|id| (id, self.network.users[id].serial));
        let users: Vec<(UserId, u64)> = users.collect();
        self.end_connections(ctx, &conns, reason);
        for (user, serial) in users {
            if self.network.is_still(user, serial) {
                self.end_user(user, reason);
            }
        }
    }

    /// Takes an account that is no more off whoever is logged in to it.
    pub(super) fn log_out_all(&mut self, account: AccountId) {
        let users: Vec<UserId> = self.network.users_of(account).collect();
        for user in users {
            let after = self.forget_presence(user);
            self.network.set_login(user, None);
            if self.network.users[user].sessions.is_empty() {
                self.submit_alone(Change::Quit { user, reason: "Account deleted", shown: None, after });
            }
        }
        for conn in self.sessions_of(account) {
            if let Some(session) = self.session_mut(conn) {
                session.account = None;
                session.account_name = None;
            }
        }
    }

    /// Closes a connection that was silent: what it was sent since it was last heard counts as missed.
    pub(super) fn close_silent(&mut self, conn: ConnId, reason: &str) {
        let seen = self.session(conn).map_or(0, |session| session.has_read());
        self.close_seen(conn, reason, reason, None, seen);
    }
}

/// A form for those who have `cap`.
pub fn form_for(cap: Cap, line: Vec<u8>) -> Form {
    Form {
        needs: CapSet::of(&[cap]),
        lacks: CapSet::EMPTY,
        lines: SmallVec::from_elem(bytes::Bytes::from(line), 1),
        tagged: Tagged::Each,
    }
}

/// A frame from the server itself.
pub fn server_frame(server: &Server, line: Vec<u8>) -> Frame {
    Frame::plain(server.clock(), bytes::Bytes::from(line))
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{CloseCause, ConnId, Event};
    use crate::server::record::{Record, Seq};

    /// Someone with an account who has said something, and somebody who answered to it twice; the numbers of the three.
    fn talk() -> (Asked, ConnId, [Seq; 3]) {
        let mut asked = Asked::new();
        let (alice, bob) = (asked.user("alice"), asked.user("bob"));
        asked.account("alice", 1);
        asked.server.device_came(alice, 1, "");
        asked.ask(alice, "JOIN #a");
        asked.ask(bob, "JOIN #a");
        let said = [(alice, "hello"), (bob, "one"), (bob, "two")].map(|(conn, text)| {
            asked.ask(conn, &format!("PRIVMSG #a :{text}"));
            asked.server.last_seq()
        });
        (asked, alice, said)
    }

    /// Up to where her device has read when the connection ends so.
    fn read(cause: CloseCause) -> (Option<Seq>, [Seq; 3]) {
        let (mut asked, alice, said) = talk();
        asked.handle(Event::Closed(alice, cause));
        let mut seen = asked.kept().iter().filter_map(|(_, record)| match record {
            Record::Seen(row) => row.seq,
            _ => None,
        });
        (seen.next(), said)
    }

    #[test]
    fn whoever_closes_has_read_what_was_given_to_the_system() {
        let (seen, [_, _, last]) = read(CloseCause::Eof { shown: Some(Seq::MAX) });
        assert_eq!(seen, Some(last));
        let (_, _, [_, one, _]) = talk();
        let (seen, _) = read(CloseCause::Eof { shown: Some(one) });
        assert_eq!(seen, Some(one));
    }

    #[test]
    fn whoever_is_cut_off_has_read_up_to_what_it_last_said_and_that_as_well() {
        for cause in [CloseCause::Eof { shown: None }, CloseCause::Error("reset".into()), CloseCause::SendQueue] {
            let (seen, [own, _, _]) = read(cause);
            assert_eq!(seen, Some(own));
        }
    }

    #[test]
    fn whoever_says_something_and_closes_at_once_has_read_that() {
        let (mut asked, alice, [_, _, last]) = talk();
        // The worker reads PRIVMSG and the end of the connection in one turn, before the server has said anything.
        asked.ask(alice, "PRIVMSG #a :bye");
        let own = asked.server.last_seq();
        asked.handle(Event::Closed(alice, CloseCause::Eof { shown: Some(last) }));
        let mut seen = asked.kept().iter().filter_map(|(_, record)| match record {
            Record::Seen(row) => row.seq,
            _ => None,
        });
        assert_eq!(seen.next(), Some(own));
    }
}
