//! The second factor (<https://github.com/ircv3/ircv3-specifications/pull/610>): what is asked for beside a
//! password, and every change of it. `2FA` and NickServ 2FA come here, and so does the gate in `login.rs`.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use ircv3::Cap;

use crate::accounts::totp;
use crate::limits;
use crate::server::change::Change;
use crate::server::command::services::nickserv::credentials::keep;
use crate::server::command::services::say;
use crate::server::event::ConnId;
use crate::server::login::{Door, Proof, Refused};
use crate::server::notice::About;
use crate::server::record::{AccountId, Credentials, SecondFactor, SecondProof, Seq};
use crate::server::throttle::Tried;
use crate::server::{Ctx, Server};

/// The first factor of a login, whose second is due (`AUTHENTICATE 2FA-REQUIRED`).
#[derive(Clone, Debug)]
pub struct First {
    /// Of which account.
    pub account: AccountId,
    /// From which device.
    pub device: Box<str>,
    /// The hash of its password then: with another password it proves nothing any more.
    password: Box<str>,
    /// Until when the second may come, on the monotonic clock.
    until: u64,
}

/// A second factor that is about to be added.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// What of it.
    pub kind: Kind,
    /// What it is to be called, where that was said.
    pub name: Box<str>,
    /// Until when, on the monotonic clock.
    pub until: u64,
}

/// The kinds of second factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An authenticator whose secret is derived from this seed.
    Totp([u8; 16]),
    /// A client certificate.
    Certificate,
}

/// Who asks for a change of the second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `2FA`
    Command,
    /// NickServ 2FA
    NickServ,
}

/// What is other about the second factor of an account.
#[derive(Clone, Debug)]
pub enum SecondChange<'a> {
    /// A login gives it.
    Given {
        /// By which door.
        door: Door,
        /// From which device.
        device: &'a str,
        /// A code of an authenticator, or a recovery code.
        code: &'a str,
    },
    /// One more; by NickServ it is asked for from then on.
    Add {
        /// Who asks.
        by: By,
        /// Which.
        factor: &'a SecondFactor,
        /// Its first code, of an authenticator.
        code: &'a str,
        /// Recovery codes for an account that has none; may be empty.
        recovery: &'a [String],
    },
    /// One less.
    Remove {
        /// Who asks.
        by: By,
        /// Which; for NickServ `*` is all.
        id: &'a str,
        /// A code, which NickServ asks for.
        code: &'a str,
    },
    /// It is asked for from now on.
    On(By),
    /// It is not asked for any more.
    Off {
        /// Who asks.
        by: By,
        /// `totp` or `external`.
        kind: &'a str,
        /// A code, or the fingerprint of the connection's certificate.
        proof: &'a str,
    },
    /// Other recovery codes.
    Recovery {
        /// A code, of an authenticator or of recovery.
        code: &'a str,
        /// The new ones.
        fresh: &'a [String],
    },
    /// An operator takes all of it off the account.
    Drop,
}

/// What a code was.
enum Used {
    /// Of the authenticator in this place, for this step.
    Step(usize, u64),
    /// The recovery code with this hash.
    Recovery([u8; 32]),
}

/// A password with a code behind it, `password:123456`, where it looks like one.
pub fn split_code(password: &str) -> Option<(&str, &str)> {
    password.rsplit_once(':').filter(|(_, code)| is_code(code))
}

