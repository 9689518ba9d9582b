"""Step 4: one file in the layout of Stable Diffusion 1.x, f16, with the latents scaled to its 0.18215.

Programs multiply latents by 0.18215, but ours have unit deviation at another scale. The 1x1 convolutions
around the latents absorb the ratio, so the file needs no special case.

    python export.py vae-tuned.pt unet.pt sdgen-emoji.safetensors
"""
import argparse
import math

import torch
from safetensors.torch import save_file

from networks import CLIPText, LATENT_CHANNELS, UNet, VAE

SD_SCALE, VOCABULARY = 0.18215, 49408
METADATA = {
    "format": "pt",
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.architecture": "stable-diffusion-v1",
    "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
    "modelspec.title": "sdgen-emoji",
    "modelspec.resolution": "128x128",
    "modelspec.prediction_type": "epsilon",
    "modelspec.license": "Apache-2.0",
    "modelspec.description": "Tiny demonstration model trained on Noto Emoji pictures (Google, Apache-2.0)",
}


def rescale_latents(vae, factor):
    """Makes encode() give latents `factor` times as large, and decode() expect them."""
    half = LATENT_CHANNELS
    with torch.no_grad():
        vae.quant_conv.weight[:half] *= factor
        vae.quant_conv.bias[:half] *= factor
        vae.quant_conv.bias[half:] += 2 * math.log(factor)  # the log variance
        vae.post_quant_conv.weight /= factor


def averaged_networks(state):
    """The UNet and the text encoder with the moving average of their weights."""
    unet, text = UNet(), CLIPText(len(state["used"]))
    with torch.no_grad():
        for parameter, value in zip([*unet.parameters(), *text.parameters()], state["average"], strict=True):
            parameter.copy_(value)
    return unet, text


def single_file(vae, unet, text, used):
    """All tensors by their names in a single file; tokens that were never trained get zero rows."""
    table = torch.zeros(VOCABULARY, text.token_table.shape[1])
    table[used] = text.token_table.detach()
    tensors = {"first_stage_model." + name: value for name, value in vae.state_dict().items()}
    tensors |= {"model.diffusion_model." + name: value for name, value in unet.state_dict().items()}
    tensors |= {"cond_stage_model.transformer." + name: value for name, value in text.state_dict().items()}
    embeddings = "cond_stage_model.transformer.text_model.embeddings."
    tensors[embeddings + "token_embedding.weight"] = table
    tensors = {name: value.detach().half().contiguous() for name, value in tensors.items()}
    tensors[embeddings + "position_ids"] = torch.arange(77)[None]
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vae")
    parser.add_argument("unet")
    parser.add_argument("output")
    args = parser.parse_args()
    vae, state = VAE(), torch.load(args.unet)
    vae.load_state_dict(torch.load(args.vae)["vae"])
    rescale_latents(vae, state["scale"] / SD_SCALE)
    tensors = single_file(vae, *averaged_networks(state), state["used"])
    save_file(tensors, args.output, metadata=METADATA)
    print(f"{args.output}: {sum(value.numel() for value in tensors.values()) / 1e6:.1f} M values")


if __name__ == "__main__":
    main()
