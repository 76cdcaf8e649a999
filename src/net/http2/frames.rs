//! The frames of a connection as they pass by (RFC 9113 §4.1): their headers, and nothing of what
//! is in them. The h2 crate reads them; this only watches.

use std::cmp::min;

/// What a frame begins with.
pub(super) const HEADER: usize = 9;

/// Where in a frame the stream of bytes is.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// How much of that is there.
    known: usize,
    /// How much of the payload is still to come, once the header is whole.
    rest: usize,
}

/// A frame that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
}

impl Frame {
    const DATA: u8 = 0x0;
    const HEADERS: u8 = 0x1;
    const SETTINGS: u8 = 0x4;
    const END_STREAM: u8 = 0x1;

    /// What HTTP/2 begins with, and nothing else does (RFC 9113 §3.4).
    pub(super) fn is_settings(self) -> bool {
        self.kind == Self::SETTINGS && self.stream == 0
    }

    /// Whether it is DATA without a byte, and ends nothing.
    pub(super) fn says_nothing(self) -> bool {
        self.kind == Self::DATA && self.length == 0 && self.stream != 0 && self.ends().is_none()
    }

    /// The stream after whose end nothing of it follows (RFC 9113 §5.1).
    pub(super) fn ends(self) -> Option<u32> {
        let can_end = matches!(self.kind, Self::DATA | Self::HEADERS);
        (can_end && self.flags & Self::END_STREAM != 0).then_some(self.stream)
    }
}

impl Frames {
    /// Whether the last one is whole.
    pub(super) fn are_whole(&self) -> bool {
        self.known == 0
    }

    /// Tells of each frame whose last byte is among these, the next ones; and where in them it ends.
    pub(super) fn pass(&mut self, these: &[u8], mut whole: impl FnMut(Frame, usize)) {
        let mut bytes = these;
        loop {
            if self.known < HEADER {
                let (now, later) = bytes.split_at(min(bytes.len(), HEADER - self.known));
                self.header[self.known..self.known + now.len()].copy_from_slice(now);
                self.known += now.len();
                bytes = later;
                if self.known < HEADER {
                    return;
                }
                let [high, middle, low, ..] = self.header;
                self.rest = u32::from_be_bytes([0, high, middle, low]) as usize;
            }
            let passed = min(bytes.len(), self.rest);
            bytes = &bytes[passed..];
            self.rest -= passed;
            if self.rest > 0 {
                return;
            }
            self.known = 0;
            let [high, middle, low, kind, flags, stream @ ..] = self.header;
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            // One bit is reserved.
            let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
            whole(Frame { kind, flags, stream, length }, these.len() - bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
        let length = u32::try_from(length).expect("a short one").to_be_bytes();
        let mut bytes = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        // It looks like headers of frames that end stream 1.
        bytes.extend([0, 0, 0, 0, 1, 0, 0, 0, 1].iter().cycle().take(u32::from_be_bytes(length) as usize));
        bytes
    }

    fn seen(pieces: &[&[u8]]) -> Vec<Frame> {
        let (mut frames, mut seen) = (Frames::default(), Vec::new());
        for piece in pieces {
            frames.pass(piece, |frame, _| seen.push(frame));
        }
        seen
    }

    #[test]
    fn a_frame_counts_when_its_last_byte_has_passed() {
        let bytes = frame(0, 1, 7, 100);
        let mut frames = Frames::default();
        frames.pass(&bytes[..108], |frame, _| panic!("{frame:?} is not whole"));
        assert!(!frames.are_whole());
        frames.pass(&bytes[108..], |frame, end| assert_eq!((frame.ends(), end), (Some(7), 1)));
        assert!(frames.are_whole());
    }

    #[test]
    fn data_and_headers_end_streams_and_the_flag_means_something_else_elsewhere() {
        let ends = |kind, flags| seen(&[&frame(kind, flags, 0x8000_0003, 0)])[0].ends();
        assert_eq!([ends(0, 1), ends(0, 9), ends(1, 5)], [Some(3); 3]);
        // SETTINGS and PING: ACK.
        assert_eq!([ends(0, 8), ends(1, 4), ends(4, 1), ends(6, 1), ends(9, 1)], [None; 5]);
    }

    #[test]
    fn what_speaks_another_protocol_has_no_settings() {
        for hello in
            ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "220 ready\r\n", "\0\0\0\0"]
        {
            assert!(!seen(&[hello.repeat(50).as_bytes()]).iter().any(|frame| frame.is_settings()), "{hello}");
        }
        assert!(seen(&[&frame(4, 0, 0, 6)])[0].is_settings());
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            shapes in prop::collection::vec((0..10u8, any::<u8>(), 0..0x8000_0000u32, 0..40usize), 0..8),
            cuts in prop::collection::vec(0..400usize, 0..12),
        ) {
            let bytes: Vec<u8> = shapes.iter().flat_map(|&(kind, flags, stream, length)| frame(kind, flags, stream, length)).collect();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let wanted: Vec<_> =
                shapes.iter().map(|&(kind, flags, stream, length)| Frame { kind, flags, stream, length }).collect();
            prop_assert_eq!(seen(&pieces), wanted);
        }
    }
}
