//! The keys that leave a terminal without ending what runs on it.

use std::str::FromStr;

/// A sequence of keys to look for among those that are typed. An empty one is never found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them have been typed, and are held back.
    typed: usize,
}

/// Whether the user goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// So far.
    Text,
    /// The keys that detach came.
    Detached,
}

impl DetachKeys {
    /// Passes `bytes` on to `out`, but for the keys that detach. A part of them is held back until the next key decides.
    pub fn filter(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Typed {
        for byte in bytes {
            if self.keys.get(self.typed) != Some(byte) {
                // What was held back was text after all, and this key may begin the sequence anew.
                out.extend_from_slice(self.keys.get(..self.typed).unwrap_or_default());
                self.typed = 0;
            }
            if self.keys.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    self.typed = 0;
                    return Typed::Detached;
                }
            } else {
                out.push(*byte);
            }
        }
        Typed::Text
    }
}

impl FromStr for DetachKeys {
    type Err = String;

    /// As docker writes them: `a`, `ctrl-p`, `ctrl-@`, `ctrl-[` … with commas between; an empty text for none.
    fn from_str(text: &str) -> Result<DetachKeys, String> {
        let words = text.split(',').filter(|_| !text.is_empty());
        let keys = words.map(|word| key(word).ok_or_else(|| wrong(word))).collect::<Result<Vec<u8>, String>>()?;
        Ok(DetachKeys { keys, typed: 0 })
    }
}

fn wrong(word: &str) -> String {
    format!(
        "{word:?} is no key: write a single character, or ctrl- and a letter or one of @ [ \\ ] ^ _, as in ctrl-p,ctrl-q"
    )
}

/// The byte that a terminal sends for a key (ASCII: Control takes away the bits above the lowest five).
fn key(word: &str) -> Option<u8> {
    match (word.strip_prefix("ctrl-"), word.as_bytes()) {
        (Some(name), _) => match name.as_bytes() {
            [c @ (b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(c & 0x1f),
            _ => None,
        },
        (None, [c]) => Some(*c),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str, pieces: &[&[u8]]) -> (Vec<u8>, Typed) {
        let mut keys: DetachKeys = keys.parse().unwrap();
        let mut out = Vec::new();
        for piece in pieces {
            if keys.filter(piece, &mut out) == Typed::Detached {
                return (out, Typed::Detached);
            }
        }
        (out, Typed::Text)
    }

    #[test]
    fn only_the_whole_sequence_detaches() {
        let default = "ctrl-p,ctrl-q";
        assert_eq!(typed(default, &[b"ab\x10\x11c"]), (b"ab".to_vec(), Typed::Detached));
        assert_eq!(typed(default, &[b"a\x10", b"\x11"]), (b"a".to_vec(), Typed::Detached));
        assert_eq!(typed(default, &[b"\x10x\x11"]), (b"\x10x\x11".to_vec(), Typed::Text));
        assert_eq!(typed(default, &[b"\x10\x10\x11"]), (b"\x10".to_vec(), Typed::Detached));
        assert_eq!(typed("", &[b"\x10\x11"]), (b"\x10\x11".to_vec(), Typed::Text));
        assert_eq!(typed("q", &[b"pq"]), (b"p".to_vec(), Typed::Detached));
    }

    #[test]
    fn keys_are_written_as_docker_writes_them() {
        let keys = |text: &str| text.parse::<DetachKeys>().map(|k| k.keys);
        assert_eq!(keys("ctrl-a,ctrl-[,x"), Ok(vec![1, 27, b'x']));
        for wrong in ["ctrl-", "ctrl-pp", "ab", "ctrl-p,", "ctrl-1"] {
            assert!(keys(wrong).unwrap_err().contains("is no key"), "{wrong}");
        }
    }
}
