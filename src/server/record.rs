//! What is kept: the records that go to the store, and the questions that are put to it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ircv3::mode::Rank;
use ircv3::sasl::ecdsa::PublicKey;
use ircv3::sasl::scram::Credential;
use ircv3::webpush::Keys;
use ircv3::{Cap, CapSet, Casemapping};
use smallvec::SmallVec;

use crate::limits::CONTEXT_A_MESSAGE;
use crate::server::command::edit;
use crate::server::owed::Owed;
use crate::server::session::LoginBy;

/// The number of a change. One order for everything: `boot << 40 | counter`, where `boot` counts
/// the starts of this database, so no number is ever used twice. 0 is before everything.
pub type Seq = u64;

/// Bits of a [`Seq`] that count within one start of the server.
pub const SEQ_COUNTER_BITS: u32 = 40;

/// The id of a message: the database's epoch and the number of the change.
///
/// On the wire it is 20 characters of base 32: seven of the epoch, thirteen of the number. Byte for byte, the ids of one
/// database stand in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MsgId {
    /// Chosen at random when the database was made.
    pub epoch: u32,
    /// The number of the change.
    pub seq: Seq,
}

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl MsgId {
    /// Appends the id.
    pub fn put(self, out: &mut Vec<u8>) {
        for place in (0..7).rev() {
            out.push(BASE32[(u64::from(self.epoch) >> (5 * place) & 31) as usize]);
        }
        for place in (0..13).rev() {
            out.push(BASE32[(self.seq >> (5 * place) & 31) as usize]);
        }
    }

    /// The id that `text` stands for; `None` where this form was never given out.
    pub fn parse(text: &str) -> Option<MsgId> {
        let bytes = text.as_bytes();
        if bytes.len() != 20 {
            return None;
        }
        let number = |part: &[u8]| -> Option<u64> {
            part.iter().try_fold(0u64, |n, byte| {
                let digit = BASE32.iter().position(|b| b == byte)? as u64;
                n.checked_mul(32).and_then(|n| n.checked_add(digit))
            })
        };
        Some(MsgId { epoch: u32::try_from(number(&bytes[..7])?).ok()?, seq: number(&bytes[7..])? })
    }
}

impl std::fmt::Display for MsgId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::with_capacity(20);
        self.put(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

/// A conversation, as the store numbers them: a channel, or two people.
pub type ConversationId = u64;
/// An account, as the store numbers them.
pub type AccountId = u64;

/// What kind of message a row holds. The numbers are in the database: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// `text` is what was said; `argument` the nick of who said it for someone on another network.
    Privmsg = 0,
    /// As `Privmsg`.
    Notice = 1,
    /// Tags alone; `argument` is the msgid of the message that they are a reaction to.
    Tagmsg = 2,
    /// `text` is the real name.
    Join = 3,
    /// `text` is the reason.
    Part = 4,
    /// `text` is the reason.
    Quit = 5,
    /// `argument` is the nick of the one kicked, `text` the reason.
    Kick = 6,
    /// `argument` is the modes and their parameters.
    Mode = 7,
    /// `text` is the topic.
    Topic = 8,
    /// `text` is the new nick.
    Nick = 9,
    /// `argument` is the msgid of the message that is gone, `text` the reason.
    Redact = 10,
    /// `argument` is the msgid of the message that reads otherwise now; how, that message alone has. Where rows are
    /// read for someone, `tags` are those of EDIT, and none where the message is gone.
    Edit = 11,
}

impl Kind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Kind> {
        use Kind::*;
        [Privmsg, Notice, Tagmsg, Join, Part, Quit, Kick, Mode, Topic, Nick, Redact, Edit]
            .get(usize::from(number))
            .copied()
    }

    /// Whether a client without `draft/event-playback` gets it.
    pub fn is_text(self) -> bool {
        matches!(self, Kind::Privmsg | Kind::Notice)
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Which conversation.
    pub conversation: ConversationId,
    /// `time`, in milliseconds since 1970; rises by at least 1 within a conversation.
    pub time: u64,
    /// What it is.
    pub kind: Kind,
    /// `nick!user@host`, as it was then.
    pub source: Arc<str>,
    /// The account that said it; see [`MessageRow::shown_account`].
    pub account: Option<Arc<str>>,
    /// Whether the source was a bot.
    pub bot: bool,
    /// To whom, as it was written: a channel or a nick, with its STATUSMSG prefix.
    pub target: Box<str>,
    /// Client-only tags, as they came.
    pub tags: Option<Box<str>>,
    /// See [`Kind`].
    pub argument: Option<Box<str>>,
    /// See [`Kind`].
    pub text: Box<str>,
}

