//! The digits, and where they come from.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

pub const SIDE: usize = 28;
pub const CLASSES: usize = 10;

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

#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Digit {
    pub pixels: [u8; SIDE * SIDE],
    pub label: u8,
}

/// A pixel as a number of mean 0 and variance 1 over all of MNIST.
pub fn normalize(pixel: u8) -> f32 {
    const MEAN: f32 = 0.1307;
    const DEVIATION: f32 = 0.3081;
    (f32::from(pixel) / 255.0 - MEAN) / DEVIATION
}

#[derive(Clone, Debug)]
pub struct Digits {
    pub train: Vec<Digit>,
    pub test: Vec<Digit>,
}

impl Digits {
    pub fn load(data: &Data) -> Result<Self, String> {
        match data {
            Data::Embedded => Self::embedded(),
            Data::Folder(folder) => Ok(Self {
                train: from_folder(folder, "train")?,
                test: from_folder(folder, "t10k")?,
            }),
        }
    }

    fn embedded() -> Result<Self, String> {
        macro_rules! file {
            ($name:literal) => {
                File {
                    name: $name.into(),
                    bytes: unpack($name, include_bytes!(concat!("data/", $name)))?,
                }
            };
        }
        Ok(Self {
            train: digits(
                &file!("train-images-idx3-ubyte.gz"),
                &file!("train-labels-idx1-ubyte.gz"),
            )?,
            test: digits(
                &file!("t10k-images-idx3-ubyte.gz"),
                &file!("t10k-labels-idx1-ubyte.gz"),
            )?,
        })
    }
}

/// An unpacked IDX file, and what to call it in an error.
struct File {
    name: String,
    bytes: Vec<u8>,
}

fn from_folder(folder: &Path, split: &str) -> Result<Vec<Digit>, String> {
    let file = |kind: &str| {
        let plain = folder.join(format!("{split}-{kind}-ubyte"));
        let packed = folder.join(format!("{split}-{kind}-ubyte.gz"));
        let path = [&plain, &packed].into_iter().find(|path| path.exists());
        let path = path.ok_or(format!(
            "{}: not there, with or without .gz",
            plain.display()
        ))?;
        let name = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| format!("{name}: {error}"))?;
        Ok::<_, String>(File {
            bytes: unpack(&name, &bytes)?,
            name,
        })
    };
    digits(&file("images-idx3")?, &file("labels-idx1")?)
}

fn unpack(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes.to_vec());
    }
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(bytes).read_to_end(&mut unpacked);
    read.map_err(|error| format!("{name}: damaged gzip: {error}"))?;
    Ok(unpacked)
}

fn digits(images: &File, labels: &File) -> Result<Vec<Digit>, String> {
    let (image_sizes, pixels) = idx::<3>(images)?;
    let ([label_count], label_bytes) = idx::<1>(labels)?;
    let [count, height, width] = image_sizes;
    if (height, width) != (SIDE, SIDE) {
        return Err(format!(
            "{}: images of {height} × {width}, not 28 × 28",
            images.name
        ));
    }
    if count != label_count {
        return Err(format!(
            "{} has {count} images, but {} has {label_count} labels",
            images.name, labels.name
        ));
    }
    if count == 0 {
        return Err(format!("{}: no images", images.name));
    }
    let (images, _) = pixels.as_chunks();
    let digits = images.iter().zip(label_bytes).map(|(pixels, &label)| {
        if usize::from(label) < CLASSES {
            Ok(Digit {
                pixels: *pixels,
                label,
            })
        } else {
            Err(format!(
                "{}: a label of {label}, not of 0 to 9",
                labels.name
            ))
        }
    });
    digits.collect()
}

