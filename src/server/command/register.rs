//! REGISTER (<https://ircv3.net/specs/extensions/account-registration>).

use std::sync::Arc;

use ircv3::message::cut;
use ircv3::{Message, name};

use crate::accounts::Secrets;
use crate::limits;
use crate::server::action::Call;
use crate::server::change::Change;
use crate::server::command::services::nickserv::credentials;
use crate::server::command::{Pending, printable, services, verify};
use crate::server::event::Returned;
use crate::server::login::{Door, Proof};
use crate::server::notice::About;
use crate::server::policy;
use crate::server::record::{AccountRow, Purpose, Record, Seq};
use crate::server::{Ctx, Server};

/// Why an account may not be made: the code of FAIL and words for people.
#[derive(Debug)]
pub struct Refused {
    /// As in the registry of standard replies.
    pub code: &'static str,
    /// What was wrong and what would be right.
    pub text: String,
}

/// REGISTER
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let given = line.param(0).unwrap_or("*");
    let email = line.param(1).unwrap_or("*");
    let password = line.param(2).unwrap_or("");
    let account = if given == "*" { ctx.reply.nick.clone() } else { Arc::from(given) };
    let context = printable(given);
    let Some(session) = server.session(ctx.conn) else { return };
    if session.account.is_some() {
        ctx.reply.fail("REGISTER", "ALREADY_AUTHENTICATED", &[context], "You are logged in to an account already");
        return;
    }
    if ctx.user.is_none() {
        if !server.settings.register_before_connect {
            ctx.reply.fail(
                "REGISTER",
                "COMPLETE_CONNECTION_REQUIRED",
                &[context],
                "Complete the connection first (NICK and USER)",
            );
            return;
        }
        if given == "*" && &*ctx.reply.nick == "*" {
            // Whoever asked for a nick that another has would get that other's account.
            if server.session(ctx.conn).is_some_and(|session| session.registration.as_ref().is_some_and(|r| r.refused))
            {
                ctx.reply.fail("REGISTER", "ACCOUNT_EXISTS", &[context], "Somebody else uses that nick now");
                return;
            }
            ctx.reply.fail("REGISTER", "NEED_NICK", &[context], "Choose a nick first (NICK)");
            return;
        }
    }
    let email = (email != "*" && !email.is_empty()).then_some(email);
    begin(server, ctx, &Wanted { name: &account, email, by: By::Register }, password);
}

/// An account that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address, where one was given.
    pub email: Option<&'a str>,
    /// Who asks for it.
    pub by: By,
}

/// Who asks for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// REGISTER
    Register,
    /// NickServ REGISTER
    NickServ,
    /// An operator, for someone else: NickServ SAREGISTER
    Operator,
    /// A bearer token that names it, or the operator's program that lets it in.
    Witness,
}

/// Has the password of a new account hashed, if this connection may make one of this name.
pub fn begin(server: &mut Server, ctx: &mut Ctx, wanted: &Wanted<'_>, password: &str) {
    let Wanted { name, email, by } = *wanted;
    let may = may_make(server, ctx, name, by).and_then(|()| {
        judge_email(server, email, by)?;
        if password.is_empty() || password.len() > limits::PASSWORD_LEN {
            let text = format!("A password has 1 to {} bytes", limits::PASSWORD_LEN);
            return Err(Refused { code: "UNACCEPTABLE_PASSWORD", text });
        }
        if by == By::Operator { Ok(()) } else { count(server, ctx) }
    });
    match may {
        Ok(()) => {
            let call = Call::Hash { password: password.into(), iterations: server.settings.scram_iterations };
            server.call(ctx, call, Pending::Register { name: name.into(), email: email.map(Into::into), by });
        }
        Err(refused) => refuse(ctx, name, by, &refused),
    }
}

