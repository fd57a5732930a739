//! Reads the texts that people write for mkimg: templates, values, locks, documents.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::tree::reason;

/// Hundreds of times what a document may have; beyond it something else was named by mistake, such as a disk's image.
const MOST: u64 = 16 << 20;

/// Why a text cannot be read. The file is named by whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("it does not exist")]
    Missing,
    #[error("{0}")]
    Unreadable(String),
    #[error("it is larger than {} MiB", MOST >> 20)]
    TooLarge,
    #[error("byte {at} is not UTF-8")]
    NotUtf8 { at: usize },
}

/// Reads a text, and no more of it than a text can have: the file may be a device without an end.
pub fn read_text(path: &Path) -> Result<String, TextError> {
    File::open(path).map_err(|error| unreadable(&error)).and_then(read)
}

/// The same of standard input.
pub fn read_standard_input() -> Result<String, TextError> {
    read(std::io::stdin().lock())
}

fn read(from: impl Read) -> Result<String, TextError> {
    let mut bytes = Vec::new();
    from.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > MOST {
        return Err(TextError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| TextError::NotUtf8 { at: error.utf8_error().valid_up_to() })
}

fn unreadable(error: &std::io::Error) -> TextError {
    match error.kind() {
        std::io::ErrorKind::NotFound => TextError::Missing,
        _ => TextError::Unreadable(reason(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_not_read_to_it() {
        assert_eq!(read_text(Path::new("/dev/zero")), Err(TextError::TooLarge));
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert_eq!(read_text(file.path()), Err(TextError::TooLarge));
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(read_text(file.path()), Ok(String::new()));
        std::fs::write(file.path(), b"a\xffb").unwrap();
        assert_eq!(read_text(file.path()), Err(TextError::NotUtf8 { at: 1 }));
        assert_eq!(
            read_text(&file.path().join("x")),
            Err(TextError::Unreadable("Not a directory (os error 20)".into()))
        );
        assert_eq!(read_text(Path::new("/no/such/file")), Err(TextError::Missing));
    }
}
