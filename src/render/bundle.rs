//! The bundle: files that travel in one compressed stream, and how a document carries it.
//!
//! A bundle is `unbundle.py`, NUL, an index of one line of JSON, and the contents, as one LZMA stream
//! in base85, both of which Python's standard library decodes. It is the last item of `bootcmd`,
//! because `bootcmd` runs directly before `write_files`.

use std::io::{Read as _, Write as _};

use lzma_rust2::{LzmaOptions, LzmaReader, LzmaWriter};
use yaml11::Node;

use super::runner;

/// The arguments of the `bootcmd` item before the bundle. It runs at the first boot only.
pub(super) const UNBUNDLE: [&str; 6] = ["cloud-init-per", "instance", "mkimg", "python3", "-BEsc", STUB];

/// Unpacks a bundle and runs the program in it.
const STUB: &str = "\
# Unpacks the files below. `mkimg show` prints them.
import base64, lzma, sys
bundle = lzma.decompress(base64.b85decode(sys.argv[1]))
exec(bundle[:bundle.index(b'\\0')])
";

/// The kernel's limit for one argument of a program, 128 KiB with the final NUL
/// (`MAX_ARG_STRLEN`, execve(2)).
pub(super) const MAX_BUNDLE_CHARACTERS: usize = (128 << 10) - 1;

/// Limit of [`decompress`]. A bundle has at most 128 KiB, so a larger stream is a decompression
/// bomb.
const MAX_UNPACKED_BYTES: u64 = 64 << 20;

/// A file in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Absolute path on the machine.
    pub path: String,
    /// Octal, such as `0644`.
    pub mode: String,
    /// `user:group`.
    pub owner: String,
    /// Whether it is written after cloud-init has created the users.
    pub is_deferred: bool,
    pub content: Vec<u8>,
}

/// How much time to spend on compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// About 5 ms for 100 KB, to estimate a size.
    Estimate,
    /// About 35 ms for 100 KB, and 5 to 9 % smaller.
    Best,
}

/// Packs members, in this order, as the text that a document carries.
pub(super) fn pack(members: &[Member]) -> String {
    base85(&compress(&unpacked(members), Effort::Best))
}

/// Returns a bundle before it is compressed.
pub(super) fn unpacked(members: &[Member]) -> Vec<u8> {
    let index: Vec<_> = members
        .iter()
        .map(|member| (&member.path, &member.mode, &member.owner, member.content.len(), member.is_deferred))
        .collect();
    let mut bundle = runner::join([include_str!("unbundle.py")].into_iter()).into_bytes();
    bundle.push(0);
    bundle.extend(serde_json::json!(index).to_string().into_bytes());
    bundle.push(b'\n');
    for member in members {
        bundle.extend(&member.content);
    }
    bundle
}

/// Returns the members of a bundle, or `None` if the text is not one.
#[must_use]
pub(super) fn unpack(text: &str) -> Option<Vec<Member>> {
    let bundle = decompress(&from_base85(text)?)?;
    let program = bundle.iter().position(|byte| *byte == 0)?;
    let (index, mut contents) = split_once(&bundle[program + 1..], b'\n')?;
    let index: Vec<(String, String, String, usize, bool)> = serde_json::from_slice(index).ok()?;
    let mut members = Vec::with_capacity(index.len());
    for (path, mode, owner, size, is_deferred) in index {
        let content;
        (content, contents) = contents.split_at_checked(size)?;
        members.push(Member { path, mode, owner, is_deferred, content: content.to_vec() });
    }
    contents.is_empty().then_some(members)
}