/// Whether a connection may make an account of this name.
fn may_make(server: &Server, ctx: &Ctx, account: &str, by: By) -> Result<(), Refused> {
    let refuse = |code, text: &str| Err(Refused { code, text: text.to_owned() });
    // Who logs in by a token may be logged in to another account, and so may an operator.
    let for_itself = matches!(by, By::Register | By::NickServ);
    if for_itself && server.session(ctx.conn).is_some_and(|session| session.account.is_some()) {
        return refuse("ALREADY_AUTHENTICATED", "You are logged in to an account already");
    }
    if for_itself && !server.settings.registration {
        return refuse("TEMPORARILY_UNAVAILABLE", "Accounts cannot be registered on this server");
    }
    if for_itself && !server.is_open_to_registrations() {
        return refuse("TEMPORARILY_UNAVAILABLE", "Accounts cannot be registered now; try again later");
    }
    if server.store_refuses() {
        return refuse("TEMPORARILY_UNAVAILABLE", "The server cannot store anything now; try again later");
    }
    let casemapping = server.network.casemapping;
    if policy::is_reserved(account, casemapping) {
        let text = format!("{account} is the name of a service of IRC networks, which nobody has here");
        return refuse("BAD_ACCOUNT_NAME", &text);
    }
    if !name::is_account_name(account, limits::NICK_LEN, casemapping) {
        let text = format!("An account's name is like a nick: {}", name::nick_letters(casemapping));
        return refuse("BAD_ACCOUNT_NAME", &text);
    }
    if server.network.account_by_name(account).is_some() {
        return refuse("ACCOUNT_EXISTS", "An account of that name exists");
    }
    if server.network.nick_owner(account).is_some() {
        return refuse("ACCOUNT_EXISTS", "The nick belongs to an account, with which it is grouped");
    }
    let own = server.session(ctx.conn).and_then(|session| session.account);
    if by != By::Operator && policy::nick_is_like_another(&server.network, account, own, ctx.user) {
        return refuse("BAD_ACCOUNT_NAME", "The name looks like another that is in use or registered; choose another");
    }
    // Whose it is has been shown elsewhere: who has the nick now cannot keep them from their account.
    let is_shown = matches!(by, By::Operator | By::Witness);
    let taken = server.network.user_by_nick(account).is_some_and(|owner| Some(owner) != ctx.user);
    if taken && !is_shown {
        return refuse("ACCOUNT_EXISTS", "Somebody else uses that nick now");
    }
    Ok(())
}

/// Whether this address will do; without mail, any will that looks like one.
///
/// # Errors
/// What is wrong with it.
pub fn judge_email(server: &Server, email: Option<&str>, by: By) -> Result<(), Refused> {
    let refuse = |code, text: String| Err(Refused { code, text });
    let required = by != By::Operator && server.settings.mail.as_ref().is_some_and(|mail| mail.required);
    match email {
        None if required => {
            refuse("INVALID_EMAIL", "This server asks for an e-mail address, to which it sends a code".to_owned())
        }
        None => Ok(()),
        Some(email) if !verify::looks_like_email(email) => {
            refuse("INVALID_EMAIL", format!("{:?} is no e-mail address; * gives none", cut(email, 100)))
        }
        Some(email) if server.settings.mail.as_ref().is_some_and(|mail| !mail.takes(email)) => {
            refuse("UNACCEPTABLE_EMAIL", format!("This server does not take addresses such as {email:?}; give another"))
        }
        Some(_) => Ok(()),
    }
}

fn count(server: &mut Server, ctx: &Ctx) -> Result<(), Refused> {
    if server.may_register_account(ctx.conn) {
        return Ok(());
    }
    let text = "Too many accounts were registered from your address; try again later".to_owned();
    Err(Refused { code: "TEMPORARILY_UNAVAILABLE", text })
}

