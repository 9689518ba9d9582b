/* gguf_types.c - the tensor types of GGUF by number (enum ggml_type, ggml.h). The types after Q6_K
 * that have only a name are for language models, or for computing with. */
#include <stddef.h>

#include "files/gguf.h"

static const struct {
    const char *name;
    int dtype; /* -1: not read */
} types[] = {
    [0] = {"F32", SDG_F32},    [1] = {"F16", SDG_F16},    [2] = {"Q4_0", SDG_Q4_0},
    [3] = {"Q4_1", SDG_Q4_1},  [6] = {"Q5_0", SDG_Q5_0},  [7] = {"Q5_1", SDG_Q5_1},
    [8] = {"Q8_0", SDG_Q8_0},  [9] = {"Q8_1", -1},        [10] = {"Q2_K", SDG_Q2_K},
    [11] = {"Q3_K", SDG_Q3_K}, [12] = {"Q4_K", SDG_Q4_K}, [13] = {"Q5_K", SDG_Q5_K},
    [14] = {"Q6_K", SDG_Q6_K}, [15] = {"Q8_K", -1},       [16] = {"IQ2_XXS", -1},
    [17] = {"IQ2_XS", -1},     [18] = {"IQ3_XXS", -1},    [19] = {"IQ1_S", -1},
    [20] = {"IQ4_NL", -1},     [21] = {"IQ3_S", -1},      [22] = {"IQ2_S", -1},
    [23] = {"IQ4_XS", -1},     [24] = {"I8", SDG_I8},     [25] = {"I16", SDG_I16},
    [26] = {"I32", SDG_I32},   [27] = {"I64", SDG_I64},   [28] = {"F64", SDG_F64},
    [29] = {"IQ1_M", -1},      [30] = {"BF16", SDG_BF16}, [34] = {"TQ1_0", -1},
    [35] = {"TQ2_0", -1},      [39] = {"MXFP4", -1},      [40] = {"NVFP4", -1},
};

enum { TYPES = sizeof types / sizeof *types };

int sdg_gguf_type(enum sdg_dtype d)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].name && types[i].dtype == (int)d) return i;
    return -1;
}

bool sdg_gguf_dtype(enum sdg_dtype *d, const char **name, uint32_t type)
{
    *name = type < TYPES ? types[type].name : NULL;
    if (!*name || types[type].dtype < 0) return false;
    *d = (enum sdg_dtype)types[type].dtype;
    return true;
}
