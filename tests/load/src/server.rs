//! Starts the servers that are measured, each on free ports of 127.0.0.1, and ends them.

use std::fs::{File, read_to_string};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Debian's.
const INSPIRCD: &str = "/usr/sbin/inspircd";

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_secs(20);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Floor,
    Inspircd,
    /// Roost, keeping history or not.
    Roost {
        history: bool,
    },
}

/// The programs that are started.
pub struct Programs {
    /// This program, as the floor.
    pub own: PathBuf,
    pub roost: PathBuf,
}

/// A running server. Its process ends with this value, and its directory goes.
pub struct Server {
    child: Child,
    plain: SocketAddr,
    tls: Option<SocketAddr>,
    directory: TempDir,
}

impl Server {
    /// Starts it, with all limits on floods and connections off, and waits until it accepts connections.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not listen in 20 seconds; with what it said.
    pub fn start(kind: Kind, programs: &Programs) -> Result<Self> {
        // Beside the programs: /tmp may be in memory, and what is stored is to reach a disk.
        let near = programs.own.parent().context("this program is in no directory")?;
        let directory = tempfile::Builder::new().prefix("roost-load-").tempdir_in(near)?;
        let plain = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut tls = None;
        // A measured server does not outlive this program, however it ends: `setpriv` (util-linux) has the kernel
        // kill it, and becomes it under the same process id.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).current_dir(directory.path());
        match kind {
            Kind::Floor => {
                command.arg(&programs.own).arg("floor").arg(plain.port().to_string());
            }
            Kind::Inspircd => {
                let file = directory.path().join("inspircd.conf");
                std::fs::write(&file, inspircd_configuration(plain.port(), directory.path()))?;
                command.arg(INSPIRCD).args(["--nofork", "--runasroot", "--nolog", "--config"]).arg(file);
            }
            Kind::Roost { history } => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
                for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ROOST_")) {
                    command.env_remove(name);
                }
                command.arg(&programs.roost).envs(roost_environment(plain, address, directory.path(), history));
                tls = Some(address);
            }
        }
        let log = File::create(directory.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("cannot run setpriv, which is in util-linux")?;
        let mut server = Self { child, plain, tls, directory };
        server.wait_until_it_accepts()?;
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens without encryption.
    pub fn plain(&self) -> SocketAddr {
        self.plain
    }

    /// Where it listens for TLS: only Roost does.
    pub fn tls(&self) -> Option<SocketAddr> {
        self.tls
    }

    /// The end of what it said, in one line.
    pub fn last_words(&self) -> String {
        let log = read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" / ")
    }

    fn wait_until_it_accepts(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !accepts(self.plain) {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once, {status}; it said: {}", self.last_words());
            }
            if begun.elapsed() > START {
                bail!("it does not listen after {} s; it said: {}", START.as_secs(), self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // What it does after it began to listen is not to be counted as load.
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// InspIRCd's version, if it is installed.
pub fn inspircd() -> Option<String> {
    let version = crate::process::says(INSPIRCD, &["--version"])?;
    Some(version.trim_start_matches("InspIRCd-").to_owned())
}

/// Whether somebody listens there.
pub fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// A port of 127.0.0.1 on which nobody listens.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Roost's configuration: no limits, all on loopback, history durable or none.
fn roost_environment(plain: SocketAddr, tls: SocketAddr, data: &Path, history: bool) -> [(&'static str, String); 10] {
    [
        ("ROOST__DATA", data.join("data").display().to_string()),
        ("ROOST__LISTEN__PLAIN", plain.to_string()),
        ("ROOST__LISTEN__TLS", tls.to_string()),
        ("ROOST__LISTEN__WEBSOCKET", "[]".to_owned()),
        ("ROOST__FLOOD__ENABLED", "false".to_owned()),
        ("ROOST__THROTTLE__ENABLED", "false".to_owned()),
        ("ROOST__STORE__SYNC", "full".to_owned()),
        ("ROOST__HISTORY__ENABLED", history.to_string()),
        ("ROOST__HISTORY__ACK", "stored".to_owned()),
        ("ROOST__HISTORY__WHEN_STORE_FAILS", "refuse".to_owned()),
    ]
}

/// InspIRCd's configuration: no limits, one port, no lookups of names, no log.
fn inspircd_configuration(port: u16, directory: &Path) -> String {
    let directory = directory.display();
    format!(
        r#"<server name="irc.load" description="Measured" network="Load">
<admin name="Load" nick="load" email="load@localhost">
<bind address="127.0.0.1" port="{port}" type="clients">
<connect allow="*" timeout="120" threshold="1000000" commandrate="1000000" fakelag="no" pingfreq="600"
         hardsendq="104857600" softsendq="104857600" recvq="1048576" localmax="100000" globalmax="100000"
         maxconnwarn="no" resolvehostnames="no" useident="no" maxchans="100" limit="100000">
<channels users="100" opers="100">
<dns server="127.0.0.1" timeout="1">
<pid file="{directory}/inspircd.pid">
<options prefixquit="" prefixpart="" syntaxhints="no" hostintopic="yes">
<performance netbuffersize="65536" somaxconn="4096" softlimit="100000" quietbursts="yes">
<security hideserver="" maxtargets="20">
<limits maxnick="30" maxchan="64" maxmodes="20" maxident="10" maxquit="255" maxtopic="307" maxkick="255">
"#
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::{inspircd_configuration, roost_environment};

    #[test]
    fn nothing_listens_outside_of_loopback() {
        let address = "127.0.0.1:4000".parse().unwrap();
        let tls = "127.0.0.1:4001".parse().unwrap();
        let listens = roost_environment(address, tls, Path::new("/x"), true);
        let listens: Vec<_> = listens.iter().filter(|(key, _)| key.starts_with("ROOST__LISTEN__")).collect();
        assert_eq!(listens.len(), 3);
        assert!(listens.iter().all(|(_, value)| value == "[]" || value.starts_with("127.0.0.1:")), "{listens:?}");

        let configuration = inspircd_configuration(4000, Path::new("/x"));
        let binds: Vec<_> = configuration.lines().filter(|line| line.starts_with("<bind")).collect();
        assert_eq!(binds, [r#"<bind address="127.0.0.1" port="4000" type="clients">"#]);
    }
}
