//! `roost import`: accounts and channels of another server, or of a services package, into the database.
//!
//! A file is read whole by the parser of its kind, [`ergo`], [`anope`] or [`atheme`], into what was [`Found`] in it.
//! [`plan`] compares that with what the database has and says what comes: records, written as one transaction, and a
//! [`Report`]. Nothing that is there already is altered, so an import can be run again.
//!
//! A file is somebody else's, and may be damaged or written by hand: whatever is in it, it is taken or it is named.

pub mod anope;
pub mod atheme;
mod entry;
pub mod ergo;
mod plan;

use std::io;
use std::path::{Path, PathBuf};

use ircv3::mode::Rank;
use ircv3::sasl::scram::Credential;
use thiserror::Error;

use crate::accounts::foreign::{Foreign, Kept};
use crate::limits;
use crate::server::record::{Record, Seq, Snapshot};
use crate::store::{self, StoreError};

pub use self::plan::{Report, Rules, Tally, plan};

/// What wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Ergo: its database `ircd.db`, or the JSON that `ergo importdb` takes.
    Ergo,
    /// Anope 2.0 and 2.1: `anope.db` of `db_flatfile`.
    Anope,
    /// Atheme: `services.db` of `opensex`.
    Atheme,
}

/// Why nothing was imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is too much of it.
    #[error("{} has {bytes} bytes, and an import reads at most {}", path.display(), limits::IMPORT_BYTES)]
    TooLong {
        /// Which.
        path: PathBuf,
        /// How many.
        bytes: u64,
    },
    /// It is no file of that kind.
    #[error("{}: {problem}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is in a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Accounts, in the order of the file.
    pub accounts: Vec<Account>,
    /// Registered channels, in the order of the file.
    pub channels: Vec<Channel>,
    /// Channels that are closed for good.
    pub purges: Vec<Purge>,
    /// What the parser did not understand or Roost does not have, a line each.
    pub notes: Vec<String>,
}

/// An account, with its names as the file has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// When it was registered, in milliseconds since 1970, where that is known.
    pub registered: Option<u64>,
    /// Its address.
    pub email: Option<String>,
    /// What is known of its password.
    pub password: Password,
    /// What SCRAM can use as it is.
    pub scram: Vec<Credential>,
    /// Fingerprints of its client certificates.
    pub certificates: Vec<String>,
    /// Its other nicks.
    pub nicks: Vec<String>,
    /// Whether it waits for a code that was mailed.
    pub unverified: bool,
    /// Why and since when nobody may use it.
    pub suspended: Option<Suspension>,
    /// A host of its own.
    pub vhost: Option<String>,
    /// Whether it stays when its last connection goes, where that was chosen.
    pub always_on: Option<bool>,
    /// Whether one client at a time may use it.
    pub one_client: bool,
    /// Keys and values of its [settings](crate::server::setting::AccountSettings).
    pub settings: Vec<(&'static str, String)>,
}

/// What is known of a password.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Password {
    /// The account has none.
    #[default]
    None,
    /// A hash that is compared at the first login.
    Hash(Foreign),
    /// The password itself.
    Plain(String),
    /// A hash that cannot be compared, and why.
    Unknown(String),
}

impl From<Result<Kept, String>> for Password {
    fn from(kept: Result<Kept, String>) -> Password {
        match kept {
            Ok(Kept::Hash(hash)) => Password::Hash(hash),
            Ok(Kept::Plain(plain)) if plain.is_empty() => Password::None,
            Ok(Kept::Plain(plain)) => Password::Plain(plain),
            Err(why) => Password::Unknown(why),
        }
    }
}

/// Why nobody may use an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspension {
    /// Why.
    pub reason: String,
    /// Who said so.
    pub setter: String,
    /// When, in seconds since 1970.
    pub set_at: u64,
    /// When it ends, in seconds since 1970; `None` where it does not.
    pub expires: Option<u64>,
}

