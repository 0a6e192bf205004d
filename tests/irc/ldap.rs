//! `[ldap]`: logins that a directory judges, which is a real OpenLDAP (`slapd`).
//!
//! Where that is missing, these tests do not run, and say so; where `ROOST_TEST_ALL` is set, they fail instead.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::client::{find, plain};
use crate::disaster::until_said;
use crate::sasl::{Kind, Scram};
use crate::script::{app_password, sasl, suspended};
use crate::second::enrol;
use crate::server::{PATIENCE, Server, free_ports, own_address};

/// Whoever is in the directory has the password `open`, but for `mute`, who has none.
const PEOPLE: &str = "ou=people,dc=example,dc=org";
/// Who may look for entries, with the password `reader`.
const READER: &str = "cn=roost,dc=example,dc=org";
const IRC: &str = "cn=irc,ou=groups,dc=example,dc=org";

/// A running `slapd` with a few people. Dropping it ends it.
struct Slapd {
    child: Option<Child>,
    program: PathBuf,
    home: TempDir,
    plain: SocketAddr,
    tls: SocketAddr,
    /// Its certificate, PEM, which is its own authority.
    certificate: String,
}

fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps it out of the PATH of most.
    let places = env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/lib/openldap")]);
    let found = places.map(|place| place.join("slapd")).find(|file| file.is_file());
    if found.is_none() {
        assert!(env::var_os("ROOST_TEST_ALL").is_none(), "ROOST_TEST_ALL is set, but there is no slapd");
        let said = "\n*** SKIPPED: a test of LDAP; there is no slapd, which `tests/run` installs. ***\n";
        std::io::stderr().write_all(said.as_bytes()).unwrap();
    }
    found
}

/// An entry of a person, whose name may have any letters.
fn person(uid: &str, below: &str, more: &str) -> String {
    let dn = STANDARD.encode(format!("uid={},{below}", uid.replace('\\', "\\5c")));
    let uid = STANDARD.encode(uid);
    format!("dn:: {dn}\nobjectClass: inetOrgPerson\nuid:: {uid}\ncn: x\nsn: x\n{more}\n")
}

impl Slapd {
    /// `None` where there is none.
    fn start() -> Option<Slapd> {
        let program = program()?;
        let home = tempfile::Builder::new().prefix("roost-slapd-").tempdir().unwrap();
        let address = own_address();
        let [plain, tls] = free_ports(address);
        let made = rcgen::generate_simple_self_signed([address.to_string()]).unwrap();
        let certificate = made.cert.pem();
        let at = |name: &str| home.path().join(name).display().to_string();
        fs::write(at("certificate.pem"), &certificate).unwrap();
        fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fs::create_dir(at("database")).unwrap();
        let schemas = ["/etc/ldap/schema", "/etc/openldap/schema"];
        let schemas = schemas.into_iter().find(|place| Path::new(place).is_dir()).unwrap();
        let includes: String =
            ["core", "cosine", "inetorgperson"].map(|name| format!("include {schemas}/{name}.schema\n")).concat();
        let modules = if Path::new("/usr/lib/ldap").is_dir() { "modulepath /usr/lib/ldap\n" } else { "" };
        // To this one, a bind without a password is one that succeeds.
        let config = format!(
            "{includes}allow bind_anon_cred bind_anon_dn\n{modules}moduleload back_mdb\nmoduleload memberof\n\
             TLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
             database mdb\nsuffix \"dc=example,dc=org\"\ndirectory {}\noverlay memberof\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact=\"{READER}\" read by self read by * none\n",
            at("certificate.pem"),
            at("key.pem"),
            at("database")
        );
        fs::write(at("slapd.conf"), config).unwrap();
        let open = "userPassword: open\n";
        let member = format!("{open}memberOf: {IRC}\n");
        let entries = [
            "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
                .into(),
            format!("dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n"),
            format!("dn: ou=more,{PEOPLE}\nobjectClass: organizationalUnit\nou: more\n\n"),
            "dn: ou=groups,dc=example,dc=org\nobjectClass: organizationalUnit\nou: groups\n\n".into(),
            format!(
                "dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: roost\n\
                 userPassword: reader\n\n"
            ),
            person("alice", PEOPLE, &member),
            person("Bob", PEOPLE, &member),
            person("carol", PEOPLE, open),
            person("twin", PEOPLE, open),
            person("twin", &format!("ou=more,{PEOPLE}"), open),
            person("mute", PEOPLE, ""),
            person(r"a\b", PEOPLE, open),
            person("{dn}", PEOPLE, open),
            person("élan", PEOPLE, open),
            format!(
                "dn: {IRC}\nobjectClass: groupOfNames\ncn: irc\nmember: uid=alice,{PEOPLE}\nmember: uid=bob,{PEOPLE}\n"
            ),
        ];
        fs::write(at("people.ldif"), entries.concat()).unwrap();
        // It is the same program, by another name.
        let mut add = Command::new(&program);
        add.args(["-T", "add", "-f", &at("slapd.conf"), "-l", &at("people.ldif")]);
        let added = add.output().unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let mut slapd = Slapd { child: None, program, home, plain, tls, certificate };
        slapd.start_again();
        Some(slapd)
    }

