//! The causes of an error, for messages.

use std::error::Error;

/// The causes of an error, outermost first. Includes the error inside an I/O error, which does not
/// report it as its source.
pub(crate) fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(cause_of(&error), cause_of)
}

fn cause_of<'e>(error: &&'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let error: &'e (dyn Error + 'static) = *error;
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

/// Appends the causes of an error to a text that describes it. Skips a cause that the text already
/// contains, because some errors repeat their cause.
pub(crate) fn with_causes(mut text: String, error: &(dyn Error + 'static)) -> String {
    for cause in causes(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<dyn Error + Send + Sync>>);

    #[test]
    fn causes_are_named_once_each() {
        let inner = Layer("no route", None);
        let middle = io::Error::other(Layer("connect failed: no route", Some(inner.into())));
        let outer = Layer("request failed", Some(middle.into()));
        assert_eq!(with_causes(outer.to_string(), &outer), "request failed: connect failed: no route");
        assert_eq!(with_causes(String::new(), &outer), "connect failed: no route");
        assert_eq!(causes(&outer).last().map(ToString::to_string).as_deref(), Some("no route"));
    }
}
