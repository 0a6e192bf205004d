//! Listening sockets: bound all together before anything starts, then accepted from on one worker.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::limits::LISTEN_BACKLOG;
use crate::net::queue::{Accepted, AcceptedSocket, Inbox, Wire};

/// An address that cannot be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    /// Someone else is there.
    #[error("\"{0}\" is in use; end the program that listens there (`ss -ltnp` shows it), or choose another port")]
    InUse(SocketAddr),
    /// Anything else.
    #[error(
        "cannot listen on \"{address}\": {error}; give an address of this machine and a port that this user may use"
    )]
    Other {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    wire: Wire,
}

impl Listener {
    /// Listens on `address`; what comes speaks `wire`.
    pub fn bind(address: SocketAddr, wire: Wire) -> Result<Listener, BindError> {
        match bind(address) {
            Ok(socket) => Ok(Listener { socket, wire }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(BindError::InUse(address)),
            Err(error) => Err(BindError::Other { address, error }),
        }
    }

    /// Where it listens: the port is the one that the system chose where 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts for ever, on the runtime of the first of `workers`, and gives the sockets to them in turn.
    pub async fn accept(self, workers: Arc<[Arc<Inbox>]>) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.socket)?;
        let mut next = 0;
        let mut warned = false;
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_the_clients(&error) => continue,
                Err(error) => {
                    // No files or no memory: the client waits in the backlog until there are some.
                    if !warned {
                        tracing::warn!("new connections have to wait: {error}");
                        warned = true;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            warned = false;
            let _ = stream.set_nodelay(true);
            let worker = next % workers.len();
            next += 1;
            let socket = if worker == 0 {
                AcceptedSocket::Here(stream)
            } else {
                match stream.into_std() {
                    Ok(stream) => AcceptedSocket::Elsewhere(stream),
                    Err(_) => continue,
                }
            };
            workers[worker].accept(Accepted { socket, peer, wire: self.wire.clone() });
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // 0.0.0.0 and [::] stand side by side in the configuration.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Whether an error of `accept` is about the client, that has gone again.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Listener;
    use crate::net::queue::Wire;

    #[test]
    fn a_port_in_use_is_named() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap(), Wire::default()).unwrap();
        let address = first.local_addr().unwrap();
        let error = Listener::bind(address, Wire::default()).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("in use"), "{error}");
    }
}
