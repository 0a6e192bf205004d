//! The table of keys: what each accepts, in words an operator can act on.

use ircv3::Cidr;
use ircv3::sasl::Mechanism;
use ircv3::sasl::scram::LEAST_ITERATIONS;
use ircv3::webirc::fingerprint;
use toml::Value;

use crate::accounts;
use crate::accounts::token::LEAST_SECRET;
use crate::ldap::{self, filter};
use crate::limits;
use crate::mail;
use crate::net::Address;
use crate::server::cloak::LETTERS_SHOWN;
use crate::server::command::vhost::is_shown_host;
use crate::server::notice::SNOMASKS;
use crate::server::retention::kept_for;
use crate::server::right::{RIGHTS, Right};
use crate::store::{self, StoreError};

/// A key of the configuration.
pub(super) struct Key {
    /// `section.key`, or `data`; `oper.key` for the keys of each entry of a list of tables.
    pub path: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// Whether a reload is enough for a new value, or Roost must be started again.
    pub reload: bool,
}

/// What a key accepts.
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from here to there.
    Integer(i64, i64),
    /// A number from here to there.
    Float(f64, f64),
    /// A string that passes the check.
    Text(Check),
    /// A list of strings that each pass the check.
    List(Check),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A password that must be known itself: never shown.
    Secret,
    /// A password or its hash: never shown.
    Password {
        /// Whether it may be empty.
        optional: bool,
    },
}

/// Says what is wrong with a string and what would be right.
type Check = fn(&str) -> Result<(), String>;

const fn reload(path: &'static str, kind: Kind) -> Key {
    Key { path, kind, reload: true }
}

const fn start(path: &'static str, kind: Kind) -> Key {
    Key { path, kind, reload: false }
}

