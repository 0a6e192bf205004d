//! Every bound, with the reason for its size. What an operator may choose is in `conf/roost.toml`
//! instead; what is here is what the protocol or the machine asks for.

/// Lines that wait in one session while a call is under way, before its socket is paused:
/// a phone pipelines about 25 lines in its first write.
pub const PARKED_LINES: usize = 32;
/// Events that wait for the server thread, over all workers, before workers stop reading.
pub const WAITING_EVENTS: usize = 4096;
/// Bytes of one connection's answers that may lie in its send queue before a long answer (LIST,
/// WHO, history) waits for the reader; about what one read of a slow client takes.
pub const BULK_BYTES: usize = 64 * 1024;
/// Rows that the store writes in one transaction: past a thousand the cost per row is flat.
pub const STORE_BATCH: usize = 1000;
/// Records that wait for the store before connections that write are paused.
pub const WAITING_RECORDS: usize = 65_536;
/// Bytes of such records, for a message may have many lines. What is shown of them once they are on disk waits, too, and
/// takes about as much again.
pub const WAITING_BYTES: usize = 16 << 20;
/// Messages that SEARCH answers with where it names no limit.
pub const SEARCH_RESULTS: u32 = 100;
/// Words in one SEARCH: more than anyone types, and each is a walk over an index.
pub const SEARCH_WORDS: usize = 16;
/// Conversations that a SEARCH without `in` looks through, those first that something was said in last: each
/// is one more walk.
pub const SEARCH_CONVERSATIONS: usize = 1000;
/// Reactions that come with one message of a history page (`draft/chathistory-context`), the newest: what was taken
/// back is newer than what was said. Chips under a message are no more than that.
pub const CONTEXT_A_MESSAGE: usize = 32;
/// Reactions and edits that come with one history page beside its messages, those of its newest messages first: as many
/// as a page has messages at the most.
pub const CONTEXT_A_PAGE: usize = 1000;
/// Messages that a SEARCH takes out of the index at once while it meets none that the reader may read.
pub const SEARCHED_AT_ONCE: u32 = 4_096;
/// Milliseconds that one SEARCH may take; two words among a million messages take a few.
pub const SEARCH_MS: u64 = 2_000;
/// Milliseconds that a SEARCH waits for others to be done, at most.
pub const SEARCH_WAIT_MS: u64 = 5_000;
/// Messages that the store puts into its index of words at once: some 5 ms, for which a message that comes in
/// between waits.
pub const INDEX_STEP: usize = 512;
/// Messages that the index of words may be behind while more come than there is time for: a SEARCH reads these
/// one by one, which takes it some tenths of a second at the most. A busy minute's messages cost no more than their
/// rows; their words are put into the index when it is over.
pub const INDEX_LAG: usize = 131_072;
/// Messages that the store deletes at once that are past their time, with their words: some milliseconds, for which a
/// message that comes in between waits.
pub const EXPIRY_STEP: usize = 128;
/// Rows of an index that the store walks over at once to find which messages are the newest: some 2 ms.
pub const COUNT_STEP: u32 = 10_000;
/// Milliseconds between two such steps while there is always something to write: what is past its time goes then, too,
/// but slowly.
pub const EXPIRY_PAUSE_MS: u64 = 1_000;
/// Users, channels and accounts that are looked at at once to see whether somebody uses them.
pub const UNUSED_LOOKS: usize = 1_000;
/// Milliseconds between two rounds in which all of them are looked at.
pub const UNUSED_ROUND_MS: u64 = 3_600_000;
/// Conversations that the store looks at for what is past its time before it is asked for more.
pub const EXPIRIES_AT_ONCE: usize = 8;
/// Messages more than are to be kept of a conversation, where a tenth of them is less, after which they are counted at
/// once: so that the store is not asked at each.
pub const COUNT_FLOOR: u32 = 16;
/// Milliseconds after which a conversation is looked at again for what is past its time.
pub const EXPIRY_ROUND_MS: u64 = 600_000;
/// Conversations that are passed in one look for those that have something past its time.
pub const EXPIRY_LOOKS: usize = 200;
/// Milliseconds by which the clock may leap before what that makes old is not deleted at once: more than any correction
/// of a clock that is kept right.
pub const LEAP_MS: u64 = 3_600_000;
/// Milliseconds after which a clock that has leapt is believed: a day, in which somebody can set it right.
pub const LEAP_BELIEVED_MS: u64 = 86_400_000;
/// Milliseconds between two notes of what time it is, for the next start.
pub const CLOCK_NOTE_MS: u64 = 3_600_000;
/// Characters of a word that count in SEARCH; what is longer is no word that anyone types.
pub const SEARCH_WORD_CHARS: usize = 40;
/// Bytes of SASL response, before base64 is taken off, that are put together from chunks of 400.
pub const SASL_RESPONSE_BYTES: usize = 8192;
/// Lines that one connection may send before it has registered: 3 for each capability, and room.
pub const LINES_BEFORE_REGISTRATION: u32 = 400;

