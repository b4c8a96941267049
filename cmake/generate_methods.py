#!/usr/bin/env python3
"""Writes skep/X.methods.h from the service blocks of skep/X.proto.

usage: generate_methods.py INPUT.proto OUTPUT.methods.h

`package skep.volume.v1; service VolumeDriver { rpc Mount(MountRequest) returns (MountResponse); }`
becomes the type skep::volume::v1::methods::Mount with Request, Response, kStreams and
kName = "volume/1/mount".
"""
import re
import sys


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def main():
    source, target = sys.argv[1:3]
    text = re.sub(r"//[^\n]*", "", open(source, encoding="utf-8").read())
    package = re.search(r"^package\s+([\w.]+);", text, re.M).group(1)
    parts = package.split(".")
    kind, major = parts[1], parts[2].lstrip("v")
    base = source.rsplit("/", 1)[-1].removesuffix(".proto")
    lines = ["#pragma once", "", f"// Generated from skep/{base}.proto; do not edit.", "",
             "#include <string_view>", "", f'#include "skep/{base}.pb.h"', "",
             f"namespace {'::'.join(parts)}::methods {{", ""]
    rpc = re.compile(r"rpc\s+(\w+)\s*\(\s*(stream\s+)?([\w.]+)\s*\)\s*returns\s*"
                     r"\(\s*(stream\s+)?([\w.]+)\s*\)")
    for service in re.finditer(r"service\s+\w+\s*\{(.*?)\n\}", text, re.S):
        for name, in_stream, request, out_stream, response in rpc.findall(service.group(1)):
            streams = "true" if in_stream or out_stream else "false"
            lines += [f"struct {name} {{",
                      f"  using Request = {request.replace('.', '::')};",
                      f"  using Response = {response.replace('.', '::')};",
                      f"  static constexpr bool kStreams = {streams};",
                      f'  static constexpr std::string_view kName = "{kind}/{major}/{snake(name)}";',
                      "};"]
    lines += ["", f"}}  // namespace {'::'.join(parts)}::methods", ""]
    with open(target, "w", encoding="utf-8") as out:
        out.write("\n".join(lines))


main()
