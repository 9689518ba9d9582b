"""Modules of diffusers and transformers with the hash weights of a layout, f32: the originals that everything is
held against. Built from configs.py, loaded with strict=True, so a name or a shape that they do not ask for, or miss,
cannot pass. Needs torch."""
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from . import configs, spelling, streams
from . import tensors as listing


def state(tensors, kind="f32"):
    """`kind`: weights as a file of that type has them."""
    return {e.name: torch.from_numpy(e.array()) for e in streams.plan(tensors, "f32", kind)}


def arguments(config):
    return {k: v for k, v in config.items() if not k.startswith("_")}


def load(model, weights):
    """transformers 4 kept a "text_model." in front of names, 5 does not; position_ids are no weights."""
    own = [k for k in model.state_dict() if not k.endswith("position_ids")]
    if not any(k.startswith("text_model.") for k in own):
        weights = {k.removeprefix("text_model."): v for k, v in weights.items()}
    assert sorted(own) == sorted(weights), set(own) ^ set(weights)
    model.load_state_dict(weights, strict=False, assign=True)       # without a second copy
    return model.eval()


def unet(layout, names, kind="f32"):
    part = spelling.parts(layout, names)["unet"]
    with torch.device("meta"):      # no numbers of its own
        model = UNet2DConditionModel(**arguments(configs.unet(layout)))
    return load(model, state(spelling.diffusers_unet(layout, part), kind))


def vae(layout, names, kind="f32"):
    part = spelling.parts(layout, names)["vae"]
    model = AutoencoderKL(**arguments(configs.vae(layout)))
    return load(model, state(spelling.diffusers_vae(layout, part), kind))


def text(layout, names, i, kind="f32"):
    config = CLIPTextConfig(**{k: v for k, v in configs.text(layout, i).items() if k != "architectures"})
    wanted = CLIPTextModelWithProjection if configs.text_class(layout, i).endswith("Projection") else CLIPTextModel
    weights = state(spelling.folder_text(layout, spelling.parts(layout, names)[f"text_{i}"], i), kind)
    if wanted is CLIPTextModel:
        weights.pop("text_projection.weight", None)
    return load(wanted(config), weights)


def taesd(kind="f32"):
    tensors = [spelling.renamed(t, spelling.taesd_key(t.name.removeprefix("taesd.")))
               for t in (spelling.plain(*n) for n in listing.taesd())]
    return load(AutoencoderTiny(), state(tensors, kind))