/// NICKLEN: long enough for `[m]` bridges, short enough for a source of 512 bytes.
pub const NICK_LEN: usize = 32;
/// USERLEN.
pub const USER_LEN: usize = 10;
/// HOSTLEN: the longest name of a host (RFC 1035), or of a cloak.
pub const HOST_LEN: usize = 63;
/// NAMELEN.
pub const REALNAME_LEN: usize = 150;
/// CHANNELLEN.
pub const CHANNEL_LEN: usize = 64;
/// TOPICLEN: with the longest source and channel it still fits into 512 bytes.
pub const TOPIC_LEN: usize = 300;
/// KICKLEN: as TOPICLEN, with the nick.
pub const KICK_LEN: usize = 255;
/// AWAYLEN.
pub const AWAY_LEN: usize = 200;
/// The longest QUIT and PART reason.
pub const REASON_LEN: usize = 300;
/// KEYLEN.
pub const KEY_LEN: usize = 32;
/// MODES: parameters in one MODE; with the channel and the letters they are 14 of the 15 that a line has.
pub const MODES: usize = 12;
/// The longest label (labeled-response).
pub const LABEL_LEN: usize = 64;
/// Nicks and channels in one PRIVMSG, NOTICE or TAGMSG.
pub const MESSAGE_TARGETS: usize = 4;
/// Read markers of one account: as many conversations as a person has in years.
pub const MARKERS: usize = 10_000;
/// Conversations of which one device is replayed something when it is back besides what it missed since it went: it was
/// cut off before it had read that.
pub const OWED: usize = 2000;
/// Lines, or lines right behind each other, that not all connections of one device were told, their account being several
/// users. Beyond so many what was said between two of one conversation may come twice; of more
/// conversations the oldest is lost.
pub const TOLD: usize = 500;
/// Connections that one device with a name may have at once: where one more comes, that which was silent longest ends. Most of
/// so many are dead, without anybody knowing it yet.
pub const DEVICE_CONNECTIONS: usize = 16;
/// As how many users an account may be on and have it noted what not all of them were told.
pub const BESIDE_USERS: usize = 8;
/// How many times between two ticks it is kept at once what a device is owed of what not all of its connections were told;
/// what is more is kept with the next, of each device once.
pub const BESIDE_KEPT: usize = 32;
/// Accounts that are several users, of which it is known what not all were told: of more than so many what one of them has
/// read counts for all.
pub const BESIDE: usize = 10_000;
/// Things that a device has said and is not known to have read what was shown around them, of which it is known that it need
/// not be shown them.
pub const OWN_SAID: usize = 64;
/// Devices of which that is known at most: of others it goes with their connection.
pub const OWN_SAID_DEVICES: usize = 20_000;
/// Milliseconds in which a client that has come joins its channels: some wait before they do (WeeChat's `autojoin_delay`).
pub const ARRIVAL_MS: u64 = 60_000;
/// Milliseconds that a server which is stopped waits for devices to say what they have read: longer than a line and its
/// answer take on a slow mobile network.
pub const LAST_ANSWERS_MS: u64 = 2_000;
/// Read markers of a connection that is not logged in.
pub const GUEST_MARKERS: usize = 100;
/// Private conversations that a guest takes along to an account, or to another nick.
pub const GUEST_TALKS: usize = 100;
/// Nicks that one connection may MONITOR: a phone asks about everyone it talks to in private.
pub const MONITORED: usize = 100;
/// Keys of one person or channel (METADATA).
pub const METADATA_KEYS: usize = 20;
/// Bytes of a key.
pub const METADATA_KEY_BYTES: usize = 64;
/// Bytes of a value: with the longest source, target and key it fits into one line.
pub const METADATA_VALUE_BYTES: usize = 250;
/// Keys that one connection may subscribe to.
pub const METADATA_SUBSCRIPTIONS: usize = 50;
/// Members of a channel whose values come with its JOIN; of larger ones a client asks when it has time.
pub const METADATA_AT_ONCE: usize = 500;
/// Bans of the server: each new connection is compared with those of them whose host has a wildcard (at most some
/// 0.1 µs each), and UBAN LIST shows all.
pub const BANS: usize = 10_000;
/// ACCEPT: users that one user lets write to it, and of those it wrote to the latest that may answer.
pub const ACCEPTED: usize = 100;
/// SILENCE: masks of those who cannot write to a user.
pub const SILENCED: usize = 32;
/// The longest mask of a list mode or of SILENCE, in bytes.
pub const MASK_LEN: usize = 200;
/// Milliseconds between two KNOCKs of one user at one channel.
pub const KNOCK_MS: u64 = 300_000;
/// Milliseconds between two KNOCKs at one channel, whoever knocks.
pub const KNOCK_CHANNEL_MS: u64 = 10_000;
/// Milliseconds between two notices (718) that someone who may not write to a user wants to.
pub const CALLER_MS: u64 = 60_000;
/// Users without a connection that leave in one look for those who have been away too long, or do not stay any more.
pub const EXPIRED_AT_ONCE: usize = 100;
/// Rows that a start found superfluous or missing, or that a reload has made so, and that one event puts right in the store:
/// a fraction of what may wait for it.
pub const SETTLED_AT_ONCE: usize = 1000;
/// Former users that WHOWAS remembers.
pub const WHOWAS_ENTRIES: usize = 1000;
/// The longest text of a channel's settings (ChanServ SET DESCRIPTION, ENTRYMSG and so on), in bytes: it fits into one
/// line with all that stands round it.
pub const CHANNEL_TEXT_LEN: usize = 300;
/// Days, or messages, that somebody may choose to be kept: what the configuration takes, too.
pub const RETENTION_MOST: u32 = 1_000_000;
/// Channels whose message for those who join one connection remembers to have been told: as many as most people are in.
pub const GREETED: usize = 200;
/// Messages that HistServ PLAY tells: some screens.
pub const PLAYED: u32 = 200;
/// Accounts that asked for what is kept of them in one answer of HistServ STATUS.
pub const EXPORTS_LISTED: usize = 50;
/// Milliseconds between two hosts that an account asks for: each is something that an operator has to look at.
pub const HOST_REQUEST_MS: u64 = 300_000;
/// Hosts that somebody was shown by before, of which bans hold still. People have a cloak, an address and a host or two;
/// each is compared with each ban of their channels.
pub const FORMER_HOSTS: usize = 16;
/// Accounts that are something in one channel (ChanServ AMODE).
pub const CHANNEL_ACCESS: usize = 200;
/// App passwords of one account: one for each device, and some bots.
pub const APP_PASSWORDS: usize = 20;
/// Bytes of an app password's name.
pub const APP_NAME_LEN: usize = 32;
/// Client certificates of one account: one for each device.
pub const CERTIFICATES: usize = 20;
/// Second factors of one account: some authenticators, and one that lies in a drawer.
pub const SECOND_FACTORS: usize = 10;
/// Bytes of a second factor's name (draft/account-2fa).
pub const SECOND_NAME_LEN: usize = 64;
/// Recovery codes that an account is given at once: as many as fit on a slip of paper.
pub const RECOVERY_CODES: usize = 10;
/// Milliseconds from the secret that an authenticator is given to the first code of it, and from the first factor of
/// a login to the second (draft/account-2fa).
pub const SECOND_FACTOR_MS: u64 = 120_000;
/// Wrong codes of one account in a minute, whatever the throttle is set to: three of a million are right at a time,
/// so whoever knows the password needs a month for one chance in two, and the log tells of each try.
pub const SECOND_FACTOR_TRIES: u32 = 5;
/// Tokens (draft/authtoken) of one account that were not used: one for each page that is open, and more.
pub const TOKENS_OF_ACCOUNT: usize = 20;
/// Tokens of all accounts that were not used: each is some 200 bytes, and gone after minutes.
pub const TOKENS: usize = 4096;
/// Bytes of a token that comes in several lines; none of Roost's is a tenth as long.
pub const TOKEN_BYTES: usize = 2048;
/// Bytes of the key of a service that takes tokens.
pub const SERVICE_NAME_LEN: usize = 64;
/// Bytes of its URL (draft/authtoken).
pub const SERVICE_URL_LEN: usize = 250;
/// The longest e-mail address, in bytes (RFC 5321, section 4.5.3.1.3).
pub const EMAIL_LEN: usize = 254;
/// Letters that are handed to the mail server at once: more than that is what mail servers call a flood.
pub const LETTERS_AT_ONCE: usize = 4;
/// Letters that wait for that: as many as go out in the time that one may take, where each takes a second.
pub const LETTERS_WAITING: usize = 64;
/// Milliseconds until a letter is with the mail server, or somebody who waits for it is told that it cannot be sent.
pub const LETTER_MS: u64 = 8_000;
/// How often a letter that nobody waits for is tried, and milliseconds before the second time; each further pause
/// is twice as long.
pub const LETTER_TRIES: u32 = 5;
/// See [`LETTER_TRIES`].
pub const LETTER_AGAIN_MS: u64 = 30_000;
/// How often an account may have all that it said deleted in an hour: each time, all messages are looked at.
pub const ERASURES_PER_HOUR: u32 = 2;
/// Milliseconds between two looks for codes that are over.
pub const CODE_LOOK_MS: u64 = 5_000;
/// Milliseconds that a connection has for its registration beside the usual, once it waits for a code: until a
/// letter has come and was read.
pub const CODE_WAIT_MS: u64 = 600_000;
/// The longest password, in bytes: it is hashed before bcrypt, so all of it counts.
pub const PASSWORD_LEN: usize = 600;

