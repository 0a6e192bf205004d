//! Listening sockets: bound all together before anything starts, then accepted from on one worker.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;

use crate::limits::{ACCEPT_RETRY_MS, ACCEPT_WARNING_MS, LISTEN_BACKLOG};
use crate::net::link::Stream;
use crate::net::queue::{Accepted, AcceptedSocket, Inbox, Room, Wire};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// An address and a port; port 0 takes a free one.
    Ip(SocketAddr),
    /// A unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Who may connect: the mode of the file.
        mode: u32,
    },
}

/// The mode of a unix socket where nothing else is said: its owner and its group.
pub const UNIX_MODE: u32 = 0o660;
/// The longest path that a unix socket can have.
const UNIX_PATH_BYTES: usize = 107;

/// A text that says nowhere to listen.
#[derive(Debug, Error)]
#[error(
    "is not an address and port; write \"127.0.0.1:6667\", \"[::1]:6667\" or, for every interface, \"0.0.0.0:6667\"; for a unix socket \"unix:/run/roost.sock\", with a path of at most {UNIX_PATH_BYTES} bytes"
)]
pub struct AddressError;

impl Address {
    /// Whether only this machine can get there.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Ip(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix { .. } => true,
        }
    }

    /// Whether two listeners cannot both be there.
    pub fn clashes(&self, other: &Address) -> bool {
        match (self, other) {
            (Address::Ip(a), Address::Ip(b)) => a == b && a.port() != 0,
            (Address::Unix { path: a, .. }, Address::Unix { path: b, .. }) => a == b,
            _ => false,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(AddressError),
            Some(path) if path.len() > UNIX_PATH_BYTES || path.contains('\0') => Err(AddressError),
            Some(path) => Ok(Address::Unix { path: path.into(), mode: UNIX_MODE }),
            None => text.parse().map(Address::Ip).map_err(|_| AddressError),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Address, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => write!(f, "{address}"),
            Address::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address that cannot be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    /// Someone else is there.
    #[error("\"{0}\" is in use; end the program that listens there (`ss -ltnp` shows it), or choose another port")]
    InUse(SocketAddr),
    /// Someone else is at the unix socket.
    #[error("\"{0}\" is in use; end the program that listens there (`ss -lxp` shows it), or choose another path")]
    UnixInUse(Address),
    /// There is a file that is no socket.
    #[error("\"{0}\" is a file that is no socket; take it away, or choose another path")]
    NoSocket(Address),
    /// Anything else.
    #[error(
        "cannot listen on \"{address}\": {error}; give an address of this machine and a port that this user may use, or the path of a unix socket in a directory that this user may write to"
    )]
    Other {
        /// The address.
        address: Address,
        /// Why.
        error: io::Error,
    },
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    wire: Wire,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a unix socket, which is removed with it.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens on `address`; what comes speaks `wire`.
    ///
    /// # Errors
    /// The address is in use, or not to be had.
    pub fn bind(address: &Address, wire: Wire) -> Result<Listener, BindError> {
        let other = |error| BindError::Other { address: address.clone(), error };
        let socket = match address {
            Address::Ip(ip) => match bind(*ip) {
                Ok(socket) => Bound::Tcp(socket),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(BindError::InUse(*ip)),
                Err(error) => return Err(other(error)),
            },
            Address::Unix { path, mode } => {
                match fs::symlink_metadata(path) {
                    Ok(there) if !there.file_type().is_socket() => return Err(BindError::NoSocket(address.clone())),
                    Ok(_) if UnixStream::connect(path).is_ok() => return Err(BindError::UnixInUse(address.clone())),
                    // Left behind by a server that was killed.
                    Ok(_) => fs::remove_file(path).map_err(other)?,
                    Err(_) => {}
                }
                let socket = bind_unix(path, *mode).map_err(other)?;
                Bound::Unix(socket, SocketFile(path.clone()))
            }
        };
        Ok(Listener { socket, wire })
    }

    /// Where it listens: the port is the one that the system chose where 0 was asked for. `None` for a
    /// unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Bound::Tcp(socket) => socket.local_addr().ok(),
            Bound::Unix(..) => None,
        }
    }

    /// Accepts for ever, on the runtime of the first of `workers`, and gives the sockets to them in turn.
    /// While there is no `room`, or the system has no files or memory, clients wait in the backlog.
    pub async fn accept(self, workers: Arc<[Arc<Inbox>]>, room: Arc<Room>) -> io::Result<()> {
        let mut listening = Listening::new(self.socket)?;
        let mut next = 0;
        let mut warned: Option<Instant> = None;
        let mut wait = |why: &str| {
            let silence = Duration::from_millis(ACCEPT_WARNING_MS);
            if warned.is_none_or(|at| at.elapsed() >= silence) {
                tracing::warn!("new connections have to wait: {why}");
                warned = Some(Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS))
        };
        loop {
            let (stream, peer) = match listening.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_the_clients(&error) => continue,
                Err(error) => {
                    wait(&error.to_string()).await;
                    continue;
                }
            };
            let seat = loop {
                match room.seat() {
                    Some(seat) => break seat,
                    None => wait(&full(room.most())).await,
                }
            };
            let worker = next % workers.len();
            next += 1;
            let socket = if worker == 0 {
                AcceptedSocket::Here(stream)
            } else {
                match AcceptedSocket::unwatch(stream) {
                    Ok(socket) => socket,
                    Err(_) => continue,
                }
            };
            workers[worker].accept(Accepted { socket, peer, wire: self.wire.clone(), seat });
        }
    }
}

