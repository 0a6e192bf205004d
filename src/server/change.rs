//! The one order: every alteration of the shared state is a [`Change`] that gets one number and is
//! applied here, and nowhere else. Below, what several changes have in common.

use std::sync::Arc;

use ircv3::mode::{ModeChange, Ranks};
use ircv3::sasl::ecdsa::PublicKey;
use ircv3::sasl::scram::Credential;

use crate::accounts::Secrets;
use crate::server::authtoken::{self, Token};
use crate::server::ban::Target;
use crate::server::channel::Channel;
use crate::server::command::amend::Amendment;
use crate::server::command::force::Force;
use crate::server::command::message::{self, Said};
use crate::server::command::register::{By, Wanted};
use crate::server::command::relaymsg::Relayed;
use crate::server::command::services::chanserv::clear::What;
use crate::server::command::services::chanserv::transfer::Step;
use crate::server::command::services::chanserv::{self, amode, clear, deed, op, purge, transfer};
use crate::server::command::services::nickserv::{credentials, erase, group, notify, set, suspend};
use crate::server::command::{
    Pending, accept, amend, away, control, force, invite, join, kick, knock, markread, metadata, mode, nick, oper,
    part, printable, register, relaymsg, rename, services, setname, silence, topic, uban, verify, vhost, webpush,
};
use crate::server::event::ConnId;
use crate::server::frame::Frame;
use crate::server::network::{ChannelId, Identity, Stand, UserId};
use crate::server::reading::said_in;
use crate::server::record::{
    AccountId, AppPassword, Kind, MessageRow, Purpose, Record, Seq, SettingRow, SubscriptionRow,
};
use crate::server::retention::SERVER;
use crate::server::second::{self, SecondChange};
use crate::server::{Ctx, Server, presence};

