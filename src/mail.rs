//! Mail: codes go out by SMTP (RFC 5321), off the server thread.
//!
//! One thread with a runtime of its own sends a few letters at a time. Each has one deadline, from when it was
//! handed in to when the mail server has taken it, so a mail server that is dead or slow holds up nobody for
//! longer, and everything else not at all.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::limits::{LETTER_MS, LETTERS_AT_ONCE, LETTERS_WAITING};
use crate::server::event::{CallId, Event, Returned};

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS, which the mail server must offer.
    StartTls,
    /// Not at all.
    None,
}

/// The mail server that letters are handed to, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Its name or address.
    pub server: Box<str>,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub protection: Protection,
    /// Certificates of the authority that its own is from, PEM; `None`: one that browsers know.
    pub authority: Option<Box<[u8]>>,
    /// User name and password.
    pub login: Option<(Box<str>, Box<str>)>,
    /// From whom letters are.
    pub sender: Box<str>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({}:{})", self.server, self.port)
    }
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The address.
    pub to: Box<str>,
    /// The subject.
    pub subject: Box<str>,
    /// The text.
    pub body: Box<str>,
}

/// Why a letter was not sent.
#[derive(Debug, PartialEq, Eq)]
enum Unsent {
    /// The mail server refuses the address for good.
    Refused(String),
    /// Another time it may be sent.
    Failed(String),
}

/// Whether `text` can be an address to send to: one mailbox, without a name, at a domain. Nothing is mailed to an address
/// of a machine (`alice@[192.0.2.1]`).
pub fn is_address(text: &str) -> bool {
    !text.ends_with(']') && !text.contains('"') && text.parse::<lettre::Address>().is_ok()
}

