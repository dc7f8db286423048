//! Raw TCP frames: octets of a stream in, borrowed frames out, and back.
//!
//! [`FromDevice`] and [`FromGateway`] are the frames of EMQ X's TCP gateway, each direction a type of its own.
//! [`Framer`] cuts the streams of devices that speak no such frames: lines, length prefixes, a fixed size, or none at all.
//!
//! Decoding gives `Ok(None)` while a frame is not all there, or the frame and how many octets it takes of the stream; it
//! borrows, and refuses what cannot become a frame as soon as that shows. Encoding appends to a buffer of the caller, all
//! or nothing.
//!
//! ```
//! use codec_rawtcp::{FromDevice, Turn};
//!
//! let stream = [0x30, 0x00, 0x02, b'h', b'i', 0x40];
//! let first = FromDevice::decode(&stream, Turn::Connected, usize::MAX)?;
//! assert_eq!(first, Some((FromDevice::Data(b"hi"), 5)));
//! # Ok::<(), codec_rawtcp::Fault>(())
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects)]

mod fault;
mod frame;
mod framer;
#[doc(hidden)]
pub mod fuzzing;
mod header;

pub use fault::{EncodeFault, Fault};
pub use frame::{Connect, FromDevice, FromGateway, MAX_PAYLOAD, ReturnCode, Turn};
pub use framer::{ByteOrder, Delimiter, Framer, Framing, MAX_DELIMITER, Scan, Width};
