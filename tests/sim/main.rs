//! The real state machine under seeds: see README.md beside this file.

mod client;
mod edge;
mod fault;
mod random;
mod store;
mod view;
mod violation;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fault::Fault;
use crate::violation::{Invariant, Outcome, Violation};
use crate::world::{Summary, Trace, run};

/// Steps of one seed.
const STEPS: usize = 4000;

/// Runs a seed; a panic is a violation too, and tells what came before it.
fn run_seed(seed: u64, steps: usize, fault: Option<Fault>) -> Result<Summary, (Violation, String)> {
    let mut trace = Trace::default();
    let outcome: Outcome<Summary> = catch_unwind(AssertUnwindSafe(|| run(seed, steps, fault, &mut trace)))
        .unwrap_or_else(|_| {
            let text = "the server panicked; the message is above".to_owned();
            Err(Violation { invariant: Invariant::State, text })
        });
    outcome.map_err(|violation| (violation, trace.text()))
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("ROOST_SIM_SEEDS") else { return 0..250 };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match text.split_once("..") {
        Some((from, to)) => match (number(from), number(to)) {
            (Some(from), Some(to)) => from..to,
            _ => panic!("ROOST_SIM_SEEDS={text:?}: a count such as 2000, or a range such as 300..400"),
        },
        None => match number(&text) {
            Some(count) => 0..count,
            None => panic!("ROOST_SIM_SEEDS={text:?}: a count such as 2000, or a range such as 300..400"),
        },
    }
}

#[test]
fn every_seed_holds_every_invariant() {
    let mut failed = Vec::new();
    let (mut events, mut messages, mut seen) = (0, 0, 0);
    for seed in seeds() {
        match run_seed(seed, STEPS, None) {
            Ok(summary) => {
                events += summary.events;
                messages += summary.messages;
                seen += summary.seen;
            }
            Err((violation, trace)) => {
                eprintln!("seed {seed}: {violation}\n{trace}");
                failed.push(format!("seed {seed}: {violation}"));
                if failed.len() == 10 {
                    break;
                }
            }
        }
    }
    println!("{events} events, {messages} messages stored, {seen} of them seen");
    assert!(failed.is_empty(), "run one with ROOST_SIM_SEEDS=n..n+1:\n{}", failed.join("\n"));
    assert!(messages > 0 && seen > 0, "the runs do nothing");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..25 {
        assert_eq!(twice(seed, None), Ok(()));
    }
}

/// 8: two runs of one seed.
fn twice(seed: u64, fault: Option<Fault>) -> Result<(), Invariant> {
    let run = || run_seed(seed, STEPS, fault).map_err(|(violation, _)| violation.invariant);
    if run()?.digest == run()?.digest { Ok(()) } else { Err(Invariant::Seed) }
}
