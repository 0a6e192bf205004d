//! How long it takes to read and to write the five lines that a server sees most.
//!
//! `cargo bench --bench wire`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ircv3::Message;
use ircv3::message::write_line;

const LINES: &[(&str, &str)] = &[
    (
        "PRIVMSG with three tags and a source",
        "@time=2026-11-25T04:17:18.123Z;msgid=01hf3k7qz8x2v5c9b1n4m6p0r3;account=alice :alice!~alice@user/alice.example.org \
         PRIVMSG #rust :has anyone measured how long it takes to parse one line like this one?",
    ),
    (
        "PRIVMSG from a client",
        "PRIVMSG #rust :has anyone measured how long it takes to parse a line that looks just like this?",
    ),
    ("PING", "PING LAG1764043200123456"),
    ("JOIN", "JOIN #rust,#rust-offtopic,#roost-dev"),
    ("MODE", ":alice!~alice@user/alice MODE #rust +oo-v bob carol dave"),
];

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, line) in LINES {
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), *line, |bencher, line| {
            bencher.iter(|| Message::parse_client(black_box(line)).is_ok());
        });
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for (name, line) in LINES {
        let Ok(message) = Message::parse(*line) else { panic!("{line} is a message") };
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &message, |bencher, message| {
            let mut out = Vec::with_capacity(1024);
            bencher.iter(|| {
                out.clear();
                black_box(message).write(&mut out);
                out.len()
            });
        });
    }
    group.finish();
}

fn encode_parts(c: &mut Criterion) {
    c.bench_function("write_line, PRIVMSG from parts", |bencher| {
        let mut out = Vec::with_capacity(1024);
        bencher.iter(|| {
            out.clear();
            write_line(
                &mut out,
                black_box("alice!~alice@user/alice"),
                "PRIVMSG",
                &[black_box("#rust")],
                Some("hi all"),
            );
            out.len()
        });
    });
}

criterion_group!(benches, parse, encode, encode_parts);
criterion_main!(benches);