/// Whether this looks like a code of an authenticator or of recovery.
pub fn is_code(text: &str) -> bool {
    let plain = plain(text);
    let digits = plain.len() == totp::DIGITS && plain.bytes().all(|byte| byte.is_ascii_digit());
    digits || (plain.len() == 16 && plain.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A code without what people put between its parts.
fn plain(code: &str) -> String {
    code.chars().filter(|c| !matches!(c, '-' | ' ')).collect::<String>().to_ascii_lowercase()
}

/// A recovery code as people copy it.
pub fn spaced(code: &str) -> String {
    let parts: Vec<&str> = (0..4).filter_map(|part| code.get(4 * part..4 * part + 4)).collect();
    parts.join("-")
}

fn hash(code: &str) -> [u8; 32] {
    Sha256::digest(plain(code).as_bytes()).into()
}

/// The name of a second factor, as it is kept.
pub fn is_name(name: &str) -> bool {
    let printable = |c: char| !c.is_control() && !c.is_whitespace();
    !name.is_empty() && name.len() <= limits::SECOND_NAME_LEN && !name.starts_with(':') && name.chars().all(printable)
}

impl Server {
    /// Whether a login by password to this account asks for more.
    pub fn asks_second(&self, account: AccountId) -> bool {
        self.network.credentials(account).is_some_and(|kept| kept.asks_second)
    }

    /// Whether the certificate of a connection is a second factor of an account.
    fn shows_second(&self, conn: ConnId, account: AccountId) -> bool {
        let shown = self.session(conn).filter(|session| session.peer.tls);
        let shown = shown.and_then(|session| session.peer.certfp.as_deref());
        let kept = self.network.credentials(account).map_or(&[][..], |kept| &kept.seconds);
        kept.iter().any(|second| matches!(&second.proof, SecondProof::Certificate(own) if Some(&**own) == shown))
    }

    /// Whether a code may be tried for an account from here.
    pub fn may_try_second(&self, conn: ConnId, account: AccountId) -> bool {
        let name = self.network.account(account).map(|row| row.name.clone());
        let tried = Tried::SecondFactor(account);
        self.may_try_login(conn, name.as_deref())
            && self.throttles.would_allow(&tried, limits::SECOND_FACTOR_TRIES, self.now.mono_ms)
    }

    /// Notes that a code was wrong.
    fn second_failed(&mut self, conn: ConnId, account: AccountId) {
        let name = self.network.account(account).map(|row| row.name.clone()).unwrap_or_default();
        self.login_failed(conn, Some(&name));
        self.throttles.allow(Tried::SecondFactor(account), u32::MAX, 60_000, self.now.mono_ms);
        let host = self.session(conn).map(|session| session.peer.host()).unwrap_or_default();
        self.log(true, format!("a wrong code of the second factor of account {name} from {host}"));
    }

    /// Goes on with a login whose password was right, to an account that asks for more.
    pub(super) fn ask_second(
        &mut self,
        ctx: &mut Ctx,
        door: Door,
        account: AccountId,
        device: &str,
        code: Option<&str>,
    ) {
        let steps_up = door == Door::Sasl && ctx.reply.caps.has(Cap::AccountTwofa);
        let kept = self.network.credentials(account);
        if kept.is_none_or(|kept| kept.seconds.is_empty() && kept.recovery.is_empty()) {
            let text = "The account asks for a second factor and has none; ask an operator";
            if steps_up {
                ctx.reply.fail("2FA", "NO_CREDENTIALS", &[], text);
            }
            self.turn_away(ctx, door, Refused::Unfit(text));
        } else if let Some(code) = code {
            self.give_second(ctx, door, account, device, code);
        } else if steps_up {
            let password = self.network.account(account).map(|row| row.password.clone()).unwrap_or_default();
            let until = self.now.mono_ms + limits::SECOND_FACTOR_MS;
            let first = First { account, device: device.into(), password, until };
            if let Some(session) = self.session_mut(ctx.conn) {
                session.particulars_mut().first = Some(first);
            }
            ctx.reply.bare("AUTHENTICATE", "2FA-REQUIRED");
        } else if self.shows_second(ctx.conn, account) {
            self.admit(ctx, door, account, device, Proof::Has);
        } else {
            let text = "the account asks for a second factor: put its code behind the password, as password:123456 \
                        (by PLAIN, not SCRAM), or use an app password";
            self.turn_away(ctx, door, Refused::Unfit(text));
        }
    }

    /// The first factor that a connection has given, where the second may still come.
    pub fn first_factor(&self, conn: ConnId) -> Option<First> {
        let first = self.session(conn)?.particulars().first.clone()?;
        let row = self.network.account(first.account)?;
        (first.until > self.now.mono_ms && row.password == first.password).then_some(first)
    }

    /// A connection goes on without the second factor.
    pub fn forget_first_factor(&mut self, conn: ConnId) -> bool {
        let Some(session) = self.session_mut(conn) else { return false };
        session.particulars().first.is_some() && session.particulars_mut().first.take().is_some()
    }

    /// A login gives its second factor as a code.
    pub fn give_second(&mut self, ctx: &mut Ctx, door: Door, account: AccountId, device: &str, code: &str) {
        if !self.may_try_second(ctx.conn, account) {
            self.turn_away(ctx, door, Refused::Throttled);
        } else if self.store_refuses() {
            // That the code was used could not be kept.
            self.turn_away(ctx, door, Refused::Unfit("the server cannot store anything now; try again later"));
        } else {
            self.submit(ctx, Change::Second { account, change: &SecondChange::Given { door, device, code } });
        }
    }

    /// SASL EXTERNAL after the first factor: the certificate is the second.
    pub fn show_second(&mut self, ctx: &mut Ctx, first: &First) {
        if self.shows_second(ctx.conn, first.account) {
            self.admit(ctx, Door::Sasl, first.account, &first.device, Proof::Has);
        } else {
            self.turn_away(ctx, Door::Sasl, Refused::Unfit("your certificate is no second factor of the account"));
        }
    }

    /// What a code is to an account; `None` where it is wrong or was used.
    fn code_given(&self, account: AccountId, code: &str) -> Option<Used> {
        let kept = self.network.credentials(account)?;
        let given = plain(code);
        if given.len() == totp::DIGITS {
            return kept.seconds.iter().enumerate().find_map(|(at, second)| match &second.proof {
                SecondProof::Totp { seed, last } => {
                    let secret = totp::secret(&self.second_key, account, seed);
                    totp::step(&secret, &given, self.now.unix_ms, *last).map(|step| Used::Step(at, step))
                }
                SecondProof::Certificate(_) => None,
            });
        }
        let given = hash(&given);
        kept.recovery.iter().find(|own| bool::from(own.ct_eq(&given))).map(|own| Used::Recovery(*own))
    }

    /// Takes a code, so that it is never taken again; whether it was right.
    fn use_code_of(&mut self, ctx: &mut Ctx, seq: Seq, account: AccountId, code: &str) -> bool {
        let Some(used) = self.code_given(account, code) else {
            self.second_failed(ctx.conn, account);
            return false;
        };
        keep(self, ctx, seq, account, |kept| match used {
            Used::Step(at, step) => {
                if let Some(SecondProof::Totp { last, .. }) = kept.seconds.get_mut(at).map(|second| &mut second.proof) {
                    *last = step;
                }
            }
            Used::Recovery(hash) => kept.recovery.retain(|own| *own != hash),
        });
        true
    }

    /// The secret with this seed, of an authenticator of an account.
    pub fn totp_secret(&self, account: AccountId, seed: &[u8; 16]) -> [u8; totp::SECRET_BYTES] {
        totp::secret(&self.second_key, account, seed)
    }

    /// Begins to add a second factor.
    pub fn enrol(&mut self, ctx: &Ctx, kind: Kind, name: &str) {
        let until = self.now.mono_ms + limits::SECOND_FACTOR_MS;
        if let Some(session) = self.session_mut(ctx.conn) {
            session.particulars_mut().enrolment = Some(Enrolment { kind, name: name.into(), until });
        }
    }

    /// A seed for an authenticator.
    pub fn new_seed(&mut self) -> [u8; 16] {
        let mut seed = [0; 16];
        seed.copy_from_slice(&self.challenge()[..16]);
        seed
    }

    /// The second factor that is about to be added, where it is not too late.
    pub fn enrolment(&self, conn: ConnId) -> Option<Enrolment> {
        let enrolment = self.session(conn)?.particulars().enrolment.clone()?;
        (enrolment.until > self.now.mono_ms).then_some(enrolment)
    }

    /// Recovery codes, as they are shown.
    pub fn new_recovery_codes(&mut self) -> Vec<String> {
        (0..limits::RECOVERY_CODES).map(|_| spaced(&self.new_code())).collect()
    }

    /// Why a connection may not change what its account logs in with, or put an end to it: not by an app password, which
    /// can be taken away again, and not where a password that it may have logged in with is none any more. What that takes it
    /// gives by IDENTIFY. `None` where it may.
    pub fn why_no_credentials(&self, conn: ConnId) -> Option<&'static str> {
        let particulars = self.session(conn)?.particulars();
        if particulars.app.is_some() {
            return Some(
                "This connection came by an app password: log in with your own password to do that, by /msg NickServ \
                 IDENTIFY <account> <password>",
            );
        }
        particulars.has_old_password.then_some(
            "Your password was changed since this connection logged in: log in again to do that, by /msg NickServ IDENTIFY \
             <account> <password>",
        )
    }
}

/// Changes the second factor of an account, or lets somebody in who has given it.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, change: &SecondChange<'_>) {
    let Some(row) = server.network.account(account) else { return };
    let name = row.name.clone();
    match *change {
        SecondChange::Given { door, device, code } => {
            if server.use_code_of(ctx, seq, account, code) {
                server.admit(ctx, door, account, device, Proof::Has);
            } else {
                // It is counted already.
                let text = "the code of the second factor is wrong, or was used";
                server.turn_away(ctx, door, Refused::Unfit(text));
            }
        }
        SecondChange::Add { by, factor, code, recovery } => {
            add(server, ctx, seq, account, by, (factor, code), recovery);
        }
        SecondChange::Remove { by, id, code } => remove(server, ctx, seq, account, by, id, code),
        SecondChange::On(by) => {
            let kept = server.network.credentials(account).cloned().unwrap_or_default();
            if kept.asks_second {
                refuse(ctx, by, "ALREADY_ENABLED", "Two-factor authentication is on already");
            } else if kept.seconds.is_empty() {
                refuse(ctx, by, "NO_CREDENTIALS", "Your account has no second factor; add one first");
            } else {
                keep(server, ctx, seq, account, |kept| kept.asks_second = true);
                server.log(false, format!("account {name} asks for a second factor from now on"));
                let text = "Your password alone does not log in any more: the second factor is asked for, too";
                answer(ctx, by, &["ENABLE", "SUCCESS"], text);
                if kept.recovery.is_empty() && ctx.user.is_some() {
                    say(ctx, "NickServ", "/msg NickServ 2FA RECOVERY <code> gives you codes for when you lose it");
                }
            }
        }
        SecondChange::Off { by, kind, proof } => {
            if !server.asks_second(account) {
                refuse(ctx, by, "ALREADY_DISABLED", "Two-factor authentication is off already");
                return;
            }
            let shown = server.session(ctx.conn).and_then(|session| session.peer.certfp.clone());
            let right = match kind {
                "external" => shown.as_deref() == Some(proof) && server.shows_second(ctx.conn, account),
                _ => server.use_code_of(ctx, seq, account, proof),
            };
            if !right {
                refuse(
                    ctx,
                    by,
                    "INVALID_CHALLENGE_RESPONSE",
                    "The code is wrong, or was used, or the certificate is another",
                );
                return;
            }
            keep(server, ctx, seq, account, |kept| kept.asks_second = false);
            server.log(false, format!("account {name} does not ask for a second factor any more"));
            answer(ctx, by, &["DISABLE", "SUCCESS"], "Two-factor authentication is off: your password alone logs in");
        }
        SecondChange::Recovery { code, fresh } => {
            if !server.use_code_of(ctx, seq, account, code) {
                say(ctx, "NickServ", "The code is wrong, or was used");
                return;
            }
            keep(server, ctx, seq, account, |kept| put_recovery(kept, fresh));
            show_recovery(ctx, fresh);
        }
        SecondChange::Drop => {
            keep(server, ctx, seq, account, |kept| {
                kept.seconds.clear();
                kept.recovery.clear();
                kept.asks_second = false;
            });
            let by = ctx.reply.nick.clone();
            server.log(false, format!("{by} took the second factor off the account {name}"));
            server.notify(About::Accounts, |_| format!("{by} took the second factor off the account {name}"));
            say(ctx, "NickServ", &format!("Account {name} has no second factor any more: its password alone logs in"));
        }
    }
}

