/* progress.c - see progress.h. The time left is guessed from the share of the work that is done
 * (sdgen_progress.share counts multiplications, of the decoder too) and the time it took since the
 * first step began, so loading and the text encoder do not blur it. */
#define _GNU_SOURCE
#include "cli/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/message.h"

enum { LINE_SIZE = 256, DEFAULT_COLUMNS = 80, BAR_ROOM = 60, BAR_MAX = 40 };
static const double line_interval = 1; /* seconds between plain lines */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void sdg_progress_init(struct sdg_progress_view *v, const char *name, bool verbose, bool quiet)
{
    const char *term = getenv("TERM");
    *v = (struct sdg_progress_view) {.prompts = 1, .start = now()};
    v->picture = v->start;
    v->level = quiet ? SDGEN_LOG_ERROR : verbose ? SDGEN_LOG_VERBOSE : SDGEN_LOG_INFO;
    if (strcmp(name, "json") == 0)
        v->mode = SDG_PROGRESS_JSON;
    else if (strcmp(name, "none") == 0)
        v->mode = SDG_PROGRESS_NONE;
    else if (strcmp(name, "bar") == 0)
        v->mode = SDG_PROGRESS_BAR;
    else if (quiet)
        v->mode = SDG_PROGRESS_NONE;
    else if (isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0)
        v->mode = SDG_PROGRESS_BAR;
    else
        v->mode = SDG_PROGRESS_LINES;
}

/* ---- what to say ---- */

struct moment {
    double time, share, left; /* seconds so far; done of all prompts, 0..1; seconds to go or -1 */
    double step;              /* seconds a step takes, or -1 */
    long long image, images;  /* from 1; of all prompts */
    const sdgen_progress *p;
};

static struct moment moment_of(struct sdg_progress_view *v, const sdgen_progress *p)
{
    const double t = now();
    struct moment m = {.time = t - v->start, .left = -1, .step = -1, .p = p};
    const int images = p->images > 0 ? p->images : 1;
    m.image = (long long)v->prompt * images + p->image + 1;
    m.images = (long long)v->prompts * images;
    if (p->stage == SDGEN_STAGE_LOAD) {
        m.share = p->total > 0 ? (double)p->done / p->total : 0;
        return m;
    }
    m.share = (v->prompt + p->share) / v->prompts;
    if (p->stage == SDGEN_STAGE_SAMPLE && p->done == 0) {
        v->batch = t;
        if (v->sampling <= 0) {
            v->sampling = t;
            v->sampling_share = m.share;
        }
    }
    if (p->stage == SDGEN_STAGE_SAMPLE && p->done > 0) m.step = (t - v->batch) / p->done;
    if (v->sampling > 0 && m.share > v->sampling_share)
        m.left = (t - v->sampling) * (1 - m.share) / (m.share - v->sampling_share);
    return m;
}

/* "0:07", "1:02:03" */
static const char *clock_text(char text[32], double seconds)
{
    const long s = (long)(seconds + 0.5);
    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    return text;
}

/* "step 3/20", "decoding 2/3": what is at work. Units are counted once they are finished. */
static void stage_text(char text[64], const sdgen_progress *p)
{
    static const char *const names[] = {[SDGEN_STAGE_LOAD] = "loading",
                                        [SDGEN_STAGE_TEXT] = "reading the prompt",
                                        [SDGEN_STAGE_SAMPLE] = "step",
                                        [SDGEN_STAGE_DECODE] = "decoding"};
    if (p->stage == SDGEN_STAGE_SAMPLE || (p->stage == SDGEN_STAGE_DECODE && p->total > 1))
        snprintf(text, 64, "%s %d/%d", names[p->stage], p->done, p->total);
    else
        snprintf(text, 64, "%s", names[p->stage]);
}

/* "image 2/4, step 3/20, 1.2 s/step, ETA 0:35"; brief: without the time of a step. */
static void line_text(char text[LINE_SIZE], const struct moment *m, bool brief)
{
    char stage[64], eta[32];
    int used = 0;
    text[0] = 0;
    if (m->images > 1 && m->p->stage != SDGEN_STAGE_LOAD)
        used = snprintf(text, LINE_SIZE, "image %lld/%lld, ", m->image, m->images);
    stage_text(stage, m->p);
    used += snprintf(text + used, LINE_SIZE - (size_t)used, "%s", stage);
    if (m->step >= 0 && !brief)
        used += snprintf(text + used, LINE_SIZE - (size_t)used, ", %.*f s/step",
                         m->step < 0.1  ? 3
                         : m->step < 10 ? 2
                                        : 1,
                         m->step);
    if (m->left >= 0)
        snprintf(text + used, LINE_SIZE - (size_t)used, ", ETA %s", clock_text(eta, m->left));
}

