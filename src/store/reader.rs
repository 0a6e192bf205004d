//! From a question about history to a few bounded walks over an index.
//!
//! Within a conversation, time rises with the number. So every border, and the floor, becomes a
//! moment, and no walk reads more rows than were asked for, however many lie outside.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Error;
use tokio::task::yield_now;

use crate::limits::{SEARCH_MS, SEARCHED_AT_ONCE};
use crate::server::command::edit;
use crate::server::history::{choose_context, parents, share, tag_context};
use crate::server::record::{
    Border, ContextRow, ConversationId, HistoryQuery, Kind, MessageRow, MsgId, Range, SearchQuery, Seq, Wanted,
};
use crate::server::search::{cut, matches};
use crate::store::{postgres, sqlite};

/// How many different things a reader can want of a conversation: for each there are statements, at [`place_of`] it.
pub const WANTS: usize = 16;
/// All of them.
pub const WANTED: [Wanted; WANTS] = {
    let mut all = [Wanted::ALL; WANTS];
    let mut at = 0;
    while at < WANTS {
        all[at] = Wanted { events: at & 1 > 0, redactions: at & 2 > 0, edits: at & 4 > 0, tagmsgs: at & 8 > 0 };
        at += 1;
    }
    all
};

/// Where what is wanted stands in [`WANTED`].
pub fn place_of(wanted: Wanted) -> usize {
    let has = [wanted.events, wanted.redactions, wanted.edits, wanted.tagmsgs];
    has.into_iter().rev().fold(0, |place, has| 2 * place + usize::from(has))
}

/// The classes of rows that are wanted, as the index of messages has them: text, events, redactions.
pub fn classes(wanted: Wanted) -> Vec<u8> {
    let classes = [(0, true), (EVENTS, wanted.events), (2, wanted.redactions)];
    classes.into_iter().filter(|(_, has)| *has).map(|(class, _)| class).collect()
}

/// The class of events.
pub const EVENTS: u8 = 1;

/// The kinds of a class that are not wanted, with commas between them; `None` for none. The index does not tell them from
/// others of their class: no more than [`EVENTS_LOOKED_AT`] are looked at for a page.
pub fn unwanted(wanted: Wanted, class: u8) -> Option<String> {
    let kinds = [(Kind::Edit, wanted.edits), (Kind::Tagmsg, wanted.tagmsgs)];
    let unwanted = kinds.into_iter().filter(|(_, has)| !has).map(|(kind, _)| (kind as u8).to_string());
    let unwanted: Vec<String> = unwanted.filter(|_| class == EVENTS).collect();
    (!unwanted.is_empty()).then(|| unwanted.join(", "))
}

/// Events that are looked at for one page, where some are not wanted: behind so many there may be others, which are left out.
pub const EVENTS_LOOKED_AT: u32 = 5000;

/// Rows that are looked at before others get their turn.
const ROWS_A_TURN: usize = 256;

/// From which end of a span rows are taken, where it has more than are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The first.
    Oldest,
    /// The last.
    Newest,
}

/// A part of one conversation; both moments are outside of it.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Which conversation.
    pub conversation: ConversationId,
    /// The kinds of rows that belong to it.
    pub wanted: Wanted,
    /// Milliseconds since 1970; -1 is before everything.
    pub after: i64,
    /// Milliseconds since 1970; `i64::MAX` is after everything.
    pub before: i64,
    /// From which end.
    pub direction: Direction,
}

/// The numbers of the messages whose words are in the index, with these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// From here on.
    pub low: Seq,
    /// Up to here.
    pub high: Seq,
}

/// On which side of what the index of words has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What came since.
    Newer,
    /// What was there before there was an index, or before it was made anew.
    Older,
}

/// A connection that reads, of whatever database.
pub enum Source {
    /// SQLite.
    Sqlite(sqlite::Source),
    /// PostgreSQL.
    Postgres(postgres::Source),
}

/// Where a border is: a row may be at the moment itself, and then is on neither side of the border.
/// A place between two rows is that of the earlier one, which is before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time: i64,
    behind: bool,
}

impl Place {
    /// Rows after the place are after this moment.
    fn after(self) -> i64 {
        self.time
    }

    /// Rows before the place are before this moment.
    fn before(self) -> i64 {
        self.time.saturating_add(i64::from(self.behind))
    }
}