impl MessageRow {
    /// Whether it was said for a character or as a scene (NPC, NPCA, SCENE): whose nick is none that anybody may have.
    pub fn is_played(&self) -> bool {
        self.kind.is_text() && self.source.starts_with(['*', '='])
    }

    /// The source's account: a character has none, whoever plays it.
    pub fn shown_account(&self) -> Option<&Arc<str>> {
        self.account.as_ref().filter(|_| !self.is_played())
    }

    /// The number of the message that the row says something about, and without which it says nothing: of an edit, a
    /// redaction, a reaction.
    pub fn about(&self) -> Option<Seq> {
        let says = matches!(self.kind, Kind::Tagmsg | Kind::Redact | Kind::Edit);
        let msgid = self.argument.as_deref().filter(|_| says)?;
        MsgId::parse(msgid).map(|msgid| msgid.seq)
    }
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its number.
    pub id: AccountId,
    /// As it was registered.
    pub name: Arc<str>,
    /// As it is compared.
    pub folded: Box<str>,
    /// bcrypt of the prehashed password; empty where it has none and logs in by other means.
    pub password: Box<str>,
    /// When, in milliseconds since 1970.
    pub registered: u64,
    /// What was missed is replayed at login to clients that cannot ask for it.
    pub autoreplay_missed: bool,
    /// Whether it stays on the network without a connection; `None` leaves that to the server.
    pub always_on: Option<bool>,
    /// Whether a second connection may share its nick.
    pub multiclient: bool,
    /// Its e-mail address, once somebody has shown to read what is sent there.
    pub email: Option<Box<str>>,
    /// Whether it may be used: one that waits for the code of REGISTER may not.
    pub verified: bool,
}

/// What a code that was mailed is for. The words are in the database: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The account is used from then on.
    Register,
    /// The account has another address from then on.
    Email,
    /// The account is given another password.
    Password,
}

impl Purpose {
    const ALL: [Purpose; 3] = [Purpose::Register, Purpose::Email, Purpose::Password];

    /// Its word in the database.
    pub fn word(self) -> &'static str {
        match self {
            Purpose::Register => "register",
            Purpose::Email => "email",
            Purpose::Password => "password",
        }
    }

    /// The purpose with this word.
    pub fn by_word(word: &str) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|purpose| purpose.word() == word)
    }
}

/// A code that goes to an address by mail, and comes back from whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRow {
    /// For which account; there is one code for each purpose.
    pub account: AccountId,
    /// What for.
    pub purpose: Purpose,
    /// The code.
    pub code: Box<str>,
    /// The address.
    pub email: Box<str>,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// Whether the mail has gone out.
    pub mailed: bool,
}

/// What an account logs in with, beside its password's hash. In the store each is a row of a kind and
/// a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Of its password, for SCRAM: one for each hash, or none where the password is older than they are.
    pub scram: Vec<Credential>,
    /// SHA-256 of its client certificates in lower-case hex, sorted.
    pub certificates: Vec<Box<str>>,
    /// For ECDSA-NIST256P-CHALLENGE.
    pub key: Option<PublicKey>,
    /// Passwords of single apps and devices, by name.
    pub apps: Vec<AppPassword>,
    /// What is asked for beside the password, by id.
    pub seconds: Vec<SecondFactor>,
    /// SHA-256 of each recovery code that was not used, sorted.
    pub recovery: Vec<[u8; 32]>,
    /// Whether a login by password asks for the second factor.
    pub asks_second: bool,
}

/// A second factor (draft/account-2fa).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// What its owner takes it away by: letters and digits, unique within the account.
    pub id: Box<str>,
    /// What its owner calls it: one word.
    pub name: Box<str>,
    /// When it was added, in milliseconds since 1970.
    pub made: u64,
    /// What it is.
    pub proof: SecondProof,
}

