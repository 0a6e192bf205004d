//! The command line: `roost [--config FILE] [run|check|passwd|backup|export|import|restore]`. Every fault is one line.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};
use roost::config::{Config, ConfigError};
use roost::runtime::Ended;
use roost::{accounts, import, limits, runtime, store};
use tracing_subscriber::EnvFilter;

/// An IRC server that you can come back to
#[derive(Debug, Parser)]
#[command(version)]
struct CommandLine {
    /// The configuration [default: conf/roost.toml, or what is built in where there is no such file]
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Run the server (what happens without a command)
    Run,
    /// Check the configuration and say what it amounts to
    Check,
    /// Ask for a password and print its hash, for the configuration
    Passwd,
    /// Copy the database into a new file, while the server runs or not
    Backup {
        /// The file to make, which must not be there yet
        file: PathBuf,
    },
    /// Write all that is kept of an account to standard output, as JSON, while the server runs or not
    Export {
        /// The account's name
        #[arg(long)]
        account: String,
    },
    /// Put a backup in the place of the database, while no server runs on it
    Restore {
        /// The backup
        file: PathBuf,
    },
    /// Take accounts and channels of another server into the database, while no server runs on it
    Import {
        /// What wrote the file
        #[arg(long, value_name = "ergo|anope|atheme")]
        from: From,
        /// Say what would come, and write nothing
        #[arg(long)]
        dry_run: bool,
        /// Ergo's ircd.db or the JSON of `ergo importdb`, Anope's anope.db, Atheme's services.db
        file: PathBuf,
    },
}

/// What wrote a file that is imported.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    Ergo,
    Anope,
    Atheme,
}

/// Does what the command line asks for.
///
/// # Errors
/// Each is one line for the person who typed it.
pub fn main(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<()> {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return error.print().context("cannot write to standard output");
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            bail!("{}; `roost --help` says what there is", first.trim_start_matches("error: "));
        }
    };
    match line.command.unwrap_or(Command::Run) {
        Command::Run => run(line.config),
        Command::Check => check(line.config.as_deref()),
        Command::Passwd => passwd(),
        Command::Backup { file } => backup(line.config.as_deref(), &file),
        Command::Export { account } => export(line.config.as_deref(), &account),
        Command::Restore { file } => restore(line.config.as_deref(), &file),
        Command::Import { from, dry_run, file } => import(line.config.as_deref(), from, dry_run, &file),
    }
}

/// Starts the server and returns when it has ended.
fn run(file: Option<PathBuf>) -> anyhow::Result<()> {
    let config = load(file.as_deref())?;
    // What rustls warns of is how clients begin (irssi names an address in place of a server), which no operator can change.
    let filter = EnvFilter::try_from_env("ROOST_LOG").unwrap_or_else(|_| EnvFilter::new("info,rustls=error"));
    // What cannot be written down, on a disk that is full, is not said to stderr either: that ends the thread that tries.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.log_internal_errors(false).init();
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    // On SIGHUP the runtime asks for the configuration again; it prints `config::greeting` once
    // every listener is open.
    match runtime::run(config, Box::new(move || load(file.as_deref())))? {
        Ended::Stopped => Ok(()),
        Ended::StartAgain => start_again(),
    }
}

/// Runs this program anew in this process: as it is on disk now, with the same arguments.
fn start_again() -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find the program to start again")?;
    let error = Process::new(&program).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot start {} again", program.display()))
}

fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let ours = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ROOST__"));
    // What is not UTF-8 shows as U+FFFD in the error that its key then gives.
    Config::load(file, ours.map(|(name, value)| (lossy(name), lossy(value))))
}

fn lossy(text: OsString) -> String {
    text.to_string_lossy().into_owned()
}

