"""How files spell the weights of tensors.py: names, and where the numbers of one stored tensor come from.

Three things change from spelling to spelling. Names; shapes (a 1x1 convolution as a matrix); and, for OpenCLIP,
which numbers stand in which tensor: q, k and v are one tensor of three times the rows, and the projection is
transposed. A Stored tensor is a name, a shape and a list of sources, so that every file is written as a stream.
The rules: diffusers loaders/single_file_utils.py and kohya-ss/sd-scripts library/sdxl_model_util.py, written anew.
"""
import dataclasses
import re


@dataclasses.dataclass
class Stored:
    """`sources` are (name, shape) of tensors.py, one after the other; more than one only for fused rows."""
    name: str
    shape: tuple
    sources: list
    transposed: bool = False


def plain(name, shape):
    return Stored(name, tuple(shape), [(name, tuple(shape))])


def renamed(stored, name, shape=None):
    return dataclasses.replace(stored, name=name, shape=tuple(shape if shape is not None else stored.shape))


# ---- text encoders ------------------------------------------------------------------------------

OPENCLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
            "mlp.fc2": "mlp.c_proj"}
OPENCLIP_ENDS = {"text_model.embeddings.token_embedding.weight": "token_embedding.weight",
                 "text_model.embeddings.position_embedding.weight": "positional_embedding",
                 "text_model.final_layer_norm.weight": "ln_final.weight",
                 "text_model.final_layer_norm.bias": "ln_final.bias"}


def openclip(tensors, prefix, wanted):
    """From transformers' names under `prefix` to OpenCLIP's under `wanted`."""
    for t in tensors:
        name = t.name[len(prefix):]
        if name in OPENCLIP_ENDS:
            yield renamed(t, wanted + OPENCLIP_ENDS[name])
        elif name == "text_projection.weight":
            yield dataclasses.replace(t, name=wanted + "text_projection", shape=t.shape[::-1], transposed=True)
        elif m := re.fullmatch(r"text_model\.encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)", name):
            sources = [(t.sources[0][0].replace("q_proj", p), t.shape) for p in ("q_proj", "k_proj", "v_proj")]
            yield Stored(f"{wanted}transformer.resblocks.{m[1]}.attn.in_proj_{m[2]}",
                         (3 * t.shape[0], *t.shape[1:]), sources)
        elif not re.search(r"\.[kv]_proj\.", name):
            m = re.fullmatch(r"text_model\.encoder\.layers\.(\d+)\.(.*)\.(weight|bias)", name)
            yield renamed(t, f"{wanted}transformer.resblocks.{m[1]}.{OPENCLIP[m[2]]}.{m[3]}")


# ---- diffusers' names (the other way round from LDM) ---------------------------------------------

RESBLOCK = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
            "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}
UNET_ENDS = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
             "time_embed.cond_proj": "time_embedding.cond_proj",
             "label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2",
             "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out"}
MIDDLE = {"0": "mid_block.resnets.0", "1": "mid_block.attentions.0", "2": "mid_block.resnets.1"}
VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
VAE_ATTENTION_OLD = {"norm": "group_norm", "q": "query", "k": "key", "v": "value", "proj_out": "proj_attn"}


def inner(rest):
    """Within a UNet block: residual blocks are renamed, transformers keep their names."""
    for ldm, ours in RESBLOCK.items():
        if rest.startswith(ldm + "."):
            return ours + rest[len(ldm):]
    return rest


def unet_key(name, place):
    """`place`: of ("input" or "output", number of the block in LDM's count) level and number within it."""
    stem, leaf = name.rsplit(".", 1)
    if stem in UNET_ENDS:
        return f"{UNET_ENDS[stem]}.{leaf}"
    if m := re.match(r"middle_block\.(\d)\.(.*)", name):
        return f"{MIDDLE[m[1]]}.{inner(m[2])}"
    way, number, part, rest = re.match(r"(input|output)_blocks\.(\d+)\.(\d)\.(.*)", name).groups()
    level, i = place(way, int(number))
    block = f"{'down' if way == 'input' else 'up'}_blocks.{level}"
    if rest.startswith("op."):
        return f"{block}.downsamplers.0.conv.{leaf}"
    if rest.startswith("conv."):
        return f"{block}.upsamplers.0.conv.{leaf}"
    return f"{block}.{'attentions' if part == '1' else 'resnets'}.{i}.{inner(rest)}"


