#pragma once

// Lists and inspections as people asked for them: table, table TEMPLATE, json (one object per
// line), raw (key: value), a template per row, or ids only.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/agentctl/template/value.h"
#include "skep/result.h"

namespace skep::ctl {

struct Context;
class Command;

struct Column {
  std::string field;   ///< ".ID" without the dot
  std::string header;  ///< "ID"
};

/// What a noun's list looks like. `columns` names every placeholder, shown by default or not.
struct ListShape {
  std::string table;  ///< "{{.ID}}\t{{.Name}}"
  std::vector<Column> columns;
  std::string quiet = "ID";    ///< field that -q prints
  std::string raw = {};        ///< template of `--format raw`, as Docker has it; empty: it has none here
  std::string raw_quiet = {};  ///< of that with -q
};

struct ListOptions {
  std::string format = {};
  bool quiet = false;
  bool no_trunc = false;
  std::vector<std::string> filters = {};
};

/// Adds --format, --quiet and --filter; `truncates` adds --no-trunc.
void add_list_flags(Command& command, ListOptions& options, std::string filters,
                    bool truncates = false);

/// kInvalidArgument when the template is wrong.
Status print_list(Context& context, const ListShape& shape, const ListOptions& options,
                  const std::vector<Value>& rows);

/// Prints `objects` as a JSON array, as one line of JSON ("json"), or through a template each.
Status print_inspection(Context& context, const std::vector<Value>& objects,
                        const std::string& format,
                        const std::set<std::string, std::less<>>& absent);

/// Columns separated by tabs, lines by newlines: aligned with three spaces between, at least ten
/// columns each, as Docker's tables.
std::string align_columns(std::string_view text);

}  // namespace skep::ctl
