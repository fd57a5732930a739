//! What costs money and is still there. To leave one more kind of thing: a variant here, and who removes it (`leftovers`).

use serde::{Deserialize, Serialize};

/// Something that costs money and is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Left {
    /// A droplet.
    Droplet {
        /// Its number.
        id: u64,
        /// Why it is still there.
        why: String,
    },
    /// A snapshot.
    Snapshot {
        /// Its id.
        id: String,
        /// Why it is still there.
        why: String,
    },
    /// Something with the bake's tag may be there: it could not be looked up.
    Unknown {
        /// The tag to look for.
        tag: String,
        /// Why it is not known.
        why: String,
    },
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Droplet { id, why } => write!(f, "droplet {id} ({why})"),
            Self::Snapshot { id, why } => write!(f, "snapshot {id} ({why})"),
            Self::Unknown { tag, why } => write!(f, "possibly something tagged {tag} ({why})"),
        }
    }
}
