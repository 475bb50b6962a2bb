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

pub struct Digits {
    pub train: Vec<Digit>,
    pub test: Vec<Digit>,
}

impl Digits {
    pub fn load(data: &Data) -> Result<Self, String> {
        macro_rules! read {
            ($name:literal) => {
                read(data, $name, include_bytes!(concat!("data/", $name, ".gz")))?
            };
        }
        let train = [
            read!("train-images-idx3-ubyte"),
            read!("train-labels-idx1-ubyte"),
        ];
        let test = [
            read!("t10k-images-idx3-ubyte"),
            read!("t10k-labels-idx1-ubyte"),
        ];
        let [train, test] = [digits(train)?, digits(test)?];
        Ok(Self { train, test })
    }
}

/// A file's name, and its contents, unpacked.
type File<'a> = (&'a str, Vec<u8>);

fn read<'a>(data: &Data, name: &'a str, embedded: &[u8]) -> Result<File<'a>, String> {
    let mut bytes = match data {
        Data::Embedded => Ok(embedded.to_vec()),
        Data::Folder(folder) => {
            fs::read(folder.join(name)).or_else(|_| fs::read(folder.join(format!("{name}.gz"))))
        }
    };
    if let Ok(packed) = &bytes
        && packed.starts_with(&[0x1f, 0x8b])
    {
        let mut unpacked = Vec::new();
        let read = GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked);
        bytes = read.map(|_| unpacked);
    }
    let bytes = bytes.map_err(|error| format!("{name}: {error}"))?;
    Ok((name, bytes))
}

/// What follows the headers of two IDX files, of images and of their labels.
fn digits([images, labels]: [File; 2]) -> Result<Vec<Digit>, String> {
    let count = labels.1.len().saturating_sub(8);
    let header = |sizes: &[usize]| -> Vec<u8> {
        sizes
            .iter()
            .flat_map(|&size| (size as u32).to_be_bytes())
            .collect()
    };
    let classes = labels.1.strip_prefix(&*header(&[0x801, count]));
    let classes = classes.filter(|labels| labels.iter().all(|&label| label < 10));
    let classes = classes.ok_or(format!(
        "{}: damaged, or not the labels of digits",
        labels.0
    ))?;
    let pixels = images.1.strip_prefix(&*header(&[0x803, count, SIDE, SIDE]));
    let pixels = pixels.filter(|pixels| pixels.len() == count * SIDE * SIDE);
    let pixels = pixels.ok_or(format!("{}: damaged, or not {count} images", images.0))?;
    let digit = |(&pixels, &label): (&_, _)| Digit { pixels, label };
    Ok(pixels
        .as_chunks()
        .0
        .iter()
        .zip(classes)
        .map(digit)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_named() {
        let images = || {
            (
                "images",
                [
                    &[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28][..],
                    &[7; 784],
                ]
                .concat(),
            )
        };
        let labels = |label| ("labels", vec![0, 0, 8, 1, 0, 0, 0, 1, label]);
        assert_eq!(digits([images(), labels(9)]).unwrap()[0].label, 9);
        let error = |files| digits(files).unwrap_err();
        assert!(error([images(), labels(10)]).starts_with("labels: damaged"));
        assert!(
            error([("images", images().1[1..].to_vec()), labels(9)]).starts_with("images: damaged")
        );
        let folder = Data::Folder(std::env::temp_dir());
        assert!(Digits::load(&folder).is_err_and(|error| error.starts_with("train-images")));
    }
}
