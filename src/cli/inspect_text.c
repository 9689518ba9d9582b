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

void sdg_inspect_put(const char *s, size_t cut)
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
    sdg_inspect_put(text, 0);
    putchar('\n');
}

static void list_cut(size_t shown, size_t count)
{
    if (shown < count) printf("    ... and %zu more (-v shows all)\n", count - shown);
}

static void print_head(const struct sdg_inspection *r)
{
    char count[NUMBER_SIZE];
    sdg_inspect_put(r->file.path, 0);
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
    if (r->hashes.old[0]) row("old hash", "%s", r->hashes.old);
    if (r->hashes.addnet[0]) row("addnet hash", "%.*s", SDG_ADDNET_DIGITS, r->hashes.addnet);
}

/* Under which licence, as the metadata says. */
static void print_licence(const struct sdg_inspection *r)
{
    static const char *const keys[] = {"modelspec.license", "license", "general.license"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = sdg_weights_metadata(&r->file, keys[i]);
        if (!text || !*text) continue;
        row("licence", "%.200s", text);
        return;
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
        sdg_inspect_put(key, verbose ? 0 : VALUE_CUT);
        printf("%*s  ", (int)(strlen(key) < widest ? widest - strlen(key) : 0), "");
        sdg_inspect_put(r->file.metadata[i].value, verbose ? 0 : VALUE_CUT);
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
        sdg_inspect_put(sdg_bind_problem_text(text, sizeof text, &b->problems[i]), 0);
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
        sdg_inspect_put(r->file.entries[i].name, 0);
        putchar('\n');
        shown++;
    }
    list_cut(shown, r->unused);
}

static void print_bad(const struct sdg_inspection *r, bool verbose)
{
    size_t shown = 0;
    for (size_t i = 0; i < r->file.count && (verbose || shown < LIST_CUT); i++) {
        const struct sdg_value_counts *v = &r->values[i];
        if (!v->nan && !v->inf) continue;
        fputs("    ", stdout);
        sdg_inspect_put(r->file.entries[i].name, 0);
        printf(": %zu NaN, %zu infinite of %zu\n", v->nan, v->inf,
               sdg_tensor_count(&r->file.entries[i].tensor));
        shown++;
    }
    list_cut(shown, r->bad_tensors);
}

static void print_zeros(const struct sdg_inspection *r, bool verbose)
{
    size_t shown = 0;
    for (size_t i = 0; i < r->file.count && (verbose || shown < LIST_CUT); i++) {
        const size_t count = sdg_tensor_count(&r->file.entries[i].tensor);
        if (count < 2 || r->values[i].zero != count) continue;
        fputs("    all zero: ", stdout);
        sdg_inspect_put(r->file.entries[i].name, 0);
        putchar('\n');
        shown++;
    }
    list_cut(shown, r->zero_tensors);
}

static void print_twins(const struct sdg_inspection *r, bool verbose)
{
    size_t shown = 0;
    if (!r->twins.count) return;
    row("duplicates", "%zu tensors, %.1f MiB, are equal to another one", r->twins.count,
        (double)r->twins.bytes / (1 << 20));
    for (size_t i = 0; i < r->file.count && (verbose || shown < LIST_CUT); i++) {
        if (r->twins.of[i] == i) continue;
        fputs("    ", stdout);
        sdg_inspect_put(r->file.entries[i].name, 0);
        fputs(" is ", stdout);
        sdg_inspect_put(r->file.entries[r->twins.of[i]].name, 0);
        putchar('\n');
        shown++;
    }
    list_cut(shown, r->twins.count);
}

static void print_scan(const struct sdg_inspection *r, bool verbose)
{
    char denormal[NUMBER_SIZE], zero[NUMBER_SIZE];
    if (!r->values) return;
    if (!r->bound) putchar('\n');
    row("values",
        "%zu NaN, %zu infinite, in %zu tensors; %s denormal, %s zero, %zu tensors all zero",
        r->sum.nan, r->sum.inf, r->bad_tensors, grouped(denormal, r->sum.denormal),
        grouped(zero, r->sum.zero), r->zero_tensors);
    print_bad(r, verbose);
    print_zeros(r, verbose);
    print_twins(r, verbose);
}

static void print_verdict(const struct sdg_inspection *r)
{
    static const char *const conditions[] = {[SDG_CONDITION_OK] = "ok",
                                             [SDG_CONDITION_REFUSED] = "refused",
                                             [SDG_CONDITION_REPAIRABLE] = "repairable"};
    printf("\n  %-13s%s: ", "verdict", conditions[r->condition]);
    if (r->status != SDGEN_OK)
        sdg_inspect_put(r->verdict.text, 0);
    else if (r->finding.kind == SDG_KIND_VAE)
        fputs("a VAE, for --vae", stdout);
    else if (r->bad_tensors)
        fputs("broken numbers, but only where nobody reads them", stdout);
    else
        fputs(r->has_vae || r->finding.taesd_decoder ? "runs: give it with -m"
                                                     : "runs with a VAE beside it: -m and --vae",
              stdout);
    putchar('\n');
    for (int i = 0; i < r->advice_count; i++) {
        printf("  %-13s", r->advice[i].purpose);
        sdg_inspect_put(r->advice[i].command, 0);
        putchar('\n');
    }
}

void sdg_inspect_text(const struct sdg_inspection *r, bool verbose)
{
    print_head(r);
    print_licence(r);
    print_components(r);
    print_plans(r);
    print_facts(r);
    print_metadata(r, verbose);
    sdg_inspect_pickles_text(&r->pickles, verbose);
    print_tensors(r, verbose);
    print_scan(r, verbose);
    print_verdict(r);
}

void sdg_inspect_text_refused(const char *path, const sdgen_error *error,
                              const struct sdg_scan *pickles, bool verbose)
{
    (void)error; /* said on stderr, as by every command */
    if (!pickles->pickle_count) return;
    sdg_inspect_put(path, 0);
    putchar('\n');
    sdg_inspect_pickles_text(pickles, verbose);
    printf("\n  %-13srefused\n", "verdict");
}
