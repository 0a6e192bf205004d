//! NickServ PASSWD, CERT and SET PUBKEY: what an account logs in with.

use ircv3::sasl::ecdsa::PublicKey;

use crate::accounts::Secrets;
use crate::limits;
use crate::server::action::Call;
use crate::server::change::{Change, CredentialChange};
use crate::server::command::Pending;
use crate::server::command::services::nickserv::{apppass, set};
use crate::server::command::services::{account_named, keep_account, own_account, say, tell_account, usage_of};
use crate::server::event::{ConnId, Returned};
use crate::server::record::{AccountId, AccountRow, Credentials, CredentialsRow, Purpose, Record, Seq};
use crate::server::session::LoginBy;
use crate::server::settings::Secret;
use crate::server::{Ctx, Server};

/// Who gives an account another password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Whoever is logged in to it (PASSWD).
    Owner,
    /// Whoever has this code, which was mailed (RESETPASS).
    Code(Box<str>),
    /// An operator (SAPASSWD).
    Operator,
}

/// PASSWD
pub fn passwd(server: &mut Server, ctx: &mut Ctx, rest: &[&str]) {
    let Some(account) = own_to_change(server, ctx) else { return };
    let Some((old, new)) = old_and_new(rest) else {
        return say(ctx, "NickServ", "The two new passwords differ");
    };
    let (old, new) = (old.join(" "), new.join(" "));
    if new.len() > limits::PASSWORD_LEN {
        return say(ctx, "NickServ", &format!("A password has 1 to {} bytes", limits::PASSWORD_LEN));
    }
    if old.is_empty() {
        return hash_password(server, ctx, account, &new);
    }
    // As Ergo has it.
    let Some(row) = server.network.account(account).cloned() else { return };
    if row.password.is_empty() {
        let text = "Your account has no password here: it is kept where you log in by, and changed there. PASSWD <new \
                    password> <new password> gives it one here, too";
        return say(ctx, "NickServ", text);
    }
    if !server.may_try_login(ctx.conn, Some(&row.name)) {
        return say(ctx, "NickServ", "Too many wrong passwords; wait a minute");
    }
    let call = Call::Verify { password: old.as_str().into(), hash: Some(row.password), derive: None };
    server.call(ctx, call, Pending::OldPassword { account, new: Secret::new(&new) });
}

