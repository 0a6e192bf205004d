//! The real state machine under seeds: see README.md beside this file.

mod client;
mod crowd;
mod devices;
mod doors;
mod edge;
mod fault;
mod random;
mod store;
mod view;
mod violation;
mod world;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use roost::server::command::COMMANDS;

use crate::client::NEVER;
use crate::fault::Fault;
use crate::violation::{Invariant, Outcome, Violation};
use crate::world::{REACHED, Summary, Trace, run};

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
    let mut reached = [0; REACHED.len()];
    let mut given = BTreeSet::new();
    for seed in seeds() {
        match run_seed(seed, STEPS, None) {
            Ok(summary) => {
                events += summary.events;
                messages += summary.messages;
                seen += summary.seen;
                given.extend(summary.given);
                for (sum, count) in reached.iter_mut().zip(summary.reached) {
                    *sum += count;
                }
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
    for (what, count) in REACHED.iter().zip(reached) {
        println!("{count:8} times {what}");
    }
    assert!(failed.is_empty(), "run one with ROOST_SIM_SEEDS=n..n+1:\n{}", failed.join("\n"));
    let runs = seeds().count();
    if runs >= 200 {
        assert!(messages > 20 * runs && seen > 10 * runs, "the runs do next to nothing");
        let missed: Vec<&str> =
            REACHED.iter().zip(reached).filter(|(_, count)| *count == 0).map(|(what, _)| *what).collect();
        assert!(missed.is_empty(), "the runs never came to {missed:?}");
        let known: BTreeSet<&str> = COMMANDS.iter().map(|command| command.name).collect();
        let never: BTreeSet<&str> = NEVER.iter().map(|(name, _)| *name).collect();
        assert!(given.is_disjoint(&never), "NEVER has what is given: {never:?}");
        let missed: Vec<&&str> = known.iter().filter(|name| !given.contains(*name) && !never.contains(*name)).collect();
        assert!(missed.is_empty(), "these were never given, and NEVER in client.rs does not say why: {missed:?}");
    }
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

/// Runs seeds with a planted fault until the checker finds it by the invariant that it breaks.
fn caught(fault: Fault) {
    let Some((_, expected)) = Fault::ALL.iter().find(|(listed, _)| *listed == fault) else { return };
    let mut others = Vec::new();
    for seed in 0..300 {
        let found = match fault {
            Fault::OrderByChance => twice(seed, Some(fault)).err(),
            _ => run_seed(seed, STEPS, Some(fault)).err().map(|(violation, _)| violation.invariant),
        };
        if found == Some(*expected) {
            return;
        }
        others.extend(found);
    }
    panic!("{fault:?} was not caught by {expected:?} in 300 seeds, but by {others:?}");
}

macro_rules! planted {
    ($($test:ident $fault:ident;)+) => {
        $(#[test]
        fn $test() {
            caught(Fault::$fault);
        })+

        #[test]
        fn every_fault_has_a_test() {
            let tested = [$(Fault::$fault),+];
            assert!(Fault::ALL.iter().all(|(fault, _)| tested.contains(fault)));
        }
    };
}

planted! {
    held_bytes_released_early_are_caught HeldReleased;
    held_bytes_overtaken_are_caught HeldOvertaken;
    a_delivery_dropped_is_caught DeliveryDropped;
    two_deliveries_swapped_are_caught DeliveriesSwapped;
    a_join_delivered_twice_is_caught DeliveryTwice;
    a_label_answered_twice_is_caught LabelTwice;
    a_label_not_answered_is_caught LabelDropped;
    a_batch_left_open_is_caught BatchOpen;
    a_tag_leaked_is_caught TagLeaked;
    a_message_without_its_capability_is_caught FormLeaked;
    a_line_without_its_cr_is_caught LineBroken;
    a_numeric_for_another_nick_is_caught NumericMisaddressed;
    a_record_not_appended_is_caught RecordDropped;
    a_record_with_another_text_is_caught RecordAltered;
    a_channel_not_kept_is_caught ChannelUnkept;
    two_records_swapped_are_caught RecordsSwapped;
    a_commit_reported_early_is_caught CommitEarly;
    an_event_that_does_not_wait_is_caught EventUnheld;
    a_crash_that_loses_a_durable_row_is_caught CrashLosesRow;
    a_quit_lost_is_caught QuitLost;
    a_stale_audience_is_caught AudienceStale;
    a_slot_released_early_is_caught ReleasedEarly;
    an_end_unreported_is_caught CloseUnreported;
    a_resume_lost_is_caught ResumeLost;
    a_call_lost_is_caught CallLost;
    a_page_with_a_gap_is_caught HistoryGap;
    a_page_of_another_conversation_is_caught HistoryForeign;
    a_presence_not_kept_is_caught PresenceUnkept;
    a_presence_that_outlives_its_user_is_caught PresenceOutlives;
    a_marker_not_kept_is_caught MarkerUnkept;
    what_is_taken_for_read_too_early_is_caught ReadTooFar;
    what_is_replayed_twice_is_caught ReplayTwice;
    what_is_to_be_deleted_too_early_is_caught ExpiryTooMuch;
    an_order_by_chance_is_caught OrderByChance;
}
