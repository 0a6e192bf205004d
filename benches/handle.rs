//! What one PRIVMSG costs in the state machine, with 100,000 users in 5,000 channels.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use ircv3::Message;
use roost::server::Server;
use roost::server::action::Actions;
use roost::server::event::{ConnId, Event, Now, Peer};
use roost::server::record::Snapshot;
use roost::server::settings::Settings;

const USERS: u32 = 100_000;
const CHANNELS: u32 = 5_000;

fn message(text: &str) -> Message {
    match Message::parse_client(text) {
        Ok(message) => message,
        Err(error) => panic!("{text}: {error}"),
    }
}

fn conn(slot: u32) -> ConnId {
    ConnId { worker: 0, slot }
}

fn crowd() -> (Server, Actions, Now) {
    let settings = Settings { throttle: None, ..Settings::default() };
    let now = Now { unix_ms: 1_700_000_000_000, mono_ms: 1 };
    let mut server = Server::new(Arc::new(settings), Snapshot { boot: 1, epoch: 7, ..Snapshot::default() }, 1, now);
    let mut actions = Actions::new(1);
    for slot in 0..USERS {
        let peer = Peer::new(IpAddr::V4(Ipv4Addr::new(10, 0, (slot >> 8) as u8, slot as u8)), 1);
        server.handle(now, Event::Opened(conn(slot), Box::new(peer)), &mut actions);
        for line in [format!("NICK u{slot}"), "USER u 0 * :u".into(), format!("JOIN #c{}", slot % CHANNELS)] {
            server.handle(now, Event::Line(conn(slot), message(&line)), &mut actions);
        }
        actions = Actions::new(1);
    }
    (server, actions, now)
}

fn bench(c: &mut Criterion) {
    let (mut server, mut actions, now) = crowd();
    let lines: Vec<(ConnId, Message)> = (0..1000u32)
        .map(|n| n * 97 % USERS)
        .map(|slot| {
            (
                conn(slot),
                message(&format!("PRIVMSG #c{} :the quick brown fox jumps over the lazy dog", slot % CHANNELS)),
            )
        })
        .collect();
    let mut at = 0;
    c.bench_function("handle/privmsg_100k_users_5k_channels", |b| {
        b.iter_batched(
            || {
                at = (at + 1) % lines.len();
                lines[at].clone()
            },
            |(conn, line)| {
                server.handle(now, Event::Line(conn, line), &mut actions);
                black_box(&actions);
                for net in &mut actions.net {
                    net.clear();
                }
                actions.store.clear();
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
