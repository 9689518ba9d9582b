/* picture.h - a picture file and what it says, for the commands that look at pictures. */
#ifndef SDG_CLI_PICTURE_H
#define SDG_CLI_PICTURE_H

#include "image/foreign_readers.h"

struct sdg_picture {
    const char *path;
    struct sdg_imagetext texts;
    struct sdg_settings settings;
    const char *text; /* the one that was read, inside of texts */
};

/* Reads it, or says what is wrong. Returns -1 or the exit status; close it in any case. */
int sdg_picture_open(struct sdg_picture *p, const char *path);
void sdg_picture_close(struct sdg_picture *p);

#endif
