#!/usr/bin/env python3
"""Writes a .cc that puts a plugin.toml into the ELF section .skep_manifest.

usage: embed_manifest.py plugin.toml OUTPUT.cc
"""
import sys


def main():
    source, target = sys.argv[1:3]
    data = open(source, "rb").read()
    body = ", ".join(str(byte) for byte in data)
    with open(target, "w", encoding="utf-8") as out:
        out.write(f"""// Generated from plugin.toml; do not edit.
#include <cstddef>
namespace skep::internal {{
extern const unsigned char kManifest[];
extern const std::size_t kManifestSize;
__attribute__((used, retain, section(".skep_manifest"))) const unsigned char kManifest[] = {{{body}}};
const std::size_t kManifestSize = sizeof(kManifest);
}}  // namespace skep::internal
""")


main()
