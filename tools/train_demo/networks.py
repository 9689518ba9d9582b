"""The three networks of Stable Diffusion 1.x (Rombach et al. 2022) at a size that two cores can train.

Attribute names are chosen so that state_dict() speaks the names of a single-file checkpoint: the part below
"first_stage_model." (VAE), "model.diffusion_model." (UNet) and "cond_stage_model.transformer." (CLIPText).
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

LATENT_CHANNELS = 4
WIDTH = 128       # of the text encoder
TEXT_LAYERS = 2


def group_norm(channels, eps=1e-6):
    return nn.GroupNorm(32, channels, eps)


def conv3(inputs, outputs, stride=1, padding=1):
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=padding)


def zeroed(layer):
    """A layer that starts as zero, so that its residual branch starts as the identity."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def init_convolutions(network):
    """Gives every convolution that is not zero on purpose unit gain and no bias."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.abs().max() > 0:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)


class Group(nn.Module):
    """A room for named parts."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


# ---- VAE -------------------------------------------------------------------------------------------------


class ResidualBlock(nn.Module):
    """x [n,c,h,w] -> [n,c',h,w]: two rounds of norm, SiLU, convolution beside a skip."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1, self.conv1 = group_norm(inputs), conv3(inputs, outputs)
        self.norm2, self.conv2 = group_norm(outputs), conv3(outputs, outputs)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


class PixelAttention(nn.Module):
    """One head of attention over all pixels, as wide as the channels."""

    def __init__(self, channels):
        super().__init__()
        self.norm = group_norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2) for layer in (self.q, self.k, self.v))
        weights = torch.softmax(q.transpose(1, 2) @ k * x.shape[1] ** -0.5, -1)
        return x + self.proj_out((v @ weights.transpose(1, 2)).reshape(x.shape))


class Halve(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = conv3(channels, channels, stride=2, padding=0)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = conv3(channels, channels)

    def forward(self, x, *_):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def middle(channels):
    return Group(block_1=ResidualBlock(channels, channels), attn_1=PixelAttention(channels),
                 block_2=ResidualBlock(channels, channels))


def through_middle(mid, h):
    return mid.block_2(mid.attn_1(mid.block_1(h)))


class Encoder(nn.Module):
    """x [n,3,H,W] -> mean and log variance [n,8,H/8,W/8]."""

    def __init__(self, base, multipliers, blocks):
        super().__init__()
        self.conv_in, self.down, channels = conv3(3, base), nn.ModuleList(), base
        for level, multiplier in enumerate(multipliers):
            part = Group(block=nn.ModuleList())
            for _ in range(blocks):
                part.block.append(ResidualBlock(channels, base * multiplier))
                channels = base * multiplier
            if level != len(multipliers) - 1:
                part.downsample = Halve(channels)
            self.down.append(part)
        self.mid, self.norm_out = middle(channels), group_norm(channels)
        self.conv_out = conv3(channels, 2 * LATENT_CHANNELS)

    def forward(self, x):
        h = self.conv_in(x)
        for part in self.down:
            for block in part.block:
                h = block(h)
            if hasattr(part, "downsample"):
                h = part.downsample(h)
        return self.conv_out(F.silu(self.norm_out(through_middle(self.mid, h))))


class Decoder(nn.Module):
    """z [n,4,h,w] -> [n,3,8h,8w]. self.up is stored from the finest level, used from the coarsest."""

    def __init__(self, base, multipliers, blocks):
        super().__init__()
        channels = base * multipliers[-1]
        self.conv_in, self.mid = conv3(LATENT_CHANNELS, channels), middle(channels)
        parts = []
        for level, multiplier in reversed(list(enumerate(multipliers))):
            part = Group(block=nn.ModuleList())
            for _ in range(blocks + 1):
                part.block.append(ResidualBlock(channels, base * multiplier))
                channels = base * multiplier
            if level > 0:
                part.upsample = Double(channels)
            parts.insert(0, part)
        self.up, self.norm_out, self.conv_out = nn.ModuleList(parts), group_norm(channels), conv3(channels, 3)

    def forward(self, z):
        h = through_middle(self.mid, self.conv_in(z))
        for part in reversed(self.up):
            for block in part.block:
                h = block(h)
            if hasattr(part, "upsample"):
                h = part.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class VAE(nn.Module):
    """Autoencoder of factor 8 with four latent channels."""

    def __init__(self, base=64, multipliers=(1, 1, 2, 4), blocks=1):
        super().__init__()
        self.encoder = Encoder(base, multipliers, blocks)
        self.decoder = Decoder(base, multipliers, blocks)
        self.quant_conv = nn.Conv2d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.post_quant_conv = nn.Conv2d(LATENT_CHANNELS, LATENT_CHANNELS, 1)

    def init_weights(self):
        init_convolutions(self)
        for layer in self.modules():
            if isinstance(layer, ResidualBlock):
                nn.init.zeros_(layer.conv2.weight)
            if isinstance(layer, PixelAttention):
                nn.init.zeros_(layer.proj_out.weight)

    def encode(self, x):
        mean, log_variance = self.quant_conv(self.encoder(x)).chunk(2, 1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


# ---- UNet ------------------------------------------------------------------------------------------------
# Every part of a block is called with (x, time embedding, text) and takes what it needs.


class TimedBlock(nn.Module):
    """Residual block with the time embedding e [n,E] added between its convolutions."""

    def __init__(self, inputs, outputs, embedding):
        super().__init__()
        self.in_layers = nn.Sequential(group_norm(inputs, 1e-5), nn.SiLU(), conv3(inputs, outputs))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        self.out_layers = nn.Sequential(group_norm(outputs, 1e-5), nn.SiLU(), nn.Identity(),
                                        zeroed(conv3(outputs, outputs)))
        self.skip_connection = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x, e, _):
        return self.skip_connection(x) + self.out_layers(self.in_layers(x) + self.emb_layers(e)[:, :, None, None])


class Attention(nn.Module):
    """x [n,t,c] attends to context [n,s,k], or to itself."""

    def __init__(self, channels, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context, channels, bias=False)
        self.to_v = nn.Linear(context, channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, x, context=None):
        context = x if context is None else context
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    """Gated linear unit with GELU (Shazeer 2020)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.proj = nn.Linear(inputs, 2 * outputs)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class TransformerBlock(nn.Module):
    def __init__(self, channels, context, heads):
        super().__init__()
        self.attn1, self.attn2 = Attention(channels, channels, heads), Attention(channels, context, heads)
        self.ff = Group(net=nn.Sequential(GEGLU(channels, 4 * channels), nn.Identity(),
                                          nn.Linear(4 * channels, channels)))
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))

    def forward(self, x, context):
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff.net(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Pixels become tokens, read the text, and become pixels again."""

    def __init__(self, channels, context, heads):
        super().__init__()
        self.norm, self.proj_in = group_norm(channels), nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, context, heads)])
        self.proj_out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x, _, context):
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        tokens = self.transformer_blocks[0](tokens, context)
        return x + self.proj_out(tokens.transpose(1, 2).reshape(x.shape))


class FirstConv(nn.Conv2d):
    def forward(self, x, *_):
        return super().forward(x)


class Downsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.op = conv3(channels, channels, stride=2)

    def forward(self, x, *_):
        return self.op(x)


class UNet(nn.Module):
    """x [n,4,h,w], t [n], context [n,77,WIDTH] -> the noise in x [n,4,h,w]."""

    def __init__(self, base=64, multipliers=(1, 2, 2), attention=(1, 2), context=WIDTH, blocks=1, heads=8):
        super().__init__()
        self.base, embedding = base, 4 * base
        self.time_embed = nn.Sequential(nn.Linear(base, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.input_blocks = nn.ModuleList([nn.ModuleList([FirstConv(LATENT_CHANNELS, base, 3, padding=1)])])
        skips, channels = [base], base
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                parts = [TimedBlock(channels, base * multiplier, embedding)]
                channels = base * multiplier
                if level in attention:
                    parts.append(SpatialTransformer(channels, context, heads))
                self.input_blocks.append(nn.ModuleList(parts))
                skips.append(channels)
            if level != len(multipliers) - 1:
                self.input_blocks.append(nn.ModuleList([Downsample(channels)]))
                skips.append(channels)
        self.middle_block = nn.ModuleList([TimedBlock(channels, channels, embedding),
                                           SpatialTransformer(channels, context, heads),
                                           TimedBlock(channels, channels, embedding)])
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for i in range(blocks + 1):
                parts = [TimedBlock(channels + skips.pop(), base * multiplier, embedding)]
                channels = base * multiplier
                if level in attention:
                    parts.append(SpatialTransformer(channels, context, heads))
                if level > 0 and i == blocks:
                    parts.append(Double(channels))
                self.output_blocks.append(nn.ModuleList(parts))
        self.out = nn.Sequential(group_norm(channels, 1e-5), nn.SiLU(), zeroed(conv3(channels, LATENT_CHANNELS)))

    def time_embedding(self, t):
        """Sinusoids of the timestep (Vaswani et al. 2017), cosines first, through two layers."""
        half = self.base // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half) / half)
        angles = t[:, None].float() * frequencies
        return self.time_embed(torch.cat([angles.cos(), angles.sin()], -1))

    def forward(self, x, t, context):
        e, skips, h = self.time_embedding(t), [], x
        for block in self.input_blocks:
            for part in block:
                h = part(h, e, context)
            skips.append(h)
        for part in self.middle_block:
            h = part(h, e, context)
        for block in self.output_blocks:
            h = torch.cat([h, skips.pop()], 1)
            for part in block:
                h = part(h, e, context)
        return self.out(h)


# ---- CLIP text encoder (Radford et al. 2021) -------------------------------------------------------------


class SelfAttention(nn.Module):
    """Causal attention with heads of 64. mask [t,t] is added to the scores."""

    def __init__(self, width):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, mask):
        q, k, v = (layer(x).unflatten(-1, (-1, 64)).transpose(1, 2)
                   for layer in (self.q_proj, self.k_proj, self.v_proj))
        weights = torch.softmax((q @ k.transpose(-1, -2)).float() / 8 + mask, -1).to(v.dtype)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))


class TextLayer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.self_attn = SelfAttention(width)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = Group(fc1=nn.Linear(width, 4 * width), fc2=nn.Linear(4 * width, width))

    def forward(self, x, mask):
        x = x + self.self_attn(self.layer_norm1(x), mask)
        h = self.mlp.fc1(self.layer_norm2(x))
        return x + self.mlp.fc2(h * torch.sigmoid(1.702 * h))


class CLIPText(nn.Module):
    """ids [n,77] -> [n,77,width]. `vocabulary` counts the rows of the token table."""

    def __init__(self, vocabulary, width=WIDTH, layers=TEXT_LAYERS):
        super().__init__()
        embeddings = Group(token_embedding=nn.Embedding(vocabulary, width),
                           position_embedding=nn.Embedding(77, width))
        nn.init.normal_(embeddings.token_embedding.weight, std=0.2)
        nn.init.normal_(embeddings.position_embedding.weight, std=0.01)
        encoder = Group(layers=nn.ModuleList(TextLayer(width) for _ in range(layers)))
        self.text_model = Group(embeddings=embeddings, encoder=encoder, final_layer_norm=nn.LayerNorm(width))

    @property
    def token_table(self):
        return self.text_model.embeddings.token_embedding.weight

    def forward(self, ids):
        model, length = self.text_model, ids.shape[1]
        x = model.embeddings.token_embedding(ids) + model.embeddings.position_embedding.weight[:length]
        mask = torch.full((length, length), -1e9).triu(1)
        for layer in model.encoder.layers:
            x = layer(x, mask)
        return model.final_layer_norm(x)