/// The sizes and the data of an IDX file of bytes with `D` dimensions.
fn idx<const D: usize>(file: &File) -> Result<([usize; D], &[u8]), String> {
    let name = &file.name;
    let magic = 0x0800 + D as u32;
    let (words, _) = file.bytes.as_chunks::<4>();
    let found = words.first().copied().map(u32::from_be_bytes);
    if found != Some(magic) {
        let found = found.map_or("nothing".into(), |found| format!("{found:#010x}"));
        return Err(format!(
            "{name}: starts with {found}, not with {magic:#010x}"
        ));
    }
    let Some(sizes) = words.get(1..=D) else {
        return Err(format!("{name}: truncated in its header"));
    };
    let sizes: [usize; D] = core::array::from_fn(|d| u32::from_be_bytes(sizes[d]) as usize);
    let data = &file.bytes[4 * (D + 1)..];
    let expected = sizes
        .iter()
        .try_fold(1usize, |product, size| product.checked_mul(*size));
    if expected != Some(data.len()) {
        let expected = expected.map_or("too many".into(), |expected| expected.to_string());
        return Err(format!(
            "{name}: {} bytes of data, but its header says {expected}",
            data.len()
        ));
    }
    Ok((sizes, data))
}

/// The value of `f`, or, where it panics, one line that says of what.
pub fn without_panicking<T>(of: &str, f: impl FnOnce() -> T) -> Result<T, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    std::panic::set_hook(hook);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("{of}: {}", text.unwrap_or("failed"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, header: &[u32], data: &[u8]) -> File {
        let header = header.iter().flat_map(|word| word.to_be_bytes());
        File {
            name: name.into(),
            bytes: header.chain(data.iter().copied()).collect(),
        }
    }

    fn images(count: u32, data: usize) -> File {
        file("images", &[0x803, count, 28, 28], &vec![7; data])
    }

    fn labels(count: u32, data: &[u8]) -> File {
        file("labels", &[0x801, count], data)
    }

    #[test]
    fn the_embedded_subset_is_whole() {
        let digits = Digits::embedded().unwrap();
        assert_eq!((digits.train.len(), digits.test.len()), (10_000, 2_000));
        for label in 0..10 {
            assert!(
                digits
                    .test
                    .iter()
                    .filter(|digit| digit.label == label)
                    .count()
                    > 150
            );
        }
    }

    #[test]
    fn damage_is_named() {
        let good = || (images(2, 2 * 784), labels(2, &[1, 9]));
        let read = |images: File, labels: File| digits(&images, &labels).map(|digits| digits.len());
        assert_eq!(read(good().0, good().1), Ok(2));

        let error = |images, labels| read(images, labels).unwrap_err();
        let wrong = file("images", &[0x801, 2], &[0, 0]);
        assert_eq!(
            error(wrong, good().1),
            "images: starts with 0x00000801, not with 0x00000803"
        );
        let empty = file("labels", &[], &[]);
        assert_eq!(
            error(good().0, empty),
            "labels: starts with nothing, not with 0x00000801"
        );
        let cut = file("images", &[0x803, 2], &[]);
        assert_eq!(error(cut, good().1), "images: truncated in its header");
        let cut = images(2, 1000);
        assert_eq!(
            error(cut, good().1),
            "images: 1000 bytes of data, but its header says 1568"
        );
        let large = file("images", &[0x803, u32::MAX, u32::MAX, u32::MAX], &[]);
        assert_eq!(
            error(large, good().1),
            "images: 0 bytes of data, but its header says too many"
        );
        let other = labels(3, &[1, 2, 3]);
        assert_eq!(
            error(good().0, other),
            "images has 2 images, but labels has 3 labels"
        );
        let other = labels(2, &[1, 10]);
        assert_eq!(
            error(good().0, other),
            "labels: a label of 10, not of 0 to 9"
        );
        let small = file("images", &[0x803, 2, 1, 1], &[0, 0]);
        assert_eq!(
            error(small, good().1),
            "images: images of 1 × 1, not 28 × 28"
        );
        assert_eq!(error(images(0, 0), labels(0, &[])), "images: no images");
        let error = unpack("packed", &[0x1f, 0x8b, 8, 0, 1]).unwrap_err();
        assert!(error.starts_with("packed: damaged gzip"), "{error}");
    }
}
