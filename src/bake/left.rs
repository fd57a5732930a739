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

impl Left {
    /// What it is, without why it is still there.
    pub fn name(&self) -> String {
        match self {
            Self::Droplet { id, .. } => format!("droplet {id}"),
            Self::Snapshot { id, .. } => format!("snapshot {id}"),
            Self::Unknown { tag, .. } => format!("possibly something tagged {tag}"),
        }
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Droplet { why, .. } | Self::Snapshot { why, .. } | Self::Unknown { why, .. }) = self;
        write!(f, "{} ({why})", self.name())
    }
}
