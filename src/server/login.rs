//! The one gate of every login: SASL of every mechanism, PASS and NickServ come through here.

use std::sync::Arc;

use ircv3::message::write_line;
use ircv3::numeric::Numeric;
use ircv3::sasl::scram::{self, Hash};
use ircv3::{Cap, CapSet, name};

use crate::accounts::foreign::Foreign;
use crate::limits;
use crate::server::action::Call;
use crate::server::change::{Change, CredentialChange};
use crate::server::command::chathistory::Occasion;
use crate::server::command::services::hostserv;
use crate::server::command::services::nickserv::{apppass, ghost, suspend};
use crate::server::command::{self, Pending, chathistory, register, services, vhost};
use crate::server::event::{ConnId, Returned};
use crate::server::network::UserId;
use crate::server::notice::About;
use crate::server::record::AccountId;
use crate::server::session::LoginBy;
use crate::server::settings::Secret;
use crate::server::throttle::{Origin, Tried};
use crate::server::{Ctx, Server, second};
use crate::witness::{Question, Witness};

/// By which door a login comes; each is told in its own way what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// AUTHENTICATE, of whichever mechanism.
    Sasl,
    /// `PASS account:password`.
    Pass,
    /// NickServ IDENTIFY.
    NickServ,
    /// An account that was just made, by whoever made it. What becomes of that is said there.
    Made,
}

/// A login whose password is being compared.
#[derive(Debug)]
pub struct Attempt {
    door: Door,
    /// `None` where there is none of that name.
    account: Option<AccountId>,
    /// What the password is compared with.
    hash: Option<Box<str>>,
    name: Box<str>,
    device: Box<str>,
    /// The code of the second factor that came with it.
    code: Option<Box<str>>,
    /// The password with that code, where it may be the end of the password itself: the client would be asked for a code.
    whole: Option<Secret>,
    /// Who is asked about it, and the password, which is compared where they say no.
    asked: Option<(Arc<Witness>, Secret)>,
    /// They are asked about the whole.
    asked_whole: bool,
    /// What is done once it has succeeded.
    then: Option<ghost::Wanted>,
}

/// What somebody who wants to be let in has proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof<'a> {
    /// That they know the password, which can be known to others: the account may ask for a second factor, whose code
    /// may have come with it.
    Knows(Option<&'a str>),
    /// That they have what only its owner has: a certificate, a key, a device's password, a token, the second factor.
    Has,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused<'a> {
    /// What was given does not prove anything. Counted, for the account of this name where one was named.
    Wrong(Option<&'a str>),
    /// Too many tries have failed.
    Throttled,
    /// It cannot be looked at now.
    Busy,
    /// Nothing was tried: what was given has the wrong form, or is not possible here.
    Unfit(&'a str),
}

impl Refused<'_> {
    fn text(self) -> &'static str {
        match self {
            Refused::Wrong(_) => "the account or the password is wrong",
            Refused::Throttled => "too many failed logins; wait a minute",
            Refused::Busy => "this login cannot be checked now; try again later",
            Refused::Unfit(_) => "",
        }
    }
}

/// The account and the device of `account@device` (as bouncers name them; `account/network` is the account).
pub fn split_device(name: &str) -> (&str, &str) {
    let (name, device) = name.split_once('@').unwrap_or((name, ""));
    let name = name.split_once('/').map_or(name, |(name, _)| name);
    (name, ircv3::message::cut(device, 32))
}

impl Server {
    /// The account that somebody names to log in to, whose nick that may be as well (NickServ GROUP), by its own name;
    /// what was given where there is none. Failures count for that name, whichever of its nicks they were tried with.
    pub fn account_meant(&self, name: &str) -> Arc<str> {
        self.network.nick_owner(name).map_or_else(|| name.into(), |row| row.name.clone())
    }

    /// Whether a login may be tried from here, and for the account of this name; only failures count.
    pub fn may_try_login(&self, conn: ConnId, account: Option<&str>) -> bool {
        let Some(session) = self.session(conn) else { return false };
        let Some(throttle) = &self.settings.throttle else { return true };
        let now = self.now.mono_ms;
        let most = throttle.limits.login_failures_per_minute;
        let of_account = |name| Tried::LoginTo(self.network.fold(name).as_str().into());
        account.is_none_or(|name| self.throttles.would_allow(&of_account(name), most, now))
            && throttle.limits(&session.peer).is_none_or(|limits| {
                let from = Tried::LoginFrom(Origin::of(&session.peer));
                self.throttles.would_allow(&from, limits.login_failures_per_minute, now)
            })
    }

    /// Notes that a login failed.
    pub fn login_failed(&mut self, conn: ConnId, account: Option<&str>) {
        let Some(origin) = self.session(conn).map(|session| Origin::of(&session.peer)) else { return };
        let now = self.now.mono_ms;
        if let Some(name) = account {
            let account = self.network.fold(name).as_str().into();
            self.throttles.allow(Tried::LoginTo(account), u32::MAX, 60_000, now);
        }
        self.throttles.allow(Tried::LoginFrom(origin), u32::MAX, 60_000, now);
    }

    /// Has a password compared, and goes on with [`Server::login_returned`].
    ///
    /// A code of the second factor is given, or stands behind the password as in `password:123456`.
    pub fn try_password(
        &mut self,
        ctx: &mut Ctx,
        door: Door,
        (name, device): (&str, &str),
        password: &str,
        code: Option<&str>,
    ) {
        let name = &*self.account_meant(name);
        // Clients that know of second factors are asked for it, so that what looks like a code need be none.
        let steps_up = door == Door::Sasl && ctx.reply.caps.has(Cap::AccountTwofa);
        let asks = self.network.account_by_name(name).is_some_and(|row| self.asks_second(row.id));
        let with_code = second::split_code(password).filter(|_| asks && code.is_none());
        let may_be_whole = with_code.is_some() && steps_up && password.len() <= limits::PASSWORD_LEN;
        let whole = may_be_whole.then(|| Secret::new(password));
        let (password, code) = with_code.map_or((password, code), |(password, code)| (password, Some(code)));
        if password.len() > limits::PASSWORD_LEN {
            self.turn_away(ctx, door, Refused::Unfit("the password is too long"));
            return;
        }
        if !self.may_try_login(ctx.conn, None) {
            self.turn_away(ctx, door, Refused::Throttled);
            return;
        }
        // Whoever guesses at the password keeps out nobody who has one that cannot be guessed.
        let row = self.network.account_by_name(name);
        if let Some(account) = row.map(|row| row.id)
            && let Some(app) = apppass::named(&self.network, account, password)
        {
            // The password is a device's own, whatever the client calls itself.
            let device = if device.is_empty() { &app } else { device };
            self.admit(ctx, door, account, device, Proof::Has);
            if let Some(session) = self.session_mut(ctx.conn).filter(|session| session.account == Some(account)) {
                session.particulars_mut().app = Some(app);
            }
            return;
        }
        if !self.may_try_login(ctx.conn, Some(name)) {
            self.turn_away(ctx, door, Refused::Throttled);
            return;
        }
        let (account, hash) = (row.map(|row| row.id), row.map(|row| row.password.clone()));
        let attempt = Attempt {
            door,
            account,
            hash,
            name: name.into(),
            device: device.into(),
            code: code.map(Into::into),
            whole,
            asked: None,
            asked_whole: false,
            then: None,
        };
        self.ask_witness(ctx, attempt, &Secret::new(password), password);
    }

