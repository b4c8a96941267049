/* The plugin door: plain C11, append-only. What crosses it are integers and bytes.
 *
 * A plugin exports exactly one symbol, skep_plugin_entry_v1. The major version of this ABI is in
 * that name; within a major every struct only grows at its end, and a reader treats fields beyond
 * the given struct_size as absent. Thread tags: [any-thread]; [plugin-loop] is the one thread the
 * host runs the plugin's loop on. No function may throw.
 */
#ifndef SKEP_ABI_H_
#define SKEP_ABI_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKEP_ABI_MAJOR 1
#define SKEP_ABI_MINOR 0
#define SKEP_EXPORT __attribute__((visibility("default")))

/* Borrowed bytes: valid only until the call returns; the callee copies what it keeps. */
typedef struct skep_bytes {
  const uint8_t* data;
  size_t size;
} skep_bytes;

/* What the host gives a plugin. Lives until after destroy() returned. */
typedef struct skep_host {
  uint32_t struct_size;
  uint16_t abi_major, abi_minor;
  void* self;
  /* [any-thread] One bus message: serialised skep.bus.v1.Header and its body. 0 or a Code. */
  int32_t (*send)(void* self, skep_bytes header, skep_bytes body);
  /* [any-thread] level 0 trace .. 4 error; text is UTF-8 without a newline. */
  void (*log)(void* self, int32_t level, skep_bytes text);
  /* [any-thread] A table of the named extension ("skep.loop/1") or NULL. Host-owned. */
  const void* (*get_extension)(void* self, const char* id);
} skep_host;

/* What a plugin gives the host. Owned by the plugin, valid until destroy() returned. */
typedef struct skep_plugin {
  uint32_t struct_size;
  void* self;
  /* [plugin-loop] Serialised skep.plugin.v1.StartRequest. 0 or a Code; after an error only
   * destroy() follows. The plugin has logged what is wrong. */
  int32_t (*start)(void* self, skep_bytes request);
  /* [plugin-loop & started] One message from the bus. */
  void (*deliver)(void* self, skep_bytes header, skep_bytes body);
  /* [plugin-loop & started] Ends work in flight; no send() after it returned. */
  void (*stop)(void* self);
  /* [plugin-loop & stopped or never started] Frees everything, self included. */
  void (*destroy)(void* self);
  /* [any-thread] As the host's. */
  const void* (*get_extension)(void* self, const char* id);
} skep_plugin;

/* What skep_plugin_entry_v1 points to: constant data, readable before anything is created. */
typedef struct skep_entry {
  uint32_t struct_size;
  uint16_t abi_major, abi_minor;
  const char* id;      /* as in the manifest, for example "local" */
  const char* version; /* of the plugin, for people */
  skep_bytes manifest; /* plugin.toml, also in the ELF section .skep_manifest */
  /* [plugin-loop] A new instance, or NULL when memory ran out. May be called more than once. */
  const skep_plugin* (*create)(const skep_host* host);
} skep_entry;

/* Host extension "skep.loop/1": the plugin's own loop. All but post are [plugin-loop]. */
typedef struct skep_loop_v1 {
  uint32_t struct_size;
  void* self;
  /* [any-thread] Runs call(arg) on the loop; always runs it exactly once, drop(arg) instead when
   * the loop has ended. drop may be NULL. */
  void (*post)(void* self, void (*call)(void* arg), void (*drop)(void* arg), void* arg);
  /* Runs call(arg) once after delay_ns. Never 0. After cancel_timer neither is called: the plugin
   * frees arg itself. */
  uint64_t (*run_after)(void* self, int64_t delay_ns, void (*call)(void* arg), void* arg);
  void (*cancel_timer)(void* self, uint64_t id);
  /* events: 1 readable, 2 writable; level-triggered until unwatch. */
  uint64_t (*watch_fd)(void* self, int32_t fd, uint32_t events, void (*call)(void* arg), void* arg);
  void (*unwatch)(void* self, uint64_t id);
} skep_loop_v1;

extern SKEP_EXPORT const skep_entry skep_plugin_entry_v1;

#ifdef __cplusplus
}
#endif
#endif
