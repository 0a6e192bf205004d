//! Random clients: who they are, how they register, and everything they may say, sensible and absurd.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ircv3::{Cap, CapSet, Message};
use roost::server::event::BadLine;

use crate::edge::Typed;
use crate::random::Random;
use crate::view::{Asked, AskedRange, View, fold};

/// Nicks, which are account names too.
const NICKS: &[&str] = &["ann", "Bob", "cy", "dora", "eve", "fay", "gus", "hal"];
/// Channels.
const CHANNELS: &[&str] = &["#a", "#B", "#c", "#d[x]", "#D{X}", "#ü", "#Ü", "#A", DIM];
/// The channel whose modes hide members, and keep from most of them what is said.
pub const DIM: &str = "#dim";
const ABSURD: &[&str] = &[
    "*",
    "0",
    "NickServ",
    "#",
    "#a,#b,,#c",
    "&x",
    "ann,Bob,cy,dora,eve",
    "#a\u{7}b",
    "ñandú",
    "@#a",
    "+#a",
    "~",
    "-1",
    "a!b@c",
    "#zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
    "roost.local",
    "timestamp=2023-01-01T00:00:00.000Z",
    "999999999999999999999",
];
/// Commands that are not given, and why.
pub const NEVER: &[(&str, &str)] = &[
    ("BATCH", "what it says is one message, which the model does not put together"),
    ("DEFCON", "nobody could come any more"),
    ("DIE", "the world would end"),
    ("RENAME", "the model knows channels by their names"),
    ("RESTART", "the world would end"),
];
/// Commands that are sent with parameters of any kind.
const ANY: &[&str] = &[
    "2FA",
    "ACCEPT",
    "ADMIN",
    "AUTHENTICATE",
    "AWAY",
    "CAP",
    "CHANSERV",
    "CS",
    "HELP",
    "HELPOP",
    "INFO",
    "INVITE",
    "ISON",
    "JOIN",
    "KICK",
    "KILL",
    "KNOCK",
    "LIST",
    "LUSERS",
    "MODE",
    "MOTD",
    "NAMES",
    "NICKSERV",
    "NS",
    "OPER",
    "PART",
    "PASS",
    "PING",
    "PONG",
    "RECOVER",
    "REGISTER",
    "SETNAME",
    "TIME",
    "TOKEN",
    "TOPIC",
    "USER",
    "USERHOST",
    "VERIFY",
    "VERSION",
    "WHO",
    "WHOIS",
    "WHOWAS",
    "ZNC",
    "FOO",
    "privmsg",
    "Notice",
    "tagmsg",
];

/// Who someone is, over several connections.
#[derive(Clone, Debug)]
pub struct Persona {
    /// What it asks for.
    pub caps: Vec<Cap>,
    /// The nick it wants.
    pub nick: String,
    /// The account it logs in to at registration.
    pub login: Option<String>,
    /// Its address.
    pub ip: [u8; 4],
    /// Bytes that it reads at a time.
    pub reads: usize,
    /// Whether it puts labels on commands.
    pub labels: bool,
}

/// A client and its present connection.
#[derive(Debug)]
pub struct Client {
    /// Who it is.
    pub persona: Persona,
    /// Its socket, while it has one.
    pub socket: Option<usize>,
    /// What it has seen there.
    pub view: View,
    count: u32,
    /// Where it reacted last, and to which message.
    reacted: Option<(String, String)>,
}

/// Numbers that are given out once in a run.
#[derive(Debug, Default)]
pub struct Counters {
    /// Texts.
    pub texts: u64,
    /// Nicks.
    pub nicks: u64,
}

