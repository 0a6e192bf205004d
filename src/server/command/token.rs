//! TOKEN (<https://github.com/ircv3/ircv3-specifications/pull/602>): tokens that tell other services who somebody is.

use ircv3::message::cut;
use ircv3::{Cap, Message, name};

use crate::limits;
use crate::server::authtoken::{Claims, Service, Token, service};
use crate::server::command::{need_more_params, oper, printable};
use crate::server::event::ConnId;
use crate::server::policy;
use crate::server::settings::Settings;
use crate::server::{Ctx, Server};

/// The type of the batches.
pub const BATCH: &str = "draft/authtoken";

/// A token that comes in several lines.
#[derive(Debug)]
pub struct Shown {
    reference: Box<str>,
    label: Option<Box<str>>,
    service: Box<str>,
    url: Box<str>,
    token: String,
    /// When it began, on the monotonic clock.
    since: u64,
}

/// `TOKEN SERVICELIST|GENERATE|VALIDATE`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let params: Vec<&str> = line.params().collect();
    let (verb, rest) = (params[0].to_ascii_uppercase(), &params[1..]);
    let known = matches!(verb.as_str(), "SERVICELIST" | "GENERATE" | "VALIDATE");
    if known && !ctx.reply.caps.has(Cap::Batch) {
        fail(ctx, "NEED_CAPABILITY", &["batch"], "Negotiate the capability batch first");
        return;
    }
    match (verb.as_str(), rest) {
        ("SERVICELIST", _) => list(server, ctx),
        ("GENERATE", [key, scope @ ..]) => generate(server, ctx, key, scope.first().copied()),
        ("VALIDATE", [key, url, token, ..]) => validate(server, ctx, key, url, token),
        ("GENERATE" | "VALIDATE", _) => need_more_params(ctx, "TOKEN"),
        _ => {
            let text = "There are SERVICELIST, GENERATE and VALIDATE";
            fail(ctx, "UNKNOWN_COMMAND", &[printable(params[0])], text);
        }
    }
}

fn fail(ctx: &mut Ctx, code: &str, context: &[&str], text: &str) {
    ctx.reply.fail("TOKEN", code, context, text);
}

/// Names the services to those who asked for the capability, when they come.
pub fn on_welcome(server: &mut Server, ctx: &mut Ctx) {
    if ctx.reply.caps.has(Cap::Authtoken) && ctx.reply.caps.has(Cap::Batch) {
        list(server, ctx);
    }
}

fn list(server: &mut Server, ctx: &mut Ctx) {
    let settings = server.settings.clone();
    if settings.authtoken.is_empty() {
        let text = "No services are defined for this network";
        ctx.reply.standard("NOTE", "TOKEN", "NO_SERVICES", &[], text);
        return;
    }
    batched(server, ctx, "*", "*", |ctx| {
        for service in &settings.authtoken {
            ctx.reply.line("TOKEN", &["SERVICE", &service.name, &service.url], Some(&service.description));
        }
    });
}

fn batched(server: &mut Server, ctx: &mut Ctx, key: &str, url: &str, fill: impl FnOnce(&mut Ctx)) {
    let Some(reference) = server.session_mut(ctx.conn).map(|session| session.new_batch()) else { return };
    ctx.reply.open_batch(&reference, &[BATCH, key, url]);
    fill(ctx);
    ctx.reply.close_batch();
}

fn generate(server: &mut Server, ctx: &mut Ctx, key: &str, scope: Option<&str>) {
    let settings = server.settings.clone();
    let Some(service) = service(&settings.authtoken, key) else {
        let text = format!("There is no service {:?} here; TOKEN SERVICELIST lists them", cut(key, 64));
        fail(ctx, "UNKNOWN_SERVICE", &[printable(key)], &text);
        return;
    };
    let account = server.session(ctx.conn).and_then(|session| session.account);
    let (Some(account), Some(user)) = (account, ctx.user) else {
        let text = format!("Log in to an account, and register, to be given a token for {}", service.name);
        fail(ctx, "ACCOUNT_REQUIRED", &[], &text);
        return;
    };
    let scope: Option<Box<str>> = match scope {
        None | Some("*") => None,
        Some(scope) if name::is_channel(scope, limits::CHANNEL_LEN) => {
            let Some(channel) = policy::channel_seen(&server.network, oper::viewer(server, ctx), scope) else {
                return invalid_scope(ctx, scope);
            };
            let there = &server.network.channels[channel];
            if there.ranks(user).is_none() {
                let text = format!("You are not in {}, so there is no token for it", there.name);
                fail(ctx, "NO_PERMISSIONS", &[printable(scope)], &text);
                return;
            }
            Some((*there.name).into())
        }
        Some(scope) if server.network.user_by_nick(scope) == Some(user) => {
            Some((*server.network.users[user].nick).into())
        }
        Some(scope) => return invalid_scope(ctx, scope),
    };
    let until = server.now().mono_ms + service.seconds * 1000;
    let token = Token { service: service.name.clone(), url: service.url.clone(), account, scope, until };
    match server.make_token(ctx, &token) {
        Some(text) => ctx.reply.line("TOKEN", &["GENERATE", &service.name, &service.url], Some(&text)),
        None => fail(ctx, "INTERNAL_ERROR", &[], "Too many tokens were given out; try again in some minutes"),
    }
}

