//! WEBPUSH (<https://github.com/ircv3/ircv3-specifications/pull/471>): devices that are told of messages while they are
//! not connected.

use ircv3::message::{MAX_BODY_BYTES, cut};
use ircv3::webpush::Keys;
use ircv3::{Cap, Message};

use crate::limits;
use crate::push::endpoint::Endpoint;
use crate::server::change::Change;
use crate::server::command::{negotiated, printable};
use crate::server::record::{AccountId, Record, Seq, SubscriptionRow};
use crate::server::{Ctx, Server};

/// WEBPUSH
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if !negotiated(ctx, line.command(), &[Cap::Webpush]) {
        return;
    }
    let params: Vec<&str> = line.params().collect();
    let subcommand = params.first().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    match (&*subcommand, &params[params.len().min(1)..]) {
        ("REGISTER", [endpoint, keys]) => register(server, ctx, endpoint, keys),
        ("UNREGISTER", [endpoint]) => unregister(server, ctx, endpoint),
        ("REGISTER", rest) => fail(ctx, "INVALID_PARAMS", "REGISTER", rest.first(), "It takes an endpoint and keys"),
        ("UNREGISTER", rest) => fail(ctx, "INVALID_PARAMS", "UNREGISTER", rest.first(), "It takes an endpoint"),
        (other, rest) => {
            let text = "WEBPUSH knows REGISTER and UNREGISTER";
            let other = cut(printable(other), 32);
            fail(ctx, "INVALID_PARAMS", other, rest.first(), text);
        }
    }
}

/// FAIL with the subcommand and the endpoint, where one was given that can be repeated.
fn fail(ctx: &mut Ctx, code: &str, subcommand: &str, endpoint: Option<&&str>, text: &str) {
    let mut context = vec![subcommand];
    let endpoint = endpoint.map(|endpoint| printable(endpoint));
    context.extend(endpoint.map(|endpoint| if endpoint.len() > limits::PUSH_ENDPOINT_BYTES { "*" } else { endpoint }));
    // With the longest name of a server and the longest endpoint it still is one line.
    let around = ": FAIL WEBPUSH  :\r\n".len() + limits::HOST_LEN + code.len();
    let around = around + context.iter().map(|word| 1 + word.len()).sum::<usize>();
    let text = cut(text, MAX_BODY_BYTES.saturating_sub(around));
    ctx.reply.fail("WEBPUSH", code, &context, text);
}

/// The account that the sender is logged in to.
fn account(server: &Server, ctx: &Ctx) -> Option<AccountId> {
    server.network.users[ctx.me()].account
}

fn register(server: &mut Server, ctx: &mut Ctx, endpoint: &str, keys: &str) {
    let refuse = |ctx: &mut Ctx, code, text: &str| fail(ctx, code, "REGISTER", Some(&endpoint), text);
    let Some(settings) = server.settings.webpush.clone() else {
        refuse(ctx, "FORBIDDEN", "This server does not push");
        return;
    };
    let session = server.session(ctx.conn);
    // The push service would learn who is behind it.
    if session.is_none_or(|session| session.peer.host.is_some()) {
        refuse(ctx, "FORBIDDEN", "Not over Tor, or the like: it would give you away");
        return;
    }
    let Some(account) = account(server, ctx) else {
        refuse(ctx, "FORBIDDEN", "Log in to an account first");
        return;
    };
    // Whoever knew the old password had their devices taken away.
    if session.is_some_and(|session| session.particulars().has_old_password) {
        refuse(ctx, "FORBIDDEN", "Your password was changed since this connection logged in: log in again first");
        return;
    }
    if let Err(fault) = Endpoint::parse(endpoint, &settings.allowed) {
        refuse(ctx, "INVALID_PARAMS", &fault.to_string());
        return;
    }
    let keys: Keys = match keys.parse() {
        Ok(keys) => keys,
        Err(fault) => {
            refuse(ctx, "INVALID_PARAMS", &format!("Of the keys: {fault}"));
            return;
        }
    };
    let is_known =
        server.network.subscriptions(account).iter().any(|row| *row.endpoint == *endpoint && row.keys == keys);
    if !is_known && !server.may_subscribe(account) {
        refuse(ctx, "MAX_REGISTRATIONS", "Too many new devices; try again in an hour");
        return;
    }
    let Some(vapid) = server.pushes.current().map(|key| key.id).filter(|_| !server.store_refuses()) else {
        refuse(ctx, "INTERNAL_ERROR", "The subscription cannot be kept now; try again later");
        return;
    };
    let (session, now) = (server.session(ctx.conn), server.clock() / 1000);
    let names: Vec<&str> = ctx.reply.caps.iter().map(|cap| cap.names()[0]).collect();
    let row = SubscriptionRow {
        account,
        endpoint: endpoint.into(),
        keys,
        vapid,
        device: session.map(|session| session.device.clone()).unwrap_or_default(),
        app: session.and_then(|session| session.particulars().app.clone()).unwrap_or_default(),
        by: session.and_then(|session| session.particulars().by.clone()),
        caps: names.join(" ").into(),
        made: now,
        renewed: now,
        reached: 0,
    };
    server.submit(ctx, Change::Subscribe(&row));
}

