//! NickServ SUSPEND: accounts that nobody may use.

use ircv3::message::cut;

use crate::limits;
use crate::server::ban::{duration, spoken};
use crate::server::change::Change;
use crate::server::command::info::readable;
use crate::server::command::services::{account_named, say, usage_of};
use crate::server::notice::About;
use crate::server::record::{AccountId, AccountRow, Record, Seq, SuspensionRow};
use crate::server::{Ctx, Server};

/// SUSPEND
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let verb = params[0].to_ascii_uppercase();
    match (verb.as_str(), &params[1..]) {
        ("ADD", [name, rest @ ..]) => {
            let Some(AccountRow { id: account, .. }) = account_named(server, ctx, "NickServ", name) else { return };
            let (lasts, words) = match lasting(rest) {
                Ok(read) => read,
                Err(word) => {
                    let text = format!(
                        "{:?} is no duration; give one as 1h30m (0 is for good), or begin the reason otherwise",
                        cut(word, 32)
                    );
                    say(ctx, "NickServ", &text);
                    return;
                }
            };
            let reason = words.join(" ");
            let reason = match cut(&reason, limits::REASON_LEN) {
                "" => "No reason given",
                reason => reason,
            };
            server.submit(ctx, Change::Suspend { account, lasts, reason });
            if server.network.suspension(account).is_some() {
                server.end_account(ctx, account, &format!("Account suspended: {reason}"));
            }
        }
        ("DEL", [name]) => {
            let Some(AccountRow { id: account, .. }) = account_named(server, ctx, "NickServ", name) else { return };
            server.submit(ctx, Change::Unsuspend { account });
        }
        ("LIST", []) => list(server, ctx),
        _ => usage_of(ctx, "NickServ", "SUSPEND"),
    }
}

