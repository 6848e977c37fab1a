# Test programs: t/unit/*.c and fuzz/fuzz_*.c with the files of core/ and lua/;
# and phronyctl, as it is installed and under sanitizers.
#
#     make -f tools/programs.mk unit | replay | fuzz
#     make -f tools/programs.mk phronyctl | phronyctl-asan
#
# A unit test is a file of t/unit that has a main().  It is linked with
# core/ and lua/, and with what its first lines name:
#
#     /* sources: ngx_http_phrony_module/store/ t/unit/model.c nginx */
#
# that is, further files, all of a folder's, and by the word "nginx" the
# objects of nginx's sanitizer build, its main() being nginx_main() there.

BUILD ?= build
SRC = ngx_http_phrony_module

CC = gcc
CLANG = clang

SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
CFLAGS = -O1 -g -Wall -Wextra -Wno-unused-parameter

# with sanitizers gcc no longer sees what is set; "make check" compiles without
GCC_CFLAGS = $(CFLAGS) -Wno-maybe-uninitialized
CPPFLAGS = -MMD -MP -I $(SRC)/core -I $(SRC)/lua -I t/unit -I fuzz \
	-I phronyctl
LDLIBS = -ljansson -lhiredis -lcrypto -lyaml -lm
WRAP = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc \
	-Wl,--wrap=posix_memalign,--wrap=mmap

ASAN = $(BUILD)/asan
NGINX_CPPFLAGS = -MMD -MP -DNGX_DEBUG_PALLOC=1 $(addprefix -I ,\
	$(SRC) $(SRC)/core $(SRC)/policy $(SRC)/store $(SRC)/redis \
	$(SRC)/lua t/unit fuzz phronyctl $(ASAN)/objs $(addprefix $(ASAN)/src/src/,\
	core event event/modules os/unix http http/modules http/v2))
NGINX_LIBS = $(ASAN)/libnginx.a -lssl -lcrypto -lpcre2-8 -lz -lcrypt -ldl \
	-lpthread

# of phronyctl, what reads bytes and knows neither a terminal nor a socket

CTL_PURE = phronyctl/ctl_window.c phronyctl/ctl_yaml.c

