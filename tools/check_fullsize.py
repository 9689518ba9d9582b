#!/usr/bin/env python3
"""sdgen against diffusers at the full size of Stable Diffusion 1.5, on a checkpoint of hash weights.

usage: check_fullsize.py [--sdgen FILE] [--directory DIR] [--model FILE] [--only PART[,PART]] [--rounds N]

Parts, all by default; the checks print TAP, the measurements follow as comments:
  compare  256x256, 3 steps, --like diffusers --trace, Euler, Euler a and DDIM: every latent within 1e-3 of its
           largest value, 99.9 % of the 8-bit values of the picture within 1
  memory   an f16 file at 512x512, 1 step: at most 2.6 GB, mapped pages included; and the same picture
           under --max-ram 1.2G
  cache    the second start with --cache is loaded within a second and draws the same picture; loading takes no more
           memory than the packed weights and 200 MB
  timing   seconds per 512x512 step with guidance, sdgen and PyTorch f32 in turns on the same cores

Needs 2.2 GB of disk for the checkpoint, 10 GB of memory, and the Python packages of the goldens.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import make_checkpoint

PROMPT, NEGATIVE = "a fox on a blue background", "a red apple"
SAMPLERS = ("euler", "euler_a", "ddim")
LATENT_BOUND, LEVELS_BOUND, LEVELS_SHARE = 1e-3, 1, 0.999
MEMORY_BOUND, LIMIT, LIMIT_BYTES = 2_600_000_000, "1.2G", int(1.2 * 2**30)
START_BOUND, LOAD_MEMORY_BOUND = 1.0, 200_000_000
STEPS = 3


class Tap:
    def __init__(self):
        self.count, self.failed = 0, 0

    def check(self, good, text):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {text}", flush=True)


def sdgen(a, width, height, steps, *more, stdout=subprocess.DEVNULL, **popen):
    command = [a.sdgen, "-m", a.model, "-p", PROMPT, "-n", NEGATIVE, "-W", str(width), "-H", str(height), "--steps",
               str(steps), "--cfg-scale", "7.5", "-s", "42", "--like", "diffusers", "--overwrite", *more]
    return subprocess.Popen(command, stdout=stdout, **popen)


def compare(a, tap):
    from PIL import Image

    import golden_pipeline
    import pipeline_common
    model = pipeline_common.Model(a.model)
    for sampler in SAMPLERS:
        run = golden_pipeline.parameters(dict(like="diffusers", sampler=sampler, prompt=PROMPT, negative=NEGATIVE,
                                              width=256, height=256, steps=STEPS, cfg=7.5, seed=42))
        want = golden_pipeline.run_diffusers(model, run)
        with tempfile.TemporaryDirectory(dir=a.directory) as folder:
            picture = f"{folder}/out.png"
            process = sdgen(a, 256, 256, STEPS, "--sampling-method", sampler, "--trace", folder, "-o", picture, "-q")
            tap.check(process.wait() == 0, f"{sampler}: sdgen draws 256x256")
            if process.returncode:
                continue
            errors = []
            for step, latent in enumerate(want["latents"].numpy()):
                got = np.load(f"{folder}/latent_{step:03d}.npy")
                errors.append(float(np.abs(got - latent.reshape(got.shape)).max() / np.abs(latent).max()))
            tap.check(all(e <= LATENT_BOUND for e in errors),      # NaN is no pass
                      f"{sampler}: latents differ by {', '.join(f'{e:.1e}' for e in errors)} of their largest value")
            got = np.asarray(Image.open(picture)).astype(int)
            share = float((np.abs(got - want["rgb"].numpy()[0].astype(int)) <= LEVELS_BOUND).mean())
            tap.check(share >= LEVELS_SHARE, f"{sampler}: {share:.3%} of the picture's values within {LEVELS_BOUND}")
            spread = float(want["rgb"].float().std())
            tap.check(spread > 1, f"{sampler}: the picture is no single colour (standard deviation {spread:.1f})")


def peak_memory(process):
    """The kernel's high-water mark in bytes, mapped pages included. Not from rusage: a child's begins with what
    this Python has taken."""
    peak = 0
    while process.poll() is None:
        for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]) * 1024)
        time.sleep(0.02)
    return peak


def memory(a, tap):
    with tempfile.TemporaryDirectory(dir=a.directory) as folder:
        process = sdgen(a, 512, 512, 1, "-o", f"{folder}/out.png", "-q")
        peak = peak_memory(process)
        tap.check(process.returncode == 0, "sdgen draws 512x512")
        tap.check(0 < peak <= MEMORY_BOUND, f"peak memory {peak / 1e9:.2f} GB of at most {MEMORY_BOUND / 1e9:.1f} GB")
        process = sdgen(a, 512, 512, 1, "-o", f"{folder}/limited.png", "-q", "--max-ram", LIMIT)
        peak = peak_memory(process)
        tap.check(process.returncode == 0, f"sdgen draws 512x512 under --max-ram {LIMIT}")
        tap.check(0 < peak <= LIMIT_BYTES, f"peak memory {peak / 2**20:.0f} MiB of at most {LIMIT_BYTES / 2**20:.0f}")
        pictures = [pathlib.Path(f"{folder}/{name}.png").read_bytes() for name in ("out", "limited")]
        tap.check(pictures[0] == pictures[1], "the same file, bit for bit")


def loading(a, *more):
    """A run at 64x64: seconds until everything is loaded, the memory that took, what was said of packed weights."""
    seconds, peak, said = None, None, ""
    process = sdgen(a, 64, 64, 1, "--progress", "json", "-v", *more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    text=True)
    for line in process.stdout:
        if "packed weights" in line:
            said = line.strip()
        if line.startswith("{") and (event := json.loads(line)).get("stage") == "load" and event["step"] == event["steps"]:
            seconds = event["seconds"]
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    return process.wait(), seconds, peak, said


def cache(a, tap):
    with tempfile.TemporaryDirectory(dir=a.directory) as folder:
        start = time.perf_counter()
        with open(a.model, "rb", buffering=0) as file:
            while file.read(1 << 24):
                pass
        print(f"# reading the file once takes {time.perf_counter() - start:.2f} s", flush=True)
        pictures = []
        for name, more in (("none", []), ("first", ["--cache", f"{folder}/cache"]),
                           ("second", ["--cache", f"{folder}/cache"])):
            status, seconds, peak, said = loading(a, "-o", f"{folder}/{name}.png", *more)
            tap.check(status == 0, f"cache, {name}: {said}")
            print(f"# loaded after {seconds:.2f} s in at most {peak / 1e6:.0f} MB", flush=True)
            pictures.append(pathlib.Path(f"{folder}/{name}.png").read_bytes())
            packed = int(said.split("weights: ")[1].split(" MiB")[0]) << 20 if name == "none" else 0
            tap.check(peak <= packed + LOAD_MEMORY_BOUND, f"cache, {name}: {(peak - packed) / 1e6:.0f} MB beside packs")
        tap.check(seconds <= START_BOUND, f"the second start is loaded after {seconds:.2f} s")
        tap.check(pictures[0] == pictures[1] == pictures[2], "the same picture without, with a new and with a kept cache")


def sdgen_step(a):
    """Median seconds between the steps of one run, by the arrival of its progress lines."""
    arrivals = []
    with tempfile.TemporaryDirectory(dir=a.directory) as folder:
        process = sdgen(a, 512, 512, STEPS, "-o", f"{folder}/out.png", "--progress", "json", "-t", str(a.threads),
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in process.stdout:
            now = time.perf_counter()
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and str(event.get("stage")).startswith("sampl"):
                arrivals.append((event["step"], now))
        if process.wait():
            raise SystemExit("sdgen failed")
    first = {}
    for step, now in arrivals:
        first.setdefault(step, now)
    times = [first[step] for step in sorted(first)]
    return statistics.median(b - a for a, b in zip(times, times[1:]))


def torch_step(unet):
    import torch
    x, context = torch.randn(2, 4, 64, 64), torch.randn(2, 77, unet.config.cross_attention_dim)
    with torch.no_grad():
        start = time.perf_counter()
        unet(x, 500, encoder_hidden_states=context)
        return time.perf_counter() - start


def timing(a):
    import torch

    from safetensors.torch import load_file

    import ldm_to_diffusers
    torch.set_num_threads(a.threads)
    unet = ldm_to_diffusers.make_unet(load_file(a.model))
    torch_step(unet)
    ours, theirs = [], []
    for number in range(a.rounds):
        ours.append(sdgen_step(a))
        theirs.append(min(torch_step(unet) for _ in range(2)))
        print(f"# round {number + 1}: sdgen {ours[-1]:.2f} s, PyTorch {theirs[-1]:.2f} s a step", flush=True)
    own, other = statistics.median(ours), statistics.median(theirs)
    print(f"# 512x512, guidance, {a.threads} threads: sdgen {own:.2f} s, PyTorch {torch.__version__} f32 {other:.2f} s "
          f"a step; ratio {own / other:.2f}")


def main():
    top = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="sdgen against diffusers at full size")
    parser.add_argument("--sdgen", default=os.environ.get("SDGEN", str(top / "build" / "sdgen")))
    parser.add_argument("--directory", default=tempfile.gettempdir(), help="where large temporary files may go")
    parser.add_argument("--model", help="an f16 checkpoint to use instead of one made for the run")
    parser.add_argument("--only", default="compare,memory,cache,timing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a = parser.parse_args()
    parts, tap = a.only.split(","), Tap()
    with tempfile.TemporaryDirectory(dir=a.directory) as folder:
        if not a.model:
            a.model = f"{folder}/sd15-hash.safetensors"
            make_checkpoint.make(a.model, "sd15", "f16")
        if "compare" in parts:
            compare(a, tap)
        if "memory" in parts:
            memory(a, tap)
        if "cache" in parts:
            cache(a, tap)
        if "timing" in parts:
            timing(a)
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
