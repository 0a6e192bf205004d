//! The commands of the binary that start no server.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use roost::accounts;

fn roost(home: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roost"));
    command.args(arguments).current_dir(home).env_clear();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing may have closed it already.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// What it prints, where it succeeds.
#[track_caller]
fn printed(output: Output) -> String {
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && error.is_empty(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line that it fails with.
#[track_caller]
fn fault(output: Output) -> String {
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty());
    let line = error.strip_prefix("roost: ").and_then(|line| line.strip_suffix('\n')).unwrap().to_owned();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn passwd_prints_a_hash_that_the_password_fits() {
    let home = tempfile::tempdir().unwrap();
    for input in ["correct horse ü\n", "correct horse ü\r\n", "correct horse ü"] {
        let text = printed(roost(home.path(), &["passwd"], input.as_bytes()));
        let hash = text.strip_suffix('\n').unwrap();
        assert!(accounts::is_hash(hash), "{hash}");
        assert!(accounts::verify("correct horse ü", Some(hash), 4));
        assert!(!accounts::verify("correct horse", Some(hash), 4));
    }
}

#[test]
fn passwd_refuses_what_the_server_would_not_take() {
    let home = tempfile::tempdir().unwrap();
    assert!(fault(roost(home.path(), &["passwd"], b"\n")).starts_with("the password is empty"));
    assert!(fault(roost(home.path(), &["passwd"], &[b'x'; 601])).starts_with("the password has 601 bytes"));
    assert!(fault(roost(home.path(), &["passwd"], b"\xff\n")).starts_with("cannot read the password"));
}

#[test]
fn check_says_what_the_configuration_amounts_to() {
    let home = tempfile::tempdir().unwrap();
    let text = printed(roost(home.path(), &["check"], b""));
    for part in
        ["conf/roost.toml (built in): all is well", "roost.local", "127.0.0.1:6667 (listen.plain)", "opers:    none"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    std::fs::write(home.path().join("my.toml"), "[server]\nname = \"irc.example.org\"\n").unwrap();
    for arguments in [["--config", "my.toml", "check"], ["check", "--config", "my.toml"]] {
        let text = printed(roost(home.path(), &arguments, b""));
        assert!(text.contains("my.toml: all is well") && text.contains("irc.example.org"), "{text}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "check made something");
}

#[test]
fn check_finds_a_missing_certificate() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("my.toml"), "[tls]\ncertificate = \"a.pem\"\nkey = \"b.pem\"\n").unwrap();
    let line = fault(roost(home.path(), &["--config", "my.toml", "check"], b""));
    assert!(line.starts_with("my.toml:2: tls.certificate: \"a.pem\" cannot be read: "), "{line}");
}

#[test]
fn the_file_in_conf_is_read_where_it_is_there() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("conf")).unwrap();
    std::fs::write(home.path().join("conf/roost.toml"), "[server]\nname = \"here.example.org\"\n").unwrap();
    assert!(printed(roost(home.path(), &["check"], b"")).contains("here.example.org"));
}

#[test]
fn a_slip_on_the_command_line_is_one_line() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["chek"][..], &["--confg", "x"], &["--config"]] {
        let line = fault(roost(home.path(), arguments, b""));
        assert!(line.ends_with("`roost --help` says what there is"), "{line}");
    }
    assert!(printed(roost(home.path(), &["--help"], b"")).contains("passwd"));
}
