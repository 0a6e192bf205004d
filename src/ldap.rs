//! Logins that a directory judges (`[ldap]`), by LDAP (RFC 4511): a bind with the name and the password that were given.
//!
//! `conf/LDAP.md` says what a directory is asked. Each login has a connection of its own, for a bind makes it that
//! person's, and so a directory that went away and is back is no trouble. Referrals are not followed: nobody's password
//! goes where the configuration does not name.

pub mod filter;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ircv3::message::cut;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapDerefAliases, LdapExtendedRequest, LdapOp, LdapResult, LdapSearchRequest,
};
use ldap3_proto::{LdapCodec, LdapFilter, LdapMsg, LdapResultCode, LdapSearchResultEntry, LdapSearchScope};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::codec::{Decoder as _, Encoder as _};
use url::Url;

use crate::limits::{LDAP_CONNECT_MS, LDAP_MESSAGE_BYTES, LDAP_MESSAGE_DEPTH, LDAP_REASON_BYTES, LDAP_SEARCH_MESSAGES};
use crate::server::settings::Secret;
use crate::witness::{Question, Verdict};

/// The extended operation that TLS begins with (RFC 4511, section 4.14).
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// No attribute, only the entry (RFC 4511, section 4.5.1.8).
const NO_ATTRIBUTE: &str = "1.1";

/// A server of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name or address.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// Whether TLS begins with the first byte.
    pub tls: bool,
}

/// How the entry of an account is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its name is this, with the account in the place for it.
    Named(Box<str>),
    /// It is the only one below `base` that `filter` fits.
    Found {
        /// Who looks for it, and their password; `None`: nobody in particular.
        reader: Option<(Box<str>, Secret)>,
        /// Where.
        base: Box<str>,
        /// Which.
        filter: LdapFilter,
    },
}

/// Who of those in the directory may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// All.
    Any,
    /// Whose entry says that it is in one of these (`memberOf`).
    MemberOf(Vec<Box<str>>),
    /// For whom there is an entry below `base` that `filter` fits.
    Listed {
        /// Where.
        base: Box<str>,
        /// Which.
        filter: LdapFilter,
    },
}

/// A directory, and what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its servers: the first that can be connected to is asked.
    pub places: Vec<Place>,
    /// Whether connections to servers without TLS begin it (StartTLS); nothing is asked where they do not.
    pub starttls: bool,
    /// Certificates of the authority that the servers' own are from, PEM; `None`: one that browsers know.
    pub authority: Option<Box<[u8]>>,
    /// Seconds until its answer.
    pub seconds: u64,
    /// How entries are found.
    pub way: Way,
    /// Who may log in.
    pub group: Group,
    /// The attribute that has the account's name; empty: it is the one that was asked about.
    pub name_attribute: Box<str>,
}

impl Place {
    /// The server at `ldap://host`, `ldap://host:389`, `ldaps://host` or `ldaps://host:636`.
    pub fn parse(text: &str) -> Option<Place> {
        let url = Url::parse(text).ok()?;
        let (tls, port) = match url.scheme() {
            "ldap" => (false, 389),
            "ldaps" => (true, 636),
            _ => return None,
        };
        let more = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
        if more || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
        ServerName::try_from(host).ok()?;
        Some(Place { host: host.into(), port: url.port().unwrap_or(port), tls })
    }

    /// Whether nothing leaves this machine.
    pub fn is_local(&self) -> bool {
        &*self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "ldaps" } else { "ldap" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        f.write_str(&places.join(", "))
    }
}

impl Directory {
    /// Whether it can be asked; what is wrong with the certificates, if anything.
    ///
    /// # Errors
    /// The authority's certificates are none.
    pub fn check(&self) -> Result<(), String> {
        self.connector().map(drop)
    }

