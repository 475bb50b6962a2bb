//! The digits of MNIST, out of its four IDX files.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

pub const SIDE: usize = 28;
pub const CLASSES: usize = 10;

/// Where the files are: a subset of MNIST in the program itself, or all of it in a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    Embedded,
    Folder(PathBuf),
}

impl From<&str> for Data {
    fn from(name: &str) -> Self {
        match name {
            "embedded" => Self::Embedded,
            folder => Self::Folder(folder.into()),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Digit {
    pub pixels: [u8; SIDE * SIDE],
    pub label: u8,
}

/// A pixel as a number of mean 0 and variance 1 over all of MNIST.
pub fn normalize(pixel: u8) -> f32 {
    (f32::from(pixel) / 255.0 - 0.1307) / 0.3081
}

#[derive(Debug, Clone)]
pub struct Digits {
    pub train: Vec<Digit>,
    pub test: Vec<Digit>,
}

impl Digits {
    pub fn load(data: &Data) -> Result<Self, String> {
        macro_rules! file {
            ($name:literal) => {{
                let embedded = include_bytes!(concat!("data/", $name, ".gz"));
                read(data, $name, embedded)?
            }};
        }
        let images = file!("train-images-idx3-ubyte");
        let train = digits(images, file!("train-labels-idx1-ubyte"))?;
        let images = file!("t10k-images-idx3-ubyte");
        let test = digits(images, file!("t10k-labels-idx1-ubyte"))?;
        Ok(Self { train, test })
    }
}

/// A file's name, and its contents.
type File<'a> = (&'a str, Vec<u8>);

fn read<'a>(data: &Data, name: &'a str, embedded: &[u8]) -> Result<File<'a>, String> {
    let failed = |error| format!("--data: {name}: {error}");
    let bytes = match data {
        Data::Embedded => embedded.to_vec(),
        Data::Folder(folder) => fs::read(folder.join(name))
            .or_else(|_| fs::read(folder.join(name).with_extension("gz")))
            .map_err(failed)?,
    };
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok((name, bytes));
    }
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked);
    read.map_err(failed).map(|_| (name, unpacked))
}

/// What is in two IDX files, after headers that say how much it is.
fn digits(images: File, labels: File) -> Result<Vec<Digit>, String> {
    let count = labels.1.len().saturating_sub(8);
    let damaged = |name| format!("--data: {name}: damaged, or not for {count} digits");
    let header = |sizes: &[usize]| {
        let bytes = sizes.iter().map(|&size| (size as u32).to_be_bytes());
        bytes.flatten().collect::<Vec<_>>()
    };
    let classes = labels.1.strip_prefix(&*header(&[0x801, count]));
    let classes = classes.filter(|classes| count > 0 && classes.iter().all(|&class| class < 10));
    let classes = classes.ok_or_else(|| damaged(labels.0))?;
    let pixels = images.1.strip_prefix(&*header(&[0x803, count, SIDE, SIDE]));
    let pixels = pixels.filter(|pixels| pixels.len() == count * SIDE * SIDE);
    let (pixels, _) = pixels.ok_or_else(|| damaged(images.0))?.as_chunks();
    let digit = |(&pixels, &label)| Digit { pixels, label };
    Ok(pixels.iter().zip(classes).map(digit).collect())
}

#[cfg(test)]
#[test]
fn a_damaged_file_is_named() {
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28];
    images.extend([7; SIDE * SIDE]);
    let read = |cut: usize, label: u8| {
        let labels = vec![0, 0, 8, 1, 0, 0, 0, 1, label];
        digits(("images", images[cut..].to_vec()), ("labels", labels)).map(|digits| digits.len())
    };
    assert_eq!(read(0, 9), Ok(1));
    assert!(read(0, 10).is_err_and(|error| error.contains("labels: damaged")));
    assert!(read(1, 9).is_err_and(|error| error.contains("images: damaged")));
}
