"""Writes tests/golden/infotext/: pictures of 8x8 pixels with the texts that A1111, Forge, ComfyUI, InvokeAI,
stable-diffusion.cpp and others leave in them, thirty of each of the five, every field among them, and
expected.json: what is to be read from each. Read by tests/test_infotext_parse.c and tests/test_info.sh.

What is expected does not come from sdgen: for A1111's form it comes from that program's own regular expression
(modules/infotext_utils.py), for the others from the values that went in.

usage: golden_infotext.py [FOLDER]
"""
import io
import json
import pathlib
import random
import re
import struct
import sys
import zlib

from PIL import Image, PngImagePlugin

ROOT = pathlib.Path(__file__).parent.parent
CASES = 30

# ---- A1111's form ----

PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
KNOWN = """Prompt|Negative prompt|Steps|Sampler|Schedule type|CFG scale|Seed|Size-1|Size-2|Model hash|Model|VAE hash|VAE|
Variation seed|Variation seed strength|Seed resize from-1|Seed resize from-2|Clip skip|ENSD|RNG|Emphasis|
Old prompt editing timelines|Noise Schedule|Discard penultimate sigma|Schedule min sigma|Schedule max sigma|Schedule rho|
Eta|Eta DDIM|Sigma churn|Sigma tmin|Sigma tmax|Sigma noise|UniPC variant|UniPC skip type|UniPC order|
UniPC lower order final|Skip Early CFG|NGMS|NGMS all steps|Batch size|Batch pos|Version|Solver variant|Solver order|
Lower order final|Midpoint|CFG rescale|Guidance start|Guidance end|Like|Prompt language|Prediction|Timestep spacing|
GITS coefficient|Sigmas|Timesteps|Image CFG scale|Refiner|Refiner switch at|Original size-1|Original size-2|Crop left|Crop top|
Target size-1|Target size-2|Aesthetic score|Negative aesthetic score|VAE tile size-1|VAE tile size-2|VAE tile overlap|
Batch noise""".replace("\n", "").split("|")


def quote(text):
    text = str(text)
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ",\n:") else text


def infotext(prompt, negative, pairs):
    line = ", ".join(k if k == str(v) else f"{k}: {quote(v)}" for k, v in pairs)
    return (prompt + (f"\nNegative prompt: {negative}" if negative else "") + f"\n{line}").strip()


def parse(text):
    """(program, fields, others, implied) as A1111 reads them; a value that is empty is kept, where A1111 drops it."""
    *lines, last = text.strip().split("\n")
    if len(PAIR.findall(last)) < 3:
        lines, last = lines + [last], ""
    texts, which = {"Prompt": "", "Negative prompt": ""}, "Prompt"
    for line in (line.strip() for line in lines):
        if line.startswith("Negative prompt:"):
            which, line = "Negative prompt", line[len("Negative prompt:"):].strip()
        texts[which] += ("" if texts[which] == "" else "\n") + line
    found = list(texts.items())
    for key, value in PAIR.findall(last):
        if value[:1] == '"' and value[-1:] == '"':
            try:
                value = json.loads(value)
            except ValueError:
                pass
        size = re.fullmatch(r"([0-9]+)x([0-9]+)", value)
        found += [(f"{key}-1", size[1]), (f"{key}-2", size[2])] if size else [(key, value)]
    fields, others = {}, []
    for key, value in found:
        if key in KNOWN:
            fields[key] = value
        else:
            others.append([key, value])
    program = program_of(fields.get("Version"), others)
    return program, fields, others, implied(program, fields, others)


def program_of(version, others):
    if ["App", "SD.Next"] in others:
        return "SD.Next"
    for start, program in (("sdgen ", "sdgen"), ("stable-diffusion.cpp", "stable-diffusion.cpp"), ("ComfyUI", "ComfyUI"),
                           ("Fooocus", "Fooocus")):
        if version and version.startswith(start):
            return program
    return "Forge" if version and re.match(r"f\d", version) else "A1111"


def implied(program, fields, others):
    """modules/infotext_versions.py"""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)(?:-(\d+))?", fields.get("Version", "")) if program == "A1111" else None
    if not found:
        return {}
    number = tuple(int(x or 0) for x in found.groups())
    meant = {}
    if number < (1, 6, 0, 0) and "[" in fields["Prompt"]:
        meant["Old prompt editing timelines"] = "True"
    if number < (1, 6, 0, 0) and fields.get("Sampler") in ("DDIM", "PLMS"):
        meant["Pad conds v0"] = "True"
    if number < (1, 7, 0, 225):
        meant["Downcast alphas_cumprod"] = "True"
    written = {**fields, **dict(others)}
    return {k: v for k, v in meant.items() if k not in written}