impl Persona {
    /// Someone.
    pub fn any(random: &mut Random, at: usize) -> Persona {
        let all = || Cap::ALL.iter().copied().filter(|cap| !cap.only_informs());
        let caps: Vec<Cap> = match random.below(9) {
            0 => Vec::new(),
            1 | 2 => all().collect(),
            3 => vec![Cap::Sasl, Cap::MessageTags, Cap::ServerTime, Cap::Batch, Cap::LabeledResponse, Cap::EchoMessage],
            4 => vec![Cap::Sasl, Cap::ServerTime, Cap::MessageTags, Cap::Batch],
            5 | 6 => vec![Cap::MessageTags, Cap::ServerTime, Cap::Batch, Cap::Chathistory, Cap::EventPlayback],
            _ => all().filter(|_| random.percent(50)).collect(),
        };
        let nick = NICKS[random.below(NICKS.len())].to_owned();
        let login = random.percent(50).then(|| match random.below(3) {
            0 => nick.clone(),
            1 => format!("{nick}@phone"),
            _ => NICKS[random.below(NICKS.len())].to_owned(),
        });
        Persona {
            caps,
            nick,
            login,
            ip: if random.percent(50) { [127, 0, 0, 1] } else { [192, 0, 2, at as u8] },
            reads: if random.percent(15) { 200 } else { 4000 },
            labels: random.percent(70),
        }
    }

    /// Someone with an account of its own and a device that cannot ask for what it missed.
    pub fn with_device(random: &mut Random, at: usize) -> Persona {
        let account = NICKS[at % NICKS.len()];
        let nick = if random.percent(20) { format!("{account}_") } else { account.to_owned() };
        let device = random.pick(&["@phone", "@phone", "@phone", "@couch", ""]);
        let mut caps = vec![Cap::Sasl, Cap::ServerTime];
        caps.extend(
            [Cap::MessageTags, Cap::Batch, Cap::EchoMessage, Cap::ReadMarker]
                .into_iter()
                .filter(|_| random.percent(60)),
        );
        let login = Some(format!("{account}{device}"));
        Persona { caps, nick, login, ip: [192, 0, 2, at as u8], reads: 4000, labels: false }
    }
}

impl Client {
    /// A client without a connection.
    pub fn new(persona: Persona) -> Client {
        Client { persona, socket: None, view: View::default(), count: 0, reacted: None }
    }

    /// A new connection; what it sends at once.
    pub fn connected(&mut self, socket: usize, random: &mut Random, password: bool) -> Vec<Typed> {
        self.socket = Some(socket);
        self.view = View::default();
        (self.count, self.reacted) = (0, None);
        let mut lines: Vec<String> = Vec::new();
        let negotiates = !self.persona.caps.is_empty() || random.percent(20);
        let nick = self.persona.nick.clone();
        let mut identity = vec![self.nick_line(&nick), format!("USER {nick} 0 * :{nick} the real")];
        random.shuffle(&mut identity);
        if password && random.percent(90) {
            identity.insert(0, "PASS :server".to_owned());
        } else if random.percent(10) {
            identity.insert(0, format!("PASS :{nick}:pw-{}", nick.to_lowercase()));
        }
        if negotiates {
            lines.push((*random.pick(&["CAP LS 302", "CAP LS", "cap ls 302"])).to_owned());
            if random.percent(50) {
                lines.append(&mut identity);
            }
            for some in self.persona.caps.chunks(1 + random.below(7)) {
                let names: Vec<&str> = some.iter().map(|cap| cap.names()[0]).collect();
                lines.push(format!("CAP REQ :{}", names.join(" ")));
                self.view.requests += 1;
            }
            if let (Some(login), true) = (&self.persona.login, self.persona.caps.contains(&Cap::Sasl)) {
                lines.push("AUTHENTICATE PLAIN".to_owned());
                lines.push(format!("AUTHENTICATE {}", plain(login, random.percent(90))));
            }
            lines.append(&mut identity);
            if random.percent(15) {
                lines.push(format!("REGISTER * * pw-{}", nick.to_lowercase()));
            }
            if random.percent(97) {
                lines.push("CAP END".to_owned());
            }
        } else {
            lines.append(&mut identity);
        }
        if random.percent(10) {
            lines.insert(random.below(lines.len()), self.absurd(random));
        }
        if random.percent(5) {
            lines.truncate(random.below(lines.len()));
        }
        // Some join before they know that they are in.
        if random.percent(30) {
            lines.push(format!("JOIN {}", channel(random)));
        }
        lines.into_iter().map(Typed::Line).collect()
    }

