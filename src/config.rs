//! The configuration: `conf/roost.toml`, with values from the environment on top, checked whole
//! before anything starts.
//!
//! Every fault is one line with the file and line (or the variable), the key, the value and what
//! would be right. `key.rs` has the table of keys; `conf/roost.toml` describes each.

mod greeting;
mod key;
mod source;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ircv3::sasl::Mechanism;
use ircv3::webirc::fingerprint;
use ircv3::{Casemapping, Cidr};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use self::key::List;
use self::source::Source;
use crate::accounts::{self, token::Tokens};
use crate::ldap::{self, Directory};
use crate::mail::{self as smtp, Smtp};
use crate::net::Address;
use crate::script::Script;
use crate::server::authtoken;
use crate::server::cloak::Cloak;
use crate::server::mail::{self, Mail};
use crate::server::push::WebPush;
use crate::server::retention::{Keep, kept_for};
use crate::server::right::Rights;
use crate::server::settings::{self, Settings};
use crate::server::user::Letters;
use crate::store;
use crate::witness::Witness;

pub use self::greeting::greeting;
pub use self::source::Place;

/// The file that is read when none is named and it is there.
pub const DEFAULT_PATH: &str = "conf/roost.toml";
/// What holds when there is no file: `conf/roost.toml` as it was when Roost was built.
pub const BUILT_IN: &str = include_str!("../conf/roost.toml");

/// Every key of the configuration; `conf/roost.toml` says what each means.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Config {
    pub data: PathBuf,
    pub server: ServerSection,
    pub listen: ListenSection,
    pub tls: TlsSection,
    pub store: StoreSection,
    pub history: HistorySection,
    pub accounts: AccountsSection,
    pub ldap: LdapSection,
    pub email: EmailSection,
    pub webpush: WebpushSection,
    pub channels: ChannelsSection,
    pub connection: ConnectionSection,
    pub users: UsersSection,
    pub cloak: CloakSection,
    pub vhosts: VhostsSection,
    pub flood: FloodSection,
    pub throttle: ThrottleSection,
    pub multiline: MultilineSection,
    /// `[client_tags]`
    pub client_tags: ClientTagsSection,
    pub webirc: Vec<WebIrcSection>,
    pub extjwt: Vec<ExtJwtSection>,
    pub authtoken: Vec<AuthTokenSection>,
    pub log: LogSection,
    pub oper_class: Vec<OperClassSection>,
    pub oper: Vec<OperSection>,
    /// Where each value was written that is not the default of the program.
    #[serde(skip)]
    places: BTreeMap<String, Place>,
    #[serde(skip)]
    file: String,
}

macro_rules! sections {
    ($($name:ident { $($key:ident: $kind:ty = $default:expr,)* })*) => {
        $(
            #[doc = concat!("Keys of `", stringify!($name), "` in `conf/roost.toml`.")]
            #[derive(Clone, Debug, Deserialize, Serialize)]
            #[serde(deny_unknown_fields, default)]
            #[allow(missing_docs)]
            pub struct $name { $(pub $key: $kind,)* }

            impl Default for $name {
                fn default() -> $name {
                    $name { $($key: $default,)* }
                }
            }
        )*
    };
}

sections! {
    ServerSection {
        name: String = "roost.local".to_owned(),
        network: String = "Roost".to_owned(),
        motd: String = String::new(),
        description: String = "An IRC server you can come back to".to_owned(),
        services: String = String::new(),
        admin: Vec<String> = Vec::new(),
        icon: String = String::new(),
        emoji: String = String::new(),
        workers: usize = 0,
        casemapping: String = Casemapping::Ascii.token().to_owned(),
        confusables: Confusables = Confusables::Auto,
    }
    ListenSection {
        plain: Vec<Address> = addresses(&["127.0.0.1:6667", "[::1]:6667"]),
        tls: Vec<Address> = addresses(&["0.0.0.0:6697", "[::]:6697"]),
        websocket: Vec<Address> = addresses(&["127.0.0.1:8097"]),
        websocket_tls: Vec<Address> = Vec::new(),
        websocket_origins: Vec<String> = Vec::new(),
        proxy_from: Vec<String> = Vec::new(),
        on: Vec<ListenOnSection> = Vec::new(),
    }
    ListenOnSection {
        address: String = String::new(),
        tls: bool = false,
        websocket: bool = false,
        proxy: Vec<String> = Vec::new(),
        mode: String = "660".to_owned(),
        host: String = String::new(),
    }
    TlsSection {
        certificate: String = String::new(),
        key: String = String::new(),
        sts: bool = false,
        sts_port: u16 = 6697,
        sts_days: u64 = 30,
        sts_preload: bool = false,
        sts_hosts: Vec<String> = Vec::new(),
    }
    StoreSection {
        url: String = String::new(),
        sync: Sync = Sync::Full,
    }
    HistorySection {
        enabled: bool = true,
        keep_for: String = String::new(),
        keep_messages: u32 = 0,
        chathistory_limit: u32 = 1000,
        edit_window: u32 = 3600,
        autoreplay_limit: u32 = 500,
        confirm_seconds: u64 = 5,
        playback_limit: u32 = 2000,
        ack: Ack = Ack::Stored,
        when_store_fails: WhenStoreFails = WhenStoreFails::Refuse,
    }
    AccountsSection {
        registration: bool = true,
        register_before_connect: bool = true,
        bcrypt_cost: u32 = accounts::DEFAULT_COST,
        scram_iterations: u32 = accounts::DEFAULT_ITERATIONS,
        mechanisms: Vec<String> = Mechanism::ALL.iter().map(|(_, name)| (*name).to_owned()).collect(),
        token_keys: Vec<String> = Vec::new(),
        token_jwks: String = String::new(),
        token_issuer: String = String::new(),
        token_audience: String = String::new(),
        token_claim: String = "preferred_username".to_owned(),
        token_leeway: u64 = 60,
        token_autocreate: bool = false,
        script: Vec<String> = Vec::new(),
        script_timeout: u64 = 9,
        script_autocreate: bool = false,
        script_first: bool = false,
        always_on: AlwaysOn = AlwaysOn::OptIn,
        always_on_expiry_days: u32 = 0,
        bouncer_networks: bool = false,
        grouped_nicks: usize = 10,
        expire_days: u32 = 0,
    }
    LdapSection {
        urls: Vec<String> = Vec::new(),
        starttls: bool = false,
        authority: String = String::new(),
        timeout: u64 = 9,
        user_dn: String = String::new(),
        bind_dn: String = String::new(),
        bind_password: String = String::new(),
        bind_password_file: String = String::new(),
        base: String = String::new(),
        filter: String = "(uid={account})".to_owned(),
        groups: Vec<String> = Vec::new(),
        group_base: String = String::new(),
        group_filter: String = "(&(objectClass=groupOfNames)(member={dn}))".to_owned(),
        name_attribute: String = String::new(),
        autocreate: bool = false,
        first: bool = false,
    }
    EmailSection {
        server: String = String::new(),
        port: u16 = 587,
        protection: Protection = Protection::StartTls,
        authority: String = String::new(),
        username: String = String::new(),
        password: String = String::new(),
        sender: String = String::new(),
        required: bool = true,
        subject: String = mail::SUBJECT.to_owned(),
        body: String = String::new(),
        code_hours: u32 = 24,
        letters_per_hour: u32 = 5,
        allowed_domains: Vec<String> = Vec::new(),
        blocked_domains: Vec<String> = Vec::new(),
    }
    WebpushSection {
        enabled: bool = true,
        contact: String = String::new(),
        delay: u64 = 5,
        present_seconds: u64 = 60,
        expiry_days: u64 = 30,
        devices: usize = 10,
        key: u32 = 1,
        allow_private_endpoints: Vec<String> = Vec::new(),
    }
    ChannelsSection {
        registration: bool = true,
        expire_days: u32 = 0,
        per_user: usize = 100,
        list_entries: usize = 100,
    }
    ConnectionSection {
        password: String = String::new(),
        registration_timeout: u64 = 60,
        ping_interval: u64 = 90,
        sendq: usize = 4_194_304,
    }
    UsersSection {
        default_modes: String = "i".to_owned(),
        rejoin_on_host_change: bool = false,
    }
    CloakSection {
        enabled: bool = true,
        key: String = String::new(),
        suffix: String = "cloak".to_owned(),
        ipv4_bits: u8 = 32,
        ipv6_bits: u8 = 64,
        optional: bool = false,
    }
    VhostsSection {
        requests: bool = true,
        offered: Vec<String> = Vec::new(),
    }
    FloodSection {
        enabled: bool = true,
        burst: u32 = 20,
        per_second: f64 = 2.0,
    }
    ThrottleSection {
        enabled: bool = true,
        connections: u32 = 64,
        connections_per_minute: u32 = 64,
        login_failures_per_minute: u32 = 10,
        registrations_per_hour: u32 = 10,
        exempt_loopback: bool = true,
        exempt: Vec<String> = Vec::new(),
        network: Vec<ThrottleNetworkSection> = Vec::new(),
    }
    ThrottleNetworkSection {
        from: Vec<String> = Vec::new(),
        connections: u32 = 0,
        connections_per_minute: u32 = 0,
        login_failures_per_minute: u32 = 0,
        registrations_per_hour: u32 = 0,
    }
    MultilineSection {
        max_bytes: usize = 8192,
        max_lines: usize = 100,
    }
    ClientTagsSection {
        deny: Vec<String> = Vec::new(),
    }
    WebIrcSection {
        from: Vec<String> = Vec::new(),
        password: String = String::new(),
        certificate: String = String::new(),
    }
    ExtJwtSection {
        name: String = String::new(),
        secret: String = String::new(),
        seconds: u64 = 30,
    }
    AuthTokenSection {
        name: String = String::new(),
        url: String = String::new(),
        description: String = String::new(),
        seconds: u64 = 600,
        from: Vec<String> = vec!["localhost".to_owned()],
        certificate: String = String::new(),
    }
    OperClassSection {
        name: String = String::new(),
        rights: Vec<String> = Vec::new(),
    }
    OperSection {
        name: String = String::new(),
        password: String = String::new(),
        fingerprint: String = String::new(),
        auto: bool = false,
        class: String = String::new(),
        snomasks: String = String::new(),
    }
    LogSection {
        audit: String = String::new(),
    }
}

/// `server.confusables`: whether names are refused that look like another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confusables {
    /// Where nicks may have letters of every script.
    Auto,
    /// Yes.
    On,
    /// No.
    Off,
}

/// `store.sync`: what "on disk" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// Survives a power cut.
    Full,
    /// Survives the end of the process.
    Normal,
}