fn invalid_scope(ctx: &mut Ctx, scope: &str) {
    fail(
        ctx,
        "INVALID_SCOPE",
        &[printable(scope)],
        "A token is for a channel that you are in, for your nick, or for *",
    );
}

/// Whether the sender may validate tokens of this service; it is told where not.
fn may_validate(server: &Server, ctx: &mut Ctx, key: &str) -> bool {
    let service = service(&server.settings.authtoken, key);
    let peer = server.session(ctx.conn).map(|session| &session.peer);
    let may = service.zip(peer).is_some_and(|(service, peer)| service.may_validate(peer));
    if !may {
        // Which services there are is not told here.
        fail(ctx, "NO_PERMISSIONS", &[printable(key)], "You may not validate tokens of that service");
    }
    may
}

fn validate(server: &mut Server, ctx: &mut Ctx, key: &str, url: &str, token: &str) {
    if !may_validate(server, ctx, key) {
        return;
    }
    let settings = server.settings.clone();
    let here = service(&settings.authtoken, key).filter(|service| *service.url == *url);
    let claims = server.spend_token(ctx, key, url, token);
    let (Some(service), Some(claims)) = (here, claims) else {
        fail(ctx, "INVALID_TOKEN", &[], "That is no token for this service and URL, or it is over or was used");
        return;
    };
    batched(server, ctx, &service.name, &service.url, |ctx| {
        let Claims { account, name, scope, member_of, operator_of } = &claims;
        let said = [
            ("account", Some(&**account)),
            ("member_of", member_of.as_deref()),
            ("name", name.as_deref()),
            ("operator_of", operator_of.as_deref()),
            ("scope", scope.as_deref()),
        ];
        for (key, value) in said {
            if let Some(value) = value {
                ctx.reply.line("TOKEN", &["CLAIM", key], Some(value));
            }
        }
    });
}

/// `BATCH +reference draft/authtoken service url`
pub fn open(server: &mut Server, ctx: &mut Ctx, line: &Message, reference: &str) {
    if !ctx.reply.caps.has(Cap::Authtoken) || !ctx.reply.caps.has(Cap::Batch) {
        fail(ctx, "NEED_CAPABILITY", &[BATCH], "Negotiate the capabilities draft/authtoken and batch first");
        return;
    }
    let (Some(key), Some(url)) = (line.param(2), line.param(3)) else {
        need_more_params(ctx, "BATCH");
        return;
    };
    if !may_validate(server, ctx, key) {
        return;
    }
    let since = server.now().mono_ms;
    let (service, url) = (cut(key, limits::SERVICE_NAME_LEN).into(), cut(url, limits::SERVICE_URL_LEN).into());
    let shown =
        Shown { reference: reference.into(), label: ctx.reply.take_label(), service, url, token: String::new(), since };
    if let Some(session) = server.session_mut(ctx.conn) {
        session.particulars_mut().shown = Some(shown);
    }
}