    /// A line that asks for a nick, which from then on may be the client's.
    fn nick_line(&mut self, nick: &str) -> String {
        self.view.tried.push(nick.to_owned());
        format!("NICK {nick}")
    }

    /// What the client sends because of what it read.
    pub fn reactions(&mut self, counters: &mut Counters) -> Vec<Typed> {
        let lines = std::mem::take(&mut self.view.reactions);
        let answered = lines.into_iter().map(|line| match &*line {
            "NICK" => {
                counters.nicks += 1;
                let nick = format!("u{}", counters.nicks);
                self.nick_line(&nick)
            }
            _ => line,
        });
        answered.map(Typed::Line).collect()
    }

    /// Something to say.
    pub fn say(&mut self, random: &mut Random, counters: &mut Counters) -> Typed {
        match random.below(100) {
            0 => return Typed::Bad(BadLine::TooLong { tags: "".into() }),
            1 => return Typed::Bad(BadLine::NotUtf8 { command: "PRIVMSG".into(), tags: "".into() }),
            2 => return Typed::Bad(BadLine::ForbiddenByte { tags: "".into() }),
            _ => {}
        }
        let line = self.line(random, counters);
        Typed::Line(self.tagged(line, random))
    }

    /// Puts tags on a line: a label that must be answered, client-only tags, things that are neither.
    fn tagged(&mut self, line: String, random: &mut Random) -> String {
        let mut tags: Vec<String> = Vec::new();
        if line.starts_with("TAGMSG ") && random.percent(90) {
            let target = fold(&line["TAGMSG ".len()..]);
            let there = self.view.known.iter().rev().find(|(with, _, _)| fold(with) == target);
            let known = there.map_or("x", |(_, id, _)| id).to_owned();
            if known != "x" {
                self.reacted = Some((target, known.clone()));
            }
            tags.push(format!("+reply={known};+draft/react={}", random.pick(&["ü", "x"])));
        } else if random.percent(15) {
            let known = self.view.known.last().map_or("x", |(_, id, _)| id);
            tags.push(match random.below(6) {
                0 => "+typing=active".to_owned(),
                1 => "+draft/react=\\:)".to_owned(),
                2 => format!("+draft/reply={known};+draft/react=ü"),
                // With draft/multiline it would be a line of a message that was never begun.
                3 if self.view.caps.has(Cap::Multiline) => "account=root;msgid=1".to_owned(),
                3 => "account=root;time=2020-01-01T00:00:00.000Z;msgid=1;batch=1".to_owned(),
                4 => "+secret=1;+;=;;+a;+a=2".to_owned(),
                _ => "label=".to_owned(),
            });
        }
        let mut label = None;
        if self.persona.labels && random.percent(50) {
            self.count += 1;
            label = Some(format!("L{}{}", self.count, random.pick(&["", "-ü", "a", "\\:x"])));
        }
        if let Some(label) = &label {
            tags.push(format!("label={label}"));
        }
        if tags.is_empty() {
            return line;
        }
        let line = format!("@{} {line}", tags.join(";"));
        // As the server answers only from the moment it has both capabilities, so the client expects.
        let wanted = CapSet::of(&[Cap::LabeledResponse, Cap::Batch]);
        let certain = self.view.requests == 0 && self.view.caps.has_all(wanted);
        if let Some(label) = label {
            let message = Message::parse_client(line.clone());
            match (certain, message) {
                (true, Ok(message)) => {
                    let meant = message.tags().get("label").unwrap_or_default();
                    if meant.is_empty() {
                        return line;
                    }
                    self.view.labels.push_back(meant.into_owned());
                }
                (false, _) if self.view.requests > 0 => return line.replace(&format!("label={label}"), "x"),
                _ => {}
            }
        }
        line
    }

