#!/bin/sh
# venv.sh - makes the virtual environment .venv with the originals of tools/requirements.txt, once, and
# prints the path of its Python on the last line. A changed requirements.txt makes it anew.
#
#   python=$(sh tools/venv.sh | tail -n 1)
set -eu
cd "$(dirname "$0")/.."
stamp=.venv/requirements.txt
if ! cmp -s tools/requirements.txt "$stamp"; then
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip --quiet install -r tools/requirements.txt
    # Readers of parameters texts, without the windows that they come with. A change here: remove .venv.
    .venv/bin/pip --quiet install --no-deps sd-parsers==0.6 sd-prompt-reader==1.3.5
    # transformers imports torchvision when it finds one, and the PyPI build fails beside a CPU torch.
    .venv/bin/pip --quiet uninstall -y torchvision
    .venv/bin/python -c 'import torch, diffusers, transformers, safetensors, scipy'
    cp tools/requirements.txt "$stamp"
fi
echo "$(pwd)/.venv/bin/python"
