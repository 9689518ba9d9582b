/* pickle_globals.c - the names that a tensor file may refer to, and what stands for them.
 *
 * The list is that of torch/_weights_only_unpickler.py (_get_allowed_globals) and of
 * stable-diffusion-webui's modules/safe.py, whose extra names old Stable Diffusion checkpoints
 * carry beside their weights, and the settings that training programs leave there (OmegaConf,
 * argparse). As in ComfyUI's comfy/checkpoint_pickle.py everything of pytorch_lightning is an
 * object without meaning. None of them is ever called. */
#include <string.h>

#include "files/pickle.h"

#define INERT(module, name)                   \
    {                                         \
        module, name, SDG_ROLE_INERT, 0, NULL \
    }
#define ROLE(module, name, role)               \
    {                                          \
        module, name, SDG_ROLE_##role, 0, NULL \
    }
#define STORAGE(name, dtype)                              \
    {"torch", name, SDG_ROLE_STORAGE, dtype, NULL},       \
    {                                                     \
        "torch.cuda", name, SDG_ROLE_STORAGE, dtype, NULL \
    }
#define CLASS(name)                                 \
    {"torch", name, SDG_ROLE_INERT, 0, NULL},       \
    {                                               \
        "torch.cuda", name, SDG_ROLE_INERT, 0, NULL \
    }
#define BUILTIN(name) INERT("builtins", name), INERT("__builtin__", name)
#define DTYPE(name, dtype)                         \
    {                                              \
        "torch", name, SDG_ROLE_DTYPE, dtype, NULL \
    }
#define REFUSED(module, name, reason)             \
    {                                             \
        module, name, SDG_ROLE_REFUSED, 0, reason \
    }

