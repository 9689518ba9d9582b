"""Every form in which a checkpoint is found on a disk.

A form is a function (folder, layout, names) -> Made: the arguments for sdgen, and the rule by which its numbers
were rounded, so that `twin` can write the single safetensors file that must draw the same picture.
"""
import dataclasses

import numpy as np

from . import folders, numbers, spelling, streams

SHARD = 1 << 19     # bytes; small, so that shrunk models are cut too


@dataclasses.dataclass
class Made:
    arguments: list                 # of sdgen: -m FILE and what else it takes
    through: object = "f32"         # how values were rounded: a type, or a function of the tensor's own name
    values: dict = None             # or the values themselves, by stock name: of quantised files, of EMA twins

    @property
    def path(self):
        return self.arguments[1]


def extras(layout):
    """What published files hold beside weights."""
    for i, (prefix, clip) in enumerate(layout["text"]):
        if spelling.is_openclip(layout, i):
            yield streams.Entry(prefix.replace("transformer.", "model.logit_scale"), (), "f32",
                                data=np.float32(4.6).tobytes())
        else:
            ids = np.arange(clip["positions"], dtype=np.int64)
            yield streams.Entry(f"{prefix}text_model.embeddings.position_ids", (1, clip["positions"]), "i64",
                                data=ids.tobytes())
    betas = np.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000) ** 2
    cumprod = np.cumprod(1 - betas)
    for name, value in (("betas", betas), ("alphas_cumprod", cumprod), ("sqrt_alphas_cumprod", cumprod ** 0.5)):
        yield streams.Entry(name, (1000,), "f32", data=value.astype(np.float32).tobytes())
    yield from flags(layout)


KEY_VALUES = {"edm_vpred.sigma_max": 120.0, "edm_vpred.sigma_min": 0.002}


def flags(layout):
    """Keys that say what shapes cannot: v_pred and ztsnr (empty tensors), CosXL's range of sigmas."""
    for key in layout["keys"]:
        if key in KEY_VALUES:
            yield streams.Entry(key, (), "f32", data=np.float32(KEY_VALUES[key]).tobytes())
        else:
            yield streams.Entry(key, (0,), "f32")


def ema(names):
    """A twin of every UNet weight, of other values: "model_ema." and the name without "model." and dots."""
    for name, shape in names:
        if name.startswith(spelling.UNET):
            twin = "model_ema." + name.removeprefix("model.").replace(".", "")
            entry = streams.plan([spelling.plain(twin, shape)])[0]
            yield entry
    yield streams.Entry("model_ema.decay", (), "f32", data=np.float32(0.9999).tobytes())
    yield streams.Entry("model_ema.num_updates", (), "i64", data=np.int64(1).tobytes())


def metadata(layout):
    return {"modelspec.prediction_type": "v"} if layout["prediction"] == "v" else {}


def single(path, layout, tensors, kind="f32", through="f32", more=(), order=None, seal=True):
    entries = [*streams.plan(tensors, kind, through), *more, *flags(layout)]
    entries = order(entries) if order else sorted(entries, key=lambda e: e.name)
    return streams.write(path, entries, metadata(layout) if seal else None)


# ---- safetensors --------------------------------------------------------------------------------

def safetensors(folder, layout, names):
    return Made(["-m", single(folder / "model.safetensors", layout, spelling.stock(layout, names))])


def sft(folder, layout, names):
    return Made(["-m", single(folder / "model.sft", layout, spelling.stock(layout, names))])


def shuffled(folder, layout, names):
    return Made(["-m", single(folder / "shuffled.safetensors", layout, spelling.stock(layout, names),
                              order=streams.shuffled)])


def typed(kind):
    def form(folder, layout, names):
        rule = numbers.mixed if kind == "mixed" else kind
        path = single(folder / f"{kind}.safetensors", layout, spelling.stock(layout, names), rule)
        return Made(["-m", path], rule)
    return form


def with_ema(folder, layout, names):
    """As the training checkpoints: EMA twins, schedules, position_ids, logit_scale."""
    more = [e for e in extras(layout) if e.name not in layout["keys"]]
    return Made(["-m", single(folder / "ema.safetensors", layout, spelling.stock(layout, names),
                              more=[*ema(names), *more])])


