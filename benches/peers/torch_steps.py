"""The Python side of run.py: takes steps on request, in the manner of main.rs."""

import sys
import time

import torch

TENSORS, WARM_UP = 8, 3
SETTINGS = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)


def optimizer(contender, parameters):
    if contender == "deepspeed":
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        return DeepSpeedCPUAdam(parameters, adamw_mode=True, **SETTINGS)
    kinds = {
        "torch:for-loop": dict(foreach=False, fused=False),
        "torch:foreach": dict(foreach=True),
        "torch:fused": dict(fused=True),
    }
    return torch.optim.AdamW(parameters, **kinds[contender], **SETTINGS)


def steps(contender, count, number):
    shape = (64, count // TENSORS // 64)
    parameters = [torch.nn.Parameter(torch.randn(shape)) for _ in range(TENSORS)]
    gradients = [torch.randn(shape) for _ in range(TENSORS)]
    chosen = optimizer(contender, parameters)
    times = []
    for _ in range(WARM_UP + number):
        for parameter, gradient in zip(parameters, gradients):
            # As after a backward pass: new values in the gradient's memory.
            parameter.grad = gradient * 1.0
        start = time.perf_counter_ns()
        chosen.step()
        times.append(time.perf_counter_ns() - start)
    return times[WARM_UP:]


def main():
    answers = sys.stdout
    sys.stdout = sys.stderr  # DeepSpeed prints while it builds.
    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        contender, parameters, number = line.split()
        try:
            answer = " ".join(map(str, steps(contender, int(parameters), int(number))))
        except Exception as error:
            answer = f"missing: {type(error).__name__}: {error}".replace("\n", " ")[:200]
        print(answer, file=answers, flush=True)


main()
