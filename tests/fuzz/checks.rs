//! What must hold for any bytes at all. The fuzz targets look for bytes for which it does not; `tests/corpus.rs`
//! looks at those of the corpus each time.

#![allow(dead_code, reason = "each target uses one of them")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::BytesMut;
use ircv3::extban::{self, Entry};
use ircv3::message::MAX_BODY_BYTES;
use ircv3::mode::{self, Item};
use ircv3::tags::{Tags, escape, unescape};
use ircv3::{Casemapping, Message, mask};
use roost::net::line::{Line, LineCodec};
use roost::net::proxy::{Start, start_of};
use roost::server::Server;
use roost::server::action::{Actions, NetAction};
use roost::server::event::{ConnId, Event, Now, Peer, Returned};
use roost::server::frame::OwnTags;
use roost::server::record::Snapshot;
use roost::server::settings::Settings;
use tokio_util::codec::Decoder;

/// What the network sends becomes lines; what was read and is written again is the same message.
pub fn line(data: &[u8]) {
    let mut codec = LineCodec::default();
    let mut bytes = BytesMut::from(data);
    while let Ok(Some(line)) = codec.decode(&mut bytes) {
        let Line::Message(message) = line else { continue };
        let mut out = Vec::new();
        message.write(&mut out);
        let text = String::from_utf8(out).expect("a message is text");
        let body = text.strip_suffix("\r\n").expect("a line ends in CR LF");
        assert!(!body.contains(['\r', '\n', '\0']), "{body:?} is more than a line");
        let again = Message::parse(body).unwrap_or_else(|error| panic!("{body:?}: {error}"));
        assert_eq!(again.command(), message.command());
        assert_eq!(again.source(), message.source());
        assert!(again.params().eq(message.params()), "{body:?}");
        assert!(again.tags().iter().eq(message.tags().iter()), "{body:?}");
    }
}

/// Tags are taken apart; a value that was unescaped comes back from its escaped form.
pub fn tags(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let tags = Tags::new(text);
    for (key, raw) in tags.iter() {
        let value = unescape(raw);
        assert_eq!(unescape(&escape(&value)), value, "{key}={raw:?}");
        assert!(tags.get(key).is_some(), "{key} is there and not found");
    }
    let kept = tags.client_only(|_| true).unwrap_or_default();
    assert!(Tags::new(&kept).iter().all(|(key, _)| key.starts_with('+')), "{kept:?}");
}

/// MODE's parameters: what was read and is written again reads the same, in one line or in several, and by its
/// names in PROP.
pub fn modes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut words = text.split([' ', '\n']).filter(|word| !word.is_empty());
    let Some(modes) = words.next() else { return };
    let changes: Vec<_> = mode::parse_channel_modes(modes, words).collect();
    let once = mode::encode(&changes);
    let read = |text: &str| -> String {
        let mut words = text.split(' ');
        let modes = words.next().unwrap_or_default().to_owned();
        let changes: Vec<_> = mode::parse_channel_modes(&modes, words).collect();
        mode::encode(&changes)
    };
    assert_eq!(read(&once), once, "{text:?}");
    let lines = mode::line_changes(&changes, 100, 4);
    assert_eq!(lines.concat(), changes, "{text:?}");
    assert!(lines.iter().all(|line| !line.is_empty()));
    for change in changes.iter().filter(|change| mode::channel_prop(change.letter).is_some()) {
        let item = mode::prop_item(change);
        let again = Item::parse(&item).channel_change().unwrap_or_else(|| panic!("{item:?} is not read"));
        assert_eq!((again.add, again.letter, again.param), (change.add, change.letter, change.param), "{item:?}");
    }
    for change in mode::parse_user_modes(text) {
        if let Some(item) = mode::user_prop_item(&change) {
            assert_eq!(mode::user_letter(Item::parse(&item).name), Some(change.letter), "{item:?}");
        }
    }
}

/// Masks: what fits is what the definition says; a mask that is normal stays as it is.
pub fn masks(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, text) = text.split_once('\n').unwrap_or((text, "nick!user@host"));
    if pattern.len() <= 64 && text.len() <= 64 {
        let fold = |text: &str| -> Vec<char> { text.to_ascii_lowercase().chars().collect() };
        let expected = fits(&fold(pattern), &fold(text));
        assert_eq!(mask::matches(pattern, text, Casemapping::Ascii), expected, "{pattern:?} {text:?}");
    }
    let normal = mask::normalize(pattern);
    assert_eq!(mask::normalize(&normal), normal, "{pattern:?}");
    if let Some(normal) = extban::normalize(pattern) {
        assert_eq!(extban::normalize(&normal).as_deref(), Some(&*normal), "{pattern:?}");
        Entry::read(&normal);
    }
    Entry::read(pattern);
}