/// Says what the configuration amounts to.
fn check(file: Option<&Path>) -> anyhow::Result<()> {
    let config = load(file)?;
    let settings = config.settings()?;
    let tls = config.tls_files();
    if !tls.self_made {
        for (key, path) in [("tls.certificate", &tls.certificate), ("tls.key", &tls.key)] {
            if let Err(error) = std::fs::File::open(path) {
                let problem = format!("\"{}\" cannot be read: {error}; give the path of a PEM file", path.display());
                return Err(config.fault(key, &problem).into());
            }
        }
    }
    let mut text = format!("{}: all is well\n", config.file());
    text += &format!("server:   {}, network {}\n", settings.server_name, settings.network);
    for listener in config.listeners() {
        text += &format!("listen:   {} ({})\n", listener.address, listener.key);
    }
    let made = if tls.self_made { " (made by Roost where it is missing)" } else { "" };
    text += &format!("tls:      {}{made}\n", tls.certificate.display());
    text += &format!("data:     {}\n", config.data_dir().display());
    text += &format!("store:    {}\n", config.store_name());
    let names: Vec<&str> = settings.opers.iter().map(|oper| &*oper.name).collect();
    text += &format!("opers:    {}\n", if names.is_empty() { "none".to_owned() } else { names.join(", ") });
    for warning in config.warnings() {
        text += &format!("warning:  {warning}\n");
    }
    print(&text)
}

/// Copies the database.
fn backup(config: Option<&Path>, file: &Path) -> anyhow::Result<()> {
    let bytes = store::backup(&load(config)?.store_url(), file)?;
    print(&format!("{} is a backup of {bytes} bytes; `roost restore` puts it back\n", file.display()))
}

/// Writes what is kept of an account.
fn export(config: Option<&Path>, account: &str) -> anyhow::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    store::export(&load(config)?.store_url(), account, now.as_millis() as u64, &mut out)?;
    Ok(())
}

/// Puts a copy of the database in its place.
fn restore(config: Option<&Path>, file: &Path) -> anyhow::Result<()> {
    let url = load(config)?.store_url();
    let old = store::restore(&url, file)?;
    let kept = old.map(|old| format!("; what was there is now {}", old.display())).unwrap_or_default();
    print(&format!("the database is that of {}{kept}\n", file.display()))
}

/// Takes accounts and channels of another server into the database.
fn import(config: Option<&Path>, from: From, dry_run: bool, file: &Path) -> anyhow::Result<()> {
    let config = load(config)?;
    let source = match from {
        From::Ergo => import::Source::Ergo,
        From::Anope => import::Source::Anope,
        From::Atheme => import::Source::Atheme,
    };
    let found = import::read(source, file)?;
    let settings = config.settings()?;
    let rules = import::Rules {
        casemapping: settings.casemapping,
        confusables: settings.confusables,
        list_entries: settings.list_entries,
        bcrypt_cost: config.accounts.bcrypt_cost,
        scram_iterations: settings.scram_iterations,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
    let report = import::run(&runtime::store_options(&config), &rules, &found, now, dry_run)?;
    let end = if dry_run { "nothing was written" } else { "all of it is written" };
    print(&format!("{report}{}: {end}\n", config.store_name()))
}

/// Asks for a password, twice where a person types it, and prints its hash.
fn passwd() -> anyhow::Result<()> {
    let password = if std::io::stdin().is_terminal() {
        let quiet = Quiet::new()?;
        let first = ask("Password: ")?;
        let second = ask("Again: ")?;
        drop(quiet);
        if first != second {
            bail!("the two passwords differ; nothing was made");
        }
        first
    } else {
        read_line()?
    };
    if password.is_empty() {
        bail!("the password is empty; give one of 1 to {} bytes", limits::PASSWORD_LEN);
    }
    if password.len() > limits::PASSWORD_LEN {
        bail!("the password has {} bytes; give one of 1 to {}", password.len(), limits::PASSWORD_LEN);
    }
    let hash = accounts::hash(&password, accounts::DEFAULT_COST).context("the password cannot be hashed")?;
    print(&format!("{hash}\n"))
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    let mut screen = std::io::stderr();
    let asked = write!(screen, "{prompt}").and_then(|()| screen.flush());
    asked.context("cannot write to the terminal")?;
    let line = read_line();
    // The line break that was typed did not show.
    let _ = writeln!(screen);
    line
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read the password from standard input")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// While it lives, the terminal does not show what is typed.
struct Quiet;

impl Quiet {
    fn new() -> anyhow::Result<Quiet> {
        if stty("-echo") {
            Ok(Quiet)
        } else {
            bail!("`stty -echo` failed; give the password on standard input instead")
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(argument: &str) -> bool {
    let status = Process::new("stty").arg(argument).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