/// Returns the members that an item of `bootcmd` writes, or `None` if it is not a bundle.
#[must_use]
pub fn members_of_command(command: Node<'_>) -> Option<Vec<Member>> {
    let arguments: Vec<&str> = command.items()?.map(Node::as_str).collect::<Option<_>>()?;
    unpack(arguments.strip_prefix(&UNBUNDLE[..])?.first()?)
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Compresses bytes as an LZMA stream (`FORMAT_ALONE` of Python's lzma). The options suit text.
pub(super) fn compress(bytes: &[u8], effort: Effort) -> Vec<u8> {
    let mut options = LzmaOptions::with_preset(match effort {
        Effort::Estimate => 1,
        Effort::Best => 9,
    });
    (options.lc, options.lp, options.pb) = (4, 0, 0);
    // The default, 64 MiB, takes longer to clear than most bundles take to compress.
    options.dict_size = u32::try_from(bytes.len()).unwrap_or(u32::MAX).clamp(4 << 10, 64 << 20).next_power_of_two();
    let write = || {
        let mut writer = LzmaWriter::new_use_header(Vec::new(), &options, Some(bytes.len() as u64))?;
        writer.write_all(bytes)?;
        writer.finish()
    };
    // Writing to memory does not fail, and the options are constants.
    write().unwrap_or_default()
}

fn decompress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let memory_limit_kib = 256 << 10;
    let reader = LzmaReader::new_mem_limit(bytes, memory_limit_kib, None).ok()?;
    reader.take(MAX_UNPACKED_BYTES + 1).read_to_end(&mut out).ok()?;
    (out.len() as u64 <= MAX_UNPACKED_BYTES).then_some(out)
}

/// The digits of RFC 1924, which Python's `base64.b85encode` uses.
const DIGITS: &[u8; 85] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Encodes bytes in base85: five characters for four bytes.
pub(super) fn base85(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(4) * 5);
    for chunk in bytes.chunks(4) {
        let mut padded = [0; 4];
        padded[..chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes(padded);
        let digit = |power: u32| char::from(DIGITS[(number / 85_u32.pow(power) % 85) as usize]);
        text.extend((0..5).rev().map(digit).take(chunk.len() + 1));
    }
    text
}

/// Decodes base85, or returns `None` if the text is not that.
fn from_base85(text: &str) -> Option<Vec<u8>> {
    let mut values = [None; 256];
    for (value, digit) in (0_u32..).zip(DIGITS) {
        values[usize::from(*digit)] = Some(value);
    }
    let mut bytes = Vec::with_capacity(text.len() / 5 * 4 + 4);
    for chunk in text.as_bytes().chunks(5) {
        // The last group is padded with the highest digit.
        let mut number = 0_u32;
        for place in 0..5 {
            let digit = chunk.get(place).map_or(Some(84), |byte| values[usize::from(*byte)])?;
            number = number.checked_mul(85)?.checked_add(digit)?;
        }
        bytes.extend(&number.to_be_bytes()[..chunk.len() - 1]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(path: &str, content: &[u8]) -> Member {
        let [path, mode, owner] = [path, "0644", "root:root"].map(str::to_owned);
        Member { path, mode, owner, is_deferred: false, content: content.to_vec() }
    }

    #[test]
    fn a_bundle_is_unpacked_unchanged() {
        let mut members = vec![member("/a", b""), member("/b \"c\"\n", b"\0\xff\n"), member("/\u{e9}", b"no newline")];
        members[1].is_deferred = true;
        assert_eq!(unpack(&pack(&members)), Some(members));
        assert_eq!(unpack(&pack(&[])), Some(vec![]));
    }

    #[test]
    fn what_is_not_a_bundle_has_no_members() {
        let good = pack(&[member("/a", b"text\n")]);
        for text in ["", "~~~~~", "\u{e9}", "abc", &good[..good.len() - 7], &good.replace(&good[20..30], "0000000000")]
        {
            assert_eq!(unpack(text), None, "{text}");
        }
    }

    #[test]
    fn base85_is_that_of_python() {
        // base64.b85encode(bytes(range(256))[n:]) of Python 3.11.
        for (bytes, text) in [
            (&b""[..], ""),
            (b"\0", "00"),
            (b"\xff\xff", "|Nj"),
            (b"\xff\xff\xff\xff", "|NsC0"),
            (b"hello world", "Xk~0{Zy<MXa%^M"),
        ] {
            assert_eq!(base85(bytes), text);
            assert_eq!(from_base85(text).as_deref(), Some(bytes));
        }
    }
}
