//! What the fuzz targets have in common. An input begins with a few bytes that choose (a route, a format, how
//! a stream is cut); letters as well as any other bytes, so that seeds can be read.

pub mod mutate;
pub mod world;

/// A xorshift generator: what it draws follows from its seed alone.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self((seed ^ 0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`; 0 where there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        if bound == 0 { 0 } else { (self.0 >> 11) as usize % bound }
    }

    pub fn of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }
}

/// The bytes in pieces: many short ones, some longer, some empty.
pub fn cut(bytes: &[u8], seed: u64) -> Vec<&[u8]> {
    let (mut draw, mut rest, mut pieces) = (Draw::new(seed), bytes, Vec::new());
    while !rest.is_empty() {
        let longest = [2, 5, 40, 400][draw.below(4)];
        let (piece, after) = rest.split_at(draw.below(longest).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The first `N` bytes, which choose, and the rest. Nothing of an input that is shorter.
pub fn head<const N: usize>(data: &[u8]) -> Option<([usize; N], &[u8])> {
    let (head, rest) = data.split_first_chunk::<N>()?;
    Some((head.map(usize::from), rest))
}

/// AWS's framing around a payload: what a provider would send.
pub fn aws_message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        let (name, value) = (&name.as_bytes()[..name.len().min(255)], &value.as_bytes()[..value.len().min(65_535)]);
        head.push(name.len() as u8);
        head.extend_from_slice(name);
        head.push(7);
        head.extend_from_slice(&(value.len() as u16).to_be_bytes());
        head.extend_from_slice(value);
    }
    let mut message = ((head.len() + payload.len() + 16) as u32).to_be_bytes().to_vec();
    message.extend_from_slice(&(head.len() as u32).to_be_bytes());
    message.extend_from_slice(&crc32(&message).to_be_bytes());
    message.extend_from_slice(&head);
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32(&message).to_be_bytes());
    message
}

/// CRC-32 (IEEE 802.3), a bit at a time.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}
