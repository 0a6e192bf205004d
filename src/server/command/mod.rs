//! The command table, and the running of a line: every check that all commands share is made here.

pub mod accept;
pub mod amend;
pub mod authenticate;
pub mod away;
pub mod batch;
pub mod bouncer;
pub mod bulk;
pub mod cap;
pub mod chathistory;
pub mod connection;
pub mod control;
pub mod edit;
pub mod extjwt;
pub mod force;
pub mod help;
pub mod info;
pub mod invite;
pub mod join;
pub mod kick;
pub mod knock;
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
pub mod playback;
pub mod prop;
pub mod recover;
pub mod redact;
pub mod register;
pub mod relaymsg;
pub mod rename;
pub mod search;
pub mod second;
pub mod services;
pub mod setname;
pub mod silence;
pub mod stats;
pub mod token;
pub mod topic;
pub mod uban;
pub mod userhost;
pub mod verify;
pub mod vhost;
pub mod wallops;
pub mod webirc;
pub mod webpush;
pub mod who;
pub mod whois;

use ircv3::numeric::Numeric;
use ircv3::{Cap, Message};

use crate::server::command::services::nickserv::credentials;
use crate::server::event::Returned;
use crate::server::login::Attempt;
use crate::server::network::ChannelId;
use crate::server::policy;
use crate::server::record::{AccountId, Seq};
use crate::server::right::Right;
use crate::server::settings::Secret;
use crate::server::{Ctx, Server};

/// When a command may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At any time.
    Always,
    /// Once registered; 451 before.
    Registered,
    /// By operators with this right; 481 and 723 for others. It is in the audit log.
    Operator(Right),
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
    ($($name:literal $min:literal $when:ident $(($right:ident))? $run:path, $syntax:literal, $help:literal;)+) => {
        /// All commands, by name.
        pub const COMMANDS: &[Command] = &[$(Command {
            name: $name, min_params: $min, when: When::$when $((Right::$right))?, syntax: $syntax, help: $help, run: $run,
        }),+];
    };
}

