//! A database that was written under one casemapping, filed anew under another.
//!
//! Accounts and registered channels are folded anew from their names. A conversation is known by its key
//! alone: that of a registered channel goes where its channel goes, every other key is folded as it stands.
//! Where two accounts or two registered channels would become one, nothing is done. Where two conversations
//! would, one gets the key and the other is put aside under what it was called and its number, which no name
//! can be; when the key is free again under a later casemapping, it comes back.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use ircv3::Casemapping;

use crate::server::ban::Target;
use crate::server::record::{
    AccountId, BanRow, ChannelRow, ConversationId, ConversationRow, GroupedRow, ListRow, MarkerRow, MetadataRow,
    PurgeRow, PushedRow, Record, Seq, Snapshot,
};

/// Pairs of names that are told at most.
const TOLD: usize = 5;
/// What stands between the key of a conversation that was put aside and its number.
const ASIDE: &str = " =";

/// Files the snapshot under another casemapping; what the store must write for that, in one transaction.
///
/// # Errors
/// Names that would become one, in words.
pub fn refold(snapshot: &mut Snapshot, to: Casemapping) -> Result<Vec<(Seq, Record)>, Box<str>> {
    if snapshot.casemapping == to {
        return Ok(Vec::new());
    }
    let accounts = snapshot.accounts.iter().map(|row| (&*row.name, &*row.folded));
    let mut clashes = clashes("accounts", accounts, to);
    let channels = snapshot.channels.iter().filter(|row| row.founder.is_some());
    let channels = channels.map(|row| (&*row.name, &*row.folded));
    clashes.extend(self::clashes("channels", channels, to));
    clashes.extend(grouped_clashes(snapshot, to));
    if !clashes.is_empty() {
        let more = clashes.len().saturating_sub(TOLD);
        clashes.truncate(TOLD);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        return Err(format!("{}{more}", clashes.join(", ")).into());
    }

    let mut records = Vec::new();
    drop_clashing(snapshot, to, &mut records);
    for row in &mut snapshot.accounts {
        let folded = to.fold(&row.name);
        if *row.folded != *folded.as_str() {
            row.folded = folded.as_str().into();
            records.push(Record::Account(Box::new(row.clone())));
        }
    }
    refold_grouped(snapshot, to, &mut records);
    let conversations = refold_conversations(snapshot, to, &mut records);
    refold_markers(&mut snapshot.markers, &conversations, &mut records);
    refold_pushed(&mut snapshot.pushed, &conversations, &mut records);
    let channels: BTreeMap<Box<str>, Box<str>> =
        snapshot.channels.iter().map(|row| (row.folded.clone(), to.fold(&row.name).as_str().into())).collect();
    refold_private(&mut snapshot.metadata, &channels, to, &mut records);
    refold_channels(snapshot, to, &mut records);
    refold_purges(&mut snapshot.purges, to, &mut records);
    refold_bans(&mut snapshot.bans, to, &mut records);
    records.push(Record::Casemapping(to));
    snapshot.casemapping = to;
    let seq = snapshot.last_seq;
    Ok(records.into_iter().map(|record| (seq, record)).collect())
}

