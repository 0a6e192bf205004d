//! Starts the servers that are measured, each on free ports of 127.0.0.1, and ends them.

use std::fs::{File, read_to_string};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::clients::Wire;

/// Debian's.
const INSPIRCD: &str = "/usr/sbin/inspircd";

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_secs(20);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Floor,
    /// With the modules that the clients need beyond plain lines.
    Inspircd {
        wire: Wire,
        capabilities: bool,
    },
    /// Roost, keeping history or not.
    Roost {
        history: bool,
        /// Whether WHO finds users that one shares no channel with, as it does in InspIRCd.
        visible: bool,
    },
}

/// The programs that are started.
pub struct Programs {
    /// This program, as the floor.
    pub own: PathBuf,
    pub roost: PathBuf,
}

impl Programs {
    /// Those beside this program.
    ///
    /// # Errors
    /// Roost is not there, or this is not a release build.
    pub fn beside_this() -> Result<Self> {
        ensure!(!cfg!(debug_assertions), "a debug build measures nothing: run it with --release");
        let own = std::env::current_exe()?;
        let programs = Self { roost: own.with_file_name("roost"), own };
        ensure!(programs.roost.exists(), "there is no {}; build it with --release", programs.roost.display());
        Ok(programs)
    }
}

/// Builds the Roost that is measured, if cargo runs this program.
///
/// # Errors
/// It does not build.
pub fn build() -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let arguments = ["build", "--release", "--package", "roost", "--bin", "roost"];
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "Roost does not build");
    Ok(())
}

/// A running server. Its process ends with this value, and its directory goes.
pub struct Server {
    child: Child,
    plain: SocketAddr,
    tls: Option<SocketAddr>,
    websocket: Option<SocketAddr>,
    directory: TempDir,
}

impl Server {
    /// Starts it, with all limits on floods and connections off, and waits until it accepts connections.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not listen in 20 seconds; with what it said.
    pub fn start(kind: Kind, programs: &Programs) -> Result<Self> {
        Server::start_on(kind, programs, |_| Ok(()))
    }