/// What a second factor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondProof {
    /// Codes of an authenticator (RFC 6238).
    Totp {
        /// What its secret is derived from, with a key that is not in the database.
        seed: [u8; 16],
        /// The last step of time whose code was used; no code of it or of an earlier one is taken again.
        last: u64,
    },
    /// SHA-256 of a client certificate, in lower-case hex.
    Certificate(Box<str>),
}

impl SecondProof {
    /// Its type, as the draft names it.
    pub fn word(&self) -> &'static str {
        match self {
            SecondProof::Totp { .. } => "totp",
            SecondProof::Certificate(_) => "external",
        }
    }
}

impl std::fmt::Display for SecondFactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {} ", self.id, self.name, self.made, self.proof.word())?;
        match &self.proof {
            SecondProof::Totp { seed, last } => write!(f, "{} {last}", hex(seed)),
            SecondProof::Certificate(fingerprint) => f.write_str(fingerprint),
        }
    }
}

impl std::str::FromStr for SecondFactor {
    type Err = ();

    fn from_str(text: &str) -> Result<SecondFactor, ()> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(());
        let (id, name, made) = (word()?.into(), word()?.into(), word()?.parse().map_err(drop)?);
        let proof = match word()? {
            "totp" => SecondProof::Totp { seed: from_hex(word()?)?, last: word()?.parse().map_err(drop)? },
            "external" => SecondProof::Certificate(word()?.into()),
            _ => return Err(()),
        };
        Ok(SecondFactor { id, name, made, proof })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], ()> {
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(());
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(drop)?;
    }
    Ok(bytes)
}

/// A password of one app or device. The server makes it, long enough that a fast hash will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPassword {
    /// What its owner calls it: one word.
    pub name: Box<str>,
    /// When it was made, in milliseconds since 1970.
    pub made: u64,
    /// SHA-256 of it.
    pub hash: [u8; 32],
}

impl std::fmt::Display for AppPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name, self.made, hex(&self.hash))
    }
}

impl std::str::FromStr for AppPassword {
    type Err = ();

    fn from_str(text: &str) -> Result<AppPassword, ()> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(());
        let (name, made) = (word()?.into(), word()?.parse().map_err(drop)?);
        let hash = from_hex(word()?)?;
        Ok(AppPassword { name, made, hash })
    }
}

impl Credentials {
    /// The rows, in the order in which a store gives them back: by kind, then by text.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows: Vec<_> = self.apps.iter().map(|app| ("app", app.to_string())).collect();
        rows.extend(self.certificates.iter().map(|text| ("certificate", text.to_string())));
        rows.extend(self.key.iter().map(|key| ("key", key.to_string())));
        rows.extend(self.recovery.iter().map(|code| ("recovery", hex(code))));
        rows.extend(self.scram.iter().map(|credential| ("scram", credential.to_string())));
        rows.extend(self.seconds.iter().map(|second| ("second", second.to_string())));
        rows.extend(self.asks_second.then(|| ("second-asked", "yes".to_owned())));
        rows
    }

    /// Adds what a row says; `false` where this version does not understand it.
    pub fn put(&mut self, kind: &str, text: &str) -> bool {
        match kind {
            "app" => match text.parse() {
                Ok(app) => self.apps.push(app),
                Err(()) => return false,
            },
            "certificate" => self.certificates.push(text.into()),
            "key" => match text.parse() {
                Ok(key) => self.key = Some(key),
                Err(_) => return false,
            },
            "recovery" => match from_hex(text) {
                Ok(code) => self.recovery.push(code),
                Err(()) => return false,
            },
            "scram" => match text.parse() {
                Ok(credential) => self.scram.push(credential),
                Err(_) => return false,
            },
            "second" => match text.parse() {
                Ok(second) => self.seconds.push(second),
                Err(()) => return false,
            },
            "second-asked" => self.asks_second = true,
            _ => return false,
        }
        true
    }
}

/// All that an account logs in with, beside its password's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsRow {
    /// Whose.
    pub account: AccountId,
    /// What; without any, the account has no rows.
    pub credentials: Credentials,
}

impl CredentialsRow {
    /// Puts the rows of each account together, which come by account; `None` where this version does not
    /// understand one.
    pub fn gather(rows: Vec<(AccountId, String, String)>) -> Option<Vec<CredentialsRow>> {
        let mut all: Vec<CredentialsRow> = Vec::new();
        for (account, kind, text) in rows {
            if all.last().is_none_or(|last| last.account != account) {
                all.push(CredentialsRow { account, credentials: Credentials::default() });
            }
            if !all.last_mut()?.credentials.put(&kind, &text) {
                return None;
            }
        }
        Some(all)
    }
}

