//! What the operator chose, as the state machine needs it. `config` makes one; a reload makes the next.

use std::net::IpAddr;
use std::sync::Arc;

use ircv3::sasl::Mechanism;

use crate::accounts::{self, token::Tokens};
use ircv3::{Casemapping, Cidr};

use crate::server::authtoken;
use crate::server::cloak::Cloak;
use crate::server::event::Peer;
use crate::server::mail::Mail;
use crate::server::push::WebPush;
use crate::server::retention::Keep;
use crate::server::right::Rights;
use crate::server::user::Letters;
use crate::witness::Witness;

/// Whom EXTJWT makes statements for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtService {
    /// Its name; empty: whoever asks without a name.
    pub name: Box<str>,
    /// What the statements are signed with.
    pub secret: Secret,
    /// For how many seconds a statement holds.
    pub seconds: u64,
}

/// What no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps it.
    pub fn new(secret: &str) -> Secret {
        Secret(secret.into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Strict transport security (<https://ircv3.net/specs/extensions/sts>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sts {
    /// Where TLS is.
    pub port: u16,
    /// For how long clients are to come by TLS only.
    pub seconds: u64,
    /// Whether clients may have it in a list of their own.
    pub preload: bool,
    /// The names that it is about; empty: every name by which the server is reached.
    pub hosts: Vec<Box<str>>,
}

impl Sts {
    /// Whether it is about this name.
    pub fn is_about(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name.trim_end_matches('.')))
    }
}

