//! Group commit: one task takes what waits, writes it in one transaction, and says how far it got.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::limits::{EXPIRY_PAUSE_MS, INDEX_STEP, STORE_BATCH};
use crate::server::event::Event;
use crate::server::record::{Expiry, Record, Seq};
use crate::store::expiry::Expiries;
use crate::store::reader::Side;
use crate::store::{Backend, Deliver, StoreError, Writer, bytes_of};

/// The first wait before a failed transaction is tried again; each later one is twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// The longest wait.
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// For how long another program may hold the database before anyone is told: meanwhile what is written
/// only waits. A backup or a look into the database takes less.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_secs(5);
/// For how long a store that fails is tried once nothing more will come.
const PATIENCE_AT_END: Duration = Duration::from_secs(5);
/// Between two attempts to empty the log of what was deleted: one copies each page that was written since, which many
/// commits may touch, and a person who takes back a line after the other has it done once.
const SCRUB_PAUSE: Duration = Duration::from_secs(10);
/// The same after an attempt that somebody who reads an older state, such as a backup, was in the way of.
const SCRUB_RETRY: Duration = Duration::from_secs(1);
/// For how long the log may have what was deleted while there is always something else to do.
const SCRUB_PATIENCE: Duration = Duration::from_secs(60);

/// How far the writer is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Records that are on disk, counted since the start.
    pub written: u64,
    /// Whether the last attempt failed.
    pub failing: bool,
    /// Whether the database's files may still have what was deleted.
    pub traces: bool,
}

/// What was deleted, but can still be read in the database's log: that is emptied when nothing is to be written.
#[derive(Debug)]
pub struct Traces {
    /// Since when there may be some.
    since: Option<Instant>,
    /// Nothing was emptied yet since the start.
    at_start: bool,
    /// When the next attempt may be made.
    rests_until: Instant,
}

impl Default for Traces {
    /// The last start may have left some.
    fn default() -> Traces {
        let now = Instant::now();
        Traces { since: Some(now), at_start: true, rests_until: now }
    }
}

impl Traces {
    /// When there is something to do, where there is.
    fn due(&self) -> Option<Instant> {
        self.since.map(|_| self.rests_until)
    }

    fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Whether that has waited for long enough.
    fn is_urgent(&self) -> bool {
        self.is_due() && self.since.is_some_and(|since| since.elapsed() >= SCRUB_PATIENCE)
    }
}

/// Whether something that was written before is to be nowhere after this.
fn deletes(record: &Record) -> bool {
    match record {
        Record::Edited(..) | Record::Redacted(_) | Record::AboutGone(..) | Record::Erased { .. } => true,
        Record::AccountGone(_) | Record::ChannelGone(_) => true,
        Record::Metadata(row) => row.value.is_none(),
        _ => false,
    }
}

/// What the index of words lacks. Words are put there when nothing is to be written: in steps, so that nobody
/// waits long for one, and with [`RESTS`] after each: messages come first. While more comes than there is
/// time for, only so much that the index does not fall further behind.
#[derive(Debug)]
pub struct Lag {
    /// How many messages came since.
    newer: usize,
    /// The last start may have left some more.
    left: bool,
    /// Whether there may be messages from before there was an index.
    older: bool,
    /// The last step failed: none is tried until something was written.
    failed: bool,
    /// When the next step may be made.
    rests_until: Instant,
}

/// What there is to do while nothing is to be written.
enum Chore {
    /// Put words into the index.
    Index(Side),
    /// Delete what is past its time.
    Expire,
    /// Empty the log of what was deleted.
    Scrub,
}

/// How long something may be past its time while there is always something to write: then one step in so long.
const EXPIRY_PAUSE: Duration = Duration::from_millis(EXPIRY_PAUSE_MS);

/// How many times as long as a step of the index, or one that deletes, takes nothing of the kind is done after it.
const RESTS: u32 = 9;

impl Default for Lag {
    fn default() -> Lag {
        Lag { newer: 0, left: true, older: true, failed: false, rests_until: Instant::now() }
    }
}

impl Lag {
    /// On which side there is something to do now.
    fn side(&self) -> Option<Side> {
        match self {
            _ if self.failed => None,
            _ if self.left || self.newer >= INDEX_STEP => Some(Side::Newer),
            _ => self.older.then_some(Side::Older),
        }
    }
}

/// Where a batch ends: the records of one change are never parted, for once the mark has its number
/// all of it must be on disk.
fn cut(waiting: &[(Seq, Record)]) -> usize {
    let mut end = waiting.len().min(STORE_BATCH);
    while end > 0 && end < waiting.len() && waiting[end].0 == waiting[end - 1].0 {
        end += 1;
    }
    end
}