/// Something that alters the shared state, as it was asked for: names as they were given, values that
/// were parsed. Whether it may happen is decided when it is applied, so that there is no gap between
/// check and use.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// The sender's connection becomes a user.
    Arrive {
        /// Its nick, which is free.
        nick: &'a str,
        /// The user name, as given.
        user: &'a str,
        /// The real name, as given.
        realname: &'a str,
    },
    /// The sender's connection is one more of a user's.
    Attach {
        /// Whose.
        user: UserId,
        /// The nick that it came under, which is free, where that is another.
        nick: Option<&'a str>,
    },
    /// A user whose last connection has gone leaves the network.
    Quit {
        /// Who.
        user: UserId,
        /// Why.
        reason: &'a str,
        /// A connection of its own that is told of it.
        shown: Option<ConnId>,
        /// What has been kept of it already, so that whoever is told waits for that.
        after: Seq,
    },
    /// The connections of a user have changed: it is away, or back.
    AwaySum {
        /// Who.
        user: UserId,
        /// The connection that came, where one did.
        came: Option<ConnId>,
    },
    /// Whoever is always on goes on under the nick of its account.
    OwnNick {
        /// Who; the nick is free.
        user: UserId,
    },
    /// A user has logged in to an account.
    LoggedIn {
        /// Who.
        user: UserId,
        /// To which.
        account: AccountId,
        /// Its name.
        name: Arc<str>,
    },
    /// A device came (`None`), or went and has been shown everything up to here, or is being replayed what comes behind.
    Seen {
        /// Whose.
        account: AccountId,
        /// Which; empty without a name.
        device: &'a str,
        /// Up to where, and what it is owed besides.
        stand: Stand,
    },
    /// PRIVMSG, NOTICE, TAGMSG to one target.
    Message(&'a Said<'a>),
    /// JOIN of one channel.
    Join {
        /// A name that a channel may have.
        channel: &'a str,
        /// The key.
        key: Option<&'a str>,
    },
    /// PART from one channel.
    Part {
        /// The channel.
        channel: &'a str,
        /// Why.
        reason: Option<&'a str>,
    },
    /// KICK of one member.
    Kick {
        /// The channel.
        channel: &'a str,
        /// Whom.
        nick: &'a str,
        /// Why; may be empty.
        reason: &'a str,
    },
    /// TOPIC; empty takes it away.
    Topic {
        /// The channel.
        channel: &'a str,
        /// What it says.
        text: &'a str,
    },
    /// MODE of a channel.
    ChannelModes {
        /// The channel.
        channel: &'a str,
        /// The changes; questions for lists may be among them.
        changes: &'a [ModeChange<'a>],
    },
    /// MODE of the sender.
    UserModes {
        /// As given, such as `+B-i`.
        modes: &'a str,
        /// The letters of mode `s`, such as `+ck`.
        mask: Option<&'a str>,
    },
    /// NICK of a user.
    Nick {
        /// A nick that is possible.
        nick: &'a str,
    },
    /// AWAY; empty is back.
    Away {
        /// Why.
        text: &'a str,
    },
    /// SETNAME
    Setname {
        /// The new real name.
        realname: &'a str,
    },
    /// INVITE
    Invite {
        /// Whom.
        nick: &'a str,
        /// Into which channel.
        channel: &'a str,
    },
    /// ACCEPT of someone, or with `-` no longer.
    Accept {
        /// Whom.
        nick: &'a str,
        /// Whether it is put on the list.
        add: bool,
    },
    /// SILENCE of a mask, or no longer.
    Silence {
        /// As given.
        mask: &'a str,
        /// Whether it is put on the list.
        add: bool,
    },
    /// KNOCK
    Knock {
        /// At which channel.
        channel: &'a str,
        /// Why; may be empty.
        reason: &'a str,
    },
    /// MARKREAD with a time.
    Marker {
        /// A channel or nick that is possible.
        target: &'a str,
        /// In milliseconds since 1970.
        time: u64,
    },
    /// RELAYMSG, NPC, NPCA, SCENE
    Relayed(&'a Relayed<'a>),
    /// RENAME of a channel
    Rename {
        /// The channel.
        old: &'a str,
        /// A name that a channel may have.
        new: &'a str,
        /// Why; may be empty.
        reason: &'a str,
    },
    /// METADATA SET
    Metadata {
        /// A nick or channel, or `*`.
        target: &'a str,
        /// As given.
        key: &'a str,
        /// As given; `None` removes the key.
        value: Option<&'a str>,
    },
    /// METADATA CLEAR
    MetadataClear {
        /// A nick or channel, or `*`.
        target: &'a str,
    },
    /// REDACT, EDIT of a message that stands in the store so.
    Amend(&'a Amendment, &'a MessageRow),
    /// OPER with the right password or certificate.
    OperUp {
        /// As which operator.
        name: &'a str,
    },
    /// UBAN ADD, KLINE, DLINE.
    Ban(&'a uban::Asked<'a>),
    /// UBAN DEL, UNKLINE, UNDLINE, or a ban that is over.
    Unban {
        /// Whose.
        target: &'a Target,
    },
    /// SAJOIN, SAPART, SANICK, SAMODE.
    Force(Force<'a>),
    /// CHGHOST, SETHOST.
    Host {
        /// Of whom.
        nick: &'a str,
        /// A host that may be shown.
        host: &'a str,
    },
    /// DEFCON
    Defcon {
        /// From 5, which closes nothing, to 1.
        level: u8,
    },
    /// A new account.
    Account {
        /// Its name, its address and who asked for it.
        wanted: &'a Wanted<'a>,
        /// What is kept of its password; `None` where it has none.
        secrets: Option<&'a Secrets>,
        /// The code that its address is to be verified with; `None` where that is not asked for.
        code: Option<&'a str>,
    },
    /// VERIFY with the right code.
    Verified {
        /// Which account.
        account: AccountId,
        /// Who gave it.
        by: By,
    },
    /// The letter with a code has gone out.
    CodeMailed {
        /// Of which account.
        account: AccountId,
        /// What for.
        purpose: Purpose,
    },
    /// A code is over.
    CodeOver {
        /// Of which account.
        account: AccountId,
        /// What for.
        purpose: Purpose,
    },
    /// A code for an account that is there already.
    Code {
        /// Which account.
        account: AccountId,
        /// What for.
        purpose: Purpose,
        /// To which address it is mailed.
        email: &'a str,
        /// The code.
        code: &'a str,
        /// Whether the sender waits for that.
        waits: bool,
    },
    /// Another address.
    Email {
        /// Whose.
        account: AccountId,
        /// One that somebody has shown to read, or none.
        email: Option<&'a str>,
    },
    /// NickServ UNREGISTER, ERASE
    DropAccount {
        /// Which account.
        account: AccountId,
        /// Whether all that it ever said goes, too.
        messages: bool,
    },
    /// NickServ ERASEMESSAGES
    EraseMessages {
        /// Which account.
        account: AccountId,
    },
    /// NickServ SUSPEND ADD
    Suspend {
        /// Which account.
        account: AccountId,
        /// For how many seconds; `None` until it is taken away.
        lasts: Option<u64>,
        /// Why.
        reason: &'a str,
    },
    /// NickServ SUSPEND DEL, or one that is over.
    Unsuspend {
        /// Which account.
        account: AccountId,
    },
    /// Another password.
    Password {
        /// Whose.
        account: AccountId,
        /// What is kept of it.
        secrets: &'a Secrets,
        /// Who gives it.
        by: &'a credentials::By,
    },
    /// Another way to log in, or one less.
    Credentials {
        /// Whose.
        account: AccountId,
        /// What is other.
        change: CredentialChange<'a>,
    },
    /// 2FA, NickServ 2FA, and a login that gives the second factor.
    Second {
        /// Whose.
        account: AccountId,
        /// What is other.
        change: &'a SecondChange<'a>,
    },
    /// NickServ GROUP, UNGROUP
    Group {
        /// Whose.
        account: AccountId,
        /// Which nick.
        nick: &'a str,
        /// Whether it belongs to the account from now on.
        on: bool,
    },
    /// TOKEN GENERATE
    Token {
        /// SHA-256 of the token.
        hash: [u8; 32],
        /// What it is good for.
        token: &'a Token,
    },
    /// TOKEN VALIDATE, of a token that there was.
    TokenSpent {
        /// SHA-256 of the token.
        hash: [u8; 32],
    },
    /// NickServ SET ALWAYS-ON, PERSISTENCE SET
    AlwaysOn {
        /// Whose.
        account: AccountId,
        /// On or off; `None` leaves it to the server.
        chosen: Option<bool>,
        /// Whether NickServ answers.
        by_nickserv: bool,
    },
    /// NickServ SET MULTICLIENT
    Multiclient {
        /// Whose.
        account: AccountId,
        /// On or off.
        on: bool,
    },
    /// NickServ SET AUTOREPLAY-MISSED
    AutoreplayMissed {
        /// Whose.
        account: AccountId,
        /// On or off.
        on: bool,
    },
    /// WEBPUSH REGISTER
    Subscribe(&'a SubscriptionRow),
    /// WEBPUSH UNREGISTER
    Unsubscribe {
        /// Whose.
        account: AccountId,
        /// Which.
        endpoint: &'a str,
    },
    /// A device that takes web push is to be reached no more.
    DeviceOver {
        /// Whose.
        account: AccountId,
        /// Which, by its endpoint.
        endpoint: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A push has reached a device.
    DeviceReached {
        /// Whose.
        account: AccountId,
        /// Which, by its endpoint.
        endpoint: &'a str,
    },
    /// A conversation is pushed to the devices of an account that had nothing unread in it.
    Pushed {
        /// Whose.
        account: AccountId,
        /// The conversation's key.
        conversation: &'a str,
        /// `time` of the message.
        first: u64,
    },
    /// NickServ NOTIFY: what an account says of something for itself alone.
    Notify {
        /// Whose.
        account: AccountId,
        /// A channel or nick, or `*`.
        target: &'a str,
        /// Which key, as METADATA has it.
        key: &'a str,
        /// Its value; `None` removes it.
        value: Option<&'a str>,
    },
    /// ChanServ REGISTER
    RegisterChannel {
        /// The channel.
        channel: &'a str,
    },
    /// ChanServ DROP
    DropChannel {
        /// The channel.
        channel: &'a str,
    },
    /// ChanServ OP, DEOP, VOICE, DEVOICE
    ServiceRank(&'a op::Given<'a>),
    /// ChanServ KICK, BAN, UNBAN, INVITE, TOPIC
    ServiceDeed(&'a deed::Asked<'a>),
    /// ChanServ AMODE
    Access(&'a amode::Given<'a>),
    /// ChanServ SET
    ChannelSetting(&'a chanserv::set::Wanted<'a>),
    /// NickServ SET and SASET of what is kept beside the account's row.
    AccountSetting {
        /// Whose.
        account: AccountId,
        /// What, with their new values.
        values: &'a [(&'static str, Option<Box<str>>)],
        /// What is said then; empty: nothing.
        said: &'a str,
        /// Which service says it.
        service: &'static str,
    },
    /// HistServ DELETE of a message that stands in the store so.
    Delete {
        /// The channel, by serial.
        channel: u64,
        /// The message's number.
        message: Seq,
        /// As it stands there.
        row: &'a MessageRow,
    },
    /// Something that the server notes for its next start.
    Noted {
        /// What it is called.
        key: &'static str,
        /// Its value.
        value: &'a str,
    },
    /// What a start found otherwise than the store has it; see [`unsettled`](crate::server::unsettled).
    Settled,
    /// Something is being used.
    Used {
        /// An account,
        account: Option<AccountId>,
        /// or a channel.
        channel: Option<ChannelId>,
    },
    /// A registered channel that nobody uses.
    ChannelLapsed {
        /// Which.
        channel: ChannelId,
    },
    /// ChanServ TRANSFER
    Transfer {
        /// The channel.
        channel: &'a str,
        /// Which step of it.
        step: Step<'a>,
    },
    /// ChanServ CLEAR
    ClearChannel {
        /// The channel.
        channel: &'a str,
        /// What of it.
        what: What,
    },
    /// ChanServ PURGE
    Purge {
        /// A name that a channel may have.
        channel: &'a str,
        /// Why it is closed; `None` opens it again.
        reason: Option<&'a str>,
    },
}

