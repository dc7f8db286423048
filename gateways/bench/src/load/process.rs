//! What the processes under load cost, from `/proc`.

use crate::failure::Failure;
use nix::unistd::{SysconfVar, sysconf};
use std::fs::read_to_string;

/// CPU time of a process with all its threads, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTicks {
    pub(crate) user: u64,
    pub(crate) system: u64,
}

/// CPU time between two samples, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CpuSeconds {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

/// The processes that a run watches.
#[derive(Debug)]
pub(crate) struct Watch {
    gateway: Option<u32>,
    broker: Option<u32>,
    /// UDP ports of the gateway and of the generator's socket, where they are on this machine and known.
    ports: Option<[Option<u16>; 2]>,
    ticks_per_second: f64,
}

/// One look at them. A process that has ended has neither time nor memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    gateway: Option<CpuTicks>,
    broker: Option<CpuTicks>,
    own: CpuTicks,
    drops: Option<[u64; 2]>,
    pub(crate) memory: Memory,
}

/// Resident memory in octets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) gateway: Option<u64>,
    pub(crate) own: Option<u64>,
}

/// What happened between two samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) gateway: Option<CpuSeconds>,
    pub(crate) broker: Option<CpuSeconds>,
    pub(crate) own: CpuSeconds,
    /// Datagrams that the kernel dropped before the gateway's socket, which was full, and before the generator's, which is
    /// not the gateway's loss. Of streams there are none.
    pub(crate) drops: Option<[u64; 2]>,
}

impl Watch {
    /// # Errors
    /// [`Failure::Usage`] if a process is not there.
    pub(crate) fn new(
        gateway: Option<u32>,
        broker: Option<u32>,
        ports: Option<[Option<u16>; 2]>,
    ) -> Result<Self, Failure> {
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u32::try_from(ticks).ok());
        let watch = Self { gateway, broker, ports, ticks_per_second: per_second.unwrap_or(100).into() };
        match watch.gone(&watch.sample()) {
            Some(pid) => Err(Failure::Usage(format!("there is no process {pid}"))),
            None => Ok(watch),
        }
    }

    pub(crate) fn sample(&self) -> Sample {
        let own = std::process::id();
        Sample {
            gateway: self.gateway.and_then(cpu_of),
            broker: self.broker.and_then(cpu_of),
            own: cpu_of(own).unwrap_or_default(),
            drops: self.ports.map(|ports| ports.map(|port| port.map_or(0, drops_of))),
            memory: Memory { gateway: self.gateway.and_then(rss_of), own: rss_of(own) },
        }
    }

    /// A watched process that had ended when `sample` was taken.
    pub(crate) fn gone(&self, sample: &Sample) -> Option<u32> {
        let gateway = self.gateway.filter(|_| sample.gateway.is_none());
        gateway.or_else(|| self.broker.filter(|_| sample.broker.is_none()))
    }

    pub(crate) fn spent(&self, before: &Sample, after: &Sample) -> Spent {
        let seconds = |from: CpuTicks, to: CpuTicks| CpuSeconds {
            user: to.user.saturating_sub(from.user) as f64 / self.ticks_per_second,
            system: to.system.saturating_sub(from.system) as f64 / self.ticks_per_second,
        };
        let both = |from: Option<CpuTicks>, to: Option<CpuTicks>| Some(seconds(from?, to?));
        let drops = before
            .drops
            .zip(after.drops)
            .map(|([gateway, own], [later, own_later])| [later.saturating_sub(gateway), own_later.saturating_sub(own)]);
        Spent {
            gateway: both(before.gateway, after.gateway),
            broker: both(before.broker, after.broker),
            own: seconds(before.own, after.own),
            drops,
        }
    }
}

fn cpu_of(pid: u32) -> Option<CpuTicks> {
    read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|text| parse_stat(&text))
}

/// `smaps_rollup` is exact but needs the right to trace; `status` may lag by some pages.
fn rss_of(pid: u32) -> Option<u64> {
    let exact = read_to_string(format!("/proc/{pid}/smaps_rollup")).ok().and_then(|text| parse_kb(&text, "Rss:"));
    exact.or_else(|| read_to_string(format!("/proc/{pid}/status")).ok().and_then(|text| parse_kb(&text, "VmRSS:")))
}

fn drops_of(port: u16) -> u64 {
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|path| read_to_string(path).ok())
        .map(|text| parse_udp_drops(&text, port))
        .sum()
}