    fn line(&mut self, random: &mut Random, counters: &mut Counters) -> String {
        if !self.view.registered {
            return self.before(random, counters);
        }
        let mut rooms: Vec<&String> = self.view.rooms.keys().collect();
        rooms.sort();
        if rooms.is_empty() && random.percent(60) {
            return format!("JOIN {}", channel(random));
        }
        let room = match rooms.len() {
            0 => channel(random),
            n if random.percent(85) => rooms[random.below(n)].clone(),
            _ => channel(random),
        };
        let who = nick(random);
        if self.view.caps.has(Cap::ReadMarker) && random.percent(2) {
            return format!("MARKREAD {room} timestamp=2023-01-0{}T00:00:00.000Z", 1 + random.below(9));
        }
        match random.below(100) {
            0..27 => {
                let command = random.pick(&["PRIVMSG", "PRIVMSG", "PRIVMSG", "NOTICE"]);
                let target = match random.below(12) {
                    0 => format!("{room},{who},{}", channel(random)),
                    1 => format!("@{room}"),
                    2 | 3 => who,
                    4 if !self.view.nick.is_empty() => self.view.nick.clone(),
                    5 => any(random),
                    _ => room,
                };
                format!("{command} {target} :{}", text(random, counters))
            }
            27..34 => format!("TAGMSG {room}"),
            34..40 => format!("JOIN {}{}", channel(random), random.pick(&["", "", "", " k1", ",#c k1,k2"])),
            40..43 => format!("PART {room}{}", random.pick(&["", " :bye", " :"])),
            43 if random.percent(30) => "JOIN 0".to_owned(),
            43 => format!("MODE {room} -ikl k1"),
            44..46 => format!("TOPIC {room}{}", random.pick(&["", " :a topic", " :", " :ü and more"])),
            46..49 => format!("KICK {room} {who}{}", random.pick(&["", " :out", ",Bob,cy :all"])),
            49..56 if room == DIM && random.percent(50) => {
                format!("MODE {room} {}", random.pick(&["+D", "-D", "+u", "-u", "+Du", "-Du", "+U", "-U"]))
            }
            49..56 => format!("MODE {room} {}", channel_modes(random, &who)),
            56 => {
                format!(
                    "MODE {} {}",
                    self.view.nick,
                    random.pick(&["+i", "-i", "+B", "-B", "+w", "+o", "-o", "+xyz", "+D-p", "-D+p", "+gR", "-gR"])
                )
            }
            57 => format!("MODE {}", any(random)),
            58..61 => format!("NICK {}", if random.percent(60) { who } else { any(random) }),
            61..63 => (*random.pick(&["AWAY", "AWAY :gone", "AWAY :"])).to_owned(),
            63 => format!("INVITE {who} {room}"),
            64 => format!("SETNAME :{}", random.pick(&["New Name", "", "ü"])),
            65..67 => format!("NAMES {room}"),
            67 => format!("WHO {}{}", room, random.pick(&["", " %tcuhsnfdlaor,7", " o", " %", " %zz"])),
            68 => format!("WHO {}", random.pick(&["*", "a*", "0", ""])),
            69 => format!("WHOIS {who}"),
            70 => format!("LIST {}", random.pick(&["", ">1", "#a,#b", "*ü*", "C>0,T<5", "!#a"])),
            71 => format!("WHOWAS {who} {}", random.pick(&["", "2", "-1"])),
            72 => format!("KILL {who} :enough"),
            73 => (*random.pick(&["OPER admin right", "OPER admin wrong", "OPER x y"])).to_owned(),
            74..76 => format!("NS {}", self.nickserv(random)),
            76..78 if random.percent(35) => {
                let what = random.pick(&[
                    "KEEPTOPIC OFF",
                    "KEEPTOPIC ON",
                    "ENTRYMSG hello there",
                    "ENTRYMSG OFF",
                    "DESCRIPTION a room",
                    "SUCCESSOR Bob",
                    "SUCCESSOR OFF",
                    "HISTORY-EVENTS topic,nick,quit",
                    "HISTORY-EVENTS ALL",
                    "FROB x",
                ]);
                format!("CS {} {room} {what}", random.pick(&["SET", "SET", "SET", "GET"]))
            }
            76..78 => format!(
                "CS {} {room}",
                random.pick(&["REGISTER", "REGISTER", "REGISTER", "DROP", "INFO", "OP", "", "FROB"])
            ),
            78 => format!("REGISTER * * pw-{}", self.view.nick.to_lowercase()),
            79 if random.percent(30) => (*random.pick(&[
                "HISTSERV STATUS",
                "HS WAITING",
                "HOSTSERV REQUEST a.host.test",
                "HOSTSERV WAITING",
                "HISTSERV PLAY #a 10",
                "HISTSERV FROB",
            ]))
            .to_owned(),
            79 => format!("PRIVMSG NickServ :{}", self.nickserv(random)),
            80..90 => self.chathistory(random, &room),
            90 => {
                let cap = Cap::ALL[random.below(Cap::ALL.len())];
                self.view.requests += 1;
                // Whoever puts off what answers to CHATHISTORY come in cannot tell them apart any more.
                let stays = matches!(cap, Cap::Batch | Cap::Chathistory);
                format!("CAP REQ :{}{}", random.pick(&["", if stays { "" } else { "-" }, "nope "]), cap.names()[0])
            }
            91 => (*random.pick(&["CAP LIST", "CAP LS 302", "CAP LS", "CAP END", "ISUPPORT"])).to_owned(),
            92 => format!(
                "AUTHENTICATE {}",
                random.pick(&[
                    "PLAIN",
                    "PLAIN",
                    "PLAIN",
                    "SCRAM-SHA-256",
                    "SCRAM-SHA-256-PLUS",
                    "SCRAM-SHA-512",
                    "EXTERNAL",
                    "ECDSA-NIST256P-CHALLENGE",
                    "OAUTHBEARER",
                    "IRCV3BEARER",
                    "*",
                ])
            ),
            // n,,n=ann,r=abc and p=tls-exporter,,n=ann,r=abc, ann, and nothing.
            93 if random.percent(40) => format!(
                "AUTHENTICATE {}",
                random.pick(&[
                    "biwsbj1hbm4scj1hYmM=",
                    "cD10bHMtZXhwb3J0ZXIsLG49YW5uLHI9YWJj",
                    "YW5u",
                    "+",
                    "Yz1iaXdzLHI9YWJjLHA9QUFBQQ==",
                ])
            ),
            93 => format!("AUTHENTICATE {}", plain(NICKS[random.below(NICKS.len())], random.percent(70))),
            94 if random.percent(40) => format!("QUIT{}", random.pick(&["", " :so long", " :"])),
            95 => format!("PING {}", random.pick(&["x", ":a b", ":"])),
            96 | 97 if random.percent(60) => self.push(random, &room, &who),
            96 | 97 => self.other(random, counters, &room),
            _ => self.absurd(random),
        }
    }

