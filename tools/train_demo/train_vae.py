"""Step 1: the autoencoder, on crops of all pictures.

Loss: L1, plus half the difference of image gradients (edges), plus a small KL term that keeps the latents
near unit size. Noise is added to the latents, so that the decoder forgives what the UNet will get wrong.

    python train_vae.py vae.pt
"""
import os
import random

import torch

import pictures as pics
import training
from networks import VAE

NOISE = 0.12       # of the latents' deviation
KL_WEIGHT = 3e-4
LOG_VARIANCE = -7  # what the KL term pulls the log variance to


def sample(everything, known, crop):
    """A random picture on a random colour, cut to crop x crop at a multiple of 8."""
    picture = random.choice(known if random.random() < 0.85 else everything)
    colour = (random.choice(list(pics.BACKGROUNDS.values())) if random.random() < 0.85
              else tuple(random.randrange(256) for _ in range(3)))
    if random.random() < 0.3:
        colour = (255, 255, 255)
    image = pics.jittered(picture.bitmap, colour, random, random.random() < 0.5)
    top, left = (random.randrange(0, pics.SIZE - crop + 1, 8) for _ in range(2))
    return image[top:top + crop, left:left + crop]


def losses(vae, x):
    """Returns the reconstruction of x and the terms of its loss."""
    with torch.autocast("cpu", torch.bfloat16):
        mean, log_variance = vae.encode(x)
        mean, log_variance = mean.float(), log_variance.float()
        noisy = mean + torch.randn_like(mean) * (NOISE * mean.detach().std())
        y = vae.decode(noisy).float()
    kl = (mean ** 2).mean() + ((log_variance - LOG_VARIANCE) ** 2).mean()
    return y, (y - x).abs().mean(), training.gradient_difference(y, x), kl


def main():
    parser = training.arguments(__doc__, minutes=60, batch=16, rate=2e-3)
    parser.add_argument("output")
    parser.add_argument("--crop", type=int, default=64, help="side of the crops, a multiple of 8")
    args = parser.parse_args()
    training.seed_everything(args.seed)
    everything = pics.load_pictures()
    known = pics.known(everything)
    vae = VAE().to(memory_format=torch.channels_last)
    vae.init_weights()
    optimizer = torch.optim.AdamW(vae.parameters(), args.rate, betas=(0.9, 0.99), weight_decay=0)
    clock, log = training.Clock(args.minutes, args.steps), training.Log(50)
    if os.path.exists(args.output):
        state = torch.load(args.output)
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        clock = training.Clock(args.minutes, args.steps, state["step"])
    while clock.running():
        training.set_rate(optimizer, training.cosine_rate(clock, args.rate))
        x = pics.to_tensor([sample(everything, known, args.crop) for _ in range(args.batch)])
        y, l1, edges, kl = losses(vae, x)
        training.descend(optimizer, l1 + 0.5 * edges + KL_WEIGHT * kl, list(vae.parameters()))
        clock.step += 1
        log.add(clock, l1=l1.item(), edges=edges.item(), kl=kl.item(), psnr=training.psnr(y, x))
        if clock.step % 500 == 0:
            training.save(args.output, vae=vae.state_dict(), optimizer=optimizer.state_dict(), step=clock.step)
    training.save(args.output, vae=vae.state_dict(), optimizer=optimizer.state_dict(), step=clock.step)
    print(f"{args.output}: {clock.step} steps")


if __name__ == "__main__":
    main()