/// Names that become one, in pairs; also one that would come to where another has been.
fn clashes<'a>(what: &str, rows: impl Iterator<Item = (&'a str, &'a str)> + Clone, to: Casemapping) -> Vec<String> {
    let mut found = Vec::new();
    let mut taken: BTreeMap<Box<str>, &str> = BTreeMap::new();
    for (name, _) in rows.clone() {
        match taken.entry(to.fold(name).as_str().into()) {
            Entry::Occupied(other) => found.push(format!("the {what} {} and {name}", other.get())),
            Entry::Vacant(free) => drop(free.insert(name)),
        }
    }
    for (name, was) in rows {
        if let Some(other) = taken.get(was).filter(|other| **other != name) {
            found.push(format!("the {what} {other} and {name}"));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Nicks of different accounts that become one, in pairs.
fn grouped_clashes(snapshot: &Snapshot, to: Casemapping) -> Vec<String> {
    let names = snapshot.accounts.iter().map(|row| (&*row.name, row.id));
    let nicks = snapshot.grouped.iter().map(|row| (&*row.nick, row.account));
    let mut taken: BTreeMap<Box<str>, (&str, AccountId)> = BTreeMap::new();
    let mut found = Vec::new();
    for (nick, account) in names.chain(nicks) {
        let (other, owner) = *taken.entry(to.fold(nick).as_str().into()).or_insert((nick, account));
        if owner != account && snapshot.grouped.iter().any(|row| *row.nick == *nick) {
            found.push(format!("the nicks {other} and {nick}"));
        }
    }
    found
}

/// Folds grouped nicks anew; of two of one account that become one, and of one that becomes its name, one is enough.
fn refold_grouped(snapshot: &mut Snapshot, to: Casemapping, records: &mut Vec<Record>) {
    let mut all: BTreeMap<Box<str>, GroupedRow> = BTreeMap::new();
    let names: BTreeSet<&str> = snapshot.accounts.iter().map(|row| &*row.folded).collect();
    let mut came = Vec::new();
    for mut row in std::mem::take(&mut snapshot.grouped) {
        let folded: Box<str> = to.fold(&row.nick).as_str().into();
        let is_new = folded != row.folded;
        if is_new {
            records.push(Record::GroupedGone(std::mem::replace(&mut row.folded, folded.clone())));
        }
        if names.contains(&*folded) || all.contains_key(&folded) {
            records.push(Record::GroupedGone(folded));
            continue;
        }
        if is_new {
            came.push(folded.clone());
        }
        all.insert(folded, row);
    }
    let kept = all.values().map(|row| Record::Grouped(Box::new(row.clone())));
    // What went above may be what stays.
    if !came.is_empty() {
        records.extend(kept);
    }
    snapshot.grouped = all.into_values().collect();
}

/// Ends channels that are not registered where they would become one with another: who is in one does not come into the
/// other, and what was said in it is put aside.
fn drop_clashing(snapshot: &mut Snapshot, to: Casemapping, records: &mut Vec<Record>) {
    let from = snapshot.casemapping;
    let mut all: Vec<&ChannelRow> = snapshot.channels.iter().collect();
    all.sort_by_key(|row| row.founder.is_none());
    let mut keys: BTreeSet<Box<str>> = BTreeSet::new();
    let mut gone: BTreeSet<Box<str>> = BTreeSet::new();
    for row in all {
        let new: Box<str> = to.fold(&row.name).as_str().into();
        if row.founder.is_none() && (keys.contains(&row.folded) || keys.contains(&new)) {
            gone.insert(row.folded.clone());
        } else {
            keys.extend([row.folded.clone(), new]);
        }
    }
    if gone.is_empty() {
        return;
    }
    snapshot.channels.retain(|row| !gone.contains(&row.folded));
    snapshot.lists.retain(|row| !gone.contains(&row.channel));
    snapshot.metadata.retain(|row| !gone.contains(&row.owner));
    snapshot.settings.retain(|row| !gone.contains(&row.owner));
    records.extend(gone.iter().map(|folded| Record::ChannelGone(folded.clone())));
    for (row, _, _) in snapshot.conversations.iter_mut().filter(|(row, _, _)| gone.contains(&row.key)) {
        row.key = format!("{}{ASIDE}{}", row.key, row.id).into();
        records.push(Record::Conversation(row.clone()));
    }
    for row in &mut snapshot.presences {
        let stays = |word: &&str| {
            let name = word.rsplit_once(':').map_or(*word, |(name, _)| name);
            !gone.contains(from.fold(name).as_str())
        };
        let channels: Vec<&str> = row.channels.split_ascii_whitespace().filter(stays).collect();
        let channels: Box<str> = channels.join(" ").into();
        if channels != row.channels {
            row.channels = channels;
            records.push(Record::Presence(Box::new(row.clone())));
        }
    }
}

/// Gives conversations their new keys; which key has become which.
fn refold_conversations(
    snapshot: &mut Snapshot,
    to: Casemapping,
    records: &mut Vec<Record>,
) -> BTreeMap<Box<str>, Box<str>> {
    let channels: BTreeMap<&str, &str> = snapshot.channels.iter().map(|row| (&*row.folded, &*row.name)).collect();
    let mut order: Vec<usize> = (0..snapshot.conversations.len()).collect();
    // Who has the key already, or has it by right, comes first; then the one that was spoken in last.
    order.sort_by_key(|at| {
        let (row, last, _) = &snapshot.conversations[*at];
        let (key, aside) = split_aside(&row.key, row.id);
        (aside, !channels.contains_key(key), std::cmp::Reverse(*last), row.id)
    });
    let new_key = |key: &str| match channels.get(key) {
        Some(name) => to.fold(name).as_str().into(),
        None => refold_key(key, to),
    };
    let keys: BTreeSet<Box<str>> = snapshot.channels.iter().map(|row| to.fold(&row.name).as_str().into()).collect();
    let mut taken: BTreeSet<Box<str>> = BTreeSet::new();
    let mut moved = BTreeMap::new();
    for at in order {
        let (row, last, _) = &mut snapshot.conversations[at];
        // What was put aside is called what it was called before, and no channel's any more.
        let (key, aside) = split_aside(&row.key, row.id);
        let new = if aside { refold_key(key, to) } else { new_key(key) };
        let is_anothers = aside && keys.contains(&new);
        let new =
            if !is_anothers && taken.insert(new.clone()) { new } else { format!("{key}{ASIDE}{}", row.id).into() };
        // What was said behind closed doors in a channel that is no more is not for one that comes to the name.
        let sealed = row.closed && !aside && !channels.contains_key(key) && (row.key != new || keys.contains(&new));
        if row.key == new && !sealed {
            continue;
        }
        if row.key != new {
            moved.insert(row.key.clone(), new.clone());
        }
        let (closed, since) = if sealed { (false, *last + 1) } else { (row.closed, row.since) };
        *row = ConversationRow { id: row.id, key: new, closed, since };
        records.push(Record::Conversation(row.clone()));
    }
    // What nothing was said in may have been read, too.
    for MarkerRow { conversation: key, .. } in &snapshot.markers {
        if !moved.contains_key(key) && !taken.contains(key) {
            moved.insert(key.clone(), new_key(key));
        }
    }
    moved
}

/// The key of a conversation, and whether it was put aside.
fn split_aside(key: &str, id: ConversationId) -> (&str, bool) {
    match key.rsplit_once(ASIDE) {
        Some((rest, number)) if number.parse() == Ok(id) => (rest, true),
        _ => (key, false),
    }
}

/// The key of a channel that is not registered, or of two people.
fn refold_key(key: &str, to: Casemapping) -> Box<str> {
    let Some((a, b)) = key.split_once(' ').filter(|_| !key.starts_with('#')) else {
        return to.fold(key).as_str().into();
    };
    // Of a guest the nick, after a `~` that is none of its letters.
    let part = |part: &str| match part.strip_prefix('~') {
        Some(nick) => format!("~{}", to.fold(nick)),
        None => part.to_owned(),
    };
    let (a, b) = (part(a), part(b));
    if a <= b { format!("{a} {b}").into() } else { format!("{b} {a}").into() }
}

/// Moves read markers with their conversations; of two that become one, the one that is further on holds.
fn refold_markers(markers: &mut Vec<MarkerRow>, moved: &BTreeMap<Box<str>, Box<str>>, records: &mut Vec<Record>) {
    let mut all: BTreeMap<(u64, Box<str>), MarkerRow> = BTreeMap::new();
    for mut row in std::mem::take(markers) {
        if let Some(new) = moved.get(&row.conversation) {
            records.push(Record::MarkerGone(row.account, std::mem::replace(&mut row.conversation, new.clone())));
        }
        let key = (row.account, row.conversation.clone());
        if all.get(&key).is_none_or(|other| other.time < row.time) {
            all.insert(key, row);
        }
    }
    let came: BTreeSet<&Box<str>> = moved.values().collect();
    let new = all.values().filter(|row| came.contains(&row.conversation));
    records.extend(new.map(|row| Record::Marker(row.clone())));
    markers.extend(all.into_values());
}

/// Moves what was pushed with its conversations. All that goes, goes first: one may come to where another has been.
fn refold_pushed(rows: &mut [PushedRow], moved: &BTreeMap<Box<str>, Box<str>>, records: &mut Vec<Record>) {
    let mut came = Vec::new();
    for row in rows {
        let Some(new) = moved.get(&row.conversation) else { continue };
        records.push(Record::PushedGone(row.account, std::mem::replace(&mut row.conversation, new.clone())));
        came.push(Record::Pushed(row.clone()));
    }
    records.append(&mut came);
}

/// Moves registered channels, with their lists and keys.
fn refold_channels(snapshot: &mut Snapshot, to: Casemapping, records: &mut Vec<Record>) {
    let mut moved: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();
    for row in &mut snapshot.channels {
        let folded = to.fold(&row.name);
        if *row.folded != *folded.as_str() {
            moved.insert(std::mem::replace(&mut row.folded, folded.as_str().into()), folded.as_str().into());
        }
    }
    // All that goes, goes first: with a channel go its lists and keys.
    records.extend(moved.keys().map(|was| Record::ChannelGone(was.clone())));
    let came: BTreeSet<&Box<str>> = moved.values().collect();
    let is_new = |row: &&ChannelRow| came.contains(&row.folded);
    records.extend(snapshot.channels.iter().filter(is_new).map(|row| Record::Channel(Box::new(row.clone()))));
    for ListRow { channel, mode, mask, setter, set_at } in &mut snapshot.lists {
        let Some(new) = moved.get(channel) else { continue };
        *channel = new.clone();
        let (mask, setter) = (mask.clone(), setter.clone());
        let row = ListRow { channel: new.clone(), mode: *mode, mask, setter, set_at: *set_at };
        records.push(Record::ListEntry(Box::new(row)));
    }
    for row in &mut snapshot.access {
        let Some(new) = moved.get(&row.channel) else { continue };
        row.channel = new.clone();
        records.push(Record::Access(Box::new(row.clone())));
    }
    for MetadataRow { owner, key, value } in &mut snapshot.metadata {
        let Some(new) = moved.get(owner) else { continue };
        *owner = new.clone();
        records.push(Record::Metadata(Box::new(MetadataRow {
            owner: new.clone(),
            key: key.clone(),
            value: value.clone(),
        })));
    }
    for row in &mut snapshot.settings {
        let Some(new) = moved.get(&row.owner) else { continue };
        row.owner = new.clone();
        records.push(Record::Setting(Box::new(row.clone())));
    }
}

/// Writes anew whom what accounts say of others is about: a registered channel by its name, as `channels` says, all else
/// as it stands. Of two that become one, the first holds. All that goes, goes first.
fn refold_private(
    rows: &mut Vec<MetadataRow>,
    channels: &BTreeMap<Box<str>, Box<str>>,
    to: Casemapping,
    records: &mut Vec<Record>,
) {
    let new_owner = |owner: &str| -> Option<Box<str>> {
        let (account, about) = owner.split_once(' ')?;
        let new = match about.strip_prefix('~') {
            Some(nick) => format!("~{}", to.fold(nick)),
            None if about.starts_with('#') => match channels.get(about) {
                Some(new) => new.to_string(),
                None => to.fold(about).as_str().to_owned(),
            },
            None => return None,
        };
        (new != about).then(|| format!("{account} {new}").into())
    };
    let stays = |row: &&MetadataRow| new_owner(&row.owner).is_none();
    let mut taken: BTreeSet<(Box<str>, Box<str>)> =
        rows.iter().filter(stays).map(|row| (row.owner.clone(), row.key.clone())).collect();
    let mut came = Vec::new();
    rows.retain_mut(|row| {
        let Some(owner) = new_owner(&row.owner) else { return true };
        records.push(Record::Metadata(Box::new(MetadataRow { value: None, ..row.clone() })));
        row.owner = owner;
        let is_new = taken.insert((row.owner.clone(), row.key.clone()));
        if is_new {
            came.push(Record::Metadata(Box::new(row.clone())));
        }
        is_new
    });
    records.append(&mut came);
}

/// Moves channels that are closed for good; of two that become one, the first holds.
fn refold_purges(purges: &mut Vec<PurgeRow>, to: Casemapping, records: &mut Vec<Record>) {
    let mut all: Vec<PurgeRow> = Vec::with_capacity(purges.len());
    for mut row in std::mem::take(purges) {
        let folded: Box<str> = to.fold(&row.channel).as_str().into();
        let changed = folded != row.channel;
        if changed {
            records.push(Record::PurgeGone(std::mem::replace(&mut row.channel, folded)));
        }
        if all.iter().any(|other| other.channel == row.channel) {
            continue;
        }
        if changed {
            records.push(Record::Purge(Box::new(row.clone())));
        }
        all.push(row);
    }
    *purges = all;
}

/// Writes the targets of bans anew; of two that become one, what is stricter holds.
fn refold_bans(bans: &mut Vec<BanRow>, to: Casemapping, records: &mut Vec<Record>) {
    let mut all: Vec<BanRow> = Vec::with_capacity(bans.len());
    for mut row in std::mem::take(bans) {
        // What a newer version wrote stays as it is.
        let target = Target::stored(&row.target, to).map(|target| Box::from(target.to_string()));
        let target = target.unwrap_or_else(|| row.target.clone());
        let changed = target != row.target;
        if changed {
            records.push(Record::BanGone(std::mem::replace(&mut row.target, target)));
        }
        match all.iter_mut().find(|other| other.target == row.target) {
            Some(other) => {
                other.expires = other.expires.zip(row.expires).map(|(a, b)| a.max(b));
                other.unless_logged_in &= row.unless_logged_in;
                records.push(Record::Ban(Box::new(other.clone())));
            }
            None => {
                if changed {
                    records.push(Record::Ban(Box::new(row.clone())));
                }
                all.push(row);
            }
        }
    }
    *bans = all;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ircv3::Casemapping::{self, Ascii, Precis, Rfc1459};
    use ircv3::mode::Rank;

    use super::refold;
    use crate::server::network::Network;
    use crate::server::record::{
        AccessRow, AccountRow, BanRow, ChannelRow, ConversationRow, GroupedRow, ListRow, MarkerRow, MetadataRow,
        PresenceRow, PurgeRow, PushedRow, Record, Snapshot,
    };

    fn account(id: u64, name: &str, by: Casemapping) -> AccountRow {
        AccountRow {
            id,
            name: name.into(),
            folded: by.fold(name).as_str().into(),
            password: "".into(),
            registered: 1,
            autoreplay_missed: true,
            always_on: None,
            multiclient: true,
            email: None,
            verified: true,
        }
    }

    fn channel(name: &str, by: Casemapping) -> ChannelRow {
        ChannelRow {
            folded: by.fold(name).as_str().into(),
            name: name.into(),
            founder: Some(1),
            registered: 1,
            created: 1,
            topic: None,
            modes: "nt".into(),
            key: None,
            limit: None,
            forward: None,
            transfer: None,
        }
    }

    fn purge(channel: &str) -> PurgeRow {
        PurgeRow { channel: channel.into(), reason: "r".into(), setter: "s".into(), set_at: 1 }
    }

    fn conversation(id: u64, key: &str, last: u64) -> (ConversationRow, u64, u64) {
        (ConversationRow { id, key: key.into(), ..ConversationRow::default() }, last, last)
    }

    fn marker(account: u64, key: &str, time: u64) -> MarkerRow {
        MarkerRow { account, conversation: key.into(), time }
    }

    /// What there was under `ascii`.
    fn snapshot() -> Snapshot {
        let mask = "x!*@*".into();
        Snapshot {
            last_seq: 9,
            accounts: vec![account(1, "A[1]", Ascii), account(2, "bob", Ascii)],
            channels: vec![channel("#Room[1]", Ascii), channel("#plain", Ascii)],
            lists: vec![ListRow { channel: "#room[1]".into(), mode: 'b', mask, setter: "s".into(), set_at: 1 }],
            metadata: vec![MetadataRow { owner: "#room[1]".into(), key: "k".into(), value: Some("v".into()) }],
            conversations: vec![
                conversation(1, "#room[1]", 5),
                conversation(2, "#free[x]", 5),
                conversation(3, "$2 ~g[", 5),
                conversation(4, "$1 $2", 5),
            ],
            markers: vec![
                marker(2, "#room[1]", 5),
                marker(2, "#free[x]", 6),
                marker(2, "#silent^", 7),
                marker(2, "$1 $2", 8),
            ],
            bans: vec![BanRow { target: "bad[*!*@*".into(), ..BanRow::default() }],
            access: vec![AccessRow { channel: "#room[1]".into(), account: 2, rank: Rank::Op }],
            purges: vec![purge("#closed[1]"), purge("#closed{1}")],
            ..Snapshot::default()
        }
    }

    fn keys(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.conversations.iter().map(|(row, _, _)| &*row.key).collect()
    }

    #[test]
    fn everything_is_found_by_its_new_key_and_the_way_back_leads_back() {
        let mut snapshot = snapshot();
        let before = snapshot.clone();
        assert_eq!(refold(&mut snapshot, Ascii), Ok(Vec::new()));
        let records = refold(&mut snapshot, Rfc1459).unwrap();
        assert_eq!(&*snapshot.accounts[0].folded, "a{1}");
        assert_eq!(&*snapshot.channels[0].folded, "#room{1}");
        assert_eq!(&*snapshot.lists[0].channel, "#room{1}");
        assert_eq!(&*snapshot.metadata[0].owner, "#room{1}");
        assert_eq!(keys(&snapshot), ["#room{1}", "#free{x}", "$2 ~g{", "$1 $2"]);
        assert_eq!(&*snapshot.bans[0].target, "bad{*!*@*");
        assert_eq!(snapshot.purges, [purge("#closed{1}")], "a name that two were closed under is closed once");
        assert_eq!(records.last(), Some(&(9, Record::Casemapping(Rfc1459))));
        let gone = records.iter().position(|(_, record)| *record == Record::ChannelGone("#room[1]".into())).unwrap();
        let came = records.iter().position(|(_, record)| matches!(record, Record::Channel(_))).unwrap();
        assert!(gone < came);
        let network = Network::new(Rfc1459, snapshot.clone());
        assert_eq!(network.account_by_name("a{1]").unwrap().id, 1);
        let id = network.channel_by_name("#ROOM{1]").unwrap();
        assert_eq!(network.channels[id].bans.len(), 1);
        assert_eq!(network.channels[id].access.get(&2), Some(&Rank::Op));
        assert_eq!(network.marker(2, "#room{1}"), Some(5));
        assert_eq!(network.marker(2, "#silent^"), Some(7));
        assert_eq!(network.conversation("#room{1}").unwrap().id, 1);

        refold(&mut snapshot, Ascii).unwrap();
        assert_eq!((&snapshot.accounts, &snapshot.channels), (&before.accounts, &before.channels));
        assert_eq!((&snapshot.lists, &snapshot.metadata), (&before.lists, &before.metadata));
        // Of what is not registered only the folded form is known.
        assert_eq!(keys(&snapshot), ["#room[1]", "#free{x}", "$2 ~g{", "$1 $2"]);
    }

    #[test]
    fn a_channel_that_is_not_registered_gives_way_and_who_was_in_it_does_not_come_into_the_other() {
        let mut snapshot = snapshot();
        let free = |name| ChannelRow { founder: None, registered: 0, ..channel(name, Ascii) };
        snapshot.channels.extend([free("#room{1}"), free("#held[]"), free("#held{}")]);
        snapshot.lists.push(ListRow { channel: "#room{1}".into(), ..snapshot.lists[0].clone() });
        snapshot.conversations = vec![conversation(5, "#room{1}", 9), conversation(6, "#held{}", 9)];
        let presence = PresenceRow {
            account: 2,
            since: 1,
            nick: "bob".into(),
            user: "~b".into(),
            hosts: "h h".into(),
            realname: "b".into(),
            modes: "".into(),
            away: None,
            channels: "#ROOM{1}:o1 #plain:2 #Held{}:3 #held[]:4".into(),
            signon: 1,
            left: 1,
        };
        snapshot.presences.push(presence);
        let records = refold(&mut snapshot, Rfc1459).unwrap();
        let names: Vec<&str> = snapshot.channels.iter().map(|row| &*row.name).collect();
        assert_eq!(names, ["#Room[1]", "#plain", "#held[]"]);
        assert_eq!(snapshot.lists.len(), 1);
        assert_eq!(&*snapshot.presences[0].channels, "#plain:2 #held[]:4");
        assert_eq!(keys(&snapshot), ["#room{1} =5", "#held{} =6"], "not what was said in another channel");
        for folded in ["#room{1}", "#held{}"] {
            assert!(records.iter().any(|(_, record)| *record == Record::ChannelGone(folded.into())));
        }
        assert!(records.iter().any(|(_, record)| matches!(record, Record::Presence(_))));
    }

    #[test]
    fn what_was_said_in_a_closed_channel_that_is_no_more_is_not_for_one_that_comes_to_the_name() {
        let closed = |id, key: &str| {
            let (row, last, text) = conversation(id, key, 7);
            (ConversationRow { closed: true, since: 2, ..row }, last, text)
        };
        let mut snapshot = snapshot();
        snapshot.channels.push(channel("#Other[1]", Ascii));
        snapshot.conversations = vec![
            closed(1, "#room[1]"),
            closed(2, "#other{1}"),
            closed(3, "#gone[]"),
            closed(4, "#gone"),
            closed(5, "#g^ =5"),
        ];
        refold(&mut snapshot, Rfc1459).unwrap();
        let rows: Vec<(&str, bool, u64)> =
            snapshot.conversations.iter().map(|(row, ..)| (&*row.key, row.closed, row.since)).collect();
        // A channel's own, what stays as it is, and what was put aside keep what was noted.
        let expected = [
            ("#room{1}", true, 2),
            ("#other{1}", false, 8),
            ("#gone{}", false, 8),
            ("#gone", true, 2),
            ("#g^", true, 2),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn accounts_and_channels_that_would_become_one_are_named_and_nothing_is_done() {
        let mut snapshot = snapshot();
        snapshot.accounts.push(account(3, "a{1}", Ascii));
        snapshot.channels.push(channel("#room{1}", Ascii));
        let before = snapshot.clone();
        let names = refold(&mut snapshot, Rfc1459).unwrap_err();
        assert_eq!(&*names, "the accounts A[1] and a{1}, the channels #Room[1] and #room{1}");
        assert_eq!(snapshot, before);
        assert!(refold(&mut snapshot, Precis).is_ok());
    }

    fn grouped(nick: &str, account: u64, by: Casemapping) -> GroupedRow {
        GroupedRow { folded: by.fold(nick).as_str().into(), nick: nick.into(), account, added: 1 }
    }

    #[test]
    fn grouped_nicks_are_folded_anew_and_those_of_two_accounts_stay_two() {
        let mut snapshot = snapshot();
        snapshot.grouped = vec![
            grouped("A{1}", 1, Ascii),
            grouped("moon[", 1, Ascii),
            grouped("moon{", 1, Ascii),
            grouped("sun", 2, Ascii),
        ];
        let records = refold(&mut snapshot, Rfc1459).unwrap();
        let expected = [grouped("moon[", 1, Rfc1459), grouped("sun", 2, Rfc1459)];
        assert_eq!(snapshot.grouped, expected);
        // In the store, too.
        let mut kept: Vec<Box<str>> = ["a{1}", "moon[", "moon{", "sun"].map(Box::from).into();
        for (_, record) in &records {
            match record {
                Record::GroupedGone(folded) => kept.retain(|other| other != folded),
                Record::Grouped(row) if !kept.contains(&row.folded) => kept.push(row.folded.clone()),
                _ => {}
            }
        }
        kept.sort();
        assert_eq!(kept, expected.map(|row| row.folded));
        let network = Network::new(Rfc1459, snapshot.clone());
        assert_eq!(network.nick_owner("MOON{").unwrap().id, 1);

        snapshot.grouped.push(grouped("SUN^", 1, Rfc1459));
        snapshot.grouped.push(grouped("sun~", 2, Rfc1459));
        assert!(refold(&mut snapshot.clone(), Ascii).is_ok());
        snapshot.grouped[3].nick = "sun^".into();
        let names = refold(&mut snapshot, Ascii).unwrap_err();
        assert_eq!(&*names, "the nicks SUN^ and sun^");
    }

    #[test]
    fn of_two_conversations_one_is_put_aside_and_comes_back() {
        let mut snapshot = Snapshot {
            channels: vec![channel("#a[", Ascii)],
            conversations: vec![
                conversation(1, "#a[", 1),
                conversation(2, "#a{", 9),
                conversation(3, "$1 ~g[", 1),
                conversation(4, "$1 ~g{", 9),
            ],
            markers: vec![marker(1, "#a[", 1), marker(1, "#a{", 2), marker(1, "#b[", 3), marker(1, "#b{", 4)],
            ..Snapshot::default()
        };
        let before = keys(&snapshot).into_iter().map(str::to_owned).collect::<Vec<_>>();
        refold(&mut snapshot, Rfc1459).unwrap();
        // The one of the registered channel, then the one that is newer.
        assert_eq!(keys(&snapshot), ["#a{", "#a{ =2", "$1 ~g[ =3", "$1 ~g{"]);
        let network = Network::new(Rfc1459, snapshot.clone());
        assert_eq!(network.private_conversations(1).len(), 1);
        assert_eq!((network.marker(1, "#a{"), network.marker(1, "#b{")), (Some(1), Some(4)));
        refold(&mut snapshot, Ascii).unwrap();
        assert_eq!(keys(&snapshot), before);
        let network = Network::new(Ascii, snapshot);
        assert_eq!((network.marker(1, "#a["), network.marker(1, "#a{")), (Some(1), Some(2)));
    }

    #[test]
    fn what_an_account_says_of_a_registered_channel_goes_where_the_channel_goes() {
        let about = |owner: &str| MetadataRow { owner: owner.into(), key: "k".into(), value: Some("v".into()) };
        let mut snapshot = Snapshot {
            casemapping: Rfc1459,
            channels: vec![channel("#Room[1]", Rfc1459)],
            metadata: vec![about("$1 #free{}"), about("$1 #room{1}")],
            ..Snapshot::default()
        };
        let records = refold(&mut snapshot, Ascii).unwrap();
        assert_eq!(snapshot.metadata, [about("$1 #free{}"), about("$1 #room[1]")]);
        assert!(records.iter().any(|(_, record)| *record == Record::Metadata(Box::new(about("$1 #room[1]")))));
        let network = Network::new(Ascii, snapshot);
        assert!(network.private_metadata(1, &network.about("#ROOM[1]")).is_some());
    }

    #[test]
    fn of_two_pushed_conversations_of_which_one_takes_the_others_key_both_stay() {
        let pushed = |conversation: &str, first| PushedRow { account: 1, conversation: conversation.into(), first };
        let mut snapshot = Snapshot {
            channels: vec![channel("#a[", Ascii)],
            conversations: vec![conversation(1, "#a[", 1), conversation(2, "#a{", 9)],
            pushed: vec![pushed("#a[", 1), pushed("#a{", 2)],
            ..Snapshot::default()
        };
        let mut kept = snapshot.pushed.clone();
        for (_, record) in refold(&mut snapshot, Rfc1459).unwrap() {
            match record {
                Record::PushedGone(_, key) => kept.retain(|row| row.conversation != key),
                Record::Pushed(row) => kept.push(row),
                _ => {}
            }
        }
        assert_eq!(snapshot.pushed, [pushed("#a{", 1), pushed("#a{ =2", 2)]);
        kept.sort_by_key(|row| row.first);
        assert_eq!(kept, snapshot.pushed, "in the store, too");
    }

    #[test]
    fn of_two_bans_of_one_target_the_stricter_holds() {
        let ban = |target: &str, expires, unless_logged_in| BanRow {
            target: target.into(),
            expires,
            unless_logged_in,
            ..BanRow::default()
        };
        let bans = vec![ban("a[!*@*", Some(5), false), ban("a{!*@*", None, true), ban("new:thing", None, true)];
        let mut snapshot = Snapshot { bans, ..Snapshot::default() };
        let records = refold(&mut snapshot, Rfc1459).unwrap();
        assert_eq!(snapshot.bans, [ban("a{!*@*", None, false), ban("new:thing", None, true)]);
        assert!(records.contains(&(0, Record::BanGone("a[!*@*".into()))));
        assert!(records.contains(&(0, Record::Ban(Box::new(ban("a{!*@*", None, false))))));
    }

    #[test]
    fn letters_of_every_script_meet_under_precis() {
        let mut snapshot = Snapshot {
            channels: vec![channel("#Été", Ascii)],
            conversations: vec![conversation(1, "#Été", 1)],
            lists: Vec::new(),
            ..Snapshot::default()
        };
        refold(&mut snapshot, Precis).unwrap();
        assert_eq!((&*snapshot.channels[0].folded, keys(&snapshot)), ("#été", vec!["#été"]));
        snapshot.channels.push(channel("#ÉTÉ!", Precis));
        refold(&mut snapshot, Ascii).unwrap();
        assert_eq!((&*snapshot.channels[0].folded, keys(&snapshot)), ("#Été", vec!["#Été"]));
    }
}
