"""The three networks of Stable Diffusion in PyTorch, as functions of a checkpoint's tensors: the executable
specification of models/.

`w` is a dict of tensors under their names in the single-file form, and every function takes the prefix of its
block, so that the text below is also the list of names. Nothing else is needed: widths are in the shapes, and
where a part exists its name is there. Maps are [n, c, h, w], tokens [n, t, c].

    hidden  = clip_text(w, ids)                             text encoder
    pooled  = clip_pooled(w, ids)                           the second one of SDXL
    eps     = unet(w, x, timesteps, hidden)                 denoiser
    image   = vae_decode(w, z);  moments = vae_encode(w, image)

Papers: Radford et al. 2021 (CLIP), Ho et al. 2020 and Dhariwal & Nichol 2021 (UNet), Rombach et al. 2022
(transformers in it, autoencoder). tools/golden_models.py holds this file against transformers and diffusers.
"""
import math

import torch
import torch.nn.functional as F

TEXT = "cond_stage_model.transformer.text_model."
UNET = "model.diffusion_model."
VAE = "first_stage_model."


# ---- layers -----------------------------------------------------------------------------------

def linear(w, p, x):
    weight = w[p + ".weight"]
    return F.linear(x, weight.flatten(1), w.get(p + ".bias"))   # flatten: [out,in,1,1] stands for [out,in]


def conv(w, p, x, stride=1, pad=1):
    return F.conv2d(x, w[p + ".weight"], w[p + ".bias"], stride, pad)


def conv1x1(w, p, x):
    return linear(w, p, x.movedim(1, -1)).movedim(-1, 1)


def layer_norm(w, p, x):
    return F.layer_norm(x, x.shape[-1:], w[p + ".weight"], w[p + ".bias"], 1e-5)


def group_norm(w, p, x, eps):
    return F.group_norm(x, 32, w[p + ".weight"], w[p + ".bias"], eps)


def attention(q, k, v, heads, causal=False):
    """softmax(q k^T / sqrt(width of a head)) v; head i owns the i-th slice of the channels."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))     # [n, heads, t, width]
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if causal:
        scores = scores + torch.full(scores.shape[-2:], -math.inf).triu(1)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


# ---- text encoder -----------------------------------------------------------------------------

def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def clip_text(w, ids, skip=0, activation=quick_gelu, plain=False, text=TEXT):
    """ids [n, t] -> [n, t, width], the output of the last layer but `skip`, through the final norm unless plain."""
    table = w[text + "embeddings.token_embedding.weight"]
    x = table[ids] + w[text + "embeddings.position_embedding.weight"][:ids.shape[1]]
    layers = 0
    while f"{text}encoder.layers.{layers}.mlp.fc1.bias" in w:
        layers += 1
    for i in range(layers - skip):
        p = f"{text}encoder.layers.{i}"
        y = layer_norm(w, f"{p}.layer_norm1", x)
        q, k, v = (linear(w, f"{p}.self_attn.{name}_proj", y) for name in "qkv")
        x = x + linear(w, f"{p}.self_attn.out_proj", attention(q, k, v, x.shape[-1] // 64, causal=True))
        y = linear(w, f"{p}.mlp.fc1", layer_norm(w, f"{p}.layer_norm2", x))
        x = x + linear(w, f"{p}.mlp.fc2", activation(y))
    return x if plain else layer_norm(w, text + "final_layer_norm", x)


def clip_pooled(w, ids, activation=F.gelu, text="conditioner.embedders.1.transformer.text_model."):
    """ids [n, t] -> [n, projection]: the whole text as one vector, from the first end token, the largest id."""
    hidden = clip_text(w, ids, 0, activation, text=text)
    rows = hidden[torch.arange(len(ids)), ids.argmax(-1)]
    return rows @ w[text.removesuffix("text_model.") + "text_projection.weight"].T


# ---- UNet -------------------------------------------------------------------------------------

def timestep_embedding(t, width):
    """cos(t f_i), then sin(t f_i), f_i = 10000^(-i / half)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


