/* shapes.h - which operations a network consists of, at which shapes, and how often.
 *
 * Nothing is counted by hand: a list is written by walking a network's plan as the networks in
 * models/ do, so that SD1, SD2, SDXL and any checkpoint's own plan come from one piece of code. A
 * dry run of a real checkpoint must count the same multiply-adds (stages.c compares the two). */
#ifndef SDG_BENCH_SHAPES_H
#define SDG_BENCH_SHAPES_H

#include "models/unet.h"
#include "models/vae.h"

enum bench_kind {
    BENCH_CONV,      /* 3x3: [n][size/up][in] -> [n][size][out], `size` is that of the output */
    BENCH_LINEAR,    /* [n][rows][in] -> [n][rows][out] */
    BENCH_QKV,       /* three such of one input */
    BENCH_GEGLU,     /* [n][rows][in] -> [n][rows][out], of 2 out columns */
    BENCH_ATTENTION, /* [n][rows] queries, `keys` keys, `heads` heads of in / heads */
    BENCH_GROUPNORM, /* statistics of [n][rows][in] */
    BENCH_KINDS
};

struct bench_shape {
    enum bench_kind kind;
    size_t n, size, rows, in, out, keys, heads; /* rows = size^2 of a map */
    int stride, up;                             /* of a convolution: 1 or 2 */
    bool add;                                   /* a residual is added */
    bool normed;                                /* the input passes through a GroupNorm */
    bool layered;                               /* ... through a LayerNorm */
    int count;                                  /* of one pass */
};

enum { BENCH_MOST_SHAPES = 192, BENCH_NAME = 128 };

/* One pass of one network. */
struct bench_list {
    char name[BENCH_NAME]; /* "SD1.5 UNet 2 x 512 x 512" */
    struct bench_shape shapes[BENCH_MOST_SHAPES];
    size_t count;
};

/* A pass over n images of size x size latent pixels; prompts of `tokens` tokens, whose keys and
 * values are remembered from before. */
void bench_list_unet(struct bench_list *list, const struct sdg_unet_config *c, size_t n,
                     size_t size, size_t tokens);
/* The decoder on a latent of size x size. */
void bench_list_vae(struct bench_list *list, const struct sdg_vae_config *c, size_t size);

/* The networks that everybody uses, at the size they were trained for: the UNet of the i-th with
 * guidance, and its VAE. False past the end. */
bool bench_known(struct bench_list *list, int i);
const char *bench_known_key(int i); /* "sd15-unet": for the command line; NULL past the end */

/* "conv 64x64 320 -> 320": what a line, a JSON file and a comparison call it. */
void bench_shape_name(char name[BENCH_NAME], const struct bench_shape *s);

/* Floating-point operations of one call, as a direct algorithm counts them: 2 a multiply-add; 0 for
 * what is no matrix product. */
double bench_shape_flops(const struct bench_shape *s);
/* Bytes that one call must read and write at least: inputs, outputs, weights of `weight` bytes. */
double bench_shape_bytes(const struct bench_shape *s, size_t weight);

/* The classes that a summary adds up. */
enum bench_class {
    BENCH_CONVS,
    BENCH_PRODUCTS,
    BENCH_SELF,
    BENCH_CROSS,
    BENCH_REST,
    BENCH_CLASSES
};
enum bench_class bench_shape_class(const struct bench_shape *s);
const char *bench_class_name(enum bench_class c);

#endif
