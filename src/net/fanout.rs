//! One delivery at the edge: messages for many connections, rendered once for each set of
//! capabilities that makes a difference.

use std::sync::Arc;

use bytes::Bytes;
use ircv3::{Cap, CapSet};

use crate::limits::JOINED_FRAMES;
use crate::net::connection::Connection;
use crate::server::action::NOBODY;
use crate::server::frame::{Frame, OwnTags};

/// Capabilities that decide about tags.
const TAG_CAPS: CapSet = CapSet::of(&[Cap::ServerTime, Cap::MessageTags, Cap::AccountTag, Cap::Relaymsg, Cap::OperTag]);

/// Messages in a row for one and the same audience.
///
/// They are rendered into one piece for each kind of recipient, so that a recipient costs one queue
/// entry however many messages there are. Nothing that touches a recipient may overtake the run:
/// [`Run::passes`] says for whom it stands in the way.
#[derive(Debug, Default)]
pub struct Run {
    audience: Option<Arc<[u32]>>,
    frames: Vec<Arc<Frame>>,
    /// By frame: who does not get it.
    except: Vec<u32>,
    /// Whether all of `except` are the same.
    one_except: bool,
    /// `except`, sorted; only where they differ.
    excepted: Vec<u32>,
    pieces: Vec<Piece>,
    buffer: Vec<u8>,
}

/// All frames of a run for one kind of recipient.
#[derive(Debug)]
struct Piece {
    key: CapSet,
    bytes: Bytes,
    /// By frame: where it ends.
    ends: Vec<usize>,
}

impl Run {
    /// Whether a fan-out to `audience` can join.
    pub fn joins(&self, audience: &Arc<[u32]>) -> bool {
        match &self.audience {
            Some(mine) => Arc::ptr_eq(mine, audience) && self.frames.len() < JOINED_FRAMES,
            None => true,
        }
    }

    /// Adds a fan-out that joins.
    pub fn push(&mut self, frame: Arc<Frame>, audience: Arc<[u32]>, except: u32) {
        self.one_except = self.except.first().is_none_or(|first| self.one_except && *first == except);
        self.audience = Some(audience);
        self.frames.push(frame);
        self.except.push(except);
    }

    /// Whether `slot` gets nothing of the run, as far as that is known without looking through
    /// the audience; then its own actions need not wait for the run's end.
    pub fn passes(&self, slot: u32) -> bool {
        self.frames.is_empty() || (self.one_except && self.except[0] == slot)
    }

    /// Ends the run: puts its bytes into every recipient's queue and calls `queued` for each.
    pub fn deliver(
        &mut self,
        connections: &mut [Option<Box<Connection>>],
        mut queued: impl FnMut(u32, &mut Connection),
    ) {
        let Some(audience) = self.audience.take() else { return };
        let matters =
            self.frames.iter().flat_map(|frame| &frame.forms).fold(TAG_CAPS, |set, form| set | form.needs | form.lacks);
        self.excepted.clear();
        if !self.one_except {
            self.excepted.extend(self.except.iter().filter(|slot| **slot != NOBODY));
            self.excepted.sort_unstable();
        }
        let only = if self.one_except { self.except[0] } else { NOBODY };
        let mut last = 0;
        for &slot in audience.iter() {
            if slot == only {
                continue;
            }
            let Some(Some(connection)) = connections.get_mut(slot as usize) else { continue };
            if !connection.takes_lines() {
                continue;
            }
            let key = connection.caps & matters;
            if self.pieces.get(last).is_none_or(|piece| piece.key != key) {
                last = self.pieces.iter().position(|piece| piece.key == key).unwrap_or_else(|| self.render(key));
            }
            let piece = &self.pieces[last];
            if !self.excepted.is_empty() && self.excepted.binary_search(&slot).is_ok() {
                piece.push_without(&self.except, slot, connection);
            } else if !piece.bytes.is_empty() {
                connection.out.push(piece.bytes.clone());
            } else {
                continue;
            }
            queued(slot, connection);
        }
        self.pieces.clear();
        self.frames.clear();
        self.except.clear();
    }

    /// Makes the piece for recipients with the capabilities `key` and says where it is.
    fn render(&mut self, key: CapSet) -> usize {
        self.buffer.clear();
        let mut ends = Vec::with_capacity(if self.one_except { 0 } else { self.frames.len() });
        for frame in &self.frames {
            if let Some(variant) = frame.variant(key) {
                frame.render(variant, OwnTags::default(), &mut self.buffer);
            }
            if !self.one_except {
                ends.push(self.buffer.len());
            }
        }
        self.pieces.push(Piece { key, bytes: Bytes::copy_from_slice(&self.buffer), ends });
        self.pieces.len() - 1
    }
}

