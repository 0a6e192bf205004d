//! NickServ: accounts, what they log in with, and who may not.

pub mod apppass;
pub mod credentials;
pub mod erase;
pub mod ghost;
pub mod group;
pub mod identify;
pub mod info;
pub mod notify;
pub mod others;
pub mod register;
pub mod reset;
pub mod second;
pub mod sessions;
pub mod set;
pub mod suspend;

use crate::server::command::services::{Elsewhere, Row, histserv, rows};

/// What NickServ does elsewhere.
pub const ELSEWHERE: &[Elsewhere] = &[
    (&["ACCESS"], "Nobody is known by an address here: CERT and APPPASS let your clients log in by themselves"),
    (&["AJOIN"], "SET ALWAYS-ON ON keeps you in your channels; clients join others when they connect"),
    (&["ALIST"], "INFO lists your channels; ChanServ STATUS <#channel> tells what you are in one"),
    (&["CONFIRM"], "VERIFY <account> <code> does that here"),
    (&["GLIST"], "INFO lists the nicks of your account; GROUP and UNGROUP change them"),
    (
        &["LOGOUT"],
        "You are logged in for as long as you are connected. CLIENTS LOGOUT ends other connections of yours; to be nobody, \
         connect again without a password",
    ),
    (&["LISTCHANS"], "INFO lists your channels; ChanServ AMODE <#channel> tells what you are in one"),
    (&["SET AUTO-AWAY"], "Others see you as away once none of your connections is left; /away says it before"),
    (&["SET AUTOREPLAY-LINES"], "SET AUTOREPLAY-MISSED ON replays all that a client missed, and OFF nothing"),
    (&["SET DISPLAY"], "An account is called as it was registered; GROUP gives it more nicks"),
    (&["SET DM-HISTORY"], "SET HISTORY ON or OFF does that here, and SET HISTORY-RETENTION says for how long"),
    (
        &["SET ENFORCE", "SET KILL", "SET NICKNAME-ENFORCEMENT", "SET PROTECT", "SET SECURE"],
        "Nothing is to be set for that: the nicks of an account are its own, and nobody else can take them",
    ),
    (&["SET HIDE"], "INFO shows nobody else more than since when there is an account"),
    (&["UPDATE"], "Nothing waits to be updated: whoever logs in has all that is theirs at once"),
    (
        &["PASSWORD", "SET PASSWORD", "SETPASS"],
        "PASSWD <new password> <new password> changes your password; one that was forgotten SENDPASS replaces by mail",
    ),
];

