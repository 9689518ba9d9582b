#!/usr/bin/env python3
"""sdgen beside PyTorch, OpenVINO and ONNX Runtime on one checkpoint: one table.

usage: compare_peers.py [--sdgen PROGRAM] [--model FILE] [--only NAME[,NAME]] [--rounds N] [--steps N] [--size N]
                        [--threads N] [-o FILE.md]
       compare_peers.py --setup DIR     makes a virtual environment with the peers and prints its Python

Peers are what this Python can import; what is missing is named and left out. Each lives in a process of its own,
one at a time (a peer takes 4 to 10 GB), and takes turns with sdgen: a round is a UNet pass with guidance and a VAE
decoding there, then a whole picture by sdgen. Peers get random prompt vectors; their text encoder is not run.

  load    seconds until the networks are ready: reading, converting, compiling, first call
  step    seconds of a UNet pass over two images of size x size pixels, median
  VAE     seconds of decoding one
  image   steps x step + VAE (sdgen: the whole picture, text encoder and PNG included)
  RSS     the kernel's high-water mark of the process, GB
  PSNR    of the picture against f32 (sdgen: its own f32; peers: PyTorch f32), dB, after --steps Euler steps from
          the same noise

--model: an SD1.x checkpoint; without one a file of hash weights is made (tools/make_checkpoint.py).
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv

TOP = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "pillow", "openvino", "onnx", "onnxscript",
            "onnxruntime")
PEERS = ("torch-f32", "torch-f32-cl", "torch-f32-compiled", "torch-bf16", "torch-bf16-cl", "torch-bf16-compiled",
         "openvino-f32", "openvino-bf16", "onnxruntime-f32")
OURS = ("sdgen-f32", "sdgen-bf16")
LATENT_SCALE = 0.18215


# ---- peers: each is (unet, decode) from functions of numpy-like torch tensors to torch tensors ---------------------

def modules(a):
    from safetensors.torch import load_file

    import ldm_to_diffusers
    state = load_file(a.model)
    unet, vae = ldm_to_diffusers.make_unet(state), ldm_to_diffusers.make_vae(state)
    return unet, vae


def wrapped(unet, vae):
    """Modules with plain tensors in and out, for compilers and exporters."""
    import torch

    class Unet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = unet

        def forward(self, x, t, context):
            return self.unet(x, t, encoder_hidden_states=context, return_dict=False)[0]

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.vae = vae

        def forward(self, z):
            return self.vae.decode(z, return_dict=False)[0]

    return Unet().eval(), Decoder().eval()


def open_torch(a, inputs):
    import torch
    torch.set_num_threads(a.threads)
    dtype = torch.bfloat16 if "bf16" in a.worker else torch.float32
    unet, vae = modules(a)
    unet, decoder = wrapped(unet.to(dtype), vae.to(dtype))
    if a.worker.endswith(("-cl", "-compiled")):
        unet, decoder = unet.to(memory_format=torch.channels_last), decoder.to(memory_format=torch.channels_last)
    if a.worker.endswith("-compiled"):
        import torch._inductor.config
        torch._inductor.config.freezing = True      # weights packed once, as sdgen does
        unet, decoder = torch.compile(unet), torch.compile(decoder)

    def run_unet(x, t, context):
        return unet(x.to(dtype), t, context.to(dtype)).float()

    return run_unet, lambda z: decoder(z.to(dtype)).float()


def open_openvino(a, inputs):
    import openvino
    import torch
    unet, decoder = wrapped(*modules(a))
    hint = "bf16" if "bf16" in a.worker else "f32"
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": a.threads}
    core = openvino.Core()

    def compiled(module, example):
        shapes = [list(e.shape) for e in example]
        model = openvino.convert_model(module, example_input=example, input=shapes)
        module.to("meta")       # the weights live in the converted model now
        request = core.compile_model(model, "CPU", options).create_infer_request()
        return lambda *arguments: torch.from_numpy(request.infer([v.numpy() for v in arguments])[0].copy())

    return compiled(unet, inputs[:3]), compiled(decoder, inputs[3:])


def open_onnxruntime(a, inputs):
    import gc

    import onnxruntime
    import torch
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = a.threads
    unet, decoder = wrapped(*modules(a))
    folder = tempfile.mkdtemp(dir=a.directory)

    def exported(module, example, name):
        path = f"{folder}/{name}.onnx"
        torch.onnx.export(module, example, path, dynamo=True, external_data=True, verbose=False)
        module.to("meta")
        gc.collect()
        run = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [i.name for i in run.get_inputs()]
        return lambda *values: torch.from_numpy(run.run(None, dict(zip(names, [v.numpy() for v in values])))[0])

    return exported(unet, inputs[:3], "unet"), exported(decoder, inputs[3:], "decoder")


def worker(a):
    """Serves "round" and "picture PATH" on standard input; one JSON line each."""
    import torch

    import originals
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)       # what libraries print goes to stderr
    start = time.perf_counter()
    width = context_width(a.model)
    torch.manual_seed(42)
    side = a.size // 8
    noise, context = torch.randn(1, 4, side, side), torch.randn(2, 77, width)
    inputs = (torch.cat([noise, noise]), torch.tensor(500.0), context, noise)
    opener = {"torch": open_torch, "openvino": open_openvino, "onnxruntime": open_onnxruntime}[a.worker.split("-")[0]]

    def timed(call, *values):
        begin = time.perf_counter()
        call(*values)
        return time.perf_counter() - begin

    with torch.no_grad():
        unet, decode = opener(a, inputs)
        timed(unet, *inputs[:3]), timed(decode, inputs[3])
        print(json.dumps({"load": time.perf_counter() - start}), file=out, flush=True)
        for line in sys.stdin:
            if line.strip() == "round":
                answer = {"step": timed(unet, *inputs[:3]), "vae": timed(decode, inputs[3])}
            else:
                scheduler = originals.scheduler("euler")
                scheduler.set_timesteps(a.steps)
                x = noise * scheduler.init_noise_sigma
                for t in scheduler.timesteps:
                    pair = scheduler.scale_model_input(torch.cat([x, x]), t)
                    bare, prompted = unet(pair, t.float(), context).chunk(2)
                    x = scheduler.step(bare + 7.5 * (prompted - bare), t, x).prev_sample
                rgb = (decode(x / LATENT_SCALE) / 2 + 0.5).clamp(0, 1)
                torch.save(rgb, line.split(maxsplit=1)[1].strip())
                answer = {}
            print(json.dumps({**answer, "rss": high_water(os.getpid())}), file=out, flush=True)
    return 0


def context_width(path):
    from safetensors import safe_open
    with safe_open(path, "pt") as f:
        name = next(k for k in f.keys() if k.endswith("attn2.to_k.weight"))
        return f.get_slice(name).get_shape()[1]


# ---- turns -------------------------------------------------------------------------------------------------------

def high_water(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def run_sdgen(a, name, picture):
    """One picture; times by the arrival of progress lines."""
    command = [a.sdgen, "-m", a.model, "-p", "a fox on a blue background", "-W", str(a.size), "-H", str(a.size), "--steps",
               str(a.steps), "--cfg-scale", "7.5", "-s", "42", "--like", "diffusers", "--sampling-method", "euler",
               "-t", str(a.threads), "--precision", name.split("-")[1], "--progress", "json", "--overwrite", "-o", picture]
    start, seen = time.perf_counter(), {}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peak, last = [0], ""

    def watch():
        while process.poll() is None:
            peak[0] = max(peak[0], high_water(process.pid))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for line in process.stdout:
        now = time.perf_counter()
        try:
            event = json.loads(line)
        except ValueError:
            last = line.strip()
            continue
        if isinstance(event, dict):
            seen.setdefault(str(event.get("stage"))[:4], []).append((event.get("step", event.get("done")), now))
    watcher.join()
    if process.wait():
        raise RuntimeError(last or "sdgen failed")
    end = time.perf_counter()
    steps = {number: now for number, now in reversed(seen.get("samp", []))}
    at = [steps[k] for k in sorted(steps)]
    return {"load": seen["load"][-1][1] - start if "load" in seen else math.nan,
            "step": statistics.median(b - c for b, c in zip(at[1:], at)) if len(at) > 1 else math.nan,
            "vae": seen["deco"][-1][1] - at[-1] if at and "deco" in seen else math.nan,
            "image": end - (seen["load"][-1][1] if "load" in seen else start), "rss": peak[0]}


class Peer:
    def __init__(self, a, name):
        command = [sys.executable, __file__, "--worker", name, "--model", a.model, "--size", str(a.size), "--steps",
                   str(a.steps), "--threads", str(a.threads), "--directory", a.directory]
        self.log = open(f"{a.directory}/{name}.log", "w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.load = self.answer()["load"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            lines = self.log.read().strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"ended with status {self.process.returncode}")
        return json.loads(line)

    def ask(self, request):
        print(request, file=self.process.stdin, flush=True)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def psnr(a, b):
    error = float(((a - b) ** 2).mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def load_png(path):
    import numpy as np
    from PIL import Image
    return np.asarray(Image.open(path)).astype(float) / 255


def compare_one(a, name, folder):
    """Rows of the table: the peer's, and sdgen's that took turns with it."""
    import torch
    own = f"sdgen-{'bf16' if 'bf16' in name else 'f32'}"
    peer = Peer(a, name)
    theirs, ours = [], []
    for number in range(a.rounds):
        theirs.append(peer.ask("round"))
        if own in a.ours and own not in a.refused:
            try:
                ours.append(run_sdgen(a, own, f"{folder}/{own}.png"))
            except RuntimeError as error:
                a.refused[own] = str(error)[:200]
        print(f"# {name}, round {number + 1}: step {theirs[-1]['step']:.2f} s, VAE {theirs[-1]['vae']:.2f} s"
              + (f"; {own}: step {ours[-1]['step']:.2f} s, VAE {ours[-1]['vae']:.2f} s" if ours else ""), flush=True)
    rss = peer.ask(f"picture {folder}/{name}.pt")["rss"]
    peer.close()
    row = {k: statistics.median(t[k] for t in theirs) for k in ("step", "vae")}
    row.update(load=peer.load, rss=rss, image=a.steps * row["step"] + row["vae"])
    reference = pathlib.Path(folder, "torch-f32.pt")
    if name != "torch-f32" and reference.exists():
        row["psnr"] = psnr(torch.load(reference), torch.load(f"{folder}/{name}.pt"))
    return row, ours


def median_row(runs):
    row = {k: statistics.median(r[k] for r in runs) for k in ("load", "step", "vae", "image")}
    row["rss"] = max(r["rss"] for r in runs)
    return row


def table(a, rows, missing):
    lines = [f"SD1 layout, {a.size} x {a.size}, guidance, {a.steps} steps, {a.threads} threads; seconds, GB, dB. In turns.", "",
             "| | load | step | VAE | image | peak RSS | PSNR |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, row in rows.items():
        quality = f"{row['psnr']:.1f}" if "psnr" in row else "-"
        lines.append(f"| {name} | {row['load']:.1f} | {row['step']:.2f} | {row['vae']:.2f} | {row['image']:.1f} | "
                     f"{row['rss'] / 1e9:.2f} | {quality} |")
    lines += [""] + [f"- {name}: not measured ({why})" for name, why in missing.items()]
    return "\n".join(lines) + "\n"


def available(name):
    import importlib.util
    module = {"torch": "torch", "openvino": "openvino", "onnxruntime": "onnxruntime"}[name.split("-")[0]]
    return importlib.util.find_spec(module) is not None


def setup(folder):
    """The environment of tools/venv.sh is for goldens and pins versions; peers are compared as they are today."""
    venv.create(folder, with_pip=True)
    python = f"{folder}/bin/python"
    subprocess.run([python, "-m", "pip", "--quiet", "install", *PACKAGES], check=True)
    print(python)


def measure(a, folder):
    rows, missing, ours = {}, {}, {}
    for name in a.peers:
        if not available(name):
            missing[name] = "not installed"
            continue
        try:
            rows[name], runs = compare_one(a, name, folder)
            ours.setdefault(f"sdgen-{'bf16' if 'bf16' in name else 'f32'}", []).extend(runs)
        except RuntimeError as error:
            missing[name] = str(error)[:200]
        if a.output:        # a long run that is stopped leaves what it has
            pathlib.Path(a.output).write_text(table(a, rows, missing))
    for own in a.ours:
        if own in a.refused:
            missing[own] = a.refused[own]
            continue
        try:
            runs = ours.get(own) or [run_sdgen(a, own, f"{folder}/{own}.png") for _ in range(a.rounds)]
            rows[own] = median_row(runs)
        except RuntimeError as error:
            missing[own] = str(error)[:200]
    if "sdgen-bf16" in rows and "sdgen-f32" in rows:
        rows["sdgen-bf16"]["psnr"] = psnr(load_png(f"{folder}/sdgen-f32.png"), load_png(f"{folder}/sdgen-bf16.png"))
    return table(a, rows, missing)


def main():
    parser = argparse.ArgumentParser(description="sdgen beside other engines")
    parser.add_argument("--sdgen", default=os.environ.get("SDGEN", str(TOP / "build" / "sdgen")))
    parser.add_argument("--model", help="an SD1.x checkpoint as safetensors")
    parser.add_argument("--only", default=",".join(PEERS + OURS), help=f"of {', '.join(PEERS + OURS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--directory", default=tempfile.gettempdir(), help="where large temporary files may go")
    parser.add_argument("--setup", metavar="DIR")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", help="write the table there")
    a = parser.parse_args()
    if a.setup:
        return setup(a.setup)
    if a.worker:
        return worker(a)
    names = a.only.split(",")
    a.refused = {}      # of ours: the reason
    a.peers, a.ours = [n for n in PEERS if n in names], [n for n in OURS if n in names]
    if unknown := [n for n in names if n not in PEERS + OURS]:
        raise SystemExit(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS + OURS)}")
    with tempfile.TemporaryDirectory(dir=a.directory) as folder:
        a.directory = folder
        if not a.model:
            import make_checkpoint
            a.model = f"{folder}/sd15-hash.safetensors"
            make_checkpoint.make(a.model, "sd15", "f16")
        text = measure(a, folder)
    print(text)
    if a.output:
        pathlib.Path(a.output).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