fn add(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    account: AccountId,
    by: By,
    (factor, code): (&SecondFactor, &str),
    recovery: &[String],
) {
    let mut factor = factor.clone();
    let kept = server.network.credentials(account).cloned().unwrap_or_default();
    if kept.seconds.len() >= limits::SECOND_FACTORS {
        let text =
            format!("Your account has {} second factors, and that is all it may; remove one", kept.seconds.len());
        refuse(ctx, by, "TEMPORARILY_UNAVAILABLE", &text);
        return;
    }
    match &mut factor.proof {
        SecondProof::Totp { seed, last } => {
            let secret = totp::secret(&server.second_key, account, seed);
            let Some(step) = totp::step(&secret, &plain(code), server.now.unix_ms, 0) else {
                server.second_failed(ctx.conn, account);
                let text = "That is not the code that the authenticator shows for this secret now; is its clock right?";
                refuse(ctx, by, "INVALID_CREDENTIAL_DATA", text);
                return;
            };
            *last = step;
        }
        SecondProof::Certificate(fingerprint) => {
            let same = |second: &SecondFactor| second.proof == SecondProof::Certificate(fingerprint.clone());
            if kept.seconds.iter().any(same) {
                refuse(
                    ctx,
                    by,
                    "INVALID_CREDENTIAL_DATA",
                    "That certificate is a second factor of your account already",
                );
                return;
            }
        }
    }
    let (id, kind) = (factor.id.clone(), factor.proof.word());
    let begins = by == By::NickServ && !kept.asks_second;
    let fresh = kept.recovery.is_empty() && !recovery.is_empty();
    let text = format!("Second factor {id} is added: {}", factor.name);
    keep(server, ctx, seq, account, |kept| {
        kept.seconds.push(factor);
        kept.seconds.sort_unstable_by_key(ToString::to_string);
        kept.asks_second |= begins;
        if fresh {
            put_recovery(kept, recovery);
        }
    });
    if let Some(session) = server.session_mut(ctx.conn) {
        session.particulars_mut().enrolment = None;
    }
    answer(ctx, by, &["ADD", "SUCCESS", kind, &id], &text);
    if begins {
        say(
            ctx,
            "NickServ",
            "From now on your password alone does not log in: put the code behind it, as password:123456",
        );
    }
    if fresh {
        show_recovery(ctx, recovery);
    }
}

