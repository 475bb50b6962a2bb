//! Files that are whole or not there.

use std::fmt::Display;
use std::path::Path;

/// Lets `write` fill a file beside `path`, which then takes its place: no half of it is ever seen.
pub fn write_whole<E: Display>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().display();
    let unfinished = path.with_file_name(format!("unfinished-{name}"));
    let written = write(&unfinished).map_err(|error| error.to_string());
    let moved = written
        .and_then(|()| std::fs::rename(&unfinished, path).map_err(|error| error.to_string()));
    moved.map_err(|error| format!("{}: {error}", path.display()))
}