fn full(most: usize) -> String {
    format!("there are {most}, as many as the limit of open files allows (ulimit -n)")
}

/// A listener that the present runtime watches.
enum Listening {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener, #[allow(dead_code, reason = "removes the file when it is dropped")] SocketFile),
}

impl Listening {
    fn new(socket: Bound) -> io::Result<Listening> {
        Ok(match socket {
            Bound::Tcp(socket) => Listening::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Bound::Unix(socket, file) => Listening::Unix(tokio::net::UnixListener::from_std(socket)?, file),
        })
    }

    async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Listening::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), peer))
            }
            Listening::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), (Ipv4Addr::LOCALHOST, 0).into()))
            }
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

fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before it listens, nobody can have connected.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
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

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{Address, Listener};
    use crate::limits::RESERVED_FILES;
    use crate::net::queue::{Room, Wire};

    fn bind(address: &str) -> Result<Listener, String> {
        Listener::bind(&address.parse().unwrap(), Wire::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_port_in_use_is_named() {
        let first = bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = bind(&address).unwrap_err();
        assert!(error.contains(&address) && error.contains("in use"), "{error}");
    }

    #[test]
    fn a_unix_socket_is_for_those_whom_its_mode_lets_in_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("roost.sock");
        let address = Address::Unix { path: path.clone(), mode: 0o600 };
        let first = Listener::bind(&address, Wire::default()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = Listener::bind(&address, Wire::default()).unwrap_err().to_string();
        assert!(error.contains("in use") && error.contains(&address.to_string()), "{error}");
        drop(first);
        assert!(!path.exists());
        // One that was killed leaves its file; what is no socket is left alone.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Listener::bind(&address, Wire::default()).unwrap());
        fs::write(&path, "mine").unwrap();
        let error = Listener::bind(&address, Wire::default()).unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["127.0.0.1:6667", "[::1]:6667", "unix:/run/roost.sock", "unix:roost.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "127.0.0.1", "unix:", "/run/roost.sock", &format!("unix:{}", "x".repeat(108))] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_seat_is_given_back_and_some_files_are_left_to_others() {
        let room = Room::new(66);
        assert_eq!(room.most(), 33);
        assert_eq!(Room::new(1024).most(), 1024 - RESERVED_FILES);
        let mut seats: Vec<_> = std::iter::from_fn(|| room.seat()).collect();
        assert_eq!((seats.len(), room.taken()), (33, 33));
        seats.pop();
        assert!(room.seat().is_some());
        seats.clear();
        assert_eq!(room.taken(), 0);
    }
}
