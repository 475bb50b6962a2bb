//! What the crate says through `log`, and how often.

use std::sync::Mutex;

use burn::tensor::{Device, Tensor};
use burn_decay::{AdamWConfig, SimpleOptimizer};
use log::{Level, LevelFilter, Log, Metadata, Record};

struct Kept(Mutex<Vec<String>>);

impl Log for Kept {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        if record.target().starts_with("burn_decay") {
            assert_eq!(record.level(), Level::Warn);
            self.0
                .lock()
                .expect("no test panicked")
                .push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

static KEPT: Kept = Kept(Mutex::new(Vec::new()));

#[test]
fn the_portable_form_is_warned_of_once_where_there_is_a_faster_one() {
    log::set_logger(&KEPT).expect("it is the only one");
    log::set_max_level(LevelFilter::Warn);
    let step = |device: Device| {
        let ones = Tensor::<1>::ones([3], &device);
        AdamWConfig::new()
            .build()
            .step(0.1, ones.clone(), ones, None);
    };
    step(Device::flex());
    assert!(KEPT.0.lock().expect("no test panicked").is_empty());

    step(Device::flex().autodiff());
    step(Device::flex().autodiff());
    let said = KEPT.0.lock().expect("no test panicked");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("inner device"), "{said:?}");
}
