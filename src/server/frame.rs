//! One outgoing message in every form that a recipient's capabilities may ask for.

use std::sync::Arc;

use bytes::Bytes;
use ircv3::time::put_time;
use ircv3::{Cap, CapSet};
use smallvec::SmallVec;

use crate::server::record::{MsgId, Seq};

/// Which lines of a form get the frame's tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tagged {
    /// Each line, all of them.
    #[default]
    Each,
    /// Each line, but msgid and label on the first only: the lines
    /// of one message for those who do not know that it is one.
    Parts,
    /// The first, which opens a batch; those between have tags of their own; the last, which ends it, gets
    /// that of an outer batch alone.
    Batch,
}

/// Lines for recipients with some capabilities and without others, with no tags.
#[derive(Debug, Clone)]
pub struct Form {
    /// Capabilities that a recipient must have.
    pub needs: CapSet,
    /// Capabilities that a recipient must not have.
    pub lacks: CapSet,
    /// The lines, each with its CR LF; usually one.
    pub lines: SmallVec<[Bytes; 1]>,
    /// Which of them get tags.
    pub tagged: Tagged,
}

/// One message for many. A recipient gets the first form that fits it, or nothing.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Goes out once everything up to here is durable; 0 never waits.
    pub after: Seq,
    /// `time`, in milliseconds since 1970.
    pub time: u64,
    /// `msgid`, where the message has one.
    pub msgid: Option<MsgId>,
    /// `account` of the source.
    pub account: Option<Arc<str>>,
    /// Whether the source is a bot.
    pub bot: bool,
    /// Whether the source is an operator of the server (`draft/oper`): no secret here, so the tag is for everyone who
    /// asks for it; by which name it is one is nobody's business.
    pub oper: bool,
    /// `draft/relaymsg`: who speaks for the source.
    pub relayed_by: Option<Arc<str>>,
    /// Client-only tags, as they came: `+a=b;+c`; and those of EDIT.
    pub client_tags: Option<Box<str>>,
    /// The forms.
    pub forms: SmallVec<[Form; 1]>,
}

/// Which serialisation a recipient gets: two recipients with the same variant get the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    form: u8,
    tags: u8,
}

impl Variant {
    /// A number below [`Variant::COUNT`] for tables of variants.
    pub fn index(self) -> usize {
        usize::from(self.form) << 5 | usize::from(self.tags)
    }

    /// How many there can be: four forms, with every set of five tag capabilities.
    pub const COUNT: usize = 128;
}

/// Tags that only one connection gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnTags<'a> {
    /// `label`, already escaped.
    pub label: Option<&'a str>,
    /// `batch`.
    pub batch: Option<&'a str>,
    /// `draft/chathistory-context`
    pub context: bool,
}

const TIME: u8 = 1;
const TAGS: u8 = 2;
const ACCOUNT: u8 = 4;
const RELAY: u8 = 8;
const OPER: u8 = 16;

impl Frame {
    /// A frame with one form for everyone.
    pub fn plain(time: u64, line: Bytes) -> Frame {
        Frame {
            after: 0,
            time,
            msgid: None,
            account: None,
            bot: false,
            oper: false,
            relayed_by: None,
            client_tags: None,
            forms: SmallVec::from_elem(
                Form {
                    needs: CapSet::EMPTY,
                    lacks: CapSet::EMPTY,
                    lines: SmallVec::from_elem(line, 1),
                    tagged: Tagged::Each,
                },
                1,
            ),
        }
    }

    /// Which variant a recipient with `caps` gets; `None` where it gets nothing.
    pub fn variant(&self, caps: CapSet) -> Option<Variant> {
        let form = self.forms.iter().position(|form| caps.has_all(form.needs) && !caps.has_any(form.lacks))?;
        let mut tags = 0;
        if caps.has(Cap::ServerTime) {
            tags |= TIME;
        }
        if caps.has(Cap::MessageTags) && (self.msgid.is_some() || self.bot || self.client_tags.is_some()) {
            tags |= TAGS;
        }
        if caps.has(Cap::AccountTag) && self.account.is_some() {
            tags |= ACCOUNT;
        }
        if self.relayed_by.is_some() && caps.has(Cap::Relaymsg) {
            tags |= RELAY;
        }
        if self.oper && caps.has(Cap::OperTag) {
            tags |= OPER;
        }
        Some(Variant { form: form as u8, tags })
    }

    /// Appends the lines of a variant to `out`, with `own` on each of them.
    pub fn render(&self, variant: Variant, own: OwnTags<'_>, out: &mut Vec<u8>) {
        let Some(form) = self.forms.get(usize::from(variant.form)) else { return };
        let last = form.lines.len().saturating_sub(1);
        for (at, line) in form.lines.iter().enumerate() {
            match form.tagged {
                Tagged::Each => self.render_tags(variant.tags, own, true, out),
                Tagged::Parts if at == 0 => self.render_tags(variant.tags, own, true, out),
                Tagged::Parts => self.render_tags(variant.tags, OwnTags { label: None, ..own }, false, out),
                Tagged::Batch if at == 0 => self.render_tags(variant.tags, own, true, out),
                Tagged::Batch if at == last => {
                    self.render_tags(0, OwnTags { label: None, ..own }, false, out);
                }
                Tagged::Batch => {}
            }
            out.extend_from_slice(line);
        }
    }

    /// Whether the form of a variant is a batch by itself.
    pub fn is_batch(&self, variant: Variant) -> bool {
        self.forms.get(usize::from(variant.form)).is_some_and(|form| form.tagged == Tagged::Batch)
    }

    fn render_tags(&self, tags: u8, own: OwnTags<'_>, with_msgid: bool, out: &mut Vec<u8>) {
        let mut first = true;
        let mut open = |out: &mut Vec<u8>| {
            out.push(if first { b'@' } else { b';' });
            first = false;
        };
        if let Some(label) = own.label {
            open(out);
            out.extend_from_slice(b"label=");
            out.extend_from_slice(label.as_bytes());
        }
        if let Some(batch) = own.batch {
            open(out);
            out.extend_from_slice(b"batch=");
            out.extend_from_slice(batch.as_bytes());
        }
        if own.context {
            open(out);
            out.extend_from_slice(b"draft/chathistory-context");
        }
        if tags & TIME != 0 {
            open(out);
            out.extend_from_slice(b"time=");
            put_time(out, self.time);
        }
        if tags & TAGS != 0
            && let Some(msgid) = self.msgid.filter(|_| with_msgid)
        {
            open(out);
            out.extend_from_slice(b"msgid=");
            msgid.put(out);
        }
        if tags & ACCOUNT != 0
            && let Some(account) = &self.account
        {
            open(out);
            out.extend_from_slice(b"account=");
            out.extend_from_slice(ircv3::tags::escape(account).as_bytes());
        }
        if tags & OPER != 0 {
            open(out);
            out.extend_from_slice(b"draft/oper");
        }
        if tags & RELAY != 0
            && let Some(by) = &self.relayed_by
        {
            open(out);
            out.extend_from_slice(b"draft/relaymsg=");
            out.extend_from_slice(ircv3::tags::escape(by).as_bytes());
        }
        if tags & TAGS != 0 {
            if self.bot {
                open(out);
                out.extend_from_slice(b"bot");
            }
            if let Some(client) = &self.client_tags {
                open(out);
                out.extend_from_slice(client.as_bytes());
            }
        }
        if !first {
            out.push(b' ');
        }
    }
}
