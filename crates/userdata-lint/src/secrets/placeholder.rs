//! What stands where a secret will be: no finding.

/// Words that nobody has in a secret.
const WORDS: &[&str] = &[
    "changeme",
    "change_me",
    "change-me",
    "replace",
    "example",
    "placeholder",
    "yourpassword",
    "your_",
    "your-",
    "insert",
    "redacted",
    "dummy",
    "notreal",
    "todo",
    "fixme",
    "xxxx",
    "secret_here",
    "...",
    "****",
];

/// Whether a text stands for a secret and is none: a variable, a template's expression, `CHANGEME`, `<token>`, `xxxx`.
pub(super) fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty()
        || text.starts_with('$') && !text.starts_with("$1$")
        || text.starts_with('%') && text.ends_with('%')
    {
        return true;
    }
    if ["${", "{{", "{%", "$(", "%(", "<%", "`"].iter().any(|mark| text.contains(mark)) {
        return true;
    }
    if text.starts_with(['<', '[', '{']) && text.ends_with(['>', ']', '}']) {
        return true;
    }
    let lower = text.to_ascii_lowercase();
    if WORDS.iter().any(|word| lower.contains(word))
        || matches!(lower.as_str(), "none" | "null" | "true" | "false" | "yes" | "no")
    {
        return true;
    }
    // `0000…`, `abababab…`: a long text of few different characters.
    let mut seen = [false; 256];
    text.bytes().for_each(|byte| seen[usize::from(byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    different == 1 && text.len() > 1 || text.len() >= 16 && different < 6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_secrets() {
        for text in [
            "CHANGEME",
            "${DB_PASSWORD}",
            "{{ token }}",
            "<token>",
            "xxxxxxxx",
            "$PASSWORD",
            "",
            "0000000000000000",
            "AKIAIOSFODNN7EXAMPLE",
            "your-token",
            "%DB%",
            "null",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["hunter2", "passw0rd", "S3cret!", "$1$abc$def", "4f1d0c9a7be25368"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
