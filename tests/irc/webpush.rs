//! Web push: WEBPUSH REGISTER, and who is told of what on a device that is not connected.

use std::time::Instant;

use crate::client::{Client, Line, all, commands, find, texts};
use crate::push_service::{Answer, Device, PushService};
use crate::server::{PATIENCE, Server};

const CAPS: &str = "soju.im/webpush message-tags server-time account-tag batch echo-message draft/read-marker \
    labeled-response standard-replies draft/multiline draft/message-redaction draft/message-edit";

/// A server that may push to `service`, and at once.
fn with(service: &PushService, more: &[(&str, &str)]) -> Server {
    let mut settings =
        vec![service.setting(), ("ROOST__WEBPUSH__DELAY", "0"), ("ROOST__WEBPUSH__PRESENT_SECONDS", "0")];
    settings.retain(|(key, _)| !more.iter().any(|(other, _)| other == key));
    settings.extend(more);
    Server::with(&settings)
}

/// Alice, who stays when she disconnects.
fn alice(server: &Server) -> Client {
    server.account("alice", "sesame");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    find(&alice.ask("NS SET ALWAYS-ON ON"), "NOTICE");
    alice
}

/// Somebody else with an account and a device at the same push service, who is told of what is said to her.
fn another(server: &Server, service: &PushService) -> (Client, Device) {
    server.account("cora", "sesame");
    let mut cora = server.logged_in("cora", "cora", "sesame", CAPS);
    let hers = service.device("hers");
    cora.send(&format!("WEBPUSH REGISTER {} {}", hers.endpoint, hers.keys));
    hers.expect("*NOTE WEBPUSH*");
    (cora, hers)
}

#[track_caller]
fn register(client: &mut Client, device: &Device) {
    let line = client.one(&format!("WEBPUSH REGISTER {} {}", device.endpoint, device.keys));
    line.must_fit(&format!(":roost.local WEBPUSH REGISTER {}", device.endpoint));
    let pushed = device.expect(":roost.local NOTE WEBPUSH REGISTERED :*");
    assert_eq!((pushed.urgency.as_str(), pushed.size), ("normal", 2048));
}

/// A server, alice's phone, and alice, who has gone.
fn phone(service: &PushService, more: &[(&str, &str)]) -> (Server, Device) {
    let server = with(service, more);
    let mut alice = alice(&server);
    let phone = service.device("phone");
    register(&mut alice, &phone);
    gone(alice);
    (server, phone)
}

fn gone(mut client: Client) {
    client.send("QUIT");
    client.closed();
}

fn vapid(lines: &[Line]) -> Vec<String> {
    let tokens = lines.iter().filter(|line| line.command() == "005").flat_map(Line::params);
    tokens.filter_map(|token| token.strip_prefix("VAPID=")).map(str::to_owned).collect()
}

/// What STATS w counts under a word, asked for until that is so many.
#[track_caller]
fn wait_until_counted(boss: &mut Client, word: &str, count: u64) {
    let deadline = Instant::now() + crate::server::PATIENCE;
    loop {
        let text = boss.ask("STATS w").iter().map(|line| line.raw.clone()).collect::<Vec<_>>().join("\n");
        if text.contains(&format!("{word} {count}")) {
            return;
        }
        assert!(Instant::now() < deadline, "never {word} {count}: {text}");
    }
}

