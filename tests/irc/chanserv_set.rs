//! ChanServ SET and GET, and what of NickServ is like them: settings that last.

use crate::client::{Client, find, texts};
use crate::server::Server;

fn garden() -> (Server, Client) {
    let server = Server::with(&[("ROOST__OPER__0__NAME", "boss"), ("ROOST__OPER__0__PASSWORD", "letmein")]);
    for name in ["alice", "bob"] {
        server.account(name, "sesame");
    }
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    alice.join("#garden");
    alice.told("CS REGISTER #garden");
    (server, alice)
}

fn boss(server: &Server) -> Client {
    let mut boss = server.user("boss");
    find(&boss.ask("OPER boss letmein"), "381");
    boss
}

#[test]
fn what_is_set_is_shown_and_lasts_and_off_takes_it_away() {
    let (mut server, mut alice) = garden();
    for (line, answer) in [
        ("DESCRIPTION roses and more", "DESCRIPTION of #garden is roses and more now"),
        ("url https://garden.example.org/", "URL of #garden is https://garden.example.org/ now"),
        ("URL garden", "\"garden\" is no value of URL, which takes an address of the web, or OFF"),
        ("EMAIL roses@example.org", "EMAIL of #garden is roses@example.org now"),
        ("EMAIL roses", "is no value of EMAIL"),
        ("ENTRYMSG Wipe your feet", "ENTRYMSG of #garden is Wipe your feet now"),
        ("KEEPTOPIC maybe", "is no value of KEEPTOPIC, which takes ON or OFF"),
        ("SUCCESSOR nobody", "There is no account"),
        ("SUCCESSOR alice", "cannot be its own successor"),
        ("SUCCESSOR bob", "SUCCESSOR of #garden is bob now"),
        ("EXPIRE OFF", "Only operators of the server"),
        ("COLOUR red", "is no setting; there are DESCRIPTION, EMAIL"),
        ("DESCRIPTION", "That takes"),
    ] {
        let said = alice.told(&format!("CS SET #garden {line}"));
        assert!(said.contains(answer), "{line}: {said}");
    }
    assert!(alice.told(&format!("CS SET #garden ENTRYMSG {}", "x".repeat(301))).contains("has 301 bytes, and 300 fit"));
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    assert!(bob.told("CS SET #garden DESCRIPTION mine").contains("no such rights"));
    alice.ask("CS AMODE #garden +a bob");
    assert!(bob.told("CS SET #garden DESCRIPTION ours").contains("ours now"));
    assert!(bob.told("CS SET #garden SUCCESSOR bob").contains("Only its founder"));
    server.crash_and_restart();
    let mut carol = server.user("carol");
    let shown = carol.told("CS GET #garden");
    for line in ["DESCRIPTION of #garden is ours", "SUCCESSOR of #garden is bob", "KEEPTOPIC of #garden is ON"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let info = carol.told("CS INFO #garden");
    assert!(info.contains("About: ours") && info.contains("More: https://garden") && info.contains("Write to: roses"));
    assert!(texts(&carol.join("#garden")).contains(&"[#garden] Wipe your feet"));
    let mut boss = boss(&server);
    let said = boss.told("CS SET #garden ENTRYMSG OFF");
    assert!(said.contains("is OFF now"), "{said}");
    assert!(boss.told("CS SET #garden EXPIRE OFF").contains("EXPIRE of #garden is OFF now"));
    server.crash_and_restart();
    let mut carol = server.user("carol");
    assert!(!texts(&carol.join("#garden")).iter().any(|text| text.contains("feet")));
    assert!(carol.told("CS GET #garden EXPIRE").contains("is OFF"));
}

#[test]
fn a_topic_that_is_not_to_last_goes_with_the_last_member() {
    let (mut server, mut alice) = garden();
    alice.ask("TOPIC #garden :roses");
    alice.ask("PART #garden");
    find(&alice.join("#garden"), "332");
    alice.ask("CS SET #garden KEEPTOPIC OFF");
    alice.ask("PART #garden");
    assert!(alice.join("#garden").iter().all(|line| line.command() != "332"));
    // So it is where nobody could leave.
    alice.ask("TOPIC #garden :tulips");
    server.crash_and_restart();
    assert!(server.user("carol").ask("TOPIC #garden").iter().all(|line| line.command() != "332"));
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    assert!(alice.join("#garden").iter().all(|line| line.command() != "332"));
}

#[test]
fn a_channel_goes_to_its_successor_when_its_founders_account_is_no_more() {
    let (mut server, mut alice) = garden();
    alice.ask("CS SET #garden SUCCESSOR bob");
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    bob.join("#garden");
    let confirm = alice.told("NS UNREGISTER alice").split_whitespace().last().unwrap().to_owned();
    alice.send(&format!("NS UNREGISTER alice {confirm}"));
    alice.closed();
    let lines = bob.until("QUIT");
    assert!(lines.iter().any(|line| line.fits(":ChanServ!* MODE #garden +qo bob bob")), "{lines:?}");
    server.crash_and_restart();
    let mut bob = server.logged_in("bob", "bob", "sesame", "");
    assert!(bob.told("CS INFO #garden").contains("registered to bob"));
    assert!(bob.told("CS GET #garden SUCCESSOR").contains("is OFF"));
    find(&bob.join("#garden"), "353").must_fit("* 353 bob = #garden :~bob");
}

#[test]
fn operators_see_to_the_accounts_of_others() {
    let (mut server, _alice) = garden();
    let mut boss = boss(&server);
    let listed = boss.told("NS LIST");
    assert!(listed.contains("alice: since") && listed.contains("End of the list of accounts: 2"), "{listed}");
    assert!(boss.told("NS LIST b*").contains("End of the list of accounts: 1"));
    assert!(boss.told("NS SASET bob EMAIL nonsense").contains("is no e-mail address"));
    assert!(boss.told("NS SASET bob EMAIL bob@example.org").contains("bob@example.org"));
    assert!(boss.told("NS SASET bob MULTICLIENT OFF").contains("MULTICLIENT of bob is off"));
    assert!(boss.told("NS SASET bob EXPIRE OFF").contains("stays"));
    assert!(boss.told("NS SASET bob PUBKEY x").contains("its owner's alone"));
    server.crash_and_restart();
    let mut boss = self::boss(&server);
    assert!(boss.told("NS SAGET bob MULTICLIENT").contains("OFF"));
    assert!(boss.told("NS SAGET bob EXPIRE").contains("OFF"));
    assert!(boss.told("NS INFO bob").contains("It does not lapse"));
    let mut alice = server.logged_in("alice", "alice", "sesame", "");
    find(&alice.ask("NS SASET bob EXPIRE ON"), "481");
    assert_eq!(boss.told("NS STATUS alice boss nobody"), "STATUS alice 3 alice\nSTATUS boss 1 *\nSTATUS nobody 0 *");
    assert!(alice.told("NS INFO").contains("It is being used now"));
    assert!(!alice.told("NS INFO bob").contains("used"));
    let confirm = boss.told("NS SADROP bob").split_whitespace().last().unwrap().to_owned();
    assert!(boss.told(&format!("NS SADROP bob {confirm}")).contains("deleted"));
}