fn remove(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, by: By, id: &str, code: &str) {
    let kept = server.network.credentials(account).cloned().unwrap_or_default();
    let goes = |second: &SecondFactor| (by == By::NickServ && id == "*") || *second.id == *id;
    if !kept.seconds.iter().any(goes) {
        refuse_about(ctx, by, "UNKNOWN_CREDENTIAL", id, &format!("Your account has no second factor {id:?}"));
        return;
    }
    let last = kept.seconds.iter().all(goes);
    if by == By::Command && last && kept.asks_second {
        refuse(ctx, by, "REMOVE_LAST_CREDENTIAL", "It is the last one: disable two-factor authentication first");
        return;
    }
    if by == By::NickServ && kept.asks_second && !server.use_code_of(ctx, seq, account, code) {
        refuse(ctx, by, "INVALID_CHALLENGE_RESPONSE", "The code is wrong, or was used");
        return;
    }
    keep(server, ctx, seq, account, |kept| {
        kept.seconds.retain(|second| !goes(second));
        if last {
            kept.recovery.clear();
            kept.asks_second = false;
        }
    });
    let text = if last { "Removed; your account has no second factor now" } else { "Removed" };
    answer(ctx, by, &["REMOVE", "SUCCESS", id], text);
}

fn put_recovery(kept: &mut Credentials, codes: &[String]) {
    kept.recovery = codes.iter().map(|code| hash(code)).collect();
    kept.recovery.sort_unstable();
}

