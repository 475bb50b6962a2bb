//! The digits of MNIST, out of its four gzipped IDX files.

use std::{fs, io::Read, path::PathBuf};

use flate2::read::GzDecoder;

pub const SIDE: usize = 28;
pub const CLASSES: usize = 10;

/// Where the files are: "embedded", a subset of MNIST in the program itself, or a folder.
pub type Data = PathBuf;

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
        macro_rules! digits {
            ($images:literal, $labels:literal) => {{
                let images = items(data, $images, include_bytes!(concat!("data/", $images)))?;
                let labels = items(data, $labels, include_bytes!(concat!("data/", $labels)))?;
                let digit = |(pixels, [label]): (_, [u8; 1])| Digit { pixels, label };
                images.into_iter().zip(labels).map(digit).collect()
            }};
        }
        Ok(Self {
            train: digits!("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
            test: digits!("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        })
    }
}

/// What is in a gzipped IDX file: items of `N` bytes, either images or labels of one byte.
fn items<const N: usize>(data: &Data, name: &str, embedded: &[u8]) -> Result<Vec<[u8; N]>, String> {
    let packed = match data.to_str() {
        Some("embedded") => Ok(embedded.to_vec()),
        _ => fs::read(data.join(name)),
    };
    let mut bytes = Vec::new();
    let unpacked = packed.and_then(|packed| GzDecoder::new(&*packed).read_to_end(&mut bytes));
    unpacked.map_err(|error| format!("--data: {name}: {error}"))?;
    let dimensions = if N == 1 { 1 } else { 3 };
    let contents = bytes.get(4 + 4 * dimensions..).unwrap_or_default();
    let (items, rest) = contents.as_chunks();
    let header = [0x800 + dimensions, items.len()].map(|number| (number as u32).to_be_bytes());
    if items.is_empty() || !rest.is_empty() || !bytes.starts_with(header.as_flattened()) {
        return Err(format!("--data: {name}: damaged"));
    }
    Ok(items.to_vec())
}

#[cfg(test)]
#[test]
fn a_damaged_file_is_named() {
    let file = include_bytes!("data/t10k-labels-idx1-ubyte.gz");
    let labels = |file| items::<1>(&"embedded".into(), "labels", file);
    assert!(labels(file).is_ok_and(|labels| labels.len() == 2000));
    assert!(labels(&file[..99]).is_err_and(|error| error.starts_with("--data: labels: ")));
}
