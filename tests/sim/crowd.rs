//! Thousands who come into one channel and vanish at once: what each event asks for is counted, so that no single one
//! holds up everyone, and nothing of them is left.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ircv3::Message;
use roost::limits;
use roost::server::Server;
use roost::server::action::{Actions, NetAction};
use roost::server::event::{CloseCause, ConnId, Event, Now, Peer};
use roost::server::record::Snapshot;
use roost::server::settings::Settings;

const WORKERS: usize = 2;
/// Those who come and go, and one who stays.
const CROWD: u32 = 5000;

/// What one event asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    /// Actions for workers.
    actions: usize,
    /// Deliveries that workers are to make.
    deliveries: usize,
    /// Bytes for single connections.
    bytes: usize,
}

struct Room {
    server: Server,
    now: Now,
    actions: Actions,
    /// The most that one event asked for since this was last taken.
    most: Work,
}

impl Room {
    fn new() -> Room {
        let settings = Settings { throttle: None, ..Settings::default() };
        let now = Now { unix_ms: 1_700_000_000_000, mono_ms: 1000 };
        let snapshot = Snapshot { boot: 1, epoch: 1, ..Snapshot::default() };
        let server = Server::new(Arc::new(settings), snapshot, WORKERS, now);
        Room { server, now, actions: Actions::new(WORKERS), most: Work::default() }
    }

    fn handle(&mut self, event: Event) -> Work {
        self.now.mono_ms += 1;
        self.now.unix_ms += 1;
        self.actions = Actions::new(WORKERS);
        self.server.handle(self.now, event, &mut self.actions);
        let mut work = Work::default();
        for action in self.actions.net.iter().flatten() {
            work.actions += 1;
            match action {
                NetAction::Fanout { audience, .. } => work.deliveries += audience.len(),
                NetAction::Send { bytes, .. } | NetAction::Close { bytes, .. } => work.bytes += bytes.len(),
                _ => {}
            }
        }
        self.most.actions = self.most.actions.max(work.actions);
        self.most.deliveries = self.most.deliveries.max(work.deliveries);
        self.most.bytes = self.most.bytes.max(work.bytes);
        work
    }

    fn line(&mut self, conn: ConnId, line: &str) {
        self.handle(Event::Line(conn, Message::parse_client(line).expect("a line")));
        // The reader takes what it is sent, a page after the other.
        while self.waits(conn) {
            self.handle(Event::Drained(conn));
        }
    }

    fn waits(&self, conn: ConnId) -> bool {
        let own = |action: &NetAction| matches!(action, NetAction::WhenDrained { slot } if *slot == conn.slot);
        self.actions.net[usize::from(conn.worker)].iter().any(own)
    }

    fn come(&mut self, number: u32) -> ConnId {
        let conn = ConnId { worker: (number % 2) as u16, slot: number / 2 };
        let peer = Peer::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)), 1);
        self.handle(Event::Opened(conn, Box::new(peer)));
        for line in [format!("NICK n{number}"), format!("USER u{number} 0 * :Somebody"), "JOIN #crowd".to_owned()] {
            self.line(conn, &line);
        }
        conn
    }

    /// How many `QUIT` of the last event's go to `conn`.
    fn quits_for(&self, conn: ConnId) -> usize {
        let own = |action: &&NetAction| match action {
            NetAction::Fanout { audience, .. } => audience.contains(&conn.slot),
            _ => false,
        };
        self.actions.net[usize::from(conn.worker)].iter().filter(own).count()
    }
}

#[test]
fn thousands_who_vanish_at_once_stall_nobody_and_leave_nothing() {
    let mut room = Room::new();
    let stays = room.come(0);
    let crowd: Vec<ConnId> = (1..=CROWD).map(|number| room.come(number)).collect();
    assert_eq!(room.server.network.users.len(), 5001);
    // Whoever comes is shown to each member of each worker once, and is sent no more than a page of names at a time.
    let most = std::mem::take(&mut room.most);
    assert!(most.actions <= 4 * WORKERS + 8, "{most:?}");
    assert!(most.deliveries <= 2 * (CROWD as usize + 1), "{most:?}");
    assert!(most.bytes <= limits::BULK_BYTES, "{most:?}");

    let mut left = CROWD as usize;
    for (turn, conn) in crowd.iter().enumerate() {
        let cause = if turn % 2 == 0 { CloseCause::Eof { shown: None } } else { CloseCause::Error("reset".into()) };
        let work = room.handle(Event::Closed(*conn, cause));
        // One message for those who are left, and one connection to forget.
        assert!(work.actions <= WORKERS + 1, "{turn}: {work:?}");
        assert_eq!(work.deliveries, left, "{turn}: {work:?}");
        assert_eq!(work.bytes, 0, "{turn}: {work:?}");
        assert_eq!(room.quits_for(stays), 1, "{turn}");
        left -= 1;
        if turn % 500 == 0 {
            // Somebody else is answered in between, as ever.
            let pong = room.handle(Event::Line(stays, Message::parse_client("PING between").expect("a line")));
            assert!(pong.actions == 1 && pong.deliveries == 0, "{turn}: {pong:?}");
            room.server.check().expect("ids lead where they should");
        }
    }
    room.server.check().expect("ids lead where they should");
    assert_eq!(room.server.network.users.len(), 1);
    assert_eq!(room.server.connections().len(), 1);
    let channel = room.server.network.channel_by_name("#crowd").expect("somebody is there");
    assert_eq!(room.server.network.channels[channel].members.len(), 1);
    // The last one takes the channel along.
    room.handle(Event::Closed(stays, CloseCause::Eof { shown: None }));
    assert!(room.server.network.users.is_empty() && room.server.network.channels.is_empty());
    room.server.check().expect("ids lead where they should");
}