    /// A device, what it is told of, and what was read elsewhere.
    fn push(&self, random: &mut Random, room: &str, who: &str) -> String {
        // RFC 8291, appendix A.
        let keys = "p256dh=BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4;\
                    auth=BTBZMqHH6r4Tts7J_aSIgg";
        let endpoint = format!("https://push{}.example.org/{}", random.below(2), random.below(3));
        match random.below(8) {
            0..3 => format!("WEBPUSH REGISTER {endpoint} {keys}"),
            3 if random.percent(30) => format!("WEBPUSH UNREGISTER {endpoint}"),
            4 => format!("NS NOTIFY LEVEL {room} {}", random.pick(&["ALL", "ALL", "NONE", "DEFAULT"])),
            3 | 5 | 6 => "NS NOTIFY LEVEL * ALL".to_owned(),
            _ => format!("METADATA {} SET soju.im/muted {}", who, random.pick(&["0", "1"])),
        }
    }

    /// What only some give, and rarely. What would end the world, or what the model does not follow, is in [`NEVER`].
    fn other(&mut self, random: &mut Random, counters: &mut Counters, room: &str) -> String {
        let known = self.view.known.last().map_or("00000000000000000000", |(_, id, _)| id).to_owned();
        let who = nick(random);
        match random.below(42) {
            0..3 => format!(
                "SEARCH {}",
                random.pick(&["text=hello", "in=#a;text=x", "from=ann", "text=", "x=y", "limit=0"])
            ),
            3 | 4 => format!("REDACT {room} {known} :no"),
            5 => format!("EDIT {room} {known} :another"),
            6 => format!("EDITMSG {room} {known} :another"),
            7..10 => {
                let what = [
                    "* SET avatar :x",
                    "* SET avatar",
                    "* GET avatar color",
                    "* LIST",
                    "* CLEAR",
                    "* SUB avatar",
                    "* SUBS",
                    "* UNSUB avatar",
                    "* SYNC",
                ];
                format!("METADATA {}", random.pick(&what))
            }
            10..12 => format!("MONITOR {}", random.pick(&["+ ann,Bob,zed", "- ann", "C", "L", "S", "+", "x"])),
            12..14 => {
                let to = [
                    "",
                    " x",
                    " timestamp=2023-01-01T00:00:00.000Z",
                    " timestamp=2023-01-02T00:00:00.000Z",
                    " timestamp=2023-01-03T00:00:00.000Z",
                    " timestamp=2022-12-31T00:00:00.000Z",
                ];
                format!("MARKREAD {room}{}", random.pick(&to))
            }
            14 => (*random.pick(&[
                "PERSISTENCE GET",
                "PERSISTENCE SET ON",
                "PERSISTENCE SET ON",
                "PERSISTENCE SET OFF",
                "PERSISTENCE",
            ]))
            .to_owned(),
            15 => (*random.pick(&["UBAN LIST", "UBAN ADD 192.0.2.0/24 1h :x", "UBAN DEL 192.0.2.0/24", "UBAN INFO x"]))
                .to_owned(),
            16 => {
                (*random.pick(&["KLINE LIST", "KLINE x!*@192.0.2.1 :x", "UNKLINE x!*@192.0.2.1", "KLINE"])).to_owned()
            }
            17 => (*random.pick(&["DLINE LIST", "DLINE 192.0.2.1 :x", "UNDLINE 192.0.2.1", "DLINE x"])).to_owned(),
            18 => "REHASH".to_owned(),
            19 => format!("CHGHOST {who} a.vhost"),
            20 => format!("SETHOST {}", random.pick(&["b.vhost", "no host"])),
            21 => format!("SAMODE {room} {}", random.pick(&["+m", "-m", "+v ann", "-o Bob"])),
            22 => format!("SAJOIN {room}"),
            23 => format!("SAPART {who} {room}"),
            24 => {
                counters.nicks += 1;
                format!("SANICK {who} s{}", counters.nicks)
            }
            25 => format!("SILENCE{}", random.pick(&["", " ann", " -x!*@*"])),
            26 => format!("WALLOPS :{}", random.pick(&["all", ""])),
            27 => "GLOBAL :hear".to_owned(),
            28 => format!("PROP {}", random.pick(&[room, "ann", "*"])),
            29 => format!("BOUNCER {}", random.pick(&["LISTNETWORKS", "BIND 1", "FROB"])),
            30 => format!("EXTJWT {}", random.pick(&["*", room, "* x"])),
            31 => (*random.pick(&["ISUPPORT", "LINKS", "MAP", "SUMMON", "USERS"])).to_owned(),
            32 => format!("STATS {}", random.pick(&["?", "u", "m", "z", ""])),
            33 => format!("TRACE {who}"),
            34 => format!("USERIP {who}"),
            35 => "WEBIRC x y z 192.0.2.1".to_owned(),
            36 => format!("NPC {room} villain :{}", text(random, counters)),
            37 => format!("NPCA {room} villain :{}", text(random, counters)),
            39 => "CONNECT hub.test 6667".to_owned(),
            40 => "SQUIT hub.test :bye".to_owned(),
            38 => format!("SCENE {room} :{}", text(random, counters)),
            _ => format!("RELAYMSG {room} vera/net :{}", text(random, counters)),
        }
    }

