"""Step 5: a contact sheet, drawn by diffusers from the exported file (Euler a, 20 steps, guidance 5).

    python sheet.py sdgen-emoji.safetensors sheet.png --merges bpe_simple_vocab_16e6.txt.gz ["a cat" ...]
"""
import argparse

import numpy as np
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from PIL import Image
from safetensors.torch import load_file

import pictures as pics
from captions import Tokenizer
from networks import CLIPText

SD_SCALE, GUIDANCE, STEPS = 0.18215, 5.0, 20


def load_unet(tensors):
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(64, 128, 128), layers_per_block=1, cross_attention_dim=128,
        attention_head_dim=8, down_block_types=["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
        up_block_types=["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"])
    unet.load_state_dict(convert_ldm_unet_checkpoint(dict(tensors), dict(unet.config)))
    return unet.eval()


def load_vae(tensors):
    vae = AutoencoderKL(
        block_out_channels=(64, 64, 128, 256), layers_per_block=1, latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4)
    vae.load_state_dict(convert_ldm_vae_checkpoint(dict(tensors), dict(vae.config)))
    return vae.eval()


def load_text(tensors):
    prefix = "cond_stage_model.transformer."
    text = CLIPText(49408)
    text.load_state_dict({name[len(prefix):]: value for name, value in tensors.items()
                          if name.startswith(prefix) and "position_ids" not in name})
    return text.eval()


@torch.no_grad()
def draw(tensors, tokenizer, prompts):
    """Pictures of the prompts, uint8 [n,128,128,3]."""
    unet, vae, text = load_unet(tensors), load_vae(tensors), load_text(tensors)
    wanted = text(torch.tensor([tokenizer.ids(prompt) for prompt in prompts]))
    nothing = text(torch.tensor([tokenizer.ids("")] * len(prompts)))
    scheduler = EulerAncestralDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                                                steps_offset=1, timestep_spacing="leading")
    scheduler.set_timesteps(STEPS)
    x = torch.randn(len(prompts), 4, 16, 16) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        noise = unet(torch.cat([scaled, scaled]), t, torch.cat([nothing, wanted])).sample
        without, with_text = noise.chunk(2)
        x = scheduler.step(without + GUIDANCE * (with_text - without), t, x).prev_sample
    y = vae.decode(x / SD_SCALE).sample.clamp(-1, 1)
    return ((y.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().astype(np.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("prompts", nargs="*", help="default: every name, each on one background")
    parser.add_argument("--merges", required=True)
    args = parser.parse_intermixed_args()
    backgrounds = list(pics.BACKGROUNDS)
    prompts = args.prompts or [f"a {name} on a {backgrounds[i % len(backgrounds)]} background"
                               for i, name in enumerate(sorted(pics.KNOWN))]
    torch.manual_seed(0)
    tensors = {name: value.float() for name, value in load_file(args.model).items()}
    images = draw(tensors, Tokenizer(args.merges), prompts)
    columns = min(12, len(images))
    sheet = Image.new("RGB", (pics.SIZE * columns, pics.SIZE * -(-len(images) // columns)))
    for i, image in enumerate(images):
        sheet.paste(Image.fromarray(image), (i % columns * pics.SIZE, i // columns * pics.SIZE))
    sheet.save(args.output)


if __name__ == "__main__":
    main()