/// Every key, in the order of `conf/roost.toml`.
pub(super) const KEYS: &[Key] = &[
    start("data", Kind::Text(directory)),
    reload("server.name", Kind::Text(server_name)),
    reload("server.network", Kind::Text(network_name)),
    reload("server.motd", Kind::Text(anything)),
    reload("server.description", Kind::Text(line)),
    reload("server.services", Kind::Text(services_name)),
    reload("server.admin", Kind::List(line)),
    reload("server.icon", Kind::Text(url)),
    reload("server.emoji", Kind::Text(url)),
    start("server.workers", Kind::Integer(0, 256)),
    start("server.casemapping", Kind::Choice(&["ascii", "rfc1459", "precis"])),
    start("server.confusables", Kind::Choice(&["auto", "on", "off"])),
    start("listen.plain", Kind::List(address)),
    start("listen.tls", Kind::List(address)),
    start("listen.websocket", Kind::List(address)),
    start("listen.websocket_tls", Kind::List(address)),
    start("listen.websocket_origins", Kind::List(origin)),
    start("listen.proxy_from", Kind::List(network)),
    start("listen.on.address", Kind::Text(address)),
    start("listen.on.tls", Kind::Bool),
    start("listen.on.websocket", Kind::Bool),
    start("listen.on.proxy", Kind::List(network)),
    start("listen.on.mode", Kind::Text(mode)),
    start("listen.on.host", Kind::Text(host)),
    start("tls.certificate", Kind::Text(anything)),
    start("tls.key", Kind::Text(anything)),
    reload("tls.sts", Kind::Bool),
    reload("tls.sts_port", Kind::Integer(1, 65_535)),
    reload("tls.sts_days", Kind::Integer(0, 3650)),
    reload("tls.sts_preload", Kind::Bool),
    reload("tls.sts_hosts", Kind::List(server_name)),
    start("store.url", Kind::Text(store_url)),
    start("store.sync", Kind::Choice(&["full", "normal"])),
    reload("history.enabled", Kind::Bool),
    reload("history.keep_for", Kind::Text(keep_for)),
    reload("history.keep_messages", Kind::Integer(0, 1_000_000)),
    reload("history.chathistory_limit", Kind::Integer(1, 10_000)),
    reload("history.edit_window", Kind::Integer(0, 31_536_000)),
    reload("history.autoreplay_limit", Kind::Integer(0, 10_000)),
    reload("history.confirm_seconds", Kind::Integer(1, 600)),
    reload("history.playback_limit", Kind::Integer(1, 10_000)),
    reload("history.ack", Kind::Choice(&["stored", "relayed"])),
    reload("history.when_store_fails", Kind::Choice(&["refuse", "relay"])),
    reload("accounts.registration", Kind::Bool),
    reload("accounts.register_before_connect", Kind::Bool),
    start("accounts.bcrypt_cost", Kind::Integer(4, 14)),
    reload("accounts.scram_iterations", Kind::Integer(LEAST_ITERATIONS as i64, 1_000_000)),
    reload("accounts.mechanisms", Kind::List(mechanism)),
    reload("accounts.token_keys", Kind::List(anything)),
    reload("accounts.token_jwks", Kind::Text(anything)),
    reload("accounts.token_issuer", Kind::Text(anything)),
    reload("accounts.token_audience", Kind::Text(anything)),
    reload("accounts.token_claim", Kind::Text(claim)),
    reload("accounts.token_leeway", Kind::Integer(0, 3600)),
    reload("accounts.token_autocreate", Kind::Bool),
    reload("accounts.script", Kind::List(anything)),
    reload("accounts.script_timeout", Kind::Integer(1, 60)),
    reload("accounts.script_autocreate", Kind::Bool),
    reload("accounts.script_first", Kind::Bool),
    reload("accounts.always_on", Kind::Choice(&["off", "opt-in", "opt-out", "mandatory"])),
    reload("accounts.always_on_expiry_days", Kind::Integer(0, 100_000)),
    reload("accounts.bouncer_networks", Kind::Bool),
    reload("accounts.grouped_nicks", Kind::Integer(0, 100)),
    reload("accounts.expire_days", Kind::Integer(0, 36_500)),
    reload("ldap.urls", Kind::List(directory_url)),
    reload("ldap.starttls", Kind::Bool),
    reload("ldap.authority", Kind::Text(anything)),
    reload("ldap.timeout", Kind::Integer(1, 60)),
    reload("ldap.user_dn", Kind::Text(user_dn)),
    reload("ldap.bind_dn", Kind::Text(anything)),
    reload("ldap.bind_password", Kind::Secret),
    reload("ldap.bind_password_file", Kind::Text(anything)),
    reload("ldap.base", Kind::Text(anything)),
    reload("ldap.filter", Kind::Text(account_filter)),
    reload("ldap.groups", Kind::List(group)),
    reload("ldap.group_base", Kind::Text(anything)),
    reload("ldap.group_filter", Kind::Text(group_filter)),
    reload("ldap.name_attribute", Kind::Text(attribute)),
    reload("ldap.autocreate", Kind::Bool),
    reload("ldap.first", Kind::Bool),
    reload("email.server", Kind::Text(mail_server)),
    reload("email.port", Kind::Integer(1, 65_535)),
    reload("email.protection", Kind::Choice(&["starttls", "tls", "none"])),
    reload("email.authority", Kind::Text(anything)),
    reload("email.username", Kind::Text(line)),
    reload("email.password", Kind::Secret),
    reload("email.sender", Kind::Text(sender)),
    reload("email.required", Kind::Bool),
    reload("email.subject", Kind::Text(subject)),
    reload("email.body", Kind::Text(anything)),
    reload("email.code_hours", Kind::Integer(1, 720)),
    reload("email.letters_per_hour", Kind::Integer(1, 1000)),
    reload("email.allowed_domains", Kind::List(domain)),
    reload("email.blocked_domains", Kind::List(domain)),
    reload("webpush.enabled", Kind::Bool),
    reload("webpush.contact", Kind::Text(contact)),
    reload("webpush.delay", Kind::Integer(0, 300)),
    reload("webpush.present_seconds", Kind::Integer(0, 86_400)),
    reload("webpush.expiry_days", Kind::Integer(1, 3650)),
    reload("webpush.devices", Kind::Integer(1, 100)),
    start("webpush.key", Kind::Integer(1, 1_000_000)),
    reload("webpush.allow_private_endpoints", Kind::List(network)),
    reload("channels.registration", Kind::Bool),
    reload("channels.expire_days", Kind::Integer(0, 36_500)),
    reload("channels.per_user", Kind::Integer(1, 10_000)),
    reload("channels.list_entries", Kind::Integer(1, 10_000)),
    reload("connection.password", Kind::Password { optional: true }),
    reload("connection.registration_timeout", Kind::Integer(1, 3600)),
    reload("connection.ping_interval", Kind::Integer(1, 3600)),
    start("connection.sendq", Kind::Integer(limits::BULK_BYTES as i64, 1 << 30)),
    reload("users.default_modes", Kind::Text(default_modes)),
    reload("users.rejoin_on_host_change", Kind::Bool),
    reload("cloak.enabled", Kind::Bool),
    reload("cloak.key", Kind::Text(cloak_key)),
    reload("cloak.suffix", Kind::Text(cloak_suffix)),
    reload("cloak.ipv4_bits", Kind::Integer(8, 32)),
    reload("cloak.ipv6_bits", Kind::Integer(16, 128)),
    reload("cloak.optional", Kind::Bool),
    reload("vhosts.requests", Kind::Bool),
    reload("vhosts.offered", Kind::List(offered_host)),
    start("flood.enabled", Kind::Bool),
    start("flood.burst", Kind::Integer(1, 10_000)),
    start("flood.per_second", Kind::Float(0.1, 10_000.0)),
    reload("throttle.enabled", Kind::Bool),
    reload("throttle.connections", Kind::Integer(1, 1_000_000)),
    reload("throttle.connections_per_minute", Kind::Integer(1, 1_000_000)),
    reload("throttle.login_failures_per_minute", Kind::Integer(1, 1_000_000)),
    reload("throttle.registrations_per_hour", Kind::Integer(1, 1_000_000)),
    reload("throttle.exempt_loopback", Kind::Bool),
    reload("multiline.max_bytes", Kind::Integer(512, 65_536)),
    reload("multiline.max_lines", Kind::Integer(2, 1000)),
    reload("throttle.exempt", Kind::List(network)),
    reload("throttle.network.from", Kind::List(network_or_host)),
    reload("throttle.network.connections", Kind::Integer(0, 1_000_000)),
    reload("throttle.network.connections_per_minute", Kind::Integer(0, 1_000_000)),
    reload("throttle.network.login_failures_per_minute", Kind::Integer(0, 1_000_000)),
    reload("throttle.network.registrations_per_hour", Kind::Integer(0, 1_000_000)),
    reload("client_tags.deny", Kind::List(client_tag)),
    reload("extjwt.name", Kind::Text(anything)),
    reload("extjwt.secret", Kind::Text(secret)),
    reload("extjwt.seconds", Kind::Integer(1, 86_400)),
    reload("authtoken.name", Kind::Text(service_key)),
    reload("authtoken.url", Kind::Text(service_url)),
    reload("authtoken.description", Kind::Text(description)),
    reload("authtoken.seconds", Kind::Integer(10, 3600)),
    reload("authtoken.from", Kind::List(network)),
    reload("authtoken.certificate", Kind::Text(certificate)),
    reload("webirc.from", Kind::List(network)),
    reload("webirc.password", Kind::Password { optional: true }),
    reload("webirc.certificate", Kind::Text(certificate)),
    start("log.audit", Kind::Text(anything)),
    reload("oper_class.name", Kind::Text(oper_name)),
    reload("oper_class.rights", Kind::List(right)),
    reload("oper.name", Kind::Text(oper_name)),
    reload("oper.password", Kind::Password { optional: true }),
    reload("oper.fingerprint", Kind::Text(certificate)),
    reload("oper.auto", Kind::Bool),
    reload("oper.class", Kind::Text(oper_class)),
    reload("oper.snomasks", Kind::Text(snomasks)),
];

