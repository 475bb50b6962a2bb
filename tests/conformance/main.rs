//! One suite over every form of the step on every backend that is compiled in.

mod clip;
mod config;
mod data;
mod drop_in;
mod fidelity;
mod forms;
mod kept;
mod libraries;
mod properties;
mod reference;
mod restarts;
mod theory;
mod truth;
mod undecayed;
