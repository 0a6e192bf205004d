//! Hashing and login off the server thread.
