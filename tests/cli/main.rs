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
fn check_names_file_line_key_and_what_would_be_right() {
    let home = tempfile::tempdir().unwrap();
    for (content, expected) in [
        ("# one\n[server]\nnmae = \"x\"\n", "3: server.nmae: no such key; did you mean server.name?"),
        ("[serverr]\nname = \"x.org\"\n", "1: serverr.name: no such key; did you mean server.name?"),
        ("[store]\n\nsync = \"often\"\n", "3: store.sync: \"often\" is not possible; choose \"full\" or \"normal\""),
        ("[server]\nname = 7\n", "2: server.name: 7 is not a string; put it in quotes"),
        ("[server]\nworkers = 1000\n", "2: server.workers: 1000 is out of range; give a whole number from 0 to 256"),
        (
            "[listen]\nplain = [\"127.0.0.1:6667\", \"nowhere\"]\n",
            "2: listen.plain: \"nowhere\" is not an address and port; write \"127.0.0.1:6667\", \"[::1]:6667\" or, \
             for every interface, \"0.0.0.0:6667\"; for a unix socket \"unix:/run/roost.sock\", with a path of at most \
             107 bytes",
        ),
        (
            "[[oper]]\nname = \"a\"\n",
            "2: oper.0.name: this operator has no password; each has a password, a fingerprint or both",
        ),
        ("[tls]\nkey = \"k.pem\"\n", "2: tls.key: has no certificate to it; give tls.certificate as well"),
        (
            "[server]\nmotd = \"none.txt\"\n",
            "2: server.motd: \"none.txt\" cannot be read: No such file or directory (os error 2); give the path of a \
             text file, or \"\"",
        ),
        ("[history]\nenabled = \"yes\"\n", "2: history.enabled: \"yes\" is not true or false (without quotes)"),
        ("[server\n", "1: not TOML: unclosed table, expected `]`"),
    ] {
        std::fs::write(home.path().join("my.toml"), content).unwrap();
        let line = fault(roost(home.path(), &["--config", "my.toml", "check"], b""));
        assert_eq!(line, format!("my.toml:{expected}"), "{content:?}");
    }
    let line = fault(roost(home.path(), &["--config", "none.toml", "check"], b""));
    assert!(line.starts_with("none.toml: cannot be read: ") && line.contains("--config"), "{line}");
    let mut variable = Command::new(env!("CARGO_BIN_EXE_roost"));
    variable.arg("check").current_dir(home.path()).env_clear().env("ROOST__STORE__SYNC", "sometimes");
    let line = fault(variable.output().unwrap());
    assert!(line.starts_with("ROOST__STORE__SYNC: store.sync: \"sometimes\" "), "{line}");
}

#[test]
fn backup_and_restore_take_a_file() {
    let home = tempfile::tempdir().unwrap();
    for command in ["backup", "restore"] {
        assert!(fault(roost(home.path(), &[command], b"")).ends_with("`roost --help` says what there is"));
    }
    let line = fault(roost(home.path(), &["backup", "roost.backup"], b""));
    assert_eq!(line, "there is no database data/roost.db: is `data` or store.url right?");
    let line = fault(roost(home.path(), &["restore", "roost.backup"], b""));
    assert!(line.contains("roost.backup"), "{line}");
    std::fs::write(home.path().join("my.toml"), "[store]\nurl = \"postgres://localhost/roost\"\n").unwrap();
    for command in ["backup", "restore"] {
        let line = fault(roost(home.path(), &["--config", "my.toml", command, "x"], b""));
        assert!(line.contains("pg_dump") || line.contains("store.url"), "{line}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "something was made");
}

#[test]
fn import_names_what_it_cannot_read_and_makes_nothing() {
    let home = tempfile::tempdir().unwrap();
    assert!(fault(roost(home.path(), &["import", "--from", "dbase", "x"], b"")).contains("dbase"));
    std::fs::write(home.path().join("x"), "hello\n").unwrap();
    for (from, part) in [("ergo", "ircd.db"), ("anope", "db_flatfile"), ("atheme", "services.db")] {
        let line = fault(roost(home.path(), &["import", "--from", from, "x"], b""));
        assert!(line.starts_with("x: ") && line.contains(part), "{line}");
        let line = fault(roost(home.path(), &["import", "--from", from, "none"], b""));
        assert!(line.starts_with("none: "), "{line}");
    }
    std::fs::write(home.path().join("x"), "DBV 12\nMU A alice x * 1 1 +\n").unwrap();
    let text = printed(roost(home.path(), &["import", "--from", "atheme", "x", "--dry-run"], b""));
    assert!(text.contains("1 would come") && text.ends_with("nothing was written\n"), "{text}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "something was made");
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
    assert!(printed(roost(home.path(), &["--help"], b"")).contains("backup"));
}
