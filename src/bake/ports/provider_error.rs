//! Why a request to the provider failed. To tell one more kind apart: a variant here, and who decides by it.

use std::fmt;

/// What kind of failure of a request this is: it decides what the machine does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderErrorKind {
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 422 because another event holds the resource: wait, then ask again.
    Pending,
    /// Another 4xx: asking again gives the same.
    Refused,
    /// 429, after all retries.
    RateLimited,
    /// The request was never sent: no connection.
    Unreachable,
    /// 5xx, no answer, or an answer that cannot be read: the request may have taken effect.
    Unanswered,
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ProviderError {
    /// What kind.
    pub kind: ProviderErrorKind,
    /// Method and path.
    pub request: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// The provider's name for the request, for its support.
    pub request_id: Option<String>,
    /// What went wrong, in a sentence.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// How many seconds the provider asked to be left alone, where it did.
    pub retry_after: Option<u32>,
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.request)?;
        if let Some(status) = self.status {
            write!(f, "{status}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl ProviderError {
    /// Whether it may go away by itself.
    pub fn is_transient(&self) -> bool {
        use ProviderErrorKind as K;
        matches!(self.kind, K::Pending | K::RateLimited | K::Unreachable | K::Unanswered)
    }

    /// What to do about it: the provider's own advice, or what helps with its kind.
    pub fn help(&self) -> Option<String> {
        self.advice.clone().or_else(|| match self.kind {
            ProviderErrorKind::Unreachable => Some("check the network, and that --api-url is right".to_owned()),
            ProviderErrorKind::Unanswered | ProviderErrorKind::RateLimited => {
                Some("try again later; https://status.digitalocean.com says how the service is".to_owned())
            }
            _ => None,
        })
    }

    /// Whether the request may have taken effect all the same.
    pub fn is_ambiguous(&self) -> bool {
        self.kind == ProviderErrorKind::Unanswered
    }
}
