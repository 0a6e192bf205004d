//! What one connection can know: every line that it reads is checked against what it asked for, what it
//! was promised and what the store holds.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ircv3::message::{MAX_BODY_BYTES, MAX_TAG_SECTION_BYTES};
use ircv3::time::parse_time;
use ircv3::{Cap, CapSet, Casemapping, Message};
use roost::server::record::{Kind, MessageRow, MsgId, Seq};

use crate::client::DIM;
use crate::store::{Store, token_of};
use crate::violation::{Invariant, Outcome, broken};

/// A message that the connection is to see next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Its number.
    pub seq: Seq,
    /// Whether it may fail to come: who was there when it was said is not known exactly.
    pub optional: bool,
    /// Whether it is said now, not replayed.
    pub live: bool,
}

/// A CHATHISTORY that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The channel or nick; empty where the answer is not checked.
    pub target: String,
    /// What was asked for.
    pub range: AskedRange,
    /// At most so many.
    pub limit: usize,
    /// The last row of each conversation that had been read by then.
    pub read: BTreeMap<u64, Seq>,
}

/// Which rows were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedRange {
    /// The newest.
    Latest,
    /// The newest before a row.
    Before(Seq),
    /// The oldest after a row.
    After(Seq),
    /// Anything else: only that it is a run of the store's rows.
    Other,
}

/// A channel that the user is in.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Folded nicks; `None` until a NAMES told.
    pub members: Option<BTreeSet<String>>,
    /// What the last NAMES said, of the channel in which not everyone is told of everyone.
    pub listed: Option<BTreeSet<String>>,
}

#[derive(Debug)]
struct Batch {
    reference: String,
    kind: String,
    target: String,
    parent: Option<String>,
    rows: Vec<Seq>,
    /// What came as context of those.
    context: Vec<Seq>,
}

/// What the checks need to know of the run.
pub struct Facts<'a> {
    /// What is stored.
    pub store: &'a Store,
    /// The database's epoch.
    pub epoch: u32,
    /// Whether nothing may be seen before it is durable.
    pub strict: bool,
    /// Whether history is kept.
    pub history: bool,
    /// The moment before which nothing of a conversation is shown for being past its time.
    pub kept_since: &'a dyn Fn(u64) -> u64,
    /// Whether the device whose connection this is has said something itself.
    pub own: &'a dyn Fn(Seq) -> bool,
    /// Everything that anyone ever saw.
    pub seen: &'a mut BTreeSet<Seq>,
}

/// One connection's view.
#[derive(Debug, Default)]
pub struct View {
    /// What is on, by the ACKs that came.
    pub caps: CapSet,
    /// The nick, once registered.
    pub nick: String,
    /// Whether 001 came.
    pub registered: bool,
    /// Nicks asked for before registration.
    pub tried: Vec<String>,
    /// Whether it was told to be logged in.
    logged_in: bool,
    /// CAP REQs without answer.
    pub requests: usize,
    /// Labels that must be answered, in order.
    pub labels: VecDeque<String>,
    /// Messages that must come, in order.
    pub promised: VecDeque<Promise>,
    /// Second copies that may come: of what someone says to itself.
    pub copies: BTreeMap<Seq, u32>,
    /// By folded name.
    pub rooms: BTreeMap<String, Room>,
    /// CHATHISTORYs without answer, in order.
    pub asked: VecDeque<Asked>,
    /// Messages seen: target, msgid, time.
    pub known: Vec<(String, String, u64)>,
    /// Lines that a client sends by itself.
    pub reactions: Vec<String>,
    /// Messages read, live and of history, since they were last taken from here.
    pub took: Vec<Seq>,
    /// Something was read since then of which it is not clear what it was.
    pub unclear: bool,
    /// `ERROR` came.
    pub ended: bool,
    quitting: bool,
    /// The last row of each conversation that was read.
    pub read: BTreeMap<u64, Seq>,
    names: BTreeMap<String, BTreeSet<String>>,
    batches: Vec<Batch>,
    partial: Vec<u8>,
}

thread_local! {
    /// A world has its thread to itself.
    static CASEMAPPING: Cell<Casemapping> = const { Cell::new(Casemapping::Ascii) };
}

/// From now on names are the same on this thread by this one.
pub fn fold_by(casemapping: Casemapping) {
    CASEMAPPING.set(casemapping);
}

/// The form in which names are compared.
pub fn fold(name: &str) -> String {
    CASEMAPPING.get().fold(name).as_str().to_owned()
}