/// `accounts.always_on`: who stays on the network without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlwaysOn {
    /// Nobody.
    Off,
    /// Accounts that ask for it.
    OptIn,
    /// Accounts that do not refuse it.
    OptOut,
    /// Every account.
    Mandatory,
}

/// `email.protection`: how the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// STARTTLS, which it must offer.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Not at all.
    None,
}

/// `history.ack`: when a message is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// Once it is stored.
    Stored,
    /// At once.
    Relayed,
}

/// `history.when_store_fails`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenStoreFails {
    /// Messages are refused.
    Refuse,
    /// Messages pass, without history.
    Relay,
}

/// An address to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The key that it stands in, for [`Config::fault`].
    pub key: Box<str>,
    /// The address.
    pub address: Address,
    /// Whether connections begin with TLS.
    pub tls: bool,
    /// Whether they speak WebSocket.
    pub websocket: bool,
    /// The proxies that alone may connect, each with a PROXY header; empty where anyone may, without.
    pub proxies: Vec<Cidr>,
    /// The host of everyone who comes this way, in place of an address.
    pub host: Option<Arc<str>>,
}

/// The files of the TLS certificate, PEM both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and any between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whether Roost makes both where they are missing.
    pub self_made: bool,
}

/// What is wrong with the configuration, in one line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The file is not to be had.
    #[error("{file}: cannot be read: {cause}; name another file with --config, or make this one readable")]
    Unreadable {
        /// Its path.
        file: Arc<str>,
        /// What the system says.
        cause: Box<str>,
    },
    /// The file is not TOML.
    #[error("{place}: not TOML: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        problem: Box<str>,
    },
    /// There is no such key.
    #[error("{place}: {key}: no such key; did you mean {nearest}?")]
    Unknown {
        /// Where.
        place: Place,
        /// The key.
        key: Box<str>,
        /// The key that is written most like it.
        nearest: &'static str,
    },
    /// The value of a key will not do.
    #[error("{}{key}: {problem}", .place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
    Value {
        /// Where; `None` where the default will not do.
        place: Option<Place>,
        /// The key.
        key: Box<str>,
        /// What is wrong, with the value, and what would be right.
        problem: Box<str>,
    },
}