impl Source {
    /// The rows that `query` means, in ascending order, and whether its range has no more than those.
    /// What it answers is what [`select`](crate::server::history::select) answers.
    pub async fn rows(&mut self, query: &HistoryQuery) -> Result<(Vec<(Seq, MessageRow)>, bool), Error> {
        let all = Span {
            conversation: query.conversation,
            wanted: query.wanted,
            after: i64::try_from(query.since).unwrap_or(i64::MAX) - 1,
            before: i64::MAX,
            direction: Direction::Newest,
        };
        let mut floor = query.floor;
        let span = match query.range {
            Range::Latest(None) => all,
            // From the newest down, it is one more floor.
            Range::Latest(Some(Border::Seq(seq))) => {
                floor = floor.max(seq);
                all
            }
            Range::Latest(Some(border)) => Span { after: self.locate(&all, border).await?.after(), ..all },
            Range::Before(border) => Span { before: self.locate(&all, border).await?.before(), ..all },
            Range::After(border) => {
                Span { after: self.locate(&all, border).await?.after(), direction: Direction::Oldest, ..all }
            }
            Range::Between(a, b) => {
                let (a, b) = (self.locate(&all, a).await?, self.locate(&all, b).await?);
                if a <= b {
                    Span { after: a.after(), before: b.before(), direction: Direction::Oldest, ..all }
                } else {
                    Span { after: b.after(), before: a.before(), ..all }
                }
            }
            Range::Around(border) => {
                let (mut rows, reached_end) = self.around(&all, border, query).await?;
                self.tag_edits(&mut rows, query.reader.epoch).await?;
                return Ok((rows, reached_end));
            }
        };
        let span = Span { after: span.after.max(all.after), ..span };
        let limit = query.limit as usize;
        let mut rows = self.take(span, query.limit, floor).await?;
        let reached_end = rows.len() <= limit;
        match span.direction {
            Direction::Oldest => rows.truncate(limit),
            Direction::Newest => keep_last(&mut rows, limit),
        }
        self.tag_edits(&mut rows, query.reader.epoch).await?;
        Ok((rows, reached_end))
    }

    /// What is about the texts of a page of `query`'s, by their numbers: what
    /// [`context`](crate::server::history::context) answers.
    pub async fn context(
        &mut self,
        query: &HistoryQuery,
        page: &[(Seq, MessageRow)],
    ) -> Result<Vec<ContextRow>, Error> {
        let epoch = query.reader.epoch;
        let parents: Vec<Seq> = parents(page).map(|(seq, _)| seq).collect();
        let msgids: Vec<String> = parents.iter().map(|seq| MsgId { epoch, seq: *seq }.to_string()).collect();
        let mut about = Vec::new();
        for (kind, most) in query.reader.context() {
            if !parents.is_empty() {
                let found = self.about(query.conversation, &msgids, kind, most).await?;
                about.extend(found.into_iter().filter_map(|(at, seq)| Some((*parents.get(at)?, seq))));
            }
        }
        let about = choose_context(page, about);
        if about.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = self.rows_of(&about.iter().map(|(_, seq)| *seq).collect::<Vec<_>>()).await?;
        let mut context = Vec::with_capacity(rows.len());
        for (parent, seq) in about {
            // It may have been taken back since.
            if let Some(row) = rows.remove(&seq) {
                context.push(ContextRow { parent, seq, row });
            }
        }
        tag_context(page, epoch, &mut context);
        Ok(context)
    }

    /// The newest `most` rows of a kind that are about each of some messages: the place of the message's msgid in
    /// `msgids`, and the row's number.
    async fn about(
        &mut self,
        conversation: ConversationId,
        msgids: &[String],
        kind: Kind,
        most: usize,
    ) -> Result<Vec<(usize, Seq)>, Error> {
        match self {
            Source::Sqlite(source) => source.about(conversation, msgids, kind, most).await,
            Source::Postgres(source) => source.about(conversation, msgids, kind, most).await,
        }
    }

    async fn rows_of(&mut self, seqs: &[Seq]) -> Result<BTreeMap<Seq, MessageRow>, Error> {
        let rows = match self {
            Source::Sqlite(source) => source.rows_of(seqs).await,
            Source::Postgres(source) => source.rows_of(seqs).await,
        };
        Ok(rows?.into_iter().collect())
    }

