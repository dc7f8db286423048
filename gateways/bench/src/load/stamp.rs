//! What a payload carries: which message it is and when it was sent.

/// The head of every payload, 24 octets, big-endian; the rest is filling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Tells this run's messages from those of an earlier one.
    pub(crate) run: u32,
    /// The client that sends it, or that it is meant for.
    pub(crate) client: u32,
    /// Counts the run's messages from 0; grows per client in the order of sending.
    pub(crate) seq: u64,
    /// Nanoseconds on this process's clock before the first transmission.
    pub(crate) sent_at: u64,
}

/// Octets of a [`Stamp`].
pub(crate) const STAMP_LEN: usize = 24;

impl Stamp {
    /// Replaces `payload` by this stamp, filled up to `len` octets.
    pub(crate) fn write(&self, len: usize, payload: &mut Vec<u8>) {
        payload.clear();
        payload.extend_from_slice(&self.run.to_be_bytes());
        payload.extend_from_slice(&self.client.to_be_bytes());
        payload.extend_from_slice(&self.seq.to_be_bytes());
        payload.extend_from_slice(&self.sent_at.to_be_bytes());
        payload.resize(len.max(STAMP_LEN), b'.');
    }

    /// `None` for a payload that is too short to be one of ours.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (run, rest) = payload.split_first_chunk()?;
        let (client, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (sent_at, _) = rest.split_first_chunk()?;
        Some(Self {
            run: u32::from_be_bytes(*run),
            client: u32::from_be_bytes(*client),
            seq: u64::from_be_bytes(*seq),
            sent_at: u64::from_be_bytes(*sent_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_payload_at_any_length() {
        let stamp = Stamp { run: 0xDEAD_BEEF, client: 99_999, seq: u64::MAX - 1, sent_at: 123_456_789_012 };
        let mut payload = vec![1, 2, 3];
        for len in [0, STAMP_LEN, 64, 1400] {
            stamp.write(len, &mut payload);
            assert_eq!(payload.len(), len.max(STAMP_LEN));
            assert_eq!(Stamp::read(&payload), Some(stamp));
        }
        assert_eq!(Stamp::read(&payload[..STAMP_LEN - 1]), None);
    }
}