impl Config {
    /// Reads `path`, or [`DEFAULT_PATH`] where it is there, or else what is built in; then lets
    /// variables `ROOST__SECTION__KEY` of `environment` replace values.
    ///
    /// # Errors
    /// The first fault.
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let mut source = match path {
            Some(path) => Source::file(path)?,
            None if Path::new(DEFAULT_PATH).try_exists().unwrap_or(true) => Source::file(Path::new(DEFAULT_PATH))?,
            None => Source::text(BUILT_IN, format!("{DEFAULT_PATH} (built in)").into())?,
        };
        source.override_from(environment)?;
        Config::from_source(source)
    }

    /// The configuration in `text`, for which errors say that it is `file`.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
        Config::from_source(Source::text(text, file.into())?)
    }

    fn from_source(source: Source) -> Result<Config, ConfigError> {
        let mut tree = Table::new();
        let mut lists: BTreeMap<&str, BTreeMap<usize, Table>> = BTreeMap::new();
        let mut places = BTreeMap::new();
        for (path, (value, place)) in source.values {
            match List::entry(&path) {
                Some((list, index, key)) => {
                    lists.entry(list.path).or_default().entry(index).or_default().insert(key.to_owned(), value);
                }
                None => plant(&mut tree, &path, value),
            }
            places.insert(path, place);
        }
        for (path, entries) in lists {
            for (at, index) in entries.keys().enumerate() {
                if at != *index {
                    let (key, place) = first_of_entry(&places, path, *index);
                    let problem = format!("there is no {path}.{at}; entries are numbered from 0 without a gap");
                    return Err(ConfigError::Value { place, key, problem: problem.into() });
                }
            }
            plant(&mut tree, path, Value::Array(entries.into_values().map(Value::Table).collect()));
        }
        let mut config: Config = tree.try_into().map_err(ConfigError::from_serde)?;
        config.places = places;
        config.file = source.file.to_string();
        config.check_together()?;
        Ok(config)
    }

    /// Checks what no key can check alone.
    fn check_together(&self) -> Result<(), ConfigError> {
        let listeners = self.listeners();
        if listeners.is_empty() {
            return Err(
                self.fault("listen.plain", "there is no address to listen at; give at least one under [listen]")
            );
        }
        for (at, listener) in listeners.iter().enumerate() {
            let before = listeners[..at].iter().find(|other| other.address.clashes(&listener.address));
            if let Some(before) = before {
                let problem = format!("\"{}\" is in {} already; take it out of one", listener.address, before.key);
                return Err(self.fault(&listener.key, &problem));
            }
        }
        match (self.tls.certificate.is_empty(), self.tls.key.is_empty()) {
            (false, true) => {
                return Err(self.fault("tls.certificate", "has no private key to it; give tls.key as well"));
            }
            (true, false) => {
                return Err(self.fault("tls.key", "has no certificate to it; give tls.certificate as well"));
            }
            _ => {}
        }
        if !self.email.server.is_empty() && self.email.sender.is_empty() {
            return Err(
                self.fault("email.sender", "is empty; say from whom the letters are, such as \"noreply@example.org\"")
            );
        }
        self.check_ldap()?;
        for (at, on) in self.listen.on.iter().enumerate() {
            if on.address.is_empty() {
                let problem = "this listener has no address; give one such as \"0.0.0.0:6667\"";
                return Err(self.entry_fault("listen.on", at, problem));
            }
            let mode = format!("listen.on.{at}.mode");
            if self.places.contains_key(&mode) && !on.address.starts_with("unix:") {
                let problem = format!("\"{}\" has no mode, for it is no unix socket; leave the mode out", on.address);
                return Err(self.fault(&mode, &problem));
            }
        }
        for (at, network) in self.throttle.network.iter().enumerate() {
            if network.from.is_empty() {
                let problem = "these limits are for nobody; give the networks that they are for in from";
                return Err(self.entry_fault("throttle.network", at, problem));
            }
        }
        for (at, service) in self.extjwt.iter().enumerate() {
            if service.secret.is_empty() {
                let problem = "this service has no secret; give it the one that its page knows";
                return Err(self.entry_fault("extjwt", at, problem));
            }
            if self.extjwt[..at].iter().any(|other| other.name == service.name) {
                let problem = format!("\"{}\" is there twice; give each service a name of its own", service.name);
                return Err(self.entry_fault("extjwt", at, &problem));
            }
        }
        for (at, service) in self.authtoken.iter().enumerate() {
            if service.name.is_empty() || service.url.is_empty() {
                let problem = "this service has no name or no URL; each has both, such as \"FILEHOST\" and \
                               \"https://upload.example.org\"";
                return Err(self.entry_fault("authtoken", at, problem));
            }
            if self.authtoken[..at].iter().any(|other| other.name.eq_ignore_ascii_case(&service.name)) {
                let problem = format!("\"{}\" is there twice; give each service a name of its own", service.name);
                return Err(self.fault(&format!("authtoken.{at}.name"), &problem));
            }
            if service.from.is_empty() {
                let problem = "nobody may validate tokens of this service; give the addresses of whoever does in from";
                return Err(self.entry_fault("authtoken", at, problem));
            }
        }
        for (at, gateway) in self.webirc.iter().enumerate() {
            if gateway.from.is_empty() {
                let problem = "this gateway has no address; give those that it may come from in from";
                return Err(self.entry_fault("webirc", at, problem));
            }
            if gateway.password.is_empty() && gateway.certificate.is_empty() {
                let problem = "this gateway has neither password nor certificate; each has one of them, or both";
                return Err(self.entry_fault("webirc", at, problem));
            }
        }
        for (at, class) in self.oper_class.iter().enumerate() {
            if class.name.is_empty() {
                return Err(self.entry_fault("oper_class", at, "this class has no name; give it one"));
            }
            if self.oper_class[..at].iter().any(|other| other.name == class.name) {
                let problem = format!("\"{}\" is there twice; give each class a name of its own", class.name);
                return Err(self.fault(&format!("oper_class.{at}.name"), &problem));
            }
        }
        for (at, oper) in self.oper.iter().enumerate() {
            let wrong = |problem: &str| Err(self.entry_fault("oper", at, problem));
            if oper.name.is_empty() {
                return wrong("this operator has no name; each has a name, and a password or a fingerprint");
            }
            if oper.password.is_empty() && oper.fingerprint.is_empty() {
                return wrong("this operator has no password; each has a password, a fingerprint or both");
            }
            if oper.auto && (oper.fingerprint.is_empty() || !oper.password.is_empty()) {
                let problem = "true is for operators with a fingerprint and without a password; give auto = false";
                return Err(self.fault(&format!("oper.{at}.auto"), problem));
            }
            if !oper.class.is_empty() && !self.oper_class.iter().any(|class| class.name == oper.class) {
                let problem = format!("there is no [[oper_class]] with the name \"{}\"; make one", oper.class);
                return Err(self.fault(&format!("oper.{at}.class"), &problem));
            }
            if self.oper[..at].iter().any(|other| other.name == oper.name) {
                let problem = format!("\"{}\" is there twice; give each operator a name of their own", oper.name);
                return Err(self.fault(&format!("oper.{at}.name"), &problem));
            }
        }
        Ok(())
    }

    /// An error about the value of `key`, with the place where it was written: for what shows only
    /// on use, such as a port that is taken.
    pub fn fault(&self, key: &str, problem: &str) -> ConfigError {
        ConfigError::Value { place: self.places.get(key).cloned(), key: key.into(), problem: problem.into() }
    }

    /// An error about an entry of a list of tables, at the first of its keys.
    fn entry_fault(&self, list: &str, index: usize, problem: &str) -> ConfigError {
        let (key, place) = first_of_entry(&self.places, list, index);
        ConfigError::Value { place, key, problem: problem.into() }
    }

    /// What the state machine needs of it. Reads the MOTD, and hashes passwords that stand in the
    /// file as plain text.
    ///
    /// # Errors
    /// The MOTD is not to be read, or a line of it is too long.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let mut opers = Vec::new();
        for (at, oper) in self.oper.iter().enumerate() {
            let password = match oper.password.as_str() {
                "" => None,
                password => Some(self.hashed(&format!("oper.{at}.password"), password)?),
            };
            let class = self.oper_class.iter().find(|class| class.name == oper.class);
            opers.push(Arc::new(settings::Oper {
                name: oper.name.as_str().into(),
                password,
                certfp: fingerprint(&oper.fingerprint),
                auto: oper.auto,
                class: oper.class.as_str().into(),
                rights: class.map_or(Rights::ALL, |class| Rights::named(class.rights.iter().map(String::as_str))),
                snomasks: Letters::of(&oper.snomasks),
            }));
        }
        let password = match self.connection.password.as_str() {
            "" => None,
            password => Some(self.hashed("connection.password", password)?),
        };
        let mut gateways = Vec::new();
        for (at, gateway) in self.webirc.iter().enumerate() {
            let password = match gateway.password.as_str() {
                "" => None,
                password => Some(self.hashed(&format!("webirc.{at}.password"), password)?),
            };
            let certfp = fingerprint(&gateway.certificate);
            gateways.push(settings::Gateway { from: networks(&gateway.from), password, certfp });
        }
        let has_ldap = !self.ldap.urls.is_empty();
        Ok(Settings {
            casemapping: self.casemapping(),
            confusables: match self.server.confusables {
                Confusables::Auto => self.casemapping() == Casemapping::Precis,
                Confusables::On => true,
                Confusables::Off => false,
            },
            server_name: self.server.name.as_str().into(),
            network: self.server.network.as_str().into(),
            description: self.server.description.as_str().into(),
            services_name: (!self.server.services.is_empty()).then(|| self.server.services.as_str().into()),
            rejoin_on_host_change: self.users.rejoin_on_host_change,
            motd: Some(self.motd()?),
            admin: self.server.admin.clone(),
            password,
            registration_ms: self.connection.registration_timeout * 1000,
            ping_ms: self.connection.ping_interval * 1000,
            channels_per_user: self.channels.per_user,
            list_entries: self.channels.list_entries,
            history: self.history.enabled,
            keep: Keep { seconds: kept_for(&self.history.keep_for).unwrap_or(0), messages: self.history.keep_messages },
            chathistory_limit: self.history.chathistory_limit,
            edit_window: self.history.edit_window,
            autoreplay_limit: self.history.autoreplay_limit,
            confirm_ms: self.history.confirm_seconds * 1000,
            icon: self.server.icon.as_str().into(),
            emoji: self.server.emoji.as_str().into(),
            extjwt: (self.extjwt.iter())
                .map(|service| settings::JwtService {
                    name: service.name.as_str().into(),
                    secret: settings::Secret::new(&service.secret),
                    seconds: service.seconds,
                })
                .collect(),
            authtoken: (self.authtoken.iter())
                .map(|service| authtoken::Service {
                    name: service.name.as_str().into(),
                    url: service.url.as_str().into(),
                    description: service.description.as_str().into(),
                    seconds: service.seconds,
                    from: networks(&service.from),
                    certfp: fingerprint(&service.certificate),
                })
                .collect(),
            sts: self.tls.sts.then(|| settings::Sts {
                port: self.tls.sts_port,
                seconds: self.tls.sts_days * 24 * 3600,
                preload: self.tls.sts_preload,
                hosts: self.tls.sts_hosts.iter().map(|host| host.as_str().into()).collect(),
            }),
            playback_limit: self.history.playback_limit,
            wait_for_store: self.history.ack == Ack::Stored,
            relay_when_store_fails: self.history.when_store_fails == WhenStoreFails::Relay,
            registration: self.accounts.registration,
            register_before_connect: self.accounts.register_before_connect,
            scram_iterations: self.accounts.scram_iterations,
            mechanisms: self.accounts.mechanisms.iter().filter_map(|name| Mechanism::by_name(name)).collect(),
            tokens: self.tokens()?,
            token_autocreate: self.accounts.token_autocreate,
            witness: self.witness()?,
            witness_autocreate: if has_ldap { self.ldap.autocreate } else { self.accounts.script_autocreate },
            witness_first: if has_ldap { self.ldap.first } else { self.accounts.script_first },
            mail: self.mail()?,
            webpush: self.webpush.enabled.then(|| self.push()),
            vapid_key: self.webpush.key,
            always_on: match self.accounts.always_on {
                AlwaysOn::Off => settings::AlwaysOn::Off,
                AlwaysOn::OptIn => settings::AlwaysOn::OptIn,
                AlwaysOn::OptOut => settings::AlwaysOn::OptOut,
                AlwaysOn::Mandatory => settings::AlwaysOn::Mandatory,
            },
            always_on_expiry_days: self.accounts.always_on_expiry_days,
            bouncer_networks: self.accounts.bouncer_networks,
            grouped_nicks: self.accounts.grouped_nicks,
            account_expire_days: self.accounts.expire_days,
            channel_expire_days: self.channels.expire_days,
            channel_registration: self.channels.registration,
            throttle: self.throttle.enabled.then(|| self.throttle.settings()),
            opers,
            multiline_bytes: self.multiline.max_bytes,
            multiline_lines: self.multiline.max_lines,
            gateways,
            client_tag_deny: self.client_tags.deny.clone(),
            host_requests: self.vhosts.requests,
            offered_hosts: self.vhosts.offered.iter().map(|host| host.as_str().into()).collect(),
            cloak: self.cloak.enabled.then(|| self.cloak.settings()),
            default_user_modes: self.users.default_modes.clone(),
        })
    }

    /// Who judges logins outside; one of both, or nobody.
    fn witness(&self) -> Result<Option<Arc<Witness>>, ConfigError> {
        let script = self.script()?.map(Witness::Script);
        let directory = self.directory()?.map(|directory| Witness::Ldap(Box::new(directory)));
        Ok(script.or(directory).map(Arc::new))
    }

    /// The program that judges logins, which has to be there.
    fn script(&self) -> Result<Option<Script>, ConfigError> {
        let Some((program, arguments)) = self.accounts.script.split_first() else { return Ok(None) };
        let path = Path::new(program);
        let may_run = |file: &std::fs::Metadata| file.is_file() && file.permissions().mode() & 0o111 != 0;
        let problem = match std::fs::metadata(path) {
            _ if !path.is_absolute() => Some("is no absolute path".to_owned()),
            Err(error) => Some(format!("cannot be found: {error}")),
            Ok(file) if !may_run(&file) => Some("is no program that may be run".to_owned()),
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            let problem = format!("{program:?} {problem}; give the path of a program, and behind it its arguments");
            return Err(self.fault("accounts.script", &problem));
        }
        Ok(Some(Script {
            program: program.as_str().into(),
            arguments: arguments.iter().map(|argument| argument.as_str().into()).collect(),
            seconds: self.accounts.script_timeout,
        }))
    }

    /// The directory that judges logins; reads the files. What fits together was checked.
    fn directory(&self) -> Result<Option<Directory>, ConfigError> {
        let ldap = &self.ldap;
        if ldap.urls.is_empty() {
            return Ok(None);
        }
        let parse = |key: &str, text: &str| {
            ldap::filter::parse(text).map_err(|problem| self.fault(key, &format!("{text:?} is no filter: {problem}")))
        };
        let authority = match ldap.authority.as_str() {
            "" => None,
            path => Some(self.read("ldap.authority", path)?.into_bytes().into()),
        };
        let password = match ldap.bind_password_file.as_str() {
            "" => ldap.bind_password.clone(),
            // Editors end a file with a new line.
            path => self.read("ldap.bind_password_file", path)?.trim_end_matches(['\r', '\n']).to_owned(),
        };
        if !ldap.bind_dn.is_empty() && password.is_empty() {
            return Err(self.fault("ldap.bind_password_file", "there is no password in the file; put it in"));
        }
        let way = if ldap.base.is_empty() {
            ldap::Way::Named(ldap.user_dn.as_str().into())
        } else {
            let reader =
                (!ldap.bind_dn.is_empty()).then(|| (ldap.bind_dn.as_str().into(), settings::Secret::new(&password)));
            ldap::Way::Found { reader, base: ldap.base.as_str().into(), filter: parse("ldap.filter", &ldap.filter)? }
        };
        let group = if !ldap.groups.is_empty() {
            ldap::Group::MemberOf(ldap.groups.iter().map(|group| group.as_str().into()).collect())
        } else if !ldap.group_base.is_empty() {
            let filter = parse("ldap.group_filter", &ldap.group_filter)?;
            ldap::Group::Listed { base: ldap.group_base.as_str().into(), filter }
        } else {
            ldap::Group::Any
        };
        let directory = Directory {
            places: ldap.urls.iter().filter_map(|url| ldap::Place::parse(url)).collect(),
            starttls: ldap.starttls,
            authority,
            seconds: ldap.timeout,
            way,
            group,
            name_attribute: ldap.name_attribute.as_str().into(),
        };
        directory.check().map_err(|problem| {
            self.fault("ldap.authority", &format!("the certificates in it will not do: {problem}; give PEM"))
        })?;
        Ok(Some(directory))
    }

    /// A text file that is named under `key`.
    fn read(&self, key: &str, path: &str) -> Result<String, ConfigError> {
        std::fs::read_to_string(path).map_err(|error| {
            self.fault(key, &format!("\"{path}\" cannot be read: {error}; give the path of a file, or \"\""))
        })
    }

    /// Whether what is said of the directory fits together.
    fn check_ldap(&self) -> Result<(), ConfigError> {
        let ldap = &self.ldap;
        let fault = |key: &str, problem: &str| Err(self.fault(key, problem));
        if ldap.urls.is_empty() {
            return Ok(());
        }
        if !self.accounts.script.is_empty() {
            return fault("ldap.urls", "accounts.script judges logins already, and only one can; take out one of both");
        }
        if ldap.starttls && ldap.urls.iter().any(|url| ldap::Place::parse(url).is_some_and(|place| place.tls)) {
            return fault("ldap.starttls", "true is for ldap://, and ldaps:// begins with TLS; give one kind of URLs");
        }
        match (ldap.user_dn.is_empty(), ldap.base.is_empty()) {
            (true, true) => {
                let problem = "nothing says how an entry is found; give ldap.user_dn (its name) or ldap.base (where to \
                               look for it)";
                return fault("ldap.urls", problem);
            }
            (false, false) => {
                return fault(
                    "ldap.user_dn",
                    "ldap.base is there, too; give the name of entries or where they are, not both",
                );
            }
            _ => {}
        }
        if !ldap.user_dn.is_empty() && !ldap.bind_dn.is_empty() {
            return fault("ldap.bind_dn", "nobody has to look for entries whose name is ldap.user_dn; leave one out");
        }
        match (ldap.bind_password.is_empty(), ldap.bind_password_file.is_empty()) {
            (false, false) => {
                return fault("ldap.bind_password_file", "ldap.bind_password is there, too; leave one out");
            }
            (true, true) if !ldap.bind_dn.is_empty() => {
                return fault(
                    "ldap.bind_dn",
                    "has no password; give ldap.bind_password_file, or leave the name out, too",
                );
            }
            (false, true) if ldap.bind_dn.is_empty() => {
                return fault("ldap.bind_password", "is nobody's; give ldap.bind_dn, too, or leave it out");
            }
            (true, false) if ldap.bind_dn.is_empty() => {
                return fault("ldap.bind_password_file", "is nobody's; give ldap.bind_dn, too, or leave it out");
            }
            _ => {}
        }
        if !ldap.groups.is_empty() && !ldap.group_base.is_empty() {
            return fault("ldap.group_base", "ldap.groups is there, too; give one of both");
        }
        let has_group = !ldap.groups.is_empty() || !ldap.group_base.is_empty();
        if !ldap.user_dn.is_empty() && !ldap.user_dn.contains('=') && (has_group || !ldap.name_attribute.is_empty()) {
            let problem = format!(
                "{:?} names no entry that groups or attributes could be asked of; give ldap.base",
                ldap.user_dn
            );
            return fault("ldap.user_dn", &problem);
        }
        Ok(())
    }

    /// What bearer tokens must be like; reads the keys. `None` without keys.
    fn tokens(&self) -> Result<Option<Arc<Tokens>>, ConfigError> {
        let accounts = &self.accounts;
        if accounts.token_keys.is_empty() && accounts.token_jwks.is_empty() {
            return Ok(None);
        }
        let (issuer, audience) = (&accounts.token_issuer, &accounts.token_audience);
        let mut tokens = Tokens::new(issuer, audience, accounts.token_leeway, &accounts.token_claim);
        for key in &accounts.token_keys {
            tokens.add_key(key).map_err(|problem| self.fault("accounts.token_keys", &problem))?;
        }
        if !accounts.token_jwks.is_empty() {
            let path = Path::new(&accounts.token_jwks);
            tokens.add_jwks(path).map_err(|problem| self.fault("accounts.token_jwks", &problem))?;
        }
        Ok(Some(Arc::new(tokens)))
    }

    /// How web push is done.
    fn push(&self) -> WebPush {
        let webpush = &self.webpush;
        let contact = match webpush.contact.as_str() {
            "" => format!("https://{}", self.server.name).into(),
            contact => contact.into(),
        };
        WebPush {
            contact,
            delay_ms: webpush.delay * 1000,
            present_ms: webpush.present_seconds * 1000,
            expiry: webpush.expiry_days * 86_400,
            devices: webpush.devices,
            allowed: networks(&webpush.allow_private_endpoints).into(),
        }
    }

    /// How codes are mailed; `None` without a mail server.
    fn mail(&self) -> Result<Option<Arc<Mail>>, ConfigError> {
        let email = &self.email;
        if email.server.is_empty() {
            return Ok(None);
        }
        let authority = match email.authority.as_str() {
            "" => None,
            path => Some(self.read("email.authority", path)?.into_bytes().into()),
        };
        let smtp = Smtp {
            server: email.server.as_str().into(),
            port: email.port,
            protection: match email.protection {
                Protection::StartTls => smtp::Protection::StartTls,
                Protection::Tls => smtp::Protection::Tls,
                Protection::None => smtp::Protection::None,
            },
            authority,
            login: (!email.username.is_empty())
                .then(|| (email.username.as_str().into(), email.password.as_str().into())),
            sender: email.sender.as_str().into(),
        };
        smtp.check().map_err(|problem| {
            self.fault("email.authority", &format!("the certificates in it will not do: {problem}; give PEM"))
        })?;
        Ok(Some(Arc::new(Mail {
            smtp: Arc::new(smtp),
            subject: email.subject.clone(),
            body: if email.body.is_empty() { mail::BODY.to_owned() } else { self.read("email.body", &email.body)? },
            required: email.required,
            hours: email.code_hours,
            letters_per_hour: email.letters_per_hour,
            allowed_domains: email.allowed_domains.clone(),
            blocked_domains: email.blocked_domains.clone(),
        })))
    }

    fn motd(&self) -> Result<Vec<String>, ConfigError> {
        if self.server.motd.is_empty() {
            return Ok(greeting::motd(self));
        }
        let quoted = &self.server.motd;
        let text = std::fs::read_to_string(quoted).map_err(|error| {
            let problem = format!("\"{quoted}\" cannot be read: {error}; give the path of a text file, or \"\"");
            self.fault("server.motd", &problem)
        })?;
        let mut lines = Vec::new();
        for (at, text) in text.lines().enumerate() {
            key::line(text).map_err(|problem| {
                self.fault("server.motd", &format!("line {} of \"{quoted}\" will not do: {problem}", at + 1))
            })?;
            lines.push(text.to_owned());
        }
        Ok(lines)
    }

    /// The lowest cost will do for a password in plain text: the hash stays in memory, and whoever
    /// reads the file has the password anyway.
    fn hashed(&self, key: &str, password: &str) -> Result<Box<str>, ConfigError> {
        if accounts::is_hash(password) {
            return Ok(password.into());
        }
        match accounts::hash(password, accounts::LOWEST_COST) {
            Ok(hash) => Ok(hash.into()),
            Err(error) => Err(self.fault(key, &format!("the password cannot be hashed: {error}; try again"))),
        }
    }

    /// What is allowed but should be looked at, a line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let gateways = self.webirc.iter().enumerate();
        let opers = self.oper.iter().enumerate();
        let passwords = std::iter::once(("connection.password".to_owned(), &self.connection.password))
            .chain(gateways.map(|(at, gateway)| (format!("webirc.{at}.password"), &gateway.password)))
            .chain(opers.map(|(at, oper)| (format!("oper.{at}.password"), &oper.password)));
        for (key, password) in passwords {
            if !password.is_empty() && !accounts::is_hash(password) {
                let problem = "the password stands there as plain text; put in the line that `roost passwd` prints";
                warnings.push(self.fault(&key, problem).to_string());
            }
        }
        let accounts = &self.accounts;
        let takes_tokens = !accounts.token_keys.is_empty() || !accounts.token_jwks.is_empty();
        if takes_tokens && accounts.token_audience.is_empty() {
            let problem = "without it, tokens that were made for another service log in here too";
            warnings.push(self.fault("accounts.token_audience", problem).to_string());
        }
        let email = &self.email;
        let local = ["localhost", "127.0.0.1", "::1"].contains(&email.server.as_str());
        if !email.server.is_empty() && email.protection == Protection::None && !local {
            let problem = format!("\"none\": codes and the password can be read on the way to {}", email.server);
            warnings.push(self.fault("email.protection", &problem).to_string());
        }
        for place in self.ldap.urls.iter().filter_map(|url| ldap::Place::parse(url)) {
            if !place.tls && !self.ldap.starttls && !place.is_local() {
                let problem =
                    format!("passwords can be read on the way to \"{place}\"; give ldaps://, or ldap.starttls = true");
                warnings.push(self.fault("ldap.urls", &problem).to_string());
            }
        }
        for listener in self.listeners() {
            // A proxy may be where TLS ends, and Tor encrypts by itself.
            let bare = !listener.tls && !listener.websocket && listener.proxies.is_empty() && listener.host.is_none();
            if bare && !listener.address.is_local() {
                let problem = format!(
                    "\"{}\" takes connections from outside without TLS: passwords and messages can be read on the way",
                    listener.address
                );
                warnings.push(self.fault(&listener.key, &problem).to_string());
            }
        }
        warnings
    }

    /// Every address to listen at, in the order of the keys.
    pub fn listeners(&self) -> Vec<Listener> {
        let listen = &self.listen;
        let kinds = [
            ("listen.plain", &listen.plain, false, false),
            ("listen.tls", &listen.tls, true, false),
            ("listen.websocket", &listen.websocket, false, true),
            ("listen.websocket_tls", &listen.websocket_tls, true, true),
        ];
        let mut listeners = Vec::new();
        for (key, addresses, tls, websocket) in kinds {
            listeners.extend(addresses.iter().map(|address| Listener {
                key: key.into(),
                address: address.clone(),
                tls,
                websocket,
                proxies: Vec::new(),
                host: None,
            }));
        }
        // An address that is none is a fault of its own.
        listeners.extend(listen.on.iter().enumerate().filter_map(|(at, on)| on.listener(at)));
        listeners
    }

    /// The addresses that may begin a connection with a PROXY header where none is asked for.
    pub fn proxy_from(&self) -> Vec<Cidr> {
        networks(&self.listen.proxy_from)
    }

    /// What was read: the path of the file, or that it was built in.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The directory of everything that Roost keeps.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Where the store is, as sqlx takes it: `sqlite:…` or `postgres:…`.
    pub fn store_url(&self) -> String {
        if !self.store.url.is_empty() {
            return self.store.url.clone();
        }
        // sqlx takes parameters from `?` on, and decodes `%`.
        let path = self.data.join("roost.db").display().to_string().replace('%', "%25").replace('?', "%3F");
        format!("sqlite://{path}")
    }

    /// The store's URL as it may be shown: without a password.
    pub fn store_name(&self) -> String {
        store::name(&self.store_url()).unwrap_or_else(|error| error.to_string())
    }

    /// When two names are the same.
    pub fn casemapping(&self) -> Casemapping {
        // The key has no other values.
        Casemapping::by_token(&self.server.casemapping).unwrap_or_default()
    }

    /// The certificate and its key.
    pub fn tls_files(&self) -> TlsFiles {
        let (certificate, key) = (&self.tls.certificate, &self.tls.key);
        if certificate.is_empty() {
            let own = self.data.join("tls");
            TlsFiles { certificate: own.join("certificate.pem"), key: own.join("key.pem"), self_made: true }
        } else {
            TlsFiles { certificate: certificate.into(), key: key.into(), self_made: false }
        }
    }

    /// How many network workers to run: what was asked for, or one for every core but the server's.
    pub fn workers(&self) -> usize {
        match self.server.workers {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1)).max(1),
            asked => asked,
        }
    }

    /// The keys in which `next` differs and that a reload does not change, but a new start does.
    pub fn needs_restart(&self, next: &Config) -> Vec<&'static str> {
        let (old, new) = (self.tree(), next.tree());
        let at =
            |tree: &Value, path: &str| path.split('.').try_fold(tree.clone(), |tree, name| tree.get(name).cloned());
        // A list of tables counts as one.
        let mut paths: Vec<&'static str> = key::KEYS.iter().filter(|key| !key.reload).map(key::Key::whole).collect();
        paths.dedup();
        paths.into_iter().filter(|path| at(&old, path) != at(&new, path)).collect()
    }

    /// All values as TOML has them.
    fn tree(&self) -> Value {
        Value::try_from(self).unwrap_or(Value::Table(Table::new()))
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: "data".into(),
            server: ServerSection::default(),
            listen: ListenSection::default(),
            tls: TlsSection::default(),
            store: StoreSection::default(),
            history: HistorySection::default(),
            accounts: AccountsSection::default(),
            ldap: LdapSection::default(),
            email: EmailSection::default(),
            webpush: WebpushSection::default(),
            channels: ChannelsSection::default(),
            connection: ConnectionSection::default(),
            users: UsersSection::default(),
            cloak: CloakSection::default(),
            vhosts: VhostsSection::default(),
            flood: FloodSection::default(),
            throttle: ThrottleSection::default(),
            multiline: MultilineSection::default(),
            client_tags: ClientTagsSection::default(),
            webirc: Vec::new(),
            extjwt: Vec::new(),
            authtoken: Vec::new(),
            log: LogSection::default(),
            oper_class: Vec::new(),
            oper: Vec::new(),
            places: BTreeMap::new(),
            file: String::new(),
        }
    }
}