    fn connector(&self) -> Result<TlsConnector, String> {
        let roots = match &self.authority {
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| error.to_string())?;
                    roots.add(certificate).map_err(|error| error.to_string())?;
                }
                if roots.is_empty() {
                    return Err("there is none in it".to_owned());
                }
                roots
            }
        };
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Asks it about a login.
    ///
    /// # Errors
    /// It has not judged, for this reason.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Verdict, String> {
        // Without a password, a bind is one of nobody, and succeeds (RFC 4513, section 5.1.2).
        if question.passphrase.is_empty() {
            return Ok(Err("the password is empty".into()));
        }
        let mut connection = self.connect().await?;
        let verdict = self.judge(&mut connection, question).await;
        connection.leave().await;
        verdict
    }

    /// The first server that can be connected to; where it is somebody who looks for entries, it is they.
    async fn connect(&self) -> Result<Connection, String> {
        let mut reasons = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            let connecting = self.connect_to(place);
            let connected = if at + 1 == self.places.len() {
                connecting.await
            } else {
                let patience = Duration::from_millis(LDAP_CONNECT_MS);
                timeout(patience, connecting).await.unwrap_or_else(|_| Err("it does not answer".to_owned()))
            };
            match connected {
                Ok(connection) => {
                    for reason in reasons {
                        tracing::warn!("ldap: {reason}; {place} is asked");
                    }
                    return Ok(connection);
                }
                Err(reason) if self.places.len() == 1 => return Err(reason),
                Err(reason) => reasons.push(format!("{place}: {reason}")),
            }
        }
        Err(reasons.join("; "))
    }

    async fn connect_to(&self, place: &Place) -> Result<Connection, String> {
        let stream = TcpStream::connect((&*place.host, place.port)).await;
        let stream = stream.map_err(|error| format!("it cannot be connected to: {error}"))?;
        let mut connection = Connection::new(Box::new(stream));
        if self.starttls && !place.tls {
            let ask = LdapExtendedRequest { name: START_TLS.to_owned(), value: None };
            match connection.ask(LdapOp::ExtendedRequest(ask)).await? {
                LdapOp::ExtendedResponse(answer) if answer.res.code == LdapResultCode::Success => {}
                LdapOp::ExtendedResponse(answer) => return Err(format!("no StartTLS: {}", told(&answer.res))),
                _ => return Err(STRANGE.to_owned()),
            }
            // Whatever came before TLS may be anyone's.
            if !connection.incoming.is_empty() {
                return Err("it says more before TLS than it may".to_owned());
            }
        }
        if self.starttls || place.tls {
            let name = ServerName::try_from(place.host.to_string()).map_err(|error| error.to_string())?;
            let stream = self.connector()?.connect(name, connection.stream).await;
            connection = Connection::new(Box::new(stream.map_err(|error| format!("no TLS: {error}"))?));
        }
        if let Way::Found { reader: Some((dn, password)), .. } = &self.way {
            let password = String::from_utf8_lossy(password.bytes());
            let answer = connection.bind(dn, &password).await?;
            if answer.code != LdapResultCode::Success {
                return Err(format!("it does not take ldap.bind_dn {dn:?}: {}", told(&answer)));
            }
        }
        Ok(connection)
    }

    async fn judge(&self, connection: &mut Connection, question: &Question) -> Result<Verdict, String> {
        let account = &*question.account;
        match &self.way {
            Way::Named(template) => {
                let dn = template.replace(filter::ACCOUNT, &filter::in_dn(account));
                if let Err(why) = proved(connection, &dn, &question.passphrase).await? {
                    return Ok(Err(why));
                }
                if let Err(why) = self.belongs(connection, account, &dn).await? {
                    return Ok(Err(why));
                }
                if self.name_attribute.is_empty() {
                    return Ok(Ok(Box::default()));
                }
                let anything = LdapFilter::Present("objectClass".to_owned());
                let found = connection.search(&dn, LdapSearchScope::Base, anything, &self.name_attribute).await?;
                let [entry] = found.as_slice() else { return Err(format!("it does not show {dn:?}")) };
                self.named(entry, account)
            }
            Way::Found { base, filter, .. } => {
                let filter = filter::with(filter, account, "");
                let wanted = if self.name_attribute.is_empty() { NO_ATTRIBUTE } else { &self.name_attribute };
                let found = connection.search(base, LdapSearchScope::Subtree, filter, wanted).await?;
                let entry = match found.as_slice() {
                    [entry] => entry,
                    [] => return Ok(Err("it has no entry".into())),
                    _ => return Ok(Err("it has more than one entry".into())),
                };
                // Some servers have an entry without a name, of which to be one takes no password.
                if entry.dn.is_empty() {
                    return Err("the entry has no name".to_owned());
                }
                if let Err(why) = self.belongs(connection, account, &entry.dn).await? {
                    return Ok(Err(why));
                }
                let name = self.named(entry, account)?;
                Ok(proved(connection, &entry.dn, &question.passphrase).await?.and(name))
            }
        }
    }

    /// Whether whoever has this entry may log in.
    async fn belongs(
        &self,
        connection: &mut Connection,
        account: &str,
        dn: &str,
    ) -> Result<Result<(), Box<str>>, String> {
        let found = match &self.group {
            Group::Any => return Ok(Ok(())),
            Group::MemberOf(groups) => {
                // The directory compares, for it knows which ways of writing a name are the same.
                let one = |group: &str| LdapFilter::Equality("memberOf".to_owned(), group.to_owned());
                let any = LdapFilter::Or(groups.iter().map(|group| one(group)).collect());
                connection.search(dn, LdapSearchScope::Base, any, NO_ATTRIBUTE).await?
            }
            Group::Listed { base, filter } => {
                let filter = filter::with(filter, account, dn);
                connection.search(base, LdapSearchScope::Subtree, filter, NO_ATTRIBUTE).await?
            }
        };
        Ok(if found.is_empty() { Err(format!("{dn} is in no group that may log in").into()) } else { Ok(()) })
    }

    /// The name of the account whose entry this is.
    fn named(&self, entry: &LdapSearchResultEntry, account: &str) -> Result<Verdict, String> {
        if self.name_attribute.is_empty() {
            return Ok(Ok(Box::default()));
        }
        let attributes = entry.attributes.iter().filter(|kept| kept.atype.eq_ignore_ascii_case(&self.name_attribute));
        let values: Vec<&str> =
            attributes.flat_map(|kept| &kept.vals).filter_map(|value| std::str::from_utf8(value).ok()).collect();
        match values.as_slice() {
            [name] if !name.is_empty() => Ok(Ok((*name).into())),
            // They have no order; one of them is how it was asked about.
            several => match several.iter().find(|name| name.eq_ignore_ascii_case(account)) {
                Some(name) => Ok(Ok((*name).into())),
                None => Err(format!("{:?} has no {} that names one account", entry.dn, self.name_attribute)),
            },
        }
    }
}