/// utime and stime, fields 14 and 15 of proc(5)'s stat. The name, field 2, may hold blanks and parentheses.
///
/// `None` too for one that has ended and that nobody has waited for yet: its memory is gone.
fn parse_stat(text: &str) -> Option<CpuTicks> {
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let mut fields = fields.skip(10);
    Some(CpuTicks { user: fields.next()?.parse().ok()?, system: fields.next()?.parse().ok()? })
}

/// The value of a line `key  123 kB`, in octets.
fn parse_kb(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The last column, summed over the sockets bound to `port`.
fn parse_udp_drops(text: &str, port: u16) -> u64 {
    let ending = format!(":{port:04X}");
    text.lines()
        .filter(|line| line.split_ascii_whitespace().nth(1).is_some_and(|local| local.ends_with(&ending)))
        .filter_map(|line| line.split_ascii_whitespace().last()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_process_name() {
        for name in ["tidegate", "a b", "a) S 1 (b", "(((", ")))"] {
            let text = format!("123 ({name}) S 1 2 3 4 5 6 7 8 9 10 4711 815 0 0 20 0 4 0 99999 1 2 3\n");
            assert_eq!(parse_stat(&text), Some(CpuTicks { user: 4711, system: 815 }), "{name}");
        }
        for broken in ["", "123 (x", "123 (x) S 1 2 3 4 5 6 7 8 9 10 4711", "1 (x) S 1 2 3 4 5 6 7 8 9 10 x y"] {
            assert_eq!(parse_stat(broken), None, "{broken}");
        }
    }

    #[test]
    fn memory_is_read_by_its_key_alone() {
        let rollup = "00400000-7fff [rollup]\nRss:                5312 kB\nPss:  1 kB\n";
        assert_eq!(parse_kb(rollup, "Rss:"), Some(5312 * 1024));
        assert_eq!(parse_kb("VmHWM:\t 9 kB\nVmRSS:\t     840 kB\n", "VmRSS:"), Some(840 * 1024));
        assert_eq!(parse_kb("VmRSS:\t 840 pages\n", "VmRSS:"), None);
        assert_eq!(parse_kb(rollup, "Swap:"), None);
    }

    #[test]
    fn drops_are_summed_over_the_sockets_of_a_port() {
        let text = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:075C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 17
  101: 0100007F:075C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2 2 0 4
  102: 00000000:1075 00000000:075C 07 00000000:00000000 00:00000000 00000000     0        0 3 2 0 9\n";
        assert_eq!((parse_udp_drops(text, 1884), parse_udp_drops(text, 0x1075), parse_udp_drops(text, 1)), (21, 9, 0));
    }

    #[test]
    fn the_difference_of_two_samples_is_in_seconds() {
        let watch = Watch { gateway: Some(1), broker: None, ports: Some([Some(1), None]), ticks_per_second: 100.0 };
        let ticks = |user, system| Some(CpuTicks { user, system });
        let before = Sample { gateway: ticks(100, 50), drops: Some([3, 0]), ..Sample::default() };
        let after = Sample { gateway: ticks(150, 350), drops: Some([5, 1]), ..Sample::default() };
        let spent = watch.spent(&before, &after);
        assert_eq!(spent.gateway, Some(CpuSeconds { user: 0.5, system: 3.0 }));
        assert_eq!((spent.broker, spent.drops), (None, Some([2, 1])));
        assert_eq!(watch.gone(&after), None);
    }

    #[test]
    fn a_process_that_has_ended_is_named_and_costs_nothing() {
        let watch = Watch { gateway: Some(1), broker: Some(2), ports: None, ticks_per_second: 100.0 };
        let alive =
            Sample { gateway: Some(CpuTicks::default()), broker: Some(CpuTicks::default()), ..Sample::default() };
        for (gone, pid) in [(Sample { broker: None, ..alive }, 2), (Sample { gateway: None, ..alive }, 1)] {
            assert_eq!(watch.gone(&gone), Some(pid));
        }
        assert_eq!(watch.spent(&alive, &Sample { gateway: None, ..alive }).gateway, None);
        assert_eq!(parse_stat("123 (x) Z 1 2 3 4 5 6 7 8 9 10 4711 815 0"), None);
        // Beyond what Linux ever gives to a process.
        assert!(matches!(Watch::new(Some(u32::MAX), None, None), Err(Failure::Usage(_))));
    }
}