    /// Has the operator's program or directory judge a password, where it is to be asked; the other, `own`, may be the
    /// password here.
    fn ask_witness(&mut self, ctx: &mut Ctx, attempt: Attempt, own: &Secret, password: &str) {
        match self.question(ctx.conn, &attempt, password) {
            Some((question, witness)) => {
                let attempt = Attempt { asked: Some((witness.clone(), own.clone())), ..attempt };
                let question = Box::new(question);
                self.call(ctx, Call::Judge { question, witness }, Pending::Login(attempt));
            }
            None => {
                let own = String::from_utf8_lossy(own.bytes()).into_owned();
                self.compare_password(ctx, attempt, &own);
            }
        }
    }

    /// What the operator's program or directory is asked about a login; `None` where the password is compared here alone.
    fn question(&self, conn: ConnId, attempt: &Attempt, password: &str) -> Option<(Question, Arc<Witness>)> {
        let witness = self.settings.witness.clone()?;
        let has_password = attempt.hash.as_ref().is_some_and(|hash| !hash.is_empty());
        // An empty password is none; to a directory it is a bind of nobody, which succeeds (RFC 4513, section 5.1.2).
        let asks = !password.is_empty()
            && (!has_password || self.settings.witness_first)
            && name::is_account_name(&attempt.name, limits::NICK_LEN, self.network.casemapping);
        let peer = &self.session(conn)?.peer;
        let account = match attempt.account.and_then(|id| self.network.account(id)) {
            Some(row) => row.name.as_ref().into(),
            None => attempt.name.clone(),
        };
        let certfp = peer.certfp.as_deref().filter(|_| peer.tls).map(Into::into);
        let question = Question { account, passphrase: password.into(), certfp, ip: peer.ip.to_string().into() };
        asks.then_some((question, witness))
    }

    fn compare_password(&mut self, ctx: &mut Ctx, attempt: Attempt, password: &str) {
        let (account, hash) = (attempt.account, attempt.hash.clone());
        // A password that is older than SCRAM, or than the setting, gets its credentials now.
        let iterations = self.settings.scram_iterations;
        let complete = account.and_then(|id| self.network.credentials(id)).is_some_and(|kept| {
            Hash::ALL.iter().all(|hash| {
                kept.scram.iter().any(|credential| credential.hash == *hash && credential.iterations == iterations)
            })
        });
        // And one that was imported gets a hash of ours.
        let imported = hash.as_deref().is_some_and(|hash| Foreign::parse(hash).is_some());
        let derive = ((!complete || imported) && account.is_some()).then_some(iterations);
        self.call(ctx, Call::Verify { password: password.into(), hash, derive }, Pending::Login(attempt));
    }

    /// The password was compared.
    fn password_compared(&mut self, ctx: &mut Ctx, mut attempt: Attempt, returned: Returned) {
        if let Some((witness, given)) = attempt.asked.take() {
            self.judged(ctx, attempt, &witness, &given, returned);
            return;
        }
        if matches!(returned, Returned::Verified(false))
            && let Some(whole) = attempt.whole.take()
        {
            let password = String::from_utf8_lossy(whole.bytes()).into_owned();
            self.compare_password(ctx, Attempt { code: None, ..attempt }, &password);
            return;
        }
        let Attempt { door, account, hash, name, device, code, .. } = attempt;
        let proof = Proof::Knows(code.as_deref());
        // It may have another password by now.
        let unchanged =
            |id: &AccountId| self.network.account(*id).is_some_and(|row| Some(&row.password) == hash.as_ref());
        match (returned, account.filter(unchanged)) {
            (Returned::Verified(true), Some(account)) => {
                self.admit(ctx, door, account, &device, proof);
            }
            (Returned::Hashed(secrets), Some(account)) => {
                // The hash was another server's. Nobody waits for ours: while the store fails, a later login gives it.
                if !self.store_refuses() {
                    self.submit(ctx, Change::Credentials { account, change: CredentialChange::Rehashed(&secrets) });
                }
                self.admit(ctx, door, account, &device, proof);
            }
            (Returned::Derived(scram), Some(account)) => {
                // Nothing that anyone waits for: while the store fails, it is done at a later login.
                if !self.store_refuses() {
                    self.submit(ctx, Change::Credentials { account, change: CredentialChange::Scram(&scram) });
                }
                self.admit(ctx, door, account, &device, proof);
            }
            (Returned::Verified(_) | Returned::Derived(_) | Returned::Hashed(_), _) => {
                self.turn_away(ctx, door, Refused::Wrong(Some(&name)))
            }
            _ => self.turn_away(ctx, door, Refused::Busy),
        }
    }

    /// The password was compared, and what is to be done after that login is.
    pub fn login_returned(&mut self, ctx: &mut Ctx, mut attempt: Attempt, returned: Returned) {
        let then = attempt.then.take();
        self.password_compared(ctx, attempt, returned);
        if let Some(then) = then {
            self.after_login(ctx, then);
        }
    }

    /// Does this once the login that was just tried has succeeded, if it does.
    pub fn after_login(&mut self, ctx: &mut Ctx, then: ghost::Wanted) {
        let waiting = self.session_mut(ctx.conn).and_then(|session| session.waiting.as_mut());
        if let Some(Pending::Login(attempt)) = waiting.map(|waiting| &mut waiting.pending) {
            attempt.then = Some(then);
        } else if services::own_account(self, ctx).is_some() {
            ghost::go_on(self, ctx, &then);
        }
    }

    /// The operator's program or directory has judged a login.
    fn judged(&mut self, ctx: &mut Ctx, attempt: Attempt, witness: &Witness, given: &Secret, returned: Returned) {
        let Attempt { door, ref name, ref device, ref code, .. } = attempt;
        let named = match returned {
            Returned::Judged(Ok(named)) if named.is_empty() => name.clone(),
            Returned::Judged(Ok(named)) => named,
            refused => {
                if let Returned::Judged(Err(why)) = &refused
                    && !why.is_empty()
                {
                    self.log(false, format!("{} does not let {name:?} in: {why:?}", witness.key()));
                }
                if matches!(refused, Returned::Judged(_))
                    && !attempt.asked_whole
                    && let Some(whole) = &attempt.whole
                {
                    let password = String::from_utf8_lossy(whole.bytes()).into_owned();
                    self.ask_witness(ctx, Attempt { asked_whole: true, ..attempt }, given, &password);
                    return;
                }
                // Whoever has a password here may use that, too.
                if attempt.hash.as_ref().is_some_and(|hash| !hash.is_empty()) {
                    let password = String::from_utf8_lossy(given.bytes()).into_owned();
                    self.compare_password(ctx, attempt, &password);
                } else if matches!(refused, Returned::Judged(_)) {
                    self.turn_away(ctx, door, Refused::Wrong(Some(name)));
                } else {
                    self.turn_away(ctx, door, Refused::Busy);
                }
                return;
            }
        };
        let (device, code) = (device.clone(), code.clone().filter(|_| !attempt.asked_whole));
        if self.network.account_by_name(&named).is_none() && self.settings.witness_autocreate {
            // Nobody is made an account that they are then not let in to.
            if let Some(why) = self.why_no_other(ctx, None) {
                self.turn_away(ctx, door, Refused::Unfit(&why));
                return;
            }
            register::create_for_witness(self, ctx, &named, witness.key());
        }
        let Some(row) = self.network.account_by_name(&named) else {
            self.turn_away(ctx, door, Refused::Unfit("there is no account of that name here, and it cannot be made"));
            return;
        };
        let (account, has_password) = (row.id, !row.password.is_empty());
        // It may have been given a password meanwhile, or be another than the one that was asked about.
        if has_password && !self.settings.witness_first {
            self.turn_away(ctx, door, Refused::Unfit("the account has a password here, which alone logs in to it"));
            return;
        }
        self.admit(ctx, door, account, &device, Proof::Knows(code.as_deref()));
    }