/// Lists of tables (`[[oper]]`), by path.
pub(super) const LISTS: &[List] = &[
    List { path: "listen.on", entries: "listeners", example: r#"[{address = "unix:/run/roost.sock"}]"# },
    List { path: "throttle.network", entries: "networks", example: r#"[{from = ["10.0.0.0/8"], connections = 500}]"# },
    List { path: "extjwt", entries: "services", example: r#"[{name = "forum.example.org", secret = "…"}]"# },
    List {
        path: "authtoken",
        entries: "services",
        example: r#"[{name = "FILEHOST", url = "https://upload.example.org"}]"#,
    },
    List { path: "webirc", entries: "gateways", example: r#"[{from = ["192.0.2.7"], password = "…"}]"# },
    List { path: "oper_class", entries: "classes", example: r#"[{name = "helper", rights = ["kill"]}]"# },
    List { path: "oper", entries: "operators", example: r#"[{name = "alice", password = "…"}]"# },
];

/// A list of tables.
pub(super) struct List {
    /// `name`, or `section.name`.
    pub path: &'static str,
    /// What its entries are.
    pub entries: &'static str,
    /// How a variable of the environment writes it.
    pub example: &'static str,
}

impl List {
    /// The list that is written at `path`.
    pub(super) fn at(path: &str) -> Option<&'static List> {
        LISTS.iter().find(|list| list.path == path)
    }

    /// The list that `path` leads into, the number of the entry and its key: `oper.3.name`.
    pub(super) fn entry(path: &str) -> Option<(&'static List, usize, &str)> {
        let list = LISTS.iter().find(|list| below(path, list.path).is_some())?;
        let (index, key) = below(path, list.path)?.split_once('.')?;
        Some((list, index.parse().ok()?, key))
    }
}

fn below<'a>(path: &'a str, list: &str) -> Option<&'a str> {
    path.strip_prefix(list)?.strip_prefix('.')
}

/// The key with this path; `oper.3.name` is `oper.name`.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    let general = match List::entry(path) {
        Some((list, _, key)) => format!("{}.{key}", list.path),
        None if LISTS.iter().any(|list| below(path, list.path).is_some()) => return None,
        None => path.to_owned(),
    };
    KEYS.iter().find(|key| key.path == general)
}

impl Key {
    /// The path of the list of tables that it is in, or its own.
    pub(super) fn whole(&self) -> &'static str {
        LISTS.iter().find(|list| below(self.path, list.path).is_some()).map_or(self.path, |list| list.path)
    }
}

