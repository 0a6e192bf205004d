//! The command table, and the running of a line: every check that all commands share is made here.

pub mod authenticate;
pub mod away;
pub mod batch;
pub mod bulk;
pub mod cap;
pub mod chathistory;
pub mod connection;
pub mod credentials;
pub mod info;
pub mod invite;
pub mod join;
pub mod kick;
pub mod list;
pub mod markread;
pub mod message;
pub mod metadata;
pub mod mode;
pub mod monitor;
pub mod names;
pub mod nick;
pub mod oper;
pub mod part;
pub mod persistence;
pub mod redact;
pub mod register;
pub mod relaymsg;
pub mod rename;
pub mod services;
pub mod setname;
pub mod topic;
pub mod userhost;
pub mod wallops;
pub mod webirc;
pub mod who;
pub mod whois;

use ircv3::Message;
use ircv3::numeric::Numeric;

use crate::server::event::Returned;
use crate::server::login::Attempt;
use crate::server::record::AccountId;
use crate::server::{Ctx, Server};

/// When a command may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At any time.
    Always,
    /// Once registered; 451 before.
    Registered,
}

/// A command: one row of the table.
pub struct Command {
    /// Its name, in capitals.
    pub name: &'static str,
    /// The fewest parameters; 461 for less.
    pub min_params: usize,
    /// When it may be used.
    pub when: When,
    /// What HELP says: its parameters.
    pub syntax: &'static str,
    /// What HELP says: what it does.
    pub help: &'static str,
    run: fn(&mut Server, &mut Ctx, &Message),
}

macro_rules! commands {
    ($($name:literal $min:literal $when:ident $run:path, $syntax:literal, $help:literal;)+) => {
        /// All commands, by name.
        pub const COMMANDS: &[Command] = &[$(Command {
            name: $name, min_params: $min, when: When::$when, syntax: $syntax, help: $help, run: $run,
        }),+];
    };
}