/// A channel that is kept, with everything that outlives its members: one that is registered, in which somebody is
/// who is always on, or that is permanent (`P`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// As it is compared; the key.
    pub folded: Box<str>,
    /// As it is called.
    pub name: Arc<str>,
    /// Whose it is, where it is registered.
    pub founder: Option<AccountId>,
    /// When it was registered, in milliseconds since 1970; 0 where it is not.
    pub registered: u64,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The topic, who set it and when (seconds since 1970).
    pub topic: Option<(Box<str>, Box<str>, u64)>,
    /// The letters of its modes without parameters.
    pub modes: Box<str>,
    /// `k`
    pub key: Option<Box<str>>,
    /// `l`
    pub limit: Option<u32>,
    /// `f`
    pub forward: Option<Box<str>>,
    /// To which account its founder has offered it.
    pub transfer: Option<AccountId>,
}

/// What an account is in a registered channel whenever it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRow {
    /// The channel, folded.
    pub channel: Box<str>,
    /// The account.
    pub account: AccountId,
    /// Its rank.
    pub rank: Rank,
}

/// A nick that belongs to an account beside its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupedRow {
    /// The nick, folded; the key.
    pub folded: Box<str>,
    /// As it was grouped.
    pub nick: Box<str>,
    /// Whose it is.
    pub account: AccountId,
    /// When it was grouped, in milliseconds since 1970.
    pub added: u64,
}

/// An account that nobody may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspensionRow {
    /// Which; the key.
    pub account: AccountId,
    /// Why.
    pub reason: Box<str>,
    /// `nick!user@host` of who said so.
    pub setter: Box<str>,
    /// When, in seconds since 1970.
    pub set_at: u64,
    /// When it ends, in seconds since 1970; `None` where it holds until it is taken away.
    pub expires: Option<u64>,
}

/// A channel that is closed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeRow {
    /// Its name, folded; the key.
    pub channel: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// `nick!user@host` of who said so.
    pub setter: Box<str>,
    /// When, in seconds since 1970.
    pub set_at: u64,
}

/// An entry of a list mode of a channel that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRow {
    /// The channel, folded.
    pub channel: Box<str>,
    /// `b`, `e` or `I`.
    pub mode: char,
    /// The mask.
    pub mask: Box<str>,
    /// Who set it.
    pub setter: Box<str>,
    /// When, in seconds since 1970.
    pub set_at: u64,
}

/// How far an account has read along on a device, for replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRow {
    /// Whose.
    pub account: AccountId,
    /// Which device; empty without a name.
    pub device: Box<str>,
    /// Everything up to here was sent to it; `None` while it is connected.
    pub seq: Option<Seq>,
    /// But for this.
    pub owed: Vec<Owed>,
}

/// How far an account has read in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerRow {
    /// Whose.
    pub account: AccountId,
    /// The conversation's key, as in [`ConversationRow`]; nothing need have been said in it.
    pub conversation: Box<str>,
    /// Up to here, in milliseconds since 1970; it never goes back.
    pub time: u64,
}

/// A key and its value (METADATA).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataRow {
    /// `$` and the number of an account, or a folded channel name. What an account says of someone else for itself
    /// alone is that of both: `$7 #garden`, `$7 $8`, `$7 ~guest`, and `$7 *` of everything.
    pub owner: Box<str>,
    /// The key.
    pub key: Box<str>,
    /// The value; `None` where the key is no more.
    pub value: Option<Box<str>>,
}

/// A device that takes web push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// Whose; with `endpoint` the key.
    pub account: AccountId,
    /// The URL that its messages are posted to.
    pub endpoint: Box<str>,
    /// The keys that it takes them under.
    pub keys: Keys,
    /// The server's key that it knows, by [`VapidRow::id`].
    pub vapid: u32,
    /// The device, from `account@device`; empty without.
    pub device: Box<str>,
    /// The app password that it logged in with, by name; empty: another way.
    pub app: Box<str>,
    /// What it logged in with that can be taken away, where that is another thing.
    pub by: Option<LoginBy>,
    /// What it had negotiated, by the names of the capabilities, with spaces between them.
    pub caps: Box<str>,
    /// When it subscribed, in seconds since 1970.
    pub made: u64,
    /// When it last said so, in seconds since 1970.
    pub renewed: u64,
    /// When a push last reached its push service, in seconds since 1970, give or take an hour; 0 never.
    pub reached: u64,
}