PROMPTS = ["a cat", "two\nlines, and more", "caf\u00e9, \u732b and \U0001f98a", "(best quality:1.2), [from:to:0.5], a ((cat))",
           "a cat AND a dog :0.5", "Steps: 3, not the parameters", "a [cat|dog] BREAK sea", "quote \" and \\ and 'x'",
           "", "<lora:thing:0.8> a house", "x " * 200, "a\n\n\nb", "  indented\n\tand tabbed ", "Negative prompt: first"]
NEGATIVES = ["", "", "blurry", "bad hands, (worst:1.3)", "two\nlines", "Negative prompt: again", "\u00fcber"]
SAMPLERS = ["Euler a", "Euler", "DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "Heun", "LMS", "DDIM", "UniPC", "PLMS", "LCM",
            "Restart", "DPM2 a", "DPM++ 2S a"]
SCHEDULES = ["Automatic", "Karras", "Exponential", "SGM Uniform", "Uniform", "Polyexponential", "Beta", "KL Optimal"]
OPTIONAL = [("Variation seed", "4294967294"), ("Variation seed strength", "0.25"), ("Seed resize from", "512x448"),
            ("Denoising strength", "0.7"), ("Clip skip", "2"), ("ENSD", "31337"), ("RNG", "CPU"), ("RNG", "NV"),
            ("Token merging ratio", "0.5"), ("Init image hash", "0123abcd"), ("Tiling", "True"),
            ("Hires upscale", "2"), ("Hires resize", "1024x1024"), ("Hires steps", "10"), ("Hires upscaler", "Latent"),
            ("Hires prompt", "other, prompt: here"), ("Refiner", "xl-refiner [abc]"), ("Refiner switch at", "0.8"),
            ("Lora hashes", "thing: 0123456789ab, other: ba9876543210"), ("TI hashes", "emb: 00ff"),
            ("Emphasis", "No norm"), ("Emphasis", "Ignore"), ("NGMS", "0.5"), ("NGMS all steps", "True"),
            ("Skip Early CFG", "0.1"), ("Mask blur", "4"), ("Eta", "0.67"), ("Eta DDIM", "0.5"), ("Sigma churn", "1.5"),
            ("Sigma tmin", "0.05"), ("Sigma tmax", "10"), ("Sigma noise", "1.003"), ("UniPC variant", "bh2"),
            ("UniPC skip type", "logSNR"), ("UniPC order", "2"), ("UniPC lower order final", "False"),
            ("Discard penultimate sigma", "True"), ("Schedule min sigma", "0.02"), ("Schedule max sigma", "14.5"),
            ("Schedule rho", "5"), ("Noise Schedule", "Zero Terminal SNR"), ("Old prompt editing timelines", "True"),
            ("Face restoration", "CodeFormer"), ("Image CFG scale", "1.5"), ("FP8 weight", "Enable"), ("User", "me"),
            ("Pad conds", "True"), ("Batch size", "4"), ("Batch pos", "2"), ("Beta schedule alpha", "0.6"),
            ("Hashes", '{"model": "6ce0161689"}'), ("ControlNet 0", 'preprocessor: canny, model: "x", weight: 1'),
            ("CFG Rescale \u03c6", "0.7"), ("Empty", ""), ("Script", "a \"quoted\" one"), ("tabbed", "a\tb, c")]


def a1111_case(r, i, forge):
    pairs = [("Steps", r.randint(1, 150)), ("Sampler", SAMPLERS[i % len(SAMPLERS)])]
    if i % 5 == 4:
        pairs[1] = ("Sampler", r.choice(["DPM++ 2M Karras", "DPM++ 2M SDE Exponential", "DPM2 a Karras"]))
    else:
        pairs.append(("Schedule type", SCHEDULES[i % len(SCHEDULES)]))
    pairs += [("CFG scale", r.choice(["7", "7.0", "1", "4.5", "30"])), ("Seed", r.randint(0, 2**32 - 1)),
              ("Size", f"{8 * r.randint(8, 256)}x{8 * r.randint(8, 256)}"),
              ("Model hash", r.choice(["6ce0161689", "45dee52b", "e1441589a6"])),
              ("Model", r.choice(["v1-5-pruned-emaonly", "sub_folder_model", "odd, name: here"]))]
    if i % 3 == 0:
        pairs += [("VAE hash", "735e4c3a44"), ("VAE", "vae-ft-mse.safetensors")]
    pairs += [OPTIONAL[(2 * i + k * 7) % len(OPTIONAL)] for k in range(r.randint(2, 6))]
    pairs += [OPTIONAL[(2 * i + (1 if forge else 0)) % len(OPTIONAL)]]
    if forge:
        pairs += [("Distilled CFG Scale", "3.5"), ("Diffusion in Low Bits", "Automatic"), ("Module 1", "vae-ft-mse"),
                  ("Version", r.choice(["f2.0.1v1.10.1-previous-659-gc055f2d4", "f0.0.17v1.8.0rc-latest-276-g29be1da7"]))]
    elif i % 6:
        pairs += [("Version", r.choice(["v1.10.1", "v1.9.4", "v1.5.1", "v1.6.0", "1.7.0", "v1.7.0-225-gabcdef0", "weird"]))]
    seen, unique = set(), []
    for key, value in pairs:
        if key not in seen:
            unique.append((key, value))
        seen.add(key)
    return infotext(PROMPTS[i % len(PROMPTS)], NEGATIVES[i % len(NEGATIVES)], unique)


