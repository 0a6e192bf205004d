//! Names that look alike without being the same (Unicode Technical Standard 39, section 4).

use std::sync::LazyLock;

use smallvec::SmallVec;
use unicode_security::skeleton;

use crate::casemapping::Casemapping;

/// What a name looks like: a few skeletons, none twice.
pub type Skeletons = SmallVec<[Box<str>; 3]>;

/// The skeletons of a name: as it is written, in small letters and in capitals, for whoever takes a name may
/// write it in either. Two names can be taken for each other where they have one in common.
///
/// Case counts no more in a skeleton, so that what looks like `A` and what looks like `a` meet.
pub fn skeletons(name: &str) -> Skeletons {
    let small = Casemapping::Precis.fold(name);
    let capital = small.as_str().to_uppercase();
    let mut skeletons = Skeletons::new();
    for spelling in [small.as_str(), &capital, name] {
        let seen = if spelling.is_ascii() { of_ascii(spelling) } else { of_any(spelling) };
        if !skeletons.contains(&seen) {
            skeletons.push(seen);
        }
    }
    skeletons
}

fn of_any(text: &str) -> Box<str> {
    let seen: String = skeleton(text).collect();
    Casemapping::Precis.fold(&seen).as_str().into()
}

/// The same, without a look at tables that are for all of Unicode: nearly every name is ASCII.
fn of_ascii(text: &str) -> Box<str> {
    static SEEN: LazyLock<[Box<str>; 128]> =
        LazyLock::new(|| std::array::from_fn(|byte| of_any(char::from(byte as u8).encode_utf8(&mut [0; 4]))));
    let mut seen = String::with_capacity(text.len() + 4);
    for byte in text.bytes() {
        seen.push_str(SEEN.get(usize::from(byte)).map_or("", |seen| seen));
    }
    seen.into()
}

/// Whether two names can be taken for each other. Two names of ASCII never are: `bob1` and `bobl`, `rn` and
/// `m` have always stood beside each other, and whoever reads `l` for `1` reads with no more care elsewhere.
pub fn alike(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return false;
    }
    let of_b = skeletons(b);
    skeletons(a).iter().any(|skeleton| of_b.contains(skeleton))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{alike, of_any, of_ascii, skeletons};

    #[test]
    fn letters_of_other_scripts_are_seen_for_what_they_look_like() {
        for (a, b) in [
            ("evan", "еvan"),
            ("alice", "аlісе"),
            ("IRC", "ІRС"),
            ("irc", "ІRС"),
            ("alice", "ΑLΙСΕ"),
            ("bob1", "bоbl"),
            ("#rust", "#ruѕt"),
            ("alice", "alicе\u{301}"),
        ] {
            let composed = b.contains('\u{301}');
            assert_eq!(alike(a, b), !composed, "{a} {b} {:?} {:?}", skeletons(a), skeletons(b));
            assert_eq!(alike(b, a), !composed, "{a} {b}");
        }
    }

    #[test]
    fn ascii_is_never_taken_for_ascii_nor_one_word_for_another() {
        for (a, b) in [("bob1", "bobl"), ("rn", "m"), ("O0", "o0"), ("Зоя", "Зина"), ("bob", "боб"), ("日本", "日曜")]
        {
            assert!(!alike(a, b), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_for_ascii_leads_to_the_same(text in "[ -~]{0,12}") {
            prop_assert_eq!(of_ascii(&text), of_any(&text));
        }

        #[test]
        fn no_text_is_a_panic(text in any::<String>()) {
            assert!(!skeletons(&text).is_empty());
        }
    }
}
