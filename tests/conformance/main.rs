//! One suite over every form of the step on every backend that is compiled in.

mod clip;
mod config;
mod data;
mod decayed;
mod drop_in;
mod extremes;
mod fidelity;
mod forms;
mod kept;
mod libraries;
mod loading;
mod master;
mod modules;
mod moments;
mod properties;
mod records;
mod reference;
mod restarts;
mod saved;
#[cfg(all(feature = "flex", feature = "remote"))]
#[path = "../servers/mod.rs"]
mod servers;
mod several;
mod signs;
mod theory;
mod tied;
mod truth;
mod undecayed;
mod ways;