def taking_ema(folder, layout, names):
    """The same file drawn with --ema: the UNet of the twins."""
    made = with_ema(folder, layout, names)
    twins = [e for e in ema(names) if e.stored]
    unet = [name for name, _ in names if name.startswith(spelling.UNET)]
    return Made([*made.arguments, "--ema"], values={n: e.array() for n, e in zip(unet, twins)})


def canonical(folder, layout, names):
    """Single-file names, but every text encoder in transformers' spelling."""
    return Made(["-m", single(folder / "canonical.safetensors", layout, [spelling.plain(*n) for n in names])])


def old_clip(folder, layout, names):
    """Without "text_model.", as the first single files had it."""
    tensors = [spelling.renamed(t, t.name.replace(".transformer.text_model.", ".transformer."))
               for t in spelling.stock(layout, names)]
    return Made(["-m", single(folder / "old_clip.safetensors", layout, tensors)])


def linear_vae(folder, layout, names):
    """The VAE's attention as matrices."""
    tensors = [spelling.renamed(t, t.name, spelling.matrix(t.shape)) if ".attn_1." in t.name else t
               for t in spelling.stock(layout, names)]
    return Made(["-m", single(folder / "linear_vae.safetensors", layout, tensors)])


def other_rank(folder, layout, names):
    """proj_in and proj_out as matrices where they are 1x1 convolutions, and the other way round."""
    def turned(t):
        if not t.name.endswith(("proj_in.weight", "proj_out.weight")) or not t.name.startswith(spelling.UNET):
            return t
        return spelling.renamed(t, t.name, t.shape[:2] if len(t.shape) == 4 else (*t.shape, 1, 1))
    tensors = [turned(t) for t in spelling.stock(layout, names)]
    return Made(["-m", single(folder / "other_rank.safetensors", layout, tensors)])


def sharded(folder, layout, names):
    entries = [*streams.plan(sorted(spelling.stock(layout, names), key=lambda t: t.name)), *flags(layout)]
    return Made(["-m", streams.write_shards(folder, "model", entries, SHARD)])


# ---- diffusers' names in single files -------------------------------------------------------------

def mixed_keys(folder, layout, names):
    """Prefixes of single files, diffusers' names below them."""
    p = spelling.parts(layout, names)
    tensors = [t for part in p if part.startswith("text_") for t in p[part]]
    for part, prefix, convert in (("unet", spelling.UNET, spelling.diffusers_unet),
                                  ("vae", spelling.VAE, spelling.diffusers_vae)):
        tensors += [spelling.renamed(t, prefix + t.name) for t in convert(layout, p[part])]
    return Made(["-m", single(folder / "mixed_keys.safetensors", layout, tensors)])


def flat(folder, layout, names):
    """A folder's components in one file: unet., vae., text_encoder., text_encoder_2."""
    tensors = [spelling.renamed(t, f"{part}.{t.name}") for part, (_, ts) in folders.components(layout, names).items()
               for t in ts]
    return Made(["-m", single(folder / "flat.safetensors", layout, tensors)])


# ---- components ---------------------------------------------------------------------------------

def text_flags(layout):
    return ["--clip_g" if name == "clip_g" else "--clip_l" for name in layout["text_names"]]


def components(diffusers):
    """UNet, VAE and text encoders as files of their own, without a prefix."""
    def form(folder, layout, names):
        p, out = spelling.parts(layout, names), []
        unet = spelling.diffusers_unet(layout, p["unet"]) if diffusers else spelling.below(p["unet"], spelling.UNET)
        vae = spelling.diffusers_vae(layout, p["vae"]) if diffusers else spelling.below(p["vae"], spelling.VAE)
        files = [("--diffusion-model", "unet", unet), ("--vae", "vae", vae)]
        for i, (flag, (prefix, _)) in enumerate(zip(text_flags(layout), layout["text"])):
            text = p[f"text_{i}"]
            convert = spelling.is_openclip(layout, i) and not diffusers
            files.append((flag, flag[2:], list(spelling.openclip(text, prefix, "")) if convert
                          else spelling.below(text, prefix)))
        for flag, stem, tensors in files:
            more = flags(layout) if stem == "unet" else ()
            entries = sorted([*streams.plan(tensors), *more], key=lambda e: e.name)
            out += [flag, streams.write(folder / f"{stem}.safetensors", entries, metadata(layout))]
        return Made(out)
    return form