/// Whether keys lie below `name`.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.path.split_once('.').is_some_and(|(section, _)| section == name))
}

/// The path that is written most like `path`.
pub(super) fn nearest(path: &str) -> &'static str {
    KEYS.iter().map(|key| key.path).min_by_key(|known| distance(known, path)).unwrap_or("data")
}

impl Kind {
    /// Takes the text of an environment variable as a value.
    pub(super) fn parse(&self, text: &str) -> Result<Value, String> {
        match self {
            Kind::Bool => match text {
                "true" => Ok(Value::Boolean(true)),
                "false" => Ok(Value::Boolean(false)),
                _ => Err(format!("{text:?} is not true or false")),
            },
            Kind::Integer(low, high) => match text.replace('_', "").parse() {
                Ok(number) => Ok(Value::Integer(number)),
                Err(_) => Err(format!("{text:?} is not a whole number; give one from {low} to {high}")),
            },
            Kind::Float(low, high) => match text.parse() {
                Ok(number) => Ok(Value::Float(number)),
                Err(_) => Err(format!("{text:?} is not a number; give one from {low} to {high}")),
            },
            Kind::Text(_) | Kind::Choice(_) | Kind::Secret | Kind::Password { .. } => {
                Ok(Value::String(text.to_owned()))
            }
            Kind::List(_) => Ok(list(text)),
        }
    }

