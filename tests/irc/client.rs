//! A blocking client that keeps every byte: it sends lines, reads lines, and checks the form of each.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::server::PATIENCE;

/// How bytes go out and come in.
pub trait Transport: Send {
    /// Sends bytes: whole lines, or parts of them where the transport is a stream.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// The next bytes; none at the end.
    fn receive(&mut self) -> io::Result<Vec<u8>>;
}

impl<S: Read + Write + Send> Transport for S {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.flush()
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 65_536];
        let count = self.read(&mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

/// A TCP connection that gives up reading after [`PATIENCE`].
pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One connection.
pub struct Client {
    transport: Box<dyn Transport>,
    bytes: Vec<u8>,
    waiting: VecDeque<Line>,
    ended: bool,
    /// Whether the connection may end inside a line.
    torn: bool,
    pings: u32,
    /// Whether it answers the PING behind what was replayed or shown to it.
    pub confirms: bool,
    /// What went out and came in, for the message of a failed test.
    transcript: Vec<String>,
    /// The nick it registered with.
    pub nick: String,
}

impl Client {
    /// A plain TCP connection.
    pub fn plain(address: SocketAddr) -> Client {
        Client::over(Box::new(dial(address)))
    }

    /// A connection over this transport.
    pub fn over(transport: Box<dyn Transport>) -> Client {
        Client {
            transport,
            bytes: Vec::new(),
            waiting: VecDeque::new(),
            ended: false,
            torn: false,
            pings: 0,
            confirms: true,
            transcript: Vec::new(),
            nick: "*".to_owned(),
        }
    }

    /// Sends one line.
    pub fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\r\n").as_bytes());
    }

    /// Sends several lines in one write.
    pub fn send_all(&mut self, lines: &[&str]) {
        let text: String = lines.iter().flat_map(|line| [*line, "\r\n"]).collect();
        self.send_bytes(text.as_bytes());
    }

    /// Sends these bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.note('>', bytes);
        if let Err(error) = self.transport.send(bytes) {
            self.fail(&format!("cannot send: {error}"));
        }
    }

    /// Sends these bytes even though the server may have closed already.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transport.send(bytes)
    }

    /// The next line.
    pub fn line(&mut self) -> Line {
        match self.next_line() {
            Some(line) => line,
            None => self.fail("the server closed the connection"),
        }
    }

    /// The next line, which must fit the pattern (see [`Line::fits`]).
    #[track_caller]
    pub fn expect(&mut self, pattern: &str) -> Line {
        let line = self.line();
        if !line.fits(pattern) {
            self.fail(&format!("expected {pattern:?}, got {:?}", line.raw));
        }
        line
    }

    /// All lines up to and including the first with this command.
    #[track_caller]
    pub fn until(&mut self, command: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.next_line() else { self.fail(&format!("closed while waiting for {command}")) };
            let found = line.command() == command;
            lines.push(line);
            if found {
                return lines;
            }
        }
    }

    /// Everything that was under way to this client: sends PING and returns what comes before the PONG.
    #[track_caller]
    pub fn sync(&mut self) -> Vec<Line> {
        self.pings += 1;
        let token = format!("sync-{}", self.pings);
        self.send(&format!("PING {token}"));
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.next_line() else {
                self.fail("the server closed the connection before it answered PING");
            };
            if line.command() == "PONG" && line.params().last() == Some(&token.as_str()) {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Sends a line and returns all that it caused.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> Vec<Line> {
        self.send(line);
        self.sync()
    }

    /// Sends a line that must have exactly one answer, and returns it.
    #[track_caller]
    pub fn one(&mut self, line: &str) -> Line {
        let mut lines = self.ask(line);
        assert_eq!(lines.len(), 1, "{line:?} must have one answer, got {lines:#?}");
        lines.remove(0)
    }

    /// Nothing may be under way to this client.
    #[track_caller]
    pub fn silent(&mut self) {
        let lines = self.sync();
        assert!(lines.is_empty(), "nothing should have come, but {lines:#?}");
    }

    /// The one line that is under way to this client.
    #[track_caller]
    pub fn only(&mut self) -> Line {
        let mut lines = self.sync();
        assert_eq!(lines.len(), 1, "one line should have come, but {lines:#?}");
        lines.remove(0)
    }

    /// Reads until the server closes.
    #[track_caller]
    pub fn closed(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(line) = self.next_line() {
            lines.push(line);
        }
        lines
    }

    /// Reads until the connection ends, as it does when the server is killed: perhaps inside a line, which
    /// nobody has seen then.
    #[track_caller]
    pub fn cut_off(&mut self) -> Vec<Line> {
        self.torn = true;
        self.closed()
    }

    /// Passes over lines until one with one of these commands comes.
    #[track_caller]
    pub fn one_of(&mut self, commands: &[&str]) -> Line {
        loop {
            let line = self.line();
            if commands.contains(&line.command()) {
                return line;
            }
        }
    }

    /// What a service says to a line.
    #[track_caller]
    pub fn told(&mut self, line: &str) -> String {
        let lines = self.ask(line);
        let told = texts(&lines).join("\n");
        assert!(!told.is_empty(), "{line}: {lines:#?}");
        told
    }

    /// What a service says to a line with the code that it is to be confirmed with.
    #[track_caller]
    pub fn confirmed(&mut self, line: &str) -> Vec<Line> {
        let told = self.told(line);
        self.ask(&format!("{line} {}", told.split_whitespace().last().unwrap()))
    }

    /// Registers without capabilities.
    #[track_caller]
    pub fn register(&mut self, nick: &str) {
        self.register_with(nick, "");
    }

    /// Registers with these capabilities, all of which must be granted.
    #[track_caller]
    pub fn register_with(&mut self, nick: &str, caps: &str) {
        if !caps.is_empty() {
            self.request(caps);
        }
        self.send_all(&[&format!("NICK {nick}"), &format!("USER {nick} 0 * :{nick} of the tests")]);
        if !caps.is_empty() {
            self.send("CAP END");
        }
        self.welcome(nick);
    }

    /// Waits for the end of registration.
    #[track_caller]
    pub fn welcome(&mut self, nick: &str) -> Vec<Line> {
        let mut lines = self.until("001");
        assert_eq!(lines.last().unwrap().params()[0], nick, "{lines:#?}");
        lines.extend(self.sync());
        nick.clone_into(&mut self.nick);
        lines
    }

    /// Registers and logs in by SASL PLAIN, with these capabilities besides `sasl`.
    #[track_caller]
    pub fn log_in(&mut self, nick: &str, account: &str, password: &str, caps: &str) -> Vec<Line> {
        self.request(&format!("sasl {caps}"));
        self.send_all(&[&format!("NICK {nick}"), &format!("USER {nick} 0 * :{nick} of the tests")]);
        self.authenticate(account, password);
        let mut lines = self.until("903");
        self.send("CAP END");
        lines.extend(self.welcome(nick));
        lines
    }

    /// Asks for capabilities, all of which must be granted.
    #[track_caller]
    pub fn request(&mut self, caps: &str) {
        self.send(&format!("CAP REQ :{}", caps.trim()));
        let line = self.until("CAP").pop().unwrap();
        assert_eq!(line.params()[1], "ACK", "CAP REQ {caps}: {line:?}");
    }

    /// Sends a whole SASL PLAIN exchange, in chunks of 400, without waiting.
    pub fn authenticate(&mut self, account: &str, password: &str) {
        self.send("AUTHENTICATE PLAIN");
        for chunk in chunks(&plain(account, password)) {
            self.send(&format!("AUTHENTICATE {chunk}"));
        }
    }

    /// Joins a channel and swallows what comes of it.
    #[track_caller]
    pub fn join(&mut self, channel: &str) -> Vec<Line> {
        let lines = self.ask(&format!("JOIN {channel}"));
        assert!(lines.iter().any(|line| line.command() == "JOIN"), "JOIN {channel}: {lines:#?}");
        lines
    }

    /// `nick!user@host` of this user, as others see it.
    #[track_caller]
    pub fn mask(&mut self) -> String {
        let nick = self.nick.clone();
        let lines = self.ask(&format!("WHOIS {nick}"));
        let line = find(&lines, "311");
        let params = line.params();
        format!("{}!{}@{}", params[1], params[2], params[3])
    }

    /// Ends the test with everything that went over this connection.
    #[track_caller]
    pub fn fail(&self, why: &str) -> ! {
        let from = self.transcript.len().saturating_sub(25);
        panic!("{why}\n--- {}:\n{}", self.nick, self.transcript[from..].join("\n"));
    }

    fn note(&mut self, direction: char, bytes: &[u8]) {
        let text: String = bytes.escape_ascii().to_string().chars().take(220).collect();
        self.transcript.push(format!("{direction} {text}"));
    }

    fn next_line(&mut self) -> Option<Line> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.waiting.pop_front() {
                // What every client answers by itself, and shows to nobody.
                if self.confirms && (line.fits("PING :replayed-*") || line.fits("PING :read-*")) {
                    let pong = format!("PONG :{}\r\n", line.params()[0]);
                    self.note('>', pong.as_bytes());
                    // The server may have closed meanwhile.
                    let _ = self.transport.send(pong.as_bytes());
                    continue;
                }
                return Some(line);
            }
            if self.ended {
                return None;
            }
            match self.transport.receive() {
                Ok(bytes) if bytes.is_empty() => self.ended = true,
                Ok(bytes) => self.bytes.extend(bytes),
                // A debugger, or a signal to this process: nothing has happened on the line.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A reset, or TLS without close_notify: the connection is gone as well.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionReset
                            | ErrorKind::UnexpectedEof
                            | ErrorKind::BrokenPipe
                            | ErrorKind::ConnectionAborted
                    ) =>
                {
                    self.ended = true;
                }
                Err(error) => self.fail(&format!("nothing came: {error}")),
            }
            if Instant::now() > deadline {
                self.fail("no whole line came");
            }
            while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let bytes: Vec<u8> = self.bytes.drain(..=end).collect();
                self.note('<', &bytes);
                match Line::checked(&bytes) {
                    Ok(line) => self.waiting.push_back(line),
                    Err(why) => self.fail(&format!("{why}: {:?}", bytes.escape_ascii().to_string())),
                }
            }
            if self.ended && !self.bytes.is_empty() && !self.torn {
                self.fail("the connection ended inside a line");
            }
        }
    }
}

