//! What is past its time is deleted in small steps: each is one transaction of its own, and whenever the server ends,
//! what was done is whole.

use std::collections::VecDeque;

use sqlx::Error;

use crate::limits::{COUNT_STEP, EXPIRY_STEP};
use crate::server::record::{ConversationId, Expiry};
use crate::store::Writer;

/// Text, events, redactions: what the index of messages tells apart.
const CLASSES: usize = 3;

/// One conversation that is being looked at.
#[derive(Debug)]
pub struct Expiring {
    asked: Expiry,
    /// By class: what is older than this moment goes.
    before: [i64; CLASSES],
    stage: Stage,
    /// Rows that went.
    rows: u64,
}

/// What is next.
#[derive(Debug)]
enum Stage {
    /// Walk over the newest rows of a class, from a moment back: so many are left to be passed over.
    Count { class: usize, from: i64, left: u32 },
    /// Delete rows of a class.
    Delete { class: usize },
}

impl Expiring {
    fn new(asked: Expiry) -> Expiring {
        let before = i64::try_from(asked.before).unwrap_or(i64::MAX);
        let stage = match asked.most {
            Some(most) => Stage::Count { class: 0, from: i64::MAX, left: most },
            None => Stage::Delete { class: 0 },
        };
        Expiring { asked, before: [before; CLASSES], stage, rows: 0 }
    }

    /// Makes one step; whether it was the last.
    async fn step(&mut self, writer: &mut Writer) -> Result<bool, Error> {
        let conversation = self.asked.conversation;
        match self.stage {
            Stage::Count { class, from, left } => {
                let count = left.min(COUNT_STEP);
                let moment = writer.nth_newest(conversation, class as u8, from, count).await?;
                self.stage = match moment {
                    Some(from) if left > count => Stage::Count { class, from, left: left - count },
                    _ => {
                        if let Some(moment) = moment {
                            self.put_border(class, moment);
                        }
                        self.after_count(class)
                    }
                };
                Ok(false)
            }
            Stage::Delete { class } => {
                let (before, epoch) = (self.before[class], self.asked.epoch);
                let (rows, more) = writer.expire(conversation, class as u8, before, EXPIRY_STEP, epoch).await?;
                self.rows += rows;
                if !more {
                    self.stage = Stage::Delete { class: class + 1 };
                }
                Ok(!more && class + 1 == CLASSES)
            }
        }
    }

    /// Nothing stays that is older than the oldest text that stays.
    fn put_border(&mut self, class: usize, moment: i64) {
        let borders = if class == 0 { &mut self.before[..] } else { &mut self.before[class..=class] };
        borders.iter_mut().for_each(|border| *border = (*border).max(moment));
    }

    fn after_count(&self, class: usize) -> Stage {
        match self.asked.most {
            Some(most) if class + 1 < CLASSES => Stage::Count { class: class + 1, from: i64::MAX, left: most },
            _ => Stage::Delete { class: 0 },
        }
    }
}

/// The conversations that are to be looked at, in the order in which they came.
#[derive(Debug, Default)]
pub struct Expiries {
    waiting: VecDeque<Expiring>,
}

impl Expiries {
    /// One more.
    pub fn push(&mut self, asked: Expiry) {
        self.waiting.push_back(Expiring::new(asked));
    }

    /// Whether there is something to do.
    pub fn is_due(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Makes one step: how many rows went, and the conversation that it was the last one for, with all of its that did.
    pub async fn step(&mut self, writer: &mut Writer) -> Result<(u64, Option<(ConversationId, u64)>), Error> {
        let Some(first) = self.waiting.front_mut() else { return Ok((0, None)) };
        let before = first.rows;
        let was_last = first.step(writer).await?;
        let went = first.rows - before;
        let done = if was_last { self.waiting.pop_front() } else { None };
        Ok((went, done.map(|done| (done.asked.conversation, done.rows))))
    }
}
