"""Times one AdamW step of every peer in turn, and writes the table to benches/RESULTS.md.

    python3 benches/peers/run.py              # 7 rounds, all sizes: about ten minutes
    python3 benches/peers/run.py --rounds 3

It builds a virtual environment with PyTorch and DeepSpeed under cargo's target folder; DeepSpeed
compiles its step when it is first used, with the C++ compiler that is there. In each round every
contender takes its steps, one after the other, with the same shapes and as many threads; a
contender's figure is the median over the rounds of its median step, and its spread is the least
and the largest of those medians.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"66 k": 1 << 16, "1.05 M": 1 << 20, "4.2 M": 1 << 22, "16.8 M": 1 << 24}
PACKAGES = ["torch", "numpy", "deepspeed", "ninja", "setuptools", "wheel"]
RUST = {
    "burn-decay, flex": "burn-decay:flex",
    "burn-decay, ndarray": "burn-decay:ndarray",
    "Burn's own, flex": "burn:flex",
    "Burn's own, ndarray": "burn:ndarray",
    "a bare loop": "bare",
}
PYTHON = {
    "DeepSpeed CPUAdam": "deepspeed",
    "PyTorch fused": "torch:fused",
    "PyTorch foreach": "torch:foreach",
    "PyTorch for-loop": "torch:for-loop",
}
OURS = "burn-decay, flex"


def target_folder():
    metadata = ["cargo", "metadata", "--format-version=1", "--no-deps"]
    output = subprocess.run(metadata, cwd=ROOT, check=True, capture_output=True, text=True)
    return Path(json.loads(output.stdout)["target_directory"])


def environment():
    """The interpreter of the virtual environment, and which packages it got, by version."""
    folder = target_folder() / "peers-venv"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    versions = {}
    for package in PACKAGES:
        # One at a time, and against the torch that is there: DeepSpeed builds with it.
        install = [python, "-m", "pip", "install", "--quiet", "--no-build-isolation", package]
        if subprocess.run(install, env=os.environ | {"DS_BUILD_OPS": "0"}).returncode != 0:
            continue
        query = f"import importlib.metadata as m; print(m.version('{package}'))"
        output = subprocess.run([python, "-c", query], capture_output=True, text=True)
        versions[package] = output.stdout.strip().split("+")[0]
    return python, versions


class Worker:
    def __init__(self, command, **settings):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, **settings
        )

    def steps(self, contender, parameters, steps):
        print(contender, parameters, steps, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer or answer.startswith("missing"):
            return answer.strip() or "missing: the process ended"
        return statistics.median(map(int, answer.split())) / 1e6


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":")[1].strip()
        if line.startswith("flags"):
            known = ["avx512f", "avx2", "sse4_2"]
            return f"{name}, {next(flag for flag in known if flag in line.split())}"
    return platform.processor()


def burn_version():
    lines = (ROOT / "Cargo.lock").read_text().splitlines()
    return lines[lines.index('name = "burn"') + 1].split('"')[1]


def table(results):
    head = "| ms a step | " + " | ".join(SIZES) + " |"
    rows = [head, "| --- |" + " --- |" * len(SIZES)]
    for contender in [*RUST, *PYTHON]:
        cells = []
        for size in SIZES:
            times = results[contender][size]
            if isinstance(times, str):
                cells.append(times)
                continue
            ours = statistics.median(results[OURS][size])
            median = statistics.median(times)
            spread = f"{min(times):.3g}–{max(times):.3g}"
            cells.append(f"{median:.3g} ({spread}) = {median / ours:.2f}×")
        rows.append(f"| {contender} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds

    python, versions = environment()
    threads = os.cpu_count()
    limit = {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    # DeepSpeed looks for the environment's ninja on the path.
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"env": os.environ | limit | {"DS_ACCELERATOR": "cpu", "PATH": path}}
    bench = ["cargo", "bench", "--quiet", "--bench", "peers", "--features", "ndarray"]
    subprocess.run([*bench, "--no-run"], cwd=ROOT, check=True)
    rust = Worker(bench, **settings)
    workers = {name: (rust, contender) for name, contender in RUST.items()}
    scripts = Worker([python, ROOT / "benches/peers/torch_steps.py", str(threads)], **settings)
    workers |= {name: (scripts, contender) for name, contender in PYTHON.items()}

    results = {name: {size: [] for size in SIZES} for name in workers}
    for round in range(rounds):
        for size, parameters in SIZES.items():
            steps = max(10, min(400, (1 << 27) // parameters))
            for name, (worker, contender) in workers.items():
                if isinstance(results[name][size], str):
                    continue
                time = worker.steps(contender, parameters, steps)
                if isinstance(time, str):
                    results[name][size] = time
                else:
                    results[name][size].append(time)
        print(f"round {round + 1} of {rounds}", file=sys.stderr, flush=True)

    found = [f"Burn {burn_version()}"] + [
        f"{package} {versions.get(package, 'missing')}" for package in ("torch", "deepspeed")
    ]
    text = (
        "# One AdamW step on the CPU\n\n"
        f"Written by `python3 benches/peers/run.py --rounds {rounds}`, whose head says how it "
        "measures: f32 parameters in 8 tensors, the median over the rounds (least–most), and its "
        f"ratio to {OURS}.\n\n"
        f"{processor()}, {threads} threads; {', '.join(found)}.\n\n{table(results)}\n"
    )
    results = ROOT / "benches" / "RESULTS.md"
    _, heading, gpu = results.read_text().partition("\n# One AdamW step on a GPU\n")
    results.write_text(text + heading + gpu)
    print(text)


main()
