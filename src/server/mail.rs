//! Codes that are mailed: made, sent once they are kept, sent again where that failed, and over in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use crate::limits;
use crate::mail::{Letter, Smtp};
use crate::server::action::Call;
use crate::server::change::Change;
use crate::server::command::Pending;
use crate::server::event::{CallId, ConnId, Returned};
use crate::server::network::Network;
use crate::server::record::{AccountId, CodeRow, Purpose, Record, Seq};
use crate::server::session::Waiting;
use crate::server::throttle::{Origin, Tried};
use crate::server::{Ctx, Server};

/// How codes are mailed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Through which mail server, and as whom.
    pub smtp: Arc<Smtp>,
    /// The subject, with places for what differs; see [`Mail::letter`].
    pub subject: String,
    /// The text, as the subject.
    pub body: String,
    /// Whether an account needs an address.
    pub required: bool,
    /// Hours that a code holds.
    pub hours: u32,
    /// Letters to one address in an hour.
    pub letters_per_hour: u32,
    /// Domains of addresses that may be given; empty: any.
    pub allowed_domains: Vec<String>,
    /// Domains of addresses that may not.
    pub blocked_domains: Vec<String>,
}

impl Mail {
    /// Whether somebody may give this address.
    pub fn takes(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
        let within = |list: &[String]| {
            list.iter().any(|other| {
                let other = other.to_ascii_lowercase();
                domain == other || domain.strip_suffix(&other).is_some_and(|rest| rest.ends_with('.'))
            })
        };
        (self.allowed_domains.is_empty() || within(&self.allowed_domains)) && !within(&self.blocked_domains)
    }

    /// The letter with a code: `{network}`, `{account}`, `{code}`, `{hours}`, `{purpose}` and `{command}` are
    /// replaced. `now` is in seconds since 1970.
    fn letter(&self, network: &str, account: &str, row: &CodeRow, now: u64) -> Letter {
        let code = &row.code;
        let (purpose, command) = match row.purpose {
            Purpose::Register => {
                (format!("to register the account {account}"), format!("/msg NickServ VERIFY {account} {code}"))
            }
            Purpose::Email => (
                format!("this to be the address of the account {account}"),
                format!("/msg NickServ VERIFYEMAIL {code}"),
            ),
            Purpose::Password => (
                format!("another password for the account {account}"),
                format!("/msg NickServ RESETPASS {account} {code} <new password>"),
            ),
        };
        let hours = row.expires.saturating_sub(now).div_ceil(3600).to_string();
        let fill = |text: &str| {
            [
                ("{network}", network),
                ("{account}", account),
                ("{code}", code),
                ("{hours}", &hours),
                ("{purpose}", &purpose),
                ("{command}", &command),
            ]
            .iter()
            .fold(text.to_owned(), |text, (place, value)| text.replace(place, value))
        };
        Letter { to: row.email.clone(), subject: fill(&self.subject).into(), body: fill(&self.body).into() }
    }
}

/// The text of a letter where nothing else is said.
pub const BODY: &str = "\
Hello,

somebody, and we hope that it was you, wants {purpose} on {network}.

The code is {code}. To go on, type:

    {command}

It holds for {hours} hours. If it was not you, you need not do anything.
";

/// The subject of a letter where nothing else is said.
pub const SUBJECT: &str = "Your code for {account} on {network}";

/// A code that is being mailed.
#[derive(Clone, Copy, Debug)]
struct Posted {
    account: AccountId,
    purpose: Purpose,
    /// How often that has failed.
    failed: u32,
}

/// Letters that wait for something.
#[derive(Debug, Default)]
pub struct Mails {
    /// For the change that made their code to be durable.
    held: Vec<(Seq, CallId, Call)>,
    /// For the mail server, by the number of the call.
    underway: BTreeMap<u64, Posted>,
    /// To be sent again, and when (on the monotonic clock).
    again: Vec<(u64, Posted)>,
    /// When to look for codes that are over, on the monotonic clock.
    next_look: u64,
}

