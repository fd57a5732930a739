//! Base64 as Python's `base64.decodebytes` reads it: what is not in the alphabet is skipped, text after the padding too.

/// The bytes; otherwise what is wrong.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    if let Some(ch) = text.chars().find(|ch| !ch.is_ascii()) {
        return Err(format!("expected base64, found the character `{ch}`"));
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut place = 0;
    let mut left = 0_u8;
    let mut pads = 0;
    for byte in text.bytes() {
        if byte == b'=' {
            if place >= 2 {
                pads += 1;
                if place + pads >= 4 {
                    return Ok(out);
                }
            }
            continue;
        }
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        pads = 0;
        match place {
            0 => left = value,
            1 => {
                out.push((left << 2) | (value >> 4));
                left = value & 0x0f;
            }
            2 => {
                out.push((left << 4) | (value >> 2));
                left = value & 0x03;
            }
            _ => out.push((left << 6) | value),
        }
        place = (place + 1) % 4;
    }
    match place {
        0 => Ok(out),
        1 => Err("expected base64 in groups of four characters, found one character too many".to_owned()),
        _ => Err("expected base64 in groups of four characters, found its `=` padding missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn base64_is_read_as_python_reads_it() {
        assert_eq!(decode("aGVs\n bG8=").unwrap(), b"hello");
        assert_eq!(decode("aGVsbG8=ignored").unwrap(), b"hello");
        assert_eq!(decode("").unwrap(), b"");
        assert_eq!(decode("!!a*G*k=").unwrap(), b"hi");
        assert!(decode("aGk").is_err());
        assert!(decode("aGVsb").is_err());
        assert!(decode("é").is_err());
    }
}
