//! Publishers' checksum files.

/// The last part of an address, which is what its file is called.
pub(super) fn file_name(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url).rsplit('/').next().unwrap_or(url)
}

/// Finds a file's sum: `SUM  NAME` lines as sha256sum writes them, BSD's `SHA256 (NAME) = SUM`, or a lone sum.
pub(super) fn sum_of(text: &str, name: &str) -> Option<String> {
    let is_sum = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut sums = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (sum, file) = match words.as_slice() {
            ["SHA256", file, "=", sum] => (*sum, file.trim_matches(['(', ')'])),
            [sum, file] => (*sum, file.trim_start_matches('*')),
            [sum] => (*sum, ""),
            _ => continue,
        };
        if is_sum(sum) {
            if file.rsplit('/').next() == Some(name) {
                return Some(sum.to_ascii_lowercase());
            }
            sums.push((sum.to_ascii_lowercase(), file.is_empty()));
        }
    }
    // A file that holds one sum without a name can only mean this artifact.
    match sums.as_slice() {
        [(sum, true)] => Some(sum.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::sum_of;

    #[test]
    fn sums_are_found_in_the_forms_that_publishers_use() {
        let sum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let other = "0".repeat(64);
        for text in [
            format!("{sum}  x.tgz\n"),
            format!("{other}  y.tgz\n{sum} *./x.tgz\n"),
            format!("SHA256 (x.tgz) = {sum}\n"),
            format!("{}\n", sum.to_uppercase()),
        ] {
            assert_eq!(sum_of(&text, "x.tgz").as_deref(), Some(sum), "{text}");
        }
        for text in [String::new(), format!("{sum}  y.tgz\n"), format!("{sum}\n{other}\n"), "abc  x.tgz\n".to_owned()] {
            assert_eq!(sum_of(&text, "x.tgz"), None, "{text}");
        }
    }
}
