"""PyTorch's AdamW on a GPU, on the shapes of benches/gpu.rs, beside a copy.

    python benches/peers/gpu.py                # those of benches/gpu.rs
    python benches/peers/gpu.py 100000000      # so many parameters

As there, a time is the median over rounds, with the quarters around it, until the device is done.
"""

import statistics
import sys
import time

import torch

WARM_UP = 3
ROUNDS = 40


def eight(parameters):
    return [(64, parameters // 8 // 64)] * 8


def transformer():
    """The 148 tensors of a GPT-2 of 12 layers, 256 wide, over 8,192 tokens."""
    width, shapes = 256, []
    for _ in range(12):
        for inputs, outputs in [(1, 3), (1, 1), (1, 4), (4, 1)]:
            shapes += [(inputs * width, outputs * width), (outputs * width,)]
        shapes += [(width,)] * 4
    return shapes + [(8192, width), (1024, width)] + [(width,)] * 2


def timed(work):
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    host = time.perf_counter()
    torch.cuda.synchronize()
    return [1e3 * (end - start) for end in (host, time.perf_counter())]


def report(name, times, moved):
    quartiles = [statistics.quantiles(each, n=4, method="inclusive") for each in zip(*times)]
    host, device = [f"{median:.3f} ({lower:.3f}–{upper:.3f})" for lower, median, upper in quartiles]
    rate = moved / 1e6 / quartiles[1][1]
    print(f"{name:<28} {host:>24} {device:>24} {rate:>8.1f}")


def step(shapes, **implementation):
    parameters = [torch.randn(shape, device="cuda", requires_grad=True) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    return torch.optim.AdamW(parameters, **implementation).step


def main():
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    print(f"{'':<28} {'host, ms':>24} {'device, ms':>24} {'GB/s':>8}")
    sizes = [int(size) for size in sys.argv[1:]]
    models = [(f"{size} in 8 tensors", eight(size)) for size in sizes]
    if not models:
        sizes = {"66 k": 1 << 16, "1.05 M": 1 << 20, "4.2 M": 1 << 22, "16.8 M": 1 << 24}
        models = [(f"{name} in 8 tensors", eight(size)) for name, size in sizes.items()]
        models.append(("transformer, 148 tensors", transformer()))
    for name, shapes in models:
        print(name)
        count = sum(torch.Size(shape).numel() for shape in shapes)
        buffer = torch.zeros(count, device="cuda")
        ways = {
            "AdamW, PyTorch's, fused": (step(shapes, fused=True), 28 * count),
            "AdamW, PyTorch's, foreach": (step(shapes, foreach=True), 28 * count),
            "copy": (lambda: torch.neg(buffer), 8 * count),
        }
        times = {way: [] for way in ways}
        for _ in range(WARM_UP + ROUNDS):
            for way, (work, _) in ways.items():
                times[way].append(timed(work))
        for way, (_, moved) in ways.items():
            report(f"  {way}", times[way][WARM_UP:], moved)


main()