    fn before(&mut self, random: &mut Random, counters: &mut Counters) -> String {
        match random.below(8) {
            0 => {
                counters.nicks += 1;
                let nick = format!("g{}", counters.nicks);
                self.nick_line(&nick)
            }
            1 => "USER x 0 * :x y".to_owned(),
            2 | 3 => "CAP END".to_owned(),
            4 => "PING x".to_owned(),
            5 if random.percent(30) => "QUIT".to_owned(),
            5 | 6 => "PASS server".to_owned(),
            _ => self.absurd(random),
        }
    }

    fn absurd(&mut self, random: &mut Random) -> String {
        let command = *random.pick(&ANY.iter().collect::<Vec<_>>());
        let mut line = (*command).to_owned();
        if command.eq_ignore_ascii_case("CAP") {
            // What a REQ among these would do is not for the model to guess.
            return format!("CAP {}", random.pick(&["", "FOO", "LIST", "LS 301", "ACK x", "REQ", "REQ :"]));
        }
        for _ in 0..random.below(5) {
            line.push(' ');
            line.push_str(&any(random));
        }
        if random.percent(20) {
            line.push_str(" :");
            line.push_str(&"ü".repeat(random.below(200)));
        }
        line
    }

    fn nickserv(&self, random: &mut Random) -> String {
        let own = self.view.nick.to_lowercase();
        let who = NICKS[random.below(NICKS.len())];
        match random.below(9) {
            0..3 => format!("REGISTER pw-{own}"),
            3 => format!("IDENTIFY {who} pw-{}", who.to_lowercase()),
            4 => format!("IDENTIFY pw-{own}"),
            5 => format!("PASSWD pw-{own} pw-{own}"),
            6 => (*random.pick(&["SET AUTOREPLAY-MISSED OFF", "SET AUTOREPLAY-MISSED ON", "SET x y"])).to_owned(),
            7 if random.percent(40) => {
                (*random.pick(&["GROUP", "UNGROUP", "2FA ADD", "2FA LIST", "2FA CONFIRM 123456"])).to_owned()
            }
            7 => format!("INFO {who}"),
            _ => (*random.pick(&["HELP", "", "FROB \u{2}x", "REGISTER", "IDENTIFY"])).to_owned(),
        }
    }

