//! Casemappings: when two names are the same name (Modern IRC, `CASEMAPPING`).

use std::borrow::Borrow;
use std::fmt;

use precis_profiles::UsernameCaseMapped;
use precis_profiles::precis_core::profile::Rules;

/// How often a name is mapped until it stays as it is, at most (RFC 8264, section 7, asks for three).
const ROUNDS: usize = 4;

/// Which characters are the same letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Casemapping {
    /// `A` to `Z` are `a` to `z`.
    #[default]
    Ascii,
    /// As `ascii`, and `[]\~` are `{}|^`.
    Rfc1459,
    /// Letters of every script, as the profile UsernameCaseMapped of PRECIS maps them (RFC 8265, section
    /// 3.3). Of what is ASCII, the same as `ascii`.
    Precis,
}

impl Casemapping {
    /// Every casemapping.
    pub const ALL: [Casemapping; 3] = [Casemapping::Ascii, Casemapping::Rfc1459, Casemapping::Precis];

    /// The value of the `CASEMAPPING` token.
    pub const fn token(self) -> &'static str {
        match self {
            Casemapping::Ascii => "ascii",
            Casemapping::Rfc1459 => "rfc1459",
            Casemapping::Precis => "precis",
        }
    }

    /// The casemapping of a token.
    pub fn by_token(token: &str) -> Option<Casemapping> {
        Casemapping::ALL.into_iter().find(|casemapping| casemapping.token() == token)
    }

    /// The form of `name` that equals the form of every other spelling of it. Any text has one, whether it
    /// may be a name or not; the form of a form is itself.
    pub fn fold(self, name: &str) -> Folded {
        if self == Casemapping::Precis && !name.is_ascii() {
            return Folded(map(name).into());
        }
        let fold = |c: char| if c.is_ascii() { char::from(self.fold_byte(c as u8)) } else { c };
        Folded(name.chars().map(fold).collect())
    }

    /// Whether two names are the same.
    pub fn same(self, a: &str, b: &str) -> bool {
        if self == Casemapping::Precis && !(a.is_ascii() && b.is_ascii()) {
            return self.fold(a) == self.fold(b);
        }
        a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| self.fold_byte(a) == self.fold_byte(b))
    }

    /// The folded form of one byte of a name that is ASCII; bytes past ASCII stay what they are.
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

/// The mapping rules of UsernameCaseMapped: width, case, normalization; until nothing changes.
fn map(name: &str) -> String {
    let profile = UsernameCaseMapped::new();
    let mut mapped = name.to_owned();
    for _ in 0..ROUNDS {
        let wide = profile.width_mapping_rule(&*mapped).map_or_else(|_| mapped.clone(), Into::into);
        let small: String = wide.chars().flat_map(lower).collect();
        let next = profile.normalization_rule(&*small).map_or_else(|_| small.clone(), Into::into);
        if next == mapped {
            break;
        }
        mapped = next;
    }
    mapped
}

/// The small letters of one character, whatever stands beside it: a mask has parts of names, which are
/// to be the same as those of the whole. So the two small sigmas are one.
fn lower(c: char) -> impl Iterator<Item = char> {
    c.to_lowercase().map(|c| if c == 'ς' { 'σ' } else { c })
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
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::Casemapping::{self, Ascii, Precis, Rfc1459};

    #[test]
    fn only_what_is_announced_is_the_same() {
        assert!(Ascii.same("#Room", "#rOOM") && Rfc1459.same("#Room", "#rOOM") && Precis.same("#Room", "#rOOM"));
        assert!(Rfc1459.same("a[1]\\~", "A{1}|^") && !Ascii.same("a[1]", "a{1}") && !Precis.same("a[1]", "a{1}"));
        assert!(!Ascii.same("É", "é") && !Rfc1459.same("É", "é") && Precis.same("É", "é"));
        assert!(!Ascii.same("a", "ab") && !Ascii.same("", "a"));
        for casemapping in Casemapping::ALL {
            assert_eq!(Casemapping::by_token(casemapping.token()), Some(casemapping));
        }
        assert_eq!(Casemapping::by_token("rfc7613"), None);
    }

    #[test]
    fn precis_maps_width_case_and_composition() {
        for (name, folded) in [
            ("ＢＯＢ", "bob"),
            ("Cafe\u{301}", "café"),
            ("Å", "å"),
            ("Işıl", "işıl"),
            ("ΟΔΟΣ", "οδοσ"),
            ("οδος", "οδοσ"),
            ("Ǆ", "ǆ"),
            ("ǅ", "ǆ"),
            ("Straße", "straße"),
            ("日本", "日本"),
        ] {
            assert_eq!(Precis.fold(name).as_str(), folded, "{name}");
        }
        // What only looks alike is not the same.
        assert!(!Precis.same("bob", "bоb") && !Precis.same("straße", "strasse"));
    }

    #[test]
    fn two_names_are_the_same_where_their_folded_forms_are() {
        let names = ["", "a", "A", "[", "{", "~", "^", "É", "é", "e\u{301}", "a[é", "A{é", "A{É"];
        for mapping in Casemapping::ALL {
            for a in names {
                for b in names {
                    assert_eq!(mapping.same(a, b), mapping.fold(a) == mapping.fold(b), "{mapping:?} {a} {b}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_itself(text in any::<String>()) {
            for mapping in Casemapping::ALL {
                let folded = mapping.fold(&text);
                prop_assert_eq!(mapping.fold(folded.as_str()), folded);
            }
        }
    }
}
