//! SEARCH (<https://github.com/ircv3/ircv3-specifications/pull/496>, and soju's `soju.im/search`): finds what
//! was said by its words, in all that one may read.

use std::cmp::Reverse;

use ircv3::{Cap, Casemapping, Message, search as request};

use crate::limits;
use crate::server::action::Call;
use crate::server::command::chathistory::Found;
use crate::server::command::{Pending, chathistory, negotiated, printable};
use crate::server::event::Returned;
use crate::server::record::SearchQuery;
use crate::server::search::words;
use crate::server::{Ctx, Server};

/// The type of the batch as the draft has it.
const BATCH: &str = "search";
/// The type of the batch as soju has it, and the name of its capability.
const SOJU: &str = "soju.im/search";

/// SEARCH
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    if !negotiated(ctx, line.command(), &[Cap::Search]) {
        return;
    }
    if !server.settings.history {
        ctx.reply.fail("SEARCH", "INTERNAL_ERROR", &[], "No history is kept on this server");
        return;
    }
    let request = match request::parse(line.param(0).unwrap_or("")) {
        Ok(request) => request,
        Err(error) => {
            invalid(ctx, error.attribute, &error.to_string());
            return;
        }
    };
    let Some(found) = places(server, ctx, request.target.as_deref()) else {
        invalid(ctx, "in", "There is no such channel or person, or its messages are not yours to read");
        return;
    };
    let text = request.text.as_deref().unwrap_or("");
    let words = words(text);
    if words.is_empty() && !text.is_empty() {
        invalid(ctx, "text", &format!("{text:?} has no word to look for: a word is of letters and digits"));
        return;
    }
    if words.len() > limits::SEARCH_WORDS {
        let text = format!("{} words are too many to look for: give {} at most", words.len(), limits::SEARCH_WORDS);
        invalid(ctx, "text", &text);
        return;
    }
    let from = request.from.as_deref();
    let label = ctx.reply.take_label();
    let batch_type = batch_type(server, ctx);
    let reader = chathistory::reader(server, ctx, batch_type, "", &found.iter().collect::<Vec<_>>(), label.clone());
    let query = SearchQuery {
        places: found.iter().map(|found| (found.id, found.since)).collect(),
        // Only what a guest reads in private has one, and it asks for one such conversation at a time.
        floor: found.iter().map(|found| found.floor).max().unwrap_or_default(),
        words,
        from: from.map(|nick| Casemapping::default().fold(nick).as_str().into()),
        after: request.after,
        before: request.before,
        limit: request.limit.unwrap_or(limits::SEARCH_RESULTS).min(server.settings.chathistory_limit),
        reader,
    };
    server.call_for(ctx.conn, Call::Search(Box::new(query)), Pending::Search, label);
}

fn invalid(ctx: &mut Ctx, attribute: &str, text: &str) {
    ctx.reply.fail("SEARCH", "INVALID_PARAMS", &[printable(attribute)], text);
}

/// A client that knows soju's name alone waits for soju's batch.
fn batch_type(server: &Server, ctx: &Ctx) -> &'static str {
    let draft = server.session(ctx.conn).is_some_and(|session| session.negotiation.has_name(Cap::Search.names()[0]));
    if draft { BATCH } else { SOJU }
}

/// The conversations to look through: what CHATHISTORY lets the sender read. `None` where that is nothing of the target.
fn places(server: &Server, ctx: &Ctx, target: Option<&str>) -> Option<Vec<Found>> {
    if let Some(target) = target {
        return Some(vec![chathistory::conversation(server, ctx, target)?]);
    }
    let mut all = chathistory::readable(server, ctx);
    all.sort_unstable_by_key(|(_, last)| Reverse(*last));
    Some(all.into_iter().take(limits::SEARCH_CONVERSATIONS).map(|(found, _)| found).collect())
}

/// The messages were found.
pub fn returned(server: &mut Server, ctx: &mut Ctx, returned: Returned) {
    let problem = match returned {
        Returned::History(page) => return chathistory::send(server, ctx, page),
        Returned::TookTooLong => {
            "The search took too long and was given up: give rarer words, or say in, from, after or before"
        }
        _ => "The search could not be run; try again later",
    };
    ctx.reply.fail("SEARCH", "INTERNAL_ERROR", &[], problem);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::server::action::Call;
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::{ConnId, Event, Returned};
    use crate::server::record::SearchQuery;

    fn asked(asked: &mut Asked, conn: ConnId, attributes: &str) -> SearchQuery {
        assert_eq!(asked.ask(conn, &format!("SEARCH {attributes}")), Vec::<String>::new());
        match asked.calls() {
            [(_, Call::Search(query))] => (**query).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_search_at_a_time_and_one_that_is_given_up_says_so() {
        let mut server = Asked::new();
        let alice = server.user_with("alice", "draft/search standard-replies");
        server.ask(alice, "JOIN #a");
        server.ask(alice, "PRIVMSG #a :text");
        let query = asked(&mut server, alice, "text=some\\sTEXT;from=ALICE;limit=5000");
        assert_eq!((query.limit, query.from.as_deref()), (1000, Some("alice")));
        assert_eq!(query.words, ["some".into(), "text".into()]);
        let id = server.calls()[0].0;
        // The next waits for its turn.
        server.ask(alice, "SEARCH text=more");
        assert!(server.calls().is_empty());
        server.handle(Event::Returned(id, Returned::TookTooLong));
        assert!(server.sent(alice)[0].starts_with(":irc.test FAIL SEARCH INTERNAL_ERROR :The search took too long"));
        let id = server.calls()[0].0;
        server.handle(Event::Returned(id, Returned::Failed("too many searches".into())));
        assert_eq!(
            server.sent(alice),
            [":irc.test FAIL SEARCH INTERNAL_ERROR :The search could not be run; try again later"]
        );
    }

    #[test]
    fn without_a_target_it_is_all_that_the_sender_may_read_now() {
        let mut server = Asked::new();
        let alice = server.user_with("alice", "draft/search");
        let bob = server.user_with("bob", "draft/search");
        for channel in ["#a", "#b"] {
            server.ask(alice, &format!("JOIN {channel}"));
            server.ask(alice, &format!("PRIVMSG {channel} :text"));
        }
        server.ask(bob, "JOIN #b");
        let conversation =
            |server: &Asked, name: &str| server.server.network.conversation(name).map(|found| found.id).unwrap();
        let (a, b) = (conversation(&server, "#a"), conversation(&server, "#b"));
        let all = asked(&mut server, alice, "text=x").conversations();
        assert!(all.len() == 2 && all.contains(&a) && all.contains(&b));
        assert_eq!(asked(&mut server, bob, "text=x").conversations(), [b]);
    }
}