impl ConfigError {
    fn unknown(place: Place, key: &str) -> ConfigError {
        ConfigError::Unknown { place, key: key.into(), nearest: key::nearest(key) }
    }

    fn key(place: Place, key: &str, problem: &str) -> ConfigError {
        ConfigError::Value { place: Some(place), key: key.into(), problem: problem.into() }
    }

    /// The table of keys has checked every value before serde sees it, so this is not met in
    /// practice; still it is one line and no panic.
    fn from_serde(error: toml::de::Error) -> ConfigError {
        let problem = error.message().lines().collect::<Vec<_>>().join("; ");
        ConfigError::Value { place: None, key: "configuration".into(), problem: problem.into() }
    }
}

impl ListenOnSection {
    fn listener(&self, at: usize) -> Option<Listener> {
        let mut address = self.address.parse().ok()?;
        if let Address::Unix { mode, .. } = &mut address {
            *mode = u32::from_str_radix(&self.mode, 8).ok()?;
        }
        Some(Listener {
            key: format!("listen.on.{at}.address").into(),
            address,
            tls: self.tls,
            websocket: self.websocket,
            proxies: networks(&self.proxy),
            host: (!self.host.is_empty()).then(|| self.host.as_str().into()),
        })
    }
}

impl CloakSection {
    fn settings(&self) -> Cloak {
        Cloak {
            key: (!self.key.is_empty()).then(|| self.key.as_str().into()),
            suffix: self.suffix.as_str().into(),
            ipv4_bits: self.ipv4_bits,
            ipv6_bits: self.ipv6_bits,
            optional: self.optional,
        }
    }
}

