//! From a question about history to a few bounded walks over an index.
//!
//! Within a conversation, time rises with the number. So every border, and the floor, becomes a
//! moment, and no walk reads more rows than were asked for, however many lie outside.

use sqlx::Error;

use crate::server::history::share;
use crate::server::record::{Border, ConversationId, HistoryQuery, MessageRow, Range, Seq};
use crate::store::sqlite;

/// From which end of a span rows are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// In ascending order.
    Oldest,
    /// In descending order.
    Newest,
}

/// A part of one conversation; both moments are outside of it.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Whether rows that are not text belong to it.
    pub events: bool,
    /// Milliseconds since 1970; -1 is before everything.
    pub after: i64,
    /// Milliseconds since 1970; `i64::MAX` is after everything.
    pub before: i64,
    /// From which end.
    pub direction: Direction,
}

/// A connection that reads, of whatever database.
pub enum Source {
    /// SQLite.
    Sqlite(sqlite::Source),
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
            events: query.events,
            after: -1,
            before: i64::MAX,
            direction: Direction::Newest,
        };
        let span = match query.range {
            Range::Latest(None) => all,
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
            Range::Around(border) => return self.around(&all, border, query).await,
        };
        let limit = query.limit as usize;
        let mut rows = self.take(span, query).await?;
        let reached_end = rows.len() <= limit;
        rows.truncate(limit);
        if span.direction == Direction::Newest {
            rows.reverse();
        }
        Ok((rows, reached_end))
    }

    async fn around(
        &mut self,
        all: &Span,
        border: Border,
        query: &HistoryQuery,
    ) -> Result<(Vec<(Seq, MessageRow)>, bool), Error> {
        let limit = query.limit as usize;
        let place = self.locate(all, border).await?;
        let mut before = self.take(Span { before: place.before(), ..*all }, query).await?;
        let from = Span { after: place.before().saturating_sub(1), direction: Direction::Oldest, ..*all };
        let mut after = self.take(from, query).await?;
        let reached_end = before.len() + after.len() <= limit;
        let at = usize::from(!place.behind && after.first().is_some_and(|(_, row)| row.time as i64 == place.time));
        let (take_before, take_after) = share(limit, before.len(), at, after.len() - at);
        before.truncate(take_before);
        before.reverse();
        after.truncate((at + take_after).min(limit));
        before.append(&mut after);
        Ok((before, reached_end))
    }

    /// The first rows of `span` that are after the floor: as many as were asked for and one more.
    async fn take(&mut self, span: Span, query: &HistoryQuery) -> Result<Vec<(Seq, MessageRow)>, Error> {
        let most = query.limit.saturating_add(1);
        let mut rows = self.scan(span, most).await?;
        match span.direction {
            // What is below the floor comes last.
            Direction::Newest => rows.truncate(rows.partition_point(|(seq, _)| *seq > query.floor)),
            // What is below the floor comes first, and may be very much.
            Direction::Oldest if rows.first().is_some_and(|(seq, _)| *seq <= query.floor) => {
                let floor = self.locate(&span, Border::Seq(query.floor)).await?;
                rows = self.scan(Span { after: span.after.max(floor.after()), ..span }, most).await?;
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
        // No row of this conversation has the number. The last one below it, by halving time: some 40 looks.
        let all = Span { after: -1, before: i64::MAX, direction: Direction::Newest, ..*like };
        let first = self.probe(Span { direction: Direction::Oldest, ..all }).await?;
        let (Some(last), Some(first)) = (self.probe(all).await?, first) else {
            return Ok(Place { time: -1, behind: true });
        };
        if first.0 > seq {
            return Ok(Place { time: -1, behind: true });
        }
        if last.0 <= seq {
            return Ok(Place { time: last.1, behind: true });
        }
        let (mut low, mut high) = (first.1, last.1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let span = Span { after: middle - 1, direction: Direction::Oldest, ..all };
            match self.probe(span).await? {
                Some((number, time)) if number <= seq => low = time,
                _ => high = middle,
            }
        }
        Ok(Place { time: low, behind: true })
    }

    async fn place(&mut self, seq: Seq) -> Result<Option<(ConversationId, i64)>, Error> {
        match self {
            Source::Sqlite(source) => source.place(seq).await,
        }
    }

    async fn probe(&mut self, span: Span) -> Result<Option<(Seq, i64)>, Error> {
        match self {
            Source::Sqlite(source) => source.probe(span).await,
        }
    }

    async fn scan(&mut self, span: Span, limit: u32) -> Result<Vec<(Seq, MessageRow)>, Error> {
        match self {
            Source::Sqlite(source) => source.scan(span, limit).await,
        }
    }

    /// Closes the connection.
    pub async fn close(self) -> Result<(), Error> {
        match self {
            Source::Sqlite(source) => source.close().await,
        }
    }
}