    /// Gives edits their tags: what the edited messages say now.
    async fn tag_edits(&mut self, rows: &mut [(Seq, MessageRow)], epoch: u32) -> Result<(), Error> {
        for (_, row) in rows.iter_mut().filter(|(_, row)| row.kind == Kind::Edit) {
            let msgid = row.argument.as_deref().and_then(MsgId::parse).filter(|msgid| msgid.epoch == epoch);
            let Some(msgid) = msgid else { continue };
            let now = self.message(row.conversation, msgid.seq).await?;
            row.tags = now.map(|now| edit::tags(&msgid.to_string(), &now.text));
        }
        Ok(())
    }

    async fn around(
        &mut self,
        all: &Span,
        border: Border,
        query: &HistoryQuery,
    ) -> Result<(Vec<(Seq, MessageRow)>, bool), Error> {
        let limit = query.limit as usize;
        let place = self.locate(all, border).await?;
        let mut before = self.take(Span { before: place.before(), ..*all }, query.limit, query.floor).await?;
        let from =
            Span { after: place.before().saturating_sub(1).max(all.after), direction: Direction::Oldest, ..*all };
        let mut after = self.take(from, query.limit, query.floor).await?;
        let reached_end = before.len() + after.len() <= limit;
        let at = usize::from(!place.behind && after.first().is_some_and(|(_, row)| row.time as i64 == place.time));
        let (take_before, take_after) = share(limit, before.len(), at, after.len() - at);
        keep_last(&mut before, take_before);
        after.truncate((at + take_after).min(limit));
        before.append(&mut after);
        Ok((before, reached_end))
    }

    /// The rows of `span` that are after the floor, ascending: as many as were asked for and one more.
    async fn take(&mut self, span: Span, limit: u32, floor: Seq) -> Result<Vec<(Seq, MessageRow)>, Error> {
        let most = limit.saturating_add(1);
        let mut rows = self.scan(span, most).await?;
        match span.direction {
            // What is below the floor would come last.
            Direction::Newest => drop(rows.drain(..rows.partition_point(|(seq, _)| *seq <= floor))),
            // What is below the floor comes first, and may be more than can be walked over.
            Direction::Oldest if rows.first().is_some_and(|(seq, _)| *seq <= floor) => {
                let place = self.locate(&span, Border::Seq(floor)).await?;
                rows = self.scan(Span { after: span.after.max(place.after()), ..span }, most).await?;
            }
            Direction::Oldest => {}
        }
        Ok(rows)
    }

    /// Where a border is among the rows that `like` looks at.
    async fn locate(&mut self, like: &Span, border: Border) -> Result<Place, Error> {
        let seq = match border {
            Border::Time(time) => return Ok(Place { time: i64::try_from(time).unwrap_or(i64::MAX), behind: false }),
            Border::Seq(seq) => seq,
        };
        if let Some((conversation, time)) = self.place(seq).await?
            && conversation == like.conversation
        {
            return Ok(Place { time, behind: false });
        }
        // No row of this conversation has the number: it is behind the last one below it.
        Ok(Place { time: self.search(like.conversation, like.wanted, seq).await?, behind: true })
    }

    /// The rows that `query` means, in ascending order: what [`select`](crate::server::search::select) answers,
    /// but for messages that are older than what the index has by now.
    pub async fn find(&mut self, query: &SearchQuery) -> Result<Vec<(Seq, MessageRow)>, Error> {
        if let Source::Sqlite(source) = self {
            source.limit_time(Duration::from_millis(SEARCH_MS)).await?;
        }
        let (mut first, mut last) = (query.floor.saturating_add(1), Seq::MAX);
        let conversations = query.conversations();
        // What is older than all that the reader may read need not be found first.
        let readable = query.places.iter().map(|(_, since)| *since).min().unwrap_or(0);
        let after = query.after.unwrap_or(0).max(readable);
        if after > 0 {
            first = first.max(self.first_since(&conversations, after).await?);
        }
        if let Some(before) = query.before {
            last = self.last_until(&conversations, before).await?;
        }
        let mut meant = Vec::new();
        if conversations.is_empty() || first > last {
            return Ok(meant);
        }
        // Should more be put into the index meanwhile, it is among the rows that are read one by one.
        let indexed = self.indexed().await?;
        let (mut from, mut to) = (first.max(indexed.low), last.min(indexed.high));
        let mut asked = query.clone();
        while from <= to && meant.len() < query.limit as usize {
            let rows = self.by_terms(&asked, from, to).await?;
            let Some(end) = (if query.after.is_some() { rows.last() } else { rows.first() }) else { break };
            // Of those that are not shown any more there may be more than were asked for, and many more.
            let (end, whole) = (end.0, rows.len() < asked.limit as usize);
            asked.limit = asked.limit.saturating_mul(4).min(SEARCHED_AT_ONCE.max(query.limit));
            if query.after.is_some() {
                from = end + 1
            } else {
                to = end - 1
            }
            take_meant(query, rows, &mut meant).await;
            if whole {
                break;
            }
        }
        let since = first.max(indexed.high.saturating_add(1));
        if since <= last {
            let rows = self.texts(&conversations, since, last).await?;
            take_meant(query, rows, &mut meant).await;
        }
        meant.sort_unstable_by_key(|(seq, _)| *seq);
        cut(query, &mut meant);
        Ok(meant)
    }