/// The writing end of the store.
pub struct GroupCommit {
    /// The database.
    pub backend: Backend,
    /// What is to be written, in order.
    pub inbox: mpsc::UnboundedReceiver<Vec<(Seq, Record)>>,
    /// Who is told.
    pub deliver: Deliver,
    /// For those who wait for rows to be readable.
    pub progress: watch::Sender<Progress>,
    /// [`Progress::written`], for every thread.
    pub written: Arc<AtomicU64>,
    /// Bytes of the records that wait.
    pub bytes: Arc<AtomicUsize>,
    /// How far the index of words is.
    pub lag: Lag,
    /// What is to be looked at for what is past its time,
    pub overdue: mpsc::UnboundedReceiver<Expiry>,
    /// and what of it is at hand.
    pub expiries: Expiries,
    /// What the log may have of what was deleted.
    pub traces: Traces,
    /// How many messages it may be behind.
    pub index_lag: usize,
}

impl GroupCommit {
    /// Writes until nothing more can come and all is written; gives the connection back.
    pub async fn run(mut self, writer: Writer) -> Result<Option<Writer>, StoreError> {
        let mut writer = Some(writer);
        let mut waiting: Vec<(Seq, Record)> = Vec::new();
        let mut expired = Instant::now();
        loop {
            if waiting.is_empty() {
                match self.next(&mut writer).await {
                    Some(records) => waiting = records,
                    None => break,
                }
            }
            while waiting.len() < STORE_BATCH {
                let Ok(mut records) = self.inbox.try_recv() else { break };
                waiting.append(&mut records);
            }
            let later = waiting.split_off(cut(&waiting));
            let batch = std::mem::replace(&mut waiting, later);
            if batch.is_empty() {
                continue;
            }
            if let Err(reason) = self.write(&mut writer, &batch).await {
                while let Ok(mut records) = self.inbox.try_recv() {
                    waiting.append(&mut records);
                }
                return Err(StoreError::Unwritten { records: batch.len() + waiting.len(), reason });
            }
            self.bytes.fetch_sub(bytes_of(&batch), Ordering::Relaxed);
            let written = self.written.fetch_add(batch.len() as u64, Ordering::Release) + batch.len() as u64;
            if batch.iter().any(|(_, record)| deletes(record)) {
                self.traces.since.get_or_insert_with(Instant::now);
            }
            self.progress.send_replace(Progress { written, failing: false, traces: self.traces.since.is_some() });
            (self.deliver)(Event::Committed(batch.iter().map(|(seq, _)| *seq).max().unwrap_or(0)));
            self.lag.failed = false;
            self.lag.newer += batch.iter().filter(|(_, record)| matches!(record, Record::Message(_))).count();
            while self.lag.newer >= self.index_lag && !self.lag.failed {
                self.index(&mut writer, Side::Newer).await;
            }
            self.take_overdue();
            if self.expiries.is_due() && expired.elapsed() >= EXPIRY_PAUSE && !self.lag.failed {
                self.expire(&mut writer).await;
                expired = Instant::now();
            }
            if self.traces.is_urgent() && !self.lag.failed {
                self.scrub(&mut writer).await;
            }
        }
        Ok(writer)
    }

    /// What comes next; until it does, words are put into the index, what is past its time is deleted, and the log
    /// emptied of it.
    async fn next(&mut self, writer: &mut Option<Writer>) -> Option<Vec<(Seq, Record)>> {
        let mut last_was_index = false;
        loop {
            self.take_overdue();
            let chore = match self.lag.side() {
                _ if self.lag.failed => None,
                _ if self.traces.is_urgent() => Some(Chore::Scrub),
                Some(side) if !(last_was_index && self.expiries.is_due()) => Some(Chore::Index(side)),
                _ if self.expiries.is_due() => Some(Chore::Expire),
                _ => self.traces.is_due().then_some(Chore::Scrub),
            };
            let Some(chore) = chore else {
                let due = self.traces.due().filter(|_| !self.lag.failed);
                let due = async { if let Some(due) = due { sleep_until(due).await } else { pending().await } };
                tokio::select! {
                    next = self.inbox.recv() => return next,
                    Some(asked) = self.overdue.recv() => self.expiries.push(asked),
                    () = due => {}
                }
                continue;
            };
            if let Ok(next) = timeout_at(self.lag.rests_until, self.inbox.recv()).await {
                return next;
            }
            let began = Instant::now();
            last_was_index = matches!(chore, Chore::Index(_));
            match chore {
                Chore::Index(side) => self.index(writer, side).await,
                Chore::Expire => self.expire(writer).await,
                Chore::Scrub => self.scrub(writer).await,
            }
            self.lag.rests_until = Instant::now() + began.elapsed() * RESTS;
        }
    }

    fn take_overdue(&mut self) {
        while let Ok(asked) = self.overdue.try_recv() {
            self.expiries.push(asked);
        }
    }

