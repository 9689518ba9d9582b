/* shapes.c - the operations of SD1's UNet and VAE decoder at 512 x 512 pixels, with how often each
 * is done. Small ones (time embedding, 1x1 shortcuts, LayerNorm, text) are left out: under 5 % of
 * the multiply-adds. */
#include "bench/bench.h"

#define CONV(size, in, out, count)             \
    {                                          \
        BENCH_CONV, size, in, out, 1, 1, count \
    }
#define DOWN(size, c, count)                \
    {                                       \
        BENCH_CONV, size, c, c, 2, 1, count \
    }
#define UP(size, c, count)                  \
    {                                       \
        BENCH_CONV, size, c, c, 1, 2, count \
    }
#define LINEAR(size, in, out, count)             \
    {                                            \
        BENCH_LINEAR, size, in, out, 1, 1, count \
    }
#define ATTENTION(size, c, keys, heads, count)          \
    {                                                   \
        BENCH_ATTENTION, size, c, keys, heads, 1, count \
    }
#define NORM(size, c, count)                     \
    {                                            \
        BENCH_GROUPNORM, size, c, c, 1, 1, count \
    }
#define GEGLU(size, c, count)                \
    {                                        \
        BENCH_GEGLU, size, c, c, 1, 1, count \
    }

/* The linear layers of `count` transformers of width c: input and output, self-attention's four and
 * cross-attention's two at this width, then the feed-forward pair. */
#define TRANSFORMER(size, c, count)                                                                \
    LINEAR(size, c, c, 8 * (count)), LINEAR(size, c, 8 * (c), count), GEGLU(size, 4 * (c), count), \
        LINEAR(size, 4 * (c), c, count), ATTENTION(size, c, (size) * (size), 8, count),            \
        ATTENTION(size, c, 77, 8, count)

static const struct bench_shape unet[] = {
    CONV(64, 4, 320, 1),      CONV(64, 320, 320, 7),   CONV(64, 640, 320, 2),
    CONV(64, 960, 320, 1),    CONV(64, 320, 4, 1),     CONV(32, 320, 640, 1),
    CONV(32, 640, 640, 6),    CONV(32, 960, 640, 1),   CONV(32, 1280, 640, 1),
    CONV(32, 1920, 640, 1),   CONV(16, 640, 1280, 1),  CONV(16, 1280, 1280, 6),
    CONV(16, 1920, 1280, 1),  CONV(16, 2560, 1280, 2), CONV(8, 1280, 1280, 11),
    CONV(8, 2560, 1280, 3),   DOWN(32, 320, 1),        DOWN(16, 640, 1),
    DOWN(8, 1280, 1),         UP(64, 640, 1),          UP(32, 1280, 1),
    UP(16, 1280, 1),          TRANSFORMER(64, 320, 5), TRANSFORMER(32, 640, 5),
    TRANSFORMER(16, 1280, 5), TRANSFORMER(8, 1280, 1), NORM(64, 320, 15),
    NORM(32, 640, 15),        NORM(16, 1280, 15),
};

static const struct bench_shape decoder[] = {
    CONV(64, 4, 512, 1),
    CONV(64, 512, 512, 10),
    UP(128, 512, 1),
    CONV(128, 512, 512, 6),
    UP(256, 512, 1),
    CONV(256, 512, 256, 1),
    CONV(256, 256, 256, 5),
    UP(512, 256, 1),
    CONV(512, 256, 128, 1),
    CONV(512, 128, 128, 5),
    CONV(512, 128, 3, 1),
    LINEAR(64, 512, 512, 4),
    NORM(64, 512, 11),
    NORM(128, 512, 6),
    NORM(256, 256, 6),
    NORM(512, 128, 7),
    ATTENTION(64, 512, 4096, 1, 1),
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
const struct bench_network bench_networks[] = {
    {"UNet step, 2 x 512 x 512", 2, unet, COUNT(unet)},
    {"VAE decoder, 512 x 512", 1, decoder, COUNT(decoder)},
};
const size_t bench_network_count = COUNT(bench_networks);
