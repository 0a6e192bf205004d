//! Batches: references and types (<https://ircv3.net/specs/extensions/batch>).

/// Replayed history: `BATCH +ref chathistory <target>`.
pub const CHATHISTORY: &str = "chathistory";
/// The answer to `CHATHISTORY TARGETS`.
pub const CHATHISTORY_TARGETS: &str = "draft/chathistory-targets";
/// Several lines that answer one labelled command.
pub const LABELED_RESPONSE: &str = "labeled-response";
/// QUITs of one netsplit.
pub const NETSPLIT: &str = "netsplit";
/// JOINs after one netsplit.
pub const NETJOIN: &str = "netjoin";

/// Whether `text` may be a reference: ASCII letters, digits and `-`, at least one.
pub fn is_reference(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Hands out references, each once: short, for they stand on every line of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchRefs {
    last: u64,
}

impl BatchRefs {
    /// A counter that has handed out nothing.
    pub fn new() -> BatchRefs {
        BatchRefs::default()
    }

    /// A reference that this counter never gave before: `1` to `9`, `a` to `z`, `10`, …
    pub fn next_ref(&mut self) -> String {
        self.last += 1;
        let mut digits = Vec::with_capacity(4);
        let mut rest = self.last;
        while rest > 0 {
            digits.push(char::from_digit((rest % 36) as u32, 36).unwrap_or('0'));
            rest /= 36;
        }
        digits.iter().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{BatchRefs, is_reference};

    #[test]
    fn references_are_letters_digits_and_hyphens() {
        for good in ["1", "aZ9-", "-"] {
            assert!(is_reference(good), "{good}");
        }
        for bad in ["", "a b", "a_b", "é", "+a", "a:"] {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    #[test]
    fn no_reference_is_given_twice() {
        let mut refs = BatchRefs::new();
        let mut given = HashSet::new();
        for _ in 0..5000 {
            let reference = refs.next_ref();
            assert!(is_reference(&reference) && reference.len() <= 3, "{reference}");
            assert!(given.insert(reference));
        }
        assert!(given.contains("1") && given.contains("z") && given.contains("10"));
    }
}