    /// As [`Server::start`], in a directory in which `prepare` has put something.
    ///
    /// # Errors
    /// Those of `prepare`, too.
    pub fn start_on(kind: Kind, programs: &Programs, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        // Beside the programs: /tmp may be in memory, and what is stored is to reach a disk.
        let near = programs.own.parent().context("this program is in no directory")?;
        let directory = tempfile::Builder::new().prefix("roost-load-").tempdir_in(near)?;
        prepare(directory.path())?;
        let [plain, tls, websocket] = [free_port()?, free_port()?, free_port()?].map(loopback);
        // A measured server does not outlive this program, however it ends: `setpriv` (util-linux) has the kernel
        // kill it, and becomes it under the same process id.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).current_dir(directory.path());
        match kind {
            Kind::Floor => {
                command.arg(&programs.own).arg("floor").arg(plain.port().to_string());
            }
            Kind::Inspircd { wire, capabilities } => {
                let file = directory.path().join("inspircd.conf");
                let port = match wire {
                    Wire::Plain => None,
                    Wire::Tls => Some(tls.port()),
                    Wire::Websocket => Some(websocket.port()),
                };
                let mut configuration = inspircd_configuration(plain.port(), directory.path());
                configuration += &inspircd_modules(wire, port, capabilities, directory.path());
                std::fs::write(&file, configuration)?;
                if wire == Wire::Tls {
                    write_certificate(directory.path())?;
                }
                command.arg(INSPIRCD).args(["--nofork", "--runasroot", "--nolog", "--config"]).arg(file);
            }
            Kind::Roost { history, visible } => {
                for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ROOST_")) {
                    command.env_remove(name);
                }
                let environment = roost_environment(plain, tls, websocket, directory.path(), history);
                command.arg(&programs.roost).envs(environment);
                if visible {
                    command.env("ROOST__USERS__DEFAULT_MODES", "");
                }
            }
        }
        let log = File::create(directory.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("cannot run setpriv, which is in util-linux")?;
        let listens = |on| match kind {
            Kind::Floor => false,
            Kind::Inspircd { wire, .. } => wire == on,
            Kind::Roost { .. } => true,
        };
        let tls = listens(Wire::Tls).then_some(tls);
        let websocket = listens(Wire::Websocket).then_some(websocket);
        let mut server = Self { child, plain, tls, websocket, directory };
        server.wait_until_it_accepts()?;
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// This server does not speak that.
    pub fn address(&self, wire: Wire) -> Result<SocketAddr> {
        match wire {
            Wire::Plain => Ok(self.plain),
            Wire::Tls => self.tls.context("this server has no TLS"),
            Wire::Websocket => self.websocket.context("this server has no WebSocket"),
        }
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

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Roost's configuration: no limits, all on loopback, history durable or none.
fn roost_environment(
    plain: SocketAddr,
    tls: SocketAddr,
    websocket: SocketAddr,
    data: &Path,
    history: bool,
) -> [(&'static str, String); 13] {
    [
        ("ROOST__DATA", data.join("data").display().to_string()),
        ("ROOST__LISTEN__PLAIN", plain.to_string()),
        ("ROOST__LISTEN__TLS", tls.to_string()),
        ("ROOST__LISTEN__WEBSOCKET", websocket.to_string()),
        ("ROOST__FLOOD__ENABLED", "false".to_owned()),
        ("ROOST__THROTTLE__ENABLED", "false".to_owned()),
        ("ROOST__STORE__SYNC", "full".to_owned()),
        ("ROOST__HISTORY__ENABLED", history.to_string()),
        ("ROOST__HISTORY__ACK", "stored".to_owned()),
        ("ROOST__HISTORY__WHEN_STORE_FAILS", "refuse".to_owned()),
        // A push service of this program, to which nothing waits to be pushed.
        ("ROOST__WEBPUSH__ALLOW_PRIVATE_ENDPOINTS", "127.0.0.0/8".to_owned()),
        ("ROOST__WEBPUSH__DELAY", "0".to_owned()),
        ("ROOST__WEBPUSH__PRESENT_SECONDS", "0".to_owned()),
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

/// What InspIRCd loads for clients that want more than plain lines, and where it listens for them.
fn inspircd_modules(wire: Wire, port: Option<u16>, capabilities: bool, directory: &Path) -> String {
    let mut modules: Vec<&str> = Vec::new();
    let mut more = String::new();
    if capabilities {
        modules.extend(["cap", "ircv3", "ircv3_accounttag", "ircv3_batch", "ircv3_ctctags", "ircv3_echomessage"]);
        modules.extend(["ircv3_labeledresponse", "ircv3_msgid", "ircv3_servertime"]);
    }
    let hook = match wire {
        Wire::Plain => "",
        Wire::Tls => {
            modules.push("ssl_gnutls");
            let directory = directory.display();
            more.push_str(&format!(
                "<sslprofile name=\"load\" provider=\"gnutls\" certfile=\"{directory}/certificate.pem\" \
                 keyfile=\"{directory}/key.pem\" requestclientcert=\"no\">\n"
            ));
            "sslprofile=\"load\""
        }
        Wire::Websocket => {
            modules.extend(["sha1", "websocket"]);
            more.push_str("<wsorigin allow=\"*\">\n<websocket sendastext=\"yes\" allowmissingorigin=\"yes\">\n");
            "hook=\"websocket\""
        }
    };
    if let Some(port) = port {
        more.push_str(&format!("<bind address=\"127.0.0.1\" port=\"{port}\" type=\"clients\" {hook}>\n"));
    }
    let modules: String = modules.iter().map(|module| format!("<module name=\"{module}\">\n")).collect();
    modules + &more
}

/// A certificate like the one that Roost makes for itself, as `certificate.pem` and `key.pem`.
fn write_certificate(directory: &Path) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed(["irc.load".to_owned()])?;
    std::fs::write(directory.join("certificate.pem"), certified.cert.pem())?;
    std::fs::write(directory.join("key.pem"), certified.signing_key.serialize_pem())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::{inspircd_configuration, inspircd_modules, loopback, roost_environment};
    use crate::clients::Wire;

    #[test]
    fn nothing_listens_outside_of_loopback() {
        let [plain, tls, websocket] = [4000, 4001, 4002].map(loopback);
        let listens = roost_environment(plain, tls, websocket, Path::new("/x"), true);
        let listens: Vec<_> = listens.iter().filter(|(key, _)| key.starts_with("ROOST__LISTEN__")).collect();
        assert_eq!(listens.len(), 3);
        assert!(listens.iter().all(|(_, value)| value.starts_with("127.0.0.1:")), "{listens:?}");

        for wire in [Wire::Plain, Wire::Tls, Wire::Websocket] {
            let more = inspircd_modules(wire, (wire != Wire::Plain).then_some(4001), true, Path::new("/x"));
            let configuration = inspircd_configuration(4000, Path::new("/x")) + &more;
            let binds: Vec<_> = configuration.lines().filter(|line| line.starts_with("<bind")).collect();
            assert_eq!(binds.len(), if wire == Wire::Plain { 1 } else { 2 });
            assert!(binds.iter().all(|bind| bind.starts_with(r#"<bind address="127.0.0.1" port="400"#)), "{binds:?}");
        }
    }
}
