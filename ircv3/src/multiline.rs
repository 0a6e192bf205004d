//! Messages of several lines (<https://ircv3.net/specs/extensions/multiline>): putting one together,
//! and taking it apart.
//!
//! A message of several lines is one text: `\n` stands before a new line, `\r` before a line that goes
//! on where the one before stopped (`draft/multiline-concat`). Neither can be in a line of IRC.

use thiserror::Error;

/// The type of the batch.
pub const BATCH: &str = "draft/multiline";
/// The tag of a line that belongs to the one before.
pub const CONCAT: &str = "draft/multiline-concat";

/// What a server takes, as its capability says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all lines, with one for each line break.
    pub max_bytes: usize,
    /// Lines, those that belong to the one before counted too.
    pub max_lines: usize,
}

/// Why a line cannot be added.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// `MULTILINE_MAX_BYTES`
    #[error("The message is longer than {0} bytes")]
    MaxBytes(usize),
    /// `MULTILINE_MAX_LINES`
    #[error("The message has more than {0} lines")]
    MaxLines(usize),
    /// `MULTILINE_INVALID`
    #[error("A blank line cannot go on where another stopped")]
    BlankConcat,
    /// `MULTILINE_INVALID`
    #[error("The message has no text")]
    Empty,
}

impl Fault {
    /// The code of FAIL.
    pub fn code(self) -> &'static str {
        match self {
            Fault::MaxBytes(_) => "MULTILINE_MAX_BYTES",
            Fault::MaxLines(_) => "MULTILINE_MAX_LINES",
            Fault::BlankConcat | Fault::Empty => "MULTILINE_INVALID",
        }
    }

    /// The limit that FAIL names.
    pub fn limit(self) -> Option<usize> {
        match self {
            Fault::MaxBytes(limit) | Fault::MaxLines(limit) => Some(limit),
            Fault::BlankConcat | Fault::Empty => None,
        }
    }
}

/// A message that is being put together.
#[derive(Clone, Debug, Default)]
pub struct Composition {
    text: String,
    lines: usize,
    bytes: usize,
}

impl Composition {
    /// Adds a line; `concat` says that it goes on where the one before stopped.
    ///
    /// # Errors
    /// The message would be too long, or the line blank and yet to be joined.
    pub fn push(&mut self, line: &str, concat: bool, limits: Limits) -> Result<(), Fault> {
        let joined = concat && self.lines > 0;
        if concat && line.is_empty() {
            return Err(Fault::BlankConcat);
        }
        self.lines += 1;
        self.bytes += line.len() + usize::from(self.lines > 1 && !joined);
        if self.lines > limits.max_lines {
            return Err(Fault::MaxLines(limits.max_lines));
        }
        if self.bytes > limits.max_bytes {
            return Err(Fault::MaxBytes(limits.max_bytes));
        }
        if self.lines > 1 {
            self.text.push(if joined { '\r' } else { '\n' });
        }
        self.text.push_str(line);
        Ok(())
    }

    /// The whole text.
    ///
    /// # Errors
    /// There is no line, or none with text.
    pub fn finish(self) -> Result<String, Fault> {
        if self.text.bytes().all(|byte| byte == b'\n' || byte == b'\r') { Err(Fault::Empty) } else { Ok(self.text) }
    }
}

/// Whether a text has several lines.
pub fn is_multiline(text: &str) -> bool {
    text.bytes().any(|byte| byte == b'\n' || byte == b'\r')
}

/// The lines of a text, and whether each goes on where the one before stopped.
pub fn lines(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = Some((false, text));
    std::iter::from_fn(move || {
        let (concat, text) = rest.take()?;
        match text.find(['\n', '\r']) {
            Some(at) => {
                rest = Some((text.as_bytes()[at] == b'\r', &text[at + 1..]));
                Some((concat, &text[..at]))
            }
            None => Some((concat, text)),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Composition, Fault, Limits, is_multiline, lines};

    const LIMITS: Limits = Limits { max_bytes: 10, max_lines: 3 };

    #[test]
    fn what_was_put_together_comes_apart_as_it_was() {
        let given = [(false, ""), (false, "how is "), (true, "all"), (false, "")];
        let limits = Limits { max_bytes: 100, max_lines: 4 };
        let mut composition = Composition::default();
        for (concat, line) in given {
            composition.push(line, concat, limits).unwrap();
        }
        let text = composition.finish().unwrap();
        assert_eq!(text, "\nhow is \rall\n");
        assert_eq!(lines(&text).collect::<Vec<_>>(), given);
        assert!(is_multiline(&text) && !is_multiline("a text"));
        assert_eq!(lines("a text").collect::<Vec<_>>(), [(false, "a text")]);
    }

    #[test]
    fn a_line_break_counts_and_a_continuation_does_not() {
        let mut composition = Composition::default();
        composition.push("12345", false, LIMITS).unwrap();
        composition.push("6789", true, LIMITS).unwrap();
        assert_eq!(composition.clone().push("1", false, LIMITS), Err(Fault::MaxBytes(10)));
        composition.push("1", true, LIMITS).unwrap();
        assert_eq!(composition.push("", false, LIMITS), Err(Fault::MaxLines(3)));
    }

    #[test]
    fn a_message_without_text_is_none() {
        assert_eq!(Composition::default().finish(), Err(Fault::Empty));
        let mut blank = Composition::default();
        blank.push("", false, LIMITS).unwrap();
        assert_eq!(blank.push("", true, LIMITS), Err(Fault::BlankConcat));
        blank.push("", false, LIMITS).unwrap();
        assert_eq!(blank.finish(), Err(Fault::Empty));
    }
}
