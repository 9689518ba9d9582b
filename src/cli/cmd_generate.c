/* cmd_generate.c - `sdgen -m FILE -p TEXT`: from the command line to files.
 *
 * Uses the library through sdgen.h alone. Everything that can be refused is refused before the long
 * work: options and output when they are read, every prompt of a file when the model is loaded. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/prompts.h"
#include "cli/signals.h"

enum { GO_ON = -1, SMALLEST_SIDE = 64 };

struct generation {
    struct sdg_generate_options o;
    struct sdg_prompts prompts;
    struct sdg_output output;
    struct sdg_progress_view view;
    sdgen_engine *engine;
    sdgen_pixels init_image, mask, depth;
    long long kept;          /* pictures written */
    sdgen_error write_error; /* what stopped the run from within on_image */
};

/* ---- callbacks of the library ---- */

static void on_log(void *user, int level, const char *message)
{
    struct generation *g = user;
    sdg_progress_message(&g->view, level, message);
}

static void on_progress(void *user, const sdgen_progress *progress)
{
    struct generation *g = user;
    sdg_progress_show(&g->view, progress);
}

static int on_image(void *user, const sdgen_image *image)
{
    struct generation *g = user;
    char *name = NULL;
    sdg_signals_hold(true); /* a temporary file exists for a moment */
    const sdgen_status status = sdg_output_write(&g->output, &name, image, &g->write_error);
    sdg_signals_hold(false);
    if (status == SDGEN_OK) {
        g->kept++;
        sdg_progress_written(&g->view, image, name);
    }
    free(name);
    return status != SDGEN_OK;
}

/* ---- before the work ---- */

/* SDGEN_ISA and SDGEN_THREADS stand in for options that were not given. */
static int read_environment(struct sdg_generate_options *o)
{
    const char *isa = getenv("SDGEN_ISA"), *threads = getenv("SDGEN_THREADS");
    if (isa && *isa && !o->load.isa) o->load.isa = isa;
    if (!threads || !*threads || o->load.threads) return GO_ON;
    return sdg_args_value(o, sdg_args_find(sdg_command_find("generate"), "threads"),
                          "SDGEN_THREADS", threads);
}

static int check_options(const struct sdg_generate_options *o)
{
    if (!o->load.model_path && !o->load.unet_path)
        return sdg_say_usage("no model: name a checkpoint with -m");
    if (!o->image.prompt && !o->prompt_file)
        return sdg_say_usage("no prompt: say what to draw with -p");
    if (o->image.prompt && o->prompt_file)
        return sdg_say_usage("-p and --prompt-file: one of the two, please");
    if (o->verbose && o->quiet) return sdg_say_usage("-v and -q: one of the two, please");
    return GO_ON;
}

/* One picture that models read beside the prompt. */
static int read_picture(const sdgen_pixels **to, sdgen_pixels *pixels, const char *path, int grey)
{
    sdgen_error error;
    if (!path) return GO_ON;
    if (sdgen_pixels_read(pixels, path, grey, &error) != SDGEN_OK) {
        sdg_say("%s", error.text);
        return SDG_EXIT_FAILURE;
    }
    *to = pixels;
    return GO_ON;
}

static int read_pictures(struct generation *g)
{
    struct sdg_generate_options *o = &g->o;
    int end = read_picture(&o->image.init_image, &g->init_image, o->init_image, 0);
    if (end == GO_ON) end = read_picture(&o->image.mask, &g->mask, o->mask, 1);
    if (end == GO_ON) end = read_picture(&o->image.depth, &g->depth, o->depth, 1);
    return end;
}

static int prepare(struct generation *g)
{
    struct sdg_generate_options *o = &g->o;
    int end = check_options(o);
    if (end == GO_ON) end = read_environment(o);
    if (end == GO_ON && o->prompt_file) end = sdg_prompts_read(&g->prompts, o->prompt_file);
    if (end == GO_ON) end = read_pictures(g);
    if (end != GO_ON) return end;
    const int prompts = o->prompt_file ? g->prompts.count : 1;
    const long long width = o->image.width ? o->image.width : SMALLEST_SIDE;
    const long long height = o->image.height ? o->image.height : SMALLEST_SIDE;
    end = sdg_output_plan(&g->output, o->output, o->overwrite, prompts, o->image.batch_count,
                          3 * width * height);
    if (end != GO_ON) return end;
    if (o->image.batch_count > 1 && (o->image.variation_strength > 0 || o->image.batch_noise))
        g->output.needs_number = true; /* images may share a seed */
    sdg_progress_init(&g->view, o->progress, o->verbose, o->quiet);
    g->view.prompts = prompts;
    o->load.cancel = o->image.cancel = sdg_signals_install();
    o->load.log = on_log;
    o->load.progress = o->image.progress = on_progress;
    o->load.user = o->image.user = g;
    return GO_ON;
}

/* ---- the work ---- */

static void choose_prompt(struct generation *g, int i)
{
    g->view.prompt = i;
    if (g->o.prompt_file) g->o.image.prompt = g->prompts.texts[i];
}

/* Ends the run after an error of the library: says what is wrong and what was kept. */
static int fail(struct generation *g, sdgen_status status, const sdgen_error *error)
{
    const long long all = (long long)g->view.prompts * g->o.image.batch_count;
    const int signal_status = sdg_signals_exit_status();
    sdg_progress_wipe(&g->view);
    if (g->write_error.status != SDGEN_OK) {
        error = &g->write_error;
        status = error->status;
    }
    if (status == SDGEN_ERR_CANCELLED && signal_status) {
        sdg_say("stopped; the picture at work was dropped, %lld of %lld kept", g->kept, all);
        return signal_status;
    }
    if (g->o.prompt_file && g->view.prompts > 1 && status == SDGEN_ERR_ARG)
        sdg_say("%s, line %d: %s", g->o.prompt_file, g->prompts.lines[g->view.prompt], error->text);
    else
        sdg_say("%s", error->text);
    if (g->kept) sdg_say("%lld of %lld pictures were written before", g->kept, all);
    return status == SDGEN_ERR_ARG ? SDG_EXIT_USAGE : SDG_EXIT_FAILURE;
}

static int draw(struct generation *g)
{
    sdgen_error error;
    sdgen_status status = sdgen_load(&g->engine, &g->o.load, &error);
    if (status != SDGEN_OK) return fail(g, status, &error);
    for (int i = 0; i < g->view.prompts; i++) {
        choose_prompt(g, i);
        status = sdgen_check(g->engine, &g->o.image, &error);
        if (status != SDGEN_OK) return fail(g, status, &error);
    }
    for (int i = 0; i < g->view.prompts; i++) {
        choose_prompt(g, i);
        status = sdgen_generate(g->engine, &g->o.image, on_image, g, &error);
        if (status != SDGEN_OK) return fail(g, status, &error);
    }
    return SDG_EXIT_OK;
}

int sdg_cmd_generate(int argc, char **argv)
{
    struct generation g = {.o = sdg_generate_defaults()};
    int end = sdg_args_parse(&g.o, sdg_command_find("generate"), argc, argv);
    if (end == GO_ON) end = prepare(&g);
    if (end == GO_ON) end = draw(&g);
    sdgen_free(g.engine);
    sdgen_pixels_free(&g.init_image);
    sdgen_pixels_free(&g.mask);
    sdgen_pixels_free(&g.depth);
    sdg_prompts_free(&g.prompts);
    return end;
}
