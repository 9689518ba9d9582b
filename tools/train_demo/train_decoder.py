"""Step 3: the decoder alone, on whole pictures, with the encoder frozen.

The latents stay what the UNet was trained on, so this may run before or after it. Noise of a random strength
on the latents keeps the decoder forgiving.

    python train_decoder.py vae.pt vae-tuned.pt
"""
import os
import random

import torch

import pictures as pics
import training
from networks import VAE


def sample(everything, known):
    """A whole random picture on a random colour."""
    picture = random.choice(known if random.random() < 0.9 else everything)
    colour = (random.choice(list(pics.BACKGROUNDS.values())) if random.random() < 0.9
              else tuple(random.randrange(256) for _ in range(3)))
    return pics.jittered(picture.bitmap, colour, random, random.random() < 0.5)


def reconstruct(vae, x):
    """Encodes without gradient, adds noise of 0 to 15 % of the latents' deviation, decodes."""
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            mean = vae.encode(x)[0].float()
        noise = torch.randn_like(mean) * (random.uniform(0, 0.15) * mean.std())
        return vae.decode(mean + noise).float()


def main():
    parser = training.arguments(__doc__, minutes=20, batch=8, rate=5e-4)
    parser.add_argument("vae")
    parser.add_argument("output")
    args = parser.parse_args()
    training.seed_everything(args.seed + 3)
    everything = pics.load_pictures()
    known = pics.known(everything)
    vae = VAE().to(memory_format=torch.channels_last)
    vae.load_state_dict(torch.load(args.output if os.path.exists(args.output) else args.vae)["vae"])
    parameters = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    optimizer = torch.optim.AdamW(parameters, args.rate, betas=(0.9, 0.99), weight_decay=0)
    clock, log = training.Clock(args.minutes, args.steps), training.Log(50)
    while clock.running():
        training.set_rate(optimizer, training.cosine_rate(clock, args.rate))
        x = pics.to_tensor([sample(everything, known) for _ in range(args.batch)])
        y = reconstruct(vae, x)
        l1, edges = (y - x).abs().mean(), training.gradient_difference(y, x)
        training.descend(optimizer, l1 + 0.5 * edges, parameters)
        clock.step += 1
        log.add(clock, l1=l1.item(), edges=edges.item(), psnr=training.psnr(y, x))
        if clock.step % 300 == 0:
            training.save(args.output, vae=vae.state_dict(), step=clock.step)
    training.save(args.output, vae=vae.state_dict(), step=clock.step)
    print(f"{args.output}: {clock.step} steps")


if __name__ == "__main__":
    main()