    fn chathistory(&mut self, random: &mut Random, room: &str) -> String {
        if self.view.requests > 0 {
            return "PING x".to_owned();
        }
        let target = match random.below(6) {
            0 => nick(random),
            1 => channel(random),
            _ => room.to_owned(),
        };
        let limit = *random.pick(&[&1usize, &2, &5, &50, &1000, &100_000]);
        let known: Vec<&(String, String, u64)> =
            self.view.known.iter().filter(|(with, _, _)| fold(with) == fold(&target)).collect();
        let border = |random: &mut Random| match known.len() {
            0 => None,
            n => {
                let (_, id, time) = known[random.below(n)];
                let seq = roost::server::record::MsgId::parse(id).map_or(0, |id| id.seq);
                let time = ircv3::time::time_text(*time);
                Some((if random.percent(80) { format!("msgid={id}") } else { format!("timestamp={time}") }, seq))
            }
        };
        let first = border(random);
        let (line, range) = match (random.below(11), &first) {
            (8..11, _) if self.reacted.is_some() => {
                // Alone, a message comes with what is about it.
                let (target, id) = self.reacted.clone().unwrap_or_default();
                (format!("AROUND {target} msgid={id} 1"), AskedRange::Other)
            }
            (0..2, _) => (format!("LATEST {target} * {limit}"), AskedRange::Latest),
            (2, Some((from, _))) => (format!("LATEST {target} {from} {limit}"), AskedRange::Other),
            (3, Some((from, seq))) => (format!("BEFORE {target} {from} {limit}"), AskedRange::Before(*seq)),
            (4, Some((from, seq))) => (format!("AFTER {target} {from} {limit}"), AskedRange::After(*seq)),
            (5, Some((from, _))) => {
                let limit = if random.percent(80) { "1".to_owned() } else { limit.to_string() };
                (format!("AROUND {target} {from} {limit}"), AskedRange::Other)
            }
            (6, Some((from, _))) => {
                let to = border(random).map_or_else(String::new, |(to, _)| to);
                (format!("BETWEEN {target} {from} {to} {limit}"), AskedRange::Other)
            }
            (7, _) => {
                let times = ["timestamp=2020-01-01T00:00:00.000Z", "timestamp=2099-01-01T00:00:00.000Z"];
                let at = random.below(2);
                (format!("TARGETS {} {} {limit}", times[at], times[1 - at]), AskedRange::Other)
            }
            _ if random.percent(80) => (format!("LATEST {target} * {limit}"), AskedRange::Latest),
            _ => (format!("{} {target} {}", random.pick(&["LATEST", "AFTER", "FROB"]), any(random)), AskedRange::Other),
        };
        let read = self.view.read.clone();
        self.view.asked.push_back(Asked { target: fold(&target), range, limit, read });
        if !self.view.caps.has(Cap::Chathistory) || !self.view.caps.has(Cap::Batch) {
            self.view.asked.pop_back();
        }
        format!("CHATHISTORY {line}")
    }
}

