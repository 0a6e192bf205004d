//! The queues of devices and of push services: one push of a device is under way at a time, so that they keep their
//! order, and so many of a push service, so that none takes the room of the others.
//!
//! A device that is not reached is left alone ever longer, and the others of its push service are not: that it hangs may
//! be its owner's doing. Such devices share some of the places, and one account has only few. A push service is taken to be
//! down when devices of several accounts were not reached, one after the other, and none was: then one of them is tried now
//! and then, and of those that have not failed one at a time, until anyone is reached.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ircv3::{Cap, CapSet};
use sha2::Sha256;

use super::{Device, Held, Kind};
use crate::limits;
use crate::push::endpoint::Endpoint;
use crate::push::{Manner, Outcome, Push, Urgency, seal};
use crate::server::Server;
use crate::server::action::Call;
use crate::server::change::Change;
use crate::server::event::{CallId, ConnId, Returned};
use crate::server::record::{AccountId, SubscriptionRow};

/// A push that waits for its device.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) held: Held,
    pub(super) short: bool,
    pub(super) tries: u32,
    /// It became pointless while it was under way: it is not tried again.
    pub(super) over: bool,
}

/// A device with pushes.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) queue: VecDeque<Pending>,
    pub(super) underway: bool,
    /// It is in the queue of its push service, or waits for a moment.
    pub(super) queued: bool,
    /// Pushes that were refused since one was taken.
    pub(super) refused: u32,
    /// It is left alone until then, on the monotonic clock.
    pub(super) not_before: u64,
    /// How often it was not reached since it was.
    pub(super) unreached: u32,
}

/// A push service.
#[derive(Debug, Default)]
pub(super) struct Origin {
    ready: VecDeque<Device>,
    /// Those that were not reached the last time.
    unsure: VecDeque<Device>,
    underway: Vec<Place>,
    /// Accounts with a device that was not reached since any was, up to [`limits::PUSH_ORIGIN_FAILURES`].
    failing: Vec<AccountId>,
    /// When the last was not reached, on the monotonic clock.
    failed_at: u64,
    /// How often one of `unsure` was tried in vain since it is taken to be down.
    tried: u32,
    /// Until when none of them is, on the monotonic clock.
    not_before: u64,
}

/// What a push under way takes of its push service.
#[derive(Debug)]
struct Place {
    serial: u64,
    account: AccountId,
    unsure: bool,
}

impl Origin {
    /// Whether a device waits for it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.ready.is_empty() || !self.unsure.is_empty()
    }

    /// Whether it can be forgotten: that it has failed is known for as long as a device may be left alone for that.
    pub(super) fn is_over(&self, now: u64) -> bool {
        let failing = !self.failing.is_empty() && now < self.failed_at + 2 * limits::PUSH_UNREACHED_PAUSE_MS;
        !self.is_wanted() && self.underway.is_empty() && !failing
    }

    fn is_down(&self) -> bool {
        self.failing.len() >= limits::PUSH_ORIGIN_FAILURES
    }

    /// The next device that may be sent a push, and whether it was not reached the last time.
    fn take_next(&mut self, now: u64) -> Option<(Device, bool)> {
        // Neither keeps the other waiting for ever.
        let unsure_first = !self.underway.iter().any(|place| place.unsure);
        [unsure_first, !unsure_first].into_iter().find_map(|unsure| Some((self.take_next_of(unsure, now)?, unsure)))
    }

    fn take_next_of(&mut self, unsure: bool, now: u64) -> Option<Device> {
        let most = match unsure {
            _ if self.is_down() => 1,
            true => limits::PUSHES_UNSURE,
            false => limits::PUSHES_PER_ORIGIN,
        };
        let alike = self.underway.iter().filter(|place| place.unsure == unsure).count();
        let pausing = unsure && self.is_down() && now < self.not_before;
        if self.underway.len() >= limits::PUSHES_PER_ORIGIN || alike >= most || pausing {
            return None;
        }
        let taken = |account| self.underway.iter().filter(|place| place.account == account).count();
        let queue = if unsure { &self.unsure } else { &self.ready };
        let at = queue.iter().position(|(account, _)| taken(*account) < limits::PUSHES_PER_ORIGIN_OF_ONE)?;
        if unsure { self.unsure.remove(at) } else { self.ready.remove(at) }
    }

    /// A device was not reached that had this place.
    fn note_unreached(&mut self, place: &Place, now: u64) {
        self.failed_at = now;
        if self.is_down() && place.unsure {
            self.tried += 1;
            self.not_before = now + (500u64 << self.tried.min(20)).min(limits::PUSH_UNREACHED_PAUSE_MS);
        }
        if !self.is_down() && !self.failing.contains(&place.account) {
            self.failing.push(place.account);
        }
    }

    /// It has answered, whatever.
    fn note_reached(&mut self) {
        self.failing.clear();
        (self.tried, self.not_before) = (0, 0);
    }
}

