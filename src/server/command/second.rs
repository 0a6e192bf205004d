//! 2FA (<https://github.com/ircv3/ircv3-specifications/pull/610>): the second factor of one's account.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ircv3::Message;
use ircv3::message::{MAX_BODY_BYTES, cut};
use ircv3::time::put_time;
use serde::Serialize;

use crate::accounts::totp;
use crate::limits;
use crate::server::change::Change;
use crate::server::command::{need_more_params, printable};
use crate::server::record::{AccountId, SecondFactor, SecondProof};
use crate::server::second::{By, Kind, SecondChange, is_name};
use crate::server::{Ctx, Server};

/// What an authenticator is given.
#[derive(Serialize)]
struct TotpChallenge<'a> {
    r#type: &'static str,
    secret: &'a str,
    issuer: &'a str,
    account: &'a str,
    algorithm: &'static str,
    digits: usize,
    period: u64,
    uri: String,
}

/// What is told of a certificate.
#[derive(Serialize)]
struct CertificateChallenge<'a> {
    r#type: &'static str,
    algorithm: &'static str,
    fingerprint: &'a str,
}

/// `2FA STATUS|LIST|CHALLENGE|ADD|REMOVE|ENABLE|DISABLE`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let params: Vec<&str> = line.params().collect();
    let (verb, rest) = (params[0].to_ascii_uppercase(), &params[1..]);
    let Some(account) = server.session(ctx.conn).and_then(|session| session.account) else {
        fail(ctx, "NOT_AUTHENTICATED", &[], "Log in to the account first");
        return;
    };
    let least = match verb.as_str() {
        "STATUS" | "LIST" | "ENABLE" => 0,
        "CHALLENGE" | "REMOVE" => 1,
        "DISABLE" => 2,
        "ADD" => 3,
        _ => {
            let text = "There are STATUS, LIST, CHALLENGE, ADD, REMOVE, ENABLE and DISABLE";
            fail(ctx, "INVALID_PARAMS", &[printable(params[0])], text);
            return;
        }
    };
    if rest.len() < least {
        need_more_params(ctx, "2FA");
        return;
    }
    if !matches!(verb.as_str(), "STATUS" | "LIST") && !may(server, ctx) {
        return;
    }
    match verb.as_str() {
        "STATUS" if server.asks_second(account) => {
            note(ctx, "ENABLED", &[], "Two-factor authentication is on: a password alone does not log in");
        }
        "STATUS" => note(ctx, "DISABLED", &[], "Two-factor authentication is off"),
        "LIST" => list(server, ctx, account),
        "CHALLENGE" => challenge(server, ctx, account, rest[0]),
        "ADD" => add(server, ctx, account, rest),
        "REMOVE" => {
            let change = SecondChange::Remove { by: By::Command, id: rest[0], code: "" };
            server.submit(ctx, Change::Second { account, change: &change });
        }
        "ENABLE" => server.submit(ctx, Change::Second { account, change: &SecondChange::On(By::Command) }),
        _ => {
            let kind = rest[0].to_ascii_lowercase();
            if !matches!(kind.as_str(), "totp" | "external") {
                invalid_type(ctx, rest[0]);
            } else if !server.may_try_second(ctx.conn, account) {
                rate_limited(ctx);
            } else {
                let change = SecondChange::Off { by: By::Command, kind: &kind, proof: rest[1] };
                server.submit(ctx, Change::Second { account, change: &change });
            }
        }
    }
}

/// Whether a connection may change the second factor: not by an app password, which the factor is not asked for with.
fn may(server: &Server, ctx: &mut Ctx) -> bool {
    let why = server.why_no_credentials(ctx.conn);
    if let Some(text) = why {
        fail(ctx, "NOT_AUTHENTICATED", &[], text);
    }
    why.is_none()
}

fn fail(ctx: &mut Ctx, code: &str, context: &[&str], text: &str) {
    ctx.reply.fail("2FA", code, context, text);
}

fn note(ctx: &mut Ctx, code: &str, context: &[&str], text: &str) {
    ctx.reply.standard("NOTE", "2FA", code, context, text);
}

fn invalid_type(ctx: &mut Ctx, given: &str) {
    fail(ctx, "INVALID_TYPE", &[printable(given)], "The types are totp and external");
}

fn rate_limited(ctx: &mut Ctx) {
    fail(ctx, "RATE_LIMITED", &[], "Too many wrong codes; wait a minute");
}

fn list(server: &Server, ctx: &mut Ctx, account: AccountId) {
    let kept = server.network.credentials(account).map_or(&[][..], |kept| &kept.seconds);
    if kept.is_empty() {
        note(ctx, "NO_CREDENTIALS", &[], "Your account has no second factor");
    }
    for second in kept {
        let mut made = Vec::new();
        put_time(&mut made, second.made);
        let made = String::from_utf8_lossy(&made).into_owned();
        let context = [&*second.id, second.proof.word(), &*second.name, &made];
        note(ctx, "CREDENTIAL", &context, "A second factor of your account");
    }
}