/// The old password of PASSWD, which may be missing, and the new one, each of one or more words: the new one is all that
/// stands there twice at the end.
fn old_and_new<'a>(words: &'a [&'a str]) -> Option<(&'a [&'a str], &'a [&'a str])> {
    (1..=words.len() / 2).rev().find_map(|count| {
        let (rest, again) = words.split_at(words.len() - count);
        let (old, new) = rest.split_at(rest.len() - count);
        (new == again).then_some((old, new))
    })
}

/// A new password of one or more words, which may stand there twice, as for PASSWD.
pub fn new_password(words: &[&str]) -> String {
    match old_and_new(words) {
        Some(([], new)) => new.join(" "),
        _ => words.join(" "),
    }
}

fn hash_password(server: &mut Server, ctx: &mut Ctx, account: AccountId, new: &str) {
    let call = Call::Hash { password: new.into(), iterations: server.settings.scram_iterations };
    server.call(ctx, call, Pending::SetPassword { account, by: By::Owner });
}

/// The old password of PASSWD was compared.
pub fn old_compared(server: &mut Server, ctx: &mut Ctx, account: AccountId, new: &Secret, returned: &Returned) {
    match returned {
        Returned::Verified(true) => hash_password(server, ctx, account, &String::from_utf8_lossy(new.bytes())),
        Returned::Verified(false) => {
            let name = server.network.account(account).map(|row| row.name.clone());
            server.login_failed(ctx.conn, name.as_deref());
            say(ctx, "NickServ", "The old password is wrong");
        }
        _ => say(ctx, "NickServ", "The server has too many passwords to compare; try again"),
    }
}

/// SAPASSWD: another password for someone who cannot log in.
pub fn sapasswd(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let [name, new @ ..] = params else { return };
    let new = new_password(new);
    let Some(AccountRow { id: account, .. }) = account_named(server, ctx, "NickServ", name) else { return };
    if !may_change_of(server, ctx, account) {
        return;
    }
    if new.is_empty() || new.len() > limits::PASSWORD_LEN {
        say(ctx, "NickServ", &format!("A password has 1 to {} bytes", limits::PASSWORD_LEN));
        return;
    }
    let call = Call::Hash { password: new.as_str().into(), iterations: server.settings.scram_iterations };
    server.call(ctx, call, Pending::SetPassword { account, by: By::Operator });
}

/// The sender's account, where it may change what that logs in with; it is told where not.
pub fn own_to_change(server: &Server, ctx: &mut Ctx) -> Option<AccountId> {
    let account = own_account(server, ctx)?;
    may_change(server, ctx).then_some(account)
}

/// Whether the sender may change what its account logs in with, or put an end to it; it is told where not.
pub fn may_change(server: &Server, ctx: &mut Ctx) -> bool {
    let why = server.why_no_credentials(ctx.conn);
    if let Some(text) = why {
        say(ctx, "NickServ", text);
    }
    why.is_none()
}

/// Whether the sender, an operator, may do the like to this account: to their own, what anybody may to theirs; they are told
/// where not.
pub fn may_change_of(server: &Server, ctx: &mut Ctx, account: AccountId) -> bool {
    own_account(server, ctx) != Some(account) || may_change(server, ctx)
}

/// The password of PASSWD, SAPASSWD, or of RESETPASS with its code, was hashed.
pub fn password_hashed(server: &mut Server, ctx: &mut Ctx, account: AccountId, by: &By, returned: Returned) {
    let Returned::Hashed(secrets) = returned else {
        say(ctx, "NickServ", "The server has too many passwords to hash; try again");
        return;
    };
    // The owner may have given another one meanwhile.
    if *by == By::Owner && own_to_change(server, ctx) != Some(account)
        || *by == By::Operator && !may_change_of(server, ctx, account)
    {
        return;
    }
    server.submit(ctx, Change::Password { account, secrets: &secrets, by });
    if server.network.account(account).is_none_or(|row| row.password != secrets.hash) {
        return;
    }
    // Who knew the old one may be logged in with it.
    let others: Vec<ConnId> = server.sessions_of(account).into_iter().filter(|conn| *conn != ctx.conn).collect();
    if others.is_empty() {
        return;
    }
    let counted = |count| if count == 1 { ("connection", "is") } else { ("connections", "are") };
    if *by == By::Owner {
        let doubted = server.doubt(&others);
        if doubted > 0 {
            let (noun, are) = counted(doubted);
            let text = format!(
                "{doubted} other {noun} of yours {are} still logged in: to change what your account logs in with, each \
                 has to log in again. CLIENTS LIST shows them, and CLIENTS LOGOUT ALL ends them"
            );
            say(ctx, "NickServ", &text);
        }
        let by_apps = others.len() - doubted;
        if by_apps > 0 {
            let (noun, are) = counted(by_apps);
            say(
                ctx,
                "NickServ",
                &format!("{by_apps} other {noun} of yours {are} logged in by app passwords, and may stay"),
            );
        }
    } else {
        let count = others.len();
        let (noun, are) = counted(count);
        say(ctx, "NickServ", &format!("{count} other {noun} of the account {are} ended"));
        server.end_connections(ctx, &others, "The password of the account was changed");
    }
}

/// Gives an account another password; with a code, where it still is the right one.
pub fn apply_password(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, secrets: &Secrets, by: &By) {
    if let By::Code(code) = by
        && server.network.code(account, Purpose::Password).is_none_or(|row| row.code != *code)
    {
        say(ctx, "NickServ", "The code was used, or is over");
        return;
    }
    server.use_code(seq, account, Purpose::Password);
    if !keep_account(server, ctx, seq, account, |row| row.password = secrets.hash.clone()) {
        return;
    }
    keep(server, ctx, seq, account, |kept| kept.scram = secrets.scram.clone());
    // Who knew the old one may have had a device of its own told of everything, and a code mailed to an address of its own.
    // What came by an app password is told for as long as that logs in.
    let devices = server.drop_devices(seq, account, |row| row.app.is_empty());
    let asked = server.network.code(account, Purpose::Email).map(|row| row.email.clone());
    server.use_code(seq, account, Purpose::Email);
    // Whoever has its code has shown to be its owner.
    let other = set::other(server, ctx, account).filter(|_| *by == By::Operator);
    match &other {
        None => say(ctx, "NickServ", "Password changed"),
        Some(name) => say(ctx, "NickServ", &format!("The password of the account {name} is changed")),
    }
    if devices > 0 {
        let whose = other.as_ref().map_or("Your devices".into(), |name| format!("The devices of {name}"));
        let text = format!(
            "{whose} that came by the password get no push any more, until their apps connect again with the new one"
        );
        say(ctx, "NickServ", &text);
    }
    if let Some(email) = asked {
        say(ctx, "NickServ", &format!("The code that was mailed to {email} is over; SET EMAIL mails another"));
    }
    if let Some(text) = what_else(server, account) {
        let text = match other {
            None => format!("Your account can still be logged in to by {text}: take away what is not yours"),
            Some(name) => format!("The account {name} can still be logged in to by {text}: {name} may take that away"),
        };
        say(ctx, "NickServ", &text);
    }
}

/// What logs in to an account beside its password, and how that is taken away.
fn what_else(server: &Server, account: AccountId) -> Option<String> {
    let kept = server.network.credentials(account)?;
    let counted = |count: usize, one: &str, more: &str, how: &str| match count {
        0 => None,
        1 => Some(format!("1 {one} ({how})")),
        _ => Some(format!("{count} {more} ({how})")),
    };
    let all: Vec<String> = [
        counted(kept.apps.len(), "app password", "app passwords", "APPPASS LIST, APPPASS DEL <name>"),
        counted(kept.certificates.len(), "certificate", "certificates", "CERT LIST, CERT DEL <fingerprint>"),
        counted(usize::from(kept.key.is_some()), "public key", "", "GET PUBKEY, SET PUBKEY OFF"),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// CERT
pub fn cert(server: &mut Server, ctx: &mut Ctx, rest: &[&str]) {
    let Some(account) = own_to_change(server, ctx) else { return };
    let verb = rest.first().map(|verb| verb.to_ascii_uppercase()).unwrap_or_default();
    let fingerprint = rest.get(1).map(|text| fingerprint(text));
    match (verb.as_str(), fingerprint) {
        ("ADD" | "DEL", Some(None)) => {
            say(ctx, "NickServ", "A fingerprint is SHA-256 of the certificate, in 64 digits of hex");
        }
        ("ADD", given) => {
            let own = server.session(ctx.conn).and_then(|session| session.peer.certfp.as_deref().map(str::to_owned));
            let Some(fingerprint) = given.flatten().or(own) else {
                say(ctx, "NickServ", "You connected without a client certificate; give a fingerprint");
                return;
            };
            let before = server.network.account_by_certificate(&fingerprint);
            let change = CredentialChange::AddCertificate(&fingerprint);
            server.submit(ctx, Change::Credentials { account, change });
            if let Some(other) =
                before.filter(|before| server.network.account_by_certificate(&fingerprint) != Some(*before))
            {
                let ended = server.logged_in_by(other, ctx.conn, |by| is_by(Some(by), &fingerprint));
                server.end_connections(ctx, &ended, "The certificate that it logged in with was taken away");
            }
        }
        ("DEL", Some(Some(fingerprint))) => {
            let change = CredentialChange::RemoveCertificate(&fingerprint);
            server.submit(ctx, Change::Credentials { account, change });
            if server.network.account_by_certificate(&fingerprint) != Some(account) {
                let ended = server.logged_in_by(account, ctx.conn, |by| is_by(Some(by), &fingerprint));
                server.end_connections(ctx, &ended, "The certificate that it logged in with was taken away");
            }
        }
        ("LIST", _) => {
            let certificates = server.network.credentials(account).map_or(&[][..], |kept| &kept.certificates);
            if certificates.is_empty() {
                say(ctx, "NickServ", "Your account has no certificate");
            }
            for certificate in certificates {
                say(ctx, "NickServ", certificate);
            }
        }
        _ => usage_of(ctx, "NickServ", "CERT"),
    }
}

/// Whether it is the certificate of this fingerprint that something logged in by.
fn is_by(by: Option<&LoginBy>, fingerprint: &str) -> bool {
    matches!(by, Some(LoginBy::Certificate(other)) if **other == *fingerprint)
}

/// A fingerprint as it is kept; people write it with colons, too.
fn fingerprint(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}

/// Nobody locks themselves out without knowing it: says where that was the last thing that an account logs in with.
pub fn warn_of_the_last(server: &Server, ctx: &mut Ctx, account: AccountId) {
    let has_password = server.network.account(account).is_some_and(|row| !row.password.is_empty());
    let has_another = server
        .network
        .credentials(account)
        .is_some_and(|kept| !kept.certificates.is_empty() || kept.key.is_some() || !kept.apps.is_empty());
    if !has_password && !has_another {
        let text = "Your account has nothing of its own to log in with any more, neither a password nor anything else: \
                    give it a password before you go, with PASSWD <new password> <new password>";
        say(ctx, "NickServ", text);
    }
}

/// SET PUBKEY
pub fn set_key(server: &mut Server, ctx: &mut Ctx, value: &str) {
    let Some(account) = own_to_change(server, ctx) else { return };
    let key = if value.eq_ignore_ascii_case("OFF") {
        None
    } else {
        match value.parse::<PublicKey>() {
            Ok(key) => Some(key),
            Err(error) => {
                say(ctx, "NickServ", &format!("{error}; OFF takes the key away"));
                return;
            }
        }
    };
    let before = server.network.credentials(account).and_then(|kept| kept.key.clone());
    server.submit(ctx, Change::Credentials { account, change: CredentialChange::Key(key) });
    if server.network.credentials(account).and_then(|kept| kept.key.clone()) != before {
        let ended = server.logged_in_by(account, ctx.conn, |by| *by == LoginBy::Key);
        server.end_connections(ctx, &ended, "The key that it logged in with was taken away");
    }
}

/// Changes what an account logs in with.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, change: &CredentialChange<'_>) {
    if server.network.account(account).is_none() {
        return;
    }
    match change {
        CredentialChange::Scram(scram) => {
            keep(server, ctx, seq, account, |kept| kept.scram = scram.to_vec());
        }
        CredentialChange::Rehashed(secrets) => {
            if keep_account(server, ctx, seq, account, |row| row.password = secrets.hash.clone()) {
                keep(server, ctx, seq, account, |kept| kept.scram = secrets.scram.clone());
            }
        }
        CredentialChange::AddCertificate(fingerprint) => {
            let owner = server.network.account_by_certificate(fingerprint);
            let count = server.network.credentials(account).map_or(0, |kept| kept.certificates.len());
            // Whoever connects with it has it, and whoever has given its fingerprint may not.
            let own = server.session(ctx.conn).and_then(|session| session.peer.certfp.as_deref());
            let has_it = own == Some(*fingerprint);
            if owner == Some(account) {
                say(ctx, "NickServ", &format!("Your account has certificate {fingerprint} already"));
            } else if owner.is_some() && !has_it {
                say(ctx, "NickServ", &format!("Another account has certificate {fingerprint}"));
            } else if count >= limits::CERTIFICATES {
                let text = format!("Your account has {count} certificates, and that is all it may; delete one first");
                say(ctx, "NickServ", &text);
            } else {
                if let Some(other) = owner {
                    keep(server, ctx, seq, other, |kept| kept.certificates.retain(|there| **there != **fingerprint));
                    let devices = server.drop_devices(seq, other, |row| is_by(row.by.as_ref(), fingerprint));
                    let more = if devices > 0 { ", nor does what it registered get push" } else { "" };
                    let text = format!(
                        "Certificate {fingerprint} no longer logs in to your account{more}: whoever holds it has added it to another"
                    );
                    let after = server.wait_for(seq);
                    tell_account(server, "NickServ", other, after, &text);
                }
                keep(server, ctx, seq, account, |kept| {
                    kept.certificates.push((*fingerprint).into());
                    kept.certificates.sort_unstable();
                });
                say(
                    ctx,
                    "NickServ",
                    &format!("Certificate {fingerprint} logs in to your account by SASL EXTERNAL now"),
                );
            }
        }
        CredentialChange::RemoveCertificate(fingerprint) => {
            if server.network.account_by_certificate(fingerprint) == Some(account) {
                keep(server, ctx, seq, account, |kept| kept.certificates.retain(|other| **other != **fingerprint));
                server.drop_devices(seq, account, |row| is_by(row.by.as_ref(), fingerprint));
                say(ctx, "NickServ", &format!("Certificate {fingerprint} no longer logs in"));
                warn_of_the_last(server, ctx, account);
            } else {
                say(ctx, "NickServ", &format!("Your account has no certificate {fingerprint}"));
            }
        }
        CredentialChange::AddApp(app, password) => apppass::apply_add(server, ctx, seq, account, app, password),
        CredentialChange::RemoveApp(name) => apppass::apply_remove(server, ctx, seq, account, name),
        CredentialChange::Key(key) => {
            if server.network.credentials(account).is_some_and(|kept| kept.key != *key) {
                server.drop_devices(seq, account, |row| row.by == Some(LoginBy::Key));
            }
            keep(server, ctx, seq, account, |kept| kept.key = key.clone());
            let text = match key {
                Some(key) => format!("Public key {key} logs in to your account by ECDSA-NIST256P-CHALLENGE now"),
                None => "Your account has no public key now".to_owned(),
            };
            say(ctx, "NickServ", &text);
            if key.is_none() {
                warn_of_the_last(server, ctx, account);
            }
        }
    }
}

/// Changes the credentials of an account and keeps them.
pub fn keep(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, change: impl FnOnce(&mut Credentials)) {
    let mut credentials = server.network.credentials(account).cloned().unwrap_or_default();
    change(&mut credentials);
    let row = CredentialsRow { account, credentials };
    server.network.put_credentials(row.clone());
    server.keep(seq, Record::Credentials(Box::new(row)));
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::old_and_new;
    use crate::accounts::Secrets;
    use crate::server::action::Call;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{Event, Returned};

    #[test]
    fn a_new_password_of_several_words_is_what_stands_there_twice() {
        for (words, read) in [
            ("new new", Some(("", "new"))),
            ("old new new", Some(("old", "new"))),
            ("my new one my new one", Some(("", "my new one"))),
            ("my old one my new one my new one", Some(("my old one", "my new one"))),
            ("new other", None),
            ("old new other", None),
            ("one", None),
        ] {
            let given: Vec<&str> = words.split(' ').collect();
            let found = old_and_new(&given).map(|(old, new)| (old.join(" "), new.join(" ")));
            assert_eq!(found, read.map(|(old, new)| (old.into(), new.into())), "{words}");
        }
    }

    #[test]
    fn whose_password_an_operator_has_changed_is_said() {
        let mut asked = Asked::new();
        let boss = asked.user("boss");
        asked.user("carol");
        asked.set_oper("boss");
        asked.account("carol", 1);
        asked.ask(boss, "NS SAPASSWD carol my pass phrase");
        let [(call, Call::Hash { password, .. })] = asked.calls() else { panic!("{:?}", asked.calls()) };
        assert_eq!(&**password, "my pass phrase");
        let (call, secrets) = (*call, Secrets { hash: "h".into(), scram: Vec::new() });
        asked.handle(Event::Returned(call, Returned::Hashed(Box::new(secrets))));
        assert!(asked.sent(boss).concat().contains("The password of the account carol is changed"));
    }

    #[test]
    fn an_account_without_a_password_here_is_told_so_and_not_that_it_is_wrong() {
        let mut asked = Asked::new();
        let carol = asked.user("carol");
        asked.account("carol", 1);
        let mut row = asked.server.network.account(1).unwrap().clone();
        row.password = "".into();
        asked.server.network.put_account(row);
        let told = asked.ask(carol, "NS PASSWD old new new").concat();
        assert!(told.contains("has no password here") && asked.calls().is_empty(), "{told}");
    }
}