def level_part(rest):
    return (rest.replace("block.", "resnets.").replace("downsample.", "downsamplers.0.")
            .replace("upsample.", "upsamplers.0."))


def vae_key(name, levels, attention=None):
    attention = attention or VAE_ATTENTION
    name = name.replace("nin_shortcut", "conv_shortcut").replace("norm_out", "conv_norm_out")
    if m := re.match(r"(encoder|decoder)\.mid\.attn_1\.(\w+)\.(.*)", name):
        return f"{m[1]}.mid_block.attentions.0.{attention[m[2]]}.{m[3]}"
    if m := re.match(r"(encoder|decoder)\.mid\.block_(\d)\.(.*)", name):
        return f"{m[1]}.mid_block.resnets.{int(m[2]) - 1}.{m[3]}"
    if m := re.match(r"encoder\.down\.(\d+)\.(.*)", name):
        return f"encoder.down_blocks.{m[1]}.{level_part(m[2])}"
    if m := re.match(r"decoder\.up\.(\d+)\.(.*)", name):
        return f"decoder.up_blocks.{levels - 1 - int(m[1])}.{level_part(m[2])}"
    return name


def taesd_key(name):
    """AutoencoderTiny has no module for the clamp, so its decoder counts from one less."""
    m = re.fullmatch(r"(encoder|decoder)\.(\d+)\.(.*)", name)
    return f"{m[1]}.layers.{int(m[2]) - (m[1] == 'decoder')}.{m[3]}"


def matrix(shape):
    """A 1x1 convolution as the matrix that it is."""
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


# ---- parts and whole checkpoints ------------------------------------------------------------------

UNET, VAE = "model.diffusion_model.", "first_stage_model."


def parts(layout, names):
    """{"unet": [...], "vae": [...], "text_0": [...], ...} of Stored, spelled as in tensors.py."""
    prefixes = {"unet": UNET, "vae": VAE, **{f"text_{i}": p for i, (p, _) in enumerate(layout["text"])}}
    return {part: [plain(n, s) for n, s in names if n.startswith(p)] for part, p in prefixes.items()}


def below(part, prefix, wanted=""):
    return [renamed(t, wanted + t.name[len(prefix):]) for t in part]


def is_openclip(layout, i):
    """Whether the stock checkpoint has text encoder i in OpenCLIP's spelling."""
    return layout["text_names"][i] != "clip_l"


def stock(layout, names):
    """The spelling of the published single files."""
    p = parts(layout, names)
    out = [*p["unet"], *p["vae"]]
    for i, (prefix, _) in enumerate(layout["text"]):
        text = p[f"text_{i}"]
        out += openclip(text, prefix, prefix.replace("transformer.", "model.")) if is_openclip(layout, i) else text
    return out


def diffusers_unet(layout, part, prefix=UNET):
    per_level = layout["unet"]["blocks"] + 1

    def place(way, number):
        return divmod(number - (way == "input"), per_level)

    return [renamed(t, unet_key(t.name[len(prefix):], place)) for t in part]


def diffusers_vae(layout, part, attention=None, prefix=VAE):
    levels = len(layout["vae"]["channels"])
    return [renamed(t, vae_key(t.name[len(prefix):], levels, attention),
                    matrix(t.shape) if ".attn_1." in t.name else t.shape) for t in part]


def folder_text(layout, part, i, bare=False):
    """transformers' model of text encoder i as diffusers folders have it: SD2's without its last layer, which
    nothing reads, and without the projection. bare: without "text_model.", as transformers 5 names modules."""
    prefix, clip = layout["text"][i]
    drop = []
    if layout["text_names"][i] == "clip_h":
        drop = [f"text_model.encoder.layers.{clip['layers'] - 1}.", "text_projection."]
    out = [t for t in below(part, prefix) if not t.name.startswith(tuple(drop))]
    return [renamed(t, t.name.removeprefix("text_model.")) for t in out] if bare else out