impl Mails {
    /// What had not gone out when the server ended is sent now.
    pub fn new(network: &Network, now: u64) -> Mails {
        let unsent = network.codes().filter(|row| !row.mailed);
        let again = unsent.map(|row| (now, Posted { account: row.account, purpose: row.purpose, failed: 0 }));
        Mails { again: again.collect(), ..Mails::default() }
    }
}

/// What came of a code that somebody gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It is right.
    Right(CodeRow),
    /// It is not, or there is none.
    Wrong,
    /// Too many from this address were wrong.
    Throttled,
}

impl Server {
    /// A code that nobody can guess: 80 bits.
    pub fn new_code(&mut self) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        self.challenge().iter().take(16).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
    }

    /// Whether this connection may have one more letter sent to an e-mail address; counts it.
    ///
    /// Anyone may ask for the letters of anyone. So one who asks, by the address they connect from, gets half of those
    /// that go there in an hour: a stranger does not use up what is left to the owner.
    pub fn may_mail(&mut self, conn: ConnId, email: &str) -> bool {
        let Some(mail) = &self.settings.mail else { return false };
        let most = mail.letters_per_hour;
        let email: Box<str> = email.to_lowercase().into();
        let peer = self.session(conn).map(|session| &session.peer);
        let throttle = self.settings.throttle.as_ref();
        let counted = peer.filter(|peer| throttle.is_some_and(|throttle| throttle.limits(peer).is_some()));
        let from = counted.map(|peer| Tried::LetterFrom(Origin::of(peer), email.clone()));
        let now = self.now.mono_ms;
        from.is_none_or(|from| self.throttles.allow(from, most.div_ceil(2), 3_600_000, now))
            && self.throttles.allow(Tried::LetterTo(email), most, 3_600_000, now)
    }

    /// Mails the code of an account to whoever reads its address, as far as that may be; anyone may ask for that.
    ///
    /// In the first half of its time the code that holds is the one that is sent: whatever strangers ask for, every letter
    /// that the owner has got lately is right.
    pub fn mail_code(&mut self, ctx: &mut Ctx, account: AccountId, purpose: Purpose, email: &str) {
        if !self.may_mail(ctx.conn, email) {
            return;
        }
        let clock = self.clock() / 1000;
        // It is not prolonged by that: whoever asks could keep it for ever. Once it is about to end, the next is another.
        let half = self.settings.mail.as_ref().map_or(0, |mail| u64::from(mail.hours) * 1800);
        let held = self.network.code(account, purpose);
        let longest = self.longest_wait(account, purpose);
        let lasts =
            |row: &&CodeRow| row.expires > clock + half || longest.is_some_and(|longest| row.expires >= longest);
        let held = held.filter(|row| lasts(row) && *row.email == *email);
        let code = held.map(|row| String::from(&*row.code)).unwrap_or_else(|| self.new_code());
        self.submit(ctx, Change::Code { account, purpose, email, code: &code, waits: false });
    }

    /// Until when an account that nobody has verified waits for that at the longest, whoever asks for letters, in seconds
    /// since 1970; `None` for one that has waited longer when it was imported.
    fn longest_wait(&self, account: AccountId, purpose: Purpose) -> Option<u64> {
        let mail = self.settings.mail.as_ref().filter(|_| purpose == Purpose::Register)?;
        let longest = self.network.account(account)?.registered / 1000 + 2 * u64::from(mail.hours) * 3600;
        Some(longest).filter(|longest| *longest > self.clock() / 1000)
    }

    /// Whether an account may have all that it said deleted now: the store looks at every message for that. Counts it.
    pub fn may_erase(&mut self, account: AccountId) -> bool {
        self.throttles.allow(Tried::Erasure(account), limits::ERASURES_PER_HOUR, 3_600_000, self.now.mono_ms)
    }

    /// Whether an account may have its devices told now that push works. Counts it.
    pub fn may_test_push(&mut self, account: AccountId) -> bool {
        self.throttles.allow(Tried::PushTest(account), 1, 60_000, self.now.mono_ms)
    }

    /// Whether an account may ask the operators for a host now. Counts it.
    pub fn may_request_host(&mut self, account: AccountId) -> bool {
        self.throttles.allow(Tried::HostRequest(account), 1, limits::HOST_REQUEST_MS, self.now.mono_ms)
    }

    /// Whether an account may have one more device told of messages: each is sent one at once, wherever it says that it
    /// is. Counts it.
    pub fn may_subscribe(&mut self, account: AccountId) -> bool {
        let most = limits::SUBSCRIPTIONS_PER_HOUR;
        self.settings.throttle.is_none()
            || self.throttles.allow(Tried::Subscription(account), most, 3_600_000, self.now.mono_ms)
    }

    /// Makes a code of an account the one that holds, and mails it. A client that waits for that goes on with
    /// `pending`.
    pub fn put_code(
        &mut self,
        ctx: &mut Ctx,
        seq: Seq,
        (account, purpose): (AccountId, Purpose),
        email: &str,
        code: &str,
        pending: Option<Pending>,
    ) {
        let Some(mail) = self.settings.mail.clone() else { return };
        let expires = self.clock() / 1000 + u64::from(mail.hours) * 3600;
        let same = self.network.code(account, purpose).filter(|row| *row.code == *code && *row.email == *email);
        let expires = same.map_or(expires, |row| row.expires);
        let expires = self.longest_wait(account, purpose).map_or(expires, |longest| longest.min(expires));
        let (code, email) = (code.into(), email.into());
        let row = CodeRow { account, purpose, code, email, expires, mailed: false };
        self.network.put_code(row.clone());
        self.keep(seq, Record::Code(Box::new(row)));
        let posted = Posted { account, purpose, failed: 0 };
        self.post(seq, posted, pending.map(|pending| (ctx, pending)));
    }

    /// Sends the letter with a code once `seq` is durable.
    fn post(&mut self, seq: Seq, posted: Posted, waiting: Option<(&mut Ctx, Pending)>) {
        let Some(mail) = self.settings.mail.clone() else { return };
        let row = self.network.code(posted.account, posted.purpose);
        let name = self.network.account(posted.account).map(|row| row.name.clone());
        let (Some(row), Some(name)) = (row, name) else { return };
        let letter = mail.letter(&self.settings.network, &name, row, self.clock() / 1000);
        let serial = self.next_serial;
        self.next_serial += 1;
        let mut conn = ConnId::NONE;
        if let Some((ctx, pending)) = waiting {
            let label = ctx.reply.take_label();
            if let Some(session) = self.session_mut(ctx.conn) {
                session.waiting = Some(Box::new(Waiting { serial, pending, label, answered: None }));
                conn = ctx.conn;
            }
        }
        self.mails.underway.insert(serial, posted);
        let call = Call::Mail { letter: Box::new(letter), smtp: mail.smtp.clone() };
        let (id, after) = (CallId { conn, serial }, self.wait_for(seq));
        if after > self.durable {
            self.mails.held.push((after, id, call));
        } else {
            self.out.calls.push((id, call));
        }
    }

    /// Something has become durable: the letters that waited for it go out.
    pub(super) fn post_held(&mut self) {
        let durable = self.durable;
        let (now, later) = std::mem::take(&mut self.mails.held).into_iter().partition(|(after, ..)| *after <= durable);
        self.mails.held = later;
        self.out.calls.extend(Vec::into_iter(now).map(|(_, id, call)| (id, call)));
    }

    /// A call came back, which may be a letter.
    pub(super) fn posted(&mut self, serial: u64, returned: &Returned) {
        let Some(mut posted) = self.mails.underway.remove(&serial) else { return };
        let Posted { account, purpose, .. } = posted;
        match returned {
            Returned::Mailed(Ok(())) => self.submit_alone(Change::CodeMailed { account, purpose }),
            Returned::Mailed(Err(reason)) => {
                self.log(false, format!("the mail server refuses an address for good: {reason}"));
            }
            Returned::Failed(reason) => {
                posted.failed += 1;
                let more = posted.failed < limits::LETTER_TRIES;
                let then = if more { "it is tried again" } else { "it is not tried again" };
                self.log(true, format!("a letter with a code could not be sent: {reason}; {then}"));
                if more {
                    let at = self.now.mono_ms + (limits::LETTER_AGAIN_MS << posted.failed);
                    self.mails.again.push((at, posted));
                }
            }
            _ => {}
        }
    }

    /// Sends again what is to be, and ends codes and suspensions whose time is over.
    pub(super) fn look_after_accounts(&mut self) {
        let now = self.now.mono_ms;
        let mut due: Vec<Posted> = Vec::new();
        let room = limits::LETTERS_AT_ONCE.saturating_sub(self.mails.underway.len());
        self.mails.again.retain(|(at, posted)| {
            let is_due = *at <= now && due.len() < room;
            if is_due {
                due.push(*posted);
            }
            !is_due
        });
        for posted in due {
            // It may have been used, or be over.
            if self.network.code(posted.account, posted.purpose).is_some_and(|row| !row.mailed) {
                self.post(0, posted, None);
            }
        }
        if now < self.mails.next_look || self.store_refuses() {
            return;
        }
        self.mails.next_look = now + limits::CODE_LOOK_MS;
        let clock = self.clock() / 1000;
        let over = self.network.codes().filter(|row| row.expires <= clock);
        let over: Vec<_> = over.map(|row| (row.account, row.purpose)).take(limits::EXPIRED_AT_ONCE).collect();
        for (account, purpose) in over {
            self.submit_alone(Change::CodeOver { account, purpose });
        }
        let over = self.network.suspensions().filter(|row| row.expires.is_some_and(|at| at <= clock));
        let over: Vec<AccountId> = over.map(|row| row.account).take(limits::EXPIRED_AT_ONCE).collect();
        for account in over {
            self.submit_alone(Change::Unsuspend { account });
        }
    }

    /// Compares what somebody gives with the code of an account, in a time that tells nothing.
    ///
    /// Wrong ones count for the address that they come from, not for the account: nobody guesses 80 bits, and strangers
    /// must keep nobody from giving the right one.
    pub fn try_code(&mut self, conn: ConnId, name: &str, purpose: Purpose, given: &str) -> Given {
        if !self.may_try_login(conn, None) {
            return Given::Throttled;
        }
        let name = &*self.account_meant(name);
        let given = given.to_ascii_lowercase();
        let account = self.network.account_by_name(name).map(|row| row.id);
        let row = account.and_then(|account| self.network.code(account, purpose)).cloned();
        let clock = self.clock() / 1000;
        let expected = row.as_ref().map_or("no code at all..", |row| &*row.code);
        let right = bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
        match row.filter(|row| row.expires > clock) {
            Some(row) if right => Given::Right(row),
            _ => {
                self.login_failed(conn, None);
                Given::Wrong
            }
        }
    }

    /// A code that was used goes.
    pub fn use_code(&mut self, seq: Seq, account: AccountId, purpose: Purpose) {
        if self.network.remove_code(account, purpose) {
            self.keep(seq, Record::CodeGone(account, purpose));
        }
    }

    /// The letter with a code has gone out.
    pub(super) fn apply_mailed(&mut self, seq: Seq, account: AccountId, purpose: Purpose) {
        let Some(mut row) = self.network.code(account, purpose).cloned() else { return };
        row.mailed = true;
        self.network.put_code(row.clone());
        self.keep(seq, Record::Code(Box::new(row)));
    }

    /// A code is over, or its letter cannot be sent: what it was to bring about does not come about. An account that
    /// waited for it is no more, and its name is free.
    pub(super) fn apply_over(&mut self, seq: Seq, account: AccountId, purpose: Purpose) {
        let name = self.network.account(account).filter(|row| !row.verified).map(|row| row.name.clone());
        if let Some(name) = name.filter(|_| purpose == Purpose::Register) {
            self.network.remove_account(account);
            self.keep(seq, Record::AccountGone(account));
            self.log(false, format!("account {name} was not verified in time, and is no more"));
        } else {
            self.use_code(seq, account, purpose);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::{BODY, Mail, SUBJECT};
    use crate::accounts::Secrets;
    use crate::limits;
    use crate::mail::{Protection, Smtp};
    use crate::server::action::Call;
    use crate::server::command::bulk::testing::{Asked, account_row as row};
    use crate::server::event::{CallId, CloseCause, ConnId, Event, Returned};
    use crate::server::record::{AccountRow, Record};
    use crate::server::settings::Settings;

    fn mail() -> Mail {
        Mail {
            smtp: Arc::new(Smtp {
                server: "localhost".into(),
                port: 25,
                protection: Protection::None,
                authority: None,
                login: None,
                sender: "noreply@example.org".into(),
            }),
            subject: SUBJECT.into(),
            body: BODY.into(),
            required: true,
            hours: 24,
            letters_per_hour: 5,
            allowed_domains: Vec::new(),
            blocked_domains: Vec::new(),
        }
    }

    fn with_mail() -> Asked {
        let mut asked = Asked::new();
        let settings = Settings { mail: Some(Arc::new(mail())), ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
        asked
    }

    /// Registers; the call that is the letter, once all before it is durable.
    fn register(asked: &mut Asked, conn: ConnId) -> (CallId, Call) {
        asked.ask(conn, "REGISTER * alice@example.org sesame");
        let call = asked.calls()[0].0;
        let secrets = Secrets { hash: "h".into(), scram: Vec::new() };
        asked.handle(Event::Returned(call, Returned::Hashed(Box::new(secrets))));
        assert!(asked.calls().is_empty() && asked.sent(conn).is_empty(), "it is mailed before it is kept");
        let last = asked.kept().last().unwrap().0;
        asked.handle(Event::Committed(last));
        asked.calls()[0].clone()
    }

    fn letters(asked: &Asked) -> Vec<CallId> {
        asked.calls().iter().filter(|(_, call)| matches!(call, Call::Mail { .. })).map(|(id, _)| *id).collect()
    }

    fn later(asked: &mut Asked, ms: u64) {
        asked.now.mono_ms += ms;
        asked.now.unix_ms += ms;
        asked.handle(Event::Tick);
    }

    #[test]
    fn a_code_that_is_not_used_in_time_frees_the_name() {
        let mut asked = with_mail();
        let alice = asked.user("alice");
        let (id, _) = register(&mut asked, alice);
        asked.handle(Event::Returned(id, Returned::Mailed(Ok(()))));
        assert!(asked.sent(alice)[0].contains("REGISTER VERIFICATION_REQUIRED alice "));
        later(&mut asked, 24 * 3_600_000 - 1000);
        assert!(asked.server.network.account_by_name("alice").is_some());
        later(&mut asked, 10_000);
        assert!(matches!(asked.kept(), [(_, Record::AccountGone(_))]), "{:?}", asked.kept());
        assert!(asked.server.network.account_by_name("alice").is_none());
        assert_eq!(asked.server.network.codes().count(), 0);
    }

    #[test]
    fn a_letter_whose_asker_has_gone_is_tried_again_ever_later_and_not_for_ever() {
        let mut asked = with_mail();
        let alice = asked.user("alice");
        let (mut id, first) = register(&mut asked, alice);
        asked.handle(Event::Closed(alice, CloseCause::Eof { shown: None }));
        let mut pause = limits::LETTER_AGAIN_MS;
        for tries in 1..=limits::LETTER_TRIES {
            asked.handle(Event::Returned(id, Returned::Failed("no route".into())));
            pause *= 2;
            later(&mut asked, pause - 1);
            assert!(letters(&asked).is_empty());
            later(&mut asked, 1);
            let sent = letters(&asked);
            assert_eq!(sent.len(), usize::from(tries < limits::LETTER_TRIES), "after {tries} tries");
            let Some(next) = sent.first() else { break };
            id = *next;
        }
        let Call::Mail { letter, .. } = first else { panic!("{first:?}") };
        assert_eq!(&*letter.to, "alice@example.org");
        assert!(asked.server.network.account_by_name("alice").is_some(), "RESEND may do yet");
    }

    #[test]
    fn a_letter_that_cannot_be_sent_is_told_of_and_the_name_is_free_at_once() {
        let mut asked = with_mail();
        let alice = asked.user("alice");
        for (returned, code) in [
            (Returned::Failed("no route".into()), "TEMPORARILY_UNAVAILABLE"),
            (Returned::Mailed(Err("no such mailbox".into())), "UNACCEPTABLE_EMAIL"),
        ] {
            let (id, _) = register(&mut asked, alice);
            asked.handle(Event::Returned(id, returned));
            let lines = asked.sent(alice);
            assert!(lines.len() == 1 && lines[0].contains(&format!(" FAIL REGISTER {code} alice :")), "{lines:?}");
            assert!(asked.server.network.account_by_name("alice").is_none());
            later(&mut asked, 70_000);
            assert!(letters(&asked).is_empty());
        }
    }

    #[test]
    fn domains_are_allowed_and_blocked_with_what_is_below_them() {
        let mut mail = mail();
        mail.blocked_domains = vec!["Example.net".into()];
        for (address, takes) in [
            ("a@example.org", true),
            ("a@example.net", false),
            ("a@mail.EXAMPLE.net", false),
            ("a@myexample.net", true),
        ] {
            assert_eq!(mail.takes(address), takes, "{address}");
        }
        mail.allowed_domains = vec!["example.org".into(), "good.example.net".into()];
        assert!(mail.takes("a@b.example.org") && !mail.takes("a@example.com") && !mail.takes("a@good.example.net"));
    }

    /// A server where tries count, with alice, whose account has an address, and who is not connected.
    fn with_address() -> Asked {
        let mut asked = with_mail();
        let throttled = Settings { throttle: Settings::default().throttle, ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(throttled)));
        asked.server.network.put_account(AccountRow { email: Some("alice@example.org".into()), ..row(1, "alice") });
        asked
    }

    fn stranger(asked: &mut Asked, nick: &str, address: [u8; 4]) -> ConnId {
        let conn = asked.open_from(address);
        for line in [&format!("NICK {nick}"), "USER u 0 * :A"] {
            asked.ask(conn, line);
        }
        conn
    }

    /// What was mailed to alice because of this line, once it is kept, and has gone out.
    fn mailed(asked: &mut Asked, conn: ConnId, line: &str) -> Option<String> {
        asked.ask(conn, line);
        let last = asked.kept().last().map(|(seq, _)| *seq)?;
        asked.handle(Event::Committed(last));
        let (id, call) = asked.calls().first().cloned()?;
        let Call::Mail { letter, .. } = call else { panic!("{call:?}") };
        asked.handle(Event::Returned(id, Returned::Mailed(Ok(()))));
        let code = letter.body.split("The code is ").nth(1).unwrap().split('.').next().unwrap();
        Some(code.to_owned())
    }

    #[test]
    fn wrong_codes_of_strangers_keep_nobody_from_giving_the_right_one_nor_from_logging_in() {
        let mut asked = with_address();
        let alice = stranger(&mut asked, "home", [10, 0, 0, 2]);
        let code = mailed(&mut asked, alice, "NS SENDPASS alice").unwrap();
        for n in 0..20 {
            let mallory = stranger(&mut asked, &format!("m{n}"), [10, 1, 0, n]);
            for _ in 0..30 {
                asked.ask(mallory, "NS RESETPASS alice wrong other");
            }
            assert!(
                asked.ask(mallory, &format!("NS RESETPASS alice {code} other")).concat().contains("from your address")
            );
        }
        assert!(asked.server.may_try_login(alice, Some("alice")));
        asked.ask(alice, &format!("NS RESETPASS alice {code} other"));
        assert!(matches!(asked.calls(), [(_, Call::Hash { .. })]), "{:?}", asked.calls());
    }

    #[test]
    fn letters_that_strangers_ask_for_leave_some_to_the_owner_and_have_the_right_code() {
        let mut asked = with_address();
        let mallory = stranger(&mut asked, "mallory", [10, 0, 0, 3]);
        let sent: Vec<String> = (0..9).filter_map(|_| mailed(&mut asked, mallory, "NS SENDPASS alice")).collect();
        assert_eq!(sent.len(), 3, "of five in an hour");
        let alice = stranger(&mut asked, "home", [10, 0, 0, 2]);
        let code = mailed(&mut asked, alice, "NS SENDPASS alice").unwrap();
        // Others may have the rest sent, but in each letter is the code that alice has.
        let other = stranger(&mut asked, "other", [10, 0, 0, 4]);
        let more: Vec<String> = (0..9).filter_map(|_| mailed(&mut asked, other, "NS SENDPASS alice")).collect();
        assert_eq!(more.len(), 1);
        assert!(sent.iter().chain(&more).all(|sent| *sent == code), "{sent:?} {more:?} {code}");
        asked.ask(alice, &format!("NS RESETPASS alice {code} other"));
        assert!(matches!(asked.calls(), [(_, Call::Hash { .. })]), "{:?}", asked.calls());
    }

    #[test]
    fn a_code_that_was_for_another_address_is_not_sent_again() {
        let mut asked = with_address();
        let alice = stranger(&mut asked, "home", [10, 0, 0, 2]);
        let first = mailed(&mut asked, alice, "NS SENDPASS alice").unwrap();
        asked.server.network.put_account(AccountRow { email: Some("other@example.org".into()), ..row(1, "alice") });
        assert_ne!(mailed(&mut asked, alice, "NS SENDPASS alice").unwrap(), first);
        later(&mut asked, 25 * 3_600_000);
        assert_eq!(asked.server.network.codes().count(), 0);
    }

    #[test]
    fn an_account_that_nobody_verifies_goes_whoever_asks_for_its_code_again_and_again() {
        let mut asked = with_mail();
        let alice = asked.user("alice");
        let (id, _) = register(&mut asked, alice);
        asked.handle(Event::Returned(id, Returned::Mailed(Ok(()))));
        for round in 0..40 {
            later(&mut asked, 3_600_000 * 3);
            if asked.server.network.account_by_name("alice").is_none() {
                assert!(round > 8, "{round}");
                return;
            }
            let guest = stranger(&mut asked, &format!("guest{round}"), [10, 0, 0, 3 + round]);
            mailed(&mut asked, guest, "NS RESEND alice");
        }
        panic!("it waits for ever");
    }

    #[test]
    fn whoever_asks_for_a_code_again_learns_nothing_of_the_account() {
        let mut asked = with_mail();
        let (alice, guest) = (asked.user("alice"), asked.user("guest"));
        let (id, _) = register(&mut asked, alice);
        asked.handle(Event::Returned(id, Returned::Mailed(Ok(()))));
        for verb in ["RESEND", "SENDPASS"] {
            let [to_alice, to_nobody] =
                ["alice", "nobody"].map(|name| asked.ask(guest, &format!("NS {verb} {name}")).concat());
            assert!(!to_alice.contains("example.org") && to_alice.contains("on its way"), "{to_alice}");
            assert_eq!(to_alice.replace("alice", "nobody"), to_nobody);
        }
    }
}
