//! What Roost says at its start, and the message of the day that is built in.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Config, Listener};
use crate::net::Address;

/// The lines that `roost run` prints once it listens: where, where its data lies, how to connect,
/// how to register and how to become an operator.
pub fn greeting(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    };
    let listeners = config.listeners();
    line(format!("{} is {} on {}.", config.server.network, config.server.name, listening(&listeners)));
    line(format!("Data: {}   Store: {}", config.data.display(), config.store_name()));

    let direct = |listener: &&Listener| {
        let is_ip = matches!(listener.address, Address::Ip(_));
        is_ip && !listener.websocket && listener.proxies.is_empty() && listener.host.is_none()
    };
    let plain = listeners.iter().filter(direct).find(|listener| !listener.tls);
    let tls = listeners.iter().filter(direct).find(|listener| listener.tls);
    let own_certificate = config.tls_files().self_made;
    if let Some(listener) = plain.or(tls) {
        line(format!("irssi:    {}", irssi(config, listener)));
    }
    if let (Some(listener), Some(_)) = (tls, plain) {
        line(format!("  by TLS: {}", irssi(config, listener)));
    }
    if let Some(listener) = tls.or(plain) {
        line(format!("WeeChat:  {}", weechat(config, listener)));
    }
    if tls.is_some() && own_certificate {
        let certificate = config.tls_files().certificate;
        line(format!(
            "          (WeeChat 3: -ssl -nossl_verify. The certificate is Roost's own: {})",
            certificate.display()
        ));
    }
    if config.accounts.registration {
        line("Register: /msg NickServ REGISTER <password>".to_owned());
    }
    line(match config.oper.first() {
        Some(oper) => format!("Operator: /oper {} <password>", oper.name),
        None => {
            "Operator: roost passwd, put the hash under [[oper]] in the configuration, SIGHUP, /oper <name> <password>"
                .to_owned()
        }
    });
    text
}

/// The message of the day where there is no file.
pub(super) fn motd(config: &Config) -> Vec<String> {
    let mut lines = vec![format!("Welcome to {}.", config.server.network)];
    if config.accounts.registration {
        lines.push("Make your nick your own:  /msg NickServ REGISTER <password>".to_owned());
    }
    lines.push("Log in when you are back: /msg NickServ IDENTIFY <password>".to_owned());
    if config.history.enabled {
        lines.push("What is said while you are away is kept for you.".to_owned());
    }
    lines
}

fn listening(listeners: &[Listener]) -> String {
    let one = |listener: &Listener| {
        let kind = match (listener.tls, listener.websocket) {
            (false, false) => "plain",
            (true, false) => "TLS",
            (false, true) => "WebSocket",
            (true, true) => "WebSocket over TLS",
        };
        let proxied = if listener.proxies.is_empty() { "" } else { " behind a proxy" };
        format!("{} ({kind}{proxied})", listener.address)
    };
    listeners.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn irssi(config: &Config, listener: &Listener) -> String {
    let (host, port) = reachable(config, listener);
    let tls = match (listener.tls, config.tls_files().self_made) {
        (false, _) => "",
        (true, false) => "-tls ",
        (true, true) => "-tls -notls_verify ",
    };
    format!("/connect {tls}{host} {port}")
}

fn weechat(config: &Config, listener: &Listener) -> String {
    let (host, port) = reachable(config, listener);
    let tls = match (listener.tls, config.tls_files().self_made) {
        (false, _) => "-notls",
        (true, false) => "-tls",
        (true, true) => "-tls -notls_verify",
    };
    format!("/server add roost {host}/{port} {tls}   then   /connect roost")
}

/// Where one can connect to from this machine; by name, where a certificate is for that name.
fn reachable(config: &Config, listener: &Listener) -> (String, u16) {
    let Address::Ip(address) = &listener.address else { return (listener.address.to_string(), 0) };
    let host = match address.ip() {
        _ if listener.tls && !config.tls_files().self_made => config.server.name.clone(),
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        ip => ip.to_string(),
    };
    (host, address.port())
}