impl Piece {
    /// Queues all frames but those that leave out `slot`.
    fn push_without(&self, except: &[u32], slot: u32, connection: &mut Connection) {
        let mut start = 0;
        for (index, end) in self.ends.iter().enumerate() {
            if except[index] == slot {
                let before = if index == 0 { 0 } else { self.ends[index - 1] };
                connection.out.push(self.bytes.slice(start..before));
                start = *end;
            }
        }
        connection.out.push(self.bytes.slice(start..));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use bytes::Bytes;
    use ircv3::{Cap, CapSet};
    use smallvec::smallvec;

    use super::Run;
    use crate::net::connection::{Connection, Phase, Transport};
    use crate::server::action::NOBODY;
    use crate::server::frame::{Form, Frame, Tagged};
    use crate::server::record::MsgId;

    fn connections(caps: &[CapSet]) -> Vec<Option<Box<Connection>>> {
        let one = |caps: &CapSet| {
            let mut connection = Connection::new(Transport::None, 0, None, None);
            (connection.caps, connection.phase) = (*caps, Phase::Open);
            Some(Box::new(connection))
        };
        caps.iter().map(one).collect()
    }

    fn queued(connections: &[Option<Box<Connection>>]) -> Vec<String> {
        let text = |connection: &Option<Box<Connection>>| {
            let mut out = Vec::new();
            connection.as_ref().unwrap().out.copy_to(&mut out, usize::MAX);
            String::from_utf8(out).unwrap()
        };
        connections.iter().map(text).collect()
    }

    /// Frames with tags, with two forms, with none for some, said by different members.
    fn frames() -> Vec<(Arc<Frame>, u32)> {
        let line = |text: &str| smallvec![Bytes::from(format!("{text}\r\n"))];
        let mut out = Vec::new();
        for at in 0..6u32 {
            let mut frame =
                Frame::plain(1_700_000_000_000 + u64::from(at), Bytes::from(format!("PRIVMSG #a :{at}\r\n")));
            frame.msgid = (at != 1).then_some(MsgId { epoch: 7, seq: u64::from(at) });
            frame.account = (at % 2 == 0).then(|| "ann".into());
            frame.client_tags = (at == 3).then(|| "+typing=active".into());
            if at == 2 {
                let extended = CapSet::of(&[Cap::ExtendedJoin]);
                frame.forms = smallvec![
                    Form {
                        needs: extended,
                        lacks: CapSet::EMPTY,
                        lines: line("JOIN #a ann :Ann"),
                        tagged: Tagged::Each
                    },
                    Form { needs: CapSet::EMPTY, lacks: CapSet::EMPTY, lines: line("JOIN #a"), tagged: Tagged::Each },
                ];
            }
            if at == 4 {
                frame.forms[0].needs = CapSet::of(&[Cap::MessageTags]);
            }
            out.push((Arc::new(frame), [1, 1, 3, NOBODY, 0, 1][at as usize]));
        }
        out
    }

    #[test]
    fn a_run_gives_the_same_bytes_as_its_messages_one_by_one() {
        let caps = [
            CapSet::EMPTY,
            CapSet::of(&[Cap::ServerTime, Cap::MessageTags, Cap::AccountTag, Cap::ExtendedJoin, Cap::Batch]),
            CapSet::of(&[Cap::ServerTime]),
            CapSet::of(&[Cap::MessageTags, Cap::EchoMessage]),
            CapSet::of(&[Cap::AccountTag, Cap::ExtendedJoin]),
        ];
        // The fifth is not in the audience; a slot that is not there is passed over.
        let audience: Arc<[u32]> = Arc::from([0, 1, 2, 3, 99]);
        let (mut joined, mut single) = (connections(&caps), connections(&caps));
        let (mut run, mut other) = (Run::default(), Run::default());
        for (frame, except) in frames() {
            assert!(run.joins(&audience));
            run.push(frame.clone(), audience.clone(), except);
            other.push(frame, audience.clone(), except);
            other.deliver(&mut single, |_, _| {});
        }
        run.deliver(&mut joined, |_, _| {});
        assert_eq!(queued(&joined), queued(&single));
        assert!(queued(&single)[2].contains("@time=") && queued(&single)[4].is_empty());
    }

    #[test]
    fn a_recipient_has_one_entry_for_a_whole_run() {
        let mut connections = connections(&[CapSet::EMPTY, CapSet::EMPTY]);
        let audience: Arc<[u32]> = Arc::from([0, 1]);
        let mut run = Run::default();
        for _ in 0..20 {
            run.push(Arc::new(Frame::plain(0, Bytes::from_static(b"x\r\n"))), audience.clone(), 0);
        }
        assert!(run.passes(0) && !run.passes(1));
        assert!(!run.joins(&Arc::from([0, 1])));
        run.deliver(&mut connections, |_, _| {});
        let out = &connections[1].as_ref().unwrap().out;
        assert!(out.is_single() && out.len() == 60);
        assert!(connections[0].as_ref().unwrap().out.is_empty());
        assert!(run.passes(1));
    }
}
