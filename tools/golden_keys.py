#!/usr/bin/env python3
"""Writes tests/golden/keys.tsv: what diffusers and transformers call the tensors of every family, as a number of
names and the SHA-256 of the sorted list.

usage: golden_keys.py [--check]

Two kinds of rows, one a family and component:
  pairs  lines "single<TAB>folder": each tensor of a single file and what diffusers' own converters make of it
         (loaders/single_file_utils.py); followed through the conversion by its values
  names  the folder's names alone, of models that were never in a single file: from the model diffusers builds

Structures are those of tests/support/families.c, with widths that only have to be different where theirs are.
"""
import argparse
import hashlib
import pathlib

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as single
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

TOP = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = TOP / "tests" / "golden" / "keys.tsv"

# depths of transformers by level, resblocks a level, projections, label
UNETS = {
    "sd15": dict(mult=(1, 2, 4, 4), depth=(1, 1, 1, 0), linear=False, label=False),
    "sd21": dict(mult=(1, 2, 4, 4), depth=(1, 1, 1, 0), linear=True, label=False),
    "sdxl": dict(mult=(1, 2, 4), depth=(0, 2, 10), linear=True, label=True),
    "refiner": dict(mult=(1, 2, 4, 4), depth=(0, 4, 4, 0), linear=True, label=True),
}
CROSS, PLAIN = "CrossAttn{}Block2D", "{}Block2D"
SMALLER = {
    "ssd-1b": dict(mult=(1, 2, 4), blocks=2, depth=([0, 0], [2, 2], [4, 4]), back=([4, 4, 10], [2, 1, 1], [0, 0, 0]),
                   middle="UNetMidBlock2D", linear=True, label=True),
    "vega": dict(mult=(1, 2, 4), blocks=2, depth=(0, 1, 2), middle="UNetMidBlock2D", linear=True, label=True),
    "koala-700m": dict(mult=(1, 2, 4), blocks=1, depth=(0, 2, 5), middle=None, linear=True, label=True),
    "koala-1b": dict(mult=(1, 2, 4), blocks=1, depth=(0, 2, 6), middle="UNetMidBlock2DCrossAttn", linear=True,
                     label=True),
    "bk-sdm-base": dict(mult=(1, 2, 4, 4), blocks=1, depth=(1, 1, 1, 0), middle="UNetMidBlock2DCrossAttn",
                        linear=False, label=False),
    "bk-sdm-small": dict(mult=(1, 2, 4, 4), blocks=1, depth=(1, 1, 1, 0), middle=None, linear=False, label=False),
    "bk-sdm-tiny": dict(mult=(1, 2, 4), blocks=1, depth=(1, 1, 1), middle=None, linear=False, label=False),
    "sdxs-512": dict(mult=(1, 2, 4), blocks=1, depth=(0, 1, 1), middle=None, linear=False, label=False),
}


def build_unet(mult, depth, linear, label, blocks=2, middle="UNetMidBlock2DCrossAttn", back=None):
    crosses = [bool(d if isinstance(d, int) else d[0]) for d in depth]
    layers = [d or max(depth) if isinstance(d, int) else d if any(d) else 1 for d in depth]
    extra = dict(reverse_transformer_layers_per_block=[b if any(b) else 1 for b in back]) if back else {}
    extra |= dict(addition_embed_type="text_time", addition_time_embed_dim=32,
                  projection_class_embeddings_input_dim=224) if label else {}
    with torch.device("meta"):
        return UNet2DConditionModel(
            block_out_channels=[32 * m for m in mult], layers_per_block=blocks,
            down_block_types=[(CROSS if c else PLAIN).format("Down") for c in crosses],
            up_block_types=[(CROSS if c else PLAIN).format("Up") for c in reversed(crosses)],
            transformer_layers_per_block=layers, mid_block_type=middle, use_linear_projection=linear,
            cross_attention_dim=64, attention_head_dim=8, **extra)


# ---- single files -----------------------------------------------------------------------------

def layer(name, bias=True):
    yield name + ".weight"
    if bias:
        yield name + ".bias"


def resblock(p, widened):
    for part in ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"):
        yield from layer(f"{p}.{part}")
    if widened:
        yield from layer(f"{p}.skip_connection")


def transformer(p, depth):
    if not depth:
        return
    for part in ("norm", "proj_in", "proj_out"):
        yield from layer(f"{p}.{part}")
    for k in range(depth):
        b = f"{p}.transformer_blocks.{k}"
        for attention in ("attn1", "attn2"):
            for part in ("to_q", "to_k", "to_v"):
                yield from layer(f"{b}.{attention}.{part}", bias=False)
            yield from layer(f"{b}.{attention}.to_out.0")
        for part in ("norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2"):
            yield from layer(f"{b}.{part}")


def single_unet(mult, depth, linear, label):
    """CompVis' openaimodel.py: the blocks in the order in which it builds them."""
    for part in ("time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2"):
        yield from layer(part)
    if label:
        yield from layer("label_emb.0.0")
        yield from layer("label_emb.0.2")
    skips, width, k = [1], 1, 1
    for level, m in enumerate(mult):
        for _ in range(2):
            yield from resblock(f"input_blocks.{k}.0", width != m)
            yield from transformer(f"input_blocks.{k}.1", depth[level])
            width, k = m, k + 1
            skips.append(m)
        if level + 1 < len(mult):
            yield from layer(f"input_blocks.{k}.0.op")
            k += 1
            skips.append(m)
    middle = depth[-1] or max(depth)
    yield from resblock("middle_block.0", False)
    yield from transformer("middle_block.1", middle)
    yield from resblock("middle_block.2", False)
    k = 0
    for level in reversed(range(len(mult))):
        for i in range(3):
            yield from resblock(f"output_blocks.{k}.0", True)
            yield from transformer(f"output_blocks.{k}.1", depth[level])
            if i == 2 and level:
                yield from layer(f"output_blocks.{k}.{2 if depth[level] else 1}.conv")
            k += 1