    async fn indexed(&mut self) -> Result<Indexed, Error> {
        match self {
            Source::Sqlite(source) => source.indexed().await,
            Source::Postgres(source) => source.indexed().await,
        }
    }

    async fn first_since(&mut self, conversations: &[ConversationId], time: u64) -> Result<Seq, Error> {
        match self {
            Source::Sqlite(source) => source.first_since(conversations, time).await,
            Source::Postgres(source) => source.first_since(conversations, time).await,
        }
    }

    async fn last_until(&mut self, conversations: &[ConversationId], time: u64) -> Result<Seq, Error> {
        match self {
            Source::Sqlite(source) => source.last_until(conversations, time).await,
            Source::Postgres(source) => source.last_until(conversations, time).await,
        }
    }

    async fn by_terms(&mut self, query: &SearchQuery, first: Seq, last: Seq) -> Result<Vec<(Seq, MessageRow)>, Error> {
        match self {
            Source::Sqlite(source) => source.by_terms(query, first, last).await,
            Source::Postgres(source) => source.by_terms(query, first, last).await,
        }
    }

    async fn texts(
        &mut self,
        conversations: &[ConversationId],
        first: Seq,
        last: Seq,
    ) -> Result<Vec<(Seq, MessageRow)>, Error> {
        match self {
            Source::Sqlite(source) => source.texts(conversations, first, last).await,
            Source::Postgres(source) => source.texts(conversations, first, last).await,
        }
    }

    /// A message, if it is of this conversation.
    pub async fn message(&mut self, conversation: ConversationId, seq: Seq) -> Result<Option<MessageRow>, Error> {
        match self.place(seq).await? {
            Some((of, time)) if of == conversation => {
                let span = Span {
                    conversation,
                    wanted: Wanted::ALL,
                    after: time - 1,
                    before: time + 1,
                    direction: Direction::Oldest,
                };
                let rows = self.scan(span, 2).await?;
                Ok(rows.into_iter().find(|(number, _)| *number == seq).map(|(_, row)| row))
            }
            _ => Ok(None),
        }
    }

    async fn place(&mut self, seq: Seq) -> Result<Option<(ConversationId, i64)>, Error> {
        match self {
            Source::Sqlite(source) => source.place(seq).await,
            Source::Postgres(source) => source.place(seq).await,
        }
    }

    async fn search(&mut self, conversation: ConversationId, wanted: Wanted, seq: Seq) -> Result<i64, Error> {
        match self {
            Source::Sqlite(source) => source.search(conversation, wanted, seq).await,
            Source::Postgres(source) => source.search(conversation, wanted, seq).await,
        }
    }

    async fn scan(&mut self, span: Span, limit: u32) -> Result<Vec<(Seq, MessageRow)>, Error> {
        match self {
            Source::Sqlite(source) => source.scan(span, limit).await,
            Source::Postgres(source) => source.scan(span, limit).await,
        }
    }

    /// Closes the connection.
    pub async fn close(self) -> Result<(), Error> {
        match self {
            Source::Sqlite(source) => source.close().await,
            Source::Postgres(source) => source.close().await,
        }
    }
}

/// Takes the rows that a search means. Whatever an index has: nobody is shown what is not theirs.
async fn take_meant(query: &SearchQuery, rows: Vec<(Seq, MessageRow)>, meant: &mut Vec<(Seq, MessageRow)>) {
    for (at, (seq, row)) in rows.into_iter().enumerate() {
        if at % ROWS_A_TURN == ROWS_A_TURN - 1 {
            yield_now().await;
        }
        if matches(query, seq, &row) {
            meant.push((seq, row));
        }
    }
}

fn keep_last(rows: &mut Vec<(Seq, MessageRow)>, count: usize) {
    rows.drain(..rows.len().saturating_sub(count));
}
