"""A Stable Diffusion 1 single file as the original classes of diffusers and transformers, all in float32.

Everything is read from the names and shapes in the file, so small test models load like v1-5; nothing is
fetched. unet(), vae(), text_encoder() take the state dict of load(); tokenizer() builds transformers'
CLIPTokenizer from the merges inside the clip-anytorch package.
"""
import gzip
import importlib.metadata
import json
import pathlib
import re
import tempfile

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."
LATENT_SCALE = 0.18215


def load(path):
    return {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}


def count(state, pattern):
    """1 + the largest number that `pattern`'s group takes among the names."""
    return 1 + max(int(m[1]) for m in (re.match(pattern, k) for k in state) if m)


def unet(state):
    inputs = count(state, re.escape(UNET) + r"input_blocks\.(\d+)\.")
    downs = [i for i in range(inputs) if f"{UNET}input_blocks.{i}.0.op.weight" in state]
    levels, layers = len(downs) + 1, (downs[0] - 1 if downs else inputs - 1)
    first = [1 + level * (layers + 1) for level in range(levels)]
    widths = [state[f"{UNET}input_blocks.{i}.0.out_layers.3.weight"].shape[0] for i in first]
    attends = [f"{UNET}input_blocks.{i}.1.norm.weight" in state for i in first]
    context = state[f"{UNET}middle_block.1.transformer_blocks.0.attn2.to_k.weight"].shape[1]
    model = UNet2DConditionModel(
        in_channels=state[f"{UNET}input_blocks.0.0.weight"].shape[1],
        block_out_channels=widths, layers_per_block=layers, cross_attention_dim=context, attention_head_dim=8,
        down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)])
    model.load_state_dict(convert_ldm_unet_checkpoint(dict(state), dict(model.config)))
    return model.eval()


def vae(state):
    levels = count(state, re.escape(VAE) + r"encoder\.down\.(\d+)\.")
    layers = count(state, re.escape(VAE) + r"encoder\.down\.0\.block\.(\d+)\.")
    widths = [state[f"{VAE}encoder.down.{i}.block.0.conv2.weight"].shape[0] for i in range(levels)]
    model = AutoencoderKL(block_out_channels=widths, layers_per_block=layers, latent_channels=4,
                          scaling_factor=LATENT_SCALE, down_block_types=["DownEncoderBlock2D"] * levels,
                          up_block_types=["UpDecoderBlock2D"] * levels)
    model.load_state_dict(convert_ldm_vae_checkpoint(dict(state), dict(model.config)))
    return model.eval()


def text_encoder(state):
    inner = TEXT + "text_model."
    vocab, width = state[inner + "embeddings.token_embedding.weight"].shape
    config = CLIPTextConfig(
        vocab_size=vocab, hidden_size=width, hidden_act="quick_gelu",
        intermediate_size=state[inner + "encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=count(state, re.escape(inner) + r"encoder\.layers\.(\d+)\."),
        num_attention_heads=max(width // 64, 1),
        max_position_embeddings=state[inner + "embeddings.position_embedding.weight"].shape[0])
    model = CLIPTextModel(config)
    wanted = model.state_dict()
    prefix = "" if any(k.startswith("text_model.") for k in wanted) else "text_model."
    model.load_state_dict({k: state[TEXT + prefix + k] for k in wanted if "position_ids" not in k},
                          strict=not any("position_ids" in k for k in wanted))
    return model.eval()


def merges():
    package = importlib.metadata.distribution("clip-anytorch")
    with gzip.open(package.locate_file("clip/bpe_simple_vocab_16e6.txt.gz"), "rt", encoding="utf-8") as f:
        return f.read().split("\n")[1:49152 - 256 - 2 + 1]


def byte_letters():
    """The letters by which byte-level BPE writes the 256 bytes, in vocabulary order (Radford et al. 2019)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def tokenizer():
    pairs = merges()
    letters = byte_letters()
    pieces = letters + [c + "</w>" for c in letters] + [m.replace(" ", "") for m in pairs]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(pieces)}), encoding="utf-8")
        (path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(pairs), encoding="utf-8")
        (path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77, "pad_token": "<|endoftext|>",
                                                               "tokenizer_class": "CLIPTokenizer"}))
        return CLIPTokenizer.from_pretrained(folder)


class Model:
    """The parts of one file, ready to draw with."""

    def __init__(self, path):
        state = load(path)
        self.unet, self.vae, self.text = unet(state), vae(state), text_encoder(state)
        self.tokenizer = tokenizer()

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
