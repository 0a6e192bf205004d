//! AUTHENTICATE (<https://ircv3.net/specs/extensions/sasl-3.2>): the exchange of each mechanism, up to
//! the gate in `login.rs`. Whoever is logged in may log in again, to the same account, or to another where nobody else is on
//! its nick and nothing of it stays.

use ircv3::numeric::Numeric;
use ircv3::sasl::bearer::{OauthError, oauth_error, parse_ircv3, parse_oauth};
use ircv3::sasl::ecdsa::{self, PublicKey};
use ircv3::sasl::scram::{self, ChannelBindings, ClientFirst, Hash, ScramError};
use ircv3::sasl::{Assembler, CHUNK_BYTES, Mechanism, Outcome, chunks, list, parse_plain};
use ircv3::{Cap, Message};

use crate::limits;
use crate::server::action::Call;
use crate::server::command::{Pending, register};
use crate::server::event::{Peer, Returned};
use crate::server::login::{Door, Proof, Refused, split_device};
use crate::server::record::AccountId;
use crate::server::second::is_code;
use crate::server::session::LoginBy;
use crate::server::settings::Settings;
use crate::server::{Ctx, Server};

/// A login under way.
#[derive(Debug)]
pub struct Exchange {
    assembler: Assembler,
    step: Step,
}

impl Exchange {
    fn new(step: Step) -> Exchange {
        Exchange { assembler: Assembler::new(limits::SASL_RESPONSE_BYTES), step }
    }
}

/// Which response of the client is due.
#[derive(Debug)]
enum Step {
    /// PLAIN's only one.
    Plain,
    /// EXTERNAL's only one.
    External,
    /// SCRAM's first message.
    ScramFirst { hash: Hash, plus: bool },
    /// SCRAM's final message.
    ScramFinal { exchange: Box<scram::Exchange>, owner: Option<Owner>, name: Box<str>, device: Box<str> },
    /// The empty one after the server has proved itself.
    ScramEnd { owner: Owner, device: Box<str> },
    /// The account of ECDSA-NIST256P-CHALLENGE.
    EcdsaAccount,
    /// The signature.
    EcdsaSignature { challenge: Vec<u8>, key: Option<(AccountId, PublicKey)>, name: Box<str>, device: Box<str> },
    /// OAUTHBEARER's only one, where it succeeds.
    Oauth,
    /// The byte 1 that answers the challenge with the error.
    OauthRefused { why: &'static str },
    /// IRCV3BEARER's only one.
    Ircv3Bearer,
    /// The code of the second factor.
    Totp,
    /// The empty one that says that the certificate is the second factor.
    SecondExternal,
}

/// Whose password an exchange is about. It may go on for as long as the client likes, and with another password, or
/// another account of that name, it proves nothing any more.
#[derive(Debug)]
struct Owner {
    account: AccountId,
    /// The hash of the password.
    password: Box<str>,
}

impl Owner {
    fn named(server: &Server, name: &str) -> Option<Owner> {
        let row = server.network.account_by_name(name)?;
        Some(Owner { account: row.id, password: row.password.clone() })
    }

