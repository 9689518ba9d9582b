"""Names and shapes of all tensors of a layout, in the spelling that sdgen gives every checkpoint: the names of the
single-file checkpoints (LDM), but text encoders as transformers spells them, whatever their origin.

This is a listing of its own, apart from the tables in models/ that ask for weights; diffusers and transformers,
built from the same layout, are the judges of both (tools/golden_families.py).
"""

UNET, VAE = "model.diffusion_model", "first_stage_model"


def layer(name, *shape, bias=True):
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", shape[:1]


# ---- text encoders ------------------------------------------------------------------------------

def clip(c, prefix):
    """CLIP's text tower; a projection of the pooled vector where the layout has one."""
    d, text = c["width"], f"{prefix}text_model"
    yield f"{text}.embeddings.token_embedding.weight", (c["vocab"], d)
    yield f"{text}.embeddings.position_embedding.weight", (c["positions"], d)
    for i in range(c["layers"]):
        p = f"{text}.encoder.layers.{i}"
        for name in ("layer_norm1", "layer_norm2"):
            yield from layer(f"{p}.{name}", d)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from layer(f"{p}.self_attn.{name}", d, d)
        yield from layer(f"{p}.mlp.fc1", c["mlp"], d)
        yield from layer(f"{p}.mlp.fc2", d, c["mlp"])
    yield from layer(f"{text}.final_layer_norm", d)
    if c.get("projection"):
        yield f"{prefix}text_projection.weight", (c["projection"], d)


# ---- UNet ---------------------------------------------------------------------------------------

def resblock(p, c_in, c_out, time):
    yield from layer(f"{p}.in_layers.0", c_in)
    yield from layer(f"{p}.in_layers.2", c_out, c_in, 3, 3)
    yield from layer(f"{p}.emb_layers.1", c_out, time)
    yield from layer(f"{p}.out_layers.0", c_out)
    yield from layer(f"{p}.out_layers.3", c_out, c_out, 3, 3)
    if c_in != c_out:
        yield from layer(f"{p}.skip_connection", c_out, c_in, 1, 1)


def transformer(p, c, depth, context, linear, only_cross=False):
    if not depth:
        return
    yield from layer(f"{p}.norm", c)
    tail = () if linear else (1, 1)
    yield from layer(f"{p}.proj_in", c, c, *tail)
    for k in range(depth):
        b = f"{p}.transformer_blocks.{k}"
        for attention, width in (("attn1", context if only_cross else c), ("attn2", context)):
            yield from layer(f"{b}.{attention}.to_q", c, c, bias=False)
            yield from layer(f"{b}.{attention}.to_k", c, width, bias=False)
            yield from layer(f"{b}.{attention}.to_v", c, width, bias=False)
            yield from layer(f"{b}.{attention}.to_out.0", c, c)
        yield from layer(f"{b}.ff.net.0.proj", 8 * c, c)
        yield from layer(f"{b}.ff.net.2", c, 4 * c)
        for n in (1, 2, 3):
            yield from layer(f"{b}.norm{n}", c)
    yield from layer(f"{p}.proj_out", c, c, *tail)


def unet_ends(c):
    yield from layer(f"{UNET}.time_embed.0", c["time"], c["model"])
    yield from layer(f"{UNET}.time_embed.2", c["time"], c["time"])
    if c["time_cond"]:
        yield f"{UNET}.time_embed.cond_proj.weight", (c["model"], c["time_cond"])
    if c["label"]:
        yield from layer(f"{UNET}.label_emb.0.0", c["time"], c["label"])
        yield from layer(f"{UNET}.label_emb.0.2", c["time"], c["time"])
    yield from layer(f"{UNET}.input_blocks.0.0", c["model"], c["in"], 3, 3)
    yield from layer(f"{UNET}.out.0", c["model"])
    yield from layer(f"{UNET}.out.2", c["out"], c["model"], 3, 3)


def unet(c):
    """`c` as layouts.complete makes it. Blocks are numbered straight through, resampling included on the way down."""
    widths, time = c["channels"], c["time"]

    def attend(p, level, depth):
        return transformer(p, widths[level], depth, c["context"], c["linear"], c["only_cross"][level])

    yield from unet_ends(c)
    width, number, skips = c["model"], 1, [c["model"]]
    for level, wide in enumerate(widths):
        for depth in c["depth_in"][level]:
            yield from resblock(f"{UNET}.input_blocks.{number}.0", width, wide, time)
            yield from attend(f"{UNET}.input_blocks.{number}.1", level, depth)
            width, number = wide, number + 1
            skips.append(width)
        if level + 1 < len(widths):
            yield from layer(f"{UNET}.input_blocks.{number}.0.op", width, width, 3, 3)
            number += 1
            skips.append(width)
    if c["middle"] > 0:
        yield from resblock(f"{UNET}.middle_block.0", width, width, time)
    if c["middle"] > 1:
        yield from attend(f"{UNET}.middle_block.1", -1, c["middle_depth"])
        yield from resblock(f"{UNET}.middle_block.2", width, width, time)
    number = 0
    for level in reversed(range(len(widths))):
        depths = c["depth_out"][level]
        for i, depth in enumerate(depths):
            p = f"{UNET}.output_blocks.{number}"
            yield from resblock(f"{p}.0", width + skips.pop(), widths[level], time)
            yield from attend(f"{p}.1", level, depth)
            width, number = widths[level], number + 1
            if level and i + 1 == len(depths):
                yield from layer(f"{p}.{2 if depth else 1}.conv", width, width, 3, 3)


