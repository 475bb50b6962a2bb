//! A copy of a strided view into memory of its own, in order: what a transposed gradient needs
//! before it can be passed over like the rest.

use std::mem::MaybeUninit;

use super::threads::{THREADS_PAY_FROM, share, threads};

/// One dimension of a view: its length, and how far apart its elements are in memory.
type Dimension = (usize, isize);

/// The rows and columns of a tile, which fits the innermost cache.
const ROWS: usize = 64;
const COLUMNS: usize = 64;

/// The elements of a view into `memory`, the last dimension's next to one another.
///
/// # Panics
///
/// Panics where the view reaches out of the memory, or a dimension has no stride.
#[allow(
    unsafe_code,
    reason = "to set the copy to zero first, on one thread, took a fifth of its time"
)]
pub(super) fn contiguous<E: Copy + Send + Sync>(
    memory: &[E],
    shape: &[usize],
    strides: &[isize],
    offset: usize,
) -> Vec<E> {
    assert_eq!(shape.len(), strides.len(), "each dimension has a stride");
    let count = shape.iter().product();
    let mut copy = Vec::with_capacity(count);
    fill(
        &mut copy.spare_capacity_mut()[..count],
        memory,
        shape,
        strides,
        offset,
    );
    // SAFETY: so many elements fit, and `fill` returns once it has written each of them, since every
    // dimension has its stride.
    unsafe { copy.set_len(count) };
    copy
}

/// Writes every element of the copy.
fn fill<E: Copy + Send + Sync>(
    copy: &mut [MaybeUninit<E>],
    memory: &[E],
    shape: &[usize],
    strides: &[isize],
    offset: usize,
) {
    let count = copy.len();
    if count == 0 {
        return;
    }
    let dimensions = merged(shape, strides);
    let Some((&(length, stride), inner)) = dimensions.split_first() else {
        copy[0].write(memory[offset]);
        return;
    };
    let row = inner.iter().map(|(length, _)| length).product::<usize>();
    let step = match inner {
        [_] => ROWS,
        _ => (ROWS * COLUMNS / row).clamp(1, length),
    };
    let size = step * row;
    let blocks = copy.chunks_mut(size).zip((0..length).step_by(step));
    let threads = if count < THREADS_PAY_FROM {
        1
    } else {
        threads(length.div_ceil(step))
    };
    share(blocks, threads, |(block, first)| {
        let rows = (step.min(length - first), stride);
        let start = offset as isize + first as isize * stride;
        copy_block(block, memory, start, rows, inner);
    });
}

/// Without dimensions of one element, and with neighbours that lie in memory as one taken together.
fn merged(shape: &[usize], strides: &[isize]) -> Vec<Dimension> {
    let mut merged: Vec<Dimension> = Vec::with_capacity(shape.len());
    for (&length, &stride) in shape
        .iter()
        .zip(strides)
        .filter(|(length, _)| **length != 1)
    {
        match merged.last_mut() {
            Some(outer) if outer.1 == stride * length as isize => {
                *outer = (outer.0 * length, stride);
            }
            _ => merged.push((length, stride)),
        }
    }
    merged
}

fn copy_block<E: Copy>(
    block: &mut [MaybeUninit<E>],
    memory: &[E],
    start: isize,
    (length, stride): Dimension,
    inner: &[Dimension],
) {
    let at = |row: usize| start + row as isize * stride;
    match *inner {
        [] => copy_column(block, memory, start, stride),
        [(columns, 1)] => {
            for (row, copy) in block.chunks_exact_mut(columns).enumerate() {
                let from = at(row) as usize;
                copy.write_copy_of_slice(&memory[from..from + columns]);
            }
        }
        // Tile by tile, through a buffer: where rows are a power of two apart, the lines of the
        // cache that are read and those that are written would drive each other out.
        [(columns, apart)] => {
            let mut tile = [MaybeUninit::new(memory[start as usize]); ROWS * COLUMNS];
            for (top, block) in (0..).step_by(ROWS).zip(block.chunks_mut(ROWS * columns)) {
                let height = block.len() / columns;
                for left in (0..columns).step_by(COLUMNS) {
                    let width = COLUMNS.min(columns - left);
                    for (column, tile) in tile.chunks_mut(ROWS).enumerate().take(width) {
                        let from = at(top) + (left + column) as isize * apart;
                        copy_column(&mut tile[..height], memory, from, stride);
                    }
                    for (row, copy) in block.chunks_mut(columns).enumerate() {
                        let turned = tile[row..].iter().step_by(ROWS);
                        for (copy, element) in copy[left..left + width].iter_mut().zip(turned) {
                            *copy = *element;
                        }
                    }
                }
            }
        }
        [next, ref rest @ ..] => {
            let size = block.len() / length;
            for (row, block) in block.chunks_exact_mut(size).enumerate() {
                copy_block(block, memory, at(row), next, rest);
            }
        }
    }
}

fn copy_column<E: Copy>(column: &mut [MaybeUninit<E>], memory: &[E], start: isize, stride: isize) {
    if stride == 1 {
        let start = start as usize;
        column.write_copy_of_slice(&memory[start..start + column.len()]);
        return;
    }
    for (row, element) in column.iter_mut().enumerate() {
        element.write(memory[(start + row as isize * stride) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Element by element, by the definition of a stride.
    fn expected(shape: &[usize], strides: &[isize], offset: usize) -> Vec<usize> {
        let Some((&length, inner)) = shape.split_first() else {
            return vec![offset];
        };
        let from = |i: usize| (offset as isize + i as isize * strides[0]) as usize;
        (0..length)
            .flat_map(|i| expected(inner, &strides[1..], from(i)))
            .collect()
    }

    #[test]
    fn views_of_all_kinds_come_out_in_order() {
        let memory: Vec<usize> = (0..400_000).collect();
        let views: [(&[usize], &[isize], usize); 17] = [
            (&[], &[], 7),
            (&[0, 5], &[5, 1], 0),
            (&[1, 1], &[9, 9], 3),
            (&[6], &[-2], 11),
            (&[5, 7], &[7, 1], 2),
            (&[5, 7], &[1, 5], 0),
            (&[37, 53], &[1, 37], 1),
            (&[501, 703], &[1, 501], 4),
            (&[4, 6], &[0, 1], 5),
            (&[4, 6], &[1, 0], 5),
            (&[4, 6], &[-6, -1], 23),
            (&[3, 17, 20], &[340, 1, 17], 0),
            (&[2, 150, 70], &[10_500, 1, 150], 3),
            (&[2, 3, 4, 5], &[1, 2, 30, 6], 10),
            (&[90_000], &[-3], 299_999),
            (&[300, 300], &[0, 0], 8),
            (&[20_000, 3, 3], &[1, 60_000, 20_000], 5),
        ];
        for (shape, strides, offset) in views {
            let actual = contiguous(&memory, shape, strides, offset);
            assert!(
                actual == expected(shape, strides, offset),
                "{shape:?} {strides:?}"
            );
        }
    }
}
