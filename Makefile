# sdgen: one Makefile, no generated build system. `make help` lists the targets.
#   make CC=clang BUILD=build/clang                      another compiler
#   make CROSS=aarch64-linux-gnu- OPENBLAS=0 BUILD=...   another processor
#   make OPENBLAS=0                                      without OpenBLAS, which only `make bench` compares with
BUILD  ?= build
PREFIX ?= /usr/local
CFLAGS ?= -g
ifeq ($(origin CC),default)
CC := $(CROSS)gcc
endif
ifneq ($(CROSS),)
AR := $(CROSS)ar
endif
OPENBLAS ?= 1
EMULATOR ?=
VERSION := $(shell sed -n 's/^\#define SDGEN_VERSION "\(.*\)"/\1/p' src/sdgen.h)
SOVERSION := 0
TARGET := $(shell $(CC) -dumpmachine)

WARN := -Wall -Wextra -Werror -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef
# No contraction into fused multiply-adds behind our back: the same bits from gcc, clang and every tier-C build.
BASE := -std=c11 $(WARN) -fno-math-errno -fno-trapping-math -ffp-contract=off -fvisibility=hidden -fPIC -fopenmp \
        -MMD -MP -Isrc -I. -Ikernels
LIBS := -lcjson -lz -lm

# Sources, by room. Of kernels/x86 and kernels/arm only the target's own.
ROOMS := kernels kernels/ref $(if $(filter x86_64% amd64%,$(TARGET)),kernels/x86) \
         $(if $(filter aarch64%,$(TARGET)),kernels/arm) models models/data \
         $(addprefix src/,base files weights convert text sampling image ops pipeline)
LIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(addsuffix /*.c,$(ROOMS))))
CLI_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/cli/*.c))
SUPPORT := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))
EMULATED := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/emulated/*.c))
CHECK   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/check*.c))
# `sdgen bench` is part of the program; build/sdgen-bench is the same program with OpenBLAS beside ours.
BENCH   := $(patsubst %.c,$(BUILD)/%.o,$(filter-out bench/blas.c bench/noblas.c,$(wildcard bench/*.c)))
NOBLAS  := $(BUILD)/bench/noblas.o
BLAS    := $(if $(filter 0,$(OPENBLAS)),$(NOBLAS),$(BUILD)/bench/blas.o)
UNITS   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/test_*.c))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
PLAIN_FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/tests/fuzz/plain_%,$(wildcard tests/fuzz/fuzz_*.c))
PROGRAMS := $(UNITS) $(if $(CHECK),$(BUILD)/check) $(BUILD)/sdgen-bench $(PLAIN_FUZZERS)
LINK = $(CC) $(CFLAGS) $(SANITIZE) -fopenmp $(LDFLAGS) $(filter %.o %.a,$^) $(LIBS) $(LDLIBS) -o $@

all: $(BUILD)/sdgen $(BUILD)/libsdgen.so.$(SOVERSION)   ## build the program and the library
	@ln -sfn libsdgen.so.$(SOVERSION) $(BUILD)/libsdgen.so
$(BUILD)/sdgen: $(CLI_OBJ) $(BENCH) $(NOBLAS) $(BUILD)/libsdgen.a
	$(LINK)
$(BUILD)/libsdgen.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/libsdgen.so.$(SOVERSION): $(LIB_OBJ)
	$(LINK) -shared -Wl,-soname,libsdgen.so.$(SOVERSION)
$(BUILD)/check: $(CHECK) $(SUPPORT) $(EMULATED) $(BUILD)/libsdgen.a
	$(LINK) -lcmocka
$(BUILD)/sdgen-bench: $(CLI_OBJ) $(BENCH) $(BLAS) $(BUILD)/libsdgen.a
	$(LINK) $(if $(filter 0,$(OPENBLAS)),,-lopenblas)
$(BUILD)/tests/test_shapes: $(BUILD)/bench/shapes.o
$(UNITS): %: %.o $(SUPPORT) $(EMULATED) $(BUILD)/libsdgen.a
	$(LINK) -lcmocka
$(FUZZERS): %: %.o $(BUILD)/libsdgen.a
	$(LINK) -fsanitize=fuzzer
$(PLAIN_FUZZERS): $(BUILD)/tests/fuzz/plain_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/plain.o $(BUILD)/libsdgen.a
	$(LINK)
$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(BASE) $(OPT) $(CPPFLAGS) $(CFLAGS) $(if $(filter $(UNSANITIZED),$@),,$(SANITIZE)) $(ISAFLAGS) -c $< -o $@
.SECONDARY:

# Loops that are to be vectorised live in two rooms. CFLAGS come later and win.
OPT := -O2
$(BUILD)/kernels/%.o $(BUILD)/src/ops/%.o: OPT := -O3

# SANITIZE is added to what reads files and texts. Rooms that only compute are left out: they see no input that was not
# checked before, and clang takes minutes over an instrumented kernel. (`make asan` has them instrumented.)
SANITIZE ?=
UNSANITIZED := $(BUILD)/kernels/% $(BUILD)/src/ops/% $(BUILD)/models/% $(BUILD)/src/sampling/% $(BUILD)/src/pipeline/%

# The suffix of a kernel file is its instruction set; nothing else is compiled beyond the baseline.
AVX2   := -mavx2 -mfma -mf16c -mbmi2
AVX512 := $(AVX2) -mavx512f -mavx512bw -mavx512vl -mavx512dq
$(BUILD)/kernels/x86/%_avx2.o:       ISAFLAGS = $(AVX2)
$(BUILD)/kernels/x86/%_avx512.o:     ISAFLAGS = $(AVX512)
$(BUILD)/kernels/x86/%_avx512bf16.o: ISAFLAGS = $(AVX512) -mavx512bf16 -mavx512vnni
$(BUILD)/kernels/x86/%_amx.o:        ISAFLAGS = $(AVX512) -mavx512bf16 -mavx512vnni -mamx-tile -mamx-bf16
# Emulated kernels pass vectors that the baseline has no registers for: among themselves, in a way of their own.
$(BUILD)/tests/emulated/%.o:         ISAFLAGS = -Wno-psabi

RUN = BUILD="$(BUILD)" SDGEN="$(BUILD)/sdgen" CC="$(CC)" CFLAGS="$(CFLAGS)" LDFLAGS="$(LDFLAGS)" \
      EMULATOR="$(EMULATOR)" sh tests/run.sh
test-programs: all $(PROGRAMS)
check: test-programs   ## build and run every test
	@$(RUN) $(TESTS)
check-full: all   ## also: live comparison with PyTorch, full size, sanitizers, clang, AArch64, long fuzzing
	@sh tools/check_full.sh
demo: all   ## draw with the bundled model: make demo PROMPT="an owl on a yellow background"
	@$(EMULATOR) $(BUILD)/sdgen -m models/data/sdgen-emoji.safetensors --cfg-scale 5 --steps 20 \
	    -p "$${PROMPT:-a fox on a blue background}" -o demo.png
goldens:   ## remake tests/golden with the original libraries, in a virtual environment
	@sh tools/goldens.sh
lint: all   ## layers, sizes, formatting, headers, instruction sets
	@BUILD="$(BUILD)" CC="$(CC)" sh tools/lint.sh
format:   ## clang-format every file in place
	clang-format -i $$(find src kernels models tests bench -name '*.[ch]')

# Sanitizers. gcc's OpenMP runtime is not known to its thread sanitizer, which then reports falsely.
SAN = $(MAKE) BUILD=$(BUILD)/$@
CLANG ?= clang
asan:   ## every test under the address and undefined-behaviour sanitizers
	@$(SAN) CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" check
tsan:   ## every test under clang's thread sanitizer
	@TSAN_OPTIONS="ignore_noninstrumented_modules=1 $(TSAN_OPTIONS)" \
	    $(SAN) CC=$(CLANG) CFLAGS="-O1 -g -fsanitize=thread" check
fuzz-programs: $(FUZZERS)
fuzz:   ## run each fuzz target (or FUZZ_TARGETS) for FUZZ_SECONDS (60) or FUZZ_RUNS inputs
	@$(SAN) CC=$(CLANG) CFLAGS="-O1 -g" \
	    SANITIZE="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all" fuzz-programs
	@BUILD="$(BUILD)/fuzz" sh tools/fuzz.sh
bench: $(BUILD)/sdgen-bench   ## time every operation beside the machine's peak and OpenBLAS: make bench ARGS="-t 1 conv"
	$(EMULATOR) $(BUILD)/sdgen-bench bench $(ARGS)

BIN = $(DESTDIR)$(PREFIX)/bin
LIB = $(DESTDIR)$(PREFIX)/lib
SHARE = $(DESTDIR)$(PREFIX)/share
install: all   ## PREFIX=/usr/local, DESTDIR=
	install -d $(BIN) $(LIB)/pkgconfig $(DESTDIR)$(PREFIX)/include $(SHARE)/man/man1 $(SHARE)/bash-completion/completions \
	    $(SHARE)/zsh/site-functions
	install -m 755 $(BUILD)/sdgen $(BIN)/sdgen
	install -m 644 $(BUILD)/libsdgen.a $(LIB)/libsdgen.a
	install -m 755 $(BUILD)/libsdgen.so.$(SOVERSION) $(LIB)/libsdgen.so.$(SOVERSION)
	ln -sfn libsdgen.so.$(SOVERSION) $(LIB)/libsdgen.so
	install -m 644 src/sdgen.h $(DESTDIR)$(PREFIX)/include/sdgen.h
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' tools/sdgen.pc.in \
	    > $(LIB)/pkgconfig/sdgen.pc
	$(EMULATOR) $(BUILD)/sdgen --man > $(SHARE)/man/man1/sdgen.1
	$(EMULATOR) $(BUILD)/sdgen --completion bash > $(SHARE)/bash-completion/completions/sdgen
	$(EMULATOR) $(BUILD)/sdgen --completion zsh > $(SHARE)/zsh/site-functions/_sdgen
uninstall:
	rm -f $(BIN)/sdgen $(LIB)/libsdgen.a $(LIB)/libsdgen.so $(LIB)/libsdgen.so.$(SOVERSION) \
	    $(LIB)/pkgconfig/sdgen.pc $(DESTDIR)$(PREFIX)/include/sdgen.h $(SHARE)/man/man1/sdgen.1 \
	    $(SHARE)/bash-completion/completions/sdgen $(SHARE)/zsh/site-functions/_sdgen
clean:   ## remove everything built
	rm -rf $(BUILD)
help:   ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## */\1#/p' Makefile | awk -F'#' '{ printf "  make %-12s %s\n", $$1, $$2 }'

.PHONY: all test-programs check check-full demo goldens lint format asan tsan fuzz fuzz-programs bench install \
        uninstall clean help
-include $(patsubst %.o,%.d,$(LIB_OBJ) $(CLI_OBJ) $(SUPPORT) $(CHECK) $(BENCH) $(NOBLAS) $(BLAS)) $(UNITS:=.d) $(FUZZERS:=.d) $(BUILD)/tests/fuzz/plain.d