    /// Lets somebody in who has proved to be of this account, if the account may be logged in to.
    pub fn admit(&mut self, ctx: &mut Ctx, door: Door, account: AccountId, device: &str, proof: Proof<'_>) {
        // It may have gone while the proof was looked at.
        let Some(row) = self.network.account(account) else {
            self.turn_away(ctx, door, Refused::Wrong(None));
            return;
        };
        if !row.verified {
            let name = row.name.clone();
            let why = format!("the account waits for the code that was mailed; give it with VERIFY {name} <code>");
            self.turn_away(ctx, door, Refused::Unfit(&why));
            return;
        }
        if let Some(why) = suspend::why(self, account) {
            self.turn_away(ctx, door, Refused::Unfit(&why));
            return;
        }
        if let Some(why) = self.why_no_other(ctx, Some(account)) {
            self.turn_away(ctx, door, Refused::Unfit(&why));
            return;
        }
        if let Proof::Knows(code) = proof
            && self.asks_second(account)
        {
            self.ask_second(ctx, door, account, device, code);
            return;
        }
        self.forget_first_factor(ctx.conn);
        let is_new = self.login(ctx, account, device);
        match door {
            Door::Sasl => {
                ctx.reply.numeric(Numeric::RPL_SASLSUCCESS, &[], Some("SASL authentication successful"));
            }
            Door::Pass => {
                self.try_register(ctx);
                return;
            }
            Door::NickServ => services::say(ctx, "NickServ", "You are now logged in"),
            Door::Made => {}
        }
        let Some(user) = ctx.user.filter(|_| is_new) else { return };
        if door != Door::Made {
            chathistory::replay(self, ctx, Occasion::LoggedIn);
        }
        // To another connection, and at another login, no more of it was shown than of any.
        if let Some(contacts) = &mut self.network.users[user].contacts {
            contacts.begun.clear();
        }
    }

    /// Tells somebody that they are not let in.
    pub fn turn_away(&mut self, ctx: &mut Ctx, door: Door, refused: Refused<'_>) {
        if let Refused::Wrong(name) = refused {
            self.login_failed(ctx.conn, name);
        }
        let why = if let Refused::Unfit(why) = refused { why } else { refused.text() };
        match door {
            Door::Sasl => {
                ctx.reply.numeric(Numeric::ERR_SASLFAIL, &[], Some(&format!("SASL authentication failed: {why}")));
            }
            Door::Pass => {
                ctx.reply.notice(&format!("PASS account:password did not log you in: {why}"));
                self.try_register(ctx);
            }
            Door::NickServ => {
                // Somebody who is may have been asked to prove it again.
                let is_in = self.session(ctx.conn).is_some_and(|session| session.account.is_some());
                let what = if is_in { "You are logged in as before, and no more" } else { "You are not logged in" };
                services::say(ctx, "NickServ", &format!("{what}: {why}"));
            }
            Door::Made => {}
        }
    }

    /// A text that was never used before, for [`scram::nonce`].
    fn unique(&mut self) -> String {
        self.next_serial += 1;
        // The time, too: a database that was restored counts its starts again from where it was.
        format!("{} {} {}", self.boot, self.now.unix_ms, self.next_serial)
    }

    /// The code that says that something is meant: the same each time for the same.
    pub fn confirmation(&self, what: &str) -> String {
        scram::nonce_text(&self.secret, &format!("confirm {what}"))
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect()
    }

    /// A nonce for SCRAM.
    pub fn nonce(&mut self) -> String {
        let unique = self.unique();
        scram::nonce_text(&self.secret, &unique)
    }

    /// 32 bytes that nobody can foresee.
    pub fn challenge(&mut self) -> Vec<u8> {
        let unique = self.unique();
        scram::nonce(&self.secret, &unique)
    }

    /// What SCRAM is to check a proof against; where the account has nothing, or is not there, what no
    /// proof fits, made in the same way so that nobody can tell.
    pub fn scram_credential(&self, hash: Hash, name: &str) -> scram::Credential {
        let folded = self.network.fold(name);
        let faked = scram::Credential::fake(hash, &self.secret, folded.as_str(), self.settings.scram_iterations);
        let account = self.network.account_by_name(name).and_then(|row| self.network.credentials(row.id));
        let own = account.and_then(|kept| kept.scram.iter().find(|credential| credential.hash == hash));
        own.cloned().unwrap_or(faked)
    }

    /// Why a connection that is logged in cannot log in to another account: its nick would go along, with others on it that
    /// are not logged in to that, or with all that stays there. `None` for an account that is still to be made.
    pub(super) fn why_no_other(&self, ctx: &Ctx, account: Option<AccountId>) -> Option<String> {
        let user = ctx.user?;
        let there = &self.network.users[user];
        if account.is_some() && there.account == account || there.sessions.len() == 1 && !self.stays(user) {
            return None;
        }
        let name = there.account_name.as_deref().unwrap_or("*");
        let nick = &there.nick;
        Some(format!(
            "you are here as {name}, and so is all else that is or stays on the nick {nick}: log in to another account by a \
             connection of its own"
        ))
    }

    /// Logs a connection in: 900, and ACCOUNT to whom it concerns. Only [`Server::admit`] leads here. Whether it
    /// was not logged in as this device before.
    fn login(&mut self, ctx: &mut Ctx, account: AccountId, device: &str) -> bool {
        let Some(row) = self.network.account(account) else { return false };
        let name = row.name.clone();
        let Some(session) = self.session(ctx.conn) else { return false };
        let user = session.user;
        // Whoever logs in again as the same device is where it was, but for what it has proved.
        let is_new = session.account != Some(account) || *session.device != *device;
        if is_new {
            self.set_session_account(ctx.conn, account, device);
        } else {
            self.note_proof(ctx.conn);
        }
        let mask = match user {
            Some(user) => self.network.users[user].source.to_string(),
            None => format!("{}!*@*", ctx.reply.nick),
        };
        ctx.reply.numeric(Numeric::RPL_LOGGEDIN, &[&mask, &name], Some(&format!("You are now logged in as {name}")));
        if let Some(user) = user {
            // Whoever logs in again to the same account changes nothing that others see.
            if self.network.users[user].account != Some(account) {
                self.submit(ctx, Change::LoggedIn { user, account, name });
            }
        }
        is_new
    }

