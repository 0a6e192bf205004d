//! Roost, an IRC server that one can come back to: the code map.
//!
//! - [`server`] is the state machine: `Server::handle(now, event, &mut actions)` on one thread. It
//!   has no socket, clock, randomness, lock or await; a test reads its sources and holds that.
//! - [`net`] owns the sockets: a few workers, each with a slab of connections and their send queues.
//! - [`store`] is what is kept: one writer with group commit and the durable mark, and readers.
//! - [`accounts`] hashes and compares passwords, and looks at tokens, off the server thread; and has the codes of
//!   authenticators.
//! - [`import`] takes accounts and channels of other servers into the database, while no server runs on it.
//! - [`mail`] sends codes by SMTP, off the server thread.
//! - [`push`] seals messages for devices and posts them to push services, off the server thread.
//! - [`witness`] has logins judged by somebody outside, off the server thread: by a program of the operator
//!   ([`script`]) or by a directory ([`ldap`]).
//! - [`audit`] writes what operators did.
//! - [`config`] reads `conf/roost.toml` and the environment; [`limits`] has every other bound.
//! - [`runtime`] starts the threads, carries events and actions between them, and ends them.
//!
//! Invariants: every change to shared state has one number, and live order, history order and the
//! numbers agree. Bytes that show a kept change leave only after the change is durable. One
//! connection's lines are run strictly in order; while a call is under way, its later lines wait.

pub mod accounts;
pub mod audit;
pub mod config;
pub mod import;
pub mod ldap;
pub mod limits;
pub mod mail;
pub mod net;
pub mod push;
pub mod runtime;
pub mod script;
pub mod server;
pub mod store;
pub mod witness;
