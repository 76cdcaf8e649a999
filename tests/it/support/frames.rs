//! HTTP/2 by hand, frame by frame (RFC 9113 §4.1): for what the h2 crate would not send.

use std::io::Read;

use h2::Reason;

use super::proxy::Conn;

/// One connection, from either side.
pub(crate) struct Frames(Conn);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

impl Frames {
    /// The client's side.
    pub(crate) fn to(port: u16) -> Self {
        let mut conn = Conn::to(port);
        conn.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        Self(conn)
    }

    /// The proxy's side, with these settings.
    pub(crate) fn accept(conn: &mut Conn, settings: &[(u16, u32)]) -> Self {
        let mut conn = conn.take();
        assert_eq!(conn.read_exact(24), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        conn.send(Self::settings(settings));
        Self(conn)
    }

    /// The same, up to the first tunnel, which stands.
    pub(crate) fn open(conn: &mut Conn, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self::accept(conn, settings);
        frames.expect(HEADERS, 1);
        frames.send(&Self::granted());
        frames
    }

    /// The answer that opens the first tunnel.
    pub(crate) fn granted() -> Vec<u8> {
        Self::frame(HEADERS, END_HEADERS, 1, &Self::block(&[(":status", "200")]))
    }

    pub(crate) fn conn(&mut self) -> &mut Conn {
        &mut self.0
    }

    pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// RFC 9113 §6.5.1.
    pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
        let setting = |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        Self::frame(SETTINGS, 0, 0, &settings.iter().flat_map(setting).collect::<Vec<_>>())
    }

    /// RFC 7541 §6.2.2, without Huffman.
    pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
    }

    pub(crate) fn connect(stream: u32, target: &str) -> Vec<u8> {
        let block = Self::block(&[(":method", "CONNECT"), (":authority", target)]);
        Self::frame(HEADERS, END_HEADERS, stream, &block)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.send_in_vain(bytes);
    }

    /// The payload of the next frame of this kind on this stream.
    #[track_caller]
    pub(crate) fn expect(&mut self, wanted: u8, on: u32) -> Vec<u8> {
        loop {
            let head = self.0.read_exact(9);
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let payload = self.0.read_exact(length as usize);
            let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
            if head[3] == wanted && stream == on {
                return payload;
            }
            assert!(head[3] != GOAWAY && (stream != on || on == 0), "{head:?} {}", payload.escape_ascii());
        }
    }

    /// Passes over what comes, up to the answer to a ping, or any end.
    pub(crate) fn until_ping_or_end(&mut self) {
        let mut head = [0; 9];
        while self.0.stream().read_exact(&mut head).is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if self.0.stream().read_exact(&mut payload).is_err() || head[3..5] == [PING, ACK] {
                return;
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect_reset(&mut self, stream: u32, reason: Reason) {
        assert_eq!(self.expect(RST_STREAM, stream), u32::from(reason).to_be_bytes());
    }

    /// The connection ends for that reason.
    #[track_caller]
    pub(crate) fn expect_goaway(&mut self, reason: Reason) {
        assert_eq!(self.expect(GOAWAY, 0)[4..8], u32::from(reason).to_be_bytes());
        self.0.read_to_any_end();
    }
}
