//! Casemappings: when two names are the same name (Modern IRC, `CASEMAPPING`).

use std::borrow::Borrow;
use std::fmt;

/// Which characters are the same letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Casemapping {
    /// `A` to `Z` are `a` to `z`.
    #[default]
    Ascii,
    /// As `ascii`, and `[]\~` are `{}|^`.
    Rfc1459,
}

impl Casemapping {
    /// The value of the `CASEMAPPING` token.
    pub const fn token(self) -> &'static str {
        match self {
            Casemapping::Ascii => "ascii",
            Casemapping::Rfc1459 => "rfc1459",
        }
    }

    /// The form of `name` that equals the form of every other spelling of it.
    pub fn fold(self, name: &str) -> Folded {
        let mut folded = name.to_ascii_lowercase();
        if self == Casemapping::Rfc1459 {
            folded = folded
                .chars()
                .map(|c| match c {
                    '[' => '{',
                    ']' => '}',
                    '\\' => '|',
                    '~' => '^',
                    other => other,
                })
                .collect();
        }
        Folded(folded.into_boxed_str())
    }

    /// Whether two names are the same.
    pub fn same(self, a: &str, b: &str) -> bool {
        self.fold(a) == self.fold(b)
    }
}

/// A name in the form in which it is compared; only [`Casemapping::fold`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Folded(Box<str>);

impl Folded {
    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that is known to be folded already, such as one that was read back from the store.
    pub fn from_stored(text: impl Into<Box<str>>) -> Folded {
        Folded(text.into())
    }
}

impl Borrow<str> for Folded {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
