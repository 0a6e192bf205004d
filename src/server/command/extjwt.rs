//! EXTJWT (<https://github.com/ircv3/ircv3-specifications/pull/547>): a signed statement (JWT, RFC 7519) of who
//! someone is and what it is in a channel, for a web page that knows the same secret.

use ircv3::message::MAX_BODY_BYTES;
use ircv3::mode::Rank;
use ircv3::{Message, name};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;

use crate::limits;
use crate::server::command::{find_channel, oper, printable};
use crate::server::{Ctx, Server};

/// What is stated.
#[derive(Serialize)]
struct Claims {
    exp: u64,
    iss: String,
    sub: String,
    account: String,
    umodes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(flatten)]
    channel: Option<InChannel>,
}

/// What is stated of a channel.
#[derive(Serialize)]
struct InChannel {
    channel: String,
    /// 1: it is in the channel, since when is not known; 0: it is not.
    joined: u64,
    cmodes: Vec<String>,
}

/// `EXTJWT #channel|* [service]`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let (target, service) = (line.param(0).unwrap_or("*"), line.param(1));
    let named = service.filter(|service| *service != "*");
    let found = server.settings.extjwt.iter().find(|row| named.map_or(row.name.is_empty(), |name| *row.name == *name));
    let Some(row) = found.cloned() else {
        let text = match named {
            Some(name) => format!("There is no service {name:?} here"),
            None => "Name a service: there is none for everything here".to_owned(),
        };
        ctx.reply.fail("EXTJWT", "NO_SUCH_SERVICE", &[], &text);
        return;
    };
    let channel = if target == "*" {
        None
    } else if name::is_channel(target, limits::CHANNEL_LEN) {
        let Some(id) = find_channel(server, ctx, target) else { return };
        let there = &server.network.channels[id];
        let ranks = there.ranks(ctx.me());
        let cmodes = ranks.unwrap_or_default().iter().map(Rank::letter).map(String::from).collect();
        Some(InChannel { channel: there.name.to_string(), joined: ranks.is_some().into(), cmodes })
    } else {
        ctx.reply.fail("EXTJWT", "INVALID_TARGET", &[printable(target)], "The target is a channel, or * for yourself");
        return;
    };
    let (there, is_oper) = (&server.network.users[ctx.me()], oper::is(server, ctx));
    let claims = Claims {
        exp: server.clock() / 1000 + row.seconds,
        iss: server.settings.server_name.to_string(),
        sub: there.nick.to_string(),
        account: there.account_name.as_deref().unwrap_or_default().to_owned(),
        umodes: there.modes.text().chars().filter(|mode| *mode != 'o' || is_oper).map(String::from).collect(),
        service: named.map(str::to_owned),
        channel,
    };
    let key = EncodingKey::from_secret(row.secret.bytes());
    let Ok(token) = encode(&Header::default(), &claims, &key) else {
        ctx.reply.fail("EXTJWT", "UNKNOWN_ERROR", &[], "The statement could not be signed");
        return;
    };
    let (shown, service) = (claims.channel.map_or("*".to_owned(), |there| there.channel), service.unwrap_or("*"));
    let around = ": EXTJWT   * \r\n".len() + claims.iss.len() + shown.len() + service.len();
    let mut rest = &*token;
    while rest.len() + around > MAX_BODY_BYTES {
        let (part, after) = rest.split_at(MAX_BODY_BYTES - around);
        ctx.reply.line("EXTJWT", &[&shown, service, "*", part], None);
        rest = after;
    }
    ctx.reply.line("EXTJWT", &[&shown, service, rest], None);
}