/// A conversation that was pushed to the devices of an account and not read since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRow {
    /// Whose.
    pub account: AccountId,
    /// The conversation's key, as in [`MarkerRow`].
    pub conversation: Box<str>,
    /// `time` of the first message that was pushed, in milliseconds since 1970.
    pub first: u64,
}

/// A key that push services know the server by.
#[derive(Clone, PartialEq, Eq)]
pub struct VapidRow {
    /// Which; `webpush.key` says which one is given out.
    pub id: u32,
    /// Its private half, PKCS #8 in base64.
    pub private: Box<str>,
}

/// It is in no log.
impl std::fmt::Debug for VapidRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VapidRow({})", self.id)
    }
}

/// Something that was chosen, or noted, of an account, a registered channel or the server: see
/// [`setting`](crate::server::setting) for what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// `$` and the number of an account, a folded channel name, or `*` for the server.
    pub owner: Box<str>,
    /// What it is called.
    pub key: Box<str>,
    /// Its value; `None` where it is as it is without.
    pub value: Option<Box<str>>,
}

/// A ban of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BanRow {
    /// Whom it is for, as UBAN LIST writes it; the key.
    pub target: Box<str>,
    /// Why, for whom it meets.
    pub reason: Box<str>,
    /// Why, for operators alone.
    pub oper_reason: Box<str>,
    /// `nick!user@host` of who set it.
    pub setter: Box<str>,
    /// When, in seconds since 1970.
    pub set_at: u64,
    /// When it ends, in seconds since 1970; `None` where it holds until it is taken away.
    pub expires: Option<u64>,
    /// Whether it lets those pass who are logged in.
    pub unless_logged_in: bool,
}

/// A user who stays on the network without a connection, as it was last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRow {
    /// Whose; the key.
    pub account: AccountId,
    /// The number of the change that brought it.
    pub since: Seq,
    /// The nick, or that of its last connection where it goes on without one under its account's.
    pub nick: Arc<str>,
    /// The user name, with `~`.
    pub user: Box<str>,
    /// The host that others see, and the one behind it, then those that it was shown by before: `a.vhost 192.0.2.1 b.vhost`.
    /// `?` in the second place, or nothing, where it is not known what is behind the first.
    pub hosts: Box<str>,
    /// The real name.
    pub realname: Box<str>,
    /// The letters of its modes.
    pub modes: Box<str>,
    /// Why it is away, where it said so.
    pub away: Option<Box<str>>,
    /// Its channels with the letters of its ranks and when it joined them, in milliseconds: `#a:qo1700000000000 #b:`.
    pub channels: Box<str>,
    /// When it came, in seconds since 1970.
    pub signon: u64,
    /// When its last connection went, in milliseconds since 1970; 0 while it has one.
    pub left: u64,
}

