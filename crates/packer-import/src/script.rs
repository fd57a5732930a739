//! What Packer does to a script when it uploads it, and mkimg to none: done once, when the script is copied.

/// A script as mkimg can run it, and what was changed to that end.
///
/// Packer ends lines with LF unless told otherwise, and a shell runs what has no `#!`; mkimg refuses both. `exports` are
/// lines that follow the first one.
#[must_use]
pub fn adapted(content: &[u8], exports: &[String]) -> (Vec<u8>, Vec<&'static str>) {
    let mut changes = Vec::new();
    let mut text = content.to_vec();
    if text.windows(2).any(|pair| pair == b"\r\n") {
        text = without_returns(&text);
        changes.push("its lines end with LF now");
    }
    if !text.starts_with(b"#!") {
        text = [b"#!/bin/sh\n".as_slice(), &text].concat();
        changes.push("it begins with `#!/bin/sh` now");
    }
    if !exports.is_empty() {
        let first = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        let mut lines = exports.join("\n") + "\n";
        if !text[..first].ends_with(b"\n") {
            lines.insert(0, '\n');
        }
        text.splice(first..first, lines.into_bytes());
        changes.push("it exports variables that other scripts have with other values");
    }
    (text, changes)
}

fn without_returns(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (index, byte) in text.iter().enumerate() {
        if *byte != b'\r' || text.get(index + 1) != Some(&b'\n') {
            out.push(*byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_script_stays_as_it_is() {
        assert_eq!(adapted(b"#!/bin/sh\ntrue\n", &[]), (b"#!/bin/sh\ntrue\n".to_vec(), vec![]));
    }

    #[test]
    fn what_packer_would_do_is_done() {
        let (text, changes) = adapted(b"true\r\nfalse\r", &["export A=\"${A_2}\"".to_owned()]);
        assert_eq!(String::from_utf8(text).unwrap(), "#!/bin/sh\nexport A=\"${A_2}\"\ntrue\nfalse\r");
        assert_eq!(changes.len(), 3);
    }
}
