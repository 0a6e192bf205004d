//! What must hold when the connection to PostgreSQL is lost, at whatever moment.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::server::event::Event;
use crate::server::record::{AccountRow, ConversationRow, Kind, MessageRow, Record, Seq};
use crate::store::StoreError;
use crate::store::bed::Schema;
use crate::store::suite::{Running, latest, message, said, text};

/// What a failing network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// An answer is lost: PostgreSQL has done what was asked for, and the store does not hear of it.
    Answer,
    /// A question is lost.
    Question,
    /// An answer is lost, and PostgreSQL does not hear that the connection is no more.
    Unheard,
}

/// A network between the store and PostgreSQL, which fails when it is told to.
struct Network {
    dir: TempDir,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The how manieth piece is lost, and how.
    armed: Mutex<Option<(usize, Cut)>>,
    down: AtomicBool,
    /// Both ends of each connection.
    open: Mutex<Vec<UnixStream>>,
}

impl State {
    /// What happens to this piece.
    fn cut(&self, answer: bool) -> Option<Cut> {
        let mut armed = self.armed.lock().unwrap();
        let (left, cut) = armed.as_mut()?;
        if (*cut == Cut::Question) == answer {
            return None;
        }
        *left -= 1;
        if *left > 0 {
            return None;
        }
        armed.take().map(|(_, cut)| cut)
    }

    fn carry(self: &Arc<State>, mut client: UnixStream, mut server: UnixStream) {
        let heard = Arc::new(AtomicBool::new(true));
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        self.open.lock().unwrap().extend([server.try_clone().unwrap(), client.try_clone().unwrap()]);
        let (there, still_heard) = (self.clone(), heard.clone());
        thread::spawn(move || {
            let mut bytes = vec![0; 1 << 20];
            while let Ok(count @ 1..) = client.read(&mut bytes) {
                if there.cut(false).is_some() || server.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _ = client.shutdown(Shutdown::Both);
            if still_heard.load(Ordering::SeqCst) {
                let _ = server.shutdown(Shutdown::Both);
            }
        });
        let back = self.clone();
        thread::spawn(move || {
            let mut bytes = vec![0; 1 << 20];
            while let Ok(count @ 1..) = from_server.read(&mut bytes) {
                let cut = back.cut(true);
                if cut == Some(Cut::Unheard) {
                    heard.store(false, Ordering::SeqCst);
                }
                if cut.is_some() || to_client.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _ = to_client.shutdown(Shutdown::Both);
        });
    }
}

impl Network {
    /// To the server of this schema, which is on a socket.
    fn to(schema: &Schema) -> Network {
        let options = PgConnectOptions::from_str(&schema.url()).unwrap();
        let file = format!(".s.PGSQL.{}", options.get_port());
        let server: PathBuf = options.get_socket().expect("ROOST_TEST_POSTGRES is the URL of a socket").join(&file);
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join(&file)).unwrap();
        let state = Arc::new(State::default());
        let network = Network { dir, state: state.clone() };
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !state.down.load(Ordering::SeqCst) {
                    state.carry(client, UnixStream::connect(&server).unwrap());
                }
            }
        });
        network
    }

    /// The URL of the schema through it.
    fn url(&self, schema: &Schema) -> String {
        let options = PgConnectOptions::from_str(&schema.url()).unwrap();
        let host = self.dir.path().display().to_string().replace('/', "%2F");
        let (user, database) = (options.get_username(), options.get_database().unwrap());
        let url = schema.url();
        let (_, query) = url.split_once('?').unwrap();
        format!("postgres://{user}@{host}/{database}?{query}")
    }

    /// The `piece`th piece from now on is lost, and its connection with it.
    fn arm(&self, piece: usize, cut: Cut) {
        *self.state.armed.lock().unwrap() = Some((piece, cut));
    }

    /// Takes it back; whether it has happened.
    fn disarm(&self) -> bool {
        self.state.armed.lock().unwrap().take().is_none()
    }

    /// All connections end, and there are no more.
    fn fail(&self) {
        self.state.down.store(true, Ordering::SeqCst);
        for end in self.state.open.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn recover(&self) {
        self.state.down.store(false, Ordering::SeqCst);
    }
}

/// A batch that comes to many statements: the message that it adds, one that it takes back, and more.
fn mixed(seq: Seq) -> Vec<(Seq, Record)> {
    let account = AccountRow {
        email: None,
        verified: true,
        id: seq,
        name: "Alice".into(),
        folded: "alice".into(),
        password: "$2b$hash".into(),
        registered: 5,
        autoreplay_missed: true,
        always_on: None,
        multiclient: false,
    };
    let redaction = MessageRow { argument: Some("id".into()), ..message(1, 1001 + seq, Kind::Redact, "oops") };
    vec![
        said(seq, "gone at once"),
        (seq + 1, Record::Redacted(seq)),
        (seq + 1, Record::Message(Box::new(redaction))),
        (seq + 2, Record::Conversation(ConversationRow { id: seq, key: "#rust".into(), ..ConversationRow::default() })),
        (seq + 2, Record::Account(Box::new(account.clone()))),
        (seq + 2, Record::AccountGone(seq)),
        (seq + 2, Record::Account(Box::new(AccountRow { name: "Bob".into(), ..account }))),
        said(seq + 3, &format!("m{}", seq + 3)),
    ]
}

