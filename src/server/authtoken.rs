//! Tokens for other services (<https://github.com/ircv3/ircv3-specifications/pull/602>): which there are, and what
//! each is good for. `TOKEN` makes and validates them; whatever of Roost itself takes one spends it here, too.
//!
//! They are not kept: each holds for minutes, and clients ask for another one each time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ircv3::mode::{Rank, Ranks};
use ircv3::{Cidr, name};
use sha2::{Digest as _, Sha256};

use crate::limits;
use crate::server::change::Change;
use crate::server::command::services::nickserv::suspend;
use crate::server::event::Peer;
use crate::server::network::ChannelId;
use crate::server::record::AccountId;
use crate::server::{Ctx, Server};

/// A service that takes tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its key, such as `FILEHOST` or `example.org/forum`.
    pub name: Box<str>,
    /// Where it is.
    pub url: Box<str>,
    /// What it is, for people.
    pub description: Box<str>,
    /// For how many seconds a token holds.
    pub seconds: u64,
    /// Where whoever validates tokens may come from.
    pub from: Vec<Cidr>,
    /// SHA-256 of the certificate that it must show then, in lower-case hex, if it has one.
    pub certfp: Option<Box<str>>,
}

impl Service {
    /// Whether somebody may validate tokens of this service.
    pub fn may_validate(&self, peer: &Peer) -> bool {
        peer.host.is_none()
            && self.from.iter().any(|network| network.contains(peer.ip))
            && self.certfp.as_ref().is_none_or(|own| peer.certfp.as_ref() == Some(own))
    }
}

/// The service of this key, in any case.
pub fn service<'a>(services: &'a [Service], key: &str) -> Option<&'a Service> {
    services.iter().find(|service| service.name.eq_ignore_ascii_case(key))
}

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// For which service.
    pub service: Box<str>,
    /// Where that was.
    pub url: Box<str>,
    /// Whose it is.
    pub account: AccountId,
    /// A channel or nick that it is for alone.
    pub scope: Option<Box<str>>,
    /// Until when, on the monotonic clock.
    pub until: u64,
}

/// What a token says of whoever shows it, at the moment when it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The account.
    pub account: Box<str>,
    /// Its nick, where it is on.
    pub name: Option<Arc<str>>,
    /// What the token is for alone.
    pub scope: Option<Box<str>>,
    /// The channel of the scope, which it is in.
    pub member_of: Option<Arc<str>>,
    /// That channel, where it is an operator of it.
    pub operator_of: Option<Arc<str>>,
}

/// The tokens that were given out and not spent, by their SHA-256: what was looked for is nothing that a comparison
/// could tell by the time it takes.
#[derive(Debug, Default)]
pub struct Tokens {
    all: BTreeMap<[u8; 32], Token>,
    order: VecDeque<[u8; 32]>,
}

impl Tokens {
    /// Takes a token over; an account that has many loses the oldest of them.
    fn put(&mut self, hash: [u8; 32], token: Token, now: u64) -> bool {
        self.order.retain(|hash| self.all.get(hash).is_some_and(|token| token.until > now));
        self.all.retain(|_, token| token.until > now);
        let of_account = |hash: &&[u8; 32]| self.all.get(*hash).is_some_and(|other| other.account == token.account);
        if self.order.iter().filter(of_account).count() >= limits::TOKENS_OF_ACCOUNT
            && let Some(oldest) = self.order.iter().find(of_account).copied()
        {
            self.take(&oldest);
        }
        if self.all.len() >= limits::TOKENS {
            return false;
        }
        self.order.push_back(hash);
        self.all.insert(hash, token);
        true
    }

    fn take(&mut self, hash: &[u8; 32]) -> Option<Token> {
        let token = self.all.remove(hash)?;
        self.order.retain(|other| other != hash);
        Some(token)
    }