const OPER: [(&str, &str); 2] = [("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "sesame")];

fn boss(server: &Server) -> Client {
    let mut boss = server.user("boss");
    boss.ask("OPER boss sesame");
    boss.sync();
    boss
}

#[test]
fn a_device_is_registered_by_the_letter_of_the_specification() {
    let service = PushService::start();
    let server = with(&service, &[]);
    let mut guest = server.user("guest");
    guest.one("WEBPUSH REGISTER https://a.example.org/ x").must_fit("*421 guest WEBPUSH :*draft/webpush*");
    assert!(vapid(&guest.ask("VERSION")).is_empty(), "only those who asked for it get VAPID");
    guest.send("CAP REQ soju.im/webpush");
    let key = vapid(&guest.sync());
    assert_eq!(key.iter().map(String::len).collect::<Vec<_>>(), [87], "{key:?}");
    assert_eq!(vapid(&guest.ask("VERSION")), key);
    let phone = service.device("phone");
    let ask = format!("WEBPUSH REGISTER {} {}", phone.endpoint, phone.keys);
    guest.one(&ask).must_fit(&format!(":roost.local FAIL WEBPUSH FORBIDDEN REGISTER {} :Log in*", phone.endpoint));

    server.account("alice", "sesame");
    let mut alice = server.connect();
    let burst = alice.log_in("alice", "alice", "sesame", "draft/webpush standard-replies labeled-response batch");
    assert_eq!(vapid(&burst), key);
    // She does not stay when she disconnects, and is told so.
    let lines = alice.ask(&ask);
    assert_eq!(commands(&lines), ["WEBPUSH", "WARN"], "{lines:#?}");
    lines[0].must_fit(&format!(":roost.local WEBPUSH REGISTER {}", phone.endpoint));
    lines[1].must_fit(":roost.local WARN WEBPUSH PERSISTENCE_REQUIRED REGISTER :*ALWAYS-ON*");
    let pushed = phone.expect(":roost.local NOTE WEBPUSH REGISTERED :*");
    assert_eq!((&pushed.key, pushed.contact.as_str()), (&key[0], "https://roost.local"));
    alice.ask("NS SET ALWAYS-ON ON");
    // The phone has it before the server has heard so.
    let deadline = Instant::now() + PATIENCE;
    while alice.told("NS NOTIFY DEVICES").contains("not reached yet") {
        assert!(Instant::now() < deadline);
    }

    // Every form of base64, in any case of the subcommand, with a label.
    let standard = phone.keys.replace('-', "+").replace('_', "/");
    let padded = phone.keys.replace(";auth", "=;auth") + "==";
    for keys in [&standard, &padded] {
        let line = alice.one(&format!("@label=x WEBPUSH register {} {keys}", phone.endpoint));
        line.must_fit(&format!("@label=x :roost.local WEBPUSH REGISTER {}", phone.endpoint));
    }
    for (line, answer) in [
        ("WEBPUSH", "INVALID_PARAMS * :*"),
        ("WEBPUSH NONSENSE", "INVALID_PARAMS NONSENSE :*"),
        ("WEBPUSH REGISTER", "INVALID_PARAMS REGISTER :*"),
        ("WEBPUSH REGISTER https://a.example.org/", "INVALID_PARAMS REGISTER https://a.example.org/ :*"),
        ("WEBPUSH REGISTER https://a.example.org/ KEYS more", "INVALID_PARAMS REGISTER https://a.example.org/ :*"),
        (
            "WEBPUSH REGISTER https://a.example.org/ p256dh=x;auth=y",
            "INVALID_PARAMS REGISTER https://a.example.org/ :*",
        ),
        ("WEBPUSH REGISTER https://a.example.org/ auth=y", "INVALID_PARAMS REGISTER https://a.example.org/ :*p256dh*"),
        ("WEBPUSH REGISTER http://a.example.org/ KEYS", "INVALID_PARAMS REGISTER http://a.example.org/ :*https*"),
        ("WEBPUSH REGISTER https://10.0.0.1/ KEYS", "INVALID_PARAMS REGISTER https://10.0.0.1/ :*"),
        ("WEBPUSH REGISTER https://[::1]/ KEYS", "INVALID_PARAMS REGISTER https://[::1]/ :*"),
        ("WEBPUSH REGISTER https://169.254.169.254/ KEYS", "INVALID_PARAMS REGISTER https://169.254.169.254/ :*"),
        ("WEBPUSH REGISTER nonsense KEYS", "INVALID_PARAMS REGISTER nonsense :*"),
        ("WEBPUSH UNREGISTER", "INVALID_PARAMS UNREGISTER :*"),
        ("WEBPUSH UNREGISTER a b", "INVALID_PARAMS UNREGISTER a :*"),
    ] {
        let line = alice.one(&line.replace("KEYS", &phone.keys));
        line.must_fit(&format!(":roost.local FAIL WEBPUSH {answer}"));
    }
    alice
        .one("WEBPUSH UNREGISTER https://never.example.org/")
        .must_fit(":roost.local WEBPUSH UNREGISTER https://never*");
    alice.one(&format!("WEBPUSH UNREGISTER {}", phone.endpoint)).must_fit(":roost.local WEBPUSH UNREGISTER http://*");
    // With the same keys as a moment ago, but new: it is tested again.
    register(&mut alice, &phone);
    phone.has_none();
}

#[test]
fn who_has_no_connection_is_told_of_private_messages_as_history_has_them() {
    let service = PushService::start();
    let (server, phone) = phone(&service, &[]);
    server.account("bob", "sesame");
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    bob.send("@+typing=active TAGMSG alice");
    bob.send("PRIVMSG alice :\u{1}VERSION\u{1}");
    let echo = bob.ask("PRIVMSG alice :are you there?");
    let echo = echo.iter().find(|line| line.fits("*are you there?")).unwrap();
    let pushed = phone.expect(":bob!*@* PRIVMSG alice :are you there?");
    assert_eq!(pushed.line, echo.raw, "time, msgid and account are everywhere the same");
    assert_eq!((pushed.ttl, pushed.urgency.as_str(), pushed.size), (604_800, "high", 2048));
    assert_eq!(pushed.topic, None);
    bob.ask("NOTICE alice :\u{1}ACTION waves\u{1}");
    phone.expect(":bob!*@* NOTICE alice :\u{1}ACTION waves\u{1}");
    // What a device did not ask for it is not sent.
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/webpush message-tags");
    let plain = service.device("plain");
    register(&mut alice, &plain);
    let mut guest = server.user("guest");
    guest.ask("PRIVMSG alice :hello");
    let pushed = plain.expect("@msgid=* :guest!*@* PRIVMSG alice :hello");
    assert_eq!((pushed.tag("time"), pushed.tag("account")), (None, None));
    let pushed = phone.expect("@time=* :guest!*@* PRIVMSG alice :hello");
    assert_eq!(pushed.tag("msgid"), plain_msgid(&pushed.line));
    phone.has_none();
}

fn plain_msgid(line: &str) -> Option<&str> {
    line.split(['@', ';', ' ']).find_map(|tag| tag.strip_prefix("msgid="))
}

#[test]
fn in_channels_mentions_are_pushed_and_nothing_else() {
    let service = PushService::start();
    let server = with(&service, &[]);
    let mut alice = alice(&server);
    let phone = service.device("phone");
    register(&mut alice, &phone);
    // Her nick is not her account's name for a while.
    alice.join("#room");
    let told = alice.told("NS NOTIFY KEYWORD * ADD Tea");
    assert!(told.contains("everything: keywords"), "{told}");
    alice.ask("NS NOTIFY KEYWORD #room ADD cake");
    let mut laptop = server.logged_in("alice", "alice", "sesame", CAPS);
    let mut bob = server.user("bob");
    bob.join("#room");
    for text in ["hello", "malice", "see https://example.org/alice", "steamy", "cakewalk"] {
        bob.send(&format!("PRIVMSG #room :{text}"));
    }
    // Nor what she says herself, on whichever device.
    laptop.ask("PRIVMSG #room :alice says tea");
    for text in ["hi Alice!", "\u{2}alice\u{2}: hi", "some TEA?", "a piece of cake", "(alice)"] {
        bob.ask(&format!("PRIVMSG #room :{text}"));
        phone.expect(&format!(":bob!*@* PRIVMSG #room :{text}"));
    }
    // Another nick, and still the account's name.
    gone(laptop);
    alice.ask("NICK queen");
    bob.ask("PRIVMSG #room :the queen is here");
    phone.expect("*the queen is here");
    bob.ask("PRIVMSG #room :and alice?");
    phone.expect("*and alice?");
    // She is one of the operators; of what others hear she hears nothing when she is deaf.
    alice.ask("NICK alice");
    bob.ask("PRIVMSG @#room :alice is a member");
    alice.ask("MODE alice +D");
    bob.ask("PRIVMSG #room :alice is deaf");
    alice.ask("MODE alice -D");
    bob.ask("MODE #room +v alice");
    let mut cora = server.user("cora");
    cora.join("#room");
    bob.ask("NOTICE #room :alice, the last");
    phone.expect(":bob!*@* PRIVMSG @#room :alice is a member");
    phone.expect(":bob!*@* NOTICE #room :alice, the last");
    phone.has_none();
}

#[test]
fn rules_say_what_is_wanted_of_which_channel_and_when() {
    let service = PushService::start();
    let server = with(&service, &[]);
    let mut alice = alice(&server);
    let phone = service.device("phone");
    register(&mut alice, &phone);
    alice.join("#room");
    let mut bob = server.user("bob");
    bob.join("#room");
    // The last word of each step is pushed: so nothing before it was.
    let mut end = 0;
    let mut step = |alice: &mut Client, bob: &mut Client, rules: &[&str], silent: &[&str], pushed: &[&str]| {
        for rule in rules {
            alice.ask(rule);
        }
        for line in silent.iter().chain(pushed) {
            bob.ask(line);
        }
        for line in pushed {
            let text = line.split_once(" :").unwrap().1;
            phone.expect(&format!(":bob!*@* * :{text}"));
        }
        end += 1;
        bob.ask(&format!("INVITE alice #end{end}"));
        phone.has_none();
    };
    let all = ["PRIVMSG #room :anything", "PRIVMSG #room :alice", "PRIVMSG alice :in private"];
    step(&mut alice, &mut bob, &["NS NOTIFY LEVEL #room ALL"], &[], &all);
    step(&mut alice, &mut bob, &["NS NOTIFY LEVEL #room NONE"], &all[..2], &all[2..]);
    step(&mut alice, &mut bob, &["NS NOTIFY LEVEL #ROOM default"], &all[..1], &all[1..]);
    step(&mut alice, &mut bob, &["NS NOTIFY LEVEL * none"], &all, &[]);
    step(&mut alice, &mut bob, &["NS NOTIFY LEVEL #room mentions"], &[all[0], all[2]], &all[1..2]);
    step(&mut alice, &mut bob, &["NS NOTIFY LEVEL * DEFAULT", "NS NOTIFY LEVEL bob NONE"], &all[2..], &all[1..2]);
    alice.ask("NS NOTIFY LEVEL bob DEFAULT");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 60;
    let clock = |minutes: u64| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
    let quiet = format!("NS NOTIFY QUIET * {}-{}", clock(now - 60), clock(now + 60));
    step(&mut alice, &mut bob, &[&quiet], &all, &[]);
    step(&mut alice, &mut bob, &["NS NOTIFY QUIET #room OFF"], &[all[0], all[2]], &all[1..2]);
    step(&mut alice, &mut bob, &["NS NOTIFY QUIET * DEFAULT"], &[], &all[1..]);
    alice.ask("NS NOTIFY HIDE * ON");
    bob.ask("PRIVMSG alice :a secret");
    let pushed = phone.expect("@*msgid=* :bob!*@* PRIVMSG alice :(hidden)");
    assert!(!pushed.line.contains("secret"), "{pushed:?}");
    let listed = alice.told("NS NOTIFY");
    assert!(listed.contains("everything: text hidden") && listed.contains("#room: "), "{listed}");
    for (bad, right) in [
        ("NS NOTIFY LEVEL * SOMETIMES", "all, mentions or none"),
        ("NS NOTIFY QUIET * night", "22:00-07:00"),
        ("NS NOTIFY LEVEL ## all", "LEVEL"),
        ("NS NOTIFY LEVEL 1x all", "neither a channel nor a nick"),
        ("NS NOTIFY KEYWORD * ADD x", "2 to 32"),
        ("NS NOTIFY KEYWORD * DEL nothing", "no keyword"),
        ("NS NOTIFY FORGET 9", "DEVICES"),
        ("NS NOTIFY NONSENSE", "That takes"),
    ] {
        let told = alice.told(bad);
        assert!(told.contains(right) || bad.contains("##"), "{bad}: {told}");
    }
}

#[test]
fn what_clients_mute_and_block_is_kept_with_the_account_and_shown_to_nobody_else() {
    let service = PushService::start();
    let mut server = with(&service, &[]);
    let mut alice = alice(&server);
    let phone = service.device("phone");
    register(&mut alice, &phone);
    alice.join("#room");
    alice.request("draft/metadata-2");
    let mut laptop = server.logged_in("alice", "alice", "sesame", "draft/metadata-2 batch");
    laptop.ask("METADATA * SUB soju.im/muted soju.im/pinned");
    let mut bob = server.user_with("bob", "draft/metadata-2 batch");
    bob.ask("METADATA * SUB soju.im/muted soju.im/pinned");
    bob.join("#room");
    alice.sync();
    alice.one("METADATA #room SET soju.im/muted 1").must_fit("*761 alice #room soju.im/muted private :1");
    alice.one("METADATA bob SET soju.im/pinned 1").must_fit("*761 alice bob soju.im/pinned private :1");
    alice.one("METADATA stranger SET soju.im/blocked 1").must_fit("*761 alice stranger soju.im/blocked private :1");
    alice.one("METADATA bob SET soju.im/muted perhaps").must_fit("*FAIL METADATA VALUE_INVALID :*0 or 1");
    let told = laptop.sync();
    assert_eq!(commands(&all(&told, "METADATA").into_iter().cloned().collect::<Vec<_>>()).len(), 2, "{told:#?}");
    bob.silent();
    assert!(all(&bob.ask("METADATA #room GET soju.im/muted"), "761").is_empty());
    let mut guest = server.user_with("guest", "draft/metadata-2");
    guest.one("METADATA #room SET soju.im/muted 1").must_fit("*FAIL METADATA KEY_NO_PERMISSION #room soju.im/muted :*");
    bob.ask("PRIVMSG #room :alice is muted here");
    bob.ask("PRIVMSG alice :and not here");
    phone.expect("*:and not here");
    // Over a crash; and whoever is blocked is not heard of in channels, either.
    server.crash_and_restart();
    let mut bob = server.user("bob");
    bob.join("#room");
    let mut stranger = server.user("stranger");
    stranger.join("#room");
    bob.ask("PRIVMSG #room :alice is muted here");
    stranger.ask("PRIVMSG alice :let me in");
    let mut alice = server.logged_in("alice", "alice", "sesame", "draft/metadata-2 batch");
    find(&alice.ask("METADATA #room GET soju.im/muted"), "761").must_fit("*761 alice #room soju.im/muted private :1");
    let synced = alice.ask("METADATA * SUB soju.im/pinned soju.im/blocked");
    let lines: Vec<&str> = all(&synced, "METADATA").iter().map(|line| line.body()).collect();
    assert_eq!(lines.len(), 2, "{synced:#?}");
    find(&alice.ask("METADATA #room SET soju.im/muted"), "761").must_fit("*761 alice #room soju.im/muted private");
    stranger.ask("PRIVMSG #room :alice, please");
    bob.ask("PRIVMSG #room :alice, the last");
    phone.expect(":bob!*@* PRIVMSG #room :alice, the last");
    phone.has_none();
}

#[test]
fn what_was_said_of_a_channel_and_of_its_new_name_is_said_of_that_over_a_restart_too() {
    let service = PushService::start();
    let mut server = with(&service, &[]);
    server.account("alice", "sesame");
    let caps = "draft/metadata-2 batch";
    let mut alice = server.logged_in("alice", "alice", "sesame", caps);
    alice.join("#old");
    for line in ["METADATA #old SET soju.im/muted 1", "METADATA #new SET soju.im/pinned 1"] {
        find(&alice.ask(line), "761");
    }
    alice.ask("RENAME #old #new");
    let said = |alice: &mut Client| {
        let lines = alice.ask("METADATA #new GET soju.im/muted soju.im/pinned");
        commands(&lines).into_iter().filter(|command| *command == "761").count()
    };
    assert_eq!(said(&mut alice), 2);
    server.crash_and_restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", caps);
    assert_eq!(said(&mut alice), 2);
}

#[test]
fn an_invitation_and_a_message_of_several_lines_are_pushed_as_one_each() {
    let service = PushService::start();
    let (server, phone) = phone(&service, &[]);
    let mut bob = server.user_with("bob", "batch draft/multiline message-tags");
    bob.join("#garden");
    bob.ask("INVITE alice #garden");
    let pushed = phone.expect(":bob!*@* INVITE alice #garden");
    assert_eq!((pushed.urgency.as_str(), pushed.tag("time").map(str::len)), ("high", Some(24)));
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.join("#garden");
    gone(alice);
    for line in [
        "BATCH +1 draft/multiline #garden",
        "@batch=1 PRIVMSG #garden :one",
        "@batch=1 PRIVMSG #garden :two, al",
        "@batch=1;draft/multiline-concat PRIVMSG #garden :ice",
        "@batch=1 PRIVMSG #garden :three",
        "BATCH -1",
    ] {
        bob.send(line);
    }
    bob.sync();
    let pushed = phone.expect("@*msgid=* :bob!*@* PRIVMSG #garden :one two, alice three");
    assert!(pushed.body().len() <= 510);
    // However long it is, it is one line of IRC.
    bob.send("BATCH +2 draft/multiline alice");
    for _ in 0..9 {
        bob.send(&format!("@batch=2 PRIVMSG alice :{}", "ä".repeat(200)));
    }
    bob.ask("BATCH -2");
    let pushed = phone.expect(":bob!*@* PRIVMSG alice :ä*");
    assert!((505..=510).contains(&pushed.body().len()), "{}", pushed.body().len());
    phone.has_none();
}

#[test]
fn what_is_read_elsewhere_in_time_is_not_pushed_and_what_was_pushed_is_taken_back_on_other_devices() {
    let service = PushService::start();
    let config = |delay: u32| format!("[webpush]\ndelay = {delay}\n");
    let settings = [service.setting(), ("ROOST__WEBPUSH__PRESENT_SECONDS", "0"), OPER[0], OPER[1]];
    // Whoever reads it within five minutes reads it in time, however slow this machine is.
    let server = Server::with_files(&[("conf/roost.toml", &config(300))], &settings);
    let mut boss = boss(&server);
    let mut laptop = alice(&server);
    let (phone, tablet) = (service.device("phone"), service.device("tablet"));
    register(&mut laptop, &tablet);
    let mut mobile = server.logged_in("alice", "alice@mobile", "sesame", CAPS);
    register(&mut mobile, &phone);
    mobile.ask("AWAY :in a pocket");
    laptop.ask("AWAY :at lunch");
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :read at once");
    let line = laptop.sync().into_iter().find(|line| line.command() == "PRIVMSG").unwrap();
    let time = line.raw.split(['@', ';', ' ']).find_map(|tag| tag.strip_prefix("time=")).unwrap().to_owned();
    let marked = laptop.ask(&format!("MARKREAD bob timestamp={time}"));
    find(&marked, "MARKREAD");
    wait_until_counted(&mut boss, "cancelled", 1);
    std::fs::write(server.home().join("conf/roost.toml"), config(0)).unwrap();
    boss.send("REHASH");
    while !boss.until("NOTICE").last().unwrap().raw.ends_with(":The configuration was read again") {}
    bob.ask("PRIVMSG alice :not read");
    for device in [&phone, &tablet] {
        device.expect("*:not read");
    }
    let line = laptop.sync().into_iter().find(|line| line.command() == "PRIVMSG").unwrap();
    let time = line.raw.split(['@', ';', ' ']).find_map(|tag| tag.strip_prefix("time=")).unwrap().to_owned();
    // The device that read it takes nothing back: it knows.
    mobile.ask(&format!("MARKREAD bob timestamp={time}"));
    let pushed = tablet.expect(&format!(":roost.local MARKREAD bob timestamp={time}"));
    assert_eq!(pushed.urgency, "normal");
    assert_eq!(pushed.topic.as_ref().map(String::len), Some(32), "{pushed:?}");
    // A marker of what was never pushed is nobody's news.
    laptop.ask("MARKREAD #nowhere timestamp=2020-01-01T00:00:00.000Z");
    bob.ask("PRIVMSG alice :the last");
    for device in [&phone, &tablet] {
        device.expect("*:the last");
        device.has_none();
    }
}

#[test]
fn what_was_pushed_before_a_crash_is_taken_back_when_it_is_read_after_it() {
    let service = PushService::start();
    let (mut server, phone) = phone(&service, &[]);
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :one");
    bob.ask("PRIVMSG alice :two");
    phone.expect("*:one");
    phone.expect("*:two");
    bob.sync();
    server.crash_and_restart();
    let mut laptop = server.logged_in("alice", "alice@laptop", "sesame", CAPS);
    laptop.ask("MARKREAD stranger timestamp=2099-01-01T00:00:00.000Z");
    laptop.ask("MARKREAD bob timestamp=2099-01-01T00:00:00.000Z");
    phone.expect(":roost.local MARKREAD bob timestamp=*");
    // Once.
    laptop.ask("MARKREAD bob timestamp=2099-01-01T00:00:00.000Z");
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :three");
    phone.expect("*:three");
    phone.has_none();
}

#[test]
fn whoever_sits_there_is_not_told_of_what_they_answer_and_is_told_once_they_do_nothing() {
    let service = PushService::start();
    let server = with(&service, &[("ROOST__WEBPUSH__PRESENT_SECONDS", "2")]);
    let mut alice = alice(&server);
    let phone = service.device("phone");
    register(&mut alice, &phone);
    let mut bob = server.user("bob");
    alice.ask("PRIVMSG bob :I am here");
    bob.ask("PRIVMSG alice :are you?");
    alice.ask("PRIVMSG bob :yes");
    bob.ask("PRIVMSG alice :still?");
    // She says nothing for two seconds.
    phone.expect("*:still?");
    phone.has_none();
    // Who is away is not there, whatever they did last.
    alice.ask("PRIVMSG bob :off now");
    alice.ask("AWAY :off");
    bob.ask("PRIVMSG alice :bye");
    phone.expect("*:bye");
}

#[test]
fn what_was_taken_back_before_it_was_pushed_is_not_pushed_and_what_was_edited_reads_as_it_does_now() {
    let service = PushService::start();
    let server = with(&service, &[("ROOST__WEBPUSH__DELAY", "2")]);
    let mut alice = alice(&server);
    let phone = service.device("phone");
    register(&mut alice, &phone);
    server.account("bob", "sesame");
    let mut bob = server.logged_in("bob", "bob", "sesame", CAPS);
    let mut said = |text: &str| {
        let lines = bob.ask(&format!("PRIVMSG alice :{text}"));
        lines.iter().find_map(|line| plain_msgid(&line.raw)).unwrap().to_owned()
    };
    let (wrong, other) = (said("a mistake"), said("anohter"));
    find(&bob.ask(&format!("REDACT alice {wrong}")), "REDACT");
    find(&bob.ask(&format!("EDITMSG alice {other} another")), "EDIT");
    phone.expect(":bob!*@* PRIVMSG alice :another");
    phone.has_none();
}

#[test]
fn what_is_refused_or_no_longer_to_be_seen_is_never_pushed() {
    let service = PushService::start();
    let server = with(&service, &[("ROOST__WEBPUSH__DELAY", "1")]);
    let mut alice = alice(&server);
    let phone = service.device("phone");
    register(&mut alice, &phone);
    let mut bob = server.user("bob");
    bob.join("#room");
    alice.join("#room");
    alice.ask("AWAY :gone");
    // Refused at the door.
    alice.ask("SILENCE +bob!*@*");
    bob.ask("PRIVMSG alice :silenced");
    bob.ask("JOIN #other");
    bob.ask("INVITE alice #other");
    alice.ask("SILENCE -bob!*@*");
    alice.ask("MODE alice +R");
    bob.ask("PRIVMSG alice :not logged in");
    alice.ask("MODE alice -R+g");
    bob.ask("PRIVMSG alice :not accepted");
    alice.ask("MODE alice -g");
    // Said while she was there, and she is not any more when it would be pushed.
    bob.ask("PRIVMSG #room :alice, before the kick");
    bob.ask("KICK #room alice");
    bob.ask("PRIVMSG #room :alice, after the kick");
    alice.join("#room");
    bob.ask("PRIVMSG #room :alice, before you go");
    alice.ask("PART #room");
    alice.join("#room");
    bob.ask("PRIVMSG #room :alice, welcome back");
    phone.expect("*:alice, welcome back");
    phone.has_none();
    // Nor is it in the store of a channel that she was banned from.
    bob.ask("MODE #room +b alice!*@*");
    bob.ask("KICK #room alice");
    bob.ask("PRIVMSG #room :alice is banned");
    bob.ask("PRIVMSG alice :the last");
    phone.expect("*:the last");
    phone.has_none();
}

#[test]
fn a_device_that_is_gone_is_pushed_to_no_more() {
    let service = PushService::start();
    let server = with(&service, &OPER);
    let mut alice = alice(&server);
    let devices = [404, 410].map(|status| (service.device(&format!("gone{status}")), status));
    let phone = service.device("phone");
    register(&mut alice, &phone);
    for (device, _) in &devices {
        register(&mut alice, device);
    }
    let mut boss = boss(&server);
    for (device, status) in &devices {
        device.answer_with(*status);
    }
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :one");
    for device in devices.iter().map(|(device, _)| device).chain([&phone]) {
        device.expect("*:one");
    }
    wait_until_counted(&mut boss, "devices", 1);
    bob.ask("PRIVMSG alice :two");
    phone.expect("*:two");
    for (device, _) in &devices {
        device.has_none();
    }
    let told = alice.told("NS NOTIFY DEVICES");
    assert!(told.contains(": 1\n1: by http://127.0.0.1:"), "{told}");
}

#[test]
fn a_push_service_that_wants_less_or_later_gets_it_and_holds_up_nobody() {
    let service = PushService::start();
    let server = with(&service, &[]);
    let mut alice = alice(&server);
    let (phone, dead) = (service.device("phone"), service.device("dead"));
    register(&mut alice, &phone);
    register(&mut alice, &dead);
    let (_cora, hers) = another(&server, &service);
    let mut bob = server.user("bob");

    // Smaller.
    phone.answer_with(413);
    let long = "long ".repeat(90);
    bob.ask(&format!("PRIVMSG alice :{long}"));
    assert_eq!(phone.expect("*:long long*").size, 2048);
    let short = phone.expect("@*msgid=* :bob!*@* PRIVMSG alice :long long*");
    assert!(short.size == 512 && short.line.len() <= 409, "{short:?}");
    dead.expect("*:long long*");

    // Later: meanwhile others get theirs, and afterwards everything comes, in order.
    let started = Instant::now();
    phone.answer(&[Answer::Status(429, "Retry-After: 6\r\n".to_owned())]);
    dead.answer(&[Answer::Never]);
    bob.ask("PRIVMSG alice :one");
    bob.ask("PRIVMSG alice :two");
    phone.expect("*:one");
    dead.expect("*:one");
    bob.ask("PRIVMSG cora :hello");
    hers.expect("*:hello");
    assert!(started.elapsed().as_secs() < 5, "cora had to wait");
    phone.expect("*:one");
    assert!(started.elapsed().as_secs() >= 6, "it came before Retry-After was over");
    phone.expect("*:two");
    phone.has_none();
    // A failure of the server's own is no end, either; and what is read meanwhile is not tried again.
    phone.answer_with(503);
    bob.ask("PRIVMSG alice :three");
    phone.expect("*:three");
    phone.expect("*:three");
}

#[test]
fn devices_of_one_account_that_hang_keep_nobody_else_of_their_push_service_waiting() {
    let service = PushService::start();
    let server = with(&service, &[]);
    let mut alice = alice(&server);
    let dead: Vec<Device> = (0..9).map(|number| service.device(&format!("dead{number}"))).collect();
    for device in &dead {
        register(&mut alice, device);
        device.answer(&[Answer::Never]);
    }
    let (_cora, hers) = another(&server, &service);
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :hello");
    assert_eq!(service.hanging(2).given_up, 0);
    bob.ask("PRIVMSG cora :hello");
    hers.expect("*:hello");
    assert_eq!(service.hanging(2).given_up, 0, "cora had to wait for alice's devices");
}

#[test]
fn subscriptions_the_key_and_what_is_said_in_them_survive_a_crash() {
    let service = PushService::start();
    let server = with(&service, &[]);
    let mut alice = alice(&server);
    let phone = service.device("phone");
    alice.send(&format!("WEBPUSH REGISTER {} {}", phone.endpoint, phone.keys));
    let old = phone.expect("*NOTE WEBPUSH REGISTERED*").key;
    let mut server = server;
    server.crash_and_restart();
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :after the crash");
    assert_eq!(phone.expect("*:after the crash").key, old);
    // Another key is for those who come then; who is there already keeps the one that it knows.
    server.set("ROOST__WEBPUSH__KEY", "2");
    server.restart();
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    let new = vapid(&alice.ask("VERSION"));
    assert!(new.len() == 1 && new[0] != old);
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :under the old key");
    assert_eq!(phone.expect("*:under the old key").key, old);
    alice.send(&format!("WEBPUSH REGISTER {} {}", phone.endpoint, phone.keys));
    assert_eq!(phone.expect("*NOTE WEBPUSH REGISTERED*").key, new[0]);
    server.crash_and_restart();
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :under the new key");
    assert_eq!(phone.expect("*:under the new key").key, new[0]);
    // Of an endpoint that is given again the new keys hold.
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    alice.one(&format!("WEBPUSH UNREGISTER {}", phone.endpoint)).must_fit(":* WEBPUSH UNREGISTER *");
    server.crash_and_restart();
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :nobody is told");
    let mut alice = server.logged_in("alice", "alice", "sesame", CAPS);
    register(&mut alice, &phone);
    phone.has_none();
}

#[test]
fn who_loses_the_account_or_its_password_is_told_of_nothing_more() {
    let service = PushService::start();
    let server = with(&service, &OPER);
    let mut boss = boss(&server);
    let mut alice = alice(&server);
    let phone = service.device("phone");
    let mut bob = server.user("bob");
    let registered = |alice: &mut Client| {
        let lines = alice.ask(&format!("WEBPUSH REGISTER {} {}", phone.endpoint, phone.keys));
        find(&lines, "WEBPUSH");
        phone.expect("*NOTE WEBPUSH*");
    };
    registered(&mut alice);
    let mut thief = server.logged_in("thief", "alice", "sesame", CAPS);
    let told = alice.told("NS APPPASS ADD reader");
    let password = told.split_once(" is ").unwrap().1.split('\n').next().unwrap().to_owned();
    let mut reader = server.logged_in("alice", "alice", &password, CAPS);
    let kept = service.device("reader");
    register(&mut reader, &kept);
    alice.told("NS PASSWD other other");
    // What came by an app password stays, and may come again.
    wait_until_counted(&mut boss, "devices", 1);
    let line = reader.one(&format!("WEBPUSH REGISTER {} {}", kept.endpoint, kept.keys));
    line.must_fit(":* WEBPUSH REGISTER *");
    drop(reader);
    alice.told("NS APPPASS DEL reader");
    wait_until_counted(&mut boss, "devices", 0);
    let lines = thief.ask(&format!("WEBPUSH REGISTER {} {}", phone.endpoint, phone.keys));
    find(&lines, "FAIL").must_fit("*FAIL WEBPUSH FORBIDDEN REGISTER * :*log in again*");
    drop(thief);
    registered(&mut alice);
    // An app password, and with it the device that logged in with it.
    let told = alice.told("NS APPPASS ADD tablet");
    let password = told.split_once(" is ").unwrap().1.split('\n').next().unwrap().to_owned();
    let mut tablet = server.logged_in("alice", "alice", &password, CAPS);
    let its = service.device("tablet");
    register(&mut tablet, &its);
    alice.told("NS APPPASS DEL tablet");
    wait_until_counted(&mut boss, "devices", 1);
    assert!(boss.told("NS SUSPEND ADD alice spam").contains("suspended"));
    wait_until_counted(&mut boss, "devices", 0);
    bob.ask("PRIVMSG alice :to whom?");
    boss.told("NS SUSPEND DEL alice");
    let mut alice = server.logged_in("alice", "alice", "other", CAPS);
    registered(&mut alice);
    let code = alice.told("NS UNREGISTER alice");
    let code = code.rsplit(' ').next().unwrap().to_owned();
    alice.send(&format!("NS UNREGISTER alice {code}"));
    wait_until_counted(&mut boss, "devices", 0);
    phone.has_none();
    its.has_none();
}

#[test]
fn an_account_has_so_many_devices_and_takes_them_away_itself() {
    let service = PushService::start();
    let server = with(&service, &[("ROOST__WEBPUSH__DEVICES", "2")]);
    let mut alice = alice(&server);
    let [one, two, three] = ["one", "two", "three"].map(|name| service.device(name));
    register(&mut alice, &one);
    register(&mut alice, &two);
    let line = alice.one(&format!("WEBPUSH REGISTER {} {}", three.endpoint, three.keys));
    line.must_fit(":roost.local FAIL WEBPUSH MAX_REGISTRATIONS REGISTER http://*/push/three* :*2 devices*");
    // In place of one that is there there is room; of the same keys nothing is tested again so soon.
    alice.one(&format!("WEBPUSH REGISTER {} {}", one.endpoint, one.keys)).must_fit(":* WEBPUSH REGISTER *");
    let told = alice.told("NS NOTIFY DEVICES");
    assert!(told.contains(": 2\n1: ") && told.contains("\n2: "), "{told}");
    assert!(alice.told("NS NOTIFY FORGET 1").contains("no push any more: 1"));
    assert!(alice.told("NS NOTIFY TEST").contains(": 1"));
    two.expect(":roost.local NOTE WEBPUSH REGISTERED :*");
    assert!(alice.told("NS NOTIFY TEST").contains("in a minute"));
    register(&mut alice, &three);
    two.has_none();
}

#[test]
fn nobody_is_pushed_to_by_way_of_tor() {
    let service = PushService::start();
    let on = r#"[{address = "127.0.0.1:0", host = "tor-network.onion"}]"#;
    let address = crate::server::own_address();
    let [port] = crate::server::free_ports(address);
    let on = on.replace("127.0.0.1:0", &port.to_string());
    let server = with(&service, &[("ROOST__LISTEN__ON", &on)]);
    server.account("alice", "sesame");
    let mut client = Client::plain(port);
    let offered = client.ask("CAP LS 302");
    assert!(offered.len() > 1 && offered.iter().all(|line| !line.raw.contains("webpush")), "{offered:?}");
    client.send("CAP REQ soju.im/webpush");
    client.until("CAP").last().unwrap().must_fit(":* CAP * NAK :soju.im/webpush");
    assert_eq!(service.guests(), 0);
}

#[test]
fn nothing_is_sent_to_an_address_inside_the_house_however_it_is_named_nor_where_a_push_service_points_to() {
    let service = PushService::start();
    let elsewhere = PushService::start();
    // A name is let in where any network is, and looked up when it is dialled.
    let server = with(&service, &[OPER[0], OPER[1], ("ROOST__WEBPUSH__ALLOW_PRIVATE_ENDPOINTS", "10.99.99.0/24")]);
    let mut alice = alice(&server);
    let mut boss = boss(&server);
    let phone = service.device("phone");
    let port = service.address.port();
    let line = alice.one(&format!("WEBPUSH REGISTER {} {}", phone.endpoint, phone.keys));
    line.must_fit(":roost.local FAIL WEBPUSH INVALID_PARAMS REGISTER http://127.0.0.1:* :*");
    let line = alice.one(&format!("WEBPUSH REGISTER https://localhost:{port}/x {}", phone.keys));
    line.must_fit(":roost.local WEBPUSH REGISTER https://localhost:*/x");
    wait_until_counted(&mut boss, "failed", 1);
    assert_eq!(service.guests(), 0, "somebody has connected");
    drop(server);

    let server = with(&service, &OPER);
    let mut alice = self::alice(&server);
    let mut boss = self::boss(&server);
    let target = elsewhere.device("target");
    phone.answer(&[Answer::Status(307, format!("Location: {}\r\n", target.endpoint))]);
    let line = alice.one(&format!("WEBPUSH REGISTER {} {}", phone.endpoint, phone.keys));
    line.must_fit(":* WEBPUSH REGISTER *");
    phone.expect("*NOTE*");
    wait_until_counted(&mut boss, "failed", 1);
    assert_eq!(elsewhere.guests(), 0, "a redirection was followed");
    // An answer without end is not read to its end.
    phone.answer(&[Answer::Status(201, format!("X-Filler: {}\r\n", "x".repeat(200_000)))]);
    let mut bob = server.user("bob");
    bob.ask("PRIVMSG alice :hello");
    phone.expect("*:hello");
    phone.expect("*:hello");
}

#[test]
fn where_it_is_turned_off_nothing_speaks_of_it() {
    let service = PushService::start();
    let server = with(&service, &[("ROOST__WEBPUSH__ENABLED", "false")]);
    let mut alice = server.connect();
    alice.send("CAP LS 302");
    assert!(alice.until("CAP").iter().all(|line| !line.raw.contains("webpush")));
    let mut user = server.user("user");
    assert!(vapid(&user.ask("VERSION")).is_empty());
    assert!(texts(&user.ask("NS HELP NOTIFY")).concat().contains("MENTIONS"));
}