fn challenge(server: &mut Server, ctx: &mut Ctx, account: AccountId, kind: &str) {
    let room = MAX_BODY_BYTES.saturating_sub(80 + server.settings.server_name.len());
    match kind.to_ascii_lowercase().as_str() {
        "totp" => {
            let Some(name) = server.network.account(account).map(|row| row.name.clone()) else { return };
            let seed = server.new_seed();
            server.enrol(ctx, Kind::Totp(seed), "");
            let secret = server.totp_secret(account, &seed);
            let data = totp_challenge(&secret, &server.settings.network, &name, room);
            let text = "Give it to your authenticator";
            note(ctx, "REGISTRATION_CHALLENGE", &["totp", &data], text);
        }
        "external" => {
            server.enrol(ctx, Kind::Certificate, "");
            let own = server.session(ctx.conn).and_then(|session| session.peer.certfp.clone());
            let fingerprint = own.as_deref().unwrap_or("");
            let data = CertificateChallenge { r#type: "external", algorithm: "sha-256", fingerprint };
            let data = STANDARD.encode(serde_json::to_string(&data).unwrap_or_default());
            note(ctx, "REGISTRATION_CHALLENGE", &["external", &data], "The certificate of this connection");
        }
        _ => invalid_type(ctx, kind),
    }
}

/// What an authenticator is given, in at most so many bytes: it has to fit into one line, so names are cut where
/// they are long.
fn totp_challenge(secret: &[u8], network: &str, account: &str, room: usize) -> String {
    let text = totp::base32(secret);
    let mut data = String::new();
    for (network_bytes, account_bytes) in [(64, limits::NICK_LEN), (24, limits::NICK_LEN), (12, 16), (0, 8), (0, 0)] {
        let issuer = cut(network, network_bytes);
        let challenge = TotpChallenge {
            r#type: "totp",
            secret: &text,
            issuer,
            account,
            algorithm: "SHA1",
            digits: totp::DIGITS,
            period: totp::STEP_SECONDS,
            uri: totp::uri(secret, issuer, cut(account, account_bytes)),
        };
        data = STANDARD.encode(serde_json::to_string(&challenge).unwrap_or_default());
        if data.len() <= room {
            break;
        }
    }
    data
}

fn add(server: &mut Server, ctx: &mut Ctx, account: AccountId, rest: &[&str]) {
    let (kind, name, data) = (rest[0].to_ascii_lowercase(), rest[1], rest[2]);
    if !matches!(kind.as_str(), "totp" | "external") {
        invalid_type(ctx, rest[0]);
        return;
    }
    if !is_name(name) {
        let text = format!("A name is one word of at most {} bytes", limits::SECOND_NAME_LEN);
        fail(ctx, "INVALID_NAME", &[printable(name)], &text);
        return;
    }
    if !server.may_try_second(ctx.conn, account) {
        rate_limited(ctx);
        return;
    }
    let proof = match (kind.as_str(), server.enrolment(ctx.conn).map(|enrolment| enrolment.kind)) {
        ("totp", Some(Kind::Totp(seed))) => SecondProof::Totp { seed, last: 0 },
        ("external", Some(Kind::Certificate)) => {
            // What was not shown to be there would lock its owner out.
            let own = server.session(ctx.conn).filter(|session| session.peer.tls);
            let own = own.and_then(|session| session.peer.certfp.clone());
            if own.as_deref() != Some(&*data.to_ascii_lowercase()) {
                let text = "Give the fingerprint of the certificate that this connection came with over TLS";
                fail(ctx, "INVALID_CREDENTIAL_DATA", &[], text);
                return;
            }
            SecondProof::Certificate(data.to_ascii_lowercase().into())
        }
        _ => {
            let text = format!("Ask for it first, with 2FA CHALLENGE {kind}; it holds for two minutes");
            fail(ctx, "NO_CHALLENGE", &[], &text);
            return;
        }
    };
    let factor = new_factor(server, name, proof);
    let change = SecondChange::Add { by: By::Command, factor: &factor, code: data, recovery: &[] };
    server.submit(ctx, Change::Second { account, change: &change });
}

/// A second factor that is to be added now.
pub fn new_factor(server: &mut Server, name: &str, proof: SecondProof) -> SecondFactor {
    let id = server.new_code();
    SecondFactor { id: cut(&id, 8).into(), name: name.into(), made: server.clock(), proof }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::totp_challenge;

    #[test]
    fn a_challenge_fits_into_a_line_whatever_the_names_are() {
        for (network, account) in
            [("Roost", "alice"), (&*"N".repeat(200), &*"a".repeat(32)), ("\u{e4}", &*"\u{e4}".repeat(16))]
        {
            let data = totp_challenge(&[7; 20], network, account, 380);
            assert!(data.len() <= 380, "{network} {account}: {}", data.len());
            let json: serde_json::Value = serde_json::from_slice(&STANDARD.decode(data).unwrap()).unwrap();
            assert_eq!(json["account"], *account);
            assert_eq!(json["digits"], 6);
            assert!(json["uri"].as_str().unwrap().starts_with("otpauth://totp/"));
        }
    }
}
