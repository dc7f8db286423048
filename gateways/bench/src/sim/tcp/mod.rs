//! Simulated devices on raw TCP: the shell around [`Device`].

pub(crate) mod args;

use super::telling::Teller;
use super::{FAREWELL, NOTICE, stagger};
use crate::clock::Clock;
use crate::device::tcp::{Device, Output, Wish};
use crate::failure::Failure;
use crate::fleet::{Happening, Streams};
use crate::signals::Interrupts;
use crate::speech::Speech;
use args::Args;
use std::collections::BTreeSet;

/// Runs the devices to their end.
///
/// # Errors
/// [`Failure`] if nothing listens at the gateway's address, a socket cannot be had, or no device was ever let in.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let gateway = args.dialling.gateway.resolve()?;
    let streams = Streams::open(gateway, args.devices, args.dialling.sessions()?)?;
    let mut interrupts = Interrupts::catch()?;
    let mut crowd = Crowd::new(args, streams)?;
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

/// All devices, their connections and their timers. Times are in milliseconds.
struct Crowd {
    devices: Vec<Device>,
    streams: Streams,
    speech: Speech,
    clock: Clock,
    /// When each device is due, in order; each is in here once.
    due: BTreeSet<(u64, u32)>,
    teller: Teller,
}

impl Crowd {
    fn new(args: &Args, streams: Streams) -> Result<Self, Failure> {
        let profile = args.profile();
        let stagger = stagger(profile.interval, args.devices);
        let speech = Speech::new(args.dialling.framing, args.dialling.credentials()?)?;
        // The longest that any of them says of itself.
        speech.greet(&args.client_id(args.devices - 1), profile.keepalive_s, &mut Vec::new())?;
        let device =
            |number: u32| Device::new(args.client_id(number), profile, number.into(), u64::from(number) * stagger);
        let devices: Vec<_> = (0..args.devices).map(device).collect();
        let due = (0..).zip(&devices).filter_map(|(number, device)| Some((device.next_deadline(&speech)?, number)));
        let due = due.collect();
        Ok(Self { devices, streams, speech, clock: Clock::start(), due, teller: Teller::new(args.quiet, args.json) })
    }

    fn now(&self) -> u64 {
        self.clock.now() / 1_000_000
    }

    /// Does what is due and hears what has come; then waits for more of either, not beyond `end`.
    fn turn(&mut self, end: u64) -> Result<(), Failure> {
        let now = self.now();
        while let Some((_, number)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.with(number, now, |device, speech, out| {
                device.handle_timer(now, speech, out);
                0
            })?;
        }
        self.teller.write()?;
        let next = self.due.first().map_or(u64::MAX, |(due, _)| *due).min(end);
        let pause = u16::try_from(next.saturating_sub(self.now()).min(NOTICE)).unwrap_or(0);
        let Self { devices, streams, speech, clock, .. } = self;
        let mut outs = Vec::new();
        streams.hear(pause, |number, happening| {
            let Some(device) = usize::try_from(number).ok().and_then(|index| devices.get_mut(index)) else { return 0 };
            let (now, mut out, before) = (clock.now() / 1_000_000, Output::default(), device.next_deadline(speech));
            let consumed = match happening {
                Happening::Opened => {
                    device.handle_opened(now, speech, &mut out);
                    0
                }
                Happening::Octets(octets) => device.handle_octets(now, octets, speech, &mut out),
                Happening::Closed => {
                    device.handle_closed(now, None, &mut out);
                    0
                }
                Happening::NoTls(why) => {
                    device.handle_closed(now, Some(why), &mut out);
                    0
                }
            };
            outs.push((number, now, before, out));
            consumed
        })?;
        for (number, now, before, out) in outs {
            self.settle(number, now, before, &out)?;
        }
        self.teller.write()
    }

    /// Lets one device act, and does what it wants.
    fn with(
        &mut self,
        number: u32,
        now: u64,
        act: impl FnOnce(&mut Device, &Speech, &mut Output) -> usize,
    ) -> Result<(), Failure> {
        let Some(device) = usize::try_from(number).ok().and_then(|index| self.devices.get_mut(index)) else {
            return Ok(());
        };
        let (mut out, before) = (Output::default(), device.next_deadline(&self.speech));
        act(device, &self.speech, &mut out);
        self.settle(number, now, before, &out)
    }

    /// What a device said is sent and told, and it is due anew; it was at `before`.
    fn settle(&mut self, number: u32, now: u64, before: Option<u64>, out: &Output) -> Result<(), Failure> {
        let Some(device) = usize::try_from(number).ok().and_then(|index| self.devices.get(index)) else {
            return Ok(());
        };
        if let Some(before) = before {
            self.due.remove(&(before, number));
        }
        if let Some(after) = device.next_deadline(&self.speech) {
            self.due.insert((after, number));
        }
        for event in &out.events {
            self.teller.tell(now, device.client_id(), event);
        }
        if !out.octets.is_empty() {
            // A gateway that does not read misses a reading.
            self.streams.send(number, &out.octets);
        }
        match out.wish {
            Some(Wish::Dial) => self.streams.dial(number)?,
            Some(Wish::Close) => self.streams.close(number),
            None => {}
        }
        Ok(())
    }

    /// Every device says good-bye, and those that are answered in time have left.
    fn leave(&mut self) -> Result<(), Failure> {
        let now = self.now();
        for number in (0..).take(self.devices.len()) {
            self.with(number, now, |device, speech, out| {
                device.leave(now, speech, out);
                0
            })?;
        }
        let end = now.saturating_add(FAREWELL);
        while self.now() < end && !self.devices.iter().all(Device::is_gone) {
            self.turn(end)?;
        }
        self.teller.sum_up(self.now(), self.devices.len());
        self.teller.write()
    }
}