    /// The value as `Config` takes it, or what is wrong with it and what would be right.
    pub(super) fn check(&self, value: Value) -> Result<Value, String> {
        match (self, &value) {
            (Kind::Bool, Value::Boolean(_)) => Ok(value),
            (Kind::Bool, _) => Err(format!("{value} is not true or false (without quotes)")),
            (Kind::Integer(low, high), Value::Integer(number)) if (*low..=*high).contains(number) => Ok(value),
            (Kind::Integer(low, high), Value::Integer(number)) => {
                Err(format!("{number} is out of range; give a whole number from {low} to {high}"))
            }
            (Kind::Integer(low, high), _) => {
                Err(format!("{value} is not a whole number; give one from {low} to {high}"))
            }
            (Kind::Float(low, high), Value::Float(_) | Value::Integer(_)) => {
                let number = match value {
                    Value::Float(number) => number,
                    Value::Integer(number) => number as f64,
                    _ => f64::NAN,
                };
                if (*low..=*high).contains(&number) {
                    Ok(Value::Float(number))
                } else {
                    Err(format!("{number} is out of range; give a number from {low} to {high}"))
                }
            }
            (Kind::Float(low, high), _) => Err(format!("{value} is not a number; give one from {low} to {high}")),
            (Kind::Text(check), Value::String(text)) => check(text).map(|()| value),
            (Kind::Text(_), _) => Err(format!("{value} is not a string; put it in quotes")),
            (Kind::List(check), Value::Array(items)) => {
                for item in items {
                    match item {
                        Value::String(text) => check(text)?,
                        other => return Err(format!("{other} in the list is not a string; put it in quotes")),
                    }
                }
                Ok(value)
            }
            (Kind::List(_), _) => Err(format!("{value} is not a list; write [\"…\", \"…\"]")),
            (Kind::Choice(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(value),
            (Kind::Choice(words), _) => Err(format!("{value} is not possible; choose \"{}\"", words.join("\" or \""))),
            (Kind::Secret, Value::String(text)) if !text.contains(['\0', '\r', '\n']) => Ok(value),
            (Kind::Secret, _) => Err("the value is not one line in quotes; write it so".to_owned()),
            (Kind::Password { optional }, Value::String(text)) => password(text, *optional).map(|()| value),
            (Kind::Password { .. }, _) => Err("the value is not a string; put it in quotes".to_owned()),
        }
    }
}

/// A TOML array, or values with commas between them. An address such as `[::1]:6667` is no TOML.
fn list(text: &str) -> Value {
    if let Ok(mut table) = format!("list = {text}").parse::<toml::Table>()
        && let Some(array @ Value::Array(_)) = table.remove("list")
    {
        return array;
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
}

fn anything(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err(format!("{text:?} has a NUL in it")) } else { Ok(()) }
}

fn directory(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("\"\" is not a directory; give one such as \"data\"".to_owned()) } else { anything(text) }
}

/// A secret that signs; nothing of it is in a message.
fn secret(text: &str) -> Result<(), String> {
    match text.len() {
        LEAST_SECRET.. => Ok(()),
        bytes => Err(format!(
            "the secret has {bytes} bytes; give at least {LEAST_SECRET}, such as those of openssl rand -base64 32"
        )),
    }
}

/// Nothing, or a URL that clients fetch.
fn url(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").unwrap_or_default();
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= 300;
    if text.is_empty() || (!rest.is_empty() && !rest.starts_with('/') && plain) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not the URL of a file; give one such as \"https://example.org/icon.png\", at most 300 bytes"
        ))
    }
}

fn keep_for(text: &str) -> Result<(), String> {
    if text.is_empty() || kept_for(text).is_some() {
        Ok(())
    } else {
        Err(format!("{text:?} is no time of a minute or more; give one such as \"90d\", \"1h30m\", or \"\" for good"))
    }
}

fn contact(text: &str) -> Result<(), String> {
    let address = text.strip_prefix("mailto:").is_some_and(mail::is_address);
    if text.is_empty() || address || (text.starts_with("https://") && url(text).is_ok()) {
        Ok(())
    } else {
        Err(format!("{text:?} is no contact; give one such as \"mailto:alice@example.org\" or \"https://example.org\""))
    }
}

fn service_key(text: &str) -> Result<(), String> {
    let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_');
    if !text.is_empty() && text.len() <= limits::SERVICE_NAME_LEN && text.bytes().all(is_of_key) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no key of a service; give letters, digits and - . / _, at most {} bytes, such as \
         \"example.org/forum\"",
        limits::SERVICE_NAME_LEN
    ))
}