/// Lines of one connection that a worker takes before the others get their turn.
pub const LINES_A_TURN: usize = 64;
/// Bytes without a newline after which a connection is closed instead of being told that its line
/// is too long: no client's line is half as long.
pub const BYTES_WITHOUT_NEWLINE: usize = 16 * 1024;
/// Bytes of actions that wait for one worker before the server thread waits for it; a worker never
/// waits for the server, so it always gets round to taking them.
pub const WAITING_ACTION_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of the send queue of a connection that has not registered: a welcome is 4 KiB.
pub const SENDQ_BEFORE_REGISTRATION: usize = 128 * 1024;
/// Milliseconds that a TLS and a WebSocket handshake may take together.
pub const HANDSHAKE_MS: u64 = 10_000;
/// Milliseconds from the first line of a message of several lines to its last.
pub const COMPOSING_MS: u64 = 60_000;
/// Milliseconds that a proxy has to say whom it speaks for: it does so at once.
pub const PROXY_HEADER_MS: u64 = 5_000;
/// Bytes of a PROXY header: one with a certificate of 4 KiB in it has half as many.
pub const PROXY_HEADER_BYTES: usize = 8 * 1024;
/// Files that connections leave to the rest of the server (the store, the certificate, a reload, mail; and
/// connections to push services): where no more are left, new connections wait in the system's queue.
pub const RESERVED_FILES: usize = 64 + PUSH_CONNECTIONS;
/// Milliseconds after which a listener looks again whether there is room for a connection.
pub const ACCEPT_RETRY_MS: u64 = 100;
/// Milliseconds between two warnings that new connections have to wait.
pub const ACCEPT_WARNING_MS: u64 = 60_000;
/// Milliseconds that a connection stays half open after its last line, so that the other side reads it.
pub const LINGER_MS: u64 = 2_000;
/// Bytes that are read away of what the other side still says after its last line from the server. With anything
/// unread the system resets the connection, and what the other side has not read yet is lost: this is more than any
/// client pipelines, and reading it costs less than a millisecond.
pub const LINGER_BYTES: u32 = 1024 * 1024;
/// Milliseconds that workers have to write what is queued when the server ends.
pub const SHUTDOWN_MS: u64 = 3_000;
/// Bytes of memory that a connection costs at most that has not registered, whatever it sends: itself,
/// its session, and a line that has no end yet. An idle one costs about 2 KiB.
pub const CONNECTION_BYTES: usize = 16 * 1024;
/// Bytes of memory that a TLS handshake costs at most while it is under way.
pub const HANDSHAKE_BYTES: usize = 96 * 1024;
/// Bytes of memory that someone costs at most who asks for long answers and does not read them: one
/// page of history, 1,000 messages with all the tags that they can have, and as many reactions.
pub const SLOW_READER_BYTES: usize = 14 * 1024 * 1024;
/// Connections that the system completes before Roost accepts them.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Fan-outs to one audience that are joined into one queue entry, at most.
pub const JOINED_FRAMES: usize = 512;
/// Passwords that wait to be hashed: at 60 ms each and two cores, ten seconds of them.
pub const HASHES_WAITING: usize = 320;
/// Logins that are judged outside at once: each is a process (`accounts.script`) or a connection (`[ldap]`).
pub const JUDGED_AT_ONCE: usize = 32;
/// Logins that wait for that: as many as are through in eight times the time that one takes.
pub const JUDGED_WAITING: usize = 256;
/// Bytes of such a program's answer, which is a name and a sentence.
pub const SCRIPT_ANSWER_BYTES: u64 = 16 * 1024;
/// Bytes of what it says on standard error that are logged for one login; of more the number is.
pub const SCRIPT_COMPLAINT_BYTES: u64 = 64 * 1024;
/// Bytes of one message of a directory: an entry comes with one attribute at most, and some error texts are long.
pub const LDAP_MESSAGE_BYTES: usize = 64 * 1024;
/// How deep such a message may be nested: an entry's values are at 6.
pub const LDAP_MESSAGE_DEPTH: usize = 16;
/// Messages of a directory about one search, of which 2 entries are wanted at most: the others refer to other servers.
pub const LDAP_SEARCH_MESSAGES: usize = 64;
/// Bytes of what a directory says about a refusal that are logged: Active Directory's are some 100.
pub const LDAP_REASON_BYTES: usize = 400;
/// Milliseconds until the next server of a directory is tried, where one cannot be connected to.
pub const LDAP_CONNECT_MS: u64 = 3_000;
/// Brackets within brackets of a filter in the configuration, at most: those that people write have four.
pub const LDAP_FILTER_DEPTH: usize = 16;
/// Of a hash that was imported, at most: the cost of bcrypt, where one comparison takes some four seconds of one core.
pub const FOREIGN_BCRYPT_COST: u32 = 16;
/// Rounds of PBKDF2 and of crypt(3) of a hash that was imported, at most: about a second of one core.
pub const FOREIGN_ROUNDS: u32 = 1_000_000;
/// Kibibytes that comparing with a hash of Argon2 that was imported takes, at most, on each thread that hashes.
pub const FOREIGN_ARGON2_KIB: u32 = 256 * 1024;
/// Bytes of a file that `roost import` reads: it is in memory whole, and a network of a million accounts has half as
/// much.
pub const IMPORT_BYTES: u64 = 1 << 30;
/// Bytes of a value that an import shows in its report.
pub const IMPORT_SHOWN: usize = 80;