CORE = $(sort $(wildcard $(SRC)/core/*.c $(SRC)/lua/*.c)) $(CTL_PURE)
CORE_O = $(CORE:%.c=$(BUILD)/programs/%.o)
CORE_A = $(BUILD)/programs/libcore.a

UNIT_C = $(sort $(shell grep -lw '^main' t/unit/*.c 2>/dev/null))
UNIT = $(UNIT_C:t/unit/%.c=$(BUILD)/unit/%)

FUZZ_C = $(sort $(wildcard fuzz/fuzz_*.c))
REPLAY = $(FUZZ_C:fuzz/%.c=$(BUILD)/replay/%)
FUZZERS = $(FUZZ_C:fuzz/%.c=$(BUILD)/fuzz/%)
FUZZ_O = $(FUZZ_C:%.c=$(BUILD)/programs/%.o)

HEADER = head -n 30 t/unit/$(1).c | tr '\n' ' ' \
	| sed -n 's/.*\/\* *sources:\([^*]*\(\*[^/][^*]*\)*\)\*\/.*/\1/p'
needs = $(filter-out *,$(shell set -f; echo $$($(HEADER))))
extra_c = $(filter-out $(CORE),\
	$(filter %.c,$(call needs,$(1))) \
	$(foreach d,$(filter %/,$(call needs,$(1))),$(sort $(wildcard $(d)*.c))))
extra_o = $(patsubst %.c,$(BUILD)/programs/%.o,$(call extra_c,$(1)))
uses_nginx = $(filter nginx,$(call needs,$(1)))


CTL_C = $(sort $(wildcard phronyctl/*.c $(SRC)/core/*.c))
CTL_O = $(CTL_C:%.c=$(BUILD)/ctl/%.o)
CTL_ASAN_O = $(CTL_C:%.c=$(BUILD)/ctl-asan/%.o)
CTL_CFLAGS = -std=gnu11 -O2 -g -Wall -Wextra -fstack-protector-strong -fPIE
CTL_CPPFLAGS = -MMD -MP -I $(SRC)/core -I phronyctl -D_FORTIFY_SOURCE=2
CTL_LDLIBS = -ljansson -lhiredis -lyaml -lssl -lcrypto


.PHONY: unit replay fuzz phronyctl phronyctl-asan
.SECONDARY:

unit: $(UNIT)
replay: $(REPLAY)
fuzz: $(FUZZERS)


phronyctl: $(BUILD)/phronyctl
phronyctl-asan: $(BUILD)/phronyctl-asan

$(BUILD)/phronyctl: $(CTL_O)
	@$(CC) -pie -Wl,-z,relro,-z,now -o $@ $^ $(CTL_LDLIBS)

$(BUILD)/phronyctl-asan: $(CTL_ASAN_O)
	@$(CC) $(SANITIZE) -o $@ $^ $(CTL_LDLIBS)

$(BUILD)/ctl/%.o: %.c
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CTL_CPPFLAGS) $(CTL_CFLAGS) -c -o $@ $<

$(BUILD)/ctl-asan/%.o: %.c
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS) $(GCC_CFLAGS) -std=gnu11 $(SANITIZE) -c -o $@ $<


# the files of core/ and lua/, and fuzz/: no nginx

$(CORE_O) $(FUZZ_O) $(BUILD)/programs/fuzz/replay.o: $(BUILD)/programs/%.o: %.c
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS) $(GCC_CFLAGS) $(SANITIZE) -c -o $@ $<

# unit tests, and further files that they name

$(BUILD)/programs/%.o: %.c
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(NGINX_CPPFLAGS) $(GCC_CFLAGS) $(SANITIZE) -c -o $@ $<

$(CORE_A): $(CORE_O)
	@rm -f $@
	@ar crs $@ $^

$(ASAN)/libnginx.a:
	tools/build asan-nginx


define unit_rule
$(BUILD)/unit/$(1): $(BUILD)/programs/t/unit/$(1).o $(call extra_o,$(1)) \
		$(CORE_A) $(if $(call uses_nginx,$(1)),$(ASAN)/libnginx.a)
	@mkdir -p $$(@D)
	@$$(CC) $$(CFLAGS) $$(SANITIZE) $$(WRAP) -o $$@ \
		$(BUILD)/programs/t/unit/$(1).o $(call extra_o,$(1)) \
		$$(CORE_A) $(if $(call uses_nginx,$(1)),$$(NGINX_LIBS)) \
		$$(LDLIBS)

$(if $(call uses_nginx,$(1)),$(BUILD)/programs/t/unit/$(1).o \
	$(call extra_o,$(1)): | $(ASAN)/libnginx.a)
endef

$(foreach t,$(UNIT_C:t/unit/%.c=%),$(eval $(call unit_rule,$(t))))


$(REPLAY): $(BUILD)/replay/%: $(BUILD)/programs/fuzz/%.o \
		$(BUILD)/programs/fuzz/replay.o $(CORE_A)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(SANITIZE) -o $@ $^ $(LDLIBS)

# libFuzzer, by clang

$(BUILD)/programs/clang/%.o: %.c
	@echo "clang $<"
	@mkdir -p $(@D)
	@$(CLANG) $(CPPFLAGS) $(CFLAGS) $(SANITIZE) -fsanitize=fuzzer-no-link \
		-c -o $@ $<

$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/programs/clang/fuzz/%.o \
		$(CORE:%.c=$(BUILD)/programs/clang/%.o)
	@mkdir -p $(@D)
	@$(CLANG) $(SANITIZE) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)


-include $(shell find $(BUILD)/programs $(BUILD)/ctl $(BUILD)/ctl-asan \
	-name '*.d' 2>/dev/null)
