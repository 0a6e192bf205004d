//! Faults at start: one clear line that names the thing, exit status 1, nothing half-started.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::server::{PATIENCE, Server, bare_command, free_ports, own_address, wait_for_exit};

/// A command that starts a server in `home` on ports of its own.
fn roost(home: &Path) -> Command {
    let ports: [_; 3] = free_ports(own_address());
    let mut command = bare_command(home);
    for (listener, port) in ["PLAIN", "TLS", "WEBSOCKET"].iter().zip(ports) {
        command.env(format!("ROOST__LISTEN__{listener}"), port.to_string());
    }
    command
}

/// Runs it to its end, which must be failure with one line on stderr, and returns that line.
#[track_caller]
fn fault(home: &Path, command: &mut Command) -> String {
    let mut child = command.spawn().unwrap();
    let status = wait_for_exit(&mut child);
    let stderr = fs::read_to_string(home.join("stderr")).unwrap_or_default();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "one line, not {stderr:?}");
    stderr
}

#[test]
fn a_port_in_use_is_named() {
    let home = tempfile::tempdir().unwrap();
    for listener in ["PLAIN", "TLS", "WEBSOCKET"] {
        let taken = TcpListener::bind((own_address(), 0)).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let _ = fs::remove_file(home.path().join("stderr"));
        let line = fault(home.path(), roost(home.path()).env(format!("ROOST__LISTEN__{listener}"), &address));
        assert!(line.contains(&address), "{line}");
        assert!(line.contains(&listener.to_lowercase()), "{line}");
    }
}

#[test]
fn an_unreadable_certificate_is_named() {
    let home = tempfile::tempdir().unwrap();
    let line = fault(
        home.path(),
        roost(home.path())
            .env("ROOST__TLS__CERTIFICATE", "/nonexistent/certificate.pem")
            .env("ROOST__TLS__KEY", "/nonexistent/key.pem"),
    );
    assert!(line.contains("/nonexistent/certificate.pem") || line.contains("/nonexistent/key.pem"), "{line}");
    assert!(line.contains("tls"), "{line}");
    // A file that is no certificate, too.
    let _ = fs::remove_file(home.path().join("stderr"));
    let path = home.path().join("nonsense.pem");
    fs::write(&path, "nonsense").unwrap();
    let line =
        fault(home.path(), roost(home.path()).env("ROOST__TLS__CERTIFICATE", &path).env("ROOST__TLS__KEY", &path));
    assert!(line.contains("nonsense.pem"), "{line}");
}

#[test]
fn an_unknown_key_and_a_wrong_value_are_named_with_file_and_key() {
    for (content, named) in [
        ("[server]\nnmae = \"x\"\n", "nmae"),
        ("[serverr]\nname = \"x\"\n", "serverr"),
        ("[server]\nname = 7\n", "name"),
        ("[store]\nsync = \"sometimes\"\n", "sometimes"),
        ("[listen]\nplain = [\"nowhere\"]\n", "nowhere"),
        ("[server\n", "1"),
    ] {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("conf")).unwrap();
        fs::write(home.path().join("conf/roost.toml"), content).unwrap();
        let mut command = roost(home.path());
        if content.contains("listen") {
            command.env_remove("ROOST__LISTEN__PLAIN");
        }
        let line = fault(home.path(), command.env_remove("ROOST__STORE__SYNC"));
        assert!(line.contains("roost.toml") && line.contains(named), "{content:?}: {line}");
    }
}

#[test]
fn an_unknown_variable_of_the_environment_is_named() {
    let home = tempfile::tempdir().unwrap();
    let line = fault(home.path(), roost(home.path()).env("ROOST__SERVER__NMAE", "x"));
    assert!(line.to_lowercase().contains("nmae"), "{line}");
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    let line = fault(home.path(), roost(home.path()).args(["--config", "/nonexistent/roost.toml"]));
    assert!(line.contains("/nonexistent/roost.toml"), "{line}");
}

#[test]
fn a_second_roost_on_the_same_data_directory_refuses() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let line = fault(home.path(), roost(home.path()).env("ROOST__DATA", server.data()));
    assert!(line.contains(&server.data().display().to_string()), "{line}");
    // The first one is none the worse for it.
    server.user("alice").silent();
}

#[test]
fn what_roost_makes_is_for_its_owner_only() {
    let server = Server::start();
    server.user("alice").silent();
    let modes = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(modes(&server.data()), 0);
    for name in ["roost.db", "roost.db-wal", "roost.db-shm", "roost.db.lock", "tls/key.pem"] {
        assert_eq!(modes(&server.data().join(name)), 0, "{name}");
    }
}

#[test]
fn a_data_directory_may_have_any_name() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("100% sure? ü");
    let server = Server::with(&[("ROOST__DATA", data.to_str().unwrap())]);
    server.user("alice").silent();
    assert!(data.join("roost.db").exists());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing beside it");
}

#[test]
fn a_killed_roost_leaves_no_lock_behind() {
    let mut server = Server::start();
    server.crash_and_restart();
    server.user("alice").silent();
}

#[test]
fn check_reads_the_configuration_and_starts_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut child = roost(home.path()).arg("check").spawn().unwrap();
    let status = wait_for_exit(&mut child);
    assert!(status.success(), "{}", fs::read_to_string(home.path().join("stderr")).unwrap());
    let _ = fs::remove_file(home.path().join("stderr"));
    let line = fault(home.path(), roost(home.path()).arg("check").env("ROOST__STORE__SYNC", "sometimes"));
    assert!(line.contains("sometimes"), "{line}");
}

#[test]
fn what_it_prints_says_where_it_listens_and_where_data_lies() {
    let server = Server::start();
    let deadline = Instant::now() + PATIENCE;
    // It listens a moment before it says so; its end of the file cannot be awaited.
    while !server.output().to_lowercase().contains("operator") {
        assert!(Instant::now() < deadline, "{}", server.output());
        std::thread::sleep(Duration::from_millis(3));
    }
    let output = server.output();
    for part in [server.plain.to_string(), server.tls.to_string(), server.websocket.to_string(), "data".to_owned()] {
        assert!(output.contains(&part), "{part} is not in {output}");
    }
    for word in ["irssi", "weechat", "REGISTER", "oper"] {
        assert!(output.to_lowercase().contains(&word.to_lowercase()), "{word} is not in {output}");
    }
}

#[test]
fn a_server_whose_output_goes_to_a_full_disk_runs_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let [plain] = free_ports(own_address());
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = bare_command(home.path());
    command.env("ROOST__LISTEN__PLAIN", plain.to_string()).env("ROOST__LISTEN__TLS", "[]");
    command.env("ROOST__LISTEN__WEBSOCKET", "[]").stdout(full()).stderr(full());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(plain).is_err() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let mut client = Client::plain(plain);
    client.register("alice");
    // That is in the log.
    client.ask("NS REGISTER sesame");
    client.ask("NS REGISTER sesame");
    client.sync();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    assert_eq!(wait_for_exit(&mut child).code(), Some(0));
}
