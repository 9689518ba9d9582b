#!/usr/bin/env python3
"""Times SD1.5's UNet step (2 x 512 x 512) and VAE decoder in PyTorch f32 with random weights: the peer of
`sdgen-bench --model`. With one thread the time is the processor's, as there.

usage: bench_torch.py [THREADS] [ROUNDS]
"""
import sys
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

threads = int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads()
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
torch.set_num_threads(threads)
now = time.process_time if threads == 1 else time.monotonic


def timed(call):
    start = now()
    call()
    return now() - start


with torch.no_grad():
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).eval()
    vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
                        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4).eval()
    latent, text, t = torch.randn(2, 4, 64, 64), torch.randn(2, 77, 768), torch.tensor([500, 500])
    for _ in range(rounds):
        print(f"UNet step (2 x 512 x 512) {timed(lambda: unet(latent, t, text)):7.3f} s   "
              f"VAE {timed(lambda: vae.decode(latent[:1])):7.3f} s", flush=True)
