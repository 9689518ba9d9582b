"""Writes tests/golden/sampling.safetensors: the levels of training and the schedules of A1111, ComfyUI and
stable-diffusion.cpp, from k-diffusion, diffusers, scipy and the twins of schedule_twins.py. Tensor names: see the
functions below; read by tests/test_schedule.c. (diffusers' schedules: golden_samplers_diffusers.py.)

usage: golden_sampling.py [OUTPUT]
"""
import os
import pathlib
import sys

import diffusers
import numpy as np
import scipy.stats
import torch
from safetensors.numpy import save_file

import originals
import schedule_twins

STEPS = (1, 2, 3, 4, 5, 7, 10, 20, 25, 50, 100, 1000)
COMMON = ("discrete", "karras", "exponential", "sgm_uniform", "simple", "beta", "kl_optimal", "ays_sd1", "ays_sdxl")
OWN = {"a1111": COMMON + ("polyexponential", "ddim", "vp"),
       "comfyui": COMMON + ("polyexponential", "ddim", "vp", "linear_quadratic", "turbo"),
       "sdcpp": COMMON + ("smoothstep", "bong_tangent", "lcm")}
MOST = {"turbo": 10, "lcm": 50}
# Where the originals divide by steps - 1 = 0.
NONE_OF_ONE = {("comfyui", "kl_optimal"), ("sdcpp", "karras"), ("sdcpp", "exponential")}
out = {}


def put(name, value):
    if torch.is_tensor(value):
        value = value.numpy()
    out[name] = np.ascontiguousarray(np.atleast_1d(np.asarray(value, dtype=np.float32)))


def levels(programs):
    for name, p in programs.items():
        put(f"levels.{name}.sigma", p.sigmas)
        probe = [120.0, 14.0, 14.614641, 3.3, 1.0, 0.5, 0.123, 0.05, 0.02]
        put(f"levels.{name}.timesteps", p.to_t(probe))
        if "edm" not in name:
            put(f"levels.{name}.at", p.to_sigma(torch.tensor([0, 0.5, 19, 333.25, 998.75, 999], dtype=torch.float32)))
    put("levels.probe", probe)
    put("levels.a1111.abar", originals.alphas_ldm())
    for zero in (False, True):
        s = diffusers.EulerDiscreteScheduler(**originals.SD1, rescale_betas_zero_snr=zero)
        key = "levels.diffusers" + ".zero" * zero
        put(f"{key}.abar", s.alphas_cumprod)
        put(f"{key}.sigma", ((1 - s.alphas_cumprod) / s.alphas_cumprod) ** 0.5)


def schedules(programs):
    for program, names in OWN.items():
        p = programs[program]
        for name in names:
            for n in STEPS:
                if n > MOST.get(name, 1000) or (n == 1 and (program, name) in NONE_OF_ONE):
                    continue
                sigmas = np.asarray([float(v) for v in p.make(name, n)], dtype=np.float32)
                assert np.isfinite(sigmas).all(), (program, name, n)
                put(f"{program}.{name}.{n}", sigmas)
                if name in ("discrete", "karras", "beta") and n <= 100:
                    put(f"{program}.{name}.{n}.timesteps", p.to_t(sigmas[sigmas > 0]))


def ranges(p):
    """A1111's range options, among them its old Karras range."""
    for n in (5, 20):
        put(f"range.karras.{n}", p.make("karras", n, 0.1, 10))
        put(f"range.karras_rho.{n}", p.make("karras", n, 0.1, 10, 5.0))
        put(f"range.polyexponential_rho.{n}", p.make("polyexponential", n, rho=2.0))
        put(f"range.exponential.{n}", p.make("exponential", n, 0.1, 10))
        put(f"range.sgm_uniform.{n}", p.make("sgm_uniform", n, 0.1, 10))
        put(f"range.kl_optimal.{n}", p.make("kl_optimal", n, 0.1, 10))
        put(f"range.beta.{n}", p.make("beta", n, 0.1, 10))


def distributions():
    p = np.concatenate([np.linspace(0, 1, 401), 10.0 ** -np.arange(3, 13), 1 - 10.0 ** -np.arange(3, 13)])
    for name, v in (("beta.p", p), ("beta.quantile", scipy.stats.beta.ppf(p, 0.6, 0.6))):
        put(name, v)
        put(name + ".rest", v - v.astype(np.float32))       # the sum holds 48 bits


def a1111_walks():
    for n in STEPS[1:]:
        for i, part in enumerate(("timesteps", "abar", "abar_next")):
            put(f"a1111.list.{n}.{part}", [c[i] for c in originals.Ddim(n).calls()])


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    path = sys.argv[1] if len(sys.argv) > 1 else root / "tests/golden/sampling.safetensors"
    t = schedule_twins
    programs = {"a1111": t.A1111(), "comfyui": t.ComfyUI(), "sdcpp": t.SdCpp(), "a1111.zero": t.A1111(True),
                "comfyui.zero": t.ComfyUI(True), "comfyui.edm": t.ComfyUI(edm=True)}
    levels(programs)
    schedules(programs)
    ranges(programs["a1111"])
    for n in (5, 20):
        for program in ("a1111.zero", "comfyui.zero", "comfyui.edm"):
            for name in ("discrete", "karras", "sgm_uniform", "simple"):
                put(f"{program}.{name}.{n}", [float(v) for v in programs[program].make(name, n)])
    distributions()
    a1111_walks()
    save_file(dict(sorted(out.items())), path, metadata={"made_by": "tools/golden_sampling.py"})
    os.chmod(path, 0o644)
    print(f"{path}: {len(out)} tensors, {sum(a.nbytes for a in out.values())} bytes")


if __name__ == "__main__":
    main()
