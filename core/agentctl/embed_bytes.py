#!/usr/bin/env python3
"""Writes a C++ file that holds the bytes of a file: embed_bytes.py INPUT OUTPUT.cc SYMBOL"""
import sys


def main():
    source, target, symbol = sys.argv[1:4]
    data = open(source, "rb").read()
    rows = [", ".join(str(byte) for byte in data[i:i + 24]) for i in range(0, len(data), 24)]
    with open(target, "w", encoding="utf-8") as out:
        out.write("extern const unsigned char %s[];\nextern const unsigned long %sSize;\n" % (symbol, symbol))
        out.write("const unsigned char %s[] = {\n%s};\n" % (symbol, ",\n".join(rows)))
        out.write("const unsigned long %sSize = %d;\n" % (symbol, len(data)))


main()
