//! The send queue of one connection.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Bytes that wait to be written.
///
/// What it must do: keep order; share bytes with other queues without copying; hold no memory of
/// its own while it has one entry or none, for that is what nearly every queue has nearly always;
/// and say at any time how many bytes it holds.
#[derive(Debug, Default)]
pub struct SendQueue {
    first: Bytes,
    rest: VecDeque<Bytes>,
    bytes: usize,
}

impl SendQueue {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Puts `bytes` at the end.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        if self.first.is_empty() {
            self.first = bytes;
        } else {
            self.rest.push_back(bytes);
        }
    }

    /// The first piece; empty only if the queue is.
    pub fn first(&self) -> &Bytes {
        &self.first
    }

    /// Whether there is one piece at most.
    pub fn is_single(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the first piece off.
    pub fn pop(&mut self) -> Option<Bytes> {
        if self.first.is_empty() {
            return None;
        }
        let piece = std::mem::take(&mut self.first);
        self.bytes -= piece.len();
        self.next_piece();
        Some(piece)
    }

    /// Puts back what is left of the first piece that was popped.
    pub fn unpop(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.bytes += piece.len();
        let second = std::mem::replace(&mut self.first, piece);
        if !second.is_empty() {
            self.rest.push_front(second);
        }
    }

    /// Copies the first bytes to `out`, at most `most` of them.
    pub fn copy_to(&self, out: &mut Vec<u8>, most: usize) {
        for piece in std::iter::once(&self.first).chain(&self.rest) {
            let room = most.saturating_sub(out.len());
            if room == 0 {
                return;
            }
            out.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    /// Fills `slices` with the first pieces and says how many.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(std::iter::once(&self.first).chain(&self.rest)) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// The first `written` bytes are gone.
    pub fn advance(&mut self, mut written: usize) {
        debug_assert!(written <= self.bytes);
        self.bytes -= written;
        while written >= self.first.len() {
            written -= self.first.len();
            self.first = Bytes::new();
            if !self.next_piece() {
                return;
            }
        }
        self.first.advance(written);
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = SendQueue::default();
    }

    fn next_piece(&mut self) -> bool {
        match self.rest.pop_front() {
            Some(piece) => {
                self.first = piece;
                if self.rest.is_empty() {
                    self.rest = VecDeque::new();
                }
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

    use super::SendQueue;

    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>),
        Advance(usize),
        PopHalf,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop::collection::vec(any::<u8>(), 0..8)
            .prop_map(Step::Push)
            .boxed()
            .prop_union((0usize..12).prop_map(Step::Advance).boxed())
            .or(any::<bool>().prop_map(|_| Step::PopHalf).boxed());
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(steps in steps()) {
            let (mut queue, mut model) = (SendQueue::default(), Vec::new());
            for step in steps {
                match step {
                    Step::Push(bytes) => {
                        model.extend_from_slice(&bytes);
                        queue.push(Bytes::from(bytes));
                    }
                    Step::Advance(n) => {
                        let n = n.min(queue.len());
                        queue.advance(n);
                        model.drain(..n);
                    }
                    Step::PopHalf => {
                        if let Some(mut piece) = queue.pop() {
                            let half = piece.split_to(piece.len() / 2);
                            queue.unpop(piece);
                            model.drain(..half.len());
                        }
                    }
                }
                let mut out = Vec::new();
                queue.copy_to(&mut out, usize::MAX);
                prop_assert_eq!(&out, &model);
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.is_empty(), queue.first().is_empty());
            }
        }
    }
}