/// A line of the server, without its CR LF.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// The line with its tags.
    pub raw: String,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.raw)
    }
}

impl Line {
    /// What every line of the server must be: CR LF at its end and nowhere else, no NUL, UTF-8, its
    /// tags and its rest within their budgets.
    fn checked(bytes: &[u8]) -> Result<Line, String> {
        let Some(bytes) = bytes.strip_suffix(b"\r\n") else { return Err("a line without CR LF".to_owned()) };
        if bytes.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err("a CR or NUL inside a line".to_owned());
        }
        let Ok(raw) = String::from_utf8(bytes.to_vec()) else { return Err("not UTF-8".to_owned()) };
        let line = Line { raw };
        if line.body().len() + 2 > 512 {
            return Err(format!("{} bytes without the tags", line.body().len() + 2));
        }
        if line.raw.len() - line.body().len() > 8191 {
            return Err("more than 8191 bytes of tags".to_owned());
        }
        Ok(line)
    }

    /// The line without its tags.
    pub fn body(&self) -> &str {
        match self.raw.strip_prefix('@') {
            Some(rest) => rest.split_once(' ').map_or("", |(_, body)| body),
            None => &self.raw,
        }
    }

    /// The raw tags, in order.
    pub fn tags(&self) -> Vec<&str> {
        match self.raw.strip_prefix('@') {
            Some(rest) => rest.split_once(' ').map_or(rest, |(tags, _)| tags).split(';').collect(),
            None => Vec::new(),
        }
    }

    /// The raw value of a tag; `""` for a tag without one.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags()
            .into_iter()
            .map(|tag| tag.split_once('=').unwrap_or((tag, "")))
            .find(|(k, _)| *k == key)
            .map(|t| t.1)
    }

    /// The msgid, which must be there and of the right form.
    #[track_caller]
    pub fn msgid(&self) -> &str {
        let msgid = self.tag("msgid").unwrap_or_else(|| panic!("no msgid: {self:?}"));
        assert!(!msgid.is_empty() && !msgid.starts_with(':'), "{self:?}");
        msgid
    }

    /// The server time, which must be there and of the right form.
    #[track_caller]
    pub fn time(&self) -> &str {
        let time = self.tag("time").unwrap_or_else(|| panic!("no time: {self:?}"));
        assert!(is_time(time), "time={time:?} is not YYYY-MM-DDThh:mm:ss.sssZ");
        time
    }

    /// The source, or `""`.
    pub fn source(&self) -> &str {
        self.body().strip_prefix(':').map_or("", |rest| rest.split_once(' ').map_or(rest, |(source, _)| source))
    }

    /// The command or numeric.
    pub fn command(&self) -> &str {
        let rest = self.after_source();
        rest.split_once(' ').map_or(rest, |(command, _)| command)
    }

    /// The parameters.
    pub fn params(&self) -> Vec<&str> {
        let Some((_, mut rest)) = self.after_source().split_once(' ') else { return Vec::new() };
        let mut params = Vec::new();
        loop {
            if let Some(trailing) = rest.strip_prefix(':') {
                params.push(trailing);
                return params;
            }
            match rest.split_once(' ') {
                Some((param, more)) => {
                    params.push(param);
                    rest = more;
                }
                None => {
                    params.push(rest);
                    return params;
                }
            }
        }
    }

    fn after_source(&self) -> &str {
        let body = self.body();
        if body.starts_with(':') { body.split_once(' ').map_or("", |(_, rest)| rest) } else { body }
    }

    /// Whether the line fits a pattern, in which `*` stands for anything. The tags are left out
    /// unless the pattern begins with `@`.
    pub fn fits(&self, pattern: &str) -> bool {
        fits(pattern, if pattern.starts_with('@') { &self.raw } else { self.body() })
    }

    /// Fails unless the line fits; returns it.
    #[track_caller]
    pub fn must_fit(&self, pattern: &str) -> &Line {
        assert!(self.fits(pattern), "expected {pattern:?}, got {self:?}");
        self
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for anything.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The first line with this command; it must be there.
#[track_caller]
pub fn find<'a>(lines: &'a [Line], command: &str) -> &'a Line {
    lines.iter().find(|line| line.command() == command).unwrap_or_else(|| panic!("no {command} in {lines:#?}"))
}

/// All lines with this command.
pub fn all<'a>(lines: &'a [Line], command: &str) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.command() == command).collect()
}

/// The commands of all lines, in order.
pub fn commands(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::command).collect()
}

/// The last parameters of the PRIVMSGs and NOTICEs, in order.
pub fn texts(lines: &[Line]) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| matches!(line.command(), "PRIVMSG" | "NOTICE"))
        .map(|line| line.params().last().copied().unwrap_or(""))
        .collect()
}

/// Whether `text` is a server time: UTC with three decimals.
pub fn is_time(text: &str) -> bool {
    text.len() == 24
        && text.bytes().zip("0000-00-00T00:00:00.000Z".bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        })
}

/// The base64 of a SASL PLAIN message without an authorisation identity.
pub fn plain(account: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{account}\0{password}"))
}

/// Base64 in the chunks of AUTHENTICATE: 400 at a time, `+` after a last full one.
pub fn chunks(base64: &str) -> Vec<String> {
    let mut chunks: Vec<String> =
        base64.as_bytes().chunks(400).map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect();
    if base64.len().is_multiple_of(400) {
        chunks.push("+".to_owned());
    }
    chunks
}
