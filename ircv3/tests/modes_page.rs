//! The tables of `conf/MODES.md` are those of this crate. `ROOST_WRITE_PAGES=1 cargo test -p ircv3 --test modes_page`
//! writes them anew; without it the page is compared.

use std::fmt::Write;
use std::path::Path;

use ircv3::extban::EXTBANS;
use ircv3::mode::{CHANNEL_MODES, Rank, USER_MODES};

#[test]
fn the_page_of_modes_has_the_tables_that_the_server_works_by() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/MODES.md");
    let page = std::fs::read_to_string(&path).expect("conf/MODES.md");
    let mut made = page.clone();
    for (name, rows) in [
        ("ranks", ranks()),
        ("channel modes", channel_modes()),
        ("extended bans", extended_bans()),
        ("user modes", user_modes()),
    ] {
        made = with_rows(&made, name, &rows);
    }
    if std::env::var_os("ROOST_WRITE_PAGES").is_some() {
        std::fs::write(&path, &made).expect("conf/MODES.md can be written");
    } else {
        assert_eq!(
            made, page,
            "conf/MODES.md is older than the tables; the first line of this file says how to renew it"
        );
    }
}

/// The page with other rows in the table that follows the comment with this name: its first two lines are the head.
fn with_rows(page: &str, name: &str, rows: &str) -> String {
    let comment = format!("<!-- {name} -->\n");
    let (before, after) = page.split_once(&comment).unwrap_or_else(|| panic!("conf/MODES.md has no {comment:?}"));
    let head: String = after.split_inclusive('\n').take(2).collect();
    let (_, rest) = after.split_once("\n\n").expect("an empty line ends the table");
    format!("{before}{comment}{head}{rows}\n{rest}")
}

fn ranks() -> String {
    Rank::ALL.iter().fold(String::new(), |mut rows, rank| {
        let (letter, name, prefix) = (rank.letter(), rank.name(), rank.prefix());
        let _ = writeln!(rows, "| `{letter}` {name} | `{prefix}` | {} | {} |", rank.giver(), rank.help());
        rows
    })
}

fn channel_modes() -> String {
    let mut sorted: Vec<_> = CHANNEL_MODES.iter().collect();
    // Lists first, then by the alphabet, capitals before small letters.
    sorted.sort_by_key(|mode| (mode.kind, mode.letter.to_ascii_lowercase(), mode.letter));
    sorted.iter().fold(String::new(), |mut rows, mode| {
        let takes = if mode.takes.is_empty() { String::new() } else { format!(" {}", mode.takes) };
        let _ = writeln!(rows, "| `{}` {} |{takes} | {} |", mode.letter, mode.name, mode.help);
        rows
    })
}

fn extended_bans() -> String {
    EXTBANS.iter().fold(String::new(), |mut rows, row| {
        let (letter, name, value) = (row.letter, row.name, row.value);
        let _ = writeln!(rows, "| `{letter}:{value}`, `{name}:{value}` | {} |", row.help);
        rows
    })
}

fn user_modes() -> String {
    USER_MODES.iter().fold(String::new(), |mut rows, mode| {
        let _ = writeln!(rows, "| `{}` {} | {} | {} |", mode.letter, mode.name, mode.whose, mode.help);
        rows
    })
}