impl Server {
    /// Puts a push into the queues of the devices that it is for.
    pub(super) fn give(&mut self, held: &Held) {
        let devices: Vec<Box<str>> = self
            .network
            .subscriptions(held.account)
            .iter()
            .map(|row| row.endpoint.clone())
            .filter(|endpoint| match &held.kind {
                Kind::Message => true,
                Kind::Read(own) => own.as_ref() != Some(endpoint),
                Kind::Test(only) => only == endpoint,
            })
            .collect();
        for endpoint in devices {
            let device = (held.account, endpoint);
            let line = match self.pushes.lines.get_mut(&device) {
                Some(line) => line,
                None => {
                    let Some(endpoint) = Endpoint::stored(&device.1).map(Arc::new) else { continue };
                    let line = Line {
                        endpoint,
                        queue: VecDeque::new(),
                        underway: false,
                        queued: false,
                        refused: 0,
                        not_before: 0,
                        unreached: 0,
                    };
                    self.pushes.lines.entry(device.clone()).or_insert(line)
                }
            };
            // A later marker says what an earlier one did.
            if matches!(held.kind, Kind::Read(_)) {
                line.queue.retain(|other| !matches!(other.held.kind, Kind::Read(_)) || other.held.key != held.key);
            }
            if line.queue.len() >= limits::PUSHES_OF_DEVICE {
                line.queue.pop_front();
                self.pushes.counts.dropped += 1;
            }
            line.queue.push_back(Pending { held: held.clone(), short: false, tries: 0, over: false });
            self.line_up(device);
        }
    }

    /// A device with pushes gets into the queue of its push service, which then sends what it may, or waits for its time.
    pub(super) fn line_up(&mut self, device: Device) {
        if let Some(origin) = self.line_up_only(device) {
            self.dispatch(&origin);
        }
    }

    /// As [`Server::line_up`], without sending anything; its push service.
    fn line_up_only(&mut self, device: Device) -> Option<Box<str>> {
        let line = self.pushes.lines.get_mut(&device)?;
        if line.queued || line.underway || line.queue.is_empty() {
            return None;
        }
        line.queued = true;
        if line.not_before > self.now.mono_ms {
            self.pushes.later.insert((line.not_before, device));
            return None;
        }
        let origin: Box<str> = line.endpoint.origin().into();
        let there = self.pushes.origins.entry(origin.clone()).or_default();
        let queue = if line.unreached > 0 { &mut there.unsure } else { &mut there.ready };
        queue.push_back(device);
        Some(origin)
    }