/// Whether `text` can be a sender: `noreply@example.org`, or `Roost <noreply@example.org>`.
pub fn is_sender(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

impl Smtp {
    /// Whether letters can be handed over so; what is wrong with the certificates, if anything.
    ///
    /// # Errors
    /// The authority's certificates are none.
    pub fn check(&self) -> Result<(), String> {
        self.transport().map(drop)
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let tls = match self.protection {
            Protection::None => Tls::None,
            Protection::Tls => Tls::Wrapper(self.parameters()?),
            Protection::StartTls => Tls::Required(self.parameters()?),
        };
        let sender: Mailbox = self.sender.parse().map_err(|error| format!("the sender: {error}"))?;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&*self.server)
            .port(self.port)
            .tls(tls)
            .hello_name(ClientId::Domain(sender.email.domain().to_owned()))
            .timeout(Some(Duration::from_millis(LETTER_MS)));
        if let Some((name, password)) = &self.login {
            transport = transport.credentials(Credentials::new(name.to_string(), password.to_string()));
        }
        Ok(transport.build())
    }

    fn parameters(&self) -> Result<TlsParameters, String> {
        let mut parameters = TlsParameters::builder(self.server.to_string());
        if let Some(pem) = &self.authority {
            let certificate = Certificate::from_pem(pem).map_err(|error| error.to_string())?;
            parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(certificate);
        }
        parameters.build().map_err(|error| error.to_string())
    }

    async fn send(&self, letter: &Letter) -> Result<(), Unsent> {
        let failed = |error: &dyn fmt::Display| Unsent::Failed(error.to_string());
        let refused = |error: &dyn fmt::Display| Unsent::Refused(error.to_string());
        let sender: Mailbox = self.sender.parse().map_err(|error| failed(&error))?;
        let to: lettre::Address = letter.to.parse().map_err(|error| refused(&error))?;
        let id = format!("<{:032x}@{}>", rand::random::<u128>(), sender.email.domain());
        let message = Message::builder()
            .from(sender)
            .to(Mailbox::new(None, to))
            .subject(&*letter.subject)
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body.to_string())
            .map_err(|error| failed(&error))?;
        let transport = self.transport().map_err(|error| failed(&error))?;
        match transport.send(message).await {
            Ok(_) => Ok(()),
            // Of what is refused for good, these are about the mailbox (RFC 5321, section 4.2.3); a password
            // that is wrong may be right another time.
            Err(error) if error.status().is_some_and(|code| matches!(u16::from(code), 550..=553 | 556)) => {
                Err(refused(&error))
            }
            // Mail servers take letters of other scripts than Latin in an address, or never do (RFC 6531).
            Err(error) if error.is_client() && !letter.to.is_ascii() => Err(refused(&error)),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Where an answer goes: to the server thread.
pub type Deliver = Arc<dyn Fn(Event) + Send + Sync>;

/// The thread that sends letters. Every letter that is submitted is answered once, with `Event::Returned`, unless
/// the server ends before.
pub struct Poster {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    deliver: Deliver,
}

struct Job {
    id: CallId,
    letter: Letter,
    smtp: Arc<Smtp>,
    deadline: Instant,
}

impl Poster {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new(deliver: Deliver) -> std::io::Result<Poster> {
        let (queue, jobs) = mpsc::channel(LETTERS_WAITING);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let answers = deliver.clone();
        let thread = std::thread::Builder::new().name("mail".into());
        // What is under way when it ends is dropped: it is sent again after the next start.
        let thread = thread.spawn(move || {
            runtime.block_on(post(jobs, answers));
            // A look-up of a name may take long yet.
            runtime.shutdown_background();
        })?;
        Ok(Poster { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), deliver })
    }

    /// Has a letter sent, or fails it at once where too many wait. Never waits.
    pub fn submit(&self, id: CallId, letter: Letter, smtp: Arc<Smtp>) {
        let deadline = Instant::now() + Duration::from_millis(LETTER_MS);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let job = Job { id, letter, smtp, deadline };
        if queue.as_ref().is_none_or(|queue| queue.try_send(job).is_err()) {
            (self.deliver)(Event::Returned(id, Returned::Failed("too many letters wait to be sent".into())));
        }
    }

    /// Ends the thread.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl Drop for Poster {
    fn drop(&mut self) {
        self.close();
    }
}

async fn post(mut jobs: mpsc::Receiver<Job>, deliver: Deliver) {
    let room = Arc::new(Semaphore::new(LETTERS_AT_ONCE));
    while let Some(job) = jobs.recv().await {
        let (room, deliver) = (room.clone(), deliver.clone());
        tokio::spawn(async move {
            let Job { id, letter, smtp, deadline } = job;
            let sent = timeout_at(deadline, async {
                let _permit = room.acquire().await;
                smtp.send(&letter).await
            });
            let returned = match sent.await {
                Ok(Ok(())) => Returned::Mailed(Ok(())),
                Ok(Err(Unsent::Refused(reason))) => Returned::Mailed(Err(reason.into())),
                Ok(Err(Unsent::Failed(reason))) => Returned::Failed(reason.into()),
                Err(_) => Returned::Failed("the mail server takes too long".into()),
            };
            deliver(Event::Returned(id, returned));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Protection, Smtp, is_address, is_sender};

    #[test]
    fn addresses_and_senders() {
        for good in ["alice@example.org", "a.b+c@mail.example.org", "älice@exämple.org"] {
            assert!(is_address(good) && is_sender(good), "{good}");
        }
        for bad in [
            "",
            "alice",
            "alice@",
            "@example.org",
            "a b@example.org",
            "a@b@c",
            "a@example.org\r\nBcc: b@c.org",
            "a@[127.0.0.1]",
            "\"a@b\"@example.org",
        ] {
            assert!(!is_address(bad), "{bad:?}");
        }
        assert!(is_sender("Roost <noreply@example.org>") && !is_address("Roost <noreply@example.org>"));
    }

    #[test]
    fn an_authority_that_is_none_is_found_before_any_letter() {
        let smtp = |authority: &str| Smtp {
            server: "mail.example.org".into(),
            port: 587,
            protection: Protection::StartTls,
            authority: Some(authority.as_bytes().into()),
            login: Some(("me".into(), "secret".into())),
            sender: "noreply@example.org".into(),
        };
        let broken = "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n";
        assert!(smtp(broken).check().is_err());
        assert!(!format!("{:?}", smtp(broken)).contains("secret"));
    }
}