/// Settings of the state machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// When two names are the same. Only a start takes another one.
    pub casemapping: Casemapping,
    /// Whether names are refused that look like another's. Only a start takes another choice.
    pub confusables: bool,
    /// The server's name, in every numeric.
    pub server_name: Arc<str>,
    /// NETWORK.
    pub network: Arc<str>,
    /// What LINKS says the server is.
    pub description: Box<str>,
    /// The server that services are shown on in LINKS and MAP; `None` shows none.
    pub services_name: Option<Box<str>>,
    /// Whether those without `chghost` see QUIT and JOIN when a host changes.
    pub rejoin_on_host_change: bool,
    /// The message of the day, line by line; `None` answers 422.
    pub motd: Option<Vec<String>>,
    /// ADMIN and INFO lines.
    pub admin: Vec<String>,
    /// The password that every connection must give, as a bcrypt hash; `None` asks for none.
    pub password: Option<Box<str>>,
    /// Milliseconds that a connection has to register.
    pub registration_ms: u64,
    /// Milliseconds of silence before the server sends PING, and again until it gives up.
    pub ping_ms: u64,
    /// Channels that one user may be in.
    pub channels_per_user: usize,
    /// Entries of all lists of one channel.
    pub list_entries: usize,
    /// Whether history is kept at all.
    pub history: bool,
    /// How much of each conversation is kept.
    pub keep: Keep,
    /// Messages in one CHATHISTORY answer, at most.
    pub chathistory_limit: u32,
    /// Seconds after which a message cannot be edited any more; 0: none ever.
    pub edit_window: u32,
    /// Messages that are replayed to a client without chathistory, for each conversation.
    pub autoreplay_limit: u32,
    /// Milliseconds after which a client that is replayed what it missed is asked whether it has read what it was shown.
    pub confirm_ms: u64,
    /// Where the network's icon is (`draft/ICON`); may be empty.
    pub icon: Box<str>,
    /// Where the network's emoji are (`draft/EMOJI`); may be empty.
    pub emoji: Box<str>,
    /// Whom EXTJWT makes statements for.
    pub extjwt: Vec<JwtService>,
    /// Services that take tokens (draft/authtoken).
    pub authtoken: Vec<authtoken::Service>,
    /// Whether clients are told to come by TLS.
    pub sts: Option<Sts>,
    /// Messages of each conversation in one answer of `*playback`.
    pub playback_limit: u32,
    /// Whether live messages wait for the store (`history.ack = "stored"`).
    pub wait_for_store: bool,
    /// Whether messages pass while the store fails (`relay`) or are refused (`refuse`).
    pub relay_when_store_fails: bool,
    /// Whether accounts may be registered.
    pub registration: bool,
    /// Whether accounts may be registered before the connection is.
    pub register_before_connect: bool,
    /// How often SCRAM hashes a new password.
    pub scram_iterations: u32,
    /// SASL mechanisms that are offered, where the connection lets them be.
    pub mechanisms: Vec<Mechanism>,
    /// Bearer tokens that log in; `None` where none do.
    pub tokens: Option<Arc<Tokens>>,
    /// Whether a token for an account that is not there makes it.
    pub token_autocreate: bool,
    /// The program or directory that judges logins; `None` where none does.
    pub witness: Option<Arc<Witness>>,
    /// Whether a login that it lets in makes the account where it is not there.
    pub witness_autocreate: bool,
    /// Whether it is asked before the password that an account has here is compared.
    pub witness_first: bool,
    /// How codes are mailed; `None` where there is no mail.
    pub mail: Option<Arc<Mail>>,
    /// How web push is done; `None` where it is not.
    pub webpush: Option<WebPush>,
    /// Which of the server's keys for web push is given out. Only a start takes another one.
    pub vapid_key: u32,
    /// Who stays on the network without a connection.
    pub always_on: AlwaysOn,
    /// Nicks that one account may have beside its name.
    pub grouped_nicks: usize,
    /// Days without a connection after which they leave; 0 is never.
    pub always_on_expiry_days: u32,
    /// Whether clients that know bouncers may take this server for one.
    pub bouncer_networks: bool,
    /// Days after which an account lapses that nobody uses; 0 is never.
    pub account_expire_days: u32,
    /// Days after which a registered channel lapses that nobody is in; 0 is never.
    pub channel_expire_days: u32,
    /// Whether channels may be registered by their operators.
    pub channel_registration: bool,
    /// Limits and throttles by address and account.
    pub throttle: Option<Throttle>,
    /// Operators.
    pub opers: Vec<Arc<Oper>>,
    /// Bytes of a message of several lines, at most.
    pub multiline_bytes: usize,
    /// Lines of it, at most.
    pub multiline_lines: usize,
    /// Gateways that may speak for others by WEBIRC.
    pub gateways: Vec<Gateway>,
    /// Client-only tags that are taken off (`CLIENTTAGDENY`), without `+`.
    pub client_tag_deny: Vec<String>,
    /// How addresses are hidden; `None` shows them.
    pub cloak: Option<Cloak>,
    /// Whether people may ask for a host to be shown by.
    pub host_requests: bool,
    /// Hosts that everyone may take who is logged in; `$account` in one is the account's name.
    pub offered_hosts: Vec<Box<str>>,
    /// User modes of a new user, such as `i`.
    pub default_user_modes: String,
}

/// Who stays on the network without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Settings {
    /// Whether a gateway may come from this address.
    pub fn is_gateway(&self, ip: IpAddr) -> bool {
        self.gateways.iter().any(|gateway| gateway.from.iter().any(|network| network.contains(ip)))
    }
}

/// Limits by address and account.
#[derive(Clone, Debug, PartialEq)]
pub struct Throttle {
    /// Those of an address that no other entry is about.
    pub limits: Limits,
    /// Whether loopback is exempt.
    pub exempt_loopback: bool,
    /// Networks that are exempt.
    pub exempt: Vec<Cidr>,
    /// Networks with limits of their own; the first that fits holds.
    pub networks: Vec<NetworkLimits>,
}

impl Throttle {
    /// The limits that hold for `peer`; `None` where none does. Someone without an address (by Tor) is
    /// exempt from nothing: all who come that way are one.
    pub fn limits(&self, peer: &Peer) -> Option<Limits> {
        let fits = |network: &&NetworkLimits| match &peer.host {
            Some(host) => network.hosts.iter().any(|other| other.eq_ignore_ascii_case(host)),
            None => network.addresses.iter().any(|cidr| cidr.contains(peer.ip)),
        };
        let own = self.networks.iter().find(fits).map(|network| network.limits);
        let exempt = peer.host.is_none()
            && ((self.exempt_loopback && peer.ip.is_loopback())
                || self.exempt.iter().any(|cidr| cidr.contains(peer.ip)));
        if exempt { None } else { Some(own.unwrap_or(self.limits)) }
    }
}

