//! BATCH from clients (<https://ircv3.net/specs/extensions/client-batch>), for messages of several lines
//! (<https://ircv3.net/specs/extensions/multiline>) and for tokens (`token.rs`).

use ircv3::message::MAX_BODY_BYTES;
use ircv3::multiline::{self, Composition, Limits};
use ircv3::numeric::Numeric;
use ircv3::{Cap, CapSet, Message, batch};

use crate::limits;
use crate::server::command::{message, printable, token};
use crate::server::record::Kind;
use crate::server::{Ctx, Server};

/// A batch that a client has opened.
#[derive(Debug)]
pub struct Open {
    reference: Box<str>,
    target: Box<str>,
    label: Option<Box<str>>,
    tags: Option<Box<str>>,
    kind: Option<Kind>,
    composition: Composition,
    /// When it was opened, on the monotonic clock.
    since: u64,
    /// It has failed: what still comes of it is passed over.
    failed: bool,
}

/// What is needed to send messages of several lines, and to get them as such.
pub const NEEDED: CapSet = CapSet::of(&[Cap::Multiline, Cap::Batch, Cap::MessageTags]);

/// BATCH
pub fn run(server: &mut Server, ctx: &mut Ctx, line: &Message) {
    let name = line.param(0).unwrap_or("");
    let (sign, reference) = name.split_at_checked(1).unwrap_or(("", ""));
    if !batch::is_reference(reference) || !matches!(sign, "+" | "-") {
        let text = "A batch is named + or -, and then letters and digits";
        ctx.reply.fail("BATCH", "INVALID_REFTAG", &[printable(name)], text);
        return;
    }
    match sign {
        "+" if line.param(1) == Some(token::BATCH) => token::open(server, ctx, line, reference),
        "-" if token::close(server, ctx, reference) => {}
        _ if ctx.user.is_none() => {
            ctx.reply.numeric(Numeric::ERR_NOTREGISTERED, &[], Some("You have not registered"));
        }
        "+" => open(server, ctx, line, reference),
        _ => close(server, ctx, reference),
    }
}

fn open(server: &mut Server, ctx: &mut Ctx, line: &Message, reference: &str) {
    let kind = line.param(1).unwrap_or("");
    if kind != multiline::BATCH || !ctx.reply.caps.has_all(NEEDED) {
        let text = format!("Clients may open batches of type {} only, with its capability", multiline::BATCH);
        ctx.reply.fail("BATCH", "UNKNOWN_TYPE", &[printable(reference), printable(kind)], &text);
        return;
    }
    if server.session(ctx.conn).is_some_and(|session| session.composing.as_ref().is_some_and(|open| !open.failed)) {
        fail(server, ctx, "MULTILINE_INVALID", &[], "One message at a time: the batch before was not ended");
        return;
    }
    let target = line.param(2).unwrap_or("");
    if target.is_empty() || target.contains(',') {
        let text = "A message of several lines has one target";
        ctx.reply.fail("BATCH", "MULTILINE_INVALID_TARGET", &[printable(target), "*"], text);
        return;
    }
    let open = Open {
        reference: reference.into(),
        target: target.into(),
        label: ctx.reply.take_label(),
        tags: message::client_tags(server, ctx, line),
        kind: None,
        composition: Composition::default(),
        since: server.now().mono_ms,
        failed: false,
    };
    if let Some(session) = server.session_mut(ctx.conn) {
        session.composing = Some(Box::new(open));
    }
}

/// Answers for the batch, whose further lines are passed over.
fn fail(server: &mut Server, ctx: &mut Ctx, code: &str, context: &[&str], text: &str) {
    let open = server.session_mut(ctx.conn).and_then(|session| session.composing.as_mut());
    if let Some(open) = open {
        open.failed = true;
        open.composition = Composition::default();
        if let Some(label) = open.label.take() {
            ctx.reply.set_label(label);
        }
    }
    ctx.reply.fail("BATCH", code, context, text);
}

