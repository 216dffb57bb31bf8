/* A QEMU TCG plugin that counts guest instructions and notes the count whenever
 * one of the given guest virtual addresses is executed:
 *
 *   -plugin ./insn.so,out=FILE,mark=0x650600:main,mark=0x64d4e0:root
 *
 * FILE gets a line "name count" for each hit, at most MAXHITS a mark. One vCPU
 * only: the counter is not atomic. The declarations are those of QEMU's public
 * plugin interface, version 1, so that no QEMU headers are needed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct {
  const char *target_name;
  struct { int min, cur; } version;
  bool system_emulation;
  union { struct { int smp_vcpus, max_vcpus; } system; };
} qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_CB_NO_REGS = 0 };
enum { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };
typedef void (*tb_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*insn_cb)(unsigned int, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_cb);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, insn_cb, int, void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { MAXMARKS = 16, MAXHITS = 100000 };
static uint64_t count;
static struct mark { uint64_t addr; const char *name; uint64_t hits; } marks[MAXMARKS];
static int nmarks;
static FILE *out;

static void hit(unsigned int cpu, void *p) {
  struct mark *m = p;
  (void)cpu;
  if (m->hits++ < MAXHITS)
    fprintf(out, "%s %llu\n", m->name, (unsigned long long)count);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
    struct qemu_plugin_insn *in = qemu_plugin_tb_get_insn(tb, i);
    uint64_t addr = qemu_plugin_insn_vaddr(in);
    qemu_plugin_register_vcpu_insn_exec_inline(in, QEMU_PLUGIN_INLINE_ADD_U64, &count, 1);
    for (int k = 0; k < nmarks; k++)
      if (marks[k].addr == addr)
        qemu_plugin_register_vcpu_insn_exec_cb(in, hit, QEMU_PLUGIN_CB_NO_REGS, &marks[k]);
  }
}

__attribute__((visibility("default")))
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
  (void)info;
  for (int i = 0; i < argc; i++) {
    if (!strncmp(argv[i], "out=", 4))
      out = fopen(argv[i] + 4, "w");
    if (!strncmp(argv[i], "mark=", 5) && nmarks < MAXMARKS) {
      char *end;
      marks[nmarks].addr = strtoull(argv[i] + 5, &end, 0);
      marks[nmarks].name = strdup(*end == ':' ? end + 1 : "mark");
      nmarks++;
    }
  }
  if (!out)
    return -1;
  setvbuf(out, NULL, _IOLBF, 0); /* the VMM may be killed at any time */
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  return 0;
}
