//! One delivery at the edge: fan-outs to 1,000 connections, up to where the system call would be.
//! The goal is at most 100 ns of CPU for each.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ircv3::{Cap, CapSet};
use roost::net::connection::{Connection, Phase, Transport};
use roost::net::fanout::Run;
use roost::server::frame::Frame;
use roost::server::record::MsgId;

const MEMBERS: u32 = 1000;

/// Members with `kinds` different sets of capabilities.
fn connections(kinds: u32) -> Vec<Option<Box<Connection>>> {
    let tags = [Cap::ServerTime, Cap::MessageTags, Cap::AccountTag, Cap::Batch, Cap::EchoMessage, Cap::AwayNotify];
    let one = |at: u32| {
        let mut connection = Connection::new(Transport::None, 0, None, None);
        connection.phase = Phase::Open;
        let bits = at % kinds;
        connection.caps =
            tags.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, cap)| *cap).collect::<CapSet>();
        Some(Box::new(connection))
    };
    (0..MEMBERS).map(one).collect()
}

fn frame(seq: u64) -> Arc<Frame> {
    let line = ":ann!ann@host.example.org PRIVMSG #rust :the quick brown fox jumps over the lazy dog and then it sits down\r\n";
    let mut frame = Frame::plain(1_700_000_000_000 + seq, Bytes::from_static(line.as_bytes()));
    frame.msgid = Some(MsgId { epoch: 7, seq });
    frame.account = Some("ann".into());
    Arc::new(frame)
}

fn edge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("edge");
    for (kinds, window) in [(1, 1), (64, 1), (1, 20), (64, 20)] {
        let mut connections = connections(kinds);
        let audience: Arc<[u32]> = (0..MEMBERS).collect::<Vec<_>>().into();
        let frames: Vec<_> = (0..window).map(frame).collect();
        let mut run = Run::default();
        let mut dirty = Vec::new();
        group.throughput(Throughput::Elements(u64::from(MEMBERS) * window));
        group.bench_function(format!("{MEMBERS} members, {kinds} kinds of client, {window} at once"), |bencher| {
            bencher.iter(|| {
                for frame in &frames {
                    run.push(frame.clone(), audience.clone(), 5);
                }
                run.deliver(&mut connections, |slot, connection| {
                    if !connection.dirty {
                        connection.dirty = true;
                        dirty.push(slot);
                    }
                });
                for slot in dirty.drain(..) {
                    if let Some(connection) = &mut connections[slot as usize] {
                        connection.dirty = false;
                        let written = black_box(connection.out.first()).len();
                        connection.out.advance(written);
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, edge);
criterion_main!(benches);