/// Its commands, by name.
pub const ROWS: &[Row] = rows! {
    "2FA" | "TOTP", 1 LoggedIn second::run,
        "ADD [name] | CONFIRM <code> | CERT [name] | LIST | REMOVE <id>|ALL <code> | ON | OFF <code> | RECOVERY <code>",
        "asks for a code of your authenticator, too, where your password logs in",
        "ADD gives a secret for your authenticator; CONFIRM, with a code of it, turns that on and shows recovery codes",
        "CERT: your certificate will do in place of a code. RECOVERY: other recovery codes, each for one login",
        "Log in with password:code in place of the password, or IDENTIFY <account> <password> <code>",
        "App passwords, CERT, PUBKEY and tokens log in without it";
    "APPPASS", 1 LoggedIn apppass::run, "ADD <name> | DEL <name> | LIST",
        "passwords of single apps and devices, each of which you can take away",
        "ADD makes one and shows it once. It logs in where your own does: SASL PLAIN, PASS, IDENTIFY",
        "What came by one changes nothing that your account logs in with, groups no nicks, and gets no EXPORT";
    "CERT", 1 LoggedIn credentials::cert, "ADD [fingerprint] | DEL <fingerprint> | LIST",
        "client certificates that log in to your account",
        "ADD without a fingerprint takes the certificate that you connected with",
        "A fingerprint is SHA-256 of the certificate, in hex";
    "CLIENTS" | "SESSIONS", 0 LoggedIn sessions::run, "[LIST | LOGOUT <number>|ALL]",
        "lists your connections, and ends one of them or all others";
    "ERASE", 1 Operator(Force) erase::erase, "<account> [code]",
        "deletes an account and all that it ever said",
        "Without a code you are told the code to confirm it with; nothing brings it back";
    "ERASEMESSAGES", 0 LoggedIn erase::erase_messages, "[code]",
        "deletes all that you ever said here while logged in, in channels and in private",
        "What your characters said (NPC, SCENE) is among it. What you relayed for others (RELAYMSG) stays, and so do topics, \
         which are the channels'",
        "Without a code you are told the code to confirm it with; nothing brings it back";
    "EXPORT", 0 LoggedIn histserv::export, "[CANCEL]",
        "asks the operators for all that is kept of you; HistServ answers";
    "GET", 1 LoggedIn set::get, "<setting>",
        "shows one of the settings of SET";
    "GHOST", 1 Anyone ghost::ghost, "<nick> [password [code]]",
        "ends the connections of whoever uses the nick of your account",
        "Where you are not logged in, the password logs you in to that account, as IDENTIFY does";
    "GROUP", 0 LoggedIn group::group, "",
        "makes the nick that you use one of your account, beside its name",
        "It takes no words: the account is the one that you are logged in to",
        "Nobody else may use or register it then; INFO lists them. UNGROUP gives it up. While you are always on without a \
         connection, what is said to it in private is said to you";
    "IDENTIFY" | "ID" | "LOGIN", 1 Anyone identify::run, "[account] <password> [code]",
        "logs in to an account",
        "Where you came by an app password, or your password was changed since, it proves that the account is yours",
        "The code is of the second factor (2FA), with account and password; or put it behind the password with a colon",
        "A password of several words is given with the account: all behind it is the password, but for a code where there is one",
        "Without an account it is that of your nick";
    "INFO", 0 Anyone info::run, "[account]",
        "tells about an account",
        "Without an account it is yours, or that of your nick; a nick is for the account of whoever has it";
    "LIST", 0 Operator(Ban) others::list, "[mask]",
        "lists accounts";
    "NOTIFY", 0 LoggedIn notify::run, "[LIST | LEVEL|QUIET|HIDE|KEYWORD <#channel|nick|*> ... | DEVICES | FORGET <number>|ALL | TEST]",
        "what your devices are told of by push; * is everything",
        "LEVEL <target> ALL|MENTIONS|NONE|DEFAULT: mentions are your nick, your account and your keywords",
        "KEYWORD <target> ADD|DEL <word>",
        "QUIET <target> 22:00-07:00[+02:00]|OFF|DEFAULT: nothing is pushed then; the times are UTC, or so far east of it",
        "HIDE <target> ON|OFF|DEFAULT: whether what was said is left out of the push",
        "DEVICES lists them, FORGET takes one away, TEST tells them that push works";
    "PASSWD", 2 LoggedIn credentials::passwd, "[old password] <new password> <new password>",
        "changes your password",
        "The old one need not be given; where it is, it has to be right",
        "Your other connections stay, but log in again (IDENTIFY) before they change what your account logs in with",
        "A password may be of several words: the new one is what stands there twice at the end";
    "REGAIN" | "RECOVER" | "RELEASE", 1 Anyone ghost::regain, "<nick> [password [code]]",
        "as GHOST, and gives you the nick";
    "REGISTER", 1 Anyone register::register, "<password> [e-mail]",
        "makes an account of your nick",
        "The password is one word; PASSWD takes others",
        "Where the server sends mail, a code comes to the address: give it with VERIFY";
    "RESEND", 1 Anyone register::resend, "<account>",
        "mails the code of an account that waits for it, again";
    "RESETPASS", 3 Anyone reset::resetpass, "<account> <code> <new password>",
        "gives your account another password, with the code that SENDPASS mailed",
        "All other connections of the account end, and so does what an address of SET EMAIL waits for";
    "SA2FA", 2 Operator(Force) second::sa2fa, "OFF <account>",
        "takes the second factor off the account of someone who has lost it",
        "Make sure first that it is them: from then on the password alone logs in";
    "SADROP", 1 Operator(Force) erase::sadrop, "<account> [code]",
        "deletes the account of someone else";
    "SAGET", 2 Operator(Force) others::saget, "<account> <setting>",
        "shows a setting of an account";
    "SAPASSWD", 2 Operator(Force) credentials::sapasswd, "<account> <new password>",
        "gives the account of someone who cannot log in another password",
        "Make sure first that it is them. All connections of the account end, but yours";
    "SAREGISTER", 2 Operator(Force) register::saregister, "<account> <password>",
        "makes an account for someone else";
    "SASET", 3 Operator(Force) others::saset, "<account> <setting> <value>",
        "changes a setting of an account",
        "The settings are those of SET, but PUBKEY; an address of EMAIL is taken without a code",
        "EXPIRE ON|OFF: whether it may lapse when nobody uses it";
    "SAVERIFY", 1 Operator(Force) others::saverify, "<account>",
        "lets an account be used that waits for its code";
    "SENDPASS", 1 Anyone reset::sendpass, "<account>",
        "mails a code to the address of an account whose password was forgotten";
    "SET", 2 LoggedIn set::set, "<setting> <value>",
        "changes a setting; HELP SET lists them",
        "ALWAYS-ON ON|OFF|DEFAULT: whether you stay on the network when you disconnect",
        "AUTOREPLAY-MISSED ON|OFF: whether what you missed is replayed at login",
        "EMAIL <address>|OFF: your address, to which a code is sent; * is OFF, too",
        "HISTORY ON|OFF: whether your private conversations are kept; either of the two may turn it off",
        "HISTORY-RETENTION 30d|1h|1000|30d,1000|DEFAULT: for how long, and how many messages; of what two chose, the less",
        "MULTICLIENT ON|OFF: whether several of your devices share one nick",
        "PUBKEY <key>|OFF: your key for ECDSA-NIST256P-CHALLENGE";
    "STATUS" | "ACC", 0 Anyone others::status, "[nick]...",
        "tells who is logged in: STATUS nick 3 account, or 1 for not logged in, 0 for nobody";
    "SUSPEND", 1 Operator(Ban) suspend::run, "ADD <account> [duration] [reason] | DEL <account> | LIST",
        "keeps people from using an account",
        "A duration is as 1h30m, or +1h30m, or DURATION 1h30m; without one, or with 0, it holds until DEL",
        "Connections that are logged in to it end";
    "UNGROUP", 0 LoggedIn group::ungroup, "[nick]",
        "gives up a nick of GROUP; without one, that which you use";
    "UNREGISTER" | "DROP", 1 LoggedInOr(Force) erase::unregister, "<account> [code [MESSAGES]]",
        "deletes your account",
        "Without a code you are told the code to confirm it with; nothing brings it back",
        "What you said stays, and nobody can delete it later; with MESSAGES it is deleted, too",
        "Operators with the right \"force\" may delete those of others";
    "VERIFY", 2 Anyone register::verify, "<account> <code>",
        "lets an account be used, with the code that was mailed";
    "VERIFYEMAIL", 1 LoggedIn set::verify_email, "<code>",
        "confirms the address of SET EMAIL, with the code that was mailed";
};