fn service_url(text: &str) -> Result<(), String> {
    let rest = text.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map_or("", |(_, rest)| rest);
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= limits::SERVICE_URL_LEN;
    if !rest.is_empty() && plain && !text.starts_with(':') {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the URL of a service; give one such as \"https://upload.example.org\", at most {} bytes",
        limits::SERVICE_URL_LEN
    ))
}

fn description(text: &str) -> Result<(), String> {
    if text.len() <= 100 && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("{text:?} is no description; give one line of at most 100 bytes"))
}

fn server_name(text: &str) -> Result<(), String> {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // Clients tell a server from a person by the dot.
    if text.len() > limits::HOST_LEN {
        Err(format!("{text:?} has {} bytes; a server name has at most {}", text.len(), limits::HOST_LEN))
    } else if !text.contains('.') || !text.split('.').all(label) {
        Err(format!(
            "{text:?} is not a server name; give letters, digits and - with a dot, such as \"irc.example.org\""
        ))
    } else {
        Ok(())
    }
}

fn services_name(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { server_name(text) }
}

fn network_name(text: &str) -> Result<(), String> {
    let fits = !text.is_empty()
        && text.len() <= limits::HOST_LEN
        && !text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '=' | '\\'));
    if fits {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not a network name; give one word of at most {} bytes without = and \\, such as \"Example\"",
            limits::HOST_LEN
        ))
    }
}

/// One line of text that fits into a numeric.
pub(super) fn line(text: &str) -> Result<(), String> {
    if text.contains(['\0', '\r', '\n']) {
        Err(format!("{text:?} has a line break or NUL in it; give one line"))
    } else if text.len() > LINE_LEN {
        Err(format!("a line has {} bytes; give at most {LINE_LEN}", text.len()))
    } else {
        Ok(())
    }
}

/// Bytes of text that fit after `:server 372 nick :- ` with the longest server name and nick.
const LINE_LEN: usize = 400;

fn address(text: &str) -> Result<(), String> {
    text.parse::<Address>().map(drop).map_err(|error| format!("{text:?} {error}"))
}

/// Addresses that stand for this machine, unix sockets included.
pub(super) const LOCALHOST: &str = "localhost";

fn network(text: &str) -> Result<(), String> {
    if text == LOCALHOST {
        return Ok(());
    }
    text.parse::<Cidr>().map(drop).map_err(|error| format!("{text:?} {error}; \"localhost\" is this machine"))
}

fn network_or_host(text: &str) -> Result<(), String> {
    // What ends in a digit or has a colon or slash was meant as an address.
    let name = text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains([':', '/']);
    if name && text != LOCALHOST { host(text) } else { network(text) }
}

/// Whether the text, which passed [`network_or_host`], is a host.
pub(super) fn is_host(text: &str) -> bool {
    text != LOCALHOST && text.parse::<Cidr>().is_err()
}

fn host(text: &str) -> Result<(), String> {
    if text.is_empty() || server_name(text).is_ok() {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not a host; give letters, digits and - with a dot, at most {} bytes, such as \"tor-network.onion\"",
            limits::HOST_LEN
        ))
    }
}

/// Never says what the key is.
fn cloak_key(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() >= CLOAK_KEY_BYTES {
        Ok(())
    } else {
        Err(format!("the key has {} bytes, and could be guessed; give at least {CLOAK_KEY_BYTES}, or none", text.len()))
    }
}

/// The shortest key of cloaks: who guesses it reads everyone's address.
const CLOAK_KEY_BYTES: usize = 20;

fn cloak_suffix(text: &str) -> Result<(), String> {
    let most = limits::HOST_LEN - 1 - LETTERS_SHOWN;
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if !text.is_empty()
        && text.len() <= most
        && text.chars().all(fits)
        && !text.starts_with('.')
        && !text.ends_with('.')
    {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not the end of a host; give 1 to {most} letters, digits, and . - _ , such as \"example\""
        ))
    }
}

