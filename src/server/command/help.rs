//! HELP and HELPOP (Modern IRC, "HELP message"): every entry comes from a table — commands, modes, server
//! notices, rights of operators, numerics.

use ircv3::Message;
use ircv3::extban::EXTBANS;
use ircv3::message::cut;
use ircv3::mode::{CHANNEL_MODES, ChannelMode, Kind, Rank, USER_MODES, UserMode};
use ircv3::numeric::Numeric;

use crate::server::command::bulk::WordLines;
use crate::server::command::who::ECHO_BYTES;
use crate::server::command::{self, COMMANDS, Command, When, printable};
use crate::server::notice::SNOMASKS;
use crate::server::right::RIGHTS;
use crate::server::{Ctx, Server};

/// Subjects beside the commands; the first of each row is the name that is listed.
const TOPICS: &[&[&str]] = &[
    &["CHANMODES", "CMODES", "CMODE", "CHANMODE"],
    &["USERMODES", "UMODES", "UMODE", "USERMODE"],
    &["EXTBANS", "EXTBAN"],
    &["SNOMASKS", "SNOMASK"],
    &["RIGHTS", "RIGHT"],
    &["NUMERICS", "NUMERIC"],
];

/// `HELP [subject [entry]]`: `HELP PRIVMSG`, `HELP CMODE b`, `HELP NUMERIC 433`
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let words: Vec<&str> =
        line.params().flat_map(|param| param.split([' ', '/'])).filter(|word| !word.is_empty()).collect();
    let (subject, entry) = (words.first().map(|word| word.to_ascii_uppercase()), words.get(1).copied());
    let Some(subject) = subject.filter(|subject| subject != "INDEX") else {
        index(server, ctx);
        return;
    };
    let asked = words[0];
    if let (Some(command), None) = (command::find(&subject), entry) {
        about_command(ctx, command);
        return;
    }
    let topic = TOPICS.iter().find(|names| names.contains(&&*subject)).map(|names| names[0]);
    // A numeric, or a hundred of them (`4xx`), needs no word before it.
    let (topic, entry) = match topic {
        None if is_numeric(asked) => (Some("NUMERICS"), Some(asked)),
        topic => (topic, entry),
    };
    let Some((head, lines)) = topic.and_then(|topic| text(topic, entry)) else {
        let asked = cut(printable(asked), ECHO_BYTES);
        let text = "No help available on this topic; HELP alone lists all topics";
        ctx.reply.numeric(Numeric::ERR_HELPNOTFOUND, &[asked], Some(text));
        return;
    };
    let subject = match entry {
        Some(entry) if entry != asked => format!("{subject}/{}", cut(entry, ECHO_BYTES)),
        _ => subject,
    };
    ctx.reply.numeric(Numeric::RPL_HELPSTART, &[&subject], Some(&head));
    for line in lines {
        ctx.reply.numeric(Numeric::RPL_HELPTXT, &[&subject], Some(&line));
    }
    ctx.reply.numeric(Numeric::RPL_ENDOFHELP, &[&subject], Some("End of /HELP"));
}

fn index(server: &Server, ctx: &mut Ctx) {
    const SUBJECT: &[&str] = &["index"];
    ctx.reply.numeric(Numeric::RPL_HELPSTART, SUBJECT, Some("HELP followed by one of these explains it:"));
    let mut words = WordLines::new(server, &ctx.reply, Numeric::RPL_HELPTXT, SUBJECT);
    for name in COMMANDS.iter().map(|command| command.name).chain(TOPICS.iter().map(|names| names[0])) {
        words.push(&mut ctx.reply, &[name]);
    }
    words.finish(&mut ctx.reply);
    ctx.reply.numeric(Numeric::RPL_ENDOFHELP, SUBJECT, Some("End of /HELP"));
}

fn about_command(ctx: &mut Ctx, command: &Command) {
    let name = command.name;
    ctx.reply.numeric(Numeric::RPL_HELPSTART, &[name], Some(format!("{name} {}", command.syntax).trim_end()));
    ctx.reply.numeric(Numeric::RPL_HELPTXT, &[name], Some(command.help));
    if let When::Operator(right) = command.when {
        let text = format!("For operators with the right {:?}.", right.name());
        ctx.reply.numeric(Numeric::RPL_HELPTXT, &[name], Some(&text));
    }
    ctx.reply.numeric(Numeric::RPL_ENDOFHELP, &[name], Some("End of /HELP"));
}

