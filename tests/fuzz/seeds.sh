# seeds.sh - prints the seed files of a fuzz target, one a line: sh tests/fuzz/seeds.sh TARGET. Found first counts: a
# folder of its own, the goldens of its form, any small golden.
cd "$(dirname "$0")/../.." || exit 1
golden=tests/golden
if [ -d "tests/fuzz/seeds/$1" ]; then
    ls "tests/fuzz/seeds/$1"/*
    exit
fi
case $1 in
torchfile) ls $golden/torch/*.ckpt $golden/torch/refused_[a-k]*.pt ;;
torchlegacy) ls $golden/torch/legacy_*.pt ;;
torchtar) ls $golden/torch/tar_*.pt ;;
picklescan) ls tests/fuzz/seeds/pickle/* $golden/torch/legacy_l*.pt $golden/torch/l*.ckpt ;;
safetensors) ls $golden/torch/*.safetensors ;;
shards) ls $golden/forms/*/*.index.json $golden/forms/*/*/*.index.*json ;;
*) find $golden -type f -size -16k | LC_ALL=C sort ;;
esac
