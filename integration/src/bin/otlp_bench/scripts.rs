//! What scripts cost: nothing where none applies, and how much where one edits every item.

use std::{fs, path::Path};

/// Which items the gateway has a script for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scripts {
    /// None, as log records are not sent.
    OtherCategory,
    /// None, as nothing that is sent has this name.
    OtherName,
    /// Every one.
    Every,
}

/// Sets a tag on a condition, sets three more, computes one, changes one and removes one.
const FIVE_EDITS: &str = r#"
if starts_with(.name, "GET") { .tags.method = "get" } else { .tags.method = "other" }
.tags.country = "Nowhere"
.tags.province = "Nowhere"
.tags.city = "Nowhere"
.tags.length = to_string(length(.name))
.tags."attribute.0" = upcase(to_string(.tags."attribute.0"))
del(.tags."attribute.key.0")
"#;

impl Scripts {
    /// As it stands in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OtherCategory => "a script for another category",
            Self::OtherName => "a script for another name",
            Self::Every => "five edits of every item",
        }
    }

    /// Puts them into `folder`.
    pub(crate) fn write(self, folder: &Path) -> anyhow::Result<()> {
        let files: &[&str] = match self {
            Self::OtherCategory => &["logging/default.vrl"],
            Self::OtherName => &["tracing/other.vrl", "metric/other.vrl"],
            Self::Every => &["tracing/default.vrl", "metric/default.vrl"],
        };
        for file in files {
            let file = folder.join(file);
            if let Some(category) = file.parent() {
                fs::create_dir_all(category)?;
            }
            fs::write(file, FIVE_EDITS)?;
        }
        Ok(())
    }
}