fn offered_host(text: &str) -> Result<(), String> {
    // As long an account as there can be.
    if is_shown_host(&text.replace("$account", &"a".repeat(limits::NICK_LEN))) {
        return Ok(());
    }
    Err(format!(
        "is no host to be shown by; give 1 to {} letters, digits, and . - _ : /, in which $account stands for up to {} more",
        limits::HOST_LEN,
        limits::NICK_LEN
    ))
}

fn mode(text: &str) -> Result<(), String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && text.len() <= 4 && !text.starts_with('+') => Ok(()),
        _ => Err(format!("{text:?} is not the mode of a file; give three digits from 0 to 7, such as \"660\"")),
    }
}

fn certificate(text: &str) -> Result<(), String> {
    if text.is_empty() || fingerprint(text).is_some() {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not the SHA-256 fingerprint of a certificate; give its 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` prints them"
        ))
    }
}

fn mail_server(text: &str) -> Result<(), String> {
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    if text.is_empty() || is_address || text == LOCALHOST || server_name(text).is_ok() {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not a mail server; give its name or address, such as \"smtp.example.org\", or \"\" for none; the \
             port is email.port"
        ))
    }
}

fn directory_url(text: &str) -> Result<(), String> {
    if ldap::Place::parse(text).is_some() {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not the URL of a directory; write \"ldaps://ldap.example.org\" or \"ldap://127.0.0.1:389\", with \
             nothing behind the port"
        ))
    }
}

fn user_dn(text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains(filter::ACCOUNT) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} has no place for the account; write {{account}} where its name is, such as \
             \"uid={{account}},ou=people,dc=example,dc=org\""
        ))
    }
}

fn account_filter(text: &str) -> Result<(), String> {
    filter_with(text, &[filter::ACCOUNT], "(uid={account})")
}

fn group_filter(text: &str) -> Result<(), String> {
    filter_with(text, &[filter::DN, filter::ACCOUNT], "(member={dn})")
}

fn filter_with(text: &str, places: &[&str], example: &str) -> Result<(), String> {
    match filter::parse(text) {
        Ok(parsed) if filter::has(&parsed, places) => Ok(()),
        Ok(_) => Err(format!("{text:?} has no place for {}; write such as {example:?}", places.join(" or "))),
        Err(problem) => Err(format!("{text:?} is no filter: {problem}; write such as {example:?}")),
    }
}

fn group(text: &str) -> Result<(), String> {
    if text.contains('=') {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not the name of a group; give all of it, such as \"cn=irc,ou=groups,dc=example,dc=org\""
        ))
    }
}

fn attribute(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if text.chars().all(fits) {
        Ok(())
    } else {
        Err(format!("{text:?} is no attribute; give letters, digits and -, such as \"uid\", or \"\""))
    }
}

fn sender(text: &str) -> Result<(), String> {
    if text.is_empty() || mail::is_sender(text) {
        Ok(())
    } else {
        Err(format!("{text:?} is not a sender; write \"noreply@example.org\" or \"Roost <noreply@example.org>\""))
    }
}

fn subject(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("\"\" is not a subject; give one line of text".to_owned()) } else { line(text) }
}

fn domain(text: &str) -> Result<(), String> {
    if mail::is_address(&format!("a@{text}")) && !text.starts_with('[') {
        Ok(())
    } else {
        Err(format!("{text:?} is not a domain; write it without @, such as \"example.org\""))
    }
}

fn origin(text: &str) -> Result<(), String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let fits = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' ', '*']));
    if fits {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not an origin; write \"https://chat.example.org\", with nothing after the host and port"
        ))
    }
}

fn store_url(text: &str) -> Result<(), String> {
    let file = text.strip_prefix("sqlite:").is_some_and(|path| !path.trim_matches('/').is_empty());
    if text.is_empty() || file {
        return Ok(());
    }
    match store::name(text) {
        Ok(_) if text.starts_with("postgres") => Ok(()),
        // There may be a password in it.
        Err(StoreError::Postgres { reason }) => {
            Err(format!("the URL is not understood: {reason}; write \"postgres://user:password@host:5432/database\""))
        }
        _ => Err(format!(
            "{text:?} is not a store; write \"sqlite:///var/lib/roost/roost.db\", \"postgres://user@host/database\", or \
             nothing for <data>/roost.db"
        )),
    }
}

fn default_modes(text: &str) -> Result<(), String> {
    // `i` is the only user mode that is for everyone; `conf/MODES.md` has them all.
    if matches!(text, "" | "i") {
        Ok(())
    } else {
        Err(format!("{text:?} has a mode that a new user cannot have; give \"i\" (invisible) or \"\""))
    }
}

fn mechanism(text: &str) -> Result<(), String> {
    if Mechanism::by_name(text).is_some() {
        return Ok(());
    }
    let known = ircv3::sasl::list(Mechanism::ALL.iter().map(|(mechanism, _)| *mechanism));
    Err(format!("{text:?} is not a mechanism of SASL that is known; these are: {known}"))
}

fn claim(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Err("\"\" is not a claim; give the name of the one that has the account, such as \"preferred_username\""
            .to_owned())
    } else {
        anything(text)
    }
}

fn client_tag(text: &str) -> Result<(), String> {
    let name = text.strip_prefix('-').unwrap_or(text);
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/');
    if text == "*" || (!name.is_empty() && name.bytes().all(valid)) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not a tag; write its name without +, such as \"typing\", or \"*\" for all and \"-typing\" for all but that"
        ))
    }
}

fn oper_name(text: &str) -> Result<(), String> {
    if !text.is_empty() && !text.chars().any(|c| c.is_control() || c.is_whitespace()) && !text.starts_with(':') {
        Ok(())
    } else {
        Err(format!("{text:?} is not a name for OPER; give one word"))
    }
}

fn oper_class(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { oper_name(text) }
}

fn right(text: &str) -> Result<(), String> {
    if Right::by_name(text).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = RIGHTS.iter().map(|row| row.name).collect();
    Err(format!("{text:?} is not a right; give {}", names.join(", ")))
}

fn snomasks(text: &str) -> Result<(), String> {
    match text.chars().find(|letter| !SNOMASKS.iter().any(|row| row.letter == *letter)) {
        None => Ok(()),
        Some(_) => {
            let letters: String = SNOMASKS.iter().map(|row| row.letter).collect();
            Err(format!("{text:?} has a letter that is no notice; give some of \"{letters}\", or \"\""))
        }
    }
}

fn password(text: &str, optional: bool) -> Result<(), String> {
    let hashed = text.len() >= 4 && text.starts_with("$2") && text[3..].starts_with('$');
    if text.is_empty() && !optional {
        Err("the password is empty; put in the line that `roost passwd` prints".to_owned())
    } else if hashed && !accounts::is_hash(text) {
        Err(format!(
            "the value begins like a bcrypt hash but is none (it has {} bytes, not 60, or a wrong character); put in the whole line that `roost passwd` prints",
            text.len()
        ))
    } else if text.contains(['\0', '\r', '\n']) || text.len() > limits::PASSWORD_LEN {
        Err(format!(
            "the password has a line break in it or more than {} bytes; put in the line that `roost passwd` prints",
            limits::PASSWORD_LEN
        ))
    } else {
        Ok(())
    }
}

/// Levenshtein's distance: how many letters to put in, take out or change.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{KEYS, distance, find, nearest};

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        assert_eq!(nearest("listen.plian"), "listen.plain");
        assert_eq!(nearest("server.mtod"), "server.motd");
        assert_eq!(nearest("servr.name"), "server.name");
        assert_eq!(nearest("dta"), "data");
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn no_key_is_there_twice() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(KEYS[at + 1..].iter().all(|other| other.path != key.path), "{}", key.path);
        }
    }

    #[test]
    fn an_operator_is_found_by_number() {
        assert!(find("oper.0.name").is_some());
        assert!(find("oper.name").is_none());
        assert!(find("oper.x.name").is_none());
        assert!(find("oper").is_none());
        assert!(find("listen.on.2.tls").is_some());
        assert!(find("listen.on.tls").is_none() && find("listen.on").is_none());
    }
}
