/* fuzz_dduf.c - any bytes as a DDUF archive, and as the files in one: lines "name length", then
 * what they hold, so that mutations change names, texts and weights and not only the zip around
 * them. */
#include <stdio.h>

#include "fuzz.h"
#include "readable.h"

enum { LOCAL = 30, CENTRAL = 46, END = 22, NAME = 64, FILES = 16, TAG = 4 };

struct archive {
    uint8_t *data, *directory;
    size_t size, directory_size;
    unsigned count;
};

static void put(uint8_t *to, size_t value, int width)
{
    for (int i = 0; i < width; i++) to[i] = (uint8_t)(value >> 8 * i & 0xff);
}

/* A stored entry: local header and payload in one buffer, its line of the directory in another. */
static void add(struct archive *a, const char *name, size_t name_size, const uint8_t *data,
                size_t size)
{
    uint8_t *local = a->data + a->size, *central = a->directory + a->directory_size;
    memset(local, 0, LOCAL);
    memcpy(local, "PK\3\4", TAG);
    put(local + 18, size, 4);
    put(local + 22, size, 4);
    put(local + 26, name_size, 2);
    memcpy(local + LOCAL, name, name_size);
    if (size) memcpy(local + LOCAL + name_size, data, size);
    memset(central, 0, CENTRAL);
    memcpy(central, "PK\1\2", TAG);
    put(central + 20, size, 4);
    put(central + 24, size, 4);
    put(central + 28, name_size, 2);
    put(central + 42, a->size, 4);
    memcpy(central + CENTRAL, name, name_size);
    a->size += LOCAL + name_size + size;
    a->directory_size += CENTRAL + name_size;
    a->count++;
}

/* One file of the input: "name length\n" and as many bytes as there are of that. Returns how many
 * were used, 0 when there is no such line. */
static size_t take(struct archive *a, const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size < NAME ? size : NAME);
    char line[NAME + 1], *space;
    if (!end) return 0;
    memcpy(line, data, (size_t)(end - data));
    line[end - data] = 0;
    space = strrchr(line, ' ');
    if (!space || space == line) return 0;
    const size_t used = (size_t)(end - data) + 1, left = size - used;
    const size_t wanted = strtoul(space + 1, NULL, 10), length = wanted < left ? wanted : left;
    add(a, line, (size_t)(space - line), data + used, length);
    return used + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char index[] = "{\"unet\":0,\"vae\":0,\"text_encoder\":0}";
    struct archive a = {0};
    size_t at = 0, used = 1;
    read_anything(data, size);
    const size_t room = size + (FILES + 1) * (LOCAL + CENTRAL + 2 * NAME) + sizeof index + END;
    a.data = malloc(room);
    a.directory = malloc(room);
    if (!a.data || !a.directory) abort();
    add(&a, "model_index.json", 16, (const uint8_t *)index, sizeof index - 1);
    while (at < size && used && a.count <= FILES) {
        used = take(&a, data + at, size - at);
        at += used;
    }
    const size_t directory = a.size;
    memcpy(a.data + a.size, a.directory, a.directory_size);
    a.size += a.directory_size;
    uint8_t *end = a.data + a.size;
    memset(end, 0, END);
    memcpy(end, "PK\5\6", TAG);
    put(end + 8, a.count, 2);
    put(end + 10, a.count, 2);
    put(end + 12, a.directory_size, 4);
    put(end + 16, directory, 4);
    a.size += END;
    read_anything(a.data, a.size);
    free(a.data);
    free(a.directory);
    return 0;
}