/// Makes the account that `witness`, a token, the operator's program or directory, names, if that may be made.
pub fn create_for_witness(server: &mut Server, ctx: &mut Ctx, name: &str, witness: &str) {
    let may = may_make(server, ctx, name, By::Witness).and_then(|()| count(server, ctx));
    match may {
        Ok(()) => {
            let wanted = Wanted { name, email: None, by: By::Witness };
            server.submit(ctx, Change::Account { wanted: &wanted, secrets: None, code: None });
        }
        Err(refused) => server.log(false, format!("{witness} for account {name:?} did not make it: {}", refused.text)),
    }
}

/// The password of a new account was hashed.
pub fn hashed(server: &mut Server, ctx: &mut Ctx, wanted: &Wanted<'_>, returned: Returned) {
    let Wanted { name, email, by } = *wanted;
    let Returned::Hashed(secrets) = returned else {
        let text = "The server has too many passwords to hash; try again".to_owned();
        refuse(ctx, name, by, &Refused { code: "TEMPORARILY_UNAVAILABLE", text });
        return;
    };
    // Whom an operator makes an account for is verified by that.
    let verifies = by != By::Operator && server.settings.mail.is_some();
    let code = email.filter(|_| verifies).map(|_| server.new_code());
    if let (Some(_), Some(email)) = (&code, email)
        && !server.may_mail(ctx.conn, email)
    {
        let text = "Too many letters were sent to that address; try again in an hour".to_owned();
        refuse(ctx, name, by, &Refused { code: "TEMPORARILY_UNAVAILABLE", text });
        return;
    }
    server.submit(ctx, Change::Account { wanted, secrets: Some(&secrets), code: code.as_deref() });
}

/// Makes an account, and logs the sender in to it that asked for it.
pub fn apply(
    server: &mut Server,
    ctx: &mut Ctx,
    seq: Seq,
    wanted: &Wanted<'_>,
    secrets: Option<&Secrets>,
    code: Option<&str>,
) {
    let Wanted { name, email, by } = *wanted;
    // While the password was hashed another may have taken the name or the nick, or a connection of the
    // same user logged in.
    if let Err(refused) = may_make(server, ctx, name, by) {
        refuse(ctx, name, by, &refused);
        return;
    }
    let row = AccountRow {
        // Its number was never used, so that nobody inherits the private conversations of an account
        // that is gone.
        id: seq,
        name: name.into(),
        folded: server.network.fold(name).as_str().into(),
        password: secrets.map(|secrets| secrets.hash.clone()).unwrap_or_default(),
        registered: server.clock(),
        autoreplay_missed: true,
        always_on: None,
        multiclient: true,
        email: None,
        verified: code.is_none(),
    };
    let (id, name) = (row.id, row.name.clone());
    server.network.put_account(row.clone());
    server.keep(seq, Record::Account(Box::new(row)));
    server.log(false, format!("account {name} was registered"));
    server.notify(About::Accounts, |_| format!("the account {name} was registered"));
    if let Some(secrets) = secrets {
        credentials::keep(server, ctx, seq, id, |kept| kept.scram = secrets.scram.clone());
    }
    if let (Some(code), Some(email)) = (code, email) {
        let pending = Pending::VerificationMail { account: id, by };
        server.put_code(ctx, seq, (id, Purpose::Register), email, code, Some(pending));
        return;
    }
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    let unkept = email.map(|email| format!("This server sends no mail, so that the address {email} was not kept"));
    match by {
        By::Register => {
            server.admit(ctx, Door::Made, id, "", Proof::Has);
            if let Some(text) = unkept {
                ctx.reply.standard("NOTE", "REGISTER", "EMAIL_NOT_KEPT", &[&name], &text);
            }
            ctx.reply.line("REGISTER", &["SUCCESS", &name], Some("Account created"));
        }
        By::NickServ => {
            server.admit(ctx, Door::Made, id, "", Proof::Has);
            services::say(ctx, "NickServ", &format!("Account created: you are registered and logged in as {name}"));
            if let Some(text) = unkept {
                services::say(ctx, "NickServ", &text);
            }
        }
        By::Operator => services::say(ctx, "NickServ", &format!("Account {name} is registered")),
        By::Witness => {}
    }
}