commands! {
    "2FA" 1 Always second::run, "STATUS | LIST | CHALLENGE type | ADD type name data | REMOVE id | ENABLE | DISABLE type data", "The second factor of your account.";
    "ACCEPT" 1 Registered accept::run, "nick[,-nick...] | *", "Lets people write to you under +R and +g, or lists them.";
    "ADMIN" 0 Registered info::admin, "[server]", "Who runs this server.";
    "AUTHENTICATE" 1 Always authenticate::run, "mechanism|response|*", "Logs in with SASL.";
    "AWAY" 0 Always away::run, "[message]", "Says that you are away, or back.";
    "BATCH" 1 Always batch::run, "+reference draft/multiline target | +reference draft/authtoken service url | -reference", "Begins and ends a message of several lines, or a token.";
    "BOUNCER" 1 Always bouncer::run, "LISTNETWORKS | BIND network", "Lists this network, for clients that know bouncers.";
    "CAP" 0 Always cap::run, "LS|LIST|REQ|END [parameters]", "Negotiates capabilities.";
    "CHANSERV" 0 Registered services::chanserv, "[command [parameters]]", "Registers channels; CHANSERV HELP lists its commands.";
    "CHATHISTORY" 1 Registered chathistory::run, "LATEST|BEFORE|AFTER|AROUND|BETWEEN|TARGETS parameters", "Reads what was said.";
    "CHGHOST" 2 Operator(Vhost) vhost::chghost, "nick host", "Changes the host that others see of someone.";
    "CONNECT" 1 Operator(Die) stats::connect, "server [port [server]]", "Not here: this server has no others to link to.";
    "CS" 0 Registered services::chanserv, "[command [parameters]]", "As CHANSERV.";
    "DEFCON" 0 Operator(Defcon) control::defcon, "[level]", "Closes the server to new people: 5 is open, 1 takes no new connections.";
    "DIE" 0 Operator(Die) control::die, "[server]", "Stops the server.";
    "DLINE" 1 Operator(Ban) uban::dline, "[duration] address|network [reason [| reason for operators]] | LIST", "Bans an address or network, for 1h30m or until UNDLINE.";
    "EDIT" 1 Registered edit::run, "target [msgid text]", "Says otherwise what you said; msgid and text may be tags.";
    "EDITMSG" 3 Registered edit::run, "target msgid text", "As EDIT.";
    "EXTJWT" 1 Registered extjwt::run, "channel|* [service]", "A signed statement of who you are, for a web page.";
    "GLOBAL" 1 Operator(Global) control::global, "text", "Tells everyone.";
    "HELP" 0 Registered help::run, "[subject [entry]]", "Explains a command.";
    "HELPOP" 0 Registered help::run, "[subject [entry]]", "As HELP.";
    "HISTSERV" 0 Registered services::histserv, "[command [parameters]]", "What was said; HISTSERV HELP lists its commands.";
    "HOSTSERV" 0 Registered services::hostserv, "[command [parameters]]", "Hosts to be shown by; HOSTSERV HELP lists its commands.";
    "HS" 0 Registered services::hostserv, "[command [parameters]]", "As HOSTSERV.";
    "INFO" 0 Registered info::info, "[server]", "What this server is.";
    "INVITE" 0 Registered invite::run, "[nick channel]", "Invites someone, or lists your invitations.";
    "ISON" 1 Registered userhost::ison, "nick ...", "Which of these are online.";
    "ISUPPORT" 0 Always info::isupport_command, "", "What this server supports, as when you connect.";
    "JOIN" 1 Registered join::run, "channels [keys] | 0", "Joins channels; 0 leaves all.";
    "KICK" 2 Registered kick::run, "channel nick[,nick...] [reason]", "Removes someone from a channel.";
    "KILL" 1 Operator(Kill) oper::kill, "nick [reason]", "Ends someone's connection (operators).";
    "KLINE" 1 Operator(Ban) uban::kline, "[duration] mask [reason [| reason for operators]] | LIST", "Bans nick!user@host, for 1h30m or until UNKLINE.";
    "KNOCK" 1 Registered knock::run, "channel [reason]", "Asks to be invited.";
    "LINKS" 0 Registered stats::links, "[[server] mask]", "Lists servers.";
    "LIST" 0 Registered list::run, "[channels|masks|conditions]", "Lists channels.";
    "LUSERS" 0 Registered info::lusers_command, "", "Counts users and channels.";
    "MAP" 0 Registered stats::map, "", "Shows servers.";
    "MARKREAD" 0 Registered markread::run, "target [timestamp=time]", "Shows or moves your read marker.";
    "METADATA" 2 Always metadata::run, "target GET|LIST|SET|CLEAR|SUB|UNSUB|SUBS|SYNC [keys]", "Keys and values of people and channels.";
    "MODE" 1 Registered mode::run, "channel|nick [modes [parameters]]", "Shows or changes modes.";
    "MONITOR" 1 Registered monitor::run, "+|- nick[,nick...] | C | L | S", "Tells you when people come and go.";
    "MOTD" 0 Registered info::motd_command, "[server]", "The message of the day.";
    "NAMES" 0 Registered names::run, "[channel[,channel...]]", "Who is in a channel.";
    "NICK" 0 Always nick::run, "nick", "Takes a nick.";
    "NICKSERV" 0 Registered services::nickserv, "[command [parameters]]", "Accounts; NICKSERV HELP lists its commands.";
    "NOTICE" 0 Registered message::notice, "target[,target...] text", "Says something that nothing answers by itself.";
    "NPC" 3 Registered relaymsg::npc, "channel name text", "Speaks for a character of a game.";
    "NPCA" 3 Registered relaymsg::npca, "channel name text", "Acts for a character of a game.";
    "NS" 0 Registered services::nickserv, "[command [parameters]]", "As NICKSERV.";
    "OPER" 1 Registered oper::run, "name [password]", "Makes you an operator.";
    "PART" 1 Registered part::run, "channel[,channel...] [reason]", "Leaves channels.";
    "PASS" 1 Always connection::pass, "password", "The server's password, or account:password.";
    "PERSISTENCE" 1 Registered persistence::run, "GET | SET ON|OFF|DEFAULT", "Whether you stay when you disconnect.";
    "PING" 0 Always connection::ping, "token", "Answered with PONG.";
    "PONG" 0 Always connection::pong, "token", "The answer to PING.";
    "PRIVMSG" 0 Registered message::privmsg, "target[,target...] text", "Says something.";
    "PROP" 1 Registered prop::run, "channel|nick [name | +name[=value] -name ...]", "Shows or changes modes by their names.";
    "QUIT" 0 Always connection::quit, "[reason]", "Ends the connection.";
    "RECOVER" 1 Always recover::run, "nick [NOCHANGE]", "Takes a nick of your account from whoever has it.";
    "REDACT" 2 Registered redact::run, "target msgid [reason]", "Takes back what was said.";
    "REGISTER" 3 Always register::run, "account|* email|* password", "Makes an account.";
    "REHASH" 0 Operator(Rehash) control::rehash, "", "Reads the configuration again.";
    "RELAYMSG" 3 Registered relaymsg::run, "channel nick text", "Speaks for someone on another network (channel operators). What it says is not yours: ERASEMESSAGES leaves it.";
    "RENAME" 2 Registered rename::run, "channel name [reason]", "Gives a channel another name.";
    "RESTART" 0 Operator(Die) control::restart, "[server]", "Starts the server again.";
    "SAJOIN" 1 Operator(Force) force::sajoin, "[nick] channel[,channel...]", "Makes someone join a channel.";
    "SAMODE" 2 Operator(Force) force::samode, "channel modes [parameters]", "Changes modes, whatever your rank.";
    "SANICK" 2 Operator(Force) force::sanick, "nick newnick", "Gives someone another nick.";
    "SAPART" 2 Operator(Force) force::sapart, "nick channel[,channel...] [reason]", "Makes someone leave a channel.";
    "SCENE" 2 Registered relaymsg::scene, "channel text", "Describes the scene of a game.";
    "SEARCH" 1 Registered search::run, "[in=channel|nick;][from=nick;][text=words;][after=time;][before=time;][limit=n]", "Finds what was said by its words.";
    "SETHOST" 1 Operator(Vhost) vhost::sethost, "host", "Changes the host that others see of you.";
    "SETNAME" 1 Registered setname::run, "realname", "Changes your real name.";
    "SILENCE" 0 Registered silence::run, "[+mask|-mask]", "Keeps people from writing to you, or lists them.";
    "SQUIT" 1 Operator(Die) stats::squit, "server [reason]", "Not here: this server has no links to end; DIE stops it.";
    "STATS" 0 Registered stats::stats, "[letter [server]]", "Tells about the server; STATS ? lists the letters.";
    "SUMMON" 0 Registered stats::summon, "", "Not here: nobody is called to IRC.";
    "TAGMSG" 0 Registered message::tagmsg, "target[,target...]", "Sends tags alone.";
    "TIME" 0 Registered info::time, "[server]", "The server's time.";
    "TOKEN" 1 Always token::run, "SERVICELIST | GENERATE service [channel|nick|*] | VALIDATE service url token", "Tokens that tell other services who you are.";
    "TOPIC" 1 Registered topic::run, "channel [topic]", "Shows or sets a topic.";
    "TRACE" 0 Registered stats::trace, "[nick|server]", "Shows how users are connected.";
    "UBAN" 1 Operator(Ban) uban::run, "ADD target [duration] [REQUIRE-SASL] [reason [| reason for operators]] | DEL target | INFO target | LIST", "Bans an address, a network, nick!user@host, account:name or realname:mask.";
    "UNDLINE" 1 Operator(Ban) uban::undline, "address|network", "Takes a DLINE away.";
    "UNKLINE" 1 Operator(Ban) uban::unkline, "mask", "Takes a KLINE away.";
    "USER" 4 Always connection::user, "name 0 * realname", "Says who you are, on connecting.";
    "USERHOST" 1 Registered userhost::run, "nick ...", "User names and hosts.";
    "USERIP" 1 Registered userhost::userip, "nick ...", "User names and addresses.";
    "USERS" 0 Registered stats::users, "", "Not here: who uses the machine.";
    "VERIFY" 2 Always verify::run, "account code", "Verifies an account.";
    "VERSION" 0 Registered info::version, "[server]", "The server's version.";
    "WALLOPS" 0 Operator(Wallops) wallops::run, "text", "Tells everyone with user mode w (operators).";
    "WEBIRC" 4 Always webirc::run, "password gateway hostname address [options]", "A gateway says whom it speaks for.";
    "WEBPUSH" 0 Registered webpush::run, "REGISTER endpoint keys | UNREGISTER endpoint", "Has a device told of messages while it is not connected.";
    "WHO" 0 Registered who::run, "mask [%fields,token]", "Lists users.";
    "WHOIS" 0 Registered whois::run, "[server] nick", "Tells about a user.";
    "WHOWAS" 0 Registered whois::whowas, "nick [count]", "Tells about someone who left.";
    "ZNC" 1 Registered playback::znc, "*playback words", "What a PRIVMSG to *playback does, for clients that say it so.";
}

