//! Search without I/O: the words of a text, and which rows a question means.
//!
//! [`terms`] is what a store's index has of a row and [`terms_of`] what a question looks for there; a word
//! of the user's never meets the syntax of a database. [`select`] is what every store must answer, told over
//! rows in memory.

use std::borrow::Cow;

use ircv3::{Casemapping, formatting};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::limits::SEARCH_WORD_CHARS;
use crate::server::record::{ConversationId, MessageRow, SearchQuery, Seq};

/// Counts the changes of [`words`] and [`terms`]: a store whose index was made by another version makes it anew.
pub const VERSION: u32 = 1;

/// The words of a text, each once, sorted: runs of letters and digits, without case, accents and formatting.
/// Letters of scripts that put no spaces between words are words by themselves.
pub fn words(text: &str) -> Vec<Box<str>> {
    words_in(&plain(text)).into_iter().map(|word| word.into_owned().into_boxed_str()).collect()
}

/// A text without what is no part of its words.
fn plain(text: &str) -> String {
    let text = text.strip_prefix("\u{1}ACTION ").unwrap_or(text);
    formatting::strip(text).to_ascii_lowercase()
}

fn words_in(plain: &str) -> Vec<Cow<'_, str>> {
    let mut words = Vec::with_capacity(plain.len() / 4);
    // Most runs are of ASCII, and what they are cut at is it nearly always.
    for run in plain.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric()).filter(|run| !run.is_empty()) {
        if run.is_ascii() {
            words.push(Cow::Borrowed(&run[..run.len().min(SEARCH_WORD_CHARS)]));
            continue;
        }
        // Apart, without accents, and together again: Hangul comes apart, too.
        let letters = run.nfkd().filter(|c| !('\u{300}'..='\u{36f}').contains(c));
        let folded: String =
            letters.flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).nfc().collect();
        for run in folded.split(|c: char| !(c.is_alphanumeric() || is_combining_mark(c))) {
            split_unspaced(run, &mut words);
        }
    }
    words.sort_unstable();
    words.dedup();
    words
}

fn split_unspaced(mut run: &str, words: &mut Vec<Cow<'_, str>>) {
    while let Some(first) = run.chars().next() {
        let length = if is_unspaced(first) { first.len_utf8() } else { run.find(is_unspaced).unwrap_or(run.len()) };
        let (word, after) = run.split_at(length);
        let end = word.char_indices().nth(SEARCH_WORD_CHARS).map_or(word.len(), |(at, _)| at);
        words.push(Cow::Owned(word[..end].to_owned()));
        run = after;
    }
}

/// Whether a letter is of a script that puts no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e01}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// What an index has of a text: its words, where it stands, and who said it; with spaces between.
pub fn terms(conversation: ConversationId, source: &str, text: &str) -> String {
    let mut terms = place_term(conversation);
    terms.push(' ');
    terms.push_str(&nick_term(nick_of(source)));
    for word in words_in(&plain(text)) {
        terms.push(' ');
        terms.push_str(&word);
    }
    terms
}

/// What an index has to have of a row that a question means: one of the first, and all of the second.
pub fn terms_of(query: &SearchQuery) -> (Vec<String>, Vec<String>) {
    let places = query.places.iter().map(|(id, _)| place_term(*id)).collect();
    let words = query.words.iter().map(|word| String::from(&**word));
    (places, query.from.iter().map(|nick| nick_term(nick)).chain(words).collect())
}

fn nick_of(source: &str) -> &str {
    source.split_once('!').map_or(source, |(nick, _)| nick)
}

fn place_term(conversation: ConversationId) -> String {
    format!("#{conversation}")
}

/// `@` and the nick, with `_` and a number for everything that a word cannot have.
fn nick_term(nick: &str) -> String {
    let mut term = String::from("@");
    for c in Casemapping::default().fold(nick).as_str().chars() {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            term.push(c);
        } else {
            term.push_str(&format!("_{:02x}", u32::from(c)));
        }
    }
    term
}

