//! One outgoing message in every form that a recipient's capabilities may ask for.

use std::sync::Arc;

use bytes::Bytes;
use ircv3::{Cap, CapSet};
use smallvec::SmallVec;

use crate::server::record::{MsgId, Seq};

/// Lines for recipients with some capabilities and without others, with no tags.
#[derive(Debug, Clone)]
pub struct Form {
    /// Capabilities that a recipient must have.
    pub needs: CapSet,
    /// Capabilities that a recipient must not have.
    pub lacks: CapSet,
    /// The lines, each with its CR LF; usually one.
    pub lines: SmallVec<[Bytes; 1]>,
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
    /// Client-only tags, as they came: `+a=b;+c`.
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
        usize::from(self.form) << 3 | usize::from(self.tags)
    }

    /// How many there can be: four forms, with every set of three tag capabilities.
    pub const COUNT: usize = 32;
}

/// Tags that only one connection gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnTags<'a> {
    /// `label`, already escaped.
    pub label: Option<&'a str>,
    /// `batch`.
    pub batch: Option<&'a str>,
}

const TIME: u8 = 1;
const TAGS: u8 = 2;
const ACCOUNT: u8 = 4;

impl Frame {
    /// A frame with one form for everyone.
    pub fn plain(time: u64, line: Bytes) -> Frame {
        Frame {
            after: 0,
            time,
            msgid: None,
            account: None,
            bot: false,
            client_tags: None,
            forms: SmallVec::from_elem(
                Form { needs: CapSet::EMPTY, lacks: CapSet::EMPTY, lines: SmallVec::from_elem(line, 1) },
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
        Some(Variant { form: form as u8, tags })
    }

    /// Appends the lines of a variant to `out`, with `own` on each of them.
    pub fn render(&self, variant: Variant, own: OwnTags<'_>, out: &mut Vec<u8>) {
        let Some(form) = self.forms.get(usize::from(variant.form)) else { return };
        for line in &form.lines {
            self.render_tags(variant.tags, own, out);
            out.extend_from_slice(line);
        }
    }

    fn render_tags(&self, tags: u8, own: OwnTags<'_>, out: &mut Vec<u8>) {
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
        if tags & TIME != 0 {
            open(out);
            out.extend_from_slice(b"time=");
            put_time(out, self.time);
        }
        if tags & TAGS != 0
            && let Some(msgid) = self.msgid
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

/// Appends `YYYY-MM-DDThh:mm:ss.sssZ` (server-time).
pub fn put_time(out: &mut Vec<u8>, unix_ms: u64) {
    let (days, in_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    let digits = |out: &mut Vec<u8>, value: u64, width: u32| {
        for place in (0..width).rev() {
            out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
        }
    };
    digits(out, year, 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
    out.push(b'T');
    digits(out, in_day / 3_600_000, 2);
    out.push(b':');
    digits(out, in_day / 60_000 % 60, 2);
    out.push(b':');
    digits(out, in_day / 1000 % 60, 2);
    out.push(b'.');
    digits(out, in_day % 1000, 3);
    out.push(b'Z');
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's days_from_civil, turned round).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

/// Milliseconds since 1970 of `YYYY-MM-DDThh:mm:ss[.s…]Z`; `None` where it is anything else.
pub fn parse_time(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u64> {
        let part = bytes.get(from..to)?;
        part.iter().all(u8::is_ascii_digit).then(|| part.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
    };
    let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) || bytes.last() != Some(&b'Z') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let mut millis = 0;
    if is(19, b'.') {
        let fraction = bytes.get(20..bytes.len() - 1)?;
        if fraction.is_empty() || fraction.len() > 9 || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for place in 0..3 {
            millis = millis * 10 + fraction.get(place).map_or(0, |d| u64::from(d - b'0'));
        }
    } else if bytes.len() != 20 {
        return None;
    }
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60
    {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y / 400;
    let yoe = y % 400;
    let mp = (month + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    let days = (era * 146_097 + doe).checked_sub(719_468)?;
    Some(days * 86_400_000 + hour * 3_600_000 + minute * 60_000 + second * 1000 + millis)
}