/// A registered channel, with its names as the file has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Whose it is: the first of these accounts that comes.
    pub founders: Vec<String>,
    /// When it was registered, in milliseconds since 1970, where that is known.
    pub registered: Option<u64>,
    /// Its topic, who set it, and when in seconds since 1970.
    pub topic: Option<(String, String, u64)>,
    /// The letters of its modes without parameters.
    pub modes: String,
    /// `k`
    pub key: Option<String>,
    /// `l`
    pub limit: Option<u32>,
    /// `f`
    pub forward: Option<String>,
    /// What accounts are in it.
    pub access: Vec<(String, Rank)>,
    /// Entries of its lists: mode, mask, who set it, and when in seconds since 1970.
    pub lists: Vec<(char, String, String, u64)>,
    /// Keys and values of its [settings](crate::server::setting::ChannelSettings).
    pub settings: Vec<(&'static str, String)>,
}

/// A channel that is closed for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub setter: String,
    /// When, in seconds since 1970.
    pub set_at: u64,
    /// When that ends, in seconds since 1970; `None` where it does not.
    pub expires: Option<u64>,
}

/// Reads a file.
///
/// # Errors
/// It cannot be read, or is no file of that kind.
pub fn read(source: Source, path: &Path) -> Result<Found, ImportError> {
    let file = |source| ImportError::File { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(file)?.len();
    if bytes > limits::IMPORT_BYTES {
        return Err(ImportError::TooLong { path: path.to_owned(), bytes });
    }
    let bytes = std::fs::read(path).map_err(file)?;
    parse(source, &bytes).map_err(|problem| ImportError::Form { path: path.to_owned(), problem })
}

/// What is in a file of this kind.
///
/// # Errors
/// In words, what is wrong with it and what would be right.
pub fn parse(source: Source, bytes: &[u8]) -> Result<Found, String> {
    match source {
        Source::Ergo => ergo::parse(bytes),
        Source::Anope => anope::parse(bytes),
        Source::Atheme => atheme::parse(bytes),
    }
}

/// Takes what was found into the store that `options` names, where no server runs on it, as one transaction; with
/// `dry_run` nothing is written, and a file of a database that is not there is not made.
///
/// # Errors
/// The store cannot be used; then nothing was written.
pub fn run(
    options: &store::Options,
    rules: &Rules,
    found: &Found,
    now_ms: u64,
    dry_run: bool,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut take = |snapshot: &Snapshot| -> Vec<(Seq, Record)> {
        let (records, told) = plan(snapshot, rules, found, now_ms, dry_run);
        report = told;
        records
    };
    store::amend(options, dry_run, &mut take)?;
    Ok(report)
}

/// Text of a file whose bytes may be any.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_oneof, proptest};

    use super::plan::tests::rules;
    use super::{Source, parse, plan};
    use crate::server::record::Snapshot;

    const WORDS: &[&str] = &[
        "MU",
        "MN",
        "MC",
        "CA",
        "MDC",
        "MDU",
        "MCFP",
        "DBV",
        "12",
        "OBJECT",
        "NickCore",
        "NickAlias",
        "ChannelInfo",
        "ChanAccess",
        "ModeLock",
        "DATA",
        "END",
        "ID",
        "display",
        "pass",
        "nc",
        "nick",
        "name",
        "founder",
        "alice",
        "#room",
        "+AFqv",
        "1600000000",
        "99999999999999999999",
        "-5",
        "",
        "*",
        "$z$66$64000$c2FsdA==$eA==$eA==",
        "bcrypt:$2a$",
        "last_modes",
        "KEY,a",
        "levels",
        "{",
        "}",
        "\"users\"",
        ":",
        "private:topic:text",
        "plain:eA==",
        "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n",
        "$4294967296\r\n",
        "*999999999\r\n",
        "ü",
        "\u{fffd}",
    ];

    proptest! {
        #[test]
        fn whatever_is_in_a_file_nothing_panics(
            words in prop::collection::vec(
                (prop::sample::select(WORDS), prop_oneof![proptest::strategy::Just(" "), proptest::strategy::Just("\n")]),
                0..60,
            ),
            junk in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut file: Vec<u8> = words.iter().flat_map(|(word, gap)| format!("{word}{gap}").into_bytes()).collect();
            let mut with_version = b"DBV 12\n".to_vec();
            with_version.extend(&file);
            file.extend(&junk);
            for source in [Source::Ergo, Source::Anope, Source::Atheme] {
                for bytes in [&file, &with_version, &junk] {
                    if let Ok(found) = parse(source, bytes) {
                        let (_, report) = plan(&Snapshot::default(), &rules(), &found, 1, true);
                        prop_assert!(!report.to_string().is_empty());
                    }
                }
            }
        }
    }
}
