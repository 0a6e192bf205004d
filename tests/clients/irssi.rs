//! irssi in a tmux of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::program::{need, wait_until};

/// A running irssi. Dropping it ends it and its tmux.
pub struct Irssi {
    socket: String,
    home: PathBuf,
    /// Its home, where it is its own.
    _own: Option<TempDir>,
}

impl Irssi {
    /// Starts irssi, which connects over TLS, logs in by SASL PLAIN and joins `channel`, by itself and where it is told to.
    pub fn start(server: SocketAddr, nick: &str, password: &str, channel: &str) -> Irssi {
        let home = tempfile::Builder::new().prefix("roost-irssi-").tempdir().unwrap();
        let mut irssi = Irssi::start_at(home.path(), server, nick, nick, password, channel);
        irssi._own = Some(home);
        irssi
    }

    /// As [`Irssi::start`], with a home that it can come back to, and the name that it logs in by: its account, or
    /// `account@device`. When the connection is lost it comes back by itself.
    pub fn start_at(home: &Path, server: SocketAddr, nick: &str, login: &str, password: &str, channel: &str) -> Irssi {
        need("irssi");
        need("tmux");
        let config = format!(
            r#"
servers = (
  {{
    address = "{address}";
    chatnet = "roost";
    port = "{port}";
    use_tls = "yes";
    tls_verify = "no";
    autoconnect = "yes";
  }}
);
chatnets = {{
  roost = {{
    type = "IRC";
    nick = "{nick}";
    sasl_mechanism = "PLAIN";
    sasl_username = "{login}";
    sasl_password = "{password}";
  }};
}};
channels = ( {{ name = "{channel}"; chatnet = "roost"; autojoin = "yes"; }} );
settings = {{
  core = {{ real_name = "{nick}"; user_name = "{nick}"; nick = "{nick}"; server_reconnect_time = "10s"; }};
  "fe-text" = {{ term_force_colors = "no"; }};
  "fe-common/core" = {{ autolog = "yes"; autolog_level = "all"; autolog_path = "{home}/logs/$0.log"; }};
}};
"#,
            address = server.ip(),
            port = server.port(),
            home = home.display(),
        );
        let config_path = home.join("config");
        fs::write(&config_path, config).unwrap();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let socket = format!("roost-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let irssi = Irssi { socket, home: home.to_owned(), _own: None };
        let command = format!("exec irssi --home='{}' --config='{}'", home.display(), config_path.display());
        let output = irssi.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "140", "-y", "50", &command]);
        assert!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
        irssi.shows(&["Welcome to the Roost"]);
        irssi.type_line(&format!("/join {channel}"));
        irssi.shows(&[nick, "has joined", channel]);
        irssi
    }

    /// Types a line into the window that is shown.
    pub fn type_line(&self, line: &str) {
        assert!(self.tmux(&["send-keys", "-l", line]).status.success());
        assert!(self.tmux(&["send-keys", "Enter"]).status.success());
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Waits until the screen has a line that contains all of `parts`, and returns it.
    #[track_caller]
    pub fn shows(&self, parts: &[&str]) -> String {
        wait_until(
            &format!("irssi showing {parts:?}"),
            || self.screen().lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned),
            || self.screen(),
        )
    }

    /// What it has shown in the window of a channel or a person, over all its lives.
    pub fn log(&self, window: &str) -> String {
        fs::read_to_string(self.home.join("logs").join(format!("{window}.log"))).unwrap_or_default()
    }

    /// Ends it without a word (SIGKILL).
    pub fn kill(self) {
        let pid = String::from_utf8(self.tmux(&["display-message", "-p", "#{pane_pid}"]).stdout).unwrap();
        assert!(Command::new("kill").args(["-s", "KILL", pid.trim()]).status().unwrap().success(), "{pid}");
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        // Nobody's own tmux, and nobody's locale: UTF-8 whatever the machine says.
        Command::new("tmux")
            .env_remove("TMUX")
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .args(["-u", "-L", &self.socket])
            .args(arguments)
            .output()
            .unwrap()
    }
}

impl Drop for Irssi {
    fn drop(&mut self) {
        // This tmux is ours alone: its socket has a name that nothing else has.
        let _ = self.tmux(&["kill-server"]);
    }
}
