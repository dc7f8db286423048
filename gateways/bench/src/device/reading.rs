//! A slowly wandering temperature.

/// Where it wanders around, in tenths of a degree.
const MIDDLE: i32 = 215;
/// How far one step goes at most, in tenths.
const STRIDE: i32 = 3;

/// The sensor of one device.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    tenths: i32,
    n: u64,
    noise: u64,
}

impl Reading {
    pub(super) fn new(seed: u64) -> Self {
        let mut reading = Self { tenths: MIDDLE, n: 0, noise: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 };
        // Not all devices are equally warm.
        reading.tenths += reading.random(40) - 20;
        reading
    }

    /// The next reading as JSON: `{"temperature":21.4,"n":17}`, where `n` counts from 1.
    pub(super) fn next(&mut self) -> String {
        self.n += 1;
        // The farther it has gone, the more it is drawn back.
        self.tenths += self.random(2 * STRIDE) - STRIDE + (MIDDLE - self.tenths) / 16;
        format!("{{\"temperature\":{:.1},\"n\":{}}}", f64::from(self.tenths) / 10.0, self.n)
    }

    /// 0 to `most`, by Marsaglia's xorshift with 64 bits, which never reaches 0.
    fn random(&mut self, most: i32) -> i32 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        i32::try_from((self.noise >> 11) % u64::from(most.unsigned_abs() + 1)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temperature(text: &str) -> f64 {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["temperature"].as_f64().unwrap()
    }

    #[test]
    fn it_wanders_in_small_steps_and_never_far() {
        for seed in 0..20 {
            let mut reading = Reading::new(seed);
            let values: Vec<_> = (0..2000).map(|_| temperature(&reading.next())).collect();
            assert!(values.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 1.0), "{seed}");
            assert!(values.iter().all(|value| (10.0..33.0).contains(value)), "{seed}");
            assert!(values.windows(2).any(|pair| pair[0] < pair[1]) && values.windows(2).any(|pair| pair[0] > pair[1]));
        }
    }

    #[test]
    fn it_is_json_that_counts_and_is_its_devices_own() {
        let [mut one, mut two] = [1, 2].map(Reading::new);
        let read = |reading: &mut Reading| (0..5).map(|_| reading.next()).collect::<Vec<_>>();
        let (one, two) = (read(&mut one), read(&mut two));
        assert_ne!(one, two);
        assert_eq!(one, read(&mut Reading::new(1)), "two runs are one run");
        let value: serde_json::Value = serde_json::from_str(&one[4]).unwrap();
        assert_eq!(value["n"], 5);
    }
}