impl ThrottleSection {
    fn settings(&self) -> settings::Throttle {
        let limits = settings::Limits {
            connections: self.connections,
            connections_per_minute: self.connections_per_minute,
            login_failures_per_minute: self.login_failures_per_minute,
            registrations_per_hour: self.registrations_per_hour,
        };
        let or = |own: u32, general: u32| if own == 0 { general } else { own };
        let network = |network: &ThrottleNetworkSection| settings::NetworkLimits {
            addresses: networks(&network.from),
            hosts: network.from.iter().filter(|text| key::is_host(text)).map(|host| host.as_str().into()).collect(),
            limits: settings::Limits {
                connections: or(network.connections, limits.connections),
                connections_per_minute: or(network.connections_per_minute, limits.connections_per_minute),
                login_failures_per_minute: or(network.login_failures_per_minute, limits.login_failures_per_minute),
                registrations_per_hour: or(network.registrations_per_hour, limits.registrations_per_hour),
            },
        };
        settings::Throttle {
            limits,
            exempt_loopback: self.exempt_loopback,
            exempt: networks(&self.exempt),
            networks: self.network.iter().map(network).collect(),
        }
    }
}

/// Puts a value into its section, or to the top.
fn plant(tree: &mut Table, path: &str, value: Value) {
    let Some((section, key)) = path.split_once('.') else {
        tree.insert(path.to_owned(), value);
        return;
    };
    if let Value::Table(table) = tree.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new())) {
        table.insert(key.to_owned(), value);
    }
}

/// The first key that was written for an entry of a list of tables, and where.
fn first_of_entry(places: &BTreeMap<String, Place>, list: &str, index: usize) -> (Box<str>, Option<Place>) {
    let own = format!("{list}.{index}.");
    match places.iter().find(|(path, _)| path.starts_with(&own)) {
        Some((path, place)) => (path.as_str().into(), Some(place.clone())),
        None => (format!("{list}.{index}").into(), None),
    }
}