# ---- VAE ----------------------------------------------------------------------------------------

def vae_res(p, c_in, c_out):
    yield from layer(f"{p}.norm1", c_in)
    yield from layer(f"{p}.conv1", c_out, c_in, 3, 3)
    yield from layer(f"{p}.norm2", c_out)
    yield from layer(f"{p}.conv2", c_out, c_out, 3, 3)
    if c_in != c_out:
        yield from layer(f"{p}.nin_shortcut", c_out, c_in, 1, 1)


def vae_middle(p, c):
    yield from vae_res(f"{p}.block_1", c, c)
    yield from layer(f"{p}.attn_1.norm", c)
    for name in ("q", "k", "v", "proj_out"):
        yield from layer(f"{p}.attn_1.{name}", c, c, 1, 1)
    yield from vae_res(f"{p}.block_2", c, c)


def vae_encoder(c):
    widths, z, root = c["channels"], c["z"], f"{VAE}.encoder"
    width = widths[0]
    yield from layer(f"{root}.conv_in", width, c["image"], 3, 3)
    for level, wide in enumerate(widths):
        for i in range(c["blocks"]):
            yield from vae_res(f"{root}.down.{level}.block.{i}", width, wide)
            width = wide
        if level + 1 < len(widths):
            yield from layer(f"{root}.down.{level}.downsample.conv", width, width, 3, 3)
    yield from vae_middle(f"{root}.mid", width)
    yield from layer(f"{root}.norm_out", width)
    yield from layer(f"{root}.conv_out", 2 * z, width, 3, 3)
    yield from layer(f"{VAE}.quant_conv", 2 * z, 2 * z, 1, 1)


def vae_decoder(c):
    widths, z, root = c["channels"], c["z"], f"{VAE}.decoder"
    width = widths[-1]
    yield from layer(f"{VAE}.post_quant_conv", z, z, 1, 1)
    yield from layer(f"{root}.conv_in", width, z, 3, 3)
    yield from vae_middle(f"{root}.mid", width)
    for level in reversed(range(len(widths))):
        for i in range(c["blocks"] + 1):
            yield from vae_res(f"{root}.up.{level}.block.{i}", width, widths[level])
            width = widths[level]
        if level:
            yield from layer(f"{root}.up.{level}.upsample.conv", width, width, 3, 3)
    yield from layer(f"{root}.norm_out", width)
    yield from layer(f"{root}.conv_out", c["image"], width, 3, 3)


def vae(c):
    if c["encoder"]:
        yield from vae_encoder(c)
    yield from vae_decoder(c)


# ---- TAESD --------------------------------------------------------------------------------------

def taesd(width=64, z=4):
    """The tiny autoencoder of madebyollin/taesd, taesd.py: numbers are places in its nn.Sequential."""
    def block(p):
        for i in (0, 2, 4):
            yield from layer(f"{p}.conv.{i}", width, width, 3, 3)

    e, d = "taesd.encoder", "taesd.decoder"
    yield from layer(f"{e}.0", width, 3, 3, 3)
    yield from block(f"{e}.1")
    for down in (2, 6, 10):
        yield from layer(f"{e}.{down}", width, width, 3, 3, bias=False)
        for i in (1, 2, 3):
            yield from block(f"{e}.{down + i}")
    yield from layer(f"{e}.14", z, width, 3, 3)
    yield from layer(f"{d}.1", width, z, 3, 3)
    for up in (3, 8, 13):
        for i in (0, 1, 2):
            yield from block(f"{d}.{up + i}")
        yield from layer(f"{d}.{up + 4}", width, width, 3, 3, bias=False)
    yield from block(f"{d}.18")
    yield from layer(f"{d}.19", 3, width, 3, 3)


# ---- all ----------------------------------------------------------------------------------------

def of(layout):
    """(name, shape) of every weight, sorted by name."""
    texts = [t for prefix, c in layout["text"] for t in clip(c, prefix)]
    return sorted([*texts, *unet(layout["unet"]), *vae(layout["vae"])])
