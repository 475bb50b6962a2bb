"""Times one AdamW step of every peer in turn, and writes the table to benches/RESULTS.md.

    python3 benches/peers/run.py              # 7 rounds on all models: about ten minutes
    python3 benches/peers/run.py --rounds 3
    python3 benches/peers/run.py --models transformer ResNet-50    # the table is printed only
    python3 benches/peers/run.py --storage    # 16.8 M, with weights and moments in fewer bytes

It builds a virtual environment with PyTorch and DeepSpeed under cargo's target folder; DeepSpeed
compiles its step when it is first used, with the C++ compiler that is there. In each round every
contender takes its steps, one after the other, on the same tensors and as many threads; a
contender's figure is the median over the rounds of its median step, and its spread is the least
and the largest of those medians. Where its spread and that of burn-decay on Flex overlap, the two
are equal within the noise; elsewhere its ratio is that of the medians. The table replaces the one
of the same processor, vector instructions and threads, and leaves the others.
"""

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benches" / "RESULTS.md"
PACKAGES = ["torch", "numpy", "deepspeed", "ninja", "setuptools", "wheel"]
RUST = {
    "burn-decay, flex": "burn-decay:flex",
    "burn-decay, ndarray": "burn-decay:ndarray",
    "Burn's own, flex": "burn:flex",
    "Burn's own, ndarray": "burn:ndarray",
    "the same memory, additions only": "additions",
}
PYTHON = {
    "DeepSpeed CPUAdam": "deepspeed",
    "PyTorch fused": "torch:fused",
    "PyTorch foreach": "torch:foreach",
    "PyTorch for-loop": "torch:for-loop",
}
OURS = "burn-decay, flex"
# With weights and moments in fewer bytes: those of bf16 weights have master weights in burn-decay, and
# none elsewhere.
STORAGE_PACKAGES = ["torchao", "bitsandbytes"]
STORAGE_RUST = {
    OURS: "burn-decay:flex",
    "burn-decay, f32 weights, bf16 moments": "burn-decay:flex:F32:Bf16",
    "burn-decay, f32 weights, 8-bit moments": "burn-decay:flex:F32:Bits8",
    "burn-decay, bf16 weights, f32 moments": "burn-decay:flex:BF16:Full",
    "burn-decay, bf16 weights, bf16 moments": "burn-decay:flex:BF16:Bf16",
    "burn-decay, bf16 weights, 8-bit moments": "burn-decay:flex:BF16:Bits8",
    "burn-decay, bf16 weights without master weights, bf16 moments": "burn-decay:flex:BF16:Bf16:plain",
}
STORAGE_PYTHON = {
    "PyTorch fused, f32": "torch:fused",
    "PyTorch fused, bf16 weights and moments": "torch:fused:bf16",
    "torchao, f32 weights, 8-bit moments": "torchao",
    "torchao, bf16 weights, 8-bit moments": "torchao:bf16",
    "bitsandbytes, f32 weights, 8-bit moments": "bitsandbytes",
    "bitsandbytes, bf16 weights, 8-bit moments": "bitsandbytes:bf16",
}


def target_folder():
    metadata = ["cargo", "metadata", "--format-version=1", "--no-deps"]
    output = subprocess.run(metadata, cwd=ROOT, check=True, capture_output=True, text=True)
    return Path(json.loads(output.stdout)["target_directory"])


def environment(packages):
    """The interpreter of the virtual environment, and which packages it got, by version."""
    folder = target_folder() / "peers-venv"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    versions = {}
    for package in packages:
        # One at a time, and against the torch that is there: DeepSpeed builds with it.
        install = [python, "-m", "pip", "install", "--quiet", "--no-build-isolation", package]
        if subprocess.run(install, env=os.environ | {"DS_BUILD_OPS": "0"}).returncode != 0:
            continue
        query = f"import importlib.metadata as m; print(m.version('{package}'))"
        output = subprocess.run([python, "-c", query], capture_output=True, text=True)
        versions[package] = output.stdout.strip().split("+")[0]
    return python, versions