/// Bytes of a push service's URL: what a line has room for with the keys after it.
pub const PUSH_ENDPOINT_BYTES: usize = 367;
/// Pushes that are under way at once: each is a socket, and takes the place of a client.
pub const PUSHES_AT_ONCE: usize = 512;
/// Of these to one push service, and so many connections: more is what such services call a flood.
pub const PUSHES_PER_ORIGIN: usize = 8;
/// Of these to devices that were not reached the last time: such a push may hold its place until it has failed.
pub const PUSHES_UNSURE: usize = 4;
/// Of these to devices of one account, which may all be of somebody who has them hang.
pub const PUSHES_PER_ORIGIN_OF_ONE: usize = 2;
/// Accounts none of whose devices was reached, one after the other, until a push service is taken to be down.
pub const PUSH_ORIGIN_FAILURES: usize = 3;
/// Connections to push services that are kept open for the next push.
pub const PUSH_CONNECTIONS: usize = 128;
/// Push services whose tokens are kept.
pub const PUSH_ORIGINS: usize = 1024;
/// Names of push services that are looked up at once, each on a thread that a slow name server may hold.
pub const PUSH_LOOKUPS: usize = 128;
/// Milliseconds until a push is with its push service, or has failed.
pub const PUSH_MS: u64 = 10_000;
/// Milliseconds that a connection to a push service is kept open without use.
pub const PUSH_IDLE_MS: u64 = 30_000;
/// Bytes of a push service's answer that are read, its head and its body each.
pub const PUSH_ANSWER_BYTES: usize = 16 * 1024;
/// Seconds that a token for a push service holds (RFC 8292 allows 24 hours); half of that it is used.
pub const VAPID_TOKEN_SECONDS: u64 = 12 * 3600;
/// Devices that one account may subscribe to web push in an hour: each is sent something at once.
pub const SUBSCRIPTIONS_PER_HOUR: u32 = 30;
/// Milliseconds until the next address of a push service is tried, where one does not answer.
pub const PUSH_CONNECT_MS: u64 = 3_000;
/// Milliseconds that the rest of a push service's answer is waited for, once its status is there.
pub const PUSH_REST_MS: u64 = 1_000;
/// Seconds since a device was last reached, before refusals are the end of it: the fault may be on this side.
pub const PUSH_TRUST_SECONDS: u64 = 7 * 24 * 3600;
/// Words that mention somebody beside nick and account, in one list: each message is looked through for all.
pub const PUSH_KEYWORDS: usize = 20;
/// Channels and people of which one account says something for itself alone (muted, pinned, when to be told).
pub const PRIVATE_TARGETS: usize = 500;
/// Pushes that wait for their time or for the disk.
pub const PUSHES_WAITING: usize = 10_000;
/// Of these, those of one account.
pub const PUSHES_WAITING_OF_ONE: usize = 200;
/// Pushes that wait for one device: no more than a phone has room to show.
pub const PUSHES_OF_DEVICE: usize = 32;
/// Pushes of one conversation in a minute; of what is said beyond them the last is pushed, when the minute is over.
pub const PUSHES_A_MINUTE: u32 = 10;
/// Conversations of one account that were pushed and not read since.
pub const PUSHED_TALKS: usize = 64;
/// How often a push is tried, and milliseconds before the second time; each further pause is three times as long.
pub const PUSH_TRIES: u32 = 6;
/// See [`PUSH_TRIES`].
pub const PUSH_AGAIN_MS: u64 = 5_000;
/// Milliseconds that a push service may ask to be left alone for (`Retry-After`), at most.
pub const PUSH_PAUSE_MS: u64 = 6 * 3_600_000;
/// Milliseconds for which a device, or a push service, that cannot be reached is left alone, at most.
pub const PUSH_UNREACHED_PAUSE_MS: u64 = 300_000;
/// Pushes of one device, one after the other, that its push service does not take at all, until the device is
/// forgotten: the subscription is under a key that is not ours any more, or was never any.
pub const PUSH_REFUSALS: u32 = 5;
/// Seconds that a push service keeps a message for a device that is off: a week, as soju and Ergo.
pub const PUSH_TTL: u32 = 7 * 24 * 3600;
/// Seconds between two pushes that only say that push works.
pub const PUSH_TEST_SECONDS: u64 = 24 * 3600;
/// Seconds between two notes in the store that a device was reached.
pub const PUSH_REACHED_SECONDS: u64 = 3600;
/// Milliseconds between two looks for devices that were not renewed for too long.
pub const PUSH_LOOK_MS: u64 = 60_000;
/// Milliseconds between two warnings that pushes were dropped.
pub const PUSH_WARNING_MS: u64 = 60_000;
