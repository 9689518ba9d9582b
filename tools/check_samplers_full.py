"""Every sampler of every program on the bundled model, its schedules at 4, 10 and 25 steps, the latent after every
step: the program against the originals of demo_walks.py. Seven hundred walks; half an hour on two cores.

A walk whose deviation passes BOUND is walked once more by the original itself, from a first latent that is off by one
part in ten million: where that moves the original by as much, the walk says nothing about the program (SENSITIVE).

usage: check_samplers_full.py --sdgen FILE [--steps N,N] [--only PROGRAM[.SAMPLER]]
"""
import argparse
import glob
import os
import pathlib
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch

import demo_walks
from golden_samplers_demo import pairs

BOUND = 1e-3
OWN = ("ddim", "lcm", *demo_walks.SPACINGS)                 # schedules that go by name; the others as --sigmas
torch.set_num_threads(1)


def latents(sdgen, model, program, sampler, schedule, steps):
    with tempfile.TemporaryDirectory() as folder:
        levels = ",".join(f"{float(v):.9g}" for v in demo_walks.sigmas_of(schedule, steps)) if schedule not in OWN else None
        how = ["--sigmas", levels] if levels else ["--scheduler", schedule, "--steps", str(steps)]
        side = str(8 * demo_walks.SIDE)
        done = subprocess.run([sdgen, "-m", model, "-p", demo_walks.PROMPT, "-n", demo_walks.NEGATIVE, "-W", side, "-H", side,
                               "--threads", "1", "--cfg-scale", str(demo_walks.SCALE), "-s", str(demo_walks.SEED), "--rng", "cpu", "--like", program,
                               "--sampling-method", sampler, "--trace", folder, "-o", f"{folder}/a.png", *how],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{program} {sampler} {schedule} {steps}: {done.stderr.strip()[-300:]}")
        return [np.load(f).reshape(-1) for f in sorted(glob.glob(f"{folder}/latent_*.npy"))[1:]]


def off(have, want):
    """The largest over all steps of max|x - y| / max|y|; only the last latent where steps are not reported one by one."""
    pairs_ = zip(have, want) if len(have) == len(want) else [(have[-1], want[-1])]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs_)


def sensitivity(demo, want, *walk):
    first = demo_walks.Draws.__init__

    def moved(self, *a, **k):
        first(self, *a, **k)
        self.first = self.first * (1 + 1e-7)
    demo_walks.Draws.__init__ = moved
    try:
        return off(demo_walks.walk(demo, *walk), want)
    finally:
        demo_walks.Draws.__init__ = first


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--sdgen", required=True)
    options.add_argument("--steps", default="4,10,25")
    options.add_argument("--only", default="")
    o = options.parse_args()
    diffusers.utils.logging.set_verbosity_error()
    model = str(pathlib.Path(__file__).resolve().parent.parent / "models/data/sdgen-emoji.safetensors")
    demo, failed, walks, sensitive = demo_walks.Demo(model), 0, 0, 0
    for program, sampler in pairs():
        if not f"{program}.{sampler}.".startswith(o.only + "." if o.only else ""):
            continue
        worst = (0.0, "")
        for schedule in demo_walks.schedules(program, sampler):
            for steps in map(int, o.steps.split(",")):
                walk = program, sampler, schedule, steps
                want = demo_walks.walk(demo, *walk)
                ratio = off(latents(os.path.abspath(o.sdgen), model, *walk), want)
                walks += 1
                worst = max(worst, (ratio, f"{schedule} {steps}"))
                if not ratio <= BOUND:
                    own = sensitivity(demo, want, *walk)
                    excused = own > ratio / 10
                    sensitive += excused
                    failed += not excused
                    print(f"    {' '.join(map(str, walk))}: {ratio:.2g}, the original by itself {own:.2g} "
                          f"{'SENSITIVE' if excused else 'FAILED'}", flush=True)
        print(f"{program:10} {sampler:28} {worst[0]:.1e} at {worst[1]}", flush=True)
    print(f"{walks} walks, {failed} beyond {BOUND:g}, {sensitive} where the original moves as much by itself")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
