//! An AdamW step on a server's device: as one message, as a message an operation, and here.
//!
//! ```text
//! cargo bench --bench remote --features remote
//! ```
//!
//! Each server is a process of this machine, on Flex. A time is until the server is done: the median over
//! rounds in which the three take turns, with the quarters around it.

mod common;
#[path = "common/networks.rs"]
mod networks;
#[path = "../examples/processes/servers.rs"]
#[allow(dead_code, reason = "there is nothing to watch here")]
mod servers;
#[allow(dead_code, reason = "the host's time is not reported")]
#[path = "common/timing.rs"]
mod timing;

use std::error::Error;

use burn::remote::RemoteHost;
use burn::tensor::Device;
use burn_decay::AdamWConfig;

use common::{Parameters, Shapes};
use servers::{Servers, connect, end_with_parent, serve};
use timing::{quarters, time_step};

const WARM_UP: usize = 3;
const ROUNDS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, serving, address, ..] = &arguments[..]
        && serving == "--serve"
    {
        end_with_parent();
        return serve(Device::flex(), address);
    }
    let (_servers, addresses) = Servers::start(2, "of this benchmark")?;
    let plain = RemoteHost::websocket(&addresses[1]).with_credential("of this benchmark");
    let ways = [
        ("here", Device::flex()),
        ("one message", connect(&addresses[0], "of this benchmark")?),
        (
            "a message an operation",
            Device::remote_options(&plain).init()?,
        ),
    ];
    println!("{:<28} {:>24} {:>10}", "", "ms a step", "of here");
    for (name, shapes) in [
        ("66 k in 8 tensors", Shapes::eight(1 << 16)),
        ("1.05 M in 8 tensors", Shapes::eight(1 << 20)),
        ("4.2 M in 8 tensors", Shapes::eight(1 << 22)),
        ("transformer, 148 tensors", networks::transformer()),
    ] {
        println!("{name}");
        compare(&shapes, &ways);
    }
    Ok(())
}

fn compare(shapes: &Shapes, ways: &[(&str, Device); 3]) {
    let mut runs = ways.each_ref().map(|(_, device)| {
        let autodiff = device.clone().autodiff();
        let model = Parameters::random(shapes, &autodiff);
        let gradients = Parameters::random(shapes, &autodiff);
        (model, gradients, AdamWConfig::new().init(), Vec::new())
    });
    for round in 0..WARM_UP + ROUNDS {
        for ((model, gradients, optimizer, times), (_, device)) in runs.iter_mut().zip(ways) {
            let time = time_step(model, gradients, optimizer, device);
            if round >= WARM_UP {
                times.push(1e3 * time.device.as_secs_f64());
            }
        }
    }
    let here = quarters(runs[0].3.iter().copied()).median;
    for ((.., times), (name, _)) in runs.iter().zip(ways) {
        let times = quarters(times.iter().copied());
        let ratio = times.median / here;
        println!("  {name:<26} {:>24} {ratio:>10.1}", times.to_string());
    }
}
