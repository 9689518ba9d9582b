/* roofline.c - a run as a picture: rate over operations per byte, both logarithmic, under the roof
 * of the machine (Williams, Waterman & Patterson 2009). A shape's bytes are those that it must move
 * at least; its dot is as large as its share of a pass. */
#define _GNU_SOURCE
#include "bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 960, HEIGHT = 600, LEFT = 70, RIGHT = 20, TOP = 40, BOTTOM = 50 };
static const double first_x = 0.25, last_x = 4096; /* operations per byte */
static const double first_y = 1e9;

struct picture {
    FILE *f;
    double last_y;
};

static double at_x(double intensity)
{
    const double share = log(intensity / first_x) / log(last_x / first_x);
    return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct picture *p, double rate)
{
    const double share = log(rate / first_y) / log(p->last_y / first_y);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
}

static void draw_axes(const struct picture *p)
{
    for (double x = first_x; x <= last_x; x *= 4)
        fprintf(p->f,
                "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#ddd\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n",
                at_x(x), TOP, at_x(x), HEIGHT - BOTTOM, at_x(x), HEIGHT - BOTTOM + 16, x);
    for (double y = first_y; y <= p->last_y; y *= 10)
        fprintf(p->f,
                "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                LEFT, at_y(p, y), WIDTH - RIGHT, at_y(p, y), LEFT - 6, at_y(p, y) + 4, 1e-9 * y);
    fprintf(p->f,
            "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">operations per byte</text>\n"
            "<text x=\"14\" y=\"%d\" transform=\"rotate(-90 14 %d)\" "
            "text-anchor=\"middle\">GFLOP/s</text>\n",
            WIDTH / 2, HEIGHT - 12, HEIGHT / 2, HEIGHT / 2);
}

static void draw_roof(const struct picture *p, const struct bench_run *run, enum bench_unit unit)
{
    const double peak = run->peaks[unit], ridge = peak / run->bandwidth;
    const bool ours = unit == run->unit;
    double low = first_x;
    if (low * run->bandwidth < first_y) low = first_y / run->bandwidth;
    fprintf(p->f,
            "<path d=\"M%.1f %.1f L%.1f %.1f L%d %.1f\" fill=\"none\" stroke=\"%s\" "
            "stroke-width=\"%s\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s %.0f</text>\n",
            at_x(low), at_y(p, low * run->bandwidth), at_x(ridge), at_y(p, peak), WIDTH - RIGHT,
            at_y(p, peak), ours ? "#222" : "#999", ours ? "2" : "1", WIDTH - RIGHT,
            at_y(p, peak) - 4, bench_unit_name(unit), 1e-9 * peak);
}

static void draw_row(const struct picture *p, const struct bench_run *run,
                     const struct bench_row *row, double pass)
{
    static const char *const colours[BENCH_CLASSES] = {"#1f77b4", "#d62728", "#2ca02c", "#9467bd",
                                                       "#888"};
    const double flops = bench_shape_flops(&row->shape), seconds = bench_seconds(&row->times);
    if (!(flops > 0) || !(seconds > 0)) return;
    const size_t weight = run->way.weights == SDG_F32 ? 4 : 2;
    const double share = seconds * row->shape.count / pass;
    double x = flops / bench_shape_bytes(&row->shape, weight), y = flops / seconds;
    if (x < first_x) x = first_x;
    if (x > last_x) x = last_x;
    if (y < first_y) y = first_y;
    fprintf(
        p->f,
        "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\"0.6\"><title>%s x "
        "%d: %.1f GFLOP/s, %.1f %% of the pass</title></circle>\n",
        at_x(x), at_y(p, y), 3 + 40 * sqrt(share / 3), colours[bench_shape_class(&row->shape)],
        row->name, row->shape.count, 1e-9 * y, 100 * share);
}

static double pass_seconds(const struct bench_table *t)
{
    double sum = 0;
    for (size_t i = 0; i < t->count; i++)
        sum += bench_seconds(&t->rows[i].times) * t->rows[i].shape.count;
    return sum;
}

/* ">" in the names of shapes is legal in XML text; '&' and '<' do not occur in them. */
sdgen_status bench_write_svg(const struct bench_run *run, const char *path, sdgen_error *err)
{
    char *text = NULL;
    size_t size = 0;
    double top = 0;
    for (int i = 0; i < BENCH_UNITS; i++)
        if (run->peaks[i] > top) top = run->peaks[i];
    if (!(top > 0) || !(run->bandwidth > 0))
        return sdg_fail(err, SDGEN_ERR_ARG, "--svg: no peaks are known on this machine");
    struct picture p = {.f = open_memstream(&text, &size), .last_y = 3 * top};
    if (!p.f) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    fprintf(p.f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
            "<text x=\"%d\" y=\"20\" font-size=\"15\">%s, %d threads, %s: %.1f GB/s</text>\n",
            WIDTH, HEIGHT, LEFT, sdg_isa_label(run->isa), run->way.threads,
            run->way.bf16 ? "bf16" : "f32", 1e-9 * run->bandwidth);
    draw_axes(&p);
    for (int i = 0; i < BENCH_UNITS; i++)
        if (run->peaks[i] > 0) draw_roof(&p, run, (enum bench_unit)i);
    for (int i = 0; i < run->table_count; i++) {
        const double pass = pass_seconds(&run->tables[i]);
        for (size_t k = 0; k < run->tables[i].count; k++)
            draw_row(&p, run, &run->tables[i].rows[k], pass);
    }
    fputs("</svg>\n", p.f);
    if (fclose(p.f) != 0 || !text) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    const sdgen_status status = bench_write_file(path, text, err);
    free(text);
    return status;
}
