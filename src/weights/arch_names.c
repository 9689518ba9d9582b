/* arch_names.c - see arch_names.h. */
#include "weights/arch_names.h"

#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 320, NUMBER_DIGITS = 6, NUMBER_TOO_BIG = 999999 };

const char *sdg_name_after(const char *name, const char *stem)
{
    const size_t length = strlen(stem);
    return strncmp(name, stem, length) == 0 ? name + length : NULL;
}

bool sdg_name_number(const char **rest, int *number, const char *name, const char *stem)
{
    const char *p = sdg_name_after(name, stem);
    if (!p) return false;
    const size_t digits = strspn(p, "0123456789");
    if (digits == 0 || p[digits] != '.' || (p[0] == '0' && digits > 1)) return false;
    *number = NUMBER_TOO_BIG;
    if (digits <= NUMBER_DIGITS) {
        *number = 0;
        for (size_t i = 0; i < digits; i++) *number = *number * 10 + (p[i] - '0');
    }
    *rest = p + digits + 1;
    return true;
}

const struct sdg_tensor *sdg_arch_tensor(const struct sdg_weights *w, const char *prefix,
                                         const char *block, const char *leaf)
{
    char name[NAME_SIZE];
    const int length = snprintf(name, sizeof name, "%s%s%s", prefix, block, leaf);
    if (length < 0 || (size_t)length >= sizeof name) return NULL;
    const struct sdg_entry *e = sdg_weights_find(w, name);
    return e ? &e->tensor : NULL;
}

/* The extent a witness attests, -1 when it is not there or has fewer dimensions. */
static int64_t testimony(const struct sdg_weights *w, const char *prefix, const char *block,
                         const struct sdg_witness *by)
{
    const struct sdg_tensor *t = by->leaf ? sdg_arch_tensor(w, prefix, block, by->leaf) : NULL;
    return t && by->dim < t->rank ? t->shape[by->dim] : -1;
}

sdgen_status sdg_arch_width(int *width, const struct sdg_weights *w, const char *prefix,
                            const char *block, const struct sdg_width_rule *rule, sdgen_error *err)
{
    int64_t says[SDG_WITNESSES];
    int chosen = -1;
    for (int i = 0; i < SDG_WITNESSES; i++) says[i] = testimony(w, prefix, block, &rule->by[i]);
    for (int i = 0; i < SDG_WITNESSES; i++)
        for (int j = i + 1; j < SDG_WITNESSES && says[i] >= 0; j++)
            if (says[i] == says[j] && chosen < 0) chosen = i;
    for (int i = 0; i < SDG_WITNESSES && chosen < 0; i++)
        if (says[i] >= 0) chosen = i;
    if (chosen < 0)
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: no tensor %s%s%s, nor another that tells this width: the file is "
                        "incomplete or not a model of this kind",
                        w->path, prefix, block, rule->by[0].leaf);
    const int64_t value = says[chosen];
    if (value < 1 || value > SDG_ARCH_MAX_WIDTH)
        return sdg_fail(err, SDGEN_ERR_MODEL, "%s: %s%s%s: a width of %lld is absurd", w->path,
                        prefix, block, rule->by[chosen].leaf, (long long)value);
    if (rule->multiple > 1 && value % rule->multiple != 0)
        return sdg_fail(err, SDGEN_ERR_MODEL, "%s: %s%s%s: a width of %lld is no multiple of %d",
                        w->path, prefix, block, rule->by[chosen].leaf, (long long)value,
                        rule->multiple);
    *width = (int)value;
    return SDGEN_OK;
}