fn plain(login: &str, right: bool) -> String {
    let account = login.split('@').next().unwrap_or(login).to_lowercase();
    let password = if right { format!("pw-{account}") } else { "wrong".to_owned() };
    STANDARD.encode(format!("\0{login}\0{password}"))
}

fn nick(random: &mut Random) -> String {
    NICKS[random.below(NICKS.len())].to_owned()
}

fn channel(random: &mut Random) -> String {
    CHANNELS[random.below(CHANNELS.len())].to_owned()
}

fn any(random: &mut Random) -> String {
    match random.below(4) {
        0 => nick(random),
        1 => channel(random),
        _ => ABSURD[random.below(ABSURD.len())].to_owned(),
    }
}

/// A text that begins with a word of its own (see [`crate::store::token_of`]).
fn text(random: &mut Random, counters: &mut Counters) -> String {
    counters.texts += 1;
    let rest = match random.below(8) {
        0 => "ü".repeat(random.below(230)),
        1 => "x".repeat(random.below(480)),
        2 => "\u{1}\u{2}\u{3} : ,".to_owned(),
        _ => "hello".to_owned(),
    };
    format!("t{} {rest}", counters.texts)
}

fn channel_modes(random: &mut Random, who: &str) -> String {
    match random.below(18) {
        14 => format!("+b {}", random.pick(&["m:*!*@*", "a:ann", "n:U:", "j:#a", "m:m:x", "~r:*"])),
        15 => (*random.pick(&["+N", "-N", "+c", "-c", "+S", "-S", "+P", "-P", "+rd", "-rd"])).to_owned(),
        16 => format!("+f {}", channel(random)),
        17 => "-f".to_owned(),
        0 => format!("+o {who}"),
        1 => format!("-o {who}"),
        2 => format!("+v {who}"),
        3 => format!("+ov-v {who} {who} {who}"),
        4 => format!("+b {who}!*@*"),
        5 => "-b *!*@*".to_owned(),
        6 => "b".to_owned(),
        7 => "+k k1".to_owned(),
        8 => "-k k1".to_owned(),
        9 => format!("+l {}", random.below(5)),
        10 => (*random.pick(&["+m", "-m", "+s", "-s", "-n", "+n", "+i", "-i", "-t"])).to_owned(),
        11 => "+beI a b c".to_owned(),
        12 => "+xyzlk".to_owned(),
        _ => "+bbbbbbbbbbbb a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12".to_owned(),
    }
}
