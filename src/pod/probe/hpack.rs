//! HPACK, the compression of HTTP/2's headers (RFC 7541): all of it for reading, the plainest for writing.

use std::collections::VecDeque;

/// A header's name and value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// The most that one block may decode to, in bytes with 32 for each field (RFC 7541, 4.1): a block of one-byte references to a long
/// entry would else grow a thousandfold.
const MAX_LIST: usize = 64 * 1024;
/// The dynamic table's size where nothing else was agreed, in bytes (RFC 9113, 6.5.2).
const TABLE_SIZE: usize = 4096;
/// What each entry counts besides its bytes.
const OVERHEAD: usize = 32;

/// A block that cannot be decoded; the connection is of no use after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Writes fields as literals that no table keeps.
pub(super) fn encode(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            encode_length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits and the bit before it, of Huffman's code, unset (RFC 7541, 5.1).
fn encode_length(block: &mut Vec<u8>, length: usize) {
    if length < 0x7f {
        block.push(length as u8);
        return;
    }
    block.push(0x7f);
    let mut rest = length - 0x7f;
    while rest >= 0x80 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// Reads the blocks of one connection, in their order.
#[derive(Debug)]
pub(super) struct Decoder {
    table: VecDeque<Field>,
    size: usize,
    limit: usize,
}

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder { table: VecDeque::new(), size: 0, limit: TABLE_SIZE }
    }

    /// The fields of one whole block.
    pub(super) fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, Malformed> {
        let mut block = Block(block);
        let mut fields = Vec::new();
        let mut size = 0;
        while let Some(&first) = block.0.first() {
            let field = match first {
                0x80.. => self.entry(block.integer(7)?)?,
                0x40..0x80 => {
                    let field = self.literal(&mut block, 6)?;
                    self.insert(field.clone());
                    field
                }
                0x20..0x40 => {
                    self.limit = block.integer(5)?;
                    if self.limit > TABLE_SIZE {
                        return Err(Malformed);
                    }
                    self.evict();
                    continue;
                }
                _ => self.literal(&mut block, 4)?,
            };
            size += counted(&field);
            if size > MAX_LIST {
                return Err(Malformed);
            }
            fields.push(field);
        }
        Ok(fields)
    }

    fn literal(&self, block: &mut Block<'_>, prefix: u32) -> Result<Field, Malformed> {
        let name = match block.integer(prefix)? {
            0 => block.text()?,
            index => self.entry(index)?.0,
        };
        Ok((name, block.text()?))
    }

    fn entry(&self, index: usize) -> Result<Field, Malformed> {
        let index = index.checked_sub(1).ok_or(Malformed)?;
        match STATIC.get(index) {
            Some((name, value)) => Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
            None => self.table.get(index - STATIC.len()).cloned().ok_or(Malformed),
        }
    }

    fn insert(&mut self, field: Field) {
        self.size += counted(&field);
        self.table.push_front(field);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.limit
            && let Some(oldest) = self.table.pop_back()
        {
            self.size -= counted(&oldest);
        }
    }
}

fn counted((name, value): &Field) -> usize {
    name.len() + value.len() + OVERHEAD
}

/// What is left of a block.
struct Block<'a>(&'a [u8]);

