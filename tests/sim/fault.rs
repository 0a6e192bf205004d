//! Faults that are planted to prove the checker; README.md says where each would come from.

use crate::random::Random;
use crate::violation::Invariant;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $invariant:ident;)+) => {
        /// A planted fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $($(#[$doc])* $name,)+ }

        impl Fault {
            /// All of them, each with the invariant that must catch it.
            pub const ALL: &'static [(Fault, Invariant)] = &[$((Fault::$name, Invariant::$invariant),)+];
        }
    };
}

faults! {
    /// The edge sends held bytes before they are durable.
    HeldReleased => Durable;
    /// The edge lets later bytes overtake held ones.
    HeldOvertaken => Labels;
    /// A fan-out does not reach one member.
    DeliveryDropped => Order;
    /// Two queued sends of one connection are swapped.
    DeliveriesSwapped => Order;
    /// A JOIN reaches one member twice.
    DeliveryTwice => Members;
    /// A labelled answer is sent twice.
    LabelTwice => Labels;
    /// A labelled answer is not sent.
    LabelDropped => Labels;
    /// The end of a batch is lost.
    BatchOpen => Labels;
    /// Tags go to someone who did not ask for them.
    TagLeaked => Caps;
    /// A message goes to someone without its capability.
    FormLeaked => Caps;
    /// A line loses its CR.
    LineBroken => Lines;
    /// A numeric is addressed to another nick.
    NumericMisaddressed => Lines;
    /// A message is not given to the store.
    RecordDropped => Durable;
    /// A message is stored with another text.
    RecordAltered => Durable;
    /// Changes of registered channels are not given to the store.
    ChannelUnkept => Kept;
    /// Two records reach the store in the wrong order.
    RecordsSwapped => Order;
    /// The store reports a commit before it is done.
    CommitEarly => Durable;
    /// A frame shows a kept event and does not wait for it.
    EventUnheld => Durable;
    /// A crash loses a row that was durable.
    CrashLosesRow => Durable;
    /// A QUIT is not fanned out.
    QuitLost => Members;
    /// A channel message goes to the audience of an earlier one.
    AudienceStale => Order;
    /// A slot is released while its connection is open.
    ReleasedEarly => State;
    /// The end of a connection is not reported.
    CloseUnreported => State;
    /// A paused connection is never resumed.
    ResumeLost => State;
    /// A call never comes back.
    CallLost => State;
    /// A page of history lacks a row.
    HistoryGap => History;
    /// A page of history is read from another conversation.
    HistoryForeign => History;
    /// What someone who is always on is now is not given to the store.
    PresenceUnkept => Kept;
    /// That someone is not on any more is not given to the store.
    PresenceOutlives => Kept;
    /// A read marker is not given to the store.
    MarkerUnkept => Kept;
    /// A device is taken to have read what was not given to the system.
    ReadTooFar => Replay;
    /// A device is replayed what it has read.
    ReplayTwice => Replay;
    /// What is not past its time is to be deleted.
    ExpiryTooMuch => Kept;
    /// The order of two fan-outs depends on something that is no part of the seed.
    OrderByChance => Seed;
}

/// Which fault is planted in a run, and when it strikes.
#[derive(Debug)]
pub struct Planted {
    fault: Option<Fault>,
    random: Random,
    struck: u32,
}

impl Planted {
    /// No fault, or this one.
    pub fn new(fault: Option<Fault>, seed: u64) -> Planted {
        Planted { fault, random: Random::new(seed ^ 0xfa17), struck: 0 }
    }

    /// Whether this fault strikes at every opportunity.
    pub fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Whether this fault strikes at this opportunity: about one in four, and not for ever.
    pub fn hits(&mut self, fault: Fault) -> bool {
        let hit = self.fault == Some(fault) && self.struck < 20 && self.random.percent(25);
        self.struck += u32::from(hit);
        hit
    }
}
