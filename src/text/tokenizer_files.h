/* tokenizer_files.h - CLIP's tokenizer as the files that transformers' CLIPTokenizer reads, written
 * from the merges in the binary. */
#ifndef SDG_TEXT_TOKENIZER_FILES_H
#define SDG_TEXT_TOKENIZER_FILES_H

#include "base/status.h"

/* vocab.json: {"piece": id, ...} in order of ids; merges.txt: a line each, the best first. Both to
 * be freed. Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_tokenizer_files(char **vocab_json, char **merges_txt,
                                                  sdgen_error *err);

#endif