impl Block<'_> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(byte)
    }

    /// An integer that begins in the low `prefix` bits of the next byte; four bytes more are far beyond what a block can hold.
    fn integer(&mut self, prefix: u32) -> Result<usize, Malformed> {
        let full = (1_usize << prefix) - 1;
        let mut value = usize::from(self.byte()?) & full;
        if value < full {
            return Ok(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn text(&mut self) -> Result<Vec<u8>, Malformed> {
        let huffman = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.integer(7)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        if huffman { unpack(text) } else { Ok(text.to_vec()) }
    }
}

/// Decodes Huffman's code. That of HPACK is canonical: among codes of one length the symbols rise, and the codes of each length go
/// on where those of the shorter ones ended. So the lengths alone tell the codes.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut text = Vec::with_capacity(packed.len() * 8 / 5);
    let mut code = Code::START;
    let mut ones = true;
    for byte in packed {
        for shift in (0..8).rev() {
            let bit = u32::from(byte >> shift & 1);
            ones &= bit == 1;
            if let Some(symbol) = code.push(bit) {
                text.push(u8::try_from(symbol).map_err(|_| Malformed)?);
                code = Code::START;
                ones = true;
            } else if code.length == LONGEST {
                return Err(Malformed);
            }
        }
    }
    // The last byte is filled up with the beginning of the end's code, which is all ones.
    if ones && code.length < 8 { Ok(text) } else { Err(Malformed) }
}

/// The longest code, in bits.
const LONGEST: u8 = 30;

/// The bits of a symbol as far as they have come, with what is needed to know whether they are a whole code.
struct Code {
    bits: u32,
    length: u8,
    /// The smallest code of this length.
    first: u32,
    /// How many symbols have shorter codes.
    shorter: usize,
}

impl Code {
    const START: Code = Code { bits: 0, length: 0, first: 0, shorter: 0 };

    /// The symbol that the bits, with this one, are the code of.
    fn push(&mut self, bit: u32) -> Option<usize> {
        let count = BY_LENGTH.count(self.length);
        self.first = (self.first + count as u32) << 1;
        self.shorter += count;
        self.bits = self.bits << 1 | bit;
        self.length += 1;
        let place = self.bits.checked_sub(self.first)? as usize;
        if place >= BY_LENGTH.count(self.length) {
            return None;
        }
        BY_LENGTH.symbols.get(self.shorter + place).map(|&symbol| usize::from(symbol))
    }
}

/// The symbols in the order of their codes, and how many there are of each length.
struct ByLength {
    symbols: [u16; LENGTHS.len()],
    counts: [usize; LONGEST as usize + 1],
}

impl ByLength {
    fn count(&self, length: u8) -> usize {
        self.counts.get(usize::from(length)).copied().unwrap_or(0)
    }
}

static BY_LENGTH: ByLength = {
    let mut table = ByLength { symbols: [0; LENGTHS.len()], counts: [0; LONGEST as usize + 1] };
    let mut place = 0;
    let mut length = 1;
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] == length {
                table.symbols[place] = symbol as u16;
                table.counts[length as usize] += 1;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    table
};

/// The length of each symbol's code in bits; the last symbol is the end (RFC 7541, appendix B).
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

/// The static table (RFC 7541, appendix A).
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn decoded(decoder: &mut Decoder, block: &str) -> Vec<(String, String)> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        decoder.decode(&hex(block)).unwrap().into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_decode() {
        // RFC 7541, C.4: requests with Huffman's code, over one connection.
        let mut decoder = Decoder::new();
        let first = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
        assert_eq!(decoded(&mut decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"), fields(&first));
        let second = [first[0], first[1], first[2], first[3], ("cache-control", "no-cache")];
        assert_eq!(decoded(&mut decoder, "8286 84be 5886 a8eb 1064 9cbf"), fields(&second));
        assert_eq!(decoder.size, 110);
    }

    #[test]
    fn what_is_encoded_decodes() {
        let long = "x".repeat(1000);
        let written = [(":path", "/grpc.health.v1.Health/Check"), ("x", long.as_str()), ("empty", "")];
        let block: String = encode(&written).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(decoded(&mut Decoder::new(), &block), fields(&written));
    }

    #[test]
    fn a_small_table_forgets() {
        let mut decoder = Decoder::new();
        let field = [("a", "b")];
        assert_eq!(decoded(&mut decoder, "4001 6101 62"), fields(&field));
        assert_eq!(decoded(&mut decoder, "be"), fields(&field));
        assert_eq!(decoded(&mut decoder, "20"), fields(&[]));
        assert_eq!(decoder.decode(&[0xbe]), Err(Malformed));
    }

    #[test]
    fn a_block_that_grows_beyond_bounds_is_refused() {
        let mut decoder = Decoder::new();
        let mut block = vec![0x40, 1, b'a', 0x7f, 0x81, 0x1e];
        block.resize(block.len() + 0x7f + 1 + (0x1e << 7), b'x');
        assert_eq!(decoder.decode(&block).unwrap().len(), 1);
        assert_eq!(decoder.decode(&[0xbe; 64]), Err(Malformed));
    }

    #[test]
    fn malformed_blocks_are_refused() {
        for block in ["80", "ff80808080 01", "c0", "00", "0005 61", "3fff7f", "0081ff8100", "0001 6184 fffffffe"] {
            assert_eq!(Decoder::new().decode(&hex(block)), Err(Malformed), "{block}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_blocks_decode_or_are_refused(
            blocks in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..200), 1..4),
        ) {
            let mut decoder = Decoder::new();
            for block in blocks {
                let _ = decoder.decode(&block);
                proptest::prop_assert!(decoder.size <= TABLE_SIZE);
                proptest::prop_assert_eq!(decoder.size, decoder.table.iter().map(counted).sum::<usize>());
            }
        }
    }
}