/// What is other about the credentials of an account.
#[derive(Clone, Debug)]
pub enum CredentialChange<'a> {
    /// What SCRAM keeps of its password, which was seen at a login.
    Scram(&'a [Credential]),
    /// Our own hash of its password, which was seen at a login, in place of one that was imported.
    Rehashed(&'a Secrets),
    /// NickServ CERT ADD, of a fingerprint.
    AddCertificate(&'a str),
    /// NickServ CERT DEL.
    RemoveCertificate(&'a str),
    /// NickServ SET PUBKEY.
    Key(Option<PublicKey>),
    /// NickServ APPPASS ADD: what is kept of it, and the password itself, which is shown once.
    AddApp(&'a AppPassword, &'a str),
    /// NickServ APPPASS DEL, by name.
    RemoveApp(&'a str),
}

/// How a change is refused that cannot be kept.
enum Refusal<'a> {
    /// FAIL with a command, a code and a context.
    Fail(&'static str, &'static str, &'a str),
    /// In words of a service.
    Service(&'static str),
}

impl Server {
    /// Puts a change of the sender's into the order and applies it; its answers go to `ctx`.
    ///
    /// While the store cannot write and nothing is to happen that it does not keep, a change that has to
    /// be kept is refused.
    pub fn submit(&mut self, ctx: &mut Ctx, change: Change<'_>) {
        if self.store_refuses()
            && let Some(refusal) = self.refusal(ctx, &change)
        {
            match refusal {
                Refusal::Fail(command, code, context) => {
                    let context = printable(context);
                    let text = "The server cannot store anything now, so nothing was done; try again later";
                    ctx.reply.fail(command, code, &[context], text);
                }
                Refusal::Service(service) => {
                    services::say(ctx, service, "The server cannot store anything now; try again later");
                }
            }
            return;
        }
        let seq = self.number();
        self.apply(ctx, seq, change);
    }

    /// As [`Server::submit`], for a change that nobody asked for who could be answered.
    pub fn submit_alone(&mut self, change: Change<'_>) {
        let mut nobody = self.ctx(ConnId::NONE, None);
        self.submit(&mut nobody, change);
    }

    /// What to say where a change must be kept, and the store cannot; `None` where it need not be.
    ///
    /// Coming, going and joining are never refused: while the store fails they are not in history. Another nick is to
    /// whoever is always on, for so much would have to be kept with it each time.
    fn refusal<'a>(&self, ctx: &Ctx, change: &Change<'a>) -> Option<Refusal<'a>> {
        let kept = |channel: &str| match self.network.channel_by_name(channel) {
            Some(id) => self.keeps_history(id) || self.network.channels[id].is_kept(),
            None => self.settings.history,
        };
        match change {
            Change::Message(said) => message::is_kept(self, ctx.me(), said).then_some(Refusal::Fail(
                message::name_of(said.kind),
                "MESSAGE_ERROR",
                said.target,
            )),
            Change::Relayed(relayed) => {
                kept(relayed.channel).then_some(Refusal::Fail(relayed.command, "MESSAGE_ERROR", relayed.channel))
            }
            Change::Rename { old, .. } => kept(old).then_some(Refusal::Fail("RENAME", "CANNOT_RENAME", old)),
            Change::Kick { channel, .. } => {
                kept(channel).then_some(Refusal::Fail("KICK", "TEMPORARILY_UNAVAILABLE", channel))
            }
            Change::Topic { channel, .. } => {
                kept(channel).then_some(Refusal::Fail("TOPIC", "TEMPORARILY_UNAVAILABLE", channel))
            }
            Change::ChannelModes { channel, .. } | Change::Force(Force::Modes { channel, .. }) => {
                kept(channel).then_some(Refusal::Fail("MODE", "TEMPORARILY_UNAVAILABLE", channel))
            }
            // With someone who is always on all channels are kept that nobody else holds, whole.
            Change::Nick { nick } => {
                let account = self.network.users.get(ctx.me()).and_then(|user| user.account);
                let stays = account
                    .and_then(|id| self.network.account(id))
                    .is_some_and(|row| presence::is_chosen(&self.settings, row.always_on));
                stays.then_some(Refusal::Fail("NICK", "TEMPORARILY_UNAVAILABLE", nick))
            }
            Change::Marker { target, .. } => {
                let account = self.network.users.get(ctx.me()).and_then(|user| user.account);
                account.map(|_| Refusal::Fail("MARKREAD", "INTERNAL_ERROR", target))
            }
            Change::Metadata { target, .. } | Change::MetadataClear { target } => {
                let account = self.network.users.get(ctx.me()).and_then(|user| user.account);
                let kept = account.is_some() || target.starts_with('#');
                kept.then_some(Refusal::Fail("METADATA", "RATE_LIMITED", target))
            }
            Change::Amend(amendment, _) => {
                let (command, code) = (amendment.deed.command(), amendment.deed.codes().1);
                Some(Refusal::Fail(command, code, &amendment.target))
            }
            Change::Account { wanted: Wanted { by: By::NickServ | By::Operator, .. }, .. }
            | Change::Verified { by: By::NickServ, .. }
            | Change::Code { .. }
            | Change::Email { .. }
            | Change::DropAccount { .. }
            | Change::EraseMessages { .. }
            | Change::Suspend { .. }
            | Change::Unsuspend { .. }
            | Change::Password { .. }
            | Change::Credentials { .. }
            | Change::AlwaysOn { by_nickserv: true, .. }
            | Change::Multiclient { .. }
            | Change::Notify { .. }
            | Change::Group { .. }
            | Change::AutoreplayMissed { .. } => Some(Refusal::Service("NickServ")),
            Change::Subscribe(_) => Some(Refusal::Fail("WEBPUSH", "INTERNAL_ERROR", "REGISTER")),
            Change::Unsubscribe { .. } => Some(Refusal::Fail("WEBPUSH", "INTERNAL_ERROR", "UNREGISTER")),
            Change::Second { change, .. } => match change {
                SecondChange::Add { by: second::By::Command, .. }
                | SecondChange::Remove { by: second::By::Command, .. }
                | SecondChange::On(second::By::Command)
                | SecondChange::Off { by: second::By::Command, .. } => {
                    Some(Refusal::Fail("2FA", "TEMPORARILY_UNAVAILABLE", "*"))
                }
                // Whoever gives it has been refused already.
                SecondChange::Given { .. } => None,
                _ => Some(Refusal::Service("NickServ")),
            },
            Change::AccountSetting { service, .. } => Some(Refusal::Service(service)),
            Change::Delete { .. } => Some(Refusal::Service("HistServ")),
            Change::AlwaysOn { .. } => Some(Refusal::Fail("PERSISTENCE", "UNKNOWN_ERROR", "SET")),
            Change::Account { wanted, .. } => Some(Refusal::Fail("REGISTER", "TEMPORARILY_UNAVAILABLE", wanted.name)),
            Change::Verified { .. } => Some(Refusal::Fail("VERIFY", "TEMPORARILY_UNAVAILABLE", "*")),
            Change::RegisterChannel { .. }
            | Change::DropChannel { .. }
            | Change::Access(_)
            | Change::ServiceDeed(_)
            | Change::ChannelSetting(_)
            | Change::Transfer { .. }
            | Change::ClearChannel { what: What::Access | What::History, .. }
            | Change::ChannelLapsed { .. }
            | Change::Purge { .. } => Some(Refusal::Service("ChanServ")),
            Change::Ban(_) | Change::Unban { .. } => Some(Refusal::Fail("UBAN", "TEMPORARILY_UNAVAILABLE", "*")),
            Change::Arrive { .. }
            | Change::Attach { .. }
            | Change::Quit { .. }
            | Change::LoggedIn { .. }
            | Change::AwaySum { .. }
            | Change::OwnNick { .. }
            | Change::Seen { .. }
            | Change::Used { .. }
            | Change::Noted { .. }
            | Change::Settled
            | Change::Join { .. }
            | Change::Part { .. }
            | Change::UserModes { .. }
            | Change::Away { .. }
            | Change::Setname { .. }
            | Change::Invite { .. }
            | Change::Accept { .. }
            | Change::Silence { .. }
            | Change::Knock { .. }
            | Change::OperUp { .. }
            | Change::Force(Force::Join { .. } | Force::Part { .. } | Force::Nick { .. })
            | Change::Host { .. }
            | Change::Defcon { .. }
            | Change::CodeMailed { .. }
            | Change::CodeOver { .. }
            | Change::DeviceOver { .. }
            | Change::DeviceReached { .. }
            | Change::Token { .. }
            | Change::TokenSpent { .. }
            | Change::Pushed { .. }
            | Change::ClearChannel { what: What::Users, .. }
            | Change::ServiceRank(_) => None,
        }
    }

    /// Makes every check, alters the state, keeps what is kept under `seq`, and says what to send.
    fn apply(&mut self, ctx: &mut Ctx, seq: Seq, change: Change<'_>) {
        // What bans go by may be another now.
        match &change {
            Change::LoggedIn { user, .. } => self.to_judge.push(*user),
            Change::Nick { .. } | Change::Setname { .. } | Change::UserModes { .. } => self.to_judge.extend(ctx.user),
            _ => {}
        }
        match change {
            Change::Arrive { nick, user, realname } => self.introduce(ctx, seq, nick, user, realname),
            Change::Attach { user, nick } => self.attach(ctx, seq, user, nick),
            Change::Quit { user, reason, shown, after } => self.quit(seq, user, reason, shown, after),
            Change::LoggedIn { user, account, name } => {
                let before = self.network.users[user].account;
                markread::hand_over(self, ctx, seq, user, account);
                if before.is_none() {
                    let nick = self.network.users[user].nick.clone();
                    self.take_talks_along(seq, user, &Identity::Account(account), &nick);
                }
                self.set_account(ctx, user, account, name);
                chanserv::op::up_everywhere(self, ctx, user, before);
            }
            Change::AwaySum { user, came } => {
                self.apply_away(user, came);
            }
            Change::OwnNick { user } => self.take_own_nick(seq, user),
            Change::Seen { account, device, stand } => self.note_stand(seq, account, device, stand),
            Change::Message(said) => message::apply(self, ctx, seq, said),
            Change::Join { channel, key } => join::apply(self, ctx, seq, channel, key),
            Change::Part { channel, reason } => part::apply(self, ctx, seq, channel, reason),
            Change::Kick { channel, nick, reason } => kick::apply(self, ctx, seq, channel, nick, reason),
            Change::Topic { channel, text } => topic::apply(self, ctx, seq, channel, text),
            Change::ChannelModes { channel, changes } => mode::apply(self, ctx, seq, channel, changes),
            Change::UserModes { modes, mask } => mode::apply_to_user(self, ctx, modes, mask),
            Change::Nick { nick } => nick::apply(self, ctx, seq, nick),
            Change::Away { text } => away::apply(self, ctx, text),
            Change::Setname { realname } => setname::apply(self, ctx, realname),
            Change::Invite { nick, channel } => invite::apply(self, ctx, nick, channel),
            Change::Accept { nick, add } => accept::apply(self, ctx, nick, add),
            Change::Silence { mask, add } => silence::apply(self, ctx, mask, add),
            Change::Knock { channel, reason } => knock::apply(self, ctx, channel, reason),
            Change::Marker { target, time } => markread::apply(self, ctx, seq, target, time),
            Change::Relayed(relayed) => relaymsg::apply(self, ctx, seq, relayed),
            Change::Rename { old, new, reason } => rename::apply(self, ctx, seq, old, new, reason),
            Change::Metadata { target, key, value } => metadata::apply(self, ctx, seq, target, key, value),
            Change::MetadataClear { target } => metadata::apply_clear(self, ctx, seq, target),
            Change::Amend(amendment, row) => amend::apply(self, ctx, seq, amendment, row),
            Change::Force(force) => force::apply(self, ctx, seq, &force),
            Change::Host { nick, host } => vhost::apply(self, ctx, nick, host),
            Change::Defcon { level } => control::apply_defcon(self, ctx, level),
            Change::Ban(asked) => uban::apply(self, ctx, seq, asked),
            Change::Unban { target } => uban::apply_gone(self, ctx, seq, target),
            Change::OperUp { name } => oper::apply(self, ctx, name),
            Change::Account { wanted, secrets, code } => register::apply(self, ctx, seq, wanted, secrets, code),
            Change::Verified { account, by } => verify::apply(self, ctx, seq, account, by),
            Change::CodeMailed { account, purpose } => self.apply_mailed(seq, account, purpose),
            Change::CodeOver { account, purpose } => self.apply_over(seq, account, purpose),
            Change::Code { account, purpose, email, code, waits } => {
                let pending = waits.then(|| Pending::CodeMail { email: email.into() });
                self.put_code(ctx, seq, (account, purpose), email, code, pending);
            }
            Change::Email { account, email } => set::apply_email(self, ctx, seq, account, email),
            Change::DropAccount { account, messages } => erase::apply_account(self, ctx, seq, account, messages),
            Change::EraseMessages { account } => erase::apply_messages(self, ctx, seq, account),
            Change::Suspend { account, lasts, reason } => suspend::apply(self, ctx, seq, account, lasts, reason),
            Change::Unsuspend { account } => suspend::apply_gone(self, ctx, seq, account),
            Change::Password { account, secrets, by } => {
                credentials::apply_password(self, ctx, seq, account, secrets, by);
            }
            Change::Credentials { account, change } => credentials::apply(self, ctx, seq, account, &change),
            Change::Group { account, nick, on } => group::apply(self, ctx, seq, account, nick, on),
            Change::Token { hash, token } => authtoken::apply(self, hash, token),
            Change::TokenSpent { hash } => authtoken::apply_spent(self, &hash),
            Change::Second { account, change } => second::apply(self, ctx, seq, account, change),
            Change::AlwaysOn { account, chosen, by_nickserv } => {
                set::apply_always_on(self, ctx, seq, account, chosen, by_nickserv);
            }
            Change::Multiclient { account, on } => set::apply_multiclient(self, ctx, seq, account, on),
            Change::AutoreplayMissed { account, on } => set::apply_autoreplay(self, ctx, seq, account, on),
            Change::Subscribe(row) => webpush::apply(self, ctx, seq, row),
            Change::Unsubscribe { account, endpoint } => webpush::apply_gone(self, ctx, seq, account, endpoint),
            Change::DeviceOver { account, endpoint, reason } => {
                webpush::apply_over(self, seq, account, endpoint, reason);
            }
            Change::DeviceReached { account, endpoint } => webpush::apply_reached(self, seq, account, endpoint),
            Change::Pushed { account, conversation, first } => self.apply_pushed(account, conversation, first),
            Change::Notify { account, target, key, value } => {
                notify::apply(self, ctx, seq, account, target, key, value);
            }
            Change::RegisterChannel { channel } => chanserv::register::apply(self, ctx, seq, channel),
            Change::DropChannel { channel } => chanserv::register::apply_drop(self, ctx, seq, channel),
            Change::ServiceRank(given) => op::apply(self, ctx, given),
            Change::ServiceDeed(asked) => deed::apply(self, ctx, seq, asked),
            Change::Access(given) => amode::apply(self, ctx, seq, given),
            Change::Noted { key, value } => {
                let row = SettingRow { owner: SERVER.into(), key: key.into(), value: Some(value.into()) };
                self.keep(seq, Record::Setting(Box::new(row)));
            }
            Change::Settled => self.apply_settled(seq),
            Change::Used { account, channel } => self.apply_used(seq, account, channel),
            Change::ChannelLapsed { channel } => self.apply_lapsed(seq, channel),
            Change::ChannelSetting(wanted) => chanserv::set::apply(self, ctx, seq, wanted),
            Change::AccountSetting { account, values, said, service } => {
                set::apply_settings(self, ctx, seq, account, values, (service, said));
            }
            Change::Delete { channel, message, row } => {
                services::histserv::apply_delete(self, ctx, seq, channel, message, row);
            }
            Change::Transfer { channel, step } => transfer::apply(self, ctx, seq, channel, step),
            Change::ClearChannel { channel, what } => clear::apply(self, ctx, seq, channel, what),
            Change::Purge { channel, reason } => purge::apply(self, ctx, seq, channel, reason),
        }
    }
}

/// What happened in a channel, for history; see [`Kind`].
#[derive(Clone, Copy, Debug)]
pub struct Happened<'a> {
    /// What kind of event.
    pub kind: Kind,
    /// Its argument, where the kind has one.
    pub argument: Option<&'a str>,
    /// Its text.
    pub text: &'a str,
}

impl Server {
    /// Puts a user into a channel; what output that shows so waits for.
    pub fn add_member(&mut self, channel: ChannelId, user: UserId, ranks: Ranks) -> Seq {
        // Behind all that was said, however fast that came.
        let last = self.network.conversation(self.network.channels[channel].folded.as_str());
        let joined = last.map_or(0, |last| last.last_time + 1).max(self.clock());
        let there = &mut self.network.channels[channel];
        there.members.insert(user, ranks);
        there.joined.insert(user, joined);
        if ranks.is_empty() && (there.modes.has('D') || there.modes.has('u')) {
            there.unshown.insert(user);
        }
        there.forget_audience();
        let serial = there.serial;
        self.network.users[user].channels.push(channel);
        if self.network.users[user].presence_kept {
            self.hold_channel(channel);
        }
        if let Some(contacts) = &mut self.network.users[user].contacts {
            contacts.invites.retain(|(invited, _)| *invited != serial);
        }
        self.keep_presence(user)
    }

    /// Takes a user out of a channel; an empty channel that is not registered is no more. Output that shows so waits for
    /// [`Server::presence_wait`] of before.
    pub fn remove_member(&mut self, channel: ChannelId, user: UserId) {
        self.leave_channel(channel, user);
        self.keep_presence(user);
    }

    /// As [`Server::remove_member`], for a user who leaves the network.
    pub(super) fn leave_channel(&mut self, channel: ChannelId, user: UserId) {
        self.push_left(channel, user);
        let there = &mut self.network.channels[channel];
        there.members.shift_remove(&user);
        there.joined.remove(&user);
        there.unshown.swap_remove(&user);
        there.listeners = None;
        there.shared = None;
        for conn in &self.network.users[user].sessions {
            there.unhear(*conn);
        }
        let said = said_in(&self.network, channel);
        let left = &mut self.network.users[user];
        left.channels.retain(|other| *other != channel);
        left.told = left.told.max(said);
        mode::settle_delayed(self, channel);
        if self.network.channels[channel].members.is_empty() {
            self.release_channel(channel);
        }
        let there = &mut self.network.channels[channel];
        if there.members.is_empty() && !there.settings.keep_topic && there.topic.take().is_some() {
            let seq = self.last_seq();
            self.keep_channel(channel, seq);
        }
        self.network.drop_channel_if_empty(channel);
    }

    /// Keeps a message of a conversation under `seq`; its time, which rises within the conversation,
    /// and what output that shows it waits for.
    pub fn keep_message(&mut self, key: &str, seq: Seq, mut row: MessageRow) -> (u64, Seq) {
        let clock = self.clock();
        let (conversation, record) = self.network.conversation_or_new(key);
        let time = clock.max(conversation.last_time + 1);
        conversation.last_time = time;
        let before = conversation.last_said;
        let is_text = row.kind.is_text();
        if is_text {
            conversation.last_text = time;
            conversation.last_said = seq;
        }
        conversation.fresh = conversation.fresh.saturating_add(1);
        let fresh = conversation.fresh;
        let id = conversation.id;
        (row.conversation, row.time) = (id, time);
        if let Some(record) = record {
            self.keep(seq, record);
            if !key.starts_with('#') {
                self.note_begun(key, id);
            }
        }
        self.keep(seq, Record::Message(Box::new(row)));
        self.note_fresh(key, fresh);
        if is_text
            && !self.beside.is_empty()
            && let Some(channel) = self.network.channel_by_folded(key)
        {
            self.note_told_in(channel, before, seq);
        }
        (time, self.wait_for(seq))
    }

    /// Keeps an event of a channel, where history is on, and gives `frame` the time and the id that
    /// history will show, and what it waits for.
    ///
    /// Several rows of one change (a QUIT, a NICK) stand in several conversations under numbers of
    /// their own, so that each has its id; the frame has that of the first.
    pub fn keep_event(&mut self, frame: &mut Frame, channel: ChannelId, user: UserId, seq: Seq, event: Happened<'_>) {
        let there = &self.network.channels[channel];
        if !self.keeps_history(channel) || !there.settings.events.has(event.kind) || self.store_refuses() {
            return;
        }
        let (name, key) = (there.name.clone(), there.folded.clone());
        let user = &self.network.users[user];
        let row = MessageRow {
            conversation: 0,
            time: 0,
            kind: event.kind,
            source: user.source.clone(),
            account: user.account_name.clone(),
            bot: user.is_bot(),
            target: (*name).into(),
            tags: None,
            argument: event.argument.map(Into::into),
            text: event.text.into(),
        };
        let seq = if self.last_kept_is(seq) { self.number() } else { seq };
        let (time, after) = self.keep_message(key.as_str(), seq, row);
        frame.time = frame.time.max(time);
        frame.after = frame.after.max(after);
        frame.msgid.get_or_insert(self.msgid(seq));
    }

    /// Whether what is said in a channel is kept.
    pub fn keeps_history(&self, channel: ChannelId) -> bool {
        self.settings.history && self.network.channels[channel].settings.history
    }

    fn last_kept_is(&self, seq: Seq) -> bool {
        matches!(self.out.store.last(), Some((last, Record::Message(_))) if *last >= seq)
    }

    /// Keeps a channel as it is now, where it is kept; what output that shows the change waits for.
    pub fn keep_channel(&mut self, channel: ChannelId, seq: Seq) -> Seq {
        let Some(row) = self.network.channels[channel].row() else { return 0 };
        self.keep(seq, Record::Channel(Box::new(row)));
        let after = self.wait_for(seq);
        self.network.channels[channel].changed = after;
        after
    }

    /// Keeps a channel that was not kept under its name until now, with all that belongs to it; what output that shows
    /// the change waits for.
    pub fn keep_whole_channel(&mut self, channel: ChannelId, seq: Seq) -> Seq {
        let there = &self.network.channels[channel];
        let folded = there.folded.clone();
        let mut records: Vec<Record> = there.list_rows().into_iter().map(|row| Record::ListEntry(row.into())).collect();
        records.extend(there.access_rows().into_iter().map(|row| Record::Access(row.into())));
        records.extend(there.metadata_rows().into_iter().map(|row| Record::Metadata(row.into())));
        records.extend(there.settings.rows(folded.as_str()).into_iter().map(|row| Record::Setting(row.into())));
        if self.unsettled.take_channel(folded.as_str()) {
            // What is left there of an earlier one of the name is not this one's.
            self.keep(seq, Record::ChannelGone(folded.as_str().into()));
        }
        let after = self.keep_channel(channel, seq);
        for record in records {
            self.keep(seq, record);
        }
        after
    }

    /// Whether a channel is kept may have changed, which was so before: keeps all of it, or nothing any more. What output
    /// that shows the change waits for; `None` where it is as before.
    pub fn settle_channel(&mut self, channel: ChannelId, seq: Seq, was_kept: bool) -> Option<Seq> {
        let there = &self.network.channels[channel];
        match (was_kept, there.is_kept()) {
            (false, true) => Some(self.keep_whole_channel(channel, seq)),
            (true, false) => {
                let folded = there.folded.as_str().into();
                self.keep(seq, Record::ChannelGone(folded));
                Some(self.wait_for(seq))
            }
            _ => None,
        }
    }

    /// A channel by name, made where there is none; whether it is new or has no members.
    pub fn channel_or_new(&mut self, name: &str, seq: Seq) -> (ChannelId, bool) {
        match self.network.channel_by_name(name) {
            Some(id) => (id, self.network.channels[id].members.is_empty()),
            None => {
                let mut channel = Channel::new(name, self.network.casemapping, self.clock() / 1000);
                channel.changed = self.unsettled.after;
                let id = self.network.insert_channel(channel);
                let record = self.network.begin_anew(id);
                self.keep_conversation(id, seq, record);
                (id, true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::server::command::bulk::testing::Asked;
    use crate::server::event::Event;

    #[test]
    fn what_must_be_kept_is_refused_while_the_store_fails_and_nothing_is_queued_for_it() {
        let mut asked = Asked::new();
        let alice = asked.user_with("alice", "standard-replies");
        asked.user("bob");
        asked.ask(alice, "JOIN #a");
        asked.handle(Event::StoreFailed("disk full".into()));
        for (line, refused) in [
            ("PRIVMSG #a :text", ":irc.test FAIL PRIVMSG MESSAGE_ERROR #a :"),
            ("TOPIC #a :text", ":irc.test FAIL TOPIC TEMPORARILY_UNAVAILABLE #a :"),
            ("MODE #a +b x!*@*", ":irc.test FAIL MODE TEMPORARILY_UNAVAILABLE #a :"),
            ("KICK #a alice", ":irc.test FAIL KICK TEMPORARILY_UNAVAILABLE #a :"),
            ("CS REGISTER #a", ":ChanServ!ChanServ@services NOTICE alice :The server cannot store"),
        ] {
            let lines = asked.ask(alice, line);
            assert!(lines.len() == 1 && lines[0].starts_with(refused), "{line}: {lines:?}");
            assert!(asked.kept().is_empty(), "{line}");
        }
        // Reading, coming, going and what nobody keeps go on.
        assert_eq!(asked.ask(alice, "MODE #a b").len(), 1);
        assert_eq!(asked.ask(alice, "PRIVMSG bob :text"), Vec::<String>::new());
        assert_eq!(asked.ask(alice, "PART #a"), [":alice!~u@10.0.0.1 PART #a"]);
        assert!(asked.kept().is_empty());
        assert_eq!(asked.ask(alice, "NICK alicia").len(), 1);
        asked.handle(Event::StoreRecovered);
        asked.ask(alice, "NICK alice");
        asked.account("alice", 1);
        asked.ask(alice, "NS SET ALWAYS-ON ON");
        asked.handle(Event::StoreFailed("disk full".into()));
        let refused = asked.ask(alice, "NICK alicia");
        assert!(refused[0].starts_with(":irc.test FAIL NICK TEMPORARILY_UNAVAILABLE alicia :"), "{refused:?}");
        asked.handle(Event::StoreRecovered);
        asked.ask(alice, "JOIN #b");
        assert_eq!(asked.ask(alice, "TOPIC #b :text"), [":alice!~u@10.0.0.1 TOPIC #b :text"]);
        assert_eq!(asked.kept().len(), 2, "the conversation and its topic");
    }
}