/// Whether a question means this row.
pub fn matches(query: &SearchQuery, seq: Seq, row: &MessageRow) -> bool {
    if !row.kind.is_text()
        || seq <= query.floor
        || !query.places.iter().any(|(place, since)| *place == row.conversation && row.time >= *since)
        || query.after.is_some_and(|after| row.time < after)
        || query.before.is_some_and(|before| row.time > before)
        || query.from.as_ref().is_some_and(|nick| !Casemapping::default().same(nick, nick_of(&row.source)))
    {
        return false;
    }
    if query.words.is_empty() {
        return true;
    }
    let text = plain(&row.text);
    let words = words_in(&text);
    query.words.iter().all(|word| words.binary_search_by(|other| (**other).cmp(word)).is_ok())
}

/// Which rows, given in ascending order, a question means; in ascending order.
pub fn select<'a>(
    rows: impl IntoIterator<Item = (Seq, &'a MessageRow)>,
    query: &SearchQuery,
) -> Vec<(Seq, MessageRow)> {
    let meant = rows.into_iter().filter(|(seq, row)| matches(query, *seq, row));
    let mut meant: Vec<_> = meant.map(|(seq, row)| (seq, row.clone())).collect();
    cut(query, &mut meant);
    meant
}

/// Leaves as many rows as were asked for.
pub fn cut(query: &SearchQuery, rows: &mut Vec<(Seq, MessageRow)>) {
    let limit = query.limit as usize;
    match query.after {
        Some(_) => rows.truncate(limit),
        None => drop(rows.drain(..rows.len().saturating_sub(limit))),
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::{VERSION, nick_term, terms, words};

    fn joined(text: &str) -> String {
        words(text).join(" ")
    }

    #[test]
    fn words_are_without_case_accents_and_formatting() {
        for (text, expected) in [
            ("", ""),
            ("!? -- \u{1f600}", ""),
            ("Hello, hello WORLD", "hello world"),
            ("Über Ångström naïve Ёлка ΟΔΟΣ οδος", "angstrom naive uber елка οδοσ"),
            ("\u{3}04,05red\u{3} b\u{2}ol\u{2}d", "bold red"),
            ("\u{1}ACTION waves\u{1}", "waves"),
            ("ＷＩＤＥ ﬁne x²", "fine wide x2"),
            ("a-b_c.d'e\nf", "a b c d e f"),
            ("日本語 です", "す で 日 本 語"),
            ("한국어 text", "text 한국어"),
            ("हिन्दी", "हिन्दी"),
            ("\" OR * NEAR(a b) col:x ^y", "a b col near or x y"),
        ] {
            let mut expected: Vec<&str> = expected.split(' ').filter(|word| !word.is_empty()).collect();
            expected.sort_unstable();
            assert_eq!(joined(text), expected.join(" "), "{text:?}");
        }
        assert_eq!(joined(&"x".repeat(500)).len(), 40);
        assert_eq!(joined(&"é".repeat(500)), "e".repeat(40));
    }

    #[test]
    fn terms_never_meet_one_of_another_kind() {
        assert_eq!(terms(12, "A[b]_c!u@host", "#12 @bob Hi"), "#12 @a_5bb_5d_5fc 12 bob hi");
        assert_ne!(nick_term("a_5b"), nick_term("a["));
        for nick in ["it's", "a\\b", "a\"b", "a b"] {
            assert!(nick_term(nick)[1..].chars().all(|c| c.is_alphanumeric() || c == '_'), "{nick}");
        }
    }

    /// A store's index has what an older version made of its texts, and what is taken back is looked for there
    /// by what this one makes of them.
    #[test]
    fn words_of_another_version_have_another_number() {
        let mut hash = Sha256::new();
        for c in '\0'..=char::MAX {
            hash.update(joined(&format!("{c}a")));
        }
        let hash: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (VERSION, &*hash),
            (1, "fa748acd8d3f78d1"),
            "if words are made otherwise now, VERSION has to be another"
        );
    }
}
