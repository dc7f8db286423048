//! How the streams of devices that speak no CONNECT are cut into messages, and messages into such streams.

use crate::{EncodeFault, Fault};
use std::num::NonZeroU32;

/// The longest delimiter, in octets.
pub const MAX_DELIMITER: usize = 16;

/// One way of cutting streams. It keeps nothing of any stream: what is kept of one is its [`Scan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framer {
    /// Where a frame ends.
    pub framing: Framing,
    /// The most octets of payload in a frame, without header or delimiter.
    pub max_frame: NonZeroU32,
}

/// Where a frame ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Before the delimiter, which belongs to no frame.
    Line(Delimiter),
    /// After as many octets as the header before it says. The header does not count itself.
    LengthPrefix {
        /// The header's octets.
        width: Width,
        /// The order of the header's octets.
        order: ByteOrder,
    },
    /// After this many octets.
    Fixed(NonZeroU32),
    /// Where a read ends. TCP promises nothing about that.
    Raw,
}

/// What ends a line, 1 to [`MAX_DELIMITER`] octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimiter(Box<[u8]>);

/// Octets of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// 1: frames of up to 255 octets.
    One,
    /// 2: frames of up to 65,535 octets.
    #[default]
    Two,
    /// 4: frames of up to 4,294,967,295 octets.
    Four,
}

/// Which octet of a header comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteOrder {
    /// The most significant.
    #[default]
    Big,
    /// The least significant.
    Little,
}

/// How far the octets of one stream that belong to no frame yet have been looked at, so that each is looked at once
/// however small the pieces are in which they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan(u32);

impl Delimiter {
    /// `None` for no octets and for more than [`MAX_DELIMITER`].
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        (1..=MAX_DELIMITER).contains(&octets.len()).then(|| Self(octets.into()))
    }

    /// Its octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl Width {
    /// 1, 2 or 4.
    #[must_use]
    pub const fn octets(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// The most octets that a header can announce.
    const fn largest(self) -> u32 {
        match self {
            Self::One => u8::MAX as u32,
            Self::Two => u16::MAX as u32,
            Self::Four => u32::MAX,
        }
    }
}

impl Framer {
    /// The payload of the frame that `bytes` begin with, and the octets of the whole frame; `None` while it is not all
    /// there. `bytes` are all octets of the stream since the last frame, `scan` is the stream's.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] as soon as it is sure that the frame has more than `max_frame` octets.
    pub fn next<'a>(&self, scan: &mut Scan, bytes: &'a [u8]) -> Result<Option<(&'a [u8], usize)>, Fault> {
        let limit = size(self.max_frame.get());
        match &self.framing {
            Framing::Line(delimiter) => line(delimiter, scan, bytes, limit),
            Framing::LengthPrefix { width, order } => {
                let Some((length, rest)) = read_length(*width, *order, bytes) else { return Ok(None) };
                within(length, limit)?;
                Ok(rest.get(..length).map(|payload| (payload, length.saturating_add(width.octets()))))
            }
            Framing::Fixed(octets) => {
                let octets = size(octets.get());
                within(octets, limit)?;
                Ok(bytes.get(..octets).map(|payload| (payload, octets)))
            }
            Framing::Raw if bytes.is_empty() => Ok(None),
            Framing::Raw => {
                let taken = bytes.len().min(limit);
                Ok(bytes.get(..taken).map(|payload| (payload, taken)))
            }
        }
    }

    /// Appends `payload` as a frame. A line is not searched for the delimiter: with one in it the device reads two.
    ///
    /// # Errors
    /// [`EncodeFault::TooLong`] above `max_frame` octets or what the header can say, [`EncodeFault::WrongSize`] where every
    /// frame has the same size.
    pub fn encode(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        let bytes = payload.len();
        let fits = |limit: u32| match u32::try_from(bytes) {
            Ok(length) if length <= limit.min(self.max_frame.get()) => Ok(length),
            Ok(_) | Err(_) => Err(EncodeFault::TooLong { bytes, limit: size(limit.min(self.max_frame.get())) }),
        };
        match &self.framing {
            Framing::Line(delimiter) => {
                fits(u32::MAX)?;
                out.extend_from_slice(payload);
                out.extend_from_slice(&delimiter.0);
            }
            Framing::LengthPrefix { width, order } => {
                let length = fits(width.largest())?;
                put_length(*width, *order, length, out);
                out.extend_from_slice(payload);
            }
            Framing::Fixed(octets) if size(octets.get()) != bytes => {
                return Err(EncodeFault::WrongSize { bytes, size: size(octets.get()) });
            }
            Framing::Fixed(_) | Framing::Raw => {
                fits(u32::MAX)?;
                out.extend_from_slice(payload);
            }
        }
        Ok(())
    }
}

