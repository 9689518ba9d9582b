"""Writes tests/golden/samplers_demo.safetensors: the last latent of four steps on the bundled model, of every sampler
under every program that has it (demo_walks.py). Read by tests/test_samplers_demo.c.

    PROGRAM.SAMPLER.SCHEDULE   [4*8*8]
    sigmas.LIST                the levels of the walks in sigma space
    metadata                   prompt, negative, cfg, seed, steps

usage: golden_samplers_demo.py [OUTPUT]
"""
import os
import pathlib
import sys

import diffusers
import numpy as np
from safetensors.numpy import save_file

import demo_walks

STEPS = 4


K_DIFFUSION = "euler_a euler lms heun dpm2 dpm2_a dpmpp_2s_a dpmpp_2m dpmpp_sde dpmpp_2m_sde dpmpp_2m_sde_heun dpmpp_3m_sde " \
    "dpm_fast dpm_adaptive heunpp2 lcm ddpm"
PAIRS = {                                                   # without those that a program lacks
    "a1111": f"{K_DIFFUSION} restart ddim ddim_cfg_pp plms unipc unipc_bh2",
    "diffusers": " ".join(demo_walks.CLASSES),
    "comfyui": f"{K_DIFFUSION} ddim unipc unipc_bh2 deis ipndm ipndm_v res_multistep res_multistep_a er_sde gradient_estimation "
               "euler_cfg_pp euler_a_cfg_pp dpmpp_2s_a_cfg_pp dpmpp_2m_cfg_pp res_multistep_cfg_pp res_multistep_a_cfg_pp "
               "gradient_estimation_cfg_pp",
    "sd.cpp": "euler_a euler lms heun dpm2 dpmpp_2s_a dpmpp_2m dpmpp_2m_v2 ddim ipndm ipndm_v lcm tcd res_multistep res_2s er_sde "
              "gradient_estimation euler_cfg_pp euler_a_cfg_pp"}


def pairs():
    return [(program, sampler) for program, names in PAIRS.items() for sampler in names.split()]


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    path = sys.argv[1] if len(sys.argv) > 1 else root / "tests/golden/samplers_demo.safetensors"
    diffusers.utils.logging.set_verbosity_error()
    demo = demo_walks.Demo(root / "models/data/sdgen-emoji.safetensors")
    out = {"sigmas.karras": np.asarray(demo_walks.sigmas_of("karras", STEPS), dtype=np.float32)}
    for program, sampler in pairs():
        schedule = demo_walks.schedules(program, sampler)[0]
        states = demo_walks.walk(demo, program, sampler, schedule, STEPS)
        if states is None or not np.isfinite(states[-1]).all():
            raise SystemExit(f"{program} {sampler}: no walk")
        out[f"{program}.{sampler}.{schedule}"] = states[-1]
        print(f"{program:10} {sampler:28} {schedule:10} {len(states):3} steps, largest {np.abs(states[-1]).max():.3f}", flush=True)
    made = dict(prompt=demo_walks.PROMPT, negative=demo_walks.NEGATIVE, cfg=demo_walks.SCALE, seed=demo_walks.SEED, steps=STEPS,
                side=8 * demo_walks.SIDE, made_by="tools/golden_samplers_demo.py")
    save_file(dict(sorted(out.items())), path, metadata={k: str(v) for k, v in made.items()})
    os.chmod(path, 0o644)
    print(f"{path}: {len(out)} tensors, {sum(a.nbytes for a in out.values())} bytes")


if __name__ == "__main__":
    main()