# ---- folders ------------------------------------------------------------------------------------

def folder_of(**how):
    def form(folder, layout, names):
        kind = how.get("kind", "f32")
        return Made(["-m", folders.write(folder / "model", layout, names, **how)], kind)
    return form


def hub(folder, layout, names):
    made = folders.write(folder / "made", layout, names)
    return Made(["-m", folders.hub(folder / "hub", made)])


def dduf(folder, layout, names):
    return Made(["-m", folders.dduf(folder / "model.dduf", folders.write(folder / "made", layout, names))])


# ---- torch and GGUF -------------------------------------------------------------------------------

def ckpt(nested=False, legacy=False, kind="f32", protocol=2):
    def form(folder, layout, names):
        from . import torchfiles
        entries = [*streams.plan(spelling.stock(layout, names), kind), *extras(layout)]
        state = {e.name: torchfiles.tensor(e) for e in entries}
        return Made(["-m", torchfiles.save(state, folder / "model.ckpt", nested, legacy, protocol)], kind)
    return form


def gguf(kind):
    def form(folder, layout, names):
        from . import ggufs
        entries = streams.plan(spelling.stock(layout, names))
        path = folder / f"{kind}.gguf"
        return Made(["-m", path], values=ggufs.write(path, entries, kind))
    return form


FORMS = {
    "safetensors": safetensors, "sft": sft, "shuffled": shuffled, "f16": typed("f16"), "bf16": typed("bf16"),
    "mixed": typed("mixed"), "f8_e4m3": typed("f8_e4m3"), "f8_e5m2": typed("f8_e5m2"), "f64": typed("f64"),
    "ema": with_ema, "taking-ema": taking_ema, "canonical": canonical, "old-clip": old_clip,
    "linear-vae": linear_vae, "other-rank": other_rank, "sharded": sharded,
    "mixed-keys": mixed_keys, "flat": flat,
    "components": components(False), "components-diffusers": components(True),
    "folder": folder_of(), "folder-fp16": folder_of(variant="fp16", kind="f16"),
    "folder-non_ema": folder_of(variant="non_ema"), "folder-shards": folder_of(shard=SHARD),
    "folder-fp16-shards": folder_of(variant="fp16", kind="f16", shard=SHARD), "folder-bin": folder_of(binary=True),
    "folder-bare-text": folder_of(bare=True), "hub": hub, "dduf": dduf,
    "ckpt": ckpt(nested=True), "ckpt-bare": ckpt(), "ckpt-legacy": ckpt(nested=True, legacy=True),
    "ckpt-legacy-f16": ckpt(legacy=True, kind="f16"), "ckpt-protocol4": ckpt(protocol=4),
    **{f"gguf-{k}": gguf(k) for k in ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k",
                                      "q4_k", "q5_k", "q6_k")},
}
NEEDS_TORCH = {f for f in FORMS if f.startswith("ckpt")} | {"folder-bin"}
NEEDS_GGUF = {f for f in FORMS if f.startswith("gguf")}


# Where names do not tell the family, the widths of the published models do: these need size "wide".
WIDE = {"sd1": {"other-rank"}, "sdxl": {"other-rank", "components-diffusers"},
        "sd2": {"other-rank", "canonical", "mixed-keys", "flat", "components", "components-diffusers"}}


def size_for(form, family):
    return "wide" if form in WIDE.get(family, ()) else "small"


def applies(form, layout):
    """old-clip is about transformers' spelling, which SD2 and the refiner do not have. What is told by metadata or by
    empty tensors gets lost in forms that have none."""
    if form.startswith("gguf") and (layout["keys"] or layout["prediction"] == "v"):
        return False
    if form.startswith("ckpt") and layout["prediction"] == "v":
        return False
    return form != "old-clip" or "clip_l" in layout["text_names"]


def twin(path, made, layout, names):
    """The single f32 safetensors file with the numbers that `made` holds."""
    tensors = sorted(spelling.stock(layout, names), key=lambda t: t.name)
    entries = streams.plan(tensors, "f32", made.through)
    for e in entries:
        if made.values and e.name in made.values:
            e.data, e.stored = np.ascontiguousarray(made.values[e.name], np.float32).tobytes(), None
    return streams.write(path, sorted([*entries, *flags(layout)], key=lambda e: e.name), metadata(layout))


