"""What families there are: tests/checkpoints.json, resolved.

A family is a UNet, a list of text encoders and a VAE; each comes in full size, as published, and shrunk: the same
blocks in the same places, a few channels wide, but always with CLIP's whole vocabulary, so that prompts work.
tests/layouts.json has more layouts, with a text encoder of any vocabulary, for tests of single networks.

    layout = load("sdxl", "small")
    layout["unet"], layout["vae"], layout["text"] = [(prefix, clip), ...], layout["keys"], layout["kind"]

Where the full sizes come from. SD1, SD2: the yaml files of CompVis/stable-diffusion and Stability-AI/stablediffusion;
SDXL, refiner: sd_xl_base.yaml and sd_xl_refiner.yaml of Stability-AI/generative-models; their published sizes
are PUBLISHED below. The models made out of these have no yaml:

    ssd_1b, vega, koala_*   ComfyUI comfy/model_detection.py, unet_config_from_diffusers_unet: transformer_depth,
                            transformer_depth_output (there from the shallowest level on, in our order of running
                            [4,4,10],[2,1,1]), transformer_depth_middle -1: one resblock, -2: no middle block;
                            stable-diffusion.cpp src/unet.hpp has the same for ssd_1b and vega
    bk_*                    Nota-NetsPresso/BK-SDM MODEL_CARD.md (which blocks were removed); the numbers of weights
                            are those of the published files' headers, to the last one. segmind/small-sd and
                            segmind/tiny-sd are the same networks as bk_base and bk_tiny
    sdxs_ds, sdxs_09        stable-diffusion.cpp src/unet.hpp (VERSION_SDXS_512_DS, VERSION_SDXS_09). That the first
                            level of sdxs_09 attends to the text twice (only_cross_attention) is read from its
                            CrossAttention, and that it has heads of 64 there like elsewhere is a guess: unverified
    lcm                     diffusers, pipelines/latent_consistency_models: time_cond_proj_dim 256
"""
import json
import pathlib

TOP = pathlib.Path(__file__).resolve().parents[2]
PREFIX = {"one": ["cond_stage_model.transformer."],
          "xl": ["conditioner.embedders.0.transformer.", "conditioner.embedders.1.transformer."]}

# Numbers of weights (and of tensors, where known) that the published files have.
PUBLISHED = {
    "sd1": (859520964, 686), "sd1_inpaint": (859535364, 686), "sd1_pix2pix": (859532484, 686), "sd2": (865910724, 686),
    "sdxl": (2567463684, 1680), "refiner": (2259526660, 1220),
    "bk_base": (579384964, None), "bk_small": (482346884, None), "bk_tiny": (323384964, None),
    "bk_v2_tiny": (326825604, None),
    "clip_l": (123060480, 196), "clip_h": (354032640, None), "clip_g": (694659840, None), "vae": (83653863, 248),
}
# As their authors round them, in millions (model cards; "SSD-1B", arXiv:2401.02677; "KOALA", arXiv:2312.04005).
ROUNDED = {"ssd_1b": 1300, "vega": 740, "koala_700m": 780, "koala_1b": 1160, "sdxs_ds": 320, "sdxs_09": 320}


def table():
    return json.loads((TOP / "tests" / "checkpoints.json").read_text())


def unet(table_of_size, name):
    """A row with its `like` filled in."""
    row = table_of_size[name]
    return {**unet(table_of_size, row["like"]), **row} if "like" in row else row


def names():
    return [*table()["families"]]


def complete(u, **changes):
    """Every key that a UNet may have; depths per block, on the way down and on the way up (both in levels)."""
    u = {"label": 0, "time_cond": 0, "middle": 2, "only_cross": [False] * len(u["channels"]), **u, **changes}
    u.pop("like", None)
    down = [d if isinstance(d, list) else [d] * u["blocks"] for d in u["depth"]]
    up = [d if isinstance(d, list) else [d] * (u["blocks"] + 1) for d in u.get("depth_out", u["depth"])]
    return {**u, "depth_in": down, "depth_out": up}


def load(name, size="full"):
    t = table()
    if name not in t["families"]:
        raise SystemExit(f"no family {name}; there are {', '.join(t['families'])}")
    family = t["families"][name]
    row = unet(t["unets"][size], family["unet"])
    changes = {k: family[k] for k in ("in", "time_cond") if k in family}
    parts = t["parts"][size]
    prefixes = PREFIX["xl" if row.get("label") else "one"]
    return {"family": name, "size": size, "unet": complete(row, **changes),
            "text": [(p, parts[c]) for p, c in zip(prefixes, family["text"])], "text_names": family["text"],
            "vae": parts["vae"], "keys": family.get("keys", []), "prediction": family.get("prediction", "epsilon")}