/// The head and the lines of a topic, or of one entry of it; `None` where there is no such entry.
fn text(topic: &str, entry: Option<&str>) -> Option<(String, Vec<String>)> {
    let (head, lines): (&str, Vec<String>) = match (topic, entry) {
        ("CHANMODES", None) => ("Channel modes: MODE #channel +letter [parameter]", channel_modes().collect()),
        ("CHANMODES", Some(entry)) => ("Channel mode: MODE #channel", lettered(channel_modes(), entry)),
        ("USERMODES", None) => ("User modes: MODE nick +letter", USER_MODES.iter().map(user_mode).collect()),
        ("USERMODES", Some(entry)) => ("User mode: MODE nick", lettered(USER_MODES.iter().map(user_mode), entry)),
        ("EXTBANS", None) => ("Extended bans, for MODE #channel +b, +e and +I", extbans().collect()),
        ("EXTBANS", Some(entry)) => ("Extended ban: MODE #channel +b", extban(entry)),
        ("SNOMASKS", None) => ("Server notices: MODE nick +s letters (operators)", snomasks().collect()),
        ("SNOMASKS", Some(entry)) => ("Server notice: MODE nick +s", lettered(snomasks(), entry)),
        ("RIGHTS", None) => ("What classes of operators may do", rights().collect()),
        ("RIGHTS", Some(entry)) => {
            let own = format!("{}: ", entry.to_ascii_lowercase());
            ("A right of operators", rights().filter(|line| line.starts_with(&own)).collect())
        }
        (_, None) => {
            ("Numerics, by hundreds: HELP NUMERIC 4xx lists one, HELP NUMERIC 433 names one", groups().collect())
        }
        (_, Some(entry)) => return numerics(entry),
    };
    (!lines.is_empty()).then(|| (head.to_owned(), lines))
}

/// Those lines that begin with `+` and the letter.
fn lettered(lines: impl Iterator<Item = String>, entry: &str) -> Vec<String> {
    let mut letters = entry.trim_start_matches(['+', '-']).chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else { return Vec::new() };
    lines.filter(|line| line.chars().nth(1) == Some(letter)).collect()
}

/// The line of the extended ban with that letter or name.
fn extban(entry: &str) -> Vec<String> {
    let entry = entry.trim_end_matches(':');
    let mut lines = EXTBANS.iter().zip(extbans());
    let found = lines.find(|(row, _)| row.name.eq_ignore_ascii_case(entry) || entry.chars().eq([row.letter]));
    found.map(|(_, line)| line).into_iter().collect()
}

fn channel_modes() -> impl Iterator<Item = String> {
    let ranks = Rank::ALL.iter().map(|rank| {
        let (letter, prefix, name) = (rank.letter(), rank.prefix(), rank.name());
        format!("+{letter} nick: {name}, shown as {prefix}nick: {}; given by {}", plain(rank.help()), rank.giver())
    });
    ranks.chain(CHANNEL_MODES.iter().map(channel_mode))
}

fn channel_mode(mode: &ChannelMode) -> String {
    let (letter, name, help) = (mode.letter, mode.name, plain(mode.help));
    match mode.kind {
        Kind::List => format!("+{letter} mask: {name} (+{letter} alone lists them): {help}"),
        Kind::Setting => format!("+{letter} value, -{letter} value: {name}: {help}"),
        Kind::SettingToSet => format!("+{letter} value, -{letter}: {name}: {help}"),
        Kind::Flag | Kind::Prefix if mode.takes.is_empty() => format!("+{letter}: {name}: {help}"),
        Kind::Flag | Kind::Prefix => format!("+{letter}: {name}: {help}; set by {}", mode.takes),
    }
}

fn user_mode(mode: &UserMode) -> String {
    format!("+{}: {}: {}; set by {}", mode.letter, mode.name, plain(mode.help), plain(mode.whose))
}

fn extbans() -> impl Iterator<Item = String> {
    EXTBANS.iter().map(|row| {
        let (letter, name, value) = (row.letter, row.name, row.value);
        format!("{letter}:{value}, {name}:{value}: {}", plain(row.help))
    })
}

/// A text of a table without Markdown: HELP has no links and no code.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((name, after)) = link.split_once("](") else { break };
        plain.push_str(before);
        plain.push_str(name);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain.replace('`', "")
}

fn snomasks() -> impl Iterator<Item = String> {
    SNOMASKS.iter().map(|row| format!("+{}: {}", row.letter, row.help))
}

fn rights() -> impl Iterator<Item = String> {
    RIGHTS.iter().map(|row| format!("{}: {}", row.name, row.help))
}

/// What the hundreds of numerics are about.
const HUNDREDS: [&str; 10] = [
    "the welcome, and the server's own",
    "numerics that nobody sends",
    "answers about the server",
    "answers about users and channels",
    "errors",
    "errors",
    "TLS, and modes that will not do",
    "HELP, KNOCK, ACCEPT, MONITOR and metadata",
    "numerics that nobody sends",
    "logins",
];

fn groups() -> impl Iterator<Item = String> {
    let count = |hundred: usize| of_hundred(hundred).count();
    HUNDREDS
        .iter()
        .enumerate()
        .map(move |(hundred, about)| (hundred, about, count(hundred)))
        .filter(|(_, _, count)| *count > 0)
        .map(|(hundred, about, count)| format!("{hundred}xx: {about} ({count})"))
}

fn of_hundred(hundred: usize) -> impl Iterator<Item = &'static (Numeric, &'static str)> {
    Numeric::NAMES.iter().filter(move |(numeric, _)| usize::from(numeric.as_str().as_bytes()[0] - b'0') == hundred)
}