/// The command of this name, in any case.
pub fn find(name: &str) -> Option<&'static Command> {
    place(name).map(|at| &COMMANDS[at])
}

fn place(name: &str) -> Option<usize> {
    let mut capitals = [0u8; 16];
    let capitals = capitals.get_mut(..name.len())?;
    capitals.copy_from_slice(name.as_bytes());
    capitals.make_ascii_uppercase();
    COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(capitals)).ok()
}

/// Runs one line.
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let Some(place) = place(line.command()) else {
        ctx.reply.numeric(Numeric::ERR_UNKNOWNCOMMAND, &[printable(line.command())], Some("Unknown command"));
        return;
    };
    let command = &COMMANDS[place];
    server.usage[place] += 1;
    if ctx.user.is_none() && server.session(ctx.conn).is_some_and(bouncer::is_unbound) {
        if line.param_count() < command.min_params {
            need_more_params(ctx, command.name);
        } else {
            bouncer::run_unbound(server, ctx, command, line);
        }
        return;
    }
    if command.when != When::Always && ctx.user.is_none() {
        ctx.reply.numeric(Numeric::ERR_NOTREGISTERED, &[], Some("You have not registered"));
        return;
    }
    if let When::Operator(right) = command.when
        && !oper::may(server, ctx, right)
    {
        return;
    }
    if line.param_count() < command.min_params {
        need_more_params(ctx, command.name);
        return;
    }
    if token::takes(server, ctx, line) || (ctx.user.is_some() && batch::takes(server, ctx, line)) {
        return;
    }
    if let When::Operator(_) = command.when {
        let params: Vec<&str> = line.params().collect();
        server.audit(ctx.me(), &format!("{} {}", command.name, params.join(" ")));
    }
    (command.run)(server, ctx, line);
}

