/* inspect_text.c - the report of `sdgen inspect` for people: aligned, and cut where it would be
 * long. */
#include "cli/inspect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

enum {
    LIST_CUT = 10,    /* entries of a list before "... and N more" */
    VALUE_CUT = 68,   /* bytes of a metadata value */
    NUMBER_SIZE = 32, /* a size_t with commas */
    LINE_SIZE = 512
};

/* "859,520,964" into text. Returns text. */
static const char *grouped(char text[NUMBER_SIZE], size_t n)
{
    char digits[NUMBER_SIZE];
    const int length = snprintf(digits, sizeof digits, "%zu", n);
    int used = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
    return text;
}

/* Names come from strangers: what could steer a terminal is shown as '?'. At most `cut` bytes, and
 * no character in halves; 0: all. */
static void put_clean(const char *s, size_t cut)
{
    const size_t length = strlen(s);
    size_t shown = cut && length > cut ? cut : length;
    while (shown < length && shown > 0 && ((unsigned char)s[shown] & 0xc0) == 0x80) shown--;
    for (const char *at = s; at < s + shown;) {
        const char *start = at;
        if (sdg_utf8_is_control(sdg_utf8_next(&at)))
            putchar('?');
        else
            fwrite(start, 1, (size_t)(at - start), stdout);
    }
    if (shown < length) fputs("...", stdout);
}

/* "  label        text" */
__attribute__((format(printf, 2, 3))) static void row(const char *label, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    printf("  %-13s", label);
    put_clean(text, 0);
    putchar('\n');
}

static void list_cut(size_t shown, size_t count)
{
    if (shown < count) printf("    ... and %zu more (-v shows all)\n", count - shown);
}

static void print_head(const struct sdg_inspection *r)
{
    char count[NUMBER_SIZE];
    put_clean(r->file.path, 0);
    putchar('\n');
    row("form", "%s, %.1f MiB, %s tensors", sdg_form_name(r->file.form),
        (double)sdg_weights_bytes(&r->file) / (1 << 20), grouped(count, r->file.count));
    row("kind", "%s", r->finding.name);
    for (int i = 0; i < r->finding.evidence_count; i++)
        row(i ? "" : "  because", "%s", r->finding.evidence[i]);
    if (r->hash[0]) {
        row("SHA-256", "%s", r->hash);
        row("model hash", "%.10s", r->hash);
    }
}

static void print_components(const struct sdg_inspection *r)
{
    printf("\n  %-13s %8s %15s  %s\n", "component", "tensors", "parameters", "stored as");
    for (int i = 0; i < SDG_COMPONENTS; i++) {
        const struct sdg_component *c = &r->components[i];
        char tensors[NUMBER_SIZE], parameters[NUMBER_SIZE];
        if (!c->tensors) continue;
        printf("  %-13s %8s %15s ", c->label, grouped(tensors, c->tensors),
               grouped(parameters, c->parameters));
        for (int d = 0; d < SDG_DTYPE_COUNT; d++)
            if (c->by_dtype[d] == c->tensors)
                printf(" %s", sdg_dtype_name((enum sdg_dtype)d));
            else if (c->by_dtype[d])
                printf(" %s x%zu", sdg_dtype_name((enum sdg_dtype)d), c->by_dtype[d]);
        putchar('\n');
    }
}

/* "320 640 1280 1280" */
static const char *series(char text[LINE_SIZE], const int *values, int count)
{
    int used = 0;
    text[0] = 0;
    for (int i = 0; i < count; i++)
        used += snprintf(text + used, LINE_SIZE - (size_t)used, "%s%d", i ? " " : "", values[i]);
    return text;
}

/* "1 1 1 0", a level of unequal transformers as "2/1/1". */
static const char *depths(char text[LINE_SIZE], const struct sdg_unet_config *c,
                          const int (*depth)[SDG_UNET_MAX_PER_LEVEL], int more)
{
    int used = 0;
    text[0] = 0;
    for (int l = 0; l < c->levels; l++) {
        const int blocks = c->blocks[l] + more;
        bool equal = true;
        for (int i = 1; i < blocks; i++) equal = equal && depth[l][i] == depth[l][0];
        for (int i = 0; i < (equal ? 1 : blocks); i++)
            used += snprintf(text + used, LINE_SIZE - (size_t)used, "%s%d",
                             i ? "/" : (l ? " " : ""), depth[l][i]);
    }
    return text;
}

static void print_unet(const struct sdg_unet_config *c)
{
    char text[LINE_SIZE], other[LINE_SIZE];
    row("UNet", "widths %s, resblocks a level %s, context %d, %d in, %d out",
        series(text, c->channels, c->levels), series(other, c->blocks, c->levels), c->context,
        c->in_channels, c->out_channels);
    row("", "transformers %s, back %s, %s projection", depths(text, c, c->depth_in, 0),
        depths(other, c, c->depth_out, 1), c->linear_projection ? "linear" : "1x1 convolution");
    if (c->middle == 0)
        row("", "no middle block");
    else if (c->middle_depth == 0)
        row("", "middle of %d resblock%s", c->middle, c->middle > 1 ? "s" : "");
    else
        row("", "middle of %d resblocks, transformer %d, %d heads", c->middle, c->middle_depth,
            c->middle_heads);
    for (int l = 0; l < c->levels; l++)
        if (c->only_cross[l]) row("", "no self-attention at width %d", c->channels[l]);
    if (c->label) row("", "conditioned by a vector of %d as well", c->label);
    if (c->time_cond) row("", "takes a guidance scale, embedded in %d", c->time_cond);
}