/// The seconds that stand before a reason, and the reason: as `1d`, as `DURATION 1d` (Ergo) or as `+1d` (Anope), where
/// 0 is for good.
///
/// # Errors
/// A word that is meant as a duration and is none.
fn lasting<'a>(words: &'a [&'a str]) -> Result<(Option<u64>, &'a [&'a str]), &'a str> {
    let is_key = |word: &&str| word.eq_ignore_ascii_case("DURATION");
    let (named, words) = match words {
        [key, rest @ ..] if is_key(key) => (Some(*key), rest),
        _ => (None, words),
    };
    let Some((word, rest)) = words.split_first() else { return named.map_or(Ok((None, words)), Err) };
    match word.strip_prefix('+').unwrap_or(word) {
        "0" => Ok((None, rest)),
        bare => match duration(bare) {
            Some(seconds) => Ok((Some(seconds), rest)),
            None if named.is_some() || is_like_a_duration(word) => Err(word),
            None => Ok((None, words)),
        },
    }
}

/// Whether a word is meant as a duration: as the beginning of a reason it would suspend for good.
fn is_like_a_duration(word: &str) -> bool {
    let bare = word.strip_prefix(['+', '-']).unwrap_or(word);
    bare.starts_with(|c: char| c.is_ascii_digit())
        && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
        && (bare != word || bare.bytes().any(|byte| byte.is_ascii_alphabetic()))
}

/// Why an account may not be used now, for whom it is for.
pub fn why(server: &Server, account: AccountId) -> Option<String> {
    let row = server.network.suspension(account)?;
    if row.expires.is_some_and(|at| at <= server.clock() / 1000) {
        return None;
    }
    let until = row.expires.map(|at| format!(" until {}", readable(at * 1000))).unwrap_or_default();
    Some(format!("the account is suspended{until}: {}", row.reason))
}

fn list(server: &Server, ctx: &mut Ctx) {
    let now = server.clock() / 1000;
    let mut count = 0;
    for row in server.network.suspensions() {
        let Some(account) = server.network.account(row.account) else { continue };
        let left =
            row.expires.map_or("for good".to_owned(), |at| format!("for {} more", spoken(at.saturating_sub(now))));
        let set_at = readable(row.set_at * 1000);
        say(ctx, "NickServ", &format!("{} ({left}; {} at {set_at}): {}", account.name, row.setter, row.reason));
        count += 1;
    }
    say(ctx, "NickServ", &format!("End of the list of suspended accounts: {count}"));
}

/// Keeps people from using an account.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId, lasts: Option<u64>, reason: &str) {
    let Some(name) = server.network.account(account).map(|row| row.name.clone()) else { return };
    let setter = server.network.users[ctx.me()].source.clone();
    let now = server.clock() / 1000;
    let row = SuspensionRow {
        account,
        reason: reason.into(),
        setter: (*setter).into(),
        set_at: now,
        expires: lasts.map(|seconds| now + seconds),
    };
    server.network.put_suspension(row.clone());
    server.keep(seq, Record::Suspension(Box::new(row)));
    server.drop_devices(seq, account, |_| true);
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    let lasts = lasts.map_or("until SUSPEND DEL".to_owned(), |seconds| format!("for {}", spoken(seconds)));
    say(ctx, "NickServ", &format!("Account {name} is suspended {lasts}: {reason}"));
    server.notify(About::Accounts, |_| format!("{setter} suspended the account {name} {lasts}: {reason}"));
}

/// Lets people use an account again, because the sender asks for it or because its time is over.
pub fn apply_gone(server: &mut Server, ctx: &mut Ctx, seq: Seq, account: AccountId) {
    let Some(name) = server.network.account(account).map(|row| row.name.clone()) else { return };
    if !server.network.remove_suspension(account) {
        say(ctx, "NickServ", &format!("Account {name} is not suspended"));
        return;
    }
    server.keep(seq, Record::SuspensionGone(account));
    ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
    match ctx.user {
        Some(user) => {
            say(ctx, "NickServ", &format!("Account {name} may be used again"));
            let by = server.network.users[user].source.clone();
            server.notify(About::Accounts, |_| format!("{by} lets the account {name} be used again"));
        }
        None => server.notify(About::Accounts, |_| format!("the account {name} is no longer suspended")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn a_duration_is_taken_as_other_services_have_it_and_nothing_like_one_suspends_for_good() {
        let mut asked = Asked::new();
        let boss = asked.user("boss");
        asked.set_oper("boss");
        asked.user("alice");
        asked.account("alice", 1);
        let suspension = |asked: &mut Asked, words: &str| {
            let told = asked.ask(boss, &format!("NS SUSPEND ADD alice {words}")).concat();
            let row = asked.server.network.suspension(1).cloned();
            asked.ask(boss, "NS SUSPEND DEL alice");
            (told, row.map(|row| (row.expires.map(|at| at - row.set_at), row.reason.to_string())))
        };
        for (words, lasts, reason) in [
            ("1d spam", Some(86_400), "spam"),
            ("DURATION 1d spam again", Some(86_400), "spam again"),
            ("duration 1h30m", Some(5_400), "No reason given"),
            ("+1d spam", Some(86_400), "spam"),
            ("+0 spam", None, "spam"),
            ("0 spam", None, "spam"),
            ("DURATION 0", None, "No reason given"),
            ("3 warnings", None, "3 warnings"),
            ("", None, "No reason given"),
        ] {
            let (told, row) = suspension(&mut asked, words);
            assert_eq!(row, Some((lasts, reason.to_owned())), "{words}: {told}");
        }
        for (words, wrong) in [
            ("-1 spam", "-1"),
            ("-1d", "-1d"),
            ("+30", "+30"),
            ("DURATION soon", "soon"),
            ("DURATION", "DURATION"),
            ("1.5d", "1.5d"),
        ] {
            let (told, row) = suspension(&mut asked, words);
            assert!(row.is_none() && told.contains(&format!("{wrong:?} is no duration")), "{words}: {told} {row:?}");
        }
    }
}