commands! {
    "ADMIN" 0 Registered info::admin, "[server]", "Who runs this server.";
    "AUTHENTICATE" 1 Always authenticate::run, "mechanism|response|*", "Logs in with SASL.";
    "AWAY" 0 Registered away::run, "[message]", "Says that you are away, or back.";
    "BATCH" 1 Registered batch::run, "+reference draft/multiline target | -reference", "Begins and ends a message of several lines.";
    "CAP" 0 Always cap::run, "LS|LIST|REQ|END [parameters]", "Negotiates capabilities.";
    "CHANSERV" 1 Registered services::chanserv, "command [parameters]", "Registers channels.";
    "CHATHISTORY" 1 Registered chathistory::run, "LATEST|BEFORE|AFTER|AROUND|BETWEEN|TARGETS parameters", "Reads what was said.";
    "CS" 1 Registered services::chanserv, "command [parameters]", "As CHANSERV.";
    "HELP" 0 Registered info::help, "[subject]", "Explains a command.";
    "HELPOP" 0 Registered info::help, "[subject]", "As HELP.";
    "INFO" 0 Registered info::info, "[server]", "What this server is.";
    "INVITE" 0 Registered invite::run, "[nick channel]", "Invites someone, or lists your invitations.";
    "ISON" 1 Registered userhost::ison, "nick ...", "Which of these are online.";
    "JOIN" 1 Registered join::run, "channels [keys] | 0", "Joins channels; 0 leaves all.";
    "KICK" 2 Registered kick::run, "channel nick[,nick...] [reason]", "Removes someone from a channel.";
    "KILL" 1 Registered oper::kill, "nick [reason]", "Ends someone's connection (operators).";
    "LIST" 0 Registered list::run, "[channels|masks|conditions]", "Lists channels.";
    "LUSERS" 0 Registered info::lusers_command, "", "Counts users and channels.";
    "MARKREAD" 0 Registered markread::run, "target [timestamp=time]", "Shows or moves your read marker.";
    "METADATA" 2 Always metadata::run, "target GET|LIST|SET|CLEAR|SUB|UNSUB|SUBS|SYNC [keys]", "Keys and values of people and channels.";
    "MODE" 1 Registered mode::run, "channel|nick [modes [parameters]]", "Shows or changes modes.";
    "MONITOR" 1 Registered monitor::run, "+|- nick[,nick...] | C | L | S", "Tells you when people come and go.";
    "MOTD" 0 Registered info::motd_command, "[server]", "The message of the day.";
    "NAMES" 0 Registered names::run, "[channel[,channel...]]", "Who is in a channel.";
    "NICK" 0 Always nick::run, "nick", "Takes a nick.";
    "NICKSERV" 1 Registered services::nickserv, "command [parameters]", "Registers and identifies accounts.";
    "NOTICE" 0 Registered message::notice, "target[,target...] text", "Says something that nothing answers by itself.";
    "NPC" 3 Registered relaymsg::npc, "channel name text", "Speaks for a character of a game.";
    "NPCA" 3 Registered relaymsg::npca, "channel name text", "Acts for a character of a game.";
    "NS" 1 Registered services::nickserv, "command [parameters]", "As NICKSERV.";
    "OPER" 2 Registered oper::run, "name password", "Makes you an operator.";
    "PART" 1 Registered part::run, "channel[,channel...] [reason]", "Leaves channels.";
    "PASS" 1 Always connection::pass, "password", "The server's password, or account:password.";
    "PERSISTENCE" 1 Registered persistence::run, "GET | SET ON|OFF|DEFAULT", "Whether you stay when you disconnect.";
    "PING" 0 Always connection::ping, "token", "Answered with PONG.";
    "PONG" 0 Always connection::pong, "token", "The answer to PING.";
    "PRIVMSG" 0 Registered message::privmsg, "target[,target...] text", "Says something.";
    "QUIT" 0 Always connection::quit, "[reason]", "Ends the connection.";
    "REDACT" 2 Registered redact::run, "target msgid [reason]", "Takes back what was said.";
    "REGISTER" 3 Always register::run, "account|* email|* password", "Makes an account.";
    "RELAYMSG" 3 Registered relaymsg::run, "channel nick text", "Speaks for someone on another network (channel operators).";
    "RENAME" 2 Registered rename::run, "channel name [reason]", "Gives a channel another name.";
    "SCENE" 2 Registered relaymsg::scene, "channel text", "Describes the scene of a game.";
    "SETNAME" 1 Registered setname::run, "realname", "Changes your real name.";
    "TAGMSG" 0 Registered message::tagmsg, "target[,target...]", "Sends tags alone.";
    "TIME" 0 Registered info::time, "[server]", "The server's time.";
    "TOPIC" 1 Registered topic::run, "channel [topic]", "Shows or sets a topic.";
    "USER" 4 Always connection::user, "name 0 * realname", "Says who you are, on connecting.";
    "USERHOST" 1 Registered userhost::run, "nick ...", "User names and hosts.";
    "VERIFY" 2 Always register::verify, "account code", "Verifies an account.";
    "VERSION" 0 Registered info::version, "[server]", "The server's version.";
    "WALLOPS" 0 Registered wallops::run, "text", "Tells everyone with user mode w (operators).";
    "WEBIRC" 4 Always webirc::run, "password gateway hostname address [options]", "A gateway says whom it speaks for.";
    "WHO" 0 Registered who::run, "mask [%fields,token]", "Lists users.";
    "WHOIS" 0 Registered whois::run, "[server] nick", "Tells about a user.";
    "WHOWAS" 0 Registered whois::whowas, "nick [count]", "Tells about someone who left.";
}

/// The command of this name, in any case.
pub fn find(name: &str) -> Option<&'static Command> {
    let mut capitals = [0u8; 16];
    let capitals = capitals.get_mut(..name.len())?;
    capitals.copy_from_slice(name.as_bytes());
    capitals.make_ascii_uppercase();
    let at = COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(capitals)).ok()?;
    Some(&COMMANDS[at])
}

