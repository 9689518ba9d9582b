"""GGUF files as stable-diffusion.cpp writes them: the names of single files, no metadata needed. Needs the gguf
package, whose quantisers and dequantisers are the reference.

Which tensors are quantised is stable-diffusion.cpp's choice (src/model_loader.cpp, tensor_should_be_converted):
matrices whose rows are whole blocks, but not embeddings and not the layers of the time embedding. gguf quantises the
types with blocks of 32; for the others (K-quants) a tensor gets blocks of hashed bits with scales that keep its
variance, and the twin gets what gguf reads out of them.
"""
import numpy as np
import gguf

import hashweights

TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0", "q4_1": "Q4_1", "q5_0": "Q5_0",
         "q5_1": "Q5_1", "q2_k": "Q2_K", "q3_k": "Q3_K", "q4_k": "Q4_K", "q5_k": "Q5_K", "q6_k": "Q6_K"}
# Bytes at which a K block has its f16 scales, and the largest |value| of a block whose scales are 1.
SCALES = {"q2_k": ((80, 82), 45), "q3_k": ((108,), 128), "q4_k": ((0, 2), 945), "q5_k": ((0, 2), 1953),
          "q6_k": ((208,), 4096)}
KEPT = ("time_embed.", "label_emb.", "embedding")


def type_of(kind):
    return gguf.GGMLQuantizationType[TYPES[kind]]


def wanted(entry, kind):
    """The type that a tensor gets in a file of `kind`."""
    block = gguf.GGML_QUANT_SIZES[type_of(kind)][0]
    if block == 1:
        return kind if len(entry.shape) > 1 else "f32"
    fits = len(entry.shape) == 2 and entry.shape[1] % block == 0 and not any(k in entry.name for k in KEPT)
    return kind if fits else "f32"


def k_blocks(entry, kind):
    """[rows, bytes] of hashed blocks."""
    block, size = gguf.GGML_QUANT_SIZES[type_of(kind)]
    rows, count = entry.shape[0], entry.shape[1] // block
    bits = hashweights.bits(f"{entry.name}.{kind}", 0, rows * count * size)
    data = (bits >> np.uint32(24)).astype(np.uint8).reshape(rows * count, size)
    places, largest = SCALES[kind]
    scale = np.float16(np.sqrt(3 / entry.shape[1]) / largest)
    for at in places:
        data[:, at:at + 2] = np.frombuffer(scale.tobytes(), np.uint8)
    return data.reshape(rows, count * size)


def stored(entry, kind):
    """Bytes of the tensor in `kind` as rows, and its f32 values as anybody reads them."""
    kind = wanted(entry, kind)
    if kind in SCALES:
        data = k_blocks(entry, kind)
    elif kind == "f32":
        data = entry.array().astype(np.float32)
        return kind, data, data
    elif kind == "f16":
        data = entry.array().astype(np.float16)
        return kind, data, data.astype(np.float32)
    else:
        data = gguf.quants.quantize(entry.array(), type_of(kind))
    return kind, data, gguf.quants.dequantize(data, type_of(kind)).reshape(entry.shape)


def write(path, entries, kind, metadata=True):
    """Returns the f32 values by name. Tensors are whole in memory: for shrunk models."""
    writer = gguf.GGUFWriter(path, "sd")
    if metadata:
        writer.add_name("hash weights")
    values = {}
    for e in entries:
        actual, data, values[e.name] = stored(e, kind)
        writer.add_tensor(e.name, data, raw_dtype=type_of(actual))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values