/// Takes a line of a token that comes in several; whether it was one.
pub fn takes(server: &mut Server, ctx: &mut Ctx, line: &Message) -> bool {
    let is_open = server.session(ctx.conn).is_some_and(|session| session.particulars().shown.is_some());
    if !is_open || line.tags_raw().is_empty() {
        return false;
    }
    let tags = line.tags();
    let Some(reference) = tags.get("batch") else { return false };
    let now = server.now().mono_ms;
    let Some(session) = server.session_mut(ctx.conn) else { return false };
    let shown = &mut session.particulars_mut().shown;
    let Some(open) = shown.as_mut().filter(|open| *open.reference == *reference) else { return false };
    let is_part = line.command().eq_ignore_ascii_case("TOKEN")
        && line.param(0).is_some_and(|verb| verb.eq_ignore_ascii_case("VALIDATE"));
    let refused = match line.param(1) {
        _ if now - open.since > limits::COMPOSING_MS => Some(("TIMEOUT", "The token took too long")),
        Some(part) if is_part && open.token.len() + part.len() <= limits::TOKEN_BYTES => {
            open.token.push_str(part);
            None
        }
        _ if !is_part => Some(("INVALID_TOKEN", "Such a batch has TOKEN VALIDATE alone in it")),
        Some(_) => Some(("INVALID_TOKEN", "The token is longer than any that could be right")),
        None => Some(("INVALID_TOKEN", "Each TOKEN VALIDATE has a part of the token")),
    };
    if let Some((code, text)) = refused {
        if let Some(label) = shown.take().and_then(|open| open.label) {
            ctx.reply.set_label(label);
        }
        fail(ctx, code, &[], text);
    }
    true
}

/// `BATCH -reference` of a token; whether it was one.
pub fn close(server: &mut Server, ctx: &mut Ctx, reference: &str) -> bool {
    let Some(session) = server.session_mut(ctx.conn) else { return false };
    if session.particulars().shown.as_ref().is_none_or(|open| *open.reference != *reference) {
        return false;
    }
    let Some(shown) = session.particulars_mut().shown.take() else { return false };
    if let Some(label) = shown.label {
        ctx.reply.set_label(label);
    }
    validate(server, ctx, &shown.service, &shown.url, &shown.token);
    true
}

/// Tells those with the capability what other settings change about the services.
pub fn reloaded(server: &mut Server, old: &Settings) {
    let new = server.settings.clone();
    let find = |services: &[Service], key: &str| service(services, key).cloned();
    let gone: Vec<&Service> =
        old.authtoken.iter().filter(|before| find(&new.authtoken, &before.name).is_none()).collect();
    let is_other = |now: &&Service| find(&old.authtoken, &now.name).is_none_or(|before| before.url != now.url);
    let came: Vec<&Service> = new.authtoken.iter().filter(is_other).collect();
    if gone.is_empty() && came.is_empty() {
        return;
    }
    let told = |conn: &ConnId| server.session(*conn).is_some_and(|session| session.caps.has(Cap::Authtoken));
    let conns: Vec<ConnId> = server.connections().into_iter().filter(told).collect();
    for conn in conns {
        let mut ctx = server.ctx(conn, None);
        for service in &gone {
            ctx.reply.line("TOKEN", &["DEL", &service.name], None);
        }
        for service in &came {
            ctx.reply.line("TOKEN", &["NEW", &service.name, &service.url], None);
        }
        server.finish(ctx);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use crate::accounts::Secrets;
    use crate::server::authtoken::Service;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{Event, Returned};
    use crate::server::settings::Settings;

    #[test]
    fn a_token_is_over_after_its_time() {
        let mut asked = Asked::new();
        let service = Service {
            name: "FILEHOST".into(),
            url: "https://f".into(),
            description: "".into(),
            seconds: 10,
            from: vec!["10.0.0.0/8".parse().unwrap()],
            certfp: None,
        };
        let settings = Settings { authtoken: vec![service], ..(*asked.server.settings).clone() };
        asked.handle(Event::Reload(Arc::new(settings)));
        let alice = asked.user_with("alice", "batch draft/authtoken");
        asked.ask(alice, "REGISTER * * sesame");
        let call = asked.calls()[0].0;
        let secrets = Secrets { hash: "h".into(), scram: Vec::new() };
        asked.handle(Event::Returned(call, Returned::Hashed(Box::new(secrets))));
        for (later, lines) in [(9_999, 4), (10_000, 1)] {
            let said = asked.ask(alice, "TOKEN GENERATE FILEHOST");
            let token = said[0].rsplit_once(':').unwrap().1.to_owned();
            asked.now.mono_ms += later;
            assert_eq!(asked.ask(alice, &format!("TOKEN VALIDATE FILEHOST https://f {token}")).len(), lines, "{later}");
        }
    }
}