/// Something to keep. Each knows its rows; a batch of them is one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A new or changed conversation (see [`ConversationRow`]).
    Conversation(ConversationRow),
    /// A message.
    Message(Box<MessageRow>),
    /// A new or changed account.
    Account(Box<AccountRow>),
    /// An account that is no more.
    AccountGone(AccountId),
    /// All that an account logs in with, in place of what there was.
    Credentials(Box<CredentialsRow>),
    /// A new or changed code.
    Code(Box<CodeRow>),
    /// A code that was used or is over.
    CodeGone(AccountId, Purpose),
    /// A new or changed channel that is kept (not its lists).
    Channel(Box<ChannelRow>),
    /// A channel that is kept no longer, with its lists, keys and settings; by folded name.
    ChannelGone(Box<str>),
    /// An entry that was put on a list.
    ListEntry(Box<ListRow>),
    /// An entry that was taken off a list: channel (folded), mode, mask.
    ListEntryGone(Box<str>, char, Box<str>),
    /// A device that came or went.
    Seen(SeenRow),
    /// A read marker that moved.
    Marker(MarkerRow),
    /// A read marker whose conversation has another key now: the account, and the key that it had.
    MarkerGone(AccountId, Box<str>),
    /// A new or changed ban of the server.
    Ban(Box<BanRow>),
    /// A ban that was taken away or is over; by its target.
    BanGone(Box<str>),
    /// A user who is always on.
    Presence(Box<PresenceRow>),
    /// A user who is not always on any more, by its account.
    PresenceGone(AccountId),
    /// A key of an account or a channel that is kept.
    Metadata(Box<MetadataRow>),
    /// A new or changed subscription to web push.
    Subscription(Box<SubscriptionRow>),
    /// A subscription that is no more: whose, and its endpoint.
    SubscriptionGone(AccountId, Box<str>),
    /// A conversation that was pushed, or of which less is unread.
    Pushed(PushedRow),
    /// A conversation that was read: whose, and its key.
    PushedGone(AccountId, Box<str>),
    /// A new key for web push.
    Vapid(Box<VapidRow>),
    /// A setting that was chosen.
    Setting(Box<SettingRow>),
    /// What an account is in a channel.
    Access(Box<AccessRow>),
    /// An account that is nothing in a channel (folded) any more.
    AccessGone(Box<str>, AccountId),
    /// A nick that belongs to an account.
    Grouped(Box<GroupedRow>),
    /// A nick, folded, that does not any more.
    GroupedGone(Box<str>),
    /// An account that nobody may use.
    Suspension(Box<SuspensionRow>),
    /// An account that may be used again.
    SuspensionGone(AccountId),
    /// A channel that is closed for good.
    Purge(Box<PurgeRow>),
    /// A channel, by folded name, that is not any more.
    PurgeGone(Box<str>),
    /// All that an account said, between two changes, is no more.
    Erased {
        /// The account's name.
        account: Arc<str>,
        /// What came after this change,
        after: Seq,
        /// and before this one.
        before: Seq,
    },
    /// The names are folded by this casemapping from now on.
    Casemapping(Casemapping),
    /// A message that reads otherwise now: its number, and the row with its new text.
    Edited(Seq, Box<MessageRow>),
    /// A message that is no more, by its number; the number of the record is that of its redaction.
    Redacted(Seq),
    /// A message is no more: its conversation, and its id. What reacted to it or edited it goes, too.
    AboutGone(ConversationId, Box<str>),
}

impl Record {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let inside = match self {
            Record::Message(row) => {
                let more = [&row.tags, &row.argument].into_iter().flatten().map(|text| text.len()).sum::<usize>();
                size_of::<MessageRow>() + row.target.len() + row.text.len() + more
            }
            Record::Metadata(row) => {
                size_of::<MetadataRow>() + row.key.len() + row.value.as_deref().map_or(0, str::len)
            }
            // Lists of channels and the like, which nobody sends by the thousand.
            _ => 256,
        };
        size_of::<(Seq, Record)>() + inside
    }
}

/// A conversation. The key is a folded channel name, or `a b` for two people in the order of their
/// names: an account is `$` and its number, a guest `~` and the folded nick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationRow {
    /// Its number.
    pub id: ConversationId,
    /// Its key.
    pub key: Box<str>,
    /// Whether its channel keeps strangers out, or did when it was last there; see
    /// [`is_closed`](crate::server::policy::is_closed).
    pub closed: bool,
    /// Nobody reads what was said before this moment, in milliseconds since 1970.
    pub since: u64,
}