/// Limits of some networks.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkLimits {
    /// Which.
    pub addresses: Vec<Cidr>,
    /// Which, by the `host` of their listener.
    pub hosts: Vec<Box<str>>,
    /// What holds for each address of them.
    pub limits: Limits,
}

/// A gateway that may speak for others by WEBIRC.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Where it may come from.
    pub from: Vec<Cidr>,
    /// bcrypt of the prehashed password, if it has one.
    pub password: Option<Box<str>>,
    /// SHA-256 of the certificate that it must show, in lower-case hex, if it has one.
    pub certfp: Option<Box<str>>,
}

/// Limits of one address: IPv4, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: u32,
    /// New connections in a minute.
    pub connections_per_minute: u32,
    /// Failed logins in a minute; for one account, too.
    pub login_failures_per_minute: u32,
    /// Accounts registered in an hour.
    pub registrations_per_hour: u32,
}

/// An operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Oper {
    /// The name given to OPER.
    pub name: Box<str>,
    /// bcrypt of the prehashed password; `None` where the certificate is enough.
    pub password: Option<Box<str>>,
    /// SHA-256 of the certificate that it must show, in lower-case hex.
    pub certfp: Option<Box<str>>,
    /// Whether the certificate makes it an operator when it connects, without OPER.
    pub auto: bool,
    /// The name of its class; empty: none, and all rights.
    pub class: Box<str>,
    /// What it may do.
    pub rights: Rights,
    /// The notices that it gets from the start.
    pub snomasks: Letters,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            casemapping: Casemapping::Ascii,
            confusables: false,
            server_name: "roost.local".into(),
            network: "Roost".into(),
            description: "An IRC server you can come back to".into(),
            services_name: None,
            rejoin_on_host_change: false,
            motd: None,
            admin: Vec::new(),
            password: None,
            registration_ms: 60_000,
            ping_ms: 90_000,
            channels_per_user: 100,
            list_entries: 100,
            history: true,
            keep: Keep::default(),
            chathistory_limit: 1000,
            edit_window: 3600,
            autoreplay_limit: 500,
            confirm_ms: 5000,
            icon: Box::default(),
            emoji: Box::default(),
            extjwt: Vec::new(),
            authtoken: Vec::new(),
            sts: None,
            playback_limit: 2000,
            wait_for_store: true,
            relay_when_store_fails: false,
            registration: true,
            register_before_connect: true,
            scram_iterations: accounts::DEFAULT_ITERATIONS,
            mechanisms: Mechanism::ALL.iter().map(|(mechanism, _)| *mechanism).collect(),
            tokens: None,
            token_autocreate: false,
            witness: None,
            witness_autocreate: false,
            witness_first: false,
            mail: None,
            webpush: Some(WebPush::default()),
            vapid_key: 1,
            always_on: AlwaysOn::OptIn,
            grouped_nicks: 10,
            always_on_expiry_days: 0,
            bouncer_networks: false,
            account_expire_days: 0,
            channel_expire_days: 0,
            channel_registration: true,
            throttle: Some(Throttle::default()),
            opers: Vec::new(),
            multiline_bytes: 8192,
            multiline_lines: 100,
            gateways: Vec::new(),
            client_tag_deny: Vec::new(),
            cloak: Some(Cloak::default()),
            host_requests: true,
            offered_hosts: Vec::new(),
            default_user_modes: "i".into(),
        }
    }
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle {
            limits: Limits {
                connections: 64,
                connections_per_minute: 64,
                login_failures_per_minute: 10,
                registrations_per_hour: 10,
            },
            exempt_loopback: true,
            exempt: Vec::new(),
            networks: Vec::new(),
        }
    }
}
