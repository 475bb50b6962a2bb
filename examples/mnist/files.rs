//! Files that are whole or not there.

use std::{fmt::Display, path::Path};

/// Lets `write` fill a file beside `path`, which then takes its place: no half of it is ever seen.
pub fn write_whole<E: Display>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), String> {
    let failed = |error: &dyn Display| format!("{}: {error}", path.display());
    let name = path.file_name().unwrap_or_default().display();
    let unfinished = path.with_file_name(format!("unfinished-{name}"));
    write(&unfinished).map_err(|error| failed(&error))?;
    std::fs::rename(&unfinished, path).map_err(|error| failed(&error))
}