    /// A connection is one of another account, or another device's.
    fn set_session_account(&mut self, conn: ConnId, account: AccountId, device: &str) {
        let Some(row) = self.network.account(account) else { return };
        let (name, replays, last) = (row.name.clone(), row.autoreplay_missed, self.last_seq);
        let Some(session) = self.session(conn) else { return };
        if let Some(old) = session.account {
            // What was being replayed to that device it may not have read; this one is another.
            let seen = self.read_at_end(session, last);
            self.settle_silent(conn, seen);
            let Some(session) = self.session(conn) else { return };
            let owed = self.owed_at_end(session, seen);
            let old_device = session.device.clone();
            let owes = !owed.is_empty() || !self.network.told(old, &old_device).is_empty();
            self.note_own_said(conn, old, &old_device, seen, owes);
            let Some(session) = self.session_mut(conn) else { return };
            let particulars = session.particulars_mut();
            (particulars.owed, particulars.given) = Default::default();
            (particulars.unread, particulars.reading, particulars.confirmed) = (None, None, false);
            (particulars.replayed, particulars.more) = Default::default();
            self.owe(conn, old, &old_device, &owed, seen);
            self.device_left(conn, old, &old_device, seen);
        }
        let mark = self.mark_of(conn, account, device);
        let owed = self.hand_over_owed(conn, account, device);
        let Some(session) = self.session_mut(conn) else { return };
        session.account = Some(account);
        session.account_name = Some(name);
        session.device = device.into();
        (session.mark, session.replays) = (mark, replays);
        if !owed.is_empty() {
            session.particulars_mut().owed = owed;
        }
        let registered = session.user.is_some();
        self.note_proof(conn);
        self.device_came(conn, account, device);
        self.end_most_silent(conn, account, device);
        if registered {
            if self.session(conn).is_some_and(|session| self.is_replayed(session)) {
                self.begin_reading(conn, last);
            }
            self.note_behind(conn);
            self.note_came(account, device, mark);
        }
    }

    /// Ends the connection of a device that was silent longest, where the device has more than it may have with this one.
    fn end_most_silent(&mut self, conn: ConnId, account: AccountId, device: &str) {
        let conns = self.network.connected(account, device).map_or(&[][..], |connected| &connected.conns);
        if device.is_empty() || conns.len() <= limits::DEVICE_CONNECTIONS {
            return;
        }
        let others = conns.iter().filter(|other| **other != conn).filter_map(|other| self.session(*other));
        if let Some(silent) = others.min_by_key(|other| other.heard).map(|other| other.conn) {
            self.close(silent, "Your device has too many connections, and this one was silent longest");
        }
    }

    /// A connection has logged in; by what, where that can be taken away, is noted afterwards.
    fn note_proof(&mut self, conn: ConnId) {
        let Some(session) = self.session_mut(conn) else { return };
        // Most have none, and need no place for it.
        let there = session.particulars();
        if there.app.is_some() || there.by.is_some() || there.has_old_password {
            let particulars = session.particulars_mut();
            (particulars.app, particulars.by, particulars.has_old_password) = (None, None, false);
        }
    }

    /// Notes by what a connection has logged in, if it is logged in to this account.
    pub(super) fn note_by(&mut self, conn: ConnId, account: AccountId, by: LoginBy) {
        if let Some(session) = self.session_mut(conn).filter(|session| session.account == Some(account)) {
            session.particulars_mut().by = Some(by);
        }
    }

    /// The connections that have logged in to an account by something that it no longer logs in with, but this one.
    pub(super) fn logged_in_by(&self, account: AccountId, but: ConnId, is: impl Fn(&LoginBy) -> bool) -> Vec<ConnId> {
        let sessions = self.all_sessions().filter(|session| session.account == Some(account) && session.conn != but);
        sessions
            .filter(|session| session.particulars().by.as_ref().is_some_and(&is))
            .map(|session| session.conn)
            .collect()
    }

    /// An account has got another password: what these connections have proved was perhaps the old one, but for those that
    /// came by an app password. How many are doubted.
    pub(super) fn doubt(&mut self, conns: &[ConnId]) -> usize {
        let mut doubted = 0;
        for conn in conns {
            if let Some(session) = self.session_mut(*conn).filter(|session| session.particulars().app.is_none()) {
                session.particulars_mut().has_old_password = true;
                doubted += 1;
            }
        }
        doubted
    }

