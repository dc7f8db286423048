//! Simulated MQTT-SN devices: the shell around [`Device`].

pub(crate) mod args;

use super::telling::Teller;
use super::{FAREWELL, NOTICE, stagger};
use crate::clock::Clock;
use crate::device::{Device, Output};
use crate::failure::Failure;
use crate::fleet::{Fleet, Inbox, probe};
use crate::signals::Interrupts;
use args::Args;
use std::collections::BTreeSet;
use std::time::Duration;

/// Runs the devices to their end.
///
/// # Errors
/// [`Failure`] if nothing listens at the gateway's address, a socket cannot be had, or no device was ever connected.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let gateway = args.gateway.resolve()?;
    let fleet = Fleet::open(gateway, args.devices)?;
    let mut interrupts = Interrupts::catch()?;
    probe(gateway, PROBE)?;
    let mut crowd = Crowd::new(args, fleet)?;
    let end = args.duration.map_or(u64::MAX, |duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    while crowd.now() < end && !interrupts.came() && !crowd.teller.is_unheard() {
        crowd.turn(end)?;
    }
    crowd.leave()?;
    if !crowd.teller.ever_connected() {
        return Err(Failure::Gateway(format!("{gateway} took none of the devices")));
    }
    Ok(())
}

/// For the answer to a first SEARCHGW; silence is no failure.
const PROBE: Duration = Duration::from_millis(300);
/// All devices, their sockets and their timers. Times are in milliseconds.
struct Crowd {
    devices: Vec<Device>,
    fleet: Fleet,
    inbox: Inbox,
    clock: Clock,
    /// When each device is due, in order; each is in here once.
    due: BTreeSet<(u64, u32)>,
    teller: Teller,
}

impl Crowd {
    fn new(args: &Args, fleet: Fleet) -> Result<Self, Failure> {
        let profile = args.profile();
        let stagger = stagger(profile.interval, args.devices);
        let device = |number: u32| {
            let start = u64::from(number) * stagger;
            args.client_id(number).map(|client_id| Device::new(client_id, &profile, number.into(), start))
        };
        let devices = (0..args.devices).map(device).collect::<Result<Vec<_>, _>>()?;
        let due = (0..).zip(&devices).filter_map(|(number, device)| Some((device.next_deadline()?, number))).collect();
        Ok(Self {
            devices,
            fleet,
            inbox: Inbox::roomy(),
            clock: Clock::start(),
            due,
            teller: Teller::new(args.quiet, args.json),
        })
    }

    fn now(&self) -> u64 {
        self.clock.now() / 1_000_000
    }

    /// Does what is due and hears what has come; then waits for more of either, not beyond `end`.
    fn turn(&mut self, end: u64) -> Result<(), Failure> {
        let now = self.now();
        while let Some((_, number)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.with(number, now, Device::handle_timer)?;
        }
        let more = self.hear(now)?;
        self.teller.write()?;
        // With nobody due all are gone.
        if more || self.due.is_empty() {
            return Ok(());
        }
        let next = self.due.first().map_or(u64::MAX, |(due, _)| *due).min(end);
        let pause = next.saturating_sub(self.now()).min(NOTICE);
        self.fleet.wait(u16::try_from(pause).unwrap_or(0))
    }

    /// Hears one batch. True if there may be more.
    fn hear(&mut self, now: u64) -> Result<bool, Failure> {
        let more = self.fleet.receive(&mut self.inbox)?;
        let heard: Vec<_> = self.inbox.iter().map(|(number, datagram)| (number, datagram.to_vec())).collect();
        for (number, datagram) in heard {
            self.with(number, now, |device, now, out| device.handle_datagram(now, &datagram, out))?;
        }
        Ok(more)
    }

    /// Lets one device act, sends what it says and tells what happened to it.
    fn with(&mut self, number: u32, now: u64, act: impl FnOnce(&mut Device, u64, &mut Output)) -> Result<(), Failure> {
        let Some(device) = usize::try_from(number).ok().and_then(|index| self.devices.get_mut(index)) else {
            return Ok(());
        };
        let mut out = Output::default();
        let before = device.next_deadline();
        act(device, now, &mut out);
        let after = device.next_deadline();
        if let Some(before) = before {
            self.due.remove(&(before, number));
        }
        if let Some(after) = after {
            self.due.insert((after, number));
        }
        for event in &out.events {
            self.teller.tell(now, device.client_id(), event);
        }
        out.datagrams.iter().try_for_each(|datagram| self.fleet.send_datagram(number, datagram))
    }

    /// Every device says good-bye, and those that are answered in time have left.
    fn leave(&mut self) -> Result<(), Failure> {
        let now = self.now();
        for number in (0..).take(self.devices.len()) {
            self.with(number, now, Device::leave)?;
        }
        let end = now.saturating_add(FAREWELL);
        while self.now() < end && !self.devices.iter().all(Device::is_gone) {
            self.turn(end)?;
        }
        self.teller.sum_up(self.now(), self.devices.len());
        self.teller.write()
    }
}
