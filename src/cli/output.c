/* output.c - see output.h. */
#define _GNU_SOURCE
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/message.h"

enum { GO_ON = -1, MAX_DIGITS = 9, MAX_TRIES = 1000 };
#define SEED_FIELD "{seed}"

/* ---- the pattern ---- */

/* Length of the conversion at p ("%%", "%d", "%3d", "%03d"), or 0 when it is none we know. */
static size_t conversion(const char *p)
{
    if (p[1] == '%') return 2;
    size_t n = 1 + (p[1] == '0');
    if (p[n] >= '1' && p[n] <= '0' + MAX_DIGITS) n++;
    return p[n] == 'd' ? n + 1 : 0;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int check_pattern(struct sdg_output *o)
{
    const char *last = last_part(o->pattern);
    for (const char *p = o->pattern; *p; p++) {
        const bool seed = strncmp(p, SEED_FIELD, sizeof SEED_FIELD - 1) == 0;
        if (*p != '%' && !seed) continue;
        const size_t n = seed ? sizeof SEED_FIELD - 1 : conversion(p);
        if (n == 0)
            return sdg_say_usage("-o %s: after %% only d, 3d, 03d and the like, or a second %%",
                                 o->pattern);
        if (p[1] != '%' && p < last)
            return sdg_say_usage("-o %s: number and seed belong into the file's name, not into "
                                 "its folder",
                                 o->pattern);
        o->has_seed |= seed;
        o->has_number |= !seed && p[1] != '%';
        p += n - 1;
    }
    return GO_ON;
}

/* PNG under another format's name would only confuse. */
static int check_extension(const char *pattern)
{
    static const char *const others[] = {".jpg",  ".jpeg", ".webp", ".bmp",  ".gif", ".tif",
                                         ".tiff", ".avif", ".jxl",  ".heic", ".ppm"};
    const char *dot = strrchr(last_part(pattern), '.');
    for (size_t i = 0; dot && i < sizeof others / sizeof others[0]; i++)
        if (strcasecmp(dot, others[i]) == 0)
            return sdg_say_usage("-o %s: pictures are written as PNG; name it .png", pattern);
    return GO_ON;
}

char *sdg_output_name(const struct sdg_output *o, long long number, long long seed)
{
    char *name = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&name, &length);
    if (!out) return NULL;
    const char *last = last_part(o->pattern), *dot = strrchr(last, '.');
    const char *stem_end = dot && dot != last ? dot : o->pattern + strlen(o->pattern);
    for (const char *p = o->pattern;; p++) {
        if (p == stem_end && number && !o->has_number) fprintf(out, "-%lld", number);
        if (!*p) break;
        if (strncmp(p, SEED_FIELD, sizeof SEED_FIELD - 1) == 0) {
            fprintf(out, "%lld", seed);
            p += sizeof SEED_FIELD - 2;
        } else if (*p == '%') {
            const size_t n = conversion(p);
            const int width = n > 2 ? p[n - 2] - '0' : 0;
            if (p[1] == '%')
                putc('%', out);
            else if (p[1] == '0')
                fprintf(out, "%0*lld", width, number);
            else
                fprintf(out, "%*lld", width, number);
            p += n - 1;
        } else
            putc(*p, out);
    }
    const bool bad = ferror(out);
    if (fclose(out) == 0 && !bad) return name;
    free(name);
    return NULL;
}

/* ---- the place ---- */

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Tries what will be done later: making a file. A nameless one where the system can (O_TMPFILE). */
static bool can_create(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT) return false;
    char *path;
    if (asprintf(&path, "%s/.sdgen.XXXXXX", folder) < 0) return false;
    fd = mkostemp(path, O_CLOEXEC);
    const int reason = errno;
    if (fd >= 0) {
        unlink(path);
        close(fd);
    }
    free(path);
    errno = reason;
    return fd >= 0;
}

static int check_folder(const char *pattern, const char *folder, long long bytes)
{
    struct stat st;
    struct statvfs disk;
    if (stat(folder, &st) != 0)
        return errno == ENOENT
                   ? sdg_say_failure("-o %s: there is no folder %s; make it first", pattern, folder)
                   : sdg_say_failure("-o %s: folder %s: %s", pattern, folder, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return sdg_say_failure("-o %s: %s is not a folder", pattern, folder);
    if (!can_create(folder))
        return sdg_say_failure("-o %s: cannot write into folder %s: %s", pattern, folder,
                               strerror(errno));
    if (statvfs(folder, &disk) == 0 && disk.f_blocks > 0 &&
        (double)disk.f_bavail * (double)disk.f_frsize < (double)bytes)
        return sdg_say_failure("-o %s: the disk is full: %.0f KiB free, a picture may take %.0f",
                               pattern, (double)disk.f_bavail * (double)disk.f_frsize / 1024,
                               (double)bytes / 1024);
    return GO_ON;
}

/* `name` is the pattern filled in, as far as it can be before the first picture. */
static int check_place(const char *pattern, const char *name, long long bytes)
{
    const char *last = last_part(name);
    struct stat st;
    if (strcmp(pattern, "-") == 0)
        return sdg_say_usage("-o -: pictures go to files, not to the standard output");
    if (!*last || (stat(name, &st) == 0 && S_ISDIR(st.st_mode)))
        return sdg_say_failure("-o %s: is a folder; name a file in it: %s%soutput.png", pattern,
                               pattern, *last ? "/" : "");
    if (stat(name, &st) == 0 && !S_ISREG(st.st_mode))
        return sdg_say_failure("-o %s: is not a plain file", pattern);
    size_t length = (size_t)(last - name);
    while (length > 1 && name[length - 1] == '/') length--;
    char *folder = strndup(name, length);
    if (!folder) return sdg_say_failure("out of memory");
    const int end = check_folder(pattern, *folder ? folder : ".", bytes);
    free(folder);
    return end;
}

int sdg_output_plan(struct sdg_output *o, const char *pattern, bool overwrite, int prompts,
                    int count, long long bytes)
{
    *o = (struct sdg_output) {.pattern = pattern, .overwrite = overwrite, .number = 1};
    int end = check_pattern(o);
    if (end == GO_ON) end = check_extension(pattern);
    if (end != GO_ON) return end;
    char *name = sdg_output_name(o, 0, 0);
    if (!name) return sdg_say_failure("out of memory");
    end = check_place(pattern, name, bytes);
    free(name);
    /* The seeds of one prompt's images differ; those of two prompts may not. */
    o->needs_number = o->has_number || prompts > 1 || (count > 1 && !o->has_seed);
    return end;
}

/* ---- writing ---- */

sdgen_status sdg_output_write(struct sdg_output *o, char **name, const sdgen_image *image,
                              sdgen_error *error)
{
    bool numbered = o->needs_number;
    for (int tries = 0;;) {
        *name = sdg_output_name(o, numbered ? o->number : 0, (long long)image->seed);
        if (!*name) {
            *error = (sdgen_error) {SDGEN_ERR_MEMORY, "out of memory for a file name"};
            return SDGEN_ERR_MEMORY;
        }
        if (o->overwrite || !exists(*name)) {
            const sdgen_status status = sdgen_write_png(image, *name, o->overwrite, error);
            if (numbered && status == SDGEN_OK) o->number++;
            /* Another program may have taken the name in the meantime: look on. */
            if (status == SDGEN_OK || o->overwrite || !exists(*name) || ++tries == MAX_TRIES)
                return status;
        }
        if (numbered) o->number++;
        numbered = true;
        free(*name);
        *name = NULL;
    }
}
