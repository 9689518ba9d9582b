"""The JSON files of a diffusers folder, made from a layout: what diffusers and transformers build their modules from.

Keys and values as in the published folders (lllyasviel/stable-diffusion-webui-forge, backend/huggingface/, keeps
copies of those of SD1.5, SD2.1, SDXL and the refiner).
"""

VERSION = "0.30.0"      # of diffusers, as a folder says; nobody reads it


def unet(layout):
    c = layout["unet"]
    down, up = c["depth_in"], c["depth_out"]
    levels = len(c["channels"])
    per_level = [max(d[0], 1) for d in down]
    if c["middle"] == 2 and not down[-1][0]:
        per_level[-1] = c["middle_depth"]       # diffusers takes the middle's from the last level
    mirrored = all(set(u) == set(d) for u, d in zip(up, down))
    config = {
        "_class_name": "UNet2DConditionModel", "_diffusers_version": VERSION, "sample_size": layout_sample(layout),
        "in_channels": c["in"], "out_channels": c["out"], "block_out_channels": c["channels"],
        "down_block_types": ["CrossAttnDownBlock2D" if d[0] else "DownBlock2D" for d in down],
        "up_block_types": ["CrossAttnUpBlock2D" if u[0] else "UpBlock2D" for u in reversed(up)],
        "mid_block_type": [None, "UNetMidBlock2D", "UNetMidBlock2DCrossAttn"][c["middle"]],
        "layers_per_block": c["blocks"], "transformer_layers_per_block": per_level,
        "cross_attention_dim": c["context"], "use_linear_projection": c["linear"],
        "attention_head_dim": [w // 64 for w in c["channels"]] if c["linear"] else 8,
        "norm_num_groups": 32, "norm_eps": 1e-5, "act_fn": "silu", "flip_sin_to_cos": True, "freq_shift": 0,
        "center_input_sample": False, "downsample_padding": 1, "mid_block_scale_factor": 1,
    }
    if not mirrored:
        config["reverse_transformer_layers_per_block"] = [u if u[0] else 1 for u in reversed(up)]
    if any(c["only_cross"]):
        config["only_cross_attention"] = c["only_cross"]
    if c["time_cond"]:
        config["time_cond_proj_dim"] = c["time_cond"]
    if c["label"]:
        config |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
                   "projection_class_embeddings_input_dim": c["label"]}
    assert len(per_level) == levels
    return config


def layout_sample(layout):
    """Latent side that the model was trained on."""
    if layout["unet"]["label"]:
        return 128
    return 96 if layout["family"] == "sd2_v" else 64


def vae(layout):
    v, levels, xl = layout["vae"], len(layout["vae"]["channels"]), bool(layout["unet"]["label"])
    config = {"_class_name": "AutoencoderKL", "_diffusers_version": VERSION, "in_channels": v["image"],
              "out_channels": v["image"], "latent_channels": v["z"], "block_out_channels": v["channels"],
              "layers_per_block": v["blocks"], "down_block_types": ["DownEncoderBlock2D"] * levels,
              "up_block_types": ["UpDecoderBlock2D"] * levels, "act_fn": "silu", "norm_num_groups": 32,
              "sample_size": 8 * layout_sample(layout), "scaling_factor": 0.13025 if xl else 0.18215}
    return config | ({"force_upcast": True} if xl else {})


def text(layout, i):
    """Of text encoder i. SD2's has one layer less than its single file: nobody reads the last."""
    c, name = layout["text"][i][1], layout["text_names"][i]
    return {"architectures": [text_class(layout, i)], "model_type": "clip_text_model", "vocab_size": c["vocab"],
            "max_position_embeddings": c["positions"], "hidden_size": c["width"],
            "num_hidden_layers": c["layers"] - (name == "clip_h"), "num_attention_heads": c["width"] // 64,
            "intermediate_size": c["mlp"], "hidden_act": c["activation"], "layer_norm_eps": 1e-5,
            "projection_dim": c.get("projection", c["width"]),
            "bos_token_id": c["vocab"] - 2, "eos_token_id": c["vocab"] - 1, "pad_token_id": 1}


def text_class(layout, i):
    return "CLIPTextModelWithProjection" if layout["text_names"][i] == "clip_g" else "CLIPTextModel"


def text_folders(layout):
    """Folder of each text encoder: the refiner has the second only."""
    return ["text_encoder_2"] if layout["family"] == "refiner" else ["text_encoder", "text_encoder_2"][
        :len(layout["text"])]


SCHEDULES = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


def scheduler(layout):
    v = layout["prediction"] == "v" or "v_pred" in layout["keys"]
    config = {"_diffusers_version": VERSION, **SCHEDULES, "steps_offset": 1,
              "prediction_type": "v_prediction" if v else "epsilon"}
    if "edm_vpred.sigma_max" in layout["keys"]:
        return {"_class_name": "EDMEulerScheduler", "_diffusers_version": VERSION, "num_train_timesteps": 1000,
                "prediction_type": "v_prediction", "sigma_data": 1.0, "sigma_min": 0.002, "sigma_max": 120.0,
                "sigma_schedule": "exponential"}
    if layout["family"] == "lcm":
        return config | {"_class_name": "LCMScheduler", "clip_sample": False, "set_alpha_to_one": True,
                         "original_inference_steps": 50, "timestep_scaling": 10.0}
    if layout["unet"]["label"]:
        config |= {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading",
                   "interpolation_type": "linear", "use_karras_sigmas": False}
        return config | ({"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
                         if "ztsnr" in layout["keys"] else {})
    if layout["text_names"] == ["clip_h"] or v:
        return config | {"_class_name": "DDIMScheduler", "clip_sample": False, "set_alpha_to_one": False}
    return config | {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "set_alpha_to_one": False,
                     "clip_sample": False}


PIPELINES = {"refiner": "StableDiffusionXLImg2ImgPipeline", "lcm": "LatentConsistencyModelPipeline",
             "sd2_depth": "StableDiffusionDepth2ImgPipeline"}


def pipeline_class(layout):
    c, xl = layout["unet"], "XL" if layout["unet"]["label"] else ""
    kind = {9: "InpaintPipeline", 8: "InstructPix2PixPipeline"}.get(c["in"], "Pipeline")
    return PIPELINES.get(layout["family"], f"StableDiffusion{xl}{kind}")


def model_index(layout):
    absent, xl = [None, None], bool(layout["unet"]["label"])
    index = {"_class_name": pipeline_class(layout), "_diffusers_version": VERSION,
             "scheduler": ["diffusers", scheduler(layout)["_class_name"]],
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    index |= {"text_encoder": absent, "tokenizer": absent}
    if xl:
        index |= {"text_encoder_2": absent, "tokenizer_2": absent,
                  "force_zeros_for_empty_prompt": layout["family"] != "refiner"}
        if layout["family"] == "refiner":
            index["requires_aesthetics_score"] = True
    else:
        index |= {"safety_checker": absent, "feature_extractor": absent, "requires_safety_checker": False}
    for i, folder in enumerate(text_folders(layout)):
        index[folder] = ["transformers", text_class(layout, i)]
        index[folder.replace("text_encoder", "tokenizer")] = ["transformers", "CLIPTokenizer"]
    return index


def tokenizer(folder):
    """`folder`: tokenizer or tokenizer_2, which pads with token 0."""
    return {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True,
            "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
            "pad_token": "!" if folder.endswith("_2") else "<|endoftext|>"}