class Worker:
    """A process that answers a line of JSON by another."""

    def __init__(self, command, **settings):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, **settings
        )

    def write(self, value):
        print(json.dumps(value), file=self.process.stdin, flush=True)

    def read(self):
        return json.loads(self.process.stdout.readline())

    def step(self, contender, model, steps):
        """The median step in milliseconds, or a text that says what is missing."""
        try:
            self.write([contender, model, steps])
            answer = self.read()
        except (BrokenPipeError, json.JSONDecodeError):
            answer = "missing: the process ended"
        return answer if isinstance(answer, str) else statistics.median(answer) / 1e6


def processor():
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", "").split()
    known = {"avx512f": "AVX-512", "avx2": "AVX2", "sse4_2": "SSE4.2"}
    vectors = [known[flag] for flag in known if flag in flags][:1]
    return ", ".join([fields.get("model name", platform.machine()), *vectors])


def burn_version():
    lines = (ROOT / "Cargo.lock").read_text().splitlines()
    return lines[lines.index('name = "burn"') + 1].split('"')[1]


def cell(times, ours):
    if isinstance(times, str):
        return times
    median = statistics.median(times)
    figures = f"{median:.3g} ({min(times):.3g}–{max(times):.3g})"
    if times is ours:
        return figures
    if min(times) <= max(ours) and min(ours) <= max(times):
        return f"{figures} equal"
    return f"{figures} = {median / statistics.median(ours):.2f}×"


def table(results, models):
    columns = [f"{name}, {len(shapes)} tensors" for name, shapes in models.items()]
    rows = [["ms a step", *columns], ["---"] * (1 + len(models))]
    for contender, times in results.items():
        rows.append([contender, *(cell(times[name], results[OURS][name]) for name in models)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def replaced(text, section):
    """The text with the section in place of the one of its heading, or after the CPU's others."""
    heading = section.splitlines()[0]
    parts = re.split(r"^(?=##? )", text, flags=re.MULTILINE)
    headings = [part.splitlines()[0] if part else "" for part in parts]
    if heading in headings:
        parts[headings.index(heading)] = section
    else:
        parts.insert(headings.index("# One AdamW step on a GPU"), section)
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="by name, such as 66 k")
    parser.add_argument("--storage", action="store_true", help="compare ways to keep numbers")
    options = parser.parse_args()
    contenders, title = (RUST, PYTHON), ""
    packages, reported = PACKAGES, ["torch", "deepspeed"]
    if options.storage:
        contenders, title = (STORAGE_RUST, STORAGE_PYTHON), ", in fewer bytes"
        packages, reported = PACKAGES + STORAGE_PACKAGES, ["torch", *STORAGE_PACKAGES]
        options.models = options.models or ["16.8 M"]

    python, versions = environment(packages)
    threads = os.cpu_count()
    limit = {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    # DeepSpeed looks for the environment's ninja on the path.
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"env": os.environ | limit | {"DS_ACCELERATOR": "cpu", "PATH": path}}
    bench = ["cargo", "bench", "--quiet", "--bench", "peers", "--features", "ndarray"]
    subprocess.run([*bench, "--no-run"], cwd=ROOT, check=True)
    rust = Worker(bench, **settings)
    models = dict(rust.read())
    scripts = Worker([python, ROOT / "benches/peers/torch_steps.py", str(threads)], **settings)
    scripts.write(models)
    if options.models:
        models = {name: models[name] for name in options.models}
    workers = {
        name: (worker, contender)
        for worker, those in zip((rust, scripts), contenders)
        for name, contender in those.items()
    }

    results = {name: {model: [] for model in models} for name in workers}
    for round in range(options.rounds):
        for model, shapes in models.items():
            parameters = sum(map(math.prod, shapes))
            steps = max(10, min(400, (1 << 27) // parameters))
            for name, (worker, contender) in workers.items():
                if isinstance(results[name][model], str):
                    continue
                time = worker.step(contender, model, steps)
                if isinstance(time, str):
                    results[name][model] = time
                else:
                    results[name][model].append(time)
        print(f"round {round + 1} of {options.rounds}", file=sys.stderr, flush=True)

    found = [f"Burn {burn_version()}"] + [
        f"{package} {versions.get(package, 'missing')}" for package in reported
    ]
    section = (
        f"## {processor()}, {threads} threads{title}\n\n"
        f"{options.rounds} rounds; {', '.join(found)}.\n\n"
        f"{table(results, models)}\n\n"
    )
    print(section)
    # A table without some of the models would take the place of one with all.
    if options.storage or not options.models:
        RESULTS.write_text(replaced(RESULTS.read_text(), section))


main()