fn is_numeric(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() == 3 && bytes[0].is_ascii_digit() && (word.ends_with("xx") || bytes.iter().all(u8::is_ascii_digit))
}

/// One numeric, or those of a hundred, in order.
fn numerics(entry: &str) -> Option<(String, Vec<String>)> {
    let entry = entry.to_ascii_lowercase();
    if !is_numeric(&entry) {
        return None;
    }
    let hundred = usize::from(entry.as_bytes()[0] - b'0');
    let mut rows: Vec<String> = if entry.ends_with("xx") {
        of_hundred(hundred).map(|(numeric, name)| format!("{numeric} {name}")).collect()
    } else {
        let one = of_hundred(hundred).filter(|(numeric, _)| numeric.as_str() == entry);
        one.map(|(numeric, name)| format!("{numeric} {name}: {}", HUNDREDS[hundred])).collect()
    };
    rows.sort();
    (!rows.is_empty()).then(|| (format!("Numerics {entry}"), rows))
}

#[cfg(test)]
mod tests {
    use ircv3::extban::EXTBANS;
    use ircv3::mode::{CHANNEL_MODES, Rank, USER_MODES};
    use ircv3::numeric::Numeric;

    use super::{COMMANDS, HUNDREDS, RIGHTS, SNOMASKS, TOPICS};
    use crate::server::command::bulk::testing::Asked;

    #[test]
    fn every_command_has_help_and_what_is_none_has_not() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        let topics = TOPICS.iter().flat_map(|names| names.iter().copied());
        for subject in COMMANDS.iter().map(|command| command.name).chain(topics).chain(["chanmodes", ""]) {
            let lines = asked.ask(alice, &format!("HELP {subject}"));
            assert!(lines.len() >= 3, "{subject}: {lines:?}");
            assert!(lines[0].contains(" 704 ") && lines[lines.len() - 1].contains(" 706 "), "{subject}: {lines:?}");
        }
        let index = asked.ask(alice, "HELP").concat();
        assert!(COMMANDS.iter().all(|command| index.contains(command.name)));
        assert!(TOPICS.iter().all(|names| index.contains(names[0])));
        assert_eq!(
            asked.ask(alice, "HELPOP privmsg")[0],
            ":irc.test 704 alice PRIVMSG :PRIVMSG target[,target...] text"
        );
        assert!(asked.ask(alice, "HELP kill")[2].ends_with(":For operators with the right \"kill\"."));
        for none in
            ["NOSUCH", "PRIVMSG b", "CMODE y", "CMODE bb", "SNOMASK ?", "RIGHT fly", "NUMERIC 999", "999", "8xx"]
        {
            let lines = asked.ask(alice, &format!("HELP {none}"));
            assert!(lines.len() == 1 && lines[0].starts_with(":irc.test 524 alice "), "{none}: {lines:?}");
        }
    }

    #[test]
    fn every_mode_notice_right_and_numeric_has_an_entry() {
        let mut asked = Asked::new();
        let alice = asked.user("alice");
        let mut entries = Vec::new();
        entries.extend(Rank::ALL.iter().map(|rank| format!("CMODE {}", rank.letter())));
        entries.extend(CHANNEL_MODES.iter().map(|mode| format!("cmode +{}", mode.letter)));
        entries.extend(USER_MODES.iter().map(|mode| format!("UMODE {}", mode.letter)));
        entries.extend(EXTBANS.iter().map(|row| format!("EXTBAN {}", row.letter)));
        entries.extend(EXTBANS.iter().map(|row| format!("extban {}:", row.name)));
        entries.extend(SNOMASKS.iter().map(|row| format!("SNOMASK {}", row.letter)));
        entries.extend(RIGHTS.iter().map(|row| format!("RIGHT {}", row.name)));
        entries.extend(Numeric::NAMES.iter().map(|(numeric, _)| format!("NUMERIC {numeric}")));
        for entry in entries {
            let lines = asked.ask(alice, &format!("HELP {entry}"));
            assert_eq!(lines.len(), 3, "{entry}: {lines:?}");
            assert!(lines[0].contains(" 704 ") && lines[2].contains(" 706 "), "{entry}: {lines:?}");
            // With the longest nick and server it is whole, too; and people read no Markdown there.
            assert!(lines[1].len() <= 400 && !lines[1].contains(['`', '[']), "{entry}: {lines:?}");
        }
        let listed = asked.ask(alice, "HELP NUMERICS");
        for line in &listed[1..listed.len() - 1] {
            let group = line.split(" :").nth(1).and_then(|text| text.split(':').next()).unwrap_or_default();
            let lines = asked.ask(alice, &format!("HELP {group}"));
            assert!(lines.len() >= 3, "{group}: {lines:?}");
        }
        assert_eq!(
            asked.ask(alice, "HELP 433")[1],
            format!(":irc.test 705 alice 433 :433 ERR_NICKNAMEINUSE: {}", HUNDREDS[4])
        );
    }
}
