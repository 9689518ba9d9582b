/* hostile_safetensors.c - see hostile_corpus.h: headers that break a rule of the format or of JSON
 * (safetensors README.md; RFC 8259), and files whose length is a lie. */
#include <string.h>

#include "tests/support/hostile_corpus.h"

struct header {
    const char *what, *wanted, *text;
    size_t body;
};

#define U8(name, rest) "\"" name "\":{\"dtype\":\"U8\"," rest "}"
#define ONE U8("a", "\"shape\":[1],\"data_offsets\":[0,1]")
#define TYPE(name) "{\"a\":{\"dtype\":\"" name "\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2
#define SHAPE(text) "{" U8("a", "\"shape\":" text ",\"data_offsets\":[0,1]") "}", 1
#define OFFSETS(text) "{" U8("a", "\"shape\":[1],\"data_offsets\":" text) "}", 1
#define FIELD(text) \
    "{\"a\":{\"x\":" text ",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1
#define METADATA(text) "{\"__metadata__\":" text "}", 0
#define NAME(text) "{" U8(text, "\"shape\":[1],\"data_offsets\":[0,1]") "}", 1
#define TEN(x) x x x x x x x x x x

static const struct header headers[] = {
    /* JSON */
    {"no header", "too early", "", 0},
    {"white space only", "too early", "    ", 0},
    {"a list", "object should begin", "[]", 0},
    {"a number", "object should begin", "5", 0},
    {"an open object", "too early", "{", 0},
    {"text behind", "more text", "{}x", 0},
    {"two objects", "more text", "{}{}", 0},
    {"byte order mark", "object should begin", "\xef\xbb\xbf{}", 0},
    {"no colon", "colon", "{\"a\"}", 0},
    {"no value", "object should begin", "{\"a\":}", 0},
    {"missing comma", "comma", "{" ONE ONE "}", 1},
    {"trailing comma", "string should begin", "{" ONE ",}", 1},
    {"leading comma", "string should begin", "{," ONE "}", 1},
    {"single quotes", "string should begin", "{'a':{}}", 0},
    {"bare key", "string should begin", "{a:{}}", 0},
    {"comment", "string should begin", "{/**/" ONE "}", 1},
    {"not a number", "value should begin", FIELD("NaN")},
    {"misspelled literal", "value should begin", FIELD("tru")},
    {"lone minus", "number is malformed", FIELD("-")},
    {"no fraction", "number is malformed", FIELD("1.")},
    {"no exponent", "number is malformed", FIELD("1e+")},
    {"leading zero in a field", "number is malformed", FIELD("00")},
    {"wrong bracket", "comma", FIELD("[1}")},
    {"unclosed field", "too early", "{\"a\":{\"x\":[[[", 0},
    {"nested too deep", "nested too deep", "{\"a\":{\"x\":" TEN(TEN("[[")), 0},
    {"objects nested too deep", "nested too deep", "{\"a\":{\"x\":" TEN(TEN("{\"k\":{\"k\":")), 0},
    /* strings */
    {"unclosed string", "no end", "{\"abc", 0},
    {"newline in a string", "control character", NAME("a\nb")},
    {"unknown escape", "unknown escape", NAME("\\x41")},
    {"cut escape", "unknown escape", "{\"\\", 0},
    {"short \\u", "\\u escape", NAME("\\u12")},
    {"half a pair, high", "surrogate", NAME("\\ud800")},
    {"half a pair, low", "surrogate", NAME("\\udc00")},
    {"a pair the wrong way", "surrogate", NAME("\\udc00\\ud800")},
    {"high and plain", "surrogate", NAME("\\ud800\\u0041")},
    {"Latin-1", "not UTF-8", NAME("caf\xe9")},
    {"overlong", "not UTF-8", NAME("\xc0\xaf")},
    {"overlong of three", "not UTF-8", NAME("\xe0\x80\xaf")},
    {"surrogate in UTF-8", "not UTF-8", NAME("\xed\xa0\x80")},
    {"beyond Unicode", "not UTF-8", NAME("\xf4\x90\x80\x80")},
    {"cut character", "not UTF-8", "{\"\xe2\x82", 0},
    {"zero byte in a name", "zero byte", NAME("a\\u0000b")},
    /* descriptions */
    {"null for a tensor", "object should begin", "{\"a\":null}", 0},
    {"a list for a tensor", "object should begin", "{\"a\":[]}", 0},
    {"an empty description", "dtype is missing", "{\"a\":{}}", 0},
    {"no shape", "shape is missing", "{" U8("a", "\"data_offsets\":[0,1]") "}", 1},
    {"no offsets", "data_offsets is missing", "{" U8("a", "\"shape\":[1]") "}", 1},
    {"no dtype", "dtype is missing", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1},
    {"unknown dtype", "dtype \"F33\"", TYPE("F33")},
    {"lower case dtype", "dtype \"u8\"", TYPE("u8")},
    {"empty dtype", "dtype \"\"", TYPE("")},
    {"endless dtype", "is not one of", TYPE(TEN("F32F32"))},
    {"number for a dtype", "string should begin", "{\"a\":{\"dtype\":8}}", 0},
    {"F4", "type F4", TYPE("F4")},
    {"F6_E2M3", "type F6_E2M3", TYPE("F6_E2M3")},
    {"F6_E3M2", "type F6_E3M2", TYPE("F6_E3M2")},
    {"F8_E8M0", "type F8_E8M0", TYPE("F8_E8M0")},
    {"F8_E4M3FNUZ", "type F8_E4M3FNUZ", TYPE("F8_E4M3FNUZ")},
    {"F8_E5M2FNUZ", "type F8_E5M2FNUZ", TYPE("F8_E5M2FNUZ")},
    {"C64", "tensor a (header byte 27): numbers of type C64", TYPE("C64")},
    {"text for a shape", "list should begin", SHAPE("\"1\"")},
    {"number for a shape", "list should begin", SHAPE("1")},
    {"nested shape", "plain non-negative", SHAPE("[[1]]")},
    {"negative size", "plain non-negative", SHAPE("[-1]")},
    {"minus zero", "plain non-negative", SHAPE("[-0]")},
    {"fraction", "plain non-negative", SHAPE("[1.0]")},
    {"exponent", "plain non-negative", SHAPE("[1e0]")},
    {"leading zero", "plain non-negative", SHAPE("[01]")},
    {"plus sign", "plain non-negative", SHAPE("[+1]")},
    {"text for a size", "plain non-negative", SHAPE("[\"1\"]")},
    {"2^64", "larger than 64 bits", SHAPE("[18446744073709551616]")},
    {"many digits", "larger than 64 bits", SHAPE("[" TEN(TEN("9")) "]")},
    {"2^63", "absurd", SHAPE("[9223372036854775808]")},
    {"overflowing product", "larger than any memory", SHAPE("[4294967296,4294967296,4294967296]")},
    {"product that wraps to 4", "larger than any memory",
     "{" U8("a", "\"shape\":[4611686018427387905,4],\"data_offsets\":[0,4]") "}", 4},
    {"overflow before a zero", "larger than any memory", SHAPE("[4294967296,4294967296,0]")},
    {"product that wraps in bytes", "larger than any memory",
     "{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693953],\"data_offsets\":[0,8]}}", 8},
    {"nine dimensions", "more than 8 dimensions", SHAPE("[1,1,1,1,1,1,1,1,1]")},
    {"one offset", "two numbers", OFFSETS("[0]")},
    {"three offsets", "two numbers", OFFSETS("[0,1,1]")},
    {"no offset", "two numbers", OFFSETS("[]")},
    {"negative offset", "plain non-negative", OFFSETS("[-1,0]")},
    {"backward offsets", "are other", OFFSETS("[1,0]")},
    {"fraction in offsets", "plain non-negative", OFFSETS("[0,1.5]")},
    {"text for offsets", "list should begin", OFFSETS("\"0,1\"")},
    {"offsets of another length", "takes 1 bytes", OFFSETS("[0,2]")},
    {"offsets that wrap", "are other", OFFSETS("[18446744073709551615,0]")},
    {"dtype twice", "dtype is there twice", "{" U8("a", "\"dtype\":\"U8\"") "}", 0},
    {"shape twice", "shape is there twice", "{" U8("a", "\"shape\":[1],\"shape\":[1]") "}", 0},
    {"offsets twice", "data_offsets is there twice",
     "{" U8("a", "\"data_offsets\":[0,1],\"data_offsets\":[0,1]") "}", 1},
    {"shape twice, in disguise", "shape is there twice",
     "{" U8("a", "\"shape\":[1],\"sh\\u0061pe\":[1]") "}", 0},
    /* the data */
    {"beyond the file", "cut short", "{" U8("a", "\"shape\":[9],\"data_offsets\":[0,9]") "}", 8},
    {"far beyond the file", "cut short",
     "{" U8("a", "\"shape\":[9000000000000000000],\"data_offsets\":[0,9000000000000000000]") "}",
     8},
    {"a gap at the start", "leave a hole", "{" U8("a", "\"shape\":[1],\"data_offsets\":[1,2]") "}",
     2},
    {"a hole", "leave a hole", "{" ONE "," U8("b", "\"shape\":[1],\"data_offsets\":[2,3]") "}", 3},
    {"overlap", "overlap",
     "{" U8("a", "\"shape\":[2],\"data_offsets\":[0,2]") "," U8(
         "b", "\"shape\":[2],\"data_offsets\":[1,3]") "}",
     3},
    {"the same bytes twice", "overlap",
     "{" ONE "," U8("b", "\"shape\":[1],\"data_offsets\":[0,1]") "}", 1},
    {"an empty tensor in a hole", "leave a hole",
     "{" ONE "," U8("b", "\"shape\":[0],\"data_offsets\":[2,2]") "}", 2},
    {"bytes behind", "belong to none", "{" ONE "}", 2},
    {"bytes of no tensor", "belong to none", "{}", 1},
    {"a name twice", "tensor a is there twice",
     "{" ONE "," U8("a", "\"shape\":[1],\"data_offsets\":[1,2]") "}", 2},
    {"a name twice, in disguise", "is there twice",
     "{" ONE "," U8("\\u0061", "\"shape\":[1],\"data_offsets\":[1,2]") "}", 2},
    {"empty tensors of one name", "is there twice",
     "{" U8("e", "\"shape\":[0],\"data_offsets\":[0,0]") "," U8(
         "e", "\"shape\":[0],\"data_offsets\":[0,0]") "}",
     0},
    /* metadata */
    {"number in metadata", "string should begin", METADATA("{\"k\":1}")},
    {"null in metadata", "string should begin", METADATA("{\"k\":null}")},
    {"object in metadata", "string should begin", METADATA("{\"k\":{}}")},
    {"metadata is a list", "object should begin", METADATA("[]")},
    {"metadata is a text", "object should begin", METADATA("\"pt\"")},
    {"metadata twice", "__metadata__ is there twice", METADATA("{},\"__metadata__\":{}")},
    {"metadata twice, in disguise", "__metadata__ is there twice",
     METADATA("{},\"__m\\u0065tadata__\":{}")},
    {"metadata key twice", "metadata key k is there twice", METADATA("{\"k\":\"1\",\"k\":\"1\"}")},
    {"zero byte in metadata", "zero byte", METADATA("{\"k\":\"a\\u0000\"}")},
};