    fn is_same(&self, server: &Server) -> bool {
        server.network.account(self.account).is_some_and(|row| row.password == self.password)
    }
}

/// A token that is being looked at.
#[derive(Debug)]
pub struct Presented {
    /// Whom the client wants to act as; empty: whoever the token is for.
    authzid: Box<str>,
    /// Whether it came by OAUTHBEARER, whose errors are challenges.
    oauth: bool,
}

/// The mechanisms that a connection may use, in the order of the table.
pub fn offered(settings: &Settings, peer: &Peer) -> Vec<Mechanism> {
    let possible = |mechanism: &Mechanism| match mechanism {
        Mechanism::Plain | Mechanism::Scram(_) | Mechanism::Ecdsa | Mechanism::Totp => true,
        Mechanism::External => peer.tls,
        // Both ends must see one TLS connection, which is not so behind a proxy that ends it.
        Mechanism::ScramPlus(_) => peer.bindings.is_some(),
        Mechanism::OauthBearer | Mechanism::Ircv3Bearer => settings.tokens.is_some(),
    };
    let all = Mechanism::ALL.iter().map(|(mechanism, _)| *mechanism);
    all.filter(|mechanism| settings.mechanisms.contains(mechanism)).filter(possible).collect()
}

/// AUTHENTICATE
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let param = line.param(0).unwrap_or("");
    // A client that pipelines may not have asked for `sasl` by name; that it speaks CAP says enough.
    let speaks_cap = server.session(ctx.conn).is_some_and(|session| session.negotiation.version() > 0);
    if !ctx.reply.caps.has(Cap::Sasl) && !speaks_cap {
        fail(server, ctx, "request the sasl capability first");
        return;
    }
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let Some(exchange) = session.sasl.take() else {
        let Some(step) = begin(server, ctx, param) else { return };
        match line.param(1) {
            // The first response came with it (draft/sasl-ir).
            Some(response) => push(server, ctx, Box::new(Exchange::new(step)), response),
            None => challenge(server, ctx, b"", step),
        }
        return;
    };
    push(server, ctx, exchange, param);
}

/// Takes a response of the client's, or part of one.
fn push(server: &mut Server, ctx: &mut Ctx, mut exchange: Box<Exchange>, param: &str) {
    match exchange.assembler.push(param) {
        Outcome::More => {
            if let Some(session) = server.session_mut(ctx.conn) {
                session.sasl = Some(exchange);
            }
        }
        Outcome::Done(response) => go_on(server, ctx, exchange.step, &response),
        Outcome::Aborted => aborted(ctx),
        Outcome::TooLong if param.len() <= CHUNK_BYTES => {
            fail(server, ctx, "the response is longer than any that could be right");
        }
        Outcome::TooLong => ctx.reply.numeric(Numeric::ERR_SASLTOOLONG, &[], Some("SASL message too long")),
        Outcome::BadBase64 => fail(server, ctx, "the response is not base64"),
    }
}

/// 906
pub fn aborted(ctx: &mut Ctx) {
    ctx.reply.numeric(Numeric::ERR_SASLABORTED, &[], Some("SASL authentication aborted"));
}

/// The first step of the mechanism of this name, or an answer why there is none.
fn begin(server: &mut Server, ctx: &mut Ctx, name: &str) -> Option<Step> {
    if name == "*" {
        server.forget_first_factor(ctx.conn);
        aborted(ctx);
        return None;
    }
    // After the first factor comes the second, or another login.
    match (server.first_factor(ctx.conn), Mechanism::by_name(name)) {
        (Some(_), Some(Mechanism::Totp)) => return Some(Step::Totp),
        (Some(_), Some(Mechanism::External)) => return Some(Step::SecondExternal),
        _ => server.forget_first_factor(ctx.conn),
    };
    let session = server.session(ctx.conn)?;
    let offered = offered(&server.settings, &session.peer);
    Some(match Mechanism::by_name(name).filter(|mechanism| offered.contains(mechanism)) {
        Some(Mechanism::Plain) => Step::Plain,
        Some(Mechanism::External) => Step::External,
        Some(Mechanism::Scram(hash)) => Step::ScramFirst { hash, plus: false },
        Some(Mechanism::ScramPlus(hash)) => Step::ScramFirst { hash, plus: true },
        Some(Mechanism::Ecdsa) => Step::EcdsaAccount,
        Some(Mechanism::OauthBearer) => Step::Oauth,
        Some(Mechanism::Ircv3Bearer) => Step::Ircv3Bearer,
        Some(Mechanism::Totp) => {
            fail(server, ctx, "TOTP is a second factor: log in with PLAIN or SCRAM first, and with draft/account-2fa");
            return None;
        }
        None => {
            // A client may take a name that RFC 4422 does not allow for the end of the list.
            let named = list(offered.into_iter().filter(|mechanism| mechanism.has_proper_name()));
            let named = if named.is_empty() { "*" } else { &named };
            ctx.reply.numeric(Numeric::RPL_SASLMECHS, &[named], Some("are available SASL mechanisms"));
            fail(server, ctx, "no such mechanism");
            return None;
        }
    })
}

