"""Writes tests/golden/samplers_diffusers.safetensors, read by tests/test_schedule_diffusers.c and
test_samplers_diffusers.c: the lists of diffusers' scheduler classes for Stable Diffusion's configuration, their walks
on the denoiser of samplers_common.py, and A1111's walks over abar (twins_vp.py).

    list.<class>.<spacing>.<flag>        for every n of COUNTS: n, entries, init_noise_sigma, timesteps, sigmas
    list.<class>.<spacing>.plain         classes that hold abar: ... timesteps, abar, abar where the step leads
    walk.<sampler>.<spacing>.<n>.<prediction>[.eta<eta>]   latent after every step; from hash noise "start"
    a1111.<sampler>.<n>.<prediction>[.eta<eta>]            the same

usage: golden_samplers_diffusers.py [OUTPUT]
"""
import math
import os
import pathlib
import sys
import warnings

import diffusers
import numpy as np
import torch
from safetensors.numpy import save_file

import originals
import twins_vp
from samplers_common import LEN, N, STEPS, Draws, denoised, f32, start, uncond

COUNTS = (1, 2, 3, 4, 7, 10, 20, 25, 50)
MORE = {"trailing": (61, 103)}                              # numpy's arange gives one entry more here
SPACINGS = ("leading", "linspace", "trailing")
FLAGS = ("plain", "karras", "exponential", "beta")
SIGMA = {                                                   # class: has flags, has zero terminal SNR
    "EulerDiscrete": (True, True), "EulerAncestralDiscrete": (False, True), "HeunDiscrete": (True, False),
    "LMSDiscrete": (True, False), "KDPM2Discrete": (True, False), "KDPM2AncestralDiscrete": (True, False),
    "DPMSolverSDE": (True, False), "DPMSolverMultistep": (True, True), "UniPCMultistep": (True, True),
    "DEISMultistep": (True, False)}
ABAR = {"DDIM": SPACINGS, "DDIMInverse": ("leading", "trailing"), "PNDM": SPACINGS, "DDPM": SPACINGS}
PREDICTIONS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
out = {}


def scheduler(name, spacing=None, **options):
    cls = getattr(diffusers, name + "Scheduler")
    known = dict(originals.SD1, timestep_spacing=spacing, clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True)
    known.update(options)
    if spacing is None:
        del known["timestep_spacing"]
    takes = cls.__init__.__wrapped__.__code__.co_varnames
    return cls(**{k: v for k, v in known.items() if k in takes})


# ---- lists ----

def entries(s, name):
    """The timesteps at which a class asks the model once a step: the second evaluations come between."""
    t = s.timesteps.double().numpy()
    sigmas = getattr(s, "sigmas", None)
    if name in ("HeunDiscrete", "DPMSolverSDE"):            # every level but the ends comes twice
        return t[0::2], torch.cat([sigmas[:1], sigmas[1:-1:2], sigmas[-1:]])
    if "KDPM2" in name:                                     # the last one thrice
        return t[0::2], torch.cat([sigmas[:1], sigmas[1:-1:2]])
    return t, sigmas


def sigma_list(s, name, n):
    s.set_timesteps(n)
    t, sigmas = entries(s, name)
    return [n, len(t), float(s.init_noise_sigma), *t, *sigmas.double().numpy()]


def abar_list(s, name, n):
    """timesteps, abar of each entry and where its step leads, by the rules of step()."""
    s.set_timesteps(n)
    t = s.timesteps.tolist()
    if min(t) < 0 or max(t) > 999:
        return None
    ac, stride = s.alphas_cumprod.double().numpy(), 1000 // n
    floor = lambda v: ac[v] if v >= 0 else ac[0]
    here, there = [ac[v] for v in t], [floor(v - stride) for v in t]
    if name == "DDIMInverse":
        here, there = there, here
    elif name == "PNDM" and len(t) > 1:
        here[1], there[1] = ac[t[1] + stride], ac[t[1]]
    elif name in ("DDPM", "LCM", "TCD"):
        there = [ac[v] for v in t[1:]] + [ac[0] if name == "TCD" else 1.0]
    return [n, len(t), float(s.init_noise_sigma), *t, *here, *there]


def put_lists(key, make, counts):
    out[key] = f32([v for n in counts for v in (make(n) or [])])


def lists():
    for name, (flags, zero) in SIGMA.items():
        for spacing in SPACINGS:
            for flag in FLAGS if flags else FLAGS[:1]:
                s = scheduler(name, spacing, **({} if flag == "plain" else {f"use_{flag}_sigmas": True}))
                counts = COUNTS + MORE.get(spacing, ())
                if flag == "plain" and (name, spacing) in (("EulerDiscrete", "leading"), ("DPMSolverMultistep", "linspace")):
                    counts += (999,)
                put_lists(f"list.{name}.{spacing}.{flag}", lambda n: sigma_list(s, name, n), counts)
            if zero:
                s = scheduler(name, spacing, rescale_betas_zero_snr=True, prediction_type="v_prediction")
                put_lists(f"list.{name}.{spacing}.zero", lambda n: sigma_list(s, name, n), (4, 10, 25))
    for name, spacings in ABAR.items():
        for spacing in spacings:
            s = scheduler(name, spacing)
            put_lists(f"list.{name}.{spacing}.plain", lambda n: abar_list(s, name, n),
                      COUNTS + ((999,) if (name, spacing) == ("DDIM", "leading") else ()))
            if name != "PNDM":
                s = scheduler(name, spacing, rescale_betas_zero_snr=True, prediction_type="v_prediction")
                put_lists(f"list.{name}.{spacing}.zero", lambda n: abar_list(s, name, n), (4, 10, 25))
    for name in ("LCM", "TCD"):
        put_lists(f"list.{name}.lcm.plain", lambda n: abar_list(scheduler(name), name, n), range(1, 51))