/// Whether the password is that of the entry.
async fn proved(connection: &mut Connection, dn: &str, password: &str) -> Result<Result<(), Box<str>>, String> {
    let answer = connection.bind(dn, password).await?;
    match answer.code {
        LdapResultCode::Success => Ok(Ok(())),
        // The password is wrong, or the entry has none, is locked or may not log in.
        LdapResultCode::InvalidCredentials
        | LdapResultCode::InappropriateAuthentication
        | LdapResultCode::NoSuchObject
        | LdapResultCode::ConstraintViolation
        | LdapResultCode::InsufficentAccessRights
        | LdapResultCode::UnwillingToPerform => Ok(Err(format!("{dn}: {}", told(&answer)).into())),
        _ => Err(format!("it does not say whether the password of {dn:?} is right: {}", told(&answer))),
    }
}

/// What a result says, in words.
fn told(result: &LdapResult) -> String {
    let code = format!("{:?} ({})", result.code, result.code.clone() as i64);
    let message = cut(result.message.trim_end_matches('\0').trim(), LDAP_REASON_BYTES);
    if message.is_empty() { code } else { format!("{code}: {}", message.escape_debug()) }
}

const STRANGE: &str = "it answers what was not asked";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection to a server, on which one thing is asked at a time.
struct Connection {
    stream: Box<dyn Stream>,
    codec: LdapCodec,
    incoming: BytesMut,
    asked: i32,
}

impl Connection {
    fn new(stream: Box<dyn Stream>) -> Connection {
        let codec = LdapCodec::new(Some(LDAP_MESSAGE_BYTES), Some(LDAP_MESSAGE_DEPTH));
        Connection { stream, codec, incoming: BytesMut::new(), asked: 0 }
    }

    async fn send(&mut self, op: LdapOp) -> Result<(), String> {
        self.asked += 1;
        let mut outgoing = BytesMut::new();
        let message = LdapMsg { msgid: self.asked, op, ctrl: Vec::new() };
        self.codec.encode(message, &mut outgoing).map_err(|error| error.to_string())?;
        let sent = async {
            self.stream.write_all(&outgoing).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| format!("the connection broke: {error}"))
    }