/// Everything that the state is rebuilt from at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The database's epoch, for [`MsgId`].
    pub epoch: u32,
    /// The database's secret: chosen at random when it was made, and never shown.
    pub secret: [u8; 32],
    /// What the secrets of authenticators are derived with. It is in a file beside the database, so that the database
    /// alone does not tell them.
    pub second_key: [u8; 32],
    /// How often this database was started, this time included.
    pub boot: u32,
    /// The casemapping by which its names are folded.
    pub casemapping: Casemapping,
    /// The highest number that any row has.
    pub last_seq: Seq,
    /// The accounts.
    pub accounts: Vec<AccountRow>,
    /// What they log in with, by account.
    pub credentials: Vec<CredentialsRow>,
    /// The codes that were mailed, or are to be.
    pub codes: Vec<CodeRow>,
    /// The channels that are kept.
    pub channels: Vec<ChannelRow>,
    /// Their lists.
    pub lists: Vec<ListRow>,
    /// The conversations, each with the time of its last row and of its last text (0: none).
    pub conversations: Vec<(ConversationRow, u64, u64)>,
    /// Where each device stands. Devices that were connected when the server died have been given
    /// `last_seq` already.
    pub seen: Vec<SeenRow>,
    /// The read markers.
    pub markers: Vec<MarkerRow>,
    /// The bans of the server, in the order in which they were made.
    pub bans: Vec<BanRow>,
    /// What accounts are in registered channels.
    pub access: Vec<AccessRow>,
    /// Nicks that belong to accounts beside their names.
    pub grouped: Vec<GroupedRow>,
    /// Accounts that nobody may use.
    pub suspensions: Vec<SuspensionRow>,
    /// Channels that are closed for good.
    pub purges: Vec<PurgeRow>,
    /// Keys of accounts and channels.
    pub metadata: Vec<MetadataRow>,
    /// Those who are always on.
    pub presences: Vec<PresenceRow>,
    /// Devices that take web push, by account and endpoint.
    pub subscriptions: Vec<SubscriptionRow>,
    /// Conversations that were pushed and not read since, by account and key.
    pub pushed: Vec<PushedRow>,
    /// The server's keys for web push.
    pub vapid: Vec<VapidRow>,
    /// What was chosen, by owner.
    pub settings: Vec<SettingRow>,
}

/// A border of a history query. Exclusive, but for `AROUND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// A message, by its number.
    Seq(Seq),
    /// A moment, in milliseconds since 1970.
    Time(u64),
}

/// Which messages of a conversation (CHATHISTORY's subcommands); all are answered in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The newest, and only those after the border if there is one.
    Latest(Option<Border>),
    /// The newest of those before.
    Before(Border),
    /// The oldest of those after.
    After(Border),
    /// Half before, half after; a stored message that is the border itself is there too.
    Around(Border),
    /// Those between, counted from the first border (so a first border that is later takes the newest).
    Between(Border, Border),
}

/// For whom history is rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Its capabilities.
    pub caps: CapSet,
    /// The server's name, for BATCH lines.
    pub server: Arc<str>,
    /// The label of the command, escaped, for the first line.
    pub label: Option<Box<str>>,
    /// The reference of the batch; `None` where the client has no `batch`.
    pub batch: Option<Box<str>>,
    /// The type of the batch.
    pub batch_type: &'static str,
    /// What the batch is named after: the channel, or the peer's nick; empty where it is several.
    pub target: Box<str>,
    /// What the channels among the conversations are called now: under that name their rows are shown, whatever name
    /// they were said under.
    pub channels: SmallVec<[(ConversationId, Box<str>); 1]>,
    /// The database's epoch.
    pub epoch: u32,
    /// What the reader has said and shown itself, and is not sent: behind the first of each pair of changes, up to the
    /// second.
    pub own: Box<[(Seq, Seq)]>,
    /// Of what is left without that, so many rows, the newest.
    pub most: u32,
    /// When the messages are told by HistServ, each as a NOTICE with its time and who said it: in milliseconds since 1970.
    pub told: Option<u64>,
    /// In a private conversation: the reader's own current nick, and its identity as in
    /// [`ConversationRow::key`] is not needed: rows keep their own targets.
    pub nick: Box<str>,
}

impl Reader {
    /// Whether the reader has shown a row itself.
    pub fn has_shown(&self, seq: Seq, row: &MessageRow) -> bool {
        row.kind.is_text() && self.own.iter().any(|(before, last)| (before + 1..=*last).contains(&seq))
    }

    /// What a row is shown to have been said to: of a channel, by the name that it has now. A STATUSMSG prefix stays.
    pub fn target_of<'a>(&self, row: &'a MessageRow) -> Cow<'a, str> {
        let prefix = row.target.chars().next().and_then(Rank::by_prefix).map_or(0, |rank| rank.prefix().len_utf8());
        let (prefix, said_to) = row.target.split_at(prefix);
        let now = self.channels.iter().find(|(id, _)| *id == row.conversation).map(|(_, name)| &**name);
        match now.filter(|now| said_to.starts_with('#') && said_to != *now) {
            Some(now) => format!("{prefix}{now}").into(),
            None => Cow::Borrowed(&row.target),
        }
    }

    /// Which kinds of rows about a message come after it, and how many of each, the newest: only what the reader
    /// may get in a batch by the capabilities that it has. All edits of a message say the same: how it reads now.
    pub fn context(&self) -> SmallVec<[(Kind, usize); 2]> {
        let mut kinds = SmallVec::new();
        if self.batch.is_some() && self.caps.has_all(CapSet::of(&[Cap::EventPlayback, Cap::MessageTags])) {
            kinds.push((Kind::Tagmsg, CONTEXT_A_MESSAGE));
        }
        if self.batch.is_some() && self.caps.has_all(edit::NEEDED) {
            kinds.push((Kind::Edit, 1));
        }
        kinds
    }
}