/* ---- how to say it ---- */

static int columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return DEFAULT_COLUMNS;
}

/* "[#####.....] text", never wider than the terminal; a narrow one gets the text alone. The bar has
 * the same width all the time. */
static void show_bar(struct sdg_progress_view *v, const struct moment *m)
{
    char text[LINE_SIZE];
    const int room = columns() - 1; /* the last column would wrap on some terminals */
    const int cells = room < BAR_ROOM ? 0 : room / 4 < BAR_MAX ? room / 4 : BAR_MAX;
    const int full = (int)(m->share * cells + 0.5);
    line_text(text, m, cells == 0);
    fputs(cells ? "\r[" : "\r", stderr);
    for (int i = 0; i < cells; i++) putc(i < full ? '#' : '.', stderr);
    if (cells) fputs("] ", stderr);
    fprintf(stderr, "%.*s\033[K", room - cells - (cells ? 3 : 0), text);
    fflush(stderr);
    v->line_open = true;
}

/* Whole stages and the last step get a line; of the steps between, one a second. */
static void show_line(struct sdg_progress_view *v, const struct moment *m)
{
    char text[LINE_SIZE];
    const sdgen_progress *p = m->p;
    const bool between = p->done > 0 && p->done < p->total;
    switch (p->stage) {
    case SDGEN_STAGE_LOAD:
        if (v->printed > 0) return;
        break;
    case SDGEN_STAGE_SAMPLE:
        if (p->done == 0 || (between && now() - v->printed < line_interval)) return;
        break;
    default:
        if (p->done > 0 && !between) return; /* the next line says it */
    }
    v->printed = now();
    line_text(text, m, false);
    fprintf(stderr, "%s\n", text);
}

static void json_string(const char *s)
{
    putc('"', stderr);
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            fprintf(stderr, "\\%c", c);
        else if (c < 0x20)
            fprintf(stderr, "\\u%04x", c);
        else
            putc(c, stderr);
    }
    putc('"', stderr);
}

static void show_json(const struct moment *m)
{
    static const char *const names[] = {[SDGEN_STAGE_LOAD] = "load",
                                        [SDGEN_STAGE_TEXT] = "text",
                                        [SDGEN_STAGE_SAMPLE] = "sample",
                                        [SDGEN_STAGE_DECODE] = "decode"};
    fprintf(stderr,
            "{\"stage\": \"%s\", \"step\": %d, \"steps\": %d, \"image\": %lld, \"images\": %lld, "
            "\"share\": %.4f, \"seconds\": %.3f, \"eta\": ",
            names[m->p->stage], m->p->done, m->p->total, m->image, m->images, m->share, m->time);
    fprintf(stderr, m->left < 0 ? "null}\n" : "%.1f}\n", m->left);
}

void sdg_progress_show(struct sdg_progress_view *v, const sdgen_progress *p)
{
    const struct moment m = moment_of(v, p);
    switch (v->mode) {
    case SDG_PROGRESS_BAR: show_bar(v, &m); break;
    case SDG_PROGRESS_LINES: show_line(v, &m); break;
    case SDG_PROGRESS_JSON: show_json(&m); break;
    case SDG_PROGRESS_NONE: break;
    }
}

void sdg_progress_wipe(struct sdg_progress_view *v)
{
    if (v->line_open) fputs("\r\033[K", stderr);
    v->line_open = false;
}

void sdg_progress_message(struct sdg_progress_view *v, int level, const char *message)
{
    if (level > v->level) return;
    sdg_progress_wipe(v);
    sdg_say("%s%s", level == SDGEN_LOG_WARN ? "warning: " : "", message);
}

void sdg_progress_written(struct sdg_progress_view *v, const sdgen_image *image, const char *name)
{
    const double t = now();
    const long long number = (long long)v->prompt * image->count + image->index + 1;
    const long long images = (long long)v->prompts * image->count;
    sdg_progress_wipe(v);
    if (v->mode == SDG_PROGRESS_JSON) {
        fprintf(stderr,
                "{\"stage\": \"written\", \"image\": %lld, \"images\": %lld, \"seed\": %lld, ",
                number, images, (long long)image->seed);
        fprintf(stderr, "\"seconds\": %.3f, \"file\": ", t - v->start);
        json_string(name);
        fputs("}\n", stderr);
    } else if (v->level >= SDGEN_LOG_INFO)
        fprintf(stderr, "image %lld/%lld: seed %lld, %dx%d, %.1f s\n", number, images,
                (long long)image->seed, image->width, image->height, t - v->picture);
    v->picture = t;
    printf("%s\n", name);
    /* Flushed, because who reads the names may start on the picture; gone, if they only read some.
     */
    if (fflush(stdout) != 0 && errno == EPIPE) clearerr(stdout);
}
