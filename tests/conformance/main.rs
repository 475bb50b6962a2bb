//! One suite over every form of the step on every backend that is compiled in.

mod config;
mod data;
mod drop_in;
mod fidelity;
mod forms;
mod kept;
mod properties;
mod reference;
mod theory;
mod truth;