/// Sends a challenge and waits for the response to it.
fn challenge(server: &mut Server, ctx: &mut Ctx, data: &[u8], step: Step) {
    let Some(session) = server.session_mut(ctx.conn) else { return };
    session.sasl = Some(Box::new(Exchange::new(step)));
    for chunk in chunks(data) {
        // Without source and tags: old clients take it in no other form.
        ctx.reply.bare("AUTHENTICATE", &chunk);
    }
}

fn fail(server: &mut Server, ctx: &mut Ctx, why: &str) {
    server.turn_away(ctx, Door::Sasl, Refused::Unfit(why));
}

fn go_on(server: &mut Server, ctx: &mut Ctx, step: Step, response: &[u8]) {
    match step {
        Step::EcdsaSignature { name, .. } | Step::ScramFinal { name, .. }
            if !server.may_try_login(ctx.conn, Some(&name)) =>
        {
            // Others may have guessed since this exchange began.
            server.turn_away(ctx, Door::Sasl, Refused::Throttled);
        }
        Step::Plain => plain(server, ctx, response),
        Step::External => external(server, ctx, response),
        Step::ScramFirst { hash, plus } => scram_first(server, ctx, hash, plus, response),
        Step::ScramFinal { exchange, owner, name, device } => {
            let owner = owner.filter(|owner| owner.is_same(server));
            scram_final(server, ctx, *exchange, owner, (&name, &device), response);
        }
        Step::ScramEnd { owner, device } if response.is_empty() => {
            if owner.is_same(server) {
                server.admit(ctx, Door::Sasl, owner.account, &device, Proof::Knows(None));
            } else {
                server.turn_away(ctx, Door::Sasl, Refused::Wrong(None));
            }
        }
        Step::ScramEnd { .. } => fail(server, ctx, "the last response of SCRAM is empty (AUTHENTICATE +)"),
        Step::EcdsaAccount => ecdsa_account(server, ctx, response),
        Step::EcdsaSignature { challenge, key, name, device } => match key {
            // It may have another key by now.
            Some((account, key))
                if server.network.credentials(account).and_then(|kept| kept.key.as_ref()) == Some(&key)
                    && key.has_signed(&challenge, response) =>
            {
                server.admit(ctx, Door::Sasl, account, &device, Proof::Has);
                server.note_by(ctx.conn, account, LoginBy::Key);
            }
            _ => server.turn_away(ctx, Door::Sasl, Refused::Wrong(Some(&name))),
        },
        Step::Oauth => match parse_oauth(response) {
            Some(bearer) if !bearer.token.is_empty() => token(server, ctx, &bearer.authzid, bearer.token, true),
            _ => refuse_token(server, ctx, OauthError::InvalidRequest, true, "that is no response of OAUTHBEARER"),
        },
        Step::OauthRefused { why } => fail(server, ctx, why),
        Step::Totp | Step::SecondExternal => second(server, ctx, &step, response),
        Step::Ircv3Bearer => match parse_ircv3(response) {
            Some(bearer) => token(server, ctx, &bearer.authzid, bearer.token, false),
            None => fail(server, ctx, "IRCV3BEARER takes account NUL type NUL token, and type is jwt or oauth2"),
        },
    }
}

/// The second factor.
fn second(server: &mut Server, ctx: &mut Ctx, step: &Step, response: &[u8]) {
    let Some(first) = server.first_factor(ctx.conn) else {
        server.forget_first_factor(ctx.conn);
        fail(server, ctx, "the first factor was too long ago; begin anew");
        return;
    };
    match (step, std::str::from_utf8(response)) {
        (Step::SecondExternal, Ok("")) => server.show_second(ctx, &first),
        (Step::SecondExternal, _) => fail(server, ctx, "the response of EXTERNAL is empty (AUTHENTICATE +)"),
        (_, Ok(code)) if is_code(code) => {
            server.give_second(ctx, Door::Sasl, first.account, &first.device, code);
        }
        _ => fail(server, ctx, "the response of TOTP is a code of six digits, or a recovery code"),
    }
}