/// Runs one line.
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let Some(command) = find(line.command()) else {
        ctx.reply.numeric(Numeric::ERR_UNKNOWNCOMMAND, &[printable(line.command())], Some("Unknown command"));
        return;
    };
    if command.when == When::Registered && ctx.user.is_none() {
        ctx.reply.numeric(Numeric::ERR_NOTREGISTERED, &[], Some("You have not registered"));
        return;
    }
    if line.param_count() < command.min_params {
        need_more_params(ctx, command.name);
        return;
    }
    if ctx.user.is_some() && batch::takes(server, ctx, line) {
        return;
    }
    (command.run)(server, ctx, line);
}

/// 461
pub fn need_more_params(ctx: &mut Ctx, command: &str) {
    ctx.reply.numeric(Numeric::ERR_NEEDMOREPARAMS, &[command], Some("Not enough parameters"));
}

/// A word of the client's for a middle parameter of an answer: `*` where it could not be one.
pub fn printable(word: &str) -> &str {
    if word.is_empty() || word.starts_with(':') || word.contains(' ') { "*" } else { word }
}

/// What a session goes on with when its call comes back.
#[derive(Debug)]
pub enum Pending {
    /// The server's password.
    ServerPassword,
    /// A password that somebody logs in with.
    Login(Attempt),
    /// A token that somebody logs in with.
    Token(authenticate::Presented),
    /// WEBIRC.
    WebIrc(Box<webirc::Spoken>),
    /// REGISTER, or NickServ REGISTER.
    Register {
        /// The account's name.
        name: Box<str>,
        /// Who asked for it.
        by: register::By,
    },
    /// A new password for an account, by NickServ.
    SetPassword {
        /// The account.
        account: AccountId,
    },
    /// OPER.
    Oper {
        /// The name given.
        name: Box<str>,
    },
    /// CHATHISTORY.
    History {
        /// The subcommand, for FAIL.
        subcommand: Box<str>,
        /// The target, for FAIL.
        target: Box<str>,
    },
    /// REDACT.
    Redact(Box<redact::Redaction>),
    /// What was missed.
    Replay(chathistory::Replay),
}

/// Goes on with a command whose call came back.
pub fn resume(server: &mut Server, ctx: &mut Ctx, pending: Pending, returned: Returned) {
    let verified = matches!(returned, Returned::Verified(true));
    let busy = matches!(returned, Returned::Failed(_));
    match pending {
        Pending::ServerPassword => server.server_password(ctx, verified),
        Pending::Login(attempt) => server.password_compared(ctx, attempt, returned),
        Pending::Token(presented) => authenticate::token_checked(server, ctx, &presented, returned),
        Pending::Register { name, by } => register::hashed(server, ctx, &name, by, returned),
        Pending::SetPassword { account } => credentials::password_hashed(server, ctx, account, returned),
        Pending::WebIrc(spoken) => webirc::verified(server, ctx, *spoken, verified, busy),
        Pending::Oper { name } => oper::verified(server, ctx, &name, verified),
        Pending::History { subcommand, target } => {
            chathistory::returned(server, ctx, &subcommand, &target, returned);
        }
        Pending::Redact(redaction) => redact::found(server, ctx, &redaction, returned),
        Pending::Replay(replay) => chathistory::replayed(server, ctx, replay, returned),
    }
}

#[cfg(test)]
mod tests {
    use super::{COMMANDS, find};

    #[test]
    fn the_table_is_sorted_and_every_command_is_found_in_any_case() {
        for pair in COMMANDS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} stands before {}", pair[0].name, pair[1].name);
        }
        for command in COMMANDS {
            assert_eq!(find(&command.name.to_lowercase()).map(|found| found.name), Some(command.name));
        }
        assert!(find("").is_none() && find("ANEXTREMELYLONGCOMMANDNAME").is_none());
    }
}
