/* foreign.c - see foreign.h: a table of the first bytes of files. Sources: caffe2
 * inline_container.cc (PYTORCH1), git-lfs docs/spec.md, ggml docs/gguf.md, and the formats' own
 * specifications. */
#include "files/foreign.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

struct signature {
    const char *bytes;
    size_t size, offset;
    const char *meaning;
};

#define AT(offset, literal, meaning)                 \
    {                                                \
        literal, sizeof literal - 1, offset, meaning \
    }
#define CONVERT "open it in PyTorch and save it as safetensors"
#define DOWNLOAD "download the file itself"

static const struct signature signatures[] = {
    AT(0, "version https://git-lfs", "is a Git LFS pointer, not the weights: " DOWNLOAD),
    AT(0, "\x80\x02", "is a bare pickle, not a torch.save file: " CONVERT),
    AT(0, "\x80\x03", "is a bare pickle, not a torch.save file: " CONVERT),
    AT(0, "\x80\x04", "is a bare pickle, not a torch.save file: " CONVERT),
    AT(0, "\x80\x05", "is a bare pickle, not a torch.save file: " CONVERT),
    AT(0, "PYTORCH1", "is a PyTorch container of a form that was given up in 2018: " CONVERT),
    AT(257, "ustar", "is a tar archive, and not one of PyTorch's: unpack it"),
    AT(0, "7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it"),
    AT(0, "Rar!\x1a\x07", "is a RAR archive: unpack it"),
    AT(0, "\x1f\x8b", "is compressed with gzip: unpack it"),
    AT(0, "\xfd\x37zXZ", "is compressed with xz: unpack it"),
    AT(0, "\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it"),
    AT(0, "BZh", "is compressed with bzip2: unpack it"),
    AT(0, "PK\x05\x06", "is an empty zip archive: " DOWNLOAD " again"),
    AT(0, "PK\x07\x08", "is one part of a split zip archive: join the parts"),
    AT(0, "lmgg", "is a GGML file, which sdgen does not read: give a safetensors file"),
    AT(0, "tjgg", "is a GGML file, which sdgen does not read: give a safetensors file"),
    AT(0, "\x93NUMPY", "is a NumPy array, not a checkpoint: give a safetensors file"),
    AT(0, "\x89HDF\r\n", "is an HDF5 file (Keras), not a checkpoint: give a safetensors file"),
    AT(4, "TFL3", "is a TensorFlow Lite model: give a safetensors file"),
    AT(0, "\x89PNG\r\n", "is a PNG picture, not a checkpoint"),
    AT(0, "\xff\xd8\xff", "is a JPEG picture, not a checkpoint"),
    AT(8, "WEBP", "is a WebP picture, not a checkpoint"),
    AT(0,
       "\x7f"
       "ELF",
       "is a program, not a checkpoint"),
};

/* Texts, told after leading white space and without regard to case. */
static const struct signature texts[] = {
    AT(0, "<!doctype html", "is a web page, not the weights: " DOWNLOAD),
    AT(0, "<html", "is a web page, not the weights: " DOWNLOAD),
    AT(0, "<?xml", "is an XML text, perhaps a server's error message: " DOWNLOAD),
    AT(0, "{", "is a JSON text, not the weights: " DOWNLOAD),
};

static bool same_text(const uint8_t *data, const struct signature *s)
{
    for (size_t i = 0; i < s->size; i++)
        if (tolower(data[i]) != (unsigned char)s->bytes[i]) return false;
    return true;
}

const char *sdg_foreign_form(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const struct signature *s = &signatures[i];
        if (size >= s->offset + s->size && memcmp(data + s->offset, s->bytes, s->size) == 0)
            return s->meaning;
    }
    size_t start = size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (start < size && start < 256 && isspace(data[start])) start++;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (size - start >= texts[i].size && same_text(data + start, &texts[i]))
            return texts[i].meaning;
    return NULL;
}