/// Whether a client wants to act as another than it says to be, which nobody may. Before that is proved, both are to be
/// one name: that one is a nick of the other is no answer for whoever does not know the password.
fn acts_for_another(server: &Server, authzid: &str, name: &str) -> bool {
    let (authzid, _) = split_device(authzid);
    !authzid.is_empty() && server.network.fold(authzid) != server.network.fold(name)
}

/// Whether a client wants to act as another than the account that it has proved to be of.
fn acts_for_another_than(server: &Server, authzid: &str, account: &str) -> bool {
    acts_for_another(server, &server.account_meant(split_device(authzid).0), account)
}

const ANOTHER: &str = "you may not act for another account";

fn plain(server: &mut Server, ctx: &mut Ctx, response: &[u8]) {
    let Some(plain) = parse_plain(response) else {
        fail(server, ctx, "PLAIN takes authzid NUL account NUL password, none of the last two empty");
        return;
    };
    let (name, device) = split_device(plain.authcid);
    if acts_for_another(server, plain.authzid, name) {
        fail(server, ctx, ANOTHER);
        return;
    }
    server.try_password(ctx, Door::Sasl, (name, device), plain.password, None);
}

fn external(server: &mut Server, ctx: &mut Ctx, response: &[u8]) {
    let Ok(authzid) = std::str::from_utf8(response) else {
        fail(server, ctx, "the account's name is not UTF-8");
        return;
    };
    let fingerprint = server.session(ctx.conn).and_then(|session| session.peer.certfp.clone());
    let Some(fingerprint) = fingerprint else {
        fail(server, ctx, "you connected without a client certificate");
        return;
    };
    if !server.may_try_login(ctx.conn, None) {
        server.turn_away(ctx, Door::Sasl, Refused::Throttled);
        return;
    }
    let account = server.network.account_by_certificate(&fingerprint);
    let row = account.and_then(|account| server.network.account(account));
    let Some((account, name)) = row.map(|row| (row.id, row.name.clone())) else {
        server.turn_away(ctx, Door::Sasl, Refused::Wrong(None));
        return;
    };
    if acts_for_another_than(server, authzid, &name) {
        fail(server, ctx, ANOTHER);
        return;
    }
    server.admit(ctx, Door::Sasl, account, split_device(authzid).1, Proof::Has);
    server.note_by(ctx.conn, account, LoginBy::Certificate(fingerprint));
}

fn scram_first(server: &mut Server, ctx: &mut Ctx, hash: Hash, plus: bool, response: &[u8]) {
    let first = match ClientFirst::parse(response) {
        Ok(first) => first,
        Err(error) => {
            fail(server, ctx, &error.to_string());
            return;
        }
    };
    let (name, device) = split_device(&first.user);
    if acts_for_another(server, &first.authzid, name) {
        fail(server, ctx, ANOTHER);
        return;
    }
    // What is signed has the name in it that the client gave; only the password is another's.
    let name = &*server.account_meant(name);
    if !server.may_try_login(ctx.conn, Some(name)) {
        server.turn_away(ctx, Door::Sasl, Refused::Throttled);
        return;
    }
    let Some(session) = server.session(ctx.conn) else { return };
    // A client that could bind itself and was not offered it is believed only if it was not.
    let binds = plus || offered(&server.settings, &session.peer).contains(&Mechanism::ScramPlus(hash));
    let here = if binds { session.peer.bindings.clone() } else { ChannelBindings::default() };
    let (credential, owner) = (server.scram_credential(hash, name), Owner::named(server, name));
    let nonce = server.nonce();
    match scram::Exchange::new(&first, plus, &here, credential, &nonce) {
        Ok((exchange, answer)) => {
            let exchange = Box::new(exchange);
            let step = Step::ScramFinal { exchange, owner, name: name.into(), device: device.into() };
            challenge(server, ctx, answer.as_bytes(), step);
        }
        Err(error) => fail(server, ctx, &error.to_string()),
    }
}

