//! Files that are whole or not there.

use std::fs;
use std::path::Path;

/// Lets `write` fill a file beside `path`, which then takes its place: no half of it is ever seen.
pub fn write_whole<E: core::fmt::Display>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), String> {
    let failed = |error: String| format!("{}: {error}", path.display());
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let unfinished = path.with_file_name(format!(".{name}"));
    let unfinished = unfinished.with_extension(path.extension().unwrap_or_default());
    write(&unfinished).map_err(|error| failed(error.to_string()))?;
    fs::rename(&unfinished, path).map_err(|error| failed(error.to_string()))
}
