//! Checkpoints with a checksum beside each file: Burn's format has none, and loads what a failing disk
//! made of it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use burn::train::checkpoint::{Checkpoint, Checkpointer, CheckpointerError};
use flate2::Crc;

use crate::files::write_whole;

/// What a checkpoint consists of.
pub const RECORDS: [&str; 3] = ["model", "optim", "scheduler"];

/// The records of one name, one an epoch.
pub struct Checkpoints {
    folder: PathBuf,
    name: &'static str,
}

impl Checkpoints {
    pub fn all(run: &Path) -> [Self; 3] {
        let folder = run.join("checkpoint");
        RECORDS.map(|name| Self {
            folder: folder.clone(),
            name,
        })
    }

    fn file(&self, epoch: usize, kind: &str) -> PathBuf {
        self.folder.join(format!("{}-{epoch}.{kind}", self.name))
    }

    /// What was saved, or nothing where the program was stopped before all of it was.
    fn read(&self, epoch: usize) -> Result<Option<Vec<u8>>, String> {
        let read = |kind| {
            let file = self.file(epoch, kind);
            match fs::read(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(format!("{} is damaged: {error}", file.display())),
                Ok(bytes) => Ok(Some(bytes)),
            }
        };
        let (Some(record), Some(sum)) = (read("bpk")?, read("crc32")?) else {
            return Ok(None);
        };
        if sum != checksum(&record).as_bytes() {
            return Err(format!("{} is damaged", self.file(epoch, "bpk").display()));
        }
        Ok(Some(record))
    }
}

fn checksum(bytes: &[u8]) -> String {
    let mut crc = Crc::new();
    crc.update(bytes);
    format!("{:08x}", crc.sum())
}

impl<R: Checkpoint> Checkpointer<R> for Checkpoints {
    fn save(&self, epoch: usize, record: R) -> Result<(), CheckpointerError> {
        let bytes = record.checkpoint_into_bytes();
        let bytes = bytes.map_err(CheckpointerError::Record)?;
        fs::create_dir_all(&self.folder).map_err(CheckpointerError::IOError)?;
        let write = |kind, contents: &[u8]| {
            write_whole(&self.file(epoch, kind), |file| fs::write(file, contents))
        };
        write("bpk", &bytes)
            .and_then(|()| write("crc32", checksum(&bytes).as_bytes()))
            .map_err(CheckpointerError::Unknown)
    }

    fn delete(&self, epoch: usize) -> Result<(), CheckpointerError> {
        for kind in ["crc32", "bpk"] {
            match fs::remove_file(self.file(epoch, kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(CheckpointerError::IOError(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn restore(&self, epoch: usize) -> Result<R, CheckpointerError> {
        let bytes = self.read(epoch).map_err(CheckpointerError::Unknown)?;
        let missing = || CheckpointerError::Unknown(format!("{}-{epoch} is missing", self.name));
        let bytes = burn::tensor::Bytes::from_bytes_vec(bytes.ok_or_else(missing)?);
        R::checkpoint_from_bytes(bytes).map_err(CheckpointerError::Record)
    }
}

/// The last of the epochs whose checkpoint is as it was saved; 0 where the run was stopped before the
/// first was.
///
/// # Errors
///
/// There are checkpoints, and all are damaged.
pub fn last_whole(run: &Path, epochs: usize) -> Result<usize, String> {
    let mut damaged = None;
    for epoch in (1..=epochs).rev() {
        let records = Checkpoints::all(run);
        let records: Result<Vec<_>, _> = records.iter().map(|name| name.read(epoch)).collect();
        match records {
            Ok(records) if records.iter().all(Option::is_some) => return Ok(epoch),
            Ok(_) => {}
            Err(error) => {
                eprintln!("{error}");
                damaged.get_or_insert(error);
            }
        }
    }
    match damaged {
        Some(error) => Err(format!("--resume: no checkpoint is whole: {error}")),
        None => Ok(0),
    }
}
