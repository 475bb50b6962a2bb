//! Numbers to step with.

/// `count` numbers of mean 0 and variance 1, each a multiple of 2⁻²⁰ between -3 and 3, exact in
/// f32. tests/fixtures/noise.py makes the same ones.
pub fn noise(seed: u64, step: u64, count: usize) -> Vec<f64> {
    let field = |bits: u64| (bits & ((1 << 21) - 1)) as f64;
    let number = |z: u64| {
        let sum = field(z) + field(z >> 21) + field(z >> 42);
        sum / f64::from(1 << 20) - 3.0
    };
    (0..count as u64)
        .map(|i| number(mix((seed << 48) + (step << 32) + i)))
        .collect()
}

/// `count` normally distributed numbers.
pub fn normal(seed: u64, step: u64, count: usize) -> Vec<f32> {
    let uniform = |z: u64| ((z >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let number = |i: u64| {
        let z = mix((seed << 48) + (step << 32) + i);
        let radius = (-2.0 * uniform(z).ln()).sqrt();
        (radius * (core::f64::consts::TAU * uniform(mix(z))).cos()) as f32
    };
    (0..count as u64).map(number).collect()
}

/// A number that looks random, the same for the same pair.
pub fn hash(one: u64, other: u64) -> u64 {
    mix((one << 32) + other)
}

/// SplitMix64.
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// [`normal`] numbers of the steps up to the last one, for runs that share them: they take longer to
/// make than a step.
pub fn normals(seed: u64, last: u64, count: usize) -> Vec<Vec<f32>> {
    (0..=last).map(|step| normal(seed, step, count)).collect()
}

pub fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// The root of the mean squared difference.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
