//! The memory traffic of a step, and next to no arithmetic.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::common::Shapes;

const CHUNK: usize = 1 << 14;

/// Reads what a step reads and writes what it writes, as many bytes for each parameter.
pub struct Additions {
    theta: Vec<Vec<f32>>,
    gradient: Vec<Vec<f32>>,
    fresh_gradient: Vec<Vec<f32>>,
    moment_1: Vec<Vec<f32>>,
    moment_2: Vec<Vec<f32>>,
    threaded: bool,
}

impl Additions {
    pub fn new(shapes: &Shapes) -> Self {
        let tensors = || -> Vec<Vec<f32>> {
            let lengths = shapes.all().map(|shape| shape.iter().product());
            lengths.map(|length| vec![1.0; length]).collect()
        };
        Self {
            theta: tensors(),
            gradient: tensors(),
            fresh_gradient: tensors(),
            moment_1: tensors(),
            moment_2: tensors(),
            threaded: shapes.parameters() > 8 * CHUNK,
        }
    }

    pub fn pass(&mut self) -> Duration {
        for (gradient, fresh) in self.gradient.iter_mut().zip(&self.fresh_gradient) {
            gradient.copy_from_slice(fresh);
        }
        let start = Instant::now();
        let tensors = self.theta.iter().zip(&mut self.gradient);
        let tensors = tensors.zip(self.moment_1.iter_mut().zip(&mut self.moment_2));
        let chunks: Vec<_> = tensors
            .flat_map(|((theta, gradient), (moment_1, moment_2))| {
                let read = theta.chunks(CHUNK).zip(gradient.chunks_mut(CHUNK));
                let moments = moment_1.chunks_mut(CHUNK).zip(moment_2.chunks_mut(CHUNK));
                read.zip(moments)
                    .map(|((theta, gradient), (moment_1, moment_2))| Chunk {
                        theta,
                        gradient,
                        moment_1,
                        moment_2,
                    })
            })
            .collect();
        // All tensors at once: no thread waits between two of them, as an optimizer's must.
        if self.threaded {
            chunks.into_par_iter().for_each(Chunk::pass);
        } else {
            chunks.into_iter().for_each(Chunk::pass);
        }
        start.elapsed()
    }
}

struct Chunk<'a> {
    theta: &'a [f32],
    gradient: &'a mut [f32],
    moment_1: &'a mut [f32],
    moment_2: &'a mut [f32],
}

impl Chunk<'_> {
    fn pass(self) {
        let moments = self.moment_1.iter_mut().zip(self.moment_2);
        for ((theta, g), (m, v)) in self.theta.iter().zip(self.gradient).zip(moments) {
            *g += theta;
            *m += 1.0;
            *v += 1.0;
        }
    }
}
