//! The IRCv3 protocol as a library: no I/O, no clock, no server.

pub mod capability;
pub mod casemapping;
pub mod message;
pub mod tags;

pub use capability::{Cap, CapSet};
pub use casemapping::{Casemapping, Folded};
pub use message::Message;