    /// How many there are. For tests.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Forgets those of an account that is no more.
    pub fn forget(&mut self, account: AccountId) {
        self.all.retain(|_, token| token.account != account);
        self.order.retain(|hash| self.all.contains_key(hash));
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Server {
    /// Makes a token; `None` where there are too many.
    pub fn make_token(&mut self, ctx: &mut Ctx, token: &Token) -> Option<String> {
        let text = format!("{}{}", self.new_code(), self.new_code());
        let hash = hash(&text);
        self.submit(ctx, Change::Token { hash, token });
        self.network.tokens.all.contains_key(&hash).then_some(text)
    }

    /// What a token says that is shown to a service; whatever comes of it, it is spent. `None` where it was never
    /// given out, is over, was spent, is for another service or another place of it, or not true any more.
    pub fn spend_token(&mut self, ctx: &mut Ctx, service: &str, url: &str, token: &str) -> Option<Claims> {
        let hash = hash(token);
        let found = self.network.tokens.all.get(&hash).cloned()?;
        self.submit(ctx, Change::TokenSpent { hash });
        let right = found.service.eq_ignore_ascii_case(service) && *found.url == *url && found.until > self.now.mono_ms;
        let row = self.network.account(found.account).filter(|_| right)?;
        if suspend::why(self, found.account).is_some() {
            return None;
        }
        let mut claims = Claims { account: (*row.name).into(), scope: found.scope.clone(), ..Claims::default() };
        let own = self.network.users_of(found.account).next();
        claims.name = own.map(|user| self.network.users[user].nick.clone());
        if let Some(scope) = found.scope.as_deref().filter(|scope| name::is_channel(scope, limits::CHANNEL_LEN)) {
            let (channel, ranks) = self.membership(found.account, scope)?;
            let there = self.network.channels[channel].name.clone();
            claims.operator_of = (ranks >= Some(Rank::Op)).then(|| there.clone());
            claims.member_of = Some(there);
        }
        Some(claims)
    }

    /// The channel of this name with the highest rank in it, where an account is in it. Without a rank it is the
    /// lowest.
    pub fn membership(&self, account: AccountId, name: &str) -> Option<(ChannelId, Option<Rank>)> {
        let channel = self.network.channel_by_name(name)?;
        let users = self.network.users_of(account);
        let ranks = users.filter_map(|user| self.network.channels[channel].ranks(user));
        let best = ranks.map(Ranks::highest).max()?;
        Some((channel, best))
    }
}

/// Takes a new token over.
pub fn apply(server: &mut Server, hash: [u8; 32], token: &Token) {
    let now = server.now.mono_ms;
    server.network.tokens.put(hash, token.clone(), now);
}

/// A token was spent.
pub fn apply_spent(server: &mut Server, hash: &[u8; 32]) {
    server.network.tokens.take(hash);
}

#[cfg(test)]
mod tests {
    use super::{Token, Tokens};
    use crate::limits;

    fn token(account: u64, until: u64) -> Token {
        Token { service: "S".into(), url: "https://s".into(), account, scope: None, until }
    }

    #[test]
    fn the_tokens_of_one_account_and_of_all_are_bounded() {
        let mut tokens = Tokens::default();
        let hash = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            hash
        };
        for n in 0..=limits::TOKENS_OF_ACCOUNT {
            assert!(tokens.put(hash(n), token(1, 100), 0));
        }
        assert_eq!(tokens.len(), limits::TOKENS_OF_ACCOUNT);
        assert!(tokens.take(&hash(0)).is_none(), "the oldest has gone");
        assert!(tokens.take(&hash(1)).is_some() && tokens.take(&hash(1)).is_none());
        for n in tokens.len()..limits::TOKENS {
            assert!(tokens.put(hash(1000 + n), token(1000 + n as u64, 100), 0));
        }
        assert!(!tokens.put(hash(1), token(2, 100), 0));
        // Those that are over make room.
        assert!(tokens.put(hash(1), token(2, 300), 200) && tokens.len() == 1);
        tokens.forget(2);
        assert!(tokens.is_empty());
    }
}
