//! The audit log: everything that operators did, in the ordinary log and, where one is named, in a file
//! that a thread of its own writes, so that a slow disk holds up nobody.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use ircv3::time::time_text;

use crate::server::action::AuditLine;

/// The target of audit lines in the ordinary log, for filters.
const TARGET: &str = "audit";

/// Where audit lines go. Dropping it waits until all of them are written.
#[derive(Debug, Default)]
pub struct Audit {
    file: Option<(Sender<AuditLine>, JoinHandle<()>)>,
}

impl Audit {
    /// The audit log, with a file where `path` is not empty.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the thread not be started.
    pub fn open(path: &str) -> io::Result<Audit> {
        if path.is_empty() {
            return Ok(Audit::default());
        }
        let mut file = append(Path::new(path))?;
        let (sender, lines) = channel::<AuditLine>();
        let thread = thread::Builder::new().name("audit".into()).spawn(move || {
            for line in lines {
                let text = format!("{} {}\n", time_text(line.time), line.text);
                if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_data()) {
                    tracing::warn!("the audit log cannot be written: {error}");
                }
            }
        })?;
        Ok(Audit { file: Some((sender, thread)) })
    }

    /// Writes a line.
    pub fn write(&self, line: AuditLine) {
        tracing::info!(target: TARGET, "{}", line.text);
        if let Some((sender, _)) = &self.file {
            // The thread ends only with the sender.
            let _ = sender.send(line);
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.file.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

/// Opens a file to write at its end; only its owner may read it.
fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Audit;
    use crate::server::action::AuditLine;

    #[test]
    fn lines_are_added_to_those_that_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        for text in ["one", "two"] {
            let audit = Audit::open(path.to_str().unwrap()).unwrap();
            audit.write(AuditLine { time: 0, text: text.into() });
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(written, "1970-01-01T00:00:00.000Z one\n1970-01-01T00:00:00.000Z two\n");
        assert!(Audit::open(dir.path().to_str().unwrap()).is_err(), "a directory is no file");
    }
}