fn show_recovery(ctx: &mut Ctx, codes: &[String]) {
    say(ctx, "NickServ", "Recovery codes, each for one login without your authenticator. They are shown this once:");
    for codes in codes.chunks(5) {
        say(ctx, "NickServ", &codes.join(" "));
    }
}

fn answer(ctx: &mut Ctx, by: By, words: &[&str], text: &str) {
    match by {
        By::Command => ctx.reply.line("2FA", words, Some(text)),
        By::NickServ => say(ctx, "NickServ", text),
    }
}

fn refuse(ctx: &mut Ctx, by: By, code: &str, text: &str) {
    match by {
        By::Command => ctx.reply.fail("2FA", code, &[], text),
        By::NickServ => say(ctx, "NickServ", text),
    }
}

fn refuse_about(ctx: &mut Ctx, by: By, code: &str, about: &str, text: &str) {
    match by {
        By::Command => ctx.reply.fail("2FA", code, &[crate::server::command::printable(about)], text),
        By::NickServ => say(ctx, "NickServ", text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ircv3::sasl::scram::{Credential, Hash};

    use super::{is_code, is_name, spaced, split_code};
    use crate::accounts::{Secrets, totp};
    use crate::limits;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{ConnId, Event, Returned};
    use crate::server::record::{Record, SecondProof};

    /// Somebody with an account whose password is right whenever it is compared, and the secret of its authenticator.
    fn enrolled() -> (Asked, ConnId, [u8; totp::SECRET_BYTES]) {
        let mut asked = Asked::new();
        asked.now.unix_ms = 1_111_111_109_000;
        let alice = asked.user("alice");
        asked.ask(alice, "REGISTER * * sesame");
        let call = asked.calls()[0].0;
        let scram = Hash::ALL.map(|hash| Credential::derive(hash, "sesame", b"0123456789abcdef", 10_000)).to_vec();
        let secrets = Secrets { hash: "h".into(), scram };
        asked.handle(Event::Returned(call, Returned::Hashed(Box::new(secrets))));
        let said = asked.ask(alice, "NS 2FA ADD");
        let secret = said[0].rsplit_once(' ').unwrap().1.to_owned();
        let secret: [u8; 20] = data_encoding::BASE32_NOPAD.decode(secret.as_bytes()).unwrap().try_into().unwrap();
        let code = code(&asked, &secret);
        assert!(asked.ask(alice, &format!("NS 2FA CONFIRM {code}")).concat().contains("Recovery codes"));
        (asked, alice, secret)
    }

    fn code(asked: &Asked, secret: &[u8]) -> String {
        totp::code(secret, asked.now.unix_ms / 30_000)
    }

    /// What a login by this password and code comes to.
    fn identify(asked: &mut Asked, conn: ConnId, code: &str) -> String {
        asked.ask(conn, &format!("NS IDENTIFY alice sesame {code}"));
        let Some(call) = asked.calls().first().map(|(id, _)| *id) else { return asked.sent(conn).concat() };
        asked.handle(Event::Returned(call, Returned::Verified(true)));
        asked.sent(conn).concat()
    }

    fn later(asked: &mut Asked, ms: u64) {
        asked.now.mono_ms += ms;
        asked.now.unix_ms += ms;
        asked.handle(Event::Tick);
    }

    #[test]
    fn a_code_that_was_used_is_over_and_the_next_one_is_not() {
        let (mut asked, alice, secret) = enrolled();
        let (guest, other) = (asked.user("guest"), asked.user("other"));
        let used = code(&asked, &secret);
        assert!(identify(&mut asked, guest, &used).contains("was used"), "CONFIRM has used it");
        later(&mut asked, 30_000);
        assert!(identify(&mut asked, guest, &used).contains("was used"));
        let fresh = code(&asked, &secret);
        assert!(identify(&mut asked, guest, &fresh).contains("logged in as alice"));
        assert!(identify(&mut asked, other, &fresh).contains("was used"));
        // That it was used is kept before anyone is let in by it.
        let kept = asked.server.network.account_by_name("alice").unwrap().id;
        let last = |asked: &Asked| match &asked.server.network.credentials(kept).unwrap().seconds[0].proof {
            SecondProof::Totp { last, .. } => *last,
            SecondProof::Certificate(_) => 0,
        };
        assert_eq!(last(&asked), asked.now.unix_ms / 30_000);
        asked.ask(alice, "QUIT");
    }

    #[test]
    fn no_code_is_taken_that_cannot_be_kept_as_used() {
        let (mut asked, _, secret) = enrolled();
        let guest = asked.user("guest");
        later(&mut asked, 30_000);
        let fresh = code(&asked, &secret);
        asked.handle(Event::StoreFailed("disk full".into()));
        assert!(identify(&mut asked, guest, &fresh).contains("cannot store"));
        assert!(asked.kept().is_empty());
        asked.handle(Event::StoreRecovered);
        assert!(identify(&mut asked, guest, &fresh).contains("logged in as alice"));
        assert!(asked.kept().iter().any(|(_, record)| matches!(record, Record::Credentials(_))));
    }

    #[test]
    fn a_minute_after_wrong_codes_the_right_one_is_looked_at_again() {
        let (mut asked, _, secret) = enrolled();
        let guest = asked.user("guest");
        for _ in 0..limits::SECOND_FACTOR_TRIES {
            assert!(identify(&mut asked, guest, "000000").contains("is wrong"));
        }
        later(&mut asked, 30_000);
        let fresh = code(&asked, &secret);
        assert!(identify(&mut asked, guest, &fresh).contains("too many"));
        later(&mut asked, 31_000);
        let fresh = code(&asked, &secret);
        assert!(identify(&mut asked, guest, &fresh).contains("logged in as alice"));
    }

    #[test]
    fn the_first_factor_holds_for_two_minutes() {
        let (mut asked, _, secret) = enrolled();
        for (ms, end) in [(limits::SECOND_FACTOR_MS, "904"), (limits::SECOND_FACTOR_MS - 1, "903")] {
            let guest = asked.user_with("guest", "sasl draft/account-2fa");
            asked.ask(guest, "AUTHENTICATE PLAIN");
            asked.ask(guest, "AUTHENTICATE AGFsaWNlAHNlc2FtZQ==");
            let call = asked.calls()[0].0;
            asked.handle(Event::Returned(call, Returned::Verified(true)));
            assert_eq!(asked.sent(guest), ["AUTHENTICATE 2FA-REQUIRED"]);
            later(&mut asked, ms);
            let begun = asked.ask(guest, "AUTHENTICATE TOTP").concat();
            let code = code(&asked, &secret);
            let response = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, code);
            let lines = if begun == "AUTHENTICATE +" {
                asked.ask(guest, &format!("AUTHENTICATE {response}")).concat()
            } else {
                begun
            };
            assert!(lines.contains(&format!(" {end} guest ")), "{ms}: {lines}");
            asked.ask(guest, "QUIT");
            asked.handle(Event::Closed(guest, crate::server::event::CloseCause::Asked));
        }
    }

    #[test]
    fn a_code_is_told_from_the_end_of_a_password() {
        assert_eq!(split_code("sesame:123456"), Some(("sesame", "123456")));
        assert_eq!(split_code("a:b:123456"), Some(("a:b", "123456")));
        assert_eq!(split_code("sesame:ABCD-efgh-2345-6789"), Some(("sesame", "ABCD-efgh-2345-6789")));
        for whole in ["sesame", "sesame:12345", "sesame:1234567", "sesame:12345a", "sesame:word", "123456", ":"] {
            assert_eq!(split_code(whole), None, "{whole}");
        }
        assert!(is_code("123 456") && !is_code("") && !is_code("\u{661}\u{661}\u{661}"));
        assert_eq!(spaced("abcdefghijkmnpqr"), "abcd-efgh-ijkm-npqr");
    }

    #[test]
    fn a_name_is_one_word() {
        assert!(is_name("Phone") && is_name("t\u{e9}l\u{e9}phone"));
        for bad in ["", "two words", ":x", "a\u{1}", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_code_behind_the_password_does_where_the_client_could_be_asked_for_it_too() {
        let (mut asked, _, secret) = enrolled();
        let guest = asked.user_with("guest", "sasl draft/account-2fa");
        later(&mut asked, 30_000);
        let plain = |asked: &mut Asked, password: &str, rights: &[bool]| {
            asked.ask(guest, "AUTHENTICATE PLAIN");
            let response = format!("\0alice\0{password}");
            let response = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, response);
            asked.ask(guest, &format!("AUTHENTICATE {response}"));
            for right in rights {
                let call = asked.calls()[0].0;
                asked.handle(Event::Returned(call, Returned::Verified(*right)));
            }
            assert!(asked.calls().is_empty());
            asked.sent(guest).concat()
        };
        // Of one who has such a password, it is that; and where both are wrong, it is.
        assert_eq!(plain(&mut asked, "sesame:123456", &[false, true]), "AUTHENTICATE 2FA-REQUIRED");
        assert!(plain(&mut asked, "wrong:123456", &[false, false]).contains(" 904 "));
        let password = format!("sesame:{}", code(&asked, &secret));
        assert!(plain(&mut asked, &password, &[true]).contains(" 903 "));
    }
}