#[test]
fn whatever_piece_is_lost_everything_is_kept_once_and_nobody_hears_of_it() {
    let Some(schema) = Schema::new() else { return };
    let network = Network::to(&schema);
    let running = Running::with(network.url(&schema));
    let (mut seq, mut expected, mut many) = (0, Vec::new(), 0);
    for cut in [Cut::Question, Cut::Answer, Cut::Unheard] {
        for of_many in [false, true] {
            // Each piece in turn, until a batch has no more of them.
            for piece in 1.. {
                let records = if of_many { mixed(seq + 1) } else { vec![said(seq + 1, &format!("m{}", seq + 1))] };
                seq = records.last().unwrap().0;
                network.arm(piece, cut);
                running.store.append(records);
                // Only marks may come: a store that fails is a failure of this test.
                running.committed(seq);
                expected.push(format!(" :m{seq}\r\n"));
                many += usize::from(of_many);
                if !network.disarm() {
                    // BEGIN, COMMIT and ten statements between them.
                    assert!(piece > if of_many { 12 } else { 1 }, "{cut:?}: {piece}");
                    break;
                }
            }
        }
    }
    let page = running.page(latest(1, 1000));
    let lines = text(&page);
    let found: Vec<&str> = lines.split_inclusive("\r\n").filter(|line| line.contains(" PRIVMSG ")).collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.ends_with(expected.as_str()), "{found} and not {expected}");
    }
    assert_eq!(schema.count("SELECT count(*) FROM account WHERE name = 'Bob'"), many as i64);
    running.close();
}

#[test]
fn a_question_whose_connection_is_gone_is_put_again() {
    let Some(schema) = Schema::new() else { return };
    let network = Network::to(&schema);
    let running = Running::with(network.url(&schema));
    running.store.append((1..=50).map(|seq| said(seq, &format!("m{seq}"))).collect());
    // Every reader has a connection, by and by.
    for _ in 0..20 {
        assert_eq!(running.page(latest(1, 100)).messages, 50);
    }
    for cut in [Cut::Question, Cut::Answer] {
        for _ in 0..8 {
            network.arm(1, cut);
            assert_eq!(running.page(latest(1, 100)).messages, 50);
            assert!(network.disarm());
        }
    }
    running.close();
}

#[test]
fn while_there_is_no_connection_records_wait_and_then_all_are_kept() {
    let Some(schema) = Schema::new() else { return };
    let network = Network::to(&schema);
    let running = Running::with(network.url(&schema));
    running.store.append(vec![said(1, "m1")]);
    running.committed(1);
    for round in 0..3 {
        network.fail();
        let first = 2 + 50 * round;
        running.store.append(vec![said(first, &format!("m{first}"))]);
        match running.next() {
            Event::StoreFailed(reason) => assert!(reason.contains("postgres://"), "{reason}"),
            other => panic!("{other:?}"),
        }
        for seq in first + 1..first + 50 {
            running.store.append(vec![said(seq, &format!("m{seq}"))]);
        }
        assert_eq!(running.store.waiting(), 50);
        network.recover();
        assert!(matches!(running.next(), Event::StoreRecovered));
        running.committed(first + 49);
        assert_eq!(running.page(latest(1, 1000)).messages as u64, first + 49);
    }
    running.close();
}

#[test]
fn a_server_whose_database_another_has_used_meanwhile_writes_no_more() {
    let Some(schema) = Schema::new() else { return };
    let network = Network::to(&schema);
    let running = Running::with(network.url(&schema));
    running.store.append(vec![said(1, "first")]);
    running.committed(1);
    network.fail();
    running.store.append(vec![said(2, "first")]);
    assert!(matches!(running.next(), Event::StoreFailed(_)));
    let second = Running::with(schema.url());
    assert_eq!(second.snapshot.boot, 2);
    second.store.append(vec![said(3, "second")]);
    second.committed(3);
    second.close();
    network.recover();
    let error = running.store.close().unwrap_err();
    assert!(matches!(&error, StoreError::Unwritten { records: 1, .. }), "{error}");
    assert!(error.to_string().contains("another Roost has used"), "{error}");
    assert_eq!(schema.count("SELECT count(*) FROM message WHERE text = 'first'"), 1);
    assert_eq!(schema.count("SELECT count(*) FROM message WHERE text = 'second'"), 1);
}
