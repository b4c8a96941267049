#include <elf.h>

#include <algorithm>
#include <cstring>

#include "core/pluginhost/manifest.h"
#include "skep/posix_env.h"

namespace skep::host {
namespace {

constexpr std::string_view kSection = ".skep_manifest";
constexpr std::size_t kSectionsMax = 4096;
#if defined(__x86_64__)
constexpr Elf64_Half kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr Elf64_Half kMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr Elf64_Half kMachine = EM_RISCV;
#else
#error "add the ELF machine number of this architecture"
#endif

Error invalid(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "NOT_A_PLUGIN"};
}

/// A copy of the T at `offset`; false when it does not lie inside the file.
template <class T>
bool read_at(std::string_view file, std::uint64_t offset, T& out) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) {
    return false;
  }
  std::memcpy(&out, file.data() + offset, sizeof(T));
  return true;
}

bool slice(std::string_view file, std::uint64_t offset, std::uint64_t size, std::string_view& out) {
  if (offset > file.size() || file.size() - offset < size) {
    return false;
  }
  out = file.substr(offset, size);
  return true;
}

Result<Elf64_Ehdr> read_header(std::string_view file) {
  Elf64_Ehdr header{};
  if (file.size() < SELFMAG || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0) {
    return invalid("is not an ELF file; a plugin is a shared object made with skep_add_plugin()");
  }
  if (!read_at(file, 0, header)) {
    return invalid("is a damaged ELF file: its header is cut off");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != kMachine) {
    return invalid("is built for another machine; build the plugin for this one");
  }
  if (header.e_type != ET_DYN) {
    return invalid("is an ELF file but not a shared object");
  }
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0 ||
      header.e_shnum > kSectionsMax || header.e_shstrndx >= header.e_shnum) {
    return invalid("has no section table; do not strip a plugin with sstrip");
  }
  std::string_view table;
  if (!slice(file, header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr), table)) {
    return invalid("is a damaged ELF file: its section table is cut off");
  }
  return header;
}

}  // namespace

Result<std::string> find_manifest_section(std::string_view elf) {
  SKEP_TRY_ASSIGN(const Elf64_Ehdr header, read_header(elf));
  const Error damaged = invalid("is a damaged ELF file: a section lies outside the file");
  const auto section_at = [&](std::size_t index, Elf64_Shdr& out) {
    return header.e_shoff <= elf.size() && read_at(elf, header.e_shoff + index * sizeof(out), out);
  };
  Elf64_Shdr names_section{};
  std::string_view names;
  if (!section_at(header.e_shstrndx, names_section) ||
      !slice(elf, names_section.sh_offset, names_section.sh_size, names)) {
    return damaged;
  }
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section{};
    if (!section_at(i, section)) {
      return damaged;
    }
    if (section.sh_name >= names.size()) {
      continue;
    }
    const std::string_view rest = names.substr(section.sh_name);
    if (rest.substr(0, rest.find('\0')) != kSection) {
      continue;
    }
    std::string_view data;
    if (section.sh_size > kManifestBytesMax || !slice(elf, section.sh_offset, section.sh_size, data)) {
      return damaged;
    }
    return std::string(data);
  }
  return invalid("has no manifest (section .skep_manifest); build it with skep_add_plugin()");
}

Result<std::vector<std::string>> exported_symbols(const std::string& path) {
  PosixDisk disk;
  SKEP_TRY_ASSIGN(const std::string file, disk.read_file(path));
  SKEP_TRY_ASSIGN(const Elf64_Ehdr header, read_header(file));
  std::vector<std::string> names;
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section{};
    Elf64_Shdr strings_section{};
    std::string_view symbols;
    std::string_view strings;
    if (!read_at(file, header.e_shoff + i * sizeof(section), section) || section.sh_type != SHT_DYNSYM) {
      continue;
    }
    if (section.sh_link >= header.e_shnum ||
        !read_at(file, header.e_shoff + section.sh_link * sizeof(section), strings_section) ||
        !slice(file, section.sh_offset, section.sh_size, symbols) ||
        !slice(file, strings_section.sh_offset, strings_section.sh_size, strings)) {
      return invalid("is a damaged ELF file: a section lies outside the file");
    }
    for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= symbols.size(); at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol{};
      read_at(symbols, at, symbol);
      if (symbol.st_shndx != SHN_UNDEF && ELF64_ST_BIND(symbol.st_info) != STB_LOCAL && symbol.st_name < strings.size()) {
        const std::string_view rest = strings.substr(symbol.st_name);
        names.emplace_back(rest.substr(0, rest.find('\0')));
      }
    }
  }
  return names;
}

Status check_exports(const std::string& path) {
  constexpr std::string_view kEntry = "skep_plugin_entry_v1";
  auto names = exported_symbols(path);
  if (!names) {
    return std::move(names).error().with_context(path);
  }
  if (std::find(names->begin(), names->end(), kEntry) == names->end()) {
    return Error{Code::kInvalidArgument,
                 path + ": does not export skep_plugin_entry_v1: it needs SKEP_PLUGIN, or is built for "
                        "another major version of the plugin ABI",
                 "NO_ENTRY"};
  }
  const auto other = std::find_if(names->begin(), names->end(), [&](const auto& name) { return name != kEntry; });
  if (other != names->end()) {
    return Error{Code::kInvalidArgument,
                 path + ": exports " + std::to_string(names->size() - 1) + " symbols beside skep_plugin_entry_v1, '" +
                     *other + "' for one: build it with skep_add_plugin(), which hides them",
                 "EXPORTS_TOO_MUCH"};
  }
  return ok();
}

}  // namespace skep::host
