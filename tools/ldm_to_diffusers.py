"""From the single-file (LDM) form of a Stable Diffusion checkpoint to the modules of diffusers and transformers.

The two name the same tensors differently: LDM numbers the UNet's blocks straight through, resampling convolutions
included, diffusers counts levels and blocks within them; the VAE's decoder is counted from the other end; the
VAE's attention is 1x1 convolutions here and linear layers there. checkpoints/spelling.py states the rules, the
builders read all sizes from names and shapes and load with strict=True, so a wrong rule cannot pass.

    models = Models(load_file("v1-5.safetensors"));  models.text, models.unet, models.vae     all f32, eval
"""
import re

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from checkpoints.spelling import unet_key, vae_key

TEXT = "cond_stage_model.transformer.text_model."
UNET = "model.diffusion_model."
VAE = "first_stage_model."


def parts(state, prefix):
    """The tensors of one network, prefix removed, f32; CLIP's position_ids are no weights."""
    return {k[len(prefix):]: v.float() for k, v in state.items()
            if k.startswith(prefix) and not k.endswith("position_ids")}


def numbers(state, pattern):
    """How many numbers 0, 1, ... the group of `pattern` takes among the names."""
    return 1 + max(int(m[1]) for k in state if (m := re.match(pattern, k)))


# ---- modules ----------------------------------------------------------------------------------

def make_text(state, activation="quick_gelu"):
    w = parts(state, TEXT)
    vocab, width = w["embeddings.token_embedding.weight"].shape
    model = CLIPTextModel(CLIPTextConfig(
        vocab_size=vocab, hidden_size=width, num_attention_heads=width // 64, hidden_act=activation,
        bos_token_id=vocab - 2, eos_token_id=vocab - 1,
        num_hidden_layers=numbers(w, r"encoder\.layers\.(\d+)\."),
        intermediate_size=w["encoder.layers.0.mlp.fc1.weight"].shape[0],
        max_position_embeddings=w["embeddings.position_embedding.weight"].shape[0]))
    # transformers 4 kept a "text_model." in front of the names, 5 does not
    prefix = "text_model." if "text_model.final_layer_norm.bias" in model.state_dict() else ""
    model.load_state_dict({prefix + k: v for k, v in w.items()})
    return model.eval()


def unet_walk(w):
    """(level, block within it) of every entry of input_blocks from the first and of output_blocks, as diffusers
    counts them; a level ends with its stride-2 convolution."""
    inputs, level, i = [], 0, 0
    for number in range(1, numbers(w, r"input_blocks\.(\d+)\.")):
        inputs.append((level, i))
        level, i = (level + 1, 0) if f"input_blocks.{number}.0.op.weight" in w else (level, i + 1)
    blocks = [sum(1 for entry in inputs if entry[0] == n) - (n < level) for n in range(level + 1)]
    return inputs, [(n, i) for n, count in enumerate(reversed(blocks)) for i in range(count + 1)]


def eight_heads(w):
    """SD1 and what came of it have 8 heads at every width, all others heads of 64 channels. Where the context's width
    is no known text encoder's, the shape of the projections tells."""
    context = next(v.shape[1] for k, v in w.items() if k.endswith("attn2.to_k.weight"))
    conv = next(v.dim() == 4 for k, v in w.items() if k.endswith("proj_in.weight"))
    return context == 768 or (context not in (1024, 1280, 2048) and conv)


