/* pickle_ops.h - the operations of Python's pickle language: what they are called, what follows
 * them in the file, and how many values they take off the stack and put there. */
#ifndef SDG_FILES_PICKLE_OPS_H
#define SDG_FILES_PICKLE_OPS_H

#include <stdbool.h>
#include <stdint.h>

/* Operations by their code in the file: those that have a meaning of their own somewhere. */
enum sdg_pickle_code {
    SDG_OP_MARK = '(',
    SDG_OP_EMPTY_TUPLE = ')',
    SDG_OP_STOP = '.',
    SDG_OP_POP = '0',
    SDG_OP_POP_MARK = '1',
    SDG_OP_DUP = '2',
    SDG_OP_BINBYTES = 'B',
    SDG_OP_SHORT_BINBYTES = 'C',
    SDG_OP_FLOAT = 'F',
    SDG_OP_BINFLOAT = 'G',
    SDG_OP_INT = 'I',
    SDG_OP_BININT = 'J',
    SDG_OP_BININT1 = 'K',
    SDG_OP_LONG = 'L',
    SDG_OP_BININT2 = 'M',
    SDG_OP_NONE = 'N',
    SDG_OP_PERSID = 'P',
    SDG_OP_BINPERSID = 'Q',
    SDG_OP_REDUCE = 'R',
    SDG_OP_BINSTRING = 'T',
    SDG_OP_SHORT_BINSTRING = 'U',
    SDG_OP_BINUNICODE = 'X',
    SDG_OP_EMPTY_LIST = ']',
    SDG_OP_APPEND = 'a',
    SDG_OP_BUILD = 'b',
    SDG_OP_GLOBAL = 'c',
    SDG_OP_APPENDS = 'e',
    SDG_OP_GET = 'g',
    SDG_OP_BINGET = 'h',
    SDG_OP_INST = 'i',
    SDG_OP_LONG_BINGET = 'j',
    SDG_OP_PUT = 'p',
    SDG_OP_BINPUT = 'q',
    SDG_OP_LONG_BINPUT = 'r',
    SDG_OP_SETITEM = 's',
    SDG_OP_TUPLE = 't',
    SDG_OP_SETITEMS = 'u',
    SDG_OP_EMPTY_DICT = '}',
    SDG_OP_PROTO = 0x80,
    SDG_OP_NEWOBJ = 0x81,
    SDG_OP_EXT1 = 0x82,
    SDG_OP_EXT2 = 0x83,
    SDG_OP_EXT4 = 0x84,
    SDG_OP_TUPLE1 = 0x85,
    SDG_OP_TUPLE2 = 0x86,
    SDG_OP_TUPLE3 = 0x87,
    SDG_OP_NEWTRUE = 0x88,
    SDG_OP_NEWFALSE = 0x89,
    SDG_OP_LONG1 = 0x8a,
    SDG_OP_SHORT_BINUNICODE = 0x8c,
    SDG_OP_BINUNICODE8 = 0x8d,
    SDG_OP_BINBYTES8 = 0x8e,
    SDG_OP_EMPTY_SET = 0x8f,
    SDG_OP_ADDITEMS = 0x90,
    SDG_OP_FROZENSET = 0x91,
    SDG_OP_STACK_GLOBAL = 0x93,
    SDG_OP_MEMOIZE = 0x94,
    SDG_OP_FRAME = 0x95,
    SDG_OP_BYTEARRAY8 = 0x96
};

/* What follows the code of an operation. */
enum sdg_pickle_operand {
    SDG_OPERAND_NONE,
    SDG_OPERAND_FIXED, /* `width` bytes */
    SDG_OPERAND_SIZED, /* a length in `width` bytes, then so many bytes */
    SDG_OPERAND_LINES  /* `width` lines */
};

/* takes: values below those above the last mark, or all there are to it (to_mark). */
struct sdg_pickle_op {
    const char *name;
    uint8_t code, operand, width, takes, gives;
    bool to_mark;
};

/* NULL for a byte that is no operation. */
const struct sdg_pickle_op *sdg_pickle_op_find(unsigned code);

#endif