static const struct sdg_pickle_global globals[] = {
    ROLE("torch._utils", "_rebuild_tensor", TENSOR),
    ROLE("torch._utils", "_rebuild_tensor_v2", TENSOR),
    ROLE("torch._utils", "_rebuild_tensor_v3", TENSOR),
    ROLE("torch._utils", "_rebuild_parameter", WRAPPER),
    ROLE("torch._utils", "_rebuild_parameter_with_state", WRAPPER),
    ROLE("torch._tensor", "_rebuild_from_type_v2", TYPED),
    ROLE("collections", "OrderedDict", DICT),
    ROLE("collections", "Counter", DICT),
    ROLE("collections", "defaultdict", DICT),
    ROLE("torch", "Size", SIZE),

    /* torch/storage.py, and torch/__init__.py for the types */
    STORAGE("FloatStorage", SDG_F32),
    STORAGE("HalfStorage", SDG_F16),
    STORAGE("BFloat16Storage", SDG_BF16),
    STORAGE("DoubleStorage", SDG_F64),
    STORAGE("LongStorage", SDG_I64),
    STORAGE("IntStorage", SDG_I32),
    STORAGE("ShortStorage", SDG_I16),
    STORAGE("CharStorage", SDG_I8),
    STORAGE("ByteStorage", SDG_U8),
    STORAGE("BoolStorage", SDG_BOOL),
    STORAGE("UntypedStorage", SDG_TORCH_UNTYPED),
    {"torch.storage", "UntypedStorage", SDG_ROLE_STORAGE, SDG_TORCH_UNTYPED, NULL},
    STORAGE("ComplexFloatStorage", SDG_TORCH_UNUSABLE),
    STORAGE("ComplexDoubleStorage", SDG_TORCH_UNUSABLE),
    STORAGE("QInt8Storage", SDG_TORCH_UNUSABLE),
    STORAGE("QInt32Storage", SDG_TORCH_UNUSABLE),
    STORAGE("QUInt8Storage", SDG_TORCH_UNUSABLE),
    STORAGE("QUInt4x2Storage", SDG_TORCH_UNUSABLE),
    STORAGE("QUInt2x4Storage", SDG_TORCH_UNUSABLE),
    DTYPE("float32", SDG_F32),
    DTYPE("float16", SDG_F16),
    DTYPE("bfloat16", SDG_BF16),
    DTYPE("float64", SDG_F64),
    DTYPE("float8_e4m3fn", SDG_F8_E4M3),
    DTYPE("float8_e5m2", SDG_F8_E5M2),
    DTYPE("int64", SDG_I64),
    DTYPE("int32", SDG_I32),
    DTYPE("int16", SDG_I16),
    DTYPE("int8", SDG_I8),
    DTYPE("uint64", SDG_U64),
    DTYPE("uint32", SDG_U32),
    DTYPE("uint16", SDG_U16),
    DTYPE("uint8", SDG_U8),
    DTYPE("bool", SDG_BOOL),
    DTYPE("float8_e4m3fnuz", SDG_TORCH_UNUSABLE),
    DTYPE("float8_e5m2fnuz", SDG_TORCH_UNUSABLE),
    DTYPE("float8_e8m0fnu", SDG_TORCH_UNUSABLE),
    DTYPE("float4_e2m1fn_x2", SDG_TORCH_UNUSABLE),
    DTYPE("complex32", SDG_TORCH_UNUSABLE),
    DTYPE("complex64", SDG_TORCH_UNUSABLE),
    DTYPE("complex128", SDG_TORCH_UNUSABLE),
    DTYPE("qint8", SDG_TORCH_UNUSABLE),
    DTYPE("qint32", SDG_TORCH_UNUSABLE),
    DTYPE("quint8", SDG_TORCH_UNUSABLE),
    DTYPE("quint4x2", SDG_TORCH_UNUSABLE),
    DTYPE("quint2x4", SDG_TORCH_UNUSABLE),

    /* Before PyTorch 0.4 a Parameter or Variable was its class, called with a tensor. */
    ROLE("torch.nn.parameter", "Parameter", WRAPPER),
    ROLE("torch.nn.parameter", "Buffer", WRAPPER),
    ROLE("torch.autograd.variable", "Variable", WRAPPER),

    INERT("torch", "Tensor"),
    /* Classes that tensors had before PyTorch 0.4. */
    CLASS("FloatTensor"),
    CLASS("HalfTensor"),
    CLASS("BFloat16Tensor"),
    CLASS("DoubleTensor"),
    CLASS("LongTensor"),
    CLASS("IntTensor"),
    CLASS("ShortTensor"),
    CLASS("CharTensor"),
    CLASS("ByteTensor"),
    CLASS("BoolTensor"),
    INERT("torch.nn.modules.container", "ParameterDict"),
    INERT("torch", "device"),
    INERT("torch.serialization", "_get_layout"),
    INERT("_codecs", "encode"),
    BUILTIN("bytearray"),
    BUILTIN("set"),
    BUILTIN("frozenset"),
    BUILTIN("complex"),
    BUILTIN("object"),
    BUILTIN("dict"),
    BUILTIN("list"),
    BUILTIN("tuple"),
    BUILTIN("int"),
    BUILTIN("float"),
    BUILTIN("str"),
    BUILTIN("bool"),
    INERT("copy_reg", "_reconstructor"),
    INERT("copyreg", "_reconstructor"),
    INERT("typing", "Any"),
    INERT("argparse", "Namespace"),
    INERT("pathlib", "PosixPath"),
    INERT("pathlib", "WindowsPath"),
    INERT("omegaconf.dictconfig", "DictConfig"),
    INERT("omegaconf.listconfig", "ListConfig"),
    INERT("omegaconf.base", "ContainerMetadata"),
    INERT("omegaconf.base", "Metadata"),
    INERT("omegaconf.nodes", "AnyNode"),
    INERT("numpy.core.multiarray", "scalar"),
    INERT("numpy.core.multiarray", "_reconstruct"),
    INERT("numpy._core.multiarray", "scalar"),
    INERT("numpy._core.multiarray", "_reconstruct"),
    INERT("numpy.core.numeric", "_frombuffer"),
    INERT("numpy._core.numeric", "_frombuffer"),
    INERT("numpy", "dtype"),
    INERT("numpy", "ndarray"),
    INERT("numpy.dtypes", "Float64DType"),

    REFUSED("torch._utils", "_rebuild_qtensor", "quantised tensors are not read"),
    REFUSED("torch._utils", "_rebuild_sparse_tensor", "sparse tensors are not read"),
    REFUSED("torch._utils", "_rebuild_nested_tensor", "nested tensors are not read"),
    REFUSED("torch._utils", "_rebuild_meta_tensor_no_storage",
            "tensors without numbers are not read"),
    REFUSED("torch._utils", "_rebuild_wrapper_subclass", "tensors of own types are not read"),
    REFUSED("torch._utils", "_rebuild_device_tensor_from_numpy",
            "tensors kept as NumPy arrays are not read"),
    REFUSED("torch._utils", "_rebuild_device_tensor_from_cpu_tensor",
            "tensors of other devices are not read"),
    REFUSED("torch.storage", "_load_from_bytes", "a pickle inside of a pickle is not read"),
};

/* With all that is below them. */
static const struct sdg_pickle_global packages[] = {
    INERT("pytorch_lightning", "*"),
    INERT("lightning", "*"),
    INERT("lightning_fabric", "*"),
};

static bool same(const uint8_t *text, size_t size, const char *wanted)
{
    return strlen(wanted) == size && memcmp(text, wanted, size) == 0;
}

const struct sdg_pickle_global *sdg_pickle_global_find(const uint8_t *module, size_t module_size,
                                                       const uint8_t *name, size_t name_size)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (same(module, module_size, globals[i].module) && same(name, name_size, globals[i].name))
            return &globals[i];
    for (size_t i = 0; i < sizeof packages / sizeof *packages; i++) {
        const size_t n = strlen(packages[i].module);
        if (module_size >= n && memcmp(module, packages[i].module, n) == 0 &&
            (module_size == n || module[n] == '.'))
            return &packages[i];
    }
    return NULL;
}
