//! NickServ IDENTIFY.

use crate::server::command::services::{own_account, say};
use crate::server::login::{Door, split_device};
use crate::server::record::AccountId;
use crate::server::second::is_code;
use crate::server::{Ctx, Server};

/// IDENTIFY
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    if let Some(account) = own_account(server, ctx) {
        again(server, ctx, account, params);
        return;
    }
    let nick = ctx.reply.nick.clone();
    let (name, words) = match params {
        [name, words @ ..] if !words.is_empty() => (*name, words),
        _ => (&*nick, params),
    };
    // Whom the operator's program or directory knows need not have an account here yet.
    let is_known = server.network.nick_owner(name).is_some() || server.settings.witness.is_some();
    if params.len() == 1 && !is_known {
        let text =
            format!("Your nick {nick} is of no account; name yours: /msg NickServ IDENTIFY <account> <password>");
        say(ctx, "NickServ", &text);
        return;
    }
    with_words(server, ctx, name, words);
}

/// Lets a connection that is logged in, but has not proved what it takes to change what its account logs in with, prove that.
/// It stays the same device.
fn again(server: &mut Server, ctx: &mut Ctx, account: AccountId, params: &[&str]) {
    let named = |name: &str| server.network.nick_owner(split_device(name).0).map(|row| row.id);
    let words = match params {
        [name, words @ ..] if !words.is_empty() && named(name) == Some(account) => Some(words),
        // A password may be of several words.
        [name, words @ ..] if !words.is_empty() && named(name).is_some() => None,
        _ => Some(params),
    };
    let row = server.network.account(account).map(|row| row.name.clone());
    let (Some(words), Some(name), Some(_)) = (words, row, server.why_no_credentials(ctx.conn)) else {
        say(ctx, "NickServ", "You are logged in to an account already");
        return;
    };
    let device = server.session(ctx.conn).map(|session| session.device.clone()).unwrap_or_default();
    with_words(server, ctx, &format!("{name}@{device}"), words);
}

/// Tries to log in to an account with a password of one or more words. Behind it may stand a code, which is one where the
/// account asks for a second factor and it looks like one: everything else is of the password.
pub fn with_words(server: &mut Server, ctx: &mut Ctx, name: &str, words: &[&str]) {
    let (account, device) = split_device(name);
    let asks = server.network.nick_owner(account).is_some_and(|row| server.asks_second(row.id));
    let (words, code) = match words {
        [words @ .., code] if asks && !words.is_empty() && is_code(code) => (words, Some(*code)),
        _ => (words, None),
    };
    server.try_password(ctx, Door::NickServ, (account, device), &words.join(" "), code);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::server::action::Call;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::record::{Credentials, CredentialsRow};

    #[test]
    fn a_password_may_be_of_several_words_and_a_code_is_one_where_it_can_be() {
        for (asks, words, password) in [
            (false, "my pass phrase", "my pass phrase"),
            (false, "my phrase 123456", "my phrase 123456"),
            (true, "my pass phrase", "my pass phrase"),
            (true, "my phrase 123456", "my phrase"),
            (true, "sesame abcd-efgh-ijkm-npqr", "sesame"),
            (true, "123456", "123456"),
        ] {
            let mut asked = Asked::new();
            let ben = asked.user("ben");
            asked.account("ben", 1);
            let credentials = Credentials { asks_second: asks, ..Credentials::default() };
            asked.server.network.put_credentials(CredentialsRow { account: 1, credentials });
            asked.ask(ben, "QUIT");
            let guest = asked.user("guest");
            asked.ask(guest, &format!("NS IDENTIFY ben {words}"));
            let [(_, Call::Verify { password: given, .. })] = asked.calls() else { panic!("{:?}", asked.calls()) };
            assert_eq!(&**given, password, "{asks} {words}");
        }
    }
}