/* Eight bytes of length, then a text that does not keep to it. */
static const struct {
    const char *what, *wanted;
    uint64_t length;
    const char *rest;
} lengths[] = {
    {"header one byte longer than the file", "cut short", 3, "{}"},
    {"header cut", "cut short", 100, "{\"a\":{\"dtype\":"},
    {"header beyond the limit", "100000000 are allowed", 100000001, "{}"},
    {"header of 2^63 bytes", "100000000 are allowed", UINT64_C(1) << 63, "{}"},
    {"header of 2^64 - 1 bytes", "100000000 are allowed", UINT64_MAX, "{}"},
    {"length that wraps with its own eight bytes", "100000000 are allowed", UINT64_MAX - 7, "{}"},
    {"header one byte too short", "too early", 1, "{}"},
    {"only a length", "cut short", 2, ""},
    {"length of zero", "too early", 0, ""},
};

enum { HEADERS = sizeof headers / sizeof *headers, LENGTHS = sizeof lengths / sizeof *lengths };

bool test_hostile_safetensors(struct test_hostile *h, size_t i)
{
    *h = (struct test_hostile) {0};
    if (i < HEADERS) {
        h->what = headers[i].what;
        h->wanted = headers[i].wanted;
        test_safetensors(&h->b, headers[i].text, headers[i].body);
        return true;
    }
    i -= HEADERS;
    if (i >= LENGTHS) return false;
    h->what = lengths[i].what;
    h->wanted = lengths[i].wanted;
    test_bytes_number(&h->b, lengths[i].length, 8);
    test_bytes_add(&h->b, lengths[i].rest, strlen(lengths[i].rest));
    return true;
}
