//! A real server on loopback: lines in, lines out, one file per feature.
//!
//! Every test starts the real binary on ports and a data directory of its own, so tests run at the
//! same time and in any order. Nothing sleeps: a client that wants to see that something did *not*
//! come sends a PING and looks at everything before the PONG.

#![allow(clippy::unwrap_used)]

mod client;
mod codec;
mod server;

mod accounts;
mod always_on;
mod attack;
mod away;
mod backup;
mod bouncer;
mod capabilities;
mod casemapping;
mod channels;
mod chanserv;
mod chanserv_deeds;
mod chanserv_set;
mod cloak;
mod closed;
mod confusables;
mod disaster;
mod echo;
mod edit;
mod email;
mod everything;
mod extjwt;
mod framing;
mod goguma;
mod history;
mod histserv;
mod hostserv;
mod import;
mod isupport;
mod kill;
mod labels;
mod ldap;
mod markers;
mod messages;
mod metadata;
mod modes;
mod modes_callers;
mod modes_hidden;
mod modes_lists;
mod monitor;
mod multiline;
mod nickserv;
mod notify;
mod opers;
mod playback;
mod postgres;
mod presence;
mod prop;
mod proxy;
mod push_service;
mod queries;
mod recover;
mod redact;
mod registered;
mod registration;
mod relaymsg;
mod reload;
mod rename;
mod replay;
mod retention;
mod sasl;
mod sasl_tls;
mod script;
mod search;
mod second;
mod server_time;
mod shutdown;
mod smtp;
mod spec;
mod startup;
mod stats;
mod sts;
mod tags;
mod tls;
mod token;
mod unix;
mod webirc;
mod webpush;
mod websocket;