/// The channel of this name, if the sender may know of it; 403 otherwise.
pub fn find_channel(server: &Server, ctx: &mut Ctx, name: &str) -> Option<ChannelId> {
    let found = policy::channel_seen(&server.network, oper::viewer(server, ctx), name);
    if found.is_none() {
        ctx.reply.numeric(Numeric::ERR_NOSUCHCHANNEL, &[printable(name)], Some("No such channel"));
    }
    found
}

/// Whether the client negotiated one of these capabilities, without which there is no such command for it: 421.
pub fn negotiated(ctx: &mut Ctx, command: &str, caps: &[Cap]) -> bool {
    let has = caps.iter().any(|cap| ctx.reply.caps.has(*cap));
    if !has {
        let names: Vec<&str> = caps.iter().map(|cap| cap.names()[0]).collect();
        let text = format!("Unknown command: negotiate {} first", names.join(" or "));
        ctx.reply.numeric(Numeric::ERR_UNKNOWNCOMMAND, &[&command.to_ascii_uppercase()], Some(&text));
    }
    has
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
        /// Its address, where one was given.
        email: Option<Box<str>>,
        /// Who asked for it.
        by: register::By,
    },
    /// The letter with the code of a new account.
    VerificationMail {
        /// The account.
        account: AccountId,
        /// Who asked for it.
        by: register::By,
    },
    /// The letter with another code.
    CodeMail {
        /// To which address.
        email: Box<str>,
    },
    /// A new password for an account, by NickServ.
    SetPassword {
        /// The account.
        account: AccountId,
        /// Who gives it.
        by: credentials::By,
    },
    /// The old password of NickServ PASSWD.
    OldPassword {
        /// The account.
        account: AccountId,
        /// The password that it is to have.
        new: Secret,
    },
    /// OPER.
    Oper {
        /// The name given.
        name: Box<str>,
    },
    /// REHASH.
    Reload,
    /// CHATHISTORY.
    History {
        /// The subcommand, for FAIL.
        subcommand: Box<str>,
        /// The target, for FAIL.
        target: Box<str>,
    },
    /// SEARCH.
    Search,
    /// REDACT, EDIT.
    Amend(Box<amend::Amendment>),
    /// HistServ PLAY.
    Told {
        /// Of what.
        target: Box<str>,
    },
    /// HistServ DELETE.
    Delete {
        /// The channel, by serial.
        channel: u64,
        /// The message.
        seq: Seq,
    },
    /// What was missed.
    Replay(chathistory::Replay),
}

