//! weechat-headless, driven through its fifo and read through its logger.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::program::{need, wait_until};

/// A running WeeChat. Dropping it kills it; its directory is the caller's, so that it can come back.
pub struct WeeChat {
    child: Child,
    directory: PathBuf,
}

impl WeeChat {
    /// Starts WeeChat in `directory`, which connects over TLS, logs in by SASL PLAIN and joins `channel`.
    pub fn start(directory: &Path, server: SocketAddr, nick: &str, password: &str, channel: &str) -> WeeChat {
        WeeChat::start_with(directory, server, nick, password, channel, &[])
    }

    /// As [`WeeChat::start`], with these commands before it connects.
    pub fn start_with(
        directory: &Path,
        server: SocketAddr,
        nick: &str,
        password: &str,
        channel: &str,
        more: &[String],
    ) -> WeeChat {
        need("weechat-headless");
        fs::create_dir_all(directory).unwrap();
        let setup = [
            // What its logger writes is what it shows.
            "/set logger.file.flush_delay 0".to_owned(),
            "/set logger.file.time_format \"%Y-%m-%d %H:%M:%S\"".to_owned(),
            "/set logger.level.irc 9".to_owned(),
            "/set logger.file.mask \"$plugin.$name.weechatlog\"".to_owned(),
            "/set irc.look.smart_filter off".to_owned(),
            "/set irc.look.display_join_message \"329,332,333,353,366\"".to_owned(),
            "/set fifo.file.enabled on".to_owned(),
            format!("/set fifo.file.path \"{}/fifo\"", directory.display()),
            format!("/server add roost {}/{}", server.ip(), server.port()),
            // WeeChat 4 calls it tls, WeeChat 3 ssl; the name that it does not know costs an error line.
            "/set irc.server.roost.tls on".to_owned(),
            "/set irc.server.roost.ssl on".to_owned(),
            "/set irc.server.roost.tls_verify off".to_owned(),
            "/set irc.server.roost.ssl_verify off".to_owned(),
            format!("/set irc.server.roost.nicks \"{nick}\""),
            format!("/set irc.server.roost.username \"{nick}\""),
            "/set irc.server.roost.sasl_mechanism plain".to_owned(),
            format!("/set irc.server.roost.sasl_username \"{nick}\""),
            format!("/set irc.server.roost.sasl_password \"{password}\""),
            format!("/set irc.server.roost.autojoin \"{channel}\""),
        ];
        let setup = setup.iter().map(String::as_str).chain(more.iter().map(String::as_str)).chain(["/connect roost"]);
        let output =
            |name: &str| Stdio::from(File::options().create(true).append(true).open(directory.join(name)).unwrap());
        let mut command = Command::new("weechat-headless");
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").arg("--dir").arg(directory);
        for line in setup {
            command.args(["-r", line]);
        }
        command.stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr"));
        WeeChat { child: command.spawn().unwrap(), directory: directory.to_owned() }
    }

    /// Runs a command or says a line in a buffer such as `irc.roost.#room`.
    pub fn run(&self, buffer: &str, line: &str) {
        let path = self.directory.join("fifo");
        wait_until("WeeChat's fifo", || path.exists().then_some(()), || self.logs());
        let mut fifo = OpenOptions::new().write(true).open(path).unwrap();
        fifo.write_all(format!("{buffer} *{line}\n").as_bytes()).unwrap();
    }

    /// The lines that its logger wrote for a buffer: `time TAB prefix TAB text`.
    pub fn log(&self, buffer: &str) -> Vec<String> {
        let path = self.directory.join("logs").join(format!("{buffer}.weechatlog"));
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Waits until the log of a buffer has a line that contains all of `parts`, and returns it.
    #[track_caller]
    pub fn shows(&self, buffer: &str, parts: &[&str]) -> String {
        wait_until(
            &format!("WeeChat showing {parts:?} in {buffer}"),
            || self.log(buffer).into_iter().find(|line| parts.iter().all(|part| line.contains(part))),
            || self.logs(),
        )
    }

    /// Quits, and waits until it has ended.
    pub fn quit(mut self) {
        self.run("core.weechat", "/quit");
        let logs = self.logs();
        wait_until("WeeChat ending", || self.child.try_wait().unwrap(), || logs.clone());
    }

    /// Everything that it wrote, for the message of a failed test.
    fn logs(&self) -> String {
        let mut text = String::new();
        let Ok(files) = fs::read_dir(self.directory.join("logs")) else { return "no logs".to_owned() };
        for file in files.flatten() {
            text += &format!("--- {}\n{}", file.path().display(), fs::read_to_string(file.path()).unwrap_or_default());
        }
        text
    }
}

impl Drop for WeeChat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl WeeChat {
    /// How many lines the log of a buffer has while no WeeChat runs.
    pub fn start_log_length(directory: &Path, buffer: &str) -> usize {
        let path = directory.join("logs").join(format!("{buffer}.weechatlog"));
        fs::read_to_string(path).map_or(0, |text| text.lines().count())
    }
}