def unet_config(w, sizes=None):
    """Arguments of UNet2DConditionModel, read from names and shapes. Of the vector that SDXL takes beside the
    timestep, `sizes` = (how many numbers, width of each, embedded) come behind the text."""
    inputs, outputs = unet_walk(w)
    levels = inputs[-1][0] + 1

    def depth(p):
        return sum(1 for k in w if re.match(re.escape(p) + r"\.1\.transformer_blocks\.\d+\.norm1\.bias", k))

    def side(name, first, entries):
        found = [[] for _ in range(levels)]
        for number, (level, _) in enumerate(entries):
            if f"{name}.{number + first}.0.out_layers.3.weight" in w:
                found[level].append(depth(f"{name}.{number + first}"))
        return found

    down, up = side("input_blocks", 1, inputs), side("output_blocks", 0, outputs)
    first = [1 + next(i for i, entry in enumerate(inputs) if entry == (level, 0)) for level in range(levels)]
    widths = [w[f"input_blocks.{i}.0.out_layers.3.weight"].shape[0] for i in first]
    context = next(v for k, v in w.items() if k.endswith("attn2.to_k.weight")).shape[1]
    key = "input_blocks.{}.1.transformer_blocks.0.attn1.to_k.weight"
    middle = ("UNetMidBlock2DCrossAttn" if "middle_block.2.in_layers.0.weight" in w else
              "UNetMidBlock2D" if "middle_block.0.in_layers.0.weight" in w else None)
    config = dict(
        in_channels=w["input_blocks.0.0.weight"].shape[1], out_channels=w["out.2.weight"].shape[0],
        block_out_channels=widths, layers_per_block=[len(d) for d in down], cross_attention_dim=context,
        use_linear_projection=next(v.dim() == 2 for k, v in w.items() if k.endswith("proj_in.weight")),
        attention_head_dim=8 if eight_heads(w) else [c // 64 for c in widths],      # in truth their number
        only_cross_attention=[key.format(i) in w and w[key.format(i)].shape[1] == context != c
                              for i, c in zip(first, widths)],
        down_block_types=["CrossAttnDownBlock2D" if any(d) else "DownBlock2D" for d in down],
        up_block_types=["CrossAttnUpBlock2D" if any(d) else "UpBlock2D" for d in up],
        mid_block_type=middle, mid_block_only_cross_attention=False)
    mirror = all(len(set(d)) == 1 and set(d) == set(u) for d, u in zip(down, reversed(up)))
    if mirror:      # the last number is the middle's, too: diffusers has none of its own for it
        config["transformer_layers_per_block"] = [max(d[0], 1) for d in down[:-1]] + [depth("middle_block") or down[-1][0] or 1]
    else:
        config["transformer_layers_per_block"] = [[max(n, 1) for n in d] for d in down]
        config["reverse_transformer_layers_per_block"] = [[max(n, 1) for n in d] for d in up]
    if "label_emb.0.0.weight" in w:
        config |= dict(addition_embed_type="text_time", addition_time_embed_dim=sizes[1],
                       projection_class_embeddings_input_dim=w["label_emb.0.0.weight"].shape[1])
    if "time_embed.cond_proj.weight" in w:
        config["time_cond_proj_dim"] = w["time_embed.cond_proj.weight"].shape[1]
    return config


def make_unet(state, sizes=None):
    w = parts(state, UNET)
    model = UNet2DConditionModel(**unet_config(w, sizes))
    inputs, outputs = unet_walk(w)

    def place(way, number):
        return inputs[number - 1] if way == "input" else outputs[number]

    model.load_state_dict({unet_key(k, place): v for k, v in w.items()})
    return model.eval()


def make_vae(state, scale=0.18215):
    w = parts(state, VAE)
    levels = numbers(w, r"decoder\.up\.(\d+)\.")
    model = AutoencoderKL(
        block_out_channels=[w[f"decoder.up.{i}.block.0.conv2.weight"].shape[0] for i in range(levels)],
        layers_per_block=numbers(w, r"decoder\.up\.0\.block\.(\d+)\.") - 1,
        latent_channels=w["post_quant_conv.weight"].shape[0], scaling_factor=scale,
        down_block_types=["DownEncoderBlock2D"] * levels, up_block_types=["UpDecoderBlock2D"] * levels)
    model.load_state_dict({vae_key(k, levels): v.flatten(1) if ".attn_1." in k and v.dim() == 4 else v
                           for k, v in w.items()})
    return model.eval()


class Models:
    """The networks that the state has; `sizes`: see unet_config."""

    def __init__(self, state, activation="quick_gelu", sizes=None):
        def has(prefix):
            return any(k.startswith(prefix) for k in state)

        self.text = make_text(state, activation) if has(TEXT) else None
        self.unet = make_unet(state, sizes) if has(UNET) else None
        self.vae = make_vae(state) if has(VAE) else None
