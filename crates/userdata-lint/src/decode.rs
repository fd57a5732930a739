//! Decodes the contents of `write_files` as cloud-init does: base64 and gzip.

use std::borrow::Cow;
use std::io::Read;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use diagnostics::quoted;

/// Decodes a content according to `encoding`. Like cloud-init, it ignores the case of the encoding
/// and treats unknown encodings as plain text.
///
/// Unpacks at most `max_bytes` + 1 bytes of a gzip stream: a longer result means that the limit is
/// exceeded.
///
/// # Errors
///
/// Fails with a description if the content does not have this encoding.
pub fn decode<'c>(encoding: &str, content: &'c [u8], max_bytes: u64) -> Result<Cow<'c, [u8]>, String> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "gz" | "gzip" => gunzip(content, max_bytes).map(Cow::Owned),
        "b64" | "base64" => decode_base64(content).map(Cow::Owned),
        "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => {
            gunzip(&decode_base64(content)?, max_bytes).map(Cow::Owned)
        }
        _ => Ok(Cow::Borrowed(content)),
    }
}

/// Unpacks all members of a gzip stream. Stops after `max_bytes` + 1 bytes, so that a caller can
/// detect a longer result.
pub(crate) fn gunzip(bytes: &[u8], max_bytes: u64) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes).take(max_bytes.saturating_add(1));
    decoder.read_to_end(&mut out).map_err(|error| format!("expected a gzip stream: {error}"))?;
    Ok(out)
}

/// Like Python's `b64decode`, but invalid characters are errors; Python skips them.
fn decode_base64(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut data: Vec<u8> = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => data.push(*byte),
            b'=' | b'\n' | b'\r' | b' ' | b'\t' => {}
            strange => return Err(format!("expected base64, found {}", quoted(&char::from(*strange).to_string()))),
        }
    }
    let engine = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let padding = text.iter().rev().take_while(|byte| !byte.is_ascii_alphanumeric()).filter(|byte| **byte == b'=');
    if padding.take(3).count() < (4 - data.len() % 4) % 4 {
        return Err("expected base64 whose length is a multiple of four: its end is missing".into());
    }
    engine.decode(&data).map_err(|error| format!("expected base64: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn contents_are_decoded_by_encoding() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(b"hello").unwrap();
        let packed = gzip.finish().unwrap();
        let encoded = base64::engine::general_purpose::STANDARD.encode(&packed);
        for (encoding, content, expected) in [
            ("", b"aGk=".as_slice(), Some(b"aGk=".as_slice())),
            ("text/plain", b"aGk=", Some(b"aGk=")),
            ("b64", b"aGk=", Some(b"hi")),
            (" Base64 ", b"a G\nk=\n", Some(b"hi")),
            ("b64", b"aGl=", Some(b"hi")),
            ("b64", b"aGk", None),
            ("b64", b"aGk*", None),
            ("b64", b"aGkh", Some(b"hi!")),
            ("gz", &packed, Some(b"hello")),
            ("gzip", b"hello", None),
            ("gz+b64", encoded.as_bytes(), Some(b"hello")),
            ("gzip+base64", b"aGk=", None),
        ] {
            let found = decode(encoding, content, 5);
            assert_eq!(found.as_deref().ok(), expected, "{encoding} {found:?}");
        }
        for (limit, length) in [(3, 4), (4, 5), (5, 5)] {
            assert_eq!(gunzip(&packed, limit).map(|bytes| bytes.len()), Ok(length), "{limit}");
        }
    }
}
