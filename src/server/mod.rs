//! The state machine.

pub mod action;
pub mod event;
pub mod frame;
pub mod history;
pub mod record;
pub mod settings;

use std::sync::Arc;

use self::action::Actions;
use self::event::{Event, Now};
use self::record::Snapshot;
use self::settings::Settings;

/// The server: all shared state and every session, owned by one thread.
pub struct Server {
    #[allow(dead_code)]
    settings: Arc<Settings>,
}

impl Server {
    /// A server with the state of `snapshot`, for `workers` network workers.
    pub fn new(settings: Arc<Settings>, snapshot: Snapshot, workers: usize, now: Now) -> Server {
        let _ = (snapshot, workers, now);
        Server { settings }
    }

    /// Takes one event and appends what is to be done to `actions`.
    pub fn handle(&mut self, now: Now, event: Event, actions: &mut Actions) {
        let _ = (now, event, actions);
    }
}
