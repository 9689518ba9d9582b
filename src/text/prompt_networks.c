/* prompt_networks.c - what is taken out of a prompt before it is read: comments, and extra networks
 * such as <lora:name:0.8>.
 *
 * Sources: AUTOMATIC1111 stable-diffusion-webui 1.10, modules/processing_scripts/comments.py and
 * modules/extra_networks.py. Which networks there are is not known here: all of them are handed
 * on. */
#include "text/prompt_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- comments ---- */

static size_t line_end(const char *text, size_t length, size_t at)
{
    const char *end = at < length ? memchr(text + at, '\n', length - at) : NULL;
    return end ? (size_t)(end - text) : length;
}

/* Lines that are comments from their first character on: both line ends beside them become one. A
 * line end that an earlier comment took no longer begins the next. */
static bool strip_lines(struct sdg_text *to, const char *text, size_t length)
{
    size_t from = 0;
    for (size_t i = 0; i < length; i++) {
        size_t hash = i;
        if (text[i] == '\n')
            hash = i + 1;
        else if (i > 0)
            continue;
        if (hash >= length || text[hash] != '#') continue;
        const size_t end = line_end(text, length, hash);
        if (!sdg_text_add(to, text + from, i - from) || !sdg_text_add(to, "\n", 1)) return false;
        from = end < length ? end + 1 : length;
        i = from - 1;
    }
    return sdg_text_add(to, text + from, length - from);
}

/* Comments behind other text: they end their line. */
static bool strip_ends(struct sdg_text *to, const char *text, size_t length)
{
    size_t from = 0;
    while (from < length) {
        const char *hash = memchr(text + from, '#', length - from);
        if (!hash) break;
        const size_t at = (size_t)(hash - text), end = line_end(text, length, at);
        if (!sdg_text_add(to, text + from, at - from) || !sdg_text_add(to, "\n", 1)) return false;
        from = end < length ? end + 1 : length;
    }
    return sdg_text_add(to, text + from, length - from);
}

bool sdg_prompt_strip_comments(struct sdg_text *to, const char *text, size_t length)
{
    struct sdg_text lines = {0};
    const bool fine = strip_lines(&lines, text, length) && strip_ends(to, lines.at, lines.count);
    sdg_text_free(&lines);
    return fine;
}

/* ---- networks ---- */

static char *copy(const char *text, size_t length)
{
    char *to = malloc(length + 1);
    if (!to) return NULL;
    if (length > 0) memcpy(to, text, length);
    to[length] = 0;
    return to;
}

bool sdg_prompt_add_network(struct sdg_prompt *p, const char *name, size_t name_length,
                            const char *arguments, size_t length)
{
    /* Capacities are powers of two, so that the list needs no field for it. */
    const size_t count = p->network_count;
    if ((count & (count - 1)) == 0) {
        struct sdg_prompt_network *more =
            realloc(p->networks, (count ? 2 * count : 1) * sizeof *more);
        if (!more) return false;
        p->networks = more;
    }
    struct sdg_prompt_network *n = &p->networks[p->network_count++];
    *n = (struct sdg_prompt_network) {.name = copy(name, name_length),
                                      .arguments = copy(arguments, length)};
    return n->name && n->arguments;
}

/* "<name:anything>" at text[at], name of \w: where the colon stands, or 0. */
static size_t colon_of(const char *text, size_t length, size_t at)
{
    size_t i = at + 1;
    while (i < length) {
        uint32_t code;
        const size_t n = sdg_utf8_decode(&code, text + i, length - i);
        if (!sdg_prompt_word(code)) break;
        i += n;
    }
    return i > at + 1 && i < length && text[i] == ':' ? i : 0;
}

bool sdg_prompt_take_networks(struct sdg_text *to, struct sdg_prompt *p, const char *text,
                              size_t length)
{
    size_t from = 0, last = length; /* the last '>' */
    while (last > 0 && text[last - 1] != '>') last--;
    for (size_t i = 0; i < last; i++) {
        if (text[i] != '<') continue;
        const size_t colon = colon_of(text, length, i);
        if (!colon || colon + 1 >= last || text[colon + 1] == '>') continue;
        const char *close = memchr(text + colon + 1, '>', last - colon - 1);
        const size_t end = (size_t)(close - text);
        if (!sdg_text_add(to, text + from, i - from)) return false;
        if (!sdg_prompt_add_network(p, text + i + 1, colon - i - 1, text + colon + 1,
                                    end - colon - 1))
            return false;
        from = end + 1;
        i = end;
    }
    return sdg_text_add(to, text + from, length - from);
}

/* stable-diffusion.cpp (examples/common/common.cpp, extract_and_remove_lora) knows one network,
 * <lora:name:multiplier>, and wants both. */
bool sdg_prompt_take_loras(struct sdg_text *to, struct sdg_prompt *p, const char *text,
                           size_t length)
{
    static const char prefix[] = "<lora:";
    const size_t n = sizeof prefix - 1;
    size_t from = 0, last = length;
    while (last > 0 && text[last - 1] != '>') last--;
    for (size_t i = 0; i + n < last; i++) {
        if (memcmp(text + i, prefix, n) != 0) continue;
        const size_t name = strcspn(text + i + n, ":>"), colon = i + n + name;
        if (name == 0 || colon + 1 >= last || text[colon] != ':' || text[colon + 1] == '>')
            continue;
        const char *close = memchr(text + colon, '>', last - colon);
        const size_t end = (size_t)(close - text);
        if (!sdg_text_add(to, text + from, i - from)) return false;
        if (!sdg_prompt_add_network(p, "lora", 4, text + i + n, end - i - n)) return false;
        from = end + 1;
        i = end;
    }
    return sdg_text_add(to, text + from, length - from);
}
