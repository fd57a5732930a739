//! What a `write_files` entry's content is on the machine.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes that a payload may unpack to: documents have 64 KiB, so this is no honest file.
const MOST: u64 = 64 << 20;

/// Decodes a content as cloud-init does; `None` where it cannot be decoded.
pub(super) fn decode(encoding: &str, content: &[u8]) -> Option<Vec<u8>> {
    // cloud-init folds the case of the encoding, and takes unknown ones for text.
    match encoding.trim().to_lowercase().as_str() {
        "gz" | "gzip" => unzip(content),
        "b64" | "base64" => from_base64(content),
        "gz+base64" | "gzip+base64" | "gz+b64" | "gzip+b64" => unzip(&from_base64(content)?),
        _ => Some(content.to_vec()),
    }
}

fn from_base64(content: &[u8]) -> Option<Vec<u8>> {
    let packed: Vec<u8> = content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).ok()
}

fn unzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).take(MOST + 1).read_to_end(&mut out).ok()?;
    (out.len() as u64 <= MOST).then_some(out)
}

/// Bytes as lines for people: text as it is, JSON laid out, anything else in hexadecimal.
pub(super) fn readable(path: &str, bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if path.rsplit('.').next() == Some("json") => {
            let laid_out = serde_json::from_str::<serde_json::Value>(text).map(|value| format!("{value:#}\n"));
            laid_out.unwrap_or_else(|_| text.to_owned())
        }
        Ok(text) if !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) => text.to_owned(),
        _ => dump(bytes),
    }
}

/// Sixteen bytes a line.
fn dump(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (index, chunk) in bytes.chunks(16).enumerate() {
        let _ = write!(text, "{:08x} ", index * 16);
        for byte in chunk {
            let _ = write!(text, " {byte:02x}");
        }
        text.push('\n');
    }
    text
}
