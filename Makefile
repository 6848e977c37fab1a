# What can be done here, in one word each; the work is in tools/.

TIME ?= 60
COMPAT ?= trixie sid
SERVERS ?= valkey@trixie redis@trixie
JOBS ?= 2

export TESTS STATIC_TESTS JOBS

# what a target runs may run at the same time, targets may not

.NOTPARALLEL:

.PHONY: help run test unit fuzz-replay fuzz bench check pictures module \
	phronyctl deb deb-test asan compat clean

help:
	@echo "make run          the quick start, on 127.0.0.1:8080"
	@echo "make test         everything: unit, fuzz corpora, black-box"
	@echo "make check        style, structure, compilers, linters"
	@echo "make module       build/ngx_http_phrony_module.so for this nginx"
	@echo "make deb          the Debian package, in build/deb"
	@echo "make deb-test     installs it into a clean root, as root"
	@echo "make phronyctl    build/phronyctl, the operator's tool"
	@echo "make unit         unit tests alone"
	@echo "make fuzz-replay  fuzz corpora alone"
	@echo "make fuzz TIME=n  each fuzz target for n seconds (MERGE=1: keep)"
	@echo "make asan         nginx and module with sanitizers, build/asan"
	@echo "make compat       with newer nginx (COMPAT='trixie sid', or DIR),"
	@echo "                  and other Redis (SERVERS='valkey@sid', or DIR)"
	@echo "make pictures     measures anew what docs/limits.md shows"
	@echo "make bench        compares with plain proxy_pass"
	@echo "make clean        removes build/"
	@echo "TESTS='t/a.t t/b.t' names the black-box tests to run."

run:
	@tools/install-packages run
	@test -e build/ngx_http_phrony_module.so \
		|| echo "building the module, this takes half a minute"
	@tools/build module
	@exec tools/quickstart

test:
	@tools/install-packages test
	@tools/test

unit fuzz-replay:
	@tools/install-packages test
	@tools/test $@

fuzz:
	@tools/install-packages fuzz
	@tools/fuzz $(TIME) $(TARGETS)

bench:
	@tools/install-packages bench
	@tools/build module
	@tools/build probe
	@bench/run

pictures:
	@tools/install-packages test
	@tools/build module
	@tools/measure-limits
	@tools/make-pictures

check:
	@tools/install-packages check
	@tools/check

module:
	@tools/install-packages run
	@tools/build module
	@echo build/ngx_http_phrony_module.so

deb:
	@tools/install-packages deb
	@tools/make-deb

deb-test:
	@tools/install-packages deb-test
	@prove t/package/deb.t

phronyctl:
	@tools/install-packages run
	@$(MAKE) --no-print-directory -f tools/programs.mk phronyctl
	@echo build/phronyctl

asan:
	@tools/install-packages test
	@tools/build asan
	@echo build/asan/nginx build/asan/nginx-static \
		build/asan/ngx_http_phrony_module.so

compat:
	@tools/install-packages compat
	@tools/test $(COMPAT:%=compat %) $(SERVERS:%=server %)

clean:
	rm -rf build
