//! The IRCv3 protocol as a library: no I/O, no clock, no server.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`message`], [`tags`] | one line of IRC and its tags |
//! | [`name`], [`casemapping`], [`mask`] | which texts are names, which names are the same, which masks match |
//! | [`confusable`] | which names look alike |
//! | [`mode`], [`extban`] | the table of modes, MODE's parameters, and extended bans |
//! | [`formatting`] | colours and the like in a text |
//! | [`numeric`], [`isupport`], [`standard_reply`] | what a server answers |
//! | [`capability`], [`negotiation`] | the table of capabilities, and CAP |
//! | [`cidr`], [`webirc`] | networks of addresses, and whom a gateway speaks for |
//! | [`sasl`] | AUTHENTICATE's chunks, the table of mechanisms, and what each of them says |
//! | [`search`], [`webpush`] | what SEARCH and WEBPUSH are asked with |
//! | [`batch`], [`multiline`], [`chathistory`], [`time`] | batches, texts of several lines, CHATHISTORY's parameters, timestamps |

pub mod batch;
pub mod capability;
pub mod casemapping;
pub mod chathistory;
pub mod cidr;
pub mod confusable;
pub mod extban;
pub mod formatting;
pub mod isupport;
pub mod mask;
pub mod message;
pub mod mode;
pub mod multiline;
pub mod name;
pub mod negotiation;
pub mod numeric;
pub mod sasl;
pub mod search;
pub mod standard_reply;
pub mod tags;
pub mod time;
pub mod webirc;
pub mod webpush;

pub use capability::{Cap, CapSet};
pub use casemapping::{Casemapping, Folded};
pub use cidr::Cidr;
pub use message::Message;
pub use mode::Rank;
pub use negotiation::Negotiation;
pub use numeric::Numeric;
