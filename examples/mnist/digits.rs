//! The digits of MNIST, out of its four IDX files.

use std::error::Error;
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

pub struct Digits {
    pub train: Vec<Digit>,
    pub test: Vec<Digit>,
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

impl Digits {
    pub fn load(data: &Data) -> Result<Self, String> {
        macro_rules! file {
            ($name:literal, $shape:expr) => {
                read(
                    data,
                    $name,
                    include_bytes!(concat!("data/", $name, ".gz")),
                    $shape,
                )
                .map_err(|error| format!("{}: {error}", $name))?
            };
        }
        macro_rules! split {
            ($images:literal, $labels:literal) => {{
                let (images, labels) = (file!($images, &[SIDE, SIDE]), file!($labels, &[]));
                if images.len() != labels.len() || labels.iter().any(|&[label]| label > 9) {
                    return Err(format!("{}: not a digit for each image", $labels));
                }
                let digit = |(pixels, [label]): (_, [u8; 1])| Digit { pixels, label };
                images.into_iter().zip(labels).map(digit).collect()
            }};
        }
        Ok(Self {
            train: split!("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
            test: split!("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        })
    }
}

/// The items of an IDX file of bytes. Its header must be that of as many as there are.
fn read<const N: usize>(
    data: &Data,
    name: &str,
    embedded: &[u8],
    shape: &[usize],
) -> Result<Vec<[u8; N]>, Box<dyn Error>> {
    let mut bytes = match data {
        Data::Embedded => embedded.to_vec(),
        Data::Folder(folder) => std::fs::read(folder.join(name))
            .or_else(|_| std::fs::read(folder.join(format!("{name}.gz"))))?,
    };
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let packed = std::mem::take(&mut bytes);
        GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes)?;
    }
    let (items, rest) = bytes
        .get(4 * (2 + shape.len())..)
        .unwrap_or_default()
        .as_chunks();
    let header = [&[0x0801 + shape.len(), items.len()], shape].concat();
    let header: Vec<u8> = header
        .iter()
        .flat_map(|&word| (word as u32).to_be_bytes())
        .collect();
    if items.is_empty() || !rest.is_empty() || !bytes.starts_with(&header) {
        return Err(format!("damaged, or not an IDX file of bytes of shape {shape:?}").into());
    }
    Ok(items.to_vec())
}