def odd_a1111(i):
    """Texts that are read in an unexpected way; None: no odd case of that number."""
    return {
        3: "only a prompt, no parameters",
        7: "a cat\nNegative prompt: dog\nSteps: 2, Sampler: Euler",
        11: "a cat\nSteps: 20, Sampler: Euler a, Seed: 1, Seed: 2, Size: 512x512x3, Bad: \"not, closed, Model: \"a\" b, x: y",
        13: "a cat\nSteps: 20, Sampler: Euler a, a b-c/d: 1, 1: 2, : 3, -x y: 4, q:5, q q:6,,, , trailing: ",
        17: "prompt\r\nNegative prompt: n\r\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x64, App: SD.Next",
        23: "a cat\nSteps: 20, Sampler: Euler a, Prompt: \"other\", Bad escape: \"\\q, x\", Good: \"\\u732b\\n, \\ud83e\\udd8a\"",
    }.get(i)


# ---- ComfyUI ----


class Graph:
    def __init__(self):
        self.nodes = {}

    def add(self, kind, **inputs):
        self.nodes[str(len(self.nodes) + 3)] = {"inputs": inputs, "class_type": kind, "_meta": {"title": kind}}
        return [str(len(self.nodes) + 2), 0]

    def out(self, link, slot):
        return [link[0], slot]