    /// Sends as many pushes to a push service as may be under way.
    pub(super) fn dispatch(&mut self, origin: &str) {
        loop {
            if self.pushes.underway.len() >= limits::PUSHES_AT_ONCE {
                return;
            }
            let now = self.now.mono_ms;
            let Some(there) = self.pushes.origins.get_mut(origin) else { return };
            let Some((device, unsure)) = there.take_next(now) else {
                if there.is_over(now) {
                    self.pushes.origins.remove(origin);
                }
                return;
            };
            let Some(line) = self.pushes.lines.get_mut(&device) else { continue };
            // It may be another device of the same endpoint by now.
            if line.underway {
                continue;
            }
            line.queued = false;
            let row = self.network.subscriptions(device.0).iter().find(|row| row.endpoint == device.1).cloned();
            let Some((row, pending)) = row.zip(line.queue.pop_front()) else { continue };
            let endpoint = line.endpoint.clone();
            // It may have waited for long.
            if pending.over || self.is_pointless(&pending.held) {
                self.pushes.counts.cancelled += 1;
                self.line_up_only(device);
                continue;
            }
            if self.settings.webpush.is_none() {
                self.pushes.counts.cancelled += 1;
                self.line_up_only(device);
                continue;
            }
            let Some(push) = self.push_of(&row, &endpoint, &pending) else {
                // Its key of the server's is no more.
                let reason = "the key that it was made with is not there any more";
                self.submit_alone(Change::DeviceOver { account: row.account, endpoint: &row.endpoint, reason });
                continue;
            };
            if let Some(line) = self.pushes.lines.get_mut(&device) {
                line.underway = true;
            }
            let serial = self.next_serial;
            self.next_serial += 1;
            if let Some(there) = self.pushes.origins.get_mut(origin) {
                there.underway.push(Place { serial, account: device.0, unsure });
            }
            self.pushes.underway.insert(serial, (device, endpoint, pending));
            self.out.calls.push((CallId { conn: ConnId::NONE, serial }, Call::Push(Box::new(push))));
        }
    }

    fn push_of(&self, row: &SubscriptionRow, endpoint: &Arc<Endpoint>, pending: &Pending) -> Option<Push> {
        let settings = self.settings.webpush.as_ref()?;
        let vapid = self.pushes.keys.iter().find(|key| key.id == row.vapid)?.clone();
        let caps: CapSet = row.caps.split(' ').filter_map(Cap::by_name).collect();
        let Pending { held, short, .. } = pending;
        let room = seal::room(if *short { seal::SHORT_SIZE } else { seal::SIZE });
        let urgent = matches!(held.kind, Kind::Message);
        Some(Push {
            endpoint: endpoint.clone(),
            keys: row.keys,
            vapid,
            contact: settings.contact.clone(),
            line: held.content.line(caps, held.hidden, room),
            short: *short,
            manner: Manner {
                ttl: self.push_ttl(held),
                urgency: if urgent { Urgency::High } else { Urgency::Normal },
                topic: matches!(held.kind, Kind::Read(_)).then(|| self.topic(held)),
            },
            allowed: settings.allowed.clone(),
        })
    }

    /// For how many seconds a push service may keep it: not past the age that the message may have.
    fn push_ttl(&self, held: &Held) -> u32 {
        let keep = self.keep_of(&held.key).seconds;
        if keep == 0 || held.seq == 0 || held.kind != Kind::Message {
            return limits::PUSH_TTL;
        }
        let age = self.aging_clock().saturating_sub(held.content.time).div_ceil(1000);
        u64::from(keep).saturating_sub(age).min(limits::PUSH_TTL.into()) as u32
    }