GIVEN_T = (999, 850, 736, 645, 545, 455, 343, 233, 124, 24)
GIVEN_S = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.0)


def given():
    """timesteps= and sigmas= of the classes that take them."""
    out["given.timesteps"], out["given.sigmas"] = f32(GIVEN_T), f32(GIVEN_S)
    for name in ("EulerDiscrete", "HeunDiscrete", "DPMSolverMultistep"):
        s = scheduler(name, "leading")
        s.set_timesteps(timesteps=list(GIVEN_T))
        t, sigmas = entries(s, name)
        out[f"given.{name}"] = f32([len(t), len(t), float(s.init_noise_sigma), *t, *sigmas.double().numpy()])
    s = scheduler("EulerDiscrete", "leading")
    s.set_timesteps(sigmas=list(GIVEN_S))
    t = s.timesteps.double().numpy()
    out["given.EulerDiscrete.sigmas"] = f32([len(t), len(t), float(s.init_noise_sigma), *t, *s.sigmas.double().numpy()])
    for name in ("DDPM", "LCM", "TCD"):
        s = scheduler(name, "leading" if name == "DDPM" else None)
        s.set_timesteps(timesteps=list(GIVEN_T))
        t, ac = s.timesteps.tolist(), s.alphas_cumprod.double().numpy()
        there = [ac[v] for v in t[1:]] + [ac[0] if name == "TCD" else 1.0]
        out[f"given.{name}"] = f32([len(t), len(t), 1.0, *t, *[ac[v] for v in t], *there])


# ---- walks ----

def network(prediction, abar):
    """The denoiser as a network that holds x = sqrt(abar) x0 + sqrt(1-abar) eps; the level is an f32 in the table."""
    sigma = (((1 - abar) / abar) ** 0.5).double().numpy()

    def answer(x, t, clean=denoised):
        s = float(sigma[int(t)])
        root = math.sqrt(s * s + 1)
        wide = np.asarray(x, dtype=np.float64) * root
        d = clean(wide, s)
        if prediction == "eps":
            return (wide - d) / s
        return (wide / root ** 2 - d) * root / s if prediction == "v" else d

    return answer


def walk(name, spacing, n, prediction, eta=None):
    """States [entries][N*LEN] of a class, with draw k from hash noise."""
    s = scheduler(name, spacing, prediction_type=PREDICTIONS[prediction])
    s.set_timesteps(n)
    module, draws = sys.modules[type(s).__module__], Draws(like=torch.from_numpy)
    if hasattr(module, "randn_tensor"):
        module.randn_tensor = draws
    answer = network(prediction, s.alphas_cumprod)
    x, states = torch.from_numpy(start(1.0)), []
    for t in s.timesteps:
        e = torch.from_numpy(answer(x.numpy(), t).astype(np.float32))
        x = s.step(e, t if name != "DDIM" else int(t), x, **({} if eta is None else {"eta": eta})).prev_sample
        states.append(x.numpy().reshape(-1))
    return f32(states).reshape(-1)


def walks():
    for n in STEPS:
        for p in PREDICTIONS:
            for spacing in SPACINGS:
                for eta in (0.0, 1.0):
                    out[f"walk.ddim.{spacing}.{n}.{p}.eta{eta:g}"] = walk("DDIM", spacing, n, p, eta)
                out[f"walk.ddpm.{spacing}.{n}.{p}"] = walk("DDPM", spacing, n, p)
                if p != "x0":
                    out[f"walk.pndm.{spacing}.{n}.{p}"] = walk("PNDM", spacing, n, p)
                if spacing != "linspace":
                    out[f"walk.ddim_inverse.{spacing}.{n}.{p}"] = walk("DDIMInverse", spacing, n, p)
            out[f"walk.lcm.lcm.{n}.{p}"] = walk("LCM", None, n, p)
            for eta in (0.0, 0.3, 1.0):
                out[f"walk.tcd.lcm.{n}.{p}.eta{eta:g}"] = walk("TCD", None, n, p, eta)


def a1111():
    abar = originals.alphas_ldm()
    answer = network("eps", abar)
    clean = lambda x, t: answer(x, t, uncond)
    scale = 7.0
    cond = lambda x, t: clean(x, t) + (answer(x, t) - clean(x, t)) / scale     # so that the guided one is the denoiser
    join = lambda states: f32(list(states)).reshape(-1)
    for n in STEPS:
        x = start(1.0).astype(np.float64)
        out[f"a1111.plms.{n}"] = join(twins_vp.plms(x, answer, n))
        for eta in (0.0, 0.5, 1.0):
            out[f"a1111.ddim.{n}.eta{eta:g}"] = join(v for _, v in originals.Ddim(n).run(answer, x, eta, Draws()))
            out[f"a1111.ddim_cfg_pp.{n}.eta{eta:g}"] = join(twins_vp.ddim_cfgpp(x, cond, clean, scale, n, eta, Draws()))


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    path = sys.argv[1] if len(sys.argv) > 1 else root / "tests/golden/samplers_diffusers.safetensors"
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    lists()
    given()
    walks()
    a1111()
    save_file(dict(sorted(out.items())), path, metadata={"made_by": "tools/golden_samplers_diffusers.py"})
    os.chmod(path, 0o644)
    print(f"{path}: {len(out)} tensors, {sum(a.nbytes for a in out.values())} bytes")


if __name__ == "__main__":
    main()
