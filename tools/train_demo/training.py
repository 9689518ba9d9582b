"""What the three training scripts share: arguments, the clock, the log, and files that are never half written."""
import argparse
import math
import os
import random
import time

import numpy as np
import torch


def arguments(description, minutes, batch, rate):
    """The command line of a training script."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=minutes, help="length of the training (%(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps, for a trial run")
    parser.add_argument("--batch", type=int, default=batch, help="pictures a step (%(default)s)")
    parser.add_argument("--rate", type=float, default=rate, help="peak learning rate (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def seed_everything(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Clock:
    """Counts steps, says how far along the allotted time is (0 to 1), and ends the loop."""

    def __init__(self, minutes, steps, first=0):
        self.start, self.seconds, self.limit = time.time(), minutes * 60, steps
        self.step = self.first = first

    def running(self):
        """True while time and steps are left."""
        return self.elapsed() < self.seconds and not (self.limit and self.step - self.first >= self.limit)

    def elapsed(self):
        return time.time() - self.start

    def share(self):
        return min(1.0, self.elapsed() / self.seconds)


def set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


def cosine_rate(clock, peak):
    """A short warm-up, then half a cosine from the peak to 2 % of it (Loshchilov and Hutter 2017)."""
    return peak * min(1, (clock.step + 1) / 30) * (0.49 * (1 + math.cos(math.pi * clock.share())) + 0.02)


def descend(optimizer, loss, parameters):
    """One step down the gradient, clipped to length 1."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


class Log:
    """Averages named numbers and prints them every `every` steps."""

    def __init__(self, every):
        self.every, self.rows = every, []

    def add(self, clock, **numbers):
        self.rows.append(numbers)
        if clock.step % self.every == 0:
            means = {name: np.mean([row[name] for row in self.rows]) for name in numbers}
            text = " ".join(f"{name} {mean:.4f}" for name, mean in means.items())
            print(f"step {clock.step}, {clock.elapsed():.0f} s: {text}", flush=True)
            self.rows.clear()


def save(path, **state):
    """Writes beside the file and renames, so that an interrupted run leaves the last good one."""
    torch.save(state, path + ".tmp")
    os.replace(path + ".tmp", path)


def gradient_difference(a, b):
    """Mean absolute difference of horizontal and of vertical neighbours' differences: edges, not levels."""
    across = (a[..., 1:] - a[..., :-1]) - (b[..., 1:] - b[..., :-1])
    down = (a[..., 1:, :] - a[..., :-1, :]) - (b[..., 1:, :] - b[..., :-1, :])
    return across.abs().mean() + down.abs().mean()


def psnr(a, b):
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1]."""
    return 10 * math.log10(4 / max(1e-12, ((a - b) ** 2).mean().item()))