fn refuse(ctx: &mut Ctx, name: &str, by: By, refused: &Refused) {
    match by {
        By::Register => ctx.reply.fail("REGISTER", refused.code, &[printable(name)], &refused.text),
        By::NickServ | By::Operator => services::say(ctx, "NickServ", &refused.text),
        // What it is not let in for is said by AUTHENTICATE.
        By::Witness => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::accounts::Secrets;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{ConnId, Event, Returned};

    /// The answer to the one call that the last event asked for: the password is hashed.
    fn hash(asked: &mut Asked, conn: ConnId) -> Vec<String> {
        let [(id, _)] = asked.calls() else { panic!("not one call: {:?}", asked.calls()) };
        let secrets = Secrets { hash: "$2b$hash".into(), scram: Vec::new() };
        let event = Event::Returned(*id, Returned::Hashed(Box::new(secrets)));
        asked.handle(event);
        asked.sent(conn)
    }

    #[test]
    fn a_nick_that_another_took_while_the_password_was_hashed_is_not_registered() {
        let mut asked = Asked::new();
        let slow = asked.open();
        asked.ask(slow, "NICK alice");
        assert!(asked.ask(slow, "REGISTER * * sesame").is_empty());
        let calls = asked.calls().to_vec();
        asked.user("alice");
        asked.set_calls(calls);
        let lines = hash(&mut asked, slow);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(":irc.test FAIL REGISTER ACCOUNT_EXISTS alice :"), "{lines:?}");
        assert!(asked.server.network.account_by_name("alice").is_none());
    }

    #[test]
    fn an_account_that_another_made_meanwhile_and_a_store_that_fails_are_seen() {
        let mut asked = Asked::new();
        let (alice, guest) = (asked.user("alice"), asked.open());
        assert!(asked.ask(guest, "REGISTER bob * sesame").is_empty());
        let first = asked.calls().to_vec();
        assert!(asked.ask(alice, "REGISTER bob * sesame").is_empty());
        assert!(hash(&mut asked, alice).iter().any(|line| line.contains("REGISTER SUCCESS bob")));
        asked.set_calls(first);
        assert!(hash(&mut asked, guest)[0].starts_with(":irc.test FAIL REGISTER ACCOUNT_EXISTS bob :"));

        assert!(asked.ask(guest, "REGISTER carol * sesame").is_empty());
        let call = asked.calls().to_vec();
        asked.handle(Event::StoreFailed("disk full".into()));
        asked.set_calls(call);
        assert!(hash(&mut asked, guest)[0].starts_with(":irc.test FAIL REGISTER TEMPORARILY_UNAVAILABLE carol :"));
        assert!(asked.server.network.account_by_name("carol").is_none());
    }

    #[test]
    fn an_address_that_is_not_kept_is_said_to_be_none() {
        let mut asked = Asked::new();
        let (alice, bob, carol) = (asked.user("alice"), asked.user("bob"), asked.user("carol"));
        asked.ask(alice, "NS REGISTER sesame ann@example.org");
        let told = hash(&mut asked, alice).concat();
        assert!(told.contains("logged in as alice") && told.contains("address ann@example.org was not kept"), "{told}");
        asked.ask(bob, "REGISTER * bob@example.org sesame");
        let told = hash(&mut asked, bob);
        assert!(told.iter().any(|line| line.starts_with(":irc.test NOTE REGISTER EMAIL_NOT_KEPT bob :")), "{told:?}");
        assert!(told.iter().any(|line| line.contains("REGISTER SUCCESS bob")), "{told:?}");
        // Nothing is said of what was not given, and a password is not taken for an address.
        assert!(
            asked.ask(carol, "NS REGISTER my pass phrase").concat().contains("one word") && asked.calls().is_empty()
        );
        asked.ask(carol, "NS REGISTER sesame *");
        assert!(!hash(&mut asked, carol).concat().contains("not kept"));
    }
}