/// Takes a line that has a `batch` tag; whether it was one for an open batch, or meant to be.
pub fn takes(server: &mut Server, ctx: &mut Ctx, line: &Message) -> bool {
    if line.tags_raw().is_empty() || !ctx.reply.caps.has_all(NEEDED) {
        return false;
    }
    let Some(reference) = line.tags().get("batch") else { return false };
    let now = server.now().mono_ms;
    let Some(open) = server.session_mut(ctx.conn).and_then(|session| session.composing.as_mut()) else {
        let text = format!("No batch of the name {reference:?} is open");
        ctx.reply.fail("BATCH", "MULTILINE_INVALID", &[], &text);
        return true;
    };
    if open.failed {
        return true;
    }
    if *open.reference != *reference {
        let text = format!("This line is of the batch {reference:?}, but {:?} is open", open.reference);
        fail(server, ctx, "MULTILINE_INVALID", &[], &text);
        return true;
    }
    if now - open.since > limits::COMPOSING_MS {
        fail(server, ctx, "TIMEOUT", &[], "The message took too long");
        return true;
    }
    if let Err((code, context, text)) = add(server, ctx, line) {
        let context: Vec<&str> = context.iter().map(String::as_str).collect();
        fail(server, ctx, code, &context, &text);
    }
    true
}

type Refused = (&'static str, Vec<String>, String);

fn add(server: &mut Server, ctx: &mut Ctx, line: &Message) -> Result<(), Refused> {
    let invalid = |text: &str| Err(("MULTILINE_INVALID", Vec::new(), text.to_owned()));
    let kind = match line.command().to_ascii_uppercase().as_str() {
        "PRIVMSG" => Kind::Privmsg,
        "NOTICE" => Kind::Notice,
        _ => return invalid("Only PRIVMSG and NOTICE can have several lines"),
    };
    let limits = limits_of(server);
    let source = server.network.users[ctx.me()].source.len();
    let Some(open) = server.session_mut(ctx.conn).and_then(|session| session.composing.as_mut()) else {
        return Ok(());
    };
    if *open.kind.get_or_insert(kind) != kind {
        return invalid("One message is PRIVMSG or NOTICE, not both");
    }
    let target = line.param(0).unwrap_or("");
    if *open.target != *target {
        let context = vec![printable(&open.target).to_owned(), printable(target).to_owned()];
        return Err(("MULTILINE_INVALID_TARGET", context, "All lines have the target of the batch".to_owned()));
    }
    let text = line.param(1).unwrap_or("");
    let around = ": PRIVMSG  :\r\n".len() + source + target.len();
    if around + text.len() > MAX_BODY_BYTES {
        let text = format!("A line is too long: this one has room for {} bytes", MAX_BODY_BYTES - around);
        return invalid(&text);
    }
    let concat = line.tags().get(multiline::CONCAT).is_some();
    open.composition.push(text, concat, limits).map_err(|fault| {
        let context = fault.limit().map(|limit| limit.to_string()).into_iter().collect();
        (fault.code(), context, fault.to_string())
    })
}

fn limits_of(server: &Server) -> Limits {
    Limits { max_bytes: server.settings.multiline_bytes, max_lines: server.settings.multiline_lines }
}

fn close(server: &mut Server, ctx: &mut Ctx, reference: &str) {
    let Some(session) = server.session_mut(ctx.conn) else { return };
    let Some(open) = session.composing.take_if(|open| *open.reference == *reference) else {
        let text = format!("No batch of the name {reference:?} is open");
        ctx.reply.fail("BATCH", "INVALID_REFTAG", &[printable(reference)], &text);
        return;
    };
    if open.failed {
        return;
    }
    if let Some(label) = open.label {
        ctx.reply.set_label(label);
    }
    match open.composition.finish() {
        Ok(text) => {
            let kind = open.kind.unwrap_or(Kind::Privmsg);
            message::say(server, ctx, kind, &open.target, &text, open.tags.as_deref());
        }
        Err(fault) => ctx.reply.fail("BATCH", fault.code(), &[], &fault.to_string()),
    }
}
