"""A Stable Diffusion 1 single file, ready to draw with in the original classes of diffusers and transformers, f32.

Nothing is fetched: the networks are ldm_to_diffusers', the tokenizer is original_tokenizer's.
"""
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

import ldm_to_diffusers
import original_tokenizer

LATENT_SCALE = 0.18215


class Model:
    """The parts of one file."""

    def __init__(self, path):
        parts = ldm_to_diffusers.Models(load_file(path))
        self.unet, self.vae, self.text = parts.unet, parts.vae, parts.text
        self.tokenizer = original_tokenizer.clip()

    def pipeline(self, scheduler):
        pipe = StableDiffusionPipeline(vae=self.vae, text_encoder=self.text, tokenizer=self.tokenizer, unet=self.unet,
                                       scheduler=scheduler, safety_checker=None, feature_extractor=None,
                                       requires_safety_checker=False)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @torch.no_grad()
    def encode(self, prompt):
        """[1, 77*chunks, width]: chunks of 75 tokens between start and end, padded by end (A1111; a prompt
        without commas, which would move the cut)."""
        ids = self.tokenizer(prompt, add_special_tokens=False).input_ids
        rows = [ids[i:i + 75] for i in range(0, len(ids), 75)] or [[]]
        rows = [[49406, *r, *[49407] * (76 - len(r))] for r in rows]
        return self.text(torch.tensor(rows)).last_hidden_state.flatten(0, 1)[None]

    @torch.no_grad()
    def decode(self, latent):
        """[n,h,w,3] about [-1,1], unclamped."""
        return self.vae.decode(latent / LATENT_SCALE).sample.permute(0, 2, 3, 1)