    /// The next message about what was asked last.
    async fn receive(&mut self) -> Result<LdapOp, String> {
        loop {
            let message = self.codec.decode(&mut self.incoming);
            match message.map_err(|error| format!("it does not speak LDAP as it should: {error}"))? {
                Some(message) if message.msgid == self.asked => return Ok(message.op),
                // It says why it ends the connection (RFC 4511, section 4.4.1).
                Some(LdapMsg { msgid: 0, op: LdapOp::ExtendedResponse(notice), .. }) => {
                    return Err(format!("it ended the connection: {}", told(&notice.res)));
                }
                Some(_) => return Err(STRANGE.to_owned()),
                None => {}
            }
            let read = self.stream.read_buf(&mut self.incoming).await;
            if read.map_err(|error| format!("the connection broke: {error}"))? == 0 {
                return Err("it ended the connection".to_owned());
            }
        }
    }

    async fn ask(&mut self, op: LdapOp) -> Result<LdapOp, String> {
        self.send(op).await?;
        self.receive().await
    }

    /// A simple bind (RFC 4513, section 5.1), never without a password.
    async fn bind(&mut self, dn: &str, password: &str) -> Result<LdapResult, String> {
        if dn.is_empty() || password.is_empty() {
            return Err("a name or password is empty; the bind would be one of nobody".to_owned());
        }
        let cred = LdapBindCred::Simple(password.to_owned());
        let bind = LdapOp::BindRequest(LdapBindRequest { version: 3, dn: dn.to_owned(), cred });
        match self.ask(bind).await? {
            LdapOp::BindResponse(answer) => Ok(answer.res),
            _ => Err(STRANGE.to_owned()),
        }
    }

    /// The entries, of which two stand for two or more.
    async fn search(
        &mut self,
        base: &str,
        scope: LdapSearchScope,
        filter: LdapFilter,
        wanted: &str,
    ) -> Result<Vec<LdapSearchResultEntry>, String> {
        let request = LdapSearchRequest {
            base: base.to_owned(),
            scope,
            aliases: LdapDerefAliases::Never,
            sizelimit: 2,
            timelimit: 0,
            typesonly: false,
            filter,
            attrs: vec![wanted.to_owned()],
        };
        self.send(LdapOp::SearchRequest(request)).await?;
        let mut found = Vec::new();
        for _ in 0..LDAP_SEARCH_MESSAGES {
            match self.receive().await? {
                LdapOp::SearchResultEntry(entry) if found.len() < 2 => found.push(entry),
                LdapOp::SearchResultEntry(_) | LdapOp::SearchResultReference(_) => {}
                LdapOp::SearchResultDone(end) => match end.code {
                    LdapResultCode::Success => return Ok(found),
                    LdapResultCode::SizeLimitExceeded if found.len() == 2 => return Ok(found),
                    _ => return Err(format!("it does not search {base:?}: {}", told(&end))),
                },
                _ => return Err(STRANGE.to_owned()),
            }
        }
        Err(format!("it sends more about {base:?} than was asked for"))
    }

