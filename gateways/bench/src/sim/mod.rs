//! Simulated devices on real sockets and the real clock.

pub(crate) mod mqttsn;
pub(crate) mod tcp;
mod telling;

/// Milliseconds in which a signal is noticed.
const NOTICE: u64 = 100;
/// Milliseconds that devices have to say good-bye.
const FAREWELL: u64 = 3000;

/// Milliseconds between the starts of two devices: within an interval if that can be, but never more than a gateway takes
/// new sessions in a second.
fn stagger(interval: u64, devices: u32) -> u64 {
    (interval / u64::from(devices.max(1))).clamp(2, 100)
}
