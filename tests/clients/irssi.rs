//! irssi in a tmux of its own.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::program::{need, wait_until};

/// A running irssi. Dropping it ends it and its tmux.
pub struct Irssi {
    socket: String,
    _home: TempDir,
}

impl Irssi {
    /// Starts irssi, which connects over TLS, logs in by SASL PLAIN and joins `channel`.
    pub fn start(server: SocketAddr, nick: &str, password: &str, channel: &str) -> Irssi {
        need("irssi");
        need("tmux");
        let home = tempfile::Builder::new().prefix("roost-irssi-").tempdir().unwrap();
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
    sasl_username = "{nick}";
    sasl_password = "{password}";
  }};
}};
settings = {{
  core = {{ real_name = "{nick}"; user_name = "{nick}"; nick = "{nick}"; }};
  "fe-text" = {{ term_force_colors = "no"; }};
}};
"#,
            address = server.ip(),
            port = server.port(),
        );
        let config_path = home.path().join("config");
        fs::write(&config_path, config).unwrap();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let socket = format!("roost-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let irssi = Irssi { socket, _home: home };
        let home = irssi._home.path().display().to_string();
        let command = format!("irssi --home='{home}' --config='{}'", config_path.display());
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
