//! The real programs, headless: irssi under tmux and weechat-headless, and what they show; and clients on the
//! libraries irc, pydle and irc-framework.
//!
//! Nothing here sleeps for a fixed time: every wait polls a condition until a deadline.

#![allow(clippy::unwrap_used)]
// The harness of tests/irc is used in part.
#![allow(dead_code)]

#[path = "../irc/client.rs"]
mod client;
#[path = "../irc/server.rs"]
mod server;

mod irssi;
mod library;
mod program;
mod weechat;

mod scenarios;