    /// Makes one step of deleting what is past its time.
    async fn expire(&mut self, writer: &mut Option<Writer>) {
        let Some(there) = writer else { return self.lag.failed = true };
        match self.expiries.step(there).await {
            Ok((went, done)) => {
                if went > 0 {
                    self.traces.since.get_or_insert_with(Instant::now);
                    self.progress.send_modify(|progress| progress.traces = true);
                }
                if let Some((conversation, rows)) = done {
                    (self.deliver)(Event::Expired { conversation, rows });
                }
            }
            Err(error) => {
                tracing::warn!("what is past its time could not be deleted: {error}");
                self.give_up(writer).await;
            }
        }
    }

    /// Empties the log, so that what was deleted is nowhere; where somebody reads an older state, later.
    async fn scrub(&mut self, writer: &mut Option<Writer>) {
        let Some(there) = writer else { return self.lag.failed = true };
        let pause = match there.scrub().await {
            Ok(true) => {
                self.traces.since = None;
                self.progress.send_modify(|progress| progress.traces = false);
                if std::mem::take(&mut self.traces.at_start) { Duration::ZERO } else { SCRUB_PAUSE }
            }
            Ok(false) => SCRUB_RETRY,
            Err(error) => {
                tracing::warn!("the database's log could not be emptied of what was deleted: {error}");
                self.give_up(writer).await;
                SCRUB_RETRY
            }
        };
        self.traces.rests_until = Instant::now() + pause;
    }

    /// As a connection that failed to write: whoever writes next makes another.
    async fn give_up(&mut self, writer: &mut Option<Writer>) {
        self.lag.failed = true;
        if let Some(writer) = writer.take() {
            let _ = writer.close().await;
        }
    }

    async fn index(&mut self, writer: &mut Option<Writer>, side: Side) {
        let outcome = match writer {
            Some(writer) => writer.index(side).await,
            // Whoever writes next makes a connection.
            None => return self.lag.failed = true,
        };
        match (outcome, side) {
            (Ok(rows), Side::Newer) => {
                self.lag.newer = self.lag.newer.saturating_sub(rows);
                self.lag.left &= rows == INDEX_STEP;
            }
            (Ok(rows), Side::Older) => self.lag.older = rows > 0,
            (Err(error), _) => {
                tracing::warn!("words could not be put into the index for SEARCH: {error}");
                self.give_up(writer).await;
            }
        }
    }

    /// Writes one batch, however long it takes; gives up only after the end has come.
    async fn write(&mut self, writer: &mut Option<Writer>, batch: &[(Seq, Record)]) -> Result<(), Box<str>> {
        let mut backoff = FIRST_BACKOFF;
        let mut give_up = None;
        let mut failing = false;
        let started = Instant::now();
        loop {
            let had_one = writer.is_some();
            let error = match self.attempt(writer, batch).await {
                Ok(()) => {
                    if failing {
                        (self.deliver)(Event::StoreRecovered);
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            // A connection that failed may be left inside a transaction: the next attempt makes its own.
            if let Some(writer) = writer.take() {
                let _ = writer.close().await;
            }
            // That a connection is gone shows only when it is used: nobody need hear of it where a new one does.
            if had_one
                && let StoreError::Write { source, .. } = &error
                && self.backend.is_lost(source)
            {
                continue;
            }
            let held = self.backend.is_held(&error) && started.elapsed() < PATIENCE_WITH_OTHERS;
            let reason: Box<str> = error.to_string().into();
            if !failing && !held {
                failing = true;
                self.progress.send_modify(|progress| progress.failing = true);
                (self.deliver)(Event::StoreFailed(reason.clone()));
            }
            if self.inbox.is_closed() && *give_up.get_or_insert(Instant::now() + PATIENCE_AT_END) <= Instant::now() {
                return Err(reason);
            }
            sleep(backoff).await;
            // An attempt at a database that is held has waited already.
            if !held {
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
            }
        }
    }

    async fn attempt(&self, writer: &mut Option<Writer>, batch: &[(Seq, Record)]) -> Result<(), StoreError> {
        let writer = match writer {
            Some(writer) => writer,
            None => writer.insert(self.backend.reconnect().await?),
        };
        writer.write(batch).await.map_err(|source| self.backend.failed(source))
    }
}

#[cfg(test)]
mod tests {
    use super::{STORE_BATCH, cut};
    use crate::server::record::Record;

    #[test]
    fn the_records_of_one_change_are_in_one_transaction() {
        let numbered = |seqs: &[u64]| seqs.iter().map(|seq| (*seq, Record::AccountGone(1))).collect::<Vec<_>>();
        let mut seqs: Vec<u64> = (1..=STORE_BATCH as u64).collect();
        seqs.extend([STORE_BATCH as u64, STORE_BATCH as u64, STORE_BATCH as u64 + 1]);
        assert_eq!(cut(&numbered(&seqs)), STORE_BATCH + 2);
        assert_eq!(cut(&numbered(&seqs[..10])), 10);
        assert_eq!(cut(&[]), 0);
    }
}