    fn start_again(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-f").arg(self.home.path().join("slapd.conf")).args(["-d", "0", "-h"]);
        command.arg(format!("ldap://{} ldaps://{}", self.plain, self.tls));
        let log = fs::File::create(self.home.path().join("log")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        // That it listens cannot be awaited, only tried.
        while TcpStream::connect(self.plain).and_then(|_| TcpStream::connect(self.tls)).is_err() {
            let log = || fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "slapd ended: {}", log());
            assert!(Instant::now() < deadline, "slapd never listened: {}", log());
            thread::sleep(Duration::from_millis(3));
        }
        self.child = Some(child);
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn url(&self) -> String {
        format!("ldap://{}", self.plain)
    }

    fn server(&self, way: &[(&str, &str)], more: &[(&str, &str)]) -> Server {
        Server::with(&[&[(URLS, &*self.url())], way, more].concat())
    }

    /// A file with its certificate.
    fn authority(&self) -> String {
        self.home.path().join("certificate.pem").display().to_string()
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

const URLS: &str = "ROOST__LDAP__URLS";
const AUTOCREATE: (&str, &str) = ("ROOST__LDAP__AUTOCREATE", "true");
const FIRST: (&str, &str) = ("ROOST__LDAP__FIRST", "true");
const NAMED: &[(&str, &str)] = &[("ROOST__LDAP__USER_DN", "uid={account},ou=people,dc=example,dc=org")];
const FOUND: &[(&str, &str)] = &[
    ("ROOST__LDAP__BIND_DN", READER),
    ("ROOST__LDAP__BIND_PASSWORD", "reader"),
    ("ROOST__LDAP__BASE", PEOPLE),
    ("ROOST__LDAP__FILTER", "(&(objectClass=inetOrgPerson)(uid={account}))"),
];

/// That a login fails because it cannot be judged.
#[track_caller]
fn cannot_be_judged(server: &Server, account: &str, part: &str) {
    let (logged_in, why) = sasl(server, account, "open");
    assert!(!logged_in && why.contains("cannot be checked now"), "{why}");
    until_said(server, part);
}

/// That a password is refused, of which the log says this.
#[track_caller]
fn is_refused(server: &Server, account: &str, password: &str, part: &str) {
    let (logged_in, why) = sasl(server, account, password);
    assert!(!logged_in && why.contains("the account or the password is wrong"), "{why}");
    until_said(server, part);
}

#[test]
fn whoever_the_directory_lets_in_gets_an_account_by_every_door_and_an_app_password_of_it() {
    let Some(mut slapd) = Slapd::start() else { return };
    for way in [NAMED, FOUND] {
        let mut server = slapd.server(way, &[AUTOCREATE]);
        assert_eq!(sasl(&server, "alice@phone", "open"), (true, "alice".into()));
        is_refused(&server, "alice", "shut", "InvalidCredentials (49)");
        // To this directory, an empty password is a bind of nobody, which succeeds.
        assert!(!sasl(&server, "alice", "").0);
        let mut nobody = server.connect();
        nobody.send_all(&["PASS alice:", "NICK nobody", "USER nobody 0 * :x"]);
        assert!(nobody.welcome("nobody").iter().all(|line| line.command() != "900"));
        let mut bob = server.user("bob");
        let told = bob.told("NS IDENTIFY bob shut");
        assert!(told.contains("You are not logged in"), "{told}");
        let told = bob.told("NS IDENTIFY bob open");
        assert!(told.contains("You are now logged in"), "{told}");
        let mut carol = server.connect();
        carol.send_all(&["PASS carol:open", "NICK carol", "USER carol 0 * :x"]);
        find(&carol.welcome("carol"), "900");

        // There is no password here, so SCRAM lets nobody in; an app password does, and asks nobody.
        let mut guest = server.user_with("guest", "sasl");
        assert_eq!(guest.scram(&Scram::new(Kind::Sha256, "bob", "open")).1, "904");
        let app = app_password(&mut bob);
        slapd.stop();
        assert_eq!(sasl(&server, "bob", &app), (true, "bob".into()));
        cannot_be_judged(&server, "bob", &format!("ldap: {}: it cannot be connected to", slapd.url()));
        slapd.start_again();
        assert!(sasl(&server, "bob", "open").0);
        // It is an account as any, over a kill.
        server.crash_and_restart();
        assert!(sasl(&server, "bob", &app).0 && sasl(&server, "bob", "open").0 && !sasl(&server, "bob", "shut").0);
        let output = server.output();
        for password in ["\"open\"", "\"shut\"", "\"reader\"", &app] {
            assert!(!output.contains(password), "{password} is in the log");
        }
    }
}

#[test]
fn an_account_that_has_a_password_here_is_not_the_directorys_unless_that_is_asked_first() {
    let Some(mut slapd) = Slapd::start() else { return };
    let mut server = slapd.server(FOUND, &[AUTOCREATE]);
    server.account("alice", "sesame");
    is_refused(&server, "alice", "open", "");
    assert!(sasl(&server, "alice", "sesame").0);
    // Whoever sets a password here is no longer asked about.
    let mut bob = server.user("bob");
    bob.told("NS IDENTIFY bob open");
    assert!(bob.told("NS PASSWD millet millet").contains("Password changed"));
    assert!(sasl(&server, "bob", "millet").0 && !sasl(&server, "bob", "open").0);

    server.set(FIRST.0, FIRST.1);
    server.restart();
    for password in ["open", "sesame"] {
        assert_eq!(sasl(&server, "alice", password), (true, "alice".into()), "{password}");
    }
    assert!(!sasl(&server, "alice", "shut").0);
    slapd.stop();
    assert!(sasl(&server, "alice", "sesame").0 && !sasl(&server, "alice", "open").0);
}

#[test]
fn an_account_has_to_be_there_where_none_is_made() {
    let Some(slapd) = Slapd::start() else { return };
    let server = slapd.server(NAMED, &[]);
    let (logged_in, why) = sasl(&server, "alice", "open");
    assert!(!logged_in && why.contains("no account of that name here"), "{why}");
}

#[test]
fn who_may_log_in_is_a_group_of_the_directorys_by_either_way_of_asking() {
    let Some(slapd) = Slapd::start() else { return };
    // Names are compared by the directory, which knows how else they can be written.
    let member_of =
        [("ROOST__LDAP__GROUPS", r#"["cn=none,dc=example,dc=org", "CN=irc, OU=groups,dc=example,dc=org"]"#)];
    let listed = [("ROOST__LDAP__GROUP_BASE", "ou=groups,dc=example,dc=org")];
    for way in [NAMED, FOUND] {
        for group in [member_of, listed] {
            // In the one way it is asked as the person, who does not see the groups' entries.
            if way == NAMED && group == listed {
                continue;
            }
            let server = slapd.server(way, &[AUTOCREATE, group[0]]);
            assert!(sasl(&server, "alice", "open").0 && sasl(&server, "bob", "open").0, "{group:?}");
            assert!(!sasl(&server, "alice", "shut").0);
            is_refused(&server, "carol", "open", "is in no group that may log in");
        }
    }
    let server = slapd.server(FOUND, &[AUTOCREATE, ("ROOST__LDAP__GROUPS", "cn=none,dc=example,dc=org")]);
    assert!(!sasl(&server, "alice", "open").0);
}

#[test]
fn exactly_one_entry_with_a_password_is_who_somebody_is() {
    let Some(slapd) = Slapd::start() else { return };
    let server = slapd.server(FOUND, &[AUTOCREATE]);
    is_refused(&server, "twin", "open", "it has more than one entry");
    is_refused(&server, "nobody", "open", "it has no entry");
    is_refused(&server, "mute", "open", "uid=mute,ou=people");
    assert!(!sasl(&server, "mute", "").0);
    // More than two are as many as two.
    let any = ("ROOST__LDAP__FILTER", "(|(uid={account})(objectClass=inetOrgPerson))");
    let server = slapd.server(&[&FOUND[..3], &[any]].concat(), &[AUTOCREATE]);
    is_refused(&server, "alice", "open", "it has more than one entry");
}

#[test]
fn no_name_that_is_typed_is_more_than_a_name() {
    let Some(mut slapd) = Slapd::start() else { return };
    for way in [NAMED, FOUND] {
        let server = slapd.server(way, &[AUTOCREATE, ("ROOST__SERVER__CASEMAPPING", "precis")]);
        assert_eq!(sasl(&server, "élan", "open"), (true, "élan".into()));
        let server = slapd.server(way, &[AUTOCREATE]);
        for name in [r"a\b", "{dn}"] {
            assert_eq!(sasl(&server, name, "open"), (true, name.into()));
        }
        is_refused(&server, r"a\5cb", "open", "");
        is_refused(&server, "{account}", "open", "");
        let odd = ["*", "a*", "alice)(uid=*", ")(uid=*", "alice,ou=people", "alice ", "(alice)", "uid=alice", "élan"];
        for name in odd {
            is_refused(&server, name, "open", "");
        }
        // Those are not even asked about: whoever is says that it cannot be judged now.
        slapd.stop();
        for name in odd {
            is_refused(&server, name, "open", "");
        }
        cannot_be_judged(&server, r"a\b", "it cannot be connected to");
        slapd.start_again();
    }
}

#[test]
fn an_attribute_of_the_entry_can_say_which_account_it_is() {
    let Some(slapd) = Slapd::start() else { return };
    for way in [NAMED, FOUND] {
        let server = slapd.server(way, &[AUTOCREATE, ("ROOST__LDAP__NAME_ATTRIBUTE", "UID")]);
        // It is Bob there; here both are one.
        assert_eq!(sasl(&server, "bob", "open"), (true, "Bob".into()));
        assert_eq!(sasl(&server, "BOB", "open"), (true, "Bob".into()));
        assert!(!sasl(&server, "bob", "shut").0);
        let server = slapd.server(way, &[AUTOCREATE, ("ROOST__LDAP__NAME_ATTRIBUTE", "mail")]);
        cannot_be_judged(&server, "bob", "has no mail that names one account");
    }
}

#[test]
fn suspension_the_second_factor_and_the_throttle_are_as_ever_and_a_reload_is_enough() {
    let Some(slapd) = Slapd::start() else { return };
    let config = |more: &str| {
        let url = slapd.url();
        format!(
            "[ldap]\nurls = [\"{url}\"]\nuser_dn = \"uid={{account}},{PEOPLE}\"\nautocreate = true\n{more}\n\
             [[oper]]\nname = \"boss\"\npassword = \"letmein\"\n"
        )
    };
    let server = Server::with_files(&[("conf/roost.toml", &config(""))], &[]);
    let mut boss = suspended(&server);
    let mut bob = server.user("bob");
    bob.told("NS IDENTIFY bob open");
    let (mut phone, _) = enrol(&mut bob);
    assert!(!sasl(&server, "bob", "open").0);
    assert!(!sasl(&server, "bob", &format!(":{}", phone.code())).0, "without a password, a code is none");
    assert!(sasl(&server, "bob", &format!("open:{}", phone.code())).0);

    assert!(sasl(&server, "carol", "open").0);
    fs::write(server.home().join("conf/roost.toml"), config(&format!("groups = [\"{IRC}\"]"))).unwrap();
    boss.send("REHASH");
    boss.until("382");
    boss.sync();
    is_refused(&server, "carol", "open", "is in no group that may log in");

    let throttle = [
        ("ROOST__THROTTLE__ENABLED", "true"),
        ("ROOST__THROTTLE__EXEMPT_LOOPBACK", "false"),
        ("ROOST__THROTTLE__LOGIN_FAILURES_PER_MINUTE", "3"),
    ];
    let server = slapd.server(FOUND, &[&[AUTOCREATE], &throttle[..]].concat());
    for _ in 0..3 {
        assert!(!sasl(&server, "alice", "shut").0);
    }
    let (logged_in, why) = sasl(&server, "alice", "open");
    assert!(!logged_in && why.contains("too many failed logins"), "{why}");
}

#[test]
fn a_directory_that_never_answers_holds_up_nobody_else() {
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("ldap://{}", mute.local_addr().unwrap());
    let server = Server::with(&[&[(URLS, &*url), ("ROOST__LDAP__TIMEOUT", "2")], NAMED].concat());
    server.account("bob", "sesame");
    let mut slow = server.user_with("slowly", "sasl");
    slow.send("AUTHENTICATE PLAIN");
    slow.expect("AUTHENTICATE +");
    slow.send(&format!("AUTHENTICATE {}", plain("alice", "open")));
    assert!(sasl(&server, "bob", "sesame").0);
    let lines = slow.until("904");
    assert!(lines.last().unwrap().raw.contains("cannot be checked now"), "{lines:#?}");
    until_said(&server, &format!("ldap: {url}: it took longer than 2 seconds"));
}

#[test]
fn the_next_server_is_asked_where_one_is_not_there_and_a_reader_who_is_refused_is_told_of() {
    let Some(slapd) = Slapd::start() else { return };
    let [nobody] = free_ports(own_address());
    let urls = format!("[\"ldap://{nobody}\", \"{}\"]", slapd.url());
    let server = slapd.server(FOUND, &[AUTOCREATE, (URLS, &urls)]);
    assert!(sasl(&server, "alice", "open").0 && !sasl(&server, "alice", "shut").0);
    until_said(&server, &format!("ldap://{nobody}: it cannot be connected to"));

    let wrong = ("ROOST__LDAP__BIND_PASSWORD", "thief");
    let server = slapd.server(FOUND, &[AUTOCREATE, wrong]);
    cannot_be_judged(&server, "alice", "it does not take ldap.bind_dn");
    assert!(!server.output().contains("thief"), "a password is in the log");
    // Nobody in particular sees nothing here.
    let server = slapd.server(&FOUND[2..], &[AUTOCREATE]);
    cannot_be_judged(&server, "alice", "NoSuchObject (32)");
}

#[test]
fn tls_is_with_whom_the_configuration_trusts_or_not_at_all() {
    let Some(slapd) = Slapd::start() else { return };
    let other = Slapd::start().unwrap();
    assert_ne!(slapd.certificate, other.certificate);
    let ldaps = format!("ldaps://{}", slapd.tls);
    let starttls = ("ROOST__LDAP__STARTTLS", "true");
    let right = ("ROOST__LDAP__AUTHORITY", &*slapd.authority());
    let wrong = ("ROOST__LDAP__AUTHORITY", &*other.authority());
    for over_tls in [(URLS, &*ldaps), starttls] {
        let server = slapd.server(FOUND, &[AUTOCREATE, over_tls, right]);
        assert!(sasl(&server, "alice", "open").0 && !sasl(&server, "alice", "shut").0);
        let server = slapd.server(FOUND, &[AUTOCREATE, over_tls, wrong]);
        cannot_be_judged(&server, "alice", "no TLS: invalid peer certificate");
        // Nor is it one that browsers know.
        let server = slapd.server(FOUND, &[AUTOCREATE, over_tls]);
        cannot_be_judged(&server, "alice", "no TLS: invalid peer certificate: UnknownIssuer");
    }
    // By another name, the right certificate is the wrong one.
    let elsewhere = format!("ldaps://{}", other.tls);
    let server = slapd.server(FOUND, &[AUTOCREATE, (URLS, &elsewhere), right]);
    cannot_be_judged(&server, "alice", "no TLS");
}
