"""Records in peers.csv how much of the decay asked for the AdamW of other libraries delivers, of the
same weights and with the same gradients as main.rs has, to the bit.

    pip install torch==2.15.0 torch-optimi==0.3.3 torchao==0.18.0 numpy==2.4.6
    python examples/fidelity/peers.py

torchao compiles its step: that takes a C++ compiler, and 20 minutes of one core.
"""

import csv
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import optimi
import torch
from torchao.optim import AdamW8bit

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "tests" / "fixtures"))
from noise import noise

COUNT, STEPS, LEARNING_RATE = 32768, 2000, 1e-3
ASKED = [10.0 ** (half / 2) for half in range(-18, -3)]

f32, bf16 = torch.float32, torch.bfloat16
pytorch = f"PyTorch {version('torch')}"
torchao = f"torchao {version('torchao')} 8-bit"
kahan = f"optimī {version('torch-optimi')} Kahan sum"
# optimī's own defaults of beta_2 and epsilon are others. In bf16 its Kahan sum is on by default.
optimi_adamw = partial(optimi.AdamW, betas=(0.9, 0.999), eps=1e-8)
stochastic = partial(AdamW8bit, bf16_stochastic_round=True)
PEERS = [
    (f32, pytorch, torch.optim.AdamW),
    (f32, torchao, AdamW8bit),
    (bf16, pytorch, torch.optim.AdamW),
    (bf16, torchao, AdamW8bit),
    (bf16, kahan, optimi_adamw),
    (bf16, "torchao stochastic rounding", stochastic),
]


def delivered(adamw, dtype):
    """Of each decay asked for, the share that is delivered: see main.rs."""
    numbers = lambda step: torch.from_numpy(noise(1, step, COUNT)).to(dtype)
    initial = numbers(0)
    weights = [torch.nn.Parameter(initial.clone()) for _ in [0.0] + ASKED]
    groups = [
        {"params": [parameter], "weight_decay": decay / LEARNING_RATE}
        for parameter, decay in zip(weights, [0.0] + ASKED)
    ]
    torch.manual_seed(1)
    optimizer = adamw(groups, lr=LEARNING_RATE)
    for step in range(1, STEPS + 1):
        gradient = numbers(step)
        for parameter in weights:
            parameter.grad = gradient.clone()  # optimī computes in its memory.
        optimizer.step()
    initial = initial.double()
    without, *along = [float(parameter.detach().double() @ initial) for parameter in weights]
    share = (without - np.array(along)) / float(initial @ initial)
    return share / (1.0 - (1.0 - np.array(ASKED)) ** STEPS)


with open(HERE / "peers.csv", "w", encoding="utf-8") as file:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["precision", "library"] + [f"{asked:.2e}" for asked in ASKED])
    for dtype, name, adamw in PEERS:
        shares = [f"{share:.4f}" for share in delivered(adamw, dtype)]
        table.writerow(["bf16" if dtype is bf16 else "f32", name] + shares)
        file.flush()