def unet_resblock(w, p, x, emb):
    h = conv(w, p + ".in_layers.2", F.silu(group_norm(w, p + ".in_layers.0", x, 1e-5)))
    h = h + linear(w, p + ".emb_layers.1", F.silu(emb))[:, :, None, None]
    h = conv(w, p + ".out_layers.3", F.silu(group_norm(w, p + ".out_layers.0", h, 1e-5)))
    return h + (conv1x1(w, p + ".skip_connection", x) if p + ".skip_connection.weight" in w else x)


def unet_attention(w, p, x, context, heads):
    q, k, v = (linear(w, f"{p}.to_{name}", source) for name, source in (("q", x), ("k", context), ("v", context)))
    return linear(w, p + ".to_out.0", attention(q, k, v, heads))


def head_count(w, p, c):
    """SD1 has 8 heads at every width, SD2 and SDXL have heads of 64. The width of the context tells; only where it is
    no known text encoder's does the shape of the projection, which files may store either way."""
    context = w[p + ".transformer_blocks.0.attn2.to_k.weight"].shape[1]
    if context in (768, 1024, 1280, 2048):
        return 8 if context == 768 else c // 64
    return 8 if w[p + ".proj_in.weight"].dim() == 4 else c // 64


def transformer(w, p, x, context):
    c = x.shape[1]
    heads = head_count(w, p, c)
    y = group_norm(w, p + ".norm", x, 1e-6).flatten(2).transpose(1, 2)
    y = linear(w, p + ".proj_in", y)
    k = 0
    while f"{p}.transformer_blocks.{k}.norm1.weight" in w:
        b = f"{p}.transformer_blocks.{k}"
        z = layer_norm(w, b + ".norm1", y)
        no_self = w[b + ".attn1.to_k.weight"].shape[1] == context.shape[2] != c     # SDXS-512-0.9, first level
        y = y + unet_attention(w, b + ".attn1", z, context if no_self else z, heads)
        y = y + unet_attention(w, b + ".attn2", layer_norm(w, b + ".norm2", y), context, heads)
        value, gate = linear(w, b + ".ff.net.0.proj", layer_norm(w, b + ".norm3", y)).chunk(2, -1)
        y = y + linear(w, b + ".ff.net.2", value * F.gelu(gate))        # GEGLU
        k += 1
    return x + linear(w, p + ".proj_out", y).transpose(1, 2).unflatten(2, x.shape[2:])


def upsample(w, p, x, size, crop):
    """x doubled by repetition and convolved, to `size`, which may be one less than the double. The target is
    cropped before the convolution (diffusers, ComfyUI) or after it (A1111)."""
    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    if crop == "before":
        return conv(w, p, x[:, :, :size[0], :size[1]])
    return conv(w, p, x)[:, :, :size[0], :size[1]]


