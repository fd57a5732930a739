//! What names may be, as the service's description of its API gives it.

use std::collections::BTreeSet;

use super::problem::Problem;

/// Characters that a droplet's name or a tag may have.
const LONGEST: usize = 255;

/// `^[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]$`, at most 255 characters.
pub(super) fn droplet(name: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    if name.is_empty() {
        Err(Problem::unprocessable("Name can't be blank"))
    } else if name.len() > LONGEST {
        Err(Problem::unprocessable("Name is too long (maximum is 255 characters)"))
    } else if !name.bytes().all(allowed) || !name.ends_with(|last: char| last.is_ascii_alphanumeric()) {
        Err(Problem::unprocessable("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)"))
    } else {
        Ok(())
    }
}

/// `^[a-zA-Z0-9_\-\:]+$`, at most 255 characters.
pub(super) fn tag(name: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte);
    if name.is_empty() {
        Err(Problem::unprocessable("Tag name can't be blank"))
    } else if name.len() > LONGEST {
        Err(Problem::unprocessable("Tag name is too long (maximum is 255 characters)"))
    } else if name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(Problem::unprocessable("Tag names may hold letters, numbers, colons, dashes and underscores only"))
    }
}

pub(super) fn tags(names: Vec<String>) -> Result<BTreeSet<String>, Problem> {
    for name in &names {
        tag(name)?;
    }
    Ok(names.into_iter().collect())
}

/// Names of snapshots and keys are free, but not empty, and one line.
pub(super) fn free(what: &str, name: &str) -> Result<(), Problem> {
    if name.trim().is_empty() {
        Err(Problem::unprocessable(format!("{what} can't be blank")))
    } else if name.chars().count() > LONGEST {
        Err(Problem::unprocessable(format!("{what} is too long (maximum is 255 characters)")))
    } else if name.chars().any(char::is_control) {
        Err(Problem::unprocessable(format!("{what} may not hold control characters")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn droplet_names_are_host_names() {
        for good in ["a", "web-1", "example.com", "9x", "-a", ".a", "A.B-c9"] {
            assert!(droplet(good).is_ok(), "{good}");
        }
        for bad in ["", "a-", "a.", "a_b", "ä", "a b", "a\n", &"a".repeat(256)] {
            assert!(droplet(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_have_colons_and_underscores() {
        for good in ["a", "mkimg:bake:x_1", "1-2"] {
            assert!(tag(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a.b", "ä", "a/b", &"a".repeat(256)] {
            assert!(tag(bad).is_err(), "{bad}");
        }
    }
}