def single_vae():
    def res(p, widened):
        for part in ("norm1", "conv1", "norm2", "conv2"):
            yield from layer(f"{p}.{part}")
        if widened:
            yield from layer(f"{p}.nin_shortcut")

    mult = (1, 2, 4, 4)
    for half in ("encoder", "decoder"):
        for part in ("conv_in", "norm_out", "conv_out"):
            yield from layer(f"{half}.{part}")
        yield from res(f"{half}.mid.block_1", False)
        yield from res(f"{half}.mid.block_2", False)
        for part in ("norm", "q", "k", "v", "proj_out"):
            yield from layer(f"{half}.mid.attn_1.{part}")
    width = 1
    for level, m in enumerate(mult):
        for i in range(2):
            yield from res(f"encoder.down.{level}.block.{i}", width != m)
            width = m
        if level < 3:
            yield from layer(f"encoder.down.{level}.downsample.conv")
    for level in reversed(range(4)):
        for i in range(3):
            yield from res(f"decoder.up.{level}.block.{i}", width != mult[level])
            width = mult[level]
        if level:
            yield from layer(f"decoder.up.{level}.upsample.conv")
    yield from layer("quant_conv")
    yield from layer("post_quant_conv")


def numbered(names, prefix, shape=(2, 2, 1, 1)):
    """A checkpoint in which every tensor holds its own number."""
    names = list(names)
    assert len(set(names)) == len(names)
    return names, {prefix + n: torch.full(shape if n.endswith("weight") else shape[:1], float(i + 1))
                   for i, n in enumerate(names)}


def followed(names, converted):
    return [f"{names[int(t.flatten()[0].item()) - 1]}\t{name}" for name, t in converted.items()]


def unet_pairs(stock):
    names, state = numbered(single_unet(**stock), "model.diffusion_model.")
    model = build_unet(**stock)
    converted = single.convert_ldm_unet_checkpoint(state, dict(model.config))
    assert converted.keys() == model.state_dict().keys(), "the list above is not diffusers' list"
    return followed(names, converted)


def vae_pairs():
    names, state = numbered(single_vae(), "first_stage_model.")
    with torch.device("meta"):
        model = AutoencoderKL(block_out_channels=(32, 64, 128, 128), down_block_types=["DownEncoderBlock2D"] * 4,
                              up_block_types=["UpDecoderBlock2D"] * 4, layers_per_block=2, latent_channels=4)
    converted = single.convert_ldm_vae_checkpoint(state, dict(model.config))
    assert converted.keys() == model.state_dict().keys(), "the list above is not diffusers' list"
    return followed(names, converted)


def text_pairs():
    """OpenCLIP's text tower of three layers: "name<TAB>folder's name", fused ones three times."""
    def openclip():
        yield "positional_embedding"
        yield "token_embedding.weight"
        for i in range(3):
            p = f"transformer.resblocks.{i}"
            yield from (f"{p}.attn.in_proj_weight", f"{p}.attn.in_proj_bias")
            for part in ("ln_1", "ln_2", "attn.out_proj", "mlp.c_fc", "mlp.c_proj"):
                yield from layer(f"{p}.{part}")
        yield from layer("ln_final")
        yield "text_projection"

    names = list(openclip())
    width, prefix, state = 64, "conditioner.embedders.1.model.", {}
    for i, n in enumerate(names):
        rows = 3 * width if "in_proj" in n else width
        state[prefix + n] = torch.full((rows,) if n.endswith("bias") else (rows, width), float(i + 1))
    config = CLIPTextConfig(hidden_size=width, intermediate_size=width, num_hidden_layers=3, num_attention_heads=1,
                            vocab_size=width, projection_dim=width, max_position_embeddings=width)
    with torch.device("meta"):
        model = CLIPTextModelWithProjection(config)
    converted = single.convert_open_clip_checkpoint(model, state, prefix=prefix)
    converted.pop("text_model.embeddings.position_ids", None)
    long = {n if n.startswith(("text_model.", "text_projection.")) else "text_model." + n: t
            for n, t in converted.items()}      # transformers 5 leaves "text_model." out
    return followed(names, long)


def row(kind, family, component, lines):
    text = "".join(line + "\n" for line in sorted(lines))
    return f"{kind}\t{family}\t{component}\t{len(lines)}\t{hashlib.sha256(text.encode()).hexdigest()}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = "".join(row("pairs", name, "unet", unet_pairs(stock)) for name, stock in UNETS.items())
    text += row("pairs", "sd15", "vae", vae_pairs()) + row("pairs", "sdxl", "text", text_pairs())
    for name, stock in SMALLER.items():
        model = build_unet(**stock)
        text += row("names", name, "unet", list(model.state_dict()))
    if options.check:
        assert GOLDEN.read_text() == text, "tests/golden/keys.tsv says something else"
    else:
        GOLDEN.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