/// Goes on with a command whose call came back.
pub fn resume(server: &mut Server, ctx: &mut Ctx, pending: Pending, returned: Returned) {
    let verified = matches!(returned, Returned::Verified(true));
    let busy = matches!(returned, Returned::Failed(_));
    match pending {
        Pending::ServerPassword => server.server_password(ctx, verified),
        Pending::Login(attempt) => server.login_returned(ctx, attempt, returned),
        Pending::Token(presented) => authenticate::token_checked(server, ctx, &presented, returned),
        Pending::Register { name, email, by } => {
            register::hashed(server, ctx, &register::Wanted { name: &name, email: email.as_deref(), by }, returned);
        }
        Pending::VerificationMail { account, by } => verify::mailed(server, ctx, account, by, &returned),
        Pending::CodeMail { email } => verify::code_mailed(ctx, &email, &returned),
        Pending::SetPassword { account, by } => credentials::password_hashed(server, ctx, account, &by, returned),
        Pending::OldPassword { account, new } => credentials::old_compared(server, ctx, account, &new, &returned),
        Pending::WebIrc(spoken) => webirc::verified(server, ctx, *spoken, verified, busy),
        Pending::Oper { name } => oper::verified(server, ctx, &name, verified),
        Pending::Reload => control::rehashed(ctx, &returned),
        Pending::History { subcommand, target } => {
            chathistory::returned(server, ctx, &subcommand, &target, returned);
        }
        Pending::Search => search::returned(server, ctx, returned),
        Pending::Amend(amendment) => amend::found(server, ctx, &amendment, returned),
        Pending::Told { target } => services::histserv::told(server, ctx, &target, returned),
        Pending::Delete { channel, seq } => services::histserv::found(server, ctx, channel, seq, returned),
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