def comfy_case(r, i):
    """(graph, fields, others)"""
    g, fields, others = Graph(), {}, []

    def put(name, value):
        fields[name] = value if isinstance(value, str) else repr(value) if value != int(value) else str(int(value))

    def unknown(kind, key, value):
        value = str(value) if not isinstance(value, float) or value != int(value) else str(int(value))
        others.append([f"{kind}.{key}" if key else kind, value])

    model = clip = loader = g.add("CheckpointLoaderSimple", ckpt_name="SD1/v1-5-pruned-emaonly.safetensors")
    clip, vae = g.out(loader, 1), g.out(loader, 2)
    put("Model", "SD1/v1-5-pruned-emaonly.safetensors")
    if i % 4 == 1:
        lora = g.add("LoraLoader", lora_name="thing.safetensors", strength_model=0.8, strength_clip=1.0, model=model, clip=clip)
        model, clip = lora, g.out(lora, 1)
        for key, value in (("lora_name", "thing.safetensors"), ("strength_model", 0.8), ("strength_clip", 1.0)):
            unknown("LoraLoader", key, value)
    if i % 4 == 2:
        clip = g.add("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=clip)
        put("Clip skip", 2)
    if i % 5 == 3:
        vae = g.add("VAELoader", vae_name="vae-ft-mse.safetensors")
        put("VAE", "vae-ft-mse.safetensors")
    if i % 6 == 4:
        model = g.add("ModelSamplingDiscrete", sampling="v_prediction", zsnr=i % 12 == 4, model=model)
        put("Prediction", "v")
        if i % 12 == 4:
            put("Noise Schedule", "Zero Terminal SNR")
    if i % 7 == 5:
        model = g.add("RescaleCFG", multiplier=0.7, model=model)
        put("CFG rescale", 0.7)
    text = PROMPTS[i % len(PROMPTS)]
    put("Prompt", text)
    source = g.add("String Literal", string=text) if i % 8 == 6 else text
    positive = g.add("CLIPTextEncode", text=source, clip=clip)
    negative_text = NEGATIVES[i % len(NEGATIVES)]
    put("Negative prompt", negative_text)
    negative = g.add("CLIPTextEncode", text=negative_text, clip=clip)
    if i % 9 == 7:
        extra = g.add("CLIPTextEncode", text="second, part", clip=clip)
        positive = g.add("ConditioningCombine", conditioning_1=positive, conditioning_2=extra)
        unknown("CLIPTextEncode", "text", "second, part")
        others.append(["ConditioningCombine", positive[0]])
    latent = g.add("EmptyLatentImage", width=8 * r.randint(8, 128), height=8 * r.randint(8, 128), batch_size=1 + (i % 10 == 8))
    inputs = g.nodes[latent[0]]["inputs"]
    put("Size-1", inputs["width"])
    put("Size-2", inputs["height"])
    if i % 10 == 8:
        put("Batch size", 2)
    seed, steps, cfg = r.randint(0, 2**64 - 1), r.randint(1, 60), r.choice([1.0, 7.0, 8.0, 5.5])
    name = r.choice(["euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "uni_pc", "lcm", "ddim", "heunpp2"])
    schedule = r.choice(["normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta"])
    put("Seed", str(seed))
    put("Steps", steps)
    put("CFG scale", cfg)
    kind = i % 3
    if kind == 0:
        link = g.add("PrimitiveInt", value=seed) if i % 2 else seed
        sampler = g.add("KSampler", seed=link, steps=steps, cfg=cfg, sampler_name=name, scheduler=schedule,
                        denoise=0.55 if i % 15 == 0 else 1.0, model=model, positive=positive, negative=negative,
                        latent_image=latent)
        put("Sampler", name)
        put("Schedule type", schedule)
        if i % 15 == 0:
            unknown("KSampler", "denoise", 0.55)
    elif kind == 1:
        sampler = g.add("KSamplerAdvanced", add_noise="enable", noise_seed=seed, steps=steps, cfg=cfg, sampler_name=name,
                        scheduler=schedule, start_at_step=0, end_at_step=10000 if i % 2 else max(steps // 2, 1),
                        return_with_leftover_noise="disable", model=model, positive=positive, negative=negative,
                        latent_image=latent)
        put("Sampler", name)
        put("Schedule type", schedule)
        if not i % 2 and max(steps // 2, 1) < steps:
            unknown("KSamplerAdvanced", "end_at_step", max(steps // 2, 1))
    else:
        sampler = comfy_custom(g, r, i, put, dict(model=model, positive=positive, negative=negative, latent_image=latent,
                                                  seed=seed, steps=steps, cfg=cfg, name=name, schedule=schedule))
    if i % 11 == 9:  # a second pass
        big = g.add("LatentUpscale", upscale_method="nearest-exact", width=1024, height=1024, crop="disabled", samples=sampler)
        for key, value in (("upscale_method", "nearest-exact"), ("width", 1024), ("height", 1024), ("crop", "disabled")):
            unknown("LatentUpscale", key, value)
        sampler = g.add("KSampler", seed=1, steps=10, cfg=6.5, sampler_name="euler", scheduler="normal", denoise=0.5,
                        model=model, positive=positive, negative=negative, latent_image=big)
        for key, value in (("seed", 1), ("steps", 10), ("cfg", 6.5), ("sampler_name", "euler"), ("scheduler", "normal"),
                           ("denoise", 0.5)):
            unknown("KSampler", key, value)
    image = g.add("VAEDecode", samples=sampler, vae=vae)
    g.add("SaveImage", filename_prefix="ComfyUI", images=image)
    if i % 13 == 11:
        g.add("FreeU_V2", b1=1.3, model=model)
        unknown("FreeU_V2", "b1", 1.3)
    return g.nodes, fields, others


def comfy_custom(g, r, i, put, a):
    sigma = {}
    if i % 2:
        choice = g.add("KSamplerSelect", sampler_name=a["name"])
        put("Sampler", a["name"])
    else:
        choice = g.add("SamplerDPMPP_2M_SDE", solver_type="heun", eta=0.5, s_noise=1.25, noise_device="gpu")
        put("Sampler", "dpmpp_2m_sde_heun")
        put("Eta", 0.5)
        put("Sigma noise", 1.25)
    if i % 4 == 1:
        sigma = g.add("KarrasScheduler", steps=a["steps"], sigma_max=14.614642, sigma_min=0.0291675, rho=7.0)
        put("Schedule type", "karras")
        put("Schedule max sigma", 14.614642)
        put("Schedule min sigma", 0.0291675)
        put("Schedule rho", 7)
    elif i % 4 == 3:
        sigma = g.add("GITSScheduler", coeff=1.2, steps=a["steps"], denoise=1.0)
        put("Schedule type", "gits")
        put("GITS coefficient", 1.2)
    else:
        sigma = g.add("BasicScheduler", scheduler=a["schedule"], steps=a["steps"], denoise=1.0, model=a["model"])
        put("Schedule type", a["schedule"])
    if r.random() < 0.5:
        return g.add("SamplerCustom", add_noise=True, noise_seed=a["seed"], cfg=a["cfg"], model=a["model"],
                     positive=a["positive"], negative=a["negative"], sampler=choice, sigmas=sigma,
                     latent_image=a["latent_image"])
    noise = g.add("RandomNoise", noise_seed=a["seed"])
    guider = g.add("CFGGuider", cfg=a["cfg"], model=a["model"], positive=a["positive"], negative=a["negative"])
    return g.add("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=choice, sigmas=sigma,
                 latent_image=a["latent_image"])


# ---- InvokeAI ----


def invoke_case(r, i):
    """(keyword, text, fields, others)"""
    steps, seed, cfg = r.randint(1, 99), r.randint(0, 2**32 - 1), r.choice([7.5, 5.0, 3.25])
    width, height = 8 * r.randint(8, 100), 8 * r.randint(8, 100)
    number = repr(cfg) if cfg != int(cfg) else str(int(cfg))
    fields = {"Steps": str(steps), "Seed": str(seed), "CFG scale": number, "Size-1": str(width), "Size-2": str(height)}
    others = []
    if i < 16:
        data = dict(generation_mode="txt2img", positive_prompt=PROMPTS[i % len(PROMPTS)],
                    negative_prompt=NEGATIVES[i % len(NEGATIVES)], width=width, height=height, seed=seed,
                    rand_device="cpu" if i % 2 else "cuda", cfg_scale=cfg, cfg_rescale_multiplier=0.25, steps=steps,
                    scheduler=["euler_a", "dpmpp_2m_k", "ddim", "unipc", "dpmpp_sde_k", "lms"][i % 6], clip_skip=i % 3,
                    seamless_x=False, app_version="5.4.0",
                    model={"key": "k", "hash": "blake3:0123", "name": "sd 1.5", "base": "sd-1", "type": "main"} if i % 2
                    else {"model_name": "stable-diffusion-v1-5", "base_model": "sd-1", "model_type": "main"},
                    vae={"key": "v", "hash": "blake3:45", "name": "mse", "base": "sd-1", "type": "vae"} if i % 4 == 1 else None,
                    loras=[{"model": {"name": "thing"}, "weight": 0.75}] if i % 5 == 0 else [])
        fields.update({"Prompt": data["positive_prompt"], "Negative prompt": data["negative_prompt"],
                       "RNG": data["rand_device"], "CFG rescale": "0.25", "Sampler": re.sub("_k$", "", data["scheduler"]),
                       "Clip skip": str(i % 3 + 1), "Version": "5.4.0"})
        if data["scheduler"].endswith("_k"):
            fields["Schedule type"] = "karras"
        others += [["generation_mode", "txt2img"], ["seamless_x", "False"]]
        if i % 2:
            fields.update({"Model": "sd 1.5", "Model hash": "blake3:0123"})
            others += [["model.key", "k"], ["model.base", "sd-1"], ["model.type", "main"]]
        else:
            fields["Model"] = "stable-diffusion-v1-5"
            others += [["model.base_model", "sd-1"], ["model.model_type", "main"]]
        if data["vae"]:
            fields.update({"VAE": "mse", "VAE hash": "blake3:45"})
            others += [["vae.key", "v"], ["vae.base", "sd-1"], ["vae.type", "vae"]]
        if data["loras"]:
            others += [["loras[0].model.name", "thing"], ["loras[0].weight", "0.75"]]
        return "invokeai_metadata", json.dumps(data, ensure_ascii=i % 2 == 0), fields, others
    positive, negative = ["a cat on a mat", "sea, \u00fcber all"][i % 2], ["", "ugly, blurry"][i // 2 % 2]
    prompt = positive + (f" [{negative}]" if negative else "")
    fields.update({"Prompt": positive, "Negative prompt": negative})
    if i < 24:
        image = dict(prompt=[{"prompt": prompt, "weight": 1.0}] if i % 4 else prompt, steps=steps, cfg_scale=cfg, threshold=0,
                     perlin=0, height=height, width=width, seed=seed, seamless=False, hires_fix=False, type="txt2img",
                     sampler="k_euler_a", postprocessing=None, variations=[])
        data = dict(model="stable diffusion", model_weights="stable-diffusion-1.5", model_hash="ab" * 32,
                    app_id="invoke-ai/InvokeAI", app_version="v2.2.5", image=image)
        fields.update({"Sampler": "k_euler_a", "Model": "stable-diffusion-1.5", "Model hash": "ab" * 32, "Version": "v2.2.5"})
        others += [["model", "stable diffusion"], ["app_id", "invoke-ai/InvokeAI"], ["image.threshold", "0"],
                   ["image.perlin", "0"], ["image.seamless", "False"], ["image.hires_fix", "False"], ["image.type", "txt2img"]]
        if i % 4:
            others.append(["image.prompt[0].weight", "1"])
        return "sd-metadata", json.dumps(data), fields, others
    text = f'"{prompt}" -s {steps} -S {seed} -W {width} -H {height} -C {cfg} -A k_lms'
    fields["Sampler"], fields["CFG scale"] = "k_lms", str(cfg)
    if i % 2:
        text += " -F -G 0.8 -U 2"
        others += [["F", ""], ["G", "0.8"], ["U", "2"]]
    return "Dream", text, fields, others


# ---- stable-diffusion.cpp ----


def sdcpp_case(r, i):
    """(text, fields, others), as get_image_params writes it; with the JSON behind it from case 15 on."""
    prompt, negative = PROMPTS[i % 7], NEGATIVES[i % len(NEGATIVES)]
    steps, seed, width, height = r.randint(1, 60), r.randint(0, 2**31), 64 * r.randint(4, 16), 64 * r.randint(4, 16)
    cfg, eta = r.choice([7.0, 1.0, 4.5]), r.choice([0.0, 1.0])
    method = r.choice(["euler_a", "euler", "dpm++2m", "dpm++2mv2", "ipndm_v", "ddim_trailing", "lcm"])
    schedule = r.choice(["discrete", "karras", "exponential", "ays", "gits", "smoothstep", "sgm_uniform"])
    sigmas = [14.6146, 7.8, 2.5, 0.0] if i % 6 == 5 else []
    text = f"{prompt}\n" + (f"Negative prompt: {negative}\n" if negative else "")
    text += f"Steps: {steps}, CFG scale: {cfg:f}, "
    fields = {"Prompt": prompt.strip(), "Negative prompt": negative.strip(), "Steps": str(steps), "CFG scale": f"{cfg:f}"}
    fields["Prompt"] = "\n".join(line.strip() for line in prompt.strip().split("\n"))
    if negative.startswith("Negative prompt:"):
        fields["Negative prompt"] = negative
    others = []
    if i % 4 == 3:
        text += f"SLG scale: {cfg:f}, Skip layers: [7, 8, 9, ], Skip layer start: 0.010000, Skip layer end: 0.200000, "
        others += [["SLG scale", f"{cfg:f}"], ["Skip layers", "[7, 8, 9, ]"], ["Skip layer start", "0.010000"],
                   ["Skip layer end", "0.200000"]]
    text += f"Guidance: 3.500000, Eta: {eta:f}, Seed: {seed}, Size: {width}x{height}, Model: sd-v1-5.safetensors, RNG: cuda, "
    others += [["Guidance", "3.500000"]]
    fields.update({"Eta": f"{eta:f}", "Seed": str(seed), "Size-1": str(width), "Size-2": str(height),
                   "Model": "sd-v1-5.safetensors", "RNG": "cuda"})
    if i % 5 == 2:
        text += "Sampler RNG: cpu, "
        others.append(["Sampler RNG", "cpu"])
    text += f"Sampler: {method}"
    fields["Sampler"] = method
    if sigmas:
        text += ", Custom Sigmas: [" + ", ".join(f"{s:.4f}" for s in sigmas) + "]"
        fields["Sigmas"] = " ".join(f"{s:.4f}" for s in sigmas)
    else:
        text += f" {schedule}"
        fields["Schedule type"] = schedule
    text += ", "
    if i % 7 == 4:
        text += "TE: clip_l.safetensors, TE: clip_g.safetensors, "
        others += [["TE", "clip_l.safetensors"], ["TE", "clip_g.safetensors"]]
    if i % 3 == 1:
        text += "VAE: vae-ft-mse.safetensors, "
        fields["VAE"] = "vae-ft-mse.safetensors"
    if i % 4 == 2:
        text += "Clip skip: 2, "
        fields["Clip skip"] = "2"
    text += "Version: stable-diffusion.cpp"
    fields["Version"] = "stable-diffusion.cpp"
    if i < 15:
        return text, fields, others
    data = dict(schema="sdcpp.image.params/v1", mode="img_gen",
                generator=dict(name="stable-diffusion.cpp", version="master-1", commit="abc"), seed=seed, width=width,
                height=height, prompt=dict(positive=prompt, negative=negative),
                sampling=dict(steps=steps, eta=None if i % 2 else eta, method=method, scheduler=schedule,
                              guidance=dict(txt_cfg=cfg, img_cfg=cfg, distilled_guidance=3.5,
                                            slg=dict(scale=0, layers=[], start=0.01, end=0.2))),
                models=dict(model="sd-v1-5.safetensors"), clip_skip=2 if i % 4 == 2 else -1, strength=0.75, rng="cuda",
                loras=[dict(name="thing", multiplier=0.5)] if i % 3 == 0 else [])
    if sigmas:
        data["sampling"]["custom_sigmas"] = sigmas
    plain = str(int(cfg)) if cfg == int(cfg) else repr(cfg)
    fields = {"Prompt": prompt, "Negative prompt": negative, "Steps": str(steps), "CFG scale": plain, "Seed": str(seed),
              "Size-1": str(width), "Size-2": str(height), "Sampler": method, "Schedule type": schedule, "RNG": "cuda",
              "Model": "sd-v1-5.safetensors", "Clip skip": str(data["clip_skip"]), "Version": "master-1"}
    if not i % 2:
        fields["Eta"] = str(int(eta))
    if sigmas:
        fields["Sigmas"] = "14.6146 7.8 2.5 0"
    others = [["schema", "sdcpp.image.params/v1"], ["mode", "img_gen"], ["generator.name", "stable-diffusion.cpp"],
              ["generator.commit", "abc"], ["sampling.guidance.img_cfg", plain],
              ["sampling.guidance.distilled_guidance", "3.5"], ["sampling.guidance.slg.scale", "0"],
              ["sampling.guidance.slg.start", "0.01"], ["sampling.guidance.slg.end", "0.2"], ["strength", "0.75"]]
    if data["loras"]:
        others += [["loras[0].name", "thing"], ["loras[0].multiplier", "0.5"]]
    return text + ", SDCPP: " + json.dumps(data), fields, others


# ---- three that write one object ----


def flat_cases():
    """Of NovelAI, Fooocus and SwarmUI: (texts, program, fields, others, implied)"""
    novel = dict(steps=28, sampler="k_euler_ancestral", seed=123456789, strength=0.7, noise=0.2, scale=11.0, uc="lowres, bad")
    yield ([("Title", "AI generated image"), ("Description", "a {cat}"), ("Software", "NovelAI"),
            ("Source", "Stable Diffusion 1D44365E"), ("Comment", json.dumps(novel))], "NovelAI",
           {"Prompt": "a {cat}", "Negative prompt": "lowres, bad", "Steps": "28", "Sampler": "k_euler_ancestral",
            "Seed": "123456789", "CFG scale": "11", "Version": "Stable Diffusion 1D44365E"},
           [["strength", "0.7"], ["noise", "0.2"]], {"Size-1": "8", "Size-2": "8", "Clip skip": "2", "ENSD": "31337"})
    newer = dict(prompt="a cat", uc="x", steps=28, height=1216, width=832, scale=5.0, uncond_scale=1.0, cfg_rescale=0.0,
                 seed=42, noise_schedule="karras", sampler="k_dpmpp_2m", n_samples=1, request_type="PromptGenerateRequest")
    yield ([("Software", "NovelAI"), ("Comment", json.dumps(newer))], "NovelAI",
           {"Prompt": "a cat", "Negative prompt": "x", "Steps": "28", "Size-2": "1216", "Size-1": "832", "CFG scale": "5",
            "CFG rescale": "0", "Seed": "42", "Schedule type": "karras", "Sampler": "k_dpmpp_2m"},
           [["uncond_scale", "1"], ["n_samples", "1"], ["request_type", "PromptGenerateRequest"]],
           {"Clip skip": "2", "ENSD": "31337"})
    fooocus = dict(adm_guidance="(1.5, 0.8, 0.3)", base_model="juggernautXL", base_model_hash="aeb7e9e689", clip_skip=2,
                   guidance_scale=4, loras=[], metadata_scheme="fooocus", negative_prompt="bad", performance="Speed",
                   prompt="a cat", resolution="(1152, 896)", sampler="dpmpp_2m_sde_gpu", scheduler="karras",
                   seed="6371456457", sharpness=2, steps=30, styles="['Fooocus V2']", vae="Default (model)",
                   version="Fooocus v2.5.5")
    yield ([("parameters", json.dumps(fooocus)), ("fooocus_scheme", "fooocus")], "Fooocus",
           {"Prompt": "a cat", "Negative prompt": "bad", "Steps": "30", "CFG scale": "4", "Seed": "6371456457",
            "Sampler": "dpmpp_2m_sde_gpu", "Schedule type": "karras", "Model": "juggernautXL", "Model hash": "aeb7e9e689",
            "VAE": "Default (model)", "Clip skip": "2", "Version": "Fooocus v2.5.5", "Size-1": "1152", "Size-2": "896"},
           [["adm_guidance", "(1.5, 0.8, 0.3)"], ["metadata_scheme", "fooocus"], ["performance", "Speed"], ["sharpness", "2"],
            ["styles", "['Fooocus V2']"]], {})
    swarm = dict(sui_image_params=dict(prompt="a cat", negativeprompt="bad", model="SD1/v1-5", seed=1774262837, steps=20,
                                       cfgscale=7.5, aspectratio="1:1", width=512, height=512, sampler="euler",
                                       scheduler="normal", clipstopatlayer=-2, automaticvae=True, swarm_version="0.9.3"),
                 sui_extra_data=dict(date="2024-11-23", prep_time="1.2 sec"))
    yield ([("parameters", json.dumps(swarm, indent=2))], "SwarmUI",
           {"Prompt": "a cat", "Negative prompt": "bad", "Model": "SD1/v1-5", "Seed": "1774262837", "Steps": "20",
            "CFG scale": "7.5", "Size-1": "512", "Size-2": "512", "Sampler": "euler", "Schedule type": "normal",
            "Clip skip": "2", "Version": "0.9.3"},
           [["sui_image_params.aspectratio", "1:1"], ["sui_image_params.automaticvae", "True"],
            ["sui_extra_data.date", "2024-11-23"], ["sui_extra_data.prep_time", "1.2 sec"]], {})


# ---- files ----

IMAGE = Image.new("RGB", (8, 8), (90, 120, 150))


def png(texts, how="pillow"):
    """how: as Pillow decides, or "zTXt", "iTXt-packed"."""
    info = PngImagePlugin.PngInfo()
    for key, value in texts:
        if how == "iTXt-packed":
            info.add_itxt(key, value, zip=True)
        else:
            info.add_text(key, value, zip=how == "zTXt")
    out = io.BytesIO()
    IMAGE.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def png_raw(keyword, data):
    """tEXt with bytes as they are: stable-diffusion.cpp writes UTF-8 there."""
    plain = png([])
    body = b"tEXt" + keyword.encode() + b"\0" + data
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return plain[:33] + chunk + plain[33:]


def exif(comment=None, endian="<", tags=()):
    block = Image.Exif()
    block.endian = endian
    for tag, value in tags:
        block[tag] = value
    if comment is not None:
        block.get_ifd(0x8769)[0x9286] = comment
    return block.tobytes()


def saved(kind, **how):
    out = io.BytesIO()
    IMAGE.save(out, kind, **how)
    return out.getvalue()


def webp_with_xmp(packet):
    return saved("WEBP", xmp=packet.encode())


def containers():
    """The same kind of text in every place where one may be: (name, bytes, text)"""
    text = "a cat, \u732b\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 512x512"
    latin = text.replace("\u732b", "\u00fcber \u00ff")
    plain = text.replace("\u732b", "plain")
    unicode = b"UNICODE\0"
    yield "text_latin1.png", png([("parameters", latin)]), latin
    yield "text_itxt.png", png([("parameters", text)]), text
    yield "text_ztxt.png", png([("parameters", latin)], "zTXt"), latin
    yield "text_itxt_packed.png", png([("parameters", text)], "iTXt-packed"), text
    yield "text_exif.png", saved("PNG", exif=exif(unicode + text.encode("utf-16-be"), ">")), text
    for kind in ("JPEG", "WEBP"):
        end = kind.lower()
        yield f"exif_be_be.{end}", saved(kind, exif=exif(unicode + text.encode("utf-16-be"), ">")), text
        yield f"exif_be_le.{end}", saved(kind, exif=exif(unicode + text.encode("utf-16-be"), "<")), text
        yield f"exif_le_le.{end}", saved(kind, exif=exif(unicode + text.encode("utf-16-le"), "<")), text
        yield f"exif_ascii.{end}", saved(kind, exif=exif(b"ASCII\0\0\0" + plain.encode())), plain
        yield f"exif_undefined.{end}", saved(kind, exif=exif(bytes(8) + text.encode())), text
        yield f"exif_jis.{end}", saved(kind, exif=exif(b"JIS\0\0\0\0\0" + plain.encode())), plain
    yield "exif_bom.jpeg", saved("JPEG", exif=exif(unicode + b"\xff\xfe" + text.encode("utf-16-le"))), text
    yield "comment.jpeg", saved("JPEG", comment=text.encode()), text
    yield "comment.gif", saved("GIF", comment=text.encode()), text


class Writer:
    def __init__(self, folder):
        self.folder, self.expected = folder, {}

    def add(self, name, data, program, fields, others, meant):
        (self.folder / name).write_bytes(data)
        self.expected[name] = dict(program=program, fields=fields, others=others, implied=meant)


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/golden/infotext"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    w, r = Writer(folder), random.Random(1)
    for i in range(CASES):
        for forge in (False, True):
            text = (not forge and odd_a1111(i)) or a1111_case(r, i, forge)
            w.add(f"{'forge' if forge else 'a1111'}_{i:02}.png", png([("parameters", text)]), *parse(text))
    for i in range(CASES):
        nodes, fields, others = comfy_case(r, i)
        text = json.dumps(nodes)
        if i % 14 == 12:  # Python's own numbers
            text = text.replace('"class_type"', '"is_changed": [NaN], "class_type"', 1)
        texts = [("prompt", text), ("workflow", json.dumps({"links": [], "nodes": []}))]
        if i % 10 == 6:
            data = saved("WEBP", exif=exif(None, "<", [(0x0110, "prompt:" + text), (0x010F, "workflow:{}")]))
            w.add(f"comfyui_{i:02}.webp", data, "ComfyUI", fields, others, {})
        else:
            w.add(f"comfyui_{i:02}.png", png(texts), "ComfyUI", fields, others, {})
    for i in range(CASES):
        keyword, text, fields, others = invoke_case(r, i)
        w.add(f"invokeai_{i:02}.png", png([(keyword, text)]), "InvokeAI", fields, others, {})
    for i in range(CASES):
        text, fields, others = sdcpp_case(r, i)
        if i % 10 == 9:
            packet = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
            data = webp_with_xmp(f"<x:xmpmeta><sdcpp:parameters>{packet}</sdcpp:parameters></x:xmpmeta>")
            w.add(f"sdcpp_{i:02}.webp", data, "stable-diffusion.cpp", fields, others, {})
        else:
            w.add(f"sdcpp_{i:02}.png", png_raw("parameters", text.encode()), "stable-diffusion.cpp", fields, others, {})
    for i, (texts, program, fields, others, meant) in enumerate(flat_cases()):
        w.add(f"{program.lower()}_{i}.png", png(texts), program, fields, others, meant)
    for name, data, text in containers():
        w.add(name, data, *parse(text))
    (folder / "expected.json").write_text(json.dumps(w.expected, indent=0, ensure_ascii=False, sort_keys=True) + "\n")
    total = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{folder}: {len(w.expected)} pictures, {total} bytes")


main()
