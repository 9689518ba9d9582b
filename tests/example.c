/* example.c - a whole program on the library: example MODEL PROMPT FILE.png
 * cc example.c $(pkg-config --cflags --libs sdgen) */
#include <stdio.h>
#include "sdgen.h"

static void on_progress(void *user, const sdgen_progress *p)
{
    (void)user;
    fprintf(stderr, "\r%3.0f %%", 100 * p->share);
}

static int on_image(void *user, const sdgen_image *image) /* called once per finished picture */
{
    sdgen_error error;
    if (sdgen_write_png(image, user, 1, &error) == SDGEN_OK) return 0;
    fprintf(stderr, "%s\n", error.text);
    return 1; /* stop */
}

int main(int argc, char **argv)
{
    sdgen_engine *engine = NULL;
    sdgen_error error;
    if (argc != 4) return 2;
    sdgen_load_params load = sdgen_load_defaults();
    load.model_path = argv[1];
    sdgen_image_params image = sdgen_image_defaults();
    image.prompt = argv[2];
    image.seed = 1;
    image.steps = 4;
    image.width = image.height = 64;
    image.progress = on_progress;
    sdgen_status status = sdgen_load(&engine, &load, &error);
    if (status == SDGEN_OK) status = sdgen_generate(engine, &image, on_image, argv[3], &error);
    if (status != SDGEN_OK) fprintf(stderr, "%s\n", error.text);
    sdgen_free(engine);
    return status != SDGEN_OK;
}