fn scram_final(
    server: &mut Server,
    ctx: &mut Ctx,
    exchange: scram::Exchange,
    owner: Option<Owner>,
    (name, device): (&str, &str),
    response: &[u8],
) {
    match (exchange.finish(response), owner) {
        (Ok(proof), Some(owner)) => {
            challenge(server, ctx, proof.as_bytes(), Step::ScramEnd { owner, device: device.into() });
        }
        (Err(ScramError::Proof), _) | (Ok(_), None) => {
            server.turn_away(ctx, Door::Sasl, Refused::Wrong(Some(name)));
        }
        (Err(error), _) => fail(server, ctx, &error.to_string()),
    }
}

fn ecdsa_account(server: &mut Server, ctx: &mut Ctx, response: &[u8]) {
    let Some((name, authzid)) = ecdsa::parse_account(response) else {
        fail(server, ctx, "the first response of ECDSA-NIST256P-CHALLENGE is the account's name");
        return;
    };
    let (name, device) = split_device(name);
    if acts_for_another(server, authzid, name) {
        fail(server, ctx, ANOTHER);
        return;
    }
    let name = &*server.account_meant(name);
    if !server.may_try_login(ctx.conn, Some(name)) {
        server.turn_away(ctx, Door::Sasl, Refused::Throttled);
        return;
    }
    let account = server.network.account_by_name(name).map(|row| row.id);
    let key = account.and_then(|id| Some((id, server.network.credentials(id)?.key.clone()?)));
    let data = server.challenge();
    let (name, device) = (name.into(), device.into());
    challenge(server, ctx, &data, Step::EcdsaSignature { challenge: data.clone(), key, name, device });
}

fn token(server: &mut Server, ctx: &mut Ctx, authzid: &str, token: &str, oauth: bool) {
    let Some(tokens) = server.settings.tokens.clone() else {
        refuse_token(server, ctx, OauthError::InvalidToken, oauth, "tokens do not log in here");
        return;
    };
    if !server.may_try_login(ctx.conn, None) {
        server.turn_away(ctx, Door::Sasl, Refused::Throttled);
        return;
    }
    let pending = Pending::Token(Presented { authzid: authzid.into(), oauth });
    server.call(ctx, Call::Token { token: token.into(), tokens }, pending);
}

/// The token was looked at.
pub fn token_checked(server: &mut Server, ctx: &mut Ctx, presented: &Presented, returned: Returned) {
    let Presented { authzid, oauth } = presented;
    let name = match returned {
        Returned::Token(Ok(name)) => name,
        Returned::Token(Err(why)) => {
            server.log(false, format!("a token did not log in: {why:?}"));
            server.login_failed(ctx.conn, None);
            refuse_token(server, ctx, OauthError::InvalidToken, *oauth, "the token does not log in here");
            return;
        }
        _ => {
            server.turn_away(ctx, Door::Sasl, Refused::Busy);
            return;
        }
    };
    if acts_for_another_than(server, authzid, &name) {
        refuse_token(server, ctx, OauthError::InvalidToken, *oauth, "the token is for another account");
        return;
    }
    if server.network.account_by_name(&name).is_none() && server.settings.token_autocreate {
        // Nobody is made an account that they are then not let in to.
        if let Some(why) = server.why_no_other(ctx, None) {
            server.turn_away(ctx, Door::Sasl, Refused::Unfit(&why));
            return;
        }
        register::create_for_witness(server, ctx, &name, "a token");
    }
    let account = server.network.account_by_name(&name).map(|row| row.id);
    match account {
        Some(account) => server.admit(ctx, Door::Sasl, account, split_device(authzid).1, Proof::Has),
        None => {
            let why = "the token is for an account that is not there and cannot be made";
            refuse_token(server, ctx, OauthError::InvalidToken, *oauth, why);
        }
    }
}

/// OAUTHBEARER tells of an error by a challenge, and fails when that is answered (RFC 7628, section 3.2.3).
fn refuse_token(server: &mut Server, ctx: &mut Ctx, error: OauthError, oauth: bool, why: &'static str) {
    if oauth {
        challenge(server, ctx, oauth_error(error).as_bytes(), Step::OauthRefused { why });
    } else {
        fail(server, ctx, why);
    }
}