fn line<'a>(
    delimiter: &Delimiter,
    scan: &mut Scan,
    bytes: &'a [u8],
    limit: usize,
) -> Result<Option<(&'a [u8], usize)>, Fault> {
    let marks = delimiter.octets();
    let seen = size(scan.0).min(bytes.len());
    let fresh = bytes.get(seen..).unwrap_or_default();
    let Some(at) = find(marks, fresh) else {
        // A delimiter may have begun in the last octets.
        let done = bytes.len().saturating_sub(marks.len().saturating_sub(1));
        within(done, limit)?;
        scan.0 = u32::try_from(done).unwrap_or(u32::MAX);
        return Ok(None);
    };
    *scan = Scan::default();
    let end = seen.saturating_add(at);
    within(end, limit)?;
    Ok(bytes.get(..end).map(|payload| (payload, end.saturating_add(marks.len()))))
}

/// Where `marks` first stand in `bytes`.
fn find(marks: &[u8], bytes: &[u8]) -> Option<usize> {
    match marks {
        [only] => bytes.iter().position(|octet| octet == only),
        _ => bytes.windows(marks.len()).position(|window| window == marks),
    }
}

/// What the header says, and what stands behind it; `None` while the header is not all there.
fn read_length(width: Width, order: ByteOrder, bytes: &[u8]) -> Option<(usize, &[u8])> {
    let length = |octets: [u8; 4]| match order {
        ByteOrder::Big => u32::from_be_bytes(octets),
        ByteOrder::Little => u32::from_le_bytes(octets),
    };
    let (length, rest) = match (width, bytes) {
        (Width::One, [octet, rest @ ..]) => (u32::from(*octet), rest),
        (Width::Two, [a, b, rest @ ..]) => match order {
            ByteOrder::Big => (u32::from(u16::from_be_bytes([*a, *b])), rest),
            ByteOrder::Little => (u32::from(u16::from_le_bytes([*a, *b])), rest),
        },
        (Width::Four, [a, b, c, d, rest @ ..]) => (length([*a, *b, *c, *d]), rest),
        (Width::One | Width::Two | Width::Four, _) => return None,
    };
    Some((size(length), rest))
}

/// Appends the header that announces `length` octets, which are no more than it can say.
fn put_length(width: Width, order: ByteOrder, length: u32, out: &mut Vec<u8>) {
    let (big, little) = (length.to_be_bytes(), length.to_le_bytes());
    let octets = width.octets();
    let header = match order {
        ByteOrder::Big => big.get(big.len().saturating_sub(octets)..),
        ByteOrder::Little => little.get(..octets),
    };
    out.extend_from_slice(header.unwrap_or_default());
}

const fn within(bytes: usize, limit: usize) -> Result<(), Fault> {
    if bytes > limit { Err(Fault::TooLarge { bytes, limit }) } else { Ok(()) }
}

/// On a target whose `usize` is narrower nothing of that size can be held, so the largest one refuses it.
fn size(octets: u32) -> usize {
    usize::try_from(octets).unwrap_or(usize::MAX)
}