    /// Says that this is the end. Whoever does not hear it sees the connection end.
    async fn leave(mut self) {
        let _ = self.send(LdapOp::UnbindRequest).await;
        let _ = self.stream.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::{Directory, Group, Place, Way, filter};
    use crate::server::event::{CallId, ConnId, Event, Returned};
    use crate::server::settings::Secret;
    use crate::witness::{Asker, Question, Witness};

    #[test]
    fn a_server_is_read_from_its_url() {
        for (url, shown) in [
            ("ldaps://ldap.example.org", "ldaps://ldap.example.org:636"),
            ("ldap://127.0.0.1", "ldap://127.0.0.1:389"),
            ("ldap://[::1]:3890/", "ldap://[::1]:3890"),
        ] {
            assert_eq!(Place::parse(url).unwrap().to_string(), shown);
        }
        assert!(
            Place::parse("ldap://[::1]").unwrap().is_local() && Place::parse("ldap://localhost").unwrap().is_local()
        );
        assert!(!Place::parse("ldap://10.0.0.1").unwrap().is_local());
        let none = [
            "",
            "ldap.example.org",
            "http://a.example",
            "ldap://",
            "ldap://a:b@c.example",
            "ldap://a/dc=b",
            "ldap://a?b",
        ];
        for text in none {
            assert!(Place::parse(text).is_none(), "{text}");
        }
    }

    fn directory(address: SocketAddr, way: Way) -> Directory {
        Directory {
            places: vec![Place { host: address.ip().to_string().into(), port: address.port(), tls: false }],
            starttls: false,
            authority: None,
            seconds: 2,
            way,
            group: Group::Any,
            name_attribute: Box::default(),
        }
    }

    fn named() -> Way {
        Way::Named("uid={account},dc=example".into())
    }

    fn found() -> Way {
        let reader = Some(("cn=reader".into(), Secret::new("hush")));
        Way::Found { reader, base: "dc=example".into(), filter: filter::parse("(uid={account})").unwrap() }
    }

    fn judged(directory: Directory, password: &str) -> Returned {
        let (sender, answers) = channel();
        let deliver = move |event| match event {
            Event::Returned(_, returned) => sender.send(returned).unwrap(),
            other => panic!("{other:?}"),
        };
        let asker = Asker::new(Arc::new(deliver)).unwrap();
        let question =
            Question { account: "alice".into(), passphrase: password.into(), certfp: None, ip: "::1".into() };
        let id = CallId { conn: ConnId { worker: 0, slot: 0 }, serial: 1 };
        asker.submit(id, question, Arc::new(Witness::Ldap(Box::new(directory))));
        answers.recv().unwrap()
    }

    /// A server that answers each message with the next of these bytes, and then ends the connection.
    fn server(answers: &'static [&'static [u8]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                if stream.read(&mut [0; 4096]).unwrap_or(0) == 0 || stream.write_all(answer).is_err() {
                    return;
                }
            }
        });
        address
    }

    const BOUND: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";

    #[test]
    fn an_empty_password_is_never_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        for way in [named(), found()] {
            let returned = judged(directory(listener.local_addr().unwrap(), way), "");
            assert!(
                matches!(&returned, Returned::Judged(Err(why)) if &**why == "the password is empty"),
                "{returned:?}"
            );
        }
        assert!(listener.accept().is_err(), "somebody connected");
    }

    #[test]
    fn an_answer_that_is_none_lets_nobody_in() {
        // The same question, answered well, lets in.
        let returned = judged(directory(server(&[BOUND]), named()), "sesame");
        assert!(matches!(&returned, Returned::Judged(Ok(name)) if name.is_empty()), "{returned:?}");
        let strange: &[(&'static [&'static [u8]], &str)] = &[
            (&[], "connection"),
            (&[b"SSH-2.0-OpenSSH_9.2\r\n"], ""),
            (&[b"\x30\x00"], "speak LDAP"),
            (&[b"\x30\x03\x02\x01\x01"], "speak LDAP"),
            (&[b"\x30\x05\x02\x01\x01\x61\x00"], "speak LDAP"),
            // Answers another question, a search instead of a bind, with a code that is none, or says that it ends.
            (&[b"\x30\x0c\x02\x01\x07\x61\x07\x0a\x01\x00\x04\x00\x04\x00"], "not asked"),
            (&[b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00"], "not asked"),
            (&[b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x4f\x04\x00\x04\x00"], "speak LDAP"),
            (&[b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00"], "Unavailable (52)"),
            // A referral is another server's word.
            (&[b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x0a\x04\x00\x04\x00"], "Referral (10)"),
            (&[b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01", &[0; 200_000]], ""),
        ];
        for (answers, part) in strange {
            match judged(directory(server(answers), named()), "sesame") {
                Returned::Failed(reason) => assert!(reason.contains(part), "{answers:?}: {reason}"),
                other => panic!("{answers:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_server_that_has_no_starttls_is_not_asked_without() {
        let refused: &[&[u8]] = &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"];
        let directory = Directory { starttls: true, ..self::directory(server(refused), named()) };
        let returned = judged(directory, "sesame");
        assert!(
            matches!(&returned, Returned::Failed(why) if why.contains("no StartTLS: ProtocolError")),
            "{returned:?}"
        );
        // Nor is what it says before TLS taken for what comes behind.
        let more: &[&[u8]] = &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x30"];
        let directory = Directory { starttls: true, ..self::directory(server(more), named()) };
        let returned = judged(directory, "sesame");
        assert!(matches!(&returned, Returned::Failed(why) if why.contains("before TLS")), "{returned:?}");
    }

    #[test]
    fn no_password_is_shown() {
        let shown = format!("{:?}", directory("127.0.0.1:1".parse().unwrap(), found()));
        assert!(shown.contains("cn=reader") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn an_authority_that_is_none_is_found_before_any_login() {
        let broken: &[u8] = b"-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n";
        for pem in [broken, b"nothing"] {
            let directory =
                Directory { authority: Some(pem.into()), ..directory("127.0.0.1:1".parse().unwrap(), named()) };
            assert!(directory.check().is_err());
        }
        assert!(directory("127.0.0.1:1".parse().unwrap(), named()).check().is_ok());
    }
}