def guidance_embedding(scale, width):
    """sin(1000 w f_i), then cos, f_i = 10000^(-i / (half - 1)): unlike timesteps on both counts."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10000) / (half - 1)))
    angles = 1000 * scale[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


def label_vector(text, numbers, width):
    """What SDXL takes beside the timestep: a vector of the text [n, c], then numbers [n, count], each embedded like a
    timestep: height and width of the original, top and left of the crop, and the target's height and width (base) or
    an aesthetic score (refiner)."""
    n, count = numbers.shape
    return torch.cat([text, timestep_embedding(numbers.flatten(), width).view(n, count * width)], 1)


def unet(w, x, t, context, crop="before", label=None, guidance=None):
    """x [n, c, h, w], timesteps t [n], context [n, tokens, width] -> model output [n, c, h, w]; label and guidance
    are embedded already."""
    emb = timestep_embedding(t, w[UNET + "time_embed.0.weight"].shape[1])
    if UNET + "time_embed.cond_proj.weight" in w:
        emb = emb + linear(w, UNET + "time_embed.cond_proj", guidance)
    emb = linear(w, UNET + "time_embed.2", F.silu(linear(w, UNET + "time_embed.0", emb)))
    if UNET + "label_emb.0.0.weight" in w:
        emb = emb + linear(w, UNET + "label_emb.0.2", F.silu(linear(w, UNET + "label_emb.0.0", label)))

    def block(p, x):
        x = unet_resblock(w, p + ".0", x, emb)
        return transformer(w, p + ".1", x, context) if p + ".1.norm.weight" in w else x

    h = conv(w, UNET + "input_blocks.0.0", x)
    skips = [h]
    while (p := f"{UNET}input_blocks.{len(skips)}") and (p + ".0.op.bias" in w or p + ".0.in_layers.0.bias" in w):
        h = conv(w, p + ".0.op", h, stride=2) if p + ".0.op.bias" in w else block(p, h)
        skips.append(h)
    if UNET + "middle_block.0.in_layers.0.bias" in w:
        h = block(UNET + "middle_block", h)
    if UNET + "middle_block.2.in_layers.0.bias" in w:
        h = unet_resblock(w, UNET + "middle_block.2", h, emb)
    for i in range(len(skips)):
        p = f"{UNET}output_blocks.{i}"
        h = block(p, torch.cat([h, skips.pop()], 1))
        for part in (".1.conv", ".2.conv"):
            if p + part + ".bias" in w:
                h = upsample(w, p + part, h, skips[-1].shape[2:], crop)
    return conv(w, UNET + "out.2", F.silu(group_norm(w, UNET + "out.0", h, 1e-5)))


# ---- autoencoder ------------------------------------------------------------------------------

def vae_resblock(w, p, x):
    h = conv(w, p + ".conv1", F.silu(group_norm(w, p + ".norm1", x, 1e-6)))
    h = conv(w, p + ".conv2", F.silu(group_norm(w, p + ".norm2", h, 1e-6)))
    return h + (conv1x1(w, p + ".nin_shortcut", x) if p + ".nin_shortcut.weight" in w else x)


def vae_middle(w, p, x):
    x = vae_resblock(w, p + ".block_1", x)
    y = group_norm(w, p + ".attn_1.norm", x, 1e-6).flatten(2).transpose(1, 2)
    q, k, v = (linear(w, f"{p}.attn_1.{name}", y) for name in "qkv")
    y = linear(w, p + ".attn_1.proj_out", attention(q, k, v, heads=1))
    x = x + y.transpose(1, 2).unflatten(2, x.shape[2:])
    return vae_resblock(w, p + ".block_2", x)


def vae_blocks(w, p, x):
    i = 0
    while f"{p}.block.{i}.norm1.bias" in w:
        x = vae_resblock(w, f"{p}.block.{i}", x)
        i += 1
    return x


def vae_finish(w, p, x):
    return conv(w, p + ".conv_out", F.silu(group_norm(w, p + ".norm_out", x, 1e-6)))


def vae_levels(w):
    levels = 0
    while f"{VAE}decoder.up.{levels}.block.0.norm1.bias" in w:
        levels += 1
    return levels


def vae_decode(w, z):
    """z [n, 4, h, w], already divided by the latent scale -> image [n, 3, 8h, 8w], about [-1, 1]."""
    x = conv(w, VAE + "decoder.conv_in", conv1x1(w, VAE + "post_quant_conv", z))
    x = vae_middle(w, VAE + "decoder.mid", x)
    for level in reversed(range(vae_levels(w))):
        p = f"{VAE}decoder.up.{level}"
        x = vae_blocks(w, p, x)
        if level:
            x = conv(w, p + ".upsample.conv", x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    return vae_finish(w, VAE + "decoder", x)


def vae_encode(w, image):
    """image [n, 3, h, w] -> [n, 8, h/8, w/8]: mean, then log-variance, of the latent before scaling."""
    x = conv(w, VAE + "encoder.conv_in", image)
    for level in range(vae_levels(w)):
        p = f"{VAE}encoder.down.{level}"
        x = vae_blocks(w, p, x)
        if p + ".downsample.conv.bias" in w:    # padded on the right and at the bottom only
            x = conv(w, p + ".downsample.conv", F.pad(x, (0, 1, 0, 1)), stride=2, pad=0)
    return conv1x1(w, VAE + "quant_conv", vae_finish(w, VAE + "encoder", vae_middle(w, VAE + "encoder.mid", x)))