/// Takes a device on, in place of one of the same endpoint.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, row: &SubscriptionRow) {
    let (account, endpoint) = (row.account, &*row.endpoint);
    let most = server.settings.webpush.as_ref().map_or(0, |settings| settings.devices);
    let there = server.network.subscriptions(account);
    let before = there.iter().find(|other| *other.endpoint == *endpoint).cloned();
    if before.is_none() && there.len() >= most {
        let text = format!("The account has {most} devices; NickServ NOTIFY DEVICES has them");
        fail(ctx, "MAX_REGISTRATIONS", "REGISTER", Some(&endpoint), &text);
        return;
    }
    let mut row = row.clone();
    let (mut tested, mut was_known) = (0, false);
    if let Some(before) = before.filter(|before| before.keys == row.keys && before.vapid == row.vapid) {
        (tested, was_known) = (before.reached, true);
        (row.made, row.reached) = (before.made, before.reached);
    }
    let is_first = there.is_empty();
    // Where it cannot be reached it is not tried each time: its endpoint may be that of somebody else.
    let due = tested + limits::PUSH_TEST_SECONDS <= row.renewed && (!was_known || server.may_subscribe(account));
    server.network.put_subscription(row.clone());
    server.keep(seq, Record::Subscription(Box::new(row.clone())));
    server.device_renewed(account, endpoint);
    if is_first {
        server.listeners_changed(account);
    }
    if let Some(session) = server.session_mut(ctx.conn) {
        session.particulars_mut().endpoint = Some(row.endpoint.clone());
    }
    let after = server.wait_for(seq);
    ctx.reply.after = ctx.reply.after.max(after);
    ctx.reply.line("WEBPUSH", &["REGISTER", &row.endpoint], None);
    if !ctx.user.is_some_and(|user| server.will_stay(user)) {
        let text = "You are told of nothing while you are not connected: /msg NickServ SET ALWAYS-ON ON";
        ctx.reply.standard("WARN", "WEBPUSH", "PERSISTENCE_REQUIRED", &["REGISTER"], text);
    }
    if due {
        server.push_test(account, &row.endpoint, after);
    }
}

fn unregister(server: &mut Server, ctx: &mut Ctx, endpoint: &str) {
    if endpoint.len() > limits::PUSH_ENDPOINT_BYTES || printable(endpoint) != endpoint {
        fail(ctx, "INVALID_PARAMS", "UNREGISTER", Some(&endpoint), "That is no endpoint");
        return;
    }
    let account = account(server, ctx);
    let known = |account| server.network.subscriptions(account).iter().any(|row| *row.endpoint == *endpoint);
    match account.filter(|account| known(*account)) {
        Some(_) if server.store_refuses() => {
            let text = "The server cannot store anything now; try again later";
            fail(ctx, "INTERNAL_ERROR", "UNREGISTER", Some(&endpoint), text);
        }
        Some(account) => server.submit(ctx, Change::Unsubscribe { account, endpoint }),
        None => ctx.reply.line("WEBPUSH", &["UNREGISTER", endpoint], None),
    }
}

/// Takes a device away.
pub fn apply_gone(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, endpoint: &str) {
    server.drop_devices(seq, account, |row| *row.endpoint == *endpoint);
    if let Some(session) = server.session_mut(ctx.conn)
        && session.particulars().endpoint.as_deref() == Some(endpoint)
    {
        session.particulars_mut().endpoint = None;
    }
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    ctx.reply.line("WEBPUSH", &["UNREGISTER", endpoint], None);
}

/// A device cannot be reached any more.
pub fn apply_over(server: &mut Server, seq: Seq, account: AccountId, endpoint: &str, reason: &str) {
    if server.drop_devices(seq, account, |row| *row.endpoint == *endpoint) > 0 {
        let origin = Endpoint::stored(endpoint).map(|endpoint| endpoint.origin().to_owned()).unwrap_or_default();
        server.log(false, format!("a device of account {account} at {origin} is pushed to no more: {reason}"));
    }
}

/// A push has reached a device.
pub fn apply_reached(server: &mut Server, seq: Seq, account: AccountId, endpoint: &str) {
    let row = server.network.subscriptions(account).iter().find(|row| *row.endpoint == *endpoint).cloned();
    let Some(mut row) = row else { return };
    row.reached = server.clock() / 1000;
    server.network.put_subscription(row.clone());
    server.keep(seq, Record::Subscription(Box::new(row)));
}

#[cfg(test)]
mod tests {
    use crate::limits;
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn whatever_is_repeated_every_answer_is_one_line() {
        let mut asked = Asked::new();
        let alice = asked.user_with("alice", "draft/webpush");
        for bytes in
            [limits::PUSH_ENDPOINT_BYTES - 1, limits::PUSH_ENDPOINT_BYTES, limits::PUSH_ENDPOINT_BYTES + 1, 480]
        {
            let endpoint = format!("https://{}", "x".repeat(bytes - 8));
            for line in [
                format!("WEBPUSH REGISTER {endpoint}"),
                format!("WEBPUSH REGISTER {endpoint} k"),
                format!("WEBPUSH UNREGISTER {endpoint}"),
                format!("WEBPUSH {endpoint}"),
                format!("WEBPUSH x {endpoint}"),
            ] {
                // That no line is longer than 512 bytes is seen to by `ask`.
                assert_eq!(asked.ask(alice, &line).len(), 1, "{line}");
            }
        }
    }
}
