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
        Folded(name.chars().map(|c| if c.is_ascii() { char::from(self.fold_byte(c as u8)) } else { c }).collect())
    }

    /// Whether two names are the same.
    pub fn same(self, a: &str, b: &str) -> bool {
        a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| self.fold_byte(a) == self.fold_byte(b))
    }

    /// The folded form of one byte of a name; bytes past ASCII stay what they are.
    pub const fn fold_byte(self, byte: u8) -> u8 {
        match (self, byte) {
            (Casemapping::Rfc1459, b'[') => b'{',
            (Casemapping::Rfc1459, b']') => b'}',
            (Casemapping::Rfc1459, b'\\') => b'|',
            (Casemapping::Rfc1459, b'~') => b'^',
            (_, byte) => byte.to_ascii_lowercase(),
        }
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

#[cfg(test)]
mod tests {
    use super::Casemapping::{Ascii, Rfc1459};

    #[test]
    fn only_what_is_announced_is_the_same() {
        assert!(Ascii.same("#Room", "#rOOM") && Rfc1459.same("#Room", "#rOOM"));
        assert!(Rfc1459.same("a[1]\\~", "A{1}|^") && !Ascii.same("a[1]", "a{1}"));
        assert!(!Ascii.same("É", "é") && !Rfc1459.same("É", "é"));
        assert!(!Ascii.same("a", "ab") && !Ascii.same("", "a"));
        assert_eq!((Ascii.token(), Rfc1459.token()), ("ascii", "rfc1459"));
    }

    #[test]
    fn two_names_are_the_same_where_their_folded_forms_are() {
        let names = ["", "a", "A", "[", "{", "~", "^", "É", "é", "a[é", "A{é", "A{É"];
        for mapping in [Ascii, Rfc1459] {
            for a in names {
                for b in names {
                    assert_eq!(mapping.same(a, b), mapping.fold(a) == mapping.fold(b), "{mapping:?} {a} {b}");
                }
                let folded = mapping.fold(a);
                assert_eq!(mapping.fold(folded.as_str()), folded);
            }
        }
    }
}
