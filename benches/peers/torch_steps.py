"""The Python side of run.py: takes steps on request, in the manner of main.rs.

    python torch_steps.py THREADS

The models are in the first line that it reads.
"""

import json
import sys
import time

import torch

WARM_UP = 3
SETTINGS = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)


def optimizer(contender, parameters):
    if contender == "deepspeed":
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        return DeepSpeedCPUAdam(parameters, adamw_mode=True, **SETTINGS)
    if contender == "torchao":
        from torchao.optim import AdamW8bit

        return AdamW8bit(parameters, **SETTINGS)
    if contender == "bitsandbytes":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(parameters, **SETTINGS)
    kinds = {
        "torch:for-loop": dict(foreach=False, fused=False),
        "torch:foreach": dict(foreach=True),
        "torch:fused": dict(fused=True),
    }
    return torch.optim.AdamW(parameters, **kinds[contender], **SETTINGS)


def steps(contender, shapes, number):
    # In bf16, as in torch:fused:bf16, where the name says so.
    contender, in_bf16, _ = contender.partition(":bf16")
    dtype = torch.bfloat16 if in_bf16 else torch.float32
    parameters = [torch.nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in shapes]
    gradients = [torch.randn(shape, dtype=dtype) for shape in shapes]
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
    models = dict(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        contender, model, number = json.loads(line)
        try:
            answer = steps(contender, models[model], number)
        except Exception as error:
            answer = f"missing: {type(error).__name__}: {error}".replace("\n", " ")[:200]
        print(json.dumps(answer), file=answers, flush=True)


main()