/// The networks among texts that passed their check.
fn networks(texts: &[String]) -> Vec<Cidr> {
    let network = |text: &String| match text.as_str() {
        key::LOCALHOST => Cidr::LOOPBACK.to_vec(),
        text => text.parse().into_iter().collect(),
    };
    texts.iter().flat_map(network).collect()
}

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;
    use std::sync::Arc;

    use toml::Value;

    use ircv3::Casemapping;
    use ircv3::sasl::Mechanism;
    use ircv3::sasl::scram::Hash;

    use super::{
        AuthTokenSection, BUILT_IN, Config, ExtJwtSection, ListenOnSection, OperClassSection, OperSection,
        ThrottleNetworkSection, WebIrcSection, greeting, key,
    };
    use crate::accounts;
    use crate::ldap::{self, Directory, Group, Place, Way};
    use crate::mail::Smtp;
    use crate::net::Address;
    use crate::script::Script;
    use crate::server::authtoken::Service;
    use crate::server::cloak::Cloak;
    use crate::server::event::Peer;
    use crate::server::mail::{BODY, Mail};
    use crate::server::push::WebPush;
    use crate::server::retention::Keep;
    use crate::server::settings::{JwtService, Secret, Settings, Sts};
    use crate::witness::Witness;

    fn parse(text: &str) -> Config {
        Config::parse(text, "roost.toml").unwrap()
    }

    fn fault(text: &str) -> String {
        one_line(Config::parse(text, "roost.toml").unwrap_err().to_string())
    }

    fn one_line(error: String) -> String {
        assert!(!error.contains('\n'), "{error}");
        error
    }

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("roost.toml");
        std::fs::write(&path, text).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(Some(&path), environment).map_err(|error| one_line(error.to_string()))
    }

    fn env(name: &str, value: &str) -> Config {
        load("", &[(name, value)]).unwrap()
    }

    fn env_fault(name: &str, value: &str) -> String {
        load("", &[(name, value)]).unwrap_err()
    }

    /// Every path below `value`, as the table of keys writes them.
    fn paths(value: &Value, prefix: &str, into: &mut Vec<String>) {
        for (name, value) in value.as_table().unwrap() {
            match value {
                Value::Table(_) => paths(value, &format!("{prefix}{name}."), into),
                Value::Array(items) if items.first().is_some_and(Value::is_table) => {
                    paths(&items[0], &format!("{prefix}{name}."), into);
                }
                _ => into.push(format!("{prefix}{name}")),
            }
        }
    }

    fn all_paths() -> Vec<String> {
        let mut found = Vec::new();
        let mut config = Config { oper: vec![OperSection::default()], ..Config::default() };
        config.oper_class.push(OperClassSection::default());
        config.webirc.push(WebIrcSection::default());
        config.extjwt.push(ExtJwtSection::default());
        config.authtoken.push(AuthTokenSection::default());
        config.listen.on.push(ListenOnSection::default());
        config.throttle.network.push(ThrottleNetworkSection::default());
        paths(&config.tree(), "", &mut found);
        found.sort();
        found
    }

    #[test]
    fn the_table_of_keys_and_the_type_agree() {
        let mut table: Vec<_> = key::KEYS.iter().map(|key| key.path.to_owned()).collect();
        table.sort();
        assert_eq!(table, all_paths());
    }

    #[test]
    fn the_documented_file_is_the_default() {
        let documented = Config::parse(BUILT_IN, "conf/roost.toml").unwrap();
        assert_eq!(documented.tree(), Config::default().tree());
        // The file in the repository is what is built in.
        let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/roost.toml")).unwrap();
        assert_eq!(file, BUILT_IN);
    }

    #[test]
    fn the_documented_file_describes_every_key_and_no_other() {
        let mut described = Vec::new();
        let mut section = String::new();
        let mut before = "";
        for line in BUILT_IN.lines() {
            let bare = line.trim_start_matches("# ");
            if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = format!("{}.", name.trim_matches(['[', ']']));
            } else if let Some((name, value)) = bare.split_once(" = ") {
                let is_key = !name.contains(' ') && toml::from_str::<toml::Table>(bare).is_ok();
                if is_key {
                    let comment = before.strip_prefix("# ").unwrap_or_default();
                    assert!(comment.len() > 10, "{section}{name} = {value} has no comment above it");
                    described.push(format!("{section}{name}"));
                }
            }
            before = line;
        }
        described.sort();
        assert_eq!(described, all_paths());
    }

    #[test]
    fn whether_a_reload_is_enough_is_documented() {
        let mut section = String::new();
        let mut comment = String::new();
        for line in BUILT_IN.lines() {
            let bare = line.trim_start_matches("# ");
            if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = format!("{}.", name.trim_matches(['[', ']']));
                comment.clear();
            } else if let Some(key) = bare
                .split_once(" = ")
                .and_then(|(name, _)| key::KEYS.iter().find(|key| key.path == format!("{section}{name}")))
            {
                assert_eq!(comment.contains("(reload"), key.reload, "{}", key.path);
                comment.clear();
            } else {
                comment.push_str(line);
            }
        }
    }

    #[test]
    fn the_defaults_are_the_state_machines_defaults() {
        let settings = Config::default().settings().unwrap();
        assert!(settings.motd.as_ref().is_some_and(|lines| lines.len() >= 3));
        assert_eq!(Settings { motd: None, ..settings }, Settings::default());
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(parse("").tree(), Config::default().tree());
    }

    #[test]
    fn every_value_reaches_the_state_machine() {
        let config = parse(
            r#"
            [server]
            casemapping = "precis"
            name = "irc.example.org"
            network = "Example"
            description = "Ours"
            services = "services.example.org"
            admin = ["Alice"]
            icon = "https://example.org/icon.png"
            emoji = "https://example.org/emoji.json"
            [tls]
            sts = true
            sts_port = 7000
            sts_days = 1
            sts_preload = true
            sts_hosts = ["irc.example.org"]
            [[extjwt]]
            name = "forum"
            secret = "a secret of thirty-two bytes, or more"
            seconds = 60
            [[authtoken]]
            name = "FILEHOST"
            url = "https://upload.example.org"
            description = "Uploads"
            seconds = 90
            from = ["192.0.2.0/24"]
            certificate = "AB:CDABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"
            [history]
            enabled = false
            keep_for = "90d"
            keep_messages = 5000
            chathistory_limit = 7
            edit_window = 60
            autoreplay_limit = 0
            confirm_seconds = 90
            playback_limit = 5
            ack = "relayed"
            when_store_fails = "relay"
            [accounts]
            registration = false
            register_before_connect = false
            scram_iterations = 5000
            mechanisms = ["scram-sha-256", "EXTERNAL"]
            token_autocreate = true
            always_on = "mandatory"
            always_on_expiry_days = 8
            bouncer_networks = true
            grouped_nicks = 3
            expire_days = 400
            [ldap]
            urls = ["ldap://a.example.org", "ldap://b.example.org:3890"]
            starttls = true
            timeout = 5
            bind_dn = "cn=roost,dc=example,dc=org"
            bind_password = "hush"
            base = "ou=people,dc=example,dc=org"
            filter = "(sAMAccountName={account})"
            groups = ["cn=irc,dc=example,dc=org"]
            name_attribute = "sAMAccountName"
            autocreate = true
            first = true
            [email]
            server = "mail.example.org"
            port = 465
            protection = "tls"
            username = "me"
            password = "secret"
            sender = "Roost <noreply@example.org>"
            required = false
            subject = "{code}"
            code_hours = 2
            letters_per_hour = 3
            allowed_domains = ["example.org"]
            blocked_domains = ["bad.example.org"]
            [webpush]
            contact = "mailto:alice@example.org"
            delay = 0
            present_seconds = 7
            expiry_days = 2
            devices = 3
            key = 4
            allow_private_endpoints = ["127.0.0.0/8"]
            [channels]
            registration = false
            expire_days = 500
            per_user = 3
            list_entries = 4
            [connection]
            registration_timeout = 5
            ping_interval = 6
            [users]
            default_modes = ""
            rejoin_on_host_change = true
            [throttle]
            enabled = false
            [multiline]
            max_bytes = 1024
            max_lines = 9
            [vhosts]
            requests = false
            offered = ["$account.users.example.org"]
            [client_tags]
            deny = ["*", "-typing"]
            [cloak]
            key = "twenty bytes or more"
            suffix = "example"
            ipv4_bits = 24
            ipv6_bits = 48
            optional = true
            "#,
        );
        let settings = config.settings().unwrap();
        let expected = Settings {
            casemapping: Casemapping::Precis,
            confusables: true,
            server_name: "irc.example.org".into(),
            network: "Example".into(),
            description: "Ours".into(),
            services_name: Some("services.example.org".into()),
            rejoin_on_host_change: true,
            motd: settings.motd.clone(),
            admin: vec!["Alice".into()],
            icon: "https://example.org/icon.png".into(),
            emoji: "https://example.org/emoji.json".into(),
            extjwt: vec![JwtService {
                name: "forum".into(),
                secret: Secret::new("a secret of thirty-two bytes, or more"),
                seconds: 60,
            }],
            authtoken: vec![Service {
                name: "FILEHOST".into(),
                url: "https://upload.example.org".into(),
                description: "Uploads".into(),
                seconds: 90,
                from: vec!["192.0.2.0/24".parse().unwrap()],
                certfp: Some(format!("abcd{}", "ab".repeat(30)).into()),
            }],
            sts: Some(Sts { port: 7000, seconds: 86_400, preload: true, hosts: vec!["irc.example.org".into()] }),
            password: None,
            registration_ms: 5000,
            ping_ms: 6000,
            channels_per_user: 3,
            list_entries: 4,
            host_requests: false,
            offered_hosts: vec!["$account.users.example.org".into()],
            history: false,
            keep: Keep { seconds: 90 * 86_400, messages: 5000 },
            chathistory_limit: 7,
            edit_window: 60,
            autoreplay_limit: 0,
            confirm_ms: 90_000,
            playback_limit: 5,
            wait_for_store: false,
            relay_when_store_fails: true,
            registration: false,
            register_before_connect: false,
            scram_iterations: 5000,
            mechanisms: vec![Mechanism::Scram(Hash::Sha256), Mechanism::External],
            tokens: None,
            token_autocreate: true,
            witness: Some(Arc::new(Witness::Ldap(Box::new(Directory {
                places: vec![
                    Place { host: "a.example.org".into(), port: 389, tls: false },
                    Place { host: "b.example.org".into(), port: 3890, tls: false },
                ],
                starttls: true,
                authority: None,
                seconds: 5,
                way: Way::Found {
                    reader: Some(("cn=roost,dc=example,dc=org".into(), Secret::new("hush"))),
                    base: "ou=people,dc=example,dc=org".into(),
                    filter: ldap::filter::parse("(sAMAccountName={account})").unwrap(),
                },
                group: Group::MemberOf(vec!["cn=irc,dc=example,dc=org".into()]),
                name_attribute: "sAMAccountName".into(),
            })))),
            witness_autocreate: true,
            witness_first: true,
            mail: Some(Arc::new(Mail {
                smtp: Arc::new(Smtp {
                    server: "mail.example.org".into(),
                    port: 465,
                    protection: crate::mail::Protection::Tls,
                    authority: None,
                    login: Some(("me".into(), "secret".into())),
                    sender: "Roost <noreply@example.org>".into(),
                }),
                subject: "{code}".into(),
                body: BODY.into(),
                required: false,
                hours: 2,
                letters_per_hour: 3,
                allowed_domains: vec!["example.org".into()],
                blocked_domains: vec!["bad.example.org".into()],
            })),
            webpush: Some(WebPush {
                contact: "mailto:alice@example.org".into(),
                delay_ms: 0,
                present_ms: 7000,
                expiry: 2 * 86_400,
                devices: 3,
                allowed: ["127.0.0.0/8".parse().unwrap()].into(),
            }),
            vapid_key: 4,
            always_on: crate::server::settings::AlwaysOn::Mandatory,
            always_on_expiry_days: 8,
            bouncer_networks: true,
            grouped_nicks: 3,
            account_expire_days: 400,
            channel_expire_days: 500,
            channel_registration: false,
            throttle: None,
            opers: Vec::new(),
            multiline_bytes: 1024,
            multiline_lines: 9,
            gateways: Vec::new(),
            client_tag_deny: vec!["*".into(), "-typing".into()],
            cloak: Some(Cloak {
                key: Some("twenty bytes or more".into()),
                suffix: "example".into(),
                ipv4_bits: 24,
                ipv6_bits: 48,
                optional: true,
            }),
            default_user_modes: String::new(),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_program_that_judges_logins_reaches_the_state_machine() {
        let config = parse(
            r#"
            [accounts]
            script = ["/bin/sh", "-c", "exit 1"]
            script_timeout = 5
            script_autocreate = true
            script_first = true
            "#,
        );
        let settings = config.settings().unwrap();
        let arguments = vec!["-c".into(), "exit 1".into()];
        let script = Script { program: "/bin/sh".into(), arguments, seconds: 5 };
        assert_eq!(settings.witness, Some(Arc::new(Witness::Script(script))));
        assert!(settings.witness_autocreate && settings.witness_first);
    }

    #[test]
    fn what_is_said_of_a_directory_fits_together() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = place.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let named = "[ldap]\nurls = [\"ldaps://ldap.example.org\"]\nuser_dn = \"uid={account},dc=example\"\n";
        let found = "[ldap]\nurls = [\"ldap://127.0.0.1\"]\nbase = \"dc=example\"\n";
        assert!(parse(named).settings().unwrap().witness.is_some() && parse(named).warnings().is_empty());
        assert!(parse(found).settings().unwrap().witness.is_some() && parse(found).warnings().is_empty());
        assert!(parse("[ldap]\nbase = \"dc=example\"").settings().unwrap().witness.is_none());
        let secret = file("secret", "hush\n");
        let config = parse(&format!("{found}bind_dn = \"cn=a\"\nbind_password_file = {secret:?}"));
        let settings = config.settings().unwrap();
        let Some(Witness::Ldap(directory)) = settings.witness.as_deref() else { panic!("no directory") };
        let Way::Found { reader, .. } = &directory.way else { panic!("{directory:?}") };
        assert_eq!(*reader, Some(("cn=a".into(), Secret::new("hush"))));
        assert!(!format!("{settings:?}").contains("hush"));

        let two = "[accounts]\nscript = [\"/bin/sh\"]\n";
        let cases = [
            (format!("{two}{named}"), "roost.toml:4: ldap.urls: accounts.script judges logins already"),
            (format!("{named}starttls = true"), "ldap.starttls: true is for ldap://"),
            (named.replace("user_dn", "# "), "ldap.urls: nothing says how an entry is found"),
            (format!("{named}base = \"dc=example\""), "ldap.user_dn: ldap.base is there, too"),
            (format!("{named}bind_dn = \"cn=a\"\nbind_password = \"b\""), "ldap.bind_dn: nobody has to look"),
            (format!("{found}bind_dn = \"cn=a\""), "ldap.bind_dn: has no password"),
            (format!("{found}bind_password = \"hush\""), "ldap.bind_password: is nobody's"),
            (format!("{found}bind_password_file = \"a\""), "ldap.bind_password_file: is nobody's"),
            (
                format!("{found}bind_dn = \"a\"\nbind_password = \"hush\"\nbind_password_file = \"a\""),
                "ldap.bind_password_file: ldap.bind_password is there, too",
            ),
            (format!("{found}groups = [\"cn=a\"]\ngroup_base = \"cn=b\""), "ldap.group_base: ldap.groups is there"),
            (
                format!("{}groups = [\"cn=a\"]", named.replace("uid={account},dc=example", "{account}@example.org")),
                "ldap.user_dn: \"{account}@example.org\" names no entry",
            ),
            (found.replace("ldap://127.0.0.1", "http://a"), "ldap.urls: \"http://a\" is not the URL of a directory"),
            (named.replace("{account}", "alice"), "ldap.user_dn: \"uid=alice,dc=example\" has no place"),
            (format!("{found}filter = \"(uid=alice)\""), "ldap.filter: \"(uid=alice)\" has no place"),
            (format!("{found}filter = \"uid={{account}}\""), "ldap.filter: \"uid={account}\" is no filter"),
            (format!("{found}group_filter = \"(member=x)\""), "ldap.group_filter: \"(member=x)\" has no place"),
            (format!("{found}name_attribute = \"a b\""), "ldap.name_attribute: \"a b\" is no attribute"),
            (format!("{found}timeout = 0"), "ldap.timeout: 0 is out of range"),
        ];
        for (text, part) in cases {
            let fault = fault(&text);
            assert!(fault.contains(part) && !fault.contains("hush"), "{text}: {fault}");
        }
        for (line, part) in [
            ("authority = \"/nowhere\"".to_owned(), "ldap.authority: \"/nowhere\" cannot be read"),
            (format!("authority = {secret:?}"), "ldap.authority: the certificates in it will not do"),
            (
                format!("bind_dn = \"a\"\nbind_password_file = {:?}", file("empty", "\n")),
                "ldap.bind_password_file: there is no password in the file",
            ),
        ] {
            let fault = parse(&format!("{found}{line}")).settings().unwrap_err().to_string();
            assert!(fault.contains(part) && !fault.contains("hush"), "{line}: {fault}");
        }
        let bare = parse(&found.replace("127.0.0.1", "ldap.example.org")).warnings();
        assert!(
            bare.len() == 1 && bare[0].contains("ldap.urls") && bare[0].contains("can be read on the way"),
            "{bare:?}"
        );
        assert!(parse(&format!("{}starttls = true", found.replace("127.0.0.1", "a.b"))).warnings().is_empty());
    }

    #[test]
    fn a_fault_names_file_line_key_value_and_what_would_be_right() {
        for (text, expected) in [
            (
                "\n[connection]\nping_interval = 0",
                "roost.toml:3: connection.ping_interval: 0 is out of range; give a whole number from 1 to 3600",
            ),
            (
                "[server]\nworkers = \"2\"",
                "roost.toml:2: server.workers: \"2\" is not a whole number; give one from 0 to 256",
            ),
            (
                "[flood]\nenabled = \"yes\"",
                "roost.toml:2: flood.enabled: \"yes\" is not true or false (without quotes)",
            ),
            (
                "[flood]\nper_second = 0.0",
                "roost.toml:2: flood.per_second: 0 is out of range; give a number from 0.1 to 10000",
            ),
            ("data = 3", "roost.toml:1: data: 3 is not a string; put it in quotes"),
            (
                "[listen]\n\n\nplain = [\n\"localhost:6667\"]",
                "roost.toml:4: listen.plain: \"localhost:6667\" is not an address and port; write \"127.0.0.1:6667\", \
                 \"[::1]:6667\" or, for every interface, \"0.0.0.0:6667\"; for a unix socket \"unix:/run/roost.sock\", with \
                 a path of at most 107 bytes",
            ),
            (
                "[[listen.on]]\naddress = \"127.0.0.1:1\"\nproxy = [\"10.1.0.0/8\"]",
                "roost.toml:3: listen.on.0.proxy: \"10.1.0.0/8\" has bits set past its length; write \"10.0.0.0/8\"; \
                 \"localhost\" is this machine",
            ),
            (
                "[[listen.on]]\naddress = \"127.0.0.1:1\"\n[[listen.on]]\naddress = \"unix:x\"\nmode = \"rw\"",
                "roost.toml:5: listen.on.1.mode: \"rw\" is not the mode of a file; give three digits from 0 to 7, such \
                 as \"660\"",
            ),
            (
                "[[listen.on]]\naddress = \"127.0.0.1:1\"\nmode = \"600\"",
                "roost.toml:3: listen.on.0.mode: \"127.0.0.1:1\" has no mode, for it is no unix socket; leave the mode out",
            ),
            (
                "[[listen.on]]\ntls = true",
                "roost.toml:2: listen.on.0.tls: this listener has no address; give one such as \"0.0.0.0:6667\"",
            ),
            (
                "[[listen.on]]\naddress = \"127.0.0.1:6667\"",
                "roost.toml:2: listen.on.0.address: \"127.0.0.1:6667\" is in listen.plain already; take it out of one",
            ),
            (
                "[listen.on]\naddress = \"127.0.0.1:1\"",
                "roost.toml:1: listen.on: is not a list; write [[listen.on]] above each",
            ),
            (
                "[[throttle.network]]\nfrom = [\"tor\"]",
                "roost.toml:2: throttle.network.0.from: \"tor\" is not a host; give letters, digits and - with a dot, at \
                 most 63 bytes, such as \"tor-network.onion\"",
            ),
            (
                "[[extjwt]]\nname = \"forum\"",
                "roost.toml:2: extjwt.0.name: this service has no secret; give it the one that its page knows",
            ),
            (
                "[[authtoken]]\nname = \"FILEHOST\"",
                "roost.toml:2: authtoken.0.name: this service has no name or no URL; each has both, such as \"FILEHOST\" \
                 and \"https://upload.example.org\"",
            ),
            (
                "[[authtoken]]\nname = \"a b\"",
                "roost.toml:2: authtoken.0.name: \"a b\" is no key of a service; give letters, digits and - . / _, at most \
                 64 bytes, such as \"example.org/forum\"",
            ),
            (
                "[[authtoken]]\nname = \"a\"\nurl = \"x\"",
                "roost.toml:3: authtoken.0.url: \"x\" is not the URL of a service; give one such as \
                 \"https://upload.example.org\", at most 250 bytes",
            ),
            (
                "[[extjwt]]\nsecret = \"short\"",
                "roost.toml:2: extjwt.0.secret: the secret has 5 bytes; give at least 32, such as those of openssl rand \
                 -base64 32",
            ),
            (
                "[[webirc]]\nfrom = [\"192.0.2.7\"]",
                "roost.toml:2: webirc.0.from: this gateway has neither password nor certificate; each has one of them, \
                 or both",
            ),
            (
                "[[webirc]]\ncertificate = \"00:11\"",
                "roost.toml:2: webirc.0.certificate: \"00:11\" is not the SHA-256 fingerprint of a certificate; give its \
                 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` prints them",
            ),
            ("[listen]\ntls = \"[::]:1\"", "roost.toml:2: listen.tls: \"[::]:1\" is not a list; write [\"…\", \"…\"]"),
            (
                "[store]\nsync = \"fast\"",
                "roost.toml:2: store.sync: \"fast\" is not possible; choose \"full\" or \"normal\"",
            ),
            (
                "[server]\nname = \"my server\"",
                "roost.toml:2: server.name: \"my server\" is not a server name; give letters, digits and - with a dot, \
                 such as \"irc.example.org\"",
            ),
            ("[listen]\nplian = []", "roost.toml:2: listen.plian: no such key; did you mean listen.plain?"),
            ("[sever]\nname = \"a.b\"", "roost.toml:1: sever.name: no such key; did you mean server.name?"),
            ("[oper]\nname = \"a\"", "roost.toml:1: oper: is not a list; write [[oper]] above each"),
            ("server = 1", "roost.toml:1: server: is a section; write [server] and its keys below"),
            (
                "[tls]\ncertificate = \"a.pem\"",
                "roost.toml:2: tls.certificate: has no private key to it; give tls.key as well",
            ),
            (
                "[listen]\nplain = [\"127.0.0.1:1\"]\ntls = [\"127.0.0.1:1\"]",
                "roost.toml:3: listen.tls: \"127.0.0.1:1\" is in listen.plain already; take it out of one",
            ),
            (
                "[email]\nserver = \"mail.example.org\"\nsender = \"Roost\"",
                "roost.toml:3: email.sender: \"Roost\" is not a sender; write \"noreply@example.org\" or \"Roost \
                 <noreply@example.org>\"",
            ),
            (
                "[email]\nserver = \"mail.example.org:25\"",
                "roost.toml:2: email.server: \"mail.example.org:25\" is not a mail server; give its name or address, such \
                 as \"smtp.example.org\", or \"\" for none; the port is email.port",
            ),
            (
                "[[oper]]\nname = \"alice\"",
                "roost.toml:2: oper.0.name: this operator has no password; each has a password, a fingerprint or both",
            ),
            (
                "[[oper]]\nname = \"alice\"\npassword = \"x\"\nauto = true",
                "roost.toml:4: oper.0.auto: true is for operators with a fingerprint and without a password; give auto = \
                 false",
            ),
            (
                "[[oper]]\nname = \"alice\"\npassword = \"x\"\nclass = \"helper\"",
                "roost.toml:4: oper.0.class: there is no [[oper_class]] with the name \"helper\"; make one",
            ),
            (
                "[[oper_class]]\nname = \"helper\"\nrights = [\"klil\"]",
                "roost.toml:3: oper_class.0.rights: \"klil\" is not a right; give ban, defcon, die, force, global, history, kill, \
                 notices, rehash, stats, vhost, wallops",
            ),
            (
                "[[oper]]\nname = \"a\"\npassword = \"x\"\n[[oper]]\nname = \"a\"\npassword = \"y\"",
                "roost.toml:5: oper.1.name: \"a\" is there twice; give each operator a name of their own",
            ),
        ] {
            assert_eq!(fault(text), expected);
        }
        let syntax = fault("[server]\nname = irc.example.org");
        assert!(syntax.starts_with("roost.toml:2: not TOML: "), "{syntax}");
    }

    #[test]
    fn names_that_no_client_could_take_are_refused() {
        for name in ["", "nodot", "a b.c", "a..b", ".a", "a.", "-a.b", "ä.example", &format!("{}.org", "a".repeat(60))]
        {
            assert!(fault(&format!("[server]\nname = \"{name}\"")).contains("server.name"), "{name}");
        }
        for name in ["", "two words", "a=b", "a\\\\b", "a\\tb"] {
            assert!(fault(&format!("[server]\nnetwork = \"{name}\"")).contains("server.network"), "{name}");
        }
        assert_eq!(parse("[server]\nname = \"My.Little.Server\"").server.name, "My.Little.Server");
    }

    #[test]
    fn listening_nowhere_is_a_fault() {
        let nowhere = "[listen]\nplain = []\ntls = []\nwebsocket = []";
        assert!(fault(nowhere).starts_with("roost.toml:2: listen.plain: there is no address"));
    }

    #[test]
    fn several_listeners_may_each_take_a_free_port() {
        let config = parse("[listen]\nplain = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\ntls = []\nwebsocket = []");
        assert_eq!(config.listeners().len(), 2);
    }

    #[test]
    fn the_environment_overrides_every_kind_of_key() {
        assert_eq!(env("ROOST__DATA", "/srv/roost").data, Path::new("/srv/roost"));
        assert_eq!(env("ROOST__SERVER__NAME", "a.b").server.name, "a.b");
        assert_eq!(env("ROOST__SERVER__WORKERS", "3").server.workers, 3);
        assert!(!env("ROOST__FLOOD__ENABLED", "false").flood.enabled);
        assert!(!env("ROOST__THROTTLE__ENABLED", "false").throttle.enabled);
        assert_eq!(env("ROOST__FLOOD__PER_SECOND", "5").flood.per_second, 5.0);
        assert_eq!(env("ROOST__STORE__SYNC", "normal").store.sync, super::Sync::Normal);
        assert_eq!(env("ROOST__STORE__URL", "sqlite:///x/y.db").store_url(), "sqlite:///x/y.db");
        let postgres = env("ROOST__STORE__URL", "postgres://roost:geheim@db.example:5433/irc?sslmode=require");
        assert_eq!(postgres.store_name(), "postgres://roost@db.example:5433/irc");
        let both = ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
        assert_eq!(env("ROOST__LISTEN__PLAIN", "127.0.0.1:1,[::1]:2").listen.plain, both);
        assert_eq!(env("ROOST__LISTEN__PLAIN", r#"["127.0.0.1:1", "[::1]:2"]"#).listen.plain, both);
        assert_eq!(env("ROOST__LISTEN__PLAIN", "[::1]:2").listen.plain, both[1..]);
        assert!(env("ROOST__LISTEN__TLS", "").listen.tls.is_empty());
        assert!(env("ROOST__LISTEN__TLS", "[]").listen.tls.is_empty());
        assert_eq!(env("HOME", "/root").tree(), Config::default().tree());
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let file = "[server]\nname = \"file.example\"\nnetwork = \"File\"";
        let config = load(file, &[("ROOST__SERVER__NAME", "env.example")]).unwrap();
        assert_eq!((&*config.server.name, &*config.server.network), ("env.example", "File"));
    }

    #[test]
    fn the_environment_can_name_operators() {
        let file = "[[oper]]\nname = \"a\"\npassword = \"x\"";
        let one = [("ROOST__OPER__0__NAME", "b")];
        assert_eq!(load(file, &one).unwrap().oper[0].name, "b");
        let second = [("ROOST__OPER__1__NAME", "b"), ("ROOST__OPER__1__PASSWORD", "y")];
        assert_eq!(load(file, &second).unwrap().oper.len(), 2);
        let all = [("ROOST__OPER", r#"[{name = "c", password = "z"}]"#)];
        let config = load(file, &all).unwrap();
        assert_eq!((config.oper.len(), &*config.oper[0].name), (1, "c"));
        assert!(load(file, &[("ROOST__OPER", "[]")]).unwrap().oper.is_empty());
        assert_eq!(
            env_fault("ROOST__OPER__1__NAME", "b"),
            "ROOST__OPER__1__NAME: oper.1.name: there is no oper.0; entries are numbered from 0 without a gap"
        );
        assert!(env_fault("ROOST__OPER", "alice").starts_with("ROOST__OPER: oper: is not a list of operators"));
    }

    #[test]
    fn a_fault_in_the_environment_names_the_variable() {
        for (name, value, expected) in [
            (
                "ROOST__LISTEN__PLIAN",
                "x",
                "ROOST__LISTEN__PLIAN: listen.plian: no such key; did you mean listen.plain?",
            ),
            ("ROOST__Server__Name", "a.b", "ROOST__Server__Name: server.name: no such key; did you mean server.name?"),
            (
                "ROOST__FLOOD__BURST",
                "many",
                "ROOST__FLOOD__BURST: flood.burst: \"many\" is not a whole number; give one from 1 to 10000",
            ),
            ("ROOST__FLOOD__ENABLED", "1", "ROOST__FLOOD__ENABLED: flood.enabled: \"1\" is not true or false"),
        ] {
            assert_eq!(env_fault(name, value), expected);
        }
    }

    #[test]
    fn listeners_networks_and_gateways_come_from_tables_and_from_the_environment() {
        let fp = "ab".repeat(32);
        let config = parse(&format!(
            r#"
            [listen]
            plain = ["unix:/run/a.sock"]
            proxy_from = ["localhost", "10.0.0.0/8"]
            [[listen.on]]
            address = "unix:/run/b.sock"
            mode = "600"
            tls = true
            [[listen.on]]
            address = "127.0.0.1:9000"
            proxy = ["192.0.2.7"]
            host = "tor-network.onion"
            [throttle]
            exempt = ["192.0.2.0/24"]
            [[throttle.network]]
            from = ["10.0.0.0/8", "tor-network.onion"]
            connections = 500
            [[webirc]]
            from = ["localhost"]
            certificate = "{fp}"
            "#
        ));
        let listeners = config.listeners();
        let at = |key: &str| listeners.iter().find(|listener| &*listener.key == key).unwrap();
        assert_eq!(at("listen.plain").address, Address::Unix { path: "/run/a.sock".into(), mode: 0o660 });
        let unix = at("listen.on.0.address");
        assert_eq!(unix.address, Address::Unix { path: "/run/b.sock".into(), mode: 0o600 });
        assert!(unix.tls && unix.proxies.is_empty());
        let tor = at("listen.on.1.address");
        assert_eq!(
            (&*tor.proxies, tor.host.as_deref()),
            (&["192.0.2.7".parse().unwrap()][..], Some("tor-network.onion"))
        );
        assert_eq!(config.proxy_from().len(), 3);
        let settings = config.settings().unwrap();
        let throttle = settings.throttle.unwrap();
        let peer =
            |ip: &str, host: Option<&str>| Peer { host: host.map(Into::into), ..Peer::new(ip.parse().unwrap(), 1) };
        let connections = |ip, host| throttle.limits(&peer(ip, host)).map(|limits| limits.connections);
        assert_eq!(connections("10.1.2.3", None), Some(500));
        assert_eq!(connections("11.1.2.3", None), Some(64));
        assert_eq!(connections("192.0.2.200", None), None);
        assert_eq!(connections("127.0.0.1", None), None);
        assert_eq!(connections("127.0.0.1", Some("tor-network.onion")), Some(500));
        assert_eq!(connections("127.0.0.1", Some("other.onion")), Some(64));
        assert_eq!(throttle.networks[0].limits.registrations_per_hour, 10);
        assert_eq!(settings.gateways[0].certfp.as_deref(), Some(&*fp));

        let on = r#"[{address = "127.0.0.1:1", websocket = true}]"#;
        let config = load("[[listen.on]]\naddress = \"127.0.0.1:2\"", &[("ROOST__LISTEN__ON", on)]).unwrap();
        assert_eq!((config.listen.on.len(), config.listen.on[0].websocket), (1, true));
        let mode = env("ROOST__LISTEN__ON__0__ADDRESS", "unix:x").listeners();
        assert_eq!(mode.last().map(|listener| listener.address.to_string()).as_deref(), Some("unix:x"));
        assert!(env_fault("ROOST__LISTEN__ON", "unix:x").contains("is not a list of listeners; write [{address ="));
        assert!(env_fault("ROOST__WEBIRC__0__FROM", "nowhere").starts_with("ROOST__WEBIRC__0__FROM: webirc.0.from: "));
        let next = parse("[[listen.on]]\naddress = \"127.0.0.1:1\"\ntls = true");
        assert_eq!(Config::default().needs_restart(&next), ["listen.on"]);
    }

    #[test]
    fn a_missing_file_that_was_named_is_a_fault() {
        let error = Config::load(Some(Path::new("/nowhere/roost.toml")), std::iter::empty()).unwrap_err().to_string();
        assert!(one_line(error).starts_with("/nowhere/roost.toml: cannot be read: "));
    }

    #[test]
    fn passwords_in_plain_text_work_with_a_warning_that_does_not_show_them() {
        let config =
            parse("[connection]\npassword = \"hunter2\"\n[[oper]]\nname = \"alice\"\npassword = \"correct horse\"");
        let settings = config.settings().unwrap();
        let password = settings.password.unwrap();
        assert!(accounts::is_hash(&password) && accounts::verify("hunter2", Some(&password), 4));
        assert!(accounts::verify("correct horse", settings.opers[0].password.as_deref(), 4));
        let warnings = config.warnings().join("\n");
        assert!(warnings.contains("roost.toml:2: connection.password:"), "{warnings}");
        assert!(warnings.contains("roost.toml:5: oper.0.password:"), "{warnings}");
        assert!(!warnings.contains("hunter2") && !warnings.contains("horse"));
    }

    #[test]
    fn a_hashed_password_is_taken_as_it_is() {
        let hash = accounts::hash("hunter2", 4).unwrap();
        let config = parse(&format!("[connection]\npassword = \"{hash}\""));
        assert_eq!(config.settings().unwrap().password.as_deref(), Some(&*hash));
        assert!(config.warnings().is_empty());
        let cut = fault(&format!("[connection]\npassword = \"{}\"", &hash[..59]));
        assert!(cut.contains("begins like a bcrypt hash but is none (it has 59 bytes"), "{cut}");
        assert!(!cut.contains(&hash[..20]));
    }

    #[test]
    fn the_motd_is_read_from_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("motd.txt");
        std::fs::write(&path, "one\r\n\ntwo\n").unwrap();
        let config = env("ROOST__SERVER__MOTD", path.to_str().unwrap());
        assert_eq!(config.settings().unwrap().motd.unwrap(), ["one", "", "two"]);
        std::fs::write(&path, format!("one\n{}\n", "x".repeat(401))).unwrap();
        let error = one_line(config.settings().unwrap_err().to_string());
        assert!(error.starts_with("ROOST__SERVER__MOTD: server.motd: line 2 of "), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = one_line(config.settings().unwrap_err().to_string());
        assert!(error.contains("motd.txt\" cannot be read: "), "{error}");
    }

    #[test]
    fn paths_with_odd_letters_stay_whole_in_the_url_of_the_store() {
        assert_eq!(Config::default().store_url(), "sqlite://data/roost.db");
        assert_eq!(env("ROOST__DATA", "/a b/100%?").store_url(), "sqlite:///a b/100%25%3F/roost.db");
    }

    #[test]
    fn a_reload_names_the_keys_that_need_a_new_start() {
        let old = Config::default();
        let next = parse("data = \"x\"\n[server]\nnetwork = \"Other\"\n[listen]\ntls = []");
        assert_eq!(old.needs_restart(&next), ["data", "listen.tls"]);
        assert!(old.needs_restart(&old).is_empty());
    }

    #[test]
    fn the_greeting_says_where_and_how() {
        let text = greeting(&Config::default());
        for part in [
            "127.0.0.1:6667 (plain)",
            "0.0.0.0:6697 (TLS)",
            "127.0.0.1:8097 (WebSocket)",
            "/connect 127.0.0.1 6667",
            "/connect -tls -notls_verify 127.0.0.1 6697",
            "/msg NickServ REGISTER",
            "roost passwd",
            "sqlite://data/roost.db",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert!(text.lines().count() <= 12, "{text}");
    }
}
