//! NickServ APPPASS: passwords of single apps and devices, which the server makes.

use ircv3::message::cut;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::limits;
use crate::server::change::{Change, CredentialChange};
use crate::server::command::info::readable;
use crate::server::command::services::nickserv::credentials::{keep, own_to_change, warn_of_the_last};
use crate::server::command::services::{say, usage_of};
use crate::server::event::ConnId;
use crate::server::network::Network;
use crate::server::record::{AccountId, AppPassword, Seq};
use crate::server::{Ctx, Server};

/// What all of them begin with, so that one that is found lying about is known for what it is.
const PREFIX: &str = "roost-";

/// APPPASS
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let Some(account) = own_to_change(server, ctx) else { return };
    match (params[0].to_ascii_uppercase().as_str(), &params[1..]) {
        ("ADD", [name]) => {
            let password = format!("{PREFIX}{}{}", server.new_code(), server.new_code());
            let name = cut(name, limits::APP_NAME_LEN);
            let app = AppPassword { name: name.into(), made: server.clock(), hash: hash(&password) };
            let change = CredentialChange::AddApp(&app, &password);
            server.submit(ctx, Change::Credentials { account, change });
        }
        ("DEL", [name]) => {
            let name = cut(name, limits::APP_NAME_LEN);
            let ended: Vec<ConnId> = server.sessions_of(account);
            let is_its = |conn: &ConnId| {
                let app = server.session(*conn).and_then(|session| session.particulars().app.as_deref());
                app.is_some_and(|app| app.eq_ignore_ascii_case(name))
            };
            let ended: Vec<ConnId> = ended.into_iter().filter(is_its).collect();
            let change = CredentialChange::RemoveApp(name);
            server.submit(ctx, Change::Credentials { account, change });
            if find(server, account, name).is_none() {
                server.end_connections(ctx, &ended, "The password that it logged in with was taken away");
            }
        }
        ("LIST", []) => list(server, ctx, account),
        _ => usage_of(ctx, "NickServ", "APPPASS"),
    }
}

fn hash(password: &str) -> [u8; 32] {
    Sha256::digest(password.as_bytes()).into()
}

fn find<'a>(server: &'a Server, account: AccountId, name: &str) -> Option<&'a AppPassword> {
    server.network.credentials(account)?.apps.iter().find(|app| app.name.eq_ignore_ascii_case(name))
}

/// The app password of an account that this is, by name.
pub fn named(network: &Network, account: AccountId, password: &str) -> Option<Box<str>> {
    if !password.starts_with(PREFIX) {
        return None;
    }
    let given = hash(password);
    let apps = &network.credentials(account)?.apps;
    apps.iter().find(|app| bool::from(app.hash.ct_eq(&given))).map(|app| app.name.clone())
}

fn list(server: &Server, ctx: &mut Ctx, account: AccountId) {
    let apps = server.network.credentials(account).map_or(&[][..], |kept| &kept.apps);
    say(ctx, "NickServ", &format!("App passwords of your account: {}", apps.len()));
    for app in apps {
        let open = server.sessions_of(account).into_iter().filter_map(|conn| server.session(conn));
        let open = open.filter(|session| session.particulars().app.as_ref() == Some(&app.name)).count();
        say(ctx, "NickServ", &format!("{}: made at {}, {open} connections now", app.name, readable(app.made)));
    }
}

/// Takes over a new one, and shows it.
pub fn apply_add(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, app: &AppPassword, password: &str) {
    if find(server, account, &app.name).is_some() {
        say(ctx, "NickServ", &format!("Your account has an app password {:?} already", app.name));
        return;
    }
    let count = server.network.credentials(account).map_or(0, |kept| kept.apps.len());
    if count >= limits::APP_PASSWORDS {
        let text = format!("Your account has {count} app passwords, and that is all it may; delete one first");
        say(ctx, "NickServ", &text);
        return;
    }
    keep(server, ctx, seq, account, |kept| {
        kept.apps.push(app.clone());
        kept.apps.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    });
    say(ctx, "NickServ", &format!("The password of {} is {password}", app.name));
    say(ctx, "NickServ", "It is shown this once. APPPASS DEL takes it away");
}

/// Takes one away.
pub fn apply_remove(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, name: &str) {
    if find(server, account, name).is_none() {
        say(ctx, "NickServ", &format!("Your account has no app password {:?}", cut(name, 64)));
        return;
    }
    keep(server, ctx, seq, account, |kept| kept.apps.retain(|app| !app.name.eq_ignore_ascii_case(name)));
    server.drop_devices(seq, account, |row| row.app.eq_ignore_ascii_case(name));
    say(ctx, "NickServ", &format!("App password {name} no longer logs in"));
    warn_of_the_last(server, ctx, account);
}