static void print_plans(const struct sdg_inspection *r)
{
    char widths[LINE_SIZE];
    if (r->has_unet || r->clip_count || r->has_vae) putchar('\n');
    if (r->has_unet) print_unet(&r->unet);
    for (int i = 0; i < r->clip_count; i++)
        row(i ? "" : "text encoder",
            "%d layers, width %d, %d heads, MLP %d, %s, %d tokens, %d positions",
            r->clips[i].layers, r->clips[i].width, r->clips[i].heads, r->clips[i].mlp,
            r->clips[i].activation == SDG_GELU ? "GELU" : "quick-GELU", r->clips[i].vocab,
            r->clips[i].positions);
    if (r->has_vae)
        row("VAE", "widths %s, %d resblocks a level, %d latent channels, factor %d, %s encoder",
            series(widths, r->vae.channels, r->vae.levels), r->vae.blocks, r->vae.z_channels,
            1 << (r->vae.levels - 1), r->vae.has_encoder ? "with" : "no");
}

static void print_facts(const struct sdg_inspection *r)
{
    const struct sdg_facts *f = &r->facts;
    if (!r->has_unet || !f->native_width) return;
    row("trained", "to predict %s, at %dx%d, latents times %g%s", sdg_target_name(f->target),
        f->native_width, f->native_height, (double)f->latent_scale,
        f->zero_terminal_snr ? ", zero terminal SNR" : "");
    for (int i = 0; i < f->evidence_count; i++) row(i ? "" : "  because", "%s", f->evidence[i]);
}

static void print_metadata(const struct sdg_inspection *r, bool verbose)
{
    const size_t count = r->file.metadata_count;
    size_t i = 0, widest = 0;
    if (!count) return;
    printf("\n  metadata\n");
    for (size_t m = 0; m < count && (verbose || m < LIST_CUT); m++) {
        const size_t n = strlen(r->file.metadata[m].key);
        if (n > widest && n <= 32) widest = n;
    }
    for (; i < count && (verbose || i < LIST_CUT); i++) {
        const char *key = r->file.metadata[i].key;
        fputs("    ", stdout);
        put_clean(key, verbose ? 0 : VALUE_CUT);
        printf("%*s  ", (int)(strlen(key) < widest ? widest - strlen(key) : 0), "");
        put_clean(r->file.metadata[i].value, verbose ? 0 : VALUE_CUT);
        putchar('\n');
    }
    list_cut(i, count);
}

static void print_problems(const struct sdg_filebinder *b, bool verbose)
{
    size_t i = 0;
    for (; i < b->problem_count && (verbose || i < LIST_CUT); i++) {
        char text[LINE_SIZE * 2];
        fputs("    ", stdout);
        put_clean(sdg_bind_problem_text(text, sizeof text, &b->problems[i]), 0);
        putchar('\n');
    }
    list_cut(i, b->missing + b->misshaped);
}

static void print_tensors(const struct sdg_inspection *r, bool verbose)
{
    size_t shown = 0;
    if (!r->bound) return;
    putchar('\n');
    row("tensors", "%zu used, %zu missing, %zu mis-shaped, %zu unused, %zu left from training",
        r->binder.used, r->binder.missing, r->binder.misshaped, r->unused, r->leftovers);
    print_problems(&r->binder, verbose);
    for (size_t i = 0; i < r->file.count && (verbose || shown < LIST_CUT); i++) {
        if (r->binder.taken[i] || sdg_is_leftover(r->file.entries[i].name)) continue;
        fputs("    unused: ", stdout);
        put_clean(r->file.entries[i].name, 0);
        putchar('\n');
        shown++;
    }
    list_cut(shown, r->unused);
}

static void print_scan(const struct sdg_inspection *r, bool verbose)
{
    size_t shown = 0;
    if (!r->values) return;
    if (!r->bound) putchar('\n');
    row("values", "%zu NaN, %zu infinite, in %zu tensors", r->nan, r->inf, r->bad_tensors);
    for (size_t i = 0; i < r->file.count && (verbose || shown < LIST_CUT); i++) {
        const struct sdg_nonfinite *v = &r->values[i];
        if (!v->nan && !v->inf) continue;
        fputs("    ", stdout);
        put_clean(r->file.entries[i].name, 0);
        printf(": %zu NaN, %zu infinite of %zu\n", v->nan, v->inf,
               sdg_tensor_count(&r->file.entries[i].tensor));
        shown++;
    }
    list_cut(shown, r->bad_tensors);
}

void sdg_inspect_text(const struct sdg_inspection *r, bool verbose)
{
    print_head(r);
    print_components(r);
    print_plans(r);
    print_facts(r);
    print_metadata(r, verbose);
    print_tensors(r, verbose);
    print_scan(r, verbose);
    putchar('\n');
    printf("  %-13s", "verdict");
    if (r->status != SDGEN_OK)
        put_clean(r->verdict.text, 0);
    else if (r->finding.kind == SDG_KIND_VAE)
        printf("a VAE, for --vae");
    else
        printf(r->has_vae ? "runs: give it with -m" : "runs with a VAE beside it: -m and --vae");
    putchar('\n');
}
