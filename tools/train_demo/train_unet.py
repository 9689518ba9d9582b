"""Step 2: the UNet and the text encoder, on latents of the frozen encoder.

Epsilon prediction (Ho et al. 2020) on the scaled-linear schedule of Stable Diffusion, weighted by min-SNR-5
(Hang et al. 2023), with an exponential moving average of the weights. A tenth of the captions is dropped, so
that classifier-free guidance works (Ho and Salimans 2022). Only the rows of the token table that occur in
captions are trained; export.py puts them back in their places.

    python train_unet.py vae.pt unet.pt --merges bpe_simple_vocab_16e6.txt.gz
"""
import os
import random

import numpy as np
import torch

import pictures as pics
import training
from captions import Tokenizer, caption
from networks import CLIPText, UNet, VAE, init_convolutions

TIMESTEPS, SNR_CAP, DROPPED = 1000, 5.0, 0.1


def encode_pictures(vae, known, limit):
    """Two renderings (one mirrored) of every picture on every background, as latents of unit deviation.

    Returns latents [n,4,16,16], the picture and background index of each, and the scale applied.
    """
    images, picture_of, background_of = [], [], []
    for i, picture in enumerate(known[:limit or None]):
        for b, colour in enumerate(pics.BACKGROUNDS.values()):
            for mirrored in (False, True):
                images.append(pics.jittered(picture.bitmap, colour, random, mirrored))
                picture_of.append(i)
                background_of.append(b)
    with torch.no_grad():
        latents = torch.cat([vae.encode(pics.to_tensor(images[i:i + 32]))[0] for i in range(0, len(images), 32)])
    scale = 1 / float(latents.std())
    return latents * scale, picture_of, background_of, scale


def tokens_in_use(known, tokenizer):
    """The sorted ids that occur in captions, found by drawing many of each."""
    ids = set(tokenizer.ids(""))
    for picture in known:
        for background in pics.BACKGROUNDS:
            for _ in range(40):
                ids.update(tokenizer.ids(caption(picture, background, random)))
    return sorted(ids)


def alphas_cumprod():
    """The signal's share of the variance after t+1 steps of noise [1000]."""
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, TIMESTEPS, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


def plateau_rate(clock, peak):
    """Warm-up, a plateau over the first half of the time, then a straight line down to 2 %."""
    fall = min(1, 2 * (1 - clock.share()))
    return max(peak * min(1, (clock.step + 1) / 200) * fall, peak * 0.02)


class Trainer:
    """The networks, their average, and one step of training."""

    def __init__(self, args):
        self.tokenizer = Tokenizer(args.merges)
        self.known = pics.known(pics.load_pictures())
        vae = VAE()
        vae.load_state_dict(torch.load(args.vae)["vae"])
        self.latents, self.picture_of, self.background_of, self.scale = encode_pictures(
            vae.eval(), self.known, args.pictures)
        self.used = tokens_in_use(self.known, self.tokenizer)
        self.row_of = {token: row for row, token in enumerate(self.used)}
        self.unet, self.text = UNet().to(memory_format=torch.channels_last), CLIPText(len(self.used))
        init_convolutions(self.unet)
        self.parameters = [*self.unet.parameters(), *self.text.parameters()]
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, args.rate, betas=(0.9, 0.99), weight_decay=1e-3)
        self.signal = alphas_cumprod()

    def captions_of(self, chosen):
        """Ids [n,77], renumbered to rows of the small token table."""
        names = list(pics.BACKGROUNDS)
        texts = ["" if random.random() < DROPPED
                 else caption(self.known[self.picture_of[k]], names[self.background_of[k]], random)
                 for k in chosen]
        return torch.tensor([[self.row_of[token] for token in self.tokenizer.ids(text)] for text in texts])

    def step(self, batch, step):
        """Noises random latents, predicts the noise, descends. Returns plain and weighted loss."""
        chosen = np.random.randint(0, len(self.latents), batch)
        t = torch.randint(0, TIMESTEPS, (batch,))
        signal = self.signal[t].view(-1, 1, 1, 1)
        noise = torch.randn_like(self.latents[chosen])
        x = signal.sqrt() * self.latents[chosen] + (1 - signal).sqrt() * noise
        x = x.contiguous(memory_format=torch.channels_last)
        predicted = self.unet(x, t, self.text(self.captions_of(chosen)))
        loss = ((predicted - noise) ** 2).mean((1, 2, 3))
        snr = self.signal[t] / (1 - self.signal[t])
        weighted = (snr.clamp(max=SNR_CAP) / snr * loss).mean()
        training.descend(self.optimizer, weighted, self.parameters)
        decay = min(0.999, (2 + step) / (11 + step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)
        return loss.mean().item(), weighted.item()

    def save(self, path, step):
        training.save(path, unet=self.unet.state_dict(), text=self.text.state_dict(), average=self.average,
                      optimizer=self.optimizer.state_dict(), used=self.used, scale=self.scale, step=step)

    def resume(self, path):
        state = torch.load(path)
        self.unet.load_state_dict(state["unet"])
        self.text.load_state_dict(state["text"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        return state["step"]


def main():
    parser = training.arguments(__doc__, minutes=55, batch=32, rate=1e-3)
    parser.add_argument("vae")
    parser.add_argument("output")
    parser.add_argument("--merges", required=True, help="CLIP's merges: bpe_simple_vocab_16e6.txt.gz or merges.txt")
    parser.add_argument("--pictures", type=int, default=0, help="use only the first few, for a trial run")
    args = parser.parse_args()
    training.seed_everything(args.seed + 1)
    trainer = Trainer(args)
    print(f"{len(trainer.latents)} latents, scale {trainer.scale:.4f}, {len(trainer.used)} tokens in use")
    first = trainer.resume(args.output) if os.path.exists(args.output) else 0
    clock, log = training.Clock(args.minutes, args.steps, first), training.Log(100)
    while clock.running():
        training.set_rate(trainer.optimizer, plateau_rate(clock, args.rate))
        loss, weighted = trainer.step(args.batch, clock.step)
        clock.step += 1
        log.add(clock, loss=loss, weighted=weighted)
        if clock.step % 500 == 0:
            trainer.save(args.output, clock.step)
    trainer.save(args.output, clock.step)
    print(f"{args.output}: {clock.step} steps")


if __name__ == "__main__":
    main()
