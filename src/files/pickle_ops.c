/* pickle_ops.c - see pickle_ops.h: the table of CPython's Lib/pickletools.py, protocols 0 to 5. */
#include "files/pickle_ops.h"

#include <stddef.h>

#define NONE(code, name, takes, gives)                       \
    {                                                        \
        name, code, SDG_OPERAND_NONE, 0, takes, gives, false \
    }
#define MARKED(code, name, takes, gives)                    \
    {                                                       \
        name, code, SDG_OPERAND_NONE, 0, takes, gives, true \
    }
#define FIXED(code, name, bytes, gives)                       \
    {                                                         \
        name, code, SDG_OPERAND_FIXED, bytes, 0, gives, false \
    }
#define SIZED(code, name, bytes)                          \
    {                                                     \
        name, code, SDG_OPERAND_SIZED, bytes, 0, 1, false \
    }
#define LINES(code, name, lines, gives)                       \
    {                                                         \
        name, code, SDG_OPERAND_LINES, lines, 0, gives, false \
    }

static const struct sdg_pickle_op operations[] = {
    NONE('(', "MARK", 0, 0),
    NONE(')', "EMPTY_TUPLE", 0, 1),
    NONE('.', "STOP", 1, 0),
    NONE('0', "POP", 1, 0),
    MARKED('1', "POP_MARK", 0, 0),
    NONE('2', "DUP", 1, 2),
    SIZED('B', "BINBYTES", 4),
    SIZED('C', "SHORT_BINBYTES", 1),
    LINES('F', "FLOAT", 1, 1),
    FIXED('G', "BINFLOAT", 8, 1),
    LINES('I', "INT", 1, 1),
    FIXED('J', "BININT", 4, 1),
    FIXED('K', "BININT1", 1, 1),
    LINES('L', "LONG", 1, 1),
    FIXED('M', "BININT2", 2, 1),
    NONE('N', "NONE", 0, 1),
    LINES('P', "PERSID", 1, 1),
    NONE('Q', "BINPERSID", 1, 1),
    NONE('R', "REDUCE", 2, 1),
    LINES('S', "STRING", 1, 1),
    SIZED('T', "BINSTRING", 4),
    SIZED('U', "SHORT_BINSTRING", 1),
    LINES('V', "UNICODE", 1, 1),
    SIZED('X', "BINUNICODE", 4),
    NONE(']', "EMPTY_LIST", 0, 1),
    NONE('a', "APPEND", 2, 1),
    NONE('b', "BUILD", 2, 1),
    LINES('c', "GLOBAL", 2, 1),
    MARKED('d', "DICT", 0, 1),
    MARKED('e', "APPENDS", 1, 1),
    LINES('g', "GET", 1, 1),
    FIXED('h', "BINGET", 1, 1),
    {"INST", 'i', SDG_OPERAND_LINES, 2, 0, 1, true},
    FIXED('j', "LONG_BINGET", 4, 1),
    MARKED('l', "LIST", 0, 1),
    MARKED('o', "OBJ", 0, 1),
    LINES('p', "PUT", 1, 0),
    FIXED('q', "BINPUT", 1, 0),
    FIXED('r', "LONG_BINPUT", 4, 0),
    NONE('s', "SETITEM", 3, 1),
    MARKED('t', "TUPLE", 0, 1),
    MARKED('u', "SETITEMS", 1, 1),
    NONE('}', "EMPTY_DICT", 0, 1),
    FIXED(0x80, "PROTO", 1, 0),
    NONE(0x81, "NEWOBJ", 2, 1),
    FIXED(0x82, "EXT1", 1, 1),
    FIXED(0x83, "EXT2", 2, 1),
    FIXED(0x84, "EXT4", 4, 1),
    NONE(0x85, "TUPLE1", 1, 1),
    NONE(0x86, "TUPLE2", 2, 1),
    NONE(0x87, "TUPLE3", 3, 1),
    NONE(0x88, "NEWTRUE", 0, 1),
    NONE(0x89, "NEWFALSE", 0, 1),
    SIZED(0x8a, "LONG1", 1),
    SIZED(0x8b, "LONG4", 4),
    SIZED(0x8c, "SHORT_BINUNICODE", 1),
    SIZED(0x8d, "BINUNICODE8", 8),
    SIZED(0x8e, "BINBYTES8", 8),
    NONE(0x8f, "EMPTY_SET", 0, 1),
    MARKED(0x90, "ADDITEMS", 1, 1),
    MARKED(0x91, "FROZENSET", 0, 1),
    NONE(0x92, "NEWOBJ_EX", 3, 1),
    NONE(0x93, "STACK_GLOBAL", 2, 1),
    NONE(0x94, "MEMOIZE", 1, 1),
    FIXED(0x95, "FRAME", 8, 0),
    SIZED(0x96, "BYTEARRAY8", 8),
    NONE(0x97, "NEXT_BUFFER", 0, 1),
    NONE(0x98, "READONLY_BUFFER", 1, 1),
};

const struct sdg_pickle_op *sdg_pickle_op_find(unsigned code)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (operations[i].code == code) return &operations[i];
    return NULL;
}
