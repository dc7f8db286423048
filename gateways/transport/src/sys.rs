//! `recvmmsg` and `sendmmsg`, up to 64 datagrams with one call, and the socket options around them. All `unsafe` of the crate is in this file, and each
//! block of it is listed in `docs/unsafe.md`.
//!
//! The headers that the kernel reads live on the stack of the call (12 kB at most), so no pointer outlives it and
//! nothing is allocated. Linux only.

use crate::abi::{Control, Family, Name};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// The most datagrams that one call moves.
pub(crate) const BATCH: usize = 64;

/// What comes with a received datagram, beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    name: Name,
    name_filled: usize,
    control: Control,
    control_filled: usize,
    /// How many bytes of the slot the datagram fills.
    pub(crate) bytes: usize,
    /// The datagram was longer than its slot; the rest is lost.
    pub(crate) truncated: bool,
}

impl Envelope {
    pub(crate) const EMPTY: Self = Self {
        name: Name::EMPTY,
        name_filled: 0,
        control: Control::EMPTY,
        control_filled: 0,
        bytes: 0,
        truncated: false,
    };

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.name.decode(self.name_filled)
    }

    pub(crate) fn local(&self) -> Option<IpAddr> {
        self.control.decode(self.control_filled)
    }

    pub(crate) fn is_broadcast(&self) -> bool {
        self.control.is_broadcast(self.control_filled)
    }
}

/// A datagram on its way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) bytes: &'a [u8],
}

/// Fills `slots` and `envelopes`, in step, with what waits in the socket; returns how many of them. Never blocks.
///
/// # Errors
/// As recvmmsg(2); [`io::ErrorKind::WouldBlock`] when nothing waits.
pub(crate) fn receive<'a>(
    socket: BorrowedFd<'_>,
    slots: impl Iterator<Item = &'a mut [u8]>,
    envelopes: &mut [Envelope; BATCH],
) -> io::Result<usize> {
    let mut parts = [NO_PART; BATCH];
    let mut headers = no_headers();
    let mut offered = 0;
    for (((slot, envelope), part), header) in
        slots.zip(envelopes.iter_mut()).zip(parts.iter_mut()).zip(headers.iter_mut())
    {
        *part = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
        header.msg_hdr.msg_iov = ptr::from_mut(part);
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = envelope.name.bytes.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = length(envelope.name.bytes.len());
        header.msg_hdr.msg_control = envelope.control.bytes.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = envelope.control.bytes.len() as _;
        offered += 1;
    }
    // SAFETY: `headers` holds at least `offered` headers (zip ends with the shortest). Each points to one live
    // `iovec` of `parts`, and through it to a slot, and to a name and a control buffer of `envelopes`, with their
    // lengths; all are borrowed mutably by this function, distinct, and not touched until the call returns. The
    // descriptor is open: it is borrowed. No timeout is passed. Any bytes that the kernel writes are valid bytes.
    let received = unsafe {
        libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), offered, libc::MSG_DONTWAIT as _, ptr::null_mut())
    };
    let received = usize::try_from(received).map_err(|_negative| io::Error::last_os_error())?;
    for (envelope, header) in envelopes.iter_mut().zip(&headers).take(received) {
        envelope.name_filled = header.msg_hdr.msg_namelen as usize;
        #[allow(clippy::unnecessary_cast, reason = "other C libraries have it as `u32`")]
        let control_filled = header.msg_hdr.msg_controllen as usize;
        envelope.control_filled = control_filled;
        envelope.bytes = header.msg_len as usize;
        envelope.truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
    }
    Ok(received)
}

/// Sends `datagrams`, the first 64 of them at most, through a socket of `family`; returns how many the kernel took.
/// Never blocks.
///
/// # Errors
/// As sendmmsg(2). An error is about the first datagram; the others have not been tried.
pub(crate) fn send<'a>(
    socket: BorrowedFd<'_>,
    family: Family,
    datagrams: impl Iterator<Item = Outgoing<'a>>,
) -> io::Result<usize> {
    let mut names = [Name::EMPTY; BATCH];
    let mut controls = [Control::EMPTY; BATCH];
    let mut parts = [NO_PART; BATCH];
    let mut headers = no_headers();
    let mut offered = 0;
    for ((((datagram, name), control), part), header) in
        datagrams.zip(names.iter_mut()).zip(controls.iter_mut()).zip(parts.iter_mut()).zip(headers.iter_mut())
    {
        let (encoded, name_bytes) = Name::encode(datagram.peer, family);
        *name = encoded;
        *part = libc::iovec { iov_base: datagram.bytes.as_ptr().cast_mut().cast(), iov_len: datagram.bytes.len() };
        header.msg_hdr.msg_iov = ptr::from_mut(part);
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = name.bytes.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = length(name_bytes);
        if let Some(local) = datagram.local {
            let (encoded, control_bytes) = Control::encode(local, datagram.peer);
            *control = encoded;
            header.msg_hdr.msg_control = control.bytes.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = control_bytes as _;
        }
        offered += 1;
    }
    // SAFETY: `headers` holds at least `offered` headers (zip ends with the shortest). Each points to one live
    // `iovec` of `parts`, to a name in `names` and to nothing or to a buffer in `controls`, with lengths inside
    // them; all live on this stack frame and are not touched until the call returns. The `iovec`s point to bytes
    // borrowed for `'a`, which outlives the call; the kernel only reads them, so that the cast to `*mut` that the C
    // type wants never writes. The descriptor is open: it is borrowed.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), offered, libc::MSG_DONTWAIT as _) };
    usize::try_from(sent).map_err(|_negative| io::Error::last_os_error())
}

/// Switches a boolean socket option on; for those that `socket2` does not know.
///
/// # Errors
/// As setsockopt(2).
pub(crate) fn switch_on(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads as many bytes from the pointer as the live integer there has; the
    // descriptor is open: it is borrowed.
    let answer = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, ptr::from_ref(&on).cast(), length(size_of_val(&on)))
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The length of a small buffer as C has it; 0, which hides the buffer, were it ever longer than that can say.
fn length(bytes: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(bytes).unwrap_or_default()
}

const NO_PART: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

fn no_headers() -> [libc::mmsghdr; BATCH] {
    // SAFETY: `mmsghdr` is a C structure of integers and raw pointers, for all of which zero is a valid value (null,
    // 0). Spelt so because some C libraries have padding fields that cannot be named.
    unsafe { std::mem::zeroed() }
}
