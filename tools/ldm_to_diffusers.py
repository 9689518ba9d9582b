"""From the single-file (LDM) form of a Stable Diffusion checkpoint to the modules of diffusers and transformers.

The two name the same tensors differently: LDM numbers the UNet's blocks straight through, resampling convolutions
included, diffusers counts levels and blocks within them; the VAE's decoder is counted from the other end; the
VAE's attention is 1x1 convolutions here and linear layers there. `key` states the rules (after diffusers
loaders/single_file_utils.py, written anew), the builders read all sizes from names and shapes and load with
strict=True, so a wrong rule cannot pass.

    models = Models(load_file("v1-5.safetensors"));  models.text, models.unet, models.vae     all f32, eval
"""
import re

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

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


# ---- names ------------------------------------------------------------------------------------

RESBLOCK = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
            "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}
UNET_ENDS = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
             "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out"}
MIDDLE = {"0": "mid_block.resnets.0", "1": "mid_block.attentions.0", "2": "mid_block.resnets.1"}
VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def inner(rest):
    """Within a UNet block: residual blocks are renamed, transformers keep their names."""
    for ldm, ours in RESBLOCK.items():
        if rest.startswith(ldm + "."):
            return ours + rest[len(ldm):]
    return rest


def unet_key(name, blocks):
    """`blocks`: residual blocks per level on the way down."""
    stem, leaf = name.rsplit(".", 1)
    if stem in UNET_ENDS:
        return f"{UNET_ENDS[stem]}.{leaf}"
    if m := re.match(r"middle_block\.(\d)\.(.*)", name):
        return f"{MIDDLE[m[1]]}.{inner(m[2])}"
    way, number, part, rest = re.match(r"(input|output)_blocks\.(\d+)\.(\d)\.(.*)", name).groups()
    level, i = divmod(int(number) - (way == "input"), blocks + 1)
    block = f"{'down' if way == 'input' else 'up'}_blocks.{level}"
    if rest.startswith("op."):
        return f"{block}.downsamplers.0.conv.{leaf}"
    if rest.startswith("conv."):
        return f"{block}.upsamplers.0.conv.{leaf}"
    return f"{block}.{'attentions' if part == '1' else 'resnets'}.{i}.{inner(rest)}"


def vae_key(name, levels):
    name = name.replace("nin_shortcut", "conv_shortcut").replace("norm_out", "conv_norm_out")
    if m := re.match(r"(encoder|decoder)\.mid\.attn_1\.(\w+)\.(.*)", name):
        return f"{m[1]}.mid_block.attentions.0.{VAE_ATTENTION[m[2]]}.{m[3]}"
    if m := re.match(r"(encoder|decoder)\.mid\.block_(\d)\.(.*)", name):
        return f"{m[1]}.mid_block.resnets.{int(m[2]) - 1}.{m[3]}"
    if m := re.match(r"encoder\.down\.(\d+)\.(.*)", name):
        return f"encoder.down_blocks.{m[1]}.{level_part(m[2])}"
    if m := re.match(r"decoder\.up\.(\d+)\.(.*)", name):
        return f"decoder.up_blocks.{levels - 1 - int(m[1])}.{level_part(m[2])}"
    return name


def level_part(rest):
    return (rest.replace("block.", "resnets.").replace("downsample.", "downsamplers.0.")
            .replace("upsample.", "upsamplers.0."))


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


def make_unet(state):
    w = parts(state, UNET)
    downs = [int(m[1]) for k in w if (m := re.match(r"input_blocks\.(\d+)\.0\.op\.weight", k))]
    inputs = numbers(w, r"input_blocks\.(\d+)\.")
    blocks = min(downs, default=inputs) - 1
    first = [1 + level * (blocks + 1) for level in range(len(downs) + 1)]     # input block that opens a level
    widths = [w[f"input_blocks.{i}.0.out_layers.3.weight"].shape[0] for i in first]

    def depth(p):
        return sum(1 for k in w if re.match(re.escape(p) + r"\.1\.transformer_blocks\.\d+\.norm1\.bias", k))

    depths = [depth(f"input_blocks.{i}") for i in first]
    proj = next(v for k, v in w.items() if k.endswith("proj_in.weight"))
    context = next(v for k, v in w.items() if k.endswith("attn2.to_k.weight"))
    model = UNet2DConditionModel(
        in_channels=w["input_blocks.0.0.weight"].shape[1], out_channels=w["out.2.weight"].shape[0],
        block_out_channels=widths, layers_per_block=blocks, cross_attention_dim=context.shape[1],
        use_linear_projection=proj.dim() == 2,
        attention_head_dim=8 if proj.dim() == 4 else [c // 64 for c in widths],     # in truth their number
        transformer_layers_per_block=[max(d, 1) for d in depths[:-1]] + [depth("middle_block")],
        down_block_types=["CrossAttnDownBlock2D" if d else "DownBlock2D" for d in depths],
        up_block_types=["CrossAttnUpBlock2D" if d else "UpBlock2D" for d in reversed(depths)])
    model.load_state_dict({unet_key(k, blocks): v for k, v in w.items()})
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
    def __init__(self, state, activation="quick_gelu"):
        self.text, self.unet, self.vae = make_text(state, activation), make_unet(state), make_vae(state)
