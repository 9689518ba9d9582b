#!/usr/bin/env python3
"""Writes tests/golden/vae_tiles.safetensors: what diffusers' AutoencoderKL makes of latents tile by tile
(enable_tiling, tiled_decode; f32, CPU), with the hash weights of a small layout.

usage: golden_vae_tiles.py [--check]

The cases have their twins in tests/test_vae_tiles.c. --check writes nothing and compares with the stored file.
"""
import argparse
import json

import torch
from safetensors.torch import load_file, save_file

from golden_models import TOP, hash_model, hashed, ratio
from ldm_to_diffusers import Models

LAYOUT = "shallow"      # a factor of 2: much seam for few pixels
# latent height and width, latent side of a tile, overlap: short last tiles, of one line too; one row of tiles;
# an overlap of more than half a tile; smaller than a tile
CASES = (13, 20, 8, 0.25), (8, 20, 8, 0.25), (11, 8, 4, 0.5), (10, 7, 8, 0.75), (5, 8, 8, 0.25)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    vae = Models(hash_model(json.loads((TOP / "tests" / "layouts.json").read_text())[LAYOUT]), "gelu").vae
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    vae.enable_tiling()
    golden = {}
    for h, w, tile, overlap in CASES:
        vae.tile_latent_min_size, vae.tile_sample_min_size = tile, tile * factor
        vae.tile_overlap_factor = overlap
        z = hashed(f"tiles.{h}x{w}", 1, vae.config.latent_channels, h, w)
        golden[f"tiles.{h}x{w}"] = vae.decode(z).sample.contiguous()
    path = TOP / "tests" / "golden" / "vae_tiles.safetensors"
    if not options.check:
        save_file(golden, path)
        return
    stored = load_file(path)
    worst = max(ratio(golden[case], stored[case]) for case in golden)
    assert worst < 2e-5 and stored.keys() == golden.keys(), worst


if __name__ == "__main__":
    main()
