//! ChanServ CLEAR: a channel begins anew.

use crate::server::change::Change;
use crate::server::command::kick;
use crate::server::command::services::chanserv::{change_ranks, is_meant, own_channel, ranks_of};
use crate::server::command::services::{say, usage_of};
use crate::server::network::UserId;
use crate::server::record::{Record, Seq};
use crate::server::{Ctx, Server};

/// What of a channel is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Everyone but the sender.
    Users,
    /// What AMODE gave, and the lists.
    Access,
    /// What was said.
    History,
}

/// CLEAR
pub fn run(server: &mut Server, ctx: &mut Ctx, params: &[&str]) {
    let what = match params[1].to_ascii_uppercase().as_str() {
        "USERS" => What::Users,
        "ACCESS" => What::Access,
        "HISTORY" => What::History,
        _ => return usage_of(ctx, "ChanServ", "CLEAR"),
    };
    let word = match what {
        What::Users => None,
        What::Access => Some(" ACCESS"),
        What::History => Some(" HISTORY"),
    };
    if let Some(word) = word {
        let Some(id) = own_channel(server, ctx, params[0]) else { return };
        if !is_meant(server, ctx, id, ("CLEAR", word), params.get(2)) {
            return;
        }
    }
    server.submit(ctx, Change::ClearChannel { channel: params[0], what });
}

/// Clears it.
pub fn apply(server: &mut Server, ctx: &mut Ctx, seq: Seq, channel: &str, what: What) {
    let Some(id) = own_channel(server, ctx, channel) else { return };
    let title = server.network.channels[id].name.clone();
    match what {
        What::Users => {
            let members: Vec<UserId> =
                server.network.channels[id].members.keys().copied().filter(|user| Some(*user) != ctx.user).collect();
            let count = members.len();
            for user in members {
                kick::expel(server, ctx, seq, id, user, "The channel was cleared by its founder");
            }
            say(ctx, "ChanServ", &format!("People who were removed from {title}: {count}"));
        }
        What::History => {
            let key = server.network.channels[id].folded.clone();
            let last = server.network.conversation(key.as_str()).map_or(0, |there| there.last_time);
            // From this moment on nobody is shown it; what has to be deleted is deleted in steps.
            server.put_channel_setting(id, seq, "cleared", Some(&(last + 1).to_string()));
            ctx.reply.after = ctx.reply.after.max(server.wait_for(seq));
            server.delete_overdue_of(id);
            server.push_cleared(key.as_str(), last);
            say(ctx, "ChanServ", &format!("The history of {title} is gone; who has read it may still have it"));
        }
        What::Access => {
            let channel = &mut server.network.channels[id];
            let folded: Box<str> = channel.folded.as_str().into();
            let rows = channel.list_rows();
            for list in ['b', 'e', 'I'] {
                if let Some(list) = channel.list_mut(list) {
                    list.clear();
                }
            }
            let access = std::mem::take(&mut channel.access);
            let members: Vec<UserId> = channel.members.keys().copied().collect();
            for row in &rows {
                server.keep(seq, Record::ListEntryGone(folded.clone(), row.mode, row.mask.clone()));
            }
            for account in access.keys() {
                server.keep(seq, Record::AccessGone(folded.clone(), *account));
            }
            // A ban of everybody may have been among them.
            let record = server.network.note_closed(id);
            server.keep_conversation(id, seq, record);
            let after = server.wait_for(seq);
            ctx.reply.after = ctx.reply.after.max(after);
            let text = format!("Entries of {title} that are gone: {} of lists, {} of AMODE", rows.len(), access.len());
            say(ctx, "ChanServ", &text);
            for user in members {
                let Some(was) = server.network.users[user].account.and_then(|account| access.get(&account)) else {
                    continue;
                };
                change_ranks(server, ctx, (id, user), ranks_of(*was), false, after);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::accounts::Secrets;
    use crate::server::action::Call;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{ConnId, Event, Returned};

    /// From when on somebody reads a channel.
    fn since(asked: &mut Asked, conn: ConnId) -> u64 {
        asked.ask(conn, "CHATHISTORY LATEST #garden * 10");
        let [(id, Call::History(query))] = asked.calls() else { panic!("{:?}", asked.calls()) };
        let (id, since) = (*id, query.since);
        asked.handle(Event::Returned(id, Returned::Failed("enough".into())));
        since
    }

    #[test]
    fn what_nothing_brings_back_of_a_channel_goes_only_with_the_code_for_it() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        asked.account("alice", 1);
        for line in ["JOIN #garden", "CS REGISTER #garden", "MODE #garden +b x!*@*"] {
            asked.ask(alice, line);
        }
        for (what, gone) in [("ACCESS", "gone: 1 of lists, 0 of AMODE"), ("HISTORY", "The history of #garden is gone")]
        {
            let told = asked.ask(alice, &format!("CS CLEAR #garden {what}")).concat();
            assert!(told.contains(&format!("/msg ChanServ CLEAR #garden {what} ")), "{told}");
            let told = asked.ask(alice, &format!("CS CLEAR #garden {what} nonsense")).concat();
            assert!(told.contains("not the code"), "{told}");
            let told = asked.confirmed(alice, &format!("CS CLEAR #garden {what}")).concat();
            assert!(told.contains(gone), "{told}");
        }
        // One that she may register again as it was is dropped at once; one with settings is not.
        assert!(asked.ask(alice, "CS DROP #garden").concat().contains("no longer registered"));
        asked.ask(alice, "CS REGISTER #garden");
        asked.ask(alice, "CS SET #garden KEEPTOPIC OFF");
        let told = asked.ask(alice, "CS DROP #garden").concat();
        assert!(told.contains("/msg ChanServ DROP #garden "), "{told}");
        assert!(asked.confirmed(alice, "CS DROP #garden").concat().contains("no longer registered"));
        // Nor is one that she is not in: somebody else might take it.
        asked.ask(alice, "CS REGISTER #garden");
        asked.ask(alice, "PART #garden");
        assert!(asked.ask(alice, "CS DROP #garden").concat().contains("/msg ChanServ DROP #garden "));
    }

    #[test]
    fn history_that_was_cleared_does_not_come_back_when_the_channel_is_dropped_at_once() {
        let mut asked = Asked::new();
        let alice = asked.user_with("alice", "draft/chathistory batch");
        asked.ask(alice, "REGISTER * * sesame");
        let call = asked.calls()[0].0;
        let secrets = Secrets { hash: "h".into(), scram: Vec::new() };
        asked.handle(Event::Returned(call, Returned::Hashed(Box::new(secrets))));
        for line in ["JOIN #garden", "CS REGISTER #garden", "PRIVMSG #garden :secret"] {
            asked.ask(alice, line);
        }
        assert_eq!(since(&mut asked, alice), 0);
        let last = asked.server.network.conversation("#garden").unwrap().last_time;
        asked.confirmed(alice, "CS CLEAR #garden HISTORY");
        let [expiry] = asked.expiries() else { panic!("{:?}", asked.expiries()) };
        assert!(expiry.before > last && expiry.most.is_none(), "it is deleted without waiting for anything");
        assert!(since(&mut asked, alice) > last);
        asked.ask(alice, "CS DROP #garden");
        assert!(since(&mut asked, alice) > last);
    }
}