    /// Gives a user an account, and tells whom it concerns.
    pub(super) fn set_account(&mut self, ctx: &mut Ctx, user: UserId, account: AccountId, name: Arc<str>) {
        let is_another = self.network.users[user].account != Some(account);
        let forgotten = if is_another { self.forget_presence(user) } else { 0 };
        let former = self.network.users[user].account.and_then(|account| self.vhost_of(account));
        self.network.set_login(user, Some((account, name)));
        self.note_former_vhost(user);
        let kept = self.keep_presence(user);
        self.notify(About::Accounts, |server| server.network.users[user].described("is logged in", "login"));
        let there = &self.network.users[user];
        let mut line = Vec::with_capacity(96);
        write_line(&mut line, &there.source, "ACCOUNT", &[there.account_name.as_deref().unwrap_or("*")], None);
        let mut frame = self.frame_from(user, line);
        frame.forms[0].needs = CapSet::of(&[Cap::AccountNotify]);
        frame.after = kept.max(forgotten);
        ctx.reply.frame(&frame);
        let neighbours = self.network.neighbours(user);
        let frame = Arc::new(frame);
        self.frame_to_users(&neighbours, frame.clone(), Some(ctx.conn));
        command::monitor::extend(self, user, &frame, &neighbours);
        for channel in &self.network.users[user].channels {
            self.network.channels[*channel].listeners = None;
        }
        if let Some(host) = self.vhost_of(account) {
            vhost::set(self, ctx, user, &host);
        } else if former.is_some_and(|former| former == self.network.users[user].host) {
            // A host that was given to the other account is that account's.
            let host = hostserv::plain_host(self, user);
            vhost::set(self, ctx, user, &host);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use ircv3::sasl::scram::{Credential, Hash};

    use crate::accounts::Secrets;
    use crate::limits;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{ConnId, Event, Returned};
    use crate::server::record::{AccountId, AccountRow, CodeRow, Purpose, SubscriptionRow};
    use crate::server::session::LoginBy;

    fn secrets(password: &str) -> Returned {
        Returned::Hashed(Box::new(Secrets { hash: format!("h:{password}").into(), scram: scram(password) }))
    }

    fn scram(password: &str) -> Vec<Credential> {
        Hash::ALL.map(|hash| Credential::derive(hash, password, b"0123456789abcdef", 1)).to_vec()
    }

    #[test]
    fn a_password_that_was_replaced_while_it_was_compared_neither_logs_in_nor_comes_back() {
        let mut asked = Asked::new();
        let (alice, guest) = (asked.user("alice"), asked.user_with("guest", "sasl"));
        asked.ask(alice, "REGISTER * * old");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, secrets("old")));

        asked.ask(guest, "AUTHENTICATE PLAIN");
        asked.ask(guest, "AUTHENTICATE AGFsaWNlAG9sZA==");
        let compared = asked.calls()[0].0;
        asked.ask(alice, "NS PASSWD new new");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, secrets("new")));
        asked.handle(Event::Returned(compared, Returned::Derived(scram("old"))));
        let lines = asked.sent(guest);
        assert!(lines.len() == 1 && lines[0].starts_with(":irc.test 904 guest "), "{lines:?}");
        let account = asked.server.network.account_by_name("alice").unwrap().id;
        assert_eq!(asked.server.network.credentials(account).unwrap().scram, scram("new"));
    }

    #[test]
    fn passwd_takes_the_old_password_too_where_that_is_right() {
        let mut asked = Asked::new();
        let alice = with_account(&mut asked, "alice", "");
        assert!(asked.ask(alice, "NS PASSWD sesame new other").concat().contains("differ"));
        for right in [false, true] {
            asked.ask(alice, "NS PASSWD sesame new new");
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, Returned::Verified(right)));
            let told = asked.sent(alice).concat();
            assert_eq!((told.contains("old password is wrong"), asked.calls().len()), (!right, usize::from(right)));
        }
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, secrets("new")));
        assert!(asked.sent(alice).concat().contains("Password changed"));
    }

    /// Somebody with an account, whose password is `sesame`.
    fn with_account(asked: &mut Asked, nick: &str, caps: &str) -> ConnId {
        let conn = asked.user_with(nick, caps);
        asked.ask(conn, "REGISTER * * sesame");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, secrets("sesame")));
        conn
    }

    fn plain(asked: &mut Asked, conn: ConnId, name: &str, password: &str) -> String {
        asked.ask(conn, "AUTHENTICATE PLAIN");
        let response = STANDARD.encode(format!("\0{name}\0{password}"));
        let lines = asked.ask(conn, &format!("AUTHENTICATE {response}"));
        let Some(call) = asked.calls().first().map(|(id, _)| *id) else { return lines.concat() };
        asked.handle(Event::Returned(call, Returned::Verified(true)));
        asked.sent(conn).concat()
    }

    #[test]
    fn c15_two_hundred_wrong_tries_are_compared_one_by_one_and_everyone_else_is_answered_in_between() {
        let mut asked = Asked::new();
        with_account(&mut asked, "alice", "");
        let (mallory, bob) = (asked.user_with("mallory", "sasl"), asked.user("bob"));
        let wrong = format!("AUTHENTICATE {}", STANDARD.encode("\0alice\0wrong"));
        for _ in 0..200 {
            asked.ask(mallory, "AUTHENTICATE PLAIN");
            asked.ask(mallory, &wrong);
            // It is with those who hash, and mallory, who does not wait for it, has no second one there.
            let [(call, _)] = asked.calls() else { panic!("{:?}", asked.calls()) };
            let call = *call;
            for line in ["AUTHENTICATE PLAIN", &wrong, "AUTHENTICATE *"] {
                assert!(asked.ask(mallory, line).is_empty() && asked.calls().is_empty());
            }
            assert_eq!(asked.ask(bob, "PING now"), [":irc.test PONG irc.test :now"]);
            asked.handle(Event::Returned(call, Returned::Verified(false)));
            let again = asked.calls().first().map(|(call, _)| *call);
            let answers = asked.sent(mallory);
            assert!(answers[0].contains(" 904 "), "{answers:?}");
            if let Some(call) = again {
                assert_eq!(asked.ask(bob, "PING now"), [":irc.test PONG irc.test :now"]);
                asked.handle(Event::Returned(call, Returned::Verified(false)));
                assert!(asked.sent(mallory)[0].contains(" 904 "));
            }
        }
    }

    fn app_password(asked: &mut Asked, conn: ConnId) -> String {
        asked.ask(conn, "NS APPPASS ADD phone")[0].rsplit_once(' ').unwrap().1.to_owned()
    }

    #[test]
    fn an_app_password_neither_takes_an_account_over_nor_deletes_it() {
        let mut asked = Asked::new();
        let alice = with_account(&mut asked, "alice", "");
        let app = app_password(&mut asked, alice);
        let phone = asked.user_with("phone", "sasl draft/account-2fa");
        assert!(plain(&mut asked, phone, "alice", &app).contains(" 903 "));
        let fingerprint = "ab".repeat(32);
        for line in [
            "PASSWD other other",
            &format!("CERT ADD {fingerprint}"),
            "SET EMAIL mallory@example.org",
            "SET PUBKEY OFF",
            "SET HISTORY OFF",
            "SET HISTORY-RETENTION 1m",
            "APPPASS ADD tablet",
            "2FA ADD",
            "UNREGISTER alice",
            "ERASEMESSAGES",
            "GROUP",
            "UNGROUP alice2",
            "EXPORT",
        ] {
            let told = asked.ask(phone, &format!("NS {line}")).concat();
            assert!(told.contains("app password") && asked.calls().is_empty(), "{line}: {told}");
        }
        let code = asked.server.confirmation(&format!("UNREGISTER {}", account_of(&asked, "alice")));
        asked.ask(phone, &format!("NS UNREGISTER alice {code}"));
        assert!(asked.server.network.account_by_name("alice").is_some());
        // With the password itself they are all there.
        assert!(plain(&mut asked, phone, "alice", "sesame").contains(" 903 "));
        assert!(asked.ask(phone, "NS UNREGISTER alice").concat().contains(&code));
    }

    #[test]
    fn another_password_by_a_code_or_an_operator_ends_what_came_by_the_old_one_and_no_presence() {
        for by_operator in [false, true] {
            let mut asked = Asked::new();
            let thief = with_account(&mut asked, "alice", "");
            asked.ask(thief, "NS SET ALWAYS-ON ON");
            asked.ask(thief, "NS APPPASS ADD phone");
            asked.ask(thief, &format!("NS CERT ADD {}", "ab".repeat(32)));
            let account = account_of(&asked, "alice");
            let code = |purpose, code: &str, email: &str| CodeRow {
                account,
                purpose,
                code: code.into(),
                email: email.into(),
                expires: asked.now.unix_ms / 1000 + 60,
                mailed: true,
            };
            let codes =
                [code(Purpose::Password, "mine", "a@example.org"), code(Purpose::Email, "evil", "t@evil.example")];
            codes.into_iter().for_each(|row| asked.server.network.put_code(row));
            let (at_the_door, owner) = (asked.open(), asked.user("owner"));
            asked.ask(at_the_door, "CAP REQ sasl");
            assert!(plain(&mut asked, at_the_door, "alice", "sesame").contains(" 903 "));
            // The thief would have another one of its own by the time that this one is there.
            asked.ask(thief, "NS PASSWD gotcha gotcha");
            let late = asked.calls()[0].0;
            if by_operator {
                asked.set_oper("owner");
            }
            let line = if by_operator { "NS SAPASSWD alice new" } else { "NS RESETPASS alice mine new" };
            asked.ask(owner, line);
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, secrets("new")));
            let told = asked.sent(owner).concat();
            for part in ["2 other connections", "t@evil.example is over", "1 app password (", "1 certificate ("] {
                assert!(told.contains(part), "{line}: {told}");
            }
            assert!(asked.server.session(at_the_door).is_none_or(|session| session.closing));
            assert!(asked.server.session(thief).is_none_or(|session| session.closing));
            assert_eq!(asked.server.network.users[asked.id("alice")].account, Some(account), "it is still there");
            asked.handle(Event::Returned(late, secrets("gotcha")));
            assert_eq!(*asked.server.network.account(account).unwrap().password, *"h:new");
            assert!(asked.server.network.codes().next().is_none());
        }
    }

    #[test]
    fn after_another_password_the_other_connections_change_no_credentials_until_they_log_in_again() {
        let mut asked = Asked::new();
        let alice = with_account(&mut asked, "alice", "");
        let thief = asked.user_with("thief", "sasl draft/account-2fa");
        assert!(plain(&mut asked, thief, "alice", "sesame").contains(" 903 "));
        asked.ask(thief, "NS PASSWD gotcha gotcha");
        let late = asked.calls()[0].0;
        asked.ask(alice, "NS PASSWD new new");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, secrets("new")));
        let told = asked.sent(alice).concat();
        assert!(told.contains("1 other connection of yours is still logged in"), "{told}");
        asked.handle(Event::Returned(late, secrets("gotcha")));
        let told = asked.sent(thief).concat();
        assert!(told.contains("log in again"), "{told}");
        assert_eq!(*asked.server.network.account_by_name("alice").unwrap().password, *"h:new");
        let code = asked.server.confirmation(&format!("UNREGISTER {}", account_of(&asked, "alice")));
        for line in [
            "NS PASSWD other other",
            "NS PASSWD sesame other other",
            &format!("NS CERT ADD {}", "ab".repeat(32)),
            "NS SET EMAIL mallory@example.org",
            "NS VERIFYEMAIL abcd",
            "NS SET PUBKEY OFF",
            "NS APPPASS ADD tablet",
            "NS 2FA ADD",
            "2FA CHALLENGE totp",
            &format!("NS UNREGISTER alice {code}"),
            "NS ERASEMESSAGES",
            "NS GROUP",
            "NS UNGROUP alice2",
            "NS EXPORT",
            "HistServ EXPORT",
        ] {
            let told = asked.ask(thief, line).concat();
            assert!(told.contains("log in again") && asked.calls().is_empty(), "{line}: {told}");
        }
        // It talks as before, and so does whoever changed the password change it.
        assert!(asked.ask(thief, "PRIVMSG alice :hi").is_empty());
        assert!(!asked.ask(alice, "NS UNREGISTER alice").concat().contains("log in again"));
        assert!(plain(&mut asked, thief, "alice", "new").contains(" 903 "));
        assert!(asked.ask(thief, "NS UNREGISTER alice").concat().contains(&code));
    }

    #[test]
    fn a_login_to_another_account_takes_no_other_connection_along_nor_what_stays_on_the_nick() {
        let mut asked = Asked::new();
        let alice = with_account(&mut asked, "alice", "");
        let app = app_password(&mut asked, alice);
        asked.ask(alice, "QUIT");
        let mallory = with_account(&mut asked, "mallory", "sasl");
        let second = asked.open();
        asked.ask(second, "CAP REQ sasl");
        assert!(plain(&mut asked, second, "mallory", "sesame").contains(" 903 "));
        for line in ["NICK mallory", "USER u 0 * :a", "CAP END"] {
            asked.ask(second, line);
        }
        assert_eq!(asked.server.session(second).unwrap().user, Some(asked.id("mallory")));
        let account = account_of(&asked, "mallory");
        for (conn, password) in [(mallory, &*app), (second, "sesame")] {
            let told = plain(&mut asked, conn, "alice", password);
            assert!(told.contains(" 904 ") && told.contains("on the nick mallory"), "{told}");
        }
        for conn in [mallory, second] {
            assert_eq!(asked.server.session(conn).unwrap().account, Some(account));
            assert!(plain(&mut asked, conn, "mallory", "sesame").contains(" 903 "), "to its own it may");
        }
        // Once it is alone it may, but for what stays there without it.
        asked.ask(second, "QUIT");
        asked.ask(mallory, "NS SET ALWAYS-ON ON");
        assert!(plain(&mut asked, mallory, "alice", &app).contains(" 904 "));
        asked.ask(mallory, "NS SET ALWAYS-ON OFF");
        assert!(plain(&mut asked, mallory, "alice", &app).contains(" 903 "));
        assert!(asked.ask(mallory, "NS PASSWD other other").concat().contains("app password"));
    }

    #[test]
    fn what_another_connection_has_given_oper_for_one_that_came_by_an_app_password_may_not_do() {
        let mut asked = Asked::new();
        let boss = with_account(&mut asked, "boss", "");
        let app = app_password(&mut asked, boss);
        with_account(&mut asked, "bob", "");
        asked.set_oper("boss");
        let phone = asked.open();
        asked.ask(phone, "CAP REQ sasl");
        assert!(plain(&mut asked, phone, "boss", &app).contains(" 903 "));
        for line in ["NICK boss", "USER u 0 * :a", "CAP END"] {
            asked.ask(phone, line);
        }
        assert_eq!(asked.server.session(phone).unwrap().user, Some(asked.id("boss")));
        // It is told nothing of what operators are, either.
        asked.ask(boss, "MODE boss +s c");
        let newcomer = asked.open();
        asked.ask(newcomer, "NICK newcomer");
        asked.ask(newcomer, "USER u 0 * :a");
        let heard = |asked: &Asked, conn| asked.sent(conn).concat().contains("newcomer");
        assert!(heard(&asked, boss) && !heard(&asked, phone));
        asked.user_with("carol", "");
        assert!(!asked.ask(phone, "WHOIS carol").concat().contains(" 338 "));
        assert!(asked.ask(boss, "WHOIS carol").concat().contains(" 338 "));
        for line in ["NS SAPASSWD bob other", "KILL bob :bye", "CS LIST"] {
            let told = asked.ask(phone, line).concat();
            assert!(told.contains(" 481 ") && told.contains("app password"), "{line}: {told}");
            assert!(asked.calls().is_empty(), "{line}");
        }
        assert!(!asked.ask(boss, "CS LIST").concat().contains(" 481 "));
        // It sees what anybody does, and writes to whom anybody may.
        let dora = asked.user("dora");
        for line in ["JOIN #secret", "MODE #secret +s", "MODE dora +gi"] {
            asked.ask(dora, line);
        }
        for (line, is_told) in [
            ("WHOIS dora", "#secret"),
            ("NAMES #secret", " 353 "),
            ("WHO #secret", " 352 "),
            ("LIST", "#secret"),
            ("MODE #secret", " 324 "),
            ("WHO dora*", " 352 "),
        ] {
            for (conn, sees) in [(phone, false), (boss, true)] {
                let told = asked.ask(conn, line).concat();
                assert_eq!(told.contains(is_told), sees, "{line}: {told}");
            }
        }
        for (conn, refused) in [(phone, true), (boss, false)] {
            assert_eq!(asked.ask(conn, "PRIVMSG dora :hello").concat().contains(" 716 "), refused);
        }
        // Who proves the rest may.
        assert!(proved(&mut asked, phone, "NS IDENTIFY boss sesame").contains("You are now logged in"));
        assert!(!asked.ask(phone, "CS LIST").concat().contains(" 481 "));
    }

    #[test]
    fn what_logs_in_no_more_ends_the_connections_that_have_logged_in_by_it() {
        for key in [false, true] {
            let mut asked = Asked::new();
            let alice = with_account(&mut asked, "alice", "");
            let (thief, other) = (asked.user_with("thief", "sasl"), asked.user_with("other", "sasl"));
            let account = account_of(&asked, "alice");
            let fingerprint = "ab".repeat(32);
            let (by, add, take) = if key {
                let point = "SET PUBKEY A/v5dvHt6OS4DCnWgbDzYTYWY1GnVuSMjcLBXQfHVhlZ";
                (LoginBy::Key, format!("NS {point}"), "NS SET PUBKEY OFF".to_owned())
            } else {
                let by = LoginBy::Certificate((*fingerprint).into());
                (by, format!("NS CERT ADD {fingerprint}"), format!("NS CERT DEL {fingerprint}"))
            };
            let told = asked.ask(alice, &add).concat();
            assert!(told.contains("logs in to your account"), "{told}");
            for conn in [thief, other] {
                assert!(plain(&mut asked, conn, "alice", "sesame").contains(" 903 "));
            }
            let row = |by, endpoint: &str| SubscriptionRow {
                account,
                endpoint: endpoint.into(),
                keys: crate::server::push::tests::KEYS.parse().unwrap(),
                vapid: 1,
                device: "".into(),
                app: "".into(),
                by,
                caps: "".into(),
                made: 0,
                renewed: 0,
                reached: 0,
            };
            asked.server.network.put_subscription(row(Some(by.clone()), "https://push.example.org/thief"));
            asked.server.network.put_subscription(row(None, "https://push.example.org/alice"));
            asked.server.note_by(thief, account, by);
            let told = asked.ask(alice, &take).concat();
            let left = asked.server.network.subscriptions(account).iter().map(|row| &*row.endpoint);
            assert_eq!(left.collect::<Vec<_>>(), ["https://push.example.org/alice"], "nor is it pushed to any more");
            assert!(asked.server.session(thief).is_none_or(|session| session.closing), "{told}");
            assert!(asked.server.session(other).is_some_and(|session| !session.closing));
        }
    }

    #[test]
    fn who_has_a_certificate_and_takes_it_over_ends_what_has_logged_in_by_it_elsewhere() {
        let mut asked = Asked::new();
        let (alice, bob) = (with_account(&mut asked, "alice", ""), with_account(&mut asked, "bob", ""));
        let fingerprint = "ab".repeat(32);
        let account = account_of(&asked, "alice");
        asked.ask(alice, &format!("NS CERT ADD {fingerprint}"));
        let other = asked.user_with("other", "sasl");
        assert!(plain(&mut asked, other, "alice", "sesame").contains(" 903 "));
        asked.server.note_by(other, account, LoginBy::Certificate((*fingerprint).into()));
        asked.server.session_mut(bob).unwrap().peer.certfp = Some((*fingerprint).into());
        assert!(asked.ask(bob, "NS CERT ADD").concat().contains("logs in to your account"));
        assert!(asked.server.session(other).is_none_or(|session| session.closing));
        assert!(asked.sent(alice).concat().contains("no longer logs in to your account"));
    }

    #[test]
    fn of_too_many_connections_of_a_device_the_one_ends_that_was_silent_longest() {
        let mut asked = Asked::new();
        let first = asked.device("alice", 1, "phone", "server-time");
        let second = asked.device("alice", 1, "phone", "server-time");
        asked.now.mono_ms += 1;
        asked.ask(first, "PING x");
        for _ in 2..limits::DEVICE_CONNECTIONS {
            asked.device("alice", 1, "phone", "server-time");
        }
        assert!(asked.server.session(second).is_some_and(|session| !session.closing));
        let last = asked.device("alice", 1, "phone", "server-time");
        assert!(asked.server.session(second).is_none_or(|session| session.closing));
        for conn in [first, last] {
            assert!(asked.server.session(conn).is_some_and(|session| !session.closing));
        }
        // Of clients without a name each may be another.
        let unnamed: Vec<ConnId> =
            (0..=limits::DEVICE_CONNECTIONS).map(|_| asked.device("alice", 1, "", "server-time")).collect();
        assert!(unnamed.iter().all(|conn| asked.server.session(*conn).is_some_and(|session| !session.closing)));
    }

    /// Gives a line whose password is compared, and is right.
    fn proved(asked: &mut Asked, conn: ConnId, line: &str) -> String {
        let told = asked.ask(conn, line).concat();
        let [(call, _)] = asked.calls() else { panic!("{line}: {told}") };
        let call = *call;
        asked.handle(Event::Returned(call, Returned::Verified(true)));
        asked.sent(conn).concat()
    }

    #[test]
    fn who_has_to_log_in_again_does_so_by_identify_and_stays_the_same_device() {
        let mut asked = Asked::new();
        let alice = with_account(&mut asked, "alice", "");
        let app = app_password(&mut asked, alice);
        let other = asked.user("other");
        let mallory = AccountRow {
            folded: "mallory".into(),
            name: "mallory".into(),
            id: 999,
            ..asked.server.network.account_by_name("alice").cloned().unwrap()
        };
        asked.server.network.put_account(mallory);
        proved(&mut asked, other, "NS IDENTIFY alice@tab sesame");
        let phone = asked.user_with("phone", "sasl");
        assert!(plain(&mut asked, phone, "alice", &app).contains(" 903 "));
        asked.ask(alice, "NS PASSWD new new");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, secrets("new")));
        let told = asked.sent(alice).concat();
        assert!(told.contains("1 other connection of yours is still logged in"), "{told}");
        assert!(told.contains("1 other connection of yours is logged in by app passwords"), "{told}");
        for (conn, device, line) in [(other, "tab", "NS IDENTIFY alice new"), (phone, "phone", "NS IDENTIFY new")] {
            assert!(asked.ask(conn, "NS APPPASS LIST").concat().contains("NickServ IDENTIFY <account> <password>"));
            // To no other account, and not without the password, which may be of several words.
            assert!(asked.ask(conn, "NS IDENTIFY mallory new").concat().contains("logged in to an account already"));
            asked.ask(conn, line);
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, Returned::Verified(false)));
            let told = asked.sent(conn).concat();
            assert!(told.contains("logged in as before") && told.contains("is wrong"), "{told}");
            asked.ask(conn, "NS IDENTIFY my phrase");
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, Returned::Verified(false)));
            assert!(asked.server.why_no_credentials(conn).is_some());
            assert!(proved(&mut asked, conn, line).contains("You are now logged in"), "{line}");
            assert_eq!(asked.server.why_no_credentials(conn), None);
            assert_eq!(&*asked.server.session(conn).unwrap().device, device);
            assert!(asked.ask(conn, line).concat().contains("logged in to an account already"));
        }
    }

    #[test]
    fn an_operator_does_to_their_own_account_no_more_over_a_connection_than_anybody() {
        let mut asked = Asked::new();
        let boss = with_account(&mut asked, "boss", "");
        let app = app_password(&mut asked, boss);
        let away = asked.user_with("away", "sasl");
        assert!(plain(&mut asked, away, "boss", &app).contains(" 903 "));
        asked.set_oper("away");
        with_account(&mut asked, "bob", "");
        for line in [
            "NS SAPASSWD boss other",
            "NS SASET boss EMAIL mallory@example.org",
            "NS SA2FA OFF boss",
            "NS SADROP boss",
            "NS ERASE boss",
            "HistServ FORGET boss",
            "HistServ EXPORT boss",
        ] {
            let told = asked.ask(away, line).concat();
            assert!(told.contains("app password") && asked.calls().is_empty(), "{line}: {told}");
            let told = asked.ask(away, &line.replace("boss", "bob")).concat();
            assert!(!told.contains("app password"), "{line}: {told}");
            if let Some(call) = asked.calls().first().map(|(call, _)| *call) {
                asked.handle(Event::Returned(call, secrets("other")));
            }
        }
        // What was hashed meanwhile does not go around it either.
        proved(&mut asked, away, "NS IDENTIFY boss sesame");
        asked.ask(away, "NS SAPASSWD boss other");
        let call = asked.calls()[0].0;
        asked.server.session_mut(away).unwrap().particulars_mut().app = Some("phone".into());
        asked.handle(Event::Returned(call, secrets("other")));
        assert_eq!(*asked.server.network.account_by_name("boss").unwrap().password, *"h:sesame");
    }

    fn account_of(asked: &Asked, name: &str) -> AccountId {
        asked.server.network.account_by_name(name).unwrap().id
    }

    /// A client of SCRAM that knows the password.
    fn scram_first(asked: &mut Asked, conn: ConnId, name: &str) -> String {
        asked.ask(conn, "AUTHENTICATE SCRAM-SHA-256");
        let first = STANDARD.encode(format!("n,,n={name},r=clientnonce"));
        let answer = asked.ask(conn, &format!("AUTHENTICATE {first}")).concat();
        let answer = STANDARD.decode(answer.strip_prefix("AUTHENTICATE ").unwrap()).unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn scram_final(server_first: &str, name: &str, password: &str) -> String {
        let part = |key: &str| server_first.split(',').find_map(|part| part.strip_prefix(key)).unwrap().to_owned();
        let without = format!("c=biws,r={}", part("r="));
        let message = format!("n={name},r=clientnonce,{server_first},{without}");
        let (salt, rounds) = (STANDARD.decode(part("s=")).unwrap(), part("i=").parse().unwrap());
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password.as_bytes(), &salt, rounds, &mut salted);
        let mac = |key: &[u8], text: &[u8]| {
            Hmac::<sha2::Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes()
        };
        let client = mac(&salted, b"Client Key");
        let stored = <sha2::Sha256 as sha2::Digest>::digest(client);
        let proof: Vec<u8> =
            client.iter().zip(mac(&stored, message.as_bytes())).map(|(one, other)| one ^ other).collect();
        STANDARD.encode(format!("{without},p={}", STANDARD.encode(proof)))
    }

    #[test]
    fn a_scram_exchange_that_began_before_the_password_was_replaced_does_not_log_in() {
        for last in [false, true] {
            let mut asked = Asked::new();
            let (alice, guest) = (with_account(&mut asked, "alice", ""), asked.user_with("guest", "sasl"));
            let first = scram_first(&mut asked, guest, "alice");
            let proof = scram_final(&first, "alice", "sesame");
            if last {
                asked.ask(guest, &format!("AUTHENTICATE {proof}"));
            }
            asked.ask(alice, "NS PASSWD new new");
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, secrets("new")));
            if !last {
                let told = asked.ask(guest, &format!("AUTHENTICATE {proof}")).concat();
                if told.starts_with("AUTHENTICATE ") {
                    asked.ask(guest, "AUTHENTICATE +");
                }
            } else {
                asked.ask(guest, "AUTHENTICATE +");
            }
            assert_eq!(asked.server.session(guest).unwrap().account, None, "{last}");
            // Without that it does.
            asked.ask(alice, "NS PASSWD sesame sesame");
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, secrets("sesame")));
            let first = scram_first(&mut asked, guest, "alice");
            asked.ask(guest, &format!("AUTHENTICATE {}", scram_final(&first, "alice", "sesame")));
            assert!(asked.ask(guest, "AUTHENTICATE +").concat().contains(" 903 "));
        }
    }

    /// Anna, with whose account the nick annie is grouped, and who is gone.
    fn with_grouped_nick() -> Asked {
        let mut asked = Asked::new();
        let anna = with_account(&mut asked, "Anna", "");
        asked.ask(anna, "NICK annie");
        assert!(asked.ask(anna, "NS GROUP").concat().contains("is a nick of your account"));
        asked.ask(anna, "QUIT");
        asked
    }

    fn logged_in_as(asked: &Asked, conn: ConnId) -> Option<&str> {
        asked.server.session(conn).unwrap().account_name.as_deref()
    }

    #[test]
    fn a_grouped_nick_logs_in_to_its_account_by_every_door() {
        let mut asked = with_grouped_nick();
        let guest = asked.user_with("guest", "sasl");
        assert!(plain(&mut asked, guest, "Annie", "sesame").contains(" 903 "));
        assert_eq!(logged_in_as(&asked, guest), Some("Anna"));

        let second = asked.user_with("second", "sasl");
        let first = scram_first(&mut asked, second, "annie");
        asked.ask(second, &format!("AUTHENTICATE {}", scram_final(&first, "annie", "sesame")));
        assert!(asked.ask(second, "AUTHENTICATE +").concat().contains(" 903 "));
        assert_eq!(logged_in_as(&asked, second), Some("Anna"));

        let third = asked.user("third");
        asked.ask(third, "NS IDENTIFY annie sesame");
        let call = asked.calls()[0].0;
        asked.handle(Event::Returned(call, Returned::Verified(true)));
        assert_eq!(logged_in_as(&asked, third), Some("Anna"));
    }

    #[test]
    fn whoever_does_not_know_the_password_is_told_the_same_of_a_grouped_nick_as_of_none() {
        let mut told = Vec::new();
        for name in ["annie", "anna", "nobody"] {
            let mut asked = with_grouped_nick();
            let guest = asked.user_with("guest", "sasl");
            let first = scram_first(&mut asked, guest, name);
            let mut lines = asked.ask(guest, &format!("AUTHENTICATE {}", scram_final(&first, name, "wrong")));
            for authzid in [name, "Anna"] {
                asked.ask(guest, "AUTHENTICATE PLAIN");
                let response = STANDARD.encode(format!("{authzid}\0{name}\0wrong"));
                lines.extend(asked.ask(guest, &format!("AUTHENTICATE {response}")));
                if let Some(call) = asked.calls().first().map(|(id, _)| *id) {
                    asked.handle(Event::Returned(call, Returned::Verified(false)));
                    lines.extend(asked.sent(guest));
                }
            }
            told.push((name, lines));
        }
        assert!(told[0].1.len() == 3 && told[0].1.iter().all(|line| line.contains(" 904 ")), "{told:?}");
        assert_eq!(told[0].1, told[2].1);
        assert_eq!(told[0].1[..2], told[1].1[..2]);
    }

    #[test]
    fn a_password_alone_is_of_the_account_of_ones_nick_and_where_that_has_none_the_answer_says_what_to_give() {
        let mut asked = with_grouped_nick();
        let guest = asked.user("anna_");
        let told = asked.ask(guest, "PRIVMSG NickServ :IDENTIFY sesame").concat();
        assert!(told.contains("IDENTIFY <account> <password>") && asked.calls().is_empty(), "{told}");
        // A try that never was one is not counted.
        asked.ask(guest, "NS IDENTIFY annie sesame");
        assert_eq!(asked.calls().len(), 1);
    }

    #[test]
    fn an_operator_who_verifies_an_account_is_not_logged_in_to_it() {
        let mut asked = Asked::new();
        let alice = with_account(&mut asked, "alice", "");
        asked.ask(alice, "QUIT");
        let boss = asked.user("boss");
        asked.set_oper("boss");
        let mut row = asked.server.network.account_by_name("alice").unwrap().clone();
        row.verified = false;
        let account = row.id;
        asked.server.network.put_account(row);
        let code = CodeRow {
            account,
            purpose: Purpose::Register,
            code: "secret".into(),
            email: "alice@example.org".into(),
            expires: asked.now.unix_ms / 1000 + 60,
            mailed: true,
        };
        asked.server.network.put_code(code);
        let told = asked.ask(boss, "NS SAVERIFY alice").concat();
        assert!(told.contains("may be used now") && !told.contains(" 900 "), "{told}");
        assert_eq!(asked.server.session(boss).unwrap().account, None);
        let row = asked.server.network.account(account).unwrap();
        assert!(row.verified && row.email.as_deref() == Some("alice@example.org"));
        let guest = asked.user_with("guest", "sasl");
        assert!(plain(&mut asked, guest, "alice", "sesame").contains(" 903 "));
        assert!(asked.ask(boss, "NS SAVERIFY alice").concat().contains("verified already"));
    }

    #[test]
    fn nonces_and_challenges_never_come_twice() {
        let mut asked = Asked::new();
        let (first, second) = (asked.server.nonce(), asked.server.nonce());
        assert_ne!(first, second);
        assert_ne!(asked.server.challenge(), asked.server.challenge());
        // Nor after a start that is counted like another, of a database that was restored.
        let mut later = Asked::new();
        later.now.unix_ms += 1;
        later.handle(Event::Tick);
        assert_ne!(later.server.nonce(), first);
    }
}