    /// A name for a conversation's read marker that tells a push service nothing.
    fn topic(&self, held: &Held) -> Box<str> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return "read".into() };
        mac.update(format!("push {} {}", held.account, held.key).as_bytes());
        URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..24]).into()
    }

    /// A call came back, which may be a push.
    pub(in crate::server) fn pushed(&mut self, serial: u64, returned: &Returned) {
        let Some((device, endpoint, mut pending)) = self.pushes.underway.remove(&serial) else { return };
        let now = self.now.mono_ms;
        let origin = self.pushes.origins.entry(endpoint.origin().into()).or_default();
        let place = origin.underway.iter().position(|place| place.serial == serial);
        let place = place.map(|at| origin.underway.swap_remove(at));
        let failed;
        let outcome = match returned {
            Returned::Pushed(outcome) => outcome,
            // Here, and on no way to anybody.
            Returned::Failed(reason) => {
                failed = Outcome::Later { seconds: None, reason: reason.clone() };
                &failed
            }
            _ => return,
        };
        match (returned, place) {
            (Returned::Pushed(Outcome::Unreached(_)), Some(place)) => origin.note_unreached(&place, now),
            (Returned::Pushed(_), _) => origin.note_reached(),
            _ => {}
        }
        let line = self.pushes.lines.get_mut(&device).filter(|line| Arc::ptr_eq(&line.endpoint, &endpoint));
        let there = line.is_some();
        if let Some(line) = line {
            line.underway = false;
            match returned {
                Returned::Pushed(Outcome::Unreached(_)) => {
                    line.unreached += 1;
                    line.not_before = now + pause_before(line.unreached).min(limits::PUSH_UNREACHED_PAUSE_MS);
                }
                Returned::Pushed(_) => line.unreached = 0,
                _ => {}
            }
        }
        let kept = there && self.network.subscriptions(device.0).iter().any(|row| row.endpoint == device.1);
        if kept {
            match outcome {
                Outcome::Delivered => self.delivered(&device),
                Outcome::Gone => self.over(&device, "its push service does not know it any more"),
                Outcome::TooLarge if !pending.short => {
                    pending.short = true;
                    self.again(&device, pending, 0);
                }
                Outcome::TooLarge => self.give_up(&device, "it is too large for the push service"),
                Outcome::Refused(reason) => {
                    self.give_up(&device, reason);
                    let line = self.pushes.lines.get_mut(&device);
                    let refused = line.map_or(0, |line| {
                        line.refused += 1;
                        line.refused
                    });
                    if refused >= limits::PUSH_REFUSALS && !self.was_reached(&device) {
                        self.over(&device, reason);
                    }
                }
                Outcome::Later { reason, .. } | Outcome::Unreached(reason) => {
                    pending.tries += 1;
                    if pending.tries >= limits::PUSH_TRIES {
                        self.give_up(&device, reason);
                    } else {
                        let asked = match outcome {
                            Outcome::Later { seconds: Some(seconds), .. } => seconds.saturating_mul(1000),
                            _ => 0,
                        };
                        let pause = match outcome {
                            // The device itself is left alone for as long as it is to be.
                            Outcome::Unreached(_) => 0,
                            _ => pause_before(pending.tries).max(asked.min(limits::PUSH_PAUSE_MS)),
                        };
                        self.again(&device, pending, pause);
                    }
                }
            }
            self.line_up(device);
        }
        self.dispatch(endpoint.origin());
    }

    fn delivered(&mut self, device: &Device) {
        self.pushes.counts.delivered += 1;
        if let Some(line) = self.pushes.lines.get_mut(device) {
            line.refused = 0;
        }
        let rows = self.network.subscriptions(device.0);
        let reached = rows.iter().find(|row| row.endpoint == device.1).map_or(0, |row| row.reached);
        if reached + limits::PUSH_REACHED_SECONDS < self.clock() / 1000 && !self.store_refuses() {
            self.submit_alone(Change::DeviceReached { account: device.0, endpoint: &device.1 });
        }
    }

    /// Whether a device was reached not long ago.
    fn was_reached(&self, device: &Device) -> bool {
        let rows = self.network.subscriptions(device.0);
        let reached = rows.iter().find(|row| row.endpoint == device.1).map_or(0, |row| row.reached);
        reached + limits::PUSH_TRUST_SECONDS > self.clock() / 1000
    }

    pub(super) fn over(&mut self, device: &Device, reason: &str) {
        if !self.store_refuses() {
            self.submit_alone(Change::DeviceOver { account: device.0, endpoint: &device.1, reason });
        }
    }

    fn give_up(&mut self, device: &Device, reason: &str) {
        self.pushes.counts.failed += 1;
        let origin = Endpoint::stored(&device.1).map(|endpoint| endpoint.origin().to_owned()).unwrap_or_default();
        self.log(false, format!("a push to {origin} for account {} has failed: {reason}", device.0));
    }

    /// A push is done once more, so many milliseconds later; what waits behind it waits, too. Meanwhile it may have
    /// become pointless.
    fn again(&mut self, device: &Device, pending: Pending, pause: u64) {
        if pending.over || self.is_pointless(&pending.held) {
            self.pushes.counts.cancelled += 1;
            return;
        }
        let Some(line) = self.pushes.lines.get_mut(device) else { return };
        line.queue.push_front(pending);
        line.not_before = line.not_before.max(self.now.mono_ms + pause);
    }
}

/// Milliseconds before something is tried once more that has failed so often, without a success.
fn pause_before(failed: u32) -> u64 {
    limits::PUSH_AGAIN_MS * 3u64.pow(failed.clamp(1, limits::PUSH_TRIES - 1) - 1)
}
