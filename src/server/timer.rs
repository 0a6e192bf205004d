//! Deadlines: registration, PING and silence. A heap of the next look at each connection; a look
//! that comes too early is put back, so a line that arrives costs nothing here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::limits;
use crate::server::Server;
use crate::server::event::ConnId;

/// When to look at which connection (and which of those that had its slot).
#[derive(Default)]
pub struct Timers {
    looks: BinaryHeap<Reverse<(u64, ConnId, u64)>>,
}

/// Looks in one tick at the most: a wave of deadlines is worked off over several.
const LOOKS: usize = 5000;

impl Timers {
    /// Looks at a connection at this moment, on the monotonic clock.
    pub fn look(&mut self, at: u64, conn: ConnId, serial: u64) {
        self.looks.push(Reverse((at, conn, serial)));
    }

    fn due(&mut self, now: u64) -> Option<(ConnId, u64)> {
        let Reverse((at, _, _)) = self.looks.peek()?;
        if *at > now {
            return None;
        }
        self.looks.pop().map(|Reverse((_, conn, serial))| (conn, serial))
    }
}

/// Closes whoever is overdue and sends PING to whoever is silent.
pub fn tick(server: &mut Server) {
    let now = server.now.mono_ms;
    for _ in 0..LOOKS {
        let Some((conn, serial)) = server.timers.due(now) else { return };
        let (registration_ms, ping_ms) = (server.settings.registration_ms, server.settings.ping_ms);
        let Some(session) = server.session_mut(conn).filter(|session| session.serial == serial) else { continue };
        if session.closing {
            continue;
        }
        if let Some(registration) = &session.registration {
            // `heard` of a connection that is new is when it was opened; it is not moved on by lines
            // that do not complete the registration.
            let extra = if registration.awaits_code { limits::CODE_WAIT_MS } else { 0 };
            let deadline = session.opened + registration_ms + extra;
            if deadline <= now {
                server.close(conn, "Registration timed out");
            } else {
                server.timers.look(deadline, conn, serial);
            }
            continue;
        }
        let silent = now.saturating_sub(session.heard);
        if silent < ping_ms {
            let next = session.heard + ping_ms;
            server.timers.look(next, conn, serial);
        } else if !session.pinged || silent < 2 * ping_ms {
            let next = now.max(session.heard + 2 * ping_ms);
            if !session.pinged {
                session.pinged = true;
                let mut ctx = server.ctx(conn, None);
                let name = server.settings.server_name.clone();
                ctx.reply.line_from("", "PING", &[], Some(&name));
                server.finish(ctx);
            }
            server.timers.look(next.max(now + 1), conn, serial);
        } else {
            server.close_silent(conn, &format!("Ping timeout: {} seconds", silent / 1000));
        }
    }
}