fn nick_of(source: &str) -> &str {
    source.split(['!', '@']).next().unwrap_or(source)
}

impl View {
    /// Takes bytes off the wire.
    pub fn take(&mut self, bytes: &[u8], facts: &mut Facts<'_>) -> Outcome {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.line(&line, facts).map_err(|mut violation| {
                violation.text = format!("{}\n    in {:?}", violation.text, String::from_utf8_lossy(&line));
                violation
            })?;
        }
        Ok(())
    }

    /// At rest: nothing that was promised is missing.
    pub fn check_rest(&self) -> Outcome {
        if let Some(label) = self.labels.front() {
            return broken(Invariant::Labels, format!("{}: label {label} was never answered", self.nick));
        }
        if let Some(batch) = self.batches.last() {
            return broken(Invariant::Labels, format!("{}: batch {} was never closed", self.nick, batch.reference));
        }
        if let Some(promise) = self.promised.iter().find(|promise| !promise.optional) {
            return broken(Invariant::Order, format!("{}: message {:x} never came", self.nick, promise.seq));
        }
        if !self.asked.is_empty() {
            return broken(Invariant::History, format!("{}: CHATHISTORY was never answered", self.nick));
        }
        if !self.partial.is_empty() {
            return broken(Invariant::Lines, format!("{}: half a line is left", self.nick));
        }
        Ok(())
    }

    fn line(&mut self, raw: &[u8], facts: &mut Facts<'_>) -> Outcome {
        let message = well_formed(raw)?;
        self.tags(&message)?;
        self.labels(&message)?;
        self.forms(&message)?;
        self.numeric(&message)?;
        if self.batched(&message, facts)? {
            return Ok(());
        }
        match message.command() {
            "PRIVMSG" | "NOTICE" | "TAGMSG" => self.said(&message, facts),
            "FAIL" if message.param(0) == Some("CHATHISTORY") => {
                self.asked.pop_front();
                Ok(())
            }
            "REGISTER" if message.param(0) == Some("SUCCESS") => self.account_made(&message, facts),
            _ => self.model(&message),
        }
    }

    // 4: tags and forms.

    fn tags(&self, message: &Message) -> Outcome {
        for (key, _) in message.tags().iter() {
            let needs = match key {
                "time" => Cap::ServerTime,
                "account" => Cap::AccountTag,
                "batch" => Cap::Batch,
                "label" => Cap::LabeledResponse,
                "draft/oper" => Cap::OperTag,
                "draft/relaymsg" => Cap::Relaymsg,
                "msgid" | "bot" | "draft/chathistory-end" | "draft/chathistory-context" => Cap::MessageTags,
                key if key.starts_with('+') => Cap::MessageTags,
                _ => return broken(Invariant::Caps, format!("tag {key} is unknown")),
            };
            if !self.caps.has(needs) {
                return broken(Invariant::Caps, format!("tag {key} was not asked for"));
            }
        }
        let said = message.source().is_some_and(|source| source.contains('!'));
        if said && self.caps.has(Cap::ServerTime) && message.tags().get("time").is_none() {
            return broken(Invariant::Caps, "a message without the time that was asked for");
        }
        Ok(())
    }

    fn forms(&self, message: &Message) -> Outcome {
        let own = message.source().is_some_and(|source| fold(nick_of(source)) == fold(&self.nick));
        let needs = match message.command() {
            "TAGMSG" => Cap::MessageTags,
            "AWAY" => Cap::AwayNotify,
            "ACCOUNT" => Cap::AccountNotify,
            // In the welcome, whoever wants to know its own source gets it so.
            "SETNAME" if own && self.caps.has(Cap::Whoami) => Cap::Whoami,
            "SETNAME" => Cap::Setname,
            "PROP" => Cap::NamedModes,
            "CHGHOST" => Cap::Chghost,
            "BATCH" => Cap::Batch,
            "ACK" => Cap::LabeledResponse,
            "INVITE" if message.param(0).map(fold) != Some(fold(&self.nick)) => Cap::InviteNotify,
            "JOIN" if message.param_count() > 1 => Cap::ExtendedJoin,
            "JOIN" if self.caps.has(Cap::ExtendedJoin) => {
                return broken(Invariant::Caps, "JOIN is not extended, though that was asked for");
            }
            _ => return Ok(()),
        };
        if !self.caps.has(needs) {
            return broken(Invariant::Caps, format!("{} was not asked for (own: {own})", message.command()));
        }
        Ok(())
    }

    // 5: numerics.

    fn numeric(&mut self, message: &Message) -> Outcome {
        let command = message.command();
        if command.len() != 3 || !command.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(());
        }
        let Some(first) = message.param(0) else {
            return broken(Invariant::Lines, "a numeric is addressed to nobody");
        };
        self.logged_in |= command == "900";
        if command == "001" {
            if self.registered {
                return broken(Invariant::State, "001 came twice");
            }
            // RECOVER has told it of its nick by then. Whoever has logged in comes to its account's user, whose nick may be
            // another.
            if !self.tried.iter().any(|tried| tried == first) && self.nick != first && !self.logged_in {
                return broken(Invariant::Lines, format!("001 for {first}, which was never asked for"));
            }
            self.registered = true;
            self.nick = first.to_owned();
        }
        let right = if self.registered { first == self.nick } else { self.tried.iter().any(|tried| tried == first) };
        // KNOCK is told to a channel: 710 is addressed to it.
        if !right && first != "*" && command != "710" {
            return broken(Invariant::Lines, format!("a numeric for {first}, not for {}", self.nick));
        }
        Ok(())
    }

    // 3: labels and batches.

    fn labels(&mut self, message: &Message) -> Outcome {
        let Some(label) = message.tags().get("label") else { return Ok(()) };
        match self.labels.pop_front() {
            Some(next) if *next == *label => Ok(()),
            Some(next) => broken(Invariant::Labels, format!("label {label} was answered, {next} should have been")),
            None => broken(Invariant::Labels, format!("label {label} was answered again, or never given")),
        }
    }

    /// Sees to batches; whether the line was history or a batch's own.
    fn batched(&mut self, message: &Message, facts: &mut Facts<'_>) -> Outcome<bool> {
        let inside = message.tags().get("batch").map(|reference| reference.into_owned());
        if let Some(reference) = &inside
            && !self.batches.iter().any(|batch| batch.reference == *reference)
        {
            return broken(Invariant::Labels, format!("a line of batch {reference}, which is not open"));
        }
        if message.command() == "BATCH" {
            self.batch(message, inside, facts)?;
            return Ok(true);
        }
        let mut around = inside;
        while let Some(reference) = around {
            let Some(batch) = self.batches.iter_mut().find(|batch| batch.reference == reference) else { break };
            if batch.kind == "chathistory" && message.tags().get("draft/chathistory-context").is_some() {
                let parent = batch.rows.last().copied();
                let name = batch.target.clone();
                let seq = self.history_row(message, &name, facts)?;
                let row = facts.store.kept(seq);
                let about = row.and_then(|row| MsgId::parse(row.argument.as_deref()?)).map(|id| id.seq);
                if parent != Some(0) && (about.is_none() || about != parent) {
                    return broken(Invariant::History, format!("{seq:x} follows what it is not about"));
                }
                if let Some(batch) = self.batches.iter_mut().find(|batch| batch.reference == reference) {
                    batch.context.push(seq);
                }
                return Ok(true);
            }
            if batch.kind == "chathistory" {
                let name = batch.target.clone();
                let seq = self.history_row(message, &name, facts)?;
                if let Some(batch) = self.batches.iter_mut().find(|batch| batch.reference == reference) {
                    batch.rows.push(seq);
                }
                return Ok(true);
            }
            around = batch.parent.clone();
        }
        Ok(false)
    }

    fn batch(&mut self, message: &Message, parent: Option<String>, facts: &Facts<'_>) -> Outcome {
        let name = message.param(0).unwrap_or("");
        if let Some(reference) = name.strip_prefix('+') {
            if reference.is_empty() || self.batches.iter().any(|batch| batch.reference == reference) {
                return broken(Invariant::Labels, format!("batch {reference} is open already"));
            }
            let kind = message.param(1).unwrap_or("").to_owned();
            let target = message.param(2).unwrap_or("").to_owned();
            self.batches.push(Batch {
                reference: reference.to_owned(),
                kind,
                target,
                parent,
                rows: Vec::new(),
                context: Vec::new(),
            });
            return Ok(());
        }
        let reference = name.strip_prefix('-').unwrap_or("");
        let Some(at) = self.batches.iter().position(|batch| batch.reference == reference) else {
            return broken(Invariant::Labels, format!("batch {name} ends and was not open"));
        };
        let batch = self.batches.remove(at);
        if self.batches.iter().any(|other| other.parent.as_deref() == Some(reference)) {
            return broken(Invariant::Labels, format!("batch {reference} ends before a batch inside it"));
        }
        match &*batch.kind {
            "chathistory" => self.page(&batch, facts),
            "draft/chathistory-targets" => {
                self.asked.pop_front();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    // 9: history.

    /// A line of a chathistory batch is a stored row, word for word, of a channel under the name that it has now.
    fn history_row(&mut self, message: &Message, name: &str, facts: &mut Facts<'_>) -> Outcome<Seq> {
        if let Some(target) = message.param(0).filter(|target| target.starts_with('#') && *target != name)
            && !matches!(message.command(), "QUIT" | "NICK")
        {
            return broken(Invariant::History, format!("a line of {target} stands in a page of {name}"));
        }
        let by_msgid = message.tags().get("msgid").and_then(|id| MsgId::parse(&id)).map(|id| id.seq);
        if by_msgid.is_none() && !matches!(message.command(), "PRIVMSG" | "NOTICE") {
            // So can events.
            return Ok(0);
        }
        let seq = match by_msgid {
            Some(seq) => seq,
            None => match self.row_by_text(message, facts, true) {
                Some(seq) => seq,
                // What was said twice can only be told by its msgid.
                None => {
                    self.unclear = true;
                    return Ok(0);
                }
            },
        };
        let Some(row) = facts.store.kept(seq) else {
            return broken(Invariant::History, format!("history has {seq:x}, which is not stored"));
        };
        self.same_row(message, row, Invariant::History)?;
        facts.seen.insert(seq);
        let read = self.read.entry(row.conversation).or_insert(0);
        *read = seq.max(*read);
        self.took.push(seq);
        Ok(seq)
    }

    fn page(&mut self, batch: &Batch, facts: &Facts<'_>) -> Outcome {
        let asked = if self.caps.has(Cap::Chathistory) { self.asked.pop_front() } else { None };
        // Only msgids tell every row.
        if batch.rows.contains(&0) {
            return Ok(());
        }
        let mut all: Vec<Seq> = batch.rows.iter().chain(&batch.context).copied().collect();
        all.sort_unstable();
        if all.windows(2).any(|pair| pair[0] == pair[1]) {
            return broken(Invariant::History, "a page has something twice");
        }
        let rows = &facts.store.disk.messages;
        let ids: BTreeSet<u64> =
            batch.rows.iter().filter_map(|seq| rows.get(seq)).map(|row| row.conversation).collect();
        if ids.len() > 1 {
            return broken(Invariant::History, "a page mixes conversations");
        }
        let Some(id) = ids.first().copied() else {
            return self.empty_page(asked, batch, facts);
        };
        if batch.target.starts_with('#') && facts.store.key(id) != Some(&fold(&batch.target)) {
            return broken(Invariant::History, format!("a page of {} has rows of another", batch.target));
        }
        let tags = self.caps.has(Cap::MessageTags);
        let visible = |row: &MessageRow, events: bool| {
            row.conversation == id && (row.kind.is_text() || events) && (row.kind != Kind::Tagmsg || tags)
        };
        let (first, last) = (batch.rows[0], batch.rows[batch.rows.len() - 1]);
        if first > last {
            return broken(Invariant::History, "a page is not in ascending order");
        }
        // What was past its time may have gone since it was sent.
        let shown: Vec<Seq> = batch.rows.iter().copied().filter(|seq| rows.contains_key(seq)).collect();
        // What a device has said itself is not replayed to it.
        let is_owed = |seq: &Seq| asked.is_some() || shown.binary_search(seq).is_ok() || !(facts.own)(*seq);
        let run = |events| -> Vec<Seq> {
            let run = rows.range(first..=last).filter(|(_, row)| visible(row, events)).map(|(seq, _)| *seq);
            run.filter(is_owed).collect()
        };
        // What is replayed at login has no events.
        let events = self.caps.has(Cap::EventPlayback) && (asked.is_some() || run(false) != shown);
        let (run, visible) = (run(events), |row: &MessageRow| visible(row, events));
        if run != shown {
            return broken(Invariant::History, format!("a page has gaps: {shown:x?} is not {run:x?}"));
        }
        let run = &batch.rows;
        let Some(asked) = asked else { return Ok(()) };
        if asked.target.is_empty() {
            return Ok(());
        }
        if run.len() > asked.limit {
            return broken(Invariant::History, format!("{} rows, though {} were asked for", run.len(), asked.limit));
        }
        let private = !batch.target.starts_with('#');
        let since = facts.store.since(id).max((facts.kept_since)(id));
        let visible = |row: &MessageRow| visible(row) && row.time >= since;
        let before: Vec<Seq> = rows.range(..first).filter(|(_, row)| visible(row)).map(|(seq, _)| *seq).collect();
        // A TAGMSG that was read is not in every page.
        let read = asked.read.get(&id).copied().filter(|seq| rows.get(seq).is_some_and(visible)).unwrap_or(0);
        // The server's own limit, which a reload may change at any time, is 3 at the least.
        let short = run.len() < asked.limit.min(3);
        // A guest does not see what was said before it came, so only channels are known to the start.
        if short && !private && asked.range != AskedRange::Other && !matches!(asked.range, AskedRange::After(_)) {
            // TAGMSG rows are counted, though not shown, to clients without message-tags.
            if !before.is_empty() && tags {
                return broken(Invariant::History, format!("a page of {} rows has more before it", run.len()));
            }
        }
        match asked.range {
            AskedRange::Latest if last < read => {
                broken(Invariant::History, format!("the latest page ends at {last:x}, but {read:x} was read before"))
            }
            AskedRange::Before(border) => {
                if last >= border {
                    return broken(Invariant::History, "a page before a message has it, or later ones");
                }
                let between = rows.range(last + 1..border).filter(|(_, row)| visible(row)).count();
                if between > 0 {
                    return broken(Invariant::History, format!("{between} rows are missing before the border"));
                }
                Ok(())
            }
            AskedRange::After(border) => {
                if first <= border {
                    return broken(Invariant::History, "a page after a message has it, or earlier ones");
                }
                let between = rows.range(border + 1..first).filter(|(_, row)| visible(row)).count();
                if between > 0 && !private {
                    return broken(Invariant::History, format!("{between} rows are missing after the border"));
                }
                if short && tags && last < read {
                    return broken(Invariant::History, "a page ends too early");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn empty_page(&self, asked: Option<Asked>, batch: &Batch, facts: &Facts<'_>) -> Outcome {
        let Some(asked) = asked.filter(|asked| asked.target.starts_with('#')) else { return Ok(()) };
        let Some(id) = facts.store.conversation(&fold(&batch.target)) else { return Ok(()) };
        let read = asked.read.get(&id).copied().unwrap_or(0);
        let since = facts.store.since(id).max((facts.kept_since)(id));
        let text =
            |seq: Seq| facts.store.disk.messages.get(&seq).is_some_and(|row| row.kind.is_text() && row.time >= since);
        // TAGMSG rows are counted, though not shown, to clients without message-tags.
        let tags = self.caps.has(Cap::MessageTags);
        match asked.range {
            AskedRange::Latest | AskedRange::After(_) if !tags => Ok(()),
            AskedRange::Latest if read > 0 && text(read) => {
                broken(Invariant::History, format!("an empty page, though {read:x} was read before"))
            }
            AskedRange::After(border) if read > border && text(read) => {
                broken(Invariant::History, format!("an empty page after {border:x}, though {read:x} was read before"))
            }
            _ => Ok(()),
        }
    }

    // 1 and 2: messages.

    fn row_by_text(&self, message: &Message, facts: &Facts<'_>, durable: bool) -> Option<Seq> {
        let token = token_of(message.param(1)?);
        let target = message.param(0)?;
        let all = facts.store.by_token(token, target);
        if durable && all.len() > 1 {
            return None;
        }
        let source = message.source()?;
        let time = message.tags().get("time").and_then(|time| parse_time(&time));
        let fits = |seq: &Seq| {
            let row = facts.store.appended_rows.get(seq);
            all.contains(seq)
                && row.is_some_and(|row| &*row.source == source && time.is_none_or(|time| time == row.time))
                && (!durable || facts.store.kept(*seq).is_some())
        };
        // One text may have been said twice to one target: the time or the promise tells which is meant.
        let next = self.promised.iter().map(|promise| promise.seq).find(|seq| fits(seq));
        // A wrong time is for the comparison with the row to find.
        // What a crash has taken cannot be told from another copy that it has left.
        let others = || all.iter().copied().find(|seq| fits(seq)).or_else(|| all.first().copied());
        next.or_else(|| if facts.strict { others() } else { None })
    }

    /// A message that may come or not has come, to all appearance. If the same was said again, and that was
    /// promised for certain, it may be that one.
    fn may_be_another(&mut self, seq: Seq, message: &Message, facts: &Facts<'_>) {
        let first = self.promised.iter().position(|promise| promise.seq == seq);
        let Some(first) = first.filter(|at| self.promised[*at].optional) else { return };
        // By its time it is known.
        if message.tags().get("time").is_some() {
            return;
        }
        let rows = &facts.store.appended_rows;
        let said = |seq: &Seq| rows.get(seq).map(|row| (&row.source, &row.target, &row.text));
        let came = said(&seq);
        let mut later = self.promised.iter_mut().skip(first + 1);
        if let Some(other) = later.find(|promise| !promise.optional && said(&promise.seq) == came) {
            other.optional = true;
        }
    }

    fn said(&mut self, message: &Message, facts: &mut Facts<'_>) -> Outcome {
        let target = message.param(0).unwrap_or("").to_owned();
        let by_msgid = message.tags().get("msgid").and_then(|id| MsgId::parse(&id));
        if let Some(id) = by_msgid
            && id.epoch != facts.epoch
        {
            return broken(Invariant::Order, "a msgid of another database");
        }
        let found = match by_msgid {
            Some(id) => facts.store.appended_rows.contains_key(&id.seq).then_some(id.seq),
            None => self.row_by_text(message, facts, false),
        };
        let Some(seq) = found else {
            // Where nothing waits for the store, a crash may lose what was shown.
            let kept = target.starts_with('#') && message.command() != "TAGMSG" && facts.history && facts.strict;
            // What only operators get is nobody's history.
            let kept = kept && fold(&target) != DIM;
            if kept && message.source().is_some_and(|source| source.contains('!')) {
                return broken(Invariant::Durable, format!("a message to {target} is not stored"));
            }
            return Ok(());
        };
        if by_msgid.is_none() {
            self.may_be_another(seq, message, facts);
        }
        let row = &facts.store.appended_rows[&seq];
        self.same_row(message, row, Invariant::Durable)?;
        if facts.strict && facts.store.kept(seq).is_none() {
            return broken(Invariant::Durable, format!("{seq:x} was seen before it was durable"));
        }
        if facts.strict {
            facts.seen.insert(seq);
        }
        let read = self.read.entry(row.conversation).or_insert(0);
        *read = seq.max(*read);
        self.took.push(seq);
        if let (Some(id), true) = (by_msgid, self.known.len() < 200) {
            let private = !row.target.starts_with('#');
            let own = fold(nick_of(&row.source)) == fold(&self.nick);
            let with = if private && !own { nick_of(&row.source).to_owned() } else { row.target.to_string() };
            self.known.push((with, id.to_string(), row.time));
        }
        if !facts.strict {
            // A crash may have lost what was on its way, and what was shown of it cannot be told any more.
            for promise in &mut self.promised {
                promise.optional |= !facts.store.appended_rows.contains_key(&promise.seq);
            }
        }
        self.promised(seq)
    }

    /// The next message that was promised is this one.
    fn promised(&mut self, seq: Seq) -> Outcome {
        // Optional ones that were said earlier have not come, and will not.
        let next = self.promised.iter().position(|promise| promise.seq == seq || !promise.optional);
        if let Some(at) = next.filter(|at| self.promised[*at].seq == seq) {
            let came = self.promised.drain(..=at).next_back();
            // It may have been another copy that came, which was promised for certain.
            if came.is_some_and(|came| came.optional) {
                for other in self.promised.iter_mut().filter(|other| other.seq == seq) {
                    other.optional = true;
                }
            }
            return Ok(());
        }
        if let Some(left) = self.copies.get_mut(&seq)
            && *left > 0
        {
            *left -= 1;
            return Ok(());
        }
        let next = self.promised.front().map(|promise| format!("{:x}", promise.seq));
        broken(Invariant::Order, format!("{}: message {seq:x} came, next was to be {next:?}", self.nick))
    }

    /// A line is what its row says.
    fn same_row(&self, message: &Message, row: &MessageRow, invariant: Invariant) -> Outcome {
        let (command, params): (&str, Vec<&str>) = match row.kind {
            Kind::Privmsg => ("PRIVMSG", vec![&row.target, &row.text]),
            Kind::Notice => ("NOTICE", vec![&row.target, &row.text]),
            Kind::Tagmsg => ("TAGMSG", vec![&row.target]),
            Kind::Join => ("JOIN", vec![&row.target]),
            Kind::Part => ("PART", vec![&row.target]),
            Kind::Quit => ("QUIT", vec![&row.text]),
            Kind::Kick => ("KICK", vec![&row.target]),
            Kind::Mode => ("MODE", vec![&row.target]),
            Kind::Topic => ("TOPIC", vec![&row.target, &row.text]),
            Kind::Nick => ("NICK", vec![&row.text]),
            Kind::Redact => ("REDACT", vec![&row.target]),
            Kind::Edit => ("EDIT", vec![&row.target]),
        };
        let said: Vec<&str> = message.params().take(params.len()).collect();
        // A channel that was made anew may be written otherwise than it was then.
        let is_same = |(at, (said, stored)): (usize, (&&str, &&str))| {
            said == stored || at == 0 && stored.starts_with('#') && fold(said) == fold(stored)
        };
        let same = said.len() == params.len() && said.iter().zip(&params).enumerate().all(is_same);
        if message.command() != command || message.source() != Some(&row.source) || !same {
            return broken(invariant, format!("what was shown is not what is stored: {row:?}"));
        }
        let tags = message.tags();
        let time = tags.get("time").map(|time| parse_time(&time));
        if time.is_some_and(|time| time != Some(row.time)) {
            return broken(invariant, format!("the time is not the stored one: {row:?}"));
        }
        if self.caps.has(Cap::AccountTag) && tags.get("account").as_deref() != row.account.as_deref() {
            return broken(invariant, format!("the account is not the stored one: {row:?}"));
        }
        let client = tags.client_only(|_| true);
        if self.caps.has(Cap::MessageTags) && client != row.tags {
            return broken(invariant, format!("the client-only tags are not the stored ones: {row:?}"));
        }
        Ok(())
    }

    fn account_made(&self, message: &Message, facts: &Facts<'_>) -> Outcome {
        let name = message.param(1).unwrap_or("");
        let stored = facts.store.disk.accounts.values().any(|row| &*row.name == name);
        if facts.strict && !stored {
            return broken(Invariant::Durable, format!("account {name} was promised and is not stored"));
        }
        Ok(())
    }

    // 6: the model of channels.

    fn model(&mut self, message: &Message) -> Outcome {
        let source = message.source().unwrap_or("");
        let (nick, own) = (fold(nick_of(source)), fold(nick_of(source)) == fold(&self.nick));
        let own = own && source.contains('!');
        let param = |at: usize| message.param(at).unwrap_or("");
        if self.quitting && message.command() != "ERROR" {
            return broken(Invariant::Members, "more than ERROR after one's own QUIT");
        }
        match message.command() {
            "CAP" => self.cap(param(1), param(2)),
            "PING" => {
                self.reactions.push(format!("PONG :{}", param(0)));
                Ok(())
            }
            "ERROR" => {
                self.ended = true;
                Ok(())
            }
            "433" | "432" if !self.registered => {
                self.reactions.push("NICK".to_owned());
                Ok(())
            }
            "JOIN" if own => {
                // Again where a client joins what its user is in already.
                self.rooms.entry(fold(param(0))).or_default();
                self.names.remove(&fold(param(0)));
                if !self.reactions.iter().any(|line| line.ends_with(param(0))) {
                    self.reactions.push(format!("NAMES {}", param(0)));
                }
                Ok(())
            }
            "JOIN" => self.came(&nick, param(0)),
            "PART" if own => self.left_own(param(0)),
            "PART" => self.left(&nick, param(0)),
            "KICK" if fold(param(1)) == fold(&self.nick) => self.left_own(param(0)),
            "KICK" => self.left(&fold(param(1)), param(0)),
            // It is the answer to QUIT: then comes ERROR and nothing else.
            "QUIT" if own => {
                self.quitting = true;
                Ok(())
            }
            "QUIT" => self.quit(&nick),
            // Before it is registered (RECOVER), it can be nobody else.
            "NICK" => self.renamed(&nick, param(0), own || !self.registered),
            "353" => {
                let names = self.names.entry(fold(param(2))).or_default();
                for word in param(3).split(' ').filter(|word| !word.is_empty()) {
                    names.insert(fold(nick_of(word.trim_start_matches(['~', '&', '@', '%', '+']))));
                }
                Ok(())
            }
            "366" => self.named(param(1)),
            _ => Ok(()),
        }
    }

    fn cap(&mut self, subcommand: &str, list: &str) -> Outcome {
        match subcommand {
            "ACK" => {
                for word in list.split_ascii_whitespace() {
                    match (word.strip_prefix('-'), Cap::by_name(word)) {
                        (Some(name), _) => {
                            if let Some(cap) = Cap::by_name(name) {
                                self.caps.remove(cap);
                            }
                        }
                        (None, Some(cap)) => self.caps.insert(cap),
                        (None, None) => return broken(Invariant::Caps, format!("{word} is no capability")),
                    }
                }
                self.requests = self.requests.saturating_sub(1);
            }
            "NAK" => self.requests = self.requests.saturating_sub(1),
            _ => {}
        }
        Ok(())
    }

    fn room(&mut self, channel: &str) -> Outcome<&mut Room> {
        match self.rooms.get_mut(&fold(channel)) {
            Some(room) => Ok(room),
            None => broken(Invariant::Members, format!("{} is not in {channel}, and is told of it", self.nick)),
        }
    }

    fn came(&mut self, nick: &str, channel: &str) -> Outcome {
        let room = self.room(channel)?;
        if let Some(members) = &mut room.members
            && !members.insert(nick.to_owned())
        {
            return broken(Invariant::Members, format!("{nick} comes to {channel} and is there already"));
        }
        Ok(())
    }

    fn left(&mut self, nick: &str, channel: &str) -> Outcome {
        let room = self.room(channel)?;
        if let Some(members) = &mut room.members
            && !members.remove(nick)
        {
            return broken(Invariant::Members, format!("{nick} leaves {channel} and was not there"));
        }
        Ok(())
    }

    fn left_own(&mut self, channel: &str) -> Outcome {
        self.room(channel)?;
        self.rooms.remove(&fold(channel));
        self.names.remove(&fold(channel));
        Ok(())
    }

    fn quit(&mut self, nick: &str) -> Outcome {
        let mut shared = false;
        for room in self.rooms.values_mut() {
            shared |= room.members.as_mut().is_none_or(|members| members.remove(nick));
        }
        if !shared {
            return broken(Invariant::Members, format!("{nick} quits and shares no channel with {}", self.nick));
        }
        Ok(())
    }

    fn renamed(&mut self, nick: &str, to: &str, own: bool) -> Outcome {
        let mut shared = own;
        for room in self.rooms.values_mut() {
            match &mut room.members {
                Some(members) => {
                    if members.remove(nick) {
                        members.insert(fold(to));
                        shared = true;
                    }
                }
                None => shared = true,
            }
        }
        if own {
            self.nick = to.to_owned();
        }
        if !shared {
            return broken(Invariant::Members, format!("{nick} is now {to} and shares no channel with {}", self.nick));
        }
        Ok(())
    }

    /// The end of NAMES: what it said is what the lines before it say.
    fn named(&mut self, channel: &str) -> Outcome {
        let names = self.names.remove(&fold(channel));
        self.names.clear();
        let Some(room) = self.rooms.get_mut(&fold(channel)) else { return Ok(()) };
        let names = names.unwrap_or_default();
        match &room.members {
            Some(members) if *members != names => {
                let text = format!("{}: {channel} has {names:?}, but the lines say {members:?}", self.nick);
                return broken(Invariant::Members, text);
            }
            _ if fold(channel) == DIM => room.listed = Some(names),
            _ => room.members = Some(names),
        }
        Ok(())
    }
}

/// 5: a line is one message of at most 512 bytes behind its tags.
fn well_formed(raw: &[u8]) -> Outcome<Message> {
    let Some(line) = raw.strip_suffix(b"\r\n") else {
        return broken(Invariant::Lines, "the line does not end in CR LF");
    };
    let Ok(text) = std::str::from_utf8(line) else {
        return broken(Invariant::Lines, "the line is not UTF-8");
    };
    let message = match Message::parse(text) {
        Ok(message) => message,
        Err(error) => return broken(Invariant::Lines, format!("the line does not parse: {error}")),
    };
    let tags = if text.starts_with('@') { text.find(' ').map_or(text.len(), |at| at + 1) } else { 0 };
    if text.len() - tags + 2 > MAX_BODY_BYTES {
        return broken(Invariant::Lines, format!("the line has {} bytes behind its tags", text.len() - tags + 2));
    }
    if tags > MAX_TAG_SECTION_BYTES {
        return broken(Invariant::Lines, format!("the line has {tags} bytes of tags"));
    }
    Ok(message)
}