/// The definition: `*` is anything, `?` is one character, and a backslash before one of them or another backslash
/// makes it itself.
fn fits(pattern: &[char], text: &[char]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    let mut pattern = pattern.iter().peekable();
    while let Some(symbol) = pattern.next() {
        let escaped = if *symbol == '\\' { pattern.next_if(|next| matches!(next, '*' | '?' | '\\')) } else { None };
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match (escaped.unwrap_or(symbol), escaped) {
                ('*', None) => row[at] || at > 0 && next[at - 1],
                ('?', None) => at > 0 && row[at - 1],
                (letter, _) => at > 0 && row[at - 1] && text[at - 1] == *letter,
            };
        }
        row = next;
    }
    row[text.len()]
}

/// A PROXY header: its length is within what came, and more bytes after it change nothing.
pub fn proxy(data: &[u8]) {
    if let Start::Header(bytes, announced) = start_of(data) {
        assert!(bytes <= data.len());
        assert_eq!(start_of(&data[..bytes]), Start::Header(bytes, announced));
        for less in [0, 1, bytes / 2, bytes - 1] {
            assert!(!matches!(start_of(&data[..less]), Start::Header(..)), "half a header is none");
        }
    }
}

/// Any lines from three connections, one of them an old client's, one with every capability and one that has not
/// registered: the state stays whole, and each line that is sent is one.
pub fn session(data: &[u8]) {
    let mut world = World::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some((first, rest)) = line.split_first() else { continue };
        let conn = ConnId { worker: 0, slot: u32::from(*first % 3) };
        let mut bytes = BytesMut::from(rest);
        bytes.extend_from_slice(b"\n");
        match LineCodec::default().decode(&mut bytes) {
            Ok(Some(Line::Message(message))) => world.happen(Event::Line(conn, message)),
            Ok(Some(Line::Bad(bad))) => world.happen(Event::BadLine(conn, bad)),
            _ => {}
        }
    }
    world.server.check().unwrap_or_else(|fault| panic!("{fault}"));
}

struct World {
    server: Server,
    now: Now,
}

impl World {
    fn new() -> World {
        let now = Now { unix_ms: 1_700_000_000_000, mono_ms: 5_000 };
        let settings = Settings { throttle: None, ..Settings::default() };
        let snapshot = Snapshot { boot: 1, epoch: 1, ..Snapshot::default() };
        let mut world = World { server: Server::new(Arc::new(settings), snapshot, 1, now), now };
        for (slot, caps) in [(0, false), (1, true), (2, false)] {
            let peer = Peer::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 1);
            let conn = ConnId { worker: 0, slot };
            world.happen(Event::Opened(conn, Box::new(peer)));
            let mut lines = vec![];
            if caps {
                let all = ircv3::Cap::ALL.iter().filter(|cap| !cap.only_informs());
                lines.extend(all.map(|cap| format!("CAP REQ {}", cap.names()[0])));
            }
            if slot < 2 {
                lines.extend([
                    format!("NICK u{slot}"),
                    "USER u 0 * :A Name".into(),
                    "CAP END".into(),
                    "JOIN #a".into(),
                ]);
            }
            for line in lines {
                let message = Message::parse_client(line).expect("a line");
                world.happen(Event::Line(conn, message));
            }
        }
        world
    }

    /// One event, what it asks for, and what comes of that.
    fn happen(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.now.mono_ms += 7;
            self.now.unix_ms += 7;
            let mut actions = Actions::new(1);
            self.server.handle(self.now, event, &mut actions);
            for (id, _) in actions.calls {
                events.push(Event::Returned(id, Returned::Failed("not now".into())));
            }
            for action in actions.net.into_iter().flatten() {
                match action {
                    NetAction::Send { bytes, .. } => assert_lines(&bytes),
                    NetAction::Fanout { frame, audience, .. } => {
                        for slot in audience.iter() {
                            let session = self.server.session(ConnId { worker: 0, slot: *slot });
                            let variant = session.and_then(|session| frame.variant(session.caps));
                            let mut out = Vec::new();
                            if let Some(variant) = variant {
                                frame.render(variant, OwnTags::default(), &mut out);
                            }
                            assert_lines(&out);
                        }
                    }
                    NetAction::WhenDrained { slot } => events.push(Event::Drained(ConnId { worker: 0, slot })),
                    NetAction::Close { bytes, .. } => assert_lines(&bytes),
                    _ => {}
                }
            }
        }
    }
}

fn assert_lines(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("what is sent is text");
    if text.is_empty() {
        return;
    }
    for line in text.strip_suffix("\r\n").expect("lines end in CR LF").split("\r\n") {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        let body = if line.starts_with('@') { line.split_once(' ').map_or("", |(_, body)| body) } else { line };
        assert!(!body.is_empty() && body.len() + 2 <= MAX_BODY_BYTES, "{} bytes: {line:?}", body.len() + 2);
    }
}
