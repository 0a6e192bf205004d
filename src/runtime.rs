//! Threads, signals, shutdown.