/// A row that is about a message of a page, and is sent after that (`draft/chathistory-context`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRow {
    /// The number of the message.
    pub parent: Seq,
    /// The row's own number.
    pub seq: Seq,
    /// The row.
    pub row: MessageRow,
}

/// Which kinds of rows a reader wants beside text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What is neither text nor a redaction (`draft/event-playback`), but for the two below.
    pub events: bool,
    /// Redactions (`draft/message-redaction`).
    pub redactions: bool,
    /// Of events, edits too (`draft/message-edit`).
    pub edits: bool,
    /// Of events, tags alone, too (TAGMSG, `message-tags`).
    pub tagmsgs: bool,
}

impl Wanted {
    /// Everything.
    pub const ALL: Wanted = Wanted { events: true, redactions: true, edits: true, tagmsgs: true };

    /// Whether rows of this kind are wanted.
    pub fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Privmsg | Kind::Notice => true,
            Kind::Redact => self.redactions,
            Kind::Edit => self.events && self.edits,
            Kind::Tagmsg => self.events && self.tagmsgs,
            _ => self.events,
        }
    }
}

/// A question about one or more conversations. Rows are filtered before they are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Which messages of it.
    pub range: Range,
    /// At most so many.
    pub limit: u32,
    /// Which kinds of rows.
    pub wanted: Wanted,
    /// Only rows after this number: what the reader may see.
    pub floor: Seq,
    /// Only rows of this moment or later, in milliseconds since 1970: what is kept, and what the reader may see.
    pub since: u64,
    /// For whom to render.
    pub reader: Reader,
}

/// A question for text (PRIVMSG and NOTICE) that has all of some words, wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery {
    /// In these conversations, each from a moment on, in milliseconds since 1970: what the reader may read.
    pub places: Vec<(ConversationId, u64)>,
    /// Only rows after this number.
    pub floor: Seq,
    /// What must all be in the text, as [`words`](crate::server::search::words) makes them.
    pub words: Vec<Box<str>>,
    /// By whoever had this nick then.
    pub from: Option<Box<str>>,
    /// Said at this moment or later; then the oldest are meant, and without it the newest.
    pub after: Option<u64>,
    /// Said at this moment or earlier.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
    /// For whom to render.
    pub reader: Reader,
}

impl SearchQuery {
    /// The conversations that it looks through.
    pub fn conversations(&self) -> Vec<ConversationId> {
        self.places.iter().map(|(conversation, _)| *conversation).collect()
    }
}

/// What of a conversation is to be here no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Whatever is older than this moment, in milliseconds since 1970.
    pub before: u64,
    /// Text (and beside it events, and redactions) older than the newest so many; `None` does not count.
    pub most: Option<u32>,
    /// The database's epoch: what is about a message goes with it, and names it by its id.
    pub epoch: u32,
}

/// The answer: whole lines, in pieces of about 16 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The lines, in order, with the BATCH lines round them where the reader has a batch reference.
    pub chunks: Vec<Bytes>,
    /// How many messages are in it.
    pub messages: u32,
    /// The number of the last of them; 0 without any.
    pub last: Seq,
    /// Where its range has more than that: the moment of the first of them, in milliseconds since 1970.
    pub cut_at: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::MsgId;

    /// The store looks for what is about messages up to one by their ids.
    #[test]
    fn the_ids_of_a_database_stand_in_the_order_of_their_numbers() {
        let ids = |epoch: u32| {
            let numbers = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain([u64::MAX]);
            numbers.map(move |seq| MsgId { epoch, seq }.to_string()).collect::<Vec<_>>()
        };
        for epoch in [0, 7, u32::MAX] {
            let ids = ids(epoch);
            assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 20), "{ids:?}");
        }
    }
}
